//! The user's commands: arguments in, one of the library's stories, words out.
//!
//! Exit codes: 0 done, 1 refused or failed, 2 a usage error (or, of `verify`, unreadable), 128 plus the signal when
//! interrupted.
#![forbid(unsafe_code)]

mod build;
mod build_args;
mod check;
mod inspect;
mod pack;
mod progress;
mod verify;

use crate::boot::{self, machine::Machine};
use clap::{Args, Parser, Subcommand};
use std::process::ExitCode;

/// Live systems: builds, inspects and verifies their media, tells how a running one is set up.
#[derive(Debug, Parser)]
#[command(name = "liveroot", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Build(Box<build_args::Args>),
    Pack(pack::Args),
    Inspect(inspect::Args),
    Verify(verify::Args),
    /// In a live system: its medium, its image, where changes go and how full that is
    Status(TellArgs),
    /// In a live system: its saved changes, those in use (*) and those put aside
    Sessions(TellArgs),
}

#[derive(Debug, Args)]
struct TellArgs {
    /// Print one JSON object, sizes in bytes, times in seconds since 1970
    #[arg(long)]
    json: bool,
}

/// The command line's definition, for what is made from it: completions.
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    match Cli::parse().command {
        Command::Build(args) => build::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Pack(args) => pack::run(&args),
        Command::Status(args) => tell(boot::status::status(&Machine::running(), args.json)),
        Command::Sessions(args) => tell(boot::sessions::sessions(&Machine::running(), args.json)),
    }
}

fn tell(told: Result<String, String>) -> ExitCode {
    use std::io::Write;
    match told {
        Ok(text) => match std::io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(why) => {
            complain(format_args!("{why}"));
            ExitCode::FAILURE
        }
    }
}

/// A usage error that clap cannot see, said as clap says its own.
fn usage(why: &str) -> ExitCode {
    let error = clap::Error::raw(clap::error::ErrorKind::ValueValidation, format!("{why}\n"));
    let _ = error.print();
    ExitCode::from(2)
}

/// Says a line on standard error. Nobody is left to be told when that fails, and it is no
/// reason to abort, as `eprintln!` would.
pub(crate) fn complain(line: std::fmt::Arguments<'_>) {
    use std::io::Write;
    // Names of files are in it.
    let text = line.to_string();
    let lines: Vec<String> = text.lines().map(crate::units::shown).collect();
    let _ = writeln!(std::io::stderr(), "liveroot: {}", lines.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }
}
