//! The payload: a tree as one squashfs, written straight to its place in the medium.
//!
//! The story: [`plan`] orders the files and finds what cannot be said; [`data`] reads them
//! into blocks and fragments, which [`pipeline`] packs on all cores and writes in order;
//! [`tables`] writes inodes, listings and the rest behind them. Bytes follow from the tree
//! and the options alone: blocks go where their order says, whoever packed them and when.

mod compress;
mod data;
pub mod mksquashfs;
mod pipeline;
mod plan;
mod shares;
mod sink;
mod sort;
mod tables;

pub use compress::Compressor;
pub use shares::Share;
pub use sort::Sort;

use super::source::Source;
use super::{Error, Result, Watch};
use crate::ondisk::squashfs::write::{self as format, Superblock};
use crate::units::Bytes;
use std::fs::File;

/// What the kernel takes of a loop device: without whole pages it refuses the mount.
const PAD: u64 = 4096;

/// How an image is made. Everything but `workers` is seen in its bytes.
#[derive(Clone, Debug)]
pub struct Options {
    /// How blocks are packed.
    pub compressor: Compressor,
    /// Length of a block in bytes: a power of two from 4 KiB to 1 MiB. Larger ones
    /// compress hardly better and make small reads slow.
    pub block_size: u32,
    /// When the image was made, in seconds since 1970; files that are newer get this time,
    /// those from before 1970 get 0.
    pub epoch: u64,
    /// Whether everything belongs to root.
    pub all_root: bool,
    /// Which files stand first.
    pub sort: Option<Sort>,
    /// Threads that pack, at most: there are fewer where many would take too much memory.
    pub workers: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            compressor: Compressor::default(),
            block_size: 128 << 10,
            epoch: 0,
            all_root: false,
            sort: None,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

impl Options {
    /// `--fast`: a fifteenth of the CPU for an eighth more bytes.
    pub fn fast(self) -> Options {
        Options {
            compressor: Compressor::Zstd { level: 3 },
            ..self
        }
    }

    /// `--small`: xz, tried with the x86 filter too, in blocks of 1 MiB. Of Debian's /usr/bin
    /// it makes 7.6 MB; without the filter 7.9, zstd 22 in such blocks 8.5, and zstd 15 in
    /// blocks of 128 KiB 10.4. It takes six times the CPU of that, and such images read
    /// slowly: a small read unpacks a whole block.
    pub fn small(self) -> Options {
        Options {
            compressor: Compressor::Xz { x86: true },
            block_size: 1 << 20,
            ..self
        }
    }
}

/// What was written, and what it took.
#[derive(Clone, Debug)]
pub struct Written {
    /// Length with padding to whole 4 KiB.
    pub length: Bytes,
    /// The image's superblock.
    pub superblock: Superblock,
    /// Stored bytes of blocks that belong to one file.
    pub data: Bytes,
    /// Stored bytes of blocks that small files share.
    pub fragments: Bytes,
    /// Stored bytes of all tables.
    pub metadata: Bytes,
    /// Bytes of files in the tree, each inode once.
    pub unpacked: Bytes,
    /// Files that have the contents of another, and their bytes in the tree.
    pub duplicates: (usize, Bytes),
    /// Bytes that packing would not have made less, stored as they are.
    pub raw: Bytes,
    /// Stored contents by first- and second-level directory, sorted by path.
    pub directories: Vec<Share>,
}

/// Writes the image of `source` into `to`, its first byte at `offset`.
///
/// # Errors
/// What the tree has and the format has not; a file that cannot be read or changes; no
/// space; a signal.
pub fn write(
    source: &dyn Source,
    options: &Options,
    to: &File,
    offset: u64,
    watch: &dyn Watch,
) -> Result<Written> {
    if !options.block_size.is_power_of_two() || !(4096..=1 << 20).contains(&options.block_size) {
        return Err(Error::input(
            format_args!("a block of {} bytes", options.block_size),
            "the kernel reads powers of two from 4096 to 1048576",
            "choose one of these",
        ));
    }
    let plan = plan::Plan::make(source, options, watch)?;
    let mut sink = sink::Sink::new(to, offset);
    let header = format::compressor_options(&options.compressor.fields(options.block_size));
    sink.skip(format::BEHIND_SUPERBLOCK);
    sink.write(&header)?;
    let stored = data::write(source, &plan, options, &mut sink, watch)?;
    let tables_at = sink.position();
    let superblock = tables::write(source, &plan, &stored, options, &mut sink)?;
    let used = superblock.bytes_used;
    let length = used.next_multiple_of(PAD);
    sink.write(&vec![0; (length - used) as usize])?;
    sink.write_at(0, &superblock.encode())?;
    Ok(Written {
        length: Bytes(length),
        superblock,
        data: Bytes(stored.data_bytes()),
        fragments: Bytes(stored.fragment_bytes()),
        metadata: Bytes(used - tables_at + tables_head(&header)),
        unpacked: Bytes(plan.total),
        duplicates: (stored.duplicates.0, Bytes(stored.duplicates.1)),
        raw: Bytes(stored.raw),
        directories: shares::shares(source.listing(), &plan, &stored),
    })
}

fn tables_head(options: &[u8]) -> u64 {
    format::BEHIND_SUPERBLOCK + options.len() as u64
}
