//! Consoles: file descriptors 0 to 2, and every terminal that is a console.

use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Gives the process file descriptors 0 to 2.
///
/// The kernel starts PID 1 without them when no console driver stands behind /dev/console
/// (a wrong `console=` word). Then a file opened next becomes fd 0 and a `println!`
/// overwrites it. Uses /dev/console, else /dev/null, else a null device made in `/`.
pub fn ensure_standard_fds(dev: &Path) {
    for path in [
        dev.join("console"),
        dev.join("null"),
        PathBuf::from("/.liveroot-null"),
    ] {
        if path.ends_with(".liveroot-null") {
            // Before devtmpfs is mounted there may be no device node at all.
            let _ = mknod(
                &path,
                SFlag::S_IFCHR,
                Mode::from_bits_truncate(0o600),
                makedev(1, 3),
            );
        }
        if fill_fds(&path) {
            break;
        }
    }
    let _ = std::fs::remove_file("/.liveroot-null");
}

/// Opens `path` until the descriptor is above 2; true when it could be opened.
fn fill_fds(path: &Path) -> bool {
    loop {
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let Ok(fd) = open(path, flags, Mode::empty()) else {
            return false;
        };
        if fd.as_raw_fd() > 2 {
            return true;
        }
        keep(fd);
    }
}

/// Leaves a descriptor open across exec, for good.
fn keep(fd: OwnedFd) {
    let raw = std::os::fd::IntoRawFd::into_raw_fd(fd);
    // SAFETY: `raw` was just given up by its owner and stays open for the whole process.
    unsafe { libc::fcntl(raw, libc::F_SETFD, 0) };
}

/// Makes /dev/console of the new root fds 0 to 2 again, for the init that is executed next.
pub fn reopen_console(dev: &Path) {
    let Ok(console) = File::options()
        .read(true)
        .write(true)
        .open(dev.join("console"))
    else {
        return;
    };
    for fd in 0..3 {
        // SAFETY: dup2 of an open descriptor onto 0 to 2, which nothing in Rust owns.
        unsafe { libc::dup2(console.as_raw_fd(), fd) };
    }
}

/// The nodes of all active consoles (`/sys/class/tty/console/active`), /dev/console when
/// that cannot be read; and the screen, whatever the words say.
pub fn active(sys: &Path, dev: &Path) -> Vec<PathBuf> {
    let listed = std::fs::read_to_string(sys.join("class/tty/console/active")).unwrap_or_default();
    let mut nodes: Vec<PathBuf> = listed
        .split_whitespace()
        .map(|name| dev.join(name))
        .collect();
    if nodes.is_empty() {
        nodes.push(dev.join("console"));
    }
    // Words that name a serial line only leave the screen out, and a person stands before it.
    let screen = dev.join("tty0");
    if screen.exists() && !nodes.contains(&screen) {
        nodes.push(screen);
    }
    nodes
}

/// How long a console may be busy before it is given up: a slow serial line writes a page
/// in that time.
const BUSY: Duration = Duration::from_secs(2);

/// Writes `text` to each node; one that is stuck or gone is passed over. When there is none
/// at all, to standard error, which is the console that the kernel gave us.
pub fn write_to(nodes: &[PathBuf], text: &str) {
    let text = text.replace('\n', "\r\n");
    let written = nodes
        .iter()
        .filter(|node| write_one(node, text.as_bytes()).is_some())
        .count();
    if written == 0 {
        // Nobody is left to be told.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}

/// Open without waiting (a serial line without carrier), then with patience for a full
/// buffer: a virtual console takes a page in pieces.
fn write_one(node: &Path, text: &[u8]) -> Option<()> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let mut tty = File::options()
        .write(true)
        .custom_flags(flags)
        .open(node)
        .ok()?;
    let mut rest = text;
    while !rest.is_empty() {
        match tty.write(rest) {
            Ok(n) => rest = &rest[n..],
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                let mut wait = [PollFd::new(tty.as_fd(), PollFlags::POLLOUT)];
                let limit = PollTimeout::try_from(BUSY).unwrap_or(PollTimeout::ZERO);
                if poll(&mut wait, limit).ok()? == 0 {
                    return None;
                }
            }
            Err(_) => return None,
        }
    }
    Some(())
}

/// Whether a console can draw over a line.
pub fn is_terminal(node: &Path) -> bool {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let tty = File::options().write(true).custom_flags(flags).open(node);
    tty.is_ok_and(|tty| std::io::IsTerminal::is_terminal(&tty))
}

/// Writes `text` to a terminal in one go, as far as it takes it now: for those who are in the
/// middle of something else.
pub fn write_in_passing(node: &Path, text: &str) {
    let tty = File::options()
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(node);
    if let Ok(mut tty) = tty {
        let _ = tty.write(text.as_bytes());
    }
}
