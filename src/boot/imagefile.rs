//! Which file is the image: an open file, its name, its length, what it is. Nothing is
//! attached or mounted here, so that the file can as well be copied first.

use super::examine::open_below;
use super::probe::FileSource;
use crate::ondisk::{ByteSource, FsKind, archive, probe, read_up_to};
use crate::plan::image::{decide_kind, describe_no_image};
use crate::sys::{block, memory};
use crate::units::Bytes;
use rustix::fs::ResolveFlags;
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

/// An image: a file, or a whole device.
#[derive(Debug)]
pub struct ImageFile {
    /// Open for reading.
    pub file: File,
    /// As verdicts name it: `LiveOS/squashfs.img`.
    pub name: String,
    /// Where it is in the live system, or was in the initramfs; of a device its node.
    pub place: PathBuf,
    /// Length in bytes; of a device as much of it as the image takes.
    pub size: u64,
    /// What it is, by its own superblock.
    pub fs: FsKind,
    /// Where its first byte lies.
    pub holder: Holder,
}

/// What holds an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A file on a medium, in another image, or on whatever else is no memory.
    Medium,
    /// The device itself.
    Device,
    /// A file in memory: of the initramfs, or a copy.
    Memory,
}

impl Holder {
    /// Of a file that the words name, by what it is on: a tmpfs, the initramfs itself, or
    /// somebody's mount of a disk or server.
    pub fn of_file(file: &File) -> Self {
        match memory::holds(file) {
            true => Holder::Memory,
            false => Holder::Medium,
        }
    }
}

impl ImageFile {
    /// The first of `paths` that is there, below `root`, which is or will be mounted at `at`.
    ///
    /// # Errors
    /// What is there, and is no image or can't be read; in words.
    pub fn find(
        root: BorrowedFd<'_>,
        paths: &[String],
        at: &Path,
    ) -> Result<Option<ImageFile>, String> {
        for path in paths {
            match open_below(root, path, ResolveFlags::BENEATH) {
                Ok(fd) => {
                    let image = ImageFile::take(fd.into(), path, at.join(path), Holder::Medium);
                    return image.map(Some);
                }
                Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {}
                Err(e) => return Err(format!("{path}: {e}")),
            }
        }
        Ok(None)
    }

    /// An open file, by what it holds.
    ///
    /// # Errors
    /// That it is no image, or cut short; in words.
    pub fn take(file: File, name: &str, place: PathBuf, holder: Holder) -> Result<Self, String> {
        let source = FileSource::new(file);
        let length = source.len();
        let facts = probe::probe_filesystem(&source).map_err(|e| format!("{name}: {e}"))?;
        if facts.is_none() {
            let head = read_up_to(&source, 0, archive::HEAD).unwrap_or_default();
            if let packed @ Some(_) = archive::recognise(&head) {
                return Err(describe_no_image(name, packed, Bytes(length)));
            }
        }
        let fs = decide_kind(name, facts.as_ref(), Bytes(length))?;
        let claimed = facts.and_then(|f| f.size).map(|size| size.0);
        Ok(ImageFile {
            file: source.into_file(),
            name: name.to_owned(),
            place,
            size: match holder {
                Holder::Device => claimed.unwrap_or(length),
                Holder::Medium | Holder::Memory => length,
            },
            fs,
            holder,
        })
    }

    /// A device that is an image itself.
    ///
    /// # Errors
    /// As of [`ImageFile::take`].
    pub fn of_device(node: &Path) -> Result<Self, String> {
        let file = block::open(node).map_err(|e| e.to_string())?;
        let name = node.display().to_string();
        ImageFile::take(file, &name, node.to_owned(), Holder::Device)
    }
}
