//! What firmware starts: kernel, words and initramfs in one image, under a menu, in an EFI
//! system partition.

use super::esp::{self, EspFile};
use super::initramfs::Initramfs;
use super::manifest;
use super::menu;
use super::scratch::Scratch;
use super::tool::Tools;
use super::uki;
use super::{Input, Result, Tree, size_of};
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
        input.systemd_boot.clone(),
    )?];
    for (n, (path, text)) in menu::files(&input.entries).iter().enumerate() {
        files.push(EspFile::new(
            path,
            scratch.write(&format!("menu-{n}"), text.as_bytes())?,
        )?);
    }
    // Refused before it is made: objcopy takes its time.
    let kernel = Bytes(size_of(&input.kernel.file)?);
    let (microcode, rest) = (initramfs.parts.microcode, initramfs.size().0);
    let parts = [
        ("kernel", kernel),
        ("initramfs", Bytes(rest - microcode)),
        ("microcode", Bytes(microcode)),
        ("systemd-boot", files[0].size),
    ];
    let stub = EspFile {
        path: UKI_PATH.into(),
        from: image.clone(),
        size: Bytes(kernel.0 + rest + size_of(&input.stub)?),
    };
    esp::plan(&[files.clone(), vec![stub]].concat(), &parts)?;

    uki::write(tools, &input.stub, &input.kernel, &sections, &image)?;
    files.push(EspFile::new(UKI_PATH, image.clone())?);
    let size = esp::plan(&files, &parts)?;
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
