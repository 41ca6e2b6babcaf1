//! The medium's ISO 9660 as others read it: xorriso, isoinfo, the kernel, our own reader.
//!
//! A test that lacks a tool or a privilege prints what it lacks; under `LIVEROOT_STRICT=1`
//! that is a failure.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;
#[path = "iso/make.rs"]
mod make;
mod namespace;

use bench::have;
use liveroot::ondisk::iso9660::write::{Entry, Extent, Facts, Plan, SECTOR, Trees, What};
use liveroot::units::Label;
use make::*;
use namespace::{enter, possible, run, text};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

fn have_programs(programs: &[&str]) -> bool {
    let found = |name: &&str| {
        ["/usr/bin", "/usr/sbin"]
            .iter()
            .any(|d| Path::new(d).join(name).exists())
    };
    programs.iter().all(|name| have(name, found(name)))
}

#[test]
fn xorriso_reads_what_it_would_have_written() {
    if !have_programs(&["xorriso"]) {
        return;
    }
    let made = Made::small(Start::Uefi);
    let image = text(&made.image).to_owned();
    let report = run(
        "xorriso",
        &["-no_rc", "-indev", &image, "-report_el_torito", "plain"],
    );
    let esp = made.layout.esp_offset / SECTOR;
    let boot = report
        .lines()
        .find(|l| l.starts_with("El Torito boot img :"))
        .unwrap();
    let words: Vec<&str> = boot.split_whitespace().skip(5).collect();
    assert_eq!(words[0], "1", "{boot}");
    assert_eq!(words[1], "UEFI", "{boot}");
    assert_eq!(words[2], "y", "{boot}");
    assert_eq!(words[words.len() - 1], esp.to_string(), "{boot}");
    let out = made.dir.path().join("out");
    run(
        "xorriso",
        &[
            "-no_rc",
            "-osirrox",
            "on",
            "-indev",
            &image,
            "-extract",
            "/",
            text(&out),
        ],
    );
    made.compare(&out);
    let volume = run("xorriso", &["-no_rc", "-indev", &image, "-toc"]);
    assert!(volume.contains("'My Label'"), "{volume}");
}

#[test]
fn isoinfo_finds_joliet_rock_ridge_and_the_size_of_the_whole_file() {
    if !have_programs(&["isoinfo"]) {
        return;
    }
    let made = Made::small(Start::Uefi);
    let image = text(&made.image).to_owned();
    let said = run("isoinfo", &["-d", "-i", &image]);
    for line in [
        "Volume id: My Label",
        "Publisher id: LIVEROOT",
        "Data preparer id: LIVEROOT",
        "Joliet with UCS level 3 found",
        "Rock Ridge signatures version 1 found",
        "Boot media 0 (No Emulation Boot)",
        "Nsect 2000",
    ] {
        assert!(said.contains(line), "{line:?} is not in: {said}");
    }
    let size = format!("Volume size is: {}", made.layout.length / SECTOR);
    assert!(said.contains(&size), "{size} is not in: {said}");
    for flag in ["-R", "-J"] {
        let listed = run("isoinfo", &["-f", flag, "-i", &image]);
        for path in [
            "/LiveOS/squashfs.img",
            "/EFI/BOOT/BOOTX64.EFI",
            "/boot/vmlinuz",
        ] {
            assert!(
                listed.lines().any(|l| l == path),
                "{flag}: {path} is not in {listed}"
            );
        }
    }
    let listed = run("isoinfo", &["-R", "-l", "-i", &image]);
    let file = listed
        .lines()
        .find(|l| l.ends_with("liveroot.json"))
        .unwrap();
    assert!(
        file.contains("-r--r--r--") && file.contains("Nov 14 2023"),
        "{file}"
    );
}

#[test]
fn the_kernel_mounts_the_whole_and_partition_one() {
    if !possible(&["iso9660"]) {
        return;
    }
    enter();
    for start in [Start::Uefi, Start::Both] {
        let made = Made::small(start);
        for (offset, options) in [
            (0, ""),
            (64 * 512, ""),
            (0, ",norock"),
            (64 * 512, ",norock"),
        ] {
            let at = made.mount(&made.image, offset, options);
            if options.is_empty() {
                made.compare(&at);
                let meta = fs::metadata(at.join("LiveOS/squashfs.img")).unwrap();
                assert_eq!((meta.mode(), meta.uid(), meta.gid()), (0o100_444, 0, 0));
                assert_eq!((meta.mtime(), meta.nlink()), (EPOCH as i64, 1));
                let meta = fs::metadata(at.join("EFI")).unwrap();
                assert_eq!((meta.mode(), meta.mtime()), (0o040_555, EPOCH as i64));
                assert_eq!(meta.nlink(), 4, "itself, its name, and two directories");
            } else {
                made.compare(&at);
            }
            run("umount", &[text(&at)]);
        }
    }
}

#[test]
fn our_own_reader_knows_it() {
    let made = Made::small(Start::Uefi);
    let bytes = fs::read(&made.image).unwrap();
    let whole = liveroot::ondisk::iso9660::probe(&bytes).unwrap();
    assert_eq!(whole.label, Some(Label::new("My Label")));
    assert_eq!(whole.uuid.as_deref(), Some("2023-11-14-22-13-20-00"));
    assert_eq!(whole.size.unwrap().0, bytes.len() as u64);
    let part = liveroot::ondisk::iso9660::probe(&bytes[64 * 512..]).unwrap();
    assert_eq!(part.label, whole.label);
    assert_eq!(part.size.unwrap().0, made.layout.esp_offset - 64 * 512);
}

/// The boot catalogue, and what isolinux is told of itself, for both ways of starting.
#[test]
fn bios_comes_before_uefi_and_isolinux_knows_where_it_lies() {
    let made = Made::small(Start::Both);
    let bytes = fs::read(&made.image).unwrap();
    let le32 = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let catalogue = le32(17 * 2048 + 71) as usize * 2048;
    assert_eq!(bytes[catalogue + 1], 0, "for a BIOS");
    let program = le32(catalogue + 40) as usize * 2048;
    assert_eq!(bytes[program + 64..program + 68], *b"\xfb\xc0\x78\x70");
    assert_eq!(le32(program + 8), 16);
    assert_eq!(le32(program + 12) as usize * 2048, program);
    assert_eq!(
        le32(432) as usize * 512,
        program,
        "the master boot record finds it"
    );
    assert_eq!(bytes[catalogue + 65], 0xef);
    assert_eq!(
        u64::from(le32(catalogue + 104)) * SECTOR,
        made.layout.esp_offset
    );
}

#[test]
fn the_same_input_gives_the_same_bytes_in_any_order_of_names() {
    let small = |start| fs::read(&Made::small(start).image).unwrap();
    assert!(small(Start::Both) == small(Start::Both));
}

#[test]
fn a_file_of_five_gib_is_read_whole_by_the_kernel() {
    if !possible(&["iso9660"]) {
        return;
    }
    enter();
    const LENGTH: u64 = (5 << 30) + 1234;
    let made = Made::new(&small_files(), LENGTH, ESP, Start::Uefi);
    let marks = [0, (4 << 30) - 2048 - 3, (4 << 30) - 2048, LENGTH - 7];
    let file = fs::OpenOptions::new()
        .write(true)
        .open(&made.image)
        .unwrap();
    for (n, at) in marks.iter().enumerate() {
        let mark = format!("mark {n}");
        file.write_all_at(mark.as_bytes(), made.front.payload_offset + at)
            .unwrap();
    }
    for offset in [0, 64 * 512] {
        let at = made.mount(&made.image, offset, "");
        let payload = fs::File::open(at.join(PAYLOAD)).unwrap();
        assert_eq!(payload.metadata().unwrap().len(), LENGTH);
        for (n, mark) in marks.iter().enumerate().filter(|(n, _)| *n != 1) {
            let mut bytes = [0; 6];
            payload.read_exact_at(&mut bytes, *mark).unwrap();
            assert_eq!(String::from_utf8_lossy(&bytes), format!("mark {n}"));
        }
        assert_eq!(
            fs::read_dir(at.join("LiveOS")).unwrap().count(),
            2,
            "one name"
        );
        drop(payload);
        run("umount", &[text(&at)]);
    }
}

/// A tree of names, written with contents that name them.
fn write_tree(dir: &Path, entries: &[Entry]) -> PathBuf {
    let trees = Trees {
        joliet: true,
        partition: None,
    };
    let plan = Plan::new(entries, trees, EPOCH, 40).unwrap();
    let mut extents = Vec::new();
    let mut at = plan.end();
    for entry in entries {
        let length = entry.path.len() as u64;
        extents.push(Extent { sector: at, length });
        at += u32::from(matches!(entry.what, What::File { .. }));
    }
    let facts = Facts {
        label: &Label::new("TREE"),
        extents: &extents,
        catalogue: None,
        whole: at,
        end: at,
    };
    let image = dir.join("tree.iso");
    let file = fs::File::create(&image).unwrap();
    file.set_len(u64::from(at) * SECTOR).unwrap();
    for (sector, bytes) in plan.bytes(&facts).unwrap() {
        file.write_all_at(&bytes, u64::from(sector) * SECTOR)
            .unwrap();
    }
    for (entry, extent) in entries.iter().zip(&extents) {
        if let What::File { .. } = entry.what {
            file.write_all_at(&entry.path, u64::from(extent.sector) * SECTOR)
                .unwrap();
        }
    }
    image
}

/// What stands below a directory: path, and the target of a link or the contents of a file.
fn read_tree(at: &Path, root: &Path, found: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        let name = path
            .strip_prefix(root)
            .unwrap()
            .as_os_str()
            .as_bytes()
            .to_vec();
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            read_tree(&path, root, found);
        } else if meta.is_symlink() {
            let target = fs::read_link(&path).unwrap();
            found.insert(name, [b"-> ", target.as_os_str().as_bytes()].concat());
        } else {
            found.insert(name, fs::read(&path).unwrap());
        }
    }
}

fn expected(entries: &[Entry]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let of = |entry: &Entry| match &entry.what {
        What::Symlink { target } => [b"-> ", &target[..]].concat(),
        _ => entry.path.clone(),
    };
    entries
        .iter()
        .map(|entry| (entry.path.clone(), of(entry)))
        .collect()
}

/// Mounts with Rock Ridge and compares all; with Joliet and compares how many files there are.
fn check_tree(entries: &[Entry]) {
    let dir = tempfile::tempdir().unwrap();
    let image = write_tree(dir.path(), entries);
    let at = dir.path().join("at");
    fs::create_dir(&at).unwrap();
    run("mount", &["-o", "loop,ro", text(&image), text(&at)]);
    let mut found = BTreeMap::new();
    read_tree(&at, &at, &mut found);
    run("umount", &[text(&at)]);
    let wanted = expected(entries);
    let odd: Vec<_> = wanted
        .iter()
        .filter(|(k, v)| found.get(*k) != Some(v))
        .collect();
    assert!(
        odd.is_empty() && found.len() == wanted.len(),
        "{odd:?} of {found:?}"
    );
    run("mount", &["-o", "loop,ro,norock", text(&image), text(&at)]);
    let mut found = BTreeMap::new();
    read_tree(&at, &at, &mut found);
    run("umount", &[text(&at)]);
    let files = entries
        .iter()
        .filter(|e| matches!(e.what, What::File { .. }));
    let mut contents: Vec<_> = files.map(|e| e.path.clone()).collect();
    contents.sort();
    let mut read: Vec<_> = found.into_values().collect();
    read.sort();
    assert_eq!(read, contents);
}

fn file(path: &str) -> Entry {
    Entry {
        path: path.as_bytes().to_vec(),
        what: What::File { most: 1 << 16 },
    }
}

#[test]
fn deep_long_and_many_names_are_read_by_the_kernel() {
    if !possible(&["iso9660"]) {
        return;
    }
    enter();
    let long = "n".repeat(240);
    let mut entries = vec![file(&vec!["d"; 30].join("/"))];
    entries.extend((0..300).map(|n| file(&format!("many/{long}{n:03}.txt"))));
    entries.extend((0..60).map(|n| file(&format!("dirs/{n}/é {n}"))));
    let targets = [
        "a",
        "/",
        "/usr/bin",
        "../../x/./y",
        &vec!["t".repeat(255); 3].join("/"),
        &vec!["segment"; 120].join("/"),
    ];
    for (n, target) in targets.iter().enumerate() {
        entries.push(Entry {
            path: format!("links/{n}").into_bytes(),
            what: What::Symlink {
                target: target.as_bytes().to_vec(),
            },
        });
    }
    check_tree(&entries);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_names_are_read_back_by_the_kernel(
        paths in proptest::collection::btree_set("([a-cA-C.é_]{1,3}/){0,9}[a-zA-Z.;~ é-]{0,60}[a-z]", 1..60),
    ) {
        if !possible(&["iso9660"]) {
            return Ok(());
        }
        // Parts that a path can't have, and a file where another has a directory, are left out.
        let mut kept: Vec<String> = Vec::new();
        for path in paths {
            let odd = path.split('/').any(|part| part == "." || part == "..");
            let below = |a: &str, b: &str| b.strip_prefix(a).is_some_and(|rest| rest.starts_with('/'));
            if !odd && !kept.iter().any(|k| below(k, &path) || below(&path, k)) {
                kept.push(path);
            }
        }
        enter();
        check_tree(&kept.iter().map(|path| file(path)).collect::<Vec<_>>());
    }
}
