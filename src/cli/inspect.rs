//! `liveroot inspect`: what is on a medium, and whether it will start.

use crate::inspect::draw::Canvas;
use crate::inspect::{inspect, text};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Tells what is on a live medium, ours or another's, and which ways it will start
///
/// Reads partition tables, descriptors, boot entries, FAT and root image of an image file or
/// a device, draws the layout to scale, and says for UEFI and BIOS, disc and stick, copied to
/// FAT and looped from GRUB whether it will start and, if not, why. Nothing is written.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Image file or device
    medium: PathBuf,
    /// Print one JSON object on standard output, offsets and lengths in bytes
    #[arg(long)]
    json: bool,
}

/// Inspects, and says what it found. 1 when some of it could not be read.
pub(super) fn run(args: &Args) -> ExitCode {
    let (report, spans) = match inspect(&args.medium) {
        Ok(found) => found,
        Err(why) => {
            super::complain(format_args!("{why}"));
            return ExitCode::FAILURE;
        }
    };
    let out = match args.json {
        true => serde_json::to_string(&report).map(|json| json + "\n"),
        false => Ok(text(&report, &spans, canvas())),
    };
    let said = out.map_err(std::io::Error::from).and_then(|out| {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(out.as_bytes())?;
        stdout.flush()
    });
    for line in &report.trouble {
        super::complain(format_args!(
            "{}: {}",
            args.medium.display(),
            crate::units::shown(line)
        ));
    }
    match said.is_ok() && report.trouble.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// What standard output can show: UTF-8 as the locale says (locale(7)), and 80 columns, or
/// those of the terminal.
fn canvas() -> Canvas {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = set("LC_ALL")
        .or_else(|| set("LC_CTYPE"))
        .or_else(|| set("LANG"));
    let locale = locale.unwrap_or_default().to_ascii_lowercase();
    let columns = set("COLUMNS").and_then(|text| text.parse().ok());
    let stdout = std::io::stdout();
    let columns = columns.or_else(|| {
        let size = stdout
            .is_terminal()
            .then(|| rustix::termios::tcgetwinsize(&stdout));
        size.and_then(Result::ok)
            .map(|size| usize::from(size.ws_col))
    });
    Canvas {
        width: columns
            .filter(|columns| *columns > 0)
            .unwrap_or(80)
            .clamp(60, 100),
        utf8: locale.contains("utf-8") || locale.contains("utf8"),
    }
}
