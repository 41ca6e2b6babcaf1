//! What people type.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    liveroot::cli::run()
}
