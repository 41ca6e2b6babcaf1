//! What of a tree does not go into its image.

use super::super::{Result, Tree};
use std::path::{Path, PathBuf};

/// What is left out: the tree's own old initramfs files, which the medium's own replaces.
/// Paths relative to the tree.
pub fn left_out(tree: &Tree) -> Result<Vec<PathBuf>> {
    let mut folders = vec![PathBuf::new(), PathBuf::from("boot")];
    for release in tree.list("usr/lib/modules")? {
        folders.push(Path::new("usr/lib/modules").join(release));
    }
    let mut paths = Vec::new();
    for folder in folders {
        let names = tree.list(&folder.to_string_lossy())?;
        let old = names.iter().filter(|name| is_initramfs(name));
        let found = old.map(|name| folder.join(name));
        // Links too, but no directory, whatever its name.
        paths.extend(found.filter(|path| {
            let meta = tree.root().join(path).symlink_metadata();
            meta.is_ok_and(|meta| !meta.is_dir())
        }));
    }
    Ok(paths)
}

/// Names that Debian, Fedora, openSUSE and Arch give to initramfs files.
fn is_initramfs(name: &str) -> bool {
    let starts = ["initrd.img", "initrd-", "initramfs-", "initramfs.img"];
    name == "initrd" || starts.iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initramfs_files_of_all_distributions_are_left_out_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        for (path, _) in FILES {
            let file = dir.path().join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "x").unwrap();
        }
        std::fs::create_dir(dir.path().join("initrd")).unwrap();
        std::os::unix::fs::symlink("boot/none", dir.path().join("initrd.img")).unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        let found = left_out(&tree).unwrap();
        let wanted = FILES
            .iter()
            .filter(|(_, out)| *out)
            .map(|(path, _)| PathBuf::from(path));
        let wanted: Vec<_> = std::iter::once(PathBuf::from("initrd.img"))
            .chain(wanted)
            .collect();
        assert_eq!(found, wanted);
    }

    /// Paths, and whether they are left out.
    const FILES: [(&str, bool); 7] = [
        ("boot/initramfs-linux.img", true),
        ("boot/initrd-6.4.0-default", true),
        ("boot/initrd.img-6.1.0-9-amd64", true),
        ("usr/lib/modules/6.1/initramfs.img", true),
        ("boot/vmlinuz-6.1.0-9-amd64", false),
        ("usr/sbin/init", false),
        ("usr/lib/dracut/initrd-x", false),
    ];
}
