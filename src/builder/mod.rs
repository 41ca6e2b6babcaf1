//! Making media: a tree becomes a payload, an initramfs, an EFI system partition, an ISO.
//!
//! [`build`] tells the story; each step is a file of the same name. Whatever outside
//! programs still do is behind `tool.rs`, and each step's interface stays when our own
//! writer replaces its program. Nothing here reads a clock, chance, a locale or the order
//! of a directory: the same input gives the same bytes.
#![forbid(unsafe_code)]

mod agent;
mod boot;
mod compress;
mod drivers;
mod error;
mod esp;
mod firmware;
mod initramfs;
mod iso;
mod kernel;
mod label;
mod left_out;
mod manifest;
mod menu;
mod modules;
mod mounts;
mod output;
pub mod pack;
mod scratch;
pub mod source;
pub mod squashfs;
mod survey;
mod tool;
mod tree;
mod uki;
mod watch;

pub use drivers::Scope;
pub use error::{Error, Result};
pub use initramfs::Parts;
pub use menu::MenuEntry;
pub use output::{KernelOutcome, Outcome, SCHEMA, Sizes};
pub use watch::Watch;

use crate::layout::VERSION;
use crate::units::{Bytes, Label};
use kernel::Kernel;
use scratch::Scratch;
use source::Owners;
use std::path::{Path, PathBuf};
use tool::Tools;
use tree::Tree;

/// What is to be built, as the user said it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Root directory of a distribution, or a tar archive of one; `-` is standard input.
    pub tree: PathBuf,
    /// Whose the files of the image are.
    pub owners: Owners,
    /// The ISO to write.
    pub output: PathBuf,
    /// A kernel image in place of the tree's newest.
    pub kernel: Option<PathBuf>,
    /// Volume label.
    pub label: Option<String>,
    /// More kernel words.
    pub append: Option<String>,
    /// An agent in place of the one beside this program.
    pub agent: Option<PathBuf>,
    /// Which drivers go in.
    pub drivers: Scope,
    /// A foreign initramfs in place of ours.
    pub initrd: Option<PathBuf>,
    /// The value of SOURCE_DATE_EPOCH, if it is set.
    pub source_date_epoch: Option<String>,
}

/// Makes a medium. Whatever fails, nothing is left beside the output.
pub fn build(options: &Options, watch: &dyn Watch) -> Result<Outcome> {
    watch.phase("reading the tree");
    check_output(&options.output, &options.tree)?;
    let scratch = Scratch::beside(&options.output)?;
    let tree = Tree::open(&options.tree, options.owners, scratch.dir(), watch)?;
    warn_about_owner(&tree, watch);
    let input = gather_input(options, &tree, watch)?;
    let survey = survey::survey(tree.source())?;
    let epoch = survey::epoch(options.source_date_epoch.as_deref(), survey.newest)?;
    if tree.host_root().is_none() {
        return Err(squashfs::mksquashfs::not_yet(&tree));
    }
    let tools = Tools {
        epoch,
        scratch: scratch.dir(),
        watch,
    };
    let mut sizes = Sizes {
        tree: survey.bytes,
        ..Sizes::default()
    };

    watch.phase("initramfs");
    let mut initramfs = match &input.agent {
        Some(agent) => initramfs::build(&tree, &input.kernel, agent, options.drivers, watch)?,
        None => initramfs::read_foreign(options.initrd.as_deref().unwrap_or(Path::new("")))?,
    };

    boot::check_size(&input, &initramfs)?;

    watch.phase("payload");
    let payload = scratch.path("squashfs.img");
    sizes.payload = squashfs::mksquashfs::write(&tools, &tree, options.owners, &payload)?.0;
    watch.phase("image id");
    let manifest = manifest::describe(&payload, &input.label, watch)?;
    let text = manifest::manifest_text(&manifest)?;
    initramfs.append(&manifest::manifest_segment(&text)?);

    watch.phase("EFI system partition");
    let boot = boot::write(&tools, &scratch, &tree, &input, &initramfs)?;
    let manifest_file = scratch.write("liveroot.json", &text)?;
    sizes.kernel = input.kernel.image.len() as u64;
    sizes.initramfs = initramfs.size().0;
    sizes.uki = size_of(&boot.uki)?;
    sizes.esp = size_of(&boot.esp)?;

    watch.phase("ISO");
    check_space(&scratch, Bytes(sizes.payload + sizes.esp + 2 * sizes.uki))?;
    let mut files: Vec<_> = boot
        .files
        .into_iter()
        .map(|file| (file.path, file.from))
        .collect();
    files.push((iso::manifest_path(), manifest_file));
    let guid = guid(&manifest, &boot.digest);
    let plan = iso::IsoPlan {
        label: input.label.clone(),
        epoch,
        guid,
        esp: boot.esp,
        files,
        payload,
    };
    let image = scratch.path("live.iso");
    let payload_offset = iso::write(&tools, &plan, &image)?;
    sizes.iso = size_of(&image)?;
    publish(&image, &options.output, watch)?;

    Ok(Outcome {
        schema: SCHEMA,
        liveroot: VERSION,
        output: options.output.clone(),
        label: manifest.label,
        image_id: manifest.id,
        kernel: KernelOutcome {
            release: input.kernel.release,
            file: input.kernel.file,
        },
        words: input
            .entries
            .first()
            .map(|e| e.words.clone())
            .unwrap_or_default(),
        entries: input.entries,
        drivers: options.drivers,
        epoch,
        payload_offset,
        sizes,
        initramfs: initramfs.parts,
    })
}

/// All that can be found wrong before hours are spent.
struct Input {
    label: Label,
    kernel: Kernel,
    /// Our agent, unless a foreign initramfs takes its place.
    agent: Option<Vec<u8>>,
    entries: Vec<MenuEntry>,
    stub: uki::EfiProgram,
    systemd_boot: uki::EfiProgram,
}

fn gather_input(options: &Options, tree: &Tree, watch: &dyn Watch) -> Result<Input> {
    let label = match &options.label {
        Some(text) => label::check_label(text)?,
        None => label::default_label(
            tree.os_release("ID")?.as_deref(),
            tree.os_release("VERSION_ID")?.as_deref(),
        ),
    };
    let system = tree
        .os_release("PRETTY_NAME")?
        .unwrap_or_else(|| label.to_string());
    let entries = menu::entries(&label, options.append.as_deref(), &system)?;
    let kernel = Kernel::find(tree, options.kernel.as_deref(), watch)?;
    let agent = match &options.initrd {
        Some(_) => None,
        None => Some(agent::read_agent(options.agent.as_deref())?),
    };
    for tool in tool::ALL {
        tool.find()?;
    }
    let (stub, systemd_boot) = (
        uki::find_stub(tree)?,
        uki::find_efi(tree, uki::SYSTEMD_BOOT)?,
    );
    Ok(Input {
        label,
        kernel,
        agent,
        entries,
        stub,
        systemd_boot,
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

/// A GUID that two media share only if they are the same (RFC 9562, version 8).
fn guid(manifest: &crate::layout::ImageManifest, boot: &[u8; 32]) -> [u8; 16] {
    let digest = manifest::digest(&[
        b"liveroot disk",
        manifest.id.to_string().as_bytes(),
        manifest.label.as_bytes(),
        boot,
    ]);
    let mut guid = [0; 16];
    guid.copy_from_slice(&digest[..16]);
    // The first three fields are little-endian on disk: the version is in byte 7.
    guid[7] = guid[7] & 0x0f | 0x80;
    guid[8] = guid[8] & 0x3f | 0x80;
    guid
}

fn check_space(scratch: &Scratch, need: Bytes) -> Result<()> {
    match error::free_space(scratch.dir()) {
        Some(free) if free < need => Err(Error::no_space(scratch.dir(), Some(need))),
        _ => Ok(()),
    }
}

/// Onto the disk, then under its name: whoever sees the file sees all of it.
fn publish(image: &Path, output: &Path, watch: &dyn Watch) -> Result<()> {
    let file = std::fs::File::open(image).map_err(Error::system("opening", image))?;
    file.sync_all().map_err(Error::system("writing", image))?;
    watch::check(watch)?;
    std::fs::rename(image, output).map_err(Error::system("renaming the finished image to", output))
}

fn size_of(path: &Path) -> Result<u64> {
    Ok(std::fs::metadata(path)
        .map_err(Error::system("looking at", path))?
        .len())
}
