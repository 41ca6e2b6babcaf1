//! The options of `liveroot build`, and what they mean to the builder.

use crate::builder::source::Owners;
use crate::builder::squashfs::Compressor;
use crate::builder::{Options, Payload, Scope, SquashfsTool, bios};
use clap::builder::{OsStringValueParser, TypedValueParser};
use std::ffi::OsString;
use std::path::PathBuf;

/// Makes a bootable live ISO from the root of a distribution
///
/// Needs no root, no loop device and no mount. The same tree and options give the same
/// bytes; dates come from SOURCE_DATE_EPOCH, or from the newest file of the tree. Nothing
/// may be mounted in the tree.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Root of a distribution, with kernel, modules and init: a directory, a tar archive (plain or packed by gzip, xz or zstd), or `-`, an archive on standard input
    tree: PathBuf,
    /// The ISO to write
    #[arg(
        short,
        long,
        value_name = "FILE",
        required_unless_present = "check_against"
    )]
    #[arg(value_parser = OsStringValueParser::new().try_map(output), value_hint = clap::ValueHint::FilePath, conflicts_with = "check_against")]
    output: Option<PathBuf>,
    /// Build it once more, compare with this ISO, say what differs first, and keep nothing
    #[arg(long, value_name = "ISO")]
    pub(super) check_against: Option<PathBuf>,
    /// Print one JSON object on standard output, and nothing else there
    #[arg(long)]
    pub(super) json: bool,

    /// Volume label, at most 32 characters; default: the distribution's name and version
    #[arg(long, value_name = "NAME", help_heading = BOOT)]
    label: Option<String>,
    /// More words for the kernel's command line, such as "console=ttyS0 quiet"
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true, help_heading = BOOT)]
    append: Option<String>,
    /// Kernel image; default: the newest of the tree with modules (boot/vmlinuz*, usr/lib/modules/*/vmlinuz)
    #[arg(long, value_name = "FILE", help_heading = BOOT)]
    kernel: Option<PathBuf>,
    /// The initramfs's agent; default: liveroot-init beside this program, or in /usr/lib/liveroot
    #[arg(long, value_name = "FILE", conflicts_with = "initrd", help_heading = BOOT)]
    agent: Option<PathBuf>,
    /// Drivers in the initramfs: what boot media need, or server adapters (SAS, Fibre Channel) too
    #[arg(long, value_enum, default_value = "boot", value_name = "boot|all")]
    #[arg(hide_possible_values = true, help_heading = BOOT)]
    drivers: Drivers,
    /// A foreign initramfs in place of ours; the image's identity is appended to it
    #[arg(long, value_name = "FILE", help_heading = BOOT)]
    initrd: Option<PathBuf>,
    /// Start by BIOS, too: when isolinux is in the tree or on this machine, never, or in any case
    #[arg(
        long,
        value_enum,
        default_value = "auto",
        value_name = "auto|no|require"
    )]
    #[arg(hide_possible_values = true, help_heading = BOOT)]
    bios: Bios,
    /// Let the EFI system partition be larger than the 32 MiB that a disc's boot entry can count
    #[arg(long, help_heading = BOOT)]
    large_esp: bool,

    /// Give all files to root, whoever owns them in TREE
    #[arg(long, help_heading = PAYLOAD)]
    all_root: bool,
    /// Pack with a fifteenth of the CPU, for an eighth more bytes: zstd, level 3
    #[arg(long, conflicts_with_all = ["small", "compressor", "level"], help_heading = PAYLOAD)]
    fast: bool,
    /// Pack a quarter smaller, in six times the time; reads get slow: xz with its filter for x86, blocks of 1 MiB
    #[arg(long, conflicts_with_all = ["compressor", "level", "block_size"])]
    #[arg(help_heading = PAYLOAD)]
    small: bool,
    /// How blocks are packed
    #[arg(
        long,
        value_enum,
        value_name = "zstd|gzip|xz|lz4",
        default_value = "zstd"
    )]
    #[arg(hide_possible_values = true, help_heading = PAYLOAD)]
    compressor: Packer,
    /// Effort: zstd 1 to 22 (default 15), gzip 1 to 12 (default 9)
    #[arg(long, value_name = "N", help_heading = PAYLOAD)]
    level: Option<i32>,
    /// Length of a block, a power of two from 4K to 1M; default: 128K
    #[arg(long, value_name = "SIZE", value_parser = block_size, help_heading = PAYLOAD)]
    block_size: Option<u32>,
    /// Which files stand first: lines of a path and a priority, as mksquashfs reads them
    #[arg(long, value_name = "FILE", help_heading = PAYLOAD)]
    sort: Option<PathBuf>,
    /// Who packs: our own writer, or squashfs-tools, for comparison
    #[arg(
        long,
        value_enum,
        value_name = "liveroot|mksquashfs",
        default_value = "liveroot"
    )]
    #[arg(hide_possible_values = true, help_heading = PAYLOAD)]
    squashfs_tool: Tool,
}

const BOOT: &str = "How it starts";
const PAYLOAD: &str = "The payload";

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Drivers {
    Boot,
    All,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Bios {
    Auto,
    No,
    Require,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Packer {
    Zstd,
    Gzip,
    Xz,
    Lz4,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Tool {
    Liveroot,
    Mksquashfs,
}

/// An ISO is not written from front to end: what is known last stands in front.
fn output(name: OsString) -> Result<PathBuf, String> {
    if name == "-" {
        return Err(
            "an ISO is not written from its first byte to its last, so a pipe cannot take it; \
             name a file (./- is one of that name)"
                .into(),
        );
    }
    match name.is_empty() {
        true => Err("name a file".into()),
        false => Ok(name.into()),
    }
}

/// `128K`, `1M` or a number of bytes.
fn block_size(text: &str) -> Result<u32, String> {
    let (number, unit) = match text.strip_suffix(['K', 'k']) {
        Some(number) => (number, 10),
        None => match text.strip_suffix(['M', 'm']) {
            Some(number) => (number, 20),
            None => (text, 0),
        },
    };
    let number: Option<u32> = number.parse().ok().filter(|n| *n <= 1 << 20);
    let bytes = number.and_then(|n| n.checked_mul(1 << unit));
    bytes
        .filter(|n| n.is_power_of_two() && (4096..=1 << 20).contains(n))
        .ok_or_else(|| "the kernel reads blocks of 4K, 8K and so on up to 1M".into())
}

impl Args {
    /// What the builder is to do; the output has no name where there is only a check. What clap cannot say about options that exclude each other is
    /// an error here, a sentence without its option's name.
    pub(super) fn options(&self) -> Result<Options, String> {
        let output = self.output.clone().unwrap_or_default();
        Ok(Options {
            tree: self.tree.clone(),
            owners: match self.all_root {
                true => Owners::Root,
                false => Owners::Kept,
            },
            output,
            kernel: self.kernel.clone(),
            label: self.label.clone(),
            append: self.append.clone(),
            agent: self.agent.clone(),
            drivers: match self.drivers {
                Drivers::Boot => Scope::Boot,
                Drivers::All => Scope::All,
            },
            initrd: self.initrd.clone(),
            payload: self.payload()?,
            large_esp: self.large_esp,
            bios: match self.bios {
                Bios::Auto => bios::Choice::Auto,
                Bios::No => bios::Choice::No,
                Bios::Require => bios::Choice::Require,
            },
            source_date_epoch: std::env::var("SOURCE_DATE_EPOCH").ok(),
        })
    }

    fn payload(&self) -> Result<Payload, String> {
        let usual = match (self.fast, self.small) {
            (true, _) => Payload::fast(),
            (_, true) => Payload::small(),
            _ => Payload {
                compressor: compressor(self.compressor, self.level)?,
                ..Payload::default()
            },
        };
        let tool = match self.squashfs_tool {
            Tool::Liveroot => SquashfsTool::Own,
            Tool::Mksquashfs => SquashfsTool::Mksquashfs,
        };
        if tool == SquashfsTool::Mksquashfs && self.sort.is_some() {
            return Err("--sort is for our own writer: mksquashfs orders equals otherwise".into());
        }
        Ok(Payload {
            tool,
            block_size: self.block_size.unwrap_or(usual.block_size),
            sort: self.sort.clone(),
            ..usual
        })
    }
}

fn compressor(packer: Packer, level: Option<i32>) -> Result<Compressor, String> {
    let within = |most: i32, usual: i32, name: &str| match level.unwrap_or(usual) {
        level if (1..=most).contains(&level) => Ok(level),
        level => Err(format!("--level {level}: {name} has levels 1 to {most}")),
    };
    let none = |name: &str, packer: Compressor| match level {
        None => Ok(packer),
        Some(_) => Err(format!("--level: {name} has no levels")),
    };
    match packer {
        Packer::Zstd => within(22, 15, "zstd").map(|level| Compressor::Zstd { level }),
        Packer::Gzip => within(12, 9, "gzip").map(|level| Compressor::Gzip { level }),
        Packer::Xz => none("xz", Compressor::Xz { x86: true }),
        Packer::Lz4 => none("lz4", Compressor::Lz4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    /// What the words after `liveroot build tree` mean; the message when they mean nothing.
    fn options(words: &str) -> Result<Options, String> {
        let words = ["liveroot", "tree"]
            .into_iter()
            .chain(words.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        line.args.options()
    }

    #[test]
    fn without_options_the_payload_is_packed_as_the_writer_would() {
        let options = options("-o a.iso").unwrap();
        assert_eq!(options.payload, Payload::default());
        assert_eq!(options.payload.compressor, Compressor::Zstd { level: 15 });
        assert_eq!(options.payload.block_size, 128 << 10);
        assert_eq!(options.owners, Owners::Kept);
        assert_eq!(options.bios, bios::Choice::Auto);
        assert!(!options.large_esp);
    }

    #[test]
    fn each_option_reaches_the_builder() {
        let options = options(
            "-o a.iso --all-root --compressor gzip --level 7 --block-size 64K --sort first \
             --large-esp --bios require",
        )
        .unwrap();
        assert_eq!(options.owners, Owners::Root);
        let payload = &options.payload;
        assert_eq!(payload.compressor, Compressor::Gzip { level: 7 });
        assert_eq!(payload.block_size, 64 << 10);
        assert_eq!(payload.sort, Some("first".into()));
        assert_eq!(
            (options.large_esp, options.bios),
            (true, bios::Choice::Require)
        );
    }

    #[test]
    fn fast_and_small_are_short_for_levels() {
        let payload = |words: &str| options(words).unwrap().payload.packing();
        let fast = payload("-o a.iso --fast");
        assert_eq!((fast.level, fast.block_size), (Some(3), 128 << 10));
        let small = payload("-o a.iso --small");
        assert_eq!((small.compressor, small.level), ("xz", None));
        assert_eq!(small.block_size, 1 << 20);
        assert_eq!(
            payload("-o a.iso --fast --block-size 1M").block_size,
            1 << 20
        );
        assert_eq!(
            payload("-o a.iso --squashfs-tool mksquashfs").tool,
            "mksquashfs"
        );
    }

    #[test]
    fn what_excludes_each_other_is_refused_by_name() {
        for (words, named) in [
            ("", "--output"),
            ("-o a --check-against b", "--check-against"),
            ("-o a --fast --small", "--small"),
            ("-o a --fast --level 5", "--level"),
            ("-o a --small --block-size 4K", "--block-size"),
            ("-o a --compressor xz --level 5", "xz has no levels"),
            ("-o a --compressor gzip --level 13", "levels 1 to 12"),
            ("-o a --level 23", "levels 1 to 22"),
            ("-o a --squashfs-tool mksquashfs --sort f", "--sort"),
            ("-o a --agent b --initrd c", "--initrd"),
            ("-o -", "a pipe cannot take it"),
        ] {
            let refused = options(words).unwrap_err();
            assert!(refused.contains(named), "{words}: {refused}");
        }
    }

    #[test]
    fn blocks_are_powers_of_two_that_the_kernel_reads() {
        for (text, bytes) in [
            ("4K", 4096),
            ("131072", 131_072),
            ("1M", 1 << 20),
            ("1024k", 1 << 20),
        ] {
            assert_eq!(block_size(text), Ok(bytes));
        }
        for text in [
            "",
            "K",
            "2K",
            "2M",
            "100K",
            "-4K",
            "4294967296K",
            "4096M",
            "4 K",
        ] {
            assert!(block_size(text).is_err(), "{text}");
        }
    }
}
