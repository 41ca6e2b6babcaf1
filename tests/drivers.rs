//! `--drivers boot` on real kernels: what a boot medium can need is in the initramfs.
//!
//! The builder chooses by the kernel's own metadata; here stands a fixed list to hold it
//! against. `kernels/*.xz` are the index files of Debian's kernels (`kernels/cut.py` makes
//! them); the modules themselves are stubs, for only their names count.
//! LIVEROOT_TREE names a whole tree to be tried in the same way.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;

use bench::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Modules that must be there where the kernel has them as modules. Those behind a bar
/// are each other's successors.
const EXPECTED: &[&str] = &[
    // USB.
    "xhci-pci",
    "ehci-pci",
    "uhci-hcd",
    "ohci-pci",
    "usb-storage",
    "uas",
    // Disks, discs and cards.
    "ahci",
    "ata_piix",
    "nvme",
    "sdhci-pci",
    "sdhci-acpi",
    "mmc_block",
    "sr_mod",
    "sd_mod",
    // Virtual machines.
    "virtio_pci",
    "virtio_mmio",
    "virtio_blk",
    "virtio_scsi",
    "hv_vmbus",
    "hv_storvsc",
    "vmw_pvscsi",
    "xen-blkfront",
    // What is stacked.
    "loop",
    "dm-verity",
    "dm-crypt",
    "zram",
    "overlay",
    // File systems.
    "squashfs",
    "erofs",
    "isofs",
    "udf",
    "vfat",
    "nls_cp437",
    "nls_iso8859-1",
    "nls_ascii",
    "exfat",
    "ntfs3|ntfs",
    "ext4",
    "xfs",
    "btrfs",
    "f2fs",
    // Keyboards.
    "usbhid",
    "hid-generic",
];
/// What Debian's 6.1 does not have at all.
const ABSENT: [(&str, &str); 1] = [("6.1", "ntfs3|ntfs")];

/// Stands for the kernel of LIVEROOT_TREE, which may be any.
const NAMED: &str = "LIVEROOT_TREE";

/// A kernel's index files: name to bytes.
type Indexes = BTreeMap<String, Vec<u8>>;

/// Reads what `cut.py` wrote: a line `== NAME` before each file.
fn read_fixture(path: &Path) -> Indexes {
    use std::io::Read;
    let mut bytes = Vec::new();
    liblzma::read::XzDecoder::new(fs::File::open(path).unwrap())
        .read_to_end(&mut bytes)
        .unwrap();
    let mut files = Indexes::new();
    let mut name = String::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_prefix(b"== ") {
            Some(new) => {
                name = String::from_utf8_lossy(new).trim_end().to_owned();
                files.insert(name.clone(), Vec::new());
            }
            None => files.get_mut(&name).unwrap().extend_from_slice(line),
        }
    }
    let builtin = files.get_mut("modules.builtin.modinfo").unwrap();
    builtin
        .iter_mut()
        .filter(|byte| **byte == b'\n')
        .for_each(|byte| *byte = 0);
    files
}

/// Reads the index files of a whole tree.
fn read_tree(root: &Path) -> Indexes {
    let folders = ["usr/lib/modules", "lib/modules"].map(|folder| root.join(folder));
    let kernels = folders
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten();
    let release = kernels.map(|entry| entry.unwrap().path()).min().unwrap();
    let files = fs::read_dir(release).unwrap().map(Result::unwrap);
    files
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect()
}

/// A module's name from its path, with underscores.
fn module(path: &str) -> Option<String> {
    let name = path.rsplit('/').next()?.split_once(".ko")?.0;
    Some(name.replace('-', "_"))
}

/// Builds with stubs for all modules of these indexes, and gives the names of the modules
/// in the initramfs.
fn build(indexes: &Indexes) -> BTreeSet<String> {
    let bench = Bench::new();
    let dir = bench.tree().join(format!("usr/lib/modules/{RELEASE}"));
    fs::remove_dir_all(&dir).unwrap();
    fs::create_dir(&dir).unwrap();
    let dep = String::from_utf8(indexes["modules.dep"].clone()).unwrap();
    // The stubs are stored plainly, whatever the kernel's own modules are.
    for (name, bytes) in indexes {
        match name.as_str() {
            "modules.dep" => write(&dir.join(name), dep.replace(".ko.xz", ".ko")),
            _ => write(&dir.join(name), bytes),
        }
    }
    for line in dep.lines() {
        let path = line.split(':').next().unwrap().replace(".ko.xz", ".ko");
        fs::create_dir_all(dir.join(&path).parent().unwrap()).unwrap();
        write(&dir.join(&path), elf(&path));
    }
    let output = bench.command().arg("--json").output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let iso = fs::read(bench.iso()).unwrap();
    let entries = archive_with(&iso, "/loop.ko.zst");
    entries
        .iter()
        .filter_map(|(name, _)| module(name))
        .collect()
}

/// Holds a kernel against the list.
fn check(kernel: &str, indexes: &Indexes) {
    let packed = build(indexes);
    let names = |file: &str| -> BTreeSet<String> {
        let text = String::from_utf8(indexes[file].clone()).unwrap();
        let paths = text.lines().map(|line| line.split(':').next().unwrap());
        paths.filter_map(module).collect()
    };
    let (modules, builtin) = (names("modules.dep"), names("modules.builtin"));
    let mut missing = Vec::new();
    for expected in EXPECTED {
        let any = |has: &BTreeSet<String>| {
            let mut successors = expected.split('|');
            successors.any(|name| has.contains(&name.replace('-', "_")))
        };
        let absent = ABSENT.contains(&(kernel, expected));
        // A kernel that has it in neither way would make the list an empty promise.
        let has = any(&modules) || any(&builtin);
        assert!(has || absent || kernel == NAMED, "{kernel}: {expected}");
        if any(&modules) && !any(&packed) {
            missing.push(expected);
        }
    }
    assert!(
        missing.is_empty(),
        "{kernel}: the initramfs lacks {missing:?}"
    );
    assert!(
        packed.len() < 450 && packed.len() < modules.len() / 2,
        "{kernel}: {} modules are no choice",
        packed.len()
    );
    let named: BTreeSet<_> = packed.iter().cloned().collect();
    assert!(
        ["megaraid_sas", "qla2xxx"]
            .iter()
            .all(|m| !named.contains(*m)),
        "{kernel}: adapters of servers come with --drivers all only"
    );
}

#[test]
fn whatever_a_boot_medium_needs_is_in_the_initramfs_of_every_kernel() {
    if !have_tools(&[]) {
        return;
    }
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernels");
    for kernel in ["6.1", "6.12", "7.2"] {
        check(kernel, &read_fixture(&dir.join(format!("{kernel}.xz"))));
    }
}

#[test]
fn whatever_a_boot_medium_needs_is_in_the_initramfs_of_the_named_tree() {
    let Some(tree) = std::env::var_os(NAMED) else {
        eprintln!("skipped: {NAMED} names no tree");
        return;
    };
    if have_tools(&[]) {
        check(NAMED, &read_tree(Path::new(&tree)));
    }
}
