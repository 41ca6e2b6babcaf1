//! The master boot record's partition table, with logical partitions.
//!
//! `block/partitions/msdos.c` of the kernel, for numbering and for what it ignores.

pub mod write;

use super::fields::{byte, has_magic, le32, slice};
use super::table::{Partition, PartitionType, Table, TableKind, in_sectors};
use super::{ByteSource, ReadError, exfat, fat, ntfs, probe, read_up_to};
use crate::units::Sectors;

const DISK_ID: usize = 440;
const ENTRIES: usize = 446;
const ENTRY: usize = 16;
const MARK: usize = 510;
/// Length of the record, whatever the disk's sectors.
const RECORD: usize = 512;

const BOOT_INDICATOR: usize = 0;
const TYPE: usize = 4;
const START: usize = 8;
const LENGTH: usize = 12;

const TYPE_EFI_GPT: u8 = 0xee;
/// DOS, Windows 95 and Linux each have an own number for the extended partition.
const TYPES_EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];
const FIRST_LOGICAL: u32 = 5;
/// Records that a chain may have.
const MOST_LOGICAL: usize = 64;

/// One slot of a record, in sectors of the disk.
struct Slot {
    kind: u8,
    start: u32,
    length: u32,
}

impl Slot {
    fn is_extended(&self) -> bool {
        TYPES_EXTENDED.contains(&self.kind)
    }
}

/// What the logical partitions' numbers and ids depend on.
struct Disk<'a> {
    src: &'a dyn ByteSource,
    sector_size: u32,
    id: u32,
}

/// Whether a record is the fence in front of a GPT.
pub fn is_protective(record: &[u8]) -> bool {
    let mut slots = slots(record);
    has_magic(record, MARK, &[0x55, 0xaa])
        && slots.any(|slot| slot.kind == TYPE_EFI_GPT && slot.start == 1)
}

/// The table of a disk; none if its first sector is a file system's boot sector, the fence
/// of a GPT, or holds no partition.
pub fn read_table(src: &dyn ByteSource, sector_size: u32) -> Result<Option<Table>, ReadError> {
    if !sector_size.is_power_of_two() || !(512..=4096).contains(&sector_size) {
        return Ok(None);
    }
    let head = read_up_to(src, 0, probe::HEAD)?;
    let indicators = (0..4).map(|i| byte(&head, ENTRIES + i * ENTRY + BOOT_INDICATOR));
    let is_table = has_magic(&head, MARK, &[0x55, 0xaa])
        && indicators.into_iter().all(|b| matches!(b, 0 | 0x80))
        && slots(&head).all(|slot| slot.kind != TYPE_EFI_GPT)
        && slots(&head).any(|slot| slot.length != 0)
        && !fat::is_boot_sector(&head)
        && !exfat::is_boot_sector(&head)
        && !ntfs::is_boot_sector(&head);
    if !is_table {
        return Ok(None);
    }
    let disk = Disk {
        src,
        sector_size,
        id: le32(&head, DISK_ID),
    };
    let mut partitions = Vec::new();
    for (number, slot) in (1..).zip(slots(&head)) {
        partitions.extend(disk.partition(number, &slot, 0));
    }
    for slot in slots(&head).filter(|slot| slot.is_extended() && slot.length != 0) {
        disk.read_logical(&slot, &mut partitions)?;
    }
    Ok(Some(Table {
        kind: TableKind::Mbr,
        uuid: (disk.id != 0).then(|| format!("{:08x}", disk.id)),
        partitions,
    }))
}

fn slots(record: &[u8]) -> impl Iterator<Item = Slot> + '_ {
    let entries = slice(record, ENTRIES, 4 * ENTRY).chunks_exact(ENTRY);
    entries.map(|entry| Slot {
        kind: byte(entry, TYPE),
        start: le32(entry, START),
        length: le32(entry, LENGTH),
    })
}

impl Disk<'_> {
    /// The partition of a slot in use whose start counts from sector `base`.
    fn partition(&self, number: u32, slot: &Slot, base: u64) -> Option<Partition> {
        let start = in_sectors(base + u64::from(slot.start), self.sector_size)?;
        let length = in_sectors(slot.length.into(), self.sector_size)?;
        (length != Sectors(0)).then(|| Partition {
            number,
            start,
            length,
            kind: PartitionType::Mbr(slot.kind),
            uuid: (self.id != 0).then(|| format!("{:08x}-{number:02x}", self.id)),
            name: None,
        })
    }

    /// Follows the chain of records in an extended partition: each holds one partition,
    /// counted from itself, and the next record, counted from the extended partition.
    fn read_logical(&self, extended: &Slot, all: &mut Vec<Partition>) -> Result<(), ReadError> {
        let first = u64::from(extended.start);
        let end = first + u64::from(extended.length);
        let mut at = first;
        for _ in 0..MOST_LOGICAL {
            let offset = at * u64::from(self.sector_size);
            let record = read_up_to(self.src, offset, RECORD)?;
            if !has_magic(&record, MARK, &[0x55, 0xaa]) {
                break;
            }
            let data = slots(&record).filter(|slot| !slot.is_extended() && slot.length != 0);
            let fits = |s: &Slot| at + u64::from(s.start) + u64::from(s.length) <= end;
            for slot in data.filter(fits) {
                let last = all.iter().map(|p| p.number).max().unwrap_or(0);
                all.extend(self.partition(FIRST_LOGICAL.max(last + 1), &slot, at));
            }
            let mut links = slots(&record).filter(|slot| slot.is_extended() && slot.length != 0);
            // A chain only goes forward: it can't be a circle.
            let next = links.next().map(|slot| first + u64::from(slot.start));
            match next.filter(|next| *next > at && *next < end) {
                Some(next) => at = next,
                None => break,
            }
        }
        Ok(())
    }
}
