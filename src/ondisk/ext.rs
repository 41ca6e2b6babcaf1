//! ext2, ext3 and ext4: one superblock, told apart by features.
//!
//! `fs/ext4/ext4.h`, struct ext4_super_block; little-endian, at byte 1,024.

use super::checksum::crc32c;
use super::fields::{bytes16, le16, le32, slice};
use super::{FsFacts, FsKind, text};
use crate::units::Bytes;

const SUPER_OFFSET: usize = 1024;
const EXT4_SUPER_MAGIC: u16 = 0xef53;
const S_INODES_COUNT: usize = 0x00;
const S_BLOCKS_COUNT_LO: usize = 0x04;
const S_LOG_BLOCK_SIZE: usize = 0x18;
const S_BLOCKS_PER_GROUP: usize = 0x20;
const S_MAGIC: usize = 0x38;
const S_STATE: usize = 0x3a;
const EXT4_ERROR_FS: u16 = 2;
const S_FEATURE_INCOMPAT: usize = 0x60;
const S_FEATURE_RO_COMPAT: usize = 0x64;
const S_UUID: usize = 0x68;
const S_VOLUME_NAME: usize = 0x78;
const S_BLOCKS_COUNT_HI: usize = 0x150;
const S_CHECKSUM: usize = 0x3fc;

/// A journal device holds no files.
const INCOMPAT_JOURNAL_DEV: u32 = 0x8;
const INCOMPAT_64BIT: u32 = 0x80;
const RO_COMPAT_METADATA_CSUM: u32 = 0x400;

/// Facts from the first bytes of a device.
pub fn probe(head: &[u8]) -> Option<FsFacts> {
    let sb = head.get(SUPER_OFFSET..)?;
    let incompat = le32(sb, S_FEATURE_INCOMPAT);
    let log_block_size = le32(sb, S_LOG_BLOCK_SIZE);
    // The magic is two bytes: the counts guard against chance where no checksum does.
    let sound = le16(sb, S_MAGIC) == EXT4_SUPER_MAGIC
        && log_block_size <= 6
        && le32(sb, S_INODES_COUNT) != 0
        && le32(sb, S_BLOCKS_PER_GROUP) != 0
        && incompat & INCOMPAT_JOURNAL_DEV == 0
        && sum_holds(sb);
    if !sound {
        return None;
    }
    let high = if incompat & INCOMPAT_64BIT != 0 {
        le32(sb, S_BLOCKS_COUNT_HI)
    } else {
        0
    };
    let blocks = u64::from(high) << 32 | u64::from(le32(sb, S_BLOCKS_COUNT_LO));
    Some(FsFacts {
        kind: FsKind::Ext,
        label: text::label(slice(sb, S_VOLUME_NAME, 16)),
        uuid: text::uuid(bytes16(sb, S_UUID)),
        size: blocks.checked_mul(1024 << log_block_size).map(Bytes),
    })
}

/// Whether the kernel or a check found errors that are not corrected: `EXT4_ERROR_FS` in
/// `s_state`. `head` is the beginning of the device.
pub fn has_errors(head: &[u8]) -> bool {
    let sb = head.get(SUPER_OFFSET..).unwrap_or_default();
    le16(sb, S_STATE) & EXT4_ERROR_FS != 0
}

fn sum_holds(sb: &[u8]) -> bool {
    le32(sb, S_FEATURE_RO_COMPAT) & RO_COMPAT_METADATA_CSUM == 0
        || crc32c(!0, slice(sb, 0, S_CHECKSUM)) == le32(sb, S_CHECKSUM)
}
