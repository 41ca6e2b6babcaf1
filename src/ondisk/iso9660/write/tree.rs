//! The names of a volume as a tree: what is refused, what stands below what.

use super::Refusal;
use std::collections::BTreeMap;

/// The longest name that Linux takes (`NAME_MAX`).
const LONGEST: usize = 255;
/// Path tables number directories with 16 bits (ECMA-119 9.4.4).
const MOST_DIRECTORIES: usize = 65_535;
/// The longest target that Linux takes (`PATH_MAX` with its NUL; fs/isofs reads one page).
const LONGEST_TARGET: usize = 4095;

/// A file or a link to be listed; the directories above it come by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path from the root, without a slash before or behind it.
    pub path: Vec<u8>,
    /// What stands there.
    pub what: What,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// An empty directory, or one that others are in.
    Directory,
    /// A file.
    File {
        /// Bytes that it will have at most: room for its records is set aside for these.
        most: u64,
    },
    /// A symbolic link (Rock Ridge only).
    Symlink {
        /// Its target.
        target: Vec<u8>,
    },
}

/// A directory, file or link.
#[derive(Clone, Debug)]
pub struct Node {
    /// Place of its directory in the list; the root's is itself.
    pub parent: usize,
    /// Its name; the root's is empty.
    pub name: Vec<u8>,
    /// What it is, with the number of its entry.
    pub kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A file, and the number of its entry.
    File(usize),
    /// A link, and its target.
    Symlink(Vec<u8>),
}

impl Node {
    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory)
    }
}

/// All nodes, the root first and each directory before what is in it.
///
/// # Errors
/// Names that no path may have, a name that stands twice, too many directories.
pub fn nodes(entries: &[Entry]) -> Result<Vec<Node>, Refusal> {
    let mut nodes = vec![Node {
        parent: 0,
        name: Vec::new(),
        kind: Kind::Directory,
    }];
    let mut known: BTreeMap<(usize, &[u8]), usize> = BTreeMap::new();
    let mut directories = 1;
    for (number, entry) in entries.iter().enumerate() {
        let refuse = |why| Err(Refusal::Name(lossy(&entry.path), why));
        let mut at = 0;
        let mut parts = entry.path.split(|b| *b == b'/').peekable();
        while let Some(name) = parts.next() {
            if let Some(why) = fault(name) {
                return refuse(why);
            }
            let kind = match (parts.peek(), &entry.what) {
                (Some(_), _) | (None, What::Directory) => Kind::Directory,
                (None, What::File { .. }) => Kind::File(number),
                (None, What::Symlink { target }) => {
                    if target.is_empty() || target.len() > LONGEST_TARGET {
                        return refuse("its target is empty or longer than 4,095 bytes");
                    }
                    Kind::Symlink(target.clone())
                }
            };
            if let Some(&there) = known.get(&(at, name)) {
                if !matches!(kind, Kind::Directory) || !nodes[there].is_directory() {
                    return refuse("it stands twice, or below what is no directory");
                }
                at = there;
                continue;
            }
            directories += usize::from(matches!(kind, Kind::Directory));
            if directories > MOST_DIRECTORIES {
                return Err(Refusal::Directories);
            }
            known.insert((at, name), nodes.len());
            nodes.push(Node {
                parent: at,
                name: name.to_vec(),
                kind,
            });
            at = nodes.len() - 1;
        }
    }
    Ok(nodes)
}

/// Why a name can't be.
fn fault(name: &[u8]) -> Option<&'static str> {
    match name {
        b"" => Some("a part of it is empty"),
        b"." | b".." => Some("it has a part that is a dot or two"),
        _ if name.len() > LONGEST => Some("a part of it is longer than 255 bytes"),
        _ if name.contains(&0) => Some("it has a NUL"),
        _ => None,
    }
}

fn lossy(path: &[u8]) -> String {
    crate::units::shown(&String::from_utf8_lossy(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &[u8]) -> Entry {
        Entry {
            path: path.to_vec(),
            what: What::File { most: 1 },
        }
    }

    #[test]
    fn names_that_no_path_may_have_are_refused() {
        for bad in [
            &b""[..],
            b"/a",
            b"a/",
            b"a//b",
            b"..",
            b"a/../b",
            b"a\0b",
            &[b'x'; 256],
        ] {
            assert!(nodes(&[file(bad)]).is_err(), "{bad:?}");
        }
        for pair in [[&b"a"[..], b"a"], [b"a", b"a/b"], [b"a/b", b"a"]] {
            assert!(nodes(&pair.map(file)).is_err(), "{pair:?}");
        }
        assert_eq!(nodes(&[file(b"a/b/c"), file(b"a/d")]).unwrap().len(), 5);
    }

    #[test]
    fn more_directories_than_16_bits_count_are_refused() {
        let directory = |n: usize| Entry {
            path: format!("{n}").into_bytes(),
            what: What::Directory,
        };
        let mut entries: Vec<Entry> = (1..MOST_DIRECTORIES).map(directory).collect();
        assert_eq!(nodes(&entries).unwrap().len(), MOST_DIRECTORIES);
        entries.push(directory(0));
        assert_eq!(nodes(&entries).unwrap_err(), Refusal::Directories);
    }
}
