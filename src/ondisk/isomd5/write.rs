//! Implanting the checksum, as implantisomd5(1) does: the same text for the same image.
//!
//! isomd5sum's `libimplantisomd5.c`. Fields are parted by `;`, the rest of the area is blank.

use super::{
    AREA_AT, AREA_LENGTH, CHUNK, DEFAULT_COUNT, DEFAULT_SKIP, DESCRIPTOR, FRAGMENT_DIGITS, SECTOR,
    VOLUME_SPACE_SIZE_BE, blank_area, digit,
};
use crate::ondisk::fields::{be32, byte, has_magic};
use md5::{Digest, Md5};

/// Where the text goes, bytes from the image's start.
pub const AT: u64 = AREA_AT;
/// Where the descriptor that [`Implant::new`] wants begins, bytes, and its length.
pub const DESCRIPTOR_AT: (u64, usize) = (DESCRIPTOR, SECTOR as usize);

/// Digits of a fragment's sum.
const DIGITS: usize = FRAGMENT_DIGITS / DEFAULT_COUNT as usize;
/// The tool's last field.
const WARNING: &str = "THIS IS NOT THE SAME AS RUNNING MD5SUM ON THIS ISO!!";

/// The sum while it is made.
#[derive(Clone, Debug)]
pub struct Implant {
    sum: Md5,
    at: u64,
    length: u64,
    fragment: u64,
    last: u64,
    sums: String,
}

impl Implant {
    /// For the image with this primary volume descriptor; none where it is no such descriptor,
    /// or an image too small for sums of its fragments (about 672 KiB): checkisomd5(1) fails
    /// on what implantisomd5(1) implants there.
    pub fn new(descriptor: &[u8]) -> Option<Implant> {
        if byte(descriptor, 0) != 1 || !has_magic(descriptor, 1, b"CD001") {
            return None;
        }
        let size = u64::from(be32(descriptor, VOLUME_SPACE_SIZE_BE)) * SECTOR;
        let length = size.checked_sub(DEFAULT_SKIP * SECTOR)?;
        let fragment = length / (DEFAULT_COUNT + 1);
        // Each fragment but the first must see the start of a chunk.
        (fragment >= CHUNK as u64).then(|| Implant {
            sum: Md5::new(),
            at: 0,
            length,
            fragment,
            last: 0,
            sums: String::new(),
        })
    }

    /// How many bytes, from the image's first on, the sum covers.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Takes the bytes that follow: a multiple of [`CHUNK`], but for the last. What is behind
    /// [`Implant::length`] is left out; the area is blanked.
    pub fn feed(&mut self, bytes: &mut [u8]) {
        let left = usize::try_from(self.length - self.at).unwrap_or(usize::MAX);
        let length = bytes.len().min(left);
        for chunk in bytes[..length].chunks_mut(CHUNK) {
            blank_area(chunk, self.at);
            self.sum.update(&*chunk);
            let number = self.at / self.fragment;
            self.at += chunk.len() as u64;
            if number != self.last {
                self.last = number;
                let sum = self.sum.clone().finalize();
                let digits = sum.iter().take(DIGITS).map(|byte| char::from(digit(*byte)));
                self.sums.extend(digits);
            }
        }
    }

    /// The text for [`AT`]; none when the image ended before [`Implant::length`].
    pub fn finish(self) -> Option<[u8; AREA_LENGTH]> {
        if self.at != self.length || self.sums.len() < FRAGMENT_DIGITS {
            return None;
        }
        let sum: String = self
            .sum
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let text = format!(
            "ISO MD5SUM = {sum};SKIPSECTORS = {DEFAULT_SKIP};RHLISOSTATUS=0;FRAGMENT SUMS = {};FRAGMENT COUNT = {DEFAULT_COUNT};{WARNING}",
            &self.sums[..FRAGMENT_DIGITS]
        );
        let mut area = [b' '; AREA_LENGTH];
        area[..text.len()].copy_from_slice(text.as_bytes());
        Some(area)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ondisk::isomd5::{Comparison, read_implanted};

    fn image(sectors: u32) -> Vec<u8> {
        let mut image: Vec<u8> = (0..sectors * 2048).map(|n| (n * 7 / 8) as u8).collect();
        let at = DESCRIPTOR as usize;
        image[at..at + 6].copy_from_slice(b"\x01CD001");
        image[at + VOLUME_SPACE_SIZE_BE..][..4].copy_from_slice(&sectors.to_be_bytes());
        image
    }

    fn implant(image: &mut [u8]) -> Option<()> {
        let (at, length) = DESCRIPTOR_AT;
        let mut implant = Implant::new(&image[at as usize..][..length])?;
        implant.feed(&mut image.to_vec());
        let text = implant.finish()?;
        image[AT as usize..][..text.len()].copy_from_slice(&text);
        Some(())
    }

    #[test]
    fn what_is_implanted_passes_our_check_and_a_flipped_bit_does_not() {
        let mut image = image(1000);
        implant(&mut image).unwrap();
        let implanted = read_implanted(&image).unwrap().unwrap();
        let length = implanted.length as usize;
        assert!(implanted.fragments.is_some());
        for (flip, whole) in [
            (None, true),
            (Some(length / 2), false),
            (Some(length - 1), false),
        ] {
            let mut bytes = image[..length].to_vec();
            if let Some(at) = flip {
                bytes[at] ^= 4;
            }
            let mut check = Comparison::new(implanted.clone());
            let result = check.feed(&mut bytes).and_then(|()| check.finish());
            assert_eq!(result.is_ok(), whole, "{flip:?}");
        }
    }

    #[test]
    fn an_image_too_small_for_all_fragments_gets_none() {
        assert_eq!(implant(&mut image(350)), None);
        assert_eq!(implant(&mut image(351)), Some(()));
        assert!(Implant::new(&[0; 2048]).is_none());
        assert!(Implant::new(&[]).is_none());
    }

    #[test]
    fn an_image_cut_short_gets_none() {
        let mut image = image(1000);
        image.truncate(900 * 2048);
        assert_eq!(implant(&mut image), None);
    }
}
