//! ISO 9660 with Joliet: optical discs and the sticks they are written to.
//!
//! ECMA-119 8.4 (descriptors of 2,048 bytes from sector 16 on), Joliet 1.0 (UCS-2 label);
//! label and UUID as libblkid's `superblocks/iso9660.c` makes them.

/// The other way: a tree's facts to bytes.
pub mod write;

use super::fields::{be16, be32, byte, has_magic, le16, le32, slice};
use super::{FsFacts, FsKind, text};
use crate::units::{Bytes, Label};

const SECTOR: usize = 2048;
const SYSTEM_AREA: usize = 16 * SECTOR;
/// More descriptors than any disc has.
const DESCRIPTORS: usize = 16;

const STANDARD_ID: usize = 1;
const PRIMARY: u8 = 1;
const SUPPLEMENTARY: u8 = 2;
const TERMINATOR: u8 = 255;

const VOLUME_ID: usize = 40;
const VOLUME_SPACE_SIZE: usize = 80;
const ESCAPE_SEQUENCES: usize = 88;
const LOGICAL_BLOCK_SIZE: usize = 128;
const CREATION_DATE: usize = 813;
const MODIFICATION_DATE: usize = 830;
/// Sixteen digits; behind them the time zone in quarters of an hour.
const DATE_DIGITS: usize = 16;

/// UCS-2, levels 1 to 3.
const JOLIET: [&[u8]; 3] = [b"%/@", b"%/C", b"%/E"];

/// Facts from the first bytes of a device.
pub fn probe(head: &[u8]) -> Option<FsFacts> {
    let descriptors = || {
        let area = head.get(SYSTEM_AREA..).unwrap_or(&[]);
        let sectors = area.chunks_exact(SECTOR).take(DESCRIPTORS);
        sectors.take_while(|d| has_magic(d, STANDARD_ID, b"CD001") && byte(d, 0) != TERMINATOR)
    };
    let is_joliet = |d: &[u8]| JOLIET.iter().any(|e| has_magic(d, ESCAPE_SEQUENCES, e));
    let primary = descriptors().find(|d| byte(d, 0) == PRIMARY)?;
    let joliet = descriptors().find(|d| byte(d, 0) == SUPPLEMENTARY && is_joliet(d));

    // Both byte orders stand there; a file that merely holds the magic fails here.
    let block_size = le16(primary, LOGICAL_BLOCK_SIZE);
    let blocks = le32(primary, VOLUME_SPACE_SIZE);
    let sound = block_size == be16(primary, LOGICAL_BLOCK_SIZE + 2)
        && matches!(block_size, 512 | 1024 | 2048)
        && blocks == be32(primary, VOLUME_SPACE_SIZE + 4);
    sound.then(|| FsFacts {
        kind: FsKind::Iso9660,
        label: label(primary, joliet),
        uuid: uuid(primary, MODIFICATION_DATE).or_else(|| uuid(primary, CREATION_DATE)),
        size: Some(Bytes(u64::from(blocks) * u64::from(block_size))),
    })
}

/// The primary label has 32 characters but few to choose from, Joliet's has any but 16:
/// where they agree, the true label is put together from both.
fn label(primary: &[u8], joliet: Option<&[u8]>) -> Option<Label> {
    let plain = slice(primary, VOLUME_ID, 32);
    let Some(joliet) = joliet else {
        return text::label(plain);
    };
    let wide = slice(joliet, VOLUME_ID, 32);
    merged(plain, wide)
        .or_else(|| text::label_utf16be(wide))
        .or_else(|| text::label(plain))
}

fn merged(plain: &[u8], wide: &[u8]) -> Option<Label> {
    let mut plain = plain.iter().copied();
    let mut whole = String::new();
    for wide in char::decode_utf16(text::units_be(wide)) {
        let (wide, plain) = (wide.ok()?, char::from(plain.next()?));
        whole.push(match (plain, wide) {
            // Stands for what can't be written.
            ('_', wide) => wide,
            (plain, '_') => plain,
            (plain, wide) if !plain.eq_ignore_ascii_case(&wide) => return None,
            (plain, wide) if plain.is_ascii_uppercase() => wide,
            (plain, _) => plain,
        });
    }
    whole.extend(plain.map(char::from));
    text::label(whole.as_bytes())
}

/// `YYYY-MM-DD-HH-MM-SS-cc` of a date that is set: not all digits are `0`.
fn uuid(primary: &[u8], at: usize) -> Option<String> {
    let digits = slice(primary, at, DATE_DIGITS);
    let unset = digits.iter().all(|d| *d == b'0') && byte(primary, at + DATE_DIGITS) == 0;
    if unset || digits.len() < DATE_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut text = String::with_capacity(22);
    for (i, digit) in digits.iter().enumerate() {
        if i >= 4 && i % 2 == 0 {
            text.push('-');
        }
        text.push(char::from(*digit));
    }
    Some(text)
}
