//! F2FS.
//!
//! `include/linux/f2fs_fs.h`, struct f2fs_super_block; little-endian, at byte 1,024.

use super::checksum::crc32;
use super::fields::{bytes16, le16, le32, le64, slice};
use super::{FsFacts, FsKind, text};
use crate::units::Bytes;

const F2FS_SUPER_OFFSET: usize = 1024;
const F2FS_SUPER_MAGIC: u32 = 0xf2f5_2010;
/// Version 1.0 lays its superblock out otherwise.
const MAJOR_VER: usize = 0x04;
const MINOR_VER: usize = 0x06;
const LOG_BLOCKSIZE: usize = 0x10;
const CHECKSUM_OFFSET: usize = 0x20;
const BLOCK_COUNT: usize = 0x24;
const UUID: usize = 0x6c;
const VOLUME_NAME: usize = 0x7c;
const MAX_VOLUME_NAME: usize = 512;

/// Facts from the first bytes of a device.
pub fn probe(head: &[u8]) -> Option<FsFacts> {
    let sb = head.get(F2FS_SUPER_OFFSET..)?;
    let version = (le16(sb, MAJOR_VER), le16(sb, MINOR_VER));
    let log_block_size = le32(sb, LOG_BLOCKSIZE);
    let sound = le32(sb, 0) == F2FS_SUPER_MAGIC
        && version != (1, 0)
        && (9..=16).contains(&log_block_size)
        && sum_holds(sb);
    sound.then(|| FsFacts {
        kind: FsKind::F2fs,
        label: text::label_utf16le(slice(sb, VOLUME_NAME, MAX_VOLUME_NAME * 2)),
        uuid: text::uuid(bytes16(sb, UUID)),
        size: le64(sb, BLOCK_COUNT)
            .checked_mul(1 << log_block_size)
            .map(Bytes),
    })
}

/// Newer versions sum what stands before the sum, with the magic as seed.
fn sum_holds(sb: &[u8]) -> bool {
    match le32(sb, CHECKSUM_OFFSET) as usize {
        0 => true,
        at => at <= 4092 && crc32(F2FS_SUPER_MAGIC, slice(sb, 0, at)) == le32(sb, at),
    }
}
