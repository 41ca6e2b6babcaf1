//! The master boot record as a BIOS sees it: its code, and its four entries as they stand.
//!
//! isolinux's `isohdpfx.S` (syslinux 6.04, `mbr/isohdpfx.S`): the sector of isolinux.bin at 432,
//! its mark 0x7078c0fb at 64. GRUB's `boot/i386/pc/boot.S` and `cdboot`: boot_hybrid has the
//! 64-bit sector at 432 too. `mbr.rs` has the table as the kernel reads it.

use super::fields::{byte, has_magic, le32, le64, slice};

/// Length of the record.
pub const RECORD: usize = 512;
/// Where code ends: the disk's signature begins at 440.
const CODE: usize = 440;
/// Where both hybrid codes keep the sector (512 bytes) to load.
const TARGET: usize = 432;

/// isohdpfx asks for this at byte 64 of what it has loaded, and jumps to byte 68.
pub const ISOLINUX_MARK: [u8; 4] = 0x7078_c0fbu32.to_le_bytes();

/// Whose code it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootCode {
    /// Nothing but zeros.
    None,
    /// isolinux's hybrid code and the sector (512 bytes) of the program that it loads.
    Isolinux(u64),
    /// GRUB's, and the sector (512 bytes) of the image that it loads.
    Grub(u64),
    /// Syslinux's plain one: it starts the active partition.
    Syslinux,
    /// Another.
    Unknown,
}

/// An entry of the table, sectors of 512 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MbrEntry {
    /// 1 to 4.
    pub number: u8,
    /// Whether it is marked active (0x80).
    pub active: bool,
    /// Its type.
    pub kind: u8,
    /// First sector.
    pub start: u32,
    /// Length.
    pub length: u32,
}

/// The record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whether it ends in 55 AA; neither BIOS nor UEFI looks at it otherwise.
    pub signed: bool,
    /// What a BIOS would run.
    pub code: BootCode,
    /// The disk's signature, 0 for none.
    pub disk: u32,
    /// Entries in use.
    pub entries: Vec<MbrEntry>,
}

impl Record {
    /// Whether it announces a GPT (UEFI 2.11, 5.2.3).
    pub fn protective(&self) -> bool {
        self.signed && self.entries.iter().any(|e| e.kind == 0xee && e.start == 1)
    }
}

/// Reads a record of 512 bytes; of fewer, what is there.
pub fn parse(record: &[u8]) -> Record {
    let entry = |n: u8| {
        let at = 446 + usize::from(n) * 16;
        MbrEntry {
            number: n + 1,
            active: byte(record, at) & 0x80 != 0,
            kind: byte(record, at + 4),
            start: le32(record, at + 8),
            length: le32(record, at + 12),
        }
    };
    Record {
        signed: has_magic(record, 510, &[0x55, 0xaa]),
        code: code(slice(record, 0, CODE)),
        disk: le32(record, 440),
        entries: (0..4)
            .map(entry)
            .filter(|e| e.length != 0 || e.kind != 0)
            .collect(),
    }
}

fn code(code: &[u8]) -> BootCode {
    let says = |text: &[u8]| code.windows(text.len()).any(|window| window == text);
    if code.iter().all(|byte| *byte == 0) {
        BootCode::None
    } else if says(b"isolinux.bin missing or corrupt") {
        BootCode::Isolinux(le64(code, TARGET))
    } else if says(b"GRUB ") {
        BootCode::Grub(le64(code, TARGET))
    } else if says(b"Missing operating system.") {
        BootCode::Syslinux
    } else {
        BootCode::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_known_by_what_it_says() {
        let mut record = vec![0; RECORD];
        assert_eq!(parse(&record).code, BootCode::None);
        record[0] = 0xeb;
        assert_eq!(parse(&record).code, BootCode::Unknown);
        record[0xb5..0xb5 + 31].copy_from_slice(b"isolinux.bin missing or corrupt");
        record[432] = 200;
        assert_eq!(parse(&record).code, BootCode::Isolinux(200));
        assert_eq!(parse(&[]).code, BootCode::None);
    }

    #[test]
    fn a_fence_needs_its_signature_and_its_start() {
        let mut record = vec![0; RECORD];
        record[446 + 4] = 0xee;
        record[446 + 8] = 1;
        record[446 + 12] = 9;
        assert!(!parse(&record).protective());
        record[510..].copy_from_slice(&[0x55, 0xaa]);
        assert!(parse(&record).protective());
        record[446 + 8] = 0;
        assert!(!parse(&record).protective());
    }
}
