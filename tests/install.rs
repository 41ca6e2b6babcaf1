//! `make install` and the package of Debian: exactly these files, where others look for them,
//! the same bytes each time. Small files stand in for the programs, which cargo has made.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, UNIX_EPOCH};
use tempfile::TempDir;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What is installed, beside dracut's modules and docs; the programs first.
const FILES: [&str; 15] = [
    "usr/bin/liveroot",
    "usr/lib/liveroot/liveroot-init",
    "usr/share/bash-completion/completions/liveroot",
    "usr/share/doc/liveroot/CHANGELOG.md",
    "usr/share/doc/liveroot/README.md",
    "usr/share/fish/vendor_completions.d/liveroot.fish",
    "usr/share/licenses/liveroot/LICENSE",
    "usr/share/licenses/liveroot/LICENSE-APACHE",
    "usr/share/licenses/liveroot/LICENSE-MIT",
    "usr/share/man/man1/liveroot-inspect.1",
    "usr/share/man/man1/liveroot-verify.1",
    "usr/share/man/man1/liveroot.1",
    "usr/share/man/man7/liveroot.cmdline.7",
    "usr/share/man/man8/liveroot-init.8",
    "usr/share/zsh/site-functions/_liveroot",
];

/// What Debian has elsewhere, compressed, or by its own rules; `None` is left out.
const DEBIAN: [(&str, Option<&str>); 10] = [
    (
        "usr/share/doc/liveroot/CHANGELOG.md",
        Some("usr/share/doc/liveroot/CHANGELOG.md.gz"),
    ),
    ("usr/share/licenses/liveroot/LICENSE", None),
    ("usr/share/licenses/liveroot/LICENSE-APACHE", None),
    ("usr/share/licenses/liveroot/LICENSE-MIT", None),
    (
        "usr/share/man/man1/liveroot-inspect.1",
        Some("usr/share/man/man1/liveroot-inspect.1.gz"),
    ),
    (
        "usr/share/man/man1/liveroot-verify.1",
        Some("usr/share/man/man1/liveroot-verify.1.gz"),
    ),
    (
        "usr/share/man/man1/liveroot.1",
        Some("usr/share/man/man1/liveroot.1.gz"),
    ),
    (
        "usr/share/man/man7/liveroot.cmdline.7",
        Some("usr/share/man/man7/liveroot.cmdline.7.gz"),
    ),
    (
        "usr/share/man/man8/liveroot-init.8",
        Some("usr/share/man/man8/liveroot-init.8.gz"),
    ),
    (
        "usr/share/zsh/site-functions/_liveroot",
        Some("usr/share/zsh/vendor-completions/_liveroot"),
    ),
];
const DEBIAN_ONLY: [&str; 3] = [
    "usr/share/doc/liveroot/changelog.gz",
    "usr/share/doc/liveroot/copyright",
    "usr/share/lintian/overrides/liveroot",
];

/// Programs that say who they are.
fn programs() -> TempDir {
    let dir = TempDir::new().unwrap();
    for name in ["liveroot", "liveroot-init"] {
        let path = dir.path().join(name);
        fs::write(&path, format!("#!/bin/sh\necho {name}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    }
    dir
}

/// Fails with the tool's words.
fn run(command: &mut Command) -> Output {
    let done = command.current_dir(ROOT).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {said}");
    done
}

fn make(target: &str, tree: &Path, built: &Path) -> Output {
    run(Command::new("make")
        .args(["--silent", target])
        .arg(format!("DESTDIR={}", tree.display()))
        .arg(format!("BUILT={}", built.display())))
}

/// Names of all files, sorted, relative to `below`.
fn files(dir: &Path, below: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, below));
        } else {
            found.push(path.strip_prefix(below).unwrap().display().to_string());
        }
    }
    found.sort();
    found
}

/// [`FILES`], the modules of dracut and the docs.
fn expected() -> Vec<String> {
    let root = Path::new(ROOT);
    let modules = root.join("dracut-module");
    let modules = files(&modules, &modules)
        .into_iter()
        .map(|name| format!("usr/lib/dracut/modules.d/{name}"));
    let docs = files(&root.join("docs"), root)
        .into_iter()
        .map(|name| format!("usr/share/doc/liveroot/{name}"));
    let mut names: Vec<String> = FILES.map(String::from).to_vec();
    names.extend(modules.chain(docs));
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn make_installs_these_files_and_takes_each_away_again() {
    let (tree, built) = (TempDir::new().unwrap(), programs());
    make("install", tree.path(), built.path());
    assert_eq!(files(tree.path(), tree.path()), expected());
    for name in expected() {
        let program = name.starts_with("usr/lib/dracut") || FILES[..2].contains(&&*name);
        let mode = mode(&tree.path().join(&name));
        assert_eq!(mode, if program { 0o755 } else { 0o644 }, "{name}");
    }
    make("uninstall", tree.path(), built.path());
    assert_eq!(files(tree.path(), tree.path()), Vec::<String>::new());
}

#[test]
fn what_is_installed_is_where_others_look() {
    let text = |path: &str| fs::read_to_string(Path::new(ROOT).join(path)).unwrap();
    let agent = format!("/{}", FILES[1]);
    let module = text("dracut-module/55liveroot/module-setup.sh");
    assert!(module.contains(&format!("\nliveroot_agent={agent}\n")));
    for reader in ["src/builder/agent.rs", "docs/dracut.md", "man/liveroot.1"] {
        let said = text(reader).replace("\\-", "-");
        assert!(said.contains(&agent), "{reader} does not name {agent}");
    }
}

#[test]
fn make_install_says_what_is_missing() {
    let (tree, built) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let done = Command::new("make")
        .args(["--silent", "install"])
        .arg(format!("DESTDIR={}", tree.path().display()))
        .arg(format!("BUILT={}", built.path().display()))
        .current_dir(ROOT)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(
        !done.status.success() && said.contains("run make first"),
        "{said}"
    );
    assert_eq!(files(tree.path(), tree.path()), Vec::<String>::new());
}

/// Seconds since 1970: later than any file of the checkout, or dpkg-deb alone would do.
const DATE: u64 = 4_000_000_000;

/// With a umask and a zone of its own, so that neither counts.
fn package(built: &Path, umask: &str, zone: &str) -> (TempDir, PathBuf) {
    let out = TempDir::new().unwrap();
    run(Command::new("sh")
        .args([
            "-euc",
            "umask \"$1\"; exec packaging/build-deb \"$2\"",
            "sh",
            umask,
        ])
        .arg(out.path())
        .env("BUILT", built)
        .env("SOURCE_DATE_EPOCH", DATE.to_string())
        .env("TZ", zone));
    let name = format!("liveroot_{}_amd64.deb", env!("CARGO_PKG_VERSION"));
    let file = out.path().join(name);
    (out, file)
}

#[test]
fn the_package_has_the_same_files_and_the_same_bytes_each_time() {
    let built = programs();
    let (_first, one) = package(built.path(), "022", "UTC");
    let (_second, other) = package(built.path(), "077", "Asia/Tokyo");
    assert!(
        fs::read(&one).unwrap() == fs::read(&other).unwrap(),
        "two packages of one source differ"
    );

    let tree = TempDir::new().unwrap();
    run(Command::new("dpkg-deb")
        .arg("-x")
        .arg(&one)
        .arg(tree.path()));
    assert_eq!(mode(tree.path()), 0o755);
    let mut names: Vec<String> = DEBIAN_ONLY.map(String::from).to_vec();
    names.extend(expected().into_iter().filter_map(|name| {
        match DEBIAN.iter().find(|(ours, _)| *ours == name) {
            Some((_, debian)) => debian.map(String::from),
            None => Some(name),
        }
    }));
    names.sort();
    assert_eq!(files(tree.path(), tree.path()), names);
    for name in names {
        let path = tree.path().join(&name);
        let changed = fs::metadata(&path).unwrap().modified().unwrap();
        assert_eq!(changed, UNIX_EPOCH + Duration::from_secs(DATE), "{name}");
        // RFC 1952, 2.3: the time of the file that was packed.
        let time = &fs::read(&path).unwrap()[4..8];
        assert!(!name.ends_with(".gz") || time == [0; 4], "{name}");
    }

    // What dpkg compares installed files with.
    let sums = TempDir::new().unwrap();
    run(Command::new("dpkg-deb")
        .arg("-e")
        .arg(&one)
        .arg(sums.path()));
    run(Command::new("sh")
        .args([
            "-euc",
            "cd \"$1\"; exec md5sum --quiet -c \"$2/md5sums\"",
            "sh",
        ])
        .args([tree.path(), sums.path()]));
}
