//! El Torito: what a firmware finds to boot on a disc.
//!
//! "El Torito" Bootable CD-ROM Format Specification 1.0 (1995); platform 0xEF and a count of
//! 0 or 1 ("to the end of the disc"): UEFI 2.11, 13.3.2.1.

use super::fields::{byte, has_magic, le16, le32, slice};
use super::{ByteSource, ReadError, read_up_to};
use std::ops::Range;

/// Sector of a disc, bytes.
pub const SECTOR: u64 = 2048;
/// The boot record must be this sector.
pub const BOOT_RECORD: u64 = 17;
/// Virtual sectors, in which an image's length is counted.
pub const VIRTUAL: u64 = 512;

const SYSTEM_ID: usize = 7;
const ID: &[u8] = b"EL TORITO SPECIFICATION";
const CATALOGUE: usize = 71;

const ENTRY: usize = 32;
/// EDK2 looks at one sector of the catalogue, `ElTorito.c`.
const MOST_ENTRIES: usize = SECTOR as usize / ENTRY;
const VALIDATION: u8 = 1;
const BOOTABLE: u8 = 0x88;
const NOT_BOOTABLE: u8 = 0x00;
const HEADER: u8 = 0x90;
const LAST_HEADER: u8 = 0x91;

/// x86 with a BIOS.
pub const PLATFORM_BIOS: u8 = 0;
/// UEFI.
pub const PLATFORM_EFI: u8 = 0xef;

/// The catalogue that the boot record names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalogue {
    /// Where it begins, sectors of 2,048 bytes.
    pub lba: u32,
    /// Whether the validation entry is one and its words sum to zero; firmware ignores the
    /// catalogue otherwise.
    pub valid: bool,
    /// In the order of the catalogue, the default entry first.
    pub entries: Vec<BootEntry>,
}

/// One thing to boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootEntry {
    /// For whom: [`PLATFORM_BIOS`], [`PLATFORM_EFI`], or another.
    pub platform: u8,
    /// Whether it is the default entry, the only one that BIOSes look at.
    pub default: bool,
    /// Whether it may be booted.
    pub bootable: bool,
    /// Low four bits: 0 no emulation, 1 to 3 a floppy, 4 a hard disk.
    pub media: u8,
    /// Length in sectors of 512 bytes, as much as 16 bits hold.
    pub sectors: u16,
    /// Where it begins, sectors of 2,048 bytes.
    pub lba: u32,
}

impl BootEntry {
    /// Where the image begins, bytes.
    pub fn start(&self) -> u64 {
        u64::from(self.lba) * SECTOR
    }

    /// The bytes that the count claims; "to the end" for 0 and 1 on UEFI.
    pub fn claimed(&self, end: u64) -> Range<u64> {
        let start = self.start();
        let length = match (self.platform, self.sectors) {
            (PLATFORM_EFI, 0 | 1) => end.saturating_sub(start),
            (_, sectors) => u64::from(sectors) * VIRTUAL,
        };
        start..start.saturating_add(length)
    }
}

/// Reads the catalogue of a disc; none if the boot record is none.
///
/// # Errors
/// When the source can't be read.
pub fn read_catalogue(src: &dyn ByteSource) -> Result<Option<Catalogue>, ReadError> {
    let record = read_up_to(src, BOOT_RECORD * SECTOR, SECTOR as usize)?;
    if byte(&record, 0) != 0
        || !has_magic(&record, 1, b"CD001")
        || !has_magic(&record, SYSTEM_ID, ID)
    {
        return Ok(None);
    }
    let lba = le32(&record, CATALOGUE);
    let sector = read_up_to(src, u64::from(lba) * SECTOR, SECTOR as usize)?;
    Ok(Some(parse(lba, &sector)))
}

/// Of the catalogue's bytes.
pub fn parse(lba: u32, bytes: &[u8]) -> Catalogue {
    let entry = |n: usize| slice(bytes, n * ENTRY, ENTRY);
    let validation = entry(0);
    let words = validation.chunks_exact(2).map(|word| le16(word, 0));
    let valid = byte(validation, 0) == VALIDATION
        && has_magic(validation, 30, &[0x55, 0xaa])
        && words.fold(0u16, u16::wrapping_add) == 0;
    let mut entries = Vec::new();
    if validation.len() == ENTRY && entry(1).len() == ENTRY {
        entries.push(boot_entry(entry(1), byte(validation, 1), true));
    }
    let mut platform = byte(validation, 1);
    let mut left = 0u16;
    for n in 2..MOST_ENTRIES {
        let bytes = entry(n);
        match byte(bytes, 0) {
            HEADER | LAST_HEADER if left == 0 => {
                platform = byte(bytes, 1);
                left = le16(bytes, 2);
            }
            BOOTABLE | NOT_BOOTABLE if left > 0 => {
                entries.push(boot_entry(bytes, platform, false));
                left -= 1;
            }
            // An extension (0x44) counts for nothing.
            0x44 => {}
            _ => break,
        }
    }
    Catalogue {
        lba,
        valid,
        entries,
    }
}

fn boot_entry(bytes: &[u8], platform: u8, default: bool) -> BootEntry {
    BootEntry {
        platform,
        default,
        bootable: byte(bytes, 0) == BOOTABLE,
        media: byte(bytes, 1) & 0x0f,
        sectors: le16(bytes, 6),
        lba: le32(bytes, 8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn catalogue() -> Vec<u8> {
        let mut bytes = vec![0; SECTOR as usize];
        bytes[..2].copy_from_slice(&[1, PLATFORM_BIOS]);
        bytes[30..32].copy_from_slice(&[0x55, 0xaa]);
        let sum = bytes[..32]
            .chunks(2)
            .fold(0u16, |sum, word| sum.wrapping_add(le16(word, 0)));
        bytes[28..30].copy_from_slice(&sum.wrapping_neg().to_le_bytes());
        bytes[32..44].copy_from_slice(&[0x88, 0, 0, 0, 0, 0, 4, 0, 50, 0, 0, 0]);
        bytes[64..68].copy_from_slice(&[0x91, 0xef, 1, 0]);
        bytes[96..108].copy_from_slice(&[0x88, 0, 0, 0, 0, 0, 0, 8, 100, 0, 0, 0]);
        bytes
    }

    #[test]
    fn entries_belong_to_the_platform_of_their_header() {
        let read = parse(9, &catalogue());
        assert!(read.valid);
        let short: Vec<_> = read
            .entries
            .iter()
            .map(|e| (e.platform, e.default, e.sectors, e.lba))
            .collect();
        assert_eq!(short, [(0, true, 4, 50), (0xef, false, 2048, 100)]);
        assert_eq!(read.entries[1].claimed(0), 204_800..204_800 + 2048 * 512);
    }

    #[test]
    fn a_wrong_sum_is_told_and_a_count_of_zero_goes_to_the_end() {
        let mut bytes = catalogue();
        bytes[102..104].fill(0);
        bytes[5] ^= 1;
        let read = parse(9, &bytes);
        assert!(!read.valid);
        assert_eq!(read.entries[1].claimed(1 << 20), 204_800..1 << 20);
        assert_eq!(parse(0, &[]).entries, []);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2048), place in 0usize..64, head in prop_oneof![Just(0x90u8), Just(0x91), Just(0x88), Just(0)]) {
            let mut bytes = bytes;
            if let Some(byte) = bytes.get_mut(place * 32) { *byte = head; }
            for entry in parse(1, &bytes).entries {
                let _ = entry.claimed(5);
            }
        }
    }
}
