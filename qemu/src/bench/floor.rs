//! The hand-made floors: what an initramfs costs that does the least.
//!
//! *bare* knows the one machine it runs on: a busybox, the modules of one bus in order, three
//! mounts, switch_root. *modalias* knows nothing of the machine: it carries the modules that
//! our initramfs carries and loads what sysfs asks for, as any general initramfs must. Its
//! modprobe is busybox's: kmod's, with its binary indexes but its libraries to unpack and
//! link, took 0.3 to 0.5 s longer (cd 3.81 against 3.35, usb 5.48 against 5.20, virtio 3.74
//! against 3.30).

use super::Case;
use crate::cache::{Cache, Key};
use crate::initramfs;
use crate::tool;
use crate::trees::{Tree, executable};
use crate::trouble::{Result, Trouble};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An initramfs to compare with.
#[derive(Clone, Debug)]
pub struct Floor {
    /// In the table.
    pub name: &'static str,
    /// The archive.
    pub initrd: PathBuf,
}

const START: &str = "#!/busybox sh
B=/busybox
$B mkdir -p /proc /sys /dev /run /n; $B mount -t proc proc /proc; $B mount -t sysfs s /sys; $B mount -t devtmpfs d /dev; $B mount -t tmpfs r /run
";

const INSERT_ALL: &str = "for m in /m/*.ko; do $B insmod $m; done
i=0; while [ ! -b NODE ] && [ $i -lt 300 ]; do $B usleep 20000; i=$((i+1)); done
";

/// Each MODALIAS once, in as few calls as can be: modprobe reads its tables at each start.
const LOAD_BY_ALIAS: &str = "$B modprobe -a loop squashfs overlay isofs
echo - >/run/seen
i=0
while [ ! -b NODE ] && [ $i -lt 300 ]; do
    $B find /sys/devices -name modalias -exec $B cat {} + | $B sort -u >/run/now
    new=$($B grep -vxFf /run/seen /run/now)
    if [ -n \"$new\" ]; then $B modprobe -abq $new; $B cp /run/now /run/seen; else $B usleep 20000; fi
    i=$((i+1))
done
";

const MOUNT: &str = "$B mkdir -p /run/m /run/s /run/o/u /run/o/w
i=0; until $B mount -t iso9660 -o ro NODE /run/m 2>/dev/null || [ $i -gt 200 ]; do $B usleep 20000; i=$((i+1)); done
$B mount -t squashfs -o loop,ro /run/m/LiveOS/squashfs.img /run/s
$B mount -t overlay -o lowerdir=/run/s,upperdir=/run/o/u,workdir=/run/o/w o /n
for d in dev proc sys run; do $B mount --move /$d /n/$d; done
exec $B switch_root /n /sbin/marker-init
";

/// The least, for a machine known beforehand.
pub fn bare(cache: &Cache, tree: &Tree, case: Case) -> Result<Floor> {
    let bus = match case {
        Case::Cd => "ahci sr_mod",
        Case::Usb => "xhci_pci usb_storage sd_mod",
        Case::Virtio => "virtio_pci virtio_blk",
    };
    let init = [START, INSERT_ALL, MOUNT]
        .concat()
        .replace("NODE", case.node());
    let key = Key::of(&["bare 1", &init, &tree.key.0]);
    let entry = cache.entry("initramfs", &format!("bare-{}", case.name()), &key, |dir| {
        let content = content(dir, &init)?;
        fs::create_dir(content.join("m"))?;
        let wanted: Vec<String> = bus
            .split(' ')
            .chain(["isofs", "loop", "squashfs", "overlay"])
            .map(str::to_owned)
            .collect();
        for (number, module) in with_dependencies(tree, &wanted)?.iter().enumerate() {
            let name = module
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            fs::copy(module, content.join(format!("m/{:02}-{name}", number + 1)))?;
        }
        initramfs::pack(&content, &dir.join("initrd"), "zstd -19 -q")
    })?;
    Ok(Floor {
        name: "bare",
        initrd: entry.join("initrd"),
    })
}

/// The least that knows nothing of the machine but the node of its medium.
pub fn modalias(cache: &Cache, tree: &Tree, case: Case, modules: &[String]) -> Result<Floor> {
    let init = [START, LOAD_BY_ALIAS, MOUNT]
        .concat()
        .replace("NODE", case.node());
    let key = Key::of(&["modalias 1", &init, &tree.key.0, &modules.join(" ")]);
    let entry = cache.entry("initramfs", &format!("modalias-{}", case.name()), &key, |dir| {
        let content = content(dir, &init)?;
        let version = version(tree)?;
        let (from, to) = (tree.path.join("lib/modules").join(&version), content.join("lib/modules").join(&version));
        for module in with_dependencies(tree, modules)? {
            let inside = module.strip_prefix(&from).map_err(|_| Trouble(format!("{} is outside of {}", module.display(), from.display())))?;
            let there = to.join(inside);
            fs::create_dir_all(there.parent().unwrap_or(&to))?;
            fs::copy(&module, there)?;
        }
        for list in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
            fs::copy(from.join(list), to.join(list))?;
        }
        tool::run(Command::new("depmod").arg("-b").arg(&content).arg(&version))?;
        // Busybox reads the texts.
        tool::shell("rm -f \"$1\"/*.bin \"$1\"/modules.builtin.* \"$1\"/modules.order \"$1\"/modules.devname", &[&to])?;
        initramfs::pack(&content, &dir.join("initrd"), "zstd -19 -q")
    })?;
    Ok(Floor {
        name: "modalias",
        initrd: entry.join("initrd"),
    })
}

fn content(dir: &Path, init: &str) -> Result<PathBuf> {
    let content = dir.join("content");
    fs::create_dir(&content)?;
    fs::copy("/bin/busybox", content.join("busybox"))?;
    executable(&content.join("init"), init)?;
    Ok(content)
}

/// The kernel that the tree has modules for.
fn version(tree: &Tree) -> Result<String> {
    let names = fs::read_dir(tree.path.join("usr/lib/modules"))?
        .flatten()
        .map(|entry| entry.file_name());
    names
        .max()
        .map(|name| name.to_string_lossy().into_owned())
        .ok_or_else(|| Trouble("the tree has no modules".into()))
}

/// Module files in the order of insertion, as modprobe names them.
fn with_dependencies(tree: &Tree, names: &[String]) -> Result<Vec<PathBuf>> {
    let mut command = Command::new("modprobe");
    command
        .arg("-d")
        .arg(&tree.path)
        .args(["-S", &version(tree)?, "--show-depends", "-a"])
        .args(names);
    let mut found = Vec::new();
    for line in tool::text(&mut command)?.lines() {
        if let Some(("insmod", rest)) = line.split_once(' ') {
            let path = PathBuf::from(rest.split_whitespace().next().unwrap_or(rest));
            if !found.contains(&path) {
                found.push(path);
            }
        }
    }
    Ok(found)
}
