//! The image's place in an open file: writing in order, and the superblock last.

use super::super::{Error, Result};
use crate::units::Bytes;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What messages call it: the file's name is its owner's.
const NAME: &str = "the image";

/// Where the image is written; places are counted from its first byte.
#[derive(Debug)]
pub struct Sink<'a> {
    to: &'a File,
    offset: u64,
    position: u64,
}

impl<'a> Sink<'a> {
    /// An image whose first byte is byte `offset` of the file.
    pub fn new(to: &'a File, offset: u64) -> Self {
        Sink {
            to,
            offset,
            position: 0,
        }
    }

    /// The next byte's place.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Leaves room.
    pub fn skip(&mut self, length: u64) {
        self.position += length;
    }

    /// Writes the next bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.write_at(self.position, bytes)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// Writes bytes to a place.
    pub fn write_at(&self, place: u64, bytes: &[u8]) -> Result<()> {
        let at = self.offset + place;
        self.to.write_all_at(bytes, at).map_err(|cause| {
            if cause.kind() == std::io::ErrorKind::StorageFull {
                return self.full();
            }
            Error::System {
                doing: "writing",
                on: format!("{NAME} (at byte {at})").into(),
                cause,
            }
        })
    }

    /// Where the file lies, as the kernel knows it.
    fn directory(&self) -> PathBuf {
        let link = format!("/proc/self/fd/{}", self.to.as_raw_fd());
        let path = std::fs::read_link(link).unwrap_or_default();
        match path.parent() {
            // Our own directory beside the output is gone when the message is read.
            Some(dir) if is_scratch(dir) => dir.parent().unwrap_or(dir).to_owned(),
            Some(dir) => dir.to_owned(),
            None => NAME.into(),
        }
    }

    fn full(&self) -> Error {
        let free = rustix::fs::fstatvfs(self.to).map(|s| s.f_bavail.saturating_mul(s.f_frsize));
        Error::NoSpace {
            on: self.directory().display().to_string(),
            free: Bytes(free.unwrap_or_default()),
            need: String::new(),
        }
    }
}

fn is_scratch(dir: &Path) -> bool {
    let name = dir.file_name().unwrap_or_default().as_encoded_bytes();
    name.starts_with(b".liveroot-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named_by_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        let scratch = dir.path().join(".liveroot-1-0");
        std::fs::create_dir(&scratch).unwrap();
        let file = File::create(scratch.join("live.iso")).unwrap();
        let said = Sink::new(&file, 0).full().to_string();
        let want = format!(
            "{}: no space left",
            dir.path().canonicalize().unwrap().display()
        );
        assert!(said.starts_with(&want), "{said}");
    }
}
