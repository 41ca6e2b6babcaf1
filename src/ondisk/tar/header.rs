//! The block in front of each entry.

use super::{BLOCK, Result, says};
use crate::ondisk::fields::{has_magic, slice};

/// A header's fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The type flag.
    pub kind: u8,
    /// Prefix and name.
    pub path: Vec<u8>,
    /// What a link points to.
    pub link: Vec<u8>,
    pub mode: u16,
    pub uid: u64,
    pub gid: u64,
    /// Length of the data behind it.
    pub size: u64,
    pub mtime: i64,
    pub major: u64,
    pub minor: u64,
}

impl Header {
    /// Reads a block that stands at `at`.
    pub fn parse(block: &[u8; BLOCK as usize], at: u64) -> Result<Header> {
        if !is_header(block) {
            return says(
                at,
                "no header of an archive is here (its checksum does not fit)",
            );
        }
        let unsigned = |what: &str, from: usize, length: usize| {
            let value = number(slice(block, from, length));
            match value.and_then(|n| u64::try_from(n).ok()) {
                Some(value) => Ok(value),
                None => says(at + from as u64, format!("its {what} is no number")),
            }
        };
        let Some(mtime) = number(slice(block, 136, 12)) else {
            return says(at + 136, "its time is no number");
        };
        let is_posix = has_magic(block, 257, b"ustar\0");
        let is_gnu = has_magic(block, 257, b"ustar  ");
        let mut path = Vec::new();
        // star(1) keeps times where others have the end of the prefix.
        let length = if has_magic(block, 508, b"tar\0") {
            131
        } else {
            155
        };
        if is_posix && block[345] != 0 {
            path.extend(text(slice(block, 345, length)));
            path.push(b'/');
        }
        path.extend(text(slice(block, 0, 100)));
        let device = |what, from| match is_posix || is_gnu {
            true => unsigned(what, from, 8),
            // Archives older than POSIX have no such fields.
            false => Ok(0),
        };
        let kind = block[156];
        let is_device = matches!(kind, b'3' | b'4');
        Ok(Header {
            kind,
            path,
            link: text(slice(block, 157, 100)).to_vec(),
            mode: (unsigned("mode", 100, 8)? & 0o7777) as u16,
            uid: unsigned("owner", 108, 8)?,
            gid: unsigned("group", 116, 8)?,
            size: unsigned("size", 124, 12)?,
            mtime,
            major: if is_device {
                device("major number", 329)?
            } else {
                0
            },
            minor: if is_device {
                device("minor number", 337)?
            } else {
                0
            },
        })
    }
}

/// Whether a block's checksum fits; old programs added up signed bytes.
pub fn is_header(block: &[u8; BLOCK as usize]) -> bool {
    let Some(said) = number(slice(block, 148, 8)) else {
        return false;
    };
    let mut block = *block;
    block[148..156].fill(b' ');
    let (mut unsigned, mut signed) = (0, 0);
    for byte in block {
        unsigned += i64::from(byte);
        signed += i64::from(byte as i8);
    }
    said == unsigned || said == signed
}

/// Bytes up to the first NUL.
fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0);
    &field[..end.unwrap_or(field.len())]
}

/// A number in octal digits, ended by a blank or NUL; or, where the first bit is set, in base
/// 256 and two's complement behind that bit (GNU tar). An empty field is zero.
pub fn number(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        // The bit below is the sign: fill with it what is in front of the field.
        let mut value: i64 = if first & 0x40 != 0 { -1 } else { 0 };
        for (n, byte) in field.iter().enumerate() {
            // Without its mark, the first byte is six bits and the sign.
            let byte = match (n, first & 0x40 != 0) {
                (0, true) => *byte,
                (0, false) => *byte & 0x3f,
                _ => *byte,
            };
            value = value.checked_mul(256)?.checked_add(i64::from(byte))?;
            // -1 * 256 + 255 is -1 again.
        }
        return Some(value);
    }
    let is_blank = |byte: &u8| *byte == b' ' || *byte == 0;
    let start = field.iter().position(|byte| !is_blank(byte));
    let digits = &field[start.unwrap_or(field.len())..];
    let end = digits.iter().position(is_blank).unwrap_or(digits.len());
    if digits[end..].iter().any(|byte| !is_blank(byte)) {
        return None;
    }
    digits[..end].iter().try_fold(0_i64, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
        value.checked_mul(8)?.checked_add(i64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256_and_may_be_negative() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"77777777"), Some(0o77_777_777));
        assert_eq!(number(&[0; 8]), Some(0));
        assert_eq!(number(b"0000848\0"), None);
        assert_eq!(number(b"12 34\0\0\0"), None);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 1, 2]), Some(258));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        let minus_two_days = (-172_800_i64).to_be_bytes();
        let field = [&[0xff; 4][..], &minus_two_days].concat();
        assert_eq!(number(&field), Some(-172_800));
        let huge = [&[0x80, 1][..], &[0; 10]].concat();
        assert_eq!(number(&huge), None);
        assert_eq!(number(&[0xc0; 12]), None);
    }
}
