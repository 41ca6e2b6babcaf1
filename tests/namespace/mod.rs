//! What tests on real loop devices have in common: whether they can run, a mount namespace of
//! their own, tools.

#![allow(dead_code, clippy::unwrap_used)]

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

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
