//! Which kernel of the tree is booted, and the modules that go with it.

use super::{Error, Result, Tree, Watch};
use crate::ondisk::bzimage::KernelFacts;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Bytes from the start of an image that hold its setup header and its version text
/// (a 16-bit offset behind the first sector).
const HEAD: u64 = 0x1_0000 + 0x400;

/// Where distributions keep modules; the first is the merged-/usr spelling.
const MODULE_DIRS: [&str; 2] = ["usr/lib/modules", "lib/modules"];

/// The kernel of the medium.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Where the image is: a path of the host, or of an archive for people to read.
    pub file: PathBuf,
    /// The image.
    pub image: Vec<u8>,
    /// Its release, as `uname -r` will say.
    pub release: String,
    /// Its modules directory, relative to the tree.
    pub modules: String,
    /// Its configuration, where the tree has it.
    config: Option<String>,
}

impl Kernel {
    /// The kernel that the user named, or the newest of the tree that has modules. Files of
    /// the tree that only look like a kernel are warned of; a named one must be one.
    pub fn find(tree: &Tree, named: Option<&Path>, watch: &dyn Watch) -> Result<Kernel> {
        let (file, image, release) = match named {
            Some(file) => read_named(file)?,
            None => newest(tree, watch)?,
        };
        let Some(modules) = modules_dir(tree, &release) else {
            return Err(Error::input(
                file.display(),
                format!("the tree has no modules for this kernel, {release}"),
                format!("install them: /usr/lib/modules/{release} is missing"),
            ));
        };
        if tree.resolve(&format!("{modules}/modules.dep")).is_none() {
            return Err(Error::input(
                tree.describe(&modules),
                "it has no modules.dep",
                format!("run `depmod -b TREE {release}`"),
            ));
        }
        let config = match tree.read_text(&format!("boot/config-{release}"))? {
            Some(text) => Some(text),
            None => tree.read_text(&format!("{modules}/config"))?,
        };
        Ok(Kernel {
            file,
            image,
            release,
            modules,
            config,
        })
    }

    /// Whether it can unpack an initramfs compressed by zstd. Without a configuration in
    /// the tree it is taken for granted: `CONFIG_RD_ZSTD` is on by default since 5.9.
    pub fn unpacks_zstd(&self) -> bool {
        self.config
            .as_ref()
            .is_none_or(|text| text.lines().any(|l| l == "CONFIG_RD_ZSTD=y"))
    }
}

/// Why a file is no kernel to boot, and what to do about it.
struct Unfit {
    finding: String,
    remedy: &'static str,
}

/// The release of an image by its first bytes, which must be one that firmware can start.
fn release_of(head: &[u8]) -> std::result::Result<String, Unfit> {
    let unfit = |finding: &str, remedy| {
        Err(Unfit {
            finding: finding.to_owned(),
            remedy,
        })
    };
    match KernelFacts::parse(head) {
        Some(facts) if facts.efi_stub => Ok(facts.release),
        Some(_) => unfit(
            "this kernel has no EFI stub (CONFIG_EFI_STUB)",
            "use a kernel built with it, as all distributions' are",
        ),
        None => unfit(
            "it is no x86 kernel image (bzImage)",
            "name a file such as TREE/boot/vmlinuz-…",
        ),
    }
}

/// A kernel of the host.
fn read_named(file: &Path) -> Result<(PathBuf, Vec<u8>, String)> {
    let image = std::fs::read(file).map_err(|cause| {
        Error::input(
            file.display(),
            format!("it cannot be read: {cause}"),
            "name a kernel image, such as TREE/boot/vmlinuz-…",
        )
    })?;
    match release_of(&image[..image.len().min(HEAD as usize)]) {
        Ok(release) => Ok((file.to_owned(), image, release)),
        Err(unfit) => Err(Error::input(file.display(), unfit.finding, unfit.remedy)),
    }
}

fn modules_dir(tree: &Tree, release: &str) -> Option<String> {
    MODULE_DIRS
        .iter()
        .map(|base| format!("{base}/{release}"))
        .find(|dir| tree.is_dir(dir))
}

/// The newest kernel of the tree, those with modules first.
fn newest(tree: &Tree, watch: &dyn Watch) -> Result<(PathBuf, Vec<u8>, String)> {
    let mut found: Vec<(bool, String, usize)> = Vec::new();
    let mut skipped = Vec::new();
    let show = |inode| tree.source().describe(inode);
    for inode in candidates(tree) {
        let head = match tree.read_head(inode, HEAD) {
            Ok(head) => head,
            Err(error) => {
                skipped.push(format!("{}: it cannot be read: {error}", show(inode)));
                continue;
            }
        };
        match release_of(&head) {
            Ok(release) => found.push((modules_dir(tree, &release).is_some(), release, inode)),
            Err(unfit) => skipped.push(format!("{}: {}", show(inode), unfit.finding)),
        }
    }
    // On equal terms the first wins, so candidates stand in order of preference.
    found.reverse();
    let best = found
        .into_iter()
        .max_by(|a, b| a.0.cmp(&b.0).then_with(|| compare_releases(&a.1, &b.1)));
    let Some((_, release, inode)) = best else {
        return Err(no_kernel(tree, &skipped));
    };
    for line in skipped {
        watch.warn(&format!("{line}; it is skipped"));
    }
    Ok((PathBuf::from(show(inode)), tree.read_inode(inode)?, release))
}

fn no_kernel(tree: &Tree, skipped: &[String]) -> Error {
    let mut finding =
        "it has no kernel (looked for boot/vmlinuz* and usr/lib/modules/*/vmlinuz)".to_owned();
    for line in skipped {
        finding.push_str("\n    ");
        finding.push_str(line);
    }
    Error::input(
        tree.name(),
        finding,
        "install one in the tree (Debian: linux-image-amd64), or name one with --kernel",
    )
}

/// Files that are named like a kernel, each once: names without version are often links.
fn candidates(tree: &Tree) -> Vec<usize> {
    let mut files = Vec::new();
    for name in tree.list("boot") {
        if name.starts_with("vmlinuz") {
            files.extend(tree.file(&format!("boot/{name}")));
        }
    }
    for base in MODULE_DIRS {
        for release in tree.list(base) {
            files.extend(tree.file(&format!("{base}/{release}/vmlinuz")));
        }
    }
    let mut seen = BTreeSet::new();
    files.retain(|inode| seen.insert(*inode));
    files
}

/// Compares releases by their numbers where both have one, else by their letters.
fn compare_releases(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (x, y) = (take_run(&mut a), take_run(&mut b));
        let order = match (x.parse::<u64>(), y.parse::<u64>()) {
            (Ok(x), Ok(y)) => x.cmp(&y),
            _ => x.cmp(y),
        };
        if order != Ordering::Equal || (x.is_empty() && y.is_empty()) {
            return order;
        }
    }
}

/// Cuts the leading run of digits, or of other characters, off a text.
fn take_run<'a>(text: &mut &'a str) -> &'a str {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text
        .find(|c: char| c.is_ascii_digit() != digits)
        .unwrap_or(text.len());
    let (run, rest) = text.split_at(end);
    *text = rest;
    run
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_config(text: Option<&str>) -> Kernel {
        Kernel {
            file: PathBuf::new(),
            image: Vec::new(),
            release: "1".into(),
            modules: "m".into(),
            config: text.map(str::to_owned),
        }
    }

    #[test]
    fn zstd_is_used_unless_the_configuration_says_no() {
        assert!(with_config(None).unpacks_zstd());
        assert!(with_config(Some("CONFIG_X=y\nCONFIG_RD_ZSTD=y\n")).unpacks_zstd());
        assert!(!with_config(Some("# CONFIG_RD_ZSTD is not set\n")).unpacks_zstd());
        assert!(!with_config(Some("CONFIG_RD_GZIP=y\n")).unpacks_zstd());
    }

    #[test]
    fn releases_are_compared_by_their_numbers() {
        for (older, newer) in [
            ("6.1.0-9-amd64", "6.1.0-56-amd64"),
            ("6.9.3", "6.12.95+deb12-amd64"),
            ("6.1.0-56-amd64", "7.2.12+deb14-amd64"),
            ("6.1", "6.1.1"),
        ] {
            assert_eq!(
                compare_releases(older, newer),
                Ordering::Less,
                "{older} {newer}"
            );
            assert_eq!(
                compare_releases(newer, older),
                Ordering::Greater,
                "{newer} {older}"
            );
        }
        assert_eq!(compare_releases("6.1.0", "6.1.0"), Ordering::Equal);
    }
}
