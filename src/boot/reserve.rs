//! Room that is kept for the next start: overlayfs makes a directory and two files when it is
//! mounted, which a file system without a free inode or block refuses.

use super::dirs::{clear, make_dirs_below};
use crate::plan::spot::Spot;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Files, each with an inode and a few blocks of its own.
const FILES: usize = 8;
const BYTES: usize = 16 << 10;

/// Less than this free, bytes, is full.
const FULL: u64 = 1 << 20;

/// Gives the room back when the file system at `at` is full, before it is stacked on. What
/// can't be given back is no reason not to try.
pub fn release(at: &Path, spot: &Spot) {
    let reserve = at.join(&spot.reserve);
    if !is_full(at) || !reserve.is_dir() {
        return;
    }
    // Freed blocks can be used when the journal has them.
    let released = clear(&reserve)
        .map_err(|e| e.to_string())
        .and_then(|_| File::open(at).map_err(|e| e.to_string()))
        .and_then(|root| rustix::fs::syncfs(&root).map_err(|e| e.to_string()));
    match released {
        Ok(()) => log::info!("{} is full: room that was kept is used", at.display()),
        Err(e) => log::warn!("{e}"),
    }
}

/// Takes the room, as far as there is any.
pub fn renew(at: &Path, spot: &Spot) {
    if make_dirs_below(at, &spot.reserve, 0o700, at).is_err() {
        return;
    }
    for n in 0..FILES {
        let path = at.join(&spot.reserve).join(n.to_string());
        if path.exists() {
            continue;
        }
        // Of a full file system half a file is something too.
        let _ = File::create_new(&path).and_then(|mut file| file.write_all(&[0x5a; BYTES]));
    }
}

fn is_full(at: &Path) -> bool {
    let Ok(stat) = rustix::fs::statfs(at) else {
        return false;
    };
    let free = stat.f_bavail * u64::try_from(stat.f_bsize).unwrap_or(0);
    // btrfs counts no inodes.
    free < FULL || (stat.f_files > 0 && stat.f_ffree <= FILES as u64)
}
