//! A directory of the host as the input.
//!
//! Owners, modes, times, hard links and extended attributes are the files' own; attributes
//! that a squashfs cannot hold (POSIX access lists) are left out, with a warning. Those of
//! `trusted.` show themselves to root alone (xattr(7)), so root and others may get different
//! listings of a tree that has them.

use super::assemble::{assemble, first_names};
use super::steady::{Stamp, Steady, changed};
use super::walk::{on_host, open_below, walk};
use super::{Contents, Kind, Listing, Owners, Source};
use crate::builder::{Error, Result, Watch};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::path::{Path, PathBuf};

/// A directory that was listed, and is read as it was then.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
    fd: OwnedFd,
    listing: Listing,
    /// For each inode.
    stamps: Vec<Stamp>,
    /// For each inode its first name.
    names: Vec<usize>,
    unreadable: Vec<usize>,
}

impl Directory {
    /// Lists a directory. What is mounted in it is refused; what cannot be read is noted
    /// ([`Source::unreadable`]).
    pub fn read(root: &Path, owners: Owners, watch: &dyn Watch) -> Result<Directory> {
        let root = root
            .canonicalize()
            .map_err(Error::system("opening", root))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&root, flags, Mode::empty())
            .map_err(|errno| Error::system("opening", &root)(errno.into()))?;
        let found = walk(&root, &fd, owners, watch)?;
        let (listing, order) = assemble(found.names, found.inodes);
        let mut places = vec![0; order.len()];
        for (place, draft) in order.iter().enumerate() {
            places[*draft] = place;
        }
        let mut unreadable: Vec<usize> = found.unreadable.iter().map(|n| places[*n]).collect();
        unreadable.sort_unstable();
        Ok(Directory {
            root,
            fd,
            names: first_names(&listing),
            listing,
            stamps: order.iter().map(|draft| found.stamps[*draft]).collect(),
            unreadable,
        })
    }

    /// Its place on the host, all links resolved.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, inode: usize) -> &[u8] {
        &self.listing.names[self.names[inode]].path
    }
}

impl Source for Directory {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn open(&self, inode: usize) -> Result<Box<dyn Contents + '_>> {
        let path = self.path(inode);
        let host = on_host(&self.root, path);
        let Kind::File { size } = self.listing.inodes[inode].kind else {
            return Ok(Box::new(std::io::empty()));
        };
        let fd = match open_below(self.fd.as_fd(), path, OFlags::RDONLY) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => {
                return Err(changed(&host));
            }
            Err(errno) => return Err(Error::system("opening", &host)(errno.into())),
        };
        let steady = Steady::new(File::from(fd), host, self.stamps[inode], size)?;
        Ok(Box::new(steady))
    }

    fn describe(&self, inode: usize) -> String {
        on_host(&self.root, self.path(inode)).display().to_string()
    }

    fn unreadable(&self) -> &[usize] {
        &self.unreadable
    }
}

#[cfg(test)]
mod tests {
    use super::super::read_error;
    use super::*;
    use crate::builder::watch::Silent;
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn read(root: &Path) -> Directory {
        Directory::read(root, Owners::Kept, &Silent).unwrap()
    }

    fn inode(source: &Directory, path: &str) -> usize {
        let mut names = source.listing.names.iter();
        names.find(|n| n.path == path.as_bytes()).unwrap().inode
    }

    #[test]
    fn names_are_sorted_and_hard_links_share_an_inode() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        fs::create_dir_all(at("b/c")).unwrap();
        fs::write(at("b/c/file"), "four").unwrap();
        fs::set_permissions(at("b/c/file"), fs::Permissions::from_mode(0o4711)).unwrap();
        fs::hard_link(at("b/c/file"), at("b-link")).unwrap();
        symlink("b/c", at("a")).unwrap();
        let source = read(dir.path());
        let listing = source.listing();
        let names: Vec<_> = listing.names.iter().map(|n| n.path.as_slice()).collect();
        let want: [&[u8]; 6] = [b"", b"a", b"b", b"b/c", b"b/c/file", b"b-link"];
        assert_eq!(names, want);
        let inodes: Vec<_> = listing.names.iter().map(|n| n.inode).collect();
        assert_eq!(inodes, [0, 1, 2, 3, 4, 4]);
        assert_eq!(listing.inodes[4].kind, Kind::File { size: 4 });
        assert_eq!(listing.inodes[4].mode, 0o4711);
        let target = b"b/c".to_vec();
        assert_eq!(listing.inodes[1].kind, Kind::Symlink { target });
        let mut text = String::new();
        source.open(4).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "four");
    }

    #[test]
    fn a_tree_deeper_than_a_path_may_be_long_is_read_with_few_descriptors() {
        let dir = tempfile::tempdir().unwrap();
        let name = "d".repeat(200);
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut at = rustix::fs::open(dir.path(), flags, Mode::empty()).unwrap();
        for _ in 0..60 {
            rustix::fs::mkdirat(&at, name.as_str(), Mode::RWXU).unwrap();
            at = rustix::fs::openat(&at, name.as_str(), flags, Mode::empty()).unwrap();
        }
        let flags = OFlags::CREATE | OFlags::WRONLY;
        let file = rustix::fs::openat(&at, "file", flags, Mode::RUSR).unwrap();
        rustix::io::write(&file, b"deep").unwrap();
        drop((file, at));
        let source = read(dir.path());
        assert_eq!(source.listing.names.len(), 62);
        let mut text = String::new();
        source.open(61).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "deep");
    }

    #[test]
    fn a_file_that_changes_is_named_whatever_the_change() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        let changes: [&dyn Fn(); 5] = [
            &|| fs::write(&file, "longer than it was").unwrap(),
            &|| fs::write(&file, "x").unwrap(),
            &|| fs::write(&file, "FOUR").unwrap(),
            &|| fs::remove_file(&file).unwrap(),
            &|| {
                fs::remove_file(&file).unwrap();
                symlink("/etc/hostname", &file).unwrap();
            },
        ];
        for (n, change) in changes.into_iter().enumerate() {
            let _ = fs::remove_file(&file);
            fs::write(&file, "four").unwrap();
            let source = read(dir.path());
            // The kernel's clock for files is coarse.
            std::thread::park_timeout(std::time::Duration::from_millis(20));
            change();
            let text = match source.open(1) {
                Ok(_) => panic!("change {n} was not noticed"),
                Err(error) => error.to_string(),
            };
            assert!(text.contains("/file: it changed"), "{text}");
        }
    }

    #[test]
    fn a_change_behind_what_was_read_is_noticed_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "four").unwrap();
        let source = read(dir.path());
        let mut reader = source.open(1).unwrap();
        let mut part = [0; 2];
        reader.read_exact(&mut part).unwrap();
        std::thread::park_timeout(std::time::Duration::from_millis(20));
        fs::write(&file, "foul").unwrap();
        let cause = reader.read_exact(&mut part).unwrap_err();
        let text = read_error(&source, 1, cause).to_string();
        assert!(text.contains("/file: it changed"), "{text}");
    }

    #[test]
    fn a_socket_and_a_pipe_are_listed_and_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let socket = std::os::unix::net::UnixListener::bind(dir.path().join("s")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, dir.path().join("p"), Mode::RUSR).unwrap();
        let source = read(dir.path());
        let kind = |path: &str| &source.listing.inodes[inode(&source, path)].kind;
        assert_eq!((kind("s"), kind("p")), (&Kind::Socket, &Kind::Fifo));
        drop(socket);
    }

    #[test]
    fn holes_are_gone_over_in_whole_units() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let file = fs::File::create(&path).unwrap();
        let unit = 64 << 10;
        std::os::unix::fs::FileExt::write_all_at(&file, b"x", 5 * unit + unit / 2).unwrap();
        file.set_len(1 << 40).unwrap();
        let source = read(dir.path());
        let mut reader = source.open(1).unwrap();
        assert_eq!(reader.skip_hole(unit).unwrap(), 5 * unit);
        let mut block = vec![1; unit as usize];
        reader.read_exact(&mut block).unwrap();
        let at = block.iter().position(|byte| *byte != 0);
        assert_eq!(
            (at, block[unit as usize / 2]),
            (Some(unit as usize / 2), b'x')
        );
        assert_eq!(reader.skip_hole(unit).unwrap(), (1 << 40) - 6 * unit);
        assert_eq!(reader.read(&mut block).unwrap(), 0);
    }
}
