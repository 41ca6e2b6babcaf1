//! Looking things up in a listing as the booted system will: links are followed within it.

use super::{Kind, Listing, Name, compare, join};
use std::collections::VecDeque;

/// Symbolic links followed for one path before it counts as a loop (the kernel's `MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

impl Listing {
    /// The place in [`Listing::names`] of a path, links not followed.
    pub fn find(&self, path: &[u8]) -> Option<usize> {
        self.names
            .binary_search_by(|name| compare(&name.path, path))
            .ok()
    }

    /// The name to which a path leads, all links followed; none when there is nothing.
    pub fn resolve(&self, path: &[u8]) -> Option<&Name> {
        let mut todo: VecDeque<&[u8]> = parts(path).collect();
        let mut at = Vec::new();
        let mut links = 0;
        while let Some(part) = todo.pop_front() {
            if part == b".." {
                let slash = at.iter().rposition(|byte| *byte == b'/');
                at.truncate(slash.unwrap_or(0));
                continue;
            }
            let next = join(&at, part);
            let name = &self.names[self.find(&next)?];
            match &self.inodes[name.inode].kind {
                Kind::Symlink { target } => {
                    links += 1;
                    if links > MAX_LINKS {
                        return None;
                    }
                    if target.starts_with(b"/") {
                        at.clear();
                    }
                    for part in parts(target).rev() {
                        todo.push_front(part);
                    }
                }
                _ => at = next,
            }
        }
        self.names.get(self.find(&at)?)
    }

    /// The names in a directory, without what is in theirs.
    pub fn children<'a>(&'a self, dir: &'a Name) -> impl Iterator<Item = &'a Name> {
        let first = self.find(&dir.path).map_or(self.names.len(), |n| n + 1);
        let inner = move |name: &'a Name| match dir.path.is_empty() {
            true => Some(&name.path[..]),
            false => name.path.strip_prefix(&dir.path[..])?.strip_prefix(b"/"),
        };
        self.names[first..]
            .iter()
            .map_while(move |name| Some((name, inner(name)?)))
            .filter(|(_, inner)| !inner.contains(&b'/'))
            .map(|(name, _)| name)
    }
}

impl Name {
    /// The last part of the path.
    pub fn base(&self) -> &[u8] {
        let slash = self.path.iter().rposition(|byte| *byte == b'/');
        &self.path[slash.map_or(0, |slash| slash + 1)..]
    }
}

/// A path's parts without those that say nothing.
fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
}
