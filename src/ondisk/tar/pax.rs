//! Extended headers: records of a key and a value, `LENGTH KEY=VALUE\n`, where the length
//! counts itself and the newline.

use super::sparse::{self, Extent};
use super::{Result, says};

/// What extended headers said so far. A key that stands twice counts as it stood last, and
/// an empty value takes it back.
#[derive(Clone, Debug, Default)]
pub struct Extended {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    pub mtime: Option<i64>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub acls: usize,
    pub sparse: Sparse,
    /// The name in the libarchive attribute right in front, as it is encoded there.
    libarchive: Option<Vec<u8>>,
}

/// What GNU tar says about a sparse file, in any of its three pax forms.
#[derive(Clone, Debug, Default)]
pub struct Sparse {
    /// The true name: the entry's own is a stand-in.
    pub name: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub extents: Vec<Extent>,
    /// Form 1.0: the map stands in front of the data.
    pub map_in_data: bool,
    /// Form 0.0: an offset that waits for its length.
    offset: Option<u64>,
    is_some: bool,
}

impl Sparse {
    /// Whether the file is one.
    pub fn is_some(&self) -> bool {
        self.is_some
    }
}

impl Extended {
    /// Takes in a header's records, which stand at `at`.
    pub fn read(&mut self, text: &[u8], at: u64) -> Result<()> {
        let mut rest = text;
        // Some programs fill up with zeros, which the size should not have counted.
        while rest.iter().any(|byte| *byte != 0) {
            let at = at + (text.len() - rest.len()) as u64;
            let Some((key, value, length)) = record(rest) else {
                return says(at, "a record of an extended header lies about its length");
            };
            self.take(key, value, at)?;
            rest = &rest[length..];
        }
        if self.sparse.offset.is_some() {
            return says(at, "a sparse file's offset has no length");
        }
        Ok(())
    }

    fn take(&mut self, key: &[u8], value: &[u8], at: u64) -> Result<()> {
        let set = || (!value.is_empty()).then(|| value.to_vec());
        let in_front = self.libarchive.take();
        match key {
            b"path" => self.path = set(),
            b"linkpath" => self.link = set(),
            b"size" => self.size = optional(key, value, at)?,
            b"uid" => self.uid = optional(key, value, at)?,
            b"gid" => self.gid = optional(key, value, at)?,
            b"mtime" if value.is_empty() => self.mtime = None,
            b"mtime" => match seconds(value) {
                Some(time) => self.mtime = Some(time),
                None => return says(at, "mtime is no time"),
            },
            // What GNU tar's --selinux writes: the label as text, without the kernel's NUL.
            b"RHT.security.selinux" => {
                let value = [value, b"\0"].concat();
                self.xattr(b"security.selinux".to_vec(), value);
            }
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    // libarchive says each attribute in both ways, with its own escapes in both.
                    if in_front.as_deref() != Some(name) {
                        self.xattr(gnu_keyword(name), value.to_vec());
                    }
                } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                    match (percent(name), base64(value)) {
                        (Some(decoded), Some(value)) => {
                            self.libarchive = Some(name.to_vec());
                            self.xattr(decoded, value);
                        }
                        _ => return says(at, "an attribute is not encoded as libarchive does"),
                    }
                } else if key.starts_with(b"SCHILY.acl.") {
                    self.acls += 1;
                } else if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.take(key, value, at)?;
                }
            }
        }
        Ok(())
    }

    fn xattr(&mut self, name: Vec<u8>, value: Vec<u8>) {
        self.xattrs.push((name, value));
    }
}

impl Sparse {
    fn take(&mut self, key: &[u8], value: &[u8], at: u64) -> Result<()> {
        self.is_some = true;
        match key {
            b"name" => self.name = Some(value.to_vec()),
            b"size" | b"realsize" => self.size = Some(number(key, value, at)?),
            b"major" => match number(key, value, at)? {
                0 => {}
                1 => self.map_in_data = true,
                n => return says(at, format!("form {n} of sparse files is not known")),
            },
            b"minor" => match number(key, value, at)? {
                0 | 1 => {}
                n => return says(at, format!("form .{n} of sparse files is not known")),
            },
            b"numblocks" => self.extents.clear(),
            b"offset" => match self.offset.replace(number(key, value, at)?) {
                None => {}
                Some(_) => return says(at, "a sparse file's offset has no length"),
            },
            b"numbytes" => match (self.offset.take(), number(key, value, at)?) {
                (Some(offset), length) => self.extents.push(Extent { offset, length }),
                (None, _) => return says(at, "a sparse file's length has no offset"),
            },
            b"map" => {
                self.extents.clear();
                let mut numbers = value.split(|byte| *byte == b',');
                while let Some(offset) = numbers.next().filter(|text| !text.is_empty()) {
                    let Some(length) = numbers.next() else {
                        return says(at, "a sparse file's offset has no length");
                    };
                    self.extents.push(Extent {
                        offset: number(key, offset, at)?,
                        length: number(key, length, at)?,
                    });
                }
            }
            _ => {}
        }
        match self.extents.len() > sparse::EXTENTS_LIMIT {
            true => says(at, "a sparse file has too many parts"),
            false => Ok(()),
        }
    }
}

/// Key, value and whole length of the record in front.
fn record(text: &[u8]) -> Option<(&[u8], &[u8], usize)> {
    let space = text.iter().take(21).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&text[..space])?).ok()?;
    let body = text.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    (equals > 0).then_some((&body[..equals], &body[equals + 1..], length))
}

fn optional(key: &[u8], value: &[u8], at: u64) -> Result<Option<u64>> {
    match value.is_empty() {
        true => Ok(None),
        false => number(key, value, at).map(Some),
    }
}

fn number(key: &[u8], value: &[u8], at: u64) -> Result<u64> {
    match decimal(value) {
        Some(number) => Ok(number),
        None => says(
            at,
            format!("{} is no number in range", String::from_utf8_lossy(key)),
        ),
    }
}

/// A number of digits alone.
pub fn decimal(text: &[u8]) -> Option<u64> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    is_number.then(|| std::str::from_utf8(text).ok()?.parse().ok())?
}

/// Whole seconds of a decimal fraction, rounded down: what stat(2) gives for the same time.
fn seconds(text: &[u8]) -> Option<i64> {
    let (is_negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let dot = text.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = text.split_at(dot.unwrap_or(text.len()));
    let fraction = fraction.get(1..).unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let whole = i64::try_from(decimal(whole)?).ok()?;
    match is_negative {
        false => Some(whole),
        true => Some(-whole - i64::from(fraction.iter().any(|digit| *digit != b'0'))),
    }
}

/// GNU tar writes `%25` for `%` and `%3D` for `=` in an attribute's name, and no other escapes
/// (`xattr_encode_keyword` of its xheader.c).
fn gnu_keyword(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        let (byte, behind) = match (rest.strip_prefix(b"%25"), rest.strip_prefix(b"%3D")) {
            (Some(behind), _) => (b'%', behind),
            (_, Some(behind)) => (b'=', behind),
            _ => (*first, behind),
        };
        out.push(byte);
        rest = behind;
    }
    out
}

/// `%41` for `A`.
fn percent(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || (*rest.next()? as char).to_digit(16);
                (digit()? * 16 + digit()?) as u8
            }
            other => *other,
        };
        out.push(byte);
    }
    Some(out)
}

/// RFC 4648, 4; libarchive leaves the padding out.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let end = text.iter().rposition(|byte| *byte != b'=');
    let digits = &text[..end.map_or(0, |end| end + 1)];
    let mut out = Vec::new();
    for group in digits.chunks(4) {
        let mut value = 0_u32;
        for byte in group {
            let digit = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            value = value << 6 | u32::from(digit);
        }
        let bytes = (value << (6 * (4 - group.len()))).to_be_bytes();
        match group.len() {
            1 => return None,
            n => out.extend(&bytes[1..n]),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Extended> {
        let mut extended = Extended::default();
        extended.read(text, 1000).map(|()| extended)
    }

    #[test]
    fn records_are_read_by_their_lengths_whatever_is_in_them() {
        let found = read(b"11 path=a\nb\n19 SCHILY.xattr.x=\n\n12 mtime=-1.5\n").unwrap_err();
        assert_eq!(found.at, 1000, "the first record is too short by one");
        let found = read(b"12 path=a\nb\n19 SCHILY.xattr.x=\n\n14 mtime=-1.5\n").unwrap_err();
        assert_eq!(
            found.at, 1031,
            "the second one, so that the third has no length"
        );
        let found = read(b"12 path=a\nb\n19 SCHILY.xattr.x=\n\n12 mtime=-1.5\n").unwrap_err();
        assert_eq!(found.at, 1031, "a record whose length is wrong by one");
        let found = read(b"12 path=a\nb\n20 SCHILY.xattr.x=\n\n14 mtime=-1.5\n").unwrap();
        assert_eq!(found.path.as_deref(), Some(&b"a\nb"[..]));
        assert_eq!(found.xattrs, [(b"x".to_vec(), b"\n".to_vec())]);
        assert_eq!(found.mtime, Some(-2));
    }

    #[test]
    fn records_that_lie_are_refused() {
        for text in [
            &b"99 path=a\n"[..],
            b"5 path=a\n",
            b"path=a\n",
            b"18446744073709551616 path=a\n",
            b"0 path=a\n",
            b"1 ",
            b"10 path=ab",
            b"8 pathab\n",
            b"13 size=-512\n",
            b"-10 path=a\n",
        ] {
            assert!(read(text).is_err(), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn attributes_of_libarchive_and_gnu_tar_are_decoded() {
        let found = read(b"34 LIBARCHIVE.xattr.user.%25x=AAH/\n").unwrap_err();
        assert_eq!(found.at, 1000);
        let found = read(b"35 LIBARCHIVE.xattr.user.%25x=AAH/\n").unwrap();
        assert_eq!(found.xattrs, [(b"user.%x".to_vec(), vec![0, 1, 255])]);
        assert_eq!(base64(b"QUI").unwrap(), b"AB");
        assert_eq!(base64(b"QQ==").unwrap(), b"A");
        assert!(base64(b"QUJDR").is_none());
    }

    #[test]
    fn of_gnu_tars_names_two_escapes_are_decoded_once() {
        assert_eq!(gnu_keyword(b"user.a%3Db%25c"), b"user.a=b%c");
        assert_eq!(gnu_keyword(b"user.%253D"), b"user.%3D");
        assert_eq!(gnu_keyword(b"%3d%41%2%"), b"%3d%41%2%");
    }

    #[test]
    fn times_are_rounded_down() {
        assert_eq!(seconds(b"1700000000.999"), Some(1_700_000_000));
        assert_eq!(seconds(b"-0.5"), Some(-1));
        assert_eq!(seconds(b"-3.000"), Some(-3));
        assert_eq!(seconds(b"1e9"), None);
        assert_eq!(seconds(b"99999999999999999999"), None);
    }
}
