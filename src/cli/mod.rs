//! The user's commands: arguments in, one of the library's stories, words out.
//!
//! Exit codes: 0 done, 1 refused or failed, 2 a usage error, 128 plus the signal when
//! interrupted.
#![forbid(unsafe_code)]

mod build;
mod progress;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Live systems: builds their media.
#[derive(Debug, Parser)]
#[command(name = "liveroot", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Build(build::Args),
}

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    match Cli::parse().command {
        Command::Build(args) => build::run(&args),
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
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
