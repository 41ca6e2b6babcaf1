//! Partition tables: what GPT and MBR have in common, and which of them a disk has.

use super::{ByteSource, ReadError, gpt, mbr};
use crate::units::{Label, Sectors};
use std::fmt;

/// A GUID as it stands on disk: the first three groups little-endian.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(pub [u8; 16]);

impl fmt::Display for Guid {
    /// In lower case, as PARTUUID= is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
        for (i, at) in ORDER.into_iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{:02x}", self.0[at])?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a partition says it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionType {
    /// GPT's.
    Guid(Guid),
    /// MBR's.
    Mbr(u8),
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// As the kernel counts: the device's suffix.
    pub number: u32,
    /// Where it begins on the disk.
    pub start: Sectors,
    /// How long it is.
    pub length: Sectors,
    /// What it is for.
    pub kind: PartitionType,
    /// As in PARTUUID=, lower case; none where an MBR has no disk id.
    pub uuid: Option<String>,
    /// As in PARTLABEL=; GPT only.
    pub name: Option<Label>,
}

/// Which table it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// With what there is of it.
    Gpt(Copies),
    /// The old one.
    Mbr,
}

/// Which copy of a GPT could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies {
    /// The first one, at the start.
    Primary,
    /// Only the one at the end: the first is damaged.
    BackupOnly,
}

/// A partition table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Which.
    pub kind: TableKind,
    /// The disk's own id, lower case: PTUUID.
    pub uuid: Option<String>,
    /// In the order of their numbers.
    pub partitions: Vec<Partition>,
}

/// The table of a disk whose logical sectors have `sector_size` bytes; none if it has none.
/// GPT comes first: its protective MBR is only a fence.
pub fn read_table(src: &dyn ByteSource, sector_size: u32) -> Result<Option<Table>, ReadError> {
    match gpt::read_table(src, sector_size)? {
        None => mbr::read_table(src, sector_size),
        found => Ok(found),
    }
}

/// Sectors of a disk as sectors of 512 bytes; none where the sum overflows.
pub(super) fn in_sectors(count: u64, sector_size: u32) -> Option<Sectors> {
    count.checked_mul(u64::from(sector_size / 512)).map(Sectors)
}
