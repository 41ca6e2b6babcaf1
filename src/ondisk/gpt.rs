//! The GUID partition table.
//!
//! UEFI 2.10, chapter 5.3; checks as in the kernel's `block/partitions/efi.c`, but the
//! backup at the end of the disk is believed without a kernel word.

pub mod write;

use super::checksum::crc32;
use super::fields::{bytes16, has_magic, le32, le64, slice};
use super::table::{Copies, Guid, Partition, PartitionType, Table, TableKind, in_sectors};
use super::{ByteSource, ReadError, mbr, read_up_to, text};

const SIGNATURE: &[u8] = b"EFI PART";
const HEADER_SIZE: usize = 12;
const HEADER_CRC32: usize = 16;
const MY_LBA: usize = 24;
const DISK_GUID: usize = 56;
const PARTITION_ENTRY_LBA: usize = 72;
const NUMBER_OF_ENTRIES: usize = 80;
const SIZE_OF_ENTRY: usize = 84;
const ENTRIES_CRC32: usize = 88;
/// Length of the header without what later revisions may append.
const LEAST_HEADER: usize = 92;

/// The kernel reads entries of this length only.
const ENTRY: usize = 128;
/// Hybrid images have up to 248; the kernel makes at most 256 devices.
const MOST_ENTRIES: usize = 1024;
const UNIQUE_GUID: usize = 16;
const STARTING_LBA: usize = 32;
const ENDING_LBA: usize = 40;
const NAME: usize = 56;
const NAME_LENGTH: usize = 72;

/// The table of a disk with a protective MBR; none if both copies are missing or damaged.
pub fn read_table(src: &dyn ByteSource, sector_size: u32) -> Result<Option<Table>, ReadError> {
    let sector = u64::from(sector_size);
    if !sector_size.is_power_of_two() || !(512..=4096).contains(&sector_size) {
        return Ok(None);
    }
    let Some(last) = (src.len() / sector).checked_sub(1) else {
        return Ok(None);
    };
    // One read for the fence, the header and, mostly, the entries.
    let head = read_up_to(src, 0, 2 * sector_size as usize + 128 * ENTRY)?;
    if !mbr::is_protective(&head) {
        return Ok(None);
    }
    let primary = slice(&head, sector_size as usize, sector_size as usize);
    if let Some(found) = read_copy(src, primary, 1, sector_size, &head)? {
        return Ok(Some(found));
    }
    let backup = read_up_to(src, last * sector, sector_size as usize)?;
    read_copy(src, &backup, last, sector_size, &head)
}

/// The copy whose header is `header`, if its sums hold.
fn read_copy(
    src: &dyn ByteSource,
    header: &[u8],
    lba: u64,
    sector_size: u32,
    head: &[u8],
) -> Result<Option<Table>, ReadError> {
    let count = le32(header, NUMBER_OF_ENTRIES) as usize;
    let at = le64(header, PARTITION_ENTRY_LBA).checked_mul(sector_size.into());
    let (true, Some(at)) = (is_header(header, lba) && count <= MOST_ENTRIES, at) else {
        return Ok(None);
    };
    let length = count * ENTRY;
    let in_head = usize::try_from(at)
        .ok()
        .and_then(|at| head.get(at..)?.get(..length));
    let entries = match in_head {
        Some(entries) => entries.to_vec(),
        None => read_up_to(src, at, length)?,
    };
    if entries.len() < length || !crc32(!0, &entries) != le32(header, ENTRIES_CRC32) {
        return Ok(None);
    }
    let partition = |(index, entry)| partition(index, entry, sector_size, src.len());
    Ok(Some(Table {
        kind: TableKind::Gpt(if lba == 1 {
            Copies::Primary
        } else {
            Copies::BackupOnly
        }),
        uuid: Some(Guid(bytes16(header, DISK_GUID)).to_string()),
        partitions: (1..)
            .zip(entries.chunks_exact(ENTRY))
            .filter_map(partition)
            .collect(),
    }))
}

fn is_header(header: &[u8], lba: u64) -> bool {
    let size = le32(header, HEADER_SIZE) as usize;
    if !has_magic(header, 0, SIGNATURE) || !(LEAST_HEADER..=header.len()).contains(&size) {
        return false;
    }
    let sum = crc32(!0, slice(header, 0, HEADER_CRC32));
    let sum = crc32(sum, &[0; 4]);
    let sum = !crc32(
        sum,
        slice(header, HEADER_CRC32 + 4, size - HEADER_CRC32 - 4),
    );
    sum == le32(header, HEADER_CRC32)
        && le64(header, MY_LBA) == lba
        && le32(header, SIZE_OF_ENTRY) as usize == ENTRY
}

/// The partition of an entry in use that lies on the disk.
fn partition(number: u32, entry: &[u8], sector_size: u32, disk: u64) -> Option<Partition> {
    let kind = Guid(bytes16(entry, 0));
    let (first, last) = (le64(entry, STARTING_LBA), le64(entry, ENDING_LBA));
    let sectors = disk / u64::from(sector_size);
    if kind.0 == [0; 16] || first > last || last >= sectors {
        return None;
    }
    Some(Partition {
        number,
        start: in_sectors(first, sector_size)?,
        length: in_sectors(last - first + 1, sector_size)?,
        kind: PartitionType::Guid(kind),
        uuid: Some(Guid(bytes16(entry, UNIQUE_GUID)).to_string()),
        name: text::label_utf16le(slice(entry, NAME, NAME_LENGTH)),
    })
}
