//! The mount table: `/proc/PID/mountinfo`, proc(5).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Device number of the file system, `MAJOR:MINOR`.
    pub number: String,
    /// The directory of the file system that is seen here; `/` for all of it.
    pub root: PathBuf,
    /// Where it is mounted.
    pub at: PathBuf,
    /// Type of the file system.
    pub fs: String,
    /// Its device, or whatever name it was given.
    pub source: String,
    /// Whether the file system itself (not just this mount) refuses writes.
    pub read_only: bool,
}

/// Reads the table; lines that break the format are passed over.
pub fn parse_mounts(table: &[u8]) -> Vec<Mount> {
    table.split(|b| *b == b'\n').filter_map(parse).collect()
}

fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|b| *b == b' ');
    let number = text(fields.nth(2)?);
    let root = path(fields.next()?);
    let at = path(fields.next()?);
    // Optional fields end with a dash of its own.
    fields.find(|f| *f == b"-")?;
    let fs = text(fields.next()?);
    let source = path(fields.next()?).to_string_lossy().into_owned();
    let options = fields.next()?;
    Some(Mount {
        number,
        root,
        at,
        fs,
        source,
        read_only: options.split(|b| *b == b',').any(|o| o == b"ro"),
    })
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field).into_owned()
}

/// Blank, tab, newline and backslash are written as `\` and three octal digits.
fn path(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        rest = tail;
        bytes.push(match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', more @ ..]) => {
                rest = more;
                (a - b'0') << 6 | (b - b'0') << 3 | (c - b'0')
            }
            _ => *first,
        });
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_with_its_escapes_and_optional_fields() {
        let table = b"23 1 0:21 / /proc rw,nosuid shared:5 master:1 - proc proc rw\n\
            40 1 8:3 /liveroot /run/initramfs/over\\040lay rw - ext4 /dev/sda3 ro,errors=continue\n\
            41 1 0:44 / / ro - overlay LiveOS_rootfs rw,lowerdir=/ro,upperdir=/u\n\
            broken line\n\n";
        let mounts = parse_mounts(table);
        assert_eq!(mounts.len(), 3);
        assert_eq!(mounts[0].fs, "proc");
        let upper = &mounts[1];
        assert_eq!(upper.number, "8:3");
        assert_eq!(upper.root, PathBuf::from("/liveroot"));
        assert_eq!(upper.at, PathBuf::from("/run/initramfs/over lay"));
        assert_eq!(upper.source, "/dev/sda3");
        assert!(upper.read_only);
        // Of the mount alone, which says nothing of the file system.
        assert!(!mounts[2].read_only);
    }
}
