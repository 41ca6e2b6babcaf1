//! Reading a file of the host that must be what it was when the tree was listed.

use super::{Contents, skippable};
use crate::builder::{Error, Result};
use rustix::fs::{SeekFrom, Stat, fstat, seek};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

/// By what a change is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: i64,
    modified: (i64, u64),
    /// Set by the kernel alone: a program that puts the modification time back is noticed.
    changed: (i64, u64),
}

impl Stamp {
    /// From what stat(2) says.
    pub fn of(stat: &Stat) -> Stamp {
        Stamp {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

/// The contents of a file: as many bytes as it had, or an error that wraps [`Error`].
#[derive(Debug)]
pub struct Steady {
    file: File,
    path: PathBuf,
    stamp: Stamp,
    size: u64,
    left: u64,
    /// Up to here no hole is known.
    solid: u64,
}

impl Steady {
    /// For an open file that had this stamp and so many bytes.
    pub fn new(file: File, path: PathBuf, stamp: Stamp, size: u64) -> Result<Steady> {
        let steady = Steady {
            file,
            path,
            stamp,
            size,
            left: size,
            solid: 0,
        };
        steady.check()?;
        Ok(steady)
    }

    fn check(&self) -> Result<()> {
        let now = fstat(&self.file)
            .map_err(|errno| Error::system("looking at", &self.path)(errno.into()))?;
        match Stamp::of(&now) == self.stamp {
            true => Ok(()),
            false => Err(changed(&self.path)),
        }
    }
}

/// A file is no longer what it was.
pub fn changed(path: &std::path::Path) -> Error {
    Error::input(
        path.display(),
        "it changed while the tree was read",
        "build when nothing writes to the tree, or from a snapshot of it",
    )
}

impl Read for Steady {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let most = most.min(buf.len());
        if most == 0 {
            return Ok(0);
        }
        let n = self.file.read(&mut buf[..most])?;
        self.left -= n as u64;
        if n == 0 {
            return Err(io::Error::other(changed(&self.path)));
        }
        if self.left == 0 {
            self.check().map_err(io::Error::other)?;
        }
        Ok(n)
    }
}

impl Contents for Steady {
    fn skip_hole(&mut self, unit: u64) -> io::Result<u64> {
        let at = self.size - self.left;
        if self.left == 0 || at < self.solid {
            return Ok(0);
        }
        let data = match seek(&self.file, SeekFrom::Data(at)) {
            Ok(data) => data.min(self.size),
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => self.size,
            // A file system that does not tell.
            Err(_) => at,
        };
        let skipped = skippable(at, data, self.size, unit);
        let hole = match data < self.size {
            true => seek(&self.file, SeekFrom::Hole(data)).unwrap_or(self.size),
            false => self.size,
        };
        self.solid = hole.min(self.size);
        seek(&self.file, SeekFrom::Start(at + skipped))?;
        self.left -= skipped;
        if self.left == 0 {
            self.check().map_err(io::Error::other)?;
        }
        Ok(skipped)
    }
}
