//! Initramfs of dracut, of each version that is tested: with dmsquash-live, the peer whose
//! overlays we share, and with our module of dracut.

mod tree;

use crate::cache::Key;
use crate::initramfs;
use crate::product::Product;
use crate::scenario::{ByDracut, Version};
use crate::tool;
use crate::trouble::{Result, While};
use crate::world::World;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tree::Tree;

const RECIPE: &str = "dracut 4";

/// A kernel and an initramfs that dracut made for any machine.
#[derive(Clone, Debug)]
pub struct Dracut {
    /// The kernel ELF.
    pub kernel: PathBuf,
    /// The initramfs.
    pub initrd: PathBuf,
}

/// What dracut is asked for.
#[derive(Clone, Debug)]
pub struct Order {
    /// Short, for the cache.
    pub name: String,
    /// Whose dracut, and whose kernel.
    pub version: Version,
    /// Its words.
    pub words: String,
    /// Modules that must have come in.
    pub must: Vec<String>,
    /// Whether our module and the agent are installed.
    pub ours: bool,
}

impl Version {
    /// Where Debian has it.
    fn suite(self) -> &'static str {
        match self {
            Version::V059 => "bookworm",
            Version::V106 => "trixie",
            Version::V112 => "testing",
        }
    }

    /// The kernel of that suite, as `kernels.rs` calls it.
    fn kernel(self) -> &'static str {
        match self {
            Version::V059 => "6.1",
            Version::V106 => "6.12",
            Version::V112 => "testing",
        }
    }

    /// Packages that not all versions have, each behind a comma.
    fn packages(self) -> &'static str {
        match self {
            Version::V059 | Version::V106 => ",dracut-live,isc-dhcp-client",
            // dmsquash-live is in dracut-core, switch_root in the last one.
            Version::V112 => ",dhcpcd-base,util-linux-extra",
        }
    }
}

/// The initramfs of a boot of a scenario; `with` are modules beside the usual ones.
pub fn for_boot(
    world: &World,
    version: Version,
    kind: ByDracut,
    with: &[String],
) -> Result<Dracut> {
    let mut must = with.to_vec();
    must.push(
        if kind == ByDracut::Peer {
            "dmsquash-live"
        } else {
            "liveroot"
        }
        .into(),
    );
    let with = with.join(" ");
    // The version from which a module is called otherwise or is one (reference of versions,
    // dracut's NEWS).
    let systemd = match version {
        Version::V059 | Version::V106 => "systemd systemd-initrd",
        Version::V112 => "systemd initqueue",
    };
    let base = match version {
        Version::V059 | Version::V106 => "dash base udev-rules",
        Version::V112 => "dash base udev-rules initqueue",
    };
    // Ours have nothing that their modules do not need, so that what our module forgets is
    // missing; unpacked, for the guest is emulated. The peer has no systemd, for in 059 only
    // the plain one finds a squashfs with the root in it.
    let words = match kind {
        ByDracut::Peer => {
            format!("--add 'dmsquash-live {with}' --omit 'systemd dracut-systemd systemd-initrd'")
        }
        ByDracut::Plain => format!("--no-compress --modules '{base} liveroot {with}'"),
        ByDracut::Systemd => format!(
            "--no-compress --modules '{base} {systemd} dracut-systemd systemd-udevd \
             systemd-journald systemd-tmpfiles liveroot {with}'"
        ),
    };
    let mut name = format!("{}-{}", version.name(), kind.name());
    for module in with.split(' ').filter(|module| !module.is_empty()) {
        name = format!("{name}-{module}");
    }
    let order = Order {
        name,
        version,
        words,
        must,
        ours: kind != ByDracut::Peer,
    };
    initramfs(world, &order)
}

/// Makes it, in a copy of a Debian tree.
pub fn initramfs(world: &World, order: &Order) -> Result<Dracut> {
    let tree = tree::tree(&world.cache, order.version)?;
    let files = if order.ours {
        ours(&world.product)?
    } else {
        Vec::new()
    };
    let from: Vec<&Path> = files.iter().map(|file| &**file).collect();
    let content = Key::of_files(&from)?;
    let key = Key::of(&[RECIPE, &tree.key.0, &order.words, &content.0]);
    let entry = world.cache.entry("dracut", &order.name, &key, |dir| {
        let copy = dir.join("tree");
        tool::run(Command::new("cp").arg("-al").arg(&tree.path).arg(&copy))?;
        if order.ours {
            install(&world.product, &copy)?;
        }
        // dracut-network of Debian asks for its module in every initramfs.
        let _ = fs::remove_file(copy.join("etc/dracut.conf.d/11-ifcfg.conf"));
        run(&tree, &copy, order)?;
        fs::rename(copy.join("initrd"), dir.join("initrd"))?;
        Ok(fs::remove_dir_all(&copy)?)
    })?;
    Ok(Dracut {
        kernel: tree.kernel,
        initrd: entry.join("initrd"),
    })
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

fn run(tree: &Tree, copy: &Path, order: &Order) -> Result<()> {
    // dracut looks at /proc and needs /dev/null: mounts of a namespace of their own, which go
    // with it. That a module can't be had does not show in its exit status.
    let script = "
        mount --rbind /dev \"$1/dev\"; mount -t proc proc \"$1/proc\"; mount -t sysfs sys \"$1/sys\"
        tree=$1 release=$2 words=$3
        shift 3
        eval chroot '\"$tree\"' dracut --force --stdlog 4 --no-hostonly --no-early-microcode \"$words\" \\
            /initrd '\"$release\"' >\"$tree/said\" 2>&1 || { cat \"$tree/said\"; exit 1; }
        for module; do
            grep -q \"Including module: $module \" \"$tree/said\" && continue
            cat \"$tree/said\"
            echo \"no module $module\"
            exit 1
        done";
    tool::run(
        Command::new("unshare")
            .args(["--mount", "--propagation", "private"])
            .args(["sh", "-euc", script, "sh"])
            .arg(copy)
            .args([&tree.release, &order.words])
            .args(&order.must),
    )
    .doing("running dracut")
}

/// An initramfs with files behind those it has; they stand in a segment of their own.
pub fn with_files(initrd: &Path, content: &Path, to: &Path) -> Result<()> {
    let segment = to.with_extension("segment");
    initramfs::pack(content, &segment, "cat")?;
    // Segments begin at multiples of four bytes (initramfs's buffer format).
    let script = "cp \"$1\" \"$3\"; truncate -s %4 \"$3\"; cat \"$2\" >>\"$3\"; rm \"$2\"";
    tool::shell(script, &[&initrd, &segment, &to]).map(drop)
}
