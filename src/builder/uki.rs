//! The unified kernel image: systemd's stub with kernel, words and initramfs as sections.
//!
//! Contract: the UKI specification and systemd-stub(7). Sections may not overlap in
//! memory, so their addresses follow from the lengths. The kernel stands last, as ukify
//! puts it: it is unpacked in place and grows.

use super::tool::{OBJCOPY, Tools};
use super::{Error, Kernel, Result, Tree};
use crate::ondisk::pe::{self, MACHINE_AMD64, PeLayout};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where systemd installs its EFI programs, in trees and on hosts.
const EFI_DIR: &str = "usr/lib/systemd/boot/efi";

/// The menu program.
pub const SYSTEMD_BOOT: &str = "systemd-bootx64.efi";
const STUB: &str = "linuxx64.efi.stub";

/// Finds one of systemd's EFI programs in the tree, else on the host.
pub fn find_efi(tree: &Tree, name: &str) -> Result<EfiProgram> {
    let path = format!("{EFI_DIR}/{name}");
    if let Some(bytes) = tree.read(&path)? {
        let from = tree.describe(&path);
        return Ok(EfiProgram { from, bytes });
    }
    let host = Path::new("/").join(path);
    if !host.is_file() {
        return Err(Error::input(
            host.display(),
            "it is neither in the tree nor on this machine",
            "install it in either: systemd-boot-efi (Debian), systemd-boot-unsigned (Fedora)",
        ));
    }
    Ok(EfiProgram {
        bytes: std::fs::read(&host).map_err(Error::system("reading", &host))?,
        from: host.display().to_string(),
    })
}

/// A program for UEFI.
#[derive(Clone, Debug)]
pub struct EfiProgram {
    /// Where it came from, for people.
    pub from: String,
    /// The program.
    pub bytes: Vec<u8>,
}

/// The stub of this build.
pub fn find_stub(tree: &Tree) -> Result<EfiProgram> {
    find_efi(tree, STUB)
}

/// Section contents, as files.
#[derive(Clone, Debug)]
pub struct Sections {
    /// os-release of the system.
    pub osrel: PathBuf,
    /// The kernel's release.
    pub uname: PathBuf,
    /// The kernel's words.
    pub cmdline: PathBuf,
    /// The initramfs.
    pub initrd: PathBuf,
}

/// Writes the image.
pub fn write(
    tools: &Tools<'_>,
    stub: &EfiProgram,
    kernel: &Kernel,
    parts: &Sections,
    to: &Path,
) -> Result<()> {
    let layout = PeLayout::parse(&stub.bytes)
        .filter(|pe| pe.machine == MACHINE_AMD64)
        .ok_or_else(|| {
            Error::input(
                &stub.from,
                "it is no EFI program for x86-64",
                "reinstall systemd's EFI programs",
            )
        })?;
    let scratch = |name: &str, bytes: &[u8]| {
        let path = tools.scratch.join(name);
        std::fs::write(&path, bytes).map_err(Error::system("writing", &path))?;
        Ok::<_, Error>(path)
    };
    let stub = scratch("stub.efi", &stub.bytes)?;
    let linux = scratch("linux", &kernel.image)?;
    let sections: [(&str, &Path); 5] = [
        (".osrel", &parts.osrel),
        (".uname", &parts.uname),
        (".cmdline", &parts.cmdline),
        (".initrd", &parts.initrd),
        (".linux", &linux),
    ];
    let mut lengths = Vec::new();
    for (_, file) in &sections {
        lengths.push(
            std::fs::metadata(file)
                .map_err(Error::system("looking at", file))?
                .len(),
        );
    }
    let mut words: Vec<OsString> = Vec::new();
    for ((name, file), vma) in sections.iter().zip(addresses(&layout, &lengths)) {
        let mut add = OsString::from(format!("{name}="));
        add.push(file);
        words.extend(["--add-section".into(), add, "--change-section-vma".into()]);
        words.push(format!("{name}={vma:#x}").into());
    }
    words.extend([stub.into(), to.into()]);
    tools.run(OBJCOPY, "joining kernel and initramfs", &words)?;
    set_date(to, tools.epoch)
}

/// Puts the build's date where objcopy wrote the clock.
fn set_date(image: &Path, epoch: u64) -> Result<()> {
    let mut bytes = std::fs::read(image).map_err(Error::system("reading", image))?;
    // The field has 32 bits, and counts from 1970 to 2106.
    pe::stamp(&mut bytes, epoch as u32).ok_or_else(|| {
        Error::input(
            image.display(),
            "objcopy made no EFI program of it",
            "use binutils 2.35 or newer",
        )
    })?;
    std::fs::write(image, bytes).map_err(Error::system("writing", image))
}

/// Addresses for sections of these lengths behind all that the stub has.
fn addresses(stub: &PeLayout, lengths: &[u64]) -> Vec<u64> {
    let align = stub.section_alignment.max(0x1000);
    let mut next = stub.end.next_multiple_of(align);
    let mut all = Vec::new();
    for len in lengths {
        all.push(stub.image_base + next);
        next = (next + len.max(&1)).next_multiple_of(align);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ondisk::pe::tests::sample;

    #[test]
    fn sections_follow_each_other_without_overlap_for_any_size() {
        let stub = PeLayout::parse(&sample(0x10_0000)).unwrap();
        let lengths = [300, 0, 90, 40 << 20, 70 << 20];
        let found = addresses(&stub, &lengths);
        assert_eq!(found[0], 0x10_5000);
        for n in 1..found.len() {
            assert!(found[n] >= found[n - 1] + lengths[n - 1].max(1));
            assert_eq!(found[n] % 0x1000, 0);
        }
    }
}
