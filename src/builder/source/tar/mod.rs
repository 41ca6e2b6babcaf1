//! A tar archive as the input: plain or compressed, a file or standard input.
//!
//! Owners, device numbers, set-id bits, file capabilities and labels come out of the archive,
//! so that nobody needs to be root. A plain file is read where it lies; what is compressed or
//! comes through a pipe is unpacked once, next to the output.

mod patient;
pub mod tree;
mod unpack;

use super::assemble::first_names;
use super::steady::{Stamp, changed};
use super::{Contents, Kind, Listing, Owners, Source, shown, skippable};
use crate::builder::{Error, Result, Watch};
use crate::ondisk::tar::{Entries, Malformed, Piece, Why};
use crate::ondisk::{ByteSource, ReadError};
use crate::sys::block;
use rustix::fs::fstat;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// An archive that was listed.
#[derive(Debug)]
pub struct Tar {
    archive: Archive,
    listing: Listing,
    /// For each inode what the archive holds of it.
    files: Vec<tree::Held>,
    names: Vec<usize>,
}

impl Tar {
    /// Lists an archive; `-` is standard input. What must be unpacked goes into `scratch`,
    /// under no name.
    pub fn read(path: &Path, owners: Owners, scratch: &Path, watch: &dyn Watch) -> Result<Tar> {
        let archive = unpack::open(path, scratch, watch)?;
        let mut tree = tree::Tree::new(owners);
        for entry in Entries::new(&archive) {
            crate::builder::watch::check(watch)?;
            let added = entry.and_then(|entry| tree.add(entry));
            added.map_err(|wrong| archive.error(&wrong))?;
        }
        if tree.unstored > 0 {
            watch.warn(&format!(
                "{}: {} files have access lists or other attributes that a squashfs cannot hold; they are left out",
                archive.name, tree.unstored
            ));
        }
        let (listing, files) = tree.finish().map_err(|wrong| archive.error(&wrong))?;
        Ok(Tar {
            names: first_names(&listing),
            archive,
            listing,
            files,
        })
    }

    /// How messages name it.
    pub fn name(&self) -> &str {
        &self.archive.name
    }
}

impl Source for Tar {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn open(&self, inode: usize) -> Result<Box<dyn Contents + '_>> {
        let Kind::File { size } = self.listing.inodes[inode].kind else {
            return Ok(Box::new(io::empty()));
        };
        self.archive.check()?;
        Ok(Box::new(Pieces {
            archive: &self.archive,
            pieces: &self.files[inode].pieces,
            size,
            at: 0,
        }))
    }

    fn describe(&self, inode: usize) -> String {
        let path = &self.listing.names[self.names[inode]].path;
        match self.files[inode].at {
            Some(at) => format!("{}: {} (at byte {at})", self.archive.name, shown(path)),
            // A directory that the archive only implies.
            None => format!("{}: {}", self.archive.name, shown(path)),
        }
    }
}

/// An archive, unpacked.
#[derive(Debug)]
struct Archive {
    file: File,
    /// As the user named it.
    name: String,
    /// How it looked when it was listed.
    stamp: Stamp,
    length: u64,
}

impl Archive {
    fn new(file: File, name: String) -> Result<Archive> {
        let stat =
            fstat(&file).map_err(|e| Error::system("looking at", name.as_ref())(e.into()))?;
        Ok(Archive {
            stamp: Stamp::of(&stat),
            length: u64::try_from(stat.st_size).unwrap_or(0),
            file,
            name,
        })
    }

    /// Fails when the file is no longer what was listed.
    fn check(&self) -> Result<()> {
        match fstat(&self.file).is_ok_and(|stat| Stamp::of(&stat) == self.stamp) {
            true => Ok(()),
            false => Err(changed(self.name.as_ref())),
        }
    }

    fn error(&self, wrong: &Malformed) -> Error {
        let on = match &wrong.path {
            Some(path) => format!("{}: {} (at byte {})", self.name, shown(path), wrong.at),
            None => format!("{} (at byte {})", self.name, wrong.at),
        };
        let remedy = match wrong.why {
            Why::CutShort => "copy or download it again, or make it anew",
            Why::Io(_) => "see whether the disk that it is on is in order",
            Why::Says(_) => {
                "make the archive anew, with GNU tar for one: tar --format=pax --xattrs --xattrs-include='*' --numeric-owner -cf FILE -C TREE ."
            }
        };
        Error::input(on, wrong.why.to_string(), remedy)
    }
}

impl ByteSource for Archive {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::result::Result<(), ReadError> {
        ReadError::unless_filled(block::read_exact_at(&self.file, offset, buf))
    }

    fn len(&self) -> u64 {
        self.length
    }
}

impl Contents for Pieces<'_> {
    fn skip_hole(&mut self, unit: u64) -> io::Result<u64> {
        let mut pieces = self.pieces.iter();
        let next = pieces.find(|piece| piece.offset + piece.length > self.at);
        let data = next.map_or(self.size, |piece| piece.offset.min(self.size));
        let skipped = skippable(self.at, data, self.size, unit);
        self.at += skipped;
        if skipped > 0 && self.at == self.size {
            self.archive.check().map_err(io::Error::other)?;
        }
        Ok(skipped)
    }
}

/// The contents of a file: its pieces, and zeros between them.
struct Pieces<'a> {
    archive: &'a Archive,
    /// Those not yet read to their ends.
    pieces: &'a [Piece],
    size: u64,
    at: u64,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while let [first, rest @ ..] = self.pieces
            && first.offset + first.length <= self.at
        {
            self.pieces = rest;
        }
        let (end, from) = match self.pieces.first() {
            Some(piece) if piece.offset <= self.at => (
                piece.offset + piece.length,
                Some(piece.at + (self.at - piece.offset)),
            ),
            Some(piece) => (piece.offset, None),
            None => (self.size, None),
        };
        let most = usize::try_from(end - self.at).unwrap_or(usize::MAX);
        let most = most.min(buf.len());
        if most == 0 {
            return Ok(0);
        }
        let part = &mut buf[..most];
        let n = match from {
            Some(from) => self.archive.file.read_at(part, from)?,
            None => {
                part.fill(0);
                most
            }
        };
        self.at += n as u64;
        match n {
            0 => Err(io::Error::other(changed(self.archive.name.as_ref()))),
            n => {
                if self.at == self.size {
                    self.archive.check().map_err(io::Error::other)?;
                }
                Ok(n)
            }
        }
    }
}
