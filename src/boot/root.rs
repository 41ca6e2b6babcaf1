//! Stacks the root.

use super::dirs::UpperDirs;
use super::failure::Failure;
use super::loader::Loader;
use super::machine::Machine;
use super::report::{Report, RootReport};
use crate::layout::OVERLAY_SOURCE;
use crate::plan::root::{OVERLAY_OPTIONS, escape_layer};
use crate::sys::Error;
use crate::sys::mount::{Access, Detached, MountOption, shown_options};

/// Mounts the overlay at /sysroot.
pub fn mount(
    machine: &Machine,
    loader: &Loader,
    upper: &UpperDirs,
    report: &mut Report,
) -> Result<(), Failure> {
    loader.need("fs-overlay");
    // Before Linux 6.5 a comma in a value is refused; the links have none.
    let text = |path: &std::path::Path, link: &str| {
        let text = path.to_string_lossy().into_owned();
        match text.contains(',') {
            true => machine.run.join(link).display().to_string(),
            false => text,
        }
    };
    let mut lower = machine.rootfsbase().display().to_string();
    if let Some(readonly) = &upper.readonly {
        lower = format!("{}:{lower}", escape_layer(&text(readonly, "overlayfs-r")));
    }
    let mut options = vec![
        MountOption::value("lowerdir", lower),
        MountOption::value("upperdir", text(&upper.upper, "overlayfs")),
        MountOption::value("workdir", text(&upper.work, "ovlwork")),
    ];
    options.extend(OVERLAY_OPTIONS.map(|(key, value)| MountOption::value(key, value)));
    let root = Detached::mount("overlay", OVERLAY_SOURCE, Access::ReadWrite, &options)
        .map_err(Failure::Root)?;
    std::fs::create_dir_all(&machine.sysroot)
        .map_err(|e| Failure::Root(Error::io("creating", machine.sysroot.display(), &e)))?;
    root.attach(&machine.sysroot).map_err(Failure::Root)?;
    let shown: Vec<String> = options.iter().map(ToString::to_string).collect();
    report.root = Some(RootReport {
        source: OVERLAY_SOURCE,
        options: shown_options(&machine.proc, &machine.sysroot),
        asked: shown.join(","),
    });
    Ok(())
}
