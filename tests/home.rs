//! /home on a partition of its own, on real loop devices.
#![allow(clippy::unwrap_used)]

mod namespace;

use liveroot::boot::home;
use liveroot::boot::loader::Loader;
use liveroot::boot::machine::Machine;
use liveroot::boot::report::Report;
use liveroot::ondisk::FsKind;
use liveroot::request::decide_request;
use liveroot::sys::mount;
use namespace::{Disk, possible, run, text};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;

/// A root whose /home has a user's directory, and a partition for it.
struct Bench {
    machine: Machine,
    loader: Loader,
    report: Report,
    disk: Disk,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        namespace::enter();
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(dir.path(), &["mkfs.ext4", "-q"]);
        let machine = Machine {
            proc: "/proc".into(),
            sys: "/sys".into(),
            dev: "/dev".into(),
            ..Machine::below(dir.path().join("root"))
        };
        for root in [machine.rootfsbase(), machine.sysroot.clone()] {
            for dir in ["bin", "dev", "proc", "sys", "mnt", "home/user"] {
                fs::create_dir_all(root.join(dir)).unwrap();
            }
            fs::copy("/bin/busybox", root.join("bin/cp")).unwrap();
        }
        let user = machine.sysroot.join("home/user");
        fs::write(user.join("file"), "of the image").unwrap();
        fs::set_permissions(&user, fs::Permissions::from_mode(0o700)).unwrap();
        chown(&user, Some(1000), Some(1000)).unwrap();
        let mut report = Report::new(&decide_request(&[]));
        let loader = Loader::start(&machine, Vec::new(), Vec::new(), &mut report);
        Bench {
            machine,
            loader,
            report,
            disk,
            _dir: dir,
        }
    }

    fn mount(&mut self, readonly: bool) {
        self.report.notices.clear();
        self.report.home = None;
        let keeper = self.disk.keeper(Some(FsKind::Ext), false);
        home::mount(
            &self.machine,
            &self.loader,
            &keeper,
            readonly,
            &mut self.report,
        );
    }

    fn at(&self, path: &str) -> PathBuf {
        self.machine.sysroot.join("home").join(path)
    }

    fn unmount(&self) {
        mount::unmount(&self.at(""), false).unwrap();
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let m = &self.machine;
        for at in [self.at(""), m.run.join("initramfs/home"), m.overlay()] {
            while mount::unmount(&at, true).is_ok() {}
        }
    }
}

#[test]
fn an_empty_partition_gets_the_users_directories_and_then_keeps_them() {
    if !possible(&["ext4"]) {
        return;
    }
    let mut bench = Bench::new();
    bench.mount(false);
    assert_eq!(bench.report.notices, Vec::<String>::new());
    assert_eq!(bench.report.home.as_ref().unwrap().fs, "ext4");
    assert_eq!(
        fs::read_to_string(bench.at("user/file")).unwrap(),
        "of the image"
    );
    let meta = fs::metadata(bench.at("user")).unwrap();
    assert_eq!((meta.uid(), meta.mode() & 0o7777), (1000, 0o700));
    fs::remove_file(bench.at("user/file")).unwrap();
    fs::write(bench.at("user/mine"), "x").unwrap();
    bench.unmount();
    bench.mount(false);
    assert!(bench.at("user/mine").exists() && !bench.at("user/file").exists());
}

#[test]
fn a_copy_that_power_cut_short_is_made_whole_and_overwrites_nothing() {
    if !possible(&["ext4"]) {
        return;
    }
    let mut bench = Bench::new();
    bench.disk.elsewhere(|at| {
        fs::create_dir_all(at.join(".liveroot-copying/user")).unwrap();
        fs::write(at.join(".liveroot-copying/user/half"), "").unwrap();
    });
    bench.mount(false);
    assert!(bench.at("user/file").exists() && !bench.at("user/half").exists());
    bench.unmount();
    // Some of the whole copy had been moved already, and what is there stays.
    bench.disk.elsewhere(|at| {
        fs::create_dir_all(at.join(".liveroot-copied/user")).unwrap();
        fs::create_dir_all(at.join(".liveroot-copied/other")).unwrap();
        fs::write(at.join(".liveroot-copied/user/file"), "again").unwrap();
        fs::write(at.join("user/file"), "changed").unwrap();
    });
    bench.mount(false);
    assert_eq!(bench.report.notices, Vec::<String>::new());
    assert!(bench.at("other").exists());
    assert_eq!(
        fs::read_to_string(bench.at("user/file")).unwrap(),
        "changed"
    );
    assert!(!bench.at(".liveroot-copied").exists());
}

#[test]
fn a_link_at_home_does_not_lead_out_of_the_new_root() {
    if !possible(&["ext4"]) {
        return;
    }
    let mut bench = Bench::new();
    let outside = bench.machine.root.join("outside");
    fs::create_dir(&outside).unwrap();
    fs::remove_dir_all(bench.at("")).unwrap();
    std::os::unix::fs::symlink(&outside, bench.machine.sysroot.join("home")).unwrap();
    bench.mount(false);
    assert!(bench.report.home.is_none());
    assert!(bench.report.notices[0].contains("Not a directory"));
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    assert!(!mounts.contains(text(&outside)));
}

#[test]
fn a_damaged_partition_is_not_mounted_and_the_user_is_told() {
    if !possible(&["ext4"]) {
        return;
    }
    let mut bench = Bench::new();
    // 2 is EXT4_ERROR_FS; the image has no fsck.ext4.
    run(
        "debugfs",
        &["-w", "-R", "ssv state 2", text(&bench.disk.file)],
    );
    let before = bench.disk.digest();
    bench.mount(false);
    assert!(bench.report.home.is_none());
    assert!(bench.report.notices[0].contains("damaged"));
    assert_eq!(bench.disk.digest(), before);
    assert!(bench.at("user/file").exists(), "the root's own");
}

#[test]
fn what_is_only_seen_takes_writes_in_memory() {
    if !possible(&["ext4", "overlay"]) {
        return;
    }
    let mut bench = Bench::new();
    bench.mount(false);
    bench.unmount();
    let before = bench.disk.digest();
    for protect in [false, true] {
        if protect {
            run("blockdev", &["--setro", &bench.disk.device]);
        }
        bench.mount(!protect);
        assert_eq!(bench.report.notices, Vec::<String>::new());
        assert!(bench.at("user/file").exists());
        fs::write(bench.at("user/new"), "x").unwrap();
        bench.unmount();
        mount::unmount(&bench.machine.run.join("initramfs/home"), false).unwrap();
    }
    assert_eq!(bench.disk.digest(), before);
}
