//! The newc cpio format, as the kernel's initramfs reads it: a writer, and a reader for
//! tests and inspection.
//!
//! Contract: `Documentation/driver-api/early-userspace/buffer-format.rst` of the kernel.
//! Several archives may follow each other, compressed or not, padded by zeros; each
//! starts at a multiple of four. Written archives depend on nothing but their entries:
//! sorted by name, inode numbers 1 to n, owner 0, time 0.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

/// Ends each archive.
const TRAILER: &str = "TRAILER!!!";
/// newc without checksum.
const MAGIC: &[u8; 6] = b"070701";
/// Magic and thirteen fields of eight hex digits.
const HEADER_LEN: usize = 110;

const S_IFDIR: u32 = 0o040000;
const S_IFREG: u32 = 0o100000;
const S_IFCHR: u32 = 0o020000;
const S_IFMT: u32 = 0o170000;

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A directory with mode bits 0755.
    Dir,
    /// A file and its permission bits.
    File {
        /// Permission bits.
        mode: u32,
        /// Its bytes.
        data: Vec<u8>,
    },
    /// A character device.
    Char {
        /// Permission bits.
        mode: u32,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
}

/// An archive in the making. Parent directories come by themselves: the kernel makes none.
#[derive(Clone, Debug, Default)]
pub struct Archive {
    entries: BTreeMap<String, Node>,
}

impl Archive {
    /// An archive without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a node under a path without leading slash; a later one of the same name wins.
    pub fn add(&mut self, path: &str, node: Node) {
        let mut parent = path;
        while let Some((above, _)) = parent.rsplit_once('/') {
            self.entries.entry(above.to_owned()).or_insert(Node::Dir);
            parent = above;
        }
        self.entries.insert(path.to_owned(), node);
    }

    /// Adds a directory.
    pub fn dir(&mut self, path: &str) {
        self.add(path, Node::Dir);
    }

    /// Adds a file.
    pub fn file(&mut self, path: &str, mode: u32, data: Vec<u8>) {
        self.add(path, Node::File { mode, data });
    }

    /// Adds a character device.
    pub fn char_device(&mut self, path: &str, mode: u32, major: u32, minor: u32) {
        self.add(path, Node::Char { mode, major, minor });
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The archive's bytes, its length a multiple of four.
    ///
    /// A parent sorts before what is in it, since its name is a prefix.
    pub fn to_bytes(&self) -> Result<Vec<u8>, TooLarge> {
        let mut out = Vec::new();
        let mut inode = 0;
        for (name, node) in &self.entries {
            inode += 1;
            write_entry(&mut out, inode, name, node)?;
        }
        write_header(&mut out, 0, 0, 1, 0, (0, 0), TRAILER);
        Ok(out)
    }
}

/// A file of 4 GiB or more: newc holds its length in eight hex digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is 4 GiB or longer, which a newc archive cannot hold")]
pub struct TooLarge(pub String);

fn write_entry(out: &mut Vec<u8>, inode: u32, name: &str, node: &Node) -> Result<(), TooLarge> {
    match node {
        Node::Dir => write_header(out, inode, S_IFDIR | 0o755, 2, 0, (0, 0), name),
        Node::Char { mode, major, minor } => {
            write_header(out, inode, S_IFCHR | mode, 1, 0, (*major, *minor), name);
        }
        Node::File { mode, data } => {
            let len = u32::try_from(data.len()).map_err(|_| TooLarge(name.to_owned()))?;
            write_header(out, inode, S_IFREG | mode, 1, len, (0, 0), name);
            out.extend_from_slice(data);
            pad(out);
        }
    }
    Ok(())
}

/// Header and name, padded. `newc` fields in order: inode, mode, uid, gid, links, mtime,
/// length, device (2), special device (2), length of the name with its NUL, checksum.
fn write_header(
    out: &mut Vec<u8>,
    inode: u32,
    mode: u32,
    links: u32,
    len: u32,
    device: (u32, u32),
    name: &str,
) {
    let name_len = name.len() as u32 + 1;
    out.extend_from_slice(MAGIC);
    let fields = [
        inode, mode, 0, 0, links, 0, len, 0, 0, device.0, device.1, name_len, 0,
    ];
    for field in fields {
        out.extend_from_slice(format!("{field:08X}").as_bytes());
    }
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    pad(out);
}

/// Zeros up to the next multiple of four.
fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

/// An entry as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Path as stored.
    pub name: String,
    /// Type and permission bits.
    pub mode: u32,
    /// Special device of a device node.
    pub device: (u32, u32),
    /// Bytes of a file.
    pub data: &'a [u8],
}

impl Entry<'_> {
    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.mode & S_IFMT == S_IFDIR
    }
}

/// Why bytes are no archive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCpio {
    /// Neither a header nor zeros where an entry should start.
    #[error("no newc header at byte {0}")]
    NoHeader(usize),
    /// The archive ends within an entry.
    #[error("the archive ends within the entry at byte {0}")]
    Cut(usize),
}

/// Reads one archive from the start of `bytes`: its entries, and how long it was.
pub fn read(bytes: &[u8]) -> Result<(Vec<Entry<'_>>, usize), BadCpio> {
    let mut entries = Vec::new();
    let mut at = 0;
    loop {
        let (entry, next) = read_entry(bytes, at)?;
        at = next;
        if entry.name == TRAILER {
            return Ok((entries, at));
        }
        entries.push(entry);
    }
}

fn read_entry(bytes: &[u8], at: usize) -> Result<(Entry<'_>, usize), BadCpio> {
    let cut = BadCpio::Cut(at);
    let header = bytes
        .get(at..)
        .and_then(|rest| rest.get(..HEADER_LEN))
        .ok_or(cut.clone())?;
    if &header[..6] != MAGIC {
        return Err(BadCpio::NoHeader(at));
    }
    let field = |n: usize| -> Result<u32, BadCpio> {
        let digits = &header[6 + n * 8..14 + n * 8];
        std::str::from_utf8(digits)
            .ok()
            .and_then(|text| u32::from_str_radix(text, 16).ok())
            .ok_or(BadCpio::NoHeader(at))
    };
    let name_at = at + HEADER_LEN;
    let name_end = name_at
        .checked_add(field(11)? as usize)
        .ok_or(cut.clone())?;
    let name = bytes.get(name_at..name_end).ok_or(cut.clone())?;
    let name = name.strip_suffix(&[0]).ok_or(BadCpio::NoHeader(at))?;
    let data_at = name_end.next_multiple_of(4);
    let data_end = data_at.checked_add(field(6)? as usize).ok_or(cut.clone())?;
    let data = bytes.get(data_at.min(bytes.len())..data_end).ok_or(cut)?;
    let entry = Entry {
        name: String::from_utf8_lossy(name).into_owned(),
        mode: field(1)?,
        device: (field(9)?, field(10)?),
        data,
    };
    Ok((entry, data_end.next_multiple_of(4)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Archive {
        let mut archive = Archive::new();
        archive.file("etc/initrd-release", 0o644, b"ID=liveroot\n".to_vec());
        archive.char_device("dev/console", 0o600, 5, 1);
        archive.dir("proc");
        archive
    }

    #[test]
    fn what_is_written_is_read_back_with_parents_before_children() {
        let bytes = sample().to_bytes().unwrap();
        let (entries, used) = read(&bytes).unwrap();
        let names: Vec<_> = entries.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(
            names,
            ["dev", "dev/console", "etc", "etc/initrd-release", "proc"]
        );
        assert_eq!(used, bytes.len());
        assert_eq!(entries[1].device, (5, 1));
        assert_eq!(entries[3].data, b"ID=liveroot\n");
        assert!(entries[4].is_dir());
    }

    #[test]
    fn an_archive_is_a_multiple_of_four_long_and_independent_of_insertion_order() {
        let mut other = Archive::new();
        other.dir("proc");
        other.char_device("dev/console", 0o600, 5, 1);
        other.file("etc/initrd-release", 0o644, b"ID=liveroot\n".to_vec());
        let bytes = sample().to_bytes().unwrap();
        assert_eq!(bytes, other.to_bytes().unwrap());
        assert_eq!(bytes.len() % 4, 0);
    }

    #[test]
    fn a_cut_archive_is_refused_wherever_it_is_cut() {
        let bytes = sample().to_bytes().unwrap();
        for len in 0..bytes.len() - 4 {
            assert!(read(&bytes[..len]).is_err(), "cut at {len}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes);
            let mut damaged = sample().to_bytes().unwrap();
            for (at, byte) in bytes.iter().enumerate() {
                let len = damaged.len();
                damaged[at * 7 % len] = *byte;
            }
            let _ = read(&damaged);
        }
    }
}
