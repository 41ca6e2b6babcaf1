//! The sections of a PE image: what a unified kernel image is made of.
//!
//! Microsoft, "PE Format": section table; the UAPI group's "Unified Kernel Image": `.linux`,
//! `.initrd`, `.cmdline` and others. `pe.rs` has what adding sections asks.

use super::fields::{byte, has_magic, le16, le32, slice};
use super::{ByteSource, ReadError, read_up_to};
use std::ops::Range;

/// Headers of an image are within its first bytes.
const HEAD: usize = 4096;
const MOST_SECTIONS: usize = 96;
const PE32: u16 = 0x10b;
const PE32_PLUS: u16 = 0x20b;
/// `IMAGE_SUBSYSTEM_EFI_APPLICATION`.
const EFI_APPLICATION: u16 = 10;

/// An image's headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Machine, as in `pe::MACHINE_AMD64`.
    pub machine: u16,
    /// Whether UEFI starts it as an application.
    pub efi_application: bool,
    /// In the order of the table.
    pub sections: Vec<Section>,
}

impl Image {
    /// Whether it is a kernel with its words and initramfs in one.
    pub fn is_uki(&self) -> bool {
        let has = |name| self.sections.iter().any(|section| section.name == name);
        has(".linux") && (has(".initrd") || has(".cmdline"))
    }
}

/// A section with bytes in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Such as `.linux`.
    pub name: String,
    /// Where its bytes are in the file.
    pub at: Range<u64>,
}

/// Reads the headers; none if it is no PE image.
///
/// # Errors
/// When the source can't be read.
pub fn read(src: &dyn ByteSource) -> Result<Option<Image>, ReadError> {
    Ok(parse(&read_up_to(src, 0, HEAD)?))
}

/// Of an image's first bytes.
pub fn parse(head: &[u8]) -> Option<Image> {
    let coff = le32(head, 0x3c) as usize;
    if !has_magic(head, 0, b"MZ") || coff < 0x40 || !has_magic(head, coff, b"PE\0\0") {
        return None;
    }
    let optional = coff + 24;
    if !matches!(le16(head, optional), PE32 | PE32_PLUS) {
        return None;
    }
    let table = optional + usize::from(le16(head, coff + 20));
    let section = |n: usize| {
        let header = slice(head, table + n * 40, 40);
        let name = slice(header, 0, 8);
        let length = name.iter().position(|b| *b == 0).unwrap_or(name.len());
        let (size, start) = (u64::from(le32(header, 16)), u64::from(le32(header, 20)));
        (header.len() == 40 && size > 0 && byte(header, 0) != 0).then(|| Section {
            name: String::from_utf8_lossy(&name[..length]).into_owned(),
            at: start..start + size,
        })
    };
    let count = usize::from(le16(head, coff + 6)).min(MOST_SECTIONS);
    Some(Image {
        machine: le16(head, coff + 4),
        efi_application: le16(head, optional + 68) == EFI_APPLICATION,
        sections: (0..count).filter_map(section).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sections_have_their_place_in_the_file() {
        let mut pe = super::super::pe::tests::sample(0);
        let section = 0x98 + 0xf0;
        pe[section..section + 6].copy_from_slice(b".linux");
        pe[section + 16..section + 18].copy_from_slice(&0x200u16.to_le_bytes());
        pe[section + 20..section + 22].copy_from_slice(&0x400u16.to_le_bytes());
        let image = parse(&pe).unwrap();
        assert_eq!(image.sections[0].at, 0x400..0x600);
        assert!(!image.is_uki());
        assert_eq!(parse(b"MZ"), None);
    }

    proptest! {
        #[test]
        fn damaged_headers_never_panic(damage in proptest::collection::vec((0usize..0x400, any::<u8>()), 0..20), length in 0usize..0x400) {
            let mut pe = super::super::pe::tests::sample(0);
            for (at, byte) in damage { pe[at] = byte; }
            let _ = parse(&pe[..length]);
        }
    }
}
