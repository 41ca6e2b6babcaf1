//! The directories of an upper: made with the modes, owners and labels that they need.

use super::machine::Machine;
use super::report::Report;
use crate::plan::root::{RootAttributes, decide_root_attributes};
use crate::sys::Error;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The directories an overlay is stacked from, beside the image.
#[derive(Debug)]
pub struct UpperDirs {
    /// Saved changes that are only seen: a lower layer on top of the image.
    pub readonly: Option<PathBuf>,
    /// upperdir.
    pub upper: PathBuf,
    /// workdir, on the same file system.
    pub work: PathBuf,
}

impl UpperDirs {
    /// Takes the links away.
    pub fn unlink(&self, machine: &Machine) {
        for link in ["overlayfs", "ovlwork", "overlayfs-r"] {
            // Not all are there.
            let _ = std::fs::remove_file(machine.run.join(link));
        }
    }

    /// Leaves the links that dracut's users know: /run/overlayfs, /run/ovlwork, and
    /// /run/overlayfs-r for a layer that is only seen.
    pub fn link(&self, machine: &Machine, report: &mut Report) {
        let links = [
            ("overlayfs", Some(&self.upper)),
            ("ovlwork", Some(&self.work)),
            ("overlayfs-r", self.readonly.as_ref()),
        ];
        for (link, target) in links {
            let Some(target) = target else { continue };
            if let Err(e) = std::os::unix::fs::symlink(target, machine.run.join(link)) {
                report.warn(format!("linking {}/{link}: {e}", machine.run.display()));
            }
        }
    }
}

/// Length of the file system mounted at a place, bytes; 0 when it can't be asked.
pub fn capacity(at: &Path) -> u64 {
    let stat = rustix::fs::statfs(at);
    stat.map_or(0, |s| s.f_blocks * u64::try_from(s.f_bsize).unwrap_or(0))
}

/// Makes one directory; one that is there already is an error.
pub fn make_dir(path: &Path, mode: u32) -> Result<(), Error> {
    std::fs::DirBuilder::new()
        .mode(mode)
        .create(path)
        .map_err(|e| Error::io("creating", path.display(), &e))
}

/// Whether the directory `path` is below `root`: directories all the way, not links that lead
/// elsewhere. The first part that is something else is an error.
pub fn is_dir_below(root: &Path, path: &str) -> Result<bool, Error> {
    let mut at = root.to_owned();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        at.push(part);
        match std::fs::symlink_metadata(&at) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => {
                return Err(Error::new(
                    "using as a directory",
                    at.display(),
                    libc::ENOTDIR,
                ));
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(Error::io("looking at", at.display(), &e)),
        }
    }
    Ok(true)
}

/// Makes the directories of `path` below `root` that are missing, with the SELinux label of
/// `like`. True when the last one is new.
pub fn make_dirs_below(root: &Path, path: &str, mode: u32, like: &Path) -> Result<bool, Error> {
    if is_dir_below(root, path)? {
        return Ok(false);
    }
    let mut at = root.to_owned();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        at.push(part);
        if std::fs::symlink_metadata(&at).is_err() {
            make_dir(&at, mode)?;
            label_like(like, &at);
        }
    }
    Ok(true)
}

/// Removes what a directory holds; false when there was nothing.
pub fn clear(dir: &Path) -> Result<bool, Error> {
    let fail = |e: &std::io::Error| Error::io("clearing", dir.display(), e);
    let mut found = false;
    for entry in std::fs::read_dir(dir).map_err(|e| fail(&e))? {
        let path = entry.map_err(|e| fail(&e))?.path();
        let is_dir = std::fs::symlink_metadata(&path).is_ok_and(|m| m.is_dir());
        let removed = if is_dir {
            std::fs::remove_dir_all(&path)
        } else {
            std::fs::remove_file(&path)
        };
        removed.map_err(|e| fail(&e))?;
        found = true;
    }
    Ok(found)
}

/// The upper's root directory is what users see as `/`: mode, owner and SELinux label are
/// the image's.
pub fn dress_like(image: &Path, upper: &Path) -> Result<(), Error> {
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
    label_like(image, upper);
    Ok(())
}

/// Copies the SELinux label. Without SELinux in the kernel it has no meaning to lose.
pub fn label_like(from: &Path, to: &Path) {
    let mut label = [0u8; 256];
    if let Ok(n) = rustix::fs::getxattr(from, "security.selinux", &mut label) {
        let flags = rustix::fs::XattrFlags::empty();
        let _ = rustix::fs::setxattr(to, "security.selinux", &label[..n], flags);
    }
}
