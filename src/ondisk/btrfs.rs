//! Btrfs.
//!
//! `include/uapi/linux/btrfs_tree.h`, struct btrfs_super_block; little-endian, at 64 KiB.

use super::checksum::crc32c;
use super::fields::{bytes16, has_magic, le16, le32, le64, slice};
use super::{FsFacts, FsKind, text};
use crate::units::Bytes;

const BTRFS_SUPER_INFO_OFFSET: usize = 65536;
const BTRFS_SUPER_INFO_SIZE: usize = 4096;
const BTRFS_CSUM_SIZE: usize = 32;
const BTRFS_MAGIC: &[u8] = b"_BHRfS_M";
const FSID: usize = 0x20;
const BYTENR: usize = 0x30;
const MAGIC: usize = 0x40;
const TOTAL_BYTES: usize = 0x70;
const SECTORSIZE: usize = 0x90;
const CSUM_TYPE: usize = 0xc4;
const LABEL: usize = 0x12b;

/// The other kinds of sum (xxhash, sha256, blake2) are left unchecked.
const BTRFS_CSUM_TYPE_CRC32: u16 = 0;

/// Facts from the first bytes of a device; its length is that of all its devices.
pub fn probe(head: &[u8]) -> Option<FsFacts> {
    let sb = head
        .get(BTRFS_SUPER_INFO_OFFSET..)?
        .get(..BTRFS_SUPER_INFO_SIZE)?;
    let sound = has_magic(sb, MAGIC, BTRFS_MAGIC)
        && le64(sb, BYTENR) == BTRFS_SUPER_INFO_OFFSET as u64
        && le32(sb, SECTORSIZE).is_power_of_two()
        && (le16(sb, CSUM_TYPE) != BTRFS_CSUM_TYPE_CRC32
            || !crc32c(!0, &sb[BTRFS_CSUM_SIZE..]) == le32(sb, 0));
    sound.then(|| FsFacts {
        kind: FsKind::Btrfs,
        label: text::label(slice(sb, LABEL, 256)),
        uuid: text::uuid(bytes16(sb, FSID)),
        size: Some(Bytes(le64(sb, TOTAL_BYTES))),
    })
}
