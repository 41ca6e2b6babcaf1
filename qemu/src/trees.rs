//! Root trees that images are made of: a real Debian for the demo and the bench, and the
//! "marker tree", whose init says what it sees and powers off.

use crate::apt;
use crate::cache::{Cache, Key};
use crate::kernels::{self, Kernel};
use crate::parts;
use crate::tool;
use crate::trouble::{Result, Trouble, While};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

const DEBIAN_RECIPE: &str = "debian 1";
const MARKER_RECIPE: &str = "marker 2";
const DEBIAN_SUITE: &str = "bookworm";
const DEBIAN_PACKAGES: &str =
    "systemd-sysv,udev,kmod,dbus,login,iproute2,procps,less,linux-image-amd64";

/// Module directories that no boot medium needs: the image is packed at each change of
/// liveroot, and they are nine tenths of it.
const PRUNED: [&str; 42] = [
    "sound",
    "net",
    "drivers/gpu",
    "drivers/net",
    "drivers/media",
    "drivers/infiniband",
    "drivers/staging",
    "drivers/iio",
    "drivers/hwmon",
    "drivers/edac",
    "drivers/comedi",
    "drivers/bluetooth",
    "drivers/isdn",
    "drivers/mfd",
    "drivers/video",
    "drivers/power",
    "drivers/platform",
    "drivers/crypto",
    "drivers/mtd",
    "drivers/target",
    "drivers/usb/serial",
    "drivers/usb/gadget",
    "drivers/accel",
    "drivers/scsi/aacraid",
    "drivers/scsi/bfa",
    "drivers/scsi/bnx2fc",
    "drivers/scsi/bnx2i",
    "drivers/scsi/elx",
    "drivers/scsi/lpfc",
    "drivers/scsi/mpi3mr",
    "drivers/scsi/mpt3sas",
    "drivers/scsi/pm8001",
    "drivers/scsi/qla2xxx",
    "drivers/scsi/qla4xxx",
    "fs/afs",
    "fs/ceph",
    "fs/gfs2",
    "fs/jfs",
    "fs/nfs",
    "fs/nfsd",
    "fs/ocfs2",
    "fs/smb",
];

/// A tree and the name of what it was made from.
#[derive(Clone, Debug)]
pub struct Tree {
    /// Its root directory.
    pub path: PathBuf,
    /// Digest of recipe, packages and versions.
    pub key: Key,
}

impl Tree {
    fn at(entry: &Path) -> Result<Tree> {
        let made_from = entry.join("made-from");
        Ok(Tree {
            path: entry.join("tree"),
            key: Key::of_files(&[&made_from])?,
        })
    }
}

/// Debian 12 with systemd, a kernel and a root login without a password.
pub fn debian(cache: &Cache) -> Result<Tree> {
    let key = Key::of(&[DEBIAN_RECIPE, DEBIAN_SUITE, DEBIAN_PACKAGES]);
    let entry = cache.entry("trees", "debian12", &key, |dir| {
        let tree = dir.join("tree");
        tool::run(
            Command::new("mmdebstrap")
                .args(["--mode=root", "--variant=minbase", "--format=directory"])
                .arg(format!("--include={DEBIAN_PACKAGES}"))
                .arg("--aptopt=APT::Install-Recommends \"false\"")
                .arg("--aptopt=Acquire::Check-Valid-Until \"false\"")
                .arg(DEBIAN_SUITE)
                .arg(&tree)
                .arg(apt::source(&apt::mirror()?, DEBIAN_SUITE)),
        )?;
        finish_debian(&tree)?;
        let packages = tool::text(
            Command::new("dpkg-query")
                .arg("--admindir")
                .arg(tree.join("var/lib/dpkg"))
                .arg("-W"),
        )?;
        Ok(fs::write(
            dir.join("made-from"),
            format!("{DEBIAN_RECIPE}\n{packages}"),
        )?)
    })?;
    Tree::at(&entry)
}

/// What makes it a live system for a person at a serial console.
fn finish_debian(tree: &Path) -> Result<()> {
    // The mirror of this machine is nobody else's business.
    fs::write(
        tree.join("etc/apt/sources.list"),
        "# Name your Debian mirror here.\n",
    )?;
    fs::write(tree.join("etc/hostname"), "liveroot\n")?;
    // Empty: systemd makes one at each boot, without taking it for a first boot.
    fs::write(tree.join("etc/machine-id"), "")?;
    fs::write(
        tree.join("etc/issue"),
        "Debian live, booted through liveroot. Log in as root; there is no password.\n\n",
    )?;
    fs::write(
        tree.join("etc/motd"),
        "Try: cat /proc/mounts; less /run/liveroot/report.json; systemd-analyze\n",
    )?;
    tool::run(
        Command::new("chroot")
            .arg(tree)
            .args(["passwd", "--quiet", "--delete", "root"]),
    )
}

/// The Debian tree with the marker init added; file contents are shared by hard links.
pub fn debian_with_marker(cache: &Cache) -> Result<Tree> {
    let plain = debian(cache)?;
    let key = Key::of(&[&plain.key.0, &parts::key().0]);
    let entry = cache.entry("trees", "debian12-marker", &key, |dir| {
        let tree = dir.join("tree");
        tool::run(Command::new("cp").arg("-al").arg(&plain.path).arg(&tree))?;
        parts::install(cache, &tree)?;
        symlink("../bin/marker-init", tree.join("usr/sbin/marker-init"))?;
        parts::install_unit(&tree)?;
        Ok(fs::write(dir.join("made-from"), &key.0)?)
    })?;
    Tree::at(&entry)
}

/// The same without what no test looks at: packing it takes half as long.
pub fn debian_for_boots(cache: &Cache) -> Result<Tree> {
    let whole = debian_with_marker(cache)?;
    let key = Key::of(&["debian for boots 1", &whole.key.0]);
    let entry = cache.entry("trees", "debian12-boots", &key, |dir| {
        let tree = dir.join("tree");
        tool::run(Command::new("cp").arg("-al").arg(&whole.path).arg(&tree))?;
        for dir in ["usr/share/doc", "usr/share/locale", "usr/share/man"] {
            let _ = fs::remove_dir_all(tree.join(dir));
        }
        for entry in fs::read_dir(tree.join("usr/lib/modules"))?.flatten() {
            prune_modules(&tree, &entry.file_name().to_string_lossy())?;
        }
        Ok(fs::write(dir.join("made-from"), &key.0)?)
    })?;
    Tree::at(&entry)
}

/// Busybox, the marker init and one kernel with the modules that media may need.
pub fn marker(cache: &Cache, kernel: &Kernel) -> Result<Tree> {
    let key = Key::of(&[MARKER_RECIPE, &parts::key().0, &kernel.made_from]);
    let entry = cache.entry("trees", &format!("marker-{}", kernel.name), &key, |dir| {
        make_marker(&dir.join("tree"), kernel)?;
        finish_marker(cache, dir, &key)
    })?;
    Tree::at(&entry)
}

/// The same without a kernel and its modules: small, for roots in many forms.
pub fn marker_root(cache: &Cache) -> Result<Tree> {
    let key = Key::of(&[MARKER_RECIPE, "root", &parts::key().0]);
    let entry = cache.entry("trees", "marker-root", &key, |dir| {
        make_user_space(&dir.join("tree"))?;
        finish_marker(cache, dir, &key)
    })?;
    Tree::at(&entry)
}

/// What each marker tree has, and what it was made from.
fn finish_marker(cache: &Cache, dir: &Path, key: &Key) -> Result<()> {
    let tree = dir.join("tree");
    parts::install(cache, &tree)?;
    parts::install_busybox_init(&tree)?;
    parts::install_fsck(&tree)?;
    Ok(fs::write(dir.join("made-from"), &key.0)?)
}

fn make_user_space(tree: &Path) -> Result<()> {
    for dir in [
        "boot",
        "dev",
        "etc",
        "mnt",
        "opt/of-the-image",
        "proc",
        "root",
        "run",
        "sys",
        "tmp",
        "usr/bin",
        "usr/lib/modules",
    ] {
        fs::create_dir_all(tree.join(dir))?;
    }
    for (link, target) in [
        ("bin", "usr/bin"),
        ("sbin", "usr/bin"),
        ("lib", "usr/lib"),
        ("usr/sbin", "bin"),
    ] {
        symlink(target, tree.join(link))?;
    }
    let busybox = Path::new("/bin/busybox");
    fs::copy(busybox, tree.join("usr/bin/busybox")).doing("copying /bin/busybox")?;
    for applet in tool::text(Command::new(busybox).arg("--list"))?
        .lines()
        .filter(|name| *name != "busybox")
    {
        symlink("busybox", tree.join("usr/bin").join(applet)).or_else(there_already)?;
    }
    // Busybox's own init; not all builds of it have one.
    let _ = fs::remove_file(tree.join("usr/bin/init"));
    symlink("marker-init", tree.join("usr/bin/init"))?;
    fs::write(tree.join("opt/of-the-image/file"), "content of the image\n")?;
    fs::write(
        tree.join("etc/os-release"),
        "ID=marker\nNAME=Marker\nPRETTY_NAME=\"Marker tree\"\nVERSION_ID=1\n",
    )?;
    Ok(())
}

fn make_marker(tree: &Path, kernel: &Kernel) -> Result<()> {
    make_user_space(tree)?;
    let modules = tree.join("usr/lib/modules").join(&kernel.version);
    tool::run(
        Command::new("cp")
            .arg("-a")
            .arg(kernel.tree.join("usr/lib/modules").join(&kernel.version))
            .arg(&modules),
    )?;
    prune_modules(tree, &kernel.version)?;
    fs::copy(
        &kernel.vmlinuz,
        tree.join(format!("boot/vmlinuz-{}", kernel.version)),
    )?;
    Ok(())
}

/// Leaves out [`PRUNED`], and makes the lists anew: the packages' own scripts would have.
fn prune_modules(tree: &Path, version: &str) -> Result<()> {
    let modules = tree.join("usr/lib/modules").join(version);
    for dir in PRUNED {
        // Not all kernels have all of them.
        let _ = fs::remove_dir_all(modules.join("kernel").join(dir));
    }
    tool::run(Command::new("depmod").arg("-b").arg(tree).arg(version))
}

fn there_already(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::AlreadyExists {
        Ok(())
    } else {
        Err(error)
    }
}

/// The kernel of a tree as an ELF.
pub fn kernel_elf(cache: &Cache, tree: &Tree) -> Result<PathBuf> {
    let boot = tree.path.join("boot");
    let names = fs::read_dir(&boot)
        .doing(format!("reading {}", boot.display()))?
        .flatten()
        .map(|entry| entry.path());
    let is_kernel = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"))
    };
    let vmlinuz = names
        .filter(is_kernel)
        .max()
        .ok_or_else(|| Trouble(format!("no vmlinuz in {}", boot.display())))?;
    let entry = cache.entry("elf", "debian12", &Key::of_files(&[&vmlinuz])?, |dir| {
        kernels::extract_elf(&vmlinuz, &dir.join("vmlinux"))
    })?;
    Ok(entry.join("vmlinux"))
}

/// Writes a program.
pub fn executable(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).doing(format!("writing {}", path.display()))?;
    Ok(fs::set_permissions(
        path,
        fs::Permissions::from_mode(0o755),
    )?)
}
