//! squashfs, version 4: the read-only root image.
//!
//! `include/linux/squashfs_fs.h`, struct squashfs_super_block; little-endian, at byte 0. The
//! other files have one structure each, as bytes to be written; `read` takes all of them back.

pub mod directory;
pub mod inode;
pub mod metadata;
pub mod read;
pub mod write;
pub mod xattr;

use super::fields::{has_magic, le16, le32, le64};
use super::{ByteSource, FsFacts, FsKind, ReadError, read_up_to};
use crate::units::Bytes;

const MAGIC: &[u8] = b"hsqs";
const BLOCK_SIZE: usize = 12;
const COMPRESSION: usize = 20;
const BLOCK_LOG: usize = 22;
const S_MAJOR: usize = 28;
const BYTES_USED: usize = 40;
/// Length of the superblock.
const LENGTH: usize = 96;

/// How the blocks are packed; the numbers are the superblock's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Compressor {
    Zlib,
    Lzma,
    Lzo,
    Xz,
    Lz4,
    Zstd,
    /// One that this version does not know.
    Other(u16),
}

impl From<u16> for Compressor {
    fn from(id: u16) -> Self {
        match id {
            1 => Compressor::Zlib,
            2 => Compressor::Lzma,
            3 => Compressor::Lzo,
            4 => Compressor::Xz,
            5 => Compressor::Lz4,
            6 => Compressor::Zstd,
            other => Compressor::Other(other),
        }
    }
}

/// What the boot needs to know of an image before it is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Size of a data block.
    pub block_size: u32,
    /// How blocks are packed.
    pub compressor: Compressor,
    /// Length of the image; a file that is shorter was cut.
    pub bytes_used: Bytes,
}

impl Superblock {
    /// Whether a file or partition of `length` can hold the whole image.
    pub fn fits(&self, length: Bytes) -> bool {
        self.bytes_used <= length
    }
}

/// Reads the superblock at the start of an image; none if it is not squashfs 4.
pub fn read_superblock(image: &dyn ByteSource) -> Result<Option<Superblock>, ReadError> {
    read_up_to(image, 0, LENGTH).map(|head| parse(&head))
}

/// As [`read_superblock`], of bytes already read.
pub fn parse(head: &[u8]) -> Option<Superblock> {
    let block_size = le32(head, BLOCK_SIZE);
    let bytes_used = le64(head, BYTES_USED);
    let sound = head.len() >= LENGTH
        && has_magic(head, 0, MAGIC)
        && le16(head, S_MAJOR) == 4
        && 1u32.checked_shl(le16(head, BLOCK_LOG).into()) == Some(block_size)
        && (12..=20).contains(&le16(head, BLOCK_LOG))
        && bytes_used >= LENGTH as u64;
    sound.then(|| Superblock {
        block_size,
        compressor: le16(head, COMPRESSION).into(),
        bytes_used: Bytes(bytes_used),
    })
}

/// Facts from the first bytes of a device; squashfs has neither label nor UUID.
pub fn probe(head: &[u8]) -> Option<FsFacts> {
    parse(head).map(|superblock| FsFacts {
        kind: FsKind::Squashfs,
        label: None,
        uuid: None,
        size: Some(superblock.bytes_used),
    })
}
