//! Packed archives and streams: recognised so that a verdict can name them.
//!
//! gzip: RFC 1952, 2.3.1; xz: its file format, 2.1.1.1; zstd: RFC 8878, 3.1.1; bzip2: its manual;
//! tar: POSIX pax; cpio: cpio(5).

use super::fields::has_magic;

const MAGICS: [(&str, usize, &[u8]); 8] = [
    ("gzip", 0, b"\x1f\x8b"),
    ("xz", 0, b"\xfd7zXZ\0"),
    ("zstd", 0, b"\x28\xb5\x2f\xfd"),
    ("bzip2", 0, b"BZh"),
    ("cpio", 0, b"070701"),
    ("cpio", 0, b"070702"),
    ("cpio", 0, b"070707"),
    ("tar", 257, b"ustar"),
];

/// Bytes of the beginning that tell.
pub const HEAD: usize = 512;

/// What packs a file that begins with these bytes.
pub fn recognise(head: &[u8]) -> Option<&'static str> {
    let mut magics = MAGICS.into_iter();
    let found = magics.find(|(_, at, magic)| has_magic(head, *at, magic));
    found.map(|(name, ..)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_known_by_their_first_bytes() {
        assert_eq!(recognise(b"\x1f\x8b\x08\0"), Some("gzip"));
        assert_eq!(recognise(b"070701000000"), Some("cpio"));
        let mut tar = [0; HEAD];
        tar[257..263].copy_from_slice(b"ustar\0");
        assert_eq!(recognise(&tar), Some("tar"));
        for none in [&b""[..], b"\x1f", b"hsqs", &tar[..260]] {
            assert_eq!(recognise(none), None);
        }
    }
}
