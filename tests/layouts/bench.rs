//! A medium on a loop device and a machine below a directory, for tests of layouts.

use crate::namespace::{self, make_root, run, text};
use liveroot::boot::apart::take_apart;
use liveroot::boot::examine::{self, Sought, Stack};
use liveroot::boot::loader::Loader;
use liveroot::boot::machine::Machine;
use liveroot::boot::named::{self, Named};
use liveroot::boot::report::Report;
use liveroot::boot::{image, root, tmpfs};
use liveroot::layout::Left;
use liveroot::ondisk::FsKind;
use liveroot::request::{TmpfsSize, decide_request};
use liveroot::sys::{loopdev, mount};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A medium on a loop device, and a machine whose /run is a directory of the test.
pub struct Bench {
    pub machine: Machine,
    pub report: Report,
    pub medium_file: PathBuf,
    pub medium: loopdev::LoopDevice,
    loader: Loader,
    dir: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

/// One at a time: what one test has open, the tools of another would hold.
static ALONE: Mutex<()> = Mutex::new(());

impl Bench {
    /// An ext4 medium with what `make` puts into a directory; it is also given a root tree.
    pub fn new(make: impl FnOnce(&Path, &Path)) -> Self {
        Bench::of_device(|tree, at| {
            let content = tree.with_file_name("content");
            fs::create_dir_all(&content).unwrap();
            make(tree, &content);
            // An xfs has 300 MiB at least.
            let long = fs::read_dir(content.join("LiveOS")).is_ok_and(|mut files| {
                files.any(|file| file.unwrap().metadata().unwrap().len() > 100 << 20)
            });
            let size = if long { "400M" } else { "48M" };
            run(
                "mkfs.ext4",
                &["-q", "-L", "LIVE", "-d", text(&content), text(at), size],
            );
            fs::remove_dir_all(content).unwrap();
        })
    }

    /// A medium that `make` makes, of a root tree.
    pub fn of_device(make: impl FnOnce(&Path, &Path)) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        namespace::enter();
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        make_root(&tree);
        let medium_file = dir.path().join("medium.img");
        make(&tree, &medium_file);
        let machine = Machine {
            proc: "/proc".into(),
            sys: "/sys".into(),
            dev: "/dev".into(),
            ..Machine::below(dir.path().join("root"))
        };
        let file = File::open(&medium_file).unwrap();
        let medium = loopdev::attach_read_only(Path::new("/dev"), &file, &medium_file).unwrap();
        let mut report = Report::new(&decide_request(&[]));
        let loader = Loader::start(&machine, Vec::new(), Vec::new(), &mut report);
        Bench {
            machine,
            report,
            medium_file,
            medium,
            loader,
            dir,
            _alone: alone,
        }
    }

    /// The root tree.
    pub fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    fn sought(named: bool) -> Sought {
        Sought {
            live_dir: "LiveOS".into(),
            image_path: "LiveOS/squashfs.img".into(),
            init: None,
            named,
        }
    }

    pub fn examine(&self, named: bool) -> Result<Stack, String> {
        self.examine_as(named, FsKind::Ext)
    }

    pub fn examine_as(&self, named: bool, fs: FsKind) -> Result<Stack, String> {
        let name = self.medium.path.file_name().unwrap().to_str().unwrap();
        examine::examine(&self.machine, &self.loader, &Bench::sought(named), name, fs)
    }

    pub fn named(&self, path: &str) -> Result<Named, String> {
        self.named_within(path, Duration::from_secs(60))
    }

    pub fn named_within(&self, path: &str, limit: Duration) -> Result<Named, String> {
        named::examine(
            &self.machine,
            &self.loader,
            &Bench::sought(true),
            path,
            limit,
        )
    }

    /// Gives all its place, up to the root.
    pub fn boot(&mut self, stack: Result<Stack, String>) {
        // The loader may have warned that it has no modules.
        let before = self.report.warnings.clone();
        image::attach(&self.machine, stack.unwrap(), &mut self.report).unwrap();
        assert_eq!(self.report.warnings, before);
        assert!(self.machine.run.join("initramfs/livedev").is_symlink());
        let size = TmpfsSize {
            size: "8m".into(),
            more: vec![],
        };
        let dirs = tmpfs::mount_tmpfs(&self.machine, &size, &mut self.report).unwrap();
        root::mount(&self.machine, &self.loader, &dirs, &mut self.report).unwrap();
    }

    /// The root shows the tree and takes writes; /run/rootfsbase is all of `fs`, of a block
    /// device that can be mounted again.
    pub fn assert_root(&self, fs_type: &str) {
        let doc = self.machine.sysroot.join("usr/share/doc/a");
        assert_eq!(fs::read_to_string(&doc).unwrap(), "from the image");
        fs::write(&doc, "changed").unwrap();
        let base = self.machine.rootfsbase();
        let line = mount_line(&base).unwrap();
        let fields: Vec<&str> = line.split(' ').collect();
        assert_eq!(fields[3], "/", "not a part of it: {line}");
        let device = &self.report.image.as_ref().unwrap().device;
        assert!(line.contains(&format!(" {fs_type} {device} ro")), "{line}");
        let pristine = fs::read_to_string(base.join("usr/share/doc/a")).unwrap();
        assert_eq!(pristine, "from the image");
        // As an installer does.
        let again = self.dir.path().join("again");
        fs::create_dir_all(&again).unwrap();
        let options = match fs_type {
            "btrfs" => "ro,rescue=nologreplay",
            "xfs" => "ro,norecovery,nouuid",
            _ => "ro",
        };
        run("mount", &["-o", options, device, text(&again)]);
        assert!(again.join("sbin/init").exists());
        run("umount", &[text(&again)]);
    }

    /// Ends it; what could not be done.
    pub fn take_apart(&self) -> Vec<String> {
        take_apart(&self.machine, &Left::default(), &mut || ()).troubles
    }

    /// Mounts that are left.
    pub fn left_over(&self) -> Vec<String> {
        let all = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let ours = |line: &&str| line.contains(text(&self.machine.root));
        all.lines().filter(ours).map(str::to_owned).collect()
    }

    /// The file behind a loop device.
    pub fn backing(&self, device: &Path) -> PathBuf {
        let name = device.file_name().unwrap().to_str().unwrap();
        loopdev::backing(&self.machine.sys, name).unwrap()
    }

    /// A number of its own for each attachment of a loop device; none when it is free.
    pub fn attachment(&self, device: &Path) -> Option<String> {
        let sysfs = Path::new("/sys/block").join(device.file_name().unwrap());
        let number = fs::read_to_string(sysfs.join("diskseq")).unwrap();
        sysfs.join("loop").exists().then_some(number)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let m = &self.machine;
        let places = [
            m.sysroot.clone(),
            m.overlay(),
            m.rootfsbase(),
            m.squashfs(),
            m.live(),
        ];
        for at in places {
            let _ = mount::unmount(&at, true);
        }
        // An accepted medium stays read-only, and the loop device outlives this test.
        let _ = Command::new("blockdev")
            .arg("--setrw")
            .arg(&self.medium.path)
            .status();
    }
}

/// Copies what is in a directory into another one.
pub fn fill(tree: &Path, at: &Path) {
    fs::create_dir_all(at).unwrap();
    run("cp", &["-a", &format!("{}/.", text(tree)), text(at)]);
}

/// An image of the tree, by the real tool.
pub fn image(fs_type: &str, tree: &Path, at: &Path) {
    let sparse = |size: u64| File::create(at).unwrap().set_len(size).unwrap();
    match fs_type {
        "squashfs" => {
            let quiet = ["-comp", "zstd", "-quiet", "-no-progress", "-noappend"];
            run(
                "mksquashfs",
                &[&[text(tree), text(at)], &quiet[..]].concat(),
            );
        }
        "erofs" => drop(run("mkfs.erofs", &["--quiet", text(at), text(tree)])),
        "ext4" => drop(run("mkfs.ext4", &["-q", "-d", text(tree), text(at), "24M"])),
        "btrfs" => {
            sparse(128 << 20);
            run("mkfs.btrfs", &["-q", "--rootdir", text(tree), text(at)]);
        }
        "xfs" => {
            sparse(300 << 20);
            run("mkfs.xfs", &["-q", text(at)]);
            elsewhere(at, |mounted| fill(tree, mounted));
        }
        other => panic!("{other}"),
    }
}

/// Leaves an image as a power cut does: mounted, written to, and copied in that state.
pub fn dirty(at: &Path) {
    let copy = at.with_extension("copy");
    elsewhere(at, |mounted| {
        fs::write(mounted.join("late"), "x").unwrap();
        File::open(mounted.join("late"))
            .unwrap()
            .sync_all()
            .unwrap();
        run("cp", &["--sparse=always", text(at), text(&copy)]);
    });
    fs::rename(copy, at).unwrap();
}

/// Works on an image that is mounted elsewhere.
pub fn elsewhere(file: &Path, work: impl FnOnce(&Path)) {
    let at = tempfile::tempdir().unwrap();
    run("mount", &["-o", "loop", text(file), text(at.path())]);
    work(at.path());
    run("umount", &[text(at.path())]);
}

/// The line of a mount in this thread's namespace.
pub fn mount_line(at: &Path) -> Option<String> {
    let all = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    all.lines()
        .find(|l| l.split(' ').nth(4) == Some(text(at)))
        .map(str::to_owned)
}

/// SHA-256 of a file.
pub fn digest(path: &Path) -> String {
    // Ours, without optimisation, takes a minute for this much.
    run("sha256sum", &[text(path)])
}
