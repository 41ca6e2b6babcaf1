//! `rd.live.check`: reads the whole medium before its image is used, and compares it with the
//! checksum that implantisomd5 left there.
//!
//! A thread reads, so that a drive which answers no more holds nobody up. docs/report.md has
//! the verdicts.

use super::ask;
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
use crate::sys::{block, clock, process};
use crate::units::Bytes;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Bytes of one read; a multiple of `isomd5::CHUNK`.
const BLOCK: usize = 1 << 20;

/// For one read. The kernel tries a bad sector of a disc several times, for 30 s each.
const ANSWERS: Duration = Duration::from_secs(180);

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
    let (node, outcome) = read_through(machine, nodes, ANSWERS);
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

/// What the reading thread and the keyboards say; blocks that were summed go back to the thread
/// likewise, for each type of channel is 4 KB of the agent.
enum Message {
    /// The device that is read, and what it is compared with.
    Opened(PathBuf, Option<Implanted>),
    Block(Vec<u8>),
    /// It can't be read: the system's words.
    Failed(PathBuf, String),
    Key(u8),
}

/// Reads the medium, the first of `nodes`, or the disk that it is a partition of, and compares;
/// returns which was read. No answer in `limit` is damage.
pub fn read_through(machine: &Machine, nodes: Vec<PathBuf>, limit: Duration) -> (PathBuf, Outcome) {
    let node = nodes[0].clone();
    let (sender, receiver) = channel();
    let (empty, buffers) = channel();
    // One is read while the other is summed.
    for _ in 0..2 {
        let _ = empty.send(Message::Block(vec![0; BLOCK]));
    }
    let keys = sender.clone();
    let _listener = ask::hear(machine, move |key| {
        let _ = keys.send(Message::Key(key));
    });
    let reading = process::start_thread(Box::new(move || read(&nodes, &buffers, &sender)));
    if let Err(e) = reading {
        return (node, Outcome::Damaged(e.to_string()));
    }
    let mut check = Check {
        limit,
        node,
        comparing: None,
        began: clock::since_boot(),
        line: ProgressLine::new(machine),
    };
    let outcome = check.run(&receiver, &empty);
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
    limit: Duration,
    node: PathBuf,
    comparing: Option<(Comparison, u64)>,
    began: Duration,
    line: ProgressLine,
}

impl Check {
    fn run(&mut self, receiver: &Receiver<Message>, empty: &Sender<Message>) -> Outcome {
        let mut escape = Escape::default();
        let mut answered = clock::since_boot();
        loop {
            let now = clock::since_boot();
            let esc = escape.counts_in(now);
            if esc.is_some_and(|left| left.is_zero()) {
                return Outcome::Skipped;
            }
            let left = (answered + self.limit).saturating_sub(now);
            match receiver.recv_timeout(esc.unwrap_or(left)) {
                Ok(Message::Key(key)) => {
                    escape.take(key, clock::since_boot());
                    continue;
                }
                Ok(Message::Opened(node, None)) => {
                    self.node = node;
                    return Outcome::NoChecksum;
                }
                Ok(Message::Opened(node, Some(implanted))) => {
                    self.node = node;
                    let length = implanted.length;
                    self.comparing = Some((Comparison::new(implanted), length));
                }
                Ok(Message::Block(mut bytes)) => match self.compare(&mut bytes) {
                    Some(outcome) => return outcome,
                    None => drop(empty.send(Message::Block(bytes))),
                },
                Ok(Message::Failed(node, why)) => {
                    self.node = node;
                    return self.unreadable(&why);
                }
                Err(RecvTimeoutError::Timeout) if esc.is_some() => continue,
                Err(_) => {
                    let why = format!("no answer for {} s", self.limit.as_secs());
                    return self.unreadable(&why);
                }
            }
            answered = clock::since_boot();
            self.show(answered);
        }
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

/// The thread: what is to be read, then its bytes in order. It ends when nobody listens.
fn read(nodes: &[PathBuf], buffers: &Receiver<Message>, sender: &Sender<Message>) {
    let mut node = nodes[0].clone();
    if let Err(why) = read_all(nodes, &mut node, buffers, sender) {
        let _ = sender.send(Message::Failed(node, why));
    }
}

fn read_all(
    nodes: &[PathBuf],
    node: &mut PathBuf,
    buffers: &Receiver<Message>,
    sender: &Sender<Message>,
) -> Result<(), String> {
    let open = |node: &Path| {
        let device = block::open(node).map_err(|e| e.to_string())?;
        Ok::<FileSource, String>(FileSource::new(device))
    };
    let text = |e: ReadError| e.to_string();
    let mut source = open(node)?;
    if let Some(disk) = nodes.get(1) {
        let whole = open(disk)?;
        let on_disk = probe::probe_filesystem(&whole).map_err(text)?;
        let names = (node.to_string_lossy(), disk.to_string_lossy());
        if decide_checked(&names.0, Some(&names.1), on_disk.map(|f| f.kind)) == names.1 {
            (source, *node) = (whole, disk.clone());
        }
    }
    let implanted = read_implanted(&source).map_err(text)?;
    let length = implanted.as_ref().map_or(0, |i| i.length);
    if source.len() < length {
        let (has, wants) = (Bytes(source.len()), Bytes(length));
        return Err(format!("it ends at {has}, and its image has {wants}"));
    }
    let _ = sender.send(Message::Opened(node.clone(), implanted));
    let mut at = 0;
    while at < length {
        // Nobody listens any more.
        let Ok(Message::Block(mut bytes)) = buffers.recv() else {
            return Ok(());
        };
        let left = usize::try_from(length - at).unwrap_or(BLOCK);
        bytes.resize(left.min(BLOCK), 0);
        source.read_at(at, &mut bytes).map_err(text)?;
        at += bytes.len() as u64;
        if sender.send(Message::Block(bytes)).is_err() {
            return Ok(());
        }
    }
    Ok(())
}
