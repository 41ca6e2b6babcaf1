//! Labels and UUIDs out of fixed fields, in the spelling of blkid(8).
//!
//! libblkid cuts a label at its first NUL and takes white space off its end only
//! (`blkid_probe_set_label`); an all-zero UUID counts as none.

use crate::units::Label;

/// A label from a padded field of bytes.
pub fn label(field: &[u8]) -> Option<Label> {
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    let is_space = |b: &u8| b.is_ascii_whitespace() || *b == 0x0b;
    let length = field[..end].iter().rposition(|b| !is_space(b))? + 1;
    Some(Label(field[..length].to_vec()))
}

/// A label from UTF-16, little-endian.
pub fn label_utf16le(field: &[u8]) -> Option<Label> {
    label_utf16(units(field, u16::from_le_bytes))
}

/// A label from UTF-16, big-endian.
pub fn label_utf16be(field: &[u8]) -> Option<Label> {
    label_utf16(units_be(field))
}

/// The code units of a big-endian field.
pub fn units_be(field: &[u8]) -> impl Iterator<Item = u16> + '_ {
    units(field, u16::from_be_bytes)
}

/// A label from UTF-16 code units; lone surrogates become U+FFFD.
pub fn label_utf16(units: impl Iterator<Item = u16>) -> Option<Label> {
    let text: String = char::decode_utf16(units)
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    label(text.as_bytes())
}

fn units(field: &[u8], order: fn([u8; 2]) -> u16) -> impl Iterator<Item = u16> + '_ {
    let pairs = field.chunks_exact(2);
    pairs.map(move |pair| order([pair[0], pair[1]]))
}

/// A UUID in the order of RFC 4122; none when all zero.
pub fn uuid(bytes: [u8; 16]) -> Option<String> {
    (bytes != [0; 16]).then(|| {
        let mut text = String::with_capacity(36);
        for (i, byte) in bytes.into_iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            push_hex(&mut text, byte, b"0123456789abcdef");
        }
        text
    })
}

/// A FAT-like serial number, `XXXX-XXXX`; none when zero.
pub fn serial(number: u32) -> Option<String> {
    (number != 0).then(|| {
        let mut text = String::with_capacity(9);
        for (i, byte) in number.to_be_bytes().into_iter().enumerate() {
            if i == 2 {
                text.push('-');
            }
            push_hex(&mut text, byte, b"0123456789ABCDEF");
        }
        text
    })
}

fn push_hex(text: &mut String, byte: u8, digits: &[u8; 16]) {
    text.push(char::from(digits[usize::from(byte >> 4)]));
    text.push(char::from(digits[usize::from(byte & 15)]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_ends_at_its_padding() {
        assert_eq!(label(b"LIVE  \0junk"), Some(Label::new("LIVE")));
        assert_eq!(label(b" My Disk #1   "), Some(Label::new(" My Disk #1")));
        assert_eq!(label(b"    "), None);
        assert_eq!(label(b""), None);
    }

    #[test]
    fn utf16_becomes_utf8_and_lone_surrogates_are_replaced() {
        assert_eq!(
            label_utf16le(&[0xe9, 0, b'x', 0, 0, 0, b'z', 0]),
            Some(Label::new("éx"))
        );
        assert_eq!(
            label_utf16be(&[0xd8, 0, 0, b'a']),
            Some(Label::new("\u{fffd}a"))
        );
    }

    #[test]
    fn identifiers_are_spelt_as_blkid_does() {
        assert_eq!(serial(0x1234_abcd).as_deref(), Some("1234-ABCD"));
        assert_eq!(uuid([0; 16]), None);
        let text = uuid(*b"0123456789abcdef");
        assert_eq!(
            text.as_deref(),
            Some("30313233-3435-3637-3839-616263646566")
        );
    }
}
