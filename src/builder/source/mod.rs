//! What goes into an image: inodes, the names that lead to them, and their contents.
//!
//! A directory and a tar of it give the same [`Listing`], so that the same bytes follow.
//! Names stand in one order whatever the input's own was: a directory before what is in it,
//! and siblings by the bytes of their names ([`compare`]).

mod assemble;
pub mod dir;
pub mod filter;
mod lookup;
mod steady;
pub mod tar;
mod walk;
mod xattr;

use super::{Error, Result};
use std::cmp::Ordering;
use std::io::Read;
use std::ops::Deref;

/// The longest name, in bytes (`include/uapi/linux/limits.h`).
pub const NAME_MAX: usize = 255;

/// Whose the files become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// Whose they are in the input.
    Kept,
    /// All root's, with root's group.
    Root,
}

/// What an inode is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file of so many bytes.
    File {
        /// Its length.
        size: u64,
    },
    /// A symbolic link, and what it points to, byte for byte.
    Symlink {
        /// Its target.
        target: Vec<u8>,
    },
    /// A character device.
    Char(Device),
    /// A block device.
    Block(Device),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// A device's numbers (`makedev(3)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Which driver; at most 4,095 (12 bits, `include/linux/kdev_t.h`).
    pub major: u32,
    /// Which of its devices; at most 1,048,575 (20 bits).
    pub minor: u32,
}

/// One extended attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    /// Its name with the prefix: `security.capability`.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// All of a file but its names and contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inode {
    /// What it is.
    pub kind: Kind,
    /// Permission bits with set-id and sticky bits, at most 07777.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time, seconds since 1970, as the input says: whoever writes clamps it.
    pub mtime: i64,
    /// Extended attributes, sorted by name, each name once.
    pub xattrs: Vec<Xattr>,
}

/// One name of an inode: more than one lead to the same inode where there are hard links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Path from the root, without a slash before or behind it; empty for the root.
    pub path: Vec<u8>,
    /// Place in [`Listing::inodes`].
    pub inode: usize,
}

/// A whole tree. Each directory above a name is there too, and the root stands first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// All inodes, in the order of their first names.
    pub inodes: Vec<Inode>,
    /// All names, sorted as [`compare`] says, each once.
    pub names: Vec<Name>,
}

/// The contents of a file, from its first byte on.
pub trait Contents: Read + Send {
    /// Goes over a hole without reading it: a multiple of `unit` bytes, or all up to the file's
    /// end. Gives how many bytes were zeros and are behind us; none where nobody knows.
    ///
    /// # Errors
    /// As [`Read::read`].
    fn skip_hole(&mut self, unit: u64) -> std::io::Result<u64> {
        let _ = unit;
        Ok(0)
    }
}

impl Contents for std::io::Empty {}

/// What of a hole may be gone over: `data` is the place of the next byte that may be none.
fn skippable(at: u64, data: u64, size: u64, unit: u64) -> u64 {
    match data.saturating_sub(at) {
        all if data >= size => all,
        some => some - some % unit,
    }
}

/// A tree with its contents.
pub trait Source: Sync {
    /// What is in it.
    fn listing(&self) -> &Listing;

    /// The contents of a regular file, from its first byte on. It gives exactly as many bytes
    /// as the listing says, or an error that names the file: one that changes while it is read
    /// is an error, and a hole that is not gone over is read as zeros. Threads may read different files at once.
    fn open(&self, inode: usize) -> Result<Box<dyn Contents + '_>>;

    /// How people find the file in the input: `/srv/tree/etc/passwd`, or
    /// `tree.tar: etc/passwd (at byte 1024)`.
    fn describe(&self, inode: usize) -> String;

    /// Files and directories, by their inodes, that the input does not let us read: to be
    /// refused before anything is written, unless they are left out.
    fn unreadable(&self) -> &[usize] {
        &[]
    }
}

/// Behind a reference or in a box it is one too.
impl<P> Source for P
where
    P: Deref<Target: Source> + Sync,
{
    fn listing(&self) -> &Listing {
        (**self).listing()
    }

    fn open(&self, inode: usize) -> Result<Box<dyn Contents + '_>> {
        (**self).open(inode)
    }

    fn describe(&self, inode: usize) -> String {
        (**self).describe(inode)
    }

    fn unreadable(&self) -> &[usize] {
        (**self).unreadable()
    }
}

/// What a failed read from [`Source::open`] means: the source's own error, which names the
/// file, or the system's.
pub fn read_error(source: &dyn Source, inode: usize, cause: std::io::Error) -> Error {
    match cause.downcast::<Error>() {
        Ok(error) => error,
        Err(cause) => Error::system("reading", source.describe(inode).as_ref())(cause),
    }
}

/// A path for messages: bytes that are no text, and what would move a terminal's cursor, show
/// as escapes.
pub fn shown(path: &[u8]) -> String {
    let mut text = String::new();
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c.is_control() {
                true => text.extend(c.escape_default()),
                false => text.push(c),
            }
        }
        let bytes = chunk.invalid().iter();
        text.extend(bytes.map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

/// A name in a directory.
fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    match dir.is_empty() {
        true => name.to_vec(),
        false => [dir, b"/", name].concat(),
    }
}

/// The order of names: component by component, so that a directory stands right before what
/// is in it and `a/b` before `a-b`.
pub fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let parts = |path| <[u8]>::split(path, |byte| *byte == b'/');
    match (a.is_empty(), b.is_empty()) {
        (false, false) => parts(a).cmp(parts(b)),
        _ => a.len().cmp(&b.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_show_without_what_is_no_text() {
        assert_eq!(shown("a/ö\u{1b}[2J".as_bytes()), "a/ö\\u{1b}[2J");
        assert_eq!(shown(b"a\xffb\n"), "a\\xffb\\n");
    }

    #[test]
    fn a_directory_stands_right_before_what_is_in_it() {
        let mut names: Vec<&[u8]> = vec![b"a-b", b"a/c", b"b", b"", b"a", b"a/c/d", b"a/b"];
        names.sort_by(|a, b| compare(a, b));
        let want: Vec<&[u8]> = vec![b"", b"a", b"a/b", b"a/c", b"a/c/d", b"a-b", b"b"];
        assert_eq!(names, want);
    }
}
