//! Making media: a tree becomes a payload, an initramfs, an EFI system partition, an ISO.
//!
//! [`build`] tells the story; each step is a file of the same name. Every byte is written
//! here and in `ondisk`, or copied from the tree or the host (systemd's stub and menu,
//! isolinux); mksquashfs runs, by `tool.rs`, only for who asks for it. Nothing here reads a
//! clock, chance, a locale or the order of a directory: the same input gives the same bytes.
#![forbid(unsafe_code)]

mod agent;
pub mod bios;
mod boot;
mod budget;
mod compress;
mod drivers;
mod efi;
mod error;
mod finish;
mod firmware;
pub mod implant;
mod initramfs;
mod kernel;
mod label;
mod left_out;
pub mod loopback;
mod manifest;
pub mod medium;
mod menu;
mod modules;
mod mounts;
mod options;
mod output;
pub mod pack;
mod payload;
mod scratch;
mod seal;
pub mod source;
pub mod squashfs;
mod survey;
mod tool;
mod tree;
pub mod unified;
pub mod verity;
pub mod volume;
mod watch;

pub use budget::Fit;
pub use drivers::Scope;
pub use error::{Error, Result};
pub use initramfs::Parts;
pub use menu::MenuEntry;
pub use options::{Options, Payload, SquashfsTool};
pub use output::{
    Bios, DirectoryShare, Duplicates, KernelOutcome, Outcome, Packing, SCHEMA, Sizes,
};
pub use watch::Watch;

use crate::layout::VERSION;
use crate::units::Label;
use boot::Boot;
use kernel::Kernel;
use scratch::Scratch;
use std::fs::File;
use std::path::Path;
use tool::Tools;
use tree::Tree;

/// Makes a medium. Whatever fails, nothing is left beside the output.
///
/// # Errors
/// What cannot be read, does not fit or cannot be booted; no space; a signal.
pub fn build(options: &Options, watch: &dyn Watch) -> Result<Outcome> {
    watch.phase("reading the tree");
    check_output(&options.output, &options.tree)?;
    let scratch = Scratch::beside(&options.output)?;
    let tree = Tree::open(&options.tree, options.owners, scratch.dir(), watch)?;
    warn_about_owner(&tree, watch);
    let input = gather_input(options, &tree, watch)?;
    let survey = survey::survey(tree.source())?;
    let epoch = survey::epoch(options.source_date_epoch.as_deref(), survey.newest)?;
    let tools = Tools {
        epoch,
        scratch: scratch.dir(),
        watch,
    };

    watch.phase("initramfs");
    let mut initramfs = match &input.agent {
        Some(agent) => initramfs::build(&tree, &input.kernel, agent, options.drivers, watch)?,
        None => initramfs::read_foreign(options.initrd.as_deref().unwrap_or(Path::new("")))?,
    };
    initramfs.append(&manifest::blank_segment()?);

    // All places before the payload are known now, and whether everything fits.
    let boot = Boot::gather(&tree, &input, options, epoch, watch)?;
    let (files, geometry) = {
        let unified = boot.unified(&initramfs.bytes)?;
        let geometry = boot.geometry(&unified, &initramfs, options.large_esp)?;
        (boot.medium_files(&unified)?, geometry)
    };
    let front = finish::plan(&boot, files, &input.label, epoch, tree.source().listing())?;
    let path = scratch.path("live.iso");
    let image = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path);
    let image = image.map_err(Error::system("making", &path))?;

    let payload = payload::write(
        &tools,
        &tree,
        options,
        input.sort.as_ref(),
        (&image, &path),
        front.payload_offset,
    )?;
    let manifest = manifest::describe(&payload, &input.label);
    let text = manifest::manifest_text(&manifest)?;
    initramfs.replace_last(&manifest::manifest_segment(&text)?);

    watch.phase("medium");
    let medium = finish::Medium {
        boot: &boot,
        front: &front,
        geometry,
        initramfs: &initramfs.bytes,
        manifest: &manifest,
        payload: payload.length,
        epoch,
    };
    let (layout, mut sizes) = medium.write(&image, &path, watch)?;
    watch.phase("checksum");
    implant::implant(&image, &path, watch)?;
    drop(image);
    publish(&path, &options.output, watch)?;

    payload::count(&payload, &mut sizes);
    sizes.tree = survey.bytes;
    sizes.kernel = input.kernel.image.len() as u64;
    sizes.initramfs = initramfs.size().0;
    sizes.iso = layout.length;
    sizes.structures = sizes.rest();
    let written = payload.written.as_ref();
    let bios = boot.bios.as_ref().map(|_| Bios {
        bytes: boot.iso.iter().map(|(_, bytes)| bytes.len() as u64).sum(),
    });
    Ok(Outcome {
        schema: SCHEMA,
        liveroot: VERSION,
        output: options.output.clone(),
        label: manifest.label,
        image_id: manifest.id,
        kernel: KernelOutcome {
            release: input.kernel.release.clone(),
            file: input.kernel.file.clone(),
        },
        words: input
            .entries
            .first()
            .map(|e| e.words.clone())
            .unwrap_or_default(),
        entries: input.entries.clone(),
        drivers: options.drivers,
        epoch,
        payload_offset: front.payload_offset,
        sizes,
        initramfs: initramfs.parts,
        squashfs: options.payload.packing(),
        root_hash: Some(payload.verity.root_hash.to_string()),
        bios,
        duplicates: written.map_or_else(Duplicates::default, |written| Duplicates {
            files: written.duplicates.0,
            bytes: written.duplicates.1.0,
        }),
        raw: written.map_or(0, |written| written.raw.0),
        directories: written.map_or_else(Vec::new, |written| {
            written
                .directories
                .iter()
                .map(DirectoryShare::from)
                .collect()
        }),
    })
}

/// All that can be found wrong before hours are spent.
#[derive(Debug)]
struct Input {
    label: Label,
    kernel: Kernel,
    /// Our agent, unless a foreign initramfs takes its place.
    agent: Option<Vec<u8>>,
    entries: Vec<MenuEntry>,
    stub: efi::EfiProgram,
    systemd_boot: efi::EfiProgram,
    /// Which files stand first in the payload.
    sort: Option<squashfs::Sort>,
}

fn gather_input(options: &Options, tree: &Tree, watch: &dyn Watch) -> Result<Input> {
    let label = match &options.label {
        Some(text) => label::check_label(text)?,
        None => label::default_label(
            tree.os_release("ID")?.as_deref(),
            tree.os_release("VERSION_ID")?.as_deref(),
        ),
    };
    let sort = options.payload.read_sort()?;
    let system = tree
        .os_release("PRETTY_NAME")?
        .unwrap_or_else(|| label.to_string());
    let entries = menu::entries(&label, options.append.as_deref(), &system)?;
    let kernel = Kernel::find(tree, options.kernel.as_deref(), watch)?;
    let agent = match &options.initrd {
        Some(_) => None,
        None => Some(agent::read_agent(options.agent.as_deref())?),
    };
    if options.payload.tool == SquashfsTool::Mksquashfs {
        tool::MKSQUASHFS.find()?;
    }
    let (stub, systemd_boot) = (
        efi::find_stub(tree)?,
        efi::find_efi(tree, efi::SYSTEMD_BOOT)?,
    );
    Ok(Input {
        label,
        kernel,
        agent,
        entries,
        stub,
        systemd_boot,
        sort,
    })
}

/// Owners go into the image as they are.
fn warn_about_owner(tree: &Tree, watch: &dyn Watch) {
    let root = tree.source().listing().inodes.first();
    let uid = root.map_or(0, |root| root.uid);
    if uid != 0 {
        watch.warn(&format!(
            "{} belongs to user {uid}, not to root, and so will / in the image (--all-root gives all to root)",
            tree.name()
        ));
    }
}

/// The output must be a file that is not part of the input.
fn check_output(output: &Path, tree: &Path) -> Result<()> {
    let refuse = |finding: &str, remedy: &str| Err(Error::input(output.display(), finding, remedy));
    if let Ok(meta) = std::fs::metadata(output)
        && !meta.is_file()
    {
        return refuse(
            "it exists and is no regular file",
            "name a file with -o; a stick is written in a second step",
        );
    }
    let parent = output
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if tree.as_os_str() == "-" {
        return Ok(());
    }
    if let (Ok(output), Ok(tree)) = (output.canonicalize(), tree.canonicalize())
        && output == tree
    {
        return refuse("it is the input", "name another output with -o");
    }
    let (parent, tree) = (parent.canonicalize(), tree.canonicalize());
    let lies_in = |dir: &Path| tree.is_ok_and(|tree| dir.starts_with(tree));
    if parent.is_ok_and(|dir| lies_in(&dir)) {
        return refuse(
            "it lies in the tree, and would become part of itself",
            "name an output outside the tree",
        );
    }
    Ok(())
}

/// Onto the disk, then under its name: whoever sees the file sees all of it.
fn publish(image: &Path, output: &Path, watch: &dyn Watch) -> Result<()> {
    let file = std::fs::File::open(image).map_err(Error::system("opening", image))?;
    file.sync_all().map_err(Error::system("writing", image))?;
    watch::check(watch)?;
    std::fs::rename(image, output).map_err(Error::system("renaming the finished image to", output))
}
