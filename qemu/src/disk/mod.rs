//! Files that are the drives of a machine: a medium, larger than its image if asked for,
//! with partitions behind it. No loop devices: each file system is made in a file of its
//! own and put in its place.

pub mod check;
mod content;
mod exfat;
mod make;

use crate::cache::Cache;
use crate::media::Medium;
use crate::scenario::{DriveSpec, FileSystem, PartitionSpec, Table};
use crate::tool;
use crate::trouble::{Result, Trouble, While};
use content::Facts;
use serde_json::Value;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bytes of a MiB.
const MIB: u64 = 1 << 20;

/// GPT types of `layout.rs`; the runner looks at liveroot from outside, and these are what
/// others will write.
const UPPER_TYPE: &str = "a6d1f2c4-5b0e-4c5e-9f3b-2f4c9e6d7a10";
const HOME_TYPE: &str = "a6d1f2c4-5b0e-4c5e-9f3b-2f4c9e6d7a11";
/// "Linux filesystem data" of sgdisk(8).
const LINUX_TYPE: &str = "0fc63daf-8483-4772-8e79-3d69d8477de4";

/// A stretch of a drive, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where it begins.
    pub start: u64,
    /// How long it is.
    pub length: u64,
}

impl Extent {
    /// What it holds.
    pub fn read(&self, file: &Path) -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.length)?];
        File::open(file)?
            .read_exact_at(&mut bytes, self.start)
            .doing(format!("reading {} at {}", file.display(), self.start))?;
        Ok(bytes)
    }
}

/// What it takes to make drives.
#[derive(Debug)]
pub struct Workshop<'a> {
    /// The medium called `live`.
    pub live: Option<&'a Medium>,
    /// The guests' helper, for what the host lacks too.
    pub helper: PathBuf,
    /// Where roots in their forms are.
    pub cache: &'a Cache,
}

impl Workshop<'_> {
    /// Makes the drive `spec` in the file `to`; `medium` is what is in it.
    pub fn make(&self, spec: &DriveSpec, medium: Option<&Medium>, to: &Path) -> Result<()> {
        let length = match medium {
            Some(medium) => {
                fs::copy(&medium.iso, to).doing(format!("copying {}", medium.iso.display()))?
            }
            None => File::create(to).map(|_| 0)?,
        };
        let length = spec.size.map_or(length, |size| size * MIB);
        OpenOptions::new().write(true).open(to)?.set_len(length)?;
        if spec.partitions.is_empty() {
            return Ok(());
        }
        let facts = match self.live {
            Some(live)
                if spec
                    .partitions
                    .iter()
                    .any(PartitionSpec::tells_of_the_medium) =>
            {
                content::facts(live)?
            }
            _ => Facts::default(),
        };
        match spec.table {
            _ if spec.bare => {}
            Table::Mbr => add_old_partitions(&spec.partitions, to)?,
            Table::Gpt => add_partitions(&spec.partitions, medium.is_some(), to)?,
        }
        for (partition, extent) in spec.partitions.iter().zip(ours(spec, to)?) {
            let file = to.with_extension("partition");
            make::file_system(partition, extent.length, &facts, self, &file)?;
            put(&file, to, extent)?;
            fs::remove_file(&file)?;
        }
        Ok(())
    }
}

fn add_partitions(partitions: &[PartitionSpec], behind_medium: bool, to: &Path) -> Result<()> {
    let mut command = Command::new("sgdisk");
    // The medium's spare table belongs at the end of the larger drive.
    command.arg(if behind_medium { "-e" } else { "-o" });
    // Otherwise it takes after the ISO's own partitions.
    command.arg("--set-alignment=2048");
    for partition in partitions {
        let kind = match partition.kind.as_str() {
            "upper" => UPPER_TYPE,
            "home" => HOME_TYPE,
            "linux" => LINUX_TYPE,
            guid => guid,
        };
        // Number 0 is "the next one": what follows refers to it in the same way.
        command.arg(format!("--new=0:0:+{}M", partition.size));
        command.arg(format!("--typecode=0:{kind}"));
        if let Some(name) = &partition.name {
            command.arg(format!("--change-name=0:{name}"));
        }
        if let Some(uuid) = &partition.uuid {
            command.arg(format!("--partition-guid=0:{uuid}"));
        }
    }
    tool::run(command.arg(to))
}

/// An MBR, and its partitions aligned as [`copy`] wants them.
fn add_old_partitions(partitions: &[PartitionSpec], to: &Path) -> Result<()> {
    let mut script = "label: dos\n".to_owned();
    for partition in partitions {
        let kind = match partition.fs {
            FileSystem::Vfat => "c",
            FileSystem::Exfat => "7",
            _ => "83",
        };
        script += &format!("size={}MiB, type={kind}\n", partition.size);
    }
    tool::shell(
        "printf '%s' \"$1\" | sfdisk --quiet \"$2\"",
        &[&script, &to],
    )
    .map(drop)
}

/// The extent of a partition; 0 is the whole drive.
pub fn extent(file: &Path, number: usize) -> Result<Extent> {
    let length = fs::metadata(file)?.len();
    if number == 0 {
        return Ok(Extent { start: 0, length });
    }
    let all = table(file)?;
    let found = number.checked_sub(1).and_then(|at| all.get(at));
    found
        .copied()
        .ok_or_else(|| Trouble(format!("{} has no partition {number}", file.display())))
}

/// The extents of what `spec` adds: what a guest may write to.
pub fn ours(spec: &DriveSpec, file: &Path) -> Result<Vec<Extent>> {
    if spec.partitions.is_empty() {
        return Ok(Vec::new());
    }
    if spec.bare {
        return Ok(vec![extent(file, 0)?]);
    }
    let mut all = table(file)?;
    Ok(all.split_off(all.len().saturating_sub(spec.partitions.len())))
}

/// All partitions of a drive, in the order of their numbers.
fn table(file: &Path) -> Result<Vec<Extent>> {
    let told: Value = serde_json::from_slice(&tool::output(
        Command::new("sfdisk").arg("--json").arg(file),
    )?)?;
    let sectors = |part: &Value, name: &str| part[name].as_u64().unwrap_or(0) * 512;
    let parts = told["partitiontable"]["partitions"].as_array();
    Ok(parts
        .into_iter()
        .flatten()
        .map(|part| Extent {
            start: sectors(part, "start"),
            length: sectors(part, "size"),
        })
        .collect())
}

/// Copies a file into a drive; holes stay holes.
fn put(from: &Path, to: &Path, extent: Extent) -> Result<()> {
    let seek = format!("seek={}", extent.start / MIB);
    copy(from, to, &[&seek])
}

/// Copies a partition out of a drive; holes become holes.
pub fn take(from: &Path, to: &Path, extent: Extent) -> Result<()> {
    let skip = format!("skip={}", extent.start / MIB);
    let count = format!("count={}", extent.length.div_ceil(MIB));
    copy(from, to, &[&skip, &count])
}

/// All extents that are copied begin at whole MiB: sgdisk was told to align them.
fn copy(from: &Path, to: &Path, words: &[&str]) -> Result<()> {
    tool::run(
        Command::new("dd")
            .arg(format!("if={}", from.display()))
            .arg(format!("of={}", to.display()))
            .args(["bs=1M", "conv=sparse,notrunc", "status=none"])
            .args(words),
    )
}
