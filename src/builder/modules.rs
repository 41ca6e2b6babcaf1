//! The chosen modules, made ready for the initramfs: each a file of its own, compressed by
//! itself, so that one which this machine does not load costs the boot a copy only.

use super::{Error, Kernel, Result, Tree, Watch, compress, watch};
use crate::ondisk::elf::{Elf, modinfo_values};
use crate::ondisk::kmod::ModuleIndex;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A module as it goes into the initramfs.
#[derive(Clone, Debug)]
pub struct PackedModule {
    /// Path below `lib/modules/VER/`, ending in `.ko.zst`.
    pub path: String,
    /// The zstd frame.
    pub bytes: Vec<u8>,
    /// Firmware files that its `.modinfo` names.
    pub firmware: Vec<String>,
}

/// Reads all indexes of a kernel's modules.
pub fn read_index(tree: &Tree, kernel: &Kernel) -> Result<ModuleIndex> {
    let file = |name: &str| format!("{}/{name}", kernel.modules);
    let text = |name: &str| Ok::<_, Error>(tree.read_text(&file(name))?.unwrap_or_default());
    let mut index = ModuleIndex::default();
    index.read_dep(&text("modules.dep")?);
    index.read_alias(&text("modules.alias")?);
    index.read_hints(&text("modules.softdep")?);
    index.read_hints(&text("modules.weakdep")?);
    index.read_builtin(&text("modules.builtin")?);
    let builtin = tree
        .read(&file("modules.builtin.modinfo"))?
        .unwrap_or_default();
    index.read_builtin_modinfo(&builtin);
    Ok(index)
}

/// Decompresses and recompresses modules on all cores; the order is that of `names`.
pub fn pack(
    tree: &Tree,
    kernel: &Kernel,
    index: &ModuleIndex,
    names: &BTreeSet<String>,
    watch: &dyn Watch,
) -> Result<Vec<PackedModule>> {
    let paths: Vec<&str> = names
        .iter()
        .filter_map(|name| Some(index.modules().get(name)?.path.as_str()))
        .collect();
    let slots: Vec<Mutex<Option<Result<PackedModule>>>> =
        paths.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers.min(paths.len()) {
            scope.spawn(|| {
                while let Some((path, slot)) = take(&next, &paths, &slots) {
                    let packed = watch::check(watch).and_then(|()| pack_one(tree, kernel, path));
                    *slot
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(packed);
                    let done = next.load(Ordering::Relaxed).min(paths.len());
                    watch.percent((done * 100 / paths.len()) as u8);
                }
            });
        }
    });
    let done = slots.into_iter().filter_map(|slot| {
        slot.into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    });
    done.collect()
}

fn take<'a, T>(next: &AtomicUsize, paths: &[&'a str], slots: &'a [T]) -> Option<(&'a str, &'a T)> {
    let n = next.fetch_add(1, Ordering::Relaxed);
    Some((paths.get(n)?, slots.get(n)?))
}

fn pack_one(tree: &Tree, kernel: &Kernel, path: &str) -> Result<PackedModule> {
    let in_tree = format!("{}/{path}", kernel.modules);
    let bad = |finding: String| {
        Error::input(
            tree.root().join(&in_tree).display(),
            finding,
            format!(
                "reinstall the kernel's modules, or run depmod for {}",
                kernel.release
            ),
        )
    };
    let bytes = tree
        .read(&in_tree)?
        .ok_or_else(|| bad("modules.dep names it, but it does not exist".into()))?;
    let (name, module) = compress::unpack(path, bytes)
        .map_err(|e| bad(format!("it cannot be decompressed: {e}")))?;
    let modinfo = Elf::parse(&module)
        .and_then(|elf| elf.section(".modinfo"))
        .map_err(|e| bad(e.to_string()))?
        .unwrap_or_default();
    let firmware = modinfo_values(modinfo, "firmware")
        .into_iter()
        .map(str::to_owned)
        .collect();
    let packed =
        compress::zstd(&module).map_err(|e| bad(format!("it cannot be compressed: {e}")))?;
    Ok(PackedModule {
        path: packed_path(name),
        bytes: packed,
        firmware,
    })
}

/// A module's path in the initramfs, from its path without compression suffix.
fn packed_path(uncompressed: &str) -> String {
    format!("{uncompressed}.zst")
}

/// Index files for the initramfs, as depmod(8) writes them, about the chosen modules only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indexes {
    /// modules.dep, with the paths inside the initramfs.
    pub dep: String,
    /// modules.alias.
    pub alias: String,
    /// modules.softdep.
    pub softdep: String,
}

/// Filters the tree's own index files down to the chosen modules.
pub fn filter_indexes(
    tree: &Tree,
    kernel: &Kernel,
    index: &ModuleIndex,
    names: &BTreeSet<String>,
) -> Result<Indexes> {
    let second_or_third = |file: &str, at: usize| -> Result<String> {
        let text = tree
            .read_text(&format!("{}/{file}", kernel.modules))?
            .unwrap_or_default();
        let keep = |line: &&str| {
            let module = line
                .split_whitespace()
                .nth(at)
                .map(crate::ondisk::kmod::normal);
            !line.starts_with('#') && module.is_some_and(|m| names.contains(&m))
        };
        Ok(text
            .lines()
            .filter(keep)
            .map(|line| format!("{line}\n"))
            .collect())
    };
    Ok(Indexes {
        dep: dep_text(index, names),
        alias: second_or_third("modules.alias", 2)?,
        softdep: second_or_third("modules.softdep", 1)?,
    })
}

fn dep_text(index: &ModuleIndex, names: &BTreeSet<String>) -> String {
    let path = |name: &String| {
        let path = index.modules().get(name).map(|m| m.path.as_str())?;
        let base = path.rsplit_once(".ko").map_or(path, |(base, _)| base);
        Some(packed_path(&format!("{base}.ko")))
    };
    let mut text = String::new();
    for name in names {
        let (Some(module), Some(own)) = (index.modules().get(name), path(name)) else {
            continue;
        };
        text.push_str(&own);
        text.push(':');
        for need in module.needs.iter().filter_map(path) {
            text.push(' ');
            text.push_str(&need);
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_named_by_their_paths_in_the_initramfs() {
        let mut index = ModuleIndex::default();
        index.read_dep("kernel/fs/ext4/ext4.ko.xz: kernel/fs/jbd2/jbd2.ko.xz\nkernel/fs/jbd2/jbd2.ko.xz:\nkernel/x.ko:\n");
        let names = ["ext4", "jbd2"].map(str::to_owned).into();
        assert_eq!(
            dep_text(&index, &names),
            "kernel/fs/ext4/ext4.ko.zst: kernel/fs/jbd2/jbd2.ko.zst\nkernel/fs/jbd2/jbd2.ko.zst:\n"
        );
    }
}
