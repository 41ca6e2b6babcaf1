//! The same tree gives the same medium: whoever builds it, wherever, whenever, on however many
//! cores.
//!
//! The tree is invented, its EFI programs too, so that nothing of the host goes in.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;

use bench::*;
use rustix::fs::XattrFlags;
use sha2::{Digest, Sha256};
use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

/// All files' date; directories are an hour younger.
const DATE: u64 = 1_600_000_000;

/// The program's place, and options of both its commands.
const PROGRAM: &str = env!("CARGO_BIN_EXE_liveroot");

/// A vfs_cap_data of revision 2 (linux/capability.h) with CAP_NET_RAW permitted.
const NET_RAW: [u8; 20] = [
    1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// An EFI program for x86-64 with one section and room for the headers of more (PE format, 3).
fn efi_program(text: &str) -> Vec<u8> {
    let mut image = vec![0; 2048];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3c, &0x40u32.to_le_bytes());
    put(0x40, b"PE\0\0");
    // COFF: machine, sections, length of the optional header, executable and large-address-aware.
    for (at, value) in [(0x44, 0x8664u16), (0x46, 1), (0x54, 240), (0x56, 0x22)] {
        put(at, &value.to_le_bytes());
    }
    // Optional header: PE32+, EFI application, sixteen directories.
    for (at, value) in [(0x58, 0x20bu16), (0x58 + 68, 10)] {
        put(at, &value.to_le_bytes());
    }
    // Code, entry, base of code, alignments, lengths of image and headers, directories.
    for (at, value) in [
        (4, 512u32),
        (16, 0x1000),
        (20, 0x1000),
        (32, 0x1000),
        (36, 512),
        (56, 0x2000),
        (60, 1024),
        (108, 16),
    ] {
        put(0x58 + at, &value.to_le_bytes());
    }
    let section = 0x58 + 240;
    put(section, b".text");
    for (at, value) in [
        (8, 512u32),
        (12, 0x1000),
        (16, 512),
        (20, 1024),
        (36, 0x6000_0020),
    ] {
        put(section + at, &value.to_le_bytes());
    }
    put(1024, text.as_bytes());
    image
}

/// Adds to the workbench's tree what has been forgotten before, and sets all dates.
fn finish(tree: &Path) {
    let efi = tree.join("usr/lib/systemd/boot/efi");
    fs::create_dir_all(&efi).unwrap();
    write(&efi.join("linuxx64.efi.stub"), efi_program("stub"));
    write(&efi.join("systemd-bootx64.efi"), efi_program("menu"));
    for dir in ["tmp", "var/empty", "usr/share/names"] {
        fs::create_dir_all(tree.join(dir)).unwrap();
    }
    // More than one block, a hole, an end of its own; equal contents; every order of names.
    let long: Vec<u8> = (0..300_000u32)
        .flat_map(|n| (n / 7).to_le_bytes())
        .collect();
    write(&tree.join("usr/share/long"), &long);
    write(&tree.join("usr/share/long-again"), &long);
    let hole = [vec![7; 5000], vec![0; 400_000], vec![8; 5000]].concat();
    write(&tree.join("usr/share/hole"), hole);
    for number in 0..300u32 {
        let name = format!("usr/share/names/{:03}", number * 7 % 300);
        write(&tree.join(name), format!("file {number}\n").repeat(20));
    }
    write(&tree.join("usr/share/names/Ä-b"), "not ASCII\n");
    symlink("usr/sbin", tree.join("sbin")).unwrap();
    fs::hard_link(
        tree.join("usr/share/long"),
        tree.join("usr/share/other-name"),
    )
    .unwrap();
    let mode = |path: &str, mode| {
        fs::set_permissions(tree.join(path), Permissions::from_mode(mode)).unwrap();
    };
    mode("tmp", 0o1777);
    mode("usr/sbin/init", 0o755);
    chown(tree.join("var/empty"), Some(70_000), Some(8)).unwrap();
    let init = tree.join("usr/sbin/init");
    rustix::fs::setxattr(&init, "security.capability", &NET_RAW, XattrFlags::empty()).unwrap();
    rustix::fs::setxattr(&init, "user.note", b"kept", XattrFlags::empty()).unwrap();
    date_all(tree);
}

fn date_all(dir: &Path) {
    let set = |path: &Path, date| {
        let time = UNIX_EPOCH + Duration::from_secs(date);
        let times = FileTimes::new().set_accessed(time).set_modified(time);
        File::open(path).unwrap().set_times(times).unwrap();
    };
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_symlink() {
            let at = format!("@{DATE}");
            run("touch", &["-h", "-d", &at, path.to_str().unwrap()]);
        } else if path.is_dir() {
            date_all(&path);
        } else {
            set(&path, DATE);
        }
    }
    set(dir, DATE + 3600);
}

/// What is made of a tree.
#[derive(Clone, Copy, Debug)]
enum Product {
    /// `liveroot build`: a whole medium.
    Medium,
    /// `liveroot pack`: its payload.
    Payload,
}

/// One way to build: what stands in front of the program, its tree, and what else is odd.
struct Way {
    name: &'static str,
    before: Vec<String>,
    input: String,
    environment: Vec<(&'static str, &'static str)>,
}

fn way(name: &'static str, before: &[&str], input: &Path) -> Way {
    Way {
        name,
        before: before.iter().map(|word| (*word).to_owned()).collect(),
        input: input.display().to_string(),
        environment: Vec::new(),
    }
}

/// A workbench that others may use too, with its finished tree.
fn prepare() -> Bench {
    let bench = Bench::new();
    finish(&bench.tree());
    let open = |path: &Path| fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
    open(bench.dir.path());
    // The program may lie where only root comes.
    fs::copy(PROGRAM, bench.dir.path().join("liveroot")).unwrap();
    bench
}

/// The digest of what a way makes, with the length for the message.
fn digest(bench: &Bench, product: Product, way: &Way) -> (String, u64) {
    let out = bench.dir.path().join(format!("out-{}", way.name));
    fs::create_dir(&out).unwrap();
    fs::set_permissions(&out, Permissions::from_mode(0o777)).unwrap();
    let iso = out.join("a.iso");
    let agent = bench.agent();
    let (verb, more) = match product {
        Product::Medium => ("build", format!("--agent '{}'", agent.display())),
        Product::Payload => ("pack", String::new()),
    };
    let (input, to) = (&way.input, iso.display());
    let script = format!("cd / && exec \"$@\" {verb} '{input}' -o '{to}' {more}");
    let mut command = Command::new("sh");
    command.args(["-euc", &script, "sh"]).args(&way.before);
    command.arg(bench.dir.path().join("liveroot"));
    command
        .env_clear()
        .env("PATH", "/usr/bin:/usr/sbin:/bin:/sbin");
    command.envs(way.environment.iter().copied());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}: {}", way.name, text(&output));
    let bytes = fs::read(&iso).unwrap();
    fs::remove_dir_all(&out).unwrap();
    let hex = |byte: &u8| format!("{byte:02x}");
    let sum = Sha256::digest(&bytes).iter().map(hex).collect();
    (sum, bytes.len() as u64)
}

/// A copy whose directories were filled the other way round, so that they read otherwise.
fn copy_backwards(tree: &Path, to: &Path) {
    let script = "cd \"$1\"; mkdir -p \"$2\"; find . -depth -print0 | sort -rz | \
        cpio -0pdm --quiet \"$2\" 2>/dev/null; \
        tar --xattrs --xattrs-include='*' -cf - . | tar --xattrs --xattrs-include='*' -xpf - -C \"$2\"";
    let paths = [tree, to].map(|path| path.to_str().unwrap());
    run("sh", &["-euc", script, "sh", paths[0], paths[1]]);
}

/// Builds the workbench's tree in each of these ways, and all must be equal.
#[track_caller]
fn assert_same(bench: &Bench, product: Product, ways: &[Way]) {
    let plain = digest(bench, product, &way("plain", &[], &bench.tree()));
    for way in ways {
        let found = digest(bench, product, way);
        assert_eq!(found, plain, "{product:?} made the way {:?}", way.name);
    }
}

/// Another time zone, locale, umask, home; another user; another number of cores.
fn hosts(tree: &Path) -> Vec<Way> {
    let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    let nobody: Vec<&str> = nobody.split(' ').collect();
    let umask = ["sh", "-c", "umask 077; exec \"$@\"", "sh"];
    let mut foreign = way("foreign", &umask, tree);
    foreign.environment = vec![
        ("TZ", "Asia/Kathmandu"),
        ("LC_ALL", "C.UTF-8"),
        ("HOME", "/nowhere"),
        ("TMPDIR", "/var/tmp"),
    ];
    let one_core = way("one-core", &["taskset", "-c", "0"], tree);
    vec![foreign, way("nobody", &nobody, tree), one_core]
}

/// The tree in another directory, in which its files lie in another order.
fn elsewhere(bench: &Bench) -> Way {
    let other = bench.dir.path().join("another place/of the tree");
    copy_backwards(&bench.tree(), &other);
    way("elsewhere", &[], &other)
}

fn can_run() -> bool {
    have("root", is_root()) && have_tools(&["setpriv", "taskset", "cpio", "tar", "touch"])
}

#[test]
fn a_payload_is_the_same_whoever_makes_it_and_wherever() {
    if !can_run() {
        return;
    }
    let bench = prepare();
    let mut ways = hosts(&bench.tree());
    ways.push(elsewhere(&bench));
    assert_same(&bench, Product::Payload, &ways);
}

#[test]
fn a_medium_is_the_same_whoever_makes_it() {
    if !can_run() {
        return;
    }
    let bench = prepare();
    assert_same(&bench, Product::Medium, &hosts(&bench.tree()));
}

#[test]
fn a_medium_is_the_same_from_another_place() {
    if !can_run() {
        return;
    }
    let bench = prepare();
    assert_same(&bench, Product::Medium, &[elsewhere(&bench)]);
}

/// GNU tar's words for an archive that has all of a tree.
const TAR: &str = "tar --format=pax --xattrs --xattrs-include=* --numeric-owner";

#[test]
fn the_payload_of_a_tar_is_that_of_its_directory() {
    archives(Product::Payload);
}

#[test]
fn the_medium_of_a_tar_is_that_of_its_directory() {
    archives(Product::Medium);
}

fn archives(product: Product) {
    if !have("root", is_root()) || !have_tools(&["tar", "gzip", "zstd", "xz"]) {
        return;
    }
    let bench = prepare();
    let mut ways = Vec::new();
    for (name, options) in [("tar", "--sort=name"), ("gzip", "-z"), ("zstd", "--zstd")] {
        let archive: PathBuf = bench.dir.path().join(format!("tree.{name}"));
        let mut words = TAR.split(' ').skip(1).chain([options]).collect::<Vec<_>>();
        let (to, from) = (
            archive.display().to_string(),
            bench.tree().display().to_string(),
        );
        words.extend(["-cf", &to, "-C", &from, "."]);
        run("tar", &words);
        ways.push(way(name, &[], &archive));
    }
    let script = format!("{TAR} -cf - -C '{}' . | \"$@\"", bench.tree().display());
    ways.push(way("stream", &["sh", "-c", &script, "sh"], Path::new("-")));
    assert_same(&bench, product, &ways);
}

/// It changes with the version of liveroot, of zstd, and with what is put on a medium: then
/// `BLESS=1 cargo test --test same_bytes` writes it anew, and CHANGELOG.md says so. It must
/// never change for a machine.
#[test]
#[ignore = "until no program of the host has a part in it"]
fn the_digest_of_a_fixed_tree_is_as_it_was() {
    if !have("root", is_root()) || !have_tools(&[]) {
        return;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/same_bytes/sha256");
    let bench = prepare();
    let (sum, length) = digest(&bench, Product::Medium, &way("plain", &[], &bench.tree()));
    let line = format!("{sum} {length}\n");
    if std::env::var_os("BLESS").is_some() {
        write(&file, &line);
    }
    assert_eq!(fs::read_to_string(&file).unwrap_or_default(), line);
}
