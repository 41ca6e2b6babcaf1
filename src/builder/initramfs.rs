//! The initramfs: four archives behind each other, each starting at a multiple of four.
//!
//! 1. microcode, not compressed, for the kernel's early loader;
//! 2. agent, index files and firmware, compressed as a whole, since every boot needs them;
//! 3. the modules, not compressed as a whole: each is a zstd file of its own, against a
//!    dictionary of what they have in common, which lies with the agent;
//! 4. `liveroot/image.json`, so that it can be replaced or appended elsewhere.

use super::firmware::{self, Firmware};
use super::modules::{self, Indexes, Packed, PackedModule};
use super::{Error, Kernel, Result, Scope, Tree, Watch, compress, drivers};
use crate::layout::{MODULE_DICTIONARY, VERSION};
use crate::ondisk::cpio::{Archive, TooLarge};
use crate::units::Bytes;
use std::path::Path;

/// An initramfs without its last segment, and what its bytes are spent on.
#[derive(Clone, Debug)]
pub struct Initramfs {
    /// Its bytes, a multiple of four.
    pub bytes: Vec<u8>,
    /// How the size splits.
    pub parts: Parts,
    /// What each microcode file adds, the largest first.
    pub microcode: Vec<(String, Bytes)>,
}

/// Where an initramfs's bytes go. Compressed parts are counted as they compress alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Parts {
    /// CPU microcode in front.
    pub microcode: u64,
    /// The agent.
    pub agent: u64,
    /// Firmware of drivers.
    pub firmware: u64,
    /// Index files and directories.
    pub indexes: u64,
    /// All modules.
    pub modules: u64,
    /// How many modules.
    pub module_count: usize,
    /// How many firmware files.
    pub firmware_count: usize,
    /// How many firmware files drivers mention that the tree lacks.
    pub firmware_missing: usize,
    /// A foreign initramfs, in place of all the above.
    pub foreign: u64,
}

/// Builds our own.
pub fn build(
    tree: &Tree,
    kernel: &Kernel,
    agent: &[u8],
    scope: Scope,
    watch: &dyn Watch,
) -> Result<Initramfs> {
    let index = modules::read_index(tree, kernel)?;
    let names = drivers::choose(&index, scope, &kernel.release)?;
    let packed = modules::pack(tree, kernel, &index, &names, watch)?;
    let indexes = modules::filter_indexes(tree, kernel, &index, &names)?;
    let firmware = firmware::gather_firmware(tree, packed.firmware.iter())?;
    let compress = if kernel.unpacks_zstd() {
        compress::zstd
    } else {
        compress::gzip
    };
    let compress = |bytes: &[u8]| compress(bytes).map_err(|e| too_large("initramfs", e));

    let microcode = firmware::microcode(tree)?;
    let mut bytes = microcode.archive;
    let microcode_len = bytes.len() as u64;
    let core = compress(&core_archive(kernel, agent, &indexes, &packed, &firmware)?)?;
    let alone = compress(agent)?.len() as u64;
    let firmware_alone = match firmware.files.is_empty() {
        true => 0,
        false => compress(
            &firmware
                .files
                .values()
                .flatten()
                .copied()
                .collect::<Vec<u8>>(),
        )?
        .len() as u64,
    };
    append(&mut bytes, &core);
    let modules = modules_archive(kernel, &packed.modules)?;
    append(&mut bytes, &modules);
    let parts = Parts {
        microcode: microcode_len,
        agent: alone,
        firmware: firmware_alone,
        indexes: (core.len() as u64).saturating_sub(alone + firmware_alone),
        modules: modules.len() as u64,
        module_count: packed.modules.len(),
        firmware_count: firmware.files.len(),
        firmware_missing: firmware.missing.len(),
        foreign: 0,
    };
    let microcode = microcode.files;
    Ok(Initramfs {
        bytes,
        parts,
        microcode,
    })
}

/// Takes a foreign one as it is.
pub fn read_foreign(file: &Path) -> Result<Initramfs> {
    let mut bytes = Vec::new();
    let read = std::fs::read(file).map_err(|cause| {
        Error::input(
            file.display(),
            format!("it cannot be read: {cause}"),
            "name an initramfs with --initrd",
        )
    })?;
    if !is_initramfs(&read) {
        return Err(Error::input(
            file.display(),
            "it is neither a cpio archive nor compressed as the kernel reads it",
            "name an initramfs with --initrd, as dracut or mkinitramfs make them",
        ));
    }
    append(&mut bytes, &read);
    let parts = Parts {
        foreign: bytes.len() as u64,
        ..Parts::default()
    };
    let microcode = Vec::new();
    Ok(Initramfs {
        bytes,
        parts,
        microcode,
    })
}

impl Initramfs {
    /// Adds a segment at the end.
    pub fn append(&mut self, segment: &[u8]) {
        append(&mut self.bytes, segment);
    }

    /// Puts another segment in the place of the last one, which was as long.
    pub fn replace_last(&mut self, segment: &[u8]) {
        if let Some(at) = self.bytes.len().checked_sub(segment.len()) {
            self.bytes[at..].copy_from_slice(segment);
        }
    }

    /// Its length.
    pub fn size(&self) -> Bytes {
        Bytes(self.bytes.len() as u64)
    }
}

/// Beginnings of what the kernel unpacks (`lib/decompress.c`, `init/initramfs.c`).
fn is_initramfs(bytes: &[u8]) -> bool {
    const MAGICS: [&[u8]; 9] = [
        b"070701",
        b"070702",
        b"\x1f\x8b",
        b"\x1f\x9e",
        b"BZh",
        b"\x5d\x00",
        b"\xfd7zXZ",
        b"\x89LZO",
        b"\x02\x21\x4c\x18",
    ];
    MAGICS.iter().any(|magic| bytes.starts_with(magic)) || bytes.starts_with(b"\x28\xb5\x2f\xfd")
}

/// Pads to a multiple of four on both sides of a segment.
fn append(bytes: &mut Vec<u8>, segment: &[u8]) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend_from_slice(segment);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

fn core_archive(
    kernel: &Kernel,
    agent: &[u8],
    indexes: &Indexes,
    packed: &Packed,
    firmware: &Firmware,
) -> Result<Vec<u8>> {
    let mut archive = Archive::new();
    for dir in ["dev", "proc", "sys", "run", "sysroot"] {
        archive.dir(dir);
    }
    // The kernel opens /dev/console before the agent runs; without devtmpfs there is no other.
    archive.char_device("dev/console", 0o600, 5, 1);
    archive.char_device("dev/null", 0o666, 1, 3);
    archive.file("init", 0o755, agent.to_vec());
    archive.file("etc/initrd-release", 0o644, initrd_release().into_bytes());
    let dir = modules_dir(kernel);
    for (name, text) in [
        ("modules.dep", &indexes.dep),
        ("modules.alias", &indexes.alias),
        ("modules.softdep", &indexes.softdep),
    ] {
        archive.file(&format!("{dir}/{name}"), 0o644, text.clone().into_bytes());
    }
    if let Some(dictionary) = &packed.dictionary {
        archive.file(
            &format!("{dir}/{MODULE_DICTIONARY}"),
            0o644,
            dictionary.clone(),
        );
    }
    for (name, bytes) in &firmware.files {
        archive.file(&format!("lib/firmware/{name}"), 0o644, bytes.clone());
    }
    archive
        .to_bytes()
        .map_err(|TooLarge(name)| too_large(&name, String::new()))
}

fn modules_archive(kernel: &Kernel, modules: &[PackedModule]) -> Result<Vec<u8>> {
    let mut archive = Archive::new();
    let dir = modules_dir(kernel);
    for module in modules {
        archive.file(
            &format!("{dir}/{}", module.path),
            0o644,
            module.bytes.clone(),
        );
    }
    archive
        .to_bytes()
        .map_err(|TooLarge(name)| too_large(&name, String::new()))
}

fn modules_dir(kernel: &Kernel) -> String {
    format!("lib/modules/{}", kernel.release)
}

/// Says to systemd's tools that this is an initramfs (os-release(5)).
fn initrd_release() -> String {
    format!(
        "ID=liveroot\nNAME=liveroot\nPRETTY_NAME=\"liveroot {VERSION} (initramfs)\"\nVERSION_ID={VERSION}\n"
    )
}

fn too_large(name: &str, cause: String) -> Error {
    Error::input(
        name,
        format!("it cannot be packed {cause}"),
        "report this as a defect",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_start_at_multiples_of_four() {
        let mut bytes = vec![1; 5];
        append(&mut bytes, &[2; 3]);
        assert_eq!(bytes, [1, 1, 1, 1, 1, 0, 0, 0, 2, 2, 2, 0]);
    }

    #[test]
    fn a_text_is_no_initramfs_and_a_zstd_frame_is_one() {
        assert!(!is_initramfs(b"hello"));
        assert!(is_initramfs(&compress::zstd(b"x").unwrap()));
        assert!(is_initramfs(&compress::gzip(b"x").unwrap()));
    }
}
