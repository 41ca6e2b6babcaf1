//! Who takes the room: stored contents by directory, for a budget.

use super::super::source::{Kind, Listing};
use super::data::Stored;
use super::plan::Plan;
use crate::units::Bytes;
use std::collections::BTreeMap;

/// What a directory's files take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Path from the root, of one or two names; empty for the root, which has all.
    pub path: Vec<u8>,
    /// Stored bytes of all files in and below it. Of a block that files share each takes as
    /// much as it has bytes in it; contents that are stored once count where they are first.
    pub stored: Bytes,
}

/// Shares of the root and of directories of the first and second level, sorted by path.
pub fn shares(listing: &Listing, plan: &Plan, stored: &Stored) -> Vec<Share> {
    let mut shares: BTreeMap<&[u8], u64> = BTreeMap::new();
    let mut is_counted = vec![false; plan.links.len()];
    for name in &listing.names {
        let bytes = match listing.inodes[name.inode].kind {
            Kind::Directory => 0,
            _ if std::mem::replace(&mut is_counted[name.inode], true) => continue,
            Kind::File { size } => stored_bytes(stored, name.inode, size),
            _ => continue,
        };
        let is_directory = listing.inodes[name.inode].kind == Kind::Directory;
        for path in above(&name.path, is_directory) {
            *shares.entry(path).or_default() += bytes;
        }
    }
    let shares = shares.into_iter().map(|(path, stored)| Share {
        path: path.to_vec(),
        stored: Bytes(stored),
    });
    shares.collect()
}

/// The root, and directories of two levels that a path is or is in.
fn above(path: &[u8], is_directory: bool) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let ends = slashes.map(|(at, _)| at);
    let own = (is_directory && !path.is_empty()).then_some(path.len());
    let ends = ends.chain(own).take(2);
    std::iter::once(0).chain(ends).map(|end| &path[..end])
}

fn stored_bytes(stored: &Stored, inode: usize, size: u64) -> u64 {
    let contents = stored.contents(inode);
    if contents.is_duplicate {
        return 0;
    }
    let fragment = contents.fragment.map_or(0, |(block, _)| {
        let (packed, unpacked) = stored.fragments[block as usize].length;
        size * u64::from(packed) / u64::from(unpacked.max(1))
    });
    stored.own_bytes(inode) + fragment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_counts_for_the_root_and_two_levels_of_directories() {
        let paths = |path: &'static [u8], is_directory| -> Vec<&[u8]> {
            above(path, is_directory).collect()
        };
        assert_eq!(paths(b"", true), [b""]);
        assert_eq!(paths(b"usr", true), [&b""[..], b"usr"]);
        assert_eq!(paths(b"file", false), [b""]);
        assert_eq!(paths(b"usr/file", false), [&b""[..], b"usr"]);
        assert_eq!(paths(b"usr/a/b/c", true), [&b""[..], b"usr", b"usr/a"]);
    }
}
