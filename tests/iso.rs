//! The medium's ISO 9660 as others read it: xorriso, isoinfo, sgdisk, our own reader.
//!
//! A test that lacks a tool or a privilege prints what it lacks; under `LIVEROOT_STRICT=1`
//! that is a failure.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;
#[path = "iso/make.rs"]
mod make;

use bench::have;
use bench::run;
use liveroot::ondisk::iso9660::write::{Entry, Extent, Facts, Plan, SECTOR, Trees, What};
use liveroot::units::Label;
use make::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A path as an argument.
fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

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
    assert!(volume.contains(", My Label"), "{volume}");
}

#[test]
fn sgdisk_finds_nothing_wrong_and_the_system_area_is_as_xorriso_makes_it() {
    if !have_programs(&["sgdisk", "xorriso"]) {
        return;
    }
    for start in [Start::Uefi, Start::Both] {
        let made = Made::small(start);
        let image = text(&made.image).to_owned();
        let said = run("sgdisk", &["-v", &image]);
        assert!(said.contains("No problems found."), "{said}");
        let said = run(
            "xorriso",
            &["-no_rc", "-indev", &image, "-report_system_area", "plain"],
        );
        let esp = made.layout.esp_offset / 512;
        for line in [
            "MBR protective-msdos-label",
            "Partition offset   : 16",
            "GPT partname local :   1  ISO9660",
            &format!("GPT start and size :   1  64  {}", esp - 64),
            "GPT type GUID      :   1  a2a0d0ebe5b9334487c068b6b72699c7",
            "GPT partition flags:   1  0x1000000000000001",
            &format!("GPT start and size :   2  {esp}  {}", ESP / 512),
            "GPT type GUID      :   2  28732ac11ff8d211ba4b00a0c93ec93b",
            &format!("ISO image size/512 : {}", made.layout.length / 512),
        ] {
            assert!(said.contains(line), "{line:?} is not in: {said}");
        }
    }
}

/// What 16 bits do not count is "to the end", and then the partition must be the last thing but
/// the backup GPT.
#[test]
fn an_esp_that_el_torito_cannot_count_is_last_and_has_no_count() {
    let esp = 65_536 * 512;
    let made = Made::new(&small_files(), 1000, esp, Start::Uefi);
    let bytes = fs::read(&made.image).unwrap();
    let catalogue = u32::from_le_bytes(bytes[17 * 2048 + 71..][..4].try_into().unwrap()) as usize;
    assert_eq!(bytes[catalogue * 2048 + 38..][..2], [0, 0]);
    assert!(made.layout.length - made.layout.esp_offset - esp < 20 * 2048);
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
                listed.lines().any(|l| l.trim() == path),
                "{flag}: {path} is not in {listed}"
            );
        }
    }
    let listed = run("isoinfo", &["-R", "-l", "-i", &image]);
    let file = listed
        .lines()
        .find(|l| l.trim_end().ends_with("liveroot.json"))
        .unwrap();
    assert!(
        file.contains("-r--r--r--") && file.contains("Nov 14 2023"),
        "{file}"
    );
}

/// This kernel and CI's have no iso9660: Linux reads it where media boot.
#[test]
fn the_whole_and_partition_one_hold_all_files_in_both_trees() {
    if !have_programs(&["xorriso"]) {
        return;
    }
    for start in [Start::Uefi, Start::Both] {
        let made = Made::small(start);
        let part = made.dir.path().join("part.iso");
        let bytes = fs::read(&made.image).unwrap();
        fs::write(&part, &bytes[64 * 512..made.layout.esp_offset as usize]).unwrap();
        for image in [&made.image, &part] {
            for names in ["any", "norock"] {
                let out = made.dir.path().join(format!("out-{names}"));
                extract(image, names, &out);
                made.compare(&out);
                run("chmod", &["-R", "u+w", text(&out)]);
                fs::remove_dir_all(&out).unwrap();
            }
        }
        let out = made.dir.path().join("out");
        extract(&part, "any", &out);
        let meta = fs::metadata(out.join("LiveOS/squashfs.img")).unwrap();
        assert_eq!((meta.mode(), meta.mtime()), (0o100_444, EPOCH as i64));
        let meta = fs::metadata(out.join("EFI")).unwrap();
        assert_eq!((meta.mode(), meta.mtime()), (0o040_555, EPOCH as i64));
    }
}

/// Takes all files out; `names` says which tree xorriso may believe ("any": Rock Ridge first,
/// "norock": Joliet).
fn extract(image: &Path, names: &str, out: &Path) {
    let words = [
        "-no_rc",
        "-osirrox",
        "on",
        "-read_fs",
        names,
        "-indev",
        text(image),
    ];
    run(
        "xorriso",
        &[&words[..], &["-extract", "/", text(out)]].concat(),
    );
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

/// Whoever changes a byte of the layout on purpose says so here.
#[test]
fn the_bytes_of_a_small_medium_are_these() {
    use sha2::Digest;
    let digest = |start| {
        let bytes = fs::read(Made::small(start).image).unwrap();
        let digest = sha2::Sha256::digest(bytes);
        digest
            .iter()
            .take(8)
            .map(|b| format!("{b:02x}"))
            .collect::<String>()
    };
    let found = [Start::Uefi, Start::Both].map(digest);
    assert_eq!(found, ["777abdaaf62c128b", "a61c1f11e3593e9f"]);
}

#[test]
fn a_file_of_five_gib_is_one_file_of_two_extents() {
    if !have_programs(&["xorriso"]) {
        return;
    }
    const LENGTH: u64 = (5 << 30) + 1234;
    const SECOND: u64 = (4 << 30) - 2048;
    let made = Made::new(&small_files(), LENGTH, ESP, Start::Uefi);
    let image = text(&made.image).to_owned();
    let first = made.front.payload_offset / SECTOR;
    for names in ["any", "norock"] {
        let path = format!("/{PAYLOAD}");
        let words = ["-no_rc", "-read_fs", names, "-indev", &image];
        let find = ["-find", &path, "-exec", "report_lba", "--"];
        let said = run("xorriso", &[&words[..], &find].concat());
        // Number, first sector, sectors and length of the whole, for each extent.
        let extents: Vec<Vec<u64>> = said
            .lines()
            .filter_map(|line| line.strip_prefix("File data lba:"))
            .map(|line| {
                line.split(',')
                    .filter_map(|n| n.trim().parse().ok())
                    .collect()
            })
            .collect();
        let second = (LENGTH - SECOND).div_ceil(SECTOR);
        let wanted = [
            vec![0, first, SECOND / SECTOR, LENGTH],
            vec![1, first + SECOND / SECTOR, second, LENGTH],
        ];
        assert_eq!(extents, wanted, "{names}: {said}");
        let words = [
            "-no_rc", "-read_fs", names, "-indev", &image, "-lsl", "/LiveOS",
        ];
        let listed = run("xorriso", &words);
        assert_eq!(
            listed.matches("squashfs.img").count(),
            1,
            "one name: {listed}"
        );
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

/// Takes all out by Rock Ridge and compares; by Joliet, and compares the contents of files.
fn check_tree(entries: &[Entry]) {
    let dir = tempfile::tempdir().unwrap();
    let image = write_tree(dir.path(), entries);
    let read = |names: &str| {
        let out = dir.path().join(names);
        extract(&image, names, &out);
        run("chmod", &["-R", "u+w", text(&out)]);
        let mut found = BTreeMap::new();
        read_tree(&out, &out, &mut found);
        found
    };
    let (found, wanted) = (read("any"), expected(entries));
    let odd: Vec<_> = wanted
        .iter()
        .filter(|(k, v)| found.get(*k) != Some(v))
        .collect();
    assert!(
        odd.is_empty() && found.len() == wanted.len(),
        "{odd:?} of {found:?}"
    );
    let files = entries
        .iter()
        .filter(|e| matches!(e.what, What::File { .. }));
    let mut contents: Vec<_> = files.map(|e| e.path.clone()).collect();
    contents.sort();
    let mut found: Vec<_> = read("norock").into_values().collect();
    found.sort();
    assert_eq!(found, contents);
}

fn file(path: &str) -> Entry {
    Entry {
        path: path.as_bytes().to_vec(),
        what: What::File { most: 1 << 16 },
    }
}

#[test]
fn deep_long_and_many_names_are_read_back() {
    if !have_programs(&["xorriso"]) {
        return;
    }
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
    fn any_names_are_read_back(
        paths in proptest::collection::btree_set("([a-cA-C.é_]{1,3}/){0,9}[a-zA-Z.;~ é-]{0,60}[a-z]", 1..60),
    ) {
        if !have_programs(&["xorriso"]) {
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
        check_tree(&kept.iter().map(|path| file(path)).collect::<Vec<_>>());
    }
}
