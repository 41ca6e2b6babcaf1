//! A part of a source, read as a source of its own: a partition, a file that lies in one piece.

use super::{ByteSource, ReadError};

/// Bytes `start` to `start + length` of another source; fewer where that one ends.
pub struct Window<'a> {
    below: &'a dyn ByteSource,
    start: u64,
    length: u64,
}

impl std::fmt::Debug for Window<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Window({} + {})", self.start, self.length)
    }
}

impl<'a> Window<'a> {
    /// A view from byte `start` on, of at most `length` bytes.
    pub fn new(below: &'a dyn ByteSource, start: u64, length: u64) -> Self {
        let left = below.len().saturating_sub(start);
        Window {
            below,
            start,
            length: length.min(left),
        }
    }
}

impl ByteSource for Window<'_> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let end = offset.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.length) {
            return Err(ReadError::PastEnd);
        }
        self.below.read_at(self.start + offset, buf)
    }

    fn len(&self) -> u64 {
        self.length
    }
}

#[cfg(test)]
mod tests {
    use super::super::read_up_to;
    use super::*;

    #[derive(Debug)]
    struct Six;

    impl ByteSource for Six {
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
            b"abcdef"[..].read_at(offset, buf)
        }
        fn len(&self) -> u64 {
            6
        }
    }

    #[test]
    fn a_window_shows_its_part_and_nothing_behind_it() {
        let part = Window::new(&Six, 2, 3);
        assert_eq!(read_up_to(&part, 1, 9).unwrap(), b"de");
        assert_eq!(part.read_at(1, &mut [0; 3]), Err(ReadError::PastEnd));
        assert_eq!(Window::new(&Six, 4, u64::MAX).len(), 2);
        assert_eq!(Window::new(&Six, u64::MAX, 1).len(), 0);
    }
}
