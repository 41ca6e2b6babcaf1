//! Looks whether the image is really on a candidate: everything up to its mount, and
//! nothing that has a place in the tree yet. Dropped, it leaves no trace.

use super::gather::parse_manifest;
use super::imagefile::{Holder, ImageFile};
use super::isoscan::Host;
use super::loader::Loader;
use super::lower::{self, Lower};
use super::machine::Machine;
use crate::layout::MEDIUM_JSON;
use crate::ondisk::FsKind;
use crate::plan::image::{decide_paths, describe_absent, is_packed, may_be_root};
use crate::plan::medium::Found;
use crate::sys::Error;
use crate::sys::barrier::WriteBarrier;
use crate::sys::block;
use crate::sys::mount::{Access, Detached, MountOption};
use crate::units::ImageId;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// What to look for on a candidate.
#[derive(Clone, Debug)]
pub struct Sought {
    /// `rd.live.dir`.
    pub live_dir: String,
    /// Path of the image on the medium.
    pub image_path: String,
    /// `init=`.
    pub init: Option<String>,
    /// Whether the words name the medium: then its own file system may be the root.
    pub named: bool,
}

/// A medium with its root file system mounted, detached.
#[derive(Debug)]
pub struct Stack {
    /// Node of the medium.
    pub node: PathBuf,
    /// Its file system.
    pub fs: FsKind,
    /// The medium's mount; none once it is released, or when a file of the initramfs is the
    /// image.
    pub medium: Option<Detached>,
    /// Behind the mount, so that it falls after it: a medium with a journal takes no writes.
    pub barrier: Option<WriteBarrier>,
    /// The image on it; none when its own file system is the root.
    pub image: Option<ImageFile>,
    /// The root file system.
    pub lower: Lower,
    /// For the search.
    pub found: Found,
    /// The disk that holds the ISO file which the medium is. The last to fall.
    pub host: Option<Host>,
    /// How much memory it lies in for good, bytes; 0 on a disk.
    pub memory: u64,
}

impl Stack {
    /// The device that it was mounted from lies in so many bytes of memory: what is in it needs no
    /// copy.
    pub fn lies_in_memory(&mut self, bytes: u64) {
        self.memory = bytes;
        let images = self.image.iter_mut().chain(&mut self.lower.inner);
        images.for_each(|image| image.holder = Holder::Memory);
    }
}

/// Mounts the candidate and its image; the reason, as people read it, if that can't be.
pub fn examine(
    machine: &Machine,
    loader: &Loader,
    sought: &Sought,
    name: &str,
    fs: FsKind,
) -> Result<Stack, String> {
    let node = block::known_node(&machine.sys, &machine.dev, name);
    let device = match is_packed(fs) {
        true => Some(ImageFile::of_device(&node)?),
        false => None,
    };
    let (medium, barrier, image, lower) = match device {
        Some(image) => {
            let init = sought.init.as_deref();
            let mut lower = lower::mount_image(machine, loader, &image, init)?;
            // What lies around the root is the medium.
            let medium = match lower.outer.take() {
                Some(outer) => outer.mount,
                None => mount_untouched(loader, &node, fs)?.0,
            };
            (medium, None, Some(image), lower)
        }
        None => {
            let (medium, barrier) = mount_untouched(loader, &node, fs)?;
            let (image, lower) = find_root(machine, loader, sought, (&node, fs, &medium))?;
            (medium, barrier, image, lower)
        }
    };
    let found = Found {
        // It says what the file beside it is, not what the medium is.
        id: image
            .as_ref()
            .and_then(|_| read_id(&medium, &sought.live_dir)),
        size: image.as_ref().map_or(0, |image| image.size),
        init: lower.init.clone(),
    };
    Ok(Stack {
        node,
        fs,
        medium: Some(medium),
        barrier,
        image,
        lower,
        found,
        host: None,
        memory: 0,
    })
}

/// An image on the medium, else the medium itself.
fn find_root(
    machine: &Machine,
    loader: &Loader,
    sought: &Sought,
    (node, fs, medium): (&Path, FsKind, &Detached),
) -> Result<(Option<ImageFile>, Lower), String> {
    let init = sought.init.as_deref();
    let paths = decide_paths(fs, &sought.live_dir, &sought.image_path);
    if let Some(image) = ImageFile::find(medium.root(), &paths, &machine.live())? {
        let lower = lower::mount_image(machine, loader, &image, init)?;
        return Ok((Some(image), lower));
    }
    let tree = may_be_root(sought.named, fs);
    let lower = match tree {
        true => lower::mount_tree(node, fs, init)?,
        false => None,
    };
    let lower = lower.ok_or_else(|| describe_absent(&paths, tree))?;
    Ok((None, lower))
}

/// Options that keep a journal from being replayed; none for what has no journal.
fn no_replay(fs: FsKind) -> Option<MountOption> {
    match fs {
        FsKind::Ext => Some(MountOption::Flag("noload")),
        FsKind::Xfs | FsKind::F2fs => Some(MountOption::Flag("norecovery")),
        // The bare `nologreplay` went with Linux 6.16; this spelling is there since 5.9.
        FsKind::Btrfs => Some(MountOption::value("rescue", "nologreplay")),
        _ => None,
    }
}

/// Options of a mount that only looks.
pub fn untouched(fs: FsKind) -> Vec<MountOption> {
    let mut options: Vec<MountOption> = no_replay(fs).into_iter().collect();
    if fs == FsKind::Xfs {
        // A clone of it may be mounted, or what was installed from an image that has its UUID.
        options.push(MountOption::Flag("nouuid"));
    }
    options
}

/// Whether the kernel's driver never writes, however it is mounted: then its device needs no
/// barrier. One on a disk would close the partitions too, and saved changes may be on one beside
/// a hybrid ISO.
fn never_writes(fs: FsKind) -> bool {
    is_packed(fs) || matches!(fs, FsKind::Iso9660 | FsKind::Udf)
}

/// A file system may write even when it is mounted read-only (a journal, a mark that it is in use):
/// the block device itself refuses, and takes writes again when the look is over.
pub fn raise_barrier(node: &Path, fs: FsKind) -> Result<Option<WriteBarrier>, Error> {
    match never_writes(fs) {
        true => Ok(None),
        false => WriteBarrier::raise(node).map(Some),
    }
}

/// Whether the device of a medium stays closed to writes: what would replay a journal when
/// somebody mounts it anew. Others may be mounted for writing later, by whoever wants that.
pub fn keeps_barrier(fs: FsKind) -> bool {
    no_replay(fs).is_some() || fs == FsKind::Ntfs
}

/// Mounts read-only, and so that no journal is replayed: it may be a disk of the user's.
pub fn mount_untouched(
    loader: &Loader,
    node: &Path,
    fs: FsKind,
) -> Result<(Detached, Option<WriteBarrier>), String> {
    let names: &[&str] = match fs {
        FsKind::Ntfs => &["ntfs3", "ntfs"],
        _ => &[fs.name()],
    };
    if fs == FsKind::Vfat {
        let code_pages = ["nls_cp437", "nls_ascii", "nls_iso8859_1", "nls_utf8"];
        code_pages.iter().for_each(|m| loader.need(m));
    }
    let barrier = raise_barrier(node, fs).map_err(|e| e.to_string())?;
    let options = untouched(fs);
    let mut last = format!("{}: the kernel has no driver for it", fs.name());
    for name in names {
        loader.need(&format!("fs-{name}"));
        match Detached::mount(name, &node.to_string_lossy(), Access::ReadOnly, &options) {
            Ok(mount) => return Ok((mount, barrier)),
            Err(e) if e.errno == libc::ENODEV => last = e.to_string(),
            Err(e) => return Err(e.to_string()),
        }
    }
    Err(last)
}

/// The image's id as the medium claims it; foreign media claim none.
fn read_id(medium: &Detached, live_dir: &str) -> Option<ImageId> {
    let path = format!("{live_dir}/{MEDIUM_JSON}");
    let fd = open_below(
        medium.root(),
        path.trim_start_matches('/'),
        ResolveFlags::BENEATH,
    )
    .ok()?;
    let mut text = Vec::new();
    File::from(fd).take(64 << 10).read_to_end(&mut text).ok()?;
    parse_manifest(&text).ok().map(|m| m.id)
}

/// How often a path with `..` in it is walked again: while anything is mounted or renamed in the
/// meantime, the kernel can't tell that it stays below, and says EAGAIN (openat2(2)). Disks are
/// mounted for a look at the same time as an image.
const WALKS: u32 = 1000;

/// Opens for reading; links never lead out of the mount.
pub fn open_below(
    root: impl AsFd,
    path: &str,
    resolve: ResolveFlags,
) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let resolve = resolve | ResolveFlags::NO_MAGICLINKS;
    let mut walks = 0;
    loop {
        match openat2(&root, path, flags, Mode::empty(), resolve) {
            Err(rustix::io::Errno::AGAIN) if walks < WALKS => walks += 1,
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn a_path_with_a_parent_is_found_while_others_rename() {
        let dir = std::env::temp_dir().join(format!("liveroot-walks-{}", std::process::id()));
        fs::create_dir_all(dir.join("usr/lib/busybox")).unwrap();
        fs::create_dir_all(dir.join("usr/bin")).unwrap();
        fs::write(dir.join("usr/bin/busybox"), "").unwrap();
        std::os::unix::fs::symlink("../../bin/busybox", dir.join("usr/lib/busybox/init")).unwrap();
        let (one, other) = (dir.join("one"), dir.join("other"));
        fs::create_dir_all(&one).unwrap();
        let root = File::open(&dir).unwrap();
        let done = AtomicBool::new(false);
        let lost = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    // Directories: only they take the lock of all renames.
                    let _ = fs::rename(&one, &other).and_then(|()| fs::rename(&other, &one));
                }
            });
            let walk =
                |_: &u32| open_below(&root, "usr/lib/busybox/init", ResolveFlags::IN_ROOT).is_err();
            let lost = (0..20_000).filter(walk).count();
            done.store(true, Ordering::Relaxed);
            lost
        });
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(lost, 0);
    }
}
