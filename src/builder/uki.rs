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
pub fn find_efi(tree: &Tree, name: &str) -> Result<PathBuf> {
    let host = Path::new("/").join(EFI_DIR).join(name);
    let found = tree
        .resolve(&format!("{EFI_DIR}/{name}"))
        .filter(|file| file.is_file());
    found
        .or_else(|| host.is_file().then_some(host))
        .ok_or_else(|| {
            Error::input(
                format!("/{EFI_DIR}/{name}"),
                "it is neither in the tree nor on this machine",
                "install it in either: systemd-boot-efi (Debian), systemd-boot-unsigned (Fedora)",
            )
        })
}

/// The stub of this build.
pub fn find_stub(tree: &Tree) -> Result<PathBuf> {
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
    stub: &Path,
    kernel: &Kernel,
    parts: &Sections,
    to: &Path,
) -> Result<()> {
    let bytes = std::fs::read(stub).map_err(Error::system("reading", stub))?;
    let layout = PeLayout::parse(&bytes)
        .filter(|pe| pe.machine == MACHINE_AMD64)
        .ok_or_else(|| {
            Error::input(
                stub.display(),
                "it is no EFI program for x86-64",
                "reinstall systemd's EFI programs",
            )
        })?;
    let sections: [(&str, &Path); 5] = [
        (".osrel", &parts.osrel),
        (".uname", &parts.uname),
        (".cmdline", &parts.cmdline),
        (".initrd", &parts.initrd),
        (".linux", &kernel.file),
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
