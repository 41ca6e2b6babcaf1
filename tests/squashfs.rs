//! The squashfs writer before its judges: the kernel, unsquashfs and mksquashfs.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "squashfs/facts.rs"]
mod facts;
#[path = "squashfs/memory.rs"]
mod memory;
mod namespace;

use facts::Facts;
use liveroot::builder::source::{Contents, Kind, Owners, Source, dir::Directory, tar::Tar};
use liveroot::builder::squashfs::{Compressor, Options, Sort, Written, write};
use liveroot::builder::{Error, Watch};
use memory::{Content, EPOCH, Memory, device, inode, xattr};
use namespace::{run, text};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

const BLOCK: usize = 4096;

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl Watch for Log {
    fn phase(&self, _: &str) {}
    fn percent(&self, _: u8) {}
    fn warn(&self, line: &str) {
        self.lines.lock().unwrap().push(line.to_owned());
    }
    fn cancelled(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Small blocks, so that small files have edges.
fn options() -> Options {
    Options {
        compressor: Compressor::Zstd { level: 3 },
        block_size: BLOCK as u32,
        epoch: EPOCH,
        workers: 2,
        ..Options::default()
    }
}

struct Image {
    dir: tempfile::TempDir,
    written: Written,
}

impl Image {
    fn file(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    #[track_caller]
    fn of(tree: &dyn Source, options: &Options) -> Image {
        let dir = tempfile::tempdir().unwrap();
        let to = File::create(dir.path().join("image")).unwrap();
        let written = write(tree, options, &to, 0, &Log::default()).unwrap();
        assert_eq!(to.metadata().unwrap().len(), written.length.0);
        Image { dir, written }
    }

    /// As the kernel sees it.
    fn mounted(&self) -> Facts {
        self.with_mount(&self.file(), "", Facts::of)
    }

    fn with_mount<R>(&self, file: &Path, more: &str, look: impl FnOnce(&Path) -> R) -> R {
        let at = self.dir.path().join("mount");
        fs::create_dir_all(&at).unwrap();
        let words = format!("loop,ro{more}");
        run(
            "mount",
            &["-t", "squashfs", "-o", &words, text(file), text(&at)],
        );
        let seen = look(&at);
        run("umount", &["--lazy", text(&at)]);
        seen
    }

    /// As unsquashfs lays it down, on a tmpfs.
    fn unpacked(&self) -> Facts {
        on_tmpfs(self.dir.path(), |disk| {
            let to = disk.join("tree");
            run(
                "unsquashfs",
                &["-no-progress", "-d", text(&to), text(&self.file())],
            );
            Facts::of(&to)
        })
    }

    /// What mksquashfs makes of the same tree, as the kernel sees it.
    fn by_mksquashfs(&self, tree: &Memory) -> Facts {
        on_tmpfs(self.dir.path(), |disk| {
            let (from, to) = (disk.join("tree"), self.dir.path().join("theirs"));
            fs::create_dir(&from).unwrap();
            tree.lay(&from);
            let words = [
                "-noappend",
                "-no-progress",
                "-quiet",
                "-comp",
                "zstd",
                "-b",
                "4096",
            ];
            let made = Command::new("mksquashfs")
                .args([&from, &to])
                .args(words)
                .env("SOURCE_DATE_EPOCH", EPOCH.to_string())
                .output()
                .unwrap();
            assert!(made.status.success(), "{made:?}");
            self.with_mount(&to, "", Facts::of)
        })
    }
}

/// Unmounts are lazy: a process that another test's thread starts has our open files for a
/// moment.
fn on_tmpfs<R>(dir: &Path, work: impl FnOnce(&Path) -> R) -> R {
    let disk = dir.join("disk");
    fs::create_dir_all(&disk).unwrap();
    run("mount", &["-t", "tmpfs", "tmpfs", text(&disk)]);
    let result = work(&disk);
    run("umount", &["--lazy", text(&disk)]);
    result
}

fn can_mount() -> bool {
    let can = namespace::possible(&["squashfs"]);
    if can {
        namespace::enter();
    }
    can
}

/// Bytes that hardly pack, the same at any time.
fn noise(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn prose(length: usize, seed: u32) -> Vec<u8> {
    let words = (0..).map(|n| format!("word {} of {seed}\n", n % 97).into_bytes());
    words.flatten().take(length).collect()
}

/// A little of everything.
fn everything() -> Memory {
    let mut tree = Memory::new();
    for path in ["dev", "empty", "etc", "usr", "usr/bin", "usr/lib"] {
        tree.directory(path);
    }
    tree.file("etc/passwd", "root:x:0:0\n");
    tree.file("etc/none", "");
    tree.file("etc/copy", "root:x:0:0\n");
    let shared = tree.file("usr/bin/a", prose(3 * BLOCK + 17, 1));
    tree.link("usr/bin/b", shared);
    tree.link("usr/lib/c", shared);
    tree.change(shared).mode = 0o6755;
    let capable = tree.file("usr/bin/ping", noise(2 * BLOCK, 2));
    // struct vfs_cap_data, version 2: CAP_NET_RAW.
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    tree.change(capable).xattrs = vec![
        xattr("security.capability", capability),
        xattr("security.label", "system_u:object_r:ping_exec_t:s0"),
        xattr("user.long", vec![7; 3000]),
    ];
    let labelled = tree.file("usr/bin/pong", "x");
    tree.change(labelled).xattrs = vec![
        xattr("security.label", "system_u:object_r:ping_exec_t:s0"),
        xattr("trusted.note", ""),
        xattr("user.long", vec![7; 3000]),
    ];
    let mut holes = vec![0; 5 * BLOCK];
    holes[2 * BLOCK] = 1;
    tree.file("usr/lib/holes", holes);
    tree.file("usr/lib/zeros", vec![0; 3 * BLOCK]);
    tree.file("usr/lib/few-zeros", vec![0; 100]);
    tree.file("usr/lib/block", prose(BLOCK, 3));
    tree.file("usr/lib/block-and-byte", prose(BLOCK + 1, 4));
    tree.file("usr/lib/block-less-byte", prose(BLOCK - 1, 5));
    let null = tree.add("dev/null", inode(Kind::Char(device(1, 3))));
    tree.change(null).mode = 0o666;
    tree.link("dev/zilch", null);
    tree.add("dev/far", inode(Kind::Char(device(4095, 1_048_575))));
    let disk = tree.add("dev/disk", inode(Kind::Block(device(259, 300))));
    tree.change(disk).gid = 6;
    tree.add("dev/fifo", inode(Kind::Fifo));
    tree.add("dev/socket", inode(Kind::Socket));
    let to = |target: &[u8]| Kind::Symlink {
        target: target.to_vec(),
    };
    let link = tree.add("lib", inode(to(b"usr/lib")));
    tree.link("lib64", link);
    tree.add("long-link", inode(to(&[b'x'; 4095])));
    for path in [
        "dev/fifo-l",
        "dev/socket-l",
        "dev/char-l",
        "dev/block-l",
        "link-l",
        "dir-l",
    ] {
        let kind = match path {
            "dev/fifo-l" => Kind::Fifo,
            "dev/socket-l" => Kind::Socket,
            "dev/char-l" => Kind::Char(device(5, 1)),
            "dev/block-l" => Kind::Block(device(8, 1)),
            "link-l" => to(b"nowhere"),
            _ => Kind::Directory,
        };
        let special = tree.add(path, inode(kind));
        tree.change(special).xattrs = vec![xattr("security.label", path)];
        (tree.change(special).uid, tree.change(special).gid) = (4_294_967_294, 65_536);
    }
    let old = tree.file("etc/old", "from 1970");
    tree.change(old).mtime = 0;
    let new = tree.file("etc/new", "from 2100");
    tree.change(new).mtime = 4_102_444_800;
    tree.change(new).mode = 0;
    let sticky = tree.directory("tmp");
    tree.change(sticky).mode = 0o1777;
    tree.file(vec![b'n'; 255], "a long name");
    tree.file(b"\xff\x01 \n\"", "a name that is no text");
    tree
}

#[test]
fn the_kernel_unsquashfs_and_mksquashfs_see_the_same_tree() {
    if !can_mount() {
        return;
    }
    let tree = everything();
    let want = tree.facts();
    let image = Image::of(&tree, &options());
    want.assert_same(&image.mounted(), "the kernel");
    want.assert_same(&image.unpacked(), "unsquashfs");
    let theirs = image.by_mksquashfs(&tree);
    want.with_lone_symlinks().assert_same(&theirs, "mksquashfs");
}

#[test]
fn every_compressor_is_read_by_the_kernel_and_unsquashfs() {
    if !can_mount() {
        return;
    }
    let mut tree = everything();
    // A program: the x86 filter has something to do.
    tree.file(
        "program",
        fs::read("/proc/self/exe").unwrap()[..1 << 20].to_vec(),
    );
    let want = tree.facts();
    for (compressor, block_size) in [
        (Compressor::Zstd { level: 22 }, 1 << 20),
        (Compressor::Zstd { level: 15 }, 131_072),
        (Compressor::Gzip { level: 9 }, 131_072),
        (Compressor::Gzip { level: 6 }, 4096),
        (Compressor::Xz { x86: false }, 131_072),
        (Compressor::Xz { x86: true }, 1 << 20),
        (Compressor::Lz4, 131_072),
    ] {
        let options = Options {
            compressor,
            block_size,
            ..options()
        };
        let image = Image::of(&tree, &options);
        want.assert_same(&image.unpacked(), &format!("unsquashfs, {compressor:?}"));
        want.assert_same(&image.mounted(), &format!("the kernel, {compressor:?}"));
    }
}

fn digest(tree: &dyn Source, options: &Options) -> String {
    let image = Image::of(tree, options);
    let bytes = Sha256::digest(fs::read(image.file()).unwrap());
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A change here is a change of every image in the world: say so in the changelog.
#[test]
fn the_bytes_of_a_small_tree_are_always_the_same() {
    let mut tree = everything();
    for n in 0..300u32 {
        let length = (n as usize * 97) % 9000;
        tree.file(format!("usr/lib/{n}"), prose(length, n));
    }
    for workers in [1, 2, 3, 8] {
        let options = Options {
            workers,
            ..options()
        };
        assert_eq!(digest(&tree, &options), PINNED, "{workers} workers");
    }
    let options = Options {
        compressor: Compressor::default(),
        block_size: 131_072,
        ..options()
    };
    assert_eq!(digest(&tree, &options), PINNED_DEFAULT);
}

const PINNED: &str = "f6fd62991f8a38307a820fd1b82c2c23c9e3d67723c94ef9371f33ea57e12599";
const PINNED_DEFAULT: &str = "360dae767377509ddabbe62d1b6b0d026cec9850febf5ffaed5a0f306577202e";

#[test]
fn an_image_stands_where_it_is_told_and_touches_nothing_else() {
    if !can_mount() {
        return;
    }
    let tree = everything();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("medium");
    let before = noise(3 << 20, 9);
    fs::write(&file, &before).unwrap();
    let to = File::options().write(true).open(&file).unwrap();
    let at = 1 << 20;
    let written = write(&tree, &options(), &to, at, &Log::default()).unwrap();
    let after = fs::read(&file).unwrap();
    let (at, end) = (at as usize, (at + written.length.0) as usize);
    assert_eq!(after[..at], before[..at]);
    assert_eq!(after[end..], before[end..]);
    let alone = Image::of(&tree, &options());
    assert_eq!(after[at..end], fs::read(alone.file()).unwrap());
    let seen = alone.with_mount(&file, &format!(",offset={at}"), Facts::of);
    tree.facts().assert_same(&seen, "the kernel");
}

#[test]
fn equal_contents_are_stored_once_and_only_equal_ones() {
    if !can_mount() {
        return;
    }
    let mut tree = Memory::new();
    let long = noise(5 * BLOCK + 5, 1);
    let mut other_end = long.clone();
    *other_end.last_mut().unwrap() ^= 1;
    let mut other_start = long.clone();
    other_start[0] ^= 1;
    let short = prose(1000, 1);
    let mut other_short = short.clone();
    other_short[999] ^= 1;
    tree.file("a", long.clone());
    tree.file("b", other_end);
    tree.file("c", long.clone());
    tree.file("d", other_start);
    tree.file("e", short.clone());
    tree.file("f", other_short);
    tree.file("g", short);
    tree.file("h", long.clone());
    let image = Image::of(&tree, &options());
    assert_eq!(image.written.duplicates.0, 3);
    assert_eq!(image.written.duplicates.1.0, 2 * long.len() as u64 + 1000);
    assert!(image.written.data.0 < 4 * long.len() as u64);
    tree.facts().assert_same(&image.mounted(), "the kernel");
}

#[test]
fn what_does_not_pack_is_stored_raw_and_holes_take_nothing() {
    let mut tree = Memory::new();
    tree.file("noise", noise(64 * BLOCK, 3));
    tree.content("hole", Content::Behind(1 << 30, vec![1]));
    let image = Image::of(
        &tree,
        &Options {
            compressor: Compressor::Zstd { level: 15 },
            ..options()
        },
    );
    assert_eq!(image.written.raw.0, 64 * BLOCK as u64 + 1);
    assert_eq!(image.written.data.0, 64 * BLOCK as u64 + 1);
}

#[test]
fn a_file_above_4_gib_reads_back() {
    if !can_mount() {
        return;
    }
    let mut tree = Memory::new();
    tree.content("large", Content::Behind((4 << 30) + 5, b"the end".to_vec()));
    let options = Options {
        block_size: 1 << 20,
        ..options()
    };
    let image = Image::of(&tree, &options);
    image.with_mount(&image.file(), "", |at| {
        use std::os::unix::fs::{FileExt, MetadataExt};
        let file = File::open(at.join("large")).unwrap();
        let meta = file.metadata().unwrap();
        assert_eq!(meta.len(), (4 << 30) + 12);
        assert!(meta.blocks() < 4096, "holes take {} sectors", meta.blocks());
        let mut end = [1; 12];
        file.read_exact_at(&mut end, 4 << 30).unwrap();
        assert_eq!(end, *b"\0\0\0\0\0the end");
    });
}

#[test]
fn names_are_found_in_a_directory_of_70_000() {
    if !can_mount() {
        return;
    }
    let mut tree = Memory::new();
    let names: Vec<String> = (0..70_000).map(|n| format!("d/{:0>40}", n * 7)).collect();
    tree.directory("d");
    let shared = tree.file("0", "x");
    for (n, name) in names.iter().enumerate() {
        // Few inodes beside many: numbers far from each other stand side by side.
        match n % 3 {
            0 => tree.link(name, shared),
            _ => _ = tree.file(name, ""),
        }
    }
    let image = Image::of(&tree, &options());
    image.with_mount(&image.file(), "", |at| {
        assert_eq!(fs::read_dir(at.join("d")).unwrap().count(), names.len());
        for name in names.iter().step_by(97).chain(names.last()) {
            assert!(at.join(name).symlink_metadata().is_ok(), "{name}");
        }
        assert!(!at.join("d/0000").exists());
    });
}

#[test]
fn a_directory_of_many_directories_reads_back() {
    if !can_mount() {
        return;
    }
    let mut tree = Memory::new();
    for n in 0..3000 {
        tree.directory(format!("{n}"));
        tree.file(format!("{n}/file"), prose(n % 50, 1));
    }
    let deep = vec!["d"; 500].join("/");
    for end in (1..=deep.len()).step_by(2) {
        tree.directory(&deep[..end]);
    }
    let image = Image::of(&tree, &options());
    tree.facts().assert_same(&image.mounted(), "the kernel");
}

/// That it fails, quickly, and what it says.
#[track_caller]
fn refused(tree: &dyn Source, options: &Options, words: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let to = File::create(dir.path().join("image")).unwrap();
    let error = write(tree, options, &to, 0, &Log::default()).unwrap_err();
    let said = error.to_string();
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

#[test]
fn what_the_format_cannot_hold_is_refused_with_the_file() {
    let with = |kind| {
        let mut tree = Memory::new();
        tree.add("it", inode(kind));
        tree
    };
    let target = vec![b'x'; 4096];
    refused(
        &with(Kind::Symlink { target }),
        &options(),
        &["inode 1", "4096 bytes"],
    );
    let target = vec![];
    refused(
        &with(Kind::Symlink { target }),
        &options(),
        &["inode 1", "0 bytes"],
    );
    refused(
        &with(Kind::Char(device(4096, 0))),
        &options(),
        &["inode 1", "4096:0"],
    );
    refused(
        &with(Kind::Block(device(0, 1 << 20))),
        &options(),
        &["inode 1", "0:1048576"],
    );

    let mut tree = Memory::new();
    let file = tree.file("a", "x");
    tree.change(file).xattrs = vec![xattr("user.a", vec![0; 65_537])];
    refused(&tree, &options(), &["inode 1", "65537"]);

    let mut tree = Memory::new();
    let twice = tree.directory("a");
    tree.link("b", twice);
    refused(&tree, &options(), &["inode 1", "2 names"]);

    for path in ["a/b", "..", "a//b", "x\0y", "./x"] {
        let mut tree = Memory::new();
        tree.file("a", "");
        tree.file(path, "");
        refused(&tree, &options(), &["/"]);
    }
    let mut tree = Memory::new();
    tree.file(vec![b'n'; 256], "");
    refused(&tree, &options(), &["256 bytes"]);
    refused(&Memory::default(), &options(), &["no root"]);

    for block_size in [0, 2048, 5000, 1 << 21] {
        let options = Options {
            block_size,
            ..options()
        };
        refused(&Memory::new(), &options, &["a block of"]);
    }
}

#[test]
fn more_than_65_535_owners_are_refused_unless_all_are_root() {
    let mut tree = Memory::new();
    for n in 0..65_536 {
        let file = tree.file(format!("{n:05}"), "");
        tree.change(file).uid = n;
    }
    refused(&tree, &options(), &["65536", "65535", "--all-root"]);
    let all_root = Options {
        all_root: true,
        ..options()
    };
    assert_eq!(Image::of(&tree, &all_root).written.superblock.ids, 1);
    tree.change(65_536).uid = 0;
    assert_eq!(Image::of(&tree, &options()).written.superblock.ids, 65_535);
}

#[test]
fn a_file_that_changes_or_ends_early_is_an_error_that_names_it() {
    for length in [100, BLOCK * 3] {
        for other in [length - 1, length + 1] {
            let mut tree = Memory::new();
            tree.file("a", noise(BLOCK * 200, 5));
            let file = tree.file("b", vec![1; length]);
            tree.lie(file, &vec![1; other]);
            refused(&tree, &options(), &["inode 2", "changed"]);
        }
    }
}

#[test]
fn a_target_that_takes_no_bytes_and_a_signal_end_the_work() {
    let mut tree = Memory::new();
    for n in 0..200 {
        tree.file(format!("{n}"), noise(BLOCK * 3, n));
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("image");
    fs::write(&file, "").unwrap();
    let to = File::open(&file).unwrap();
    let error = write(&tree, &options(), &to, 0, &Log::default()).unwrap_err();
    assert!(
        error.to_string().starts_with("writing the image"),
        "{error}"
    );
    let to = File::create(&file).unwrap();
    let log = Log::default();
    log.stop.store(true, Ordering::Relaxed);
    let error = write(&tree, &options(), &to, 0, &log).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error}");
}

#[test]
fn the_sort_file_says_what_stands_first() {
    let mut tree = Memory::new();
    tree.directory("boot");
    for path in ["a", "boot/b", "boot/c", "d", "z"] {
        tree.file(path, prose(BLOCK + path.len(), 1));
    }
    let sort = Sort::parse("sort", b"boot 5\nboot/c 9\nz -1\nd 5\nlost 1\n").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let to = File::create(dir.path().join("image")).unwrap();
    let options = Options {
        sort: Some(sort),
        block_size: 8192,
        ..options()
    };
    let log = Log::default();
    let opened = Opened(tree, Mutex::default());
    write(&opened, &options, &to, 0, &log).unwrap();
    let names = &opened.0.listing().names;
    let order: Vec<_> = opened
        .1
        .lock()
        .unwrap()
        .iter()
        .map(|inode| {
            let name = names.iter().find(|name| name.inode == *inode).unwrap();
            String::from_utf8(name.path.clone()).unwrap()
        })
        .collect();
    assert_eq!(order, ["boot/c", "boot/b", "d", "a", "z"]);
    let lines = log.lines.lock().unwrap();
    assert!(lines.len() == 1 && lines[0].contains("lost"), "{lines:?}");
}

/// The same image whether zeros are written or holes, of a directory or its sparse tar; and what
/// nobody could read in time takes no time.
#[test]
fn holes_are_zeros_and_take_no_time() {
    let dir = tempfile::tempdir().unwrap();
    let tree = |name: &str, is_sparse: bool| {
        let root = dir.path().join(name);
        fs::create_dir(&root).unwrap();
        for (file, size) in [("a", 1 << 20), ("b", (1 << 20) + 77), ("twin", 1 << 20)] {
            let mut bytes = vec![0; size];
            let noise = noise(9000, 7);
            bytes[300_001..][..noise.len()].copy_from_slice(&noise);
            let path = root.join(file);
            if is_sparse {
                let file = File::create(&path).unwrap();
                file.set_len(size as u64).unwrap();
                std::os::unix::fs::FileExt::write_all_at(&file, &noise, 300_001).unwrap();
            } else {
                fs::write(&path, bytes).unwrap();
            }
            run("touch", &["-d", "@1600000000", text(&path)]);
        }
        run("touch", &["-d", "@1600000000", text(&root)]);
        root
    };
    let (sparse, dense) = (tree("sparse", true), tree("dense", false));
    let archive = dir.path().join("sparse.tar");
    run(
        "tar",
        &[
            "-SC",
            text(&sparse),
            "--format=pax",
            "-cf",
            text(&archive),
            ".",
        ],
    );
    let watch = Log::default();
    let read = |root: &Path| Directory::read(root, Owners::Root, &watch).unwrap();
    let tar = Tar::read(&archive, Owners::Root, dir.path(), &watch).unwrap();
    let bytes = |source: &dyn Source| fs::read(Image::of(source, &options()).file()).unwrap();
    let want = bytes(&read(&dense));
    assert!(bytes(&read(&sparse)) == want, "the directory");
    assert!(bytes(&tar) == want, "the archive");

    let huge = File::create(sparse.join("huge")).unwrap();
    huge.set_len(300 << 30).unwrap();
    let options = Options {
        block_size: 128 << 10,
        ..options()
    };
    let start = std::time::Instant::now();
    let written = Image::of(&read(&sparse), &options).written;
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    assert!(written.length.0 < 1 << 20);

    huge.set_len(8 << 40).unwrap();
    let to = File::create(dir.path().join("image")).unwrap();
    let error = write(&read(&sparse), &options, &to, 0, &watch).unwrap_err();
    let said = error.to_string();
    assert!(
        said.contains("/huge: ") && said.contains("blocks"),
        "{said}"
    );
}

/// Remembers in which order files were opened.
struct Opened(Memory, Mutex<Vec<usize>>);

impl Source for Opened {
    fn listing(&self) -> &liveroot::builder::source::Listing {
        self.0.listing()
    }
    fn open(&self, inode: usize) -> liveroot::builder::Result<Box<dyn Contents + '_>> {
        self.1.lock().unwrap().push(inode);
        self.0.open(inode)
    }
    fn describe(&self, inode: usize) -> String {
        self.0.describe(inode)
    }
}

#[test]
fn parts_and_directories_add_up() {
    let mut tree = everything();
    tree.file("usr/bin/more", noise(100_000, 4));
    let written = Image::of(&tree, &options()).written;
    let parts = written.data.0 + written.fragments.0 + written.metadata.0;
    assert_eq!(parts, written.superblock.bytes_used);
    let of = |path: &[u8]| {
        let found = written.directories.iter().find(|share| share.path == path);
        found.map(|share| share.stored.0)
    };
    let root = of(b"").unwrap();
    let stored = written.data.0 + written.fragments.0;
    // Shares of common blocks are rounded down.
    assert!(root <= stored && root + 100 > stored, "{root} of {stored}");
    assert!(of(b"usr/bin").unwrap() >= 100_000);
    assert!(of(b"usr").unwrap() >= of(b"usr/bin").unwrap() + of(b"usr/lib").unwrap());
    assert_eq!(of(b"empty"), Some(0));
    assert_eq!(of(b"usr/bin/a"), None);
}

/// A file's contents: around the edges of blocks, of few kinds, so that twins are common.
fn contents() -> impl Strategy<Value = Vec<u8>> {
    let size = prop_oneof![
        0..3usize,
        0..2 * BLOCK,
        (1..4usize, 0..3usize).prop_map(|(blocks, more)| blocks * BLOCK + more - 1),
    ];
    (size, 0..6u32, any::<bool>(), 0..4usize).prop_map(|(size, kind, spoil, hole)| {
        let mut bytes = match kind {
            0 => vec![0; size],
            1 => noise(size, 1),
            kind => prose(size, kind / 3),
        };
        if hole > 0 {
            let end = size.min(hole * BLOCK);
            bytes[..end].fill(0);
        }
        if let Some(last) = bytes.last_mut().filter(|_| spoil) {
            *last ^= 1;
        }
        bytes
    })
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => "[a-c]{1,2}".prop_map(String::into_bytes),
        1 => prop::collection::vec(1..=255u8, 1..255),
        1 => "[a-c]{250,255}".prop_map(String::into_bytes),
    ]
    .prop_filter("no name", |name| {
        !name.contains(&b'/') && name != b"." && name != b".."
    })
}

/// Where it goes, what it is, and numbers to choose the rest by.
type Draft = (usize, Vec<u8>, u32, Vec<u8>, u32);

fn grow(drafts: Vec<Draft>) -> Memory {
    let mut tree = Memory::new();
    let mut directories: Vec<Vec<u8>> = vec![Vec::new()];
    let mut others = Vec::new();
    let mut taken = std::collections::HashSet::new();
    for (place, name, kind, bytes, dice) in drafts {
        let dir = &directories[place % directories.len()];
        let path = match dir.is_empty() {
            true => name,
            false => [dir, &b"/"[..], &name].concat(),
        };
        // Paths that tools take in one piece.
        if path.len() > 2000 || !taken.insert(path.clone()) {
            continue;
        }
        let number = match kind {
            0..=2 => {
                directories.push(path.clone());
                tree.directory(path)
            }
            3 => tree.add(path, inode(Kind::Char(device(dice % 4096, dice >> 12)))),
            4 => tree.add(
                path,
                inode(Kind::Block(device(dice >> 20, dice % (1 << 20)))),
            ),
            5 => tree.add(path, inode(Kind::Fifo)),
            6 => tree.add(path, inode(Kind::Socket)),
            7 => {
                let target = vec![b't'; 1 + dice as usize % 300];
                tree.add(path, inode(Kind::Symlink { target }))
            }
            8 | 9 if !others.is_empty() => {
                let other = others[dice as usize % others.len()];
                tree.link(path, other);
                continue;
            }
            _ => tree.file(path, bytes),
        };
        let is_plain = kind > 9;
        let it = tree.change(number);
        if kind > 2 {
            others.push(number);
        }
        it.uid = [0, 0, 1000, 70_000, 4_000_000_000][dice as usize % 5];
        it.gid = [0, 0, 1000, 5][dice as usize / 5 % 4];
        it.mtime = i64::from(dice) & 0x7fff_ffff;
        if kind != 7 {
            it.mode = [0o644, 0o755, 0o4755, 0o2711, 0o1777, 0][dice as usize / 20 % 6];
        }
        let mut xattrs = Vec::new();
        if dice % 3 == 0 {
            xattrs.push(xattr("security.label", vec![b'l'; dice as usize % 40]));
        }
        if dice % 7 == 0 {
            xattrs.push(xattr("trusted.t", (dice % 21).to_le_bytes()));
        }
        if dice % 5 == 0 && is_plain {
            xattrs.push(xattr("user.u", vec![b'u'; dice as usize % 2000]));
        }
        it.xattrs = xattrs;
    }
    tree
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    })]

    #[test]
    fn generated_trees_read_back_equal(
        drafts in prop::collection::vec((any::<usize>(), name(), 0..20u32, contents(), any::<u32>()), 0..60)
    ) {
        if can_mount() {
            let tree = grow(drafts);
            let want = tree.facts();
            let image = Image::of(&tree, &options());
            want.assert_same(&image.mounted(), "the kernel");
            want.assert_same(&image.unpacked(), "unsquashfs");
            let theirs = image.by_mksquashfs(&tree);
    want.with_lone_symlinks().assert_same(&theirs, "mksquashfs");
        }
    }
}
