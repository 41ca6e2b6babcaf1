//! Where writes go: a tmpfs of its own, so that neither /run's limits nor its `noexec`
//! reach the root.

use super::failure::Failure;
use super::machine::Machine;
use super::report::{Report, UpperReport};
use crate::plan::root::{RootAttributes, decide_root_attributes};
use crate::request::TmpfsSize;
use crate::sys::Error;
use crate::sys::mount::{Access, Detached, MountOption, shown_options};
use crate::units::Bytes;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The two directories an overlay writes to.
#[derive(Debug)]
pub struct UpperDirs {
    /// upperdir.
    pub upper: PathBuf,
    /// workdir, on the same file system.
    pub work: PathBuf,
}

/// Mounts the tmpfs at /run/initramfs/overlay and makes `overlayfs` and `ovlwork` in it,
/// with the links /run/overlayfs and /run/ovlwork that dracut's users know.
pub fn mount_tmpfs(
    machine: &Machine,
    size: &TmpfsSize,
    report: &mut Report,
) -> Result<UpperDirs, Failure> {
    make(machine, size, report).map_err(Failure::Upper)
}

fn make(machine: &Machine, size: &TmpfsSize, report: &mut Report) -> Result<UpperDirs, Error> {
    let at = machine.overlay();
    let mut options = vec![
        MountOption::value("mode", "0755"),
        MountOption::value("size", &size.size),
    ];
    options.extend(size.more.iter().map(|(k, v)| MountOption::value(k, v)));
    let tmpfs = Detached::mount("tmpfs", "liveroot", Access::ReadWrite, &options)?;
    std::fs::create_dir_all(&at).map_err(|e| Error::io("creating", at.display(), &e))?;
    tmpfs.attach(&at)?;

    let dirs = UpperDirs {
        upper: at.join("overlayfs"),
        work: at.join("ovlwork"),
    };
    make_dir(&dirs.upper, 0o755)?;
    make_dir(&dirs.work, 0o700)?;
    dress_like(&machine.rootfsbase(), &dirs.upper)?;
    for (link, target) in [("overlayfs", &dirs.upper), ("ovlwork", &dirs.work)] {
        if let Err(e) = std::os::unix::fs::symlink(target, machine.run.join(link)) {
            report.warn(format!("linking {}/{link}: {e}", machine.run.display()));
        }
    }
    let capacity = rustix::fs::statfs(&at)
        .map(|s| s.f_blocks * u64::try_from(s.f_bsize).unwrap_or(0))
        .unwrap_or(0);
    log::info!("writes go to memory: at most {} ({size})", Bytes(capacity));
    report.upper = Some(UpperReport {
        kind: "tmpfs",
        size: capacity,
        options: shown_options(&machine.proc, &at),
    });
    Ok(dirs)
}

fn make_dir(path: &Path, mode: u32) -> Result<(), Error> {
    std::fs::DirBuilder::new()
        .mode(mode)
        .create(path)
        .map_err(|e| Error::io("creating", path.display(), &e))
}

/// The upper's root directory is what users see as `/`: mode, owner and SELinux label are
/// the image's.
fn dress_like(image: &Path, upper: &Path) -> Result<(), Error> {
    let fail = |e: &std::io::Error| Error::io("copying the attributes of / to", upper.display(), e);
    let meta = std::fs::metadata(image).map_err(|e| fail(&e))?;
    let wanted = decide_root_attributes(RootAttributes {
        mode: meta.mode(),
        uid: meta.uid(),
        gid: meta.gid(),
    });
    std::os::unix::fs::chown(upper, Some(wanted.uid), Some(wanted.gid)).map_err(|e| fail(&e))?;
    std::fs::set_permissions(upper, std::fs::Permissions::from_mode(wanted.mode))
        .map_err(|e| fail(&e))?;
    let mut label = [0u8; 256];
    if let Ok(n) = rustix::fs::getxattr(image, "security.selinux", &mut label) {
        let flags = rustix::fs::XattrFlags::empty();
        // Without SELinux in the kernel the label has no meaning to lose.
        let _ = rustix::fs::setxattr(upper, "security.selinux", &label[..n], flags);
    }
    Ok(())
}
