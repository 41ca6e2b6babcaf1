//! Contents of files as blocks: a file's own, and fragments that small files share.
//!
//! A file of less than a block goes whole into a fragment block; the end of a longer one is
//! a short block of its own, as mksquashfs has it. A block of zeros is a hole and takes
//! nothing. Files with equal contents are stored once: only those whose size another one has
//! are compared, by SHA-256 of all that is no hole. Holes that the source knows are not read.

use super::super::source::{self, Kind, Source, read_error};
use super::super::watch::check;
use super::super::{Error, Result, Watch};
use super::Options;
use super::pipeline::{self, Feed, Slot, Works};
use super::plan::Plan;
use super::sink::Sink;
use crate::ondisk::squashfs::write::block_entry;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// In [`Stored::entries`]: the block is a hole.
const HOLE: u32 = u32::MAX;

/// Where a file's contents are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Contents {
    /// First of its entries, and how many.
    entries: (usize, usize),
    /// Fragment block and place in it.
    pub fragment: Option<(u32, u32)>,
    /// Whether another file paid for them.
    pub is_duplicate: bool,
}

/// A block in the image.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// Place of its first byte in the image.
    pub start: u64,
    /// Its length as tables have it.
    pub entry: u32,
    /// Its length in bytes, stored and before.
    pub length: (u32, u32),
}

/// All contents.
#[derive(Debug, Default)]
pub struct Stored {
    /// By inode.
    contents: Vec<Contents>,
    /// Files' blocks: [`HOLE`] or a place in `data`.
    entries: Vec<u32>,
    data: Vec<Block>,
    /// Blocks that small files share.
    pub fragments: Vec<Block>,
    /// Files that have the contents of another, and their bytes.
    pub duplicates: (usize, u64),
    /// Bytes stored as they are.
    pub raw: u64,
}

/// A file as its inode names it.
#[derive(Debug)]
pub struct File {
    /// Place of its first block.
    pub start: u64,
    /// Length of each block as tables have it.
    pub blocks: Vec<u32>,
    /// Bytes in holes.
    pub holes: u64,
}

impl Stored {
    /// What is stored of an inode.
    pub fn contents(&self, inode: usize) -> Contents {
        self.contents.get(inode).copied().unwrap_or_default()
    }

    fn blocks(&self, inode: usize) -> impl Iterator<Item = Option<Block>> {
        let (first, count) = self.contents(inode).entries;
        let entries = self.entries[first..first + count].iter();
        entries.map(|entry| self.data.get(*entry as usize).copied())
    }

    /// A file of `size` bytes in blocks of `block_size`.
    pub fn file(&self, inode: usize, size: u64, block_size: u32) -> File {
        let first = self.blocks(inode).flatten().next();
        let mut holes = 0;
        let mut left = size;
        let blocks = self.blocks(inode).map(|block| {
            let length = left.min(u64::from(block_size));
            left -= length;
            holes += if block.is_none() { length } else { 0 };
            block.map_or(0, |block| block.entry)
        });
        File {
            start: first.map_or(0, |block| block.start),
            blocks: blocks.collect(),
            holes,
        }
    }

    /// Stored bytes of a file: its own blocks.
    pub fn own_bytes(&self, inode: usize) -> u64 {
        self.blocks(inode)
            .flatten()
            .map(|block| u64::from(block.length.0))
            .sum()
    }

    /// Stored bytes of all files' own blocks.
    pub fn data_bytes(&self) -> u64 {
        self.data
            .iter()
            .map(|block| u64::from(block.length.0))
            .sum()
    }

    /// Stored bytes of all shared blocks.
    pub fn fragment_bytes(&self) -> u64 {
        let lengths = self.fragments.iter().map(|block| block.length.0);
        lengths.map(u64::from).sum()
    }
}

/// What a block belongs to.
#[derive(Clone, Copy, Debug)]
enum Tag {
    Data,
    Fragment,
}

/// Writes the contents of all files, in the plan's order.
///
/// # Errors
/// A file that cannot be read or changes; no space; a signal.
pub fn write(
    source: &dyn Source,
    plan: &Plan,
    options: &Options,
    sink: &mut Sink<'_>,
    watch: &dyn Watch,
) -> Result<Stored> {
    let works = Works {
        compressor: options.compressor,
        block_size: options.block_size,
        workers: options.workers,
    };
    let mut written = Stored::default();
    let read = pipeline::run(
        works,
        |feed| Reader::new(source, plan, options, watch, feed).read(),
        |slot: &Slot<Tag>| {
            // Here too: what is read ahead would be packed and written before anybody stops.
            check(watch)?;
            let (bytes, is_packed) = slot.stored();
            let length = bytes.len() as u32;
            let block = Block {
                start: sink.position(),
                entry: block_entry(length, is_packed),
                length: (length, slot.raw.len() as u32),
            };
            match slot.tag {
                Some(Tag::Fragment) => written.fragments.push(block),
                _ => written.data.push(block),
            }
            written.raw += if is_packed { 0 } else { u64::from(length) };
            sink.write(bytes)
        },
    )?;
    Ok(Stored {
        contents: read.contents,
        entries: read.entries,
        duplicates: read.duplicates,
        ..written
    })
}

/// The thread that reads.
struct Reader<'a> {
    source: &'a dyn Source,
    plan: &'a Plan,
    watch: &'a dyn Watch,
    feed: &'a mut Feed<Tag>,
    block_size: usize,
    /// The shared block that is being filled, and how many went before.
    fragment: Option<Slot<Tag>>,
    fragments: u32,
    spare: Option<Slot<Tag>>,
    /// How many blocks of single files went before.
    data: u32,
    /// A small file.
    small: Vec<u8>,
    /// Files with twins, by their sizes and digests.
    seen: HashMap<(u64, [u8; 32]), usize>,
    out: Stored,
    done: u64,
    shown: u64,
}

/// How often progress is told, in bytes.
const SHOW: u64 = 1 << 20;

impl<'a> Reader<'a> {
    fn new(
        source: &'a dyn Source,
        plan: &'a Plan,
        options: &Options,
        watch: &'a dyn Watch,
        feed: &'a mut Feed<Tag>,
    ) -> Self {
        let contents = vec![Contents::default(); source.listing().inodes.len()];
        Reader {
            source,
            plan,
            watch,
            feed,
            block_size: options.block_size as usize,
            fragment: None,
            fragments: 0,
            spare: None,
            data: 0,
            small: Vec::new(),
            seen: HashMap::new(),
            out: Stored {
                contents,
                ..Stored::default()
            },
            done: 0,
            shown: 0,
        }
    }

    fn read(mut self) -> Result<Stored> {
        for inode in &self.plan.files {
            let Kind::File { size } = self.source.listing().inodes[*inode].kind else {
                continue;
            };
            match size {
                0 => {}
                size if size < self.block_size as u64 => self.small(*inode, size as usize)?,
                size => self.large(*inode, size)?,
            }
        }
        self.end_fragment()?;
        Ok(self.out)
    }

    /// A file that goes into a fragment.
    fn small(&mut self, inode: usize, size: usize) -> Result<()> {
        let mut bytes = std::mem::take(&mut self.small);
        bytes.resize(size, 0);
        let mut file = self.open(inode)?;
        file.fill(&mut bytes)?;
        file.end()?;
        let is_new = !self.plan.has_twin[inode]
            || !self.is_seen(inode, size as u64, Sha256::digest(&bytes).into());
        if is_new {
            let fits = |slot: &Slot<Tag>| slot.raw.len() + size <= self.block_size;
            if !self.fragment.as_ref().is_some_and(fits) {
                self.end_fragment()?;
            }
            let slot = match &mut self.fragment {
                Some(slot) => slot,
                None => {
                    let mut slot = self.feed.take()?;
                    slot.raw.clear();
                    self.fragment.insert(slot)
                }
            };
            self.out.contents[inode].fragment = Some((self.fragments, slot.raw.len() as u32));
            slot.raw.extend_from_slice(&bytes);
        }
        self.small = bytes;
        self.advance(size as u64)
    }

    fn end_fragment(&mut self) -> Result<()> {
        if let Some(slot) = self.fragment.take() {
            self.feed.send(slot, Tag::Fragment)?;
            self.fragments += 1;
        }
        Ok(())
    }

    /// A file with blocks of its own. One that may have a twin is read twice: whether it
    /// is to be packed is known only at its end.
    fn large(&mut self, inode: usize, size: u64) -> Result<()> {
        let mut digest = None;
        if self.plan.has_twin[inode] {
            let found = self.digest(inode, size)?;
            if self.is_seen(inode, size, found) {
                return self.advance(size);
            }
            digest = Some((Blocks::default(), found));
        }
        let first = self.out.entries.len();
        let mut file = self.open(inode)?;
        let mut left = size;
        // What a hole was read into serves the next block.
        let mut spare = self.spare.take();
        loop {
            let skipped = file.skip_hole(self.block_size as u64)?;
            let blocks = skipped.div_ceil(self.block_size as u64) as usize;
            self.out
                .entries
                .resize(self.out.entries.len() + blocks, HOLE);
            if let Some((blocks, _)) = &mut digest {
                blocks.skip(skipped, self.block_size);
            }
            left -= skipped;
            self.advance(skipped)?;
            if left == 0 {
                break;
            }
            let mut slot = match spare.take() {
                Some(slot) => slot,
                None => self.feed.take()?,
            };
            slot.raw
                .resize(left.min(self.block_size as u64) as usize, 0);
            file.fill(&mut slot.raw)?;
            let length = slot.raw.len() as u64;
            left -= length;
            let is_hole = is_hole(&slot.raw);
            if let Some((blocks, _)) = &mut digest {
                blocks.add(&slot.raw, is_hole);
            }
            match is_hole {
                true => {
                    self.out.entries.push(HOLE);
                    spare = Some(slot);
                }
                false => {
                    self.out.entries.push(self.data);
                    self.data += 1;
                    self.feed.send(slot, Tag::Data)?;
                }
            }
            self.advance(length)?;
        }
        self.spare = spare;
        file.end()?;
        if digest.is_some_and(|(blocks, found)| blocks.digest() != found) {
            return Err(changed(self.source, inode));
        }
        self.out.contents[inode].entries = (first, self.out.entries.len() - first);
        Ok(())
    }

    /// The digest of a whole file.
    fn digest(&mut self, inode: usize, size: u64) -> Result<[u8; 32]> {
        let mut bytes = std::mem::take(&mut self.small);
        let mut blocks = Blocks::default();
        let mut file = self.open(inode)?;
        let mut left = size;
        loop {
            check(self.watch)?;
            let skipped = file.skip_hole(self.block_size as u64)?;
            blocks.skip(skipped, self.block_size);
            left -= skipped;
            if left == 0 {
                break;
            }
            bytes.resize(left.min(self.block_size as u64) as usize, 0);
            file.fill(&mut bytes)?;
            blocks.add(&bytes, is_hole(&bytes));
            left -= bytes.len() as u64;
        }
        file.end()?;
        self.small = bytes;
        Ok(blocks.digest())
    }

    /// Whether a file with these contents is stored; this one then has the same.
    fn is_seen(&mut self, inode: usize, size: u64, digest: [u8; 32]) -> bool {
        let first = *self.seen.entry((size, digest)).or_insert(inode);
        if first == inode {
            return false;
        }
        self.out.contents[inode] = Contents {
            is_duplicate: true,
            ..self.out.contents[first]
        };
        self.out.duplicates.0 += 1;
        self.out.duplicates.1 += size;
        true
    }

    fn open(&self, inode: usize) -> Result<Opened<'a>> {
        Ok(Opened {
            bytes: self.source.open(inode)?,
            source: self.source,
            inode,
        })
    }

    fn advance(&mut self, bytes: u64) -> Result<()> {
        self.done += bytes;
        if self.done - self.shown >= SHOW {
            self.shown = self.done;
            self.watch.progress(self.done, self.plan.total);
        }
        check(self.watch)
    }
}

/// The digest of a file of more than a block: of its blocks that are no holes, and their
/// numbers. Written zeros count as a hole.
#[derive(Default)]
struct Blocks {
    hasher: Sha256,
    number: u64,
}

impl Blocks {
    fn skip(&mut self, bytes: u64, block_size: usize) {
        self.number += bytes.div_ceil(block_size as u64);
    }

    fn add(&mut self, block: &[u8], is_hole: bool) {
        if !is_hole {
            self.hasher.update(self.number.to_le_bytes());
            self.hasher.update(block);
        }
        self.number += 1;
    }

    fn digest(self) -> [u8; 32] {
        self.hasher.finalize().into()
    }
}

/// A file that is read to its end.
struct Opened<'a> {
    bytes: Box<dyn source::Contents + 'a>,
    source: &'a dyn Source,
    inode: usize,
}

impl Opened<'_> {
    /// The next bytes.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<()> {
        let mut at = 0;
        while at < buffer.len() {
            match self.next(&mut buffer[at..])? {
                0 => return Err(changed(self.source, self.inode)),
                n => at += n,
            }
        }
        Ok(())
    }

    /// Goes over a hole: whole blocks, or all up to the end.
    fn skip_hole(&mut self, unit: u64) -> Result<u64> {
        let skipped = self.bytes.skip_hole(unit);
        skipped.map_err(|cause| read_error(self.source, self.inode, cause))
    }

    /// Makes sure that nothing follows; only here the source can tell that all is well.
    fn end(&mut self) -> Result<()> {
        match self.next(&mut [0])? {
            0 => Ok(()),
            _ => Err(changed(self.source, self.inode)),
        }
    }

    fn next(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match self.bytes.read(buffer) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(read_error(self.source, self.inode, cause)),
                Ok(n) => return Ok(n),
            }
        }
    }
}

fn changed(source: &dyn Source, inode: usize) -> Error {
    Error::input(
        source.describe(inode),
        "it changed while it was read",
        "build from a tree at rest: a snapshot or a copy",
    )
}

/// Whether all is zero.
fn is_hole(block: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    block
        .chunks(ZEROS.len())
        .all(|part| *part == ZEROS[..part.len()])
}
