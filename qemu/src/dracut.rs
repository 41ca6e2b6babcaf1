//! Debian 12's dracut (059) with its dmsquash-live: the peer whose overlays we share.

use crate::apt;
use crate::cache::{Cache, Key};
use crate::kernels;
use crate::tool;
use crate::trouble::{Result, Trouble, While};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const RECIPE: &str = "dracut 1";
const SUITE: &str = "bookworm";
const PACKAGES: &str = "systemd-sysv,udev,kmod,linux-image-amd64,dracut,dracut-live,dmsetup,\
                        e2fsprogs,squashfs-tools,procps";

/// A kernel and an initramfs that dracut made for any machine.
#[derive(Clone, Debug)]
pub struct Dracut {
    /// The kernel ELF.
    pub kernel: PathBuf,
    /// The initramfs; without systemd, for in 059 only the plain one finds a squashfs with
    /// the root in it.
    pub initrd: PathBuf,
}

/// Makes it, in a Debian tree that is then thrown away.
pub fn initramfs(cache: &Cache) -> Result<Dracut> {
    let key = Key::of(&[RECIPE, SUITE, PACKAGES]);
    let entry = cache.entry("initramfs", "dracut-059", &key, |dir| {
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
        make(dir, &tree)?;
        Ok(fs::remove_dir_all(&tree)?)
    })?;
    Ok(Dracut {
        kernel: entry.join("vmlinux"),
        initrd: entry.join("initrd"),
    })
}

fn make(dir: &Path, tree: &Path) -> Result<()> {
    let mut versions: Vec<String> = fs::read_dir(tree.join("usr/lib/modules"))?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    versions.sort();
    let version = versions
        .pop()
        .ok_or_else(|| Trouble("the tree has no kernel".into()))?;
    // dracut looks at /proc and needs /dev/null: mounts of a namespace of their own, which go
    // with it.
    let script = "mount --rbind /dev \"$1/dev\"; mount -t proc proc \"$1/proc\"; mount -t sysfs sys \"$1/sys\"
        exec chroot \"$1\" dracut --force --no-hostonly --no-early-microcode --add dmsquash-live \
        --omit 'systemd dracut-systemd systemd-initrd' /initrd \"$2\"";
    tool::run(
        Command::new("unshare")
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-euc",
                script,
                "sh",
            ])
            .arg(tree)
            .arg(&version),
    )
    .doing("running dracut")?;
    fs::rename(tree.join("initrd"), dir.join("initrd"))?;
    kernels::extract_elf(
        &tree.join(format!("boot/vmlinuz-{version}")),
        &dir.join("vmlinux"),
    )
}
