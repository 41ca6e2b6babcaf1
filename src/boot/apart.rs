//! Takes the stack apart: all that can be is unmounted, the rest made read-only, the session
//! closed once nothing can write to it any more.
//!
//! Each call that may hang in the kernel runs in a child with a limit.

use super::machine::Machine;
use crate::layout::{Left, LeftMount, RUN_DIR};
use crate::ondisk::session::{parse_session, session_bytes};
use crate::plan::end::{
    Kept, decide_flushes, decide_moves, decide_read_only, decide_unmounts, find_left, is_in_use,
    is_trouble, unwritten,
};
use crate::plan::mounts::{Mount, parse_mounts};
use crate::sys::bounded::bounded;
use crate::sys::mount::{self, Access};
use crate::sys::{Error, block, devmapper, loopdev};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For one call of the kernel. A sync has as long again while it gets on.
const CALL: Duration = Duration::from_secs(10);

/// What came of it.
#[derive(Debug, Default)]
pub struct Ended {
    /// What could not be done, one line each.
    pub troubles: Vec<String>,
    /// Whether the session is closed.
    pub closed: bool,
}

impl Ended {
    fn note(&mut self, doing: &str, on: impl std::fmt::Display, done: Result<(), i32>) -> bool {
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
    let upper = hold_upper(&before, left, &mut ended);
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
        let done = once(&mut || mount::set_access(rustix::fs::CWD, &mount.at, Access::ReadOnly));
        ended.note("making read-only", mount.at.display(), done);
    }
    if let Some(upper) = upper {
        close_upper(machine, &upper, left, &mut ended);
        // The last that holds it: unmounted, unless the root's overlay stays.
        drop(upper);
    }
    sync(machine);
    for device in decide_flushes(&before, &kept, left.upper.as_ref()) {
        let done = once(&mut || flush(Path::new(&device)));
        ended.note("flushing", &device, done);
    }
    ended
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
        moved |= possible && once(&mut || mount::move_to(place, &to).map_err(|e| e.errno)).is_ok();
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
            match once(unmount) {
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
        once(&mut || loopdev::detach(&node)).is_ok()
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
                once(&mut || devmapper::remove(&machine.sys, &machine.dev, name)).is_ok()
            })
            .count()
            > 0
}

/// Holds the file system of the upper, unless it lies in memory: it is to be reached when
/// all its places are gone.
fn hold_upper(mounts: &[Mount], left: &Left, ended: &mut Ended) -> Option<OwnedFd> {
    let upper: &LeftMount = left
        .upper
        .as_ref()
        .filter(|u| u.device.starts_with("/dev/"))?;
    let Some(mounted) = find_left(mounts, upper) else {
        ended.troubles.push(format!(
            "{} with the saved changes is not mounted any more",
            upper.device
        ));
        return None;
    };
    match mount::hold(&mounted.at) {
        Ok(held) => Some(held),
        Err(e) => {
            ended.troubles.push(e.to_string());
            None
        }
    }
}

/// Marks the session as closed, then makes the file system read-only, which writes it out.
fn close_upper(machine: &Machine, upper: &OwnedFd, left: &Left, ended: &mut Ended) {
    let device = left.upper.as_ref().map_or("", |u| u.device.as_str());
    let fd = upper.as_fd();
    let mut writing = Writing::new(machine);
    let mut call = |work: &mut dyn FnMut() -> Result<(), i32>| {
        bounded(CALL, Some(fd), &mut || writing.moves(), work)
    };
    let session = left.session.as_deref();
    let in_use = is_in_use(&gather_mounts(machine), &kept(machine));
    if let Some(session) = session.filter(|_| !in_use) {
        let closed = call(&mut || mark(fd, session, false));
        ended.closed = ended.note("closing the saved changes on", device, closed);
    }
    let done = call(&mut || mount::set_access(fd, Path::new(""), Access::ReadOnly));
    let clean = ended.note("making read-only", device, done);
    if let Some(session) = session.filter(|_| ended.closed && !clean) {
        // Somebody has a file open for writing, past the overlay.
        let opened = call(&mut || mark(fd, session, true));
        ended.closed = !ended.note("marking as open the saved changes on", device, opened);
    }
}

/// Overwrites the session's file in place, below a held file system. systemd-shutdown(8) has
/// made that read-only before us.
fn mark(root: BorrowedFd<'_>, session: &str, open: bool) -> Result<(), i32> {
    use rustix::fs::{Mode, OFlags};
    use std::os::unix::fs::FileExt;
    let errno = |e: std::io::Error| e.raw_os_error().unwrap_or(libc::EIO);
    mount::set_access(root, Path::new(""), Access::ReadWrite)?;
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(root, session.trim_start_matches('/'), flags, Mode::empty())
        .map_err(rustix::io::Errno::raw_os_error)?;
    let file = std::fs::File::from(file);
    let mut bytes = [0; crate::layout::SESSION_LENGTH];
    file.read_exact_at(&mut bytes, 0).map_err(errno)?;
    let mut content = parse_session(&bytes).map_err(|_| libc::EBADMSG)?;
    content.open = open;
    file.write_all_at(&session_bytes(&content), 0)
        .map_err(errno)?;
    file.sync_all().map_err(errno)
}

/// fsync(2) of a block device sends it a flush.
fn flush(device: &Path) -> Result<(), i32> {
    std::fs::File::open(device)
        .and_then(|device| device.sync_all())
        .map_err(|e| e.raw_os_error().unwrap_or(libc::EIO))
}

/// Whether the kernel still gets something written.
#[derive(Debug)]
pub(super) struct Writing {
    meminfo: PathBuf,
    left: u64,
}

impl Writing {
    pub(super) fn new(machine: &Machine) -> Self {
        Writing {
            meminfo: machine.proc.join("meminfo"),
            left: u64::MAX,
        }
    }

    pub(super) fn moves(&mut self) -> bool {
        let now = unwritten(&std::fs::read_to_string(&self.meminfo).unwrap_or_default());
        let fell = now < self.left && now > 0;
        self.left = now;
        fell
    }
}

pub(super) fn sync(machine: &Machine) {
    let mut writing = Writing::new(machine);
    let synced = bounded(CALL, None, &mut || writing.moves(), &mut || {
        nix::unistd::sync();
        Ok(())
    });
    if let Err(e) = synced {
        log::error!("{}", Error::new("writing out", "all file systems", e));
    }
}

/// One call with the usual limit.
pub(super) fn once(work: &mut dyn FnMut() -> Result<(), i32>) -> Result<(), i32> {
    bounded(CALL, None, &mut || false, work)
}
