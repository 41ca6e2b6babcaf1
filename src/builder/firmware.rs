//! Firmware that the chosen drivers ask for, and CPU microcode.

use super::{Error, Result, Tree, compress};
use crate::ondisk::cpio::Archive;
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
            tree.root().join(path).display(),
            format!("it cannot be decompressed: {e}"),
            "reinstall the package that it is from",
        )
    })
}

/// An archive of the tree's microcode for the kernel's early loader: all files of a
/// vendor joined into one (`Documentation/arch/x86/microcode.rst`). None when the tree has
/// none. The kernel reads it before it can decompress, and only in front.
pub fn microcode(tree: &Tree) -> Result<Option<Vec<u8>>> {
    let mut archive = Archive::new();
    for (vendor, folder) in [
        ("AuthenticAMD", "amd-ucode"),
        ("GenuineIntel", "intel-ucode"),
    ] {
        let joined = join_folder(tree, folder)?;
        if !joined.is_empty() {
            archive.file(&format!("kernel/x86/microcode/{vendor}.bin"), 0o644, joined);
        }
    }
    if archive.is_empty() {
        return Ok(None);
    }
    archive
        .to_bytes()
        .map(Some)
        .map_err(|e| Error::input(e.0, "it is too large", "reinstall it"))
}

fn join_folder(tree: &Tree, folder: &str) -> Result<Vec<u8>> {
    let mut joined = Vec::new();
    for dir in FIRMWARE_DIRS {
        for name in tree.list(&format!("{dir}/{folder}"))? {
            let path = format!("{dir}/{folder}/{name}");
            if is_microcode(&name)
                && let Some(bytes) = tree.read(&path)?
            {
                joined.extend(unpack(tree, &path, bytes)?);
            }
        }
        if !joined.is_empty() {
            break;
        }
    }
    Ok(joined)
}

/// Microcode, not the licence or signature beside it: AMD's end in `.bin`, Intel's are
/// named family-model-stepping.
fn is_microcode(name: &str) -> bool {
    let base = name.trim_end_matches(".xz").trim_end_matches(".zst");
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
        let tree = Tree::open(dir.path()).unwrap();
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
        let bytes = microcode(&tree).unwrap().unwrap();
        let (entries, _) = crate::ondisk::cpio::read(&bytes).unwrap();
        let file = |name: &str| entries.iter().find(|e| e.name.ends_with(name)).unwrap();
        assert_eq!(
            file("kernel/x86/microcode/GenuineIntel.bin").data,
            b"onetwo"
        );
        assert_eq!(file("kernel/x86/microcode/AuthenticAMD.bin").data, b"amd");
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
        assert_eq!(microcode(&tree).unwrap(), None);
    }

    #[test]
    fn only_microcode_files_are_joined() {
        for good in [
            "microcode_amd_fam19h.bin",
            "microcode_amd.bin.xz",
            "06-8e-0c",
            "06-8e-0c.zst",
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
