//! XFS.
//!
//! `fs/xfs/libxfs/xfs_format.h`, struct xfs_dsb; big-endian, at byte 0.

use super::checksum::crc32c_without;
use super::fields::{be16, be32, be64, byte, bytes16, has_magic, le32, slice};
use super::{FsFacts, FsKind, text};
use crate::units::Bytes;

const XFS_SB_MAGIC: &[u8] = b"XFSB";
const SB_BLOCKSIZE: usize = 4;
const SB_DBLOCKS: usize = 8;
const SB_UUID: usize = 32;
const SB_AGCOUNT: usize = 88;
const SB_VERSIONNUM: usize = 100;
const SB_SECTSIZE: usize = 102;
const SB_FNAME: usize = 108;
const SB_BLOCKLOG: usize = 120;
const SB_SECTLOG: usize = 121;
/// The one little-endian field.
const SB_CRC: usize = 224;

/// Facts from the first bytes of a device.
pub fn probe(head: &[u8]) -> Option<FsFacts> {
    let block_size = be32(head, SB_BLOCKSIZE);
    let sound = has_magic(head, 0, XFS_SB_MAGIC)
        && (9..=16).contains(&byte(head, SB_BLOCKLOG))
        && block_size == 1 << byte(head, SB_BLOCKLOG)
        && (9..=15).contains(&byte(head, SB_SECTLOG))
        && be16(head, SB_SECTSIZE) == 1 << byte(head, SB_SECTLOG)
        && be32(head, SB_AGCOUNT) != 0
        && sum_holds(head);
    sound.then(|| FsFacts {
        kind: FsKind::Xfs,
        label: text::label(slice(head, SB_FNAME, 12)),
        uuid: text::uuid(bytes16(head, SB_UUID)),
        size: be64(head, SB_DBLOCKS)
            .checked_mul(block_size.into())
            .map(Bytes),
    })
}

/// Version 5 sums its whole sector, the sum counted as zero.
fn sum_holds(head: &[u8]) -> bool {
    if be16(head, SB_VERSIONNUM) & 0xf != 5 {
        return true;
    }
    let sector = slice(head, 0, be16(head, SB_SECTSIZE).into());
    !crc32c_without(sector, SB_CRC) == le32(head, SB_CRC)
}
