//! What PID 1 must mount before anything else can be seen.

use super::machine::Machine;
use crate::sys::{Error, mount};
use std::path::Path;
use sys_mount::MountFlags;

/// Mounts /proc, /sys, /dev and /run as systemd's initrd interface wants them
/// (docs/INITRD_INTERFACE.md there). What is mounted already stays as it is; what can't be
/// mounted is returned for the report, for there is no log yet.
pub fn mount_kernel_filesystems(machine: &Machine) -> Vec<Error> {
    let safe = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let run = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::STRICTATIME;
    let dev = MountFlags::NOSUID | MountFlags::STRICTATIME;
    let wanted: [(&str, &Path, MountFlags, &str); 4] = [
        ("devtmpfs", &machine.dev, dev, "mode=0755"),
        ("proc", &machine.proc, safe, ""),
        ("sysfs", &machine.sys, safe, ""),
        // The limits are systemd's own for /run (src/shared/mount-setup.c): it keeps what
        // it finds, and a live system must not differ from an installed one there.
        (
            "tmpfs",
            &machine.run,
            run,
            "mode=0755,size=20%,nr_inodes=800k",
        ),
    ];
    let mut troubles = Vec::new();
    for (fstype, target, flags, data) in wanted {
        if let Err(e) = std::fs::create_dir_all(target) {
            troubles.push(Error::io("creating", target.display(), &e));
        }
        match mount::mount_plain(fstype, target, flags, data) {
            Err(e) if e.errno != libc::EBUSY => troubles.push(e),
            _ => {}
        }
    }
    troubles
}
