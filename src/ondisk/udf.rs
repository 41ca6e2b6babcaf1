//! UDF: discs, among them Windows' own, which carry ISO 9660 beside it.
//!
//! ECMA-167 2/8 (recognition sequence), 3/10 (descriptors), OSTA UDF 2.60; label and UUID
//! as libblkid's `superblocks/udf.c` makes them.

use super::fields::{byte, has_magic, le16, le32, slice};
use super::{ByteSource, FsFacts, FsKind, Probed, read_up_to, text};
use crate::units::Label;

const RECOGNITION: usize = 32768;
const RECOGNITION_SIZES: [usize; 2] = [2048, 4096];
/// What may stand in the recognition sequence; the NSR ones announce UDF.
const VOLUME_STRUCTURES: [&[u8]; 5] = [b"BEA01", b"BOOT2", b"CD001", b"CDW02", b"TEA01"];
const NSR: [&[u8]; 2] = [b"NSR02", b"NSR03"];

/// Discs first, then sticks.
const BLOCK_SIZES: [u64; 4] = [2048, 512, 4096, 1024];
const ANCHOR_BLOCK: u32 = 256;
/// A descriptor's length, and how many are read at most.
const DESCRIPTOR: usize = 512;
const DESCRIPTORS: u32 = 16;

const TAG_LOCATION: usize = 12;
const TAG_PRIMARY: u16 = 1;
const TAG_ANCHOR: u16 = 2;
const TAG_LOGICAL: u16 = 6;
const TAG_TERMINATING: u16 = 8;

const ANCHOR_LENGTH: usize = 16;
const ANCHOR_LOCATION: usize = 20;
const PRIMARY_VOLUME_SET_ID: usize = 72;
const PRIMARY_CHARSET: usize = 200;
const LOGICAL_CHARSET: usize = 20;
const LOGICAL_VOLUME_ID: usize = 84;
const LOGICAL_DOMAIN: usize = 217;
const DSTRING: usize = 128;

/// Facts of a device, `head` being its first bytes.
pub fn probe(head: &[u8], src: &dyn ByteSource) -> Probed {
    if !RECOGNITION_SIZES
        .iter()
        .any(|size| is_announced(head, *size))
    {
        return Ok(None);
    }
    for block in BLOCK_SIZES {
        let anchor = read_up_to(src, u64::from(ANCHOR_BLOCK) * block, DESCRIPTOR)?;
        if tag(&anchor, ANCHOR_BLOCK) == Some(TAG_ANCHOR) {
            let blocks = u64::from(le32(&anchor, ANCHOR_LENGTH)) / block;
            let count = u32::try_from(blocks).map_or(DESCRIPTORS, |n| n.min(DESCRIPTORS));
            return read_sequence(src, block, le32(&anchor, ANCHOR_LOCATION), count);
        }
    }
    Ok(None)
}

fn is_announced(head: &[u8], size: usize) -> bool {
    let structures = head.get(RECOGNITION..).unwrap_or(&[]).chunks_exact(size);
    let stands = |s: &[u8], ids: &[&[u8]]| ids.iter().any(|id| has_magic(s, 1, id));
    let mut rest = structures.skip_while(|s| stands(s, &VOLUME_STRUCTURES));
    rest.next().is_some_and(|s| stands(s, &NSR))
}

/// The kind of a descriptor whose tag sums up and names its own place.
fn tag(descriptor: &[u8], location: u32) -> Option<u16> {
    let tag = slice(descriptor, 0, 16);
    let sum = tag.iter().fold(0u8, |sum, b| sum.wrapping_add(*b));
    let checksum = byte(tag, 4);
    let sound = sum.wrapping_sub(checksum) == checksum && le32(tag, TAG_LOCATION) == location;
    sound.then(|| le16(tag, 0))
}

fn read_sequence(src: &dyn ByteSource, block: u64, start: u32, count: u32) -> Probed {
    let (mut label, mut uuid, mut is_udf) = (None, None, false);
    for location in start..start.saturating_add(count) {
        let descriptor = read_up_to(src, u64::from(location) * block, DESCRIPTOR)?;
        match tag(&descriptor, location) {
            None | Some(TAG_TERMINATING) => break,
            Some(TAG_PRIMARY) if uuid.is_none() => {
                uuid = dstring(&descriptor, PRIMARY_CHARSET, PRIMARY_VOLUME_SET_ID)
                    .and_then(|id| uuid_of(&id));
            }
            Some(TAG_LOGICAL) if !is_udf => {
                is_udf = has_magic(&descriptor, LOGICAL_DOMAIN, b"*OSTA UDF Compliant");
                label = dstring(&descriptor, LOGICAL_CHARSET, LOGICAL_VOLUME_ID);
            }
            Some(_) => {}
        }
        if is_udf && uuid.is_some() {
            break;
        }
    }
    Ok(is_udf.then_some(FsFacts {
        kind: FsKind::Udf,
        label,
        uuid,
        size: None,
    }))
}

/// A field of compressed Unicode: how it is packed, the text, its length.
fn dstring(descriptor: &[u8], charset: usize, at: usize) -> Option<Label> {
    if !has_magic(descriptor, charset, b"\0OSTA Compressed Unicode") {
        return None;
    }
    let field = slice(descriptor, at, DSTRING);
    let length = usize::from(byte(field, DSTRING - 1))
        .saturating_sub(1)
        .min(DSTRING - 2);
    let text = slice(field, 1, length);
    match byte(field, 0) {
        8 => text::label_utf16(text.iter().map(|b| u16::from(*b))),
        16 => text::label_utf16be(text),
        _ => None,
    }
}

/// Sixteen digits from the volume set's name: as they stand where they are hexadecimal,
/// else spelt out, the first eight characters or the next four.
fn uuid_of(volume_set: &Label) -> Option<String> {
    let mut name = [0u8; 16];
    let given = volume_set.0.get(..16).unwrap_or(&volume_set.0);
    name.get_mut(..given.len())?.copy_from_slice(given);
    if given.len() < 8 {
        return None;
    }
    let spelt = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let kept = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let (time, rest) = name.split_at(8);
    Some(match name.iter().position(|b| !b.is_ascii_hexdigit()) {
        None => kept(&name),
        Some(8..) => kept(time) + &spelt(&rest[..4]),
        Some(_) => spelt(time),
    })
}
