//! The kernels that boots are tested on, one of each supported age, from Debian's suites.
//!
//! Unpacked without installing. The uncompressed ELF comes out of the bzImage by the setup
//! header (Documentation/arch/x86/boot.rst): QEMU enters it by its PVH note and saves the
//! self-extraction, most of a small boot.

use crate::apt::Apt;
use crate::cache::{Cache, Key};
use crate::fail;
use crate::tool;
use crate::trouble::{Result, Trouble, While};
use std::fs;
use std::path::{Path, PathBuf};

/// Changes when what is stored for a kernel changes.
const RECIPE: &str = "kernel 1";

/// Package names that carry a kernel's files; from Debian 14 on they are split.
const FAMILY: [&str; 4] = [
    "linux-image-",
    "linux-binary-",
    "linux-modules-",
    "linux-base-",
];

/// Name in scenarios, and the suite it comes from.
pub const KERNELS: [(&str, &str); 3] = [
    ("6.1", "bookworm"),
    ("6.12", "trixie"),
    ("testing", "testing"),
];

/// An unpacked kernel.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// As scenarios call it.
    pub name: String,
    /// `uname -r`.
    pub version: String,
    /// Holds `usr/lib/modules/VERSION`.
    pub tree: PathBuf,
    /// The bzImage.
    pub vmlinuz: PathBuf,
    /// The ELF in it.
    pub vmlinux: PathBuf,
    /// Packages and versions it came from.
    pub made_from: String,
}

/// Fetches a kernel, or finds it in the cache.
pub fn kernel(cache: &Cache, name: &str) -> Result<Kernel> {
    let Some((_, suite)) = KERNELS.iter().find(|(known, _)| *known == name) else {
        fail!(
            "no kernel {name:?}; there are {}",
            KERNELS.map(|(known, _)| known).join(", ")
        );
    };
    let key = Key::of(&[RECIPE, suite]);
    let entry = cache.entry("kernels", name, &key, |dir| make(dir, suite))?;
    let tree = entry.join("tree");
    let version = sole_name(&tree.join("usr/lib/modules"))?;
    Ok(Kernel {
        name: name.to_owned(),
        vmlinuz: entry.join("vmlinuz"),
        vmlinux: entry.join("vmlinux"),
        made_from: fs::read_to_string(entry.join("made-from"))?,
        tree,
        version,
    })
}

fn make(dir: &Path, suite: &str) -> Result<()> {
    let apt = Apt::open(suite)?;
    let family = apt.family("linux-image-amd64", &FAMILY)?;
    let names: Vec<String> = family
        .iter()
        .map(|(name, _)| name.clone())
        .filter(|name| name != "linux-image-amd64")
        .collect();
    let tree = dir.join("tree");
    apt.unpack(&names, &tree)?;
    // Older suites have `lib/modules`; one layout for all.
    let (old, new) = (tree.join("lib/modules"), tree.join("usr/lib/modules"));
    if old.is_dir() {
        fs::create_dir_all(tree.join("usr/lib"))?;
        fs::rename(&old, &new)?;
    }
    let version = sole_name(&new)?;
    let vmlinuz = [
        tree.join(format!("boot/vmlinuz-{version}")),
        new.join(&version).join("vmlinuz"),
    ]
    .into_iter()
    .find(|path| path.is_file())
    .ok_or_else(|| Trouble(format!("no vmlinuz in the packages {}", names.join(" "))))?;
    fs::copy(&vmlinuz, dir.join("vmlinuz"))?;
    extract_elf(&vmlinuz, &dir.join("vmlinux"))?;
    let lines: Vec<String> = family
        .iter()
        .map(|(name, version)| format!("{name} {version}\n"))
        .collect();
    fs::write(
        dir.join("made-from"),
        format!("{RECIPE}\n{}", lines.concat()),
    )?;
    Ok(())
}

/// The name of a directory's only entry.
fn sole_name(dir: &Path) -> Result<String> {
    let names: Vec<String> = fs::read_dir(dir)
        .doing(format!("reading {}", dir.display()))?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    match names.as_slice() {
        [one] => Ok(one.clone()),
        others => fail!(
            "{} should hold one version, not {}",
            dir.display(),
            others.len()
        ),
    }
}

/// Writes the ELF that a bzImage carries compressed.
pub fn extract_elf(vmlinuz: &Path, vmlinux: &Path) -> Result<()> {
    let image = fs::read(vmlinuz).doing(format!("reading {}", vmlinuz.display()))?;
    let (payload, program) = payload(&image).doing(vmlinuz.display())?;
    let packed = vmlinux.with_extension("packed");
    fs::write(&packed, payload)?;
    tool::shell(
        "\"$1\" -dcq <\"$2\" >\"$3\"",
        &[&program, &packed, &vmlinux],
    )?;
    fs::remove_file(&packed)?;
    Ok(())
}

/// The compressed ELF and the program that unpacks it. The last four bytes are its size.
fn payload(image: &[u8]) -> Result<(&[u8], &'static str)> {
    let word = |at: usize| {
        let bytes = image
            .get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok());
        bytes.map(|bytes| u32::from_le_bytes(bytes) as usize)
    };
    let no_bzimage = || Trouble("not a bzImage".into());
    if image.get(0x202..0x206) != Some(b"HdrS") {
        return Err(no_bzimage());
    }
    let sectors = match image[0x1f1] {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = (sectors + 1) * 512 + word(0x248).ok_or_else(no_bzimage)?;
    let length = word(0x24c).ok_or_else(no_bzimage)?.saturating_sub(4);
    let payload = image.get(start..start + length).ok_or_else(no_bzimage)?;
    match payload {
        [0xfd, b'7', b'z', ..] => Ok((payload, "xz")),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok((payload, "zstd")),
        _ => fail!("its kernel is packed by neither xz nor zstd"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_lies_behind_the_setup_sectors_and_without_its_size() {
        let mut image = vec![0u8; 4096];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x1f1] = 1;
        image[0x248] = 8;
        image[0x24c] = 12;
        image[1024 + 8..1024 + 12].copy_from_slice(&[0x28, 0xb5, 0x2f, 0xfd]);
        let (payload, program) = payload(&image).unwrap();
        assert_eq!((payload.len(), program), (8, "zstd"));
    }

    #[test]
    fn a_short_or_foreign_file_is_no_bzimage() {
        assert!(payload(b"MZ").is_err());
        assert!(payload(&[0; 1024]).is_err());
    }
}
