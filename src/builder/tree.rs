//! The root directory of a distribution, read as the booted system will see it: links are
//! followed within it, never out of it onto the host. It is a directory of the host or a tar
//! archive; whoever asks here need not know which.

use super::source::dir::Directory;
use super::source::filter::Filtered;
use super::source::tar::Tar;
use super::source::{Kind, Owners, Source, read_error, shown};
use super::{Error, Result, Watch, left_out};
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

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

/// The largest file that is read as a whole, in bytes; a bound against archives that lie.
const MAX_READ: u64 = 1 << 30;

/// A tree that was found usable, without what is left out of it.
pub struct Tree {
    source: Box<dyn Source + Send>,
    /// How messages name it.
    name: String,
    host_root: Option<PathBuf>,
    left_out: BTreeSet<Vec<u8>>,
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tree").field("name", &self.name).finish()
    }
}

impl Tree {
    /// Opens a tree: a directory, or a tar archive (`-` is standard input), with an init. What
    /// must be unpacked goes into `scratch`.
    pub fn open(path: &Path, owners: Owners, scratch: &Path, watch: &dyn Watch) -> Result<Tree> {
        let is_directory = match fs::metadata(path) {
            _ if path == Path::new("-") => false,
            Ok(meta) => meta.is_dir(),
            Err(cause) => {
                return Err(Error::input(
                    path.display(),
                    format!("it cannot be opened: {cause}"),
                    "name the root directory of a distribution, or a tar archive of one",
                ));
            }
        };
        if is_directory {
            let directory = Directory::read(path, owners, watch)?;
            let root = directory.root().to_owned();
            Tree::of(Box::new(directory), path.display().to_string(), Some(root))
        } else {
            let tar = Tar::read(path, owners, scratch, watch)?;
            let name = tar.name().to_owned();
            Tree::of(Box::new(tar), name, None)
        }
    }

    fn of(
        source: Box<dyn Source + Send>,
        name: String,
        host_root: Option<PathBuf>,
    ) -> Result<Tree> {
        let left_out = left_out::left_out(source.listing());
        let filtered = Filtered::without(source, |path| left_out.contains(path));
        let tree = Tree {
            source: Box::new(filtered),
            name,
            host_root,
            left_out,
        };
        if !INITS.iter().any(|init| tree.file(init).is_some()) {
            return Err(Error::input(
                &tree.name,
                "it has no init (looked for /sbin/init, /usr/lib/systemd/systemd and the like)",
                "name the root directory of a distribution with an init system installed, or a tar archive of one",
            ));
        }
        Ok(tree)
    }

    /// All that goes into the image.
    pub fn source(&self) -> &dyn Source {
        &*self.source
    }

    /// The directory on the host, all links resolved; none for an archive.
    pub fn host_root(&self) -> Option<&Path> {
        self.host_root.as_deref()
    }

    /// Paths that are in the input and not in [`Tree::source`].
    pub fn left_out(&self) -> impl Iterator<Item = &[u8]> {
        self.left_out.iter().map(Vec::as_slice)
    }

    /// How messages name the tree.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How messages name a path of it, whether or not it is there.
    pub fn describe(&self, path: &str) -> String {
        match &self.host_root {
            Some(root) => root.join(path).display().to_string(),
            None => format!("{}: {}", self.name, shown(path.as_bytes())),
        }
    }

    /// The inode to which a path leads, all links followed within the tree; none when there
    /// is nothing.
    pub fn resolve(&self, path: &str) -> Option<usize> {
        let name = self.source.listing().resolve(path.as_bytes())?;
        Some(name.inode)
    }

    /// The same, if it is a regular file.
    pub fn file(&self, path: &str) -> Option<usize> {
        self.resolve(path)
            .filter(|inode| matches!(self.kind(*inode), Kind::File { .. }))
    }

    /// Whether a path leads to a directory.
    pub fn is_dir(&self, path: &str) -> bool {
        let inode = self.resolve(path);
        inode.is_some_and(|inode| *self.kind(inode) == Kind::Directory)
    }

    fn kind(&self, inode: usize) -> &Kind {
        &self.source.listing().inodes[inode].kind
    }

    /// The bytes of a file; none when there is none.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        match self.file(path) {
            Some(inode) => self.read_inode(inode).map(Some),
            None => Ok(None),
        }
    }

    /// The bytes of a regular file.
    pub fn read_inode(&self, inode: usize) -> Result<Vec<u8>> {
        match self.kind(inode) {
            Kind::File { size } if *size > MAX_READ => Err(Error::input(
                self.source.describe(inode),
                format!("it has {size} bytes, which it cannot need"),
                "put the right file in its place",
            )),
            _ => self.read_head(inode, MAX_READ),
        }
    }

    /// The first bytes of a regular file, as many as there are up to `length`.
    pub fn read_head(&self, inode: usize, length: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self
            .source
            .open(inode)?
            .take(length)
            .read_to_end(&mut bytes);
        read.map_err(|cause| read_error(self.source(), inode, cause))?;
        Ok(bytes)
    }

    /// The text of a file; none when there is none.
    pub fn read_text(&self, path: &str) -> Result<Option<String>> {
        Ok(self
            .read(path)?
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The names in a directory, sorted; empty when there is none.
    pub fn list(&self, path: &str) -> Vec<String> {
        let listing = self.source.listing();
        let Some(dir) = listing.resolve(path.as_bytes()) else {
            return Vec::new();
        };
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        listing
            .children(dir)
            .map(|name| text(name.base()))
            .collect()
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

/// One value of os-release(5), without its quotes.
fn os_release_value(text: &str, key: &str) -> Option<String> {
    let value = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?;
    let value = value.trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then(|| value.to_owned())
}

#[cfg(test)]
impl Tree {
    /// A directory of a test.
    pub fn of_directory(root: &Path) -> Result<Tree> {
        Tree::open(root, Owners::Kept, root, &super::watch::Silent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn tree() -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("usr/sbin")).unwrap();
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        fs::write(root.join("usr/sbin/init"), "x").unwrap();
        fs::write(root.join("usr/lib/os-release"), "ID=x\n").unwrap();
        symlink("/usr/sbin", root.join("sbin")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("../../../../etc", root.join("up")).unwrap();
        let tree = Tree::of_directory(root).unwrap();
        (dir, tree)
    }

    #[test]
    fn absolute_links_stay_within_the_tree() {
        let (_dir, tree) = tree();
        let init = tree.resolve("usr/sbin/init");
        assert!(init.is_some());
        assert_eq!(tree.resolve("sbin/init"), init);
        assert_eq!(tree.resolve("up/passwd"), None);
        assert_eq!(tree.resolve("loop"), None);
        assert_eq!(tree.resolve("/../usr"), tree.resolve("usr"));
        assert_eq!(tree.resolve("."), Some(0));
    }

    #[test]
    fn a_directory_lists_its_own_names_alone() {
        let (_dir, tree) = tree();
        assert_eq!(tree.list(""), ["loop", "sbin", "up", "usr"]);
        assert_eq!(tree.list("usr"), ["lib", "sbin"]);
        assert_eq!(tree.list("sbin"), ["init"]);
        assert!(tree.list("none").is_empty() && tree.list("sbin/init").is_empty());
    }

    #[test]
    fn a_tar_is_looked_through_like_the_directory() {
        let (dir, tree) = tree();
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut command = std::process::Command::new("tar");
        command
            .arg("-cf")
            .arg(file.path())
            .arg("-C")
            .arg(dir.path());
        assert!(command.arg(".").status().unwrap().success());
        let scratch = tempfile::tempdir().unwrap();
        let silent = &super::super::watch::Silent;
        let tar = Tree::open(file.path(), Owners::Kept, scratch.path(), silent).unwrap();
        assert_eq!(tar.source().listing(), tree.source().listing());
        assert_eq!(tar.read("sbin/init").unwrap().unwrap(), b"x");
        assert_eq!(tar.os_release("ID").unwrap().as_deref(), Some("x"));
        assert_eq!(tar.host_root(), None);
        assert!(tar.describe("boot/x").ends_with(": boot/x"));
    }

    #[test]
    fn a_tree_without_init_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let text = Tree::of_directory(dir.path()).unwrap_err().to_string();
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
