//! A source without some of its files.

use super::assemble::assemble;
use super::{Contents, Listing, Source};
use crate::builder::Result;

/// What is left of a source.
#[derive(Debug)]
pub struct Filtered<S> {
    inner: S,
    listing: Listing,
    /// For each inode its place in the inner source.
    inner_inode: Vec<usize>,
    unreadable: Vec<usize>,
}

impl<S: Source> Filtered<S> {
    /// Takes away the names for which `is_out` is true, and all below them. A file stays as
    /// long as it has a name; the root always stays.
    pub fn without(inner: S, is_out: impl Fn(&[u8]) -> bool) -> Filtered<S> {
        let all = inner.listing();
        let mut names = Vec::new();
        let mut gone: Option<&[u8]> = None;
        for name in &all.names {
            let path = name.path.as_slice();
            // What is in a directory stands right behind it.
            if gone.is_some_and(|dir| is_below(path, dir)) {
                continue;
            }
            match !path.is_empty() && is_out(path) {
                true => gone = Some(path),
                false => names.push((path.to_vec(), name.inode)),
            }
        }
        let (listing, inner_inode) = assemble(names, all.inodes.clone());
        let mut unreadable = Vec::new();
        for (place, inode) in inner_inode.iter().enumerate() {
            if inner.unreadable().binary_search(inode).is_ok() {
                unreadable.push(place);
            }
        }
        Filtered {
            inner,
            listing,
            inner_inode,
            unreadable,
        }
    }
}

fn is_below(path: &[u8], dir: &[u8]) -> bool {
    path.strip_prefix(dir)
        .is_some_and(|rest| rest.starts_with(b"/"))
}

impl<S: Source> Source for Filtered<S> {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn open(&self, inode: usize) -> Result<Box<dyn Contents + '_>> {
        self.inner.open(self.inner_inode[inode])
    }

    fn describe(&self, inode: usize) -> String {
        self.inner.describe(self.inner_inode[inode])
    }

    fn unreadable(&self) -> &[usize] {
        &self.unreadable
    }
}
