//! What tests on real loop devices have in common: whether they can run, a mount namespace of
//! their own, tools.

#![allow(dead_code, clippy::unwrap_used)]

use liveroot::boot::hunt::upper::Keeper;
use liveroot::ondisk::{FsFacts, FsKind};
use liveroot::plan::medium::Device;
use liveroot::units::Sectors;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Whether a test that needs root, loop devices and these file systems can run here; says why
/// not. Under `LIVEROOT_STRICT=1` that is a failure.
pub fn possible(filesystems: &[&str]) -> bool {
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let mut missing: Vec<String> = filesystems
        .iter()
        .filter(|fs| !known.split_whitespace().any(|k| k == **fs))
        .map(|fs| format!("the kernel has no {fs}"))
        .collect();
    if !rustix::process::geteuid().is_root() {
        missing.push("not root".into());
    }
    if !Path::new("/dev/loop-control").exists() {
        missing.push("no /dev/loop-control".into());
    }
    if missing.is_empty() {
        return true;
    }
    let strict = std::env::var_os("LIVEROOT_STRICT").is_some_and(|v| v == "1");
    assert!(!strict, "skipped under LIVEROOT_STRICT: {missing:?}");
    println!("skipped: {missing:?}");
    false
}

/// Gives this thread mounts of its own: the harness runs others beside it.
pub fn enter() {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
    let none: Option<&str> = None;
    let private = nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE;
    nix::mount::mount(none, "/", none, private, none).unwrap();
}

/// Runs a tool; what it said.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|e| panic!("{program}: {e}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The loop device, `/dev/loopN`, that a file is attached to. Its read-only flag outlives
/// whoever set it, and is taken off.
pub fn attach_for_writing(file: &Path) -> String {
    let device = run("losetup", &["--find", "--show", text(file)]);
    run("blockdev", &["--setrw", &device]);
    device
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A disk of the user's: a file on a loop device that takes writes.
#[derive(Debug)]
pub struct Disk {
    /// The file.
    pub file: std::path::PathBuf,
    /// `/dev/loopN`.
    pub device: String,
}

impl Disk {
    /// 32 MiB, with the file system that `mkfs` makes; empty without words.
    pub fn new(dir: &Path, mkfs: &[&str]) -> Self {
        let file = dir.join("disk.img");
        let made = std::fs::File::create(&file);
        made.unwrap().set_len(32 << 20).unwrap();
        if let [program, arguments @ ..] = mkfs {
            run(program, &[arguments, &[text(&file)]].concat());
        }
        let device = attach_for_writing(&file);
        Disk { file, device }
    }

    /// What the agent's search would tell of it.
    pub fn keeper(&self, fs: Option<FsKind>, ours: bool) -> Keeper {
        Keeper {
            device: Device {
                name: self.device.trim_start_matches("/dev/").to_owned(),
                size: Sectors(0),
                parent: None,
                partitions: vec![],
                optical: false,
                model: String::new(),
                host: None,
            },
            fs: fs.map(|kind| FsFacts {
                kind,
                label: None,
                uuid: None,
                size: None,
            }),
            ours,
            why: "the test says so".into(),
            unreadable: None,
        }
    }

    /// Works on the file system as another system would.
    pub fn elsewhere(&self, work: impl FnOnce(&Path)) {
        let at = self.file.with_extension("elsewhere");
        std::fs::create_dir_all(&at).unwrap();
        run("mount", &[&self.device, text(&at)]);
        work(&at);
        run("umount", &[text(&at)]);
    }

    /// SHA-256 of all of it.
    pub fn digest(&self) -> Vec<u8> {
        use sha2::Digest;
        sha2::Sha256::digest(std::fs::read(&self.file).unwrap()).to_vec()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for words in [["blockdev", "--setrw"], ["losetup", "-d"]] {
            let _ = Command::new(words[0])
                .args([words[1], &self.device])
                .status();
        }
    }
}

/// Fills a root that can be an image: an init, a file, and what makes it long.
pub fn make_root(tree: &Path) {
    fs::create_dir_all(tree.join("sbin")).unwrap();
    fs::create_dir_all(tree.join("usr/share/doc")).unwrap();
    fs::write(tree.join("sbin/init"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(tree.join("sbin/init"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(tree.join("usr/share/doc/a"), "from the image").unwrap();
    // Does not compress: an image must be long enough to be cut short.
    let noise: Vec<u8> = (0..8000u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    fs::write(tree.join("usr/share/noise"), noise).unwrap();
}
