//! What must hold of drives between boots, seen from the host.

use super::{Extent, extent, ours, take};
use crate::fail;
use crate::glob;
use crate::machine::drive::Drive;
use crate::scenario::{Check, DriveSpec};
use crate::tool;
use crate::trouble::{Result, Trouble, While};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Parts of drives that this boot may not change, as they were before it.
#[derive(Debug, Default)]
pub struct Before {
    kept: Vec<Kept>,
}

#[derive(Debug)]
struct Kept {
    name: String,
    file: PathBuf,
    extent: Extent,
    bytes: Vec<u8>,
}

impl Before {
    /// Keeps all that lies outside of partitions made for writing, and what the checks name.
    pub fn look(specs: &[DriveSpec], drives: &[Drive], checks: &[Check]) -> Result<Before> {
        let mut before = Before::default();
        for (spec, drive) in specs.iter().zip(drives) {
            let Some(file) = drive.file.as_ref().filter(|_| drive.bus.is_disk()) else {
                continue;
            };
            if spec.written {
                continue;
            }
            let whole = extent(file, 0)?;
            for outside in outside(whole, &ours(spec, file)?) {
                before.keep(format!("drive {}", drive.id), file, outside)?;
            }
        }
        for at in checks.iter().filter_map(|check| check.same.as_ref()) {
            let (file, extent) = find(at, drives)?;
            before.keep(format!("partition {at}"), &file, extent)?;
        }
        Ok(before)
    }

    fn keep(&mut self, name: String, file: &Path, extent: Extent) -> Result<()> {
        self.kept.push(Kept {
            name,
            file: file.to_owned(),
            extent,
            bytes: extent.read(file)?,
        });
        Ok(())
    }

    /// Fails if any of it has changed.
    pub fn compare(&self) -> Result<()> {
        for kept in &self.kept {
            let now = kept.extent.read(&kept.file)?;
            if now == kept.bytes {
                continue;
            }
            let differ = |(old, new): (&u8, &u8)| old != new;
            if let Some(at) = kept.bytes.iter().zip(&now).position(differ) {
                fail!("the boot wrote to {}, first at byte {at} of it", kept.name);
            }
        }
        Ok(())
    }
}

/// The rest of `whole`, with `parts` in order.
fn outside(whole: Extent, parts: &[Extent]) -> Vec<Extent> {
    let mut rest = Vec::new();
    let mut start = whole.start;
    let end = whole.start + whole.length;
    for (upto, next) in parts
        .iter()
        .map(|part| (part.start, part.start + part.length))
        .chain([(end, end)])
    {
        if upto > start {
            rest.push(Extent {
                start,
                length: upto - start,
            });
        }
        start = next;
    }
    rest
}

/// Where `DRIVE:PARTITION` lies.
fn find(at: &str, drives: &[Drive]) -> Result<(PathBuf, Extent)> {
    let (id, number) = at.split_once(':').unwrap_or((at, "0"));
    let drive = drives.iter().find(|drive| drive.id == id);
    let Some(file) = drive.and_then(|drive| drive.file.clone()) else {
        fail!("no drive {id:?} with something in it")
    };
    let extent = extent(&file, number.parse()?)?;
    Ok((file, extent))
}

/// All that does not hold, in one error. `dir` is for copies of partitions.
pub fn run(checks: &[Check], drives: &[Drive], dir: &Path) -> Result<()> {
    let mut broken = Vec::new();
    for check in checks {
        if let Err(trouble) = run_one(check, drives, dir) {
            broken.push(trouble.0);
        }
    }
    if broken.is_empty() {
        return Ok(());
    }
    Err(Trouble(broken.join("\n")))
}

fn run_one(check: &Check, drives: &[Drive], dir: &Path) -> Result<()> {
    let copy_of = |at: &str| {
        let (file, extent) = find(at, drives)?;
        let copy = dir.join(format!("{}.copy", at.replace(':', "-")));
        let _ = fs::remove_file(&copy);
        take(&file, &copy, extent).map(|()| copy)
    };
    if let Some(at) = &check.clean {
        let copy = copy_of(at)?;
        is_clean(&copy).doing(format!("{at} is not clean"))?;
        fs::remove_file(copy)?;
    }
    if let Some(file) = &check.file {
        let Some((at, path)) = file.rsplit_once(':') else {
            fail!("{file:?} is not DRIVE:PARTITION:/PATH")
        };
        let copy = copy_of(at)?;
        let found = read_ext4(&copy, path)?;
        fs::remove_file(copy)?;
        match (&check.has, &found) {
            (Some(pattern), Some(text)) if glob::fits(pattern, text.trim_end()) => {}
            (None, None) => {}
            (_, Some(text)) => fail!("{file} holds {text:?}"),
            (_, None) => fail!("{file} is not there"),
        }
    }
    Ok(())
}

/// Text of a file on an ext4 that nobody has mounted; a directory has its names.
fn read_ext4(image: &Path, path: &str) -> Result<Option<String>> {
    let debugfs = |request: String| {
        // Also one with a journal to replay can be looked at (-c: no bitmaps).
        tool::text(
            Command::new("debugfs")
                .args(["-c", "-R", &request])
                .arg(image),
        )
    };
    let about = debugfs(format!("stat \"{path}\""))?;
    if about.contains("Type: directory") {
        return debugfs(format!("ls -p \"{path}\"")).map(Some);
    }
    if !about.contains("Type: ") {
        return Ok(None);
    }
    debugfs(format!("cat \"{path}\"")).map(Some)
}

/// Fails with what the file system's own tools say against it.
fn is_clean(image: &Path) -> Result<()> {
    let said =
        |program: &str, words: &[&str]| tool::text(Command::new(program).args(words).arg(image));
    let must_say = |text: &str, what: &str| {
        if text.contains(what) {
            return Ok(());
        }
        Err(Trouble(format!("no {what:?} in\n{}", tool::tail(text, 12))))
    };
    let kind = said("blkid", &["-p", "-o", "value", "-s", "TYPE"])?;
    match kind.trim() {
        "ext4" => {
            let about = said("dumpe2fs", &["-h"])?;
            let state = about
                .lines()
                .find_map(|line| line.strip_prefix("Filesystem state:"));
            if state.map(str::trim) != Some("clean") || about.contains("needs_recovery") {
                fail!("state {state:?}, or a journal to replay");
            }
            said("e2fsck", &["-f", "-n"]).map(drop)
        }
        "xfs" => {
            must_say(&said("xfs_logprint", &["-t"])?, "<CLEAN>")?;
            said("xfs_repair", &["-n"]).map(drop)
        }
        "btrfs" => {
            let about = said("btrfs", &["inspect-internal", "dump-super"])?;
            let words: Vec<&str> = about.split_whitespace().collect();
            must_say(&words.join(" "), "log_root 0 ")?;
            said("btrfs", &["check", "--readonly"]).map(drop)
        }
        "f2fs" => must_say(&said("fsck.f2fs", &["--dry-run"])?, "unmount"),
        "vfat" => said("fsck.vfat", &["-n"]).map(drop),
        other => fail!("it holds {other:?}, which has no check here"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_outside_of_partitions_is_all_the_rest() {
        let at = |start, length| Extent { start, length };
        assert_eq!(outside(at(0, 9), &[]), [at(0, 9)]);
        assert_eq!(
            outside(at(0, 9), &[at(2, 3), at(5, 2)]),
            [at(0, 2), at(7, 2)]
        );
        assert_eq!(outside(at(0, 9), &[at(0, 9)]), []);
    }

    #[test]
    fn a_byte_that_changed_is_noticed() {
        let dir = scratch("before");
        let file = dir.join("drive");
        fs::write(&file, [0; 4096]).unwrap();
        let drive = Drive::new("d0", crate::machine::drive::Bus::Usb, file.clone());
        let spec: DriveSpec = toml::from_str("bus = 'usb'").unwrap();
        let before = Before::look(&[spec], &[drive], &[]).unwrap();
        before.compare().unwrap();
        let mut changed = [0; 4096];
        changed[77] = 1;
        fs::write(&file, changed).unwrap();
        assert!(before.compare().unwrap_err().0.contains("byte 77"));
        fs::remove_dir_all(&dir).unwrap();
    }

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("liveroot-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn debugfs(image: &Path, request: &str) {
        tool::run(
            Command::new("debugfs")
                .args(["-w", "-R", request])
                .arg(image),
        )
        .unwrap();
    }

    #[test]
    fn a_journal_is_left_to_replay_and_replaying_it_changes_bytes() {
        let dir = scratch("journal");
        let image = dir.join("image");
        fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
        tool::run(Command::new("mkfs.ext4").arg("-q").arg(&image)).unwrap();
        super::super::make::journal(&image).unwrap();
        let before = fs::read(&image).unwrap();
        assert!(is_clean(&image).is_err());
        // Status 1: replayed.
        let _ = tool::run(Command::new("e2fsck").arg("-p").arg(&image));
        assert!(is_clean(&image).is_ok());
        assert!(fs::read(&image).unwrap() != before);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_clean_ext4_passes_and_one_with_errors_or_a_journal_to_replay_does_not() {
        let dir = scratch("clean");
        let image = dir.join("image");
        fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
        tool::run(Command::new("mkfs.ext4").arg("-q").arg(&image)).unwrap();
        is_clean(&image).unwrap();
        debugfs(&image, "feature needs_recovery");
        assert!(is_clean(&image).is_err());
        debugfs(&image, "feature -needs_recovery");
        is_clean(&image).unwrap();
        assert_eq!(read_ext4(&image, "/none").unwrap(), None);
        assert!(read_ext4(&image, "/lost+found").unwrap().is_some());
        debugfs(&image, "set_super_value state 2");
        assert!(is_clean(&image).is_err());
        fs::remove_dir_all(&dir).unwrap();
    }
}
