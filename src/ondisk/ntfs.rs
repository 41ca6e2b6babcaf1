//! NTFS: large sticks and disks of Windows.
//!
//! `fs/ntfs3/ntfs.h`, struct NTFS_BOOT and MFT_REC; the label is an attribute of
//! `$Volume`, record 3 of the master file table.

use super::fields::{byte, has_magic, le16, le32, le64, slice};
use super::{ByteSource, FsFacts, FsKind, Probed, ReadError, read_up_to, text};
use crate::units::{Bytes, Label};

const OEM_ID: usize = 0x03;
const BYTES_PER_SECTOR: usize = 0x0b;
const SECTORS_PER_CLUSTER: usize = 0x0d;
const NUMBER_OF_FATS: usize = 0x10;
const NUMBER_OF_SECTORS: usize = 0x28;
const MFT_CLUSTER: usize = 0x30;
const RECORD_SIZE: usize = 0x40;
const VOLUME_SERIAL: usize = 0x48;

const RECORD_VOLUME: u64 = 3;
const FIXUP_OFFSET: usize = 4;
const FIXUP_COUNT: usize = 6;
const FIRST_ATTRIBUTE: usize = 20;
const ATTR_VOLUME_NAME: u32 = 0x60;
const ATTR_END: u32 = 0xffff_ffff;
/// Attributes that a record of `$Volume` can hold, with room to spare.
const ATTRIBUTES: usize = 32;

/// Whether a boot sector is NTFS's and not a partition table's.
pub fn is_boot_sector(head: &[u8]) -> bool {
    let sector = le16(head, BYTES_PER_SECTOR);
    has_magic(head, OEM_ID, b"NTFS    ")
        && sector.is_power_of_two()
        && (256..=4096).contains(&sector)
        && byte(head, NUMBER_OF_FATS) == 0
        && cluster_size(head).is_some()
}

/// Facts of a device, `head` being its first bytes.
pub fn probe(head: &[u8], src: &dyn ByteSource) -> Probed {
    let cluster = if is_boot_sector(head) {
        cluster_size(head)
    } else {
        None
    };
    let Some(cluster) = cluster else {
        return Ok(None);
    };
    let serial = le64(head, VOLUME_SERIAL);
    let sector = u64::from(le16(head, BYTES_PER_SECTOR));
    Ok(Some(FsFacts {
        kind: FsKind::Ntfs,
        label: volume_name(head, cluster, src)?,
        uuid: (serial != 0).then(|| format!("{serial:016X}")),
        size: le64(head, NUMBER_OF_SECTORS).checked_mul(sector).map(Bytes),
    }))
}

/// A count of sectors or, above 128, a negative power of two; at most 2 MiB.
fn cluster_size(head: &[u8]) -> Option<u64> {
    let sectors = match byte(head, SECTORS_PER_CLUSTER) {
        count @ 1..=128 if count.is_power_of_two() => u64::from(count),
        power @ 240..=249 => 1 << (256 - u32::from(power)),
        _ => return None,
    };
    let size = sectors * u64::from(le16(head, BYTES_PER_SECTOR));
    (size <= 2 << 20).then_some(size)
}

/// A count of clusters or, when negative, a power of two of bytes; at most 4 KiB, as
/// Windows makes them.
fn record_size(head: &[u8], cluster: u64) -> Option<u64> {
    let size = match byte(head, RECORD_SIZE).cast_signed() {
        count @ 1.. => u64::from(count.unsigned_abs()) * cluster,
        power => 1u64.checked_shl(power.unsigned_abs().into())?,
    };
    (512..=4096).contains(&size).then_some(size)
}

fn volume_name(
    head: &[u8],
    cluster: u64,
    src: &dyn ByteSource,
) -> Result<Option<Label>, ReadError> {
    let place = record_size(head, cluster).and_then(|size| {
        let table = le64(head, MFT_CLUSTER).checked_mul(cluster)?;
        Some((table.checked_add(RECORD_VOLUME * size)?, size))
    });
    let Some((at, size)) = place else {
        return Ok(None);
    };
    let mut record = read_up_to(src, at, usize::try_from(size).unwrap_or(0))?;
    if !has_magic(&record, 0, b"FILE") {
        return Ok(None);
    }
    undo_fixups(&mut record);
    let mut at = usize::from(le16(&record, FIRST_ATTRIBUTE));
    for _ in 0..ATTRIBUTES {
        let attribute = record.get(at..).unwrap_or(&[]);
        let length = le32(attribute, 4) as usize;
        match le32(attribute, 0) {
            ATTR_VOLUME_NAME => {
                let value = usize::from(le16(attribute, 20));
                let value = slice(attribute, value, le32(attribute, 16) as usize);
                return Ok(text::label_utf16le(value));
            }
            ATTR_END => break,
            _ if length == 0 => break,
            _ => at = at.saturating_add(length),
        }
    }
    Ok(None)
}

/// The last two bytes of each 512 were put aside when the record was written.
fn undo_fixups(record: &mut [u8]) {
    let array = usize::from(le16(record, FIXUP_OFFSET));
    let count = usize::from(le16(record, FIXUP_COUNT));
    for i in 1..count {
        let kept = le16(record, array + i * 2).to_le_bytes();
        let Some(end) = record.get_mut(i * 512 - 2..i * 512) else {
            return;
        };
        end.copy_from_slice(&kept);
    }
}
