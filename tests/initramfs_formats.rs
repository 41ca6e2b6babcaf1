//! What the builder writes, read by the real tools, and what the real tools wrote, read by
//! us: cpio(1) and kmod's modules.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use liveroot::ondisk::cpio::{self, Archive};
use liveroot::ondisk::elf::{EM_X86_64, Elf, modinfo_values};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn have(what: &str, available: bool) -> bool {
    if !available {
        assert!(
            std::env::var_os("LIVEROOT_STRICT").is_none(),
            "missing: {what}"
        );
        eprintln!("skipped: missing {what}");
    }
    available
}

/// Feeds a program and gives what it printed; it must succeed.
#[track_caller]
fn pipe(program: &str, args: &[&str], dir: &Path, input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program} failed");
    output.stdout
}

fn have_cpio() -> bool {
    have(
        "cpio",
        Command::new("cpio").arg("--version").output().is_ok(),
    )
}

#[test]
fn cpio_lists_our_archive_with_types_modes_owners_and_lengths() {
    if !have_cpio() {
        return;
    }
    let mut archive = Archive::new();
    archive.char_device("dev/console", 0o600, 5, 1);
    archive.file("init", 0o755, vec![1; 1001]);
    archive.file("etc/empty", 0o644, Vec::new());
    archive.dir("proc");
    let bytes = archive.to_bytes().unwrap();
    let listing = pipe("cpio", &["-tvn", "--quiet"], Path::new("/"), &bytes);
    let listing = String::from_utf8(listing).unwrap();
    // Dates are the time zone's; all else is fixed.
    let lines: Vec<_> = listing
        .lines()
        .map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let size = words[4..words.len() - 4].concat();
            format!(
                "{} {} {} {size} {}",
                words[0],
                words[2],
                words[3],
                words[words.len() - 1]
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            "drwxr-xr-x 0 0 0 dev",
            "crw------- 0 0 5,1 dev/console",
            "drwxr-xr-x 0 0 0 etc",
            "-rw-r--r-- 0 0 0 etc/empty",
            "-rwxr-xr-x 0 0 1001 init",
            "drwxr-xr-x 0 0 0 proc",
        ]
    );
}

#[test]
fn we_read_what_cpio_writes() {
    if !have_cpio() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    std::fs::write(dir.path().join("sub/file"), b"some bytes").unwrap();
    let bytes = pipe(
        "cpio",
        &["-o", "-H", "newc", "--quiet"],
        dir.path(),
        b"sub\nsub/file\n",
    );
    let (entries, used) = cpio::read(&bytes).unwrap();
    assert_eq!(entries.len(), 2);
    assert!(entries[0].is_dir());
    assert_eq!(entries[1].name, "sub/file");
    assert_eq!(entries[1].data, b"some bytes");
    assert!(used <= bytes.len());
}

/// Uncompressed modules of this machine, or of the tree that LIVEROOT_TREE names.
fn some_module() -> Option<PathBuf> {
    let tree = std::env::var_os("LIVEROOT_TREE").map_or(PathBuf::from("/"), PathBuf::from);
    let mut todo = vec![tree.join("usr/lib/modules"), tree.join("lib/modules")];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).ok().into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|e| e == "ko") {
                return Some(path);
            }
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                todo.push(path);
            }
        }
    }
    None
}

#[test]
fn a_real_module_says_what_it_is() {
    let module = some_module();
    if !have(
        "a .ko file (LIVEROOT_TREE names a tree with one)",
        module.is_some(),
    ) {
        return;
    }
    let path = module.unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let elf = Elf::parse(&bytes).unwrap();
    assert_eq!(elf.machine().unwrap(), EM_X86_64);
    assert!(!elf.is_program().unwrap(), "a module is relocatable");
    let modinfo = elf.section(".modinfo").unwrap().unwrap();
    let name = path
        .file_stem()
        .unwrap()
        .to_string_lossy()
        .replace('-', "_");
    assert_eq!(modinfo_values(modinfo, "name"), [name.as_str()]);
    assert!(modinfo_values(modinfo, "vermagic")[0].contains("SMP"));
}
