//! The stack taken apart, on real loop devices in a private mount namespace: ext4 with a
//! session, squashfs, overlay.
//!
//! Needs root; the host's kernel must have loop, squashfs, overlay and ext4. A kernel
//! without one of them skips with its name, or fails under `LIVEROOT_STRICT=1`.

// Helpers of a test may panic as the test itself does.
#![allow(clippy::unwrap_used)]

mod namespace;

use liveroot::boot::apart::{Ended, take_apart};
use liveroot::boot::machine::Machine;
use liveroot::boot::watch::look;
use liveroot::layout::{LEFT_SCHEMA, Left, LeftMount, SESSION_SCHEMA, Session};
use liveroot::ondisk::session::{parse_session, session_bytes};
use liveroot::plan::fill::Told;
use liveroot::sys::loopdev;
use liveroot::sys::mount::{Access, Detached, MountOption};
use namespace::{possible, run, text};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

const SESSION: &str = "liveroot/current/session.json";

/// A live system below a directory: the overlay at `root/sysroot`, its upper on a loop
/// device that takes writes.
struct Stack {
    machine: Machine,
    left: Left,
    disk_file: PathBuf,
    disk: PathBuf,
    image_loop: PathBuf,
    // Last: what is mounted in it must have gone.
    dir: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

/// One stack at a time: what one test has open, the children of another would hold.
static ALONE: Mutex<()> = Mutex::new(());

impl Stack {
    fn new() -> Self {
        Stack::on("ext4")
    }

    fn on(fs_type: &str) -> Self {
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
        let disk = run("losetup", &["-f", "--show", text(&disk_file)]);
        let disk = PathBuf::from(disk.trim());
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
                at: text(&overlay).into(),
                fs: fs_type.into(),
            }),
            session: Some(SESSION.into()),
            ..Left::default()
        };
        Stack {
            image_loop: image.path.clone(),
            machine,
            left,
            disk_file,
            disk,
            dir,
            _alone: alone,
        }
    }

    fn end(&self) -> Ended {
        take_apart(&self.machine, &self.left, &mut || ())
    }

    fn in_root(&self, path: &str) -> PathBuf {
        self.machine.sysroot.join(path)
    }

    /// The mounts that are left below the root.
    fn left_over(&self) -> Vec<String> {
        mount_lines(&self.machine.root)
    }

    /// Reads the session's file as the next boot would, whatever the end left mounted.
    fn session(&self) -> Session {
        self.unmount_all();
        let at = self.dir.path().join("next");
        let fs_type = &self.left.upper.as_ref().unwrap().fs;
        mount(fs_type, &self.disk, &at, Access::ReadOnly);
        let bytes = fs::read(at.join(SESSION)).unwrap();
        nix::mount::umount(&at).unwrap();
        parse_session(&bytes).unwrap()
    }

    fn unmount_all(&self) {
        for line in mount_lines(&self.machine.root).iter().rev() {
            let at = line.split(' ').nth(4).unwrap().replace("\\040", " ");
            let _ = nix::mount::umount2(at.as_str(), nix::mount::MntFlags::MNT_DETACH);
        }
    }

    fn assert_clean(&self) {
        let head = run("dumpe2fs", &["-h", text(&self.disk_file)]);
        let line = |key: &str| {
            head.lines()
                .find(|l| l.starts_with(key))
                .unwrap()
                .to_owned()
        };
        let state = line("Filesystem state:");
        assert!(state.ends_with(" clean"), "{state}");
        let features = line("Filesystem features:");
        assert!(!features.contains("needs_recovery"), "{features}");
    }

    fn is_attached(&self, device: &Path) -> bool {
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

fn open_session() -> Session {
    Session {
        schema: SESSION_SCHEMA,
        image: None,
        label: "LIVE".into(),
        made: 1,
        used: 2,
        open: true,
    }
}

fn mount(fs_type: &str, device: &Path, at: &Path, access: Access) {
    fs::create_dir_all(at).unwrap();
    let mount = Detached::mount(fs_type, text(device), access, &[]).unwrap();
    mount.attach(at).unwrap();
}

fn mount_lines(below: &Path) -> Vec<String> {
    let all = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    all.lines()
        .filter(|l| Path::new(l.split(' ').nth(4).unwrap()).starts_with(below))
        .map(str::to_owned)
        .collect()
}

fn mount_line(at: &Path) -> Option<String> {
    mount_lines(at).into_iter().next()
}

#[test]
fn the_stack_is_taken_apart_and_the_session_is_closed() {
    if !possible(&["squashfs", "overlay", "ext4"]) {
        return;
    }
    let stack = Stack::new();
    fs::write(stack.in_root("kept"), "x").unwrap();
    let ended = stack.end();
    assert_eq!(ended.troubles, Vec::<String>::new());
    assert!(ended.closed);
    assert_eq!(stack.left_over(), Vec::<String>::new());
    stack.assert_clean();
    assert!(
        !stack.is_attached(&stack.image_loop),
        "the image's loop device is free"
    );
    let expected = Session {
        open: false,
        ..open_session()
    };
    assert_eq!(stack.session(), expected);
}

#[test]
fn what_is_mounted_twice_in_deep_places_or_from_a_file_of_the_live_system_goes_too() {
    if !possible(&["squashfs", "overlay", "ext4"]) {
        return;
    }
    let stack = Stack::new();
    let bind = |from: &Path, to: &Path| {
        fs::create_dir_all(to).unwrap();
        let none: Option<&str> = None;
        nix::mount::mount(Some(from), to, none, nix::mount::MsFlags::MS_BIND, none).unwrap();
    };
    // As after systemd's pivot: the upper is seen below the overlay that it holds.
    bind(
        &stack.machine.overlay(),
        &stack.in_root("run/initramfs/overlay"),
    );
    bind(&stack.machine.overlay(), &stack.in_root("with blank"));
    // A loop device on a file of the live system holds the overlay without being mounted.
    let inner = stack.in_root("inner.img");
    File::create(&inner).unwrap().set_len(1 << 20).unwrap();
    let device = run("losetup", &["-f", "--show", text(&inner)]);
    let ended = stack.end();
    if !ended.troubles.is_empty() {
        let _ = Command::new("losetup").args(["-d", device.trim()]).status();
    }
    assert_eq!(ended.troubles, Vec::<String>::new());
    assert_eq!(stack.left_over(), Vec::<String>::new());
    assert!(!stack.session().open);
    stack.assert_clean();
}

#[test]
fn a_medium_below_the_root_that_it_holds_goes_too() {
    if !possible(&["squashfs", "overlay", "ext4"]) {
        return;
    }
    let stack = Stack::new();
    // The root keeps the loop device, that keeps the medium, and the medium keeps the root.
    let place = stack.in_root("run/initramfs/live");
    fs::create_dir_all(&place).unwrap();
    liveroot::sys::mount::move_to(&stack.machine.live(), &place).unwrap();
    let ended = stack.end();
    assert!(ended.closed && ended.troubles.is_empty(), "{ended:?}");
    assert_eq!(stack.left_over(), Vec::<String>::new());
    stack.assert_clean();
}

#[test]
fn a_root_that_stays_busy_is_made_read_only_and_its_disk_is_clean() {
    if !possible(&["squashfs", "overlay", "ext4"]) {
        return;
    }
    let stack = Stack::new();
    fs::write(stack.in_root("kept"), "x").unwrap();
    // As an init's own program does.
    let program = File::open(stack.in_root("busybox")).unwrap();
    let ended = stack.end();
    assert!(ended.closed, "{ended:?}");
    // The root, and the medium that its image lies on.
    assert_eq!(ended.troubles.len(), 2, "{ended:?}");
    let unmounting = |t: &String| t.starts_with("unmounting");
    assert!(ended.troubles.iter().all(unmounting), "{ended:?}");
    let root = mount_line(&stack.machine.sysroot).unwrap();
    assert!(root.contains("LiveOS_rootfs ro,"), "{root}");
    assert!(fs::write(stack.in_root("more"), "x").is_err());
    stack.assert_clean();
    drop(program);
    assert!(!stack.session().open);
}

#[test]
fn an_upper_that_was_made_read_only_before_is_closed_all_the_same() {
    if !possible(&["squashfs", "overlay", "ext4"]) {
        return;
    }
    let stack = Stack::new();
    // systemd-shutdown(8) does so: file system and mount refuse writes then.
    for at in [&stack.machine.sysroot, &stack.machine.overlay()] {
        run("mount", &["-o", "remount,ro", text(at)]);
    }
    let ended = stack.end();
    assert!(ended.closed && ended.troubles.is_empty(), "{ended:?}");
    assert!(!stack.session().open);
    stack.assert_clean();
}

#[test]
fn a_session_that_can_still_be_written_stays_open() {
    if !possible(&["squashfs", "overlay", "ext4"]) {
        return;
    }
    let stack = Stack::new();
    let writer = File::create(stack.in_root("log")).unwrap();
    let ended = stack.end();
    assert!(!ended.closed, "{ended:?}");
    let busy = |what: &str| ended.troubles.iter().any(|t| t.starts_with(what));
    assert!(busy("unmounting") && busy("making read-only"), "{ended:?}");
    drop(writer);
    assert!(stack.session().open);
}

#[test]
fn a_writer_past_the_overlay_keeps_the_session_open() {
    if !possible(&["squashfs", "overlay", "ext4"]) {
        return;
    }
    let stack = Stack::new();
    let writer = File::create(stack.machine.overlay().join("past")).unwrap();
    let ended = stack.end();
    drop(writer);
    assert!(!ended.closed, "{ended:?}");
    assert!(stack.session().open);
}

#[test]
fn without_its_facts_all_is_unmounted_and_the_disk_is_clean() {
    if !possible(&["squashfs", "overlay", "ext4"]) {
        return;
    }
    let mut stack = Stack::new();
    let left = std::mem::take(&mut stack.left);
    let ended = stack.end();
    assert!(!ended.closed && ended.troubles.is_empty(), "{ended:?}");
    assert_eq!(stack.left_over(), Vec::<String>::new());
    stack.assert_clean();
    stack.left = left;
    assert!(stack.session().open, "nobody said which file to close");
}

#[test]
fn other_file_systems_end_as_cleanly() {
    if !possible(&["squashfs", "overlay", "ext4"]) {
        return;
    }
    let known = fs::read_to_string("/proc/filesystems").unwrap();
    for fs_type in ["xfs", "btrfs"] {
        if !known.contains(fs_type) {
            println!("skipped: the kernel has no {fs_type}");
            continue;
        }
        let stack = Stack::on(fs_type);
        fs::write(stack.in_root("kept"), "x").unwrap();
        let program = File::open(stack.in_root("busybox")).unwrap();
        let ended = stack.end();
        assert!(ended.closed, "{fs_type}: {ended:?}");
        drop(program);
        assert!(!stack.session().open);
    }
}

#[test]
fn devices_outside_of_the_root_are_left_alone() {
    if !possible(&["squashfs", "overlay", "ext4"]) {
        return;
    }
    let stack = Stack::new();
    stack.end();
    assert!(
        stack.is_attached(&stack.disk),
        "its file lies outside of the root"
    );
}

#[test]
fn users_are_warned_once_a_level_and_the_notice_goes_when_there_is_room() {
    if !possible(&["squashfs", "overlay", "ext4"]) {
        return;
    }
    let stack = Stack::new();
    // A machine without processes: nobody's terminal is written to.
    let machine = Machine::below(stack.machine.root.clone());
    let memory = machine.overlay().with_file_name("memory");
    fs::create_dir_all(&memory).unwrap();
    let size = [MountOption::value("size", "10m")];
    let tmpfs = Detached::mount("tmpfs", "liveroot", Access::ReadWrite, &size).unwrap();
    tmpfs.attach(&memory).unwrap();
    let left = Left {
        upper: Some(LeftMount {
            device: "tmpfs".into(),
            at: "/run/initramfs/memory".into(),
            ..LeftMount::default()
        }),
        ..Left::default()
    };
    let mut told = Told::default();
    let mut looked = |megabytes: usize| {
        fs::write(memory.join("file"), vec![0; megabytes << 20]).unwrap();
        let next = look(&machine, &left, &mut told).unwrap();
        assert_eq!(next.as_secs(), 2, "little is left");
        fs::read_to_string(machine.run.join("motd.d/liveroot-full")).ok()
    };
    assert_eq!(looked(7), None);
    assert!(looked(8).unwrap().contains("80 % full, 2.0 MiB are left"));
    assert!(looked(9).unwrap().contains("90 % full"));
    // Some came back, not enough to take the warning back.
    assert!(looked(8).unwrap().contains("90 % full"));
    assert_eq!(looked(7), None);
}
