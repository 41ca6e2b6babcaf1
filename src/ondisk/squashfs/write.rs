//! What an image holds beside inodes and listings: the superblock, how long blocks are, the
//! fragments, how it was packed (`include/linux/squashfs_fs.h`; options of compressors:
//! `Documentation/filesystems/squashfs.rst` has none, squashfs-tools' wrappers do).

use super::{Compressor, LENGTH, MAGIC};

/// The first byte behind the superblock.
pub const BEHIND_SUPERBLOCK: u64 = LENGTH as u64;
/// In a block's length: it is stored as it is (SQUASHFS_COMPRESSED_BIT_BLOCK).
const RAW: u32 = 1 << 24;
/// No such table (SQUASHFS_INVALID_BLK).
pub const NO_TABLE: u64 = u64::MAX;

const DUPLICATES: u16 = 0x40;
const EXPORTABLE: u16 = 0x80;
const NO_XATTRS: u16 = 0x200;
const COMPRESSOR_OPTIONS: u16 = 0x400;

/// All that a superblock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// How many inodes.
    pub inodes: u32,
    /// When it was made, seconds since 1970.
    pub time: u32,
    /// Length of a data block in bytes, a power of two from 4 KiB to 1 MiB.
    pub block_size: u32,
    /// How many fragment blocks.
    pub fragments: u32,
    /// How blocks are packed.
    pub compressor: Compressor,
    /// Whether the compressor's options stand behind the superblock.
    pub has_options: bool,
    /// How many owners and groups.
    pub ids: u16,
    /// Reference of the root's inode.
    pub root: u64,
    /// Length of the image, without padding.
    pub bytes_used: u64,
    /// Places in the image of the tables' indexes: ids, attributes (or [`NO_TABLE`]).
    pub id_table: u64,
    /// Header of the attribute sets.
    pub xattr_table: u64,
    /// Start of the inodes.
    pub inode_table: u64,
    /// Start of the listings.
    pub directory_table: u64,
    /// Index of the fragments.
    pub fragment_table: u64,
    /// Index of inodes by their number, for NFS.
    pub export_table: u64,
}

impl Compressor {
    /// The superblock's number.
    pub fn id(self) -> u16 {
        match self {
            Compressor::Zlib => 1,
            Compressor::Lzma => 2,
            Compressor::Lzo => 3,
            Compressor::Xz => 4,
            Compressor::Lz4 => 5,
            Compressor::Zstd => 6,
            Compressor::Other(id) => id,
        }
    }
}

impl Superblock {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut flags = DUPLICATES | EXPORTABLE;
        if self.xattr_table == NO_TABLE {
            flags |= NO_XATTRS;
        }
        if self.has_options {
            flags |= COMPRESSOR_OPTIONS;
        }
        let mut out = Vec::with_capacity(LENGTH);
        out.extend_from_slice(MAGIC);
        for n in [self.inodes, self.time, self.block_size, self.fragments] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        let log = self.block_size.trailing_zeros() as u16;
        for n in [self.compressor.id(), log, flags, self.ids, 4, 0] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        for n in [
            self.root,
            self.bytes_used,
            self.id_table,
            self.xattr_table,
            self.inode_table,
            self.directory_table,
            self.fragment_table,
            self.export_table,
        ] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        out
    }
}

/// How a compressor was used, as it stands behind the superblock: nothing where the
/// options are what mksquashfs takes by itself. The kernel reads those of lz4 (it must have
/// them) and xz; zstd and zlib tell their own.
pub fn compressor_options(fields: &[u32]) -> Vec<u8> {
    if fields.is_empty() {
        return Vec::new();
    }
    let length = super::metadata::RAW | (fields.len() * 4) as u16;
    let mut out = length.to_le_bytes().to_vec();
    for field in fields {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out
}

/// A data block's length as inodes and the fragment table have it. A hole is 0.
pub fn block_entry(stored: u32, is_packed: bool) -> u32 {
    match is_packed {
        true => stored,
        false => stored | RAW,
    }
}

/// An entry of the fragment table (struct squashfs_fragment_entry).
pub fn fragment_entry(start: u64, block: u32) -> [u8; 16] {
    let mut out = [0; 16];
    out[..8].copy_from_slice(&start.to_le_bytes());
    out[8..12].copy_from_slice(&block.to_le_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Bytes;

    #[test]
    fn a_written_superblock_is_read_again() {
        let written = Superblock {
            inodes: 1,
            time: 2,
            block_size: 1 << 17,
            fragments: 3,
            compressor: Compressor::Zstd,
            has_options: false,
            ids: 1,
            root: 5,
            bytes_used: 4000,
            id_table: 6,
            xattr_table: NO_TABLE,
            inode_table: 7,
            directory_table: 8,
            fragment_table: 9,
            export_table: 10,
        };
        let bytes = written.encode();
        assert_eq!(bytes.len(), LENGTH);
        let read = super::super::parse(&bytes).unwrap();
        assert_eq!(read.block_size, 1 << 17);
        assert_eq!(read.compressor, Compressor::Zstd);
        assert_eq!(read.bytes_used, Bytes(4000));
        for id in 0..9 {
            assert_eq!(Compressor::from(id).id(), id);
        }
    }

    #[test]
    fn options_stand_in_a_raw_metadata_block() {
        assert_eq!(compressor_options(&[1, 0]), *b"\x08\x80\x01\0\0\0\0\0\0\0");
        assert!(compressor_options(&[]).is_empty());
    }
}
