//! Writes that go to memory: a tmpfs of its own, so that neither /run's limits nor its
//! `noexec` reach the root.

use super::copy;
use super::dirs::{UpperDirs, capacity, dress_like, make_dir};
use super::failure::Failure;
use super::machine::Machine;
use super::report::{Report, UpperReport};
use crate::request::TmpfsSize;
use crate::sys::Error;
use crate::sys::mount::{Access, Detached, MountOption, shown_options};
use crate::units::Bytes;

/// Mounts the tmpfs at /run/initramfs/overlay and makes `overlayfs` and `ovlwork` in it.
pub fn mount_tmpfs(
    machine: &Machine,
    size: &TmpfsSize,
    report: &mut Report,
) -> Result<UpperDirs, Failure> {
    make(machine, size, report).map_err(Failure::Upper)
}

fn make(machine: &Machine, size: &TmpfsSize, report: &mut Report) -> Result<UpperDirs, Error> {
    let at = machine.overlay();
    let size = &match report.taken {
        0 => size.clone(),
        taken => size.beside(taken, copy::memory(machine).total),
    };
    let mut options = vec![
        MountOption::value("mode", "0755"),
        MountOption::value("size", &size.size),
    ];
    options.extend(size.more.iter().map(|(k, v)| MountOption::value(k, v)));
    let tmpfs = Detached::mount("tmpfs", "liveroot", Access::ReadWrite, &options)?;
    std::fs::create_dir_all(&at).map_err(|e| Error::io("creating", at.display(), &e))?;
    tmpfs.attach(&at)?;

    let dirs = UpperDirs {
        readonly: None,
        upper: at.join("overlayfs"),
        work: at.join("ovlwork"),
    };
    make_dir(&dirs.upper, 0o755)?;
    make_dir(&dirs.work, 0o700)?;
    dress_like(&machine.rootfsbase(), &dirs.upper)?;
    let capacity = capacity(&at);
    log::info!("writes go to memory: at most {} ({size})", Bytes(capacity));
    // Over saved changes that are only seen, the report names those.
    report.upper.get_or_insert_with(|| UpperReport {
        kind: "tmpfs",
        size: capacity,
        options: shown_options(&machine.proc, &at),
        ..UpperReport::default()
    });
    Ok(dirs)
}
