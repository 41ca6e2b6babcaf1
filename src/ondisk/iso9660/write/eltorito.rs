//! The boot catalogue of El Torito 1.0, and the count of an EFI system partition in it.

use super::SECTOR;

/// Platforms (El Torito 1.0, figure 2; UEFI 2.11, 13.3.2.1).
const X86: u8 = 0;
const EFI: u8 = 0xef;
const BOOTABLE: u8 = 0x88;
const LAST_SECTION: u8 = 0x91;
/// What isolinux asks for: four sectors of 512 bytes; it loads the rest itself.
const ISOLINUX_COUNT: u16 = 4;

/// What firmware starts from a disc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Catalogue {
    /// Sector of the EFI system partition.
    pub esp: u32,
    /// Its length, bytes.
    pub esp_length: u64,
    /// Sector of the BIOS boot program, without emulation; none when only UEFI starts.
    pub bios: Option<u32>,
}

/// The most sectors of 512 bytes that an entry counts.
pub const MOST_COUNTED: u64 = 65_535;

/// The count for an EFI system partition of so many bytes: the true one where 16 bits hold it,
/// else 0, "to the end of the disc" (UEFI 2.11, 13.3.2.1), and never a cut one: firmware starts
/// the loader of a cut partition and then misses what lies behind.
pub fn count(length: u64) -> u16 {
    let sectors = length.div_ceil(512);
    u16::try_from(sectors).unwrap_or(0)
}

impl Catalogue {
    /// Its one sector.
    pub fn bytes(&self) -> [u8; SECTOR as usize] {
        let mut sector = [0; SECTOR as usize];
        let efi = entry(self.esp, count(self.esp_length));
        let mut entries = vec![validation(if self.bios.is_some() { X86 } else { EFI })];
        match self.bios {
            None => entries.push(efi),
            Some(bios) => {
                let mut section = [0; 32];
                section[..4].copy_from_slice(&[LAST_SECTION, EFI, 1, 0]);
                entries.extend([entry(bios, ISOLINUX_COUNT), section, efi]);
            }
        }
        for (place, entry) in sector.chunks_exact_mut(32).zip(entries) {
            place.copy_from_slice(&entry);
        }
        sector
    }
}

/// All its sixteen words sum to zero.
fn validation(platform: u8) -> [u8; 32] {
    let mut entry = [0; 32];
    entry[..2].copy_from_slice(&[1, platform]);
    entry[30..].copy_from_slice(&[0x55, 0xaa]);
    let words = entry.chunks_exact(2);
    let sum = words.fold(0u16, |sum, w| {
        sum.wrapping_add(u16::from_le_bytes([w[0], w[1]]))
    });
    entry[28..30].copy_from_slice(&sum.wrapping_neg().to_le_bytes());
    entry
}

/// No emulation, the usual load segment.
fn entry(sector: u32, count: u16) -> [u8; 32] {
    let mut entry = [0; 32];
    entry[0] = BOOTABLE;
    entry[6..8].copy_from_slice(&count.to_le_bytes());
    entry[8..12].copy_from_slice(&sector.to_le_bytes());
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_true_or_none_but_never_cut() {
        assert_eq!(count(65_535 * 512), 65_535);
        for sectors in [65_536, 65_537, 73_728, 131_072, 1 << 40] {
            assert_eq!(count(sectors * 512), 0);
        }
    }

    #[test]
    fn the_catalogue_sums_to_zero_and_has_bios_before_uefi() {
        let both = Catalogue {
            esp: 1000,
            esp_length: 8 << 20,
            bios: Some(77),
        };
        for (catalogue, at) in [(both, 96), (Catalogue { bios: None, ..both }, 32)] {
            let bytes = catalogue.bytes();
            let words = bytes[..32].chunks_exact(2);
            let sum = words.fold(0u16, |s, w| {
                s.wrapping_add(u16::from_le_bytes([w[0], w[1]]))
            });
            assert_eq!(sum, 0);
            assert_eq!(bytes[at], 0x88);
            assert_eq!(bytes[at + 6..at + 12], [0, 64, 0xe8, 3, 0, 0]);
        }
        assert_eq!(both.bytes()[64..68], [0x91, 0xef, 1, 0]);
        assert_eq!(
            both.bytes()[32..44],
            [0x88, 0, 0, 0, 0, 0, 4, 0, 77, 0, 0, 0]
        );
    }
}
