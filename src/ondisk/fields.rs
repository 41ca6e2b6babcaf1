//! Numbers out of byte slices, for every format: total functions.
//!
//! A field behind the end of the slice reads as zero: no parser takes zero for a magic,
//! a count or a length, so a short slice is refused where a field is checked anyway.

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let tail = bytes.get(at..).and_then(<[u8]>::first_chunk);
    tail.copied().unwrap_or([0; N])
}

/// The byte at `at`.
pub fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// Little-endian, 16 bits.
pub fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(field(bytes, at))
}

/// Little-endian, 32 bits.
pub fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(field(bytes, at))
}

/// Little-endian, 64 bits.
pub fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(field(bytes, at))
}

/// Big-endian, 16 bits.
pub fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(field(bytes, at))
}

/// Big-endian, 32 bits.
pub fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(field(bytes, at))
}

/// Big-endian, 64 bits.
pub fn be64(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(field(bytes, at))
}

/// Sixteen bytes as they stand: a UUID.
pub fn bytes16(bytes: &[u8], at: usize) -> [u8; 16] {
    field(bytes, at)
}

/// `length` bytes from `at`; fewer where the slice ends.
pub fn slice(bytes: &[u8], at: usize, length: usize) -> &[u8] {
    let tail = bytes.get(at..).unwrap_or(&[]);
    tail.get(..length).unwrap_or(tail)
}

/// Whether `magic` stands at `at`.
pub fn has_magic(bytes: &[u8], at: usize, magic: &[u8]) -> bool {
    slice(bytes, at, magic.len()) == magic
}

/// Writes a field into bytes that are our own: it must lie within them.
pub fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_behind_the_end_read_as_zero() {
        let bytes = [1, 2, 3, 4, 5];
        assert_eq!(le32(&bytes, 1), 0x0504_0302);
        assert_eq!(be16(&bytes, 0), 0x0102);
        assert_eq!(le32(&bytes, 2), 0);
        assert_eq!(le64(&bytes, usize::MAX), 0);
        assert_eq!(slice(&bytes, 3, 9), &[4, 5]);
        assert!(!has_magic(&bytes, 4, &[5, 0]));
    }
}
