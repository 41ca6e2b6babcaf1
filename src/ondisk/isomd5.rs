//! The checksum that implantisomd5(1) leaves in an ISO, and the comparison with it.
//!
//! isomd5sum's `libimplantisomd5.c`, `libcheckisomd5.c` and `utilities.c`: fields of text in the
//! application use area of the primary volume descriptor (ECMA-119 8.4.32), parted by `;`. The
//! sum is MD5: it finds errors, and proves nothing against people.

pub mod write;

use super::fields::{be32, byte, has_magic, slice};
use super::{ByteSource, ReadError, read_up_to};
use md5::{Digest, Md5};

const SECTOR: u64 = 2048;
/// The primary volume descriptor is the first (ECMA-119 6.7.1).
const DESCRIPTOR: u64 = 16 * SECTOR;
const VOLUME_SPACE_SIZE_BE: usize = 84;
/// The application use area, which counts as blanks in the sum.
const AREA: usize = 883;
const AREA_LENGTH: usize = 512;
const AREA_AT: u64 = DESCRIPTOR + AREA as u64;

/// Bytes between two looks at the fragment sums: the tool's buffer. A sum of a fragment is that
/// of all chunks up to the first that begins in the next fragment, so the size counts.
pub const CHUNK: usize = 32 << 10;

/// Hex digits of all fragment sums together.
const FRAGMENT_DIGITS: usize = 60;
/// What holds where a field is missing.
const DEFAULT_SKIP: u64 = 15;
const DEFAULT_COUNT: u64 = 20;

/// What was implanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Implanted {
    /// MD5 of the first [`Implanted::length`] bytes.
    pub sum: [u8; 16],
    /// Bytes from the start that the sum covers, not zero.
    pub length: u64,
    /// For an early end; images of less than 21 chunks have none that can be used.
    pub fragments: Option<Fragments>,
}

/// Sums of the image's beginnings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragments {
    /// Bytes of a fragment, not zero.
    length: u64,
    /// Digits of one sum.
    digits: usize,
    /// All of them, [`FRAGMENT_DIGITS`].
    sums: Vec<u8>,
}

/// Reads what was implanted; none if nothing was.
///
/// # Errors
/// When the source can't be read. One that ends before its descriptor has no checksum.
pub fn read_implanted(source: &dyn ByteSource) -> Result<Option<Implanted>, ReadError> {
    let descriptor = read_up_to(source, DESCRIPTOR, SECTOR as usize)?;
    Ok(parse(&descriptor))
}

/// Of a primary volume descriptor.
pub fn parse(descriptor: &[u8]) -> Option<Implanted> {
    if byte(descriptor, 0) != 1 || !has_magic(descriptor, 1, b"CD001") {
        return None;
    }
    let area = slice(descriptor, AREA, AREA_LENGTH);
    let field = |name: &str| {
        let mut fields = area.split(|byte| *byte == b';');
        let value = fields.find_map(|field| field.strip_prefix(name.as_bytes()));
        value.map(<[u8]>::trim_ascii_end)
    };
    let number = |name| -> Option<u64> {
        let text = std::str::from_utf8(field(name)?).ok()?;
        text.trim().parse().ok()
    };
    let sum = sum(field("ISO MD5SUM = ")?)?;
    let size = u64::from(be32(descriptor, VOLUME_SPACE_SIZE_BE)) * SECTOR;
    let skip = number("SKIPSECTORS = ").unwrap_or(DEFAULT_SKIP);
    let length = size.checked_sub(skip.checked_mul(SECTOR)?)?;
    let count = number("FRAGMENT COUNT = ").unwrap_or(DEFAULT_COUNT);
    (length > 0).then(|| Implanted {
        sum,
        length,
        fragments: field("FRAGMENT SUMS = ").and_then(|sums| fragments(sums, count, length)),
    })
}

fn sum(digits: &[u8]) -> Option<[u8; 16]> {
    let mut sum = [0; 16];
    if digits.len() != 32 {
        return None;
    }
    for (pair, byte) in digits.chunks_exact(2).zip(&mut sum) {
        let digit = |n: usize| char::from(pair[n]).to_digit(16);
        *byte = (digit(0)? * 16 + digit(1)?) as u8;
    }
    Some(sum)
}

fn fragments(sums: &[u8], count: u64, length: u64) -> Option<Fragments> {
    let digits = FRAGMENT_DIGITS.checked_div(usize::try_from(count).ok()?)?;
    let fragment = length / count.checked_add(1)?;
    let usable = sums.len() == FRAGMENT_DIGITS
        && sums.iter().all(u8::is_ascii_hexdigit)
        && (1..=16).contains(&digits)
        && fragment > 0;
    usable.then(|| Fragments {
        length: fragment,
        digits,
        sums: sums.to_ascii_lowercase(),
    })
}

impl Fragments {
    /// The sum of all before the fragment of that number, which counts from zero.
    fn sum_before(&self, number: u64) -> Option<&[u8]> {
        let at = usize::try_from(number.checked_sub(1)?).ok()?;
        self.sums.chunks_exact(self.digits).nth(at)
    }
}

/// Bytes that are not those of the sum, some of them between the two offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// All before it is whole.
    pub from: u64,
    /// It was noticed here.
    pub to: u64,
}

/// Compares bytes, from the first on, with what was implanted.
#[derive(Clone, Debug)]
pub struct Comparison {
    implanted: Implanted,
    sum: Md5,
    at: u64,
    fragment: u64,
    whole: u64,
}

impl Comparison {
    /// Nothing is compared yet.
    pub fn new(implanted: Implanted) -> Self {
        Comparison {
            implanted,
            sum: Md5::new(),
            at: 0,
            fragment: 0,
            whole: 0,
        }
    }

    /// Bytes so far.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Takes the bytes that follow: a multiple of [`CHUNK`], but for the last. They may be
    /// changed.
    ///
    /// # Errors
    /// When a fragment's sum differs.
    pub fn feed(&mut self, bytes: &mut [u8]) -> Result<(), Damage> {
        for chunk in bytes.chunks_mut(CHUNK) {
            blank_area(chunk, self.at);
            self.sum.update(&*chunk);
            let start = self.at;
            self.at += chunk.len() as u64;
            self.compare_fragment(start)?;
        }
        Ok(())
    }

    fn compare_fragment(&mut self, start: u64) -> Result<(), Damage> {
        let Some(fragments) = &self.implanted.fragments else {
            return Ok(());
        };
        let number = start / fragments.length;
        if number == self.fragment {
            return Ok(());
        }
        self.fragment = number;
        let Some(wanted) = fragments.sum_before(number) else {
            return Ok(());
        };
        let sum = self.sum.clone().finalize();
        if wanted
            .iter()
            .zip(&sum)
            .any(|(want, byte)| *want != digit(*byte))
        {
            return Err(Damage {
                from: self.whole,
                to: self.at,
            });
        }
        self.whole = self.at;
        Ok(())
    }

    /// All [`Implanted::length`] bytes were taken.
    ///
    /// # Errors
    /// When the sum differs.
    pub fn finish(self) -> Result<(), Damage> {
        if self.at == self.implanted.length && self.sum.finalize()[..] == self.implanted.sum {
            return Ok(());
        }
        Err(Damage {
            from: self.whole,
            to: self.implanted.length,
        })
    }
}

/// What the tool keeps of a byte of a fragment's sum: the first digit, printed without a
/// leading zero.
fn digit(byte: u8) -> u8 {
    let first = if byte < 16 { byte } else { byte >> 4 };
    b"0123456789abcdef"[usize::from(first)]
}

/// The area holds the sum, so it was blank when that was made. `at` is where the chunk begins.
fn blank_area(chunk: &mut [u8], at: u64) {
    let inside = |offset: u64| {
        let offset = usize::try_from(offset.saturating_sub(at)).unwrap_or(usize::MAX);
        offset.min(chunk.len())
    };
    let (from, to) = (inside(AREA_AT), inside(AREA_AT + AREA_LENGTH as u64));
    chunk[from..to].fill(b' ');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An image of `sectors`, with fields in its area.
    fn image(sectors: u32, fields: &str) -> Vec<u8> {
        let mut image: Vec<u8> = (0..sectors * SECTOR as u32)
            .map(|n| (n * 7 / 8) as u8)
            .collect();
        let at = DESCRIPTOR as usize;
        image[at..at + 6].copy_from_slice(b"\x01CD001");
        image[at + VOLUME_SPACE_SIZE_BE..][..4].copy_from_slice(&sectors.to_be_bytes());
        let area = &mut image[at + AREA..][..AREA_LENGTH];
        area.fill(b' ');
        area[..fields.len()].copy_from_slice(fields.as_bytes());
        image
    }

    const SUM: &str = "ISO MD5SUM = 00112233445566778899aabbccddeeff";

    fn read(fields: &str) -> Option<Implanted> {
        parse(&image(64, fields)[DESCRIPTOR as usize..])
    }

    #[test]
    fn fields_are_read_and_have_defaults() {
        let implanted = read(SUM).unwrap();
        assert_eq!(implanted.sum[..3], [0x00, 0x11, 0x22]);
        assert_eq!(
            (implanted.length, implanted.fragments),
            ((64 - 15) * 2048, None)
        );
        let sums = "0".repeat(60);
        let all = format!(
            "{SUM};SKIPSECTORS = 4;RHLISOSTATUS=0;FRAGMENT SUMS = {sums};FRAGMENT COUNT = 20;THIS"
        );
        let implanted = read(&all).unwrap();
        let fragments = implanted.fragments.unwrap();
        assert_eq!(implanted.length, 60 * 2048);
        assert_eq!((fragments.length, fragments.digits), (60 * 2048 / 21, 3));
    }

    #[test]
    fn what_is_no_checksum_is_none() {
        for fields in [
            "",
            "ISO MD5SUM = 00112233",
            "ISO MD5SUM = zz112233445566778899aabbccddeeff",
            &format!("{SUM};SKIPSECTORS = 64"),
            &format!("{SUM};SKIPSECTORS = 18446744073709551615"),
        ] {
            assert_eq!(read(fields), None, "{fields}");
        }
        assert_eq!(parse(&[0; 2048]), None);
        for count in ["0", "61", "18446744073709551615", "-1", "1"] {
            let fields = format!(
                "{SUM};FRAGMENT SUMS = {};FRAGMENT COUNT = {count}",
                "0".repeat(60)
            );
            let fragments = read(&fields).unwrap().fragments;
            assert_eq!(fragments.is_some(), count == "-1", "{count}");
        }
    }

    #[test]
    fn the_area_is_blank_in_the_sum_wherever_chunks_begin() {
        for at in [DESCRIPTOR, AREA_AT - 1, AREA_AT + 100, 0, AREA_AT + 512] {
            let mut chunk = vec![b'x'; CHUNK];
            blank_area(&mut chunk, at);
            for (n, byte) in (at..).zip(&chunk) {
                let blank = (AREA_AT..AREA_AT + 512).contains(&n);
                assert_eq!(*byte, if blank { b' ' } else { b'x' }, "{n}");
            }
        }
    }

    #[test]
    fn a_whole_image_passes_and_a_flipped_bit_does_not() {
        let plain = image(64, "");
        let length = 49 * 2048;
        let sum: String = Md5::digest(&plain[..length])
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let image = image(64, &format!("ISO MD5SUM = {sum}"));
        let implanted = parse(&image[DESCRIPTOR as usize..]).unwrap();
        let compare = |flip: Option<usize>| {
            let mut bytes = image[..length].to_vec();
            if let Some(at) = flip {
                bytes[at] ^= 1;
            }
            let mut comparison = Comparison::new(implanted.clone());
            comparison.feed(&mut bytes)?;
            comparison.finish()
        };
        assert_eq!(compare(None), Ok(()));
        assert_eq!(compare(Some(AREA_AT as usize + 3)), Ok(()));
        let all = Damage {
            from: 0,
            to: length as u64,
        };
        assert_eq!(compare(Some(length - 1)), Err(all));
        assert_eq!(Comparison::new(implanted.clone()).finish(), Err(all));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(area in proptest::collection::vec(any::<u8>(), 0..600), fields in "[A-Z =;0-9]{0,200}", size in any::<u32>()) {
            let mut descriptor = image(17, "")[DESCRIPTOR as usize..].to_vec();
            descriptor[VOLUME_SPACE_SIZE_BE..][..4].copy_from_slice(&size.to_be_bytes());
            for bytes in [&area, &[SUM.as_bytes(), b";", fields.as_bytes()].concat()] {
                let room = &mut descriptor[AREA..];
                let length = bytes.len().min(room.len());
                room[..length].copy_from_slice(&bytes[..length]);
                if let Some(implanted) = parse(&descriptor) {
                    prop_assert!(implanted.length > 0 && implanted.length < u64::from(size) * SECTOR + 1);
                    let mut comparison = Comparison::new(implanted);
                    let _ = comparison.feed(&mut vec![1; CHUNK * 2]);
                    prop_assert!(comparison.finish().is_err());
                }
            }
        }
    }
}
