//! On-disk formats, one file each: bytes to facts, facts to bytes.
//!
//! Pure: a parser takes a [`ByteSource`], never a path, and never panics whatever the
//! bytes say. Numbers come from each format's own specification, named in its file.

use crate::units::{Bytes, Label};
use std::fmt;

/// Where bytes come from: a device, a file, a slice of a test.
pub trait ByteSource {
    /// Fills `buf` from `offset`, or says why it can't.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError>;
    /// Length in bytes.
    fn len(&self) -> u64;
    /// Whether there is nothing to read.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why bytes could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The range reaches behind the end: the source is too short for this format.
    PastEnd,
    /// The device failed; the system's error number.
    Io(i32),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::PastEnd => f.write_str("shorter than its format says"),
            ReadError::Io(errno) => {
                write!(f, "{}", std::io::Error::from_raw_os_error(*errno))
            }
        }
    }
}

impl ByteSource for [u8] {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let start = usize::try_from(offset).map_err(|_| ReadError::PastEnd)?;
        let end = start.checked_add(buf.len()).ok_or(ReadError::PastEnd)?;
        buf.copy_from_slice(self.get(start..end).ok_or(ReadError::PastEnd)?);
        Ok(())
    }

    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }
}

/// A file system, by its superblock. The names are those that mount(8) takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum FsKind {
    Iso9660,
    Udf,
    Vfat,
    Exfat,
    Ext,
    Xfs,
    Btrfs,
    F2fs,
    Ntfs,
    Squashfs,
    Erofs,
}

/// What a superblock says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FsFacts {
    /// Which file system.
    pub kind: FsKind,
    /// Volume label, without padding; none when empty.
    pub label: Option<Label>,
    /// UUID in the spelling of blkid(8); none when the format has none.
    pub uuid: Option<String>,
    /// Length the file system claims, where its superblock tells.
    pub size: Option<Bytes>,
}

pub mod bzimage;
pub mod cpio;
pub mod elf;
pub mod kmod;
pub mod pe;
