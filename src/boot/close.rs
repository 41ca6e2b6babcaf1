//! The session of the saved changes is closed: its file says so, and the file system takes
//! no writes from then on.

use super::apart::Ended;
use super::examine::{raise_barrier, untouched};
use super::limits::{once, once_with};
use super::machine::Machine;
use super::status::place;
use crate::layout::{Left, LeftMount, SESSION_LENGTH, Session};
use crate::ondisk::FsKind;
use crate::ondisk::session::{parse_session, session_bytes};
use crate::plan::end::find_left;
use crate::plan::mounts::Mount;
use crate::sys::mount::{self, Access, Detached};
use crate::sys::{Error, block};
use crate::units::ImageId;
use rustix::fs::{Mode, OFlags, openat};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The file system of the saved changes, held: it is to be reached when all its places are
/// gone.
#[derive(Debug)]
pub struct Upper<'a> {
    held: OwnedFd,
    device: &'a str,
    session: Option<&'a str>,
    image: Option<&'a ImageId>,
}

/// Holds it, unless it lies in memory. Where its place is gone (`umount -a` can unmount it,
/// for an overlay has a mount of its own) it is mounted there again.
pub fn hold<'a>(
    machine: &Machine,
    gather: &dyn Fn() -> Vec<Mount>,
    left: &'a Left,
) -> Result<Option<Upper<'a>>, String> {
    let on_disk = |u: &&LeftMount| u.device.starts_with("/dev/");
    let Some(upper) = left.upper.as_ref().filter(on_disk) else {
        return Ok(None);
    };
    if find_left(&gather(), upper).is_none() {
        let again = once(machine, &mut || mount_again(machine, left, upper));
        again.map_err(|e| {
            let doing = "mounting again for its end the saved changes on";
            Error::new(doing, &upper.device, e).to_string()
        })?;
    }
    let mounts = gather();
    let gone = || Error::new("holding", &upper.device, libc::ENODEV).to_string();
    let mounted = find_left(&mounts, upper).ok_or_else(gone)?;
    let held = mount::hold(&mounted.at).map_err(|e| e.to_string())?;
    Ok(Some(Upper {
        held,
        device: &upper.device,
        session: left.session.as_deref(),
        image: left.image.as_ref(),
    }))
}

/// A device in use is so by the overlay: the same file system is mounted once more, nothing
/// is replayed. Else the name may be another disk's by now, so that it is looked at first.
fn mount_again(machine: &Machine, left: &Left, upper: &LeftMount) -> Result<(), i32> {
    let kinds = [FsKind::Ext, FsKind::Xfs, FsKind::Btrfs, FsKind::F2fs];
    let kind = kinds.into_iter().find(|kind| kind.name() == upper.fs);
    let kind = kind.ok_or(libc::ENODEV)?;
    if !block::is_claimed(Path::new(&upper.device)) {
        look_untouched(left, upper, kind)?;
    }
    let attempt = |access| Detached::mount(&upper.fs, &upper.device, access, &[]);
    let mount = match attempt(Access::ReadWrite) {
        // It is mounted, and refuses writes.
        Err(e) if e.errno == libc::EBUSY => attempt(Access::ReadOnly),
        other => other,
    };
    let mount = mount.map_err(|e| e.errno)?;
    // A new directory could not be made: umount -r makes /run read-only, for it is busy.
    let place = place(machine, upper);
    mount.attach(&place).map_err(|e| e.errno)
}

/// Whether it holds the session that boot left; without a write to it.
fn look_untouched(left: &Left, upper: &LeftMount, kind: FsKind) -> Result<(), i32> {
    let _barrier = raise_barrier(Path::new(&upper.device), kind).map_err(|e| e.errno)?;
    let options = untouched(kind);
    let mount = Detached::mount(&upper.fs, &upper.device, Access::ReadOnly, &options);
    let mount = mount.map_err(|e| e.errno)?;
    let session = left.session.as_deref().ok_or(libc::ENOENT)?;
    read(mount.root(), session, left.image.as_ref()).map(drop)
}

impl Upper<'_> {
    /// Marks the session as closed, if it is not `in_use`, and makes the file system
    /// read-only, which writes it out.
    pub fn close(&self, machine: &Machine, in_use: bool, ended: &mut Ended) {
        let (fd, device) = (self.held.as_fd(), self.device);
        let call = |work: &mut dyn FnMut() -> Result<(), i32>| once_with(machine, Some(fd), work);
        let session = self.session.filter(|_| !in_use);
        if let Some(session) = session {
            let closed = call(&mut || mark(fd, session, self.image, false));
            ended.closed = ended.note("closing the saved changes on", device, closed);
        }
        let done = call(&mut || mount::set_access(fd, Path::new(""), Access::ReadOnly));
        let clean = ended.note("making read-only", device, done);
        if let Some(session) = session.filter(|_| ended.closed && !clean) {
            // Somebody has a file open for writing, past the overlay.
            let opened = call(&mut || mark(fd, session, self.image, true));
            ended.closed = !ended.note("marking as open the saved changes on", device, opened);
        }
    }
}

/// Overwrites the session's file in place, below a held file system. systemd-shutdown(8) has
/// made that read-only before us.
fn mark(
    root: BorrowedFd<'_>,
    session: &str,
    image: Option<&ImageId>,
    open: bool,
) -> Result<(), i32> {
    let mut content = read(root, session, image)?;
    content.open = open;
    mount::set_access(root, Path::new(""), Access::ReadWrite)?;
    let file = open_file(root, session, OFlags::WRONLY)?;
    file.write_all_at(&session_bytes(&content), 0)
        .and_then(|()| file.sync_all())
        .map_err(errno)
}

/// The session's file, if it is of this image: another one's is not ours to close. An image
/// without an id leaves the id that the session had.
fn read(root: BorrowedFd<'_>, session: &str, image: Option<&ImageId>) -> Result<Session, i32> {
    let file = open_file(root, session, OFlags::RDONLY)?;
    let mut bytes = [0; SESSION_LENGTH];
    file.read_exact_at(&mut bytes, 0).map_err(errno)?;
    let content = parse_session(&bytes).map_err(|_| libc::EBADMSG)?;
    match image.is_none() || content.image.as_ref() == image {
        true => Ok(content),
        false => Err(libc::EMEDIUMTYPE),
    }
}

fn open_file(root: BorrowedFd<'_>, session: &str, access: OFlags) -> Result<File, i32> {
    let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(root, session.trim_start_matches('/'), flags, Mode::empty())
        .map(File::from)
        .map_err(rustix::io::Errno::raw_os_error)
}

fn errno(e: std::io::Error) -> i32 {
    e.raw_os_error().unwrap_or(libc::EIO)
}
