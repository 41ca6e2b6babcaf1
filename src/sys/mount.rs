//! Mounting: fsopen(2) and friends for what is stacked, mount(2) for what is moved.
//!
//! A mount stays detached (it has a descriptor and no place) until it is attached, so
//! that a candidate that turns out wrong leaves no trace when it is dropped.
//! Contract: `include/uapi/linux/mount.h`, `Documentation/filesystems/mount_api.rst`.

use super::Error;
use nix::mount::{MntFlags, MsFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags,
    fsconfig_create, fsconfig_reconfigure, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
    fspick, move_mount, open_tree,
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// One mount option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountOption {
    /// `key`.
    Flag(&'static str),
    /// `key=value`.
    Value(String, String),
}

impl MountOption {
    /// `key=value`.
    pub fn value(key: &str, value: impl Into<String>) -> Self {
        MountOption::Value(key.to_owned(), value.into())
    }
}

impl std::fmt::Display for MountOption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            MountOption::Flag(key) => f.write_str(key),
            MountOption::Value(key, value) => write!(f, "{key}={value}"),
        }
    }
}

/// Whether writes are possible through a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Superblock and mount are read-only.
    ReadOnly,
    /// Both take writes.
    ReadWrite,
}

/// A mount that has no place in the tree yet; dropped, it is unmounted.
#[derive(Debug)]
pub struct Detached {
    fd: OwnedFd,
    what: String,
}

impl Detached {
    /// Mounts `fstype` from `source` without giving it a place.
    ///
    /// # Errors
    /// With the kernel's own words where it wrote any to the context.
    pub fn mount(
        fstype: &str,
        source: &str,
        access: Access,
        options: &[MountOption],
    ) -> Result<Self, Error> {
        let doing = format!("mounting {fstype} from");
        let fail = |e: rustix::io::Errno| Error::new(doing.as_str(), source, e.raw_os_error());
        let context = fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC).map_err(fail)?;
        let configured = configure(context.as_fd(), source, access, options);
        configured.map_err(|e| Error {
            kernel: kernel_words(context.as_fd()),
            ..fail(e)
        })?;
        let attributes = match access {
            Access::ReadOnly => MountAttrFlags::MOUNT_ATTR_RDONLY,
            Access::ReadWrite => MountAttrFlags::empty(),
        };
        let fd =
            fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(fail)?;
        Ok(Detached {
            fd,
            what: format!("{fstype} of {source}"),
        })
    }

    /// The root directory of the mount.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Gives the mount its place.
    pub fn attach(self, at: &Path) -> Result<(), Error> {
        move_mount(
            self.fd.as_fd(),
            "",
            rustix::fs::CWD,
            at,
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
        )
        .map_err(|e| {
            let doing = format!("attaching {} at", self.what);
            Error::new(doing, at.display(), e.raw_os_error())
        })
    }
}

fn configure(
    context: BorrowedFd<'_>,
    source: &str,
    access: Access,
    options: &[MountOption],
) -> Result<(), rustix::io::Errno> {
    fsconfig_set_string(context, "source", source)?;
    if access == Access::ReadOnly {
        fsconfig_set_flag(context, "ro")?;
    }
    for option in options {
        match option {
            MountOption::Flag(key) => fsconfig_set_flag(context, *key)?,
            MountOption::Value(key, value) => fsconfig_set_string(context, &**key, &**value)?,
        }
    }
    fsconfig_create(context)
}

/// The messages that a file system left in its context, one read(2) each, with the
/// prefix `e `, `w ` or `i `. Many leave none and write to kmsg only.
fn kernel_words(context: BorrowedFd<'_>) -> Option<String> {
    let mut said: Vec<String> = Vec::new();
    let mut buffer = [0u8; 512];
    while let Ok(n) = rustix::io::read(context, &mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..n]);
        let text = text.trim();
        if n == 0 || said.len() == 4 {
            break;
        }
        said.push(text.get(2..).unwrap_or(text).to_owned());
    }
    (!said.is_empty()).then(|| said.join("; "))
}

/// The options of the mount at `target` as the kernel shows them: those of the superblock,
/// the last field of its line in `/proc/self/mountinfo` (proc(5)). Empty when there is none.
pub fn shown_options(proc: &Path, target: &Path) -> String {
    shown(proc, target, |line| line.rsplit(' ').next())
}

/// Device number of the file system mounted at `target`, `MAJOR:MINOR`; empty when there is
/// none. Of btrfs, stat(2) would tell another one.
pub fn shown_number(proc: &Path, target: &Path) -> String {
    shown(proc, target, |line| line.split(' ').nth(2))
}

fn shown(proc: &Path, target: &Path, field: fn(&str) -> Option<&str>) -> String {
    let table = std::fs::read_to_string(proc.join("self/mountinfo")).unwrap_or_default();
    let target = target.to_string_lossy();
    let line = table
        .lines()
        .rfind(|l| l.split(' ').nth(4) == Some(&target));
    line.and_then(field).unwrap_or_default().to_owned()
}

/// Mounts one of the kernel's own file systems (proc, sysfs, devtmpfs, tmpfs).
pub fn mount_plain(
    fstype: &str,
    target: &Path,
    flags: sys_mount::MountFlags,
    data: &str,
) -> Result<(), Error> {
    sys_mount::Mount::builder()
        .fstype(fstype)
        .flags(flags)
        .data(data)
        .mount(fstype, target)
        .map(drop)
        .map_err(|e| Error::io(format!("mounting {fstype} at"), target.display(), &e))
}

/// Moves the mount at `from` to `to`.
pub fn move_to(from: &Path, to: &Path) -> Result<(), Error> {
    let none: Option<&str> = None;
    nix::mount::mount(Some(from), to, none, MsFlags::MS_MOVE, none).map_err(|e| {
        let doing = format!("moving the mount {} to", from.display());
        Error::new(doing, to.display(), e as i32)
    })
}

/// Unmounts; `MNT_DETACH` when `lazy`.
pub fn unmount(target: &Path, lazy: bool) -> Result<(), Error> {
    let flags = if lazy {
        MntFlags::MNT_DETACH
    } else {
        MntFlags::empty()
    };
    nix::mount::umount2(target, flags)
        .map_err(|e| Error::new("unmounting", target.display(), e as i32))
}

/// A second mount of what is mounted at `at`, without a place: it holds the file system when
/// the first one goes. Dropped, it is unmounted. The mount refuses no writes, whatever the
/// file system does (before Linux 5.12 that can only be said of the first one).
pub fn hold(at: &Path) -> Result<OwnedFd, Error> {
    let none: Option<&str> = None;
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
    nix::mount::mount(none, at, none, flags, none)
        .map_err(|e| Error::new("holding", at.display(), e as i32))?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    open_tree(rustix::fs::CWD, at, flags)
        .map_err(|e| Error::new("holding", at.display(), e.raw_os_error()))
}

/// Lets the file system that is mounted at `at` (below `base`; empty for `base` itself) take
/// writes or refuse them: the file system, not just this mount, and without a change to its
/// other options.
///
/// # Errors
/// The errno; EBUSY when a file is open for writing.
pub fn set_access(base: BorrowedFd<'_>, at: &Path, access: Access) -> Result<(), i32> {
    let set = || {
        let flags = FsPickFlags::FSPICK_CLOEXEC
            | FsPickFlags::FSPICK_NO_AUTOMOUNT
            | FsPickFlags::FSPICK_EMPTY_PATH;
        let context = fspick(base, at, flags)?;
        let flag = match access {
            Access::ReadOnly => "ro",
            Access::ReadWrite => "rw",
        };
        fsconfig_set_flag(context.as_fd(), flag)?;
        fsconfig_reconfigure(context.as_fd())
    };
    set().map_err(rustix::io::Errno::raw_os_error)
}
