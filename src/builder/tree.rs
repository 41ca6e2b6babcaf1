//! The root directory of a distribution, read as the booted system will see it: links are
//! followed within it, never out of it onto the host.

use super::{Error, Result};
use std::collections::VecDeque;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Where a root's init may be, in the order in which the kernel and switch_root programs
/// look.
const INITS: [&str; 6] = [
    "usr/sbin/init",
    "sbin/init",
    "usr/lib/systemd/systemd",
    "lib/systemd/systemd",
    "etc/init",
    "bin/init",
];

/// Symbolic links followed for one path before it counts as a loop (the kernel's `MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// A tree that was found usable.
#[derive(Clone, Debug)]
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// Opens a tree: a directory with an init.
    pub fn open(root: &Path) -> Result<Tree> {
        let refuse =
            |finding: &str, remedy: &str| Err(Error::input(root.display(), finding, remedy));
        let root_found = match fs::metadata(root) {
            Ok(meta) if meta.is_dir() => root
                .canonicalize()
                .map_err(Error::system("opening", root))?,
            Ok(_) => {
                return refuse(
                    "it is not a directory",
                    "TREE is the root directory of a distribution; unpack archives and images first",
                );
            }
            Err(cause) => {
                return refuse(
                    &format!("it cannot be opened: {cause}"),
                    "name the root directory of a distribution",
                );
            }
        };
        let tree = Tree { root: root_found };
        if !INITS
            .iter()
            .any(|init| tree.resolve(init).is_some_and(|file| file.is_file()))
        {
            return refuse(
                "it has no init (looked for /sbin/init, /usr/lib/systemd/systemd and the like)",
                "name the root directory of a distribution with an init system installed",
            );
        }
        Ok(tree)
    }

    /// The directory on the host.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a path of the tree lies on the host, all links followed within the tree; none
    /// when there is nothing.
    pub fn resolve(&self, path: &str) -> Option<PathBuf> {
        let mut todo: VecDeque<PathBuf> = parts(Path::new(path)).collect();
        let mut at = PathBuf::new();
        let mut links = 0;
        while let Some(part) = todo.pop_front() {
            if part.as_os_str() == ".." {
                at.pop();
                continue;
            }
            at.push(&part);
            let meta = fs::symlink_metadata(self.root.join(&at)).ok()?;
            if meta.is_symlink() {
                links += 1;
                if links > MAX_LINKS {
                    return None;
                }
                let target = fs::read_link(self.root.join(&at)).ok()?;
                at.pop();
                if target.is_absolute() {
                    at.clear();
                }
                for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
                    todo.push_front(part);
                }
            }
        }
        Some(self.root.join(at))
    }

    /// The bytes of a file; none when there is none.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        match self.resolve(path) {
            Some(file) if file.is_file() => fs::read(&file)
                .map(Some)
                .map_err(Error::system("reading", &file)),
            _ => Ok(None),
        }
    }

    /// The text of a file; none when there is none.
    pub fn read_text(&self, path: &str) -> Result<Option<String>> {
        Ok(self
            .read(path)?
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The names in a directory, sorted; empty when there is none.
    pub fn list(&self, path: &str) -> Result<Vec<String>> {
        let Some(dir) = self.resolve(path).filter(|dir| dir.is_dir()) else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        for entry in fs::read_dir(&dir).map_err(Error::system("listing", &dir))? {
            let entry = entry.map_err(Error::system("listing", &dir))?;
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    /// A value of the tree's os-release.
    pub fn os_release(&self, key: &str) -> Result<Option<String>> {
        let text = match self.read_text("etc/os-release")? {
            Some(text) => Some(text),
            None => self.read_text("usr/lib/os-release")?,
        };
        Ok(text.and_then(|text| os_release_value(&text, key)))
    }
}

/// A path's parts without root and dots.
fn parts(path: &Path) -> impl Iterator<Item = PathBuf> + '_ {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        _ => None,
    })
}

/// One value of os-release(5), without its quotes.
fn os_release_value(text: &str, key: &str) -> Option<String> {
    let value = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?;
    let value = value.trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn tree() -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("usr/sbin")).unwrap();
        fs::write(root.join("usr/sbin/init"), "x").unwrap();
        symlink("/usr/sbin", root.join("sbin")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("../../../../etc", root.join("up")).unwrap();
        let tree = Tree::open(root).unwrap();
        (dir, tree)
    }

    #[test]
    fn absolute_links_stay_within_the_tree() {
        let (_dir, tree) = tree();
        assert_eq!(
            tree.resolve("sbin/init"),
            Some(tree.root().join("usr/sbin/init"))
        );
        assert_eq!(tree.resolve("up/passwd"), None);
        assert_eq!(tree.resolve("loop"), None);
        assert_eq!(tree.resolve("/../usr"), Some(tree.root().join("usr")));
    }

    #[test]
    fn a_tree_without_init_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let text = Tree::open(dir.path()).unwrap_err().to_string();
        assert!(text.contains("no init"), "{text}");
    }

    #[test]
    fn os_release_values_lose_their_quotes() {
        let text = "NAME=\"Debian GNU/Linux\"\nID=debian\nEMPTY=\n";
        assert_eq!(
            os_release_value(text, "NAME").as_deref(),
            Some("Debian GNU/Linux")
        );
        assert_eq!(os_release_value(text, "ID").as_deref(), Some("debian"));
        assert_eq!(os_release_value(text, "EMPTY"), None);
    }
}
