//! The end: the stack is taken apart, so that each file system is clean, then the machine
//! ends. docs/shutdown.md is the contract with the inits that call it.
//!
//! It is the last thing that runs, so it hangs on nothing: what may hang in the kernel is
//! done in a child with a limit, and all of that in one more child, so that not even a crash
//! of ours keeps the machine from ending.

use super::machine::Machine;
use crate::layout::{EJECT, LEFT_JSON, Left, LeftMount, RUN_DIR};
use crate::ondisk::session::{parse_session, session_bytes};
use crate::plan::end::{
    Kept, Verb, decide_flushes, decide_moves, decide_read_only, decide_swaps, decide_unmounts,
    decide_verb, find_left, is_in_use, is_trouble, unwritten,
};
use crate::plan::mounts::{Mount, parse_mounts};
use crate::plan::process::Round;
use crate::sys::bounded::bounded;
use crate::sys::mount::{self, Access};
use crate::sys::{Error, block, devmapper, kmsg, loopdev, power, process};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For one call of the kernel. A sync has as long again while it gets on.
const CALL: Duration = Duration::from_secs(10);

/// For all of it, likewise.
const ALL: Duration = Duration::from_secs(120);

/// The face: `words` are those behind the program's name.
pub fn run(words: &[String]) -> i32 {
    let first = process::is_first();
    let machine = Machine::running();
    let verb = match decide_verb(first, words) {
        Ok(verb) => verb,
        Err(word) => {
            complain(&format!(
                "'{word}' is none of poweroff, reboot, halt and kexec"
            ));
            return 2;
        }
    };
    if !first && !machine.run.join(RUN_DIR).exists() {
        complain("this system was not booted through liveroot; nothing done");
        return 1;
    }
    let mut writing = Writing::new(&machine);
    // Only the child logs: it closes what was open before, and the log opens once.
    let done = bounded(ALL, None, &mut || writing.moves(), &mut || {
        kmsg::KmsgLog::open(&machine.dev).install();
        let _rate_limit = kmsg::RateLimitLifted::lift(&machine.proc);
        end_all(&machine, verb.is_none());
        Ok(())
    });
    kmsg::KmsgLog::open(&machine.dev).install();
    if let Err(e) = done {
        let what = Error::new("taking apart", "the live system", e);
        log::error!("{what}; the machine ends all the same");
    }
    verb.map_or(0, |verb| end_machine(first, verb))
}

fn end_machine(first: bool, verb: Verb) -> i32 {
    let how = match verb {
        Verb::Poweroff => power::End::PowerOff,
        Verb::Reboot => power::End::Restart,
        Verb::Halt => power::End::Halt,
        Verb::Kexec => power::End::Kexec,
    };
    let mut refused = power::end(how);
    if verb == Verb::Kexec {
        log::error!("no kernel was loaded by kexec(8) ({refused}); rebooting");
        refused = power::end(power::End::Restart);
    }
    log::error!("the kernel refuses to end the machine: {refused}");
    if first {
        process::idle();
    }
    1
}

fn complain(text: &str) {
    // Nobody is left to be told.
    let _ = writeln!(std::io::stderr(), "liveroot-init: {text}");
}

/// Everything but the machine's own end.
fn end_all(machine: &Machine, caller_goes_on: bool) {
    let left = read_left(machine);
    sync(machine);
    super::processes::end_processes(machine, caller_goes_on, Round::First);
    stop_swaps(machine);
    let stalled = &mut || super::processes::end_processes(machine, caller_goes_on, Round::Last);
    let ended = take_apart(machine, &left, stalled);
    for trouble in &ended.troubles {
        log::error!("{trouble}");
    }
    if ended.closed {
        log::info!("saved changes are written and closed");
    }
    eject(machine, &left);
    log::info!(
        "file systems are unmounted, {} troubles",
        ended.troubles.len()
    );
}

/// What boot left; systemd-shutdown(8) keeps /run, but its place may be the old root's.
fn read_left(machine: &Machine) -> Left {
    let file = Path::new(RUN_DIR).join(LEFT_JSON);
    let places = [machine.run.clone(), machine.root.join("oldroot/run")];
    let text = places
        .iter()
        .find_map(|run| std::fs::read(run.join(&file)).ok());
    let left = text.and_then(|text| serde_json::from_slice(&text).ok());
    left.unwrap_or_else(|| {
        log::warn!("no {LEFT_JSON}: file systems are unmounted, no session is closed");
        Left::default()
    })
}

/// Whether the kernel still gets something written.
#[derive(Debug)]
struct Writing {
    meminfo: PathBuf,
    left: u64,
}

impl Writing {
    fn new(machine: &Machine) -> Self {
        Writing {
            meminfo: machine.proc.join("meminfo"),
            left: u64::MAX,
        }
    }

    fn moves(&mut self) -> bool {
        let now = unwritten(&std::fs::read_to_string(&self.meminfo).unwrap_or_default());
        let fell = now < self.left && now > 0;
        self.left = now;
        fell
    }
}

fn sync(machine: &Machine) {
    let mut writing = Writing::new(machine);
    let synced = bounded(CALL, None, &mut || writing.moves(), &mut || {
        nix::unistd::sync();
        Ok(())
    });
    if let Err(e) = synced {
        log::error!("{}", Error::new("writing out", "all file systems", e));
    }
}

fn stop_swaps(machine: &Machine) {
    let table = std::fs::read_to_string(machine.proc.join("swaps")).unwrap_or_default();
    for path in decide_swaps(&table) {
        let Ok(name) = std::ffi::CString::new(path.as_str()) else {
            continue;
        };
        if let Err(e) = once(&mut || power::stop_swap(&name)) {
            log::error!("{}", Error::new("stopping swap on", &path, e));
        }
    }
}

/// One call with the usual limit.
fn once(work: &mut dyn FnMut() -> Result<(), i32>) -> Result<(), i32> {
    bounded(CALL, None, &mut || false, work)
}

fn eject(machine: &Machine, left: &Left) {
    let asked = left.eject || machine.run.join(RUN_DIR).join(EJECT).exists();
    let device = left.medium.as_ref().map_or("", |m| m.device.as_str());
    let Some(name) = device.strip_prefix("/dev/sr").filter(|_| asked) else {
        return;
    };
    let node = machine.dev.join(format!("sr{name}"));
    if let Err(e) = once(&mut || block::eject(&node)) {
        let busy = "an init that stays uses the disc until the end";
        let why = (e == libc::EBUSY).then(|| busy.to_owned());
        let error = Error::new("ejecting the disc of", device, e);
        log::error!(
            "{}",
            Error {
                kernel: why,
                ..error
            }
        );
    }
}

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
fn mark(root: std::os::fd::BorrowedFd<'_>, session: &str, open: bool) -> Result<(), i32> {
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
