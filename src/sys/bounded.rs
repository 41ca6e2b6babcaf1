//! Work that may hang in the kernel, given up after a while.
//!
//! An unmount of a stick that is gone, or a sync of one that answers no more, can wait for
//! ever in uninterruptible sleep, out of reach of signals. So it is done in a child, and who
//! waits for the child has a limit.

use super::loopdev::errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{ForkResult, fork};
use rustix::process::{PidfdFlags, pidfd_open};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// Does `work` in a child. After `limit` it is given up, unless `moves` says that it gets on:
/// then it has as long again. The child keeps no descriptors but 0 to 2 and `needs`: one
/// that hangs must not hold a file system open.
///
/// # Errors
/// The work's errno; `ETIMEDOUT` when it was given up; `ECANCELED` when the child died.
pub fn bounded(
    limit: Duration,
    needs: Option<BorrowedFd<'_>>,
    moves: &mut dyn FnMut() -> bool,
    work: &mut dyn FnMut() -> Result<(), i32>,
) -> Result<(), i32> {
    // SAFETY: the child makes system calls and allocates, which glibc allows after fork(2)
    // (its allocator's locks are taken over it); it ends by _exit(2).
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            close_all_but(needs);
            let status = work().err().unwrap_or(0);
            // SAFETY: ends the child without running exit handlers; nothing is buffered.
            unsafe { libc::_exit(status) }
        }
        Ok(ForkResult::Parent { child }) => {
            let pid = child.as_raw();
            while !wait_gone(pid, limit) {
                if moves() {
                    continue;
                }
                // Of no use to one that hangs in the kernel, but it may hang elsewhere.
                // SAFETY: a number of our own child and a signal.
                unsafe { libc::kill(pid, libc::SIGKILL) };
                return Err(libc::ETIMEDOUT);
            }
            reap(pid)
        }
        // Without memory for a child: better unbounded than not at all.
        Err(_) => work(),
    }
}

fn close_all_but(needs: Option<BorrowedFd<'_>>) {
    use std::os::fd::AsRawFd;
    let close = |first: libc::c_long, last: libc::c_long| {
        // SAFETY: three numbers. The descriptors' owners are never dropped: the child ends
        // by _exit(2). Linux before 5.9 answers ENOSYS, and they stay open.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    };
    let needed = needs.map_or(2, |fd| libc::c_long::from(fd.as_raw_fd()));
    if needed > 3 {
        close(3, needed - 1);
    }
    close(needed + 1, libc::c_long::from(u32::MAX));
}

fn reap(pid: i32) -> Result<(), i32> {
    let mut status = 0;
    // SAFETY: `status` takes one int.
    while unsafe { libc::waitpid(pid, &mut status, 0) } < 0 {
        match errno() {
            libc::EINTR => {}
            e => return Err(e),
        }
    }
    if !libc::WIFEXITED(status) {
        return Err(libc::ECANCELED);
    }
    match libc::WEXITSTATUS(status) {
        0 => Ok(()),
        e => Err(e),
    }
}

/// Waits until the process has ended; false when `limit` passed before. Linux before 5.3
/// has no pidfds: there it is taken for ended.
pub fn wait_gone(pid: i32, limit: Duration) -> bool {
    let Some(pid) = rustix::process::Pid::from_raw(pid) else {
        return true;
    };
    let Ok(fd) = pidfd_open(pid, PidfdFlags::empty()) else {
        return true;
    };
    let deadline = super::clock::since_boot() + limit;
    loop {
        let left = deadline.saturating_sub(super::clock::since_boot());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut ended = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ended, left) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(nix::Error::EINTR) => {}
            Err(_) => return true,
        }
    }
}

/// Sends a signal. One that has gone meanwhile is no trouble.
pub fn signal(pid: i32, signal: nix::sys::signal::Signal) {
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hang() -> Result<(), i32> {
        loop {
            nix::unistd::pause();
        }
    }

    #[test]
    fn the_childs_answer_comes_back() {
        let answer = |answer: Result<(), i32>| {
            bounded(Duration::from_secs(60), None, &mut || false, &mut || answer)
        };
        assert_eq!(answer(Ok(())), Ok(()));
        assert_eq!(answer(Err(libc::EBUSY)), Err(libc::EBUSY));
    }

    #[test]
    fn a_child_that_hangs_is_given_up_when_nothing_moves_any_more() {
        let mut asked = 0;
        let mut moves = || {
            asked += 1;
            asked < 3
        };
        let given = bounded(Duration::from_millis(20), None, &mut moves, &mut hang);
        assert_eq!((given, asked), (Err(libc::ETIMEDOUT), 3));
    }
}
