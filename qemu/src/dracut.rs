//! Debian 12's dracut (059): with its dmsquash-live, the peer whose overlays we share, and with
//! our module of dracut.

use crate::apt;
use crate::cache::{Cache, Key};
use crate::kernels;
use crate::product::Product;
use crate::scenario::ByDracut;
use crate::tool;
use crate::trouble::{Result, Trouble, While};
use crate::world::World;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const RECIPE: &str = "dracut 2";
const SUITE: &str = "bookworm";
const PACKAGES: &str = "systemd-sysv,udev,kmod,linux-image-amd64,dracut,dracut-live,dmsetup,\
                        e2fsprogs,squashfs-tools,procps";

/// A kernel and an initramfs that dracut made for any machine.
#[derive(Clone, Debug)]
pub struct Dracut {
    /// The kernel ELF.
    pub kernel: PathBuf,
    /// The initramfs.
    pub initrd: PathBuf,
}

/// Makes it, in a copy of a Debian tree.
pub fn initramfs(world: &World, kind: ByDracut) -> Result<Dracut> {
    let debian = debian(&world.cache)?;
    let words = words(kind);
    let made_from = match kind {
        ByDracut::Peer => Key::of(&[RECIPE, SUITE, PACKAGES, words]),
        ByDracut::Plain | ByDracut::Systemd => {
            let files = ours(&world.product)?;
            let files: Vec<&Path> = files.iter().map(|file| &**file).collect();
            Key::of(&[RECIPE, SUITE, PACKAGES, words, &Key::of_files(&files)?.0])
        }
    };
    let entry = world.cache.entry(
        "dracut",
        &format!("059-{}", kind.name()),
        &made_from,
        |dir| {
            let tree = dir.join("tree");
            tool::run(
                Command::new("cp")
                    .arg("-al")
                    .arg(debian.join("tree"))
                    .arg(&tree),
            )?;
            if kind != ByDracut::Peer {
                install(&world.product, &tree)?;
            }
            run(&tree, words)?;
            fs::rename(tree.join("initrd"), dir.join("initrd"))?;
            Ok(fs::remove_dir_all(&tree)?)
        },
    )?;
    Ok(Dracut {
        kernel: debian.join("vmlinux"),
        initrd: entry.join("initrd"),
    })
}

/// dracut's words. The peer's has no systemd, for in 059 only the plain one finds a squashfs
/// with the root in it. Ours have nothing that their modules do not need, so that what our
/// module forgets is missing; unpacked, for the guest is emulated.
fn words(kind: ByDracut) -> &'static str {
    match kind {
        ByDracut::Peer => "--add dmsquash-live --omit 'systemd dracut-systemd systemd-initrd'",
        ByDracut::Plain => "--no-compress --modules 'dash base udev-rules liveroot'",
        ByDracut::Systemd => {
            "--no-compress --modules 'dash base udev-rules systemd systemd-initrd dracut-systemd \
             systemd-udevd systemd-journald systemd-tmpfiles liveroot'"
        }
    }
}

/// What `make install` takes and dracut reads.
fn ours(product: &Product) -> Result<Vec<PathBuf>> {
    let modules = product.source.join("dracut-module");
    let mut files = vec![product.agent(), product.source.join("Makefile")];
    for module in fs::read_dir(&modules).doing(format!("reading {}", modules.display()))? {
        let module = module?.path();
        if module.is_dir() {
            files.extend(fs::read_dir(module)?.flatten().map(|file| file.path()));
        }
    }
    files.sort();
    Ok(files)
}

/// As a package is made.
fn install(product: &Product, tree: &Path) -> Result<()> {
    let word = |name: &str, path: &Path| {
        let mut word = OsString::from(format!("{name}="));
        word.push(path);
        word
    };
    let agent = product.agent();
    tool::run(
        Command::new("make")
            .current_dir(&product.source)
            .args(["--silent", "install"])
            .arg(word("DESTDIR", tree))
            .arg(word("BUILT", agent.parent().unwrap_or(&agent))),
    )
}

/// The Debian tree with dracut, `tree`, and its kernel, `vmlinux`.
fn debian(cache: &Cache) -> Result<PathBuf> {
    let key = Key::of(&[RECIPE, SUITE, PACKAGES]);
    cache.entry("trees", "dracut-059", &key, |dir| {
        let tree = dir.join("tree");
        tool::run(
            Command::new("mmdebstrap")
                .args(["--mode=root", "--variant=minbase", "--format=directory"])
                .arg(format!("--include={PACKAGES}"))
                .arg("--aptopt=APT::Install-Recommends \"false\"")
                .arg("--aptopt=Acquire::Check-Valid-Until \"false\"")
                .arg(SUITE)
                .arg(&tree)
                .arg(apt::source(&apt::mirror()?, SUITE)),
        )?;
        for dir in ["usr/share/doc", "usr/share/locale", "usr/share/man"] {
            let _ = fs::remove_dir_all(tree.join(dir));
        }
        let kernel = tree.join(format!("boot/vmlinuz-{}", version(&tree)?));
        kernels::extract_elf(&kernel, &dir.join("vmlinux"))
    })
}

/// Of the newest kernel.
fn version(tree: &Path) -> Result<String> {
    let versions = fs::read_dir(tree.join("usr/lib/modules"))?.flatten();
    versions
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .max()
        .ok_or_else(|| Trouble("the tree has no kernel".into()))
}

fn run(tree: &Path, words: &str) -> Result<()> {
    // dracut looks at /proc and needs /dev/null: mounts of a namespace of their own, which go
    // with it.
    let script = format!(
        "mount --rbind /dev \"$1/dev\"; mount -t proc proc \"$1/proc\"; mount -t sysfs sys \"$1/sys\"
        exec chroot \"$1\" dracut --force --no-hostonly --no-early-microcode {words} /initrd \"$2\""
    );
    tool::run(
        Command::new("unshare")
            .args(["--mount", "--propagation", "private"])
            .args(["sh", "-euc", &script, "sh"])
            .arg(tree)
            .arg(version(tree)?),
    )
    .doing("running dracut")
}
