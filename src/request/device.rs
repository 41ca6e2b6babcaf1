//! How words name a device: the tags of libblkid, dracut's `CDLABEL=`, and paths.

use crate::units::Label;
use std::fmt;

/// A device as the words name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceSpec {
    /// `LABEL=`, `CDLABEL=` (a synonym, as in dracut), `/dev/disk/by-label/…`.
    Label(Label),
    /// `UUID=`, in blkid's spelling; compared without regard to case.
    Uuid(String),
    /// `PARTUUID=`.
    PartUuid(String),
    /// `PARTLABEL=`.
    PartLabel(Label),
    /// A node below /dev, without that prefix.
    Node(String),
    /// A path as it stands: a file of the initramfs, or what dracut's step was given. Only the
    /// medium is named so.
    Path(String),
}

/// How the names of files end that `root=` may name; dracut knows the first two.
const FILES: [&str; 5] = [".iso", ".img", ".squashfs", ".sqfs", ".erofs"];

impl DeviceSpec {
    /// Reads one spelling; none when it is of no known form or empty.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        type Make = fn(&[u8]) -> DeviceSpec;
        let tags: [(&[u8], Make); 5] = [
            (b"LABEL=", |v| Self::Label(Label(unescape(v)))),
            (b"CDLABEL=", |v| Self::Label(Label(unescape(v)))),
            (b"UUID=", |v| {
                Self::Uuid(String::from_utf8_lossy(v).into_owned())
            }),
            (b"PARTUUID=", |v| {
                Self::PartUuid(String::from_utf8_lossy(v).into_owned())
            }),
            (b"PARTLABEL=", |v| Self::PartLabel(Label(unescape(v)))),
        ];
        for (tag, make) in tags {
            if let Some(value) = text.strip_prefix(tag) {
                // `LABEL="x"`: the value's own quotes, as fstab and dracut allow them.
                let value = value.strip_prefix(b"\"").unwrap_or(value);
                let value = value.strip_suffix(b"\"").unwrap_or(value);
                return (!value.is_empty()).then(|| make(value));
            }
        }
        let node = text.strip_prefix(b"/dev/")?;
        if node.is_empty() {
            return None;
        }
        let Some(link) = node.strip_prefix(b"disk/by-") else {
            return Some(Self::Node(lossy(node)));
        };
        let at = link.iter().position(|b| *b == b'/')?;
        let (kind, value) = (&link[..at], &link[at + 1..]);
        match kind {
            _ if value.is_empty() => None,
            b"label" => Some(Self::Label(Label(unescape(value)))),
            b"uuid" => Some(Self::Uuid(lossy(value))),
            b"partuuid" => Some(Self::PartUuid(lossy(value))),
            b"partlabel" => Some(Self::PartLabel(Label(unescape(value)))),
            _ => Some(Self::Node(lossy(node))),
        }
    }

    /// Reads the path of an image or an ISO in the initramfs; none when it is no such name. Below
    /// /dev only an ISO is one, as in dracut.
    pub fn parse_file(text: &[u8]) -> Option<Self> {
        let path = std::str::from_utf8(text).ok()?;
        let ends = |end: &&str| {
            let from = path.len().checked_sub(end.len());
            let tail = from.and_then(|from| path.get(from..));
            tail.is_some_and(|tail| tail.eq_ignore_ascii_case(end))
        };
        let known = match path.starts_with("/dev/") {
            true => &FILES[..1],
            false => &FILES[..],
        };
        let is_file = path.starts_with('/') && known.iter().any(ends);
        is_file.then(|| Self::Path(path.to_owned()))
    }

    /// Whether matching it takes the partition table of the parent disk.
    pub fn needs_table(&self) -> bool {
        matches!(self, Self::PartUuid(_) | Self::PartLabel(_))
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(l) => write!(f, "LABEL={l}"),
            Self::Uuid(u) => write!(f, "UUID={u}"),
            Self::PartUuid(u) => write!(f, "PARTUUID={u}"),
            Self::PartLabel(l) => write!(f, "PARTLABEL={l}"),
            Self::Node(n) => write!(f, "/dev/{n}"),
            Self::Path(path) => f.write_str(path),
        }
    }
}

/// Undoes udev's `\xHH`, in which boot entries made for dracut write blanks and slashes.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail
            .strip_prefix(b"x")
            .and_then(|h| h.get(..2))
            .and_then(|h| {
                let text = std::str::from_utf8(h).ok()?;
                u8::from_str_radix(text, 16).ok()
            });
        match hex {
            Some(byte) if *first == b'\\' => {
                out.push(byte);
                rest = &rest[4..];
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn label(text: &str) -> Option<DeviceSpec> {
        Some(DeviceSpec::Label(Label::new(text)))
    }

    #[test]
    fn each_form_is_understood() {
        assert_eq!(DeviceSpec::parse(b"LABEL=A b"), label("A b"));
        assert_eq!(DeviceSpec::parse(b"CDLABEL=A#b"), label("A#b"));
        assert_eq!(DeviceSpec::parse(br"LABEL=A\x20b"), label("A b"));
        assert_eq!(DeviceSpec::parse(b"LABEL=\"A b\""), label("A b"));
        assert_eq!(
            DeviceSpec::parse(br"/dev/disk/by-label/A\x2fb"),
            label("A/b")
        );
        assert_eq!(
            DeviceSpec::parse(b"UUID=2026-01"),
            Some(DeviceSpec::Uuid("2026-01".into()))
        );
        assert_eq!(
            DeviceSpec::parse(b"/dev/disk/by-partuuid/ab-01"),
            Some(DeviceSpec::PartUuid("ab-01".into()))
        );
        assert_eq!(
            DeviceSpec::parse(b"PARTLABEL=x"),
            Some(DeviceSpec::PartLabel(Label::new("x")))
        );
        assert_eq!(
            DeviceSpec::parse(b"/dev/sda1"),
            Some(DeviceSpec::Node("sda1".into()))
        );
    }

    #[test]
    fn a_file_of_the_initramfs_is_known_by_its_end() {
        let file = |text: &[u8]| DeviceSpec::parse_file(text).map(|spec| spec.to_string());
        for path in [
            "/a.ISO",
            "/b/c.img",
            "/x.squashfs",
            "/x.sqfs",
            "/x.erofs",
            "/dev/a.iso",
        ] {
            assert_eq!(file(path.as_bytes()).as_deref(), Some(path));
        }
        for text in [
            "a.img",
            "/dev/sda1",
            "/dev/x.img",
            "/x",
            "iso",
            "/\u{fc}so",
            "",
        ] {
            assert_eq!(file(text.as_bytes()), None, "{text}");
        }
        assert_eq!(file(b"/\xff.img"), None);
    }

    #[test]
    fn what_names_nothing_is_no_device() {
        for text in [
            &b""[..],
            b"LABEL=",
            b"/dev/",
            b"sda1",
            b"NAME=x",
            b"/dev/disk/by-label/",
        ] {
            assert_eq!(DeviceSpec::parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(text in proptest::collection::vec(any::<u8>(), 0..80)) {
            DeviceSpec::parse(&text);
            DeviceSpec::parse(&[b"LABEL=", &text[..]].concat());
        }
    }
}
