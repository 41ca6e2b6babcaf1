//! Plain value types that every layer may use.

#![forbid(unsafe_code)]

use std::fmt;

/// A count of bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub u64);

impl Bytes {
    /// `n` times 1,024.
    pub const fn kib(n: u64) -> Self {
        Bytes(n << 10)
    }

    /// `n` times 1,048,576.
    pub const fn mib(n: u64) -> Self {
        Bytes(n << 20)
    }
}

impl fmt::Display for Bytes {
    /// As people read it: `812 B`, `9.4 MiB`. In whole numbers: the formatting of floating
    /// point would be 10 KB of the agent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let unit = ((63 - self.0.leading_zeros()) / 10).min(6);
        let tenths = (u128::from(self.0) * 10 + (1 << (unit * 10 - 1))) >> (unit * 10);
        let (whole, tenth) = (tenths / 10, tenths % 10);
        write!(f, "{whole}.{tenth} {}", UNITS[unit as usize - 1])
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}B", self.0)
    }
}

/// A count of 512-byte sectors, the kernel's unit in sysfs and GPT's on sticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sectors(pub u64);

impl Sectors {
    /// The same length in bytes.
    pub const fn bytes(self) -> Bytes {
        Bytes(self.0 * 512)
    }
}

/// A volume label as the medium holds it: bytes, for nobody promises UTF-8.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(pub Vec<u8>);

impl Label {
    /// A label from text.
    pub fn new(text: &str) -> Self {
        Label(text.as_bytes().to_vec())
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// Text of foreign origin (a label, a path, a session's file) as a terminal may show it: each
/// control character is `?`, so that no stick types or paints anything.
pub fn shown(text: &str) -> String {
    let plain = |c: char| if c.is_control() { '?' } else { c };
    text.chars().map(plain).collect()
}

/// The identity of an image: SHA-256 of its payload, as 64 lower-case hex digits.
#[derive(Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageId(String);

impl ImageId {
    /// From 32 digest bytes.
    pub fn from_digest(digest: &[u8; 32]) -> Self {
        ImageId(digest.iter().map(|b| format!("{b:02x}")).collect())
    }

    /// The first eight digits, enough for people.
    pub fn short(&self) -> &str {
        &self.0[..8]
    }
}

impl TryFrom<String> for ImageId {
    type Error = String;

    /// Accepts 64 lower-case hex digits and nothing else.
    fn try_from(text: String) -> Result<Self, String> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 64 && text.bytes().all(hex) {
            Ok(ImageId(text))
        } else {
            Err(format!("not an image id (64 hex digits): {text:?}"))
        }
    }
}

impl From<ImageId> for String {
    fn from(id: ImageId) -> String {
        id.0
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// 32 bytes that text holds as 64 lower-case hex digits: a root hash, a salt.
#[derive(Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hex32(pub [u8; 32]);

impl TryFrom<String> for Hex32 {
    type Error = String;

    /// Accepts 64 lower-case hex digits and nothing else.
    fn try_from(text: String) -> Result<Self, String> {
        let digit = |b: &u8| match b {
            b'0'..=b'9' => Some(b - b'0'),
            b'a'..=b'f' => Some(b - b'a' + 10),
            _ => None,
        };
        let digits: Option<Vec<u8>> = text.as_bytes().iter().map(digit).collect();
        let mut bytes = [0; 32];
        match digits.filter(|digits| digits.len() == 64) {
            Some(digits) => {
                for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
                    *byte = pair[0] << 4 | pair[1];
                }
                Ok(Hex32(bytes))
            }
            None => Err(format!("not 64 hex digits: {text:?}")),
        }
    }
}

impl From<Hex32> for String {
    fn from(hex: Hex32) -> String {
        hex.to_string()
    }
}

impl fmt::Display for Hex32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hex32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A moment: seconds since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

/// A [`Moment`] as a calendar shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Civil {
    pub year: u64,
    /// From 1.
    pub month: u64,
    /// From 1.
    pub day: u64,
    pub hour: u64,
    pub minute: u64,
    pub second: u64,
}

impl Moment {
    /// Its date in UTC. Days are counted in years that begin in March, so that a leap day is
    /// the last one (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    pub fn civil(self) -> Civil {
        let (days, second) = (self.0 / 86_400 + 719_468, self.0 % 86_400);
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, next) = if month < 10 {
            (month + 3, 0)
        } else {
            (month - 9, 1)
        };
        Civil {
            year: year + era * 400 + next,
            month,
            day,
            hour: second / 3600,
            minute: second % 3600 / 60,
            second: second % 60,
        }
    }
}

impl fmt::Display for Moment {
    /// `2026-11-24 10:57 UTC`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil {
            year,
            month,
            day,
            hour,
            minute,
            ..
        } = self.civil();
        write!(f, "{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_date() {
        assert_eq!(Moment(0).to_string(), "1970-01-01 00:00 UTC");
        assert_eq!(Moment(951_827_696).to_string(), "2000-02-29 12:34 UTC");
        assert_eq!(Moment(1_795_517_865).to_string(), "2026-11-24 10:57 UTC");
        assert_eq!(Moment(4_107_542_399).to_string(), "2100-02-28 23:59 UTC");
        assert_eq!(Moment(4_107_542_400).to_string(), "2100-03-01 00:00 UTC");
    }

    #[test]
    fn foreign_text_controls_no_terminal() {
        assert_eq!(shown("a\u{1b}[2J\r\n\u{7f}\u{9b}b\t ü"), "a?[2J????b? ü");
    }

    #[test]
    fn bytes_are_shown_in_the_largest_fitting_unit() {
        assert_eq!(Bytes(812).to_string(), "812 B");
        assert_eq!(Bytes::mib(9).to_string(), "9.0 MiB");
        assert_eq!(Bytes(1536).to_string(), "1.5 KiB");
        assert_eq!(Bytes(170_270_720).to_string(), "162.4 MiB");
        assert_eq!(Bytes(u64::MAX).to_string(), "16.0 EiB");
        assert_eq!(Bytes(1024).to_string(), "1.0 KiB");
    }

    #[test]
    fn an_image_id_is_64_hex_digits() {
        assert!(ImageId::try_from("ab".repeat(32)).is_ok());
        assert!(ImageId::try_from("AB".repeat(32)).is_err());
        assert!(ImageId::try_from("ab".repeat(31)).is_err());
        assert_eq!(ImageId::from_digest(&[0xab; 32]).short(), "abababab");
    }

    #[test]
    fn hex_digits_read_back_and_nothing_else_does() {
        let text = "0123456789abcdef".repeat(4);
        let hex = Hex32::try_from(text.clone()).unwrap();
        assert_eq!((hex.0[0], hex.0[31]), (0x01, 0xef));
        assert_eq!(hex.to_string(), text);
        for wrong in [
            "",
            "0",
            &text[1..],
            &text.to_uppercase(),
            &format!("{text}0"),
        ] {
            assert!(Hex32::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
