//! `liveroot build`: a tree becomes a bootable ISO.

use super::build_args::Args;
use super::check;
use super::progress::Progress;
use crate::builder::{Error, Outcome, build};
use crate::sys::interrupt;
use std::io::Write;
use std::process::ExitCode;

/// Builds, and says how it went.
pub(super) fn run(args: &Args) -> ExitCode {
    let options = match args.options() {
        Ok(options) => options,
        Err(why) => return super::usage(&why),
    };
    if let Err(errno) = interrupt::notice_interrupts() {
        super::complain(format_args!(
            "warning: Ctrl-C will leave files behind: {errno}"
        ));
    }
    let progress = Progress::on_stderr();
    let done = match &args.check_against {
        Some(other) => {
            check::check(options, other, &progress).map(|checked| Done::Checked(Box::new(checked)))
        }
        None => build(&options, &progress).map(|outcome| Done::Built(Box::new(outcome))),
    };
    progress.finish();
    match done {
        Ok(Done::Built(outcome)) => match show(&outcome, args.json) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => {
                super::complain(format_args!(
                    "{} is complete, but standard output failed: {e}",
                    outcome.output.display()
                ));
                ExitCode::FAILURE
            }
        },
        Ok(Done::Checked(checked)) => checked.show(args.json),
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

enum Done {
    Built(Box<Outcome>),
    Checked(Box<check::Checked>),
}

fn show(outcome: &Outcome, json: bool) -> std::io::Result<()> {
    let text = match json {
        true => outcome.json()? + "\n",
        false => outcome.table(),
    };
    print(&text)
}

/// All of it on standard output.
pub(super) fn print(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
