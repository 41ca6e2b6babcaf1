//! Our writers of small formats before independent judges: fsck.fat and mtools; sgdisk and
//! sfdisk; objcopy, objdump; veritysetup; checkisomd5 and implantisomd5. The kernel's vfat is
//! not among them, for machines that test lack it: `KEEP=DIR` keeps the volumes for a look.

// A test may panic; clippy knows only functions marked #[test].
#![allow(clippy::unwrap_used)]

mod bench;

use bench::{have, run};
use liveroot::builder::volume::{self, EspLimit};
use liveroot::builder::{Watch, implant, unified, verity};
use liveroot::layout::VerityManifest;
use liveroot::ondisk::fat::write::{FatKind, Geometry};
use liveroot::ondisk::gpt::write::{NewPartition, READ_ONLY, REQUIRED, encode};
use liveroot::ondisk::table::Guid;
use liveroot::ondisk::verity::{Checker, Finding, Superblock};
use liveroot::units::ImageId;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Sees nothing and stops nothing.
struct Quiet;

impl Watch for Quiet {
    fn phase(&self, _: &str) {}
    fn percent(&self, _: u8) {}
    fn warn(&self, line: &str) {
        panic!("{line}");
    }
    fn cancelled(&self) -> bool {
        false
    }
}

fn have_tools(tools: &[&str]) -> bool {
    let dirs = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];
    let found = |tool: &&str| dirs.iter().any(|dir| Path::new(dir).join(tool).exists());
    tools.iter().all(|tool| have(tool, found(tool)))
}

fn create(path: &Path) -> File {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .unwrap()
}

/// Bytes that differ from file to file and compress badly.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    const PIECE: usize = 1 << 16;
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length.min(PIECE) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    // Further pieces are the first with their own number in front: debug code is slow.
    let first = bytes.clone();
    while bytes.len() < length {
        bytes.extend((bytes.len() as u64).to_le_bytes());
        bytes.extend(&first[8..]);
    }
    bytes.truncate(length);
    bytes
}

const EPOCH: u64 = 1_700_000_001;

/// A volume at `start` of a file, with contents that follow from each file's place.
fn write_volume(path: &Path, start: u64, geometry: Geometry, files: &[(String, u64)]) {
    let plan = volume::plan(geometry, files, 0x1234_abcd, EPOCH, start).unwrap();
    let file = create(path);
    file.set_len(start + plan.sectors * 512).unwrap();
    volume::write_metadata(&file, start, &plan, path).unwrap();
    for one in &plan.files {
        let bytes = contents(&one.path, one.len);
        file.write_all_at(&bytes, start + one.offset).unwrap();
    }
}

fn contents(path: &str, len: u64) -> Vec<u8> {
    let seed = path
        .bytes()
        .fold(7, |sum: u64, b| sum.wrapping_mul(31) + u64::from(b));
    noise(seed, len as usize)
}

fn esp_files() -> Vec<(String, u64)> {
    let mut files: Vec<(String, u64)> = [
        ("EFI/BOOT/BOOTX64.EFI", 100_001),
        ("EFI/liveroot/linux.efi", 3 << 20),
        ("loader/loader.conf", 20),
        ("loader/entries/liveroot-toram.conf", 2048),
        ("loader/entries/liveroot-safe.conf", 2049),
        (
            "loader/entries/a name with blanks, and more than 26 characters.conf",
            1,
        ),
        ("loader/entries/Größe und 日本.txt", 77),
        ("empty", 0),
        (".hidden", 5),
        ("UPPER.TXT", 6),
        ("lower.txt", 6),
        ("two.dots.text", 6),
        ("LONGNA~1.CON", 9),
        ("longname one.conf", 9),
        ("longname two.conf", 9),
    ]
    .map(|(path, len)| (path.to_owned(), len))
    .into();
    // More entries than a cluster holds, with equal stems.
    files.extend((0..150).map(|n| (format!("many/equal stem {n:03}.text"), n)));
    files.push((format!("many/{}", "x".repeat(255)), 3));
    files
}

/// fsck.fat(8) must say nothing but its count.
#[track_caller]
fn fsck(image: &Path) -> String {
    let output = Command::new("fsck.fat")
        .args(["-n", "-v"])
        .arg(image)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    for word in [
        "differ",
        "rror",
        "nvalid",
        "ixing",
        "Dirty",
        "wrong",
        "Orphan",
        "Reclaimed",
    ] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    text
}

#[test]
fn fsck_and_mtools_agree_with_each_kind_of_volume() {
    if !have_tools(&["fsck.fat", "mdir", "mcopy"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let files = esp_files();
    let fat16 = volume::geometry(&files, EspLimit::Countable, &[]).unwrap();
    let fat32 = Geometry::fat32_for(6 << 20).unwrap();
    let wide = Geometry::for_clusters(FatKind::Fat32, 8, 0).unwrap();
    for (geometry, kind) in [(fat16, "16"), (fat32, "32"), (wide, "32")] {
        let image = dir.path().join("esp.img");
        write_volume(&image, 0, geometry, &files);
        if let Some(kept) = std::env::var_os("KEEP") {
            let name = format!("fat{kind}-{}.img", geometry.cluster);
            fs::copy(&image, Path::new(&kept).join(name)).unwrap();
        }
        let text = fsck(&image);
        assert!(
            text.contains(&format!("{} data clusters", geometry.clusters))
                || text.contains(&format!("/{} clusters", geometry.clusters)),
            "{text}"
        );
        assert!(
            text.contains(&format!("FAT{kind}")) || text.contains(&format!("FATs, {kind} bit")),
            "{text}"
        );
        let all = dir.path().join("all");
        fs::create_dir(&all).unwrap();
        let image = image.to_str().unwrap();
        // With their dates, and names as they are.
        let mut mcopy = Command::new("mcopy");
        mcopy.args(["-s", "-m", "-n", "-i", image, "::"]).arg(&all);
        mcopy.env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        let said = mcopy.output().unwrap();
        assert!(said.status.success(), "{}", bench::text(&said));
        let mut found = BTreeMap::new();
        walk(&all, &all, &mut found);
        for (path, len) in &files {
            let time = fs::metadata(all.join(path)).map(|meta| meta.mtime());
            let even = (EPOCH & !1) as i64;
            assert!(
                time.as_ref().is_ok_and(|time| *time == even),
                "{path}: {time:?}"
            );
            assert!(found.remove(path) == Some(contents(path, *len)), "{path}");
        }
        assert!(found.is_empty(), "{:?}", found.keys());
        fs::remove_dir_all(&all).unwrap();
        let label = run("mdir", &["-i", image, "::"]);
        assert!(label.contains("has no label"), "{label}");
        assert!(label.contains("1234-ABCD"), "{label}");
    }
}

fn walk(root: &Path, at: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(root, &path, found);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            found.insert(name.to_owned(), fs::read(&path).unwrap());
        }
    }
}

#[test]
fn fsck_agrees_at_the_borders_of_fat16_and_fat32() {
    if !have_tools(&["fsck.fat"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("esp.img");
    for (kind, cluster, clusters) in [
        (FatKind::Fat16, 4, 0),
        (FatKind::Fat16, 1, 65_400),
        (FatKind::Fat16, 4, 16_300),
        (FatKind::Fat32, 1, 0),
        (FatKind::Fat32, 2, 65_600),
        (FatKind::Fat32, 8, 70_000),
    ] {
        let geometry = Geometry::for_clusters(kind, cluster, clusters).unwrap();
        // To the last cluster, and none.
        for used in [geometry.clusters - 2, 0] {
            let files = [("a/b".to_owned(), used * geometry.cluster_bytes())];
            let plan = volume::plan(geometry, &files[..usize::from(used > 0)], 5, EPOCH, 0);
            let plan = plan.unwrap();
            let file = create(&image);
            file.set_len(plan.sectors * 512).unwrap();
            volume::write_metadata(&file, 0, &plan, &image).unwrap();
            let text = fsck(&image);
            let taken = match (kind, used) {
                (FatKind::Fat16, 0) => 0,
                (FatKind::Fat32, 0) => 1,
                (FatKind::Fat16, used) => used + 1,
                (FatKind::Fat32, used) => used + 2,
            };
            let counted = format!("{taken}/{} clusters", geometry.clusters);
            assert!(text.contains(&counted), "{counted}: {text}");
        }
    }
}

#[test]
fn sgdisk_and_sfdisk_find_no_problem_in_a_table() {
    if !have_tools(&["sgdisk", "sfdisk"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("disk.img");
    let sectors = 32 << 11;
    let guid = |n: u8| Guid([n, 2, 3, 4, 5, 6, 7, 0x80 | n, 0x90, 1, 2, 3, 4, 5, 6, n]);
    let partitions = [
        (64, 16_383, REQUIRED | READ_ONLY, "ISO9660"),
        (16_384, sectors - 34, 0, "Größe"),
    ];
    let partitions: Vec<_> = (1..)
        .zip(partitions)
        .map(|(n, (first, last, attributes, name))| NewPartition {
            kind: Guid([0xa0 | n; 16]),
            unique: guid(n),
            first,
            last,
            attributes,
            name: name.into(),
        })
        .collect();
    let table = encode(guid(9), sectors, &partitions, &[]).unwrap();
    let file = create(&image);
    file.set_len(sectors * 512).unwrap();
    file.write_all_at(&table.head, 0).unwrap();
    file.write_all_at(&table.tail, sectors * 512 - table.tail.len() as u64)
        .unwrap();
    let image = image.to_str().unwrap();
    let verified = run("sgdisk", &["-v", image]);
    assert!(verified.contains("No problems found"), "{verified}");
    let verified = run("sfdisk", &["--verify", image]);
    assert!(verified.contains("No errors detected"), "{verified}");
    let info = run("sgdisk", &["-i", "1", image]);
    assert!(
        info.contains("04030201-0605-8107-9001-020304050601"),
        "{info}"
    );
    assert!(info.contains("Attribute flags: 1000000000000001"), "{info}");
    let printed = run("sgdisk", &["-p", image]);
    assert!(printed.contains("04030209-0605-8907"), "{printed}");
    // And without the first copy.
    file.write_all_at(&[0; 512], 512).unwrap();
    let restored = run("sfdisk", &["-d", image]);
    assert!(
        restored.contains("Größe") || restored.contains("Gr\\xc3"),
        "{restored}"
    );
}

/// Sections of a PE image: name, contents, characteristics; none for one without contents.
fn sections(image: &[u8]) -> Vec<(String, Vec<u8>, u32)> {
    let u32_at = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap());
    let coff = u32_at(0x3c) as usize;
    let count = u16::from_le_bytes([image[coff + 6], image[coff + 7]]);
    let optional = usize::from(u16::from_le_bytes([image[coff + 20], image[coff + 21]]));
    let headers = (0..usize::from(count)).map(|n| coff + 24 + optional + n * 40);
    headers
        .map(|at| {
            let name = String::from_utf8_lossy(&image[at..at + 8]);
            let (len, raw) = (u32_at(at + 8) as usize, u32_at(at + 20) as usize);
            (
                name.trim_end_matches('\0').to_owned(),
                image[raw..raw + len].to_vec(),
                u32_at(at + 36),
            )
        })
        .collect()
}

#[test]
fn a_unified_image_has_the_sections_that_objcopy_makes() {
    let stub = Path::new("/usr/lib/systemd/boot/efi/linuxx64.efi.stub");
    if !have("systemd's stub", stub.exists()) || !have_tools(&["objcopy", "objdump"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let kernel = noise(1, 3_000_001);
    let initrd = noise(2, 700_000);
    let contents = unified::Contents {
        osrel: b"ID=test\n",
        uname: b"6.1.0-9-test",
        cmdline: b"root=live:LABEL=X quiet",
        initrd: &initrd,
        linux: &kernel,
    };
    let bytes = fs::read(stub).unwrap();
    let ours = unified::Unified::new(&bytes, "stub", &contents, EPOCH).unwrap();
    let file = create(&path("ours.efi"));
    file.set_len(4096 + ours.len()).unwrap();
    ours.write_at(&file, 4096, &path("ours.efi")).unwrap();
    let image = fs::read(path("ours.efi")).unwrap()[4096..].to_vec();
    assert_eq!(ours.digest()[..], Sha256::digest(&image)[..]);
    fs::write(path("ours.efi"), &image).unwrap();

    let mut command = Command::new("objcopy");
    let address = 0x10_0000;
    for (n, (name, bytes)) in [
        ("osrel", contents.osrel),
        ("uname", contents.uname),
        ("cmdline", contents.cmdline),
        ("initrd", contents.initrd),
        ("linux", contents.linux),
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(path(name), bytes).unwrap();
        let file = path(name);
        command
            .arg("--add-section")
            .arg(format!(".{name}={}", file.display()));
        command.arg("--change-section-vma");
        command.arg(format!(".{name}={:#x}", address * (n + 1)));
    }
    let theirs = command.arg(stub).arg(path("theirs.efi")).status().unwrap();
    assert!(theirs.success());
    assert_eq!(
        sections(&image),
        sections(&fs::read(path("theirs.efi")).unwrap())
    );

    for name in [".uname", ".cmdline", ".initrd", ".linux"] {
        assert_eq!(ours.section(name).unwrap().0 % 2048, 0, "{name}");
    }
    let (at, length) = ours.section(".linux").unwrap();
    assert!(image[at as usize..][..length as usize] == kernel);
    let said = run("objdump", &["-p", path("ours.efi").to_str().unwrap()]);
    assert!(
        said.contains("Nov 14 22:13:21 2023") || said.contains("2023"),
        "{said}"
    );
    let said = run("objdump", &["-h", path("ours.efi").to_str().unwrap()]);
    let mut last = 0;
    for line in said
        .lines()
        .filter(|line| line.contains("2**") && line.contains(" ."))
    {
        let field =
            |n: usize| u64::from_str_radix(line.split_whitespace().nth(n).unwrap(), 16).unwrap();
        assert!(field(3) >= last, "sections overlap in memory: {said}");
        last = field(3) + field(2);
    }
}

/// A payload of so many bytes at `start` of a file, with its tree.
fn payload(path: &Path, start: u64, length: u64) -> (ImageId, VerityManifest) {
    let file = create(path);
    let bytes = noise(length, length as usize);
    file.write_all_at(&bytes, start).unwrap();
    let id = ImageId::from_digest(&Sha256::digest(&bytes).into());
    let manifest = verity::append(&file, path, start, length, &id, &Quiet).unwrap();
    assert_eq!(
        file.metadata().unwrap().len() - start,
        verity::length_with_tree(length).unwrap()
    );
    (id, manifest)
}

#[test]
fn veritysetup_makes_the_same_tree_and_verifies_ours() {
    if !have_tools(&["veritysetup"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let [ours, data, tree] = ["ours", "data", "tree"].map(|name| dir.path().join(name));
    for length in [1, 2, 127, 128, 129, 16_384, 16_385]
        .map(|n| n * 4096)
        .into_iter()
        .chain([4097, 5])
    {
        let start = 1 << 20;
        let (id, manifest) = payload(&ours, start, length);
        let superblock = verity::superblock(&id, length).unwrap();
        let all = fs::read(&ours).unwrap();
        let (bytes, own) = all[start as usize..].split_at(manifest.hash_offset as usize);
        fs::write(&data, bytes).unwrap();
        fs::write(&tree, own).unwrap();
        let uuid = superblock.uuid.map(|b| format!("{b:02x}")).concat();
        let uuid = [
            &uuid[..8],
            &uuid[8..12],
            &uuid[12..16],
            &uuid[16..20],
            &uuid[20..],
        ]
        .join("-");
        let dump = run("veritysetup", &["dump", tree.to_str().unwrap()]);
        for word in [
            &uuid,
            &manifest.salt.to_string(),
            &format!("Data blocks:     \t{}", manifest.data_blocks),
        ] {
            assert!(dump.contains(word.as_str()), "{word}: {dump}");
        }
        let root = manifest.root_hash.to_string();
        let offset = format!("--hash-offset={}", manifest.hash_offset);
        fs::write(&data, &all[start as usize..]).unwrap();
        let [whole, theirs] = [data.to_str().unwrap(), tree.to_str().unwrap()];
        run("veritysetup", &["verify", whole, whole, &root, &offset]);
        fs::write(&data, bytes).unwrap();
        let _ = fs::remove_file(&tree);
        let (salt, uuid) = (
            format!("--salt={}", manifest.salt),
            format!("--uuid={uuid}"),
        );
        let said = run("veritysetup", &["format", whole, theirs, &salt, &uuid]);
        assert!(said.contains(&root), "{length}: {said}");
        assert!(fs::read(&tree).unwrap() == own, "{length}");
    }
}

#[test]
fn each_flipped_block_of_a_payload_is_found_by_the_checker() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ours");
    let length = 300 * 4096;
    let (id, manifest) = payload(&path, 0, length);
    let bytes = fs::read(&path).unwrap();
    let (data, tree) = bytes.split_at(manifest.hash_offset as usize);
    let superblock = Superblock::parse(tree).unwrap().unwrap();
    assert_eq!(superblock, verity::superblock(&id, length).unwrap());
    let mut checker = Checker::new(superblock, manifest.root_hash.0);
    let tree = tree.to_vec();
    for (n, block) in (0..).zip(data.chunks(4096)) {
        assert_eq!(checker.check(n, block, &tree), Ok(Finding::Intact));
        let mut flipped = block.to_vec();
        flipped[(n * 13 % 4096) as usize] ^= 1 << (n % 8);
        assert_eq!(checker.check(n, &flipped, &tree), Ok(Finding::Data));
    }
    let empty = verity::superblock(&id, 0).unwrap_err().to_string();
    assert!(empty.contains("0 bytes can have no hash tree"), "{empty}");
}

/// An ISO of so many bytes of contents.
fn iso(dir: &Path, name: &str, length: usize) -> PathBuf {
    let tree = dir.join("tree");
    let _ = fs::remove_dir_all(&tree);
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), noise(length as u64, length)).unwrap();
    let iso = dir.join(name);
    run(
        "xorriso",
        &[
            "-as",
            "mkisofs",
            "-quiet",
            "-o",
            iso.to_str().unwrap(),
            tree.to_str().unwrap(),
        ],
    );
    iso
}

#[test]
fn implantisomd5_writes_the_same_and_checkisomd5_agrees() {
    if !have_tools(&["xorriso", "implantisomd5", "checkisomd5"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // A multiple of 21 fragments of whole chunks among them, and one byte beside.
    for length in [300_000, 5_000_000, 21 * 32_768 * 3, 12_345_678] {
        let ours = iso(dir.path(), "ours.iso", length);
        let theirs = dir.path().join("theirs.iso");
        fs::copy(&ours, &theirs).unwrap();
        let file = File::options().read(true).write(true).open(&ours).unwrap();
        run("implantisomd5", &["--force", theirs.to_str().unwrap()]);
        let large = fs::metadata(&ours).unwrap().len() > 717_000;
        assert_eq!(implant::implant(&file, &ours, &Quiet).unwrap(), large);
        if large {
            assert!(
                fs::read(&ours).unwrap() == fs::read(&theirs).unwrap(),
                "{length}"
            );
            run("checkisomd5", &[ours.to_str().unwrap()]);
            // Once more changes nothing.
            implant::implant(&file, &ours, &Quiet).unwrap();
            assert!(fs::read(&ours).unwrap() == fs::read(&theirs).unwrap());
        }
    }
}
