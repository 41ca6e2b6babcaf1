//! The end: what is unmounted, in which order, and when a session may be called closed.

use super::mounts::Mount;
use crate::layout::LeftMount;
use std::path::{Path, PathBuf};

/// What becomes of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Without power.
    Poweroff,
    /// From the firmware on.
    Reboot,
    /// Stands still.
    Halt,
    /// Into the kernel that kexec(8) loaded.
    Kexec,
}

/// The verb is the first word; what follows is for systemd-shutdown itself. PID 1 can't
/// return, so without a known verb (systemd's `exit` is one) it powers off. None: the
/// caller ends the machine.
pub fn decide_verb(first_process: bool, words: &[String]) -> Result<Option<Verb>, String> {
    match words.first().map(String::as_str) {
        Some("poweroff") => Ok(Some(Verb::Poweroff)),
        Some("reboot") => Ok(Some(Verb::Reboot)),
        Some("halt") => Ok(Some(Verb::Halt)),
        Some("kexec") => Ok(Some(Verb::Kexec)),
        _ if first_process => Ok(Some(Verb::Poweroff)),
        None => Ok(None),
        Some(other) => Err(other.to_owned()),
    }
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// We are process 1.
    pub first: bool,
    /// Its effective user is root.
    pub root: bool,
    /// Process 1 started us.
    pub by_init: bool,
    /// Process 1 is systemd.
    pub systemd: bool,
}

/// Why nothing may be done. Without a verb the caller must end the machine; beside systemd
/// that can only be process 1 itself.
pub fn decide_refusal(caller: Caller, verb: Option<Verb>) -> Option<&'static str> {
    if !caller.root {
        Some("only root may end the system (Operation not permitted); nothing done")
    } else if verb.is_none() && !caller.first && caller.systemd && !caller.by_init {
        Some("systemd calls this at the end: say systemctl poweroff or reboot; nothing done")
    } else {
        None
    }
}

/// What stays mounted.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a> {
    /// Our root: it stays, and nothing outside of it is touched.
    pub root: &'a Path,
    /// Trees of the kernel's own file systems: /proc, /sys, /dev.
    pub kernel: [&'a Path; 3],
    /// /run itself, not what is mounted below it.
    pub run: &'a Path,
}

impl Kept<'_> {
    fn keeps(&self, at: &Path) -> bool {
        at == self.root || at == self.run || self.kernel.iter().any(|tree| at.starts_with(tree))
    }
}

/// What is unmounted, in this order: the deepest first, of one place the last one mounted.
pub fn decide_unmounts(mounts: &[Mount], kept: &Kept<'_>) -> Vec<PathBuf> {
    let goes = |at: &Path| at.starts_with(kept.root) && !kept.keeps(at);
    let depth = |m: &Mount| m.at.components().count();
    let mut places = Vec::new();
    for level in (0..=mounts.iter().map(depth).max().unwrap_or(0)).rev() {
        let here = mounts
            .iter()
            .rev()
            .filter(|m| depth(m) == level && goes(&m.at));
        places.extend(here.map(|m| m.at.clone()));
    }
    places
}

/// What is moved away when nothing can be unmounted any more: mounts that lie in another one
/// and keep it, while it may keep them. The medium lies in the live system's root, its
/// image's loop device keeps the medium, and the root keeps the loop device.
pub fn decide_moves(mounts: &[Mount], kept: &Kept<'_>) -> Vec<PathBuf> {
    let places = decide_unmounts(mounts, kept);
    let around = |at: &Path| {
        places
            .iter()
            .filter(|p| at != p.as_path() && at.starts_with(p))
            .count()
    };
    // What lies deeper moves along.
    places
        .iter()
        .filter(|at| around(at) == 1)
        .cloned()
        .collect()
}

/// What could not be unmounted and is made read-only instead, in this order: overlays
/// first, for they write to the others.
pub fn decide_read_only<'a>(mounts: &'a [Mount], kept: &Kept<'_>) -> Vec<&'a Mount> {
    let ours = |m: &&Mount| m.at.starts_with(kept.root) && !m.read_only;
    let (overlays, others): (Vec<&Mount>, Vec<&Mount>) =
        mounts.iter().filter(ours).partition(|m| m.fs == OVERLAY);
    let mut numbers = Vec::new();
    overlays
        .into_iter()
        .chain(others.into_iter().filter(|m| m.source.starts_with("/dev/")))
        .filter(|m| {
            // One file system may be mounted at several places.
            let new = !numbers.contains(&&m.number);
            numbers.push(&m.number);
            new
        })
        .collect()
}

/// Its type in the mount table.
pub const OVERLAY: &str = "overlay";

/// Whether an overlay is left that can write to the file system below it. Then a session is
/// still in use, whatever else was done.
pub fn is_in_use(mounts: &[Mount], kept: &Kept<'_>) -> bool {
    mounts
        .iter()
        .any(|m| m.fs == OVERLAY && !m.read_only && m.at.starts_with(kept.root))
}

/// Whether it matters that a place could not be unmounted. Where our root is the live
/// system's, its image and medium stay with it, and lose nothing.
pub fn is_trouble(mounts: &[Mount], kept: &Kept<'_>, place: &Path) -> bool {
    let at = |place: &Path| mounts.iter().rfind(|m| m.at == place);
    let stays = at(kept.root).is_some_and(|root| root.fs == OVERLAY);
    !(stays && at(place).is_some_and(|m| m.read_only))
}

/// Where the file system that boot left is mounted now; all of it rather than a part.
/// btrfs shows people another number than the mount table, so the device counts too.
pub fn find_left<'a>(mounts: &'a [Mount], left: &LeftMount) -> Option<&'a Mount> {
    let is_it = |m: &&Mount| {
        m.number == left.number
            || (m.fs == left.fs && m.source == left.device && left.device.starts_with("/dev/"))
    };
    let whole = mounts.iter().find(|m| is_it(m) && m.root == Path::new("/"));
    whole.or_else(|| mounts.iter().find(is_it))
}

/// The devices that are told to write out what they hold: all that a file system took
/// writes for.
pub fn decide_flushes(mounts: &[Mount], kept: &Kept<'_>, left: Option<&LeftMount>) -> Vec<String> {
    let mut devices: Vec<String> = mounts
        .iter()
        .filter(|m| !m.read_only && m.at.starts_with(kept.root))
        .map(|m| m.source.as_str())
        // systemd may have made it read-only before us.
        .chain(left.map(|l| l.device.as_str()))
        .filter(|device| device.starts_with("/dev/") && !device.starts_with("/dev/loop"))
        .map(str::to_owned)
        .collect();
    devices.sort();
    devices.dedup();
    devices
}

/// From /proc/swaps: files, and what lies on loop devices or device-mapper, hold a file
/// system or a device; other swap holds nothing, and emptying it takes time.
pub fn decide_swaps(table: &str) -> Vec<String> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (path, kind) = (fields.next()?, fields.next()?);
            let stacked = ["/dev/loop", "/dev/dm-", "/dev/mapper/"];
            let holds = kind == "file" || stacked.iter().any(|s| path.starts_with(s));
            holds.then(|| path.to_owned())
        })
        .collect()
}

/// What /proc/meminfo says is still to be written, KiB.
pub fn unwritten(meminfo: &str) -> u64 {
    let value = |line: &str| line.split_whitespace().nth(1).and_then(|n| n.parse().ok());
    meminfo
        .lines()
        .filter(|l| l.starts_with("Dirty:") || l.starts_with("Writeback:"))
        .filter_map(value)
        .fold(0, u64::saturating_add)
}

/// What /proc/swaps says is in use, KiB.
pub fn swapped(table: &str) -> u64 {
    let used = |line: &str| line.split_whitespace().nth(3)?.parse().ok();
    table.lines().filter_map(used).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::mounts::parse_mounts;

    const PIVOTED: &str = "\
        1 0 0:5 /initramfs / rw - tmpfs tmpfs rw\n\
        2 1 0:6 / /proc rw - proc proc rw\n\
        3 1 0:7 / /dev rw - devtmpfs devtmpfs rw\n\
        4 3 0:8 / /dev/pts rw - devpts devpts rw\n\
        5 1 0:5 / /run rw - tmpfs tmpfs rw\n\
        6 1 8:3 / /overlay rw - ext4 /dev/sda3 rw\n\
        7 1 8:1 / /live ro - iso9660 /dev/sda1 ro\n\
        8 1 0:44 / /oldroot rw - overlay LiveOS_rootfs rw,upperdir=/x\n\
        9 8 0:6 / /oldroot/proc rw - proc proc rw\n\
        10 8 8:3 / /oldroot/run/initramfs/overlay rw - ext4 /dev/sda3 rw\n\
        11 1 0:9 / /dev-of-a-user rw - tmpfs x rw\n";

    fn kept() -> Kept<'static> {
        Kept {
            root: Path::new("/"),
            kernel: ["/proc", "/sys", "/dev"].map(Path::new),
            run: Path::new("/run"),
        }
    }

    #[test]
    fn the_deepest_go_first_and_the_kernels_own_stay() {
        let places = decide_unmounts(&parse_mounts(PIVOTED.as_bytes()), &kept());
        let places: Vec<&str> = places.iter().filter_map(|p| p.to_str()).collect();
        let expected = [
            "/oldroot/run/initramfs/overlay",
            "/oldroot/proc",
            "/dev-of-a-user",
            "/oldroot",
            "/live",
            "/overlay",
        ];
        assert_eq!(places, expected);
    }

    #[test]
    fn what_lies_in_another_mount_is_moved_out_of_it_with_what_lies_in_it() {
        let table = format!("{PIVOTED}12 9 0:7 / /oldroot/proc/sys/fs rw - binfmt x rw\n");
        let moves = decide_moves(&parse_mounts(table.as_bytes()), &kept());
        let moves: Vec<&str> = moves.iter().filter_map(|p| p.to_str()).collect();
        assert_eq!(moves, ["/oldroot/run/initramfs/overlay", "/oldroot/proc"]);
    }

    #[test]
    fn nothing_outside_of_the_root_is_touched() {
        let below = Kept {
            root: Path::new("/oldroot"),
            ..kept()
        };
        let mounts = parse_mounts(PIVOTED.as_bytes());
        let places = decide_unmounts(&mounts, &below);
        assert!(
            places.iter().all(|p| p.starts_with("/oldroot/")),
            "{places:?}"
        );
        assert!(
            decide_read_only(&mounts, &below)
                .iter()
                .all(|m| m.at.starts_with("/oldroot"))
        );
    }

    #[test]
    fn an_overlay_is_made_read_only_before_what_it_writes_to_and_each_once() {
        let mounts = parse_mounts(PIVOTED.as_bytes());
        let chosen = decide_read_only(&mounts, &kept());
        let numbers: Vec<&str> = chosen.iter().map(|m| m.number.as_str()).collect();
        assert_eq!(numbers, ["0:44", "8:3"]);
    }

    #[test]
    fn a_session_is_in_use_as_long_as_an_overlay_can_write() {
        let mounts = parse_mounts(PIVOTED.as_bytes());
        assert!(is_in_use(&mounts, &kept()));
        let gone: Vec<Mount> = mounts
            .iter()
            .filter(|m| m.fs != "overlay")
            .cloned()
            .collect();
        assert!(!is_in_use(&gone, &kept()));
        let refusing = PIVOTED.replace("rw,upperdir", "ro,upperdir");
        assert!(!is_in_use(&parse_mounts(refusing.as_bytes()), &kept()));
    }

    #[test]
    fn a_medium_that_stays_with_the_live_systems_root_is_no_trouble() {
        let matters = |root: &str, place: &str| {
            let root = Path::new(root);
            let kept = Kept { root, ..kept() };
            is_trouble(&parse_mounts(PIVOTED.as_bytes()), &kept, Path::new(place))
        };
        assert!(!matters("/oldroot", "/live"));
        assert!(matters("/oldroot", "/overlay"));
        assert!(matters("/", "/live"));
    }

    #[test]
    fn the_upper_is_found_by_number_or_device_and_whole() {
        let mounts = parse_mounts(PIVOTED.as_bytes());
        let mut left = LeftMount {
            device: "/dev/sda3".into(),
            number: "8:3".into(),
            fs: "ext4".into(),
            ..LeftMount::default()
        };
        let found = |left: &LeftMount| find_left(&mounts, left).map(|m| m.at.clone());
        assert_eq!(found(&left), Some("/overlay".into()));
        left.number = "0:77".into();
        assert_eq!(found(&left), Some("/overlay".into()));
        left.device = "tmpfs".into();
        assert_eq!(found(&left), None);
    }

    #[test]
    fn what_took_writes_is_flushed() {
        let mounts = parse_mounts(PIVOTED.as_bytes());
        assert_eq!(decide_flushes(&mounts, &kept(), None), ["/dev/sda3"]);
        let left = LeftMount {
            device: "/dev/sdb1".into(),
            ..LeftMount::default()
        };
        assert_eq!(
            decide_flushes(&mounts, &kept(), Some(&left)),
            ["/dev/sda3", "/dev/sdb1"]
        );
    }

    #[test]
    fn what_is_still_to_be_written_is_summed() {
        let text = "MemFree: 7 kB\nDirty:   12 kB\nWriteback:  30 kB\nWritebackTmp: 9 kB\n";
        assert_eq!(unwritten(text), 42);
    }

    #[test]
    fn swap_that_holds_a_file_system_ends() {
        let table = "Filename Type Size Used Priority\n/swap file 1 0 -2\n\
            /dev/sda2 partition 1 0 -3\n/dev/dm-0 partition 1 0 -4\n/dev/zram0 partition 1 0 5\n";
        assert_eq!(decide_swaps(table), ["/swap", "/dev/dm-0"]);
    }

    #[test]
    fn nobody_but_root_ends_the_machine_and_beside_systemd_only_with_a_verb() {
        let shell = Caller {
            first: false,
            root: true,
            by_init: false,
            systemd: true,
        };
        let refused = |caller, verb| decide_refusal(caller, verb).is_some();
        assert!(refused(shell, None));
        assert!(!refused(shell, Some(Verb::Poweroff)));
        let by_init = Caller {
            by_init: true,
            ..shell
        };
        assert!(!refused(by_init, None));
        let script = Caller {
            systemd: false,
            ..shell
        };
        assert!(!refused(script, None));
        let user = Caller {
            root: false,
            ..script
        };
        assert!(refused(user, None) && refused(user, Some(Verb::Halt)));
    }

    #[test]
    fn the_first_word_is_the_verb_and_pid_1_never_returns() {
        let verb = |first, words: &[&str]| {
            let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
            decide_verb(first, &words)
        };
        assert_eq!(
            verb(true, &["reboot", "--log-level", "6"]),
            Ok(Some(Verb::Reboot))
        );
        assert_eq!(verb(true, &["exit"]), Ok(Some(Verb::Poweroff)));
        assert_eq!(verb(true, &[]), Ok(Some(Verb::Poweroff)));
        assert_eq!(verb(false, &[]), Ok(None));
        assert_eq!(verb(false, &["halt"]), Ok(Some(Verb::Halt)));
        assert_eq!(verb(false, &["hlat"]), Err("hlat".into()));
    }
}
