//! tar archives: ustar, pax, and what GNU tar made before there was pax.
//!
//! Contract: POSIX.1-2017, pax ("ustar Interchange Format", "pax Header Block");
//! <https://www.gnu.org/software/tar/manual/html_node/Tar-Internals.html> for GNU's long
//! names, base-256 numbers and sparse files; tar(5) of libarchive for its attributes. What is
//! here tells what an archive says, entry by entry; whether that makes a tree is its caller's
//! to judge.
//!
//! Stricter than the tools where these guess: an archive ends with a block of zeros and has
//! nothing but zeros behind it, and a kind of entry that is not known is no file.

mod entries;
mod header;
mod pax;
mod sparse;

pub use entries::Entries;
pub use header::is_header;

use super::ReadError;
use std::fmt;

/// All is counted in blocks of so many bytes.
pub const BLOCK: u64 = 512;

/// The longest path or link in bytes: sixteen times what one call of Linux takes (`PATH_MAX`).
pub const PATH_LIMIT: usize = 1 << 16;

/// What an archive says about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Offset of its own header in the archive.
    pub at: u64,
    /// Its name, as it stands there.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits, at most 07777.
    pub mode: u16,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Modification time, whole seconds since 1970, rounded down.
    pub mtime: i64,
    /// Extended attributes in the order of the archive; a later one of a name replaces it.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// How many access lists it has (`SCHILY.acl.*`).
    pub acls: usize,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File {
        /// Its length.
        size: u64,
        /// Where its bytes are, in order and without overlap; zeros elsewhere.
        pieces: Vec<Piece>,
    },
    /// Another name of a file.
    HardLink {
        /// The file's name in the archive.
        target: Vec<u8>,
    },
    /// A symbolic link.
    Symlink {
        /// Its target.
        target: Vec<u8>,
    },
    /// A character device, by major and minor number.
    Char(u64, u64),
    /// A block device.
    Block(u64, u64),
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
}

/// Bytes of a file that stand together in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Offset in the file.
    pub offset: u64,
    /// Offset in the archive.
    pub at: u64,
    /// How many.
    pub length: u64,
}

/// What is wrong with an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Offset in the archive of what is wrong.
    pub at: u64,
    /// The entry's name, as far as it is known.
    pub path: Option<Vec<u8>>,
    /// What is wrong.
    pub why: Why,
}

/// In which way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It ends before it should.
    CutShort,
    /// It could not be read.
    Io(i32),
    /// The rest, in words.
    Says(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::CutShort => f.write_str("the archive is cut short here"),
            Why::Io(errno) => write!(f, "{}", ReadError::Io(*errno)),
            Why::Says(text) => f.write_str(text),
        }
    }
}

/// Shorthand of this format.
type Result<T> = std::result::Result<T, Malformed>;

fn says<T>(at: u64, text: impl Into<String>) -> Result<T> {
    Err(Malformed {
        at,
        path: None,
        why: Why::Says(text.into()),
    })
}
