//! Extended attributes: which of them a squashfs can hold, and how files are asked for theirs.

use super::Xattr;
use rustix::fd::BorrowedFd;
use rustix::fs::{fgetxattr, flistxattr, lgetxattr, llistxattr};
use rustix::io::{Errno, Result};
use std::path::Path;

/// The namespaces of squashfs (`fs/squashfs/xattr.c`, `squashfs_xattr_handler`): POSIX access
/// lists (`system.posix_acl_access`) and the like have no place in it.
const STORED: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];

/// The longest list of names and the longest value (`include/uapi/linux/limits.h`,
/// `XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
pub const MAX: usize = 1 << 16;

/// Whether a squashfs can hold an attribute of this name.
pub fn is_stored(name: &[u8]) -> bool {
    STORED
        .iter()
        .any(|prefix| name.len() > prefix.len() && name.starts_with(prefix))
}

/// Whom to ask for attributes.
#[derive(Clone, Copy, Debug)]
pub enum Of<'a> {
    /// An open file or directory.
    Open(BorrowedFd<'a>),
    /// A path whose last part is not followed: what cannot be opened without effect.
    Path(&'a Path),
}

impl Of<'_> {
    fn list(self, buf: &mut [u8]) -> Result<usize> {
        match self {
            Of::Open(fd) => flistxattr(fd, buf),
            Of::Path(path) => llistxattr(path, buf),
        }
    }

    fn get(self, name: &[u8], buf: &mut [u8]) -> Result<usize> {
        match self {
            Of::Open(fd) => fgetxattr(fd, name, buf),
            Of::Path(path) => lgetxattr(path, name, buf),
        }
    }
}

/// The attributes that can be stored, sorted, and the number of the others. `buf` is scratch
/// space of [`MAX`] bytes.
pub fn read(of: Of<'_>, buf: &mut [u8]) -> Result<(Vec<Xattr>, usize)> {
    let names = match of.list(buf) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok((Vec::new(), 0)),
        Ok(len) => buf[..len].to_vec(),
        Err(errno) => return Err(errno),
    };
    let mut names: Vec<&[u8]> = names.split(|b| *b == 0).filter(|n| !n.is_empty()).collect();
    let all = names.len();
    names.retain(|name| is_stored(name));
    let skipped = all - names.len();
    names.sort_unstable();
    let mut found = Vec::new();
    for name in names {
        match of.get(name, buf) {
            Ok(len) => found.push(Xattr {
                name: name.to_vec(),
                value: buf[..len].to_vec(),
            }),
            // Gone since it was listed.
            Err(Errno::NODATA) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok((found, skipped))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_lists_and_names_without_a_name_are_not_stored() {
        assert!(is_stored(b"security.capability") && is_stored(b"user.x"));
        for name in [&b"system.posix_acl_access"[..], b"user.", b"btrfs.x", b""] {
            assert!(!is_stored(name));
        }
    }
}
