//! Every layout that dmsquash-live boots, on real loop devices in a private mount namespace,
//! with images that the real tools make.
//!
//! Needs root; the host's kernel must have loop, overlay and the image's file system. A kernel
//! without one of them skips with its name, or fails under `LIVEROOT_STRICT=1`.

// Helpers of a test may panic as the test itself does.
#![allow(clippy::unwrap_used)]

#[path = "layouts/bench.rs"]
mod bench;
mod namespace;

use bench::{Bench, digest, dirty, elsewhere, fill, image, mount_line};
use liveroot::boot::apart::take_apart;
use liveroot::builder::verity;
use liveroot::layout::Left;
use liveroot::ondisk::FsKind;
use liveroot::plan::image::Layout;
use liveroot::sys::loopdev;
use liveroot::units::ImageId;
use namespace::{possible, run, text};
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

const NEEDED: [&str; 6] = ["squashfs", "erofs", "overlay", "ext4", "xfs", "btrfs"];

/// A medium of one file.
fn medium(name: &str, make: impl FnOnce(&Path, &Path)) -> Option<Bench> {
    possible(&NEEDED).then(|| {
        Bench::new(|tree, content| {
            let at = content.join(name);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            make(tree, &at);
        })
    })
}

/// The image `fs` of the tree in `LiveOS/rootfs.img` of an image `packed`.
fn nested(packed: &str, fs: &str, tree: &Path, at: &Path) {
    let outer = tree.with_file_name("outer");
    fs::create_dir_all(outer.join("LiveOS")).unwrap();
    image(fs, tree, &outer.join("LiveOS/rootfs.img"));
    image(packed, &outer, at);
    fs::remove_dir_all(outer).unwrap();
}

#[test]
fn a_packed_image_is_a_flat_root_under_either_name() {
    for (name, fs) in [
        ("LiveOS/squashfs.img", "squashfs"),
        ("LiveOS/squashfs.img", "erofs"),
        ("LiveOS/rootfs.img", "squashfs"),
        ("LiveOS/rootfs.img", "erofs"),
    ] {
        let Some(mut bench) = medium(name, |tree, at| image(fs, tree, at)) else {
            return;
        };
        bench.boot(bench.examine(true));
        let report = bench.report.image.as_ref().unwrap();
        assert_eq!((report.layout, report.fs), ("flat", fs));
        assert!(report.path.ends_with(name), "{}", report.path);
        bench.assert_root(fs);
    }
}

/// Sees nothing and stops nothing.
struct Quiet;

impl liveroot::builder::Watch for Quiet {
    fn phase(&self, _: &str) {}
    fn percent(&self, _: u8) {}
    fn warn(&self, _: &str) {}
    fn cancelled(&self) -> bool {
        false
    }
}

#[test]
fn a_hash_tree_behind_the_image_is_no_part_of_the_root() {
    for name in ["LiveOS/squashfs.img", "LiveOS/rootfs.img"] {
        let make = |tree: &Path, at: &Path| {
            image("squashfs", tree, at);
            let file = File::options().read(true).write(true).open(at).unwrap();
            let length = file.metadata().unwrap().len();
            let id = ImageId::from_digest(&[7; 32]);
            verity::append(&file, at, 0, length, &id, &Quiet).unwrap();
            assert!(file.metadata().unwrap().len() >= length + 8192);
        };
        let Some(mut bench) = medium(name, make) else {
            return;
        };
        bench.boot(bench.examine(true));
        let report = bench.report.image.as_ref().unwrap();
        assert_eq!((report.layout, report.fs), ("flat", "squashfs"));
        bench.assert_root("squashfs");
    }
}

#[test]
fn an_image_inside_a_packed_one_is_the_root() {
    for (packed, fs) in [
        ("squashfs", "ext4"),
        ("erofs", "ext4"),
        ("squashfs", "xfs"),
        ("squashfs", "btrfs"),
    ] {
        let make = |tree: &Path, at: &Path| nested(packed, fs, tree, at);
        let Some(mut bench) = medium("LiveOS/squashfs.img", make) else {
            return;
        };
        let before = digest(&bench.medium_file);
        bench.boot(bench.examine(false));
        bench.assert_root(fs);
        let report = bench.report.image.as_ref().unwrap();
        assert_eq!((report.layout, report.fs), ("nested", packed));
        let inner = report.inner.as_ref().unwrap();
        assert_eq!((inner.path.as_str(), inner.fs), ("LiveOS/rootfs.img", fs));
        // The name reads as a path that is there, and the kernel shows the same.
        let backing = bench.backing(Path::new(&report.device));
        assert_eq!(backing, bench.machine.squashfs().join("LiveOS/rootfs.img"));
        assert!(backing.exists());
        assert_eq!(digest(&bench.medium_file), before);
    }
}

#[test]
fn a_bare_image_is_the_root_under_each_of_its_names() {
    for (name, fs) in [
        ("LiveOS/rootfs.img", "ext4"),
        ("LiveOS/rootfs.img", "xfs"),
        ("LiveOS/rootfs.img", "btrfs"),
        ("LiveOS/ext3fs.img", "ext4"),
        ("LiveOS/squashfs.img", "ext4"),
    ] {
        let Some(mut bench) = medium(name, |tree, at| image(fs, tree, at)) else {
            return;
        };
        bench.boot(bench.examine(false));
        bench.assert_root(fs);
        let report = bench.report.image.as_ref().unwrap();
        assert_eq!((report.layout, report.fs), ("bare", fs));
        assert!(report.path.ends_with(name), "{}", report.path);
    }
}

#[test]
fn the_packed_image_counts_before_the_bare_one() {
    if !possible(&NEEDED) {
        return;
    }
    let bench = Bench::new(|tree, content| {
        fs::create_dir_all(content.join("LiveOS")).unwrap();
        image("squashfs", tree, &content.join("LiveOS/squashfs.img"));
        image("ext4", tree, &content.join("LiveOS/rootfs.img"));
    });
    assert_eq!(bench.examine(false).unwrap().lower.layout, Layout::Flat);
}

#[test]
fn a_dirty_journal_inside_is_not_replayed() {
    for fs in ["ext4", "xfs", "btrfs"] {
        let make = |tree: &Path, at: &Path| {
            image(fs, tree, at);
            dirty(at);
        };
        let Some(mut bench) = medium("LiveOS/rootfs.img", make) else {
            return;
        };
        let before = digest(&bench.medium_file);
        bench.boot(bench.examine(false));
        bench.assert_root(fs);
        drop(bench.take_apart());
        assert_eq!(digest(&bench.medium_file), before, "{fs}");
    }
}

#[test]
fn a_copy_that_is_in_use_does_not_keep_an_image_away() {
    let mut copy = None;
    let make = |tree: &Path, at: &Path| {
        image("xfs", tree, at);
        let of_it = tree.with_file_name("copy.img");
        run("cp", &["--sparse=always", text(at), text(&of_it)]);
        copy = Some(of_it);
    };
    let Some(mut bench) = medium("LiveOS/rootfs.img", make) else {
        return;
    };
    elsewhere(&copy.unwrap(), |_| {
        bench.boot(bench.examine(false));
        bench.assert_root("xfs");
    });
}

#[test]
fn a_whole_device_is_an_image() {
    for (fs, kind) in [("squashfs", FsKind::Squashfs), ("erofs", FsKind::Erofs)] {
        for flat in [true, false] {
            if !possible(&NEEDED) {
                return;
            }
            let mut bench = Bench::of_device(|tree, at| match flat {
                true => image(fs, tree, at),
                false => nested(fs, "ext4", tree, at),
            });
            bench.boot(bench.examine_as(true, kind));
            bench.assert_root(if flat { fs } else { "ext4" });
            let node = text(&bench.medium.path).to_owned();
            let live = mount_line(&bench.machine.live()).unwrap();
            assert!(live.contains(&format!(" {fs} {node} ro")), "{live}");
            let report = bench.report.image.as_ref().unwrap();
            let layout = if flat { "flat" } else { "nested" };
            assert_eq!((report.layout, &report.path), (layout, &node));
            assert_eq!(flat, report.device == node, "{}", report.device);
            if !flat {
                let backing = bench.backing(Path::new(&report.device));
                assert_eq!(backing, bench.machine.live().join("LiveOS/rootfs.img"));
            }
        }
    }
}

#[test]
fn a_plain_tree_is_the_root_when_the_words_name_it() {
    if !possible(&NEEDED) {
        return;
    }
    let mut bench = Bench::new(fill);
    let absent = "no LiveOS/squashfs.img, no LiveOS/rootfs.img";
    assert_eq!(bench.examine(false).unwrap_err(), absent);
    let before = digest(&bench.medium_file);
    bench.boot(bench.examine(true));
    bench.assert_root("ext4");
    let report = bench.report.image.as_ref().unwrap();
    assert_eq!(report.layout, "tree");
    assert_eq!(report.device, text(&bench.medium.path));
    bench.take_apart();
    assert_eq!(digest(&bench.medium_file), before);
    drop(bench);

    let empty = Bench::new(|_, content| fs::write(content.join("a"), "x").unwrap());
    let why = empty.examine(true).unwrap_err();
    assert_eq!(why, format!("{absent}, and no init in a plain tree"));
}

#[test]
fn a_file_of_the_initramfs_is_the_image() {
    for (name, fs, layout) in [
        ("live.squashfs", "squashfs", "flat"),
        ("live.img", "ext4", "bare"),
        ("live.sqfs", "nested", "nested"),
    ] {
        let Some(mut bench) = medium("a", fill) else {
            return;
        };
        let file = bench.machine.root.join("images").join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        match fs {
            "nested" => nested("squashfs", "ext4", &bench.tree(), &file),
            fs => image(fs, &bench.tree(), &file),
        }
        let path = format!("/images/{name}");
        let named = bench.named(&path).unwrap();
        assert_eq!(named.name, path);
        assert!(named.stack.medium.is_none());
        bench.boot(Ok(named.stack));
        // The initramfs is freed: the image stays.
        fs::remove_file(&file).unwrap();
        bench.assert_root(if fs == "squashfs" { fs } else { "ext4" });
        assert_eq!(mount_line(&bench.machine.live()), None);
        let report = bench.report.image.as_ref().unwrap();
        assert_eq!((report.layout, &report.path), (layout, &path));
    }
}

#[test]
fn an_iso_in_the_initramfs_is_a_medium() {
    let make = |tree: &Path, at: &Path| image("squashfs", tree, at);
    let Some(mut bench) = medium("LiveOS/squashfs.img", make) else {
        return;
    };
    // The machine's kernel has no iso9660: the name alone makes it a medium.
    fs::create_dir_all(&bench.machine.root).unwrap();
    fs::copy(&bench.medium_file, bench.machine.root.join("a.iso")).unwrap();
    let named = bench.named("/a.iso").unwrap();
    assert!(named.name.starts_with("loop"), "{}", named.name);
    assert_eq!(named.medium.label.as_deref(), Some("LIVE"));
    bench.boot(Ok(named.stack));
    bench.assert_root("squashfs");
    let live = mount_line(&bench.machine.live()).unwrap();
    assert!(
        live.contains(&format!(" ext4 /dev/{} ro", named.name)),
        "{live}"
    );
}

#[test]
fn what_is_named_is_in_memory_only_where_it_lies_on_a_file_system_in_memory() {
    use liveroot::boot::imagefile::Holder;
    let Some(bench) = medium("a", fill) else {
        return;
    };
    let root = &bench.machine.root;
    let memory = root.join("memory");
    let places = [
        // As of livenet's nfs: and of anaconda's repositories.
        ("run/nfs_mnt0", Holder::Medium),
        ("memory", Holder::Memory),
    ];
    fs::create_dir_all(&memory).unwrap();
    run("mount", &["-t", "tmpfs", "tmpfs", text(&memory)]);
    for (dir, holder) in places {
        fs::create_dir_all(root.join(dir)).unwrap();
        nested(
            "squashfs",
            "ext4",
            &bench.tree(),
            &root.join(dir).join("a.img"),
        );
        let iso = root.join(dir).join("b.iso");
        let content = root.join("content");
        fs::create_dir_all(content.join("LiveOS")).unwrap();
        fs::copy(
            root.join(dir).join("a.img"),
            content.join("LiveOS/squashfs.img"),
        )
        .unwrap();
        run(
            "mkfs.ext4",
            &["-q", "-d", text(&content), text(&iso), "30M"],
        );
        let holders = |path: &str| {
            let stack = bench.named(path).unwrap().stack;
            let inner = stack.lower.inner.as_ref().unwrap().holder;
            [stack.image.as_ref().unwrap().holder, inner]
        };
        assert_eq!(holders(&format!("/{dir}/a.img")), [holder; 2], "{dir}");
        assert_eq!(holders(&format!("/{dir}/b.iso")), [holder; 2], "{dir}");
        // livenet's, over the ISO that it fetched.
        let file = File::open(&iso).unwrap();
        let device = loopdev::attach_read_only(Path::new("/dev"), &file, &iso).unwrap();
        assert_eq!(holders(text(&device.path)), [holder; 2], "{dir}");
    }
    run("umount", &["-l", text(&memory)]);
}

#[test]
fn a_packed_archive_is_named_as_such() {
    let make = |tree: &Path, at: &Path| {
        run("tar", &["-czf", text(at), "-C", text(tree), "."]);
    };
    let Some(bench) = medium("LiveOS/squashfs.img", make) else {
        return;
    };
    let why = bench.examine(true).unwrap_err();
    let packed = "LiveOS/squashfs.img is a packed archive (gzip), which is not unpacked here";
    assert_eq!(why, packed);
}

#[test]
fn what_is_named_and_does_not_answer_is_given_up() {
    let make = |tree: &Path, at: &Path| image("squashfs", tree, at);
    let Some(mut bench) = medium("LiveOS/squashfs.img", make) else {
        return;
    };
    // A disk that hangs, told by its kernel's directory: the first read there never ends.
    use std::os::unix::fs::MetadataExt;
    let number = fs::metadata(&bench.medium.path).unwrap().rdev();
    let name = bench.medium.path.file_name().unwrap();
    let sys = bench.machine.root.join("sys");
    let device = sys.join("block").join(name);
    fs::create_dir_all(device.join("loop")).unwrap();
    fs::create_dir_all(sys.join("dev/block")).unwrap();
    let number = format!(
        "{}:{}",
        rustix::fs::major(number),
        rustix::fs::minor(number)
    );
    std::os::unix::fs::symlink(&device, sys.join("dev/block").join(number)).unwrap();
    let hangs = device.join("loop/backing_file");
    run("mkfifo", &[text(&hangs)]);
    bench.machine.sys = sys;
    let node = text(&bench.medium.path).to_owned();
    let why = bench
        .named_within(&node, Duration::from_secs(2))
        .unwrap_err();
    assert_eq!(why, format!("{node}: no answer for 2 s"));
    // It ends, and lets the device go.
    drop(File::options().write(true).open(hangs).unwrap());
}

#[test]
fn a_device_is_named_by_any_link_to_it() {
    let make = |tree: &Path, at: &Path| image("squashfs", tree, at);
    let Some(bench) = medium("LiveOS/squashfs.img", make) else {
        return;
    };
    fs::create_dir_all(&bench.machine.root).unwrap();
    let link = bench.machine.root.join("link");
    std::os::unix::fs::symlink(&bench.medium.path, link).unwrap();
    let named = bench.named("/link").unwrap();
    assert_eq!(named.stack.node, bench.medium.path);
    assert_eq!(format!("/dev/{}", named.name), text(&bench.medium.path));
    let missing = bench.named("/nothing.img").unwrap_err();
    assert!(
        missing.starts_with("/nothing.img: No such file"),
        "{missing}"
    );
    fs::create_dir_all(bench.machine.root.join("dir.img")).unwrap();
    let dir = bench.named("/dir.img").unwrap_err();
    assert_eq!(dir, "/dir.img is neither a file nor a block device");
}

#[test]
fn what_is_cut_short_or_foreign_is_refused_with_its_reason() {
    let cut = |at: &Path| {
        let file = File::options().write(true).open(at).unwrap();
        file.set_len(file.metadata().unwrap().len() - 8192).unwrap();
    };
    for fs in ["squashfs", "erofs", "ext4", "xfs", "btrfs"] {
        let make = |tree: &Path, at: &Path| {
            image(fs, tree, at);
            cut(at);
        };
        let Some(bench) = medium("LiveOS/rootfs.img", make) else {
            return;
        };
        let why = bench.examine(true).unwrap_err();
        assert!(why.starts_with("LiveOS/rootfs.img is cut short"), "{why}");
        assert!(why.contains(fs), "{why}");
    }
    let refusal = |make: &dyn Fn(&Path, &Path)| {
        let bench = medium("LiveOS/squashfs.img", |tree, at| make(tree, at));
        bench.unwrap().examine(true).unwrap_err()
    };
    let inner = refusal(&|tree, at| {
        let outer = tree.with_file_name("outer");
        fs::create_dir_all(outer.join("LiveOS")).unwrap();
        let inner = outer.join("LiveOS/rootfs.img");
        image("ext4", tree, &inner);
        cut(&inner);
        image("squashfs", &outer, at);
    });
    let expected = "LiveOS/squashfs.img: LiveOS/rootfs.img is cut short";
    assert!(inner.starts_with(expected), "{inner}");
    let swap = refusal(&|_, at| {
        File::create(at).unwrap().set_len(1 << 20).unwrap();
        run("mkswap", &[text(at)]);
    });
    let expected = "LiveOS/squashfs.img is swap, not squashfs, erofs, ext4, xfs or btrfs";
    assert_eq!(swap, expected);
    let no_init = refusal(&|tree, at| {
        fs::remove_dir_all(tree.join("sbin")).unwrap();
        image("squashfs", tree, at);
    });
    assert!(
        no_init.starts_with("its image has no /sbin/init"),
        "{no_init}"
    );
    let zeros = refusal(&|_, at| fs::write(at, [0; 9000]).unwrap());
    assert!(zeros.contains("is no file system image"), "{zeros}");
}

#[test]
fn all_of_it_is_taken_apart_at_the_end() {
    let make = |tree: &Path, at: &Path| nested("squashfs", "ext4", tree, at);
    let Some(mut bench) = medium("LiveOS/squashfs.img", make) else {
        return;
    };
    bench.boot(bench.examine(false));
    let report = bench.report.image.as_ref().unwrap();
    let loops = [report.loop_device.clone().unwrap(), report.device.clone()];
    let names = loops.map(|device| bench.attachment(Path::new(&device)));
    assert!(names.iter().all(Option::is_some), "{names:?}");
    let ended = take_apart(&bench.machine, &Left::default(), &mut || ());
    assert_eq!(ended.troubles, Vec::<String>::new());
    assert_eq!(bench.left_over(), Vec::<String>::new());
    let loops = [
        bench
            .report
            .image
            .as_ref()
            .unwrap()
            .loop_device
            .clone()
            .unwrap(),
        bench.report.image.as_ref().unwrap().device.clone(),
    ];
    for (device, before) in loops.iter().zip(names) {
        assert_ne!(bench.attachment(Path::new(device)), before, "{device}");
    }
}
