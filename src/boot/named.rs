//! A medium that is named by a path, and so needs no search: a file of the initramfs (an image
//! or an ISO), or the file or device that dracut's step was given.

use super::examine::{self, Sought, Stack};
use super::imagefile::{Holder, ImageFile};
use super::loader::Loader;
use super::lower;
use super::machine::Machine;
use super::probe::FileSource;
use super::report::MediumReport;
use super::within::within;
use crate::ondisk::{FsFacts, FsKind, probe};
use crate::plan::image::is_medium;
use crate::plan::medium::{Found, Wanted};
use crate::request::DeviceSpec;
use crate::sys::loopdev::{self, attach_read_only};
use crate::sys::{block, memory};
use crate::units::Label;
use std::fs::{File, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What was found at a path.
#[derive(Debug)]
pub struct Named {
    /// Kernel name of the medium's device; of an image file its path.
    pub name: String,
    /// What was mounted from it.
    pub stack: Stack,
    /// For the report.
    pub medium: MediumReport,
}

/// A path below /dev that leads nowhere is that of a device which may still come.
pub fn settle(machine: &Machine, mut wanted: Wanted) -> Wanted {
    if let Some(DeviceSpec::Path(path)) = &wanted.spec
        && path.starts_with("/dev/")
        && !place(machine, path).exists()
    {
        wanted.spec = DeviceSpec::parse(path.as_bytes());
    }
    wanted
}

/// Mounts what the path leads to: a disk, or a server, that may hang.
///
/// # Errors
/// That nothing is there, what is there instead of an image, or that it did not answer within
/// `limit`; in words.
pub fn examine(
    machine: &Machine,
    loader: &Loader,
    sought: &Sought,
    path: &str,
    limit: Duration,
) -> Result<Named, String> {
    let (machine, loader, sought) = (machine.clone(), loader.clone(), sought.clone());
    let at = path.to_owned();
    let named = within(limit, move || mount(&machine, &loader, &sought, &at));
    named.map_err(|why| format!("{path}: {why}"))?
}

fn mount(machine: &Machine, loader: &Loader, sought: &Sought, path: &str) -> Result<Named, String> {
    let at = place(machine, path);
    let fail = |e: std::io::Error| format!("{path}: {e}");
    let metadata = at.metadata().map_err(fail)?;
    let device = device_name(machine, &metadata);
    if device.is_none() && !metadata.is_file() {
        return Err(format!("{path} is neither a file nor a block device"));
    }
    let source = FileSource::new(File::open(&at).map_err(fail)?);
    let facts = probe::probe_filesystem(&source).map_err(|e| format!("{path}: {e}"))?;
    let fs = facts.as_ref().map(|f| f.kind);
    let file = source.into_file();
    let (name, stack) = match (device, fs) {
        (Some(_), None) => return Err(format!("{path} has no file system that is known here")),
        (Some(name), Some(fs)) => {
            drop(file);
            let stack = examine::examine(machine, loader, sought, &name, fs);
            let mut stack = stack.map_err(|why| format!("{path}: {why}"))?;
            if let Some(bytes) = backing_in_memory(machine, &name) {
                stack.lies_in_memory(bytes);
            }
            (name, stack)
        }
        (None, Some(fs)) if is_medium(path, fs) => {
            attach_medium(machine, loader, sought, (&file, path, fs))?
        }
        (None, _) => (
            path.to_owned(),
            mount_image(machine, loader, sought, (file, path))?,
        ),
    };
    let medium = report_medium(&stack, facts.as_ref(), path);
    Ok(Named {
        name,
        stack,
        medium,
    })
}

/// Where it is on this machine.
fn place(machine: &Machine, path: &str) -> PathBuf {
    match path.strip_prefix("/dev/") {
        Some(node) => machine.dev.join(node),
        None => machine.root.join(path.trim_start_matches('/')),
    }
}

/// The kernel's name of a block device, however the node is called.
fn device_name(machine: &Machine, metadata: &Metadata) -> Option<String> {
    let is_block = metadata.file_type().is_block_device();
    is_block.then(|| block::name(&machine.sys, metadata.rdev()))?
}

/// Length of the file in memory that a loop device is over, as livenet's over the ISO that it
/// fetched. A file without a name, or with one that another root made, is taken for another.
fn backing_in_memory(machine: &Machine, name: &str) -> Option<u64> {
    let facts = block::read_facts(&machine.sys, name);
    let disk = facts.and_then(|facts| facts.parent);
    let backing = loopdev::backing(&machine.sys, disk.as_deref().unwrap_or(name));
    let file = File::open(backing?).ok()?;
    memory::holds(&file).then(|| block::length(&file))
}

/// An ISO: a loop device makes it a medium like others.
fn attach_medium(
    machine: &Machine,
    loader: &Loader,
    sought: &Sought,
    (file, path, fs): (&File, &str, FsKind),
) -> Result<(String, Stack), String> {
    loader.need("loop");
    let attached = attach_read_only(&machine.dev, file, Path::new(path));
    let attached = attached.map_err(|e| e.to_string())?;
    let name = attached.path.file_name().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    let mut stack = examine::examine(machine, loader, sought, &name, fs)
        .map_err(|why| format!("{path}: {why}"))?;
    if memory::holds(file) {
        stack.lies_in_memory(block::length(file));
    }
    Ok((name, stack))
}

/// A file that is the image: there is no medium.
fn mount_image(
    machine: &Machine,
    loader: &Loader,
    sought: &Sought,
    (file, path): (File, &str),
) -> Result<Stack, String> {
    let holder = Holder::of_file(&file);
    let image = ImageFile::take(file, path, path.into(), holder)?;
    let lower = lower::mount_image(machine, loader, &image, sought.init.as_deref())?;
    Ok(Stack {
        node: path.into(),
        fs: image.fs,
        medium: None,
        barrier: None,
        found: Found {
            id: None,
            size: image.size,
            init: lower.init.clone(),
        },
        memory: match holder {
            Holder::Memory => image.size,
            _ => 0,
        },
        image: Some(image),
        lower,
        host: None,
    })
}

fn report_medium(stack: &Stack, facts: Option<&FsFacts>, path: &str) -> MediumReport {
    MediumReport {
        device: stack.node.display().to_string(),
        fs: stack.fs.name().to_owned(),
        label: facts.and_then(|f| f.label.as_ref()).map(Label::to_string),
        uuid: facts.and_then(|f| f.uuid.clone()),
        why: format!("named by its path, {path}"),
        iso: None,
        released: false,
    }
}
