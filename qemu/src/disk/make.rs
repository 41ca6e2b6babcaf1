//! One file system in a file: its maker's options, its content, its damage.

use super::content::{self, Facts};
use crate::fail;
use crate::scenario::{Damage, FileSystem, PartitionSpec};
use crate::tool;
use crate::trouble::{Result, While};
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

/// Makes the file system of `spec`, `length` bytes long, in the file `to`.
pub fn file_system(
    spec: &PartitionSpec,
    length: u64,
    facts: &Facts,
    helper: &Path,
    to: &Path,
) -> Result<()> {
    File::create(to)?.set_len(length)?;
    let root = to.with_extension("content");
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    fs::create_dir_all(&root)?;
    content::lay_out(spec, facts, helper, &root)?;
    let holds_something = fs::read_dir(&root)?.next().is_some();
    match spec.fs {
        FileSystem::None => {}
        FileSystem::Ext4 => ext4(spec, &root, to)?,
        FileSystem::Xfs => run(spec, "mkfs.xfs", "-L", &["-q", "-f"], to)?,
        FileSystem::Btrfs => run(spec, "mkfs.btrfs", "-L", &["-q", "-f"], to)?,
        FileSystem::F2fs => run(spec, "mkfs.f2fs", "-l", &["-q", "-f"], to)?,
        FileSystem::Vfat => vfat(spec, &root, to)?,
    }
    if holds_something && !matches!(spec.fs, FileSystem::Ext4 | FileSystem::Vfat) {
        fail!("only ext4 and vfat are made with content");
    }
    if spec.damage != Damage::None {
        harm(spec.damage, to)?;
    }
    Ok(fs::remove_dir_all(&root)?)
}

/// A maker that is given nothing but a label.
fn run(spec: &PartitionSpec, maker: &str, label: &str, words: &[&str], to: &Path) -> Result<()> {
    if spec.fs_uuid.is_some() || spec.inodes.is_some() {
        fail!("{maker} is run without UUID and inodes");
    }
    let mut command = Command::new(maker);
    command.args(words);
    if let Some(text) = &spec.label {
        command.args([label, text]);
    }
    tool::run(command.arg(to))
}

fn ext4(spec: &PartitionSpec, root: &Path, to: &Path) -> Result<()> {
    let mut command = Command::new("mkfs.ext4");
    command.args(["-q", "-F", "-d"]).arg(root);
    if let Some(label) = &spec.label {
        command.args(["-L", label]);
    }
    if let Some(uuid) = &spec.fs_uuid {
        command.args(["-U", uuid]);
    }
    if let Some(inodes) = spec.inodes {
        command.args(["-N", &inodes.to_string()]);
    }
    tool::run(command.arg(to))
}

fn vfat(spec: &PartitionSpec, root: &Path, to: &Path) -> Result<()> {
    let mut command = Command::new("mkfs.vfat");
    if let Some(label) = &spec.label {
        command.args(["-n", label]);
    }
    if let Some(serial) = &spec.fs_uuid {
        command.args(["-i", serial]);
    }
    tool::run(command.arg(to))?;
    for entry in fs::read_dir(root)?.flatten() {
        tool::run(
            Command::new("mcopy")
                .arg("-s")
                .arg("-i")
                .arg(to)
                .arg(entry.path())
                .arg("::"),
        )?;
    }
    Ok(())
}

fn harm(damage: Damage, to: &Path) -> Result<()> {
    let requests: &[&str] = match damage {
        Damage::None => &[],
        // EXT2_ERROR_FS of fs/ext4/ext4.h.
        Damage::State => &["set_super_value state 2"],
        Damage::Small => &[
            "set_super_value state 2",
            "set_super_value free_blocks_count 7",
        ],
        // Without its root directory `e2fsck -p` asks for a person.
        Damage::Grave => &["set_super_value state 2", "clri <2>"],
    };
    for request in requests {
        tool::run(Command::new("debugfs").args(["-w", "-R", request]).arg(to))
            .doing("damaging an ext4")?;
    }
    Ok(())
}
