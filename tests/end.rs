//! The stack taken apart, on real loop devices in a private mount namespace: ext4 with a
//! session, squashfs, overlay.
//!
//! Needs root; the host's kernel must have loop, squashfs, overlay and ext4. A kernel
//! without one of them skips with its name, or fails under `LIVEROOT_STRICT=1`.

// Helpers of a test may panic as the test itself does.
#![allow(clippy::unwrap_used)]

mod namespace;
mod stack;

use liveroot::boot::apart::take_apart;
use liveroot::boot::machine::Machine;
use liveroot::boot::watch::look;
use liveroot::layout::{Left, LeftMount, Session};
use liveroot::plan::fill::Told;
use liveroot::sys::mount::{Access, Detached, MountOption};
use namespace::{attach_for_writing, run, text};
use stack::{Stack, mount_line, open_session};
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

#[test]
fn the_stack_is_taken_apart_and_the_session_is_closed() {
    let Some(stack) = Stack::new() else { return };
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
fn the_session_of_another_image_is_not_ours_to_close() {
    let Some(mut stack) = Stack::new() else {
        return;
    };
    stack.left.image = Some(liveroot::units::ImageId::from_digest(&[8; 32]));
    let ended = stack.end();
    assert!(!ended.closed && !ended.troubles.is_empty());
    assert_eq!(stack.session(), open_session());
}

#[test]
fn what_is_mounted_twice_in_deep_places_or_from_a_file_of_the_live_system_goes_too() {
    let Some(stack) = Stack::new() else { return };
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
    let device = attach_for_writing(&inner);
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
    let Some(stack) = Stack::new() else { return };
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
    let Some(stack) = Stack::new() else { return };
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
    let Some(stack) = Stack::new() else { return };
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
fn an_upper_that_umount_a_took_away_before_is_closed_all_the_same() {
    for (fs_type, access) in [
        ("ext4", "rw"),
        ("ext4", "ro"),
        ("xfs", "rw"),
        ("xfs", "ro"),
        ("btrfs", "rw"),
        ("btrfs", "ro"),
    ] {
        let Some(stack) = Stack::on(fs_type) else {
            continue;
        };
        fs::write(stack.in_root("kept"), "x").unwrap();
        for at in [&stack.machine.sysroot, &stack.machine.overlay()] {
            run("mount", &["-o", &format!("remount,{access}"), text(at)]);
        }
        // The overlay has a mount of its own of it.
        run("umount", &[text(&stack.machine.overlay())]);
        let program = File::open(stack.in_root("busybox")).unwrap();
        let ended = stack.end();
        assert!(ended.closed, "{fs_type} {access}: {ended:?}");
        stack.assert_clean();
        drop(program);
        assert!(!stack.session().open);
    }
}

#[test]
fn an_upper_that_is_unmounted_already_is_closed_too() {
    let Some(stack) = Stack::new() else { return };
    for at in [&stack.machine.sysroot, &stack.machine.overlay()] {
        run("umount", &[text(at)]);
    }
    let ended = stack.end();
    assert!(ended.closed && ended.troubles.is_empty(), "{ended:?}");
    assert_eq!(stack.left_over(), Vec::<String>::new());
    assert!(!stack.session().open);
    stack.assert_clean();
}

#[test]
fn another_disk_with_the_uppers_name_is_not_written_to() {
    let Some(stack) = Stack::new() else { return };
    for at in [&stack.machine.sysroot, &stack.machine.overlay()] {
        run("umount", &[text(at)]);
    }
    let disk = text(&stack.disk);
    run("mkfs.ext4", &["-q", "-F", "-E", "lazy_itable_init=0", disk]);
    let sum = || run("sha256sum", &[text(&stack.disk_file)]);
    let before = sum();
    let ended = stack.end();
    assert!(!ended.closed && ended.troubles.len() == 1, "{ended:?}");
    assert!(ended.troubles[0].contains(disk), "{ended:?}");
    run("sync", &[disk]);
    assert_eq!(sum(), before);
}

#[test]
fn the_session_is_closed_before_what_may_take_long() {
    let Some(stack) = Stack::new() else { return };
    fs::write(stack.in_root("kept"), "x").unwrap();
    let program = File::open(stack.in_root("busybox")).unwrap();
    let mut stalled = false;
    take_apart(&stack.machine, &stack.left, &mut || {
        stack.assert_clean();
        stalled = true;
    });
    assert!(stalled);
    drop(program);
    assert!(!stack.session().open);
}

#[test]
fn a_session_that_can_still_be_written_stays_open() {
    let Some(stack) = Stack::new() else { return };
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
    let Some(stack) = Stack::new() else { return };
    let writer = File::create(stack.machine.overlay().join("past")).unwrap();
    let ended = stack.end();
    drop(writer);
    assert!(!ended.closed, "{ended:?}");
    assert!(stack.session().open);
}

#[test]
fn without_its_facts_all_is_unmounted_and_the_disk_is_clean() {
    let Some(mut stack) = Stack::new() else {
        return;
    };
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
    for fs_type in ["xfs", "btrfs"] {
        let Some(stack) = Stack::on(fs_type) else {
            continue;
        };
        fs::write(stack.in_root("kept"), "x").unwrap();
        let program = File::open(stack.in_root("busybox")).unwrap();
        let ended = stack.end();
        assert!(ended.closed, "{fs_type}: {ended:?}");
        stack.assert_clean();
        drop(program);
        assert!(!stack.session().open);
    }
}

#[test]
fn devices_outside_of_the_root_are_left_alone() {
    let Some(stack) = Stack::new() else { return };
    stack.end();
    assert!(
        stack.is_attached(&stack.disk),
        "its file lies outside of the root"
    );
}

#[test]
fn users_are_warned_once_a_level_and_the_notice_goes_when_there_is_room() {
    let Some(stack) = Stack::new() else { return };
    // A machine without processes: nobody's terminal is written to.
    let machine = Machine::below(stack.machine.root.clone());
    let memory = machine.overlay().with_file_name("memory");
    fs::create_dir_all(&memory).unwrap();
    let size = [MountOption::value("size", "10m")];
    let tmpfs = Detached::mount("tmpfs", "liveroot", Access::ReadWrite, &size).unwrap();
    tmpfs.attach(&memory).unwrap();
    let line = mount_line(&memory).unwrap();
    fs::create_dir_all(machine.proc.join("self")).unwrap();
    fs::write(machine.proc.join("self/mountinfo"), &line).unwrap();
    let left = Left {
        upper: Some(LeftMount {
            device: "tmpfs".into(),
            number: line.split(' ').nth(2).unwrap().into(),
            at: "/run/initramfs/memory".into(),
            ..LeftMount::default()
        }),
        ..Left::default()
    };
    let mut told = Told::default();
    let mut looked = |megabytes: usize| {
        fs::write(memory.join("file"), vec![0; megabytes << 20]).unwrap();
        let next = look(&machine, &left, &mut told).unwrap();
        assert_eq!(next.as_secs(), 1, "little is left");
        fs::read_to_string(machine.run.join("motd.d/liveroot-full")).ok()
    };
    assert_eq!(looked(7), None);
    assert!(looked(8).unwrap().contains("80 % full, 2.0 MiB are left"));
    assert!(looked(9).unwrap().contains("90 % full"));
    // Some came back, not enough to take the warning back.
    assert!(looked(8).unwrap().contains("90 % full"));
    assert_eq!(looked(7), None);
}
