//! What boot leaves in /run for those who come later: facts, notices, and one copy of this
//! program, for the shutdown, for `liveroot status` and for `watch`.
//!
//! None of it is worth a boot: what fails is a warning.

use super::machine::Machine;
use super::report::Report;
use crate::layout::{LEFT_JSON, Left, RUN_BIN, RUN_DIR, SHUTDOWN};
use crate::sys::mount::shown_number;
use crate::sys::{Error, process};
use crate::units::shown;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The unit of `watch`. It leaves at SIGTERM at once; what a private view of the mounts
/// would need is left out, for such a view holds the file systems that are to be unmounted.
/// Terminals belong to their users, hence CAP_DAC_OVERRIDE.
const UNIT: &str = "\
[Unit]
Description=Warns when what takes this live system's changes fills
Documentation=man:liveroot-init(8)

[Service]
ExecStart=/run/liveroot/bin/liveroot-init watch
MemoryMax=16M
MemorySwapMax=0
TasksMax=4
Nice=5
TimeoutStopSec=2
CapabilityBoundingSet=CAP_DAC_OVERRIDE
NoNewPrivileges=yes
RestrictAddressFamilies=AF_UNIX
";

const UNIT_NAME: &str = "liveroot-watch.service";

/// dracut's own unit would unpack an initramfs over /run/initramfs when anything in the initramfs or
/// the live system asks for its shutdown, and remove ours when there is none to unpack
/// (dracut-initramfs-restore).
const NO_RESTORE: &str = "\
[Unit]
ConditionPathExists=!/run/liveroot/left.json
";

const NO_RESTORE_NAME: &str = "dracut-shutdown.service.d/50-liveroot.conf";

/// Where an image may have a `liveroot` of its own.
const PROGRAMS: [&str; 4] = ["usr/bin", "bin", "usr/local/bin", "usr/sbin"];

/// Address space of a plainly started `watch`, bytes: its program, a stack and small change.
const WATCH_MEMORY: u64 = 16 << 20;

/// The program's name below [`RUN_BIN`].
const AGENT: &str = "liveroot-init";

/// Before the mounts move into the new root.
pub fn leave_behind(machine: &Machine, systemd: bool, left: &Left, report: &mut Report) {
    let base = report.image.as_ref().map(|image| image.device.clone());
    let mut done = |result: Result<(), Error>| {
        if let Err(e) = result {
            report.warn(e.to_string());
        }
    };
    if let Some(device) = base {
        done(link_live_base(machine, &device));
    }
    done(write_facts(machine, left));
    done(write_notices(machine, &left.notices));
    done(copy_program(machine).and_then(|()| match systemd {
        true => write_unit(machine).and_then(|()| link_volatile_root(machine)),
        false => Ok(()),
    }));
}

/// The device of the image, by the name that dmsquash-live gives it: livecd-tools' editliveos
/// looks there (tools/editliveos). devtmpfs is the live system's too.
fn link_live_base(machine: &Machine, device: &str) -> Result<(), Error> {
    let name = machine.dev.join("live-base");
    symlink(device, &name).map_err(|e| Error::io("linking", name.display(), &e))
}

/// What systemd reads to know the device behind a root that is an overlay: gpt-auto-generator,
/// repart and bootctl. A link of the form that `volatile-root.c` writes, /dev/block/MAJOR:MINOR
/// of the file system below. It is the image's loop device: of the medium's disk, systemd would
/// mount partitions and start swap that are nobody's business here.
const VOLATILE_ROOT: &str = "systemd/volatile-root";

fn link_volatile_root(machine: &Machine) -> Result<(), Error> {
    let number = shown_number(&machine.proc, &machine.rootfsbase());
    // None, or of a file system without a device (btrfs): systemd takes no link for no device.
    if number.is_empty() || number.starts_with("0:") {
        return Ok(());
    }
    let name = machine.run.join(VOLATILE_ROOT);
    symlink(format!("/dev/block/{number}"), &name)
        .map_err(|e| Error::io("linking", name.display(), &e))
}

fn write_facts(machine: &Machine, left: &Left) -> Result<(), Error> {
    let path = machine.run.join(RUN_DIR).join(LEFT_JSON);
    let text = serde_json::to_vec(left).unwrap_or_default();
    write(&path, &text, 0o644)
}

/// What pam_motd(8) shows at a login.
fn write_notices(machine: &Machine, notices: &[String]) -> Result<(), Error> {
    if notices.is_empty() {
        return Ok(());
    }
    let lines = notices.iter().map(|notice| shown(notice) + "\n");
    let text: String = lines.collect();
    write(&machine.run.join("motd.d/liveroot"), text.as_bytes(), 0o644)
}

/// One copy, with a name for each of its faces.
fn copy_program(machine: &Machine) -> Result<(), Error> {
    // /init, or a program of dracut's initramfs.
    let from = machine.proc.join("self/exe");
    let program = std::fs::read(&from).map_err(|e| Error::io("reading", from.display(), &e))?;
    let shutdown = machine.run.join(SHUTDOWN);
    write(&shutdown, &program, 0o755)?;
    let bin = machine.run.join(RUN_DIR).join(RUN_BIN);
    std::fs::create_dir_all(&bin).map_err(|e| Error::io("creating", bin.display(), &e))?;
    link(&shutdown, &bin.join(AGENT))?;
    // A link counts, wherever it leads: its target may be absolute, in a root that is not
    // ours yet.
    let has = |dir: &str| {
        machine
            .sysroot
            .join(dir)
            .join("liveroot")
            .symlink_metadata()
            .is_ok()
    };
    if PROGRAMS.into_iter().any(has) {
        return Ok(());
    }
    link(&shutdown, &bin.join("liveroot"))
}

fn link(program: &Path, name: &Path) -> Result<(), Error> {
    std::fs::hard_link(program, name).map_err(|e| Error::io("linking", name.display(), &e))
}

fn write_unit(machine: &Machine) -> Result<(), Error> {
    let units = machine.run.join("systemd/system");
    write(&units.join(UNIT_NAME), UNIT.as_bytes(), 0o644)?;
    write(&units.join(NO_RESTORE_NAME), NO_RESTORE.as_bytes(), 0o644)?;
    let wants = units.join("multi-user.target.wants");
    let name = wants.join(UNIT_NAME);
    std::fs::create_dir_all(&wants)
        .and_then(|()| symlink(format!("../{UNIT_NAME}"), &name))
        .map_err(|e| Error::io("linking", name.display(), &e))
}

/// Writes a new file, and the directories that lead to it.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    use std::io::Write;
    let dir: PathBuf = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let options = |path: &Path| {
        let mut options = std::fs::File::options();
        options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(path)
    };
    std::fs::create_dir_all(dir)
        .and_then(|()| options(path))
        .and_then(|mut file| file.write_all(bytes))
        .map_err(|e| Error::io("writing", path.display(), &e))
}

/// Starts `watch` where no systemd does: after the mounts moved, in the new root, with
/// nothing of ours but a limit.
pub fn start_watch(machine: &Machine) {
    if let Err(e) = start_watch_in(&machine.sysroot, Duration::ZERO) {
        log::warn!("{e}");
    }
}

/// In a root that /run is moved into within `patience`.
pub fn start_watch_in(root: &Path, patience: Duration) -> Result<(), Error> {
    let program = format!("/run/{RUN_DIR}/{RUN_BIN}/{AGENT}");
    process::start_detached(root, &program, "watch", WATCH_MEMORY, patience)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::decide_request;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    fn leave(image: &str, left: &Left) -> (tempfile::TempDir, Machine, Report) {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::below(dir.path().into());
        std::fs::create_dir_all(&machine.run).unwrap();
        std::fs::create_dir_all(machine.sysroot.join(image)).unwrap();
        std::fs::create_dir_all(machine.proc.join("self")).unwrap();
        std::fs::write(machine.proc.join("self/exe"), "the program").unwrap();
        let base = machine.rootfsbase();
        let mounts = format!(
            "40 1 7:3 / {} ro - squashfs /dev/loop3 ro\n",
            base.display()
        );
        std::fs::write(machine.proc.join("self/mountinfo"), mounts).unwrap();
        std::fs::create_dir_all(&machine.dev).unwrap();
        let mut report = Report::new(&decide_request(&[]));
        report.image = Some(crate::boot::report::ImageReport {
            path: "/run/initramfs/live/LiveOS/squashfs.img".to_owned(),
            size: 1,
            id: None,
            loop_device: None,
            fs: "squashfs",
            layout: "flat",
            inner: None,
            device: "/dev/loop3".to_owned(),
        });
        leave_behind(&machine, true, left, &mut report);
        (dir, machine, report)
    }

    #[test]
    fn facts_notices_one_program_and_the_unit_are_left() {
        let left = Left {
            notices: vec!["Changes are kept in memory.".into(), "Sec\u{1b}ond.".into()],
            ..Left::default()
        };
        let (_dir, machine, report) = leave("usr/bin", &left);
        assert_eq!(report.warnings, Vec::<String>::new());
        let base = std::fs::read_link(machine.dev.join("live-base")).unwrap();
        assert_eq!(base, Path::new("/dev/loop3"));
        let text = std::fs::read(machine.run.join("liveroot/left.json")).unwrap();
        assert_eq!(serde_json::from_slice::<Left>(&text).unwrap(), left);
        let motd = std::fs::read_to_string(machine.run.join("motd.d/liveroot")).unwrap();
        assert_eq!(motd, "Changes are kept in memory.\nSec?ond.\n");
        let inode = |path: &str| std::fs::metadata(machine.run.join(path)).unwrap();
        let program = inode("initramfs/shutdown");
        assert_eq!(program.permissions().mode() & 0o777, 0o755);
        for name in ["liveroot/bin/liveroot", "liveroot/bin/liveroot-init"] {
            assert_eq!(inode(name).ino(), program.ino(), "one copy only");
        }
        let wanted = "systemd/system/multi-user.target.wants/liveroot-watch.service";
        let unit = std::fs::read_to_string(machine.run.join(wanted)).unwrap();
        assert!(unit.contains("MemoryMax="));
        let kept = "systemd/system/dracut-shutdown.service.d/50-liveroot.conf";
        let kept = std::fs::read_to_string(machine.run.join(kept)).unwrap();
        assert!(kept.contains("ConditionPathExists=!/run/liveroot/left.json\n"));
        let backing = std::fs::read_link(machine.run.join(VOLATILE_ROOT)).unwrap();
        assert_eq!(backing, Path::new("/dev/block/7:3"));
        assert!(!machine.run.join("initramfs/.need_shutdown").exists());
    }

    #[test]
    fn an_image_with_a_liveroot_of_its_own_keeps_to_that() {
        let (_dir, machine, _) = leave("usr/bin/liveroot", &Left::default());
        assert!(!machine.run.join("liveroot/bin/liveroot").exists());
        assert!(machine.run.join("liveroot/bin/liveroot-init").exists());
        assert!(!machine.run.join("motd.d").exists(), "nothing to notice");
    }

    #[test]
    fn a_failure_is_a_warning() {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::below(dir.path().into());
        let mut report = Report::new(&decide_request(&[]));
        leave_behind(&machine, false, &Left::default(), &mut report);
        assert_eq!(report.warnings.len(), 1, "{:?}", report.warnings);
        assert!(report.warnings[0].contains("/self/exe"));
        assert!(machine.run.join("liveroot/left.json").exists());
    }
}
