//! `rd.live.check`: reads the whole medium before its image is used, and compares it with the
//! checksum that implantisomd5 left there.
//!
//! A thread reads, so that a drive which answers no more holds nobody up. docs/report.md has
//! the verdicts.

use super::ask;
use super::blocks::{Giver, Message, News, Reading, SILENCE};
use super::failure::Failure;
use super::hunt::listen::serve_people;
use super::loader::Loader;
use super::machine::Machine;
use super::page;
use super::probe::FileSource;
use super::progress::ProgressLine;
use super::report::{CheckReport, Report};
use crate::ondisk::isomd5::{Comparison, Damage, Implanted, read_implanted};
use crate::ondisk::{ByteSource, ReadError, probe};
use crate::plan::check_medium::{Escape, decide_checked};
use crate::plan::progress::Progress;
use crate::sys::{block, clock};
use crate::units::Bytes;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The bytes are those that were written; so many.
    Whole(u64),
    /// Somebody pressed Esc.
    Skipped,
    /// There is nothing to compare with.
    NoChecksum,
    /// What is wrong, and where.
    Damaged(String),
}

/// Checks the medium at `node`, if it is a disk.
///
/// # Errors
/// That it is damaged. One without a checksum is not: nobody asked its maker for one, and the
/// word may stand in a menu that serves many media.
pub fn check(
    machine: &Machine,
    loader: &Loader,
    node: &Path,
    report: &mut Report,
) -> Result<(), Failure> {
    let name = node.strip_prefix(&machine.dev).unwrap_or(node);
    let name = name.to_string_lossy().replace('/', "!");
    let facts = block::read_facts(&machine.sys, &name);
    let Some(facts) = facts.filter(|_| !name.starts_with("loop")) else {
        let reason = "it is a file, not a disk".to_owned();
        take(report, node, "not-checked", reason, 0);
        return Ok(());
    };
    let mut nodes = vec![node.to_owned()];
    nodes.extend(facts.parent.map(|disk| block::node(&machine.dev, &disk)));
    serve_people(machine, loader);
    let (node, outcome) = read_through(machine, nodes, SILENCE);
    loader.stop();
    match outcome {
        Outcome::Whole(length) => take(report, &node, "whole", String::new(), length),
        Outcome::Skipped => take(report, &node, "skipped", "Esc was pressed".to_owned(), 0),
        Outcome::NoChecksum => {
            let reason = "no checksum was implanted in it".to_owned();
            take(report, &node, "no-checksum", reason, 0);
        }
        Outcome::Damaged(why) => {
            take(report, &node, "damaged", why.clone(), 0);
            return Err(Failure::MediumDamaged(why));
        }
    }
    Ok(())
}

/// Into report and log; whoever asked for a check hears that there was none.
fn take(report: &mut Report, node: &Path, verdict: &'static str, reason: String, length: u64) {
    let device = node.display().to_string();
    match verdict {
        "whole" => log::info!("{device} is whole, {} were compared", Bytes(length)),
        "damaged" => {}
        _ => report.tell(format!(
            "rd.live.check: {device} was not checked, {reason}."
        )),
    }
    report.check = Some(CheckReport {
        device,
        verdict,
        reason,
        length,
    });
}

/// What is read, and what it is compared with, as the thread finds out.
#[derive(Debug)]
struct Opened {
    node: PathBuf,
    implanted: Option<Implanted>,
}

/// Shared by the thread and whoever waits for it.
type Shared = Mutex<Opened>;

fn lock(opened: &Shared) -> MutexGuard<'_, Opened> {
    opened.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the medium, the first of `nodes`, or the disk that it is a partition of, and compares;
/// returns which was read. No answer in `limit` is damage.
pub fn read_through(machine: &Machine, nodes: Vec<PathBuf>, limit: Duration) -> (PathBuf, Outcome) {
    let node = nodes[0].clone();
    let opened = Arc::new(Mutex::new(Opened {
        node: node.clone(),
        implanted: None,
    }));
    let there = opened.clone();
    let work = move |giver: &Giver| read(&nodes, &there, giver);
    let reading = match Reading::start(limit, Box::new(work)) {
        Ok(reading) => reading,
        Err(why) => return (node, Outcome::Damaged(why)),
    };
    let keys = reading.keys();
    let _listener = ask::hear(machine, move |key| {
        let _ = keys.send(Message::Key(key));
    });
    let mut check = Check {
        node,
        comparing: None,
        began: clock::since_boot(),
        line: ProgressLine::new(machine),
    };
    let outcome = check.run(reading, &opened);
    let said = match &outcome {
        Outcome::Whole(_) => "it is whole.",
        Outcome::Skipped => "skipped.",
        Outcome::NoChecksum => "it has no checksum.",
        Outcome::Damaged(_) => "it is damaged.",
    };
    check.line.over();
    page::show(
        machine,
        &format!(" Checking {}: {said}\n", check.node.display()),
    );
    (check.node, outcome)
}

/// A check that goes on. Times are those since the kernel's start.
struct Check {
    node: PathBuf,
    comparing: Option<(Comparison, u64)>,
    began: Duration,
    line: ProgressLine,
}

impl Check {
    fn run(&mut self, mut reading: Reading, opened: &Shared) -> Outcome {
        let mut escape = Escape::default();
        loop {
            let now = clock::since_boot();
            let esc = escape.counts_in(now);
            if esc.is_some_and(|left| left.is_zero()) {
                return Outcome::Skipped;
            }
            let news = reading.next(esc.map(|left| now + left));
            match news {
                News::Key(key) => escape.take(key, clock::since_boot()),
                News::Ready => {
                    let Some(implanted) = self.take_opened(opened) else {
                        return Outcome::NoChecksum;
                    };
                    let length = implanted.length;
                    self.comparing = Some((Comparison::new(implanted), length));
                }
                News::Block(mut bytes) => match self.compare(&mut bytes) {
                    Some(outcome) => return outcome,
                    None => reading.give_back(bytes),
                },
                News::Broken(trouble) => {
                    self.take_opened(opened);
                    return self.unreadable(&trouble.to_string());
                }
                // All of it was compared before the thread's end.
                News::Nothing | News::End => {}
            }
            self.show(clock::since_boot());
        }
    }

    /// Which node it became.
    fn take_opened(&mut self, opened: &Shared) -> Option<Implanted> {
        let mut opened = lock(opened);
        self.node = opened.node.clone();
        opened.implanted.take()
    }

    /// The outcome, once there is one.
    fn compare(&mut self, bytes: &mut [u8]) -> Option<Outcome> {
        let (comparison, length) = self.comparing.as_mut()?;
        let damage = comparison.feed(bytes).err();
        if damage.is_none() && comparison.at() < *length {
            return None;
        }
        let length = *length;
        let (comparison, _) = self.comparing.take()?;
        let damage = damage.or_else(|| comparison.finish().err());
        Some(match damage {
            None => Outcome::Whole(length),
            Some(Damage { from, to }) => Outcome::Damaged(format!(
                "{} is not what was written to it, somewhere between {} and {} of {}",
                self.node.display(),
                Bytes(from),
                Bytes(to),
                Bytes(length)
            )),
        })
    }

    fn unreadable(&self, why: &str) -> Outcome {
        let at = self.comparing.as_ref().map_or(0, |(c, _)| c.at());
        let node = self.node.display();
        Outcome::Damaged(format!("{node} can't be read behind {}: {why}", Bytes(at)))
    }

    /// Tells how far it is, now and then.
    fn show(&mut self, now: Duration) {
        let what = format!("Checking {} (Esc skips)", self.node.display());
        if let Some((comparison, length)) = &self.comparing {
            self.line.show(&Progress {
                what: &what,
                done: comparison.at(),
                total: *length,
                took: now.saturating_sub(self.began),
            });
        }
    }
}

/// The thread: what is to be read, then its bytes in order.
fn read(nodes: &[PathBuf], opened: &Shared, giver: &Giver) -> Result<(), String> {
    let open = |node: &Path| {
        let device = block::open(node).map_err(|e| e.to_string())?;
        Ok::<FileSource, String>(FileSource::new(device))
    };
    let text = |e: ReadError| e.to_string();
    let mut source = open(&nodes[0])?;
    if let Some(disk) = nodes.get(1) {
        let whole = open(disk)?;
        let on_disk = probe::probe_filesystem(&whole).map_err(text)?;
        let names = (nodes[0].to_string_lossy(), disk.to_string_lossy());
        if decide_checked(&names.0, Some(&names.1), on_disk.map(|f| f.kind)) == names.1 {
            source = whole;
            lock(opened).node.clone_from(disk);
        }
    }
    let implanted = read_implanted(&source).map_err(text)?;
    let length = implanted.as_ref().map_or(0, |i| i.length);
    if source.len() < length {
        let (has, wants) = (Bytes(source.len()), Bytes(length));
        return Err(format!("it ends at {has}, and its image has {wants}"));
    }
    lock(opened).implanted = implanted;
    giver.ready();
    giver.give(length, &mut |at, bytes| {
        source.read_at(at, bytes).map_err(text)?;
        Ok(bytes.len())
    })
}
