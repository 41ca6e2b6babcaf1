//! Processes: the child that does the work, the switch of roots, and exec.

use super::Error;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::mount::MsFlags;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{ForkResult, Pid, fork, pipe2};
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::path::Path;
use std::time::Duration;

/// Whether this process is PID 1.
pub fn is_first() -> bool {
    Pid::this().as_raw() == 1
}

/// The numbers of this process and of its parent.
pub fn own_and_parent() -> [i32; 2] {
    [Pid::this().as_raw(), Pid::parent().as_raw()]
}

/// Runs `work` in a child process and gives what it wrote to the pipe it was handed.
///
/// PID 1 must neither die nor wait for a thread that hangs in a broken disk's driver:
/// exec(2) waits for all threads of its process, and a thread in uninterruptible sleep
/// never ends. So the threads live in a child, and PID 1 waits for bytes only. The child
/// is not reaped here: it may be the one that hangs, and it may stay on after it has closed
/// the pipe. Empty means it died without a word.
pub fn run_in_child(work: impl FnOnce(File)) -> Result<Vec<u8>, Error> {
    let fail = |doing: &str| {
        let doing = doing.to_owned();
        move |e: nix::Error| Error::new(doing, "the boot process", e as i32)
    };
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).map_err(fail("making a pipe for"))?;
    // SAFETY: called before any thread is started, so the child may do anything.
    match unsafe { fork() }.map_err(fail("starting"))? {
        ForkResult::Child => {
            drop(reader);
            work(File::from(writer));
            // SAFETY: ends the child without running exit handlers; nothing is buffered.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { .. } => {
            drop(writer);
            let mut said = Vec::new();
            File::from(reader)
                .read_to_end(&mut said)
                .map_err(|e| Error::io("hearing from", "the boot process", &e))?;
            Ok(said)
        }
    }
}

/// Waits for ever, reaping children: what PID 1 does when nothing else is left to do.
pub fn idle() -> ! {
    loop {
        if nix::sys::wait::wait().is_err() {
            nix::unistd::pause();
        }
    }
}

/// Makes the mount at `root` the root of this process: the last step of switch_root(8).
///
/// rootfs can't be left by pivot_root(2); the new root is moved over it.
pub fn enter_root(root: &Path) -> Result<(), Error> {
    let none: Option<&str> = None;
    let fail = |doing: &str| {
        let doing = doing.to_owned();
        move |e: nix::Error| Error::new(doing, root.display(), e as i32)
    };
    nix::unistd::chdir(root).map_err(fail("entering"))?;
    nix::mount::mount(Some("."), "/", none, MsFlags::MS_MOVE, none)
        .map_err(fail("moving to / the mount"))?;
    nix::unistd::chroot(".").map_err(fail("changing root to"))?;
    nix::unistd::chdir("/").map_err(fail("entering"))
}

/// A file in memory with `text`, inherited by exec; its descriptor.
pub fn inherited_memfd(name: &str, text: &str) -> Result<i32, Error> {
    let fd = memfd_create(name, MFdFlags::empty())
        .map_err(|e| Error::new("making the memory file", name, e as i32))?;
    let mut file = File::from(fd);
    file.write_all(text.as_bytes())
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .map_err(|e| Error::io("writing the memory file", name, &e))?;
    fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty()))
        .map_err(|e| Error::new("keeping the memory file", name, e as i32))?;
    Ok(file.into_raw_fd())
}

/// Replaces the process. Returns only with the reason why it could not.
pub fn exec(program: &OsStr, arguments: &[&OsStr]) -> Error {
    let c = |text: &OsStr| CString::new(text.as_encoded_bytes());
    let all: Result<Vec<CString>, _> = arguments.iter().copied().map(c).collect();
    let (Ok(path), Ok(all)) = (c(program), all) else {
        return Error::new("executing", program.display(), libc::EINVAL);
    };
    match nix::unistd::execv(&path, &all) {
        Err(nix::Error::ENOENT) => Error {
            kernel: Some("it or its interpreter is missing in the image".to_owned()),
            ..Error::new("executing", program.display(), libc::ENOENT)
        },
        Err(e) => Error::new("executing", program.display(), e as i32),
        Ok(never) => match never {},
    }
}

/// Of what nobody waits for.
const NICE: libc::c_int = 10;

/// Starts a program below `root` that is nobody's child for long: without a terminal,
/// without descriptors, with at most `memory` bytes of address space. `root` becomes its `/`.
/// It waits, for as long as `patience`, until mounts bring the program and /proc there: dracut
/// moves /run into the new root last, since 112 first.
pub fn start_detached(
    root: &Path,
    program: &str,
    word: &str,
    memory: u64,
    patience: Duration,
) -> Result<(), Error> {
    let fail = |errno: i32| Error::new("starting", program, errno);
    let c = |text: &str| CString::new(text).map_err(|_| fail(libc::EINVAL));
    let path = c(program)?;
    let words = [c(program)?, c(word)?];
    let words = [words[0].as_ptr(), words[1].as_ptr(), std::ptr::null()];
    let null = File::options()
        .read(true)
        .write(true)
        .open(root.join("dev/null"))
        // /dev is moved there last by dracut, too.
        .or_else(|_| File::options().read(true).write(true).open("/dev/null"))
        .map_err(|e| Error::io("opening", "/dev/null", &e))?;
    // Open before the program is looked for: a mount that comes in between is told.
    let mounts = File::open("/proc/self/mountinfo").ok();
    let root = File::open(root).map_err(|e| Error::io("opening", root.display(), &e))?;
    let patience = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
    let mounts = mounts.as_ref().map_or(-1, AsRawFd::as_raw_fd);
    let limit = libc::rlimit {
        rlim_cur: memory,
        rlim_max: memory,
    };
    // SAFETY: other threads may hold locks, so the child makes system calls only, on strings
    // and descriptors that were made before; it ends by execv(2) or _exit(2).
    match unsafe { fork() }.map_err(|e| fail(e as i32))? {
        ForkResult::Parent { .. } => Ok(()),
        // SAFETY: as above.
        ForkResult::Child => unsafe {
            libc::setsid();
            for fd in 0..3 {
                libc::dup2(null.as_raw_fd(), fd);
            }
            if libc::fchdir(root.as_raw_fd()) == 0 && libc::chroot(c".".as_ptr()) == 0 {
                // The init that is starting goes first.
                libc::setpriority(libc::PRIO_PROCESS, 0, NICE);
                libc::setrlimit(libc::RLIMIT_AS, &limit);
                let mut change = libc::pollfd {
                    fd: mounts,
                    events: libc::POLLPRI,
                    revents: 0,
                };
                // A change of mounts since the last look is POLLPRI (proc(5)).
                // The program reads /proc, which a switch_root(8) moves after /dev, and dracut 112
                // after /run.
                while (libc::access(path.as_ptr(), libc::X_OK) != 0
                    || libc::access(c"/proc/self/mountinfo".as_ptr(), libc::R_OK) != 0)
                    && libc::poll(&raw mut change, 1, patience) > 0
                {}
                libc::execv(path.as_ptr(), words.as_ptr());
            }
            libc::_exit(127)
        },
    }
}

/// Directories and files of the initramfs, removed to free its memory: everything on the
/// file system of `/`, and nothing of what is mounted on it. Refused unless `/` is a
/// ramfs or tmpfs.
pub fn free_initramfs(root: &Path) -> Result<(), Error> {
    let fail = |e: &std::io::Error| Error::io("freeing the initramfs at", root.display(), e);
    let directory = File::open(root).map_err(|e| fail(&e))?;
    if !super::memory::holds(&directory) {
        return Err(Error::new(
            "freeing the initramfs at",
            root.display(),
            libc::EINVAL,
        ));
    }
    use std::os::unix::fs::MetadataExt;
    let device = std::fs::symlink_metadata(root).map_err(|e| fail(&e))?.dev();
    remove_below(root, device);
    Ok(())
}

fn remove_below(dir: &Path, device: u64) {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(meta) = std::fs::symlink_metadata(&path) else {
            continue;
        };
        if meta.dev() != device {
            continue;
        }
        // What can't be removed costs memory and nothing else.
        if meta.is_dir() {
            remove_below(&path, device);
            let _ = std::fs::remove_dir(&path);
        } else {
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// The number of an open file, for a path below /proc/self/fd.
pub fn fd_path(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Returns at `deadline` by the clock that `now` reads; children that end meanwhile are
/// reaped.
pub fn wait_until(deadline: std::time::Duration, now: impl Fn() -> std::time::Duration) {
    use nix::sys::signal::{SigSet, Signal};
    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    // Blocked, so that it is waited for and not delivered.
    let _ = children.thread_block();
    while let Some(left) = deadline.checked_sub(now()).filter(|d| !d.is_zero()) {
        let limit = libc::timespec {
            tv_sec: libc::time_t::try_from(left.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        // SAFETY: a valid signal set, no information wanted, a valid timeout.
        unsafe { libc::sigtimedwait(children.as_ref(), std::ptr::null_mut(), &limit) };
        while let Ok(status) =
            nix::sys::wait::waitpid(None, Some(nix::sys::wait::WaitPidFlag::WNOHANG))
        {
            if status == nix::sys::wait::WaitStatus::StillAlive {
                break;
            }
        }
    }
}

/// Goes on whatever happens: to the terminal, whose session may end with the shell that
/// called us, or by a signal to everybody. Only SIGKILL and SIGSTOP are left.
pub fn ignore_signals() {
    use nix::sys::signal::{SigHandler, Signal, signal};
    for each in Signal::iterator().filter(|s| *s != Signal::SIGCHLD) {
        // SAFETY: no handler runs. SIGKILL and SIGSTOP are refused.
        let _ = unsafe { signal(each, SigHandler::SigIgn) };
    }
}

/// Waits for SIGTERM or SIGINT; false when `limit` passed before. They are blocked from then
/// on, so that none is lost between two calls.
pub fn wait_for_end(limit: std::time::Duration) -> bool {
    use nix::sys::signal::{SigSet, Signal};
    let mut ends = SigSet::empty();
    ends.add(Signal::SIGTERM);
    ends.add(Signal::SIGINT);
    let _ = ends.thread_block();
    let limit = libc::timespec {
        tv_sec: libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    };
    // SAFETY: a valid signal set, no information wanted, a valid timeout.
    unsafe { libc::sigtimedwait(ends.as_ref(), std::ptr::null_mut(), &limit) > 0 }
}

/// Sets the nice value of the calling thread (setpriority(2) takes a thread id on Linux).
/// Refused, the thread goes on as it was.
pub fn set_thread_nice(nice: i32) {
    // SAFETY: three integers; 0 is the calling thread.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
}

/// Starts a thread that runs on its own. Boxed: the standard library's spawn is compiled
/// anew for each closure, 3 KB of the agent a piece.
pub fn start_thread(work: Box<dyn FnOnce() + Send>) -> Result<(), Error> {
    let started = std::thread::Builder::new().spawn(work);
    started
        .map(drop)
        .map_err(|e| Error::io("starting", "a thread", &e))
}
