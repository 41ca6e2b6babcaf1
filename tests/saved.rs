//! Saved changes on real loop devices, in a private mount namespace.
//!
//! Needs root; the host's kernel must have loop and ext4. A kernel without one of them skips
//! with its name, or fails under `LIVEROOT_STRICT=1`.

// Helpers of a test may panic as the test itself does.
#![allow(clippy::unwrap_used)]

mod namespace;

use liveroot::boot::loader::Loader;
use liveroot::boot::machine::Machine;
use liveroot::boot::report::Report;
use liveroot::boot::saved::{self, Own, Saved};
use liveroot::layout::Session;
use liveroot::ondisk::FsKind;
use liveroot::ondisk::session::parse_session;
use liveroot::request::{Request, decide_request, said};
use liveroot::sys::mount;
use liveroot::units::ImageId;
use namespace::{Disk, possible, run, text};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

/// A disk of the user's with a file system, and a machine that has found its medium.
struct Bench {
    machine: Machine,
    report: Report,
    loader: Loader,
    disk: Disk,
    fs: Option<FsKind>,
    own: Own,
    dir: tempfile::TempDir,
}

fn id(n: u8) -> ImageId {
    ImageId::from_digest(&[n; 32])
}

impl Bench {
    fn new(mkfs: &[&str], fs: Option<FsKind>) -> Self {
        namespace::enter();
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(dir.path(), mkfs);
        let machine = Machine {
            proc: "/proc".into(),
            sys: "/sys".into(),
            dev: "/dev".into(),
            ..Machine::below(dir.path().join("root"))
        };
        fs::create_dir_all(machine.rootfsbase().join("sbin")).unwrap();
        fs::set_permissions(machine.rootfsbase(), fs::Permissions::from_mode(0o751)).unwrap();
        let mut report = Report::new(&decide_request(&[]));
        let loader = Loader::start(&machine, Vec::new(), Vec::new(), &mut report);
        let own = Own {
            image: Some(id(1)),
            label: "LIVE".into(),
            uuid: "2026".into(),
            live_dir: "LiveOS".into(),
        };
        Bench {
            machine,
            report,
            loader,
            disk,
            fs,
            own,
            dir,
        }
    }

    fn ext4() -> Self {
        Bench::new(&["mkfs.ext4", "-q"], Some(FsKind::Ext))
    }

    fn open(&mut self, words: &str, ours: bool) -> Result<Saved, String> {
        let request = request(words);
        let keeper = self.disk.keeper(self.fs, ours);
        self.report.notices.clear();
        let (machine, loader) = (&self.machine, &self.loader);
        saved::open(
            machine,
            loader,
            &request.upper,
            &keeper,
            &self.own,
            &mut self.report,
        )
    }

    /// A path on the mounted file system.
    fn at(&self, path: &str) -> PathBuf {
        self.machine.saved().join(path)
    }

    fn session(&self, path: &str) -> Session {
        parse_session(&fs::read(self.at(path)).unwrap()).unwrap()
    }

    fn close(&self) {
        mount::unmount(&self.machine.saved(), false).unwrap();
    }

    fn last(&self) -> &str {
        self.report.upper.as_ref().unwrap().last.unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = mount::unmount(&self.machine.saved(), true);
    }
}

fn request(words: &str) -> Request {
    decide_request(&said::split(words.as_bytes()))
}

const SESSION: &str = "liveroot/current/session.json";

#[test]
fn directories_are_made_once_and_found_again() {
    if !possible(&["ext4"]) {
        return;
    }
    let mut bench = Bench::ext4();
    let flags = rustix::fs::XattrFlags::empty();
    let root_t = b"system_u:object_r:root_t:s0";
    rustix::fs::setxattr(
        bench.machine.rootfsbase(),
        "security.selinux",
        root_t,
        flags,
    )
    .unwrap();
    let first = bench.open("", true).unwrap();
    for made in [
        "liveroot",
        "liveroot/current/upper",
        "liveroot/current/work",
    ] {
        let mut label = [0u8; 64];
        let n = rustix::fs::getxattr(bench.at(made), "security.selinux", &mut label).unwrap();
        assert_eq!(&label[..n], root_t, "{made}");
    }
    assert_eq!(first.upper, bench.at("liveroot/current/upper"));
    assert_eq!(first.session.as_deref(), Some(SESSION));
    let mode = |path: &str| fs::metadata(bench.at(path)).unwrap().mode() & 0o7777;
    assert_eq!(mode("liveroot/current/work"), 0o700);
    assert_eq!(mode("liveroot/current"), 0o755);
    // The root's own mode, with the bits that let users in.
    assert_eq!(mode("liveroot/current/upper"), 0o755);
    let session = bench.session(SESSION);
    assert!(session.open && session.image == Some(id(1)) && session.label == "LIVE");
    assert_eq!(bench.last(), "new");
    fs::write(first.upper.join("kept"), "x").unwrap();
    fs::write(bench.at("liveroot/current/work/left-over"), "x").unwrap();
    bench.close();

    let second = bench.open("", true).unwrap();
    assert!(second.upper.join("kept").exists());
    assert!(!bench.at("liveroot/current/work/left-over").exists());
    // Nobody closed it.
    assert_eq!(bench.last(), "not-closed");
    assert!(bench.report.notices[0].contains("did not end cleanly"));
}

#[test]
fn another_images_changes_are_put_aside_or_kept() {
    if !possible(&["ext4"]) {
        return;
    }
    let mut bench = Bench::ext4();
    let first = bench.open("", true).unwrap();
    fs::write(first.upper.join("kept"), "x").unwrap();
    bench.close();
    bench.own.image = Some(id(2));
    bench.open("liveroot.onchange=fresh", true).unwrap();
    assert!(!bench.at("liveroot/current/upper/kept").exists());
    assert!(bench.at("liveroot/session-1/upper/kept").exists());
    assert_eq!(
        bench.session("liveroot/session-1/session.json").image,
        Some(id(1))
    );
    assert_eq!(bench.session(SESSION).image, Some(id(2)));
    assert!(bench.report.notices.iter().any(|n| n.contains("put aside")));
    fs::write(bench.at("liveroot/current/upper/second"), "x").unwrap();
    bench.close();

    bench.own.image = Some(id(3));
    bench.open("liveroot.onchange=keep", true).unwrap();
    assert!(bench.at("liveroot/current/upper/second").exists());
    assert!(
        bench
            .report
            .notices
            .iter()
            .any(|n| n.contains("onchange=keep"))
    );
    bench.close();
    bench.own.image = Some(id(4));
    bench.open("liveroot.onchange=fresh", true).unwrap();
    assert!(bench.at("liveroot/session-2/upper/second").exists());
    bench.close();
    // Back to the first image: its own changes come back.
    bench.own.image = Some(id(1));
    bench.open("liveroot.onchange=fresh", true).unwrap();
    assert!(bench.at("liveroot/current/upper/kept").exists());
    assert!(!bench.at("liveroot/session-1").exists());
    assert!(bench.at("liveroot/session-3").exists());
    assert!(
        bench
            .report
            .notices
            .iter()
            .any(|n| n.contains("taken up again"))
    );
}

#[test]
fn an_image_without_an_id_does_not_make_the_changes_anybodys() {
    if !possible(&["ext4"]) {
        return;
    }
    let mut bench = Bench::ext4();
    bench.open("", true).unwrap();
    bench.close();
    bench.own.image = None;
    bench.open("", true).unwrap();
    assert_eq!(bench.session(SESSION).image, Some(id(1)));
}

#[test]
fn what_a_newer_version_has_used_is_left_as_it_is() {
    if !possible(&["ext4"]) {
        return;
    }
    let mut bench = Bench::ext4();
    bench.open("", true).unwrap();
    let later = b"{\"schema\":2,\"image\":[]}";
    fs::write(bench.at(SESSION), later).unwrap();
    bench.close();
    let why = bench.open("", true).unwrap_err();
    assert!(why.contains("newer liveroot"), "{why}");
    bench
        .disk
        .elsewhere(|at| assert_eq!(fs::read(at.join(SESSION)).unwrap(), later));
}

#[test]
fn reset_throws_the_changes_away_and_finishes_what_was_begun() {
    if !possible(&["ext4"]) {
        return;
    }
    let mut bench = Bench::ext4();
    let first = bench.open("", true).unwrap();
    fs::write(first.upper.join("kept"), "x").unwrap();
    fs::create_dir_all(bench.at("liveroot/.current.reset/upper/old")).unwrap();
    bench.close();
    bench.open("", true).unwrap();
    assert!(!bench.at("liveroot/.current.reset").exists());
    assert!(bench.at("liveroot/current/upper/kept").exists());
    bench.close();
    bench.open("rd.overlay.reset", true).unwrap();
    assert!(!bench.at("liveroot/current/upper/kept").exists());
    assert!(!bench.at("liveroot/.current.reset").exists());
    assert!(
        bench
            .report
            .notices
            .iter()
            .any(|n| n.contains("thrown away"))
    );
}

#[test]
fn readonly_leaves_every_byte_as_it_was() {
    if !possible(&["ext4"]) {
        return;
    }
    let mut bench = Bench::ext4();
    let none = bench.open("rd.overlay.readonly", true).unwrap_err();
    assert!(none.contains("no saved changes"), "{none}");
    let first = bench.open("", true).unwrap();
    fs::write(first.upper.join("kept"), "x").unwrap();
    bench.close();
    let before = bench.disk.digest();
    let seen = bench.open("rd.live.overlay.readonly=1", true).unwrap();
    assert!(seen.upper.join("kept").exists() && seen.work.is_none() && seen.session.is_none());
    assert!(fs::write(seen.upper.join("new"), "x").is_err());
    assert_eq!(bench.report.upper.as_ref().unwrap().kind, "saved-readonly");
    bench.close();
    assert_eq!(bench.disk.digest(), before);
    let write_protected = bench.open("", true).unwrap();
    assert!(write_protected.work.is_none());
    assert!(bench.report.notices[0].contains("write-protected"));
    bench.close();
    let required = bench.open("liveroot.overlay=require", true).unwrap_err();
    assert!(required.contains("write-protected"), "{required}");
    bench.own.image = Some(id(2));
    bench
        .open("rd.overlay.readonly rd.overlay.reset", true)
        .unwrap();
    let told = |text: &str| bench.report.notices.iter().any(|n| n.contains(text));
    assert!(told("made on another image") && told("not thrown away"));
}

#[test]
fn dracuts_overlay_is_used_as_it_is() {
    if !possible(&["ext4"]) {
        return;
    }
    let mut bench = Bench::ext4();
    bench.disk.elsewhere(|at| {
        fs::create_dir_all(at.join("LiveOS/overlay-LIVE-2026/etc")).unwrap();
        fs::create_dir_all(at.join("LiveOS/ovlwork")).unwrap();
    });
    let words = "rd.live.overlay=LABEL=X:auto";
    let found = bench.open(words, false).unwrap();
    assert_eq!(found.upper, bench.at("LiveOS/overlay-LIVE-2026"));
    assert_eq!(found.work, Some(bench.at("LiveOS/ovlwork")));
    assert_eq!(bench.last(), "unknown");
    assert!(found.upper.join("etc").exists());
    assert!(
        bench
            .session("LiveOS/.liveroot-overlay-LIVE-2026.json")
            .open
    );
    bench.close();
    // The same names are made where there are none, and a given directory is taken.
    let mut empty = Bench::ext4();
    let made = empty.open(words, false).unwrap();
    assert_eq!(made.upper, empty.at("LiveOS/overlay-LIVE-2026"));
    empty.close();
    let given = empty.open("rd.overlay=LABEL=X:/a/b", false).unwrap();
    assert_eq!(given.upper, empty.at("a/b"));
    assert_eq!(given.work, Some(empty.at("a/ovlwork")));
}

#[test]
fn a_snapshot_of_dmsquash_live_is_recognised_and_left_alone() {
    if !possible(&["ext4"]) {
        return;
    }
    let mut bench = Bench::ext4();
    let mut store = b"SnAp\x01\0\0\0\x01\0\0\0\x08\0\0\0".to_vec();
    store.resize(8192, 7);
    bench.disk.elsewhere(|at| {
        fs::create_dir(at.join("LiveOS")).unwrap();
        fs::write(at.join("LiveOS/overlay-LIVE-2026"), &store).unwrap();
        fs::write(at.join("LiveOS/file"), "x").unwrap();
    });
    let why = bench
        .open("rd.overlay=LABEL=X rd.overlay.reset", false)
        .unwrap_err();
    assert!(why.contains("DM_snapshot_cow"), "{why}");
    let why = bench
        .open("rd.overlay=LABEL=X:/LiveOS/file", false)
        .unwrap_err();
    assert!(why.contains("is a file"), "{why}");
    bench.disk.elsewhere(|at| {
        assert_eq!(
            fs::read(at.join("LiveOS/overlay-LIVE-2026")).unwrap(),
            store
        );
        assert_eq!(fs::read_dir(at.join("LiveOS")).unwrap().count(), 2);
    });
}

#[test]
fn links_do_not_lead_out_of_the_partition() {
    if !possible(&["ext4"]) {
        return;
    }
    let mut bench = Bench::ext4();
    let outside = bench.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    bench.disk.elsewhere(|at| {
        symlink(&outside, at.join("liveroot")).unwrap();
        fs::create_dir(at.join("a")).unwrap();
        symlink(&outside, at.join("a/ovlwork")).unwrap();
    });
    assert!(bench.open("", true).unwrap_err().contains("liveroot"));
    let why = bench.open("rd.overlay=LABEL=X:a/b", false).unwrap_err();
    assert!(why.contains("ovlwork"), "{why}");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn what_cannot_hold_changes_is_refused_with_the_remedy_and_not_written_to() {
    if !possible(&["ext4"]) {
        return;
    }
    let mut vfat = Bench::new(&["mkfs.vfat"], Some(FsKind::Vfat));
    let before = vfat.disk.digest();
    let why = vfat.open("", true).unwrap_err();
    assert!(
        why.contains("vfat") && why.contains("ext4, xfs, btrfs and f2fs"),
        "{why}"
    );
    assert_eq!(vfat.disk.digest(), before);
    let mut nothing = Bench::new(&[], None);
    let before = nothing.disk.digest();
    assert!(
        nothing
            .open("", true)
            .unwrap_err()
            .contains("no file system")
    );
    assert_eq!(nothing.disk.digest(), before);
}

#[test]
fn a_file_system_with_errors_is_not_written_to() {
    if !possible(&["ext4"]) {
        return;
    }
    let mut bench = Bench::ext4();
    // 2 is EXT4_ERROR_FS; the image has no fsck.ext4.
    run(
        "debugfs",
        &["-w", "-R", "ssv state 2", text(&bench.disk.file)],
    );
    let before = bench.disk.digest();
    let why = bench.open("", true).unwrap_err();
    assert!(
        why.contains("damaged") && why.contains("no fsck.ext4"),
        "{why}"
    );
    assert_eq!(bench.disk.digest(), before);
}

#[test]
fn a_partition_that_has_vanished_is_an_error_and_leaves_nothing_mounted() {
    if !possible(&["ext4"]) {
        return;
    }
    let mut bench = Bench::ext4();
    let device = std::mem::replace(&mut bench.disk.device, "/dev/gone3".into());
    let why = bench.open("", true).unwrap_err();
    bench.disk.device = device;
    assert!(
        why.contains("/dev/gone3") && why.contains("No such"),
        "{why}"
    );
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    assert!(!mounts.contains(text(&bench.machine.saved())));
}

/// A program in the image that behaves as a check does.
fn fake_fsck(bench: &Bench, script: &str) {
    let image = bench.machine.rootfsbase();
    for dir in ["dev", "proc", "bin"] {
        fs::create_dir_all(image.join(dir)).unwrap();
    }
    fs::copy("/bin/busybox", image.join("bin/sh")).unwrap();
    let program = image.join("sbin/fsck.ext4");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_images_own_check_runs_before_the_mount_and_its_verdict_counts() {
    if !possible(&["ext4"]) {
        return;
    }
    let mut bench = Bench::ext4();
    // It sees the device and the option; output goes to the log.
    fake_fsck(
        &bench,
        "#!/bin/sh\n[ \"$1\" = -a ] && [ -b \"$2\" ] && exit 1\nexit 8\n",
    );
    bench.open("", true).unwrap();
    assert_eq!(
        bench.report.upper.as_ref().unwrap().check.as_deref(),
        Some("repaired")
    );
    assert!(bench.report.notices.iter().any(|n| n.contains("repaired")));
    bench.close();
    fake_fsck(&bench, "#!/bin/sh\nexit 4\n");
    let why = bench.open("", true).unwrap_err();
    assert!(why.contains("errors that it does not correct"), "{why}");
    fake_fsck(&bench, "#!/does/not/exist\n");
    bench.open("", true).unwrap();
    let check = bench.report.upper.as_ref().unwrap().check.clone().unwrap();
    assert!(check.starts_with("not checked"), "{check}");
}
