//! `liveroot verify`: whether a medium is whole.

use super::progress::Progress;
use crate::inspect::verify::{Outcome, Watch, verify};
use crate::sys::interrupt;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Reads all of a live medium and says whether it is intact, or which bytes are damaged
///
/// Compares with the digests and the hash tree that `liveroot build` put on it; on other
/// media with the implanted checksum (isomd5) and the sums of the GPT, and says what nothing
/// covers. Exit status: 0 intact, 1 damaged, 2 it could not be read.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Image file or device
    medium: PathBuf,
    /// Print one JSON object on standard output, offsets and lengths in bytes
    #[arg(long)]
    json: bool,
}

const UNREADABLE: u8 = 2;

/// Verifies, and says how it went.
pub(super) fn run(args: &Args) -> ExitCode {
    // Without a handler Ctrl-C ends the program at once, which is as well.
    let _ = interrupt::notice_interrupts();
    let progress = Progress::on_stderr();
    let result = verify(&args.medium, &progress);
    progress.finish();
    let verified = match result {
        Ok(verified) => verified,
        Err(why) => {
            super::complain(format_args!("{why}"));
            return ExitCode::from(UNREADABLE);
        }
    };
    let out = match args.json {
        true => serde_json::to_string(&verified).map(|json| json + "\n"),
        false => Ok(verified.text()),
    };
    let said = out.map_err(std::io::Error::from).and_then(|out| {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(out.as_bytes())?;
        stdout.flush()
    });
    match (verified.outcome, said) {
        (Outcome::Intact, Ok(())) => ExitCode::SUCCESS,
        (Outcome::Intact, Err(why)) => {
            super::complain(format_args!(
                "it is intact, but standard output failed: {why}"
            ));
            ExitCode::from(UNREADABLE)
        }
        (Outcome::Damaged, _) => ExitCode::FAILURE,
        (Outcome::Unreadable | Outcome::Uncovered, _) => ExitCode::from(UNREADABLE),
        (Outcome::Interrupted, _) => {
            let signal = interrupt::caught().and_then(|signal| u8::try_from(128 + signal).ok());
            ExitCode::from(signal.unwrap_or(UNREADABLE))
        }
    }
}

impl Watch for Progress {
    fn phase(&self, what: &str) {
        crate::builder::Watch::phase(self, what);
    }

    fn progress(&self, done: u64, total: u64) {
        crate::builder::Watch::progress(self, done, total);
    }

    fn cancelled(&self) -> bool {
        crate::builder::Watch::cancelled(self)
    }
}
