//! The stack on real loop devices, in a private mount namespace: medium, image, upper, root.
//!
//! Needs root; the host's kernel must have loop, squashfs, overlay and ext4. A kernel
//! without one of them skips with its name, or fails under `LIVEROOT_STRICT=1`.

// Helpers of a test may panic as the test itself does.
#![allow(clippy::unwrap_used)]

mod namespace;

use liveroot::boot::examine::{self, Sought, Stack};
use liveroot::boot::loader::Loader;
use liveroot::boot::machine::Machine;
use liveroot::boot::report::Report;
use liveroot::boot::{image, root, tmpfs};
use liveroot::layout::OVERLAY_SOURCE;
use liveroot::ondisk::FsKind;
use liveroot::request::{TmpfsSize, decide_request};
use liveroot::sys::{loopdev, mount};
use namespace::{make_root, possible, run, text};
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A medium on a loop device, and a machine whose /run is a directory of the test.
struct Bench {
    machine: Machine,
    loader: Loader,
    report: Report,
    medium_file: PathBuf,
    medium: loopdev::LoopDevice,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new(change: impl FnOnce(&Path)) -> Self {
        namespace::enter();

        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let tree = at("tree");
        make_root(&tree);
        fs::set_permissions(&tree, fs::Permissions::from_mode(0o751)).unwrap();

        let content = at("content");
        fs::create_dir_all(content.join("LiveOS")).unwrap();
        let image = content.join("LiveOS/squashfs.img");
        run(
            "mksquashfs",
            &[
                text(&tree),
                text(&image),
                "-comp",
                "zstd",
                "-quiet",
                "-no-progress",
            ],
        );
        change(&content);
        let medium_file = at("medium.img");
        run(
            "mkfs.ext4",
            &[
                "-q",
                "-L",
                "LIVE",
                "-d",
                text(&content),
                text(&medium_file),
                "16M",
            ],
        );
        let machine = Machine {
            proc: "/proc".into(),
            sys: "/sys".into(),
            dev: "/dev".into(),
            ..Machine::below(at("root"))
        };
        let medium = attach(&medium_file);
        let mut report = Report::new(&decide_request(&[]));
        let loader = Loader::start(&machine, Vec::new(), Vec::new(), &mut report);
        Bench {
            machine,
            loader,
            report,
            medium_file,
            medium,
            _dir: dir,
        }
    }

    fn examine(&self) -> Result<Stack, String> {
        self.examine_as(
            self.medium.path.file_name().unwrap().to_str().unwrap(),
            FsKind::Ext,
        )
    }

    fn examine_as(&self, name: &str, fs: FsKind) -> Result<Stack, String> {
        let sought = Sought {
            live_dir: "LiveOS".into(),
            image_path: "LiveOS/squashfs.img".into(),
            init: None,
            named: false,
        };
        examine::examine(&self.machine, &self.loader, &sought, name, fs)
    }

    fn stack(&mut self, size: &str) {
        let stack = self.examine().unwrap();
        image::attach(&self.machine, stack, &mut self.report).unwrap();
        let size = TmpfsSize {
            size: size.into(),
            more: vec![],
        };
        let dirs = tmpfs::mount_tmpfs(&self.machine, &size, &mut self.report).unwrap();
        root::mount(&self.machine, &self.loader, &dirs, &mut self.report).unwrap();
    }

    fn in_root(&self, path: &str) -> PathBuf {
        self.machine.sysroot.join(path)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let m = &self.machine;
        for at in [
            m.sysroot.clone(),
            m.overlay(),
            m.rootfsbase(),
            m.squashfs(),
            m.live(),
        ] {
            let _ = mount::unmount(&at, true);
        }
        // An accepted medium stays read-only, and the loop device outlives this test.
        let _ = Command::new("blockdev")
            .arg("--setrw")
            .arg(&self.medium.path)
            .status();
    }
}

fn attach(file: &Path) -> loopdev::LoopDevice {
    loopdev::attach_read_only(Path::new("/dev"), &File::open(file).unwrap(), file).unwrap()
}

/// The line of a mount in this thread's namespace.
fn mount_line(at: &Path) -> Option<String> {
    let all = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    all.lines()
        .find(|l| l.split(' ').nth(4) == Some(text(at)))
        .map(str::to_owned)
}

fn digest(path: &Path) -> Vec<u8> {
    use sha2::Digest;
    sha2::Sha256::digest(fs::read(path).unwrap()).to_vec()
}

#[test]
fn the_root_is_an_overlay_on_the_image_and_the_medium_stays_as_it_was() {
    if !possible(&["squashfs", "overlay", "ext4"]) {
        return;
    }
    let mut bench = Bench::new(|_| ());
    let before = digest(&bench.medium_file);
    bench.stack("8m");

    let line = mount_line(&bench.machine.sysroot).unwrap();
    assert!(
        line.contains(&format!(" overlay {OVERLAY_SOURCE} rw")),
        "{line}"
    );
    assert!(line.contains("redirect_dir=on"), "{line}");
    let base = mount_line(&bench.machine.rootfsbase()).unwrap();
    assert!(
        base.contains(" squashfs /dev/loop") && base.contains(" ro"),
        "{base}"
    );
    let live = mount_line(&bench.machine.live()).unwrap();
    assert!(
        live.contains(&format!(" ext4 {} ro", text(&bench.medium.path))),
        "{live}"
    );
    let livedev = fs::read_link(bench.machine.run.join("initramfs/livedev")).unwrap();
    assert_eq!(livedev, bench.medium.path);

    let root = fs::metadata(&bench.machine.sysroot).unwrap();
    assert_eq!(
        root.mode() & 0o7777,
        0o755,
        "0751 of the image, opened for users"
    );
    fs::rename(bench.in_root("usr/share"), bench.in_root("usr/moved")).unwrap();
    assert_eq!(
        fs::read(bench.in_root("usr/moved/doc/a")).unwrap(),
        b"from the image"
    );
    fs::write(bench.in_root("new"), "x").unwrap();
    fs::remove_file(bench.in_root("usr/moved/doc/a")).unwrap();
    let pristine = bench.machine.rootfsbase().join("usr/share/doc/a");
    assert_eq!(fs::read(pristine).unwrap(), b"from the image");
    assert_eq!(digest(&bench.medium_file), before);
}

#[test]
fn a_candidate_that_is_dropped_leaves_no_trace() {
    if !possible(&["squashfs", "overlay", "ext4"]) {
        return;
    }
    let bench = Bench::new(|_| ());
    let stack = bench.examine().unwrap();
    let sysfs = Path::new("/sys/block").join(stack.lower.device.file_name().unwrap());
    // Each attachment of a loop device has a number of its own: another test may take the
    // device as soon as it is free.
    let attachment = || {
        let number = fs::read_to_string(sysfs.join("diskseq")).unwrap();
        sysfs.join("loop").exists().then_some(number)
    };
    let ours = attachment();
    assert!(ours.is_some());
    assert_eq!(stack.found.init, "/sbin/init");
    drop(stack);
    // AUTOCLEAR happens when the superblock goes, which the kernel may do a moment later.
    let deadline = Instant::now() + Duration::from_secs(20);
    while attachment() == ours {
        assert!(
            Instant::now() < deadline,
            "{} is still attached",
            sysfs.display()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(mount_line(&bench.machine.live()), None);
}

#[test]
fn what_is_no_image_is_refused_with_its_reason() {
    if !possible(&["squashfs", "overlay", "ext4"]) {
        return;
    }
    let refusal = |change: fn(&Path)| Bench::new(change).examine().err().unwrap();
    let missing = refusal(|c| fs::remove_file(c.join("LiveOS/squashfs.img")).unwrap());
    assert_eq!(missing, "no LiveOS/squashfs.img, no LiveOS/rootfs.img");
    let short = refusal(|c| {
        let file = File::options()
            .write(true)
            .open(c.join("LiveOS/squashfs.img"))
            .unwrap();
        file.set_len(4096).unwrap();
    });
    assert!(short.contains("cut short"), "{short}");
    let garbage = refusal(|c| fs::write(c.join("LiveOS/squashfs.img"), [7; 9000]).unwrap());
    assert!(garbage.contains("no file system image"), "{garbage}");
    let link = refusal(|c| {
        fs::remove_file(c.join("LiveOS/squashfs.img")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", c.join("LiveOS/squashfs.img")).unwrap();
    });
    assert!(link.contains("LiveOS/squashfs.img"), "{link}");
}

#[test]
fn a_journal_is_not_replayed_by_a_look() {
    if !possible(&["squashfs", "overlay", "ext4"]) {
        return;
    }
    let bench = Bench::new(|_| ());
    // The flag that asks for recovery (EXT4_FEATURE_INCOMPAT_RECOVER), as after a crash.
    run(
        "debugfs",
        &[
            "-w",
            "-R",
            "feature needs_recovery",
            text(&bench.medium_file),
        ],
    );
    let before = digest(&bench.medium_file);
    let again = new_view(&bench);
    again.examine().unwrap();
    assert_eq!(digest(&bench.medium_file), before);
}

/// A loop device that takes writes; detached when it goes.
struct Writable(PathBuf);

impl Writable {
    fn attach(file: &Path) -> Self {
        Writable(namespace::attach_for_writing(file).into())
    }

    fn name(&self) -> &str {
        self.0.file_name().unwrap().to_str().unwrap()
    }

    fn is_read_only(&self) -> bool {
        let ro = Path::new("/sys/block").join(self.name()).join("ro");
        fs::read_to_string(ro).unwrap().trim() == "1"
    }
}

impl Drop for Writable {
    fn drop(&mut self) {
        run("losetup", &["-d", text(&self.0)]);
    }
}

#[test]
fn a_disk_that_was_looked_at_takes_writes_again() {
    if !possible(&["squashfs", "overlay", "ext4"]) {
        return;
    }
    let bench = Bench::new(|c| fs::remove_file(c.join("LiveOS/squashfs.img")).unwrap());
    let disk = Writable::attach(&bench.medium_file);
    let before = digest(&bench.medium_file);
    assert_eq!(
        bench.examine_as(disk.name(), FsKind::Ext).err().unwrap(),
        "no LiveOS/squashfs.img, no LiveOS/rootfs.img"
    );
    assert!(!disk.is_read_only());
    assert_eq!(digest(&bench.medium_file), before);

    let bench = Bench::new(|_| ());
    let disk = Writable::attach(&bench.medium_file);
    let stack = bench.examine_as(disk.name(), FsKind::Ext).unwrap();
    assert!(disk.is_read_only(), "while it is looked at nothing writes");
    drop(stack);
    assert!(!disk.is_read_only());
}

#[test]
fn an_image_on_btrfs_is_found() {
    if !possible(&["squashfs", "overlay", "ext4"]) {
        return;
    }
    let bench = Bench::new(|_| ());
    let file = bench.medium_file.with_file_name("btrfs.img");
    File::create(&file).unwrap().set_len(128 << 20).unwrap();
    let content = bench.medium_file.with_file_name("content");
    run(
        "mkfs.btrfs",
        &["-q", "--rootdir", text(&content), text(&file)],
    );
    let disk = Writable::attach(&file);
    let stack = bench.examine_as(disk.name(), FsKind::Btrfs).unwrap();
    assert_eq!(stack.found.init, "/sbin/init");
}

/// The same machine with another loop device.
fn new_view(bench: &Bench) -> Bench {
    Bench {
        machine: bench.machine.clone(),
        loader: bench.loader.clone(),
        report: Report::new(&decide_request(&[])),
        medium_file: bench.medium_file.clone(),
        medium: attach(&bench.medium_file),
        _dir: tempfile::tempdir().unwrap(),
    }
}

#[test]
fn a_full_upper_says_so_and_takes_writes_again_when_there_is_room() {
    if !possible(&["squashfs", "overlay", "ext4"]) {
        return;
    }
    let mut bench = Bench::new(|_| ());
    bench.stack("1m");
    let full = fs::write(bench.in_root("big"), vec![1; 2 << 20]).unwrap_err();
    assert_eq!(full.raw_os_error(), Some(libc::ENOSPC));
    fs::remove_file(bench.in_root("big")).unwrap();
    fs::write(bench.in_root("small"), vec![1; 1 << 19]).unwrap();
}
