//! Every option of `liveroot build` that help and manual promise, and what it does to the image.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;

use bench::*;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn json(output: &std::process::Output) -> Value {
    assert!(output.status.success(), "{}", text(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn build(bench: &Bench, words: &[&str]) -> Value {
    let _ = fs::remove_file(bench.iso());
    json(&bench.command().args(words).arg("--json").output().unwrap())
}

/// What unsquashfs says of the payload where it lies.
fn unsquashfs(bench: &Bench, result: &Value, words: &[&str]) -> String {
    let at = result["payload_offset"].to_string();
    let iso = bench.iso();
    let mut all = vec!["-o", &at];
    let (options, paths): (Vec<&str>, Vec<&str>) = words.iter().partition(|w| w.starts_with('-'));
    all.extend(options);
    all.push(iso.to_str().unwrap());
    all.extend(paths);
    run("unsquashfs", &all)
}

fn inspect(bench: &Bench) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_liveroot"));
    let output = command.arg("inspect").arg(bench.iso()).arg("--json");
    serde_json::from_slice(&output.output().unwrap().stdout).unwrap()
}

fn numbers(bench: &Bench, count: u32) {
    let text: String = (0..count)
        .map(|n| n.wrapping_mul(2_654_435_761).to_string())
        .collect();
    write(&bench.tree().join("usr/numbers"), text);
}

#[test]
fn each_way_of_packing_is_the_images() {
    if !have_tools(&["unsquashfs"]) {
        return;
    }
    let bench = Bench::new();
    numbers(&bench, 40_000);
    let plain = fs::read(bench.tree().join("usr/numbers")).unwrap();
    let own: [(&[&str], &str, u32); 8] = [
        (&[], "zstd", 131_072),
        (&["--fast"], "zstd", 131_072),
        (&["--small"], "xz", 1_048_576),
        (&["--compressor", "gzip", "--level", "12"], "gzip", 131_072),
        (&["--compressor", "xz"], "xz", 131_072),
        (&["--compressor", "lz4"], "lz4", 131_072),
        (&["--level", "1", "--block-size", "4K"], "zstd", 4096),
        (&["--fast", "--block-size", "1M"], "zstd", 1_048_576),
    ];
    for tool in ["liveroot", "mksquashfs"] {
        for (words, compressor, block) in own {
            // gzip ends at level 9 there.
            let words: Vec<&str> = words
                .iter()
                .map(|word| if *word == "12" { "9" } else { *word })
                .chain(["--squashfs-tool", tool])
                .collect();
            let result = build(&bench, &words);
            let said = unsquashfs(&bench, &result, &["-s"]);
            let of = |key: &str| {
                let line = said.lines().find(|line| line.starts_with(key));
                line.unwrap_or_else(|| panic!("{key} in {said}")).to_owned()
            };
            assert_eq!(
                of("Compression "),
                format!("Compression {compressor}"),
                "{words:?}"
            );
            assert_eq!(
                of("Block size "),
                format!("Block size {block}"),
                "{words:?}"
            );
            let read = unsquashfs(&bench, &result, &["-cat", "usr/numbers"]);
            assert!(read.as_bytes() == plain, "{words:?}");
            assert_eq!(result["squashfs"]["tool"], tool);
            assert_eq!(result["squashfs"]["compressor"], compressor);
        }
    }
}

#[test]
fn fast_is_larger_and_small_is_smaller() {
    let bench = Bench::new();
    // Words as a program's text has them, more than a block of 128 KiB.
    let text: String = (0..300_000_u32)
        .map(|n| format!("{} ", n.wrapping_mul(2_654_435_761) >> 20))
        .collect();
    write(&bench.tree().join("usr/words"), text);
    let size = |words: &[&str]| {
        build(&bench, words)["sizes"]["payload_data"]
            .as_u64()
            .unwrap()
    };
    let (fast, usual, small) = (size(&["--fast"]), size(&[]), size(&["--small"]));
    assert!(small < usual && usual < fast, "{small} {usual} {fast}");
}

#[test]
fn sorted_files_stand_first() {
    let bench = Bench::new();
    for name in ["a", "b", "z"] {
        write(
            &bench.tree().join(name),
            format!("contents of {name} ").repeat(20_000),
        );
    }
    let sort = bench.dir.path().join("sort");
    write(&sort, "z 100\nb 50\n");
    let plain = build(&bench, &["--compressor", "lz4"]);
    let without = fs::read(bench.iso()).unwrap();
    build(
        &bench,
        &["--compressor", "lz4", "--sort", sort.to_str().unwrap()],
    );
    let with = fs::read(bench.iso()).unwrap();
    let from = plain["payload_offset"].as_u64().unwrap() as usize;
    let order = |iso: &[u8]| {
        let at = |name| find(&iso[from..], format!("contents of {name} ").as_bytes()).unwrap();
        let mut order = ["a", "b", "z"];
        order.sort_by_key(|name| at(*name));
        order.concat()
    };
    assert_eq!(
        (order(&without), order(&with)),
        ("abz".into(), "zba".into())
    );
    write(&sort, "z many\n");
    let output = bench
        .command()
        .args(["--sort", sort.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("sort"), "{}", text(&output));
}

#[test]
fn bios_is_a_choice() {
    if !have(
        "isolinux",
        Path::new("/usr/lib/ISOLINUX/isolinux.bin").exists(),
    ) {
        return;
    }
    let bench = Bench::new();
    for (choice, is_there) in [("auto", true), ("require", true), ("no", false)] {
        let result = build(&bench, &["--bios", choice]);
        assert_eq!(result["bios"].is_object(), is_there, "{choice}");
        let seen = inspect(&bench);
        let ways = seen["ways"].as_array().unwrap();
        for way in ["bios-dvd", "bios-stick"] {
            let way = ways.iter().find(|one| one["way"] == way).unwrap();
            assert_eq!(way["verdict"] == "starts", is_there, "{choice}: {way}");
        }
    }
}

#[test]
fn a_large_esp_is_made_on_demand_and_counts_nothing() {
    let bench = Bench::new();
    write(
        &bench.tree().join(format!("boot/vmlinuz-{RELEASE}")),
        kernel(RELEASE, 40 << 20),
    );
    bench.refused(&mut bench.command(), 1, &["--large-esp"]);
    let output = bench.command().arg("--large-esp").output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("boot entry can count: its count is 0"),
        "{said}"
    );
    let iso = fs::read(bench.iso()).unwrap();
    let catalogue = u32::from_le_bytes(iso[17 * 2048 + 71..][..4].try_into().unwrap());
    let at = catalogue as usize * 2048;
    let at = at + if iso[at + 1] == 0 { 64 } else { 0 };
    assert_eq!((iso[at + 1], &iso[at + 38..at + 40]), (0xef, &[0, 0][..]));
}

#[test]
fn an_archive_gives_the_directorys_bytes_from_a_file_and_from_a_pipe() {
    if !have("root, whose the files are", is_root()) || !have_tools(&["tar", "xz", "zstd", "gzip"])
    {
        return;
    }
    let bench = Bench::new();
    chown(bench.tree().join("etc/os-release"), Some(70_000), Some(3)).unwrap();
    build(&bench, &[]);
    let wanted = fs::read(bench.iso()).unwrap();
    let archive = tar(&bench);
    for packer in ["cat", "gzip", "xz", "zstd"] {
        let packed = bench.dir.path().join("packed");
        let output = Command::new(packer)
            .arg(if packer == "cat" { "-u" } else { "-c" })
            .stdin(fs::File::open(&archive).unwrap())
            .output()
            .unwrap();
        write(&packed, output.stdout);
        for name in [packed.to_str().unwrap(), "-"] {
            fs::remove_file(bench.iso()).unwrap();
            let mut command = Command::new(env!("CARGO_BIN_EXE_liveroot"));
            command.args(["build", name, "-o"]).arg(bench.iso());
            command.arg("--agent").arg(bench.agent());
            let input = fs::File::open(&packed).unwrap();
            let output = command.stdin(Stdio::from(input)).output().unwrap();
            assert!(
                output.status.success(),
                "{packer} {name}: {}",
                text(&output)
            );
            let same = fs::read(bench.iso()).unwrap() == wanted;
            assert!(same, "{packer} {name}");
        }
    }
}

fn tar(bench: &Bench) -> PathBuf {
    let archive = bench.dir.path().join("tree.tar");
    let (to, tree) = (archive.to_str().unwrap(), bench.tree());
    let words = ["--format=pax", "-cf", to, "-C", tree.to_str().unwrap(), "."];
    run("tar", &words);
    archive
}

/// No root, no environment, no outside program, no mount.
#[test]
fn an_ordinary_user_without_tools_gets_roots_bytes() {
    if !have("root, to become another user", is_root()) || !have_tools(&["tar", "setpriv"]) {
        return;
    }
    let bench = Bench::new();
    chown(bench.tree().join("etc/os-release"), Some(1234), Some(5)).unwrap();
    let node = bench.tree().join("etc/null");
    run("mknod", &[node.to_str().unwrap(), "c", "1", "3"]);
    let archive = tar(&bench);
    let words = |command: &mut Command, iso: &Path| {
        command.arg("build").arg(&archive).arg("-o").arg(iso);
        command.arg("--agent").arg(bench.agent());
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_liveroot"));
    words(&mut command, &bench.iso());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));

    // The program lies where only root may go.
    let exe = bench.dir.path().join("liveroot");
    fs::copy(env!("CARGO_BIN_EXE_liveroot"), &exe).unwrap();
    for (path, mode) in [(bench.dir.path(), 0o755), (&bench.out(), 0o777)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let empty = bench.dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let theirs = bench.out().join("a.iso");
    let mut command = Command::new("/usr/bin/env");
    command.args(["-i", &format!("PATH={}", empty.display())]);
    command.arg("/usr/bin/setpriv");
    command.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--no-new-privs",
    ]);
    command.arg(&exe).arg0("env");
    words(&mut command, &theirs);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let same = fs::read(bench.iso()).unwrap() == fs::read(&theirs).unwrap();
    assert!(same, "the bytes are root's");
}
