//! 64-bit little-endian ELF, as far as the builder asks: machine, interpreter, a section
//! by its name.
//!
//! Contract: System V ABI, "Object Files" and "Program Header"; numbers as in `elf.h`.
#![forbid(unsafe_code)]

/// `EM_X86_64`.
pub const EM_X86_64: u16 = 62;
const ELFCLASS64: u8 = 2;
const ELFDATA2LSB: u8 = 1;
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const PT_INTERP: u32 = 3;
const SHT_NOBITS: u32 = 8;

/// A parsed ELF file; all offsets are checked when they are used.
#[derive(Clone, Copy, Debug)]
pub struct Elf<'a> {
    bytes: &'a [u8],
}

/// Why bytes are no ELF file that we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadElf {
    /// The magic number is missing.
    #[error("it is no ELF file")]
    NotElf,
    /// 32-bit or big-endian.
    #[error("it is an ELF file, but not a 64-bit little-endian one")]
    OtherClass,
    /// A table reaches behind the end.
    #[error("it is an ELF file that was cut short")]
    Cut,
}

impl<'a> Elf<'a> {
    /// Checks magic, class and byte order.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BadElf> {
        if !bytes.starts_with(b"\x7fELF") {
            return Err(BadElf::NotElf);
        }
        if bytes.len() < 64 {
            return Err(BadElf::Cut);
        }
        if bytes[4] != ELFCLASS64 || bytes[5] != ELFDATA2LSB {
            return Err(BadElf::OtherClass);
        }
        Ok(Elf { bytes })
    }

    /// `e_machine`.
    pub fn machine(&self) -> Result<u16, BadElf> {
        self.u16(18)
    }

    /// Whether it can be executed (`ET_EXEC`, or `ET_DYN` as static-pie is).
    pub fn is_program(&self) -> Result<bool, BadElf> {
        Ok(matches!(self.u16(16)?, ET_EXEC | ET_DYN))
    }

    /// Whether it asks for a dynamic loader (`PT_INTERP`).
    pub fn has_interpreter(&self) -> Result<bool, BadElf> {
        let (table, size, count) = (self.u64(32)?, self.u16(54)?, self.u16(56)?);
        for n in 0..u64::from(count) {
            let at = table.checked_add(n * u64::from(size)).ok_or(BadElf::Cut)?;
            if self.u32(at)? == PT_INTERP {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The bytes of the section of that name, if there is one.
    pub fn section(&self, name: &str) -> Result<Option<&'a [u8]>, BadElf> {
        let (table, size, count) = (self.u64(40)?, self.u16(58)?, self.u16(60)?);
        let header = |n: u16| {
            table
                .checked_add(u64::from(n) * u64::from(size))
                .ok_or(BadElf::Cut)
        };
        if table == 0 || count == 0 {
            return Ok(None);
        }
        let names = self.section_bytes(header(self.u16(62)?)?)?;
        for n in 0..count {
            let at = header(n)?;
            let start = self.u32(at)? as usize;
            let text = names.get(start..).ok_or(BadElf::Cut)?;
            if text.split(|b| *b == 0).next() == Some(name.as_bytes()) {
                return self.section_bytes(at).map(Some);
            }
        }
        Ok(None)
    }

    /// Bytes of the section whose header stands at `at`.
    fn section_bytes(&self, at: u64) -> Result<&'a [u8], BadElf> {
        if self.u32(at.saturating_add(4))? == SHT_NOBITS {
            return Ok(&[]);
        }
        self.range(
            self.u64(at.saturating_add(24))?,
            self.u64(at.saturating_add(32))?,
        )
    }

    fn range(&self, start: u64, len: u64) -> Result<&'a [u8], BadElf> {
        let end = start.checked_add(len).ok_or(BadElf::Cut)?;
        let (start, end) = (usize::try_from(start), usize::try_from(end));
        let (Ok(start), Ok(end)) = (start, end) else {
            return Err(BadElf::Cut);
        };
        self.bytes.get(start..end).ok_or(BadElf::Cut)
    }

    fn array<const N: usize>(&self, at: u64) -> Result<[u8; N], BadElf> {
        self.range(at, N as u64)?
            .try_into()
            .map_err(|_| BadElf::Cut)
    }

    fn u16(&self, at: u64) -> Result<u16, BadElf> {
        self.array(at).map(u16::from_le_bytes)
    }

    fn u32(&self, at: u64) -> Result<u32, BadElf> {
        self.array(at).map(u32::from_le_bytes)
    }

    fn u64(&self, at: u64) -> Result<u64, BadElf> {
        self.array(at).map(u64::from_le_bytes)
    }
}

/// The values of one key of a module's `.modinfo` section: strings `key=value`, each
/// ended by a NUL (`include/linux/moduleparam.h`).
pub fn modinfo_values<'a>(section: &'a [u8], key: &str) -> Vec<&'a str> {
    let entries = section
        .split(|b| *b == 0)
        .filter_map(|e| std::str::from_utf8(e).ok());
    entries
        .filter_map(|entry| entry.strip_prefix(key)?.strip_prefix('='))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn this_test_program_is_an_x86_64_program_without_a_modinfo_section() {
        let bytes = std::fs::read("/proc/self/exe").unwrap();
        let elf = Elf::parse(&bytes).unwrap();
        assert_eq!(elf.machine().unwrap(), EM_X86_64);
        assert!(elf.is_program().unwrap());
        assert!(
            elf.section(".text")
                .unwrap()
                .is_some_and(|text| text.len() > 1000)
        );
        assert_eq!(elf.section(".modinfo").unwrap(), None);
    }

    #[test]
    fn text_is_no_elf_file() {
        assert_eq!(Elf::parse(b"#!/bin/sh\n").unwrap_err(), BadElf::NotElf);
        assert_eq!(Elf::parse(b"\x7fELF").unwrap_err(), BadElf::Cut);
    }

    #[test]
    fn modinfo_gives_all_values_of_a_key_and_no_longer_keys() {
        let section = b"firmware=a.bin\0firmware_extra=no\0license=GPL\0firmware=b/c.bin\0";
        assert_eq!(modinfo_values(section, "firmware"), ["a.bin", "b/c.bin"]);
    }

    /// The first 4 KiB of this test program.
    fn head() -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        let mut file = std::fs::File::open("/proc/self/exe").unwrap();
        std::io::Read::read_exact(&mut file, &mut bytes).unwrap();
        bytes
    }

    proptest! {
        #[test]
        fn damaged_headers_never_panic(damage in proptest::collection::vec((0usize..64, any::<u8>()), 0..20)) {
            let mut bytes = head();
            for (at, byte) in damage {
                bytes[at] = byte;
            }
            if let Ok(elf) = Elf::parse(&bytes) {
                let _ = (elf.machine(), elf.has_interpreter(), elf.section(".modinfo"));
            }
        }
    }
}
