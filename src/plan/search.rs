//! The search for the medium: events in, actions out; time is one of the events.
//!
//! One thread owns a [`Search`]. Workers probe and examine and send what they saw; none of
//! them decides. A full match is acted on at once. A medium that the words name but that
//! holds another image than this initramfs was made with is taken when nothing better
//! appears. When all is silent the page is shown, and the search goes on behind it.

use super::medium::{Device, Facts, Found, Probe, Wanted, decide_match};
use std::collections::BTreeMap;
use std::time::Duration;

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A block device is there (again).
    Seen(Device),
    /// It has gone.
    Gone(String),
    /// A worker read it.
    Probed(String, Probe),
    /// A worker looked for the image on it; the reason if it is not there.
    Examined(String, Result<Found, String>),
    /// The machine is still bringing devices up: a driver went in, an uevent came.
    Activity,
    /// Time passed.
    Tick,
}

/// Something is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read the device's superblock.
    Probe(String),
    /// Mount it read-only and look for the image.
    Examine(String),
    /// This is the medium.
    Accept(String),
    /// Show the failure page, or show it anew: the verdicts changed.
    ShowPage,
    /// Nobody helps and nothing comes.
    PowerOff,
}

/// What is known of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A worker reads it, since then.
    Probing(Duration),
    /// A drive without a disc; asked again then.
    Empty(Duration),
    /// The words name it; examined when its turn comes.
    Named,
    /// A worker looks at it, since then.
    Examining(Duration),
    /// It holds an image, but not the one of this initramfs.
    OtherImage(Found),
    /// The medium.
    Accepted(Found),
    /// It is not, and why.
    Refused(String),
}

/// A device and what is known of it.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// What the kernel says.
    pub device: Device,
    /// What it holds.
    pub facts: Facts,
    /// Where it stands.
    pub verdict: Verdict,
    /// Position in the order of appearance.
    pub order: usize,
}

/// Limits of waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The page is shown then at the latest (`rd.timeout`).
    pub timeout: Option<Duration>,
    /// The machine is switched off then, behind the page (`rd.retry` without a shell).
    pub power_off: Option<Duration>,
}

/// Silence after which the page is shown. USB storage is scanned one second after it was
/// plugged in (`usb_storage.delay_use`), hubs and old drives take up to three.
pub const SILENCE: Duration = Duration::from_secs(5);

/// Silence after which another image than the initramfs's own is taken.
pub const SECOND_CHOICE: Duration = Duration::from_secs(2);

/// A device that has not answered until then is shown so; its answer still counts.
pub const UNANSWERED: Duration = Duration::from_secs(10);

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

    /// One device by name.
    pub fn candidate(&self, name: &str) -> Option<&Candidate> {
        self.candidates.get(name)
    }

    /// Takes one event in and says what is to be done.
    pub fn step(&mut self, now: Duration, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.accepted {
            return actions;
        }
        // An empty drive that is asked again says nothing new.
        if !matches!(event, Event::Tick | Event::Probed(_, Probe::NoDisc)) {
            self.last_activity = now;
        }
        let page_changes = self.page && self.changes_page(&event);
        self.take_in(now, event, &mut actions);
        self.poll_drives(now, &mut actions);
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
            match candidate.verdict {
                Verdict::Empty(at) => times.push(at),
                Verdict::OtherImage(_) => times.push(self.last_activity + SECOND_CHOICE),
                Verdict::Probing(since) | Verdict::Examining(since) => {
                    times.push(since + UNANSWERED)
                }
                _ => {}
            }
        }
        if !self.page {
            times.push(self.last_activity + SILENCE);
            times.extend(self.limits.timeout);
        }
        times.extend(self.limits.power_off);
        times
            .into_iter()
            .filter(|t| *t > now)
            .min()
            .unwrap_or(now + SILENCE)
    }

    fn take_in(&mut self, now: Duration, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Seen(device) => self.see(now, device, actions),
            Event::Gone(name) => drop(self.candidates.remove(&name)),
            Event::Probed(name, probe) => self.take_probe(now, &name, probe),
            Event::Examined(name, outcome) => self.take_outcome(&name, outcome),
            Event::Activity | Event::Tick => {}
        }
    }

    /// A device that is seen again (its uevent after the walk of sysfs, a `change`) is read
    /// again only when it is another one or its last answer was no match.
    fn see(&mut self, now: Duration, device: Device, actions: &mut Vec<Action>) {
        let name = device.name.clone();
        if let Some(known) = self.candidates.get_mut(&name) {
            let settled = matches!(known.verdict, Verdict::Refused(_) | Verdict::Empty(_));
            let same = known.device.size == device.size;
            known.device = device;
            if same && !settled {
                return;
            }
            known.verdict = Verdict::Probing(now);
        } else {
            let order = self.appeared;
            self.appeared += 1;
            let verdict = Verdict::Probing(now);
            let candidate = Candidate {
                device,
                facts: Facts::default(),
                verdict,
                order,
            };
            self.candidates.insert(name.clone(), candidate);
        }
        actions.push(Action::Probe(name));
    }

    fn take_probe(&mut self, now: Duration, name: &str, probe: Probe) {
        let Some(candidate) = self.candidates.get_mut(name) else {
            return;
        };
        candidate.verdict = match probe {
            Probe::NoDisc => Verdict::Empty(now + DISC_POLL),
            Probe::Unreadable(why) => Verdict::Refused(why),
            Probe::Facts(facts) => {
                let verdict = match decide_match(&self.wanted, &candidate.device, &facts) {
                    Ok(()) => Verdict::Named,
                    Err(why) => Verdict::Refused(why),
                };
                candidate.facts = facts;
                verdict
            }
        };
    }

    fn take_outcome(&mut self, name: &str, outcome: Result<Found, String>) {
        let wanted = self.wanted.id.clone();
        let Some(candidate) = self.candidates.get_mut(name) else {
            return;
        };
        candidate.verdict = match outcome {
            Err(why) => Verdict::Refused(why),
            Ok(found) if wanted.is_none() || found.id == wanted => Verdict::Accepted(found),
            Ok(found) => Verdict::OtherImage(found),
        };
    }

    fn poll_drives(&mut self, now: Duration, actions: &mut Vec<Action>) {
        for (name, candidate) in &mut self.candidates {
            if matches!(candidate.verdict, Verdict::Empty(at) if at <= now) {
                // Not `Probing`: an empty drive is nobody's reason to wait.
                candidate.verdict = Verdict::Empty(now + DISC_POLL);
                actions.push(Action::Probe(name.clone()));
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
        let other = |c: &&Candidate| matches!(c.verdict, Verdict::OtherImage(_));
        let all = self.candidates();
        let silent = now >= self.last_activity + SECOND_CHOICE && !self.is_working(now);
        let best = all.iter().copied().find(full).or_else(|| {
            // Without words that name it, another image is not what anybody asked for.
            let named = self.wanted.spec.is_some();
            all.iter().copied().find(other).filter(|_| silent && named)
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
        let late = self.limits.timeout.is_some_and(|t| now >= t);
        if !self.page && (silent || late) {
            self.page = true;
            actions.push(Action::ShowPage);
        } else if page_changes {
            actions.push(Action::ShowPage);
        }
        if self.page && self.limits.power_off.is_some_and(|t| now >= t) {
            actions.push(Action::PowerOff);
        }
    }

    /// Whether a worker may still come with an answer.
    fn is_working(&self, now: Duration) -> bool {
        self.candidates.values().any(|c| match c.verdict {
            Verdict::Probing(since) | Verdict::Examining(since) => now < since + UNANSWERED,
            _ => false,
        })
    }

    /// Whether people see something new: another device, or another verdict on one.
    fn changes_page(&self, event: &Event) -> bool {
        match event {
            Event::Probed(name, probe) => {
                let was_empty = self
                    .candidates
                    .get(name)
                    .is_some_and(|c| matches!(c.verdict, Verdict::Empty(_)));
                !(was_empty && *probe == Probe::NoDisc)
            }
            Event::Gone(name) => self.candidates.contains_key(name),
            Event::Examined(_, outcome) => outcome.is_err(),
            _ => false,
        }
    }
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
