//! Writing a protective MBR: the fence that tells old programs that the whole disk is taken.
//!
//! UEFI 2.11, 5.2.3, table 5.4; the fields' places are in `mbr.rs`.

use super::{BOOT_INDICATOR, ENTRIES, LENGTH, MARK, RECORD, START, TYPE, TYPE_EFI_GPT};

/// Room for the code of a boot loader (table 5.1), bytes.
pub const BOOT_CODE: usize = 440;
/// Cylinder, head and sector of LBA 1.
const FIRST_CHS: [u8; 3] = [0x00, 0x02, 0x00];
/// What a disk of more than 1,024 cylinders has for its last sector.
const LAST_CHS: [u8; 3] = [0xff, 0xff, 0xff];

/// The record of a disk of `sectors` sectors (of its own length), with the code that a BIOS
/// starts; firmware that reads GPT ignores the code. Of code longer than [`BOOT_CODE`] the
/// rest is left out.
pub fn protective(sectors: u64, code: &[u8]) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    let length = code.len().min(BOOT_CODE);
    record[..length].copy_from_slice(&code[..length]);
    let entry = &mut record[ENTRIES..];
    entry[BOOT_INDICATOR] = 0;
    entry[1..4].copy_from_slice(&FIRST_CHS);
    entry[TYPE] = TYPE_EFI_GPT;
    entry[5..8].copy_from_slice(&LAST_CHS);
    entry[START..START + 4].copy_from_slice(&1u32.to_le_bytes());
    // A longer disk says that it fills the field.
    let rest = u32::try_from(sectors.saturating_sub(1)).unwrap_or(u32::MAX);
    entry[LENGTH..LENGTH + 4].copy_from_slice(&rest.to_le_bytes());
    record[MARK..].copy_from_slice(&[0x55, 0xaa]);
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ondisk::mbr::is_protective;

    #[test]
    fn a_protective_record_is_known_as_one_and_keeps_the_code() {
        let record = protective(2048, &[0x90; 600]);
        assert!(is_protective(&record));
        assert_eq!(record[..440], [0x90; 440]);
        assert_eq!(record[440..446], [0; 6]);
        assert_eq!(record[458..462], 2047u32.to_le_bytes());
        let huge = protective(1 << 33, &[]);
        assert_eq!(huge[458..462], [0xff; 4]);
    }
}
