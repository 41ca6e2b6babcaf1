//! The medium's `updates`, which dracut's pre-pivot hook merges over the root: kept in memory when
//! the medium is let go before that.

use super::machine::Machine;
use super::within::within;
use crate::sys::borrow::{Borrowed, Done, run};
use crate::sys::mount::Detached;
use crate::sys::process;
use crate::units::Bytes;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// More is not kept: /run is a fifth of memory with systemd, and others need it too. Anaconda's
/// updates are a few MiB.
pub const MOST: Bytes = Bytes::mib(64);

/// The slowest CD drive reads [`MOST`] in two thirds of it.
const LIMIT: Duration = Duration::from_secs(180);

/// dracut installs it for the hook: it keeps owners, links and attributes.
const COPIER: [&str; 2] = ["/usr/bin/cp", "/bin/cp"];

/// Copies them, if there are any, to /run/liveroot/updates, where the hook looks too.
///
/// # Errors
/// Why they could not be kept; then nothing of them is there.
pub fn keep(machine: &Machine, medium: &Detached, most: Bytes) -> Result<(), String> {
    let root = medium.root().try_clone_to_owned();
    let root = File::from(root.map_err(|e| e.to_string())?);
    let to = machine.run.join("liveroot/updates");
    let there = to.clone();
    let kept = within(LIMIT, move || copy(&root, &there, most));
    let kept = kept.and_then(|kept| kept);
    if kept.is_err() {
        // It may not have come so far.
        let _ = std::fs::remove_dir_all(to);
    }
    kept
}

fn copy(medium: &File, to: &Path, most: Bytes) -> Result<(), String> {
    // A mount without a place has a path for whoever shares our /proc.
    let [own, _] = process::own_and_parent();
    let fd = process::fd_path(medium).replace("self", &own.to_string());
    let from = PathBuf::from(format!("{fd}/updates"));
    if !from.is_dir() {
        return Ok(());
    }
    let size = measure(&from, most.0).map_err(|e| format!("reading them: {e}"))?;
    if size > most.0 {
        return Err(format!("they are more than {most}"));
    }
    let dir = to.parent().unwrap_or(to);
    std::fs::create_dir_all(dir).map_err(|e| format!("making {}: {e}", dir.display()))?;
    let copier = COPIER.into_iter().find(|path| Path::new(path).exists());
    let copier = copier.ok_or("this initramfs has no cp")?;
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let done = run(&Borrowed {
        root: Path::new("/"),
        binds: &[],
        words: &[copier, "-a", &path(&from), &path(to)],
        limit: LIMIT,
        stop: None,
        when_slow: &|| {},
    });
    match done.map_err(|e| e.to_string())? {
        Done {
            status: Some(status),
            ..
        } if status.success() => {
            log::info!("its updates are kept, {}", Bytes(size));
            Ok(())
        }
        done => Err(format!("{copier}: {}", done.said)),
    }
}

/// Length of all files below; no more is looked at once it is over `most`.
fn measure(dir: &Path, most: u64) -> std::io::Result<u64> {
    let mut size = 0u64;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        size += match entry.file_type()?.is_dir() {
            true => measure(&entry.path(), most.saturating_sub(size))?,
            false => entry.metadata()?.len(),
        };
        if size > most {
            break;
        }
    }
    Ok(size)
}
