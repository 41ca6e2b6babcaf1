//! `liveroot inspect` and `verify` on media that the real tools make: what is read agrees
//! with them, damage is found and placed, and nothing hostile stops them.
#![allow(clippy::unwrap_used)]

#[path = "bench/mod.rs"]
mod bench;
#[path = "inspect/invariants.rs"]
mod invariants;
#[path = "inspect/media.rs"]
mod media;

use bench::{have_tools, run};
use liveroot::inspect::verify::{Outcome, Verified, Watch, verify_source};
use liveroot::inspect::{Verdict, Way, draw::Canvas, inspect, text};
use media::{Disk, Medium, built, sealed};
use std::fs;
use std::process::Command;

struct Quiet;

/// The same numbers in every run (Knuth's MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        let next = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = next.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

impl Watch for Quiet {
    fn phase(&self, _: &str) {}
    fn progress(&self, done: u64, total: u64) {
        assert!(done <= total, "{done} of {total}");
    }
    fn cancelled(&self) -> bool {
        false
    }
}

fn verified(bytes: &[u8]) -> Verified {
    verify_source(&Disk(bytes.to_vec()), &Quiet)
}

fn tools() -> bool {
    have_tools(&["veritysetup", "sgdisk", "implantisomd5"])
}

#[test]
fn three_hundred_flipped_bits_in_each_of_five_parts_are_found_and_placed() {
    if !tools() {
        return;
    }
    each_flipped_bit_is_placed(sealed());
}

/// The same of a medium that our own builder made: it lists what it wrote.
#[test]
fn three_hundred_flipped_bits_in_each_of_five_parts_of_our_own_medium() {
    each_flipped_bit_is_placed(built());
}

fn each_flipped_bit_is_placed(medium: &Medium) {
    let whole = verified(&medium.bytes);
    assert_eq!(whole.outcome, Outcome::Intact, "{}", whole.text());
    assert_eq!(whole.not_covered, Vec::<String>::new());
    // Where the ISO's files are sections of the unified kernel image, the shorter one has the
    // name: the file, and the section for what pads it.
    let targets: [(&[&str], _); 5] = [
        (&["/LiveOS/squashfs.img"], medium.range("payload")),
        (
            &["/EFI/liveroot/linux.efi: .linux", "/boot/vmlinuz"],
            medium.range("kernel"),
        ),
        (
            &["/EFI/liveroot/linux.efi: .initrd", "/boot/initramfs"],
            medium.range("initramfs"),
        ),
        (&["ESP: FAT "], medium.range("fat")),
        (&["GPT "], medium.range("gpt")),
    ];
    let mut random = Random(7);
    let mut bytes = medium.bytes.clone();
    for _ in 0..300 {
        // One bit in each part at a time: five damages, no more, each in its place.
        let flips = targets.clone().map(|(name, at)| {
            let place = at.start + random.below(at.end - at.start);
            (name, place, 1u8 << random.below(8))
        });
        for (_, place, bit) in &flips {
            bytes[*place as usize] ^= bit;
        }
        let found = verified(&bytes);
        for (name, place, _) in &flips {
            let hit = |d: &&liveroot::inspect::verify::Damage| {
                name.iter().any(|name| d.part.starts_with(name))
                    && (d.offset..d.offset + d.length).contains(place)
            };
            assert_eq!(
                found.damage.iter().filter(hit).count(),
                1,
                "{name:?} {place}: {}",
                found.text()
            );
        }
        assert_eq!(
            (found.outcome, found.damage.len()),
            (Outcome::Damaged, 5),
            "{}",
            found.text()
        );
        for (_, place, bit) in &flips {
            bytes[*place as usize] ^= bit;
        }
    }
}

#[test]
fn every_byte_of_a_sealed_medium_is_covered() {
    if !tools() {
        return;
    }
    let medium = sealed();
    let mut bytes = medium.bytes.clone();
    // Descriptors, directories, the list itself, what no file has, the tree, the last byte.
    let mut places: Vec<usize> = (0..medium.bytes.len())
        .step_by(medium.bytes.len() / 60)
        .collect();
    places.extend([
        0,
        513,
        0x8001,
        0x8372,
        0x8573,
        35_000,
        medium.bytes.len() - 1,
    ]);
    let text = medium.range("manifest");
    places.extend([
        text.start as usize,
        text.start as usize + 30,
        text.end as usize - 2,
        text.end as usize - 40,
    ]);
    let tree = medium.range("tree");
    places.extend([
        tree.start as usize,
        tree.start as usize + 600,
        tree.end as usize - 5000,
        tree.end as usize - 1,
    ]);
    for place in places {
        bytes[place] ^= 0x20;
        let found = verified(&bytes);
        let inside = |d: &liveroot::inspect::verify::Damage| {
            (d.offset..d.offset + d.length).contains(&(place as u64))
        };
        assert!(
            found.outcome == Outcome::Damaged && found.damage.iter().any(inside),
            "byte {place}: {}",
            found.text()
        );
        bytes[place] ^= 0x20;
    }
}

#[test]
fn a_larger_stick_is_whole_with_its_backup_moved_or_not() {
    if !tools() {
        return;
    }
    let medium = sealed();
    let dir = tempfile::tempdir().unwrap();
    let stick = dir.path().join("stick");
    let mut bytes = medium.bytes.clone();
    bytes.resize(bytes.len() + (1 << 20), 0xe5);
    assert_eq!(verified(&bytes).outcome, Outcome::Intact);
    fs::write(&stick, &bytes).unwrap();
    run("sgdisk", &["-e", stick.to_str().unwrap()]);
    let moved = verified(&fs::read(&stick).unwrap());
    assert_eq!(moved.outcome, Outcome::Intact, "{}", moved.text());
    assert!(moved.notes[0].contains("larger stick"), "{}", moved.text());
    // A table that was changed in any other way is damaged.
    run("sgdisk", &["-c", "1:other", stick.to_str().unwrap()]);
    assert_eq!(
        verified(&fs::read(&stick).unwrap()).outcome,
        Outcome::Damaged
    );
}

#[test]
fn a_medium_that_is_cut_short_can_not_be_read_to_its_end() {
    if !tools() {
        return;
    }
    let medium = sealed();
    for length in [medium.bytes.len() - 1, medium.bytes.len() / 2] {
        let short = verified(&medium.bytes[..length]);
        assert_ne!(short.outcome, Outcome::Intact);
        let end = |d: &liveroot::inspect::verify::Damage| {
            d.offset + d.length == medium.bytes.len() as u64
        };
        assert!(short.unreadable.iter().any(end), "{}", short.text());
    }
    for length in [1, 511, 512, 40_000, 70_000] {
        assert_ne!(
            verified(&medium.bytes[..length]).outcome,
            Outcome::Damaged,
            "{length}"
        );
    }
}

#[test]
fn a_foreign_medium_is_compared_with_its_implanted_checksum_by_name() {
    if !tools() {
        return;
    }
    let medium = Medium::foreign();
    let mut bytes = medium.bytes.clone();
    let whole = verified(&bytes);
    assert_eq!(whole.outcome, Outcome::Intact, "{}", whole.text());
    assert!(whole.compared.iter().any(|line| line.contains("isomd5")));
    assert!(
        whole.not_covered[0].contains("last"),
        "{:?}",
        whole.not_covered
    );
    let file = medium.range("payload");
    bytes[file.start as usize + 100_000] ^= 1;
    let found = verified(&bytes);
    assert_eq!(found.damage.len(), 1, "{}", found.text());
    assert!(
        found.damage[0].part.contains("/LiveOS/squashfs.img"),
        "{}",
        found.text()
    );
}

#[test]
fn what_is_read_agrees_with_what_was_made() {
    if !tools() {
        return;
    }
    let medium = sealed();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("live.iso");
    fs::write(&path, &medium.bytes).unwrap();
    let (report, spans) = inspect(&path).unwrap();
    assert_eq!(report.trouble, Vec::<String>::new());
    assert_eq!(report.findings, Vec::<String>::new());
    let facts = &report.facts;
    let payload = facts
        .payloads
        .iter()
        .find(|p| p.path == "LiveOS/squashfs.img")
        .unwrap();
    assert_eq!(payload.offset, medium.range("payload").start);
    assert_eq!(
        payload.verity.as_ref().unwrap().length,
        medium.range("tree").end - medium.range("tree").start
    );
    assert_eq!(facts.fats[0].loader.as_ref().unwrap().machine, 0x8664);
    let verdicts: Vec<_> = report
        .ways
        .iter()
        .map(|one| (one.way, one.verdict))
        .collect();
    assert_eq!(
        verdicts,
        [
            (Way::UefiDvd, Verdict::Starts),
            (Way::UefiStick, Verdict::Starts),
            (Way::BiosDvd, Verdict::Fails),
            (Way::BiosStick, Verdict::Fails),
            (Way::CopiedToFat, Verdict::Starts),
            (Way::Loopback, Verdict::Fails),
        ],
        "{:?}",
        report.ways
    );
    for width in [60, 80] {
        let text = text(&report, &spans, Canvas { width, utf8: false });
        assert!(text.is_ascii(), "{text}");
    }
}

#[test]
fn a_hostile_or_damaged_medium_stops_neither() {
    if !tools() {
        return;
    }
    let medium = sealed();
    let mut random = Random(11);
    let fat = medium.range("fat").start;
    let places = [
        0,
        512,
        0x8000,
        0x8800,
        0xc000,
        65_536,
        fat,
        medium.range("tree").start,
    ];
    let mut bytes = medium.bytes.clone();
    for round in 0..40 {
        let mut changed = Vec::new();
        for _ in 0..150 {
            let area = places[random.below(places.len() as u64) as usize];
            let at = (area + random.below(4096)) as usize;
            let byte = [0, 0xff, random.below(256) as u8][random.below(3) as usize];
            changed.push((at, bytes[at]));
            bytes[at] = byte;
        }
        let length = match round % 3 {
            0 => random.below(bytes.len() as u64) as usize,
            _ => bytes.len(),
        };
        invariants::check(&Disk(bytes[..length].to_vec()));
        for (at, byte) in changed.into_iter().rev() {
            bytes[at] = byte;
        }
    }
    for length in [0, 1, 511, 2048, 40_000] {
        invariants::check(&Disk(vec![0xff; length]));
    }
}

#[test]
fn the_commands_answer_by_exit_status_and_json() {
    if !tools() {
        return;
    }
    let medium = sealed();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("live.iso");
    let liveroot = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_liveroot"))
            .args(words)
            .arg(&path)
            .output()
            .unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        (
            output.status.code(),
            stdout,
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, _, said) = liveroot(&["verify"]);
    assert!(
        code == Some(2) && said.contains("live.iso"),
        "{code:?} {said}"
    );
    assert_eq!(liveroot(&["inspect"]).0, Some(1));
    fs::write(&path, &medium.bytes).unwrap();
    let (code, out, said) = liveroot(&["verify"]);
    assert!(
        code == Some(0) && out.ends_with("intact\n") && said.contains("comparing"),
        "{out} {said}"
    );
    let (code, out, _) = liveroot(&["inspect", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(
        code == Some(0) && json["ways"][0]["way"] == "uefi-dvd",
        "{out}"
    );
    let mut bytes = medium.bytes.clone();
    let place = medium.range("kernel").start;
    bytes[place as usize] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let (code, out, _) = liveroot(&["verify", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(
        code == Some(1) && json["damage"][0]["offset"] == place,
        "{out}"
    );
    fs::write(&path, &bytes[..200_000]).unwrap();
    let (code, out, said) = liveroot(&["inspect"]);
    assert!(
        code == Some(1) && said.contains("cut short") && out.contains("El Torito"),
        "{said}"
    );
}
