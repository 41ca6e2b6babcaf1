//! A live system below a directory, on real loop devices: what tests of its end take apart.

#![allow(dead_code, clippy::unwrap_used)]

use crate::namespace::{self, attach_for_writing, possible, run, text};
use liveroot::boot::apart::{Ended, take_apart};
use liveroot::boot::machine::Machine;
use liveroot::layout::{LEFT_SCHEMA, Left, LeftMount, SESSION_SCHEMA, Session};
use liveroot::ondisk::session::{parse_session, session_bytes};
use liveroot::sys::loopdev;
use liveroot::sys::mount::{Access, Detached, MountOption};
use liveroot::units::ImageId;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The session's file on the upper.
pub const SESSION: &str = "liveroot/current/session.json";

/// A live system below a directory: the overlay at `root/sysroot`, its upper on a loop
/// device that takes writes.
pub struct Stack {
    pub machine: Machine,
    pub left: Left,
    fs_type: String,
    pub disk_file: PathBuf,
    pub disk: PathBuf,
    pub image_loop: PathBuf,
    // Last: what is mounted in it must have gone.
    dir: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

/// One stack at a time: what one test has open, the children of another would hold.
static ALONE: Mutex<()> = Mutex::new(());

impl Stack {
    /// With ext4 for its upper; none where that can't be tested.
    pub fn new() -> Option<Self> {
        Stack::on("ext4")
    }

    /// Likewise with another file system.
    pub fn on(fs_type: &str) -> Option<Self> {
        if !possible(&["squashfs", "overlay", fs_type]) {
            return None;
        }
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        namespace::enter();

        let dir = tempfile::tempdir().unwrap();
        let machine = Machine {
            proc: "/proc".into(),
            sys: "/sys".into(),
            dev: "/dev".into(),
            ..Machine::below(dir.path().join("root"))
        };
        let live = machine.live();
        mount("tmpfs", Path::new("medium"), &live, Access::ReadWrite);
        let image_file = live.join("image.squashfs");
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("etc")).unwrap();
        fs::copy("/usr/bin/busybox", tree.join("busybox")).unwrap();
        run(
            "mksquashfs",
            &[text(&tree), text(&image_file), "-quiet", "-no-progress"],
        );
        let image = File::open(&image_file).unwrap();
        let image = loopdev::attach_read_only(Path::new("/dev"), &image, &image_file).unwrap();
        let base = machine.rootfsbase();
        mount("squashfs", &image.path, &base, Access::ReadOnly);

        let disk_file = dir.path().join("disk.img");
        File::create(&disk_file).unwrap().set_len(SIZE).unwrap();
        run(&format!("mkfs.{fs_type}"), &["-q", text(&disk_file)]);
        let disk = PathBuf::from(attach_for_writing(&disk_file));
        let overlay = machine.overlay();
        mount(fs_type, &disk, &overlay, Access::ReadWrite);
        let current = overlay.join("liveroot/current");
        fs::create_dir_all(current.join("upper")).unwrap();
        fs::create_dir_all(current.join("work")).unwrap();
        fs::write(overlay.join(SESSION), session_bytes(&open_session())).unwrap();

        fs::create_dir_all(&machine.sysroot).unwrap();
        let option = |key: &str, path: PathBuf| MountOption::value(key, text(&path));
        let options = [
            option("lowerdir", base),
            option("upperdir", current.join("upper")),
            option("workdir", current.join("work")),
        ];
        let root = Detached::mount("overlay", "LiveOS_rootfs", Access::ReadWrite, &options);
        root.unwrap().attach(&machine.sysroot).unwrap();
        let number = mount_line(&overlay)
            .unwrap()
            .split(' ')
            .nth(2)
            .unwrap()
            .to_owned();
        let left = Left {
            schema: LEFT_SCHEMA,
            upper: Some(LeftMount {
                device: text(&disk).into(),
                number,
                at: text(overlay.strip_prefix(&machine.root).unwrap()).into(),
                fs: fs_type.into(),
            }),
            session: Some(SESSION.into()),
            ..Left::default()
        };
        Some(Stack {
            image_loop: image.path.clone(),
            machine,
            left,
            fs_type: fs_type.to_owned(),
            disk_file,
            disk,
            dir,
            _alone: alone,
        })
    }

    pub fn end(&self) -> Ended {
        take_apart(&self.machine, &self.left, &mut || ())
    }

    pub fn in_root(&self, path: &str) -> PathBuf {
        self.machine.sysroot.join(path)
    }

    /// The mounts that are left below the root.
    pub fn left_over(&self) -> Vec<String> {
        mount_lines(&self.machine.root)
    }

    /// Reads the session's file as the next boot would, whatever the end left mounted.
    pub fn session(&self) -> Session {
        self.unmount_all();
        let at = self.dir.path().join("next");
        mount(&self.fs_type, &self.disk, &at, Access::ReadOnly);
        let bytes = fs::read(at.join(SESSION)).unwrap();
        nix::mount::umount(&at).unwrap();
        parse_session(&bytes).unwrap()
    }

    pub fn unmount_all(&self) {
        for line in mount_lines(&self.machine.root).iter().rev() {
            let at = line.split(' ').nth(4).unwrap().replace("\\040", " ");
            let _ = nix::mount::umount2(at.as_str(), nix::mount::MntFlags::MNT_DETACH);
        }
    }

    /// As the file system's own tools see it: nothing is to be replayed.
    pub fn assert_clean(&self) {
        let file = text(&self.disk_file);
        match self.fs_type.as_str() {
            "ext4" => {
                let head = run("dumpe2fs", &["-h", file]);
                let line = |key: &str| head.lines().find(|l| l.starts_with(key)).unwrap();
                let state = line("Filesystem state:");
                assert!(state.ends_with(" clean"), "{state}");
                let features = line("Filesystem features:");
                assert!(!features.contains("needs_recovery"), "{features}");
            }
            // Both print nothing of use, and fail when something is wrong.
            "xfs" => {
                let log = run("xfs_logprint", &["-t", file]);
                assert!(log.contains("<CLEAN>"), "{log}");
                run("xfs_repair", &["-n", file]);
            }
            _ => {
                let head = run("btrfs", &["inspect-internal", "dump-super", file]);
                let line = |l: &&str| l.starts_with("log_root\t");
                let log = head.lines().find(line).unwrap();
                assert_eq!(log.split_whitespace().nth(1), Some("0"), "a log to replay");
                run("btrfs", &["check", "--readonly", file]);
            }
        }
    }

    pub fn is_attached(&self, device: &Path) -> bool {
        let name = device.file_name().unwrap().to_str().unwrap();
        let backing = loopdev::backing(Path::new("/sys"), name);
        backing.is_some_and(|b| b.starts_with(self.dir.path()))
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.unmount_all();
        if self.is_attached(&self.disk) {
            let _ = Command::new("losetup")
                .args(["-d", text(&self.disk)])
                .status();
        }
    }
}

/// What mkfs.xfs wants at least; nothing of it is written.
const SIZE: u64 = 320 << 20;

/// What is written there at the start.
pub fn open_session() -> Session {
    Session {
        schema: SESSION_SCHEMA,
        image: Some(ImageId::from_digest(&[7; 32])),
        label: "LIVE".into(),
        made: 1,
        used: 2,
        open: true,
    }
}

/// Mounts at a new directory.
pub fn mount(fs_type: &str, device: &Path, at: &Path, access: Access) {
    fs::create_dir_all(at).unwrap();
    let mount = Detached::mount(fs_type, text(device), access, &[]).unwrap();
    mount.attach(at).unwrap();
}

/// Of the mount table, what lies below a place.
pub fn mount_lines(below: &Path) -> Vec<String> {
    let all = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    all.lines()
        .filter(|l| Path::new(l.split(' ').nth(4).unwrap()).starts_with(below))
        .map(str::to_owned)
        .collect()
}

/// The mount at a place.
pub fn mount_line(at: &Path) -> Option<String> {
    mount_lines(at).into_iter().next()
}
