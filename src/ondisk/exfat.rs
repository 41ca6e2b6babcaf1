//! exFAT: large sticks and SD cards as they are sold.
//!
//! Microsoft's exFAT specification, sections 3.1 (boot sector), 3.4 (checksum) and 7.3
//! (volume label entry).

use super::fields::{byte, has_magic, le32, le64, slice};
use super::{ByteSource, FsFacts, FsKind, Probed, ReadError, read_up_to, text};
use crate::units::{Bytes, Label};

const FILE_SYSTEM_NAME: usize = 3;
const VOLUME_LENGTH: usize = 72;
const CLUSTER_HEAP_OFFSET: usize = 88;
const CLUSTER_COUNT: usize = 92;
const FIRST_CLUSTER_OF_ROOT_DIRECTORY: usize = 96;
const VOLUME_SERIAL_NUMBER: usize = 100;
const BYTES_PER_SECTOR_SHIFT: usize = 108;
const SECTORS_PER_CLUSTER_SHIFT: usize = 109;

/// Sectors under the checksum; the next one repeats it.
const SUMMED_SECTORS: usize = 11;
/// Bytes that change without a new sum: volume flags and the fill level.
const UNSUMMED: [usize; 3] = [106, 107, 112];

const ENTRY: usize = 32;
const END_OF_DIRECTORY: u8 = 0x00;
const VOLUME_LABEL: u8 = 0x83;
/// mkfs and Windows put the label first; an entry behind this is not looked for.
const PIECE: usize = 4096;

/// Whether a boot sector is exFAT's and not a partition table's.
pub fn is_boot_sector(head: &[u8]) -> bool {
    has_magic(head, FILE_SYSTEM_NAME, b"EXFAT   ") && sum_holds(head)
}

/// Facts of a device, `head` being its first bytes.
pub fn probe(head: &[u8], src: &dyn ByteSource) -> Probed {
    if !is_boot_sector(head) {
        return Ok(None);
    }
    let sector_shift = byte(head, BYTES_PER_SECTOR_SHIFT);
    Ok(Some(FsFacts {
        kind: FsKind::Exfat,
        label: root_label(head, src)?,
        uuid: text::serial(le32(head, VOLUME_SERIAL_NUMBER)),
        size: le64(head, VOLUME_LENGTH)
            .checked_mul(1 << sector_shift)
            .map(Bytes),
    }))
}

fn sum_holds(head: &[u8]) -> bool {
    let shift = byte(head, BYTES_PER_SECTOR_SHIFT);
    if !(9..=12).contains(&shift) || byte(head, SECTORS_PER_CLUSTER_SHIFT) > 25 - shift {
        return false;
    }
    let length = SUMMED_SECTORS << shift;
    let bytes = slice(head, 0, length).iter().enumerate();
    let summed = bytes.filter(|(i, _)| !UNSUMMED.contains(i));
    let sum = summed.fold(0u32, |sum, (_, b)| {
        sum.rotate_right(1).wrapping_add((*b).into())
    });
    head.len() >= length + 4 && sum == le32(head, length)
}

fn root_label(head: &[u8], src: &dyn ByteSource) -> Result<Option<Label>, ReadError> {
    let sector_shift = u32::from(byte(head, BYTES_PER_SECTOR_SHIFT));
    let cluster_shift = u32::from(byte(head, SECTORS_PER_CLUSTER_SHIFT));
    let root = le32(head, FIRST_CLUSTER_OF_ROOT_DIRECTORY);
    let clusters = le32(head, CLUSTER_COUNT);
    let Some(index) = root.checked_sub(2).filter(|index| *index < clusters) else {
        return Ok(None);
    };
    let heap = u64::from(le32(head, CLUSTER_HEAP_OFFSET));
    let at = (heap + (u64::from(index) << cluster_shift)) << sector_shift;
    let length = PIECE.min(1 << (sector_shift + cluster_shift));
    let piece = read_up_to(src, at, length)?;
    let mut entries = piece
        .chunks_exact(ENTRY)
        .take_while(|e| byte(e, 0) != END_OF_DIRECTORY);
    let entry = entries.find(|entry| byte(entry, 0) == VOLUME_LABEL);
    // Behind type and length up to eleven UTF-16 units.
    Ok(entry.and_then(|entry| {
        let units = usize::from(byte(entry, 1)).min(11);
        text::label_utf16le(slice(entry, 2, units * 2))
    }))
}
