//! Modules are compressed against a dictionary: what the initramfs holds gives back the
//! tree's modules, by zstd's own means and with the dictionary beside modules.dep.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;

use bench::*;
use liveroot::layout::MODULE_DICTIONARY;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// How many modules the tree has: enough that they have something in common.
const MODULES: u32 = 60;

/// Bytes that hardly compress, the same for the same seed.
fn noise(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 11) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// A module that shares most of its bytes with all others, at a place of its own.
fn module(n: u32) -> Vec<u8> {
    let mut bytes = elf(&format!("module {n}"));
    bytes.extend(noise(n + 1, 300 + 17 * n as usize));
    for part in 0..8 {
        bytes.extend(noise(1_000 + (n + part) % 12, 700));
        bytes.extend(noise(10_000 + n * 8 + part, 60));
    }
    bytes
}

/// A tree whose drivers are such modules, in all compressions that trees have.
fn bench_with_modules() -> (Bench, BTreeMap<String, Vec<u8>>) {
    let bench = Bench::new();
    let modules = bench.tree().join(format!("usr/lib/modules/{RELEASE}"));
    let folder = modules.join("kernel/drivers/ata");
    fs::create_dir_all(&folder).unwrap();
    let (mut dep, mut alias) = (String::new(), String::new());
    let mut plain = BTreeMap::new();
    for n in 0..MODULES {
        let file = folder.join(format!("ata-{n}.ko"));
        write(&file, module(n));
        let suffix = ["", ".xz", ".gz", ".zst"][n as usize % 4];
        match suffix {
            ".xz" => drop(run("xz", &[file.to_str().unwrap()])),
            ".gz" => drop(run("gzip", &[file.to_str().unwrap()])),
            ".zst" => drop(run("zstd", &["-q", "--rm", file.to_str().unwrap()])),
            _ => {}
        }
        dep += &format!("kernel/drivers/ata/ata-{n}.ko{suffix}:\n");
        alias += &format!("alias pci:v0001d{n:08} ata_{n}\n");
        plain.insert(
            format!("lib/modules/{RELEASE}/kernel/drivers/ata/ata-{n}.ko.zst"),
            module(n),
        );
    }
    write(&modules.join("modules.dep"), dep);
    write(&modules.join("modules.alias"), alias);
    (bench, plain)
}

/// The dictionary in the initramfs's compressed archive.
fn dictionary(iso: &[u8]) -> Vec<u8> {
    let name = format!("lib/modules/{RELEASE}/{MODULE_DICTIONARY}");
    let core = core_archive(iso);
    let (entries, _) = liveroot::ondisk::cpio::read(&core).unwrap();
    let entry = entries.iter().find(|entry| entry.name == name);
    entry.expect("the initramfs has a dictionary").data.to_vec()
}

fn unpack(dictionary: &[u8], packed: &[u8]) -> Result<Vec<u8>, &'static str> {
    let len = zstd_safe::get_frame_content_size(packed).ok().flatten();
    let mut plain = Vec::with_capacity(len.expect("frames say how long they are") as usize);
    let done = zstd_safe::DCtx::create().decompress_using_dict(&mut plain, packed, dictionary);
    done.map(|_| plain).map_err(zstd_safe::get_error_name)
}

#[test]
fn each_module_comes_back_as_the_tree_has_it() {
    if !have_tools(&["xz", "gzip", "zstd"]) {
        return;
    }
    let (bench, plain) = bench_with_modules();
    let output = bench.command().output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let iso = fs::read(bench.iso()).unwrap();
    let dictionary = dictionary(&iso);
    let packed: BTreeMap<_, _> = archive_with(&iso, "/ata-0.ko.zst")
        .into_iter()
        .filter(|(name, _)| name.ends_with(".ko.zst"))
        .collect();
    assert_eq!(
        packed.keys().collect::<Vec<_>>(),
        plain.keys().collect::<Vec<_>>()
    );
    for (name, bytes) in &packed {
        assert!(
            unpack(&dictionary, bytes).as_ref() == Ok(&plain[name]),
            "{name}"
        );
        assert!(
            unpack(&[], bytes).is_err(),
            "{name} does without the dictionary"
        );
    }
    same_by_zstd(&bench, &dictionary, &packed, &plain);

    let again = bench.command().output().unwrap();
    assert!(again.status.success(), "{}", text(&again));
    assert!(
        fs::read(bench.iso()).unwrap() == iso,
        "the second build differs"
    );
}

/// The same by zstd(1), for one module of each compression in the tree.
fn same_by_zstd(
    bench: &Bench,
    dictionary: &[u8],
    packed: &BTreeMap<String, Vec<u8>>,
    plain: &BTreeMap<String, Vec<u8>>,
) {
    let dir = bench.dir.path();
    write(&dir.join("dictionary"), dictionary);
    for (name, bytes) in packed.iter().take(4) {
        let (from, to) = (dir.join("packed.zst"), dir.join("plain"));
        write(&from, bytes);
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let (from, to, with) = (path(&from), path(&to), path(&dir.join("dictionary")));
        run("zstd", &["-dqf", "-D", &with, &from, "-o", &to]);
        assert!(fs::read(&to).unwrap() == plain[name], "{name}");
    }
}
