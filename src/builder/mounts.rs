//! What is mounted in a tree: it would go into the image, and is hardly ever meant to.
//!
//! A mount is told by its id (statx(2), `STATX_MNT_ID`, Linux 5.8). That sees bind mounts of
//! the tree's own file system, which `st_dev` does not, and takes neither a btrfs subvolume
//! for a mount, whose `st_dev` differs, nor a TREE that is itself a mount point. Where kernel
//! or sandbox tell no ids, another `st_dev` counts if proc_pid_mountinfo(5) names the place.

use super::Error;
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, StatxFlags, statx};
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How many mounts a message names.
const NAMED: usize = 5;

/// Where a file lies, as far as the kernel tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the mount of this id.
    Mount(u64),
    /// On this device.
    Device(u64),
}

impl Place {
    /// Of a file in an open directory, or of that itself if `name` is empty; `device` is its
    /// `st_dev`.
    pub fn of(dir: impl AsFd, name: &Path, device: u64) -> Place {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::EMPTY_PATH;
        match statx(dir, name, flags, StatxFlags::MNT_ID) {
            Ok(found) if found.stx_mask & StatxFlags::MNT_ID.bits() != 0 => {
                Place::Mount(found.stx_mnt_id)
            }
            _ => Place::Device(device),
        }
    }
}

/// The mounts found while a tree is walked.
#[derive(Debug)]
pub struct Mounts {
    root: Place,
    /// Of this process; none where it cannot be read.
    table: Option<Vec<Mount>>,
    found: Vec<PathBuf>,
}

impl Mounts {
    /// For a tree whose root lies there.
    pub fn of(root: Place) -> Mounts {
        let table = std::fs::read("/proc/self/mountinfo").ok();
        Mounts {
            root,
            table: table.map(|text| parse(&text)),
            found: Vec::new(),
        }
    }

    /// Whether something is mounted at this path of the host, which is then remembered.
    pub fn notice(&mut self, path: &Path, place: Place) -> bool {
        let mounted = self.is_mount(path, place);
        if mounted {
            self.found.push(path.to_owned());
        }
        mounted
    }

    fn is_mount(&self, path: &Path, here: Place) -> bool {
        match (self.root, here) {
            (Place::Mount(root), Place::Mount(here)) => here != root,
            (Place::Device(root), Place::Device(here)) if here == root => false,
            // Without the table a subvolume cannot be told from a mount: the safe side.
            _ => self.table.is_none() || self.at(path).is_some(),
        }
    }

    /// What lies on top there.
    fn at(&self, path: &Path) -> Option<&Mount> {
        let mut all = self.table.iter().flatten().rev();
        all.find(|mount| mount.point == path)
    }

    /// Refuses a tree in which something was found.
    pub fn refuse(mut self, root: &Path) -> super::Result<()> {
        self.found.sort();
        let Some(first) = self.found.first() else {
            return Ok(());
        };
        let what = |path: &Path| match self.at(path) {
            Some(mount) => mount.to_string(),
            None => "something".to_owned(),
        };
        let mut finding = format!("{} is mounted there", what(first));
        for path in self.found.iter().skip(1).take(NAMED - 1) {
            let within = path.strip_prefix(root).unwrap_or(path);
            // Writing to a string does not fail.
            let _ = write!(finding, "; {} on /{}", what(path), within.display());
        }
        if self.found.len() > NAMED {
            let _ = write!(finding, "; and {} more", self.found.len() - NAMED);
        }
        Err(Error::input(
            first.display(),
            finding,
            format!(
                "unmount what is mounted below {}, or it ends up in the image; what belongs there, copy into it",
                root.display()
            ),
        ))
    }
}

/// A line of proc_pid_mountinfo(5).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    /// What part of the file system is mounted.
    root: PathBuf,
    point: PathBuf,
    fs: String,
    source: String,
}

impl std::fmt::Display for Mount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.root != Path::new("/") {
            write!(f, "{} of ", self.root.display())?;
        }
        match self.source.starts_with('/') {
            true => write!(f, "{} ({})", self.source, self.fs),
            false => write!(f, "{}", self.fs),
        }
    }
}

fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|byte| *byte == b'\n')
        .filter_map(parse_line)
        .collect()
}

/// Id, parent, device, root, point, options, optional fields, `-`, type, source, options.
fn parse_line(line: &[u8]) -> Option<Mount> {
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let behind = 6 + words.get(6..)?.iter().position(|word| *word == b"-")?;
    let path = |n: usize| {
        let bytes = unescape(words.get(n)?);
        Some(PathBuf::from(std::ffi::OsStr::from_bytes(&bytes)))
    };
    let text = |n: usize| Some(String::from_utf8_lossy(&unescape(words.get(n)?)).into_owned());
    Some(Mount {
        root: path(3)?,
        point: path(4)?,
        fs: text(behind + 1)?,
        source: text(behind + 2)?,
    })
}

/// Blanks and backslashes stand as a backslash and three octal digits.
fn unescape(word: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = word;
    while let [byte, more @ ..] = rest {
        let code = match more {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] if *byte == b'\\' => {
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            _ => None,
        };
        out.push(code.unwrap_or(*byte));
        rest = if code.is_some() { &more[3..] } else { more };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"30 1 254:0 / / rw shared:1 - ext4 /dev/vda rw\n\
        31 30 0:22 / /t/proc rw - proc proc rw\n\
        32 30 254:0 /var/cache /t/my\\040cache rw master:1 - ext4 /dev/vda rw\n";

    fn mounts(root: Place, table: Option<&[u8]>) -> Mounts {
        Mounts {
            root,
            table: table.map(parse),
            found: Vec::new(),
        }
    }

    #[test]
    fn what_is_mounted_is_said_with_its_source() {
        let mounts = mounts(Place::Mount(30), Some(TABLE));
        let what = |path: &str| mounts.at(Path::new(path)).map(ToString::to_string);
        assert_eq!(what("/t/proc").as_deref(), Some("proc"));
        assert_eq!(
            what("/t/my cache").as_deref(),
            Some("/var/cache of /dev/vda (ext4)")
        );
        assert_eq!(what("/t"), None);
    }

    #[test]
    fn mount_ids_decide_where_there_are_any() {
        let mounts = mounts(Place::Mount(30), Some(TABLE));
        assert!(mounts.is_mount(Path::new("/t/proc"), Place::Mount(31)));
        assert!(!mounts.is_mount(Path::new("/t/subvolume"), Place::Mount(30)));
    }

    #[test]
    fn without_ids_another_device_is_a_mount_only_if_the_table_has_it() {
        let known = mounts(Place::Device(1), Some(TABLE));
        assert!(known.is_mount(Path::new("/t/proc"), Place::Device(22)));
        assert!(!known.is_mount(Path::new("/t/subvolume"), Place::Device(22)));
        assert!(!known.is_mount(Path::new("/t/etc"), Place::Device(1)));
        let unknown = mounts(Place::Device(1), None);
        assert!(unknown.is_mount(Path::new("/t/subvolume"), Place::Device(22)));
        assert!(!unknown.is_mount(Path::new("/t/etc"), Place::Device(1)));
    }
}
