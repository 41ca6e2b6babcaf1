//! Directory records (ECMA-119 9.1).

use super::bytes::{both16, both32};
use super::{SECTOR, date};

/// A file's last record but one, and those before it, say that it goes on (ECMA-119 9.1.6).
pub const MORE: u8 = 0x80;
/// A directory.
pub const DIRECTORY: u8 = 0x02;
/// A record's length stands in a byte and is even.
const LONGEST: usize = 254;
/// Bytes before the identifier.
const HEAD: usize = 33;

/// What a record says but for its System Use field.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Identifier; one byte 0 or 1 for the directory itself and the one above.
    pub id: &'a [u8],
    /// Where the contents are.
    pub sector: u32,
    /// Their length, bytes.
    pub length: u32,
    /// [`DIRECTORY`], [`MORE`].
    pub flags: u8,
    /// Seconds since 1970.
    pub epoch: u64,
}

impl Record<'_> {
    /// How much System Use it has room for.
    pub fn room(&self) -> usize {
        LONGEST.saturating_sub(padded(HEAD + self.id.len()))
    }

    /// Its bytes; the System Use field is at most [`Record::room`] long.
    pub fn bytes(&self, system_use: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0];
        bytes.extend(both32(self.sector));
        bytes.extend(both32(self.length));
        bytes.extend(date::short(self.epoch));
        bytes.extend([self.flags, 0, 0]);
        bytes.extend(both16(1));
        bytes.push(self.id.len() as u8);
        bytes.extend(self.id);
        bytes.resize(padded(bytes.len()), 0);
        bytes.extend(system_use);
        bytes.resize(padded(bytes.len()), 0);
        bytes[0] = bytes.len() as u8;
        bytes
    }
}

fn padded(length: usize) -> usize {
    length.next_multiple_of(2)
}

/// Puts a record behind the others: none crosses the border of a sector.
pub fn append(to: &mut Vec<u8>, record: &[u8]) {
    let sector = SECTOR as usize;
    if to.len() % sector + record.len() > sector {
        to.resize(to.len().next_multiple_of(sector), 0);
    }
    to.extend(record);
}
