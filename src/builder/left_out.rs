//! What is left out of the payload: the tree's own old initramfs files, which the medium's own
//! replaces.

use super::source::{Kind, Listing, Name};
use std::collections::BTreeSet;

/// Their paths.
pub fn left_out(listing: &Listing) -> BTreeSet<Vec<u8>> {
    let mut folders: Vec<&Name> = Vec::new();
    folders.extend(listing.resolve(b""));
    folders.extend(listing.resolve(b"boot"));
    if let Some(modules) = listing.resolve(b"usr/lib/modules") {
        let releases = listing.children(modules);
        folders.extend(releases.filter_map(|name| listing.resolve(&name.path)));
    }
    let is_out = |name: &&Name| {
        // Links too, but no directory, whatever its name.
        is_initramfs(name.base()) && listing.inodes[name.inode].kind != Kind::Directory
    };
    let all = folders.into_iter().flat_map(|dir| listing.children(dir));
    all.filter(is_out).map(|name| name.path.clone()).collect()
}

/// Names that Debian, Fedora, openSUSE and Arch give to initramfs files.
fn is_initramfs(name: &[u8]) -> bool {
    let starts: [&[u8]; 4] = [b"initrd.img", b"initrd-", b"initramfs-", b"initramfs.img"];
    name == b"initrd" || starts.iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::super::Tree;

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
        let tree = Tree::of_directory(dir.path()).unwrap();
        let found: Vec<_> = tree.left_out().map(String::from_utf8_lossy).collect();
        let wanted = FILES.iter().filter(|(_, out)| *out).map(|(path, _)| *path);
        let mut wanted: Vec<_> = std::iter::once("initrd.img").chain(wanted).collect();
        wanted.sort_unstable();
        assert_eq!(found, wanted);
        for (path, out) in FILES {
            assert_eq!(tree.resolve(path).is_none(), out, "{path}");
        }
        assert!(tree.is_dir("initrd"));
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
