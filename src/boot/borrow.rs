//! Programs that the agent does not carry: run from the image that is mounted already.

use super::machine::Machine;
use crate::sys::Error;
use crate::sys::borrow::{Borrowed, Done, run};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where programs are, in the order of a root shell's PATH.
const DIRECTORIES: [&str; 4] = ["usr/sbin", "usr/bin", "sbin", "bin"];

/// The path of a program below the root of the image, with a slash in front; none when the
/// image has none.
pub fn find(machine: &Machine, name: &str) -> Option<String> {
    let image = machine.rootfsbase();
    let mut paths = DIRECTORIES.iter().map(|dir| format!("{dir}/{name}"));
    let found = paths.find(|path| is_there(&image.join(path)))?;
    Some(format!("/{found}"))
}

/// A file or a link: one that leads to an absolute path can't be followed from here.
fn is_there(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|m| !m.is_dir())
}

/// Runs `words` in the image, which is read-only.
pub fn run_in_image(
    machine: &Machine,
    words: &[&str],
    limit: Duration,
    when_slow: &dyn Fn(),
) -> Result<Done, Error> {
    run_in(machine, &machine.rootfsbase(), words, &[], limit, when_slow)
}

/// Runs `words` in `root`, with /dev, /proc and /sys; more binds are added to these.
pub fn run_in(
    machine: &Machine,
    root: &Path,
    words: &[&str],
    more: &[(PathBuf, PathBuf)],
    limit: Duration,
    when_slow: &dyn Fn(),
) -> Result<Done, Error> {
    let mut binds: Vec<(PathBuf, PathBuf)> = [&machine.dev, &machine.proc, &machine.sys]
        .into_iter()
        .map(|from| {
            (
                from.clone(),
                root.join(from.file_name().unwrap_or_default()),
            )
        })
        .collect();
    binds.extend_from_slice(more);
    run(&Borrowed {
        root,
        binds: &binds,
        words,
        limit,
        stop: None,
        when_slow,
    })
}
