//! Writing a GUID partition table: both copies, and the protective MBR in front.
//!
//! UEFI 2.11, 5.3.2 (header, table 5.5) and 5.3.3 (entries, table 5.6); the fields' places
//! are in `gpt.rs`. Sectors of 512 bytes: what a stick has, and what the kernel gives a loop.

use super::{
    DISK_GUID, ENDING_LBA, ENTRIES_CRC32, ENTRY, HEADER_CRC32, HEADER_SIZE, LEAST_HEADER, MY_LBA,
    NAME, NAME_LENGTH, NUMBER_OF_ENTRIES, PARTITION_ENTRY_LBA, SIGNATURE, SIZE_OF_ENTRY,
    STARTING_LBA, UNIQUE_GUID,
};
use crate::ondisk::checksum::crc32;
use crate::ondisk::fields::put;
use crate::ondisk::mbr;
use crate::ondisk::table::Guid;
use std::fmt;

/// Bytes of a sector.
const SECTOR: usize = 512;
/// Entries of a table: the 16 KiB that UEFI 2.11 5.3.1 asks for at least.
pub const ENTRIES: usize = 128;
/// Sectors that the entries take.
const ENTRY_SECTORS: u64 = (ENTRIES * ENTRY / SECTOR) as u64;
/// Sectors before the first that a partition may have: MBR, header, entries.
pub const HEAD_SECTORS: u64 = 2 + ENTRY_SECTORS;
/// Sectors behind the last that a partition may have: entries, header.
pub const TAIL_SECTORS: u64 = ENTRY_SECTORS + 1;
const REVISION: u32 = 0x0001_0000;
const REVISION_AT: usize = 8;
const ALTERNATE_LBA: usize = 32;
const FIRST_USABLE_LBA: usize = 40;
const LAST_USABLE_LBA: usize = 48;
const ATTRIBUTES: usize = 48;

/// Attribute bit 0: the platform needs it; tools must not remove it (table 5.8).
pub const REQUIRED: u64 = 1;
/// Attribute bit 60 of basic data: read-only, for Windows (`GPT_BASIC_DATA_ATTRIBUTE_READ_ONLY`).
pub const READ_ONLY: u64 = 1 << 60;

/// A partition to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPartition {
    /// What it is for.
    pub kind: Guid,
    /// Its own id, PARTUUID=.
    pub unique: Guid,
    /// First sector.
    pub first: u64,
    /// Last sector, itself included.
    pub last: u64,
    /// Attribute bits.
    pub attributes: u64,
    /// At most 36 UTF-16 units.
    pub name: String,
}

/// Why there is no such table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GptError {
    /// More partitions than [`ENTRIES`].
    TooMany(usize),
    /// The disk has not the sectors for both copies.
    TooSmall(u64),
    /// A partition, by number from 1, ends before it begins, or is not between the copies.
    Outside(usize, u64, u64),
    /// Two partitions, by number, share sectors.
    Overlap(usize, usize),
    /// A partition's name is longer than 36 UTF-16 units, or holds a NUL.
    Name(usize, String),
    /// A partition has the type of an unused entry, or its id is another's or none.
    Id(usize),
}

impl fmt::Display for GptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GptError::TooMany(count) => {
                write!(f, "{count} partitions, and a table holds {ENTRIES}")
            }
            GptError::TooSmall(sectors) => write!(
                f,
                "{sectors} sectors, and the two copies of the table alone take {}",
                HEAD_SECTORS + TAIL_SECTORS
            ),
            GptError::Outside(number, first, last) => write!(
                f,
                "partition {number} (sectors {first} to {last}) is not between the two copies of the table"
            ),
            GptError::Overlap(one, two) => write!(f, "partitions {one} and {two} share sectors"),
            GptError::Name(number, name) => write!(
                f,
                "the name of partition {number} ({name:?}) is no text of 36 UTF-16 units at most"
            ),
            GptError::Id(number) => {
                write!(f, "partition {number} has no type, or no id of its own")
            }
        }
    }
}

/// A disk's table as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GptBytes {
    /// The first [`HEAD_SECTORS`] sectors of the disk.
    pub head: Vec<u8>,
    /// The last [`TAIL_SECTORS`] sectors of the disk.
    pub tail: Vec<u8>,
}

/// The table of a disk of `sectors` sectors of 512 bytes; `boot_code` goes into the MBR
/// ([`mbr::write::protective`]).
///
/// # Errors
/// When the partitions do not fit the disk, each other or their fields.
pub fn encode(
    disk: Guid,
    sectors: u64,
    partitions: &[NewPartition],
    boot_code: &[u8],
) -> Result<GptBytes, GptError> {
    if sectors < HEAD_SECTORS + TAIL_SECTORS {
        return Err(GptError::TooSmall(sectors));
    }
    check(sectors, partitions)?;
    let entries = entries(partitions)?;
    let sum = !crc32(!0, &entries);
    let header = |my: u64, alternate: u64, at: u64| header(disk, sectors, my, alternate, at, sum);
    let last = sectors - 1;
    let mut head = mbr::write::protective(sectors, boot_code).to_vec();
    head.extend(header(1, last, 2));
    head.extend(&entries);
    let mut tail = entries;
    tail.extend(header(last, 1, last - ENTRY_SECTORS));
    Ok(GptBytes { head, tail })
}

fn check(sectors: u64, partitions: &[NewPartition]) -> Result<(), GptError> {
    if partitions.len() > ENTRIES {
        return Err(GptError::TooMany(partitions.len()));
    }
    let usable = HEAD_SECTORS..=sectors - TAIL_SECTORS - 1;
    for (n, one) in partitions.iter().enumerate() {
        if one.first > one.last || !usable.contains(&one.first) || !usable.contains(&one.last) {
            return Err(GptError::Outside(n + 1, one.first, one.last));
        }
        if [one.kind.0, one.unique.0].contains(&[0; 16]) {
            return Err(GptError::Id(n + 1));
        }
        for (earlier, other) in partitions[..n].iter().enumerate() {
            if one.first <= other.last && other.first <= one.last {
                return Err(GptError::Overlap(earlier + 1, n + 1));
            }
            if one.unique == other.unique {
                return Err(GptError::Id(n + 1));
            }
        }
    }
    Ok(())
}

fn entries(partitions: &[NewPartition]) -> Result<Vec<u8>, GptError> {
    let mut bytes = vec![0; ENTRIES * ENTRY];
    for (n, (entry, one)) in bytes.chunks_exact_mut(ENTRY).zip(partitions).enumerate() {
        let name: Vec<u8> = one.name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        if name.len() > NAME_LENGTH || one.name.contains('\0') {
            return Err(GptError::Name(n + 1, one.name.clone()));
        }
        put(entry, 0, &one.kind.0);
        put(entry, UNIQUE_GUID, &one.unique.0);
        put(entry, STARTING_LBA, &one.first.to_le_bytes());
        put(entry, ENDING_LBA, &one.last.to_le_bytes());
        put(entry, ATTRIBUTES, &one.attributes.to_le_bytes());
        put(entry, NAME, &name);
    }
    Ok(bytes)
}

/// The header's sector at LBA `my`, whose entries begin at LBA `at`.
fn header(disk: Guid, sectors: u64, my: u64, alternate: u64, at: u64, sum: u32) -> Vec<u8> {
    let mut bytes = vec![0; SECTOR];
    put(&mut bytes, 0, SIGNATURE);
    put(&mut bytes, REVISION_AT, &REVISION.to_le_bytes());
    put(
        &mut bytes,
        HEADER_SIZE,
        &(LEAST_HEADER as u32).to_le_bytes(),
    );
    put(&mut bytes, MY_LBA, &my.to_le_bytes());
    put(&mut bytes, ALTERNATE_LBA, &alternate.to_le_bytes());
    put(&mut bytes, FIRST_USABLE_LBA, &HEAD_SECTORS.to_le_bytes());
    let last_usable = sectors - TAIL_SECTORS - 1;
    put(&mut bytes, LAST_USABLE_LBA, &last_usable.to_le_bytes());
    put(&mut bytes, DISK_GUID, &disk.0);
    put(&mut bytes, PARTITION_ENTRY_LBA, &at.to_le_bytes());
    put(
        &mut bytes,
        NUMBER_OF_ENTRIES,
        &(ENTRIES as u32).to_le_bytes(),
    );
    put(&mut bytes, SIZE_OF_ENTRY, &(ENTRY as u32).to_le_bytes());
    put(&mut bytes, ENTRIES_CRC32, &sum.to_le_bytes());
    // The sum counts its own field as zero.
    let own = !crc32(!0, &bytes[..LEAST_HEADER]);
    put(&mut bytes, HEADER_CRC32, &own.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ondisk::gpt::read_table;
    use crate::ondisk::table::{Copies, TableKind};
    use crate::units::{Label, Sectors};
    use proptest::prelude::*;

    fn partition(n: u8, first: u64, last: u64) -> NewPartition {
        NewPartition {
            kind: Guid([7; 16]),
            unique: Guid([n; 16]),
            first,
            last,
            attributes: REQUIRED | READ_ONLY,
            name: format!("Größe {n}"),
        }
    }

    fn disk(sectors: u64, bytes: &GptBytes) -> Vec<u8> {
        let mut disk = bytes.head.clone();
        disk.resize((sectors - TAIL_SECTORS) as usize * SECTOR, 0);
        disk.extend(&bytes.tail);
        disk
    }

    #[test]
    fn our_reader_finds_the_same_in_each_copy() {
        let parts = [partition(1, 64, 99), partition(2, 100, 100)];
        let bytes = encode(Guid([9; 16]), 200, &parts, &[]).unwrap();
        let mut disk = disk(200, &bytes);
        for copies in [Copies::Primary, Copies::BackupOnly] {
            let table = read_table(&disk, 512).unwrap().unwrap();
            assert_eq!(table.kind, TableKind::Gpt(copies));
            assert_eq!(table.partitions.len(), 2);
            let first = &table.partitions[0];
            assert_eq!((first.start, first.length), (Sectors(64), Sectors(36)));
            assert_eq!(first.name, Some(Label::new("Größe 1")));
            assert_eq!(table.partitions[1].length, Sectors(1));
            disk[SECTOR + 20] ^= 1;
            disk[SECTOR + MY_LBA] ^= 1;
        }
    }

    #[test]
    fn what_overlaps_or_lies_outside_is_refused() {
        let encode = |parts: &[NewPartition]| encode(Guid([9; 16]), 200, parts, &[]);
        let refused = [
            (partition(2, 99, 120), GptError::Overlap(1, 2)),
            (partition(2, 64, 64), GptError::Overlap(1, 2)),
            (partition(2, 33, 40), GptError::Outside(2, 33, 40)),
            (partition(2, 150, 167), GptError::Outside(2, 150, 167)),
            (partition(2, 150, 149), GptError::Outside(2, 150, 149)),
            (partition(1, 120, 121), GptError::Id(2)),
            (partition(0, 120, 121), GptError::Id(2)),
        ];
        for (second, error) in refused {
            assert_eq!(encode(&[partition(1, 64, 99), second]), Err(error));
        }
        assert!(encode(&[partition(1, 34, 166)]).is_ok());
        let many: Vec<_> = (0..129).map(|n| partition(n, 0, 0)).collect();
        assert_eq!(encode(&many), Err(GptError::TooMany(129)));
        let mut long = partition(1, 64, 99);
        long.name = "x".repeat(36);
        assert!(encode(&[long.clone()]).is_ok());
        long.name.push('x');
        assert!(matches!(encode(&[long]), Err(GptError::Name(1, _))));
        assert_eq!(
            super::encode(Guid([9; 16]), 66, &[], &[]),
            Err(GptError::TooSmall(66))
        );
    }

    proptest! {
        #[test]
        fn any_numbers_give_a_table_or_a_reason(sectors in 0u64..400, cuts in proptest::collection::vec((0u64..400, 0u64..400), 0..5)) {
            let parts: Vec<_> = (1..).zip(&cuts).map(|(n, (first, last))| partition(n, *first, *last)).collect();
            if let Ok(bytes) = encode(Guid([9; 16]), sectors, &parts, &[]) {
                let disk = disk(sectors, &bytes);
                prop_assert_eq!(disk.len() as u64, sectors * 512);
                let table = read_table(&disk, 512).unwrap().unwrap();
                prop_assert_eq!(table.partitions.len(), parts.len());
            }
        }
    }
}
