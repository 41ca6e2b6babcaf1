//! Firmware that the chosen drivers ask for, and CPU microcode.

use super::{Error, Result, Tree, compress, manifest};
use crate::ondisk::cpio::Archive;
use crate::units::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Where distributions keep firmware; the first is the merged-/usr spelling.
const FIRMWARE_DIRS: [&str; 2] = ["usr/lib/firmware", "lib/firmware"];
/// How firmware may be stored (`CONFIG_FW_LOADER_COMPRESS`).
const SUFFIXES: [&str; 3] = ["", ".xz", ".zst"];

/// Firmware found in the tree, by name, and how many names it lacks.
#[derive(Clone, Debug, Default)]
pub struct Firmware {
    /// Contents by name below `lib/firmware`, not compressed.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Names that drivers mention and the tree does not have, which is normal.
    pub missing: BTreeSet<String>,
}

/// Gathers files by their names.
pub fn gather_firmware<'a>(
    tree: &Tree,
    names: impl Iterator<Item = &'a String>,
) -> Result<Firmware> {
    let mut found = Firmware::default();
    for name in names {
        match read_firmware(tree, name)? {
            Some(bytes) => {
                found.files.insert(name.clone(), bytes);
            }
            None => {
                found.missing.insert(name.clone());
            }
        }
    }
    Ok(found)
}

fn read_firmware(tree: &Tree, name: &str) -> Result<Option<Vec<u8>>> {
    for dir in FIRMWARE_DIRS {
        for suffix in SUFFIXES {
            let path = format!("{dir}/{name}{suffix}");
            if let Some(bytes) = tree.read(&path)? {
                return unpack(tree, &path, bytes).map(Some);
            }
        }
    }
    Ok(None)
}

fn unpack(tree: &Tree, path: &str, bytes: Vec<u8>) -> Result<Vec<u8>> {
    let unpacked = compress::unpack(path, bytes).map(|(_, bytes)| bytes);
    unpacked.map_err(|e| {
        Error::input(
            tree.describe(path),
            format!("it cannot be decompressed: {e}"),
            "reinstall the package that it is from",
        )
    })
}

/// The tree's microcode.
#[derive(Clone, Debug, Default)]
pub struct Microcode {
    /// An archive for the kernel's early loader: all files of a vendor joined into one
    /// (`Documentation/arch/x86/microcode.rst`). Empty when the tree has none. The kernel
    /// reads it before it can decompress, and only in front.
    pub archive: Vec<u8>,
    /// What each file of the tree adds to it, the largest first.
    pub files: Vec<(String, Bytes)>,
}

/// Gathers it.
pub fn microcode(tree: &Tree) -> Result<Microcode> {
    let mut archive = Archive::new();
    let mut files = Vec::new();
    for (vendor, folder) in [
        ("AuthenticAMD", "amd-ucode"),
        ("GenuineIntel", "intel-ucode"),
    ] {
        let found = read_folder(tree, folder)?;
        files.extend(
            found
                .iter()
                .map(|(path, bytes)| (path.clone(), Bytes(bytes.len() as u64))),
        );
        let joined: Vec<u8> = found.into_iter().flat_map(|(_, bytes)| bytes).collect();
        if !joined.is_empty() {
            archive.file(&format!("kernel/x86/microcode/{vendor}.bin"), 0o644, joined);
        }
    }
    if archive.is_empty() {
        return Ok(Microcode::default());
    }
    files.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    match archive.to_bytes() {
        Ok(archive) => Ok(Microcode { archive, files }),
        Err(e) => Err(Error::input(e.0, "it is too large", "reinstall it")),
    }
}

/// The microcode files of a folder, each without what one before it has.
fn read_folder(tree: &Tree, folder: &str) -> Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for dir in FIRMWARE_DIRS {
        for name in tree.list(&format!("{dir}/{folder}")) {
            let path = format!("{dir}/{folder}/{name}");
            if is_microcode(&name)
                && let Some(bytes) = tree.read(&path)?
            {
                let bytes = unpack(tree, &path, bytes)?;
                let mut new = updates(&bytes);
                new.retain(|update| seen.insert(manifest::digest(&[update])));
                found.push((path, new.concat()));
            }
        }
        if !found.is_empty() {
            break;
        }
    }
    Ok(found)
}

/// The updates of a file of Intel's, which several processors' files repeat: a quarter of
/// all their bytes. The kernel reads each with all signatures that it lists, wherever it
/// stands. What is no row of updates, AMD's files for one, is one piece.
/// Contract: Intel SDM, volume 3A, 11.11.1 (`microcode_header_intel`).
fn updates(file: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut rest = file;
    while !rest.is_empty() {
        let Some((update, more)) = update_size(rest).and_then(|size| rest.split_at_checked(size))
        else {
            return vec![file];
        };
        found.push(update);
        rest = more;
    }
    found
}

/// Length of the update that starts here.
fn update_size(bytes: &[u8]) -> Option<usize> {
    const HEADER: usize = 48;
    let field = |at: usize| {
        let bytes = bytes.get(at..at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    let (version, loader, data, total) = (field(0)?, field(20)?, field(28)?, field(32)?);
    // Updates of old have no lengths, and 2,000 bytes of data.
    let size = if data == 0 { 2048 } else { total as usize };
    (version == 1 && loader == 1 && size > HEADER).then_some(size)
}

/// Microcode, not the licence or signature beside it: AMD's end in `.bin`, Intel's are named
/// family-model-stepping; Debian adds `.initramfs` to those that must not be loaded later.
fn is_microcode(name: &str) -> bool {
    let base = name.trim_end_matches(".xz").trim_end_matches(".zst");
    let base = base.trim_end_matches(".initramfs");
    let intel = |base: &str| {
        base.len() == 8
            && base.bytes().enumerate().all(|(n, b)| {
                if n % 3 == 2 {
                    b == b'-'
                } else {
                    b.is_ascii_hexdigit()
                }
            })
    };
    base.ends_with(".bin") || intel(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir().unwrap();
        for (path, bytes) in [("usr/sbin/init", &b"x"[..])].iter().chain(files) {
            let file = dir.path().join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, bytes).unwrap();
        }
        let tree = Tree::of_directory(dir.path()).unwrap();
        (dir, tree)
    }

    #[test]
    fn microcode_is_joined_by_vendor_where_the_kernel_looks_for_it() {
        let packed = compress::zstd(b"two").unwrap();
        let (_dir, tree) = tree(&[
            ("lib/firmware/intel-ucode/06-01-01", b"one"),
            ("lib/firmware/intel-ucode/06-01-02.zst", &packed),
            ("lib/firmware/amd-ucode/microcode_amd.bin", b"amd"),
            ("lib/firmware/amd-ucode/README", b"no"),
        ]);
        let found = microcode(&tree).unwrap();
        let (entries, _) = crate::ondisk::cpio::read(&found.archive).unwrap();
        let file = |name: &str| entries.iter().find(|e| e.name.ends_with(name)).unwrap();
        assert_eq!(
            file("kernel/x86/microcode/GenuineIntel.bin").data,
            b"onetwo"
        );
        assert_eq!(file("kernel/x86/microcode/AuthenticAMD.bin").data, b"amd");
    }

    /// An update of Intel's with that many bytes of one value.
    fn update(fill: u8, data: usize) -> Vec<u8> {
        let mut bytes = vec![fill; 48 + data];
        for (at, field) in [(0, 1), (20, 1), (28, data as u32), (32, 48 + data as u32)] {
            bytes[at..at + 4].copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn updates_that_several_files_hold_go_in_once() {
        let (one, two, three) = (update(1, 16), update(2, 32), update(3, 64));
        let (_dir, tree) = tree(&[
            (
                "lib/firmware/intel-ucode/06-8f-04",
                &[&one[..], &two].concat(),
            ),
            (
                "lib/firmware/intel-ucode/06-8f-05",
                &[&two[..], &three].concat(),
            ),
            ("lib/firmware/intel-ucode/06-8f-06", &two),
        ]);
        let found = microcode(&tree).unwrap();
        let (entries, _) = crate::ondisk::cpio::read(&found.archive).unwrap();
        let joined = entries.iter().find(|e| e.name.ends_with(".bin")).unwrap();
        assert_eq!(joined.data, [one, two, three].concat());
        let first = ("lib/firmware/intel-ucode/06-8f-04".to_owned(), Bytes(144));
        assert_eq!(found.files[0], first);
    }

    #[test]
    fn what_is_no_row_of_updates_stays_one_piece() {
        let whole = update(1, 16);
        for file in [&whole[..60], &[&whole[..], b"tail"].concat(), b"x"] {
            assert_eq!(updates(file), [file]);
        }
    }

    #[test]
    fn firmware_is_found_compressed_or_not_and_missing_ones_are_counted() {
        let packed = compress::zstd(b"packed").unwrap();
        let (_dir, tree) = tree(&[
            ("usr/lib/firmware/a.bin", b"plain"),
            ("usr/lib/firmware/b/c.bin.zst", &packed),
        ]);
        let names = ["a.bin", "b/c.bin", "none.bin"].map(str::to_owned);
        let found = gather_firmware(&tree, names.iter()).unwrap();
        assert_eq!(found.files["a.bin"], b"plain");
        assert_eq!(found.files["b/c.bin"], b"packed");
        assert_eq!(found.missing.len(), 1);
        assert!(microcode(&tree).unwrap().archive.is_empty());
    }

    #[test]
    fn only_microcode_files_are_joined() {
        for good in [
            "microcode_amd_fam19h.bin",
            "microcode_amd.bin.xz",
            "06-8e-0c",
            "06-8e-0c.zst",
            "06-8e-0c.initramfs",
        ] {
            assert!(is_microcode(good), "{good}");
        }
        for bad in [
            "README",
            "microcode_amd.bin.asc",
            "06-8e-0c.txt",
            "06-8e-0c_old",
        ] {
            assert!(!is_microcode(bad), "{bad}");
        }
    }
}
