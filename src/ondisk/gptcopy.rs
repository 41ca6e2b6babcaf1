//! Both copies of a GUID partition table, with all that is wrong with each.
//!
//! UEFI 2.11, 5.3.2 (header) and 5.3.3 (entries). `gpt.rs` has what a boot asks, which needs
//! one copy that holds; here a broken one is told apart from a missing one.

use super::checksum::crc32;
use super::fields::{bytes16, has_magic, le32, le64, slice};
use super::table::Guid;
use super::{ByteSource, ReadError, read_up_to, text};

const HEADER_CRC32: usize = 16;
const LEAST_HEADER: usize = 92;
/// More entries than any table has; as `gpt.rs`.
const MOST_ENTRIES: u32 = 1024;
const LONGEST_ENTRY: u32 = 4096;

/// One copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GptCopy {
    /// Sector where its header lies.
    pub lba: u64,
    /// Whether the sum of the header holds.
    pub header_holds: bool,
    /// Whether the sum of the entries holds.
    pub entries_hold: bool,
    /// Where it says that it lies, sectors.
    pub my_lba: u64,
    /// Where it says that the other copy lies, sectors.
    pub alternate_lba: u64,
    /// First and last sector that partitions may use.
    pub usable: (u64, u64),
    /// The disk's GUID, lower case.
    pub disk: String,
    /// First sector of the entries, how many there are, and the length of each in bytes.
    pub entries: (u64, u32, u32),
    /// Entries in use.
    pub partitions: Vec<Entry>,
}

impl GptCopy {
    /// Whether firmware takes it: both sums hold, and it lies where it says.
    pub fn holds(&self) -> bool {
        self.header_holds && self.entries_hold && self.my_lba == self.lba
    }
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Counted from one.
    pub number: u32,
    /// Type, lower case.
    pub kind: String,
    /// Its own GUID, lower case.
    pub guid: String,
    /// First sector.
    pub first: u64,
    /// Last sector, itself included.
    pub last: u64,
    /// Its name.
    pub name: String,
}

/// Reads the copy whose header lies at sector `lba`; none if no header is there.
/// `sector_size` is that of the table, bytes.
///
/// # Errors
/// When the source can't be read.
pub fn read_copy(
    src: &dyn ByteSource,
    lba: u64,
    sector_size: u32,
) -> Result<Option<GptCopy>, ReadError> {
    let Some(at) = lba.checked_mul(sector_size.into()) else {
        return Ok(None);
    };
    let header = read_up_to(src, at, sector_size as usize)?;
    if !has_magic(&header, 0, b"EFI PART") {
        return Ok(None);
    }
    let (start, count, size) = (le64(&header, 72), le32(&header, 80), le32(&header, 84));
    let sane = count <= MOST_ENTRIES && (128..=LONGEST_ENTRY).contains(&size);
    let length = if sane {
        count as usize * size as usize
    } else {
        0
    };
    let bytes = match start.checked_mul(sector_size.into()) {
        Some(at) => read_up_to(src, at, length)?,
        None => Vec::new(),
    };
    let entries = bytes.chunks_exact(size.max(1) as usize);
    Ok(Some(GptCopy {
        lba,
        header_holds: header_holds(&header),
        entries_hold: sane && bytes.len() == length && !crc32(!0, &bytes) == le32(&header, 88),
        my_lba: le64(&header, 24),
        alternate_lba: le64(&header, 32),
        usable: (le64(&header, 40), le64(&header, 48)),
        disk: Guid(bytes16(&header, 56)).to_string(),
        entries: (start, count, size),
        partitions: (1..).zip(entries).filter_map(entry).collect(),
    }))
}

fn header_holds(header: &[u8]) -> bool {
    let size = le32(header, 12) as usize;
    if !(LEAST_HEADER..=header.len()).contains(&size) {
        return false;
    }
    let sum = crc32(crc32(!0, slice(header, 0, HEADER_CRC32)), &[0; 4]);
    !crc32(
        sum,
        slice(header, HEADER_CRC32 + 4, size - HEADER_CRC32 - 4),
    ) == le32(header, HEADER_CRC32)
}

fn entry((number, bytes): (u32, &[u8])) -> Option<Entry> {
    let kind = Guid(bytes16(bytes, 0));
    (kind.0 != [0; 16]).then(|| Entry {
        number,
        kind: kind.to_string(),
        guid: Guid(bytes16(bytes, 16)).to_string(),
        first: le64(bytes, 32),
        last: le64(bytes, 40),
        name: text::label_utf16le(slice(bytes, 56, 72)).map_or(String::new(), |l| l.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug)]
    struct Disk(Vec<u8>);

    impl ByteSource for Disk {
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
            self.0.read_at(offset, buf)
        }
        fn len(&self) -> u64 {
            self.0.len() as u64
        }
    }

    /// One partition, sectors 40 to 50.
    fn disk() -> Disk {
        let mut bytes = vec![0; 64 * 512];
        let entries = 1024;
        bytes[entries..entries + 16].fill(7);
        bytes[entries + 32] = 40;
        bytes[entries + 40] = 50;
        let sum = !crc32(!0, &bytes[entries..entries + 4 * 128]);
        let header = &mut bytes[512..1024];
        header[..8].copy_from_slice(b"EFI PART");
        header[12] = 92;
        header[24] = 1;
        header[32] = 63;
        header[72] = 2;
        header[80] = 4;
        header[84] = 128;
        header[88..92].copy_from_slice(&sum.to_le_bytes());
        let sum = !crc32(!0, &header[..92]);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        Disk(bytes)
    }

    #[test]
    fn a_copy_that_holds_and_one_that_does_not_are_told_apart() {
        let mut disk = disk();
        let copy = read_copy(&disk, 1, 512).unwrap().unwrap();
        assert!(copy.holds());
        assert_eq!(
            (copy.partitions[0].first, copy.partitions[0].last),
            (40, 50)
        );
        disk.0[1024 + 40] = 51;
        let copy = read_copy(&disk, 1, 512).unwrap().unwrap();
        assert!(copy.header_holds && !copy.entries_hold);
        disk.0[512 + 40] = 1;
        assert!(!read_copy(&disk, 1, 512).unwrap().unwrap().header_holds);
        assert_eq!(read_copy(&disk, 9, 512).unwrap(), None);
        assert_eq!(read_copy(&disk, u64::MAX, 512).unwrap(), None);
    }

    proptest! {
        #[test]
        fn damaged_headers_never_panic(damage in proptest::collection::vec((512usize..1024, any::<u8>()), 0..20)) {
            let mut disk = disk();
            for (at, byte) in damage { disk.0[at] = byte; }
            let _ = read_copy(&disk, 1, 512);
        }
    }
}
