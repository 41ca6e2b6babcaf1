//! The root of a live system in each form that media hold it in, as a file in the cache.

use crate::cache::{Cache, Key};
use crate::fail;
use crate::scenario::RootForm;
use crate::tool;
use crate::trees::{self, Tree};
use crate::trouble::Result;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

const RECIPE: &str = "roots 1";

/// Bytes of the file systems: XFS and btrfs are made no smaller. Holes take no room.
const EXT4_LENGTH: u64 = 48 << 20;
const XFS_LENGTH: u64 = 320 << 20;
const BTRFS_LENGTH: u64 = 128 << 20;

/// The image of the marker tree in this form.
pub fn image(cache: &Cache, form: RootForm) -> Result<PathBuf> {
    let tree = trees::marker_root(cache)?;
    let key = Key::of(&[RECIPE, form.name(), &tree.key.0]);
    let entry = cache.entry("roots", form.name(), &key, |dir| {
        make(&tree, form, dir, &dir.join("image"))
    })?;
    Ok(entry.join("image"))
}

fn make(tree: &Tree, form: RootForm, dir: &Path, to: &Path) -> Result<()> {
    let nested = match form {
        RootForm::Squashfs => return squashfs(&tree.path, to),
        RootForm::Erofs => {
            return tool::run(
                Command::new("mkfs.erofs")
                    .arg("-zlz4")
                    .arg(to)
                    .arg(&tree.path),
            );
        }
        RootForm::Ext4 => return ext4(&tree.path, to),
        RootForm::NestedExt4 => ext4,
        RootForm::NestedXfs => xfs,
        RootForm::NestedBtrfs => btrfs,
        RootForm::Tree | RootForm::Iso => fail!("{form:?} is no image of the tree"),
    };
    let content = dir.join("content");
    fs::create_dir_all(content.join("LiveOS"))?;
    nested(&tree.path, &content.join("LiveOS/rootfs.img"))?;
    squashfs(&content, to)?;
    Ok(fs::remove_dir_all(&content)?)
}

fn squashfs(tree: &Path, to: &Path) -> Result<()> {
    tool::run(
        Command::new("mksquashfs")
            .args([tree, to])
            .args(["-comp", "zstd", "-Xcompression-level", "3"])
            .args(["-noappend", "-quiet", "-no-progress"]),
    )
}

fn ext4(tree: &Path, to: &Path) -> Result<()> {
    File::create(to)?.set_len(EXT4_LENGTH)?;
    let mut command = Command::new("mkfs.ext4");
    command.args(["-q", "-F", "-L", "rootfs", "-d"]);
    tool::run(command.arg(tree).arg(to))
}

fn btrfs(tree: &Path, to: &Path) -> Result<()> {
    File::create(to)?.set_len(BTRFS_LENGTH)?;
    let mut command = Command::new("mkfs.btrfs");
    command.args(["-q", "-f", "-L", "rootfs", "--rootdir"]);
    tool::run(command.arg(tree).arg(to))
}

fn xfs(tree: &Path, to: &Path) -> Result<()> {
    File::create(to)?.set_len(XFS_LENGTH)?;
    tool::run(
        Command::new("mkfs.xfs")
            .args(["-q", "-f", "-L", "rootfs"])
            .arg(to),
    )?;
    fill_mounted(to, tree, "")
}

/// Copies `tree` into a file system that only the kernel can write to, then runs `more` with the
/// mount point as `$3`; in a mount namespace of its own, which takes the loop device with it.
pub fn fill_mounted(image: &Path, tree: &Path, more: &str) -> Result<()> {
    let at = image.with_extension("mounted");
    fs::create_dir_all(&at)?;
    let script =
        format!("mount -o loop \"$1\" \"$3\"; cp -a \"$2/.\" \"$3\"; {more}\numount \"$3\"");
    tool::run(
        Command::new("unshare")
            .args(["--mount", "--propagation", "private"])
            .args(["sh", "-euc", &script, "sh"])
            .args([image, tree, &at]),
    )?;
    Ok(fs::remove_dir(&at)?)
}
