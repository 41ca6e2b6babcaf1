//! The search for the medium: events in, actions out; time is one of the events.
//!
//! One thread owns a [`Search`]. Workers probe and examine and send what they saw; none of
//! them decides. A full match is acted on at once. A medium that the words name but that
//! holds another image than this initramfs was made with, or a root tree without an image, is
//! taken when nothing better appears. When all is silent the page is shown, and the search goes on behind it.

use super::medium::{Device, Facts, Found, Probe, Wanted, decide_match, decide_name};
pub use super::story::{Action, Event, Look, Verdict};
use crate::request::DeviceSpec;
use std::collections::BTreeMap;
use std::time::Duration;

/// A device and what is known of it.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// What the kernel says.
    pub device: Device,
    /// What it holds.
    pub facts: Facts,
    /// Where it stands.
    pub verdict: Verdict,
    /// Position in the order of appearance; another device of the same name has another.
    pub order: usize,
    /// When an optical drive is asked for its disc again; none while a worker asks.
    next_look: Option<Duration>,
}

/// Limits of waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The page is shown then at the latest (`rd.timeout`).
    pub timeout: Option<Duration>,
    /// Nobody is waited for any longer then, behind the page (`rd.retry` without a shell).
    pub give_up: Option<Duration>,
}

/// Silence after which the page is shown. USB storage is scanned one second after it was
/// plugged in (`usb_storage.delay_use`), hubs and old drives take up to three.
pub const SILENCE: Duration = Duration::from_secs(5);

/// Silence after which another image than the initramfs's own is taken: no less.
pub const SECOND_CHOICE: Duration = SILENCE;

/// The page is shown then at the latest, however much still happens: a bad cable makes
/// events for ever. The search goes on behind it.
pub const PAGE_LIMIT: Duration = Duration::from_secs(60);

/// A device that has not answered until then is shown so; its answer still counts.
pub const UNANSWERED: Duration = Duration::from_secs(10);

/// A drive that looks at its disc for longer holds nobody up.
pub const DISC_SETTLES: Duration = Duration::from_secs(20);

/// Between two looks into an optical drive: no uevent tells of an inserted disc.
pub const DISC_POLL: Duration = Duration::from_secs(1);

/// The state of a search.
#[derive(Debug)]
pub struct Search {
    /// What is sought.
    pub wanted: Wanted,
    limits: Limits,
    candidates: BTreeMap<String, Candidate>,
    appeared: usize,
    began: Duration,
    last_activity: Duration,
    page: bool,
    accepted: bool,
}

impl Search {
    /// A search that begins at `now`.
    pub fn new(wanted: Wanted, limits: Limits, now: Duration) -> Self {
        Search {
            wanted,
            limits,
            candidates: BTreeMap::new(),
            appeared: 0,
            began: now,
            last_activity: now,
            page: false,
            accepted: false,
        }
    }

    /// All devices seen, in the order of their appearance.
    pub fn candidates(&self) -> Vec<&Candidate> {
        let mut all: Vec<&Candidate> = self.candidates.values().collect();
        all.sort_by_key(|c| c.order);
        all
    }

    /// Whether the page is on the screen.
    pub fn shows_page(&self) -> bool {
        self.page
    }

    /// No device is sought any longer: what is there is still read, for the upper.
    pub fn end(&mut self) {
        self.accepted = true;
    }

    /// One device by name.
    pub fn candidate(&self, name: &str) -> Option<&Candidate> {
        self.candidates.get(name)
    }

    /// Takes one event in and says what is to be done.
    pub fn step(&mut self, now: Duration, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.is_news(&event) {
            self.last_activity = now;
        }
        // The medium is found; what else is there is still read, for the upper.
        if self.accepted {
            self.take_in(now, event, &mut actions);
            return actions;
        }
        let page_changes = self.page && self.changes_page(&event);
        self.take_in(now, event, &mut actions);
        self.look_into_drives(now, &mut actions);
        self.examine_named(now, &mut actions);
        self.accept_best(now, &mut actions);
        if !self.accepted {
            self.give_up(now, page_changes, &mut actions);
        }
        actions
    }

    /// When to come back with a [`Event::Tick`] though nothing happened.
    pub fn next_deadline(&self, now: Duration) -> Duration {
        let mut times = vec![now + SILENCE];
        for candidate in self.candidates.values() {
            times.extend(candidate.next_look);
            match candidate.verdict {
                Verdict::OtherImage(_) => times.push(self.last_activity + SECOND_CHOICE),
                Verdict::Probing(since) | Verdict::Examining(since) => {
                    times.push(since + UNANSWERED);
                }
                Verdict::Settling(since) => times.push(since + DISC_SETTLES),
                _ => {}
            }
        }
        if !self.page {
            times.push(self.last_activity + SILENCE);
            times.push(self.page_limit());
        }
        times.extend(self.limits.give_up);
        times
            .into_iter()
            .filter(|t| *t > now)
            .min()
            .unwrap_or(now + SILENCE)
    }

    fn take_in(&mut self, now: Duration, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Seen(device) => self.see(now, device, actions),
            Event::Gone(name) => {
                let stays = |host: &Option<String>| host.as_ref() != Some(&name);
                self.candidates
                    .retain(|n, c| *n != name && stays(&c.device.host));
            }
            Event::Probed(name, probe) => self.take_probe(now, &name, probe),
            Event::Looked(name, look) => self.take_look(now, &name, look, actions),
            Event::Examined(name, outcome) => self.take_outcome(&name, outcome),
            Event::Holds(name, device) => {
                if let Some(host) = self.candidates.get_mut(&name) {
                    host.verdict = Verdict::Holds(device.name.clone());
                    self.see(now, device, actions);
                }
            }
            Event::Activity | Event::Tick => {}
        }
    }

    /// A device that is seen again (its uevent after the walk of sysfs, a `change`) is read
    /// again only when it is another one or its last answer was no match.
    fn see(&mut self, now: Duration, device: Device, actions: &mut Vec<Action>) {
        let name = device.name.clone();
        let empty = device.size.0 == 0 && !device.optical;
        let next_look = device.optical.then_some(now + DISC_POLL);
        if let Some(known) = self.candidates.get_mut(&name) {
            let settled = matches!(known.verdict, Verdict::Refused(_) | Verdict::Empty);
            let same = known.device.size == device.size;
            let partitions_known = known.device.partitions == device.partitions;
            known.device = device;
            if same && !settled {
                // The kernel had not read the partition table when it was seen first.
                if !partitions_known && matches!(known.verdict, Verdict::Examining(_)) {
                    known.verdict = Verdict::Named;
                }
                return;
            }
            known.verdict = if empty {
                Verdict::Empty
            } else {
                Verdict::Probing(now)
            };
        } else {
            let order = self.appeared;
            self.appeared += 1;
            let verdict = if empty {
                Verdict::Empty
            } else {
                Verdict::Probing(now)
            };
            let facts = Facts::default();
            let candidate = Candidate {
                device,
                facts,
                verdict,
                order,
                next_look,
            };
            self.candidates.insert(name.clone(), candidate);
        }
        if !empty {
            actions.push(Action::Probe(name));
        }
    }

    /// An answer counts while it is waited for: one that comes after the disc was changed,
    /// or twice, is of the past.
    fn take_probe(&mut self, now: Duration, name: &str, probe: Probe) {
        let Some(candidate) = self.candidates.get_mut(name) else {
            return;
        };
        if !matches!(candidate.verdict, Verdict::Probing(_)) {
            return;
        }
        candidate.verdict = match probe {
            Probe::Empty => Verdict::Empty,
            Probe::Settling => Verdict::Settling(now),
            Probe::Unreadable(why) => {
                candidate.facts.unreadable = Some(why.clone());
                Verdict::Refused(why)
            }
            Probe::Facts(facts) => {
                let verdict = match &facts.unreadable {
                    Some(why) => Err(why.clone()),
                    None => decide_match(&self.wanted, &candidate.device, &facts),
                };
                let verdict = verdict.map_or_else(Verdict::Refused, |()| Verdict::Named);
                candidate.facts = facts;
                verdict
            }
        };
    }

    /// A disc that came, or another one than was refused, is read.
    fn take_look(&mut self, now: Duration, name: &str, look: Look, actions: &mut Vec<Action>) {
        let Some(candidate) = self.candidates.get_mut(name) else {
            return;
        };
        candidate.next_look = Some(now + DISC_POLL);
        match (&candidate.verdict, look) {
            (Verdict::Refused(_), Look::Disc(size)) if size == candidate.device.size => {}
            (Verdict::Refused(_) | Verdict::Empty | Verdict::Settling(_), Look::Disc(size)) => {
                candidate.device.size = size;
                candidate.verdict = Verdict::Probing(now);
                actions.push(Action::Probe(name.to_owned()));
            }
            (Verdict::Refused(_) | Verdict::Empty, Look::Settling) => {
                candidate.verdict = Verdict::Settling(now);
            }
            (Verdict::Refused(_) | Verdict::Settling(_), Look::Nothing) => {
                candidate.verdict = Verdict::Empty;
                candidate.facts = Facts::default();
            }
            _ => {}
        }
    }

    fn take_outcome(&mut self, name: &str, outcome: Result<Found, String>) {
        let wanted = self.wanted.id.clone();
        // A node is one device: no other one will have it.
        let alone = matches!(self.wanted.spec, Some(DeviceSpec::Node(_)));
        let Some(candidate) = self.candidates.get_mut(name) else {
            return;
        };
        if !matches!(candidate.verdict, Verdict::Examining(_)) {
            return;
        }
        // Whatever the ISO file holds was asked for; what root= names too goes before it.
        let named = decide_name(&self.wanted, &candidate.device, &candidate.facts).is_ok();
        candidate.verdict = match outcome {
            Err(why) => Verdict::Refused(why),
            Ok(found)
                if named
                    && (wanted.is_none() || found.id == wanted)
                    && (alone || !found.is_tree()) =>
            {
                Verdict::Accepted(found)
            }
            Ok(found) => Verdict::OtherImage(found),
        };
    }

    /// Drives that hold nothing, or not the medium, are asked once a second: a disc that is
    /// put in, or changed, shows no other way. One that does not answer is not asked twice.
    fn look_into_drives(&mut self, now: Duration, actions: &mut Vec<Action>) {
        for (name, candidate) in &mut self.candidates {
            let idle = matches!(
                candidate.verdict,
                Verdict::Empty | Verdict::Settling(_) | Verdict::Refused(_)
            );
            if idle && candidate.next_look.is_some_and(|at| at <= now) {
                candidate.next_look = None;
                actions.push(Action::Look(name.clone()));
            }
        }
    }

    /// A disk and its partition 1 are one hybrid medium: the disk is examined only when none
    /// of its partitions turned out to be it, so that the others stay usable.
    fn examine_named(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let busy = |name: &String| {
            self.candidates
                .get(name)
                .is_none_or(|c| !matches!(c.verdict, Verdict::Refused(_)))
        };
        let ready: Vec<String> = self
            .candidates()
            .into_iter()
            .filter(|c| c.verdict == Verdict::Named && !c.device.partitions.iter().any(busy))
            .map(|c| c.device.name.clone())
            .collect();
        for name in ready {
            if let Some(candidate) = self.candidates.get_mut(&name) {
                candidate.verdict = Verdict::Examining(now);
                actions.push(Action::Examine(name));
            }
        }
    }

    fn accept_best(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let full = |c: &&Candidate| matches!(c.verdict, Verdict::Accepted(_));
        let other = |tree: bool| {
            move |c: &&Candidate| match &c.verdict {
                Verdict::OtherImage(found) => found.is_tree() == tree,
                _ => false,
            }
        };
        let all = self.candidates();
        let silent = now >= self.last_activity + SECOND_CHOICE && !self.is_working(now);
        let best = all.iter().copied().find(full).or_else(|| {
            // Without words that name it, another image is not what anybody asked for.
            let named = self.wanted.named;
            let asked = |c: &&Candidate| named || c.device.host.is_some();
            let images = all.iter().copied().filter(other(false));
            let trees = all.iter().copied().filter(other(true));
            images.chain(trees).find(asked).filter(|_| silent)
        });
        let Some(name) = best.map(|c| c.device.name.clone()) else {
            return;
        };
        if let Some(candidate) = self.candidates.get_mut(&name) {
            if let Verdict::OtherImage(found) = &candidate.verdict {
                candidate.verdict = Verdict::Accepted(found.clone());
            }
            self.accepted = true;
            actions.push(Action::Accept(name));
        }
    }

    fn give_up(&mut self, now: Duration, page_changes: bool, actions: &mut Vec<Action>) {
        let silent = now >= self.last_activity + SILENCE && !self.is_working(now);
        let ends = self.limits.give_up.is_some_and(|t| now >= t);
        if !self.page && (silent || now >= self.page_limit() || ends) {
            self.page = true;
            actions.push(Action::ShowPage);
        } else if page_changes {
            actions.push(Action::ShowPage);
        }
        if ends {
            actions.push(Action::GiveUp);
        }
    }

    fn page_limit(&self) -> Duration {
        self.limits.timeout.unwrap_or(self.began + PAGE_LIMIT)
    }

    /// Whether a worker may still come with an answer.
    fn is_working(&self, now: Duration) -> bool {
        self.candidates.values().any(|c| match c.verdict {
            Verdict::Probing(since) | Verdict::Examining(since) => now < since + UNANSWERED,
            Verdict::Settling(since) => now < since + DISC_SETTLES,
            _ => false,
        })
    }

    /// Whether an event is a reason to wait longer: something is still coming up. A drive
    /// that is asked again and says the same is not.
    fn is_news(&self, event: &Event) -> bool {
        match event {
            Event::Tick => false,
            Event::Looked(name, look) => {
                let verdict = self.candidates.get(name).map(|c| &c.verdict);
                match look {
                    Look::Disc(_) => matches!(verdict, Some(Verdict::Empty | Verdict::Settling(_))),
                    Look::Settling => matches!(verdict, Some(Verdict::Empty)),
                    Look::Nothing => false,
                }
            }
            _ => true,
        }
    }

    /// Whether people see something new: another device, or another verdict on one.
    fn changes_page(&self, event: &Event) -> bool {
        match event {
            Event::Probed(name, _) => self
                .candidates
                .get(name)
                .is_some_and(|c| matches!(c.verdict, Verdict::Probing(_))),
            Event::Gone(name) => self.candidates.contains_key(name),
            Event::Examined(_, outcome) => outcome.is_err(),
            _ => false,
        }
    }
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
