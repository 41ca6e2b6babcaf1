//! What firmware starts: kernel, words and initramfs in one image, under a menu, in an EFI
//! system partition.

use super::esp::{self, EspFile};
use super::initramfs::Initramfs;
use super::manifest;
use super::menu;
use super::scratch::Scratch;
use super::tool::Tools;
use super::uki;
use super::{Input, Result, Tree};
use crate::layout::UKI_PATH;
use crate::units::Bytes;
use std::path::PathBuf;

/// What firmware starts: the ESP, and the same files for the ISO's own tree.
#[derive(Clone, Debug)]
pub struct Boot {
    /// The unified kernel image.
    pub uki: PathBuf,
    /// The image of the EFI system partition.
    pub esp: PathBuf,
    /// Its files.
    pub files: Vec<EspFile>,
    /// SHA-256 of the kernel image.
    pub digest: [u8; 32],
}

/// What the image's identity will add to the initramfs, at most.
const IDENTITY: u64 = 4096;

/// Refuses what cannot fit, before the payload is packed, which takes the most time.
pub fn check_size(input: &Input, initramfs: &Initramfs) -> Result<()> {
    let file = |path: &str, size: u64| EspFile {
        path: path.to_owned(),
        from: PathBuf::new(),
        size: Bytes(size),
    };
    let menu = menu::files(&input.entries);
    let mut files: Vec<EspFile> = menu
        .iter()
        .map(|(path, text)| file(path, text.len() as u64))
        .collect();
    let kernel = (input.kernel.image.len() + input.stub.bytes.len()) as u64;
    let systemd_boot = input.systemd_boot.bytes.len() as u64;
    files.push(file("EFI/BOOT/BOOTX64.EFI", systemd_boot));
    files.push(file(UKI_PATH, kernel + initramfs.size().0 + IDENTITY));
    esp::plan(&files, &parts(input, initramfs)).map(drop)
}

/// How many microcode files a message names.
const NAMED: usize = 5;

/// What makes an ESP large, for the message; what belongs to a part is indented below it.
fn parts(input: &Input, initramfs: &Initramfs) -> Vec<(String, Bytes)> {
    let microcode = initramfs.parts.microcode;
    let mut parts = vec![
        ("kernel".to_owned(), Bytes(input.kernel.image.len() as u64)),
        (
            "initramfs".to_owned(),
            Bytes(initramfs.size().0 - microcode),
        ),
        ("microcode".to_owned(), Bytes(microcode)),
    ];
    let files = initramfs.microcode.iter().take(NAMED);
    parts.extend(files.map(|(path, size)| (format!("  {path}"), *size)));
    let menu = Bytes(input.systemd_boot.bytes.len() as u64);
    parts.push(("systemd-boot".to_owned(), menu));
    parts
}

/// Writes it.
pub fn write(
    tools: &Tools<'_>,
    scratch: &Scratch,
    tree: &Tree,
    input: &Input,
    initramfs: &Initramfs,
) -> Result<Boot> {
    let words = input
        .entries
        .first()
        .map(|e| e.words.as_str())
        .unwrap_or_default();
    let osrel = tree
        .read("etc/os-release")?
        .or(tree.read("usr/lib/os-release")?);
    let sections = uki::Sections {
        osrel: scratch.write(
            "os-release",
            &osrel.unwrap_or_else(|| b"ID=linux\nPRETTY_NAME=Linux\n".to_vec()),
        )?,
        uname: scratch.write("uname", input.kernel.release.as_bytes())?,
        cmdline: scratch.write("cmdline", words.as_bytes())?,
        initrd: scratch.write("initramfs", &initramfs.bytes)?,
    };
    let image = scratch.path("linux.efi");
    let mut files = vec![EspFile::new(
        "EFI/BOOT/BOOTX64.EFI",
        scratch.write("menu.efi", &input.systemd_boot.bytes)?,
    )?];
    for (n, (path, text)) in menu::files(&input.entries).iter().enumerate() {
        files.push(EspFile::new(
            path,
            scratch.write(&format!("menu-{n}"), text.as_bytes())?,
        )?);
    }
    uki::write(tools, &input.stub, &input.kernel, &sections, &image)?;
    files.push(EspFile::new(UKI_PATH, image.clone())?);
    let size = esp::plan(&files, &parts(input, initramfs))?;
    let (digest, _) = manifest::digest_file(&image, tools.watch)?;
    let id = u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]);
    let esp = scratch.path("esp.img");
    esp::write(tools, &files, size, id, &esp)?;
    Ok(Boot {
        uki: image,
        esp,
        files,
        digest,
    })
}
