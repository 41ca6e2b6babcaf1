//! Gives the accepted medium and its image their places.

use super::examine::{Stack, keeps_barrier};
use super::failure::Failure;
use super::handoff::Handoff;
use super::machine::Machine;
use super::report::{ImageReport, InnerReport, Report};
use crate::sys::Error;
use crate::units::Bytes;
use std::path::Path;

/// The image in its place.
#[derive(Debug)]
pub struct Image {
    /// What is executed when the root stands.
    pub handoff: Handoff,
}

/// Attaches the medium at /run/initramfs/live, a packed image around the root's at
/// /run/initramfs/squashfs, the root's file system at /run/rootfsbase, and leaves the link
/// /run/initramfs/livedev.
pub fn attach(machine: &Machine, stack: Stack, report: &mut Report) -> Result<Image, Failure> {
    report.image = Some(report_image(machine, &stack));
    report.taken = stack.memory;
    let place = |mount: crate::sys::mount::Detached, at: &Path| {
        std::fs::create_dir_all(at).map_err(|e| Error::io("creating", at.display(), &e))?;
        mount.attach(at)
    };
    if let Some(host) = stack.host {
        host.attach(machine, report).map_err(Failure::Medium)?;
    }
    let lower = stack.lower;
    if let Some(medium) = stack.medium {
        place(medium, &machine.live()).map_err(Failure::Medium)?;
    }
    if let Some(outer) = lower.outer {
        place(outer.mount, &machine.squashfs()).map_err(Failure::Medium)?;
    }
    place(lower.mount, &machine.rootfsbase()).map_err(Failure::Medium)?;
    if let Some(barrier) = stack.barrier.filter(|_| keeps_barrier(stack.fs)) {
        barrier.keep();
    }
    let dir = machine.run.join("initramfs");
    let livedev = dir.join("livedev");
    let linked = std::fs::create_dir_all(dir)
        .and_then(|()| std::os::unix::fs::symlink(&stack.node, &livedev));
    if let Err(e) = linked {
        report.warn(format!("linking {}: {e}", livedev.display()));
    }
    if let Some(image) = &report.image {
        let (path, layout) = (&image.path, image.layout);
        let (size, id) = (Bytes(image.size), image.id.as_deref().unwrap_or("unknown"));
        let id = id.get(..12).unwrap_or(id);
        log::info!("image {path}: {}, {layout}, {size}, id {id}", image.fs);
    }
    Ok(Image {
        handoff: Handoff {
            init: lower.init,
            resolved: lower.init_resolved,
        },
    })
}

fn report_image(machine: &Machine, stack: &Stack) -> ImageReport {
    let lower = &stack.lower;
    let shown = |path: &Path| path.display().to_string();
    let inner = lower.inner.as_ref().map(|inner| InnerReport {
        path: inner.name.clone(),
        size: inner.size,
        fs: inner.fs.name(),
    });
    let outer = lower
        .outer
        .as_ref()
        .and_then(|outer| outer.loop_device.as_ref());
    ImageReport {
        path: match &stack.image {
            Some(image) => shown(&image.place),
            None => shown(&machine.live()),
        },
        size: stack.found.size,
        id: stack.found.id.as_ref().map(ToString::to_string),
        loop_device: outer
            .or(lower.loop_device.as_ref())
            .map(|device| shown(&device.path)),
        fs: stack
            .image
            .as_ref()
            .map_or(stack.fs, |image| image.fs)
            .name(),
        layout: lower.layout.name(),
        inner,
        device: shown(&lower.device),
    }
}
