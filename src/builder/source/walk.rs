//! The walk through a directory of the host: every file by its parent's descriptor, no link
//! followed, two descriptors open at most, whatever the depth.

use super::assemble::Names;
use super::steady::{Stamp, changed};
use super::{Device, Inode, Kind, NAME_MAX, Owners, join, xattr};
use crate::builder::mounts::{Mounts, Place};
use crate::builder::{Error, Result, Watch, watch};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Bytes of a path that one call takes (`PATH_MAX` with room for its end).
const PATH_CHUNK: usize = 4000;

/// What a walk finds, in the order in which it came by it.
#[derive(Debug)]
pub struct Found {
    /// Names and the places of their inodes below.
    pub names: Names,
    /// The inodes.
    pub inodes: Vec<Inode>,
    /// By what each inode is known again.
    pub stamps: Vec<Stamp>,
    /// Inodes that may not be read.
    pub unreadable: Vec<usize>,
}

/// Goes through all below `root`, open as `fd`.
pub fn walk(root: &Path, fd: &OwnedFd, owners: Owners, watch: &dyn Watch) -> Result<Found> {
    let stat = fstat(fd).map_err(|e| Error::system("looking at", root)(e.into()))?;
    let mut walk = Walk {
        root,
        fd: fd.as_fd(),
        owners,
        mounts: Mounts::of(Place::of(fd, Path::new(""), stat.st_dev)),
        links: HashMap::new(),
        found: Found {
            names: Vec::new(),
            inodes: Vec::new(),
            stamps: Vec::new(),
            unreadable: Vec::new(),
        },
        unstored: 0,
        buf: vec![0; xattr::MAX],
    };
    let inode = walk.inode(&stat, Kind::Directory);
    walk.found.names.push((Vec::new(), inode));
    let mut todo = vec![(Vec::new(), inode)];
    while let Some((dir, inode)) = todo.pop() {
        watch::check(watch)?;
        walk.directory(&dir, inode, &mut todo)?;
    }
    walk.mounts.refuse(root)?;
    if walk.unstored > 0 {
        watch.warn(&format!(
            "{}: {} files have access lists or other attributes that a squashfs cannot hold; they are left out",
            root.display(),
            walk.unstored
        ));
    }
    Ok(walk.found)
}

struct Walk<'a> {
    root: &'a Path,
    fd: BorrowedFd<'a>,
    owners: Owners,
    mounts: Mounts,
    /// Device and number of each inode with more than one name, and its place.
    links: HashMap<(u64, u64), usize>,
    found: Found,
    /// Inodes that have attributes which squashfs cannot hold.
    unstored: u64,
    buf: Vec<u8>,
}

impl Walk<'_> {
    fn on_host(&self, path: &[u8]) -> PathBuf {
        on_host(self.root, path)
    }

    fn system(&self, doing: &'static str, path: &[u8], errno: Errno) -> Error {
        match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP => changed(&self.on_host(path)),
            _ => Error::system(doing, &self.on_host(path))(errno.into()),
        }
    }

    /// Takes in what a directory holds; directories in it go to `todo`.
    fn directory(
        &mut self,
        path: &[u8],
        inode: usize,
        todo: &mut Vec<(Vec<u8>, usize)>,
    ) -> Result<()> {
        let fd = match open_below(self.fd, path, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(fd) => fd,
            Err(Errno::ACCESS | Errno::PERM) => {
                self.found.unreadable.push(inode);
                return Ok(());
            }
            Err(errno) => return Err(self.system("opening", path, errno)),
        };
        let stat = fstat(&fd).map_err(|e| self.system("looking at", path, e))?;
        if Stamp::of(&stat) != self.found.stamps[inode] {
            return Err(changed(&self.on_host(path)));
        }
        self.attributes(xattr::Of::Open(fd.as_fd()), path, inode)?;
        let mut dir = Dir::new(fd).map_err(|e| self.system("listing", path, e))?;
        let mut names = Vec::new();
        while let Some(entry) = dir.read() {
            let entry = entry.map_err(|e| self.system("listing", path, e))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
        }
        // What is found must not depend on the directory's order, messages neither.
        names.sort_unstable();
        let dir = dir.fd().map_err(|e| self.system("listing", path, e))?;
        for name in names {
            match self.file(dir, path, &name, todo) {
                // Names may be read and no more: as good as unreadable.
                Err(Refusal::Access) => {
                    self.found.unreadable.push(inode);
                    return Ok(());
                }
                Err(Refusal::Other(error)) => return Err(error),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        dir: BorrowedFd<'_>,
        parent: &[u8],
        name: &[u8],
        todo: &mut Vec<(Vec<u8>, usize)>,
    ) -> std::result::Result<(), Refusal> {
        let path = join(parent, name);
        if name.len() > NAME_MAX {
            return Err(Refusal::Other(Error::input(
                self.on_host(&path).display(),
                format!(
                    "its name has {} bytes, and Linux has at most {NAME_MAX}",
                    name.len()
                ),
                "give it a shorter name",
            )));
        }
        let stat = match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::ACCESS) => return Err(Refusal::Access),
            Err(errno) => return Err(self.system("looking at", &path, errno).into()),
        };
        let place = Place::of(dir, Path::new(OsStr::from_bytes(name)), stat.st_dev);
        if self.mounts.notice(&self.on_host(&path), place) {
            return Ok(());
        }
        let key = (stat.st_dev, stat.st_ino);
        if let Some(inode) = self.links.get(&key) {
            self.found.names.push((path, *inode));
            return Ok(());
        }
        let kind = self.kind(dir, name, &path, &stat)?;
        let is_directory = kind == Kind::Directory;
        let is_file = matches!(kind, Kind::File { .. });
        let inode = self.inode(&stat, kind);
        self.found.names.push((path.clone(), inode));
        if is_directory {
            todo.push((path, inode));
            return Ok(());
        }
        if stat.st_nlink > 1 {
            self.links.insert(key, inode);
        }
        match is_file {
            true => self.regular(dir, name, &path, inode)?,
            false => {
                let by_dir = by_descriptor(dir, name).unwrap_or_else(|| self.on_host(&path));
                self.attributes(xattr::Of::Path(&by_dir), &path, inode)?;
            }
        }
        Ok(())
    }

    /// Opens a file: the only sure sign that it can be read.
    fn regular(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        inode: usize,
    ) -> Result<()> {
        match openat(dir, name, READ, Mode::empty()) {
            Ok(fd) => self.attributes(xattr::Of::Open(fd.as_fd()), path, inode),
            Err(Errno::ACCESS | Errno::PERM) => {
                self.found.unreadable.push(inode);
                Ok(())
            }
            Err(errno) => Err(self.system("opening", path, errno)),
        }
    }

    fn attributes(&mut self, of: xattr::Of<'_>, path: &[u8], inode: usize) -> Result<()> {
        let read = xattr::read(of, &mut self.buf);
        let (found, unstored) =
            read.map_err(|e| self.system("reading the attributes of", path, e))?;
        self.unstored += u64::from(unstored > 0);
        self.found.inodes[inode].xattrs = found;
        Ok(())
    }

    fn kind(&self, dir: BorrowedFd<'_>, name: &[u8], path: &[u8], stat: &Stat) -> Result<Kind> {
        let device = || Device {
            major: rustix::fs::major(stat.st_rdev),
            minor: rustix::fs::minor(stat.st_rdev),
        };
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Kind::Directory,
            FileType::RegularFile => Kind::File {
                size: u64::try_from(stat.st_size).unwrap_or(0),
            },
            FileType::Symlink => Kind::Symlink {
                target: readlinkat(dir, name, Vec::new())
                    .map_err(|e| self.system("reading the link", path, e))?
                    .into_bytes(),
            },
            FileType::CharacterDevice => Kind::Char(device()),
            FileType::BlockDevice => Kind::Block(device()),
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
            FileType::Unknown => {
                return Err(Error::input(
                    self.on_host(path).display(),
                    format!("it is of no known kind (mode {:o})", stat.st_mode),
                    "remove it from the tree",
                ));
            }
        })
    }

    /// A new inode, still without its attributes.
    fn inode(&mut self, stat: &Stat, kind: Kind) -> usize {
        let (uid, gid) = match self.owners {
            Owners::Kept => (stat.st_uid, stat.st_gid),
            Owners::Root => (0, 0),
        };
        self.found.stamps.push(Stamp::of(stat));
        self.found.inodes.push(Inode {
            kind,
            mode: (stat.st_mode & 0o7777) as u16,
            uid,
            gid,
            mtime: stat.st_mtime,
            xattrs: Vec::new(),
        });
        self.found.inodes.len() - 1
    }
}

enum Refusal {
    Access,
    Other(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::Other(error)
    }
}

/// How files are opened: what is no file after all must not block or become a terminal.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Opens a path below a directory, whatever its length. Links in its middle are not looked
/// for: whoever opens compares with what was there.
pub fn open_below(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = flags | READ;
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut rest = path;
    let mut at: Option<OwnedFd> = None;
    while rest.len() > PATH_CHUNK {
        let Some(slash) = rest[..PATH_CHUNK].iter().rposition(|b| *b == b'/') else {
            return Err(Errno::NAMETOOLONG);
        };
        let from = at.as_ref().map_or(root, AsFd::as_fd);
        at = Some(openat(from, &rest[..slash], step, Mode::empty())?);
        rest = &rest[slash + 1..];
    }
    let from = at.as_ref().map_or(root, AsFd::as_fd);
    let rest = if rest.is_empty() { b"." } else { rest };
    openat(from, rest, flags, Mode::empty())
}

/// A path that leads through a descriptor, where /proc is there.
fn by_descriptor(dir: BorrowedFd<'_>, name: &[u8]) -> Option<PathBuf> {
    use std::os::fd::AsRawFd;
    let dir = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
    dir.symlink_metadata()
        .is_ok()
        .then(|| dir.join(OsStr::from_bytes(name)))
}

/// Where a path of the tree is on the host.
pub fn on_host(root: &Path, path: &[u8]) -> PathBuf {
    match path.is_empty() {
        true => root.to_owned(),
        false => root.join(OsStr::from_bytes(path)),
    }
}
