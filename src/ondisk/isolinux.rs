//! What isolinux and its master boot record must be told: where on the image they lie.
//!
//! Boot info table: mkisofs(8) `-boot-info-table`, syslinux's `core/isolinux.asm`
//! (`bi_pvd` and on). Master boot record: syslinux's `mbr/isohdpfx.S` and
//! `utils/isohybrid.c` (`initialise_mbr`).

use super::fields::{has_magic, le32};

/// Bytes of the code that starts isolinux from a stick: what is before the fields that
/// `isohybrid.c` fills.
pub const MBR_CODE: usize = 432;
/// Where isolinux says that such code may start it.
const HYBRID_AT: usize = 64;
const HYBRID: &[u8] = b"\xfb\xc0\x78\x70";
/// The table's four numbers; forty bytes behind them are reserved.
const TABLE: usize = 8;
/// Where the sum starts.
const SUMMED: usize = 64;

/// Whether it is an isolinux that a stick can start too.
pub fn is_hybrid(program: &[u8]) -> bool {
    has_magic(program, HYBRID_AT, HYBRID) && u32::try_from(program.len()).is_ok()
}

/// Puts the boot info table into isolinux: the sectors of 2,048 bytes of the volume descriptor
/// and of itself, its length, and the sum of its words from byte 64 on. None when it is not one.
pub fn put_boot_info(program: &mut [u8], descriptor: u32, sector: u32) -> Option<()> {
    if !is_hybrid(program) {
        return None;
    }
    let words = program.get(SUMMED..)?.chunks(4);
    let sum = words.fold(0u32, |sum, word| sum.wrapping_add(le32(&padded(word), 0)));
    let length = u32::try_from(program.len()).ok()?;
    let table = program.get_mut(TABLE..SUMMED)?;
    table.fill(0);
    for (place, number) in table
        .chunks_exact_mut(4)
        .zip([descriptor, sector, length, sum])
    {
        place.copy_from_slice(&number.to_le_bytes());
    }
    Some(())
}

fn padded(word: &[u8]) -> [u8; 4] {
    let mut all = [0; 4];
    for (to, from) in all.iter_mut().zip(word) {
        *to = *from;
    }
    all
}

/// The first 440 bytes of a master boot record: the code, and the sector of 512 bytes at which
/// isolinux lies. None when the code has another length than [`MBR_CODE`].
pub fn boot_code(code: &[u8], lba: u64) -> Option<[u8; 440]> {
    let mut bytes = [0; 440];
    if code.len() != MBR_CODE {
        return None;
    }
    bytes[..MBR_CODE].copy_from_slice(code);
    bytes[MBR_CODE..].copy_from_slice(&lba.to_le_bytes());
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_where_it_lies_and_sums_the_rest() {
        let mut program = vec![0xff; 70];
        program[64..68].copy_from_slice(HYBRID);
        put_boot_info(&mut program, 16, 0x1234).unwrap();
        let word = |n: usize| le32(&program, n);
        // 0x7078c0fb + 0x0000ffff: the last word is filled up with zeros.
        let all = [word(8), word(12), word(16), word(20)];
        assert_eq!(all, [16, 0x1234, 70, 0x7079_c0fa]);
        assert!(program[24..64].iter().all(|b| *b == 0));
        assert!(put_boot_info(&mut [0; 100], 16, 1).is_none());
        assert!(put_boot_info(&mut [], 16, 1).is_none());
    }

    #[test]
    fn the_record_of_a_stick_names_a_sector_of_512_bytes() {
        let bytes = boot_code(&[7; MBR_CODE], 300).unwrap();
        assert_eq!(bytes[431..436], [7, 44, 1, 0, 0]);
        assert!(boot_code(&[7; 440], 300).is_none());
    }
}
