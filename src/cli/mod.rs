//! The user's commands: arguments in, one of the library's stories, words out.
//!
//! Exit codes: 0 done, 1 refused or failed, 2 a usage error, 128 plus the signal when
//! interrupted.
#![forbid(unsafe_code)]

mod build;
mod pack;
mod progress;

use crate::boot::{self, machine::Machine};
use clap::{Args, Parser, Subcommand};
use std::process::ExitCode;

/// Live systems: builds their media, tells how a running one is set up.
#[derive(Debug, Parser)]
#[command(name = "liveroot", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Build(build::Args),
    Pack(pack::Args),
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

/// Says a line on standard error. Nobody is left to be told when that fails, and it is no
/// reason to abort, as `eprintln!` would.
pub(crate) fn complain(line: std::fmt::Arguments<'_>) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "liveroot: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }
}
