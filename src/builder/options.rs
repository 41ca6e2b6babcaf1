//! What is to be built, as the user said it.

use super::source::Owners;
use super::squashfs::{self, Compressor, Sort};
use super::{Error, Packing, Result, Scope, bios};
use std::path::{Path, PathBuf};

/// What is to be built, as the user said it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Root directory of a distribution, or a tar archive of one; `-` is standard input.
    pub tree: PathBuf,
    /// Whose the files of the image are.
    pub owners: Owners,
    /// The ISO to write.
    pub output: PathBuf,
    /// A kernel image in place of the tree's newest.
    pub kernel: Option<PathBuf>,
    /// Volume label.
    pub label: Option<String>,
    /// More kernel words.
    pub append: Option<String>,
    /// An agent in place of the one beside this program.
    pub agent: Option<PathBuf>,
    /// Which drivers go in.
    pub drivers: Scope,
    /// A foreign initramfs in place of ours.
    pub initrd: Option<PathBuf>,
    /// How the payload is packed.
    pub payload: Payload,
    /// Whether the ESP may be larger than a disc's boot entry can count.
    pub large_esp: bool,
    /// Whether the medium is to start by BIOS.
    pub bios: bios::Choice,
    /// The value of SOURCE_DATE_EPOCH, if it is set.
    pub source_date_epoch: Option<String>,
}

/// How the payload is packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Who packs it.
    pub tool: SquashfsTool,
    /// The way.
    pub compressor: Compressor,
    /// Length of a block, bytes.
    pub block_size: u32,
    /// A file that says which files stand first.
    pub sort: Option<PathBuf>,
}

/// Who writes the squashfs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SquashfsTool {
    /// Our own writer.
    #[default]
    Own,
    /// squashfs-tools, a second opinion.
    Mksquashfs,
}

impl Default for Payload {
    fn default() -> Self {
        squashfs::Options::default().into()
    }
}

impl From<squashfs::Options> for Payload {
    /// What the writer calls fast or small is so here.
    fn from(how: squashfs::Options) -> Self {
        Payload {
            tool: SquashfsTool::Own,
            compressor: how.compressor,
            block_size: how.block_size,
            sort: None,
        }
    }
}

impl Payload {
    /// `--fast`: a fifteenth of the CPU for an eighth more bytes.
    pub fn fast() -> Payload {
        squashfs::Options::default().fast().into()
    }

    /// `--small`.
    pub fn small() -> Payload {
        squashfs::Options::default().small().into()
    }

    /// Reads the sort file, if there is one.
    ///
    /// # Errors
    /// A sort file that cannot be read or is none.
    pub fn read_sort(&self) -> Result<Option<Sort>> {
        self.sort.as_deref().map(read_sort).transpose()
    }

    /// What our writer is to do.
    pub fn squashfs(&self, owners: Owners, epoch: u64, sort: Option<Sort>) -> squashfs::Options {
        squashfs::Options {
            compressor: self.compressor,
            block_size: self.block_size,
            epoch,
            all_root: owners == Owners::Root,
            sort,
            ..squashfs::Options::default()
        }
    }

    /// How the result tells it.
    pub fn packing(&self) -> Packing {
        let (compressor, level) = match self.compressor {
            Compressor::Zstd { level } => ("zstd", Some(level)),
            Compressor::Gzip { level } => ("gzip", Some(level)),
            Compressor::Xz { .. } => ("xz", None),
            Compressor::Lz4 => ("lz4", None),
        };
        Packing {
            tool: match self.tool {
                SquashfsTool::Own => "liveroot",
                SquashfsTool::Mksquashfs => "mksquashfs",
            },
            compressor,
            level,
            block_size: self.block_size,
        }
    }
}

fn read_sort(path: &Path) -> Result<Sort> {
    let text = std::fs::read(path).map_err(|cause| {
        Error::input(
            path.display(),
            format!("it cannot be read: {cause}"),
            "name a file of paths and priorities with --sort",
        )
    })?;
    Sort::parse(&path.display().to_string(), &text)
}
