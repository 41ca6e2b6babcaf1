//! Numbers as ISO 9660 writes them: both byte orders beside each other.

/// 32 bits, little-endian and big-endian (ECMA-119 7.3.3).
pub fn both32(number: u32) -> [u8; 8] {
    let (a, b) = (number.to_le_bytes(), number.to_be_bytes());
    [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]]
}

/// 16 bits, little-endian and big-endian (ECMA-119 7.2.3).
pub fn both16(number: u16) -> [u8; 4] {
    let (a, b) = (number.to_le_bytes(), number.to_be_bytes());
    [a[0], a[1], b[0], b[1]]
}
