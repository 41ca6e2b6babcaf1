//! The root file system that lies below the overlay: attaches and mounts an image, and the one
//! inside it, and looks for an init there. Nothing has a place in the tree yet.

use super::examine::{open_below, untouched};
use super::imagefile::{Holder, ImageFile};
use super::loader::Loader;
use super::machine::Machine;
use crate::layout::LIVE_DIR;
use crate::ondisk::FsKind;
use crate::plan::image::{Layout, decide_paths, is_packed};
use crate::plan::init::decide_inits;
use crate::sys::loopdev::{LoopDevice, attach_read_only};
use crate::sys::mount::{Access, Detached};
use rustix::fs::ResolveFlags;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The root file system, mounted.
#[derive(Debug)]
pub struct Lower {
    /// How it lies in what was found.
    pub layout: Layout,
    /// All of it.
    pub mount: Detached,
    /// What it is.
    pub fs: FsKind,
    /// The node that it is mounted from, and can be mounted from again.
    pub device: PathBuf,
    /// Holds that node, if it is a loop device, until the mount has its place.
    pub loop_device: Option<LoopDevice>,
    /// The packed image around it.
    pub outer: Option<Outer>,
    /// The image file inside a packed one.
    pub inner: Option<ImageFile>,
    /// The init that will be executed, as it was looked up.
    pub init: String,
    /// Where its links lead.
    pub init_resolved: String,
}

/// A packed image that holds another one.
#[derive(Debug)]
pub struct Outer {
    /// All of it.
    pub mount: Detached,
    /// Holds its node, if it is a loop device, until the mount has its place.
    pub loop_device: Option<LoopDevice>,
}

/// Mounts what an image holds.
///
/// # Errors
/// What can't be attached or mounted, or that there is no init; in words.
pub fn mount_image(
    machine: &Machine,
    loader: &Loader,
    image: &ImageFile,
    init: Option<&str>,
) -> Result<Lower, String> {
    let (mount, device, loop_device) = mount_file(machine, loader, image)?;
    let outer_at = match loop_device {
        Some(_) => machine.squashfs(),
        // Of a device: it is the medium.
        None => machine.live(),
    };
    let inner = match is_packed(image.fs) {
        true => {
            let paths = decide_paths(image.fs, LIVE_DIR, "");
            ImageFile::find(mount.root(), &paths, &outer_at)
                .map_err(|why| format!("{}: {why}", image.name))?
        }
        false => None,
    };
    let Some(mut inner) = inner else {
        let layout = match is_packed(image.fs) {
            true => Layout::Flat,
            false => Layout::Bare,
        };
        let lower = (layout, mount, image.fs, device);
        return Ok(Lower {
            loop_device,
            ..with_init(lower, init, "its image")?
        });
    };
    if image.holder == Holder::Memory {
        inner.holder = Holder::Memory;
    }
    let (root, device, inner_loop) = mount_file(machine, loader, &inner)?;
    let name = format!("its {} in {}", inner.name, image.name);
    let lower = (Layout::Nested, root, inner.fs, device);
    Ok(Lower {
        loop_device: inner_loop,
        outer: Some(Outer { mount, loop_device }),
        inner: Some(inner),
        ..with_init(lower, init, &name)?
    })
}

/// The medium's own file system as the root: mounted once more, for it keeps the medium's place
/// too.
///
/// # Errors
/// As of [`mount_image`].
pub fn mount_tree(node: &Path, fs: FsKind, init: Option<&str>) -> Result<Option<Lower>, String> {
    let mount = mount(node, fs)?;
    let lower = (Layout::Tree, mount, fs, node.to_owned());
    // Not to have an init is no more than to be no root.
    Ok(with_init(lower, init, "it").ok())
}

/// A loop device for a file; none for a device, which needs none.
fn mount_file(
    machine: &Machine,
    loader: &Loader,
    image: &ImageFile,
) -> Result<(Detached, PathBuf, Option<LoopDevice>), String> {
    let (device, loop_device) = match image.holder {
        Holder::Device => (image.place.clone(), None),
        Holder::Medium | Holder::Memory => {
            loader.need("loop");
            let attached = attach_read_only(&machine.dev, &image.file, &image.place);
            let loop_device = attached.map_err(|e| e.to_string())?;
            (loop_device.path.clone(), Some(loop_device))
        }
    };
    loader.need(&format!("fs-{}", image.fs.name()));
    let mount = mount(&device, image.fs);
    let mount = mount.map_err(|e| format!("{} can't be mounted: {e}", image.name))?;
    Ok((mount, device, loop_device))
}

/// Read-only; no journal is replayed.
fn mount(node: &Path, fs: FsKind) -> Result<Detached, String> {
    let device = node.to_string_lossy();
    let mount = Detached::mount(fs.name(), &device, Access::ReadOnly, &untouched(fs));
    mount.map_err(|e| e.to_string())
}

fn with_init(
    (layout, mount, fs, device): (Layout, Detached, FsKind, PathBuf),
    said: Option<&str>,
    what: &str,
) -> Result<Lower, String> {
    let (init, init_resolved) = find_init(&mount, said, what)?;
    Ok(Lower {
        layout,
        mount,
        fs,
        device,
        loop_device: None,
        outer: None,
        inner: None,
        init,
        init_resolved,
    })
}

/// The first init that can be executed, and where its links lead.
fn find_init(root: &Detached, said: Option<&str>, what: &str) -> Result<(String, String), String> {
    let tried = decide_inits(said);
    for path in &tried {
        let below = path.trim_start_matches('/');
        let Ok(fd) = open_below(root.root(), below, ResolveFlags::IN_ROOT) else {
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
    Err(format!("{what} has no {}", tried.join(", no ")))
}
