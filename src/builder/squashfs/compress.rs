//! How blocks are packed: one packer for each thread, with the library's memory in it.
//!
//! Bytes are stable only within one version of a library: zstd is pinned in Cargo.toml, the
//! others by Cargo.lock.

use crate::ondisk::squashfs;
use liblzma::stream::{Action, Check, Filters, LzmaOptions, Status, Stream};

/// A packer of blocks with its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compressor {
    /// zstd; level 1 to 22.
    Zstd {
        /// What mksquashfs calls `-Xcompression-level`.
        level: i32,
    },
    /// zlib; level 1 to 12, those above 9 are libdeflate's own.
    Gzip {
        /// Effort.
        level: i32,
    },
    /// xz with a dictionary of one block.
    Xz {
        /// Whether each block is tried with jump targets of x86 made absolute, too, and the
        /// shorter one taken.
        x86: bool,
    },
    /// lz4, its fast mode: images are larger than with `mksquashfs -Xhc`.
    Lz4,
}

impl Default for Compressor {
    /// Fifteen times the CPU of level 3 saves a ninth.
    fn default() -> Self {
        Compressor::Zstd { level: 15 }
    }
}

/// The version that kernels know (fs/squashfs/lz4_wrapper.c, LZ4_LEGACY).
const LZ4_LEGACY: u32 = 1;
/// squashfs-tools' number of the x86 filter (xz_wrapper.h, SQUASHFS_XZ_X86).
const XZ_X86: u32 = 1;
/// The strategy "default" alone (gzip_wrapper.h), and zlib's window.
const GZIP_WINDOW: u32 = 15;

impl Compressor {
    /// As the superblock names it.
    pub fn kind(self) -> squashfs::Compressor {
        match self {
            Compressor::Zstd { .. } => squashfs::Compressor::Zstd,
            Compressor::Gzip { .. } => squashfs::Compressor::Zlib,
            Compressor::Xz { .. } => squashfs::Compressor::Xz,
            Compressor::Lz4 => squashfs::Compressor::Lz4,
        }
    }

    /// Bytes that one packer's tables take at most.
    pub(super) fn memory(self, block_size: u32) -> usize {
        let block = block_size as usize;
        // The look ahead, and what a library takes for any block.
        let fixed = 1 << 20;
        fixed
            + match self {
                // clevels.h: trees and hashes of 8 bytes for each of twice a window's.
                Compressor::Zstd { level } if level >= SLOW_LEVEL => 18 * block,
                Compressor::Zstd { .. } => 4 * block,
                // libdeflate's largest, of level 10 and above.
                Compressor::Gzip { .. } => 9 << 20,
                // lzma(3): a binary tree takes 11.5 dictionaries; both results are kept.
                Compressor::Xz { .. } => 13 * block + (4 << 20),
                Compressor::Lz4 => 0,
            }
    }

    /// What stands behind the superblock: nothing for mksquashfs's own defaults.
    pub(super) fn fields(self, block_size: u32) -> Vec<u32> {
        match self {
            Compressor::Zstd { level: 15 } | Compressor::Xz { x86: false } => Vec::new(),
            Compressor::Zstd { level } => vec![level as u32],
            // unsquashfs refuses a level that zlib has not.
            Compressor::Gzip { level } if level >= 9 => Vec::new(),
            Compressor::Gzip { level } => vec![level as u32, GZIP_WINDOW],
            Compressor::Xz { x86: true } => vec![block_size, XZ_X86],
            Compressor::Lz4 => vec![LZ4_LEGACY, 0],
        }
    }
}

/// One thread's packer.
pub struct Packer {
    way: Way,
    /// For the look ahead at what hardly shrinks.
    probe: zstd_safe::CCtx<'static>,
}

enum Way {
    Zstd(zstd_safe::CCtx<'static>, i32),
    Gzip(libdeflater::Compressor),
    Xz {
        plain: Filters,
        x86: Option<Filters>,
    },
    Lz4,
}

/// From this level on zstd takes longer to find nothing than the look ahead.
const SLOW_LEVEL: i32 = 6;

impl Packer {
    /// A packer for blocks of up to `block_size`.
    pub fn new(compressor: Compressor, block_size: u32) -> Result<Packer, String> {
        let way = match compressor {
            Compressor::Zstd { level } => Way::Zstd(zstd_safe::CCtx::create(), level),
            Compressor::Gzip { level } => {
                let level = libdeflater::CompressionLvl::new(level);
                let level = level.map_err(|_| "gzip has the levels 1 to 12".to_owned())?;
                Way::Gzip(libdeflater::Compressor::new(level))
            }
            Compressor::Xz { x86 } => {
                let mut options = LzmaOptions::new_preset(6).map_err(|e| e.to_string())?;
                options.dict_size(block_size);
                let (mut plain, mut jumps) = (Filters::new(), Filters::new());
                plain.lzma2(&options);
                jumps.x86().lzma2(&options);
                Way::Xz {
                    plain,
                    x86: x86.then_some(jumps),
                }
            }
            Compressor::Lz4 => Way::Lz4,
        };
        let probe = zstd_safe::CCtx::create();
        Ok(Packer { way, probe })
    }

    /// Packs a block into `out`; false when that makes it no smaller.
    pub fn pack(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<bool, String> {
        out.clear();
        out.reserve(bound(raw.len()));
        if self.is_slow() && self.is_random(raw, out) {
            return Ok(false);
        }
        out.clear();
        match &mut self.way {
            Way::Zstd(context, level) => {
                context.compress(out, raw, *level).map_err(zstd_error)?;
            }
            Way::Gzip(compressor) => {
                out.resize(bound(raw.len()), 0);
                let n = compressor.zlib_compress(raw, out);
                out.truncate(n.unwrap_or(raw.len()));
            }
            Way::Xz { plain, x86 } => {
                xz(plain, raw, out)?;
                if let Some(x86) = x86 {
                    let mut other = Vec::with_capacity(bound(raw.len()));
                    xz(x86, raw, &mut other)?;
                    if other.len() < out.len() {
                        *out = other;
                    }
                }
            }
            Way::Lz4 => {
                out.resize(bound(raw.len()), 0);
                let n = lz4_flex::block::compress_into(raw, out).map_err(|e| e.to_string())?;
                out.truncate(n);
            }
        }
        Ok(out.len() < raw.len())
    }

    /// As [`Packer::pack`], of a metadata block.
    pub fn pack_small(&mut self, raw: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let mut out = Vec::new();
        Ok(self.pack(raw, &mut out)?.then_some(out))
    }

    fn is_slow(&self) -> bool {
        match &self.way {
            Way::Zstd(_, level) => *level >= SLOW_LEVEL,
            Way::Gzip(_) | Way::Lz4 => false,
            Way::Xz { .. } => true,
        }
    }

    /// Whether a block will hardly shrink, whatever is tried: its bytes are all about as
    /// frequent, and zstd's fastest level finds nothing. Such a block costs a hundredth of
    /// what the slow levels take to find the same.
    fn is_random(&mut self, raw: &[u8], out: &mut Vec<u8>) -> bool {
        const SMALL: usize = 4096;
        raw.len() >= SMALL
            && looks_random(raw)
            && match self.probe.compress(out, raw, 1) {
                Ok(n) => n >= raw.len(),
                Err(_) => false,
            }
    }
}

/// Whether 4,096 of a block's bytes, from all over it, are about evenly spread over the 256
/// values: the chi-square of random bytes is 255 ± 23, that of packed code rarely below 400,
/// and that of text or programs many thousands.
fn looks_random(raw: &[u8]) -> bool {
    const LOOKED_AT: usize = 4096;
    const EVEN: u32 = 600;
    let mut counts = [0u32; 256];
    let step = (raw.len() / LOOKED_AT).max(1);
    // Steps of odd length, so that no column of a table is looked at alone.
    for byte in raw.iter().step_by(step | 1).take(LOOKED_AT) {
        counts[usize::from(*byte)] += 1;
    }
    let looked_at: u32 = counts.iter().sum();
    let squares: u32 = counts.iter().map(|n| n * n).sum();
    let chi = (u64::from(squares) * 256 / u64::from(looked_at.max(1)))
        .saturating_sub(u64::from(looked_at));
    chi < u64::from(EVEN)
}

/// One xz stream with a CRC32, the only check that every kernel has.
fn xz(filters: &Filters, raw: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let mut stream =
        Stream::new_stream_encoder(filters, Check::Crc32).map_err(|e| e.to_string())?;
    match stream.process_vec(raw, out, Action::Finish) {
        Ok(Status::StreamEnd) => Ok(()),
        Ok(status) => Err(format!("xz stopped early ({status:?})")),
        Err(e) => Err(e.to_string()),
    }
}

/// What any of them may make of so many bytes.
pub(super) fn bound(length: usize) -> usize {
    length + length / 8 + 1024
}

fn zstd_error(code: usize) -> String {
    zstd_safe::get_error_name(code).to_owned()
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.way {
            Way::Zstd(..) => "Packer(zstd)",
            Way::Gzip(_) => "Packer(gzip)",
            Way::Xz { .. } => "Packer(xz)",
            Way::Lz4 => "Packer(lz4)",
        })
    }
}
