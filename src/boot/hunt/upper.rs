//! The search for the device that keeps the changes: it may come later than the medium.

use super::{Hunt, Message};
use crate::boot::ask::{self, Listener};
use crate::boot::failure::Failure;
use crate::boot::{gather, page, saved};
use crate::ondisk::FsFacts;
use crate::plan::medium::Device;
use crate::plan::search::Action;
use crate::plan::upper::{
    Decision, Lack, Patience, QUESTION, Times, decide_among, decide_home, decide_lack,
    decide_upper, describe_others,
};
use crate::request::{DeviceSpec, Host, Place};
use crate::sys::clock;
use crate::units::ImageId;
use std::time::Duration;

/// A device that keeps the changes.
#[derive(Clone, Debug)]
pub struct Keeper {
    /// The device.
    pub device: Device,
    /// Its file system, if one was recognised.
    pub fs: Option<FsFacts>,
    /// Whether it is a partition of our own type.
    pub ours: bool,
    /// Why it.
    pub why: String,
    /// Why it can't be read, if it can't.
    pub unreadable: Option<String>,
}

/// What came of the search.
#[derive(Clone, Debug)]
pub enum Found {
    /// This one.
    Keeper(Box<Keeper>),
    /// None, and nobody asked for one.
    Nothing,
    /// What was asked for is not there or can't be used.
    Missing {
        /// Why, in a sentence.
        why: String,
        /// Whether whoever is at the console has been asked.
        asked: bool,
    },
}

impl Found {
    /// The device, if there is one.
    pub fn device(&self) -> Option<&Device> {
        match self {
            Found::Keeper(keeper) => Some(&keeper.device),
            Found::Nothing | Found::Missing { .. } => None,
        }
    }
}

/// At most so long between two looks at the clock.
const LOOK: Duration = Duration::from_secs(1);

impl Hunt<'_> {
    /// Looks for it among the devices seen, and waits as long as the words and the hardware
    /// give reason to. `medium` is the device that the image was found on.
    pub fn find_upper(&mut self, medium: &str, own: Option<&ImageId>) -> Found {
        let place = &self.request.upper.place;
        let required = self.request.upper.required;
        // Without a word, only images of ours keep their changes.
        if *place == Place::Memory || (*place == Place::Ours && own.is_none() && !required) {
            return Found::Nothing;
        }
        let Some(medium) = self.device(medium) else {
            return Found::Nothing;
        };
        let began = clock::since_boot();
        let mut question: Option<Question> = None;
        let mut page_shown = false;
        loop {
            let now = clock::since_boot();
            let awaited = self.announced.awaited(now);
            let times = Times {
                now,
                began,
                coming_up: awaited.is_some(),
                may_ask: self.request.upper.may_ask && !required,
            };
            let mut decision = decide_upper(place, &medium, &self.search.candidates(), times);
            if let Decision::Compare(names) = &decision {
                let found: Vec<_> = names
                    .iter()
                    .map(|n| (n.clone(), self.used_with(n)))
                    .collect();
                decision = decide_among(&found, own);
            }
            let until = match decision {
                Decision::Take(name, why) => match self.keeper(&name, why) {
                    Some(keeper) => {
                        if page_shown || question.is_some() {
                            page::show(self.machine, &format!("\n Found on {name}. Starting.\n"));
                        }
                        return Found::Keeper(Box::new(keeper));
                    }
                    None => now + LOOK,
                },
                Decision::Wait(until) => awaited.map_or(until, |end| until.min(end)),
                // No plugging in mends what the words say: no question.
                Decision::Refused(why) => return Found::Missing { why, asked: true },
                Decision::Missing | Decision::Compare(_) => {
                    let patience = Patience {
                        required,
                        may_ask: self.request.upper.may_ask,
                        asked: question.as_ref().map(|q| q.since),
                        power_off: self.request.ends_at(),
                    };
                    match decide_lack(place, patience, now) {
                        Lack::Nothing => return Found::Nothing,
                        Lack::GiveUp => return not_found(place, question.is_some()),
                        Lack::PowerOff if self.request.host != Host::Own => {
                            return not_found(place, false);
                        }
                        Lack::PowerOff => self.power_off(now),
                        Lack::Page if page_shown => {}
                        Lack::Page => {
                            self.show_required(place);
                            page_shown = true;
                        }
                        Lack::Ask => {
                            let question = question.get_or_insert_with(|| self.ask(place, now));
                            question.show_left(self, now);
                        }
                    }
                    now + LOOK
                }
            };
            if self.wait(until) && question.is_some() {
                return not_found(place, true);
            }
        }
    }

    /// Waits for one message; whether it was the key that ends a question.
    fn wait(&mut self, until: Duration) -> bool {
        let left = until.saturating_sub(clock::since_boot());
        let left = left.clamp(Duration::from_millis(1), LOOK);
        let Ok(message) = self.receiver.recv_timeout(left) else {
            return false;
        };
        if let Message::Key(key) = message {
            return matches!(key, b'\r' | b'\n');
        }
        // The medium is found: another one that was examined is let go.
        if let Message::Examined(..) = message {
            return false;
        }
        for event in self.receive(message) {
            for action in self.search.step(clock::since_boot(), event) {
                if let Action::Probe(name) = action {
                    self.start_probe(name);
                }
            }
        }
        false
    }

    /// The partition for /home beside the medium or the upper.
    pub fn find_home(&mut self, medium: &str, upper: Option<&Device>) -> Option<Keeper> {
        let medium = self.device(medium)?;
        let began = clock::since_boot();
        loop {
            let times = Times {
                now: clock::since_boot(),
                began,
                coming_up: false,
                may_ask: false,
            };
            match decide_home(&medium, upper, &self.search.candidates(), times) {
                Decision::Take(name, why) => return self.keeper(&name, why),
                // No question is open that a key could answer.
                Decision::Wait(until) => _ = self.wait(until),
                _ => return None,
            }
        }
    }

    /// Partitions of our type that were not taken.
    pub fn others(&self, taken: Option<&str>) -> Vec<(String, String)> {
        describe_others(taken, &self.search.candidates())
    }

    fn device(&self, name: &str) -> Option<Device> {
        let known = self.search.candidate(name).map(|c| c.device.clone());
        if let Some(DeviceSpec::Path(_)) = &self.search.wanted.spec {
            // A file, or a loop device, which no search sees.
            return known.or_else(|| Some(Device::named(name)));
        }
        known.or_else(|| gather::device(self.machine, name))
    }

    fn keeper(&self, name: &str, why: String) -> Option<Keeper> {
        let candidate = self.search.candidate(name)?;
        Some(Keeper {
            device: candidate.device.clone(),
            fs: candidate.facts.fs.clone(),
            ours: candidate.facts.part_type.as_deref() == Some(crate::layout::UPPER_TYPE),
            why,
            unreadable: candidate.facts.unreadable.clone(),
        })
    }

    /// The image that a partition of ours was used with last.
    fn used_with(&self, name: &str) -> Option<ImageId> {
        let fs = self.search.candidate(name)?.facts.fs.as_ref()?.kind;
        saved::peek_image(self.machine, self.loader, name, fs)
    }

    fn ask(&self, place: &Place, now: Duration) -> Question {
        self.loader.load_for_page();
        let what = page::paragraph(&format!(
            "The place for saved changes is not there: {}.",
            describe_lack(place)
        ));
        let text =
            format!("\n {what}\n Plug it in now, or press Enter to start without saved changes.\n");
        let sender = self.sender.clone();
        let listener = ask::listen(self.machine, (&text, b"", QUESTION), move |key| {
            // The hunt may be over.
            let _ = sender.send(Message::Key(key));
        });
        page::show_on_consoles(self.machine, &text);
        Question {
            since: now,
            shown: 0,
            _listener: listener,
        }
    }

    fn show_required(&self, place: &Place) {
        let why = describe_lack(place);
        log::error!("upper-required: {why}");
        self.loader.load_for_page();
        let failure = Failure::UpperRequired(why);
        let notes = self.loader.troubles();
        page::show(
            self.machine,
            &page::render(&failure, self.request, &notes, None),
        );
    }
}

fn not_found(place: &Place, asked: bool) -> Found {
    Found::Missing {
        why: describe_lack(place),
        asked,
    }
}

fn describe_lack(place: &Place) -> String {
    match place {
        Place::Ours => "no partition for saved changes was found".to_owned(),
        place => format!("rd.overlay={place}: no such device was found"),
    }
}

/// The question that is on the screen.
struct Question {
    since: Duration,
    /// Seconds shown last.
    shown: u64,
    _listener: Option<Listener>,
}

impl Question {
    fn show_left(&mut self, hunt: &Hunt<'_>, now: Duration) {
        let left = (self.since + QUESTION).saturating_sub(now);
        let seconds = left.as_secs() + u64::from(left.subsec_millis() > 0);
        if seconds != self.shown {
            self.shown = seconds;
            page::show_on_consoles(
                hunt.machine,
                &ask::countdown("Starting without them", seconds),
            );
        }
    }
}
