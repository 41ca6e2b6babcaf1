//! On-disk formats, one file each: bytes to facts, facts to bytes.
//!
//! Pure: a parser takes a [`ByteSource`], never a path, and never panics whatever the
//! bytes say. Numbers come from each format's own specification, named in its file.

#![forbid(unsafe_code)]

use crate::units::{Bytes, Label};
use std::fmt;

pub mod archive;
pub mod bootcode;
pub mod btrfs;
pub mod checksum;
pub mod eltorito;
pub mod erofs;
pub mod exfat;
pub mod ext;
pub mod f2fs;
pub mod fat;
pub mod fatfs;
pub mod fields;
pub mod glob;
pub mod gpt;
pub mod gptcopy;
pub mod iso9660;
pub mod isofs;
pub mod isolinux;
pub mod isomd5;
pub mod luks;
pub mod lvm;
pub mod mbr;
pub mod mdraid;
pub mod ntfs;
pub mod pesections;
pub mod probe;
pub mod regions;
pub mod squashfs;
pub mod swap;
pub mod table;
pub mod tar;
pub mod text;
pub mod udf;
pub mod window;
pub mod xfs;

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

impl ReadError {
    /// Of a read by the system, which tells whether the buffer was filled, or an errno.
    ///
    /// # Errors
    /// Whenever it was not.
    pub fn unless_filled(read: Result<bool, i32>) -> Result<(), ReadError> {
        match read {
            Ok(true) => Ok(()),
            Ok(false) => Err(ReadError::PastEnd),
            Err(errno) => Err(ReadError::Io(errno)),
        }
    }
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

impl ByteSource for Vec<u8> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        self.as_slice().read_at(offset, buf)
    }

    fn len(&self) -> u64 {
        self.as_slice().len() as u64
    }
}

/// What a probe found: nothing of its format, or facts.
pub type Probed = Result<Option<FsFacts>, ReadError>;

/// Up to `length` bytes from `offset`: fewer, or none, where the source ends.
pub fn read_up_to(src: &dyn ByteSource, offset: u64, length: usize) -> Result<Vec<u8>, ReadError> {
    let left = src.len().saturating_sub(offset);
    let mut bytes = vec![0; usize::try_from(left).map_or(length, |left| left.min(length))];
    if !bytes.is_empty() {
        src.read_at(offset, &mut bytes)?;
    }
    Ok(bytes)
}

/// What a superblock belongs to: a file system, or something that merely holds blocks.
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
    Swap,
    Luks,
    Lvm2,
    MdRaid,
    DmSnapshot,
}

impl FsKind {
    /// The name that mount(8) takes (`ext4` for the whole family); for what can't be
    /// mounted, what people call it.
    pub const fn name(self) -> &'static str {
        match self {
            FsKind::Iso9660 => "iso9660",
            FsKind::Udf => "udf",
            FsKind::Vfat => "vfat",
            FsKind::Exfat => "exfat",
            FsKind::Ext => "ext4",
            FsKind::Xfs => "xfs",
            FsKind::Btrfs => "btrfs",
            FsKind::F2fs => "f2fs",
            FsKind::Ntfs => "ntfs",
            FsKind::Squashfs => "squashfs",
            FsKind::Erofs => "erofs",
            FsKind::Swap => "swap",
            FsKind::Luks => "LUKS",
            FsKind::Lvm2 => "LVM member",
            FsKind::MdRaid => "RAID member",
            FsKind::DmSnapshot => "DM_snapshot_cow",
        }
    }

    /// Whether it holds files, so that a medium can be in it.
    pub const fn holds_files(self) -> bool {
        !matches!(
            self,
            FsKind::Swap | FsKind::Luks | FsKind::Lvm2 | FsKind::MdRaid | FsKind::DmSnapshot
        )
    }
}

impl fmt::Display for FsKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
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
pub mod session;
pub mod snapshot;
pub mod verity;
