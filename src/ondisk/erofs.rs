//! EROFS, the other read-only image.
//!
//! `fs/erofs/erofs_fs.h`, struct erofs_super_block; little-endian, at byte 1,024.
//! <https://docs.kernel.org/filesystems/erofs.html>

use super::checksum::crc32c_without;
use super::fields::{byte, bytes16, has_magic, le32, slice};
use super::{FsFacts, FsKind, text};
use crate::units::Bytes;

const EROFS_SUPER_OFFSET: usize = 1024;
const EROFS_SUPER_MAGIC_V1: &[u8] = &[0xe2, 0xe1, 0xf5, 0xe0];
const CHECKSUM: usize = 4;
const FEATURE_COMPAT: usize = 8;
const BLKSZBITS: usize = 12;
const BLOCKS: usize = 36;
const UUID: usize = 48;
const VOLUME_NAME: usize = 64;

const EROFS_FEATURE_COMPAT_SB_CHKSUM: u32 = 1;

/// Facts from the first bytes of a device.
pub fn probe(head: &[u8]) -> Option<FsFacts> {
    let sb = head.get(EROFS_SUPER_OFFSET..)?;
    let bits = byte(sb, BLKSZBITS);
    if !has_magic(sb, 0, EROFS_SUPER_MAGIC_V1) || !(9..=16).contains(&bits) || !sum_holds(sb, bits)
    {
        return None;
    }
    Some(FsFacts {
        kind: FsKind::Erofs,
        label: text::label(slice(sb, VOLUME_NAME, 16)),
        uuid: text::uuid(bytes16(sb, UUID)),
        size: Some(Bytes(u64::from(le32(sb, BLOCKS)) << bits)),
    })
}

/// The sum covers the rest of the superblock's block, itself counted as zero
/// (`fs/erofs/super.c`, erofs_superblock_csum_verify).
fn sum_holds(sb: &[u8], bits: u8) -> bool {
    if le32(sb, FEATURE_COMPAT) & EROFS_FEATURE_COMPAT_SB_CHKSUM == 0 {
        return true;
    }
    let length = match 1usize << bits {
        block if block > EROFS_SUPER_OFFSET => block - EROFS_SUPER_OFFSET,
        block => block,
    };
    let covered = sb.get(..length);
    covered.is_some_and(|covered| crc32c_without(covered, CHECKSUM) == le32(sb, CHECKSUM))
}
