//! `iso-scan/filename`: a disk of the user's that holds the medium as an ISO file. It is
//! looked at without a trace; the file becomes a loop device, which the search then takes for
//! a device like others.

use super::examine::{mount_untouched, open_below};
use super::loader::Loader;
use super::machine::Machine;
use super::report::Report;
use crate::ondisk::FsKind;
use crate::sys::Error;
use crate::sys::barrier::WriteBarrier;
use crate::sys::block;
use crate::sys::loopdev::{LoopDevice, attach_read_only};
use crate::sys::mount::Detached;
use rustix::fs::ResolveFlags;
use std::fs::File;
use std::path::PathBuf;

/// A disk that holds the file. Dropped, it leaves no trace.
#[derive(Debug)]
pub struct Host {
    /// Kernel name of the device.
    pub name: String,
    /// Its node.
    pub node: PathBuf,
    /// Over the file; held so that it stays attached. It falls before what it lies on.
    pub loop_device: LoopDevice,
    /// The device's mount, without a place.
    pub mount: Detached,
    /// Behind the mount, so that it falls after it.
    pub barrier: Option<WriteBarrier>,
}

/// Looks for the file `path` on a device; the reason, as people read it, when it is not there
/// or can't be used.
pub fn look(
    machine: &Machine,
    loader: &Loader,
    name: &str,
    fs: FsKind,
    path: &str,
) -> Result<Host, String> {
    let node = block::node(&machine.dev, name);
    let (mount, barrier) = mount_untouched(loader, &node, fs)?;
    let file = open_below(mount.root(), path, ResolveFlags::BENEATH).map_err(|e| match e {
        rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR => format!("no /{path}"),
        e => format!("/{path}: {e}"),
    })?;
    let file = File::from(file);
    if !file.metadata().is_ok_and(|meta| meta.is_file()) {
        return Err(format!("/{path} is no file"));
    }
    loader.need("loop");
    let label = machine.isoscan().join(path);
    let loop_device = attach_read_only(&machine.dev, &file, &label).map_err(|e| e.to_string())?;
    Ok(Host {
        name: name.to_owned(),
        node,
        loop_device,
        mount,
        barrier,
    })
}

impl Host {
    /// Gives the device its place, /run/initramfs/isoscan, and leaves the link
    /// /run/initramfs/isoscandev.
    pub fn attach(self, machine: &Machine, report: &mut Report) -> Result<(), Error> {
        let at = machine.isoscan();
        std::fs::create_dir_all(&at).map_err(|e| Error::io("creating", at.display(), &e))?;
        self.mount.attach(&at)?;
        if let Some(barrier) = self.barrier {
            barrier.keep();
        }
        let link = machine.run.join("initramfs/isoscandev");
        if let Err(e) = std::os::unix::fs::symlink(&self.node, &link) {
            report.warn(format!("linking {}: {e}", link.display()));
        }
        Ok(())
    }
}
