//! /home on a partition of its own.

use super::borrow;
use super::check;
use super::examine::mount_untouched;
use super::hunt::upper::Keeper;
use super::loader::Loader;
use super::machine::Machine;
use super::report::{HomeReport, Report};
use super::saved::usable_fs;
use crate::plan::check::Checked;
use crate::sys::block;
use crate::sys::mount::{Access, Detached, MountOption, move_to, shown_number, unmount};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Copied to here first: what has this name is not whole.
const COPYING: &str = ".liveroot-copying";

/// Copying the image's /home takes no longer, or it is given up.
const COPY_LIMIT: Duration = Duration::from_secs(120);

/// Mounts `keeper` at /home of the new root, after the file system's own check; an empty one
/// gets what the image has in /home. When saved changes are only to be seen, writes to it go
/// to memory. A home that can't be mounted is a notice.
pub fn mount(
    machine: &Machine,
    loader: &Loader,
    keeper: &Keeper,
    readonly: bool,
    report: &mut Report,
) {
    let node = block::node(&machine.dev, &keeper.device.name);
    let mounted = match readonly {
        true => mount_seen(machine, loader, keeper, &node),
        false => mount_kept(machine, loader, keeper, &node),
    };
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
            "/home is the image's own, and what is changed in it is not on the home partition: {why}."
        )),
    }
}

fn mount_kept(
    machine: &Machine,
    loader: &Loader,
    keeper: &Keeper,
    node: &Path,
) -> Result<Checked, String> {
    let fs = usable_fs(keeper, node)?;
    let checked = check::check(machine, node, fs);
    if let Checked::Failed(why) = &checked {
        return Err(format!(
            "the file system on {} is damaged ({why})",
            node.display()
        ));
    }
    loader.need(&format!("fs-{}", fs.name()));
    let home = Detached::mount(fs.name(), &node.to_string_lossy(), Access::ReadWrite, &[])
        .map_err(|e| e.to_string())?;
    let staging = machine.run.join("initramfs/home");
    std::fs::create_dir_all(&staging)
        .map_err(|e| format!("creating {}: {e}", staging.display()))?;
    home.attach(&staging).map_err(|e| e.to_string())?;
    let placed = populate(machine, &staging).and_then(|()| {
        let at = make_place(machine)?;
        move_to(&staging, &at).map_err(|e| e.to_string())
    });
    if placed.is_err() {
        // The reason is what counts.
        let _ = unmount(&staging, false);
    }
    let _ = std::fs::remove_dir(&staging);
    placed.map(|()| checked)
}

/// An overlay of its own: the partition below, memory on top.
fn mount_seen(
    machine: &Machine,
    loader: &Loader,
    keeper: &Keeper,
    node: &Path,
) -> Result<Checked, String> {
    let fs = usable_fs(keeper, node)?;
    let (mount, barrier) = mount_untouched(loader, node, fs)?;
    let below = machine.run.join("initramfs/home");
    let text = |e: std::io::Error| format!("making the layers of /home: {e}");
    std::fs::create_dir_all(&below).map_err(text)?;
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

fn make_place(machine: &Machine) -> Result<PathBuf, String> {
    let at = machine.sysroot.join("home");
    std::fs::create_dir_all(&at).map_err(|e| format!("creating /home: {e}"))?;
    Ok(at)
}

/// An empty partition gets the image's /home, or users of the image had no home directory.
/// The image's own `cp -a` does it, under another name first: half a copy is never used.
fn populate(machine: &Machine, home: &Path) -> Result<(), String> {
    let fail = |e: std::io::Error| format!("copying the image's /home: {e}");
    let copy = home.join(COPYING);
    if copy.exists() {
        std::fs::remove_dir_all(&copy).map_err(fail)?;
    } else if !is_empty(home).map_err(fail)? {
        return Ok(());
    }
    let image = machine.rootfsbase();
    if is_empty(&image.join("home")).unwrap_or(true) {
        return Ok(());
    }
    let Some(program) = borrow::find(machine, "cp") else {
        return Err("it is empty, and the image has no cp to fill it with".to_owned());
    };
    let Some(place) = ["mnt", "media", "tmp"]
        .iter()
        .find(|dir| image.join(dir).is_dir())
    else {
        return Err("it is empty, and the image has no /mnt to fill it through".to_owned());
    };
    std::fs::create_dir(&copy).map_err(fail)?;
    let binds = [(home.to_owned(), image.join(place))];
    let to = format!("/{place}/{COPYING}");
    let words = [&*program, "-a", "/home/.", &to];
    let done = borrow::run_in_image(machine, &words, &binds, COPY_LIMIT, &|| ())
        .map_err(|e| e.to_string())?;
    if !done.status.is_some_and(|status| status.success()) {
        return Err(format!("copying the image's /home: {}", done.said));
    }
    for entry in std::fs::read_dir(&copy).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        std::fs::rename(entry.path(), home.join(entry.file_name())).map_err(fail)?;
    }
    super::dirs::label_like(&image.join("home"), home);
    std::fs::remove_dir(&copy).map_err(fail)
}

/// Whether nothing is there but what mkfs makes.
fn is_empty(dir: &Path) -> std::io::Result<bool> {
    let mut entries = std::fs::read_dir(dir)?;
    Ok(entries.all(|entry| entry.is_ok_and(|e| e.file_name() == "lost+found")))
}
