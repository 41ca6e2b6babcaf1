//! Runs a program of another root directory, in a mount namespace of its own.

use super::Error;
use nix::fcntl::{OFlag, open};
use nix::mount::MsFlags;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use nix::unistd::{ForkResult, Pid, fork, pipe2};
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// A program to run.
#[allow(missing_debug_implementations)]
pub struct Borrowed<'a> {
    /// The directory that becomes its root.
    pub root: &'a Path,
    /// Directories that it sees at a place below that root: bound there for it alone. A place
    /// that the root lacks is left out.
    pub binds: &'a [(PathBuf, PathBuf)],
    /// Path of the program below the root, and its arguments.
    pub words: &'a [&'a str],
    /// It is asked to end after this (SIGTERM), and made to 5 s later.
    pub limit: Duration,
    /// Asked to end, as after the limit, when the other end of this pipe is closed.
    pub stop: Option<BorrowedFd<'a>>,
    /// Called once when it takes longer than [`SLOW`].
    pub when_slow: &'a dyn Fn(),
}

/// A program that takes longer is worth a word to whoever waits.
pub const SLOW: Duration = Duration::from_secs(2);

/// How it ended, and the last of what it said.
#[derive(Clone, Debug)]
pub struct Done {
    /// None when it had to be ended.
    pub status: Option<ExitStatus>,
    /// Standard output and error together, at most 4 KiB of the beginning.
    pub said: String,
}

const GRACE: Duration = Duration::from_secs(5);
const SAID: usize = 4096;
/// The status of a child that could not get as far as the program.
const NOT_STARTED: i32 = 126;

/// Runs it and waits for its end.
pub fn run(borrowed: &Borrowed<'_>) -> Result<Done, Error> {
    let program = borrowed.words.first().copied().unwrap_or_default();
    let fail = |doing: &'static str| move |e: nix::Error| Error::new(doing, program, e as i32);
    // All that allocates comes before the fork: other threads may hold the allocator's lock.
    let words: Result<Vec<CString>, _> = borrowed.words.iter().map(|w| CString::new(*w)).collect();
    let words = words.map_err(|_| Error::new("running", program, libc::EINVAL))?;
    let environment = [
        CString::from(c"PATH=/usr/sbin:/usr/bin:/sbin:/bin"),
        CString::from(c"LC_ALL=C"),
    ];
    let mut pointers: Vec<*const libc::c_char> = words.iter().map(|w| w.as_ptr()).collect();
    pointers.push(std::ptr::null());
    let environment_pointers = [
        environment[0].as_ptr(),
        environment[1].as_ptr(),
        std::ptr::null(),
    ];
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).map_err(fail("making a pipe for"))?;
    // SAFETY: the child calls nothing but system calls (nix keeps paths on the stack) until
    // execve or _exit: no allocation, no lock of another thread.
    match unsafe { fork() }.map_err(fail("starting"))? {
        ForkResult::Child => {
            if enter(borrowed, &writer).is_ok() {
                // SAFETY: both arrays end with a null pointer and outlive the call.
                unsafe {
                    libc::execve(
                        words[0].as_ptr(),
                        pointers.as_ptr(),
                        environment_pointers.as_ptr(),
                    )
                };
            }
            // SAFETY: ends the child without running exit handlers.
            unsafe { libc::_exit(NOT_STARTED) }
        }
        ForkResult::Parent { child } => {
            drop(writer);
            await_end(child, File::from(reader), borrowed, program)
        }
    }
}

/// The child: a namespace of its own, the binds, the root, the pipe as output.
fn enter(borrowed: &Borrowed<'_>, output: &OwnedFd) -> nix::Result<()> {
    let none: Option<&str> = None;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    nix::sched::unshare(CloneFlags::CLONE_NEWNS)?;
    nix::mount::mount(none, "/", none, private, none)?;
    for (from, to) in borrowed.binds {
        match nix::mount::mount(
            Some(from.as_path()),
            to.as_path(),
            none,
            MsFlags::MS_BIND,
            none,
        ) {
            Err(nix::Error::ENOENT | nix::Error::ENOTDIR) | Ok(()) => {}
            Err(e) => return Err(e),
        }
    }
    nix::unistd::chroot(borrowed.root)?;
    nix::unistd::chdir("/")?;
    let null = open("/dev/null", OFlag::O_RDONLY, Mode::empty())?;
    for (from, to) in [
        (null.as_raw_fd(), 0),
        (output.as_raw_fd(), 1),
        (output.as_raw_fd(), 2),
    ] {
        // SAFETY: dup2 of open descriptors onto 0 to 2, in a process that is about to exec.
        if unsafe { libc::dup2(from, to) } < 0 {
            return Err(nix::Error::last());
        }
    }
    Ok(())
}

fn await_end(
    child: Pid,
    mut pipe: File,
    borrowed: &Borrowed<'_>,
    program: &str,
) -> Result<Done, Error> {
    let fail = |doing: &str, e: i32| Error::new(doing, program, e);
    let pid = rustix::process::Pid::from_raw(child.as_raw())
        .ok_or_else(|| fail("waiting for", libc::ESRCH))?;
    let handle =
        pidfd_open(pid, PidfdFlags::empty()).map_err(|e| fail("waiting for", e.raw_os_error()))?;
    let mut said = Vec::new();
    let mut ended = false;
    let rest = borrowed.limit.saturating_sub(SLOW);
    let waits = [
        (SLOW, None),
        (rest, Some(Signal::TERM)),
        (GRACE, Some(Signal::KILL)),
        (GRACE, None),
    ];
    let mut stop = borrowed.stop;
    let mut waits = waits.into_iter();
    while let Some((time, mut signal)) = waits.next() {
        let heard = listen(&handle, &mut pipe, &mut said, stop, Instant::now() + time);
        if heard == Heard::Stop {
            stop = None;
            signal = Some(Signal::TERM);
            while waits.len() > 2 {
                waits.next();
            }
        }
        if heard == Heard::Ended {
            let status = wait(child).map_err(|e| fail("waiting for", e as i32))?;
            let status = (!ended).then_some(status);
            let said = String::from_utf8_lossy(&said).trim().to_owned();
            return Ok(Done { status, said });
        }
        match signal {
            Some(signal) => {
                ended = true;
                // One that has just ended is no trouble.
                let _ = pidfd_send_signal(&handle, signal);
            }
            None if !ended => (borrowed.when_slow)(),
            None => {}
        }
    }
    // It hangs in the driver of a broken disk; it is left there.
    Ok(Done {
        status: None,
        said: String::from_utf8_lossy(&said).trim().to_owned(),
    })
}

/// Why one wait is over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    Ended,
    Stop,
    Nothing,
}

/// Takes in what it says.
fn listen(
    handle: &OwnedFd,
    pipe: &mut File,
    said: &mut Vec<u8>,
    stop: Option<BorrowedFd<'_>>,
    deadline: Instant,
) -> Heard {
    let mut talks = true;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut wait = vec![PollFd::new(handle.as_fd(), PollFlags::POLLIN)];
        if talks {
            wait.push(PollFd::new(pipe.as_fd(), PollFlags::POLLIN));
        }
        wait.extend(stop.map(|stop| PollFd::new(stop, PollFlags::POLLIN)));
        let limit = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut wait, limit) {
            Ok(0) => return Heard::Nothing,
            Err(nix::Error::EINTR) => continue,
            Err(_) => return Heard::Nothing,
            Ok(_) => {}
        }
        let stops = stop.is_some() && wait.last().is_some_and(|w| w.any() == Some(true));
        let has_ended = wait[0].any() == Some(true);
        if talks && wait.get(1).is_some_and(|w| w.any() == Some(true)) {
            let mut buffer = [0u8; 512];
            match pipe.read(&mut buffer) {
                Ok(0) | Err(_) => talks = false,
                Ok(n) => {
                    said.extend_from_slice(&buffer[..n.min(SAID - said.len().min(SAID))]);
                    continue;
                }
            }
        }
        if has_ended {
            return Heard::Ended;
        }
        if stops {
            return Heard::Stop;
        }
    }
}

fn wait(child: Pid) -> nix::Result<ExitStatus> {
    let mut status = 0;
    loop {
        // SAFETY: our own child, not yet reaped; the status is written to a live integer.
        if unsafe { libc::waitpid(child.as_raw(), &mut status, 0) } >= 0 {
            return Ok(ExitStatus::from_raw(status));
        }
        match nix::Error::last() {
            nix::Error::EINTR => {}
            e => return Err(e),
        }
    }
}
