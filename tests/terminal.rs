//! `liveroot build` on a terminal, and stopped by hand.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;

use bench::*;
use liveroot::builder::source::{Owners, dir::Directory};
use liveroot::builder::squashfs::{Compressor, Options, write};
use liveroot::builder::{Error, Watch};
use std::fs::File;
use std::process::Command;
use std::sync::OnceLock;

/// Asks to stop when a part of the tree is read, and notes how long the image was then.
struct Stop {
    image: File,
    at: OnceLock<u64>,
}

impl Watch for Stop {
    fn phase(&self, _: &str) {}
    fn percent(&self, _: u8) {}
    fn progress(&self, done: u64, _: u64) {
        if done >= MIB {
            self.at.get_or_init(|| self.image.metadata().unwrap().len());
        }
    }
    fn warn(&self, _: &str) {}
    fn cancelled(&self) -> bool {
        self.at.get().is_some()
    }
}

/// What is read ahead, four blocks for each thread that packs, would take seconds.
#[test]
fn a_cancelled_payload_stops_at_the_next_block() {
    const BLOCK: u32 = 128 << 10;
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    let mut state = 1u64;
    let bytes: Vec<u8> = (0..4 * MIB)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 60) as u8
        })
        .collect();
    write_file(&tree.join("file"), &bytes);
    let file = File::create(dir.path().join("image")).unwrap();
    let stop = Stop {
        image: file.try_clone().unwrap(),
        at: OnceLock::new(),
    };
    let source = Directory::read(&tree, Owners::Kept, &stop).unwrap();
    let options = Options {
        compressor: Compressor::Xz { x86: true },
        block_size: BLOCK,
        workers: 2,
        ..Options::default()
    };
    let error = write(&source, &options, &file, 0, &stop).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error}");
    let (then, end) = (*stop.at.get().unwrap(), file.metadata().unwrap().len());
    // One may be on its way to the file.
    assert!(end <= then + u64::from(BLOCK), "{then} bytes, then {end}");
}

fn write_file(path: &std::path::Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}

/// script(1) gives it a terminal.
#[test]
fn on_a_narrow_terminal_one_line_changes_and_is_gone_at_the_end() {
    if !have("script", std::path::Path::new("/usr/bin/script").exists()) || !have_tools(&[]) {
        return;
    }
    let bench = Bench::new();
    std::os::unix::fs::chown(bench.tree(), Some(1000), None).ok();
    let build = format!(
        "stty cols 24; exec {} build {} -o {} --agent {}",
        env!("CARGO_BIN_EXE_liveroot"),
        bench.tree().display(),
        bench.iso().display(),
        bench.agent().display(),
    );
    let log = bench.dir.path().join("log");
    let output = Command::new("script")
        .args(["-qec", &build, log.to_str().unwrap()])
        .env("TERM", "xterm")
        .env("SHELL", "/bin/sh")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    let drawn: Vec<&str> = said.split("\r\u{1b}[K").collect();
    assert!(drawn.len() > 5, "{said:?}");
    let (table, lines) = drawn.split_last().unwrap();
    assert!(
        table.contains("payload ") && table.contains("ISO "),
        "{said:?}"
    );
    for line in lines.iter().filter(|line| !line.ends_with('\n')) {
        assert!(
            line.chars().count() < 24 && !line.contains('\n'),
            "{line:?}"
        );
    }
    if is_root() {
        let warning = lines
            .iter()
            .filter(|line| line.starts_with("warning: "))
            .count();
        assert_eq!(warning, 1, "{said:?}");
    }
}
