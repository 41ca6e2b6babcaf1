//! /home on a partition of its own.

use super::borrow;
use super::dirs::{is_dir_below, label_like, make_dirs_below};
use super::hunt::upper::Keeper;
use super::loader::Loader;
use super::machine::Machine;
use super::page;
use super::partition::{self, Mounted, check_for_writing, usable_fs};
use super::report::{HomeReport, Report};
use crate::ondisk::FsKind;
use crate::plan::check::Checked;
use crate::request::TmpfsSize;
use crate::sys::mount::{Access, Detached, MountOption, move_to, shown_number, unmount};
use crate::sys::{barrier, block};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The image's /home is copied to here: what has this name is not whole.
const COPYING: &str = ".liveroot-copying";

/// The whole copy, on the disk; what is in it goes to the top of the partition.
const COPIED: &str = ".liveroot-copied";

/// Copying takes no longer, or it is given up.
const COPY_LIMIT: Duration = Duration::from_secs(120);

/// Mounts `keeper` at /home of the new root, after the file system's own check; an empty one
/// gets what the root has in /home. When saved changes are only to be seen, or the partition
/// is write-protected, writes to it go to memory. A home that can't be mounted is a notice.
pub fn mount(
    machine: &Machine,
    loader: &Loader,
    keeper: &Keeper,
    readonly: bool,
    report: &mut Report,
) {
    let node = block::node(&machine.dev, &keeper.device.name);
    let seen = readonly || barrier::is_read_only(&node);
    let mounted = usable_fs(keeper, &node).and_then(|fs| match seen {
        true => mount_seen(machine, loader, fs, &node, report),
        false => mount_kept(machine, loader, fs, &node, report),
    });
    match mounted {
        Ok(checked) => {
            let at = machine.sysroot.join("home");
            log::info!("/home is on {}, check: {checked}", node.display());
            report.home = Some(HomeReport {
                device: node.display().to_string(),
                fs: keeper.fs.as_ref().map_or("", |fs| fs.kind.name()),
                number: shown_number(&machine.proc, &at),
                check: checked.to_string(),
            });
        }
        Err(why) => report.tell(format!(
            "The partition for /home is not used: {why}. What is changed in /home goes where other changes go."
        )),
    }
}

fn mount_kept(
    machine: &Machine,
    loader: &Loader,
    fs: FsKind,
    node: &Path,
    report: &mut Report,
) -> Result<Checked, String> {
    let checked = check_for_writing(machine, node, fs, report)?;
    let home = partition::mount(loader, node, fs, Access::ReadWrite)?;
    let staging = stage(machine)?;
    home.mount.attach(&staging).map_err(|e| e.to_string())?;
    let placed = make_place(machine).and_then(|at| {
        populate(machine, &staging)?;
        move_to(&staging, &at).map_err(|e| e.to_string())
    });
    if placed.is_err() {
        // The reason is what counts.
        let _ = unmount(&staging, false);
    }
    let _ = std::fs::remove_dir(&staging);
    placed.map(|()| checked)
}

/// Where the partition is mounted first, or stays when it is only seen.
fn stage(machine: &Machine) -> Result<PathBuf, String> {
    let at = machine.run.join("initramfs/home");
    std::fs::create_dir_all(&at).map_err(|e| format!("creating {}: {e}", at.display()))?;
    Ok(at)
}

/// An overlay of its own: the partition below, memory on top.
fn mount_seen(
    machine: &Machine,
    loader: &Loader,
    fs: FsKind,
    node: &Path,
    report: &mut Report,
) -> Result<Checked, String> {
    let Mounted { mount, barrier } = partition::mount(loader, node, fs, Access::ReadOnly)?;
    let below = stage(machine)?;
    let text = |e: std::io::Error| format!("making the layers of /home: {e}");
    mount.attach(&below).map_err(|e| e.to_string())?;
    if is_empty(&below).map_err(text)? {
        // The reason is what counts.
        let _ = unmount(&below, false);
        return Err(format!(
            "{} is empty, and nothing may be written to it",
            node.display()
        ));
    }
    if let Some(barrier) = barrier {
        barrier.keep();
    }
    if shown_number(&machine.proc, &machine.overlay()).is_empty() {
        // The upper is on a partition, so no tmpfs is there yet.
        super::tmpfs::mount_tmpfs(machine, &TmpfsSize::default(), report)
            .map_err(|e| e.to_string())?;
    }
    let layers = ["home", "homework"].map(|name| machine.overlay().join(name));
    for layer in &layers {
        std::fs::create_dir_all(layer).map_err(text)?;
    }
    let option = |key: &str, path: &PathBuf| MountOption::value(key, path.to_string_lossy());
    let options = [
        option("lowerdir", &below),
        option("upperdir", &layers[0]),
        option("workdir", &layers[1]),
    ];
    let home = Detached::mount("overlay", "liveroot-home", Access::ReadWrite, &options)
        .map_err(|e| e.to_string())?;
    home.attach(&make_place(machine)?)
        .map_err(|e| e.to_string())?;
    Ok(Checked::Skipped("nothing is written to it".to_owned()))
}

/// A link would lead out of the new root, which is not `/` yet.
fn make_place(machine: &Machine) -> Result<PathBuf, String> {
    make_dirs_below(&machine.sysroot, "home", 0o755, &machine.rootfsbase())
        .map_err(|e| e.to_string())?;
    Ok(machine.sysroot.join("home"))
}

/// An empty partition gets the root's /home, or users of the image had no home directory. The
/// image's own `cp -a` copies it under another name; when all of it is on the disk it is
/// renamed, and a power cut in the middle of what follows is made good at the next boot.
fn populate(machine: &Machine, home: &Path) -> Result<(), String> {
    let fail = |e: std::io::Error| format!("copying /home to it: {e}");
    let (copying, copied) = (home.join(COPYING), home.join(COPIED));
    let there = |path: &Path| std::fs::symlink_metadata(path).is_ok();
    if !there(&copied) {
        if there(&copying) {
            std::fs::remove_dir_all(&copying).map_err(fail)?;
        } else if !is_empty(home).map_err(fail)? {
            return Ok(());
        }
        let root = machine.sysroot.join("home");
        if is_empty(&root).unwrap_or(true) {
            return Ok(());
        }
        copy(machine, home)?;
        label_like(&root, home);
        settle(home).map_err(fail)?;
        std::fs::rename(&copying, &copied).map_err(fail)?;
        settle(home).map_err(fail)?;
    }
    for entry in std::fs::read_dir(&copied).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let to = home.join(entry.file_name());
        // What has the name already was there first.
        if !there(&to) {
            std::fs::rename(entry.path(), to).map_err(fail)?;
        }
    }
    settle(home).map_err(fail)?;
    std::fs::remove_dir_all(&copied).map_err(fail)
}

/// Brings all of a file system to its disk.
fn settle(home: &Path) -> std::io::Result<()> {
    Ok(rustix::fs::syncfs(std::fs::File::open(home)?)?)
}

/// Runs the image's `cp -a`, in the new root, where its /home may have been changed already.
fn copy(machine: &Machine, home: &Path) -> Result<(), String> {
    let Some(program) = borrow::find(machine, "cp") else {
        return Err("it is empty, and the image has no cp to fill it with".to_owned());
    };
    let root = &machine.sysroot;
    let places = ["mnt", "media", "tmp"];
    let Some(place) = places
        .iter()
        .find(|dir| is_dir_below(root, dir).is_ok_and(|there| there))
    else {
        return Err("it is empty, and the image has no /mnt to fill it through".to_owned());
    };
    std::fs::create_dir(home.join(COPYING)).map_err(|e| format!("copying /home to it: {e}"))?;
    let binds = [(home.to_owned(), root.join(place))];
    let to = format!("/{place}/{COPYING}");
    let words = [&*program, "-a", "/home/.", &to];
    let when_slow = || page::show(machine, " Copying /home to its partition ...\n");
    let done = borrow::run_in(machine, root, &words, &binds, COPY_LIMIT, &when_slow)
        .map_err(|e| e.to_string())?;
    match done.status {
        Some(status) if status.success() => Ok(()),
        Some(_) => Err(format!("copying /home to it: {}", done.said)),
        None => Err(format!(
            "copying /home to it took longer than {} s",
            COPY_LIMIT.as_secs()
        )),
    }
}

/// Whether nothing is there but what mkfs makes.
fn is_empty(dir: &Path) -> std::io::Result<bool> {
    let mut entries = std::fs::read_dir(dir)?;
    Ok(entries.all(|entry| entry.is_ok_and(|e| e.file_name() == "lost+found")))
}
