//! The trees that are packed: a large Debian, many small files, files that cannot be
//! compressed, and files that are there four times. They stay in the cache.

use crate::apt::Apt;
use crate::cache::{Cache, Key};
use crate::fail;
use crate::tool;
use crate::trees;
use crate::trouble::{Result, While};
use std::fs::{self, File, FileTimes};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

const RECIPE: &str = "bench inputs 1";

/// What a desktop has beside the small system: a browser, a compiler, fonts, icons, libraries
/// of scripts. Unpacked only: no program of them runs.
const MORE: [&str; 10] = [
    "adwaita-icon-theme",
    "breeze-icon-theme",
    "firefox-esr",
    "fonts-noto-core",
    "g++-12",
    "gcc-12",
    "git",
    "libpython3.11-stdlib",
    "perl-modules-5.36",
    "vim-runtime",
];

/// The large tree has at least so many bytes in its files.
const LARGE: u64 = 1 << 30;

/// How many small files, the longest, and how many in a directory.
const SMALL_FILES: usize = 25_000;
const SMALL_LONGEST: u64 = 16 << 10;
const SMALL_TOGETHER: usize = 100;

/// Files of random bytes: how many, and the bytes of each. Not whole blocks.
const RANDOM_FILES: u64 = 48;
const RANDOM_LENGTH: usize = (4 << 20) + 12_345;

/// Bytes of files that are there four times, once.
const COPIED: u64 = 128 << 20;
const COPIES: [&str; 4] = ["a", "b", "c", "d"];

/// All dates of what is made here.
const DATE: u64 = 1_700_000_000;

/// Debian 12 as a desktop's root has it, at least 1 GiB, with a kernel.
pub fn debian(cache: &Cache) -> Result<PathBuf> {
    let small = trees::debian(cache)?;
    let key = Key::of(&[RECIPE, &small.key.0, &MORE.join(" ")]);
    let entry = cache.entry("trees", "debian12-large", &key, |dir| {
        let (tree, more) = (dir.join("tree"), dir.join("more"));
        // Contents are shared by hard links; nothing is ever written to them.
        tool::run(Command::new("cp").arg("-al").arg(&small.path).arg(&tree))?;
        let packages: Vec<String> = MORE.map(str::to_owned).to_vec();
        Apt::open("bookworm")?.unpack(&packages, &more)?;
        tool::run(
            Command::new("cp")
                .args(["-al", "--remove-destination"])
                .arg(more.join("usr/."))
                .arg(tree.join("usr/")),
        )?;
        fs::remove_dir_all(&more)?;
        let bytes: u64 = files(&tree)?.iter().map(|(_, size)| size).sum();
        if bytes < LARGE {
            fail!("its files have {bytes} bytes, and should have {LARGE}: name more packages");
        }
        Ok(())
    })?;
    Ok(entry.join("tree"))
}

/// 25,000 small files, each with the text of one of Debian's.
pub fn small(cache: &Cache) -> Result<PathBuf> {
    made(cache, "bench-small", |tree| {
        let fits = |(_, size): &(PathBuf, u64)| (64..=SMALL_LONGEST).contains(size);
        let sources: Vec<_> = files(&debian(cache)?)?.into_iter().filter(fits).collect();
        if sources.is_empty() {
            fail!("the Debian tree has no small files");
        }
        for number in 0..SMALL_FILES {
            let (source, _) = &sources[number % sources.len()];
            let mut bytes = fs::read(source).doing(format!("reading {}", source.display()))?;
            // A second round gives no duplicates.
            if number >= sources.len() {
                bytes.splice(0..0, format!("# {number}\n").into_bytes());
            }
            let dir = tree.join(format!("{:03}", number / SMALL_TOGETHER));
            write(&dir, &format!("{number:05}"), &bytes)?;
        }
        Ok(())
    })
}

/// Files that nothing makes smaller.
pub fn random(cache: &Cache) -> Result<PathBuf> {
    made(cache, "bench-random", |tree| {
        let mut state = 0x9e37_79b9_7f4a_7c15;
        for number in 0..RANDOM_FILES {
            write(
                tree,
                &format!("{number:02}"),
                &noise(&mut state, RANDOM_LENGTH),
            )?;
        }
        Ok(())
    })
}

/// A part of Debian's files once, for comparison, or four times.
pub fn copies(cache: &Cache, is_once: bool) -> Result<PathBuf> {
    let (name, copies) = match is_once {
        true => ("bench-once", &COPIES[..1]),
        false => ("bench-copies", &COPIES[..]),
    };
    made(cache, name, |tree| {
        let root = debian(cache)?;
        let mut left = COPIED;
        // From the large tree's every fifth file, so that it is a mixture.
        for (source, size) in files(&root)?.into_iter().step_by(5) {
            if size == 0 || size > left {
                continue;
            }
            left -= size;
            let bytes = fs::read(&source).doing(format!("reading {}", source.display()))?;
            let inside = source.strip_prefix(&root).unwrap_or(&source);
            let name = inside.to_string_lossy().replace('/', "-");
            let cut = name.len().saturating_sub(200);
            let name: String = name.chars().skip(cut).collect();
            for copy in copies {
                write(&tree.join(copy), &name, &bytes)?;
            }
        }
        Ok(())
    })
}

fn made(cache: &Cache, name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let key = Key::of(&[RECIPE, &trees::debian(cache)?.key.0, &MORE.join(" ")]);
    let entry = cache.entry("trees", name, &key, |dir| {
        let tree = dir.join("tree");
        fs::create_dir_all(&tree)?;
        make(&tree)
    })?;
    Ok(entry.join("tree"))
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    fs::create_dir_all(dir)?;
    let path = dir.join(name);
    let mut file = File::create(&path).doing(format!("making {}", path.display()))?;
    file.write_all(bytes)?;
    let date = UNIX_EPOCH + Duration::from_secs(DATE);
    Ok(file.set_times(FileTimes::new().set_modified(date))?)
}

/// Regular files below a directory and their lengths, sorted by path.
fn files(root: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).doing(format!("reading {}", dir.display()))? {
            let entry = entry?;
            let meta = entry.metadata()?;
            if meta.is_dir() {
                open.push(entry.path());
            } else if meta.is_file() {
                found.push((entry.path(), meta.len()));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Bytes without a pattern, always the same: xorshift64 (Marsaglia, 2003).
fn noise(state: &mut u64, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_even_and_always_the_same() {
        let bytes = noise(&mut 7, 100_003);
        assert_eq!(bytes, noise(&mut 7, 100_003));
        let mut counts = [0u32; 256];
        bytes
            .iter()
            .for_each(|byte| counts[usize::from(*byte)] += 1);
        assert!(counts.iter().all(|count| (290..500).contains(count)));
    }
}
