//! The headers of a PE/COFF image, as far as adding sections asks.
//!
//! Contract: Microsoft, "PE Format": the DOS stub's `e_lfanew` at 0x3c, the COFF header,
//! the optional header (PE32+), the section table.
#![forbid(unsafe_code)]

pub mod write;

/// `IMAGE_FILE_MACHINE_AMD64`.
pub const MACHINE_AMD64: u16 = 0x8664;
const PE32_PLUS: u16 = 0x20b;

/// Where new sections may go in an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeLayout {
    /// The machine it runs on.
    pub machine: u16,
    /// Address that the linker assumed; objcopy's VMAs count from zero, so with it.
    pub image_base: u64,
    /// Alignment of sections in memory.
    pub section_alignment: u64,
    /// First address behind all sections, relative to `image_base`.
    pub end: u64,
}

impl PeLayout {
    /// Reads the headers; none when the bytes are no PE32+ image.
    pub fn parse(bytes: &[u8]) -> Option<PeLayout> {
        if !bytes.starts_with(b"MZ") {
            return None;
        }
        let coff = u32_at(bytes, 0x3c)? as usize;
        if bytes.get(coff..coff.checked_add(4)?)? != b"PE\0\0" {
            return None;
        }
        let machine = u16_at(bytes, coff + 4)?;
        let sections = usize::from(u16_at(bytes, coff + 6)?);
        let optional_len = usize::from(u16_at(bytes, coff + 20)?);
        let optional = coff + 24;
        if u16_at(bytes, optional)? != PE32_PLUS {
            return None;
        }
        let mut end = 0;
        for n in 0..sections {
            let header = optional + optional_len + n * 40;
            let size = u64::from(u32_at(bytes, header + 8)?.max(u32_at(bytes, header + 16)?));
            end = end.max(u64::from(u32_at(bytes, header + 12)?) + size);
        }
        Some(PeLayout {
            machine,
            image_base: u64_at(bytes, optional + 24)?,
            section_alignment: u64::from(u32_at(bytes, optional + 32)?),
            end,
        })
    }
}

/// Sets the image's time stamp and, since that changes it, its checksum; none, and nothing
/// is changed, when the bytes are no PE image. objcopy writes the clock there.
pub fn stamp(bytes: &mut [u8], time: u32) -> Option<()> {
    PeLayout::parse(bytes)?;
    let coff = u32_at(bytes, 0x3c)? as usize;
    let checksum = coff + 24 + 64;
    bytes
        .get_mut(coff + 8..coff + 12)?
        .copy_from_slice(&time.to_le_bytes());
    bytes.get_mut(checksum..checksum + 4)?.fill(0);
    let sum = checksum_of(bytes);
    bytes
        .get_mut(checksum..checksum + 4)?
        .copy_from_slice(&sum.to_le_bytes());
    Some(())
}

/// Its own field counts as zero.
fn checksum_of(bytes: &[u8]) -> u32 {
    let mut sum = WordSum::default();
    sum.feed(bytes);
    sum.checksum(bytes.len() as u64)
}

/// The sum of 16-bit words with the carry added back, of which an image's checksum is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WordSum {
    sum: u64,
    is_odd: bool,
}

impl WordSum {
    /// Takes the bytes that follow.
    pub fn feed(&mut self, bytes: &[u8]) {
        let (first, rest) = match bytes {
            [first, rest @ ..] if self.is_odd => (u64::from(*first) << 8, rest),
            _ => (0, bytes),
        };
        let words = rest.chunks_exact(2);
        let last = words.remainder().first().copied().map_or(0, u64::from);
        self.is_odd ^= bytes.len() % 2 == 1;
        // The carry can wait: the sum of 2^48 words fits.
        let words: u64 = words
            .map(|word| u64::from(u16::from_le_bytes([word[0], word[1]])))
            .sum();
        self.sum = fold(self.sum + fold(first + words + last));
    }

    /// Takes what another sum took, which began at an even offset.
    pub fn add(&mut self, other: &WordSum) {
        self.sum = fold(self.sum + other.sum);
    }

    /// The checksum of an image of so many bytes.
    pub fn checksum(&self, len: u64) -> u32 {
        (fold(self.sum) as u32).wrapping_add(len as u32)
    }
}

/// Adds the carry back until there is none.
fn fold(mut sum: u64) -> u64 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_le_bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A PE32+ image of headers only: one section of 0x1234 bytes at 0x3000.
    pub(crate) fn sample(image_base: u64) -> Vec<u8> {
        let mut pe = vec![0; 0x400];
        pe[..2].copy_from_slice(b"MZ");
        pe[0x3c] = 0x80;
        pe[0x80..0x84].copy_from_slice(b"PE\0\0");
        pe[0x84..0x86].copy_from_slice(&MACHINE_AMD64.to_le_bytes());
        pe[0x86] = 1;
        pe[0x94] = 0xf0;
        pe[0x98..0x9a].copy_from_slice(&PE32_PLUS.to_le_bytes());
        pe[0xb0..0xb8].copy_from_slice(&image_base.to_le_bytes());
        pe[0xb8..0xbc].copy_from_slice(&0x1000u32.to_le_bytes());
        let section = 0x98 + 0xf0;
        pe[section + 8..section + 12].copy_from_slice(&0x1234u32.to_le_bytes());
        pe[section + 12..section + 16].copy_from_slice(&0x3000u32.to_le_bytes());
        pe
    }

    #[test]
    fn the_end_is_behind_the_last_section() {
        let layout = PeLayout::parse(&sample(0x1_4000_0000)).unwrap();
        assert_eq!(layout.machine, MACHINE_AMD64);
        assert_eq!(layout.image_base, 0x1_4000_0000);
        assert_eq!(layout.section_alignment, 0x1000);
        assert_eq!(layout.end, 0x4234);
    }

    #[test]
    fn a_stamp_changes_time_and_checksum_only_and_repeats() {
        let (mut one, before) = (sample(0), sample(0));
        stamp(&mut one, 1_700_000_000).unwrap();
        let changed: Vec<_> = (0..one.len())
            .filter(|at| one[*at] != before[*at])
            .collect();
        assert!(
            changed
                .iter()
                .all(|at| (0x88..0x8c).contains(at) || (0xd8..0xdc).contains(at))
        );
        let mut two = one.clone();
        stamp(&mut two, 1_700_000_000).unwrap();
        assert_eq!(one, two);
        assert_eq!(checksum_of(&[1, 0, 0xff, 0xff, 3]), 4 + 5);
        assert_eq!(stamp(&mut [0; 64], 0), None);
    }

    proptest! {
        #[test]
        fn damaged_headers_never_panic(damage in proptest::collection::vec((0usize..0x200, any::<u8>()), 0..20), len in 0usize..0x400) {
            let mut pe = sample(0);
            for (at, byte) in damage {
                pe[at] = byte;
            }
            let _ = PeLayout::parse(&pe[..len]);
            let _ = stamp(&mut pe[..len], 1);
        }
    }
}
