//! Adding sections to a PE image: a unified kernel image out of systemd's stub.
//!
//! Microsoft, "PE Format": COFF header, optional header (PE32+), section table, the checksum
//! of IMAGHELP. The stub's own bytes stay where they are; new sections follow, each at a
//! multiple of the file's alignment, so that contents can be copied straight to their place.

use super::{PeLayout, WordSum, u16_at, u32_at};
use crate::ondisk::fields::put;
use std::fmt;

/// Length of a section header.
const SECTION: usize = 40;
/// Characters of a section's name.
const NAME: usize = 8;
/// Before the optional header: `PE\0\0` and the COFF header.
const COFF: usize = 24;
const NUMBER_OF_SECTIONS: usize = 6;
const TIME_DATE_STAMP: usize = 8;
/// In the optional header.
const SIZE_OF_INITIALIZED_DATA: usize = 8;
const FILE_ALIGNMENT: usize = 36;
const SIZE_OF_IMAGE: usize = 56;
const SIZE_OF_HEADERS: usize = 60;
const CHECK_SUM: usize = 64;
const NUMBER_OF_RVA_AND_SIZES: usize = 108;
/// Directory entry 4, IMAGE_DIRECTORY_ENTRY_SECURITY: the signatures.
const CERTIFICATES: usize = 112 + 4 * 8;
/// What 32 bits count, with room for rounding up.
const MOST_BYTES: u64 = u32::MAX as u64 - (1 << 20);
/// The loader of Windows takes no more.
const MOST_SECTIONS: usize = 96;
/// In a section header.
const VIRTUAL_SIZE: usize = 8;
const VIRTUAL_ADDRESS: usize = 12;
const SIZE_OF_RAW_DATA: usize = 16;
const POINTER_TO_RAW_DATA: usize = 20;
const CHARACTERISTICS: usize = 36;

/// IMAGE_SCN_CNT_INITIALIZED_DATA, IMAGE_SCN_MEM_READ.
const DATA: u32 = 0x4000_0040;
/// A sector of a disc: each section but the first begins at one, so that it can be a file of
/// its own in an ISO, too. What is between belongs to the section before: an image with gaps
/// confuses programs that sign.
const DISC_SECTOR: u64 = 2048;
/// A page: firmware protects memory by pages.
const PAGE: u64 = 0x1000;

/// Why nothing can be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeError {
    /// It is no PE32+ image, or is cut short; where, bytes.
    NotPe(usize),
    /// A header's field, as words, has a value that cannot be.
    Field(&'static str, u64),
    /// Its signature would no longer hold.
    Signed,
    /// It has a section of this name already.
    Present(String),
    /// The name is longer than eight characters.
    Name(String),
    /// So many bytes are left for headers, of so many.
    NoRoom(u64, u64),
    /// The image would exceed what its 32-bit fields count.
    TooLarge(u64),
}

impl fmt::Display for PeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeError::NotPe(at) => write!(f, "it is no EFI program of 64 bits (seen at byte {at})"),
            PeError::Field(name, value) => write!(f, "its field {name} is {value:#x}"),
            PeError::Signed => f.write_str("it is signed, and with sections added it would not be"),
            PeError::Present(name) => write!(f, "it has a section {name} already"),
            PeError::Name(name) => write!(f, "no section can be named {name}"),
            PeError::NoRoom(left, needed) => write!(
                f,
                "its header has room for {left} bytes of section headers, and {needed} are needed"
            ),
            PeError::TooLarge(len) => write!(f, "the image would have {len} bytes"),
        }
    }
}

/// An image with sections added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UkiPlan {
    /// Its beginning: the stub with new headers.
    pub header: Vec<u8>,
    /// The new sections, in the order given.
    pub pieces: Vec<UkiPiece>,
    /// Bytes of the whole; what is in no piece is zero.
    pub len: u64,
    /// Where the checksum stands, bytes.
    sum_at: usize,
}

/// Where a section's contents go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UkiPiece {
    /// The section.
    pub name: String,
    /// Bytes from the image's start, even.
    pub offset: u64,
    /// Bytes of its contents.
    pub len: u64,
}

/// The stub with sections of these names and lengths, in that order, dated `time`, in seconds
/// since 1970. Its checksum is zero, which means none, until [`UkiPlan::seal`].
///
/// # Errors
/// When the stub is none, or has no room.
pub fn plan(stub: &[u8], sections: &[(&str, u64)], time: u32) -> Result<UkiPlan, PeError> {
    let headers = Headers::read(stub)?;
    headers.check_room(stub, sections.len())?;
    let mut header = stub.to_vec();
    header.resize(
        stub.len().next_multiple_of(headers.file_alignment as usize),
        0,
    );
    let mut offset = header.len() as u64;
    let align = headers.layout.section_alignment.max(PAGE);
    let mut address = headers.layout.end;
    let mut size = 0;
    let mut pieces = Vec::new();
    for (n, (name, len)) in sections.iter().enumerate() {
        address = address.next_multiple_of(align);
        let too_large = offset.max(address).saturating_add(*len);
        if too_large > MOST_BYTES {
            return Err(PeError::TooLarge(too_large));
        }
        let unit = headers.file_alignment.max(DISC_SECTOR);
        let raw = match len {
            0 => 0,
            len => (offset + len).next_multiple_of(unit) - offset,
        };
        headers.check_name(stub, name, &sections[..n])?;
        let at = headers.end() + n * SECTION;
        put(&mut header, at, name.as_bytes());
        put32(&mut header, at + VIRTUAL_SIZE, *len);
        put32(&mut header, at + VIRTUAL_ADDRESS, address);
        put32(&mut header, at + SIZE_OF_RAW_DATA, raw);
        put32(
            &mut header,
            at + POINTER_TO_RAW_DATA,
            if raw == 0 { 0 } else { offset },
        );
        put32(&mut header, at + CHARACTERISTICS, DATA.into());
        pieces.push(UkiPiece {
            name: (*name).to_owned(),
            offset,
            len: *len,
        });
        offset += raw;
        size += raw;
        // Sections do not share an address, even without contents.
        address += (*len).max(1);
    }
    let (coff, optional) = (headers.coff, headers.optional());
    let count = (headers.sections + sections.len()) as u16;
    put(&mut header, coff + NUMBER_OF_SECTIONS, &count.to_le_bytes());
    put32(&mut header, coff + TIME_DATE_STAMP, time.into());
    let data = u32_at(stub, optional + SIZE_OF_INITIALIZED_DATA).unwrap_or(0);
    let data = u32::try_from(u64::from(data) + size).unwrap_or(u32::MAX);
    put32(
        &mut header,
        optional + SIZE_OF_INITIALIZED_DATA,
        data.into(),
    );
    let image = address.next_multiple_of(headers.layout.section_alignment);
    put32(&mut header, optional + SIZE_OF_IMAGE, image);
    put32(&mut header, optional + CHECK_SUM, 0);
    Ok(UkiPlan {
        header,
        pieces,
        len: offset,
        sum_at: optional + CHECK_SUM,
    })
}

impl UkiPlan {
    /// Sets the checksum from the sums of the pieces' contents.
    pub fn seal(&mut self, contents: &[WordSum]) {
        put32(&mut self.header, self.sum_at, 0);
        let mut sum = WordSum::default();
        sum.feed(&self.header);
        // All pieces begin at even offsets, so their words are the image's.
        for piece in contents {
            sum.add(piece);
        }
        let sum = sum.checksum(self.len);
        put32(&mut self.header, self.sum_at, sum.into());
    }
}

/// What of a stub's headers counts here.
struct Headers {
    layout: PeLayout,
    coff: usize,
    sections: usize,
    optional_len: usize,
    file_alignment: u64,
}

impl Headers {
    fn read(stub: &[u8]) -> Result<Headers, PeError> {
        let coff = u32_at(stub, 0x3c).unwrap_or(0) as usize;
        let not_pe = || PeError::NotPe(coff.min(stub.len()));
        let layout = PeLayout::parse(stub).ok_or_else(not_pe)?;
        let field16 = |at| u16_at(stub, at).map(usize::from).ok_or_else(not_pe);
        let field32 = |at| u32_at(stub, at).map(u64::from).ok_or_else(not_pe);
        let headers = Headers {
            coff,
            sections: field16(coff + NUMBER_OF_SECTIONS)?,
            optional_len: field16(coff + 20)?,
            file_alignment: field32(coff + COFF + FILE_ALIGNMENT)?,
            layout,
        };
        let optional = headers.optional();
        for (name, value, least) in [
            ("FileAlignment", headers.file_alignment, 512),
            (
                "SectionAlignment",
                headers.layout.section_alignment,
                headers.file_alignment,
            ),
        ] {
            if !value.is_power_of_two() || !(least..=1 << 16).contains(&value) {
                return Err(PeError::Field(name, value));
            }
        }
        let directories = field32(optional + NUMBER_OF_RVA_AND_SIZES)?;
        let optional_len = headers.optional_len as u64;
        if directories > 16 || 112 + directories * 8 > optional_len {
            return Err(PeError::Field("NumberOfRvaAndSizes", directories));
        }
        if directories > 4 && field32(optional + CERTIFICATES)? != 0 {
            return Err(PeError::Signed);
        }
        if headers.layout.end > u32::MAX.into() {
            return Err(PeError::Field("VirtualAddress", headers.layout.end));
        }
        Ok(headers)
    }

    fn optional(&self) -> usize {
        self.coff + COFF
    }

    /// Behind the last section header.
    fn end(&self) -> usize {
        self.optional() + self.optional_len + self.sections * SECTION
    }

    fn section<'a>(&self, stub: &'a [u8], n: usize) -> &'a [u8] {
        let at = self.optional() + self.optional_len + n * SECTION;
        stub.get(at..at + SECTION).unwrap_or(&[])
    }

    /// The room between the last header and what the header's length or a section's contents
    /// take; all contents lie in the file.
    fn check_room(&self, stub: &[u8], more: usize) -> Result<(), PeError> {
        let size = u32_at(stub, self.optional() + SIZE_OF_HEADERS).unwrap_or(0);
        let mut limit = u64::from(size).min(stub.len() as u64);
        for n in 0..self.sections {
            let section = self.section(stub, n);
            let raw = |at| u32_at(section, at).map_or(0, u64::from);
            let (at, len) = (raw(POINTER_TO_RAW_DATA), raw(SIZE_OF_RAW_DATA));
            if len > 0 {
                limit = limit.min(at);
            }
            if at + len > stub.len() as u64 {
                return Err(PeError::Field("PointerToRawData", at));
            }
        }
        let left = limit.saturating_sub(self.end() as u64);
        let needed = (more * SECTION) as u64;
        if left < needed {
            return Err(PeError::NoRoom(left, needed));
        }
        if self.sections + more > MOST_SECTIONS {
            return Err(PeError::Field("NumberOfSections", self.sections as u64));
        }
        Ok(())
    }

    fn check_name(&self, stub: &[u8], name: &str, earlier: &[(&str, u64)]) -> Result<(), PeError> {
        if name.is_empty() || name.len() > NAME || !name.is_ascii() {
            return Err(PeError::Name(name.to_owned()));
        }
        let mut field = [0; NAME];
        field[..name.len()].copy_from_slice(name.as_bytes());
        let in_stub = (0..self.sections).any(|n| self.section(stub, n).starts_with(&field));
        if in_stub || earlier.iter().any(|(other, _)| *other == name) {
            return Err(PeError::Present(name.to_owned()));
        }
        Ok(())
    }
}

/// A field whose value was checked to fit.
fn put32(bytes: &mut [u8], at: usize, value: u64) {
    put(bytes, at, &(value as u32).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ondisk::pe::{stamp, tests::sample};
    use proptest::prelude::*;

    /// [`sample`] with the fields that sections ask for, and its section's contents.
    fn stub() -> Vec<u8> {
        let mut pe = sample(0);
        let optional = 0x98;
        put32(&mut pe, optional + FILE_ALIGNMENT, 0x200);
        put32(&mut pe, optional + SIZE_OF_HEADERS, 0x400);
        put32(&mut pe, optional + NUMBER_OF_RVA_AND_SIZES, 16);
        let section = optional + 0xf0;
        put(&mut pe, section, b".text");
        put32(&mut pe, section + SIZE_OF_RAW_DATA, 0x234);
        put32(&mut pe, section + POINTER_TO_RAW_DATA, 0x400);
        pe.resize(0x634, 0xcc);
        pe
    }

    fn image(plan: &UkiPlan, contents: &[&[u8]]) -> Vec<u8> {
        let mut image = plan.header.clone();
        image.resize(plan.len as usize, 0);
        for (piece, bytes) in plan.pieces.iter().zip(contents) {
            put(&mut image, piece.offset as usize, bytes);
        }
        image
    }

    #[test]
    fn sections_follow_the_stub_in_file_and_memory() {
        let stub = stub();
        let plan = plan(
            &stub,
            &[(".osrel", 5), (".empty", 0), (".linux", 0x1001)],
            77,
        )
        .unwrap();
        let offsets: Vec<_> = plan.pieces.iter().map(|p| p.offset).collect();
        assert_eq!(offsets, [0x800, 0x1000, 0x1000]);
        assert_eq!(plan.len, 0x1000 + 0x1800);
        let at = 0x98 + 0xf0 + SECTION;
        let address = |n: usize| u32_at(&plan.header, at + n * SECTION + VIRTUAL_ADDRESS).unwrap();
        assert_eq!(
            [address(0), address(1), address(2)],
            [0x5000, 0x6000, 0x7000]
        );
        let layout = PeLayout::parse(&plan.header).unwrap();
        assert_eq!(layout.end, 0x7000 + 0x1800);
        assert_eq!(u32_at(&plan.header, 0x98 + SIZE_OF_IMAGE), Some(0x9000));
        assert_eq!(u32_at(&plan.header, 0x88), Some(77));
        assert_eq!(plan.header[0x400..0x634], stub[0x400..]);
    }

    #[test]
    fn the_checksum_is_that_of_the_whole_image() {
        let contents: [&[u8]; 3] = [b"odd", b"", &[0xff; 999]];
        let lengths = [(".a", 3), (".b", 0), (".c", 999)];
        let mut plan = plan(&stub(), &lengths, 5).unwrap();
        let sums = contents.map(|bytes| {
            let mut sum = WordSum::default();
            // In pieces of odd lengths.
            bytes.chunks(7).for_each(|chunk| sum.feed(chunk));
            sum
        });
        plan.seal(&sums);
        let sealed = image(&plan, &contents);
        let mut stamped = sealed.clone();
        stamp(&mut stamped, 5).unwrap();
        assert!(sealed == stamped);
        let once = plan.clone();
        plan.seal(&sums);
        assert_eq!(plan, once);
    }

    #[test]
    fn a_stub_that_does_not_serve_is_refused_with_its_reason() {
        let one = [(".linux", 9)];
        let refused = |edit: &dyn Fn(&mut Vec<u8>), sections: &[(&str, u64)]| {
            let mut stub = stub();
            edit(&mut stub);
            plan(&stub, sections, 0).unwrap_err()
        };
        let set = |at: usize, value: u64| move |stub: &mut Vec<u8>| put32(stub, at, value);
        let none = |_: &mut Vec<u8>| ();
        let optional = 0x98;
        let headers = set(optional + SIZE_OF_HEADERS, 0x1d0);
        assert_eq!(refused(&headers, &one), PeError::NoRoom(0x20, 40));
        let section = set(optional + 0xf0 + POINTER_TO_RAW_DATA, 0x1c0);
        assert_eq!(refused(&section, &one), PeError::NoRoom(0x10, 40));
        let certificates = set(optional + CERTIFICATES, 0x634);
        assert_eq!(refused(&certificates, &one), PeError::Signed);
        let alignment = set(optional + FILE_ALIGNMENT, 0x300);
        assert_eq!(
            refused(&alignment, &one),
            PeError::Field("FileAlignment", 0x300)
        );
        let behind = set(optional + 0xf0 + SIZE_OF_RAW_DATA, 0x4000);
        assert_eq!(
            refused(&behind, &one),
            PeError::Field("PointerToRawData", 0x400)
        );
        let cut = |stub: &mut Vec<u8>| stub.truncate(0x90);
        assert!(matches!(refused(&cut, &one), PeError::NotPe(0x80)));
        let present = PeError::Present(".text".into());
        assert_eq!(refused(&none, &[(".text", 1)]), present);
        let twice = PeError::Present(".a".into());
        assert_eq!(refused(&none, &[(".a", 1), (".a", 1)]), twice);
        assert!(matches!(
            refused(&none, &[(".longnames", 1)]),
            PeError::Name(_)
        ));
        assert!(matches!(
            refused(&none, &[(".linux", 1 << 32)]),
            PeError::TooLarge(_)
        ));
        assert!(matches!(
            refused(&none, &[(".linux", u64::MAX - 600)]),
            PeError::TooLarge(_)
        ));
        let many: Vec<_> = [
            "e", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "c", "d",
        ]
        .map(|n| (n, 1))
        .into();
        assert_eq!(refused(&none, &many), PeError::NoRoom(592, 600));
    }

    proptest! {
        #[test]
        fn damaged_stubs_never_panic(damage in proptest::collection::vec((0usize..0x200, any::<u8>()), 0..6), len in 0usize..0x700, section in any::<u64>()) {
            let mut stub = stub();
            stub.resize(0x700, 0);
            for (at, byte) in damage {
                stub[at] = byte;
            }
            if let Ok(plan) = plan(&stub[..len], &[(".a", section), (".b", 3)], 1) {
                prop_assert!(PeLayout::parse(&plan.header).is_some());
                prop_assert!(plan.len <= u32::MAX.into());
            }
        }
    }
}
