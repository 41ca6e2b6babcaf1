//! One file system in a file: its maker's options, its content, its damage.

use super::Workshop;
use super::content::{self, Facts};
use super::exfat;
use crate::fail;
use crate::roots;
use crate::scenario::{Damage, FileSystem, PartitionSpec};
use crate::tool;
use crate::trouble::{Result, While};
use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::process::Command;

/// Makes the file system of `spec`, `length` bytes long, in the file `to`.
pub fn file_system(
    spec: &PartitionSpec,
    length: u64,
    facts: &Facts,
    workshop: &Workshop,
    to: &Path,
) -> Result<()> {
    if let (FileSystem::Image, Some(form)) = (spec.fs, spec.root) {
        fs::copy(roots::image(workshop.cache, form)?, to)?;
        let file = OpenOptions::new().write(true).open(to)?;
        if file.metadata()?.len() > length {
            fail!("the image is longer than its partition");
        }
        return Ok(file.set_len(length)?);
    }
    File::create(to)?.set_len(length)?;
    let root = to.with_extension("content");
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    fs::create_dir_all(&root)?;
    content::lay_out(spec, facts, &workshop.helper, &root)?;
    content::lay_out_root(spec, workshop, &root)?;
    let holds_something = fs::read_dir(&root)?.next().is_some();
    let mut mounted = String::new();
    match spec.fs {
        FileSystem::None | FileSystem::Image => {}
        FileSystem::Ext4 => ext4(spec, &root, to)?,
        FileSystem::Xfs => {
            run(spec, "mkfs.xfs", "-L", &["-q", "-f"], to)?;
            if spec.damage == Damage::Journal {
                // The log is written out, and nothing behind it (XFS_IOC_GOINGDOWN).
                mounted = "touch \"$3/dirty\"; xfs_io -x -c 'shutdown -f' \"$3\"".into();
            }
            if holds_something || !mounted.is_empty() {
                roots::fill_mounted(to, &root, &mounted)?;
            }
            if spec.damage == Damage::Journal {
                tool::shell("xfs_logprint -t \"$1\" | grep '<DIRTY>'", &[&to])
                    .doing("looking for a journal to replay")?;
            }
        }
        FileSystem::Btrfs => {
            let mut words = vec!["-q", "-f"];
            let content = root.to_string_lossy();
            if holds_something {
                words.extend(["--rootdir", &content]);
            }
            run(spec, "mkfs.btrfs", "-L", &words, to)?;
        }
        FileSystem::F2fs => {
            run(spec, "mkfs.f2fs", "-l", &["-q", "-f"], to)?;
            if holds_something {
                tool::run(Command::new("sload.f2fs").arg("-f").arg(&root).arg(to))?;
            }
        }
        FileSystem::Vfat => vfat(spec, &root, to)?,
        FileSystem::Exfat => {
            run(spec, "mkfs.exfat", "-L", &[], to)?;
            exfat::fill(&root, to)?;
        }
    }
    if spec.damage != Damage::None && spec.fs != FileSystem::Xfs {
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
        Damage::Journal => return journal(to),
    };
    for request in requests {
        tool::run(Command::new("debugfs").args(["-w", "-R", request]).arg(to))
            .doing("damaging an ext4")?;
    }
    Ok(())
}

/// Writes a transaction into the journal of an ext4: it puts zeros into a free block.
pub(super) fn journal(to: &Path) -> Result<()> {
    let script = "
        free=$(debugfs -R 'ffb 1' \"$1\" 2>/dev/null | sed -n 's/^Free blocks found: *//p')
        printf 'journal_open\njournal_write -b %s /dev/zero\njournal_close\n' $free >\"$1.requests\"
        debugfs -w -f \"$1.requests\" \"$1\"
        rm \"$1.requests\"
        dumpe2fs -h \"$1\" | grep needs_recovery
    ";
    tool::shell(script, &[&to])
        .map(drop)
        .doing("leaving a journal to replay")
}
