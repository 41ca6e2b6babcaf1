//! The cyclic redundancy checks of superblocks and partition tables.
//!
//! Bit by bit, without a table: a probe sums a few KiB once, and the agent is small.

/// CRC-32 of IEEE 802.3, reflected: GPT, f2fs, LVM.
const IEEE: u32 = 0xedb8_8320;
/// CRC-32C (Castagnoli), reflected: ext4, xfs, btrfs, erofs.
const CASTAGNOLI: u32 = 0x82f6_3b78;

fn crc(polynomial: u32, seed: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(seed, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (polynomial & (sum & 1).wrapping_neg())
        })
    })
}

/// CRC-32 with the seed given and no final inversion; goes on from an earlier sum.
pub fn crc32(seed: u32, bytes: &[u8]) -> u32 {
    crc(IEEE, seed, bytes)
}

/// CRC-32C with the seed given and no final inversion; goes on from an earlier sum.
pub fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    crc(CASTAGNOLI, seed, bytes)
}

/// CRC-32C from all ones, with the sum's own four bytes at `at` counted as zero.
pub fn crc32c_without(bytes: &[u8], at: usize) -> u32 {
    let (before, rest) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
    let sum = crc32c(crc32c(!0, before), &[0; 4]);
    crc32c(sum, rest.get(4..).unwrap_or(&[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_check_values_come_out() {
        assert_eq!(!crc32(!0, b"123456789"), 0xcbf4_3926);
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_sum_leaves_its_own_field_out() {
        let sum = crc32c_without(b"abcdWXYZefg", 4);
        assert_eq!(sum, crc32c(!0, b"abcd\0\0\0\0efg"));
        assert_eq!(sum, crc32c_without(b"abcd1234efg", 4));
    }
}
