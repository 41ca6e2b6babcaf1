//! `liveroot build`: a tree becomes a bootable ISO.

use super::progress::Progress;
use crate::builder::source::Owners;
use crate::builder::{Error, Options, Outcome, Scope, build};
use crate::sys::interrupt;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Makes a bootable live ISO from the root directory of a distribution
///
/// Needs no root, no loop device and no mount. The same tree and options give the same
/// bytes; dates come from SOURCE_DATE_EPOCH, or from the newest file of the tree. Nothing
/// may be mounted in the tree.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Root directory of a distribution, with kernel, modules and init; or a tar archive of one, plain or compressed by gzip, xz or zstd, `-` for standard input
    tree: PathBuf,
    /// The ISO to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Kernel image; default: the newest of the tree with modules (boot/vmlinuz*, usr/lib/modules/*/vmlinuz)
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Volume label, at most 32 characters; default: the distribution's name and version
    #[arg(long, value_name = "NAME")]
    label: Option<String>,
    /// More words for the kernel's command line, such as "console=ttyS0 quiet"
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    append: Option<String>,
    /// The initramfs's agent; default: liveroot-init beside this program, or in /usr/lib/liveroot
    #[arg(long, value_name = "FILE", conflicts_with = "initrd")]
    agent: Option<PathBuf>,
    /// Drivers in the initramfs: what boot media need, or server adapters (SAS, Fibre Channel) too
    #[arg(
        long,
        value_enum,
        default_value = "boot",
        value_name = "boot|all",
        hide_possible_values = true
    )]
    drivers: Drivers,
    /// Give all files to root, whoever owns them in TREE
    #[arg(long)]
    all_root: bool,
    /// A foreign initramfs in place of ours; the image's identity is appended to it
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,
    /// Print one JSON object on standard output, and nothing else there
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Drivers {
    Boot,
    All,
}

/// Builds, and says how it went.
pub(super) fn run(args: &Args) -> ExitCode {
    let options = Options {
        tree: args.tree.clone(),
        owners: match args.all_root {
            true => Owners::Root,
            false => Owners::Kept,
        },
        output: args.output.clone(),
        kernel: args.kernel.clone(),
        label: args.label.clone(),
        append: args.append.clone(),
        agent: args.agent.clone(),
        drivers: match args.drivers {
            Drivers::Boot => Scope::Boot,
            Drivers::All => Scope::All,
        },
        initrd: args.initrd.clone(),
        source_date_epoch: std::env::var("SOURCE_DATE_EPOCH").ok(),
    };
    if let Err(errno) = interrupt::notice_interrupts() {
        super::complain(format_args!(
            "warning: Ctrl-C will leave files behind: {errno}"
        ));
    }
    let progress = Progress::on_stderr();
    let result = build(&options, &progress);
    progress.finish();
    match result {
        Ok(outcome) => match show(&outcome, args.json) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => {
                super::complain(format_args!(
                    "{} is complete, but standard output failed: {e}",
                    outcome.output.display()
                ));
                ExitCode::FAILURE
            }
        },
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

fn show(outcome: &Outcome, json: bool) -> std::io::Result<()> {
    let mut text = if json {
        serde_json::to_string(outcome)?
    } else {
        outcome.table()
    };
    if json {
        text.push('\n');
    }
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
