//! Takes the stack apart: all that can be is unmounted, the rest made read-only, the session
//! closed once nothing can write to it any more.
//!
//! Each call that may hang in the kernel runs in a child with a limit.

use super::close::{self, Upper};
use super::limits::{once, sync};
use super::machine::Machine;
use crate::layout::{Left, RUN_DIR};
use crate::plan::end::{
    Kept, OVERLAY, decide_flushes, decide_moves, decide_read_only, decide_swaps, decide_unmounts,
    is_in_use, is_trouble,
};
use crate::plan::mounts::{Mount, parse_mounts};
use crate::sys::mount::{self, Access};
use crate::sys::{Error, block, devmapper, loopdev, power};
use std::path::{Path, PathBuf};

/// What came of it.
#[derive(Debug, Default)]
pub struct Ended {
    /// What could not be done, one line each.
    pub troubles: Vec<String>,
    /// Whether the session is closed.
    pub closed: bool,
}

impl Ended {
    pub(super) fn note(
        &mut self,
        doing: &str,
        on: impl std::fmt::Display,
        done: Result<(), i32>,
    ) -> bool {
        if let Err(e) = done {
            self.troubles.push(Error::new(doing, on, e).to_string());
        }
        done.is_ok()
    }
}

/// Unmounts all below `machine.root` that it can, makes the rest read-only, and closes the
/// session when nothing can write to it any more. `stalled` is called once in between, when
/// nothing moves: it may end those who hold the rest.
pub fn take_apart(machine: &Machine, left: &Left, stalled: &mut dyn FnMut()) -> Ended {
    let mut ended = Ended::default();
    let before = gather_mounts(machine);
    let kept = kept(machine);
    let mut upper = close::hold(machine, &|| gather_mounts(machine), left).unwrap_or_else(|why| {
        ended.troubles.push(why);
        None
    });
    if upper.as_ref().is_some_and(|u| close_early(machine, u)) {
        ended.closed = true;
        upper = None;
    }
    stop_swaps(machine, &mut ended);
    let mut hung = Vec::new();
    unmount_all(machine, &mut hung);
    if !decide_unmounts(&gather_mounts(machine), &kept).is_empty() {
        stalled();
    }
    let refused = unmount_all(machine, &mut hung);
    let rest = gather_mounts(machine);
    for (place, e) in refused {
        if is_trouble(&rest, &kept, &place) {
            ended.note("unmounting", place.display(), Err(e));
        }
    }
    for mount in decide_read_only(&rest, &kept) {
        let done = refuse_writes(machine, mount);
        ended.note("making read-only", mount.at.display(), done);
    }
    if let Some(upper) = upper {
        let in_use = is_in_use(&gather_mounts(machine), &kept);
        upper.close(machine, in_use, &mut ended);
        // The last that holds it: unmounted, unless the root's overlay stays.
        drop(upper);
    }
    sync(machine);
    for device in decide_flushes(&before, &kept, left.upper.as_ref()) {
        let done = once(machine, &mut || flush(Path::new(&device)));
        ended.note("flushing", &device, done);
    }
    ended
}

/// Before all that may hang and use up the time: where no file is open for writing, an
/// overlay can be made read-only at once. True when the session is closed; else it is tried
/// again when more is gone.
fn close_early(machine: &Machine, upper: &Upper<'_>) -> bool {
    let (kept, mounts) = (kept(machine), gather_mounts(machine));
    let writing = decide_read_only(&mounts, &kept);
    for overlay in writing.into_iter().take_while(|m| m.fs == OVERLAY) {
        let _ = refuse_writes(machine, overlay);
    }
    if is_in_use(&gather_mounts(machine), &kept) {
        return false;
    }
    let mut ended = Ended::default();
    upper.close(machine, false, &mut ended);
    ended.closed
}

fn refuse_writes(machine: &Machine, mount: &Mount) -> Result<(), i32> {
    let done = &mut || mount::set_access(rustix::fs::CWD, &mount.at, Access::ReadOnly);
    once(machine, done)
}

fn stop_swaps(machine: &Machine, ended: &mut Ended) {
    let table = std::fs::read_to_string(machine.proc.join("swaps")).unwrap_or_default();
    // Swap is the whole machine's.
    let swaps = decide_swaps(&table).into_iter();
    for path in swaps.filter(|_| machine.root == Path::new("/")) {
        let Ok(name) = std::ffi::CString::new(path.as_str()) else {
            continue;
        };
        let done = once(machine, &mut || power::stop_swap(&name));
        ended.note("stopping swap on", &path, done);
    }
}

fn kept(machine: &Machine) -> Kept<'_> {
    Kept {
        root: &machine.root,
        kernel: [&machine.proc, &machine.sys, &machine.dev],
        run: &machine.run,
    }
}

fn gather_mounts(machine: &Machine) -> Vec<Mount> {
    parse_mounts(&std::fs::read(machine.proc.join("thread-self/mountinfo")).unwrap_or_default())
}

/// Until nothing more can be unmounted; what is left, with the reason. `hung` are places
/// that are not touched again.
fn unmount_all(machine: &Machine, hung: &mut Vec<PathBuf>) -> Vec<(PathBuf, i32)> {
    loop {
        let refused = unmount_in_passes(machine, hung);
        if refused.is_empty() || !move_away(machine, hung) {
            return refused;
        }
    }
}

/// Moves what lies in a mount that stays for its sake to a place below /run; true when
/// something moved.
fn move_away(machine: &Machine, hung: &[PathBuf]) -> bool {
    let mut moved = false;
    let mounts = gather_mounts(machine);
    for (n, place) in decide_moves(&mounts, &kept(machine)).iter().enumerate() {
        let to = machine
            .run
            .join(RUN_DIR)
            .join(format!("busy/{}.{n}", mounts.len()));
        let possible = !hung.contains(place) && std::fs::create_dir_all(&to).is_ok();
        moved |= possible
            && once(machine, &mut || {
                mount::move_to(place, &to).map_err(|e| e.errno)
            })
            .is_ok();
    }
    moved
}

fn unmount_in_passes(machine: &Machine, hung: &mut Vec<PathBuf>) -> Vec<(PathBuf, i32)> {
    let mut refused;
    loop {
        refused = Vec::new();
        let places = decide_unmounts(&gather_mounts(machine), &kept(machine));
        let mut moved = false;
        for place in places {
            if hung.contains(&place) {
                refused.push((place, libc::ETIMEDOUT));
                continue;
            }
            let unmount = &mut || mount::unmount(&place, false).map_err(|e| e.errno);
            match once(machine, unmount) {
                Ok(()) => moved = true,
                Err(e) => {
                    if e == libc::ETIMEDOUT {
                        hung.push(place.clone());
                    }
                    refused.push((place, e));
                }
            }
        }
        moved |= detach_loops(machine) | remove_mapped(machine);
        if !moved {
            return refused;
        }
    }
}

/// Loop devices whose file lies below our root; true when one came free.
fn detach_loops(machine: &Machine) -> bool {
    let ours = |name: &&String| {
        let backing = loopdev::backing(&machine.sys, name);
        backing.is_some_and(|b| machine.root == Path::new("/") || b.starts_with(&machine.root))
    };
    let names = block::list(&machine.sys);
    let loops = names.iter().filter(|n| n.starts_with("loop")).filter(ours);
    let freed = loops.filter(|name| {
        let node = machine.dev.join(name);
        once(machine, &mut || loopdev::detach(&node)).is_ok()
            && loopdev::backing(&machine.sys, name).is_none()
    });
    freed.count() > 0
}

/// Device-mapper devices that nobody uses; true when one went. None when only a part of the
/// machine ends.
fn remove_mapped(machine: &Machine) -> bool {
    let names = block::list(&machine.sys);
    let mapped = names.iter().filter(|n| n.starts_with("dm-"));
    machine.root == Path::new("/")
        && mapped
            .filter(|name| {
                once(machine, &mut || {
                    devmapper::remove(&machine.sys, &machine.dev, name)
                })
                .is_ok()
            })
            .count()
            > 0
}

/// fsync(2) of a block device sends it a flush.
fn flush(device: &Path) -> Result<(), i32> {
    std::fs::File::open(device)
        .and_then(|device| device.sync_all())
        .map_err(|e| e.raw_os_error().unwrap_or(libc::EIO))
}
