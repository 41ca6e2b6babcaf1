//! Debian trees with a version of dracut and a kernel, to run it in.

use crate::apt;
use crate::cache::{Cache, Key};
use crate::fail;
use crate::kernels;
use crate::scenario::Version;
use crate::tool;
use crate::trouble::{Result, Trouble};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const RECIPE: &str = "dracut tree 4";

/// What every version is installed with: our module's needs, dmsquash-live's and livenet's.
const PACKAGES: &str = "systemd-sysv,udev,kmod,dracut,dracut-network,dmsetup,e2fsprogs,\
                        squashfs-tools,procps,dbus,iproute2,iputils-arping,curl,parted";

/// A tree and its kernel.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The root directory.
    pub path: PathBuf,
    /// The kernel ELF.
    pub kernel: PathBuf,
    /// `uname -r`.
    pub release: String,
    /// Digest of what it was made from.
    pub key: Key,
}

/// The tree, made if it is not there.
pub fn tree(cache: &Cache, version: Version) -> Result<Tree> {
    let kernel = kernels::kernel(cache, version.kernel())?;
    let packages = format!("{PACKAGES}{}", version.packages());
    let key = Key::of(&[RECIPE, version.suite(), &packages, &kernel.made_from]);
    let name = format!("dracut-{}", version.name());
    let entry = cache.entry("trees", &name, &key, |dir| {
        let tree = dir.join("tree");
        tool::run(
            Command::new("mmdebstrap")
                .args(["--mode=root", "--variant=minbase", "--format=directory"])
                .arg(format!("--include={packages}"))
                .arg("--aptopt=APT::Install-Recommends \"false\"")
                .arg("--aptopt=Acquire::Check-Valid-Until \"false\"")
                .arg(version.suite())
                .arg(&tree)
                .arg(apt::source(&apt::mirror()?, version.suite())),
        )?;
        slim(&tree);
        let found = tool::text(Command::new("chroot").arg(&tree).args([
            "dpkg-query",
            "-Wf",
            "${Version}",
            "dracut-core",
        ]))?;
        if !found.starts_with(version.name()) {
            fail!(
                "{} has dracut {found}, not {}",
                version.suite(),
                version.name()
            );
        }
        // The kernel's files are the cache's own, by hard links.
        let modules = tree.join("usr/lib/modules");
        fs::create_dir_all(&modules)?;
        let from = kernel.tree.join("usr/lib/modules").join(&kernel.version);
        tool::run(Command::new("cp").arg("-al").arg(from).arg(&modules))?;
        // The lists are made anew, and must not be so in the kernel's own tree.
        for entry in fs::read_dir(modules.join(&kernel.version))?.flatten() {
            if entry.file_type()?.is_file() {
                unshare(&entry.path())?;
            }
        }
        tool::run(
            Command::new("depmod")
                .arg("-b")
                .arg(&tree)
                .arg(&kernel.version),
        )
    })?;
    Ok(Tree {
        path: entry.join("tree"),
        kernel: kernel.vmlinux,
        release: kernel.version,
        key,
    })
}

/// What no initramfs is made of.
fn slim(tree: &Path) {
    for dir in [
        "usr/share/doc",
        "usr/share/locale",
        "usr/share/man",
        "usr/share/zoneinfo",
        "usr/share/i18n",
        "usr/lib/gcc",
        "usr/lib/x86_64-linux-gnu/perl-base",
    ] {
        let _ = fs::remove_dir_all(tree.join(dir));
    }
}

/// A file of its own in place of a hard link.
fn unshare(path: &Path) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let copy = path.with_file_name(format!("{name}.copy"));
    fs::copy(path, &copy)?;
    fs::rename(&copy, path)
        .map_err(|error| Trouble(format!("replacing {}: {error}", path.display())))
}
