//! What every tree of the test guests gets: the programs of `qemu/guest`, the files that
//! they change, and the check of ext4 that the agent runs from the image.

use crate::cache::{Cache, Key};
use crate::tool;
use crate::trees::executable;
use crate::trouble::{Result, While};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const RECIPE: &str = "parts 1";
const MARKER_INIT: &str = include_str!("../guest/marker-init");
const MARKER_ACTS: &str = include_str!("../guest/marker-acts");
const INITTAB: &str = include_str!("../guest/inittab");
const UNIT: &str = include_str!("../guest/marker.service");
const HELPER: &str = include_str!("../guest/helper.rs");

/// Digest of all that is installed here.
pub fn key() -> Key {
    Key::of(&[RECIPE, MARKER_INIT, MARKER_ACTS, INITTAB, UNIT, HELPER])
}

/// The helper, a static program; it runs on the host too.
pub fn helper(cache: &Cache) -> Result<PathBuf> {
    let entry = cache.entry("guest", "helper", &Key::of(&[RECIPE, HELPER]), |dir| {
        let source = dir.join("helper.rs");
        fs::write(&source, HELPER)?;
        tool::run(
            Command::new("rustc")
                .args([
                    "--edition",
                    "2024",
                    "-C",
                    "opt-level=2",
                    "-C",
                    "panic=abort",
                ])
                .args(["-C", "target-feature=+crt-static", "-C", "strip=symbols"])
                .args(["--target", "x86_64-unknown-linux-gnu", "-o"])
                .arg(dir.join("helper"))
                .arg(&source),
        )
        .doing("compiling the guests' helper")
    })?;
    Ok(entry.join("helper"))
}

/// Programs and files, in a tree with `usr/bin` and `etc`.
pub fn install(cache: &Cache, tree: &Path) -> Result<()> {
    let helper = helper(cache)?;
    let programs = tree.join("usr/bin");
    fs::copy(&helper, programs.join("marker-helper"))?;
    executable(&programs.join("marker-init"), MARKER_INIT)?;
    fs::write(programs.join("marker-acts"), MARKER_ACTS)?;
    let image = tree.join("srv/image");
    for dir in ["old-dir", "gone-dir"] {
        fs::create_dir_all(image.join(dir))?;
    }
    for file in [
        "appended",
        "mode",
        "owner",
        "xattr",
        "old-file",
        "gone-file",
        "old-dir/file",
        "gone-dir/file",
    ] {
        fs::write(image.join(file), "of the image\n")?;
    }
    tool::run(
        Command::new(&helper)
            .arg("setxattr")
            .arg(image.join("xattr"))
            .args(["user.liveroot", "of-the-image"]),
    )
    .doing("setting an extended attribute in the tree")?;
    fs::create_dir_all(tree.join("home/user"))?;
    Ok(fs::write(tree.join("home/user/file"), "of the image\n")?)
}

/// Busybox's own init as `/usr/lib/busybox/init`, with its table.
pub fn install_busybox_init(tree: &Path) -> Result<()> {
    fs::create_dir_all(tree.join("usr/lib/busybox"))?;
    std::os::unix::fs::symlink("../../bin/busybox", tree.join("usr/lib/busybox/init"))?;
    Ok(fs::write(tree.join("etc/inittab"), INITTAB)?)
}

/// The unit that starts the marker init where words name acts.
pub fn install_unit(tree: &Path) -> Result<()> {
    let units = tree.join("etc/systemd/system");
    let wants = units.join("multi-user.target.wants");
    fs::create_dir_all(&wants)?;
    fs::write(units.join("marker.service"), UNIT)?;
    Ok(std::os::unix::fs::symlink(
        "../marker.service",
        wants.join("marker.service"),
    )?)
}

/// The host's e2fsck with its libraries, as `fsck.ext4`: what an image must bring so that
/// saved changes are checked.
pub fn install_fsck(tree: &Path) -> Result<()> {
    let program = Path::new("/sbin/e2fsck");
    let programs = tree.join("usr/bin");
    fs::copy(program, programs.join("e2fsck")).doing("copying /sbin/e2fsck")?;
    std::os::unix::fs::symlink("e2fsck", programs.join("fsck.ext4"))?;
    // `name => /path (address)`, and the loader as `/path (address)`.
    for line in tool::text(Command::new("ldd").arg(program))?.lines() {
        let Some(library) = line.split_whitespace().find(|word| word.starts_with('/')) else {
            continue;
        };
        let to = tree.join(library.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap_or(tree))?;
        fs::copy(library, &to).doing(format!("copying {library}"))?;
    }
    Ok(())
}
