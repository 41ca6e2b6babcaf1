//! `rd.live.check` on images that implantisomd5 itself made; checkisomd5 must agree.
//!
//! A tool that is missing skips with its name, or fails under `LIVEROOT_STRICT=1`.
#![allow(clippy::unwrap_used)]

use liveroot::boot::check_medium::{Outcome, read_through};
use liveroot::boot::machine::Machine;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// For one read: no test waits for it but those of silence.
const LIMIT: Duration = Duration::from_secs(60);

fn tools_are_there() -> bool {
    for tool in ["implantisomd5", "checkisomd5", "xorriso"] {
        if Command::new(tool).arg("--help").output().is_err() {
            assert!(
                std::env::var_os("LIVEROOT_STRICT").is_none(),
                "{tool} is not installed"
            );
            eprintln!("skipped: {tool} is not installed");
            return false;
        }
    }
    true
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let done = Command::new(program).args(arguments).output().unwrap();
    done.status.success()
}

/// An ISO with some MiB of noise.
struct Iso {
    dir: TempDir,
    file: PathBuf,
}

impl Iso {
    fn new(mib: u32) -> Self {
        let dir = TempDir::new().unwrap();
        let content = dir.path().join("content");
        fs::create_dir(&content).unwrap();
        let noise = (0..mib << 18).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes());
        fs::write(content.join("noise"), noise.collect::<Vec<u8>>()).unwrap();
        let file = dir.path().join("live.iso");
        let (to, from) = (file.to_str().unwrap(), content.to_str().unwrap());
        assert!(run(
            "xorriso",
            &["-as", "mkisofs", "-quiet", "-o", to, from]
        ));
        Iso { dir, file }
    }

    fn implanted(mib: u32) -> Self {
        let iso = Iso::new(mib);
        assert!(run("implantisomd5", &[iso.file.to_str().unwrap()]));
        iso
    }

    fn flip(&self, at: usize) {
        let mut bytes = fs::read(&self.file).unwrap();
        bytes[at] ^= 1;
        fs::write(&self.file, bytes).unwrap();
    }

    fn machine(&self) -> Machine {
        Machine::below(self.dir.path().join("root"))
    }

    /// What we say, and whether checkisomd5 says that it is good.
    fn check(&self) -> (Outcome, bool) {
        let (_, outcome) = read_through(&self.machine(), vec![self.file.clone()], LIMIT);
        let good = run("checkisomd5", &[self.file.to_str().unwrap()]);
        (outcome, good)
    }
}

fn damage(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Damaged(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_good_image_is_whole_and_one_flipped_bit_is_damage() {
    if !tools_are_there() {
        return;
    }
    let iso = Iso::implanted(5);
    let length = fs::metadata(&iso.file).unwrap().len();
    let (outcome, good) = iso.check();
    assert_eq!((outcome, good), (Outcome::Whole(length - 15 * 2048), true));

    // Noticed by a fragment's sum, and by that of all behind the last fragment.
    for at in [2_500_000, length as usize - 15 * 2048 - 1] {
        iso.flip(at);
        let (outcome, good) = iso.check();
        assert!(
            damage(&outcome).contains("somewhere between"),
            "{outcome:?}"
        );
        assert!(!good);
        iso.flip(at);
    }
    // What the sum leaves out: the sectors at the end.
    iso.flip(length as usize - 1);
    assert_eq!(iso.check(), (Outcome::Whole(length - 15 * 2048), true));
}

#[test]
fn the_page_says_which_part_is_damaged() {
    if !tools_are_there() {
        return;
    }
    let iso = Iso::implanted(21);
    iso.flip(10_600_000);
    let (outcome, _) = iso.check();
    let why = damage(&outcome).to_owned();
    // At 10.11 MiB; a fragment is 1.013 MiB, and is compared at the end of its chunk.
    assert!(why.contains("between 9.2 MiB and 10.2 MiB of 21."), "{why}");
}

/// checkisomd5 calls it damaged: implantisomd5 left fewer sums of fragments than it reads.
#[test]
fn a_small_image_is_compared_as_a_whole() {
    if !tools_are_there() {
        return;
    }
    let iso = Iso::implanted(0);
    assert!(matches!(iso.check().0, Outcome::Whole(_)));
    iso.flip(100_000);
    assert!(matches!(iso.check().0, Outcome::Damaged(_)));
}

#[test]
fn a_short_image_is_damage_and_one_without_a_sum_is_none() {
    if !tools_are_there() {
        return;
    }
    assert_eq!(Iso::new(1).check(), (Outcome::NoChecksum, false));
    let iso = Iso::implanted(3);
    let file = fs::File::options().write(true).open(&iso.file).unwrap();
    file.set_len(2 << 20).unwrap();
    let (outcome, good) = iso.check();
    assert!(
        damage(&outcome).contains("it ends at 2.0 MiB, and its image has 3."),
        "{outcome:?}"
    );
    assert!(!good);
}

/// Of the nodes of a medium the disk is read if it is an ISO, and the partition if it is not.
#[test]
fn a_partition_is_checked_by_its_disk() {
    if !tools_are_there() {
        return;
    }
    let (disk, partition) = (Iso::implanted(1), Iso::new(1));
    let nodes = vec![partition.file.clone(), disk.file.clone()];
    let (node, outcome) = read_through(&disk.machine(), nodes, LIMIT);
    assert_eq!(node, disk.file);
    assert!(matches!(outcome, Outcome::Whole(_)));
    fs::write(&partition.file, vec![0; 1 << 20]).unwrap();
    let nodes = vec![disk.file.clone(), partition.file.clone()];
    let (node, outcome) = read_through(&disk.machine(), nodes, LIMIT);
    assert_eq!(node, disk.file);
    assert!(matches!(outcome, Outcome::Whole(_)));
}

/// Opening it hangs, as a read of a broken drive may.
fn pipe(dir: &Path) -> PathBuf {
    let node = dir.join("drive");
    assert!(run("mkfifo", &[node.to_str().unwrap()]));
    node
}

#[test]
fn a_drive_that_does_not_answer_ends_in_damage() {
    let dir = TempDir::new().unwrap();
    let machine = Machine::below(dir.path().into());
    let limit = Duration::from_millis(100);
    let (_, outcome) = read_through(&machine, vec![pipe(dir.path())], limit);
    assert!(damage(&outcome).contains("no answer for"), "{outcome:?}");
    let (_, outcome) = read_through(&machine, vec![dir.path().join("gone")], LIMIT);
    assert!(damage(&outcome).contains("No such file"), "{outcome:?}");
}

#[test]
fn esc_skips_even_a_drive_that_hangs_and_a_cursor_key_does_not() {
    let dir = TempDir::new().unwrap();
    let pty = nix::pty::openpty(None, None).unwrap();
    let slave = nix::unistd::ttyname(&pty.slave).unwrap();
    let mut machine = Machine::below(dir.path().into());
    machine.dev = "/dev".into();
    let active = machine.sys.join("class/tty/console/active");
    fs::create_dir_all(active.parent().unwrap()).unwrap();
    fs::write(
        active,
        slave.strip_prefix("/dev").unwrap().to_str().unwrap(),
    )
    .unwrap();
    let node = pipe(dir.path());
    let keys = |typed: &'static [u8], limit: Duration| {
        let mut master = fs::File::from(pty.master.try_clone().unwrap());
        // What is typed before the check listens is forgotten, so it is typed again and again.
        let (done, ended) = std::sync::mpsc::channel::<()>();
        let typing = std::thread::spawn(move || {
            let pause = Duration::from_millis(200);
            while ended.recv_timeout(pause) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                master.write_all(typed).unwrap();
            }
        });
        let (_, outcome) = read_through(&machine, vec![node.clone()], limit);
        drop(done);
        typing.join().unwrap();
        outcome
    };
    assert_eq!(keys(b"\x1b", LIMIT), Outcome::Skipped);
    let cursor = keys(b"\x1b[A", Duration::from_secs(1));
    assert!(damage(&cursor).contains("no answer"), "{cursor:?}");
}
