//! Looks whether the image is really on a candidate: everything up to its mount, and
//! nothing that has a place in the tree yet. Dropped, it leaves no trace.

use super::gather::parse_manifest;
use super::isoscan::Host;
use super::loader::Loader;
use super::machine::Machine;
use super::probe::FileSource;
use crate::layout::MEDIUM_JSON;
use crate::ondisk::{FsKind, probe, squashfs};
use crate::plan::init::decide_inits;
use crate::plan::medium::Found;
use crate::sys::Error;
use crate::sys::block::{self, WriteBarrier};
use crate::sys::loopdev::{LoopDevice, attach_read_only};
use crate::sys::mount::{Access, Detached, MountOption};
use crate::units::Bytes;
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
}

/// A medium with its image mounted, detached.
#[derive(Debug)]
pub struct Stack {
    /// Node of the medium.
    pub node: PathBuf,
    /// Its file system.
    pub fs: FsKind,
    /// The medium's mount.
    pub medium: Detached,
    /// Behind the mount, so that it falls after it: a medium with a journal takes no writes.
    pub barrier: Option<WriteBarrier>,
    /// The image's mount.
    pub image: Detached,
    /// File system of the image.
    pub image_fs: FsKind,
    /// Holds the loop device until the image has its place.
    pub loop_device: LoopDevice,
    /// Where the links of init lead.
    pub init_resolved: String,
    /// For the search.
    pub found: Found,
    /// The disk that holds the ISO file which the medium is. The last to fall.
    pub host: Option<Host>,
}

/// Mounts the candidate and its image; the reason, as people read it, if that can't be.
pub fn examine(
    machine: &Machine,
    loader: &Loader,
    sought: &Sought,
    name: &str,
    fs: FsKind,
) -> Result<Stack, String> {
    let node = block::node(&machine.dev, name);
    let (medium, barrier) = mount_untouched(loader, &node, fs)?;
    let path = &sought.image_path;
    let file = open_below(medium.root(), path, ResolveFlags::BENEATH)
        .map_err(|e| match e {
            rustix::io::Errno::NOENT => format!("no {path}"),
            e => format!("{path}: {e}"),
        })
        .map(File::from)?;
    let (file, size, image_fs) = check_image(file, path)?;
    loader.need("loop");
    let label = machine.live().join(path);
    let loop_device = attach_read_only(&machine.dev, &file, &label).map_err(|e| e.to_string())?;
    loader.need(&format!("fs-{}", image_fs.name()));
    let device = loop_device.path.to_string_lossy();
    let image = Detached::mount(image_fs.name(), &device, Access::ReadOnly, &[])
        .map_err(|e| format!("{path} can't be mounted: {e}"))?;
    let (init, init_resolved) = find_init(&image, sought.init.as_deref())?;
    let id = read_id(&medium, &sought.live_dir);
    let found = Found { id, size, init };
    Ok(Stack {
        node,
        fs,
        medium,
        barrier,
        image,
        image_fs,
        loop_device,
        init_resolved,
        found,
        host: None,
    })
}

/// Options that keep a journal from being replayed; none for what has no journal.
pub fn no_replay(fs: FsKind) -> Option<MountOption> {
    match fs {
        FsKind::Ext => Some(MountOption::Flag("noload")),
        FsKind::Xfs | FsKind::F2fs => Some(MountOption::Flag("norecovery")),
        // The bare `nologreplay` went with Linux 6.16; this spelling is there since 5.9.
        FsKind::Btrfs => Some(MountOption::value("rescue", "nologreplay")),
        _ => None,
    }
}

/// A journalled file system may write even when it is mounted read-only: the block device
/// itself refuses, and takes writes again when the look is over.
pub fn raise_barrier(node: &Path, fs: FsKind) -> Result<Option<WriteBarrier>, i32> {
    match no_replay(fs) {
        None => Ok(None),
        Some(_) => {
            let device = block::open(node).map_err(|e| e.errno)?;
            WriteBarrier::raise(device).map(Some)
        }
    }
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
    let barrier = raise_barrier(node, fs).map_err(|e| {
        let doing = "making read-only for a look";
        Error::new(doing, node.display(), e).to_string()
    })?;
    let options: Vec<MountOption> = no_replay(fs).into_iter().collect();
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

/// An image is accepted by its own superblock and when it is as long as that says.
fn check_image(file: File, path: &str) -> Result<(File, u64, FsKind), String> {
    use crate::ondisk::ByteSource;
    let source = FileSource::new(file);
    let size = source.len();
    let fs = probe::probe_filesystem(&source).map_err(|e| format!("{path}: {e}"))?;
    let kind = match fs.map(|f| f.kind) {
        Some(kind @ (FsKind::Squashfs | FsKind::Erofs)) => kind,
        Some(other) => return Err(format!("{path} is {}, not squashfs or erofs", other.name())),
        None => return Err(format!("{path} ({}) is no file system image", Bytes(size))),
    };
    if let Ok(Some(superblock)) = squashfs::read_superblock(&source)
        && !superblock.fits(Bytes(size))
    {
        return Err(format!("{path} is cut short: {} are there", Bytes(size)));
    }
    Ok((source.into_file(), size, kind))
}

/// The first init of the image that can be executed, and where its links lead.
fn find_init(image: &Detached, said: Option<&str>) -> Result<(String, String), String> {
    let tried = decide_inits(said);
    for path in &tried {
        let Ok(fd) = open_below(
            image.root(),
            path.trim_start_matches('/'),
            ResolveFlags::IN_ROOT,
        ) else {
            continue;
        };
        let file = File::from(fd);
        let executable = file.metadata().is_ok_and(|m| {
            use std::os::unix::fs::PermissionsExt;
            m.is_file() && m.permissions().mode() & 0o111 != 0
        });
        if executable {
            // Of a detached mount the kernel shows the path below its root.
            let resolved = std::fs::read_link(crate::sys::process::fd_path(&file));
            let resolved = resolved
                .map(|p| p.to_string_lossy().into_owned())
                .unwrap_or_default();
            return Ok((path.clone(), resolved));
        }
    }
    Err(format!("its image has no {}", tried.join(", no ")))
}

/// The image's id as the medium claims it; foreign media claim none.
fn read_id(medium: &Detached, live_dir: &str) -> Option<crate::units::ImageId> {
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

/// Opens for reading; links never lead out of the mount.
pub fn open_below(
    root: impl AsFd,
    path: &str,
    resolve: ResolveFlags,
) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    openat2(
        root,
        path,
        flags,
        Mode::empty(),
        resolve | ResolveFlags::NO_MAGICLINKS,
    )
}
