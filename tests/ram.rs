//! A medium that is a file on a disk of the user's, and an image that is copied to memory: on
//! real loop devices, in a private mount namespace.
//!
//! Needs root; the host's kernel must have loop, squashfs, overlay and ext4.

#![allow(clippy::unwrap_used)]

mod namespace;

use liveroot::boot::examine::{self, Sought, Stack};
use liveroot::boot::failure::Failure;
use liveroot::boot::loader::Loader;
use liveroot::boot::machine::Machine;
use liveroot::boot::report::{MediumReport, Report};
use liveroot::boot::{apart, copy, image, isoscan, named, root, tmpfs};
use liveroot::layout::Left;
use liveroot::ondisk::FsKind;
use liveroot::request::{Request, decide_request, said};
use liveroot::sys::{barrier, block, mount};
use namespace::{Disk, possible, run, text};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A medium with an image in one of the layouts, and what a boot has beside it.
struct Bench {
    machine: Machine,
    loader: Loader,
    report: Report,
    disk: Disk,
    in_dracut: bool,
    // Last: what is mounted in it must have gone.
    dir: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

/// One at a time: the child processes of one test hold what another has open.
static ALONE: Mutex<()> = Mutex::new(());

/// What lies on the medium.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// A squashfs with the root.
    Flat,
    /// A squashfs with a rootfs.img.
    Nested,
    /// A rootfs.img.
    Bare,
    /// An ISO file (here of ext4) with the first of these.
    Iso,
}

impl Bench {
    fn new(holds: Holds) -> Option<Self> {
        if !possible(&["squashfs", "overlay", "ext4", "tmpfs"]) {
            return None;
        }
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        namespace::enter();
        let dir = tempfile::tempdir().unwrap();
        let medium = dir.path().join("medium");
        make_medium(dir.path(), &medium, holds);
        let ext4 = ["mkfs.ext4", "-q", "-L", "LIVE", "-d", text(&medium)];
        let disk = Disk::new(dir.path(), &ext4);
        let machine = Machine {
            proc: "/proc".into(),
            sys: "/sys".into(),
            dev: "/dev".into(),
            ..Machine::below(dir.path().join("root"))
        };
        let mut report = Report::new(&decide_request(&[]));
        let loader = Loader::start(&machine, Vec::new(), Vec::new(), &mut report);
        report.medium = Some(MediumReport {
            device: disk.device.clone(),
            fs: "ext4".into(),
            label: None,
            uuid: None,
            why: String::new(),
            iso: None,
            released: false,
        });
        Some(Bench {
            machine,
            loader,
            report,
            disk,
            in_dracut: false,
            dir,
            _alone: alone,
        })
    }

    fn name(&self) -> &str {
        self.disk.device.trim_start_matches("/dev/")
    }

    /// In the names of this medium's files: others' loop devices are seen too.
    fn tag(&self) -> &str {
        self.dir.path().file_name().unwrap().to_str().unwrap()
    }

    fn iso(&self) -> String {
        format!("iso/{}.iso", self.tag())
    }

    fn examine(&self, name: &str) -> Result<Stack, String> {
        let sought = sought(self.tag());
        examine::examine(&self.machine, &self.loader, &sought, name, FsKind::Ext)
    }

    /// From the ISO file, as the hunt does it.
    fn examine_iso(&self) -> Stack {
        let host = self.look(&self.iso()).unwrap();
        let name = host.loop_device.path.file_name().unwrap().to_owned();
        let mut stack = self.examine(name.to_str().unwrap()).unwrap();
        stack.host = Some(host);
        stack
    }

    fn look(&self, path: &str) -> Result<isoscan::Host, String> {
        isoscan::look(&self.machine, &self.loader, self.name(), FsKind::Ext, path)
    }

    fn copy(&mut self, words: &str, stack: Stack) -> Stack {
        self.try_copy(words, stack).unwrap()
    }

    fn try_copy(&mut self, words: &str, stack: Stack) -> Result<Stack, Failure> {
        let request = match self.in_dracut {
            true => request(words).in_dracut(Duration::ZERO, None),
            false => request(words),
        };
        copy::copy(
            &self.machine,
            &request,
            &self.loader,
            stack,
            &mut self.report,
        )
    }

    /// The rest of the boot.
    fn boot(&mut self, stack: Stack, words: &str) {
        image::attach(&self.machine, stack, &mut self.report).unwrap();
        let size = request(words).upper.memory;
        let dirs = tmpfs::mount_tmpfs(&self.machine, &size, &mut self.report).unwrap();
        root::mount(&self.machine, &self.loader, &dirs, &mut self.report).unwrap();
    }

    fn run(&self, path: &str) -> PathBuf {
        self.machine.run.join(path)
    }

    fn assert_root_works(&self) {
        let noise = fs::read(self.machine.sysroot.join("usr/noise")).unwrap();
        assert!(noise == self::noise(), "the image's content");
        fs::write(self.machine.sysroot.join("new"), "x").unwrap();
    }

    /// A loop device gives its file back a moment after its last user.
    fn assert_free(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let node = Path::new(&self.disk.device);
        while block::is_claimed(node) || !self.loops().is_empty() {
            let loops = self.loops();
            assert!(Instant::now() < deadline, "held: {loops:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(!barrier::is_read_only(node), "it takes writes again");
        let open = fs::read_dir("/proc/self/fd").unwrap();
        let open: Vec<_> = open
            .filter_map(|e| fs::read_link(e.unwrap().path()).ok())
            .filter(|p| p == node)
            .collect();
        assert!(open.is_empty(), "{open:?}");
    }

    /// Loop devices over files of the medium.
    fn loops(&self) -> Vec<PathBuf> {
        let names = block::list(Path::new("/sys")).into_iter();
        let backing = names.filter_map(|n| liveroot::sys::loopdev::backing(Path::new("/sys"), &n));
        let ours = |b: &PathBuf| {
            b.file_name()
                .unwrap()
                .to_string_lossy()
                .contains(self.tag())
        };
        backing.filter(ours).collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for line in mount_lines(&self.machine.root).iter().rev() {
            let _ = mount::unmount(Path::new(line.split(' ').nth(4).unwrap()), true);
        }
    }
}

/// The image has the name of the test's directory.
fn sought(tag: &str) -> Sought {
    Sought {
        live_dir: "LiveOS".into(),
        image_path: format!("LiveOS/{tag}.img"),
        init: None,
        named: true,
    }
}

fn request(words: &str) -> Request {
    decide_request(&said::split(words.as_bytes()))
}

/// Does not compress: 3 MiB.
fn noise() -> Vec<u8> {
    let step = |n: &u32| Some(n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    let numbers = std::iter::successors(Some(1), step).take(3 << 18);
    numbers.flat_map(|n| (n ^ n >> 13).to_le_bytes()).collect()
}

fn make_medium(dir: &Path, medium: &Path, holds: Holds) {
    use std::os::unix::fs::PermissionsExt;
    let tree = dir.join("tree");
    for path in ["sbin", "usr"] {
        fs::create_dir_all(tree.join(path)).unwrap();
    }
    fs::write(tree.join("usr/noise"), noise()).unwrap();
    fs::write(tree.join("sbin/init"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(tree.join("sbin/init"), fs::Permissions::from_mode(0o755)).unwrap();
    let live = medium.join("LiveOS");
    fs::create_dir_all(&live).unwrap();
    let tag = dir.file_name().unwrap().to_str().unwrap();
    let squashfs = live.join(format!("{tag}.img"));
    let pack = |from: &Path| {
        run(
            "mksquashfs",
            &[text(from), text(&squashfs), "-quiet", "-no-progress"],
        );
    };
    let rootfs = |at: &Path| {
        run("mkfs.ext4", &["-q", "-d", text(&tree), text(at), "6M"]);
    };
    match holds {
        Holds::Flat => pack(&tree),
        Holds::Bare => rootfs(&squashfs),
        Holds::Nested => {
            let outer = dir.join("outer");
            fs::create_dir_all(outer.join("LiveOS")).unwrap();
            rootfs(&outer.join("LiveOS/rootfs.img"));
            pack(&outer);
        }
        Holds::Iso => {
            pack(&tree);
            let iso = dir.join("x.iso");
            run(
                "mkfs.ext4",
                &["-q", "-L", "ISO", "-d", text(medium), text(&iso), "10M"],
            );
            fs::remove_dir_all(&live).unwrap();
            fs::create_dir_all(medium.join("iso")).unwrap();
            fs::rename(iso, medium.join(format!("iso/{tag}.iso"))).unwrap();
        }
    }
}

fn mount_lines(below: &Path) -> Vec<String> {
    let all = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let at = |l: &&str| Path::new(l.split(' ').nth(4).unwrap()).starts_with(below);
    all.lines().filter(at).map(str::to_owned).collect()
}

fn mount_line(at: &Path) -> Option<String> {
    mount_lines(at)
        .into_iter()
        .find(|l| l.split(' ').nth(4) == Some(text(at)))
}

const COPY: &str = "rd.live.ram rd.minmem=16";

#[test]
fn a_disk_with_a_dirty_journal_gives_its_iso_file_and_no_byte_of_it_changes() {
    let Some(mut bench) = Bench::new(Holds::Iso) else {
        return;
    };
    // As after a power cut: a mount that may write would replay the journal, and say so.
    run(
        "debugfs",
        &["-w", "-R", "feature needs_recovery", text(&bench.disk.file)],
    );
    let before = bench.disk.digest();
    let stack = bench.examine_iso();
    assert!(barrier::is_read_only(Path::new(&bench.disk.device)));
    let loop_node = stack.node.clone();
    bench.boot(stack, "");
    bench.assert_root_works();
    let isoscan = mount_line(&bench.run("initramfs/isoscan")).unwrap();
    assert!(
        isoscan.contains(&format!(" ext4 {} ro", bench.disk.device)),
        "{isoscan}"
    );
    let live = mount_line(&bench.run("initramfs/live")).unwrap();
    assert!(
        live.contains(&format!(" ext4 {} ro", text(&loop_node))),
        "{live}"
    );
    let link = |name: &str| fs::read_link(bench.run(name)).unwrap();
    assert_eq!(link("initramfs/isoscandev"), Path::new(&bench.disk.device));
    assert_eq!(link("initramfs/livedev"), loop_node);
    assert!(bench.disk.digest() == before, "the disk was written to");

    let ended = apart::take_apart(&bench.machine, &Left::default(), &mut || ());
    assert_eq!(ended.troubles, Vec::<String>::new());
    assert_eq!(mount_lines(&bench.machine.root), Vec::<String>::new());
    assert!(bench.disk.digest() == before, "the end wrote to the disk");
}

#[test]
fn a_disk_without_the_file_says_so_and_is_let_go() {
    let Some(bench) = Bench::new(Holds::Iso) else {
        return;
    };
    let why = |path: &str| bench.look(path).err().unwrap();
    assert_eq!(why("iso/y.iso"), "no /iso/y.iso");
    let below = format!("{}/y", bench.iso());
    assert_eq!(why(&below), format!("no /{below}"));
    assert_eq!(why("iso"), "/iso is no file");
    bench.assert_free();
    drop(bench.look(&bench.iso()).unwrap());
    bench.assert_free();
}

#[test]
fn an_image_in_memory_lets_the_medium_go_wholly() {
    let Some(mut bench) = Bench::new(Holds::Flat) else {
        return;
    };
    let size = fs::metadata(
        bench
            .dir
            .path()
            .join(format!("medium/LiveOS/{}.img", bench.tag())),
    )
    .unwrap()
    .len();
    let stack = bench.examine(bench.name()).unwrap();
    let stack = bench.copy(COPY, stack);
    bench.boot(stack, "");
    bench.assert_free();
    let told = format!(
        "The image is in memory: the medium ({d}) can be taken out, unless changes are kept on it.",
        d = bench.report.medium.as_ref().unwrap().device
    );
    assert_eq!(bench.report.notices, [told]);
    assert_eq!(mount_line(&bench.run("initramfs/live")), None);

    // The disk is gone: what is read now comes from memory.
    File::options()
        .write(true)
        .open(&bench.disk.file)
        .unwrap()
        .set_len(0)
        .unwrap();
    fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
    bench.assert_root_works();
    let base = mount_line(&bench.machine.rootfsbase()).unwrap();
    assert!(base.contains(" squashfs /dev/loop"), "{base}");
    let copy = fs::metadata(bench.run("initramfs/squashed.img")).unwrap();
    assert_eq!(copy.len(), size.div_ceil(4096) * 4096);
    let tmpfs = mount_line(&bench.run("initramfs/ram")).unwrap();
    assert!(tmpfs.contains(" tmpfs liveroot-image ro"), "{tmpfs}");
    assert!(
        tmpfs.contains(&format!("size={}k", copy.len() / 1024)),
        "{tmpfs}"
    );
    let report = bench.report.copy.as_ref().unwrap();
    assert_eq!((report.what, report.size), ("image", size));
    assert!(bench.report.medium.as_ref().unwrap().released);

    let ended = apart::take_apart(&bench.machine, &Left::default(), &mut || ());
    assert_eq!(ended.troubles, Vec::<String>::new());
    assert_eq!(mount_lines(&bench.machine.root), Vec::<String>::new());
}

#[test]
fn the_disk_with_the_iso_file_is_let_go_too() {
    let Some(mut bench) = Bench::new(Holds::Iso) else {
        return;
    };
    let stack = bench.examine_iso();
    let stack = bench.copy(COPY, stack);
    bench.boot(stack, "");
    bench.assert_free();
    assert_eq!(mount_line(&bench.run("initramfs/isoscan")), None);
    bench.assert_root_works();
}

#[test]
fn the_copy_and_the_writes_are_no_more_than_there_is() {
    let Some(mut bench) = Bench::new(Holds::Flat) else {
        return;
    };
    let stack = bench.examine(bench.name()).unwrap();
    let stack = bench.copy(COPY, stack);
    bench.boot(stack, "rd.overlay=tmpfs:size=100%");
    let (copied, total) = (
        bench.report.copy.as_ref().unwrap().size,
        copy::memory(&bench.machine).total,
    );
    let upper = bench.report.upper.as_ref().unwrap().size;
    assert!(
        upper + copied <= total && upper > total / 2,
        "{upper} + {copied} of {total}"
    );
}

#[test]
fn with_too_little_memory_the_medium_is_used_and_what_is_short_is_said() {
    let Some(mut bench) = Bench::new(Holds::Flat) else {
        return;
    };
    let stack = bench.examine(bench.name()).unwrap();
    let stack = bench.copy("rd.live.ram rd.minmem=4000000", stack);
    assert!(bench.report.copy.is_none());
    let notice = &bench.report.notices[0];
    assert!(
        notice.contains("rd.minmem=4000000 MiB") && notice.contains("are short"),
        "{notice}"
    );
    bench.boot(stack, "");
    bench.assert_root_works();
    assert!(mount_line(&bench.run("initramfs/live")).is_some());
}

#[test]
fn a_medium_that_breaks_in_the_middle_frees_what_the_copy_took_and_is_used() {
    let Some(mut bench) = Bench::new(Holds::Flat) else {
        return;
    };
    let stack = bench.examine(bench.name()).unwrap();
    // The first blocks are there, the image's end is not.
    File::options()
        .write(true)
        .open(&bench.disk.file)
        .unwrap()
        .set_len(3 << 20)
        .unwrap();
    fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
    let stack = bench.copy(COPY, stack);
    assert!(stack.medium.is_some() && bench.report.copy.is_none());
    let notice = &bench.report.notices[0];
    let place = format!(
        "reading LiveOS/{}.img on {}",
        bench.tag(),
        bench.disk.device
    );
    assert!(
        notice.contains(&place) && notice.contains("at byte"),
        "{notice}"
    );
    assert_eq!(mount_lines(&bench.machine.root), Vec::<String>::new());
    assert!(!bench.run("initramfs/squashed.img").exists());
}

#[test]
fn a_nested_image_is_copied_as_it_is_or_only_what_is_inside() {
    for (words, packed, at) in [
        (COPY, true, "initramfs/squashed.img"),
        (
            "rd.writable.fsimg rd.minmem=16",
            false,
            "initramfs/fsimg/rootfs.img",
        ),
    ] {
        let Some(mut bench) = Bench::new(Holds::Nested) else {
            return;
        };
        let stack = bench.examine(bench.name()).unwrap();
        let stack = bench.copy(words, stack);
        bench.boot(stack, "");
        let told = format!(
            "The image is in memory: the medium ({d}) can be taken out, unless changes are kept on it.",
            d = bench.report.medium.as_ref().unwrap().device
        );
        assert_eq!(bench.report.notices, [told]);
        bench.assert_free();
        bench.assert_root_works();
        assert!(bench.run(at).exists(), "{at}");
        assert_eq!(
            mount_line(&bench.machine.squashfs()).is_some(),
            packed,
            "{words}"
        );
        let base = mount_line(&bench.machine.rootfsbase()).unwrap();
        assert!(base.contains(" ext4 /dev/loop"), "{base}");
    }
}

#[test]
fn a_bare_image_is_copied_by_both_words() {
    for (words, at) in [
        (COPY, "initramfs/rootfs.img"),
        (
            "rd.writable.fsimg rd.minmem=16",
            "initramfs/fsimg/rootfs.img",
        ),
    ] {
        let Some(mut bench) = Bench::new(Holds::Bare) else {
            return;
        };
        let stack = bench.examine(bench.name()).unwrap();
        let stack = bench.copy(words, stack);
        bench.boot(stack, "");
        bench.assert_free();
        bench.assert_root_works();
        assert!(bench.run(at).exists(), "{at}");
    }
}

#[test]
fn a_medium_that_is_gone_is_no_medium_though_the_kernel_still_has_its_first_block() {
    let Some(mut bench) = Bench::new(Holds::Flat) else {
        return;
    };
    let stack = bench.examine(bench.name()).unwrap();
    fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
    let device = block::open(Path::new(&bench.disk.device)).unwrap();
    let first = || block::read_exact_at(&device, 0, &mut [0; 4096]);
    assert_eq!(first(), Ok(true));
    let file = File::options().write(true).open(&bench.disk.file).unwrap();
    file.set_len(0).unwrap();
    assert_eq!(first(), Ok(true), "the kernel holds it in memory");
    let failed = bench.try_copy(COPY, stack).unwrap_err();
    assert_eq!(failed.id(), "medium-not-mounted");
    assert!(failed.to_string().contains(&bench.disk.device), "{failed}");
    assert_eq!(mount_lines(&bench.machine.root), Vec::<String>::new());
}

#[test]
fn a_file_on_somebodys_mount_is_copied_and_what_is_in_memory_counts() {
    let Some(mut bench) = Bench::new(Holds::Flat) else {
        return;
    };
    let image = format!("medium/LiveOS/{}.img", bench.tag());
    let nfs = bench.machine.root.join("run/nfs_mnt0");
    fs::create_dir_all(&nfs).unwrap();
    fs::copy(bench.dir.path().join(&image), nfs.join("a.img")).unwrap();
    let limit = Duration::from_secs(60);
    let path = "/run/nfs_mnt0/a.img";
    let named = named::examine(&bench.machine, &bench.loader, &sought(""), path, limit);
    let stack = bench.copy(COPY, named.unwrap().stack);
    assert_eq!(bench.report.copy.as_ref().unwrap().from, path);
    fs::remove_dir_all(nfs).unwrap();
    bench.boot(stack, "");
    bench.assert_root_works();
}

#[test]
fn the_upper_leaves_room_for_an_image_that_came_into_memory_by_itself() {
    let Some(mut bench) = Bench::new(Holds::Flat) else {
        return;
    };
    let memory = bench.machine.root.join("tmp");
    fs::create_dir_all(&memory).unwrap();
    run("mount", &["-t", "tmpfs", "tmpfs", text(&memory)]);
    let image = format!("medium/LiveOS/{}.img", bench.tag());
    let size = fs::copy(bench.dir.path().join(&image), memory.join("a.img")).unwrap();
    let limit = Duration::from_secs(60);
    let named = named::examine(
        &bench.machine,
        &bench.loader,
        &sought(""),
        "/tmp/a.img",
        limit,
    );
    let stack = bench.copy(COPY, named.unwrap().stack);
    assert!(bench.report.copy.is_none(), "it is in memory already");
    bench.boot(stack, "rd.overlay=tmpfs:size=100%");
    let total = copy::memory(&bench.machine).total;
    let upper = bench.report.upper.as_ref().unwrap().size;
    assert!(
        upper + size <= total && upper > total / 2,
        "{upper} + {size} of {total}"
    );
}

#[test]
fn the_mediums_updates_are_kept_for_dracut_before_it_is_let_go() {
    for (kib, kept) in [(1, true), (70 << 10, false)] {
        let Some(mut bench) = Bench::new(Holds::Flat) else {
            return;
        };
        bench.disk.elsewhere(|at| {
            let etc = at.join("updates/etc");
            fs::create_dir_all(&etc).unwrap();
            std::os::unix::fs::symlink("a", etc.join("link")).unwrap();
            // 70 MiB do not fit on the disk: holes.
            let file = File::create(etc.join("a")).unwrap();
            file.set_len(kib << 10).unwrap();
        });
        let stack = bench.examine(bench.name()).unwrap();
        bench.in_dracut = true;
        let stack = bench.copy(COPY, stack);
        let updates = bench.run("liveroot/updates");
        assert_eq!(updates.exists(), kept);
        assert_eq!(
            stack.medium.is_none(),
            kept,
            "what is not kept is still there"
        );
        if kept {
            let link = fs::read_link(updates.join("etc/link")).unwrap();
            assert_eq!(link, Path::new("a"));
            assert_eq!(
                fs::metadata(updates.join("etc/a")).unwrap().len(),
                kib << 10
            );
            bench.assert_free();
        } else {
            let notice = &bench.report.notices[0];
            assert!(notice.contains("more than 64.0 MiB"), "{notice}");
            assert!(!bench.report.medium.as_ref().unwrap().released);
        }
        bench.boot(stack, "");
        bench.assert_root_works();
    }
}

#[test]
fn what_may_write_at_its_mount_is_closed_and_a_disk_with_partitions_to_be_written_is_not() {
    use FsKind::{Erofs, Exfat, Ext, Iso9660, Ntfs, Squashfs, Udf, Vfat};
    let Some(bench) = Bench::new(Holds::Flat) else {
        return;
    };
    let node = Path::new(&bench.disk.device);
    for (fs, closes, stays) in [
        (Ext, true, true),
        (Ntfs, true, true),
        (Vfat, true, false),
        (Exfat, true, false),
        (Iso9660, false, false),
        (Udf, false, false),
        (Squashfs, false, false),
        (Erofs, false, false),
    ] {
        let barrier = examine::raise_barrier(node, fs).unwrap();
        assert_eq!(barrier::is_read_only(node), closes, "{fs:?}");
        drop(barrier);
        assert!(!barrier::is_read_only(node), "{fs:?}");
        assert_eq!(examine::keeps_barrier(fs), stays, "{fs:?}");
    }
}

#[test]
fn two_looks_at_one_disk_end_in_any_order_and_one_that_is_kept_stays() {
    let Some(bench) = Bench::new(Holds::Flat) else {
        return;
    };
    let node = Path::new(&bench.disk.device);
    let raise = || barrier::WriteBarrier::raise(node).unwrap();
    let (first, second) = (raise(), raise());
    drop(first);
    assert!(barrier::is_read_only(node), "somebody still looks");
    drop(second);
    assert!(!barrier::is_read_only(node), "it takes writes as before");
    let (first, second) = (raise(), raise());
    first.keep();
    drop(second);
    assert!(barrier::is_read_only(node), "it is under a live mount");
}

#[test]
fn a_disk_that_somebody_writes_to_is_left_to_them() {
    let Some(bench) = Bench::new(Holds::Flat) else {
        return;
    };
    bench.disk.elsewhere(|at| {
        let why = bench.examine(bench.name()).err().unwrap();
        assert!(why.contains("it is mounted for writing"), "{why}");
        fs::write(at.join("x"), "written").unwrap();
        run("sync", &["-f", text(&at.join("x"))]);
        assert!(!barrier::is_read_only(Path::new(&bench.disk.device)));
    });
}

#[test]
fn an_xfs_whose_clone_is_mounted_can_be_looked_at() {
    if !possible(&["xfs"]) {
        return;
    }
    let Some(bench) = Bench::new(Holds::Flat) else {
        return;
    };
    let clones = ["a.xfs", "b.xfs"].map(|name| bench.dir.path().join(name));
    File::create(&clones[0])
        .unwrap()
        .set_len(300 << 20)
        .unwrap();
    run("mkfs.xfs", &["-q", text(&clones[0])]);
    run(
        "cp",
        &["--sparse=always", text(&clones[0]), text(&clones[1])],
    );
    let attached = clones.map(|file| {
        let open = File::open(&file).unwrap();
        liveroot::sys::loopdev::attach_read_only(Path::new("/dev"), &open, &file).unwrap()
    });
    let look = |at: usize| {
        examine::mount_untouched(&bench.loader, &attached[at].path, FsKind::Xfs).unwrap()
    };
    let both = (look(0), look(1));
    drop(both);
}
