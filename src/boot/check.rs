//! The file system's own check, before it is mounted for writing.

use super::borrow;
use super::machine::Machine;
use super::page;
use crate::ondisk::FsKind;
use crate::plan::check::{Checked, Ended, decide_checked};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

/// As long as systemd gives a job.
const LIMIT: Duration = Duration::from_secs(90);

/// Runs `fsck.TYPE -a` of the image on `node`: it corrects what can be corrected unasked.
pub fn check(machine: &Machine, node: &Path, fs: FsKind) -> Checked {
    // fsck.xfs(8) and fsck.btrfs(8) look at nothing.
    if matches!(fs, FsKind::Xfs | FsKind::Btrfs) {
        let why = format!("{} replays its journal when it is mounted", fs.name());
        return Checked::Skipped(why);
    }
    let name = format!("fsck.{}", fs.name());
    let Some(program) = borrow::find(machine, &name) else {
        return Checked::Skipped(format!("the image has no {name}"));
    };
    let device = node.to_string_lossy();
    let when_slow = || {
        let text = format!(
            " Checking {device} ({name}), at most {} s ...\n",
            LIMIT.as_secs()
        );
        page::show(machine, &text);
    };
    let words = [&*program, "-a", &device];
    let done = match borrow::run_in_image(machine, &words, LIMIT, &when_slow) {
        Ok(done) => done,
        Err(e) => return Checked::Skipped(e.to_string()),
    };
    let said = done.said.lines().filter(|line| !line.trim().is_empty());
    said.for_each(|line| log::info!("{name}: {line}"));
    let ended = match done.status {
        None => Ended::TimedOut(LIMIT.as_secs()),
        Some(status) => match (status.code(), status.signal()) {
            // The loader or the interpreter is missing: nothing was checked.
            (Some(126 | 127), _) => {
                return Checked::Skipped(format!("{name} of the image can't be run"));
            }
            (Some(code), _) => Ended::Status(code),
            (None, signal) => Ended::Signal(signal.unwrap_or(0)),
        },
    };
    decide_checked(&name, &ended)
}
