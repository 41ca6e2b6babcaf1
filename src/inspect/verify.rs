//! Whether a medium is whole: every byte compared with what covers it.
//!
//! On a sealed medium of ours that is each part's digest, the payload's hash tree and the
//! seal of the list itself (`layout::MediumManifest`); on others what there is: the image id,
//! the implanted checksum, the sums of the GPT. What nothing covers is said.

use super::facts::{Facts, overlap};
use super::gather;
use super::medium::Medium;
use super::verify_foreign;
use super::verify_sealed;
use crate::layout::Span;
use crate::ondisk::{ByteSource, ReadError};
use std::ops::Range;
use std::path::Path;

/// Version of the JSON that `verify` prints.
pub const SCHEMA: u32 = 1;
/// Bytes that are read at once.
pub(super) const CHUNK: u64 = 1 << 20;
/// Where reading fails, it is tried in pieces of this length.
const PIECE: u64 = 4096;

/// Told of the progress, and asked whether to stop.
pub trait Watch {
    /// A new phase begins.
    fn phase(&self, what: &str);
    /// So many bytes of so many are done.
    fn progress(&self, done: u64, total: u64);
    /// Whether to give up.
    fn cancelled(&self) -> bool;
}

/// What it came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Outcome {
    Intact,
    Damaged,
    /// Some of it could not be read.
    Unreadable,
    /// There is nothing on it that it can be compared with.
    Uncovered,
    /// Somebody asked to stop.
    Interrupted,
}

/// Bytes that are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    /// File or structure.
    pub part: String,
    /// Where the range begins on the medium, bytes.
    pub offset: u64,
    /// Its length, bytes: at least one of them is wrong.
    pub length: u64,
    /// What says so.
    pub by: String,
}

/// All that `liveroot verify` says.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Verified {
    /// Version of this structure, now 1.
    pub schema: u32,
    /// File or device, as it was named.
    pub medium: String,
    /// The answer.
    pub outcome: Outcome,
    /// In the order of their offsets.
    pub damage: Vec<Damage>,
    /// What the device would not give.
    pub unreadable: Vec<Damage>,
    /// What was compared, with what.
    pub compared: Vec<String>,
    /// What nothing covers.
    pub not_covered: Vec<String>,
    /// Changes that are no damage.
    pub notes: Vec<String>,
}

/// Reads a medium and compares it.
///
/// # Errors
/// A message when it can't be opened.
pub fn verify(path: &Path, watch: &dyn Watch) -> Result<Verified, String> {
    let medium = Medium::open(path)?;
    let mut verified = verify_source(&medium, watch);
    verified.medium = path.display().to_string();
    Ok(verified)
}

/// As [`verify`], of any source.
pub fn verify_source(src: &dyn ByteSource, watch: &dyn Watch) -> Verified {
    watch.phase("reading the structures");
    let (facts, spans, trouble) = gather(src);
    let mut work = Work {
        src,
        watch,
        facts: &facts,
        spans: &spans,
        damage: Vec::new(),
        unreadable: Vec::new(),
        compared: Vec::new(),
        not_covered: Vec::new(),
        notes: Vec::new(),
        done: 0,
        total: src.len(),
    };
    match verify_sealed::find(src, &facts) {
        Some(sealed) => verify_sealed::compare(&mut work, &sealed),
        None => verify_foreign::compare(&mut work, &trouble),
    }
    work.finish()
}

/// What both ways share.
pub(super) struct Work<'a> {
    pub(super) src: &'a dyn ByteSource,
    pub(super) watch: &'a dyn Watch,
    pub(super) facts: &'a Facts,
    pub(super) spans: &'a [Span],
    pub(super) damage: Vec<Damage>,
    pub(super) unreadable: Vec<Damage>,
    pub(super) compared: Vec<String>,
    pub(super) not_covered: Vec<String>,
    pub(super) notes: Vec<String>,
    pub(super) done: u64,
    pub(super) total: u64,
}

impl Work<'_> {
    /// Counts bytes as read; false when somebody asked to stop.
    pub(super) fn step(&mut self, bytes: u64) -> bool {
        self.done += bytes;
        self.watch.progress(self.done.min(self.total), self.total);
        !self.watch.cancelled()
    }

    /// Notes a damage; a neighbour of the same part becomes one with it.
    pub(super) fn damaged(&mut self, part: &str, at: Range<u64>, by: &str) {
        add(&mut self.damage, part, at, by);
    }

    /// Notes what could not be read.
    pub(super) fn unreadable(&mut self, part: &str, at: Range<u64>, why: &ReadError) {
        let why = why.to_string();
        let why = why.split(" (os error").next().unwrap_or_default();
        add(&mut self.unreadable, part, at, why);
    }

    /// Reads a range in order; whether all of it could be read. What fails is noted.
    pub(super) fn read(
        &mut self,
        part: &str,
        at: Range<u64>,
        mut take: impl FnMut(&mut [u8]),
    ) -> bool {
        let mut whole = true;
        let mut buf = vec![0; CHUNK.min(at.end.saturating_sub(at.start)) as usize];
        let mut offset = at.start;
        while offset < at.end {
            let length = CHUNK.min(at.end - offset);
            let chunk = &mut buf[..length as usize];
            match self.src.read_at(offset, chunk) {
                Ok(()) => take(chunk),
                Err(_) => {
                    whole = false;
                    self.narrow(part, offset..offset + length);
                    if offset + length > self.src.len() {
                        let rest = (offset + length).max(self.src.len())..at.end;
                        if rest.start < rest.end {
                            self.unreadable(part, rest, &ReadError::PastEnd);
                        }
                        return false;
                    }
                }
            }
            offset += length;
            if !self.step(length) {
                return false;
            }
        }
        whole
    }

    /// Which pieces of a range fail.
    fn narrow(&mut self, part: &str, at: Range<u64>) {
        let mut piece = vec![0; PIECE as usize];
        let mut offset = at.start;
        while offset < at.end {
            let length = PIECE.min(at.end - offset);
            if let Err(why) = self.src.read_at(offset, &mut piece[..length as usize]) {
                self.unreadable(part, offset..offset + length, &why);
            }
            offset += length;
        }
    }

    /// Files and structures that have bytes of a range, the smallest first.
    pub(super) fn names(&self, at: &Range<u64>) -> String {
        let mut inside: Vec<&Span> = self.spans.iter().filter(|s| overlap(&s.at, at)).collect();
        inside.sort_by_key(|span| span.at.end - span.at.start);
        let mut names: Vec<&str> = inside.iter().map(|span| span.name.as_str()).collect();
        names.dedup();
        match names.as_slice() {
            [] => "nothing named".into(),
            few if few.len() <= 4 => few.join(", "),
            many => format!("{} and {} more", many[..4].join(", "), many.len() - 4),
        }
    }

    fn finish(mut self) -> Verified {
        self.damage.sort_by_key(|d| (d.offset, d.length));
        let outcome = if self.watch.cancelled() {
            Outcome::Interrupted
        } else if !self.damage.is_empty() {
            Outcome::Damaged
        } else if !self.unreadable.is_empty() {
            Outcome::Unreadable
        } else if self.compared.is_empty() {
            Outcome::Uncovered
        } else {
            Outcome::Intact
        };
        Verified {
            schema: SCHEMA,
            medium: String::new(),
            outcome,
            damage: self.damage,
            unreadable: self.unreadable,
            compared: self.compared,
            not_covered: self.not_covered,
            notes: self.notes,
        }
    }
}

fn add(list: &mut Vec<Damage>, part: &str, at: Range<u64>, by: &str) {
    if let Some(last) = list.last_mut()
        && last.part == part
        && last.by == by
        && last.offset + last.length == at.start
    {
        last.length += at.end - at.start;
        return;
    }
    list.push(Damage {
        part: part.to_owned(),
        offset: at.start,
        length: at.end.saturating_sub(at.start),
        by: by.to_owned(),
    });
}

impl Verified {
    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let shown = crate::units::shown;
        let line = |what: &str, one: &Damage| {
            format!(
                "{what} {}: bytes {} to {} of the medium ({})\n",
                shown(&one.part),
                one.offset,
                (one.offset + one.length).saturating_sub(1),
                one.by
            )
        };
        for one in &self.damage {
            text += &line("damaged:", one);
        }
        for one in &self.unreadable {
            text += &line("unreadable:", one);
        }
        for one in &self.compared {
            text += &format!("compared: {}\n", shown(one));
        }
        for one in &self.notes {
            text += &format!("note: {}\n", shown(one));
        }
        for one in &self.not_covered {
            text += &format!("not covered: {}\n", shown(one));
        }
        text + match self.outcome {
            Outcome::Uncovered => "nothing on this medium can be compared\n",
            Outcome::Intact => "intact\n",
            Outcome::Damaged => "damaged\n",
            Outcome::Unreadable => "could not be read\n",
            Outcome::Interrupted => "interrupted\n",
        }
    }
}

/// SHA-256, fed in pieces.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    crate::units::ImageId::from_digest(&digest).to_string()
}
