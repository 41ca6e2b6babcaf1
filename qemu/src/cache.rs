//! Trees, kernels and media between runs: `${LIVEROOT_CACHE:-${XDG_CACHE_HOME:-~/.cache}/liveroot}`.
//!
//! An entry is a directory `KIND/NAME-KEY`, made under a temporary name and renamed, so that
//! it is whole or absent. KEY is a digest of all that it was made from.

use crate::fail;
use crate::trouble::{Result, Trouble, While};
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Kinds of which each change of liveroot makes new ones, and how many of a name are kept.
const MADE_ANEW: [&str; 2] = ["media", "dracut"];
const KEPT: usize = 4;

/// A digest of what something was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(pub String);

impl Key {
    /// Of several parts; their borders count.
    pub fn of<P: AsRef<[u8]>>(parts: &[P]) -> Key {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.as_ref().len() as u64).to_le_bytes());
            digest.update(part.as_ref());
        }
        Key(digest
            .finalize()
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect())
    }

    /// Of the content of files.
    pub fn of_files(paths: &[&Path]) -> Result<Key> {
        let read = |path: &&Path| fs::read(path).doing(format!("reading {}", path.display()));
        Ok(Key::of(
            &paths.iter().map(read).collect::<Result<Vec<_>>>()?,
        ))
    }
}

/// The cache's directory.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Where the environment says.
    pub fn open() -> Result<Cache> {
        let home = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let root = home("LIVEROOT_CACHE")
            .or_else(|| home("XDG_CACHE_HOME").map(|dir| dir.join("liveroot")))
            .or_else(|| home("HOME").map(|dir| dir.join(".cache/liveroot")))
            .ok_or_else(|| Trouble("no place for the cache: set LIVEROOT_CACHE".into()))?;
        Cache::at(root)
    }

    fn at(root: PathBuf) -> Result<Cache> {
        for dir in ["tmp", "locks"] {
            fs::create_dir_all(root.join(dir)).doing(format!("making {}", root.display()))?;
        }
        let root = fs::canonicalize(root)?;
        Ok(Cache { root })
    }

    /// The entry, made by `make` in an empty directory if it is not there. Of two runs that
    /// want the same one, the second waits for the first.
    pub fn entry(
        &self,
        kind: &str,
        name: &str,
        key: &Key,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let name_key = format!("{name}-{}", key.0);
        let entry = self.root.join(kind).join(&name_key);
        if !entry.is_dir() {
            let lock = self.root.join("locks").join(format!("{kind}-{name_key}"));
            let lock = File::create(&lock).doing(format!("locking {}", lock.display()))?;
            let _held = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
            if !entry.is_dir() {
                self.make(kind, &name_key, &entry, make)?;
            }
        }
        // The time of the last use decides what `prune` keeps.
        let _ = File::open(&entry).and_then(|dir| dir.set_modified(std::time::SystemTime::now()));
        if MADE_ANEW.contains(&kind) {
            self.prune(kind, name, &entry);
        }
        Ok(entry)
    }

    fn make(
        &self,
        kind: &str,
        name: &str,
        entry: &Path,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        let start = Instant::now();
        eprintln!("making {kind}/{name}");
        let scratch = self.root.join("tmp").join(format!("{kind}-{name}"));
        // Left by a run that was interrupted; the lock is ours, so nobody is at it.
        remove(&scratch)?;
        fs::create_dir_all(&scratch)?;
        if let Err(trouble) = make(&scratch) {
            remove(&scratch)?;
            fail!("making {kind}/{name}: {trouble}");
        }
        fs::create_dir_all(self.root.join(kind))?;
        fs::rename(&scratch, entry).doing(format!("putting {} in its place", entry.display()))?;
        eprintln!(
            "made {kind}/{name} in {:.1} s",
            start.elapsed().as_secs_f64()
        );
        Ok(())
    }

    /// Removes all but the entries of `name` used last.
    fn prune(&self, kind: &str, name: &str, in_use: &Path) {
        let Ok(list) = fs::read_dir(self.root.join(kind)) else {
            return;
        };
        let mut found: Vec<_> = list
            .flatten()
            .filter(|entry| {
                let entry = entry.file_name().to_string_lossy().into_owned();
                entry.rsplit_once('-').is_some_and(|(stem, _)| stem == name)
            })
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        found.sort();
        let excess = found.len().saturating_sub(KEPT);
        for (_, path) in found
            .into_iter()
            .take(excess)
            .filter(|(_, path)| path != in_use)
        {
            let _ = remove(&path);
        }
    }
}

/// `rm -rf`: a tree may hold directories that its own modes forbid to list.
fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).doing(format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> Cache {
        let root =
            std::env::temp_dir().join(format!("liveroot-cache-{name}-{}", std::process::id()));
        remove(&root).unwrap();
        Cache::at(root).unwrap()
    }

    #[test]
    fn borders_of_parts_change_the_key() {
        assert_ne!(Key::of(&["ab", "c"]), Key::of(&["a", "bc"]));
    }

    #[test]
    fn an_entry_is_made_once() {
        let cache = scratch("once");
        let key = Key::of(&["x"]);
        let first = cache
            .entry("k", "n", &key, |dir| Ok(fs::write(dir.join("f"), "1")?))
            .unwrap();
        let again = cache
            .entry("k", "n", &key, |_| panic!("made twice"))
            .unwrap();
        assert_eq!(first, again);
        assert_eq!(fs::read(again.join("f")).unwrap(), b"1");
        remove(&cache.root).unwrap();
    }

    #[test]
    fn what_failed_leaves_no_entry() {
        let cache = scratch("failed");
        let key = Key::of(&["x"]);
        let make = |dir: &Path| {
            fs::write(dir.join("half"), "")?;
            Err(Trouble("no space".into()))
        };
        assert!(cache.entry("k", "n", &key, make).is_err());
        let mut again = false;
        let made = cache.entry("k", "n", &key, |dir| {
            again = true;
            assert!(!dir.join("half").exists());
            Ok(())
        });
        assert!(made.is_ok() && again);
        remove(&cache.root).unwrap();
    }
}
