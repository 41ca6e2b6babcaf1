//! A partition of the user's that is to be mounted: what it must be, its check, its mount.

use super::check;
use super::examine::mount_untouched;
use super::hunt::upper::Keeper;
use super::loader::Loader;
use super::machine::Machine;
use super::probe::FileSource;
use super::report::Report;
use super::within::{ANSWERS, within};
use crate::ondisk::{FsKind, ext, read_up_to};
use crate::plan::check::Checked;
use crate::sys::barrier::WriteBarrier;
use crate::sys::block;
use crate::sys::mount::{Access, Detached};
use std::path::Path;

/// File systems that an upper can be on: extended attributes, d_type, whiteouts.
fn can_hold_upper(fs: FsKind) -> bool {
    matches!(fs, FsKind::Ext | FsKind::Xfs | FsKind::Btrfs | FsKind::F2fs)
}

/// The file system of a keeper, or why it can't be used.
pub fn usable_fs(keeper: &Keeper, node: &Path) -> Result<FsKind, String> {
    let node = node.display();
    if let Some(why) = &keeper.unreadable {
        return Err(format!("{node} can't be read ({why})"));
    }
    match keeper.fs.as_ref().map(|fs| fs.kind) {
        Some(fs) if can_hold_upper(fs) => Ok(fs),
        Some(FsKind::DmSnapshot) => Err(format!(
            "{node} holds a device-mapper snapshot of dmsquash-live (DM_snapshot_cow), which is \
             not used here; it was left as it is, and the old image still boots with it"
        )),
        Some(FsKind::Luks) => Err(format!(
            "{node} is encrypted, and this version does not open encrypted partitions"
        )),
        Some(fs) => Err(format!(
            "{node} is {}, which can't hold them (ext4, xfs, btrfs and f2fs can); what is on it \
             was left alone",
            fs.name()
        )),
        None => Err(format!(
            "{node} has no file system that is known here: if it is new and empty, make one with \
             mkfs.ext4 {node}"
        )),
    }
}

/// Runs the check; the reason when nothing may be written to the file system.
pub fn check_for_writing(
    machine: &Machine,
    node: &Path,
    fs: FsKind,
    report: &mut Report,
) -> Result<Checked, String> {
    let checked = check::check(machine, node, fs);
    log::info!("check of {}: {checked}", node.display());
    let errors = match &checked {
        Checked::Failed(why) => Some(why.clone()),
        Checked::Skipped(why) if fs == FsKind::Ext && has_errors(node) => {
            Some(format!("its superblock says so; {why}"))
        }
        _ => None,
    };
    if let Some(why) = errors {
        return Err(format!(
            "the file system on {0} is damaged ({why}). It is not in use now: fsck.{1} {0} as root \
             repairs it, asking before each step",
            node.display(),
            fs.name()
        ));
    }
    if checked == Checked::Repaired {
        report.tell(format!(
            "The file system on {} had errors; they are repaired.",
            node.display()
        ));
    }
    Ok(checked)
}

/// Whether an ext4 is marked as damaged.
fn has_errors(node: &Path) -> bool {
    let head = block::open(node).map(FileSource::new);
    let head = head.map(|source| read_up_to(&source, 0, 2048));
    head.is_ok_and(|head| head.is_ok_and(|head| ext::has_errors(&head)))
}

/// A mount without a place, and what keeps its device from being written to; dropped in this
/// order.
#[derive(Debug)]
pub struct Mounted {
    /// The mount.
    pub mount: Detached,
    /// For a mount that only looks.
    pub barrier: Option<WriteBarrier>,
}

/// Mounts for writing, or so that not even a journal writes. The mount is made in a thread: a
/// disk may die in it.
pub fn mount(loader: &Loader, node: &Path, fs: FsKind, access: Access) -> Result<Mounted, String> {
    let (loader, at) = (loader.clone(), node.to_owned());
    let mounted = within(ANSWERS, move || match access {
        Access::ReadOnly => mount_untouched(&loader, &at, fs),
        Access::ReadWrite => {
            loader.need(&format!("fs-{}", fs.name()));
            Detached::mount(fs.name(), &at.to_string_lossy(), access, &[])
                .map(|mount| (mount, None))
                .map_err(|e| e.to_string())
        }
    });
    let mounted = mounted.map_err(|why| format!("mounting {}: {why}", node.display()))?;
    mounted.map(|(mount, barrier)| Mounted { mount, barrier })
}
