//! Trees that have one of everything.

use rustix::fs::{CWD, FileType, Mode, XattrFlags, lsetxattr, mknodat};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What anybody can make.
pub fn make_plain(root: &Path) {
    for dir in ["etc/deep/er", "usr/sbin", "empty"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    fs::write(root.join("etc/file"), "some text\n").unwrap();
    fs::write(root.join("etc/none"), "").unwrap();
    fs::write(root.join("etc/block"), vec![7; 512]).unwrap();
    fs::write(root.join("usr/sbin/init"), vec![1; 70_000]).unwrap();
    fs::set_permissions(root.join("usr/sbin/init"), PermissionsExt::from_mode(0o755)).unwrap();
    fs::hard_link(root.join("etc/file"), root.join("a-link")).unwrap();
    fs::hard_link(root.join("etc/file"), root.join("usr/z-link")).unwrap();
    symlink("../etc/file", root.join("usr/soft")).unwrap();
    fs::hard_link(root.join("usr/soft"), root.join("usr/soft-too")).unwrap();
    set_times(root);
}

/// With owners, devices, attributes, holes and long names.
pub fn make(root: &Path) {
    make_plain(root);
    let odd = std::ffi::OsStr::from_bytes(b"etc/not \xff text\n");
    fs::write(root.join(odd), "odd").unwrap();
    chown(root.join("etc/file"), Some(1000), Some(4_000_000_000)).unwrap();
    chown(root.join("etc/none"), Some(3_000_000), Some(5)).unwrap();
    lchown(root.join("usr/soft"), Some(12), Some(13)).unwrap();
    fs::set_permissions(root.join("etc/block"), PermissionsExt::from_mode(0o6711)).unwrap();
    fs::set_permissions(root.join("empty"), PermissionsExt::from_mode(0o1777)).unwrap();
    let node = |name: &str, kind, major, minor| {
        let device = rustix::fs::makedev(major, minor);
        let mode = Mode::from_raw_mode(0o640);
        mknodat(CWD, root.join(name), kind, mode, device).unwrap();
    };
    node("null", FileType::CharacterDevice, 1, 3);
    node("disk", FileType::BlockDevice, 259, 70_000);
    node("pipe", FileType::Fifo, 0, 0);
    // No second name: GNU tar writes devices with two names as two devices.
    long_names(root);
    holes(root);
    for (name, value) in attributes() {
        for file in ["etc/file", "etc/deep", "usr/soft", "null"] {
            let path = root.join(file);
            // Links and devices have no attributes of users (xattr(7)).
            if !(name.starts_with("user.")
                && file.len() < 9
                && file != "etc/file"
                && file != "etc/deep")
            {
                lsetxattr(&path, name, &value, XattrFlags::empty()).unwrap();
            }
        }
    }
    set_times(root);
}

fn attributes() -> Vec<(&'static str, Vec<u8>)> {
    // A capability set of version 2 (`include/uapi/linux/capability.h`).
    let capability = [&0x0200_0001_u32.to_le_bytes()[..], &[0, 4, 0, 0], &[0; 12]].concat();
    vec![
        ("security.capability", capability),
        ("security.selinux", b"system_u:object_r:etc_t:s0\0".to_vec()),
        ("trusted.x", b"=\n\0=".to_vec()),
        ("user.empty", Vec::new()),
        ("user.x", b"value".to_vec()),
    ]
}

fn long_names(root: &Path) {
    let long = "n".repeat(255);
    fs::write(root.join("etc").join(&long), "long").unwrap();
    let mut deep = root.join("deep");
    for _ in 0..4 {
        deep.push(&long[..200]);
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), "deep").unwrap();
    fs::hard_link(deep.join("file"), root.join("from-the-deep")).unwrap();
    symlink("t".repeat(300), root.join("far")).unwrap();
}

fn holes(root: &Path) {
    let sparse = |name: &str, size: u64, pieces: &[(u64, usize)]| {
        let file = File::create(root.join(name)).unwrap();
        file.set_len(size).unwrap();
        for (at, length) in pieces {
            file.write_all_at(&vec![(*at % 251) as u8 + 1; *length], *at)
                .unwrap();
        }
    };
    sparse("hole", 1 << 20, &[]);
    sparse("hole-behind", (1 << 20) + 5, &[(0, 9000)]);
    sparse("hole-before", (1 << 20) + 5, &[(1 << 20, 5)]);
    // More pieces than a header, and than one block of a map, holds.
    let pieces: Vec<(u64, usize)> = (0..60).map(|n| (n * 32_768 + 4096, 3000)).collect();
    sparse("holes", 60 * 32_768, &pieces);
}

/// Lets user 1 read a file (`include/uapi/linux/posix_acl_xattr.h`); whether that can be said.
pub fn set_access_list(path: &Path) -> bool {
    const NOBODY: u32 = !0;
    let entries = [
        (1, 7, NOBODY),
        (2, 4, 1),
        (4, 5, NOBODY),
        (0x10, 5, NOBODY),
        (0x20, 5, NOBODY),
    ];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        list.extend(u16::to_le_bytes(tag));
        list.extend(u16::to_le_bytes(rights));
        list.extend(u32::to_le_bytes(id));
    }
    lsetxattr(path, "system.posix_acl_access", &list, XattrFlags::empty()).is_ok()
}

/// So that formats without attributes can be compared.
pub fn strip_attributes(root: &Path) {
    for (name, _) in attributes() {
        for file in ["etc/file", "etc/deep", "usr/soft", "null"] {
            let _ = rustix::fs::lremovexattr(root.join(file), name);
        }
    }
}

/// What ustar cannot hold.
pub fn strip_what_is_long(root: &Path) {
    fs::remove_file(root.join("etc").join("n".repeat(255))).unwrap();
    fs::remove_dir_all(root.join("deep")).unwrap();
    fs::remove_file(root.join("far")).unwrap();
    chown(root.join("etc/file"), Some(1000), Some(2_000_000)).unwrap();
    chown(root.join("etc/none"), Some(2_000_000), Some(5)).unwrap();
    set_times(root);
}

/// What no old archive holds.
pub fn strip_devices(root: &Path) {
    for name in ["null", "disk", "pipe", "usr/soft-too"] {
        fs::remove_file(root.join(name)).unwrap();
    }
}

/// Whole seconds, of the past and of 2040, and one before 1970; those of links stay.
fn set_times(root: &Path) {
    let mut todo: Vec<PathBuf> = vec![root.to_owned()];
    let mut n = 0_u64;
    while let Some(path) = todo.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            todo.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
        if meta.is_dir() || meta.is_file() {
            n += 1;
            let time = SystemTime::UNIX_EPOCH + Duration::new(n * 70_000_000 % 2_300_000_000, 5);
            File::open(&path).unwrap().set_modified(time).unwrap();
        }
    }
}
