//! Boot media: what `liveroot build` makes of a tree, taken apart for direct boots, and
//! foreign media that only look right.

use crate::cache::{Cache, Key};
use crate::product::Product;
use crate::tool;
use crate::trees::Tree;
use crate::trouble::{Result, While};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

const RECIPE: &str = "media 2";

/// A medium in the cache.
#[derive(Clone, Debug)]
pub struct Medium {
    /// The ISO.
    pub iso: PathBuf,
    /// The unified kernel image's initramfs; absent on foreign media.
    pub initrd: PathBuf,
    /// The words baked into the unified kernel image.
    pub words: String,
}

/// How a medium is to be made.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// Short, for the cache.
    pub name: &'a str,
    /// Volume label.
    pub label: &'a str,
    /// Words added to the baked ones.
    pub append: &'a str,
}

/// `liveroot build` of a tree.
pub fn live(cache: &Cache, product: &Product, tree: &Tree, order: &Order) -> Result<Medium> {
    let key = Key::of(&[
        RECIPE,
        &product.key()?.0,
        &tree.key.0,
        order.label,
        order.append,
    ]);
    let entry = cache.entry("media", order.name, &key, |dir| {
        tool::run(
            Command::new(product.program())
                .arg("build")
                .arg(&tree.path)
                .arg("-o")
                .arg(dir.join("live.iso"))
                .args(["--label", order.label, "--append", order.append])
                .args(["--bios", "require"])
                .arg("--agent")
                .arg(product.agent()),
        )?;
        take_apart(dir)
    })?;
    let words = fs::read(entry.join("cmdline"))?;
    let words = String::from_utf8_lossy(&words)
        .trim_end_matches(['\0', '\n', ' '])
        .to_owned();
    Ok(Medium {
        iso: entry.join("live.iso"),
        initrd: entry.join("initrd"),
        words,
    })
}

/// Direct boots run the very initramfs and words that the firmware would have loaded.
fn take_apart(dir: &std::path::Path) -> Result<()> {
    let uki = dir.join("linux.efi");
    tool::run(
        Command::new("xorriso")
            .args(["-osirrox", "on", "-indev"])
            .arg(dir.join("live.iso"))
            .args(["-extract", "/EFI/liveroot/linux.efi"])
            .arg(&uki),
    )
    .doing("taking the unified kernel image out of the ISO")?;
    let section = |name: &str, file: &str| {
        let mut word = std::ffi::OsString::from(format!("{name}="));
        word.push(dir.join(file));
        word
    };
    tool::run(
        Command::new("objcopy")
            .arg("--dump-section")
            .arg(section(".initrd", "initrd"))
            .arg("--dump-section")
            .arg(section(".cmdline", "cmdline"))
            .arg(&uki)
            .arg(dir.join("rest")),
    )?;
    fs::remove_file(dir.join("rest"))?;
    Ok(fs::remove_file(&uki)?)
}

/// The same with a checksum for `rd.live.check`, and the byte at `spoil` changed after that.
pub fn implanted(cache: &Cache, medium: Medium, spoil: Option<u64>) -> Result<Medium> {
    let iso = Key::of_files(&[&medium.iso])?;
    let key = Key::of(&[RECIPE, "implanted", &iso.0, &format!("{spoil:?}")]);
    let entry = cache.entry("media", "implanted", &key, |dir| {
        let iso = dir.join("live.iso");
        fs::copy(&medium.iso, &iso)?;
        tool::run(Command::new("implantisomd5").arg("--force").arg(&iso))?;
        let Some(at) = spoil else { return Ok(()) };
        let file = fs::File::options().read(true).write(true).open(&iso)?;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at)?;
        Ok(file.write_all_at(&[!byte[0]], at)?)
    })?;
    Ok(Medium {
        iso: entry.join("live.iso"),
        ..medium
    })
}

/// An ISO with the right label and nothing else.
pub fn label_only(cache: &Cache, label: &str) -> Result<Medium> {
    let key = Key::of(&[RECIPE, "label only", label]);
    let entry = cache.entry("media", "label-only", &key, |dir| {
        let content = dir.join("content");
        fs::create_dir_all(content.join("documents"))?;
        fs::write(content.join("documents/readme.txt"), "Not what you seek.\n")?;
        tool::run(
            Command::new("xorriso")
                .args(["-as", "mkisofs", "-quiet", "-R", "-J", "-V", label, "-o"])
                .arg(dir.join("live.iso"))
                .arg(&content),
        )
    })?;
    Ok(Medium {
        iso: entry.join("live.iso"),
        initrd: entry.join("none"),
        words: String::new(),
    })
}
