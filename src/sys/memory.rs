//! Whether a file lies in memory: on a tmpfs or ramfs, statfs(2).

use std::os::fd::AsFd;

/// `include/uapi/linux/magic.h`.
const RAMFS_MAGIC: i64 = 0x8584_58f6;
/// Likewise.
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// Whether an open file or directory is on a file system that has no other place than memory.
/// One that does not answer is taken for another.
pub fn holds(file: impl AsFd) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|stat| [RAMFS_MAGIC, TMPFS_MAGIC].contains(&stat.f_type))
}
