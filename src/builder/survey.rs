//! A walk over the whole tree before anything is written: what is mounted in it, what cannot
//! be read, and the date that stands for "now".

use super::mounts::Mounts;
use super::{Error, Result, Tree, Watch, watch};
use rustix::fs::{Access, AtFlags, CWD, accessat};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// First second of 1980, where FAT's dates begin.
const FAT_START: u64 = 315_532_800;
/// First second of 2100, so that every date fits each format.
const LATEST: u64 = 4_102_444_800;
/// How many unreadable files a message names.
const NAMED: usize = 5;

/// What the walk found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Bytes of all regular files.
    pub bytes: u64,
    /// Number of files of all kinds.
    pub files: u64,
    /// The newest modification time, seconds since 1970.
    pub newest: u64,
}

/// Walks the tree, without what `left_out` says (paths relative to the tree).
pub fn survey(tree: &Tree, left_out: &[PathBuf], watch: &dyn Watch) -> Result<Survey> {
    let mut found = Survey {
        bytes: 0,
        files: 0,
        newest: 0,
    };
    let root = fs::metadata(tree.root()).map_err(Error::system("looking at", tree.root()))?;
    let mut mounts = Mounts::of(tree, &root);
    let mut unreadable = Vec::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(dir) = todo.pop() {
        watch::check(watch)?;
        let on_host = tree.root().join(&dir);
        let Ok(entries) = fs::read_dir(&on_host) else {
            unreadable.push(dir);
            continue;
        };
        for entry in entries {
            let entry = entry.map_err(Error::system("listing", &on_host))?;
            let path = dir.join(entry.file_name());
            if left_out.contains(&path) {
                continue;
            }
            let meta = entry
                .metadata()
                .map_err(Error::system("looking at", &entry.path()))?;
            if mounts.notice(&entry.path(), &meta) {
                continue;
            }
            found.files += 1;
            found.newest = found.newest.max(u64::try_from(meta.mtime()).unwrap_or(0));
            if meta.is_dir() {
                todo.push(path);
            } else if meta.is_file() {
                found.bytes += meta.len();
                if !readable(&entry.path()) {
                    unreadable.push(path);
                }
            }
        }
    }
    mounts.refuse(tree)?;
    refuse_unreadable(tree, unreadable)?;
    Ok(found)
}

fn readable(path: &Path) -> bool {
    accessat(CWD, path, Access::READ_OK, AtFlags::EACCESS).is_ok()
}

/// mksquashfs would put empty files in their places.
fn refuse_unreadable(tree: &Tree, mut paths: Vec<PathBuf>) -> Result<()> {
    paths.sort();
    let Some(first) = paths.first() else {
        return Ok(());
    };
    let on = tree.root().join(first);
    let more: Vec<_> = paths
        .iter()
        .skip(1)
        .take(NAMED - 1)
        .map(|p| format!("/{}", p.display()))
        .collect();
    let finding = match (paths.len(), more.is_empty()) {
        (_, true) => "it cannot be read".to_owned(),
        (n, _) if n > NAMED => format!(
            "it cannot be read, nor {} and {} more",
            more.join(", "),
            n - NAMED
        ),
        _ => format!("it cannot be read, nor {}", more.join(", ")),
    };
    Err(Error::input(
        on.display(),
        finding,
        "build as the user who owns the tree, usually root",
    ))
}

/// The date of everything written: SOURCE_DATE_EPOCH where it is set
/// (reproducible-builds.org), else the newest date in the tree.
pub fn epoch(from_environment: Option<&str>, newest: u64) -> Result<u64> {
    let Some(text) = from_environment else {
        return Ok(newest.clamp(FAT_START, LATEST));
    };
    match text.parse::<u64>() {
        Ok(epoch) => Ok(epoch.clamp(FAT_START, LATEST)),
        Err(_) => Err(Error::input(
            "SOURCE_DATE_EPOCH",
            format!("{text:?} is no number of seconds since 1970"),
            "unset it, or set it as `date +%s` prints it",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_is_what_the_environment_says_else_the_newest_file() {
        assert_eq!(epoch(Some("1700000000"), 5).unwrap(), 1_700_000_000);
        assert_eq!(epoch(None, 1_600_000_000).unwrap(), 1_600_000_000);
        assert_eq!(epoch(None, 0).unwrap(), FAT_START);
        assert!(epoch(Some("yesterday"), 0).is_err());
    }
}
