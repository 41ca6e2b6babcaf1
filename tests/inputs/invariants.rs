//! What holds for any bytes taken for a tar archive: an answer, soon, and a listing that
//! whoever writes an image can rely on. Used by the tests and by `fuzz/targets/tar.rs`.

use liveroot::builder::source::tar::tree::{Held, Tree};
use liveroot::builder::source::{Kind, Listing, NAME_MAX, Owners, compare};
use liveroot::ondisk::tar::{Entries, Malformed};
use liveroot::ondisk::{ByteSource, ReadError};
use std::cmp::Ordering;

/// Bytes as an archive: a slice itself has no length that a trait object could keep.
pub struct Bytes<'a>(pub &'a [u8]);

impl ByteSource for Bytes<'_> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        assert!(offset <= self.len() || !buf.is_empty());
        self.0.read_at(offset, buf)
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

/// The listing of an archive.
pub fn list(bytes: &[u8]) -> Result<(Listing, Vec<Held>), Malformed> {
    let source = Bytes(bytes);
    let mut tree = Tree::new(Owners::Kept);
    for (n, entry) in Entries::new(&source).enumerate() {
        assert!(n <= bytes.len() / 512, "more entries than blocks");
        tree.add(entry?)?;
    }
    tree.finish()
}

/// Checks them; whether the archive was taken.
pub fn check(bytes: &[u8]) -> bool {
    let (listing, held) = match list(bytes) {
        Ok(found) => found,
        Err(wrong) => {
            assert!(
                wrong.at <= bytes.len() as u64 + 512,
                "an offset far behind the end"
            );
            assert!(!wrong.why.to_string().is_empty());
            return false;
        }
    };
    check_names(&listing);
    assert_eq!(held.len(), listing.inodes.len());
    for (inode, held) in listing.inodes.iter().zip(&held) {
        assert!(inode.mode <= 0o7777);
        assert!(
            inode
                .xattrs
                .windows(2)
                .all(|pair| pair[0].name < pair[1].name)
        );
        let size = match inode.kind {
            Kind::File { size } => size,
            _ => 0,
        };
        let mut end = 0;
        for piece in &held.pieces {
            assert!(piece.offset >= end, "pieces overlap");
            end = piece.offset + piece.length;
            assert!(
                piece.at + piece.length <= bytes.len() as u64,
                "a piece lies outside"
            );
        }
        assert!(end <= size, "a piece behind the file's end");
    }
    true
}

fn check_names(listing: &Listing) {
    assert!(listing.names[0].path.is_empty());
    let mut seen = 0;
    for (n, name) in listing.names.iter().enumerate() {
        assert!(
            name.inode <= seen,
            "inodes are not in the order of their names"
        );
        seen = seen.max(name.inode + 1);
        if n == 0 {
            continue;
        }
        let path = &name.path;
        assert_eq!(compare(&listing.names[n - 1].path, path), Ordering::Less);
        let mut parts = path.split(|byte| *byte == b'/');
        let is_name = |part: &[u8]| {
            let special = part.is_empty() || part == b"." || part == b"..";
            !special && part.len() <= NAME_MAX && !part.contains(&0)
        };
        assert!(parts.all(is_name), "a name that is none");
        let slash = path.iter().rposition(|byte| *byte == b'/');
        let parent = listing.find(&path[..slash.unwrap_or(0)]).expect("a parent");
        let parent = &listing.inodes[listing.names[parent].inode];
        assert_eq!(
            parent.kind,
            Kind::Directory,
            "a parent that is no directory"
        );
    }
    assert_eq!(seen, listing.inodes.len(), "an inode without a name");
    let mut names = vec![0; listing.inodes.len()];
    listing.names.iter().for_each(|name| names[name.inode] += 1);
    for (inode, names) in listing.inodes.iter().zip(names) {
        assert!(
            names == 1 || inode.kind != Kind::Directory,
            "a directory with two names"
        );
    }
}
