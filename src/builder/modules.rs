//! The chosen modules, made ready for the initramfs: each a file of its own, compressed by
//! itself, so that one which this machine does not load costs the boot a copy only.

use super::{Error, Kernel, Result, Tree, Watch, compress, watch};
use crate::ondisk::elf::{Elf, modinfo_values};
use crate::ondisk::kmod::ModuleIndex;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// The modules as they go into the initramfs.
#[derive(Clone, Debug)]
pub struct Packed {
    /// What they were compressed with; none when there is nothing to gain.
    pub dictionary: Option<Vec<u8>>,
    /// In the order of their names.
    pub modules: Vec<PackedModule>,
    /// Firmware files that their `.modinfo` names.
    pub firmware: BTreeSet<String>,
}

/// A module as it goes into the initramfs.
#[derive(Clone, Debug)]
pub struct PackedModule {
    /// Path below `lib/modules/VER/`, ending in `.ko.zst`.
    pub path: String,
    /// The zstd frame.
    pub bytes: Vec<u8>,
}

/// A module as it came from the tree, decompressed.
struct Plain {
    path: String,
    bytes: Vec<u8>,
    firmware: Vec<String>,
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

/// Decompresses the modules, finds what they have in common, and compresses each by itself.
pub fn pack(
    tree: &Tree,
    kernel: &Kernel,
    index: &ModuleIndex,
    names: &BTreeSet<String>,
    watch: &dyn Watch,
) -> Result<Packed> {
    let paths: Vec<&str> = names
        .iter()
        .filter_map(|name| Some(index.modules().get(name)?.path.as_str()))
        .collect();
    let plain = on_all_cores(&paths, watch, &|path| read_one(tree, kernel, path))?;
    let samples: Vec<&[u8]> = plain.iter().map(|m| m.bytes.as_slice()).collect();
    let dictionary = compress::train(&samples);
    let ready = dictionary.as_deref().map(compress::ready);
    let modules = on_all_cores(&plain, watch, &|module| {
        let packed = match &ready {
            Some(ready) => compress::zstd_with(ready, &module.bytes),
            None => compress::zstd(&module.bytes),
        };
        let bytes = packed.map_err(|e| {
            bad(
                tree,
                kernel,
                &module.path,
                format!("it cannot be compressed: {e}"),
            )
        })?;
        let path = packed_path(&module.path);
        Ok(PackedModule { path, bytes })
    })?;
    drop(ready);
    let firmware = plain.into_iter().flat_map(|m| m.firmware).collect();
    Ok(Packed {
        dictionary,
        modules,
        firmware,
    })
}

/// Does `work` for each of `items`, on as many threads as there are cores; the order of the
/// results is theirs.
fn on_all_cores<I: Sync, O: Send>(
    items: &[I],
    watch: &dyn Watch,
    work: &(dyn Fn(&I) -> Result<O> + Sync),
) -> Result<Vec<O>> {
    let slots: Vec<Mutex<Option<Result<O>>>> = items.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let (Some(item), Some(slot)) = (items.get(n), slots.get(n)) else {
                        break;
                    };
                    let done = watch::check(watch).and_then(|()| work(item));
                    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
                    watch.percent((n * 100 / items.len()) as u8);
                }
            });
        }
    });
    let done = slots
        .into_iter()
        .filter_map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner));
    done.collect()
}

fn bad(tree: &Tree, kernel: &Kernel, path: &str, finding: String) -> Error {
    Error::input(
        tree.describe(&format!("{}/{path}", kernel.modules)),
        finding,
        format!(
            "reinstall the kernel's modules, or run depmod for {}",
            kernel.release
        ),
    )
}

fn read_one(tree: &Tree, kernel: &Kernel, path: &str) -> Result<Plain> {
    let bad = |finding: String| bad(tree, kernel, path, finding);
    let bytes = tree
        .read(&format!("{}/{path}", kernel.modules))?
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
    Ok(Plain {
        path: name.to_owned(),
        bytes: module,
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
