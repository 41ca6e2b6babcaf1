//! Trees that exist nowhere: a [`Source`] in memory, what a reader of its image must see, and
//! the same tree laid down on a disk for mksquashfs.

use super::facts::{Fact, Facts};
use liveroot::builder::source::{
    Contents, Device, Inode, Kind, Listing, Name, Source, Xattr, compare,
};
use liveroot::builder::{Error, Result};
use rustix::fs as sys;
use std::fs;
use std::io::{Cursor, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Time of all test images.
pub const EPOCH: u64 = 1_700_000_000;

/// What a file holds.
#[derive(Clone, Debug)]
pub enum Content {
    Bytes(Vec<u8>),
    /// So many zeros, then bytes.
    Behind(u64, Vec<u8>),
}

impl Content {
    pub fn len(&self) -> u64 {
        match self {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Behind(zeros, bytes) => zeros + bytes.len() as u64,
        }
    }

    pub fn open(&self) -> Box<dyn Contents + '_> {
        match self {
            Content::Bytes(bytes) => Box::new(Plain(Cursor::new(bytes))),
            Content::Behind(zeros, bytes) => {
                let zeros = std::io::repeat(0).take(*zeros);
                Box::new(Plain(zeros.chain(Cursor::new(bytes))))
            }
        }
    }
}

/// Contents whose holes nobody knows.
struct Plain<R>(R);

impl<R: Read> Read for Plain<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buf)
    }
}

impl<R: Read + Send> Contents for Plain<R> {}

/// A tree as a test writes it down.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    listing: Listing,
    contents: Vec<Content>,
}

impl Source for Memory {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn open(&self, inode: usize) -> Result<Box<dyn Contents + '_>> {
        match self.contents.get(inode) {
            Some(content) => Ok(content.open()),
            None => Err(Error::Interrupted),
        }
    }

    fn describe(&self, inode: usize) -> String {
        format!("memory: inode {inode}")
    }
}

/// A plain inode of root's.
pub fn inode(kind: Kind) -> Inode {
    let mode = match kind {
        Kind::Directory => 0o755,
        _ => 0o644,
    };
    Inode {
        kind,
        mode,
        uid: 0,
        gid: 0,
        mtime: 1_600_000_000,
        xattrs: Vec::new(),
    }
}

pub fn xattr(name: &str, value: impl AsRef<[u8]>) -> Xattr {
    Xattr {
        name: name.as_bytes().to_vec(),
        value: value.as_ref().to_vec(),
    }
}

pub fn device(major: u32, minor: u32) -> Device {
    Device { major, minor }
}

impl Memory {
    /// A root directory.
    pub fn new() -> Memory {
        let mut tree = Memory::default();
        tree.add("", inode(Kind::Directory));
        tree
    }

    /// A name of a new inode; its number.
    pub fn add(&mut self, path: impl AsRef<[u8]>, inode: Inode) -> usize {
        let number = self.listing.inodes.len();
        self.listing.inodes.push(inode);
        self.contents.push(Content::Bytes(Vec::new()));
        self.link(path, number);
        number
    }

    pub fn directory(&mut self, path: impl AsRef<[u8]>) -> usize {
        self.add(path, inode(Kind::Directory))
    }

    pub fn file(&mut self, path: impl AsRef<[u8]>, bytes: impl Into<Vec<u8>>) -> usize {
        self.content(path, Content::Bytes(bytes.into()))
    }

    pub fn content(&mut self, path: impl AsRef<[u8]>, content: Content) -> usize {
        let size = content.len();
        let number = self.add(path, inode(Kind::File { size }));
        self.contents[number] = content;
        number
    }

    /// Another name.
    pub fn link(&mut self, path: impl AsRef<[u8]>, inode: usize) {
        let path = path.as_ref().to_vec();
        let place = self
            .listing
            .names
            .binary_search_by(|n| compare(&n.path, &path));
        let name = Name { path, inode };
        self.listing
            .names
            .insert(place.unwrap_or_else(|at| at), name);
    }

    pub fn change(&mut self, inode: usize) -> &mut Inode {
        &mut self.listing.inodes[inode]
    }

    /// Sets what is read, whatever the listing says.
    pub fn lie(&mut self, inode: usize, bytes: &[u8]) {
        self.contents[inode] = Content::Bytes(bytes.to_vec());
    }

    /// What must be seen of it.
    pub fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        let names = &self.listing.names;
        for name in names {
            let inode = &self.listing.inodes[name.inode];
            let first = names.iter().find(|n| n.inode == name.inode).unwrap();
            let within = names.iter().filter(|n| {
                let is_directory = self.listing.inodes[n.inode].kind == Kind::Directory;
                is_directory && !n.path.is_empty() && parent(&n.path) == name.path
            });
            let detail = match &inode.kind {
                Kind::Directory => "directory".into(),
                Kind::File { size } => {
                    format!(
                        "file {size} {}",
                        super::facts::digest(&mut self.contents[name.inode].open())
                    )
                }
                Kind::Symlink { target } => format!("link to {target:?}"),
                Kind::Char(d) => format!("char {}:{}", d.major, d.minor),
                Kind::Block(d) => format!("block {}:{}", d.major, d.minor),
                Kind::Fifo => "fifo".into(),
                Kind::Socket => "socket".into(),
            };
            let links = match inode.kind {
                Kind::Directory => 2 + within.count(),
                _ => names.iter().filter(|n| n.inode == name.inode).count(),
            };
            facts.add(Fact {
                path: name.path.clone(),
                detail,
                mode: u32::from(inode.mode),
                owner: (inode.uid, inode.gid),
                mtime: inode.mtime.clamp(0, EPOCH as i64),
                links: links as u64,
                first: first.path.clone(),
                xattrs: inode
                    .xattrs
                    .iter()
                    .map(|x| (x.name.clone(), x.value.clone()))
                    .collect(),
            });
        }
        facts
    }

    /// Lays it down below an empty directory, as root.
    pub fn lay(&self, root: &Path) {
        let at = |path: &[u8]| -> PathBuf {
            match path.is_empty() {
                true => root.to_owned(),
                false => root.join(std::ffi::OsStr::from_bytes(path)),
            }
        };
        let mut laid: Vec<Option<PathBuf>> = vec![None; self.listing.inodes.len()];
        for name in &self.listing.names {
            let path = at(&name.path);
            if let Some(first) = &laid[name.inode] {
                fs::hard_link(first, &path).unwrap();
                continue;
            }
            self.lay_inode(name.inode, &path);
            laid[name.inode] = Some(path);
        }
        // Times last: what is made in a directory changes its own.
        for (inode, path) in self.listing.inodes.iter().zip(&laid).rev() {
            let Some(path) = path else { continue };
            let time = sys::Timespec {
                tv_sec: inode.mtime,
                tv_nsec: 0,
            };
            let times = sys::Timestamps {
                last_access: time,
                last_modification: time,
            };
            let nofollow = sys::AtFlags::SYMLINK_NOFOLLOW;
            sys::utimensat(sys::CWD, path, &times, nofollow).unwrap();
        }
    }

    fn lay_inode(&self, number: usize, path: &Path) {
        let inode = &self.listing.inodes[number];
        let special = |kind, device: u64| {
            let mode = sys::Mode::from_raw_mode(0o600);
            sys::mknodat(sys::CWD, path, kind, mode, device).unwrap();
        };
        match &inode.kind {
            Kind::Directory if path.exists() => {}
            Kind::Directory => fs::create_dir(path).unwrap(),
            Kind::File { .. } => {
                let mut bytes = Vec::new();
                self.contents[number]
                    .open()
                    .read_to_end(&mut bytes)
                    .unwrap();
                fs::write(path, bytes).unwrap();
            }
            Kind::Symlink { target } => {
                std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(target), path).unwrap();
            }
            Kind::Char(d) => special(
                sys::FileType::CharacterDevice,
                sys::makedev(d.major, d.minor),
            ),
            Kind::Block(d) => special(sys::FileType::BlockDevice, sys::makedev(d.major, d.minor)),
            Kind::Fifo => special(sys::FileType::Fifo, 0),
            Kind::Socket => special(sys::FileType::Socket, 0),
        }
        std::os::unix::fs::lchown(path, Some(inode.uid), Some(inode.gid)).unwrap();
        if !matches!(inode.kind, Kind::Symlink { .. }) {
            let mode = sys::Mode::from_raw_mode(u32::from(inode.mode));
            sys::chmodat(sys::CWD, path, mode, sys::AtFlags::empty()).unwrap();
        }
        for xattr in &inode.xattrs {
            let name = std::str::from_utf8(&xattr.name).unwrap();
            sys::lsetxattr(path, name, &xattr.value, sys::XattrFlags::empty()).unwrap();
        }
    }
}

fn parent(path: &[u8]) -> &[u8] {
    let slash = path.iter().rposition(|byte| *byte == b'/');
    &path[..slash.unwrap_or(0)]
}
