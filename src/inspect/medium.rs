//! A file or device that is only read.

use crate::ondisk::{ByteSource, ReadError};
use crate::sys::block;
use std::fs::File;
use std::path::Path;

/// An open medium.
#[derive(Debug)]
pub struct Medium {
    file: File,
    length: u64,
}

impl Medium {
    /// Opens a file or device.
    ///
    /// # Errors
    /// A message that names it.
    pub fn open(path: &Path) -> Result<Medium, String> {
        let meta = std::fs::metadata(path).map_err(|e| format!("{}: {e}", path.display()))?;
        if meta.is_dir() {
            return Err(format!(
                "{}: it is a directory; name an image or a device",
                path.display()
            ));
        }
        let file = block::open(path).map_err(|e| e.to_string())?;
        let length = block::length(&file);
        if length == 0 {
            return Err(format!("{}: it is empty, or holds no disc", path.display()));
        }
        Ok(Medium { file, length })
    }
}

impl ByteSource for Medium {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        ReadError::unless_filled(block::read_exact_at(&self.file, offset, buf))
    }

    fn len(&self) -> u64 {
        self.length
    }
}
