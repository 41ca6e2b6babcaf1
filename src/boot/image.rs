//! Gives the accepted medium and its image their places.

use super::examine::Stack;
use super::failure::Failure;
use super::handoff::Handoff;
use super::machine::Machine;
use super::report::{ImageReport, Report};
use crate::sys::Error;
use crate::units::Bytes;
use std::path::Path;

/// The image in its place.
#[derive(Debug)]
pub struct Image {
    /// What is executed when the root stands.
    pub handoff: Handoff,
}

/// Attaches the medium at /run/initramfs/live and the image at /run/rootfsbase, and leaves
/// the link /run/initramfs/livedev.
pub fn attach(machine: &Machine, stack: Stack, report: &mut Report) -> Result<Image, Failure> {
    let image_path = report_image(machine, &stack, report);
    let place = |mount: crate::sys::mount::Detached, at: &Path| {
        std::fs::create_dir_all(at).map_err(|e| Error::io("creating", at.display(), &e))?;
        mount.attach(at)
    };
    if let Some(host) = stack.host {
        host.attach(machine, report).map_err(Failure::Medium)?;
    }
    place(stack.medium, &machine.live()).map_err(Failure::Medium)?;
    place(stack.image, &machine.rootfsbase()).map_err(Failure::Medium)?;
    if let Some(barrier) = stack.barrier {
        barrier.keep();
    }
    let livedev = machine.run.join("initramfs/livedev");
    if let Err(e) = std::os::unix::fs::symlink(&stack.node, &livedev) {
        report.warn(format!("linking {}: {e}", livedev.display()));
    }
    let size = Bytes(stack.found.size);
    let id = stack.found.id.as_ref().map_or("unknown", |id| id.short());
    log::info!(
        "image {image_path}: {}, {size}, id {id}",
        stack.image_fs.name()
    );
    Ok(Image {
        handoff: Handoff {
            init: stack.found.init,
            resolved: stack.init_resolved,
        },
    })
}

fn report_image(machine: &Machine, stack: &Stack, report: &mut Report) -> String {
    let path = report.request.live_dir.clone() + "/" + &report.request.squashimg;
    let full = machine.live().join(path.trim_start_matches('/'));
    report.image = Some(ImageReport {
        path: full.display().to_string(),
        size: stack.found.size,
        id: stack.found.id.as_ref().map(ToString::to_string),
        loop_device: stack.loop_device.path.display().to_string(),
        fs: stack.image_fs.name().to_owned(),
    });
    path
}
