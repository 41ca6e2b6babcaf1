//! The input as a device.

use liveroot::ondisk::{ByteSource, ReadError};

/// A borrowed slice: `[u8]` itself has no length that a trait object could keep.
pub struct Bytes<'a>(pub &'a [u8]);

impl ByteSource for Bytes<'_> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        self.0.read_at(offset, buf)
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}
