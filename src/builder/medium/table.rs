//! The partition tables of the medium: a protective MBR and both copies of the GPT, with the
//! two partitions that are on it.

use super::super::{Error, Result};
use crate::ondisk::gpt::write::{NewPartition, READ_ONLY, REQUIRED, TAIL_SECTORS, encode};
use crate::ondisk::table::Guid;

/// Bytes of the sectors that the tables count: those of sticks.
const SECTOR: u64 = 512;
/// Basic data (`EBD0A0A2-B9E5-4433-87C0-68B6B72699C7`, UEFI 2.11 table 5.7 names it in its
/// notes): what all tools give an ISO 9660, and Windows shows.
const BASIC_DATA: Guid = Guid(*b"\xa2\xa0\xd0\xeb\xe5\xb9\x33\x44\x87\xc0\x68\xb6\xb7\x26\x99\xc7");
/// EFI system partition (`C12A7328-F81F-11D2-BA4B-00A0C93EC93B`, UEFI 2.11 table 5.7).
const ESP: Guid = Guid(*b"\x28\x73\x2a\xc1\x1f\xf8\xd2\x11\xba\x4b\x00\xa0\xc9\x3e\xc9\x3b");

/// What the ids of the tables are made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Disk GUID as it stands on the disk; the partitions' derive from it.
    pub disk: [u8; 16],
}

impl Identity {
    /// The id of a partition: the disk's with the partition's number in its first byte of
    /// chance (as libisofs does), so that a digest behind it makes all of them.
    fn partition(&self, number: u8) -> Guid {
        let mut id = self.disk;
        id[9] ^= number;
        Guid(id)
    }
}

/// What the tables say, bytes from the start: partitions begin and end at sectors.
#[derive(Clone, Copy, Debug)]
pub struct Spans {
    /// Partition 1: start and end.
    pub iso: (u64, u64),
    /// Partition 2.
    pub esp: (u64, u64),
    /// Length of the medium.
    pub length: u64,
}

/// Protective MBR and both copies of the GPT: offset, and bytes.
pub fn pieces(identity: &Identity, spans: &Spans, code: &[u8]) -> Result<Vec<(u64, Vec<u8>)>> {
    let partition = |number, kind, (start, end): (u64, u64), attributes, name: &str| NewPartition {
        kind,
        unique: identity.partition(number),
        first: start / SECTOR,
        last: (end / SECTOR).saturating_sub(1),
        attributes,
        name: name.into(),
    };
    let partitions = [
        partition(1, BASIC_DATA, spans.iso, REQUIRED | READ_ONLY, "ISO9660"),
        partition(2, ESP, spans.esp, 0, "EFI"),
    ];
    let sectors = spans.length / SECTOR;
    let table = encode(Guid(identity.disk), sectors, &partitions, code)
        .map_err(|e| Error::input("the medium", e.to_string(), "report this as a defect"))?;
    let tail = spans.length.saturating_sub(TAIL_SECTORS * SECTOR);
    Ok(vec![(0, table.head), (tail, table.tail)])
}
