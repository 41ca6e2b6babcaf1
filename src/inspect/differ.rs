//! `liveroot build --check-against`: two media, and what differs between them.
//!
//! Two media that are equal are read once, side by side. Otherwise structures of the same name
//! are compared wherever they lie, so that a longer payload does not make all behind it differ;
//! and what follows from something else (an address, a checksum, an id made from the content)
//! is named last, since it tells no cause.

use super::differ_fields::{Field, fields};
use super::differ_payload as payload;
use crate::layout::Span;
use crate::ondisk::{ByteSource, ReadError, read_up_to, regions::regions};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// What is compared at once, bytes.
const CHUNK: usize = 1 << 20;
/// Structures that are decoded are not longer than that, bytes.
const DECODED: u64 = 4 << 20;
/// Structures beside the first that are named.
const NAMED: usize = 12;

/// What differs first.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// The structure, as `inspect` and `verify` call it: `directory /boot`, `GPT header`.
    pub structure: String,
    /// What in it: `boot.cat: recorded`; none where there are no fields, or only its place.
    pub field: Option<String>,
    /// Where it is in ours, bytes from the start; none if it has none.
    pub at: Option<u64>,
    /// Where it is in the other.
    pub other_at: Option<u64>,
    /// Its value in ours.
    pub ours: String,
    /// Its value in the other.
    pub other: String,
    /// Other structures that differ, those that follow from others behind.
    pub also: Vec<String>,
    #[serde(skip)]
    rank: u8,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.structure)?;
        if let Some(field) = &self.field {
            write!(f, ", {field}")?;
        }
        write!(f, ": here {}, there {}", self.ours, self.other)?;
        let place = |at: Option<u64>| at.map_or("missing".into(), |at| format!("byte {at}"));
        write!(f, " ({}, {})", place(self.at), place(self.other_at))?;
        if !self.also.is_empty() {
            write!(f, "\n  also: {}", self.also.join(", "))?;
        }
        Ok(())
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Ours cannot be read.
    Ours(ReadError),
    /// The other cannot be read.
    Other(ReadError),
    /// It was to be given up.
    Interrupted,
}

/// Told how many bytes of how many were compared; false gives up.
pub type GoOn<'a> = &'a mut dyn FnMut(u64, u64) -> bool;

/// The first structure that differs; none when all bytes are equal.
///
/// # Errors
/// When a medium cannot be read.
pub fn differ(
    ours: &dyn ByteSource,
    other: &dyn ByteSource,
    go_on: GoOn<'_>,
) -> Result<Option<Difference>, Trouble> {
    let whole = (0..ours.len(), 0..other.len());
    let Some(first) = first_byte(ours, &whole.0, other, &whole.1, go_on)? else {
        return Ok(None);
    };
    let mut found = Vec::new();
    let here = named(&regions(ours).map_err(Trouble::Ours)?);
    let mut there = named(&regions(other).map_err(Trouble::Other)?);
    for (name, at) in here {
        match there.remove(&name) {
            None => found.push(lacking(&name.0, Some(at.start), None)),
            Some(other_at) => {
                let pair = (at, other_at);
                found.extend(structure(ours, other, &name.0, &pair, go_on)?);
            }
        }
    }
    found.extend(
        there
            .into_iter()
            .map(|(name, at)| lacking(&name.0, None, Some(at.start))),
    );
    // Files hold what lies in them: of two the shorter one says more.
    found.sort_by_key(|one| {
        (
            one.rank,
            one.at.or(one.other_at),
            std::cmp::Reverse(one.structure.len()),
        )
    });
    let mut all = found.into_iter();
    let mut difference = all.next().unwrap_or_else(|| unnamed(ours, other, first));
    for one in all {
        let is_new =
            one.structure != difference.structure && !difference.also.contains(&one.structure);
        if is_new && difference.also.len() < NAMED {
            difference.also.push(one.structure);
        }
    }
    Ok(Some(difference))
}

/// Spans by their names, the n-th of a name apart from the first.
fn named(spans: &[Span]) -> BTreeMap<(String, usize), Range<u64>> {
    let mut named = BTreeMap::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for span in spans {
        let count = counts.entry(&span.name).or_default();
        named.insert((span.name.clone(), *count), span.at.clone());
        *count += 1;
    }
    named
}

/// How much a structure says about the cause: the least first.
fn rank(name: &str) -> u8 {
    let is = |words: &[&str]| words.iter().any(|word| name.contains(word));
    match name {
        // All of it is named by its parts, where they have names.
        "ESP" => u8::MAX / 2,
        _ if is(&["squashfs.img"]) => 0,
        _ if is(&[": ."]) => 1,
        _ if name.starts_with('/') => 2,
        _ if name.starts_with("ESP: /") => 3,
        _ if is(&["directory", "boot sector"]) => 4,
        _ if is(&["El Torito", "descriptor"]) => 5,
        _ if is(&["GPT", "MBR"]) => 6,
        _ => 7,
    }
}

/// What follows from something else comes behind all that does not.
const DERIVED: u8 = 16;

fn lacking(name: &str, at: Option<u64>, other_at: Option<u64>) -> Difference {
    let says = |at: Option<u64>| if at.is_some() { "present" } else { "absent" };
    Difference {
        structure: name.to_owned(),
        field: None,
        at,
        other_at,
        ours: says(at).into(),
        other: says(other_at).into(),
        also: Vec::new(),
        rank: rank(name),
    }
}

fn unnamed(ours: &dyn ByteSource, other: &dyn ByteSource, at: u64) -> Difference {
    let (here, there) = (ours.len(), other.len());
    let is_length = at >= here.min(there);
    let value = |source: &dyn ByteSource, length: u64| match is_length {
        true => format!("{length} bytes"),
        false => byte(source, at),
    };
    Difference {
        structure: if is_length {
            "the length"
        } else {
            "bytes that are nobody's"
        }
        .into(),
        field: None,
        at: Some(at),
        other_at: Some(at),
        ours: value(ours, here),
        other: value(other, there),
        also: Vec::new(),
        rank: u8::MAX,
    }
}

fn byte(source: &dyn ByteSource, at: u64) -> String {
    let mut byte = [0];
    match source.read_at(at, &mut byte) {
        Ok(()) => format!("0x{:02x}", byte[0]),
        Err(_) => "the end".into(),
    }
}

/// Compares a structure that both have.
fn structure(
    ours: &dyn ByteSource,
    other: &dyn ByteSource,
    name: &str,
    (at, other_at): &(Range<u64>, Range<u64>),
    go_on: GoOn<'_>,
) -> Result<Option<Difference>, Trouble> {
    let Some(first) = first_byte(ours, at, other, other_at, go_on)? else {
        return Ok(None);
    };
    let mut difference = Difference {
        structure: name.to_owned(),
        field: None,
        at: Some(at.start + first),
        other_at: Some(other_at.start + first),
        ours: byte(ours, at.start + first),
        other: byte(other, other_at.start + first),
        also: Vec::new(),
        rank: rank(name),
    };
    let (here, there) = (at.end - at.start, other_at.end - other_at.start);
    if first >= here.min(there) {
        difference.field = Some("length".into());
        (difference.ours, difference.other) = (format!("{here} bytes"), format!("{there} bytes"));
    }
    let read = |source: &dyn ByteSource, at: &Range<u64>| {
        read_up_to(source, at.start, (at.end - at.start).min(DECODED) as usize)
    };
    let here = fields(name, &read(ours, at).map_err(Trouble::Ours)?);
    let there = fields(name, &read(other, other_at).map_err(Trouble::Other)?);
    if let Some((field, ours, other)) = first_field(&here, &there) {
        difference.field = Some(field.name.clone());
        difference.at = ours.map(|_| at.start + field.at as u64);
        difference.other_at = other.map(|other| other_at.start + other.at as u64);
        let value =
            |field: Option<&Field>| field.map_or("absent".into(), |field| field.value.clone());
        (difference.ours, difference.other) = (value(ours), value(other));
        difference.rank += if field.derived { DERIVED } else { 0 };
    }
    if name.ends_with("squashfs.img") {
        let found = payload::differ((ours, at.start), (other, other_at.start), go_on);
        name_files(&mut difference, found.ok_or(Trouble::Interrupted)?);
    }
    Ok(Some(difference))
}

/// Puts files of a payload in front of its superblock's fields, which follow from them.
fn name_files(difference: &mut Difference, files: Vec<payload::Differs>) {
    let mut files = files.into_iter();
    let Some(first) = files.next() else { return };
    difference.field = Some(first.name());
    difference.rank = rank(&difference.structure);
    difference.also = files.take(NAMED / 2).map(|one| one.name()).collect();
    (difference.ours, difference.other) = (first.ours, first.other);
}

/// The first field that differs, and its forms here and there. Those that follow from others
/// come behind.
fn first_field<'a>(
    here: &'a [Field],
    there: &'a [Field],
) -> Option<(&'a Field, Option<&'a Field>, Option<&'a Field>)> {
    let by_name = |fields: &'a [Field]| -> BTreeMap<&'a str, &'a Field> {
        fields
            .iter()
            .map(|field| (field.name.as_str(), field))
            .collect()
    };
    let (ours, theirs) = (by_name(here), by_name(there));
    let all = here.iter().chain(there);
    let pairs = all.map(|field| {
        let name = field.name.as_str();
        (field, ours.get(name).copied(), theirs.get(name).copied())
    });
    let differing = pairs.filter(|(_, ours, other)| {
        ours.map(|field| &field.value) != other.map(|field| &field.value)
    });
    differing.min_by_key(|(field, ..)| field.derived)
}

/// The first byte that differs, or the end of the shorter one.
fn first_byte(
    ours: &dyn ByteSource,
    at: &Range<u64>,
    other: &dyn ByteSource,
    other_at: &Range<u64>,
    go_on: GoOn<'_>,
) -> Result<Option<u64>, Trouble> {
    let (here, there) = (
        at.end.min(ours.len()).saturating_sub(at.start),
        other_at.end.min(other.len()).saturating_sub(other_at.start),
    );
    let both = here.min(there);
    let mut buffers = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut done = 0;
    while done < both {
        if !go_on(done, both) {
            return Err(Trouble::Interrupted);
        }
        let length = (both - done).min(CHUNK as u64) as usize;
        let (a, b) = (&mut buffers.0[..length], &mut buffers.1[..length]);
        ours.read_at(at.start + done, a).map_err(Trouble::Ours)?;
        other
            .read_at(other_at.start + done, b)
            .map_err(Trouble::Other)?;
        if a != b {
            let within = a.iter().zip(b.iter()).position(|(a, b)| a != b);
            return Ok(Some(done + within.unwrap_or(0) as u64));
        }
        done += length as u64;
    }
    Ok((here != there).then_some(both))
}
