//! `liveroot pack`: a tree becomes a squashfs.

use super::progress::Progress;
use crate::builder::pack::pack;
use crate::builder::source::Owners;
use crate::builder::squashfs::{Compressor, Options, Sort, Written};
use crate::builder::{Error, Result, Watch};
use crate::sys::interrupt;
use std::path::PathBuf;
use std::process::ExitCode;

/// Makes a squashfs of a directory or a tar archive
///
/// What mksquashfs is used for, with zstd and blocks of 128 KiB: the bytes depend on the tree
/// and the options alone.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The directory, or a tar archive (plain, gzip, xz or zstd); - is standard input
    tree: PathBuf,
    /// The squashfs to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Pack with a fifteenth of the CPU, for an eighth more bytes: zstd, level 3
    #[arg(long)]
    fast: bool,
    /// All files belong to root in the image
    #[arg(long)]
    all_root: bool,
    /// A sort file of mksquashfs: which files stand first
    #[arg(long, value_name = "FILE")]
    sort: Option<PathBuf>,
    /// Print one JSON object on standard output, sizes in bytes
    #[arg(long)]
    json: bool,
}

/// What zstd is asked for by `--fast`.
const FAST: Compressor = Compressor::Zstd { level: 3 };

/// The object of `--json`. All sizes are in bytes.
#[derive(Debug, serde::Serialize)]
struct Told {
    schema: u32,
    length: u64,
    data: u64,
    fragments: u64,
    metadata: u64,
    unpacked: u64,
    duplicate_files: usize,
    duplicate_bytes: u64,
    raw: u64,
}

/// Packs, and says how it went.
pub(super) fn run(args: &Args) -> ExitCode {
    if let Err(errno) = interrupt::notice_interrupts() {
        super::complain(format_args!(
            "warning: Ctrl-C will leave files behind: {errno}"
        ));
    }
    let progress = Progress::on_stderr();
    let done = write(args, &progress);
    progress.finish();
    match done {
        Ok(written) => super::tell(show(&written, args.json).map_err(|e| e.to_string())),
        Err(error) => {
            super::complain(format_args!("{error}"));
            match (error, interrupt::caught()) {
                (Error::Interrupted, Some(signal)) => {
                    ExitCode::from(u8::try_from(128 + signal).unwrap_or(1))
                }
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn write(args: &Args, watch: &dyn Watch) -> Result<Written> {
    let owners = match args.all_root {
        true => Owners::Root,
        false => Owners::Kept,
    };
    let sort = args.sort.as_ref().map(|file| {
        let text = std::fs::read(file).map_err(Error::system("reading", file))?;
        Sort::parse(&file.display().to_string(), &text)
    });
    let options = Options {
        compressor: match args.fast {
            true => FAST,
            false => Compressor::default(),
        },
        sort: sort.transpose()?,
        ..Options::default()
    };
    let epoch = std::env::var("SOURCE_DATE_EPOCH").ok();
    let epoch = epoch.as_deref();
    pack(&args.tree, owners, options, epoch, &args.output, watch)
}

fn show(written: &Written, json: bool) -> serde_json::Result<String> {
    if !json {
        return Ok(format!(
            "{} of files in {}\n",
            written.unpacked, written.length
        ));
    }
    let told = Told {
        schema: 1,
        length: written.length.0,
        data: written.data.0,
        fragments: written.fragments.0,
        metadata: written.metadata.0,
        unpacked: written.unpacked.0,
        duplicate_files: written.duplicates.0,
        duplicate_bytes: written.duplicates.1.0,
        raw: written.raw.0,
    };
    serde_json::to_string(&told).map(|text| text + "\n")
}
