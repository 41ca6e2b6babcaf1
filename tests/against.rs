//! `--check-against`: what differs is named, by the structure and its field.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;

use bench::*;
use liveroot::inspect::differ::{Difference, differ};
use liveroot::layout::Span;
use liveroot::ondisk::{ByteSource, ReadError, regions::regions};
use std::fs;
use std::process::Command;

/// A newer file would change all dates.
const EPOCH: &str = "1700000000";

struct Disk(Vec<u8>);

impl ByteSource for Disk {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        self.0.read_at(offset, buf)
    }
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

fn built(bench: &Bench) -> Vec<u8> {
    let mut command = bench.command();
    let output = command.env("SOURCE_DATE_EPOCH", EPOCH).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    fs::read(bench.iso()).unwrap()
}

fn difference(ours: &[u8], other: &[u8]) -> Option<Difference> {
    let (ours, other) = (Disk(ours.to_vec()), Disk(other.to_vec()));
    differ(&ours, &other, &mut |_, _| true).unwrap()
}

/// One changed byte, at a place in the first structure of a name.
fn changed(iso: &[u8], spans: &[Span], name: &str, at: usize) -> Difference {
    let span = spans.iter().find(|span| span.name == name);
    let span = span.unwrap_or_else(|| panic!("{name} in {spans:?}"));
    let mut other = iso.to_vec();
    other[span.at.start as usize + at] ^= 1;
    let found = difference(iso, &other).unwrap();
    assert_eq!(found.structure, name, "{found}");
    found
}

#[test]
fn one_changed_byte_is_named_by_its_structure_and_field() {
    if !have_tools(&[]) {
        return;
    }
    let bench = Bench::new();
    let iso = built(&bench);
    assert_eq!(difference(&iso, &iso), None);
    let spans = regions(&Disk(iso.clone())).unwrap();
    // The second record of the root is "..": its date is at byte 18, its length the first.
    for (name, at, field) in [
        ("GPT header", 56, "disk id"),
        ("GPT entries", 56, "partition 1: name"),
        ("GPT backup entries", 128 + 32, "partition 2: first sector"),
        ("El Torito catalogue", 38, "count of sectors"),
        ("ISO 9660 volume descriptor", 813, "created"),
        ("ESP: boot sector", 39, "volume id, FAT16"),
        ("/LiveOS/squashfs.img", 20, "compressor"),
    ] {
        let found = changed(&iso, &spans, name, at);
        assert_eq!(found.field.as_deref(), Some(field), "{found}");
    }
    let root = spans
        .iter()
        .find(|span| span.name == "directory /")
        .unwrap();
    let own = usize::from(iso[root.at.start as usize]);
    let found = changed(&iso, &spans, "directory /", own + 18);
    assert_eq!(found.field.as_deref(), Some("..: recorded"), "{found}");
    // Entries of a long name stand in front of the short one.
    let root = spans.iter().find(|span| span.name == "ESP: directory /");
    let at = root.unwrap().at.start as usize;
    let mut entries = iso[at..].chunks(32);
    let short = entries.position(|entry| entry[11] != 0x0f).unwrap();
    let found = changed(&iso, &spans, "ESP: directory /", 32 * short + 22);
    let field = found.field.clone().unwrap();
    assert!(field.ends_with(": modified"), "{found}");
    let found = changed(&iso, &spans, "/EFI/liveroot/linux.efi: .cmdline", 3);
    assert_eq!(found.at, found.other_at, "{found}");
}

#[test]
fn a_changed_tree_is_found_in_the_payload_and_not_in_what_follows_from_it() {
    if !have_tools(&[]) {
        return;
    }
    let bench = Bench::new();
    let ours = built(&bench);
    let more: Vec<u8> = (0..3 * MIB).map(|n| ((n * n) >> 7) as u8).collect();
    write(&bench.tree().join("etc/more"), more);
    let found = difference(&ours, &built(&bench)).unwrap();
    assert_eq!(found.structure, "/LiveOS/squashfs.img", "{found}");
    let also = |word: &str| found.also.iter().position(|name| name.contains(word));
    assert!(
        also("/LiveOS/liveroot.json") < also("directory /LiveOS"),
        "{found}"
    );
    assert!(also("directory /LiveOS").is_some(), "{found}");
    assert_eq!(found.field.as_deref(), Some("/etc/more"), "{found}");
    assert_eq!((&*found.ours, &*found.other), ("absent", "present"));
}

#[test]
fn what_differs_in_a_file_of_the_payload_is_named_with_its_path() {
    if !have_tools(&[]) {
        return;
    }
    use std::os::unix::fs::{PermissionsExt, symlink};
    let bench = Bench::new();
    let at = |path: &str| bench.tree().join(path);
    let set = |words: &[&str], path: &str| {
        run(
            words[0],
            &[&words[1..], &[at(path).to_str().unwrap()]].concat(),
        );
    };
    write(&at("etc/text"), "one\n".repeat(100_000));
    symlink("text", at("etc/link")).unwrap();
    let dates = ["-d", "@1600000000"];
    let old = |path: &str| set(&[&["touch", "-h"], &dates[..]].concat(), path);
    let reset = || ["etc/text", "etc/link", "etc"].map(old);
    reset();
    let ours = built(&bench);
    let mut text = "one\n".repeat(100_000).into_bytes();
    text[262_150] = b'x';
    let changes: [(&dyn Fn(), &str, &str, &str); 5] = [
        (
            &|| write(&at("etc/text"), &text),
            "/etc/text: contents",
            "at byte 262150",
            "0x78",
        ),
        (
            &|| set(&["touch", "-d", "@1500000000"], "etc/text"),
            "/etc/text: mtime",
            "1600000000",
            "1500000000",
        ),
        (
            &|| fs::set_permissions(at("etc/text"), fs::Permissions::from_mode(0o600)).unwrap(),
            "/etc/text: mode",
            "0644",
            "0600",
        ),
        (
            &|| write(&at("etc/text"), "short"),
            "/etc/text: size",
            "400000",
            "5",
        ),
        (
            &|| {
                fs::remove_file(at("etc/link")).unwrap();
                symlink("hosts", at("etc/link")).unwrap();
            },
            "/etc/link: link target",
            "\"text\"",
            "\"hosts\"",
        ),
    ];
    for (change, field, here, there) in changes {
        change();
        if !field.ends_with("mtime") {
            reset();
        }
        let found = difference(&ours, &built(&bench)).unwrap();
        assert_eq!(found.structure, "/LiveOS/squashfs.img", "{found}");
        assert_eq!(found.field.as_deref(), Some(field), "{found}");
        assert!(
            found.ours.contains(here) && found.other.contains(there),
            "{found}"
        );
        // As it was.
        write(&at("etc/text"), "one\n".repeat(100_000));
        fs::set_permissions(at("etc/text"), fs::Permissions::from_mode(0o644)).unwrap();
        reset();
    }
    fs::remove_file(at("etc/link")).unwrap();
    symlink("text", at("etc/link")).unwrap();
    reset();
    if have("root, to give files away", is_root()) {
        set(&["chown", "12:34"], "etc/text");
        let found = difference(&ours, &built(&bench)).unwrap();
        assert_eq!(found.field.as_deref(), Some("/etc/text: uid"), "{found}");
        set(&["chown", "0:34"], "etc/text");
        let found = difference(&ours, &built(&bench)).unwrap();
        assert_eq!(found.field.as_deref(), Some("/etc/text: gid"), "{found}");
        set(&["chown", "0:0"], "etc/text");
    }
    let name = "trusted.note";
    let flags = rustix::fs::XattrFlags::empty();
    let done = rustix::fs::setxattr(at("etc/text"), name, b"a", flags);
    if have("trusted attributes", done.is_ok()) {
        let found = difference(&ours, &built(&bench)).unwrap();
        assert_eq!(found.field.as_deref(), Some("/etc/text: xattrs"), "{found}");
        assert_eq!(found.other, "[trusted.note=\"a\"]");
    }
}

#[test]
fn a_cut_image_is_named_by_what_it_lacks() {
    if !have_tools(&[]) {
        return;
    }
    let bench = Bench::new();
    let iso = built(&bench);
    for length in [iso.len() - 1, iso.len() / 2, 40_000, 0] {
        let found = difference(&iso, &iso[..length]);
        assert!(found.is_some(), "{length}");
    }
}

#[test]
fn the_command_compares_and_leaves_nothing() {
    if !have_tools(&[]) {
        return;
    }
    let bench = Bench::new();
    let mut iso = built(&bench);
    let temp = bench.dir.path().join("temp");
    fs::create_dir(&temp).unwrap();
    let check = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_liveroot"));
        command
            .arg("build")
            .arg(bench.tree())
            .arg("--agent")
            .arg(bench.agent());
        command.arg("--check-against").arg(bench.iso());
        command.env("TMPDIR", &temp).env("SOURCE_DATE_EPOCH", EPOCH);
        let output = command.output().unwrap();
        assert_eq!(fs::read_dir(&temp).unwrap().count(), 0);
        let said = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), said)
    };
    let (code, said) = check();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.ends_with("live.iso: the same bytes\n"), "{said}");
    iso[1024 + 56] ^= 1;
    write(&bench.iso(), &iso);
    let (code, said) = check();
    assert_eq!(code, Some(1));
    assert!(
        said.contains("differs: GPT entries, partition 1: name: here \""),
        "{said}"
    );
}

/// Whoever packed them: the same files, so that only the superblocks differ.
#[test]
fn equal_files_in_unlike_images_are_not_named() {
    if !have_tools(&[]) {
        return;
    }
    let bench = Bench::new();
    let numbers: String = (0..40_000).map(|n: u32| n.pow(2).to_string()).collect();
    write(&bench.tree().join("etc/text"), numbers);
    let ours = built(&bench);
    for compressor in ["zstd", "gzip", "xz", "lz4"] {
        let mut command = bench.command();
        command.args(["--compressor", compressor, "--squashfs-tool", "mksquashfs"]);
        let output = command.env("SOURCE_DATE_EPOCH", EPOCH).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let theirs = fs::read(bench.iso()).unwrap();
        let found = difference(&ours, &theirs).unwrap();
        let field = found.field.clone().unwrap_or_default();
        assert!(!field.starts_with('/'), "{compressor}: {found}");
        // The contents of a file are read however it is packed.
        let changed = bench.tree().join("etc/text");
        let before = fs::read(&changed).unwrap();
        let mut bytes = before.clone();
        bytes[200_000] ^= 1;
        let date = fs::metadata(&changed).unwrap().modified().unwrap();
        write(&changed, bytes);
        let file = fs::File::options().write(true).open(&changed).unwrap();
        file.set_modified(date).unwrap();
        let found = difference(&built(&bench), &theirs).unwrap();
        assert_eq!(
            found.field.as_deref(),
            Some("/etc/text: contents"),
            "{found}"
        );
        assert!(found.ours.contains("at byte 200000"), "{found}");
        write(&changed, before);
        file.set_modified(date).unwrap();
    }
}
