//! From the entries of an archive to a tree: names are judged, links find their files, and
//! directories that are only implied are made.

use super::super::assemble::{Names, assemble};
use super::super::xattr::{self, is_stored};
use super::super::{Device, Inode, Kind, Listing, NAME_MAX, Owners, Xattr};
use crate::ondisk::tar::{Entry, EntryKind, Malformed, Piece, Why};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Device numbers of Linux (`include/linux/kdev_t.h`): 12 and 20 bits.
const MAJOR_MAX: u64 = 0xfff;
const MINOR_MAX: u64 = 0xf_ffff;
/// The largest id; the one above it means "none" to chown(2).
const ID_MAX: u64 = u32::MAX as u64 - 1;
/// The longest target of a symbolic link in bytes (`PATH_MAX` without its NUL).
const TARGET_MAX: usize = 4095;
/// The names of implied directories in bytes, all together: an archive of a few long paths
/// must not fill the memory.
const IMPLIED_MAX: usize = 256 << 20;

/// What an archive holds of an inode.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// Where the entry stands; none for an implied directory.
    pub at: Option<u64>,
    /// Of a file.
    pub pieces: Vec<Piece>,
}

/// A tree in the making.
#[derive(Debug)]
pub struct Tree {
    owners: Owners,
    /// Every name that was met, and its inode as it stood last.
    names: HashMap<Vec<u8>, usize>,
    inodes: Vec<Inode>,
    held: Vec<Held>,
    /// Hard links whose file is yet to come; none of them is in `names`.
    links: BTreeMap<Vec<u8>, Link>,
    /// Files that have attributes which squashfs cannot hold.
    pub unstored: u64,
}

#[derive(Debug)]
struct Link {
    at: u64,
    target: Vec<u8>,
}

type Result<T> = std::result::Result<T, Malformed>;

fn refuse<T>(at: u64, path: &[u8], text: impl Into<String>) -> Result<T> {
    // What is shown on a terminal has an end.
    let end = path.len().min(300);
    Err(Malformed {
        at,
        path: Some(path[..end].to_vec()),
        why: Why::Says(text.into()),
    })
}

impl Tree {
    /// An empty tree.
    pub fn new(owners: Owners) -> Tree {
        Tree {
            owners,
            names: HashMap::new(),
            inodes: Vec::new(),
            held: Vec::new(),
            links: BTreeMap::new(),
            unstored: 0,
        }
    }

    /// Adds what an entry says. A name that stands again (`tar -r` and `-u` append newer
    /// versions) is what it was last, as when the archive is extracted.
    pub fn add(&mut self, entry: Entry) -> Result<()> {
        let path = clean(&entry.path).or_else(|why| refuse(entry.at, &entry.path, why))?;
        let is_directory = entry.kind == EntryKind::Directory;
        if path.is_empty() && !is_directory {
            return refuse(entry.at, &entry.path, "the root is no directory");
        }
        if let EntryKind::HardLink { target } = &entry.kind {
            let target = clean(target).or_else(|why| {
                refuse(entry.at, &path, format!("its target cannot be used: {why}"))
            })?;
            return self.link(
                path,
                Link {
                    at: entry.at,
                    target,
                },
            );
        }
        let (inode, held) = self.inode(entry, &path)?;
        let earlier = self.names.get(&path).copied();
        match earlier.filter(|n| self.inodes[*n].kind == Kind::Directory) {
            // What is in it stays.
            Some(place) if is_directory => {
                self.inodes[place] = inode;
                self.held[place] = held;
            }
            _ => {
                self.links.remove(&path);
                self.names.insert(path, self.inodes.len());
                self.inodes.push(inode);
                self.held.push(held);
            }
        }
        Ok(())
    }

    /// A hard link is another name of what its target is now, whatever has that name later.
    /// One whose target is yet to come waits.
    fn link(&mut self, path: Vec<u8>, link: Link) -> Result<()> {
        let target = self.names.get(&link.target).copied();
        match target {
            Some(inode) => {
                self.check_target(inode, &path, &link)?;
                self.links.remove(&path);
                self.names.insert(path, inode);
            }
            None => {
                self.names.remove(&path);
                self.links.insert(path, link);
            }
        }
        Ok(())
    }

    fn check_target(&self, inode: usize, path: &[u8], link: &Link) -> Result<()> {
        match self.inodes[inode].kind {
            Kind::Directory => {
                let shown = super::shown(&link.target);
                let text = format!("it is a hard link to a directory, {shown}");
                refuse(link.at, path, text)
            }
            _ => Ok(()),
        }
    }

    fn inode(&mut self, entry: Entry, path: &[u8]) -> Result<(Inode, Held)> {
        let at = entry.at;
        let id = |what: &str, id: u64| match id {
            0..=ID_MAX => Ok(id as u32),
            _ => refuse(
                at,
                path,
                format!("its {what}, {id}, is out of range (at most {ID_MAX})"),
            ),
        };
        let (mut uid, mut gid) = (id("owner", entry.uid)?, id("group", entry.gid)?);
        if self.owners == Owners::Root {
            (uid, gid) = (0, 0);
        }
        let xattrs = self.attributes(entry.xattrs, entry.acls, at, path)?;
        let mut held = Held {
            at: Some(at),
            pieces: Vec::new(),
        };
        let mut mode = entry.mode;
        let kind = match entry.kind {
            EntryKind::File { size, pieces } => {
                held.pieces = pieces;
                Kind::File { size }
            }
            EntryKind::Directory => Kind::Directory,
            EntryKind::Symlink { target } => {
                if target.is_empty() || target.len() > TARGET_MAX {
                    let text = format!("it points to a path of {} bytes", target.len());
                    return refuse(at, path, text);
                }
                // Linux knows no other; some programs write what others have.
                mode = 0o777;
                Kind::Symlink { target }
            }
            EntryKind::Char(major, minor) => Kind::Char(device(major, minor, at, path)?),
            EntryKind::Block(major, minor) => Kind::Block(device(major, minor, at, path)?),
            EntryKind::Fifo => Kind::Fifo,
            EntryKind::HardLink { .. } => return refuse(at, path, "it is a link"),
        };
        let mtime = entry.mtime;
        let inode = Inode {
            kind,
            mode,
            uid,
            gid,
            mtime,
            xattrs,
        };
        Ok((inode, held))
    }

    /// Sorted, each name as it stood last, without those that squashfs cannot hold.
    fn attributes(
        &mut self,
        all: Vec<(Vec<u8>, Vec<u8>)>,
        acls: usize,
        at: u64,
        path: &[u8],
    ) -> Result<Vec<Xattr>> {
        let mut unstored = acls > 0;
        let mut found = BTreeMap::new();
        for (name, value) in all {
            if !is_stored(&name) {
                unstored = true;
            } else if name.len() > NAME_MAX || name.contains(&0) || value.len() > xattr::MAX {
                return refuse(
                    at,
                    path,
                    format!(
                        "it has an attribute that Linux cannot have: a name of {} bytes, a value of {}",
                        name.len(),
                        value.len()
                    ),
                );
            } else {
                found.insert(name, value);
            }
        }
        self.unstored += u64::from(unstored);
        let found = found.into_iter();
        Ok(found.map(|(name, value)| Xattr { name, value }).collect())
    }

    /// The listing, and for each of its inodes what the archive holds.
    pub fn finish(mut self) -> Result<(Listing, Vec<Held>)> {
        self.resolve_links()?;
        self.imply_directories()?;
        let names: Names = self.names.into_iter().collect();
        let (listing, order) = assemble(names, self.inodes);
        let mut held: Vec<Held> = self.held;
        let held = order.iter().map(|n| std::mem::take(&mut held[*n]));
        let held = held.collect();
        Ok((listing, held))
    }

    /// Each hard link that waits becomes a name of its file, which may be a link itself. No
    /// link is followed twice: its file is noted for all that led to it.
    fn resolve_links(&mut self) -> Result<()> {
        let links = std::mem::take(&mut self.links);
        for (first, link) in &links {
            let mut chain = Vec::new();
            let (mut path, mut link) = (first, link);
            let inode = loop {
                if let Some(inode) = self.names.get(path) {
                    break *inode;
                }
                // More steps than links: they go round, and this is the last look.
                if chain.len() == links.len() {
                    let shown = super::shown(&link.target);
                    let text = format!("it is a hard link to {shown}, which leads back to it");
                    return refuse(link.at, path, text);
                }
                chain.push(path);
                if let Some(inode) = self.names.get(&link.target) {
                    self.check_target(*inode, path, link)?;
                    break *inode;
                }
                let Some((target, next)) = links.get_key_value(&link.target) else {
                    let shown = super::shown(&link.target);
                    return refuse(
                        link.at,
                        path,
                        format!("it is a hard link to {shown}, which the archive does not have"),
                    );
                };
                (path, link) = (target, next);
            };
            for path in chain {
                self.names.insert(path.clone(), inode);
            }
        }
        Ok(())
    }

    /// What stands above a name is a directory, if need be one of root's with 0755.
    fn imply_directories(&mut self) -> Result<()> {
        let mut missing = BTreeSet::new();
        let mut length = 0;
        // In order, so that of several mistakes the same is named each time.
        let mut names: Vec<(&Vec<u8>, &usize)> = self.names.iter().collect();
        names.sort_unstable();
        for (path, inode) in names {
            let mut above = parent(path);
            while let Some(dir) = above {
                match self.names.get(dir) {
                    Some(n) if self.inodes[*n].kind == Kind::Directory => break,
                    Some(n) => {
                        let at = self.held[*inode].at.or(self.held[*n].at);
                        return refuse(
                            at.unwrap_or(0),
                            path,
                            format!("{}, above it, is no directory", super::shown(dir)),
                        );
                    }
                    None if missing.contains(dir) => break,
                    None => {}
                }
                length += dir.len();
                if length > IMPLIED_MAX {
                    let at = self.held[*inode].at.unwrap_or(0);
                    return refuse(at, path, "too many directories above it are missing");
                }
                missing.insert(dir.to_vec());
                above = parent(dir);
            }
        }
        if !self.names.contains_key(&b""[..]) {
            missing.insert(Vec::new());
        }
        for path in missing {
            self.names.insert(path, self.inodes.len());
            self.held.push(Held::default());
            self.inodes.push(Inode {
                kind: Kind::Directory,
                mode: 0o755,
                uid: 0,
                gid: 0,
                mtime: 0,
                xattrs: Vec::new(),
            });
        }
        Ok(())
    }
}

fn parent(path: &[u8]) -> Option<&[u8]> {
    if path.is_empty() {
        return None;
    }
    let slash = path.iter().rposition(|byte| *byte == b'/');
    Some(&path[..slash.unwrap_or(0)])
}

fn device(major: u64, minor: u64, at: u64, path: &[u8]) -> Result<Device> {
    match major <= MAJOR_MAX && minor <= MINOR_MAX {
        true => Ok(Device {
            major: major as u32,
            minor: minor as u32,
        }),
        false => refuse(
            at,
            path,
            format!("device {major}:{minor} is out of range (at most {MAJOR_MAX}:{MINOR_MAX})"),
        ),
    }
}

/// A path from the root, or why it is none.
fn clean(path: &[u8]) -> std::result::Result<Vec<u8>, String> {
    if path.is_empty() {
        return Err("it has no name".to_owned());
    }
    let mut out = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => continue,
            b".." => return Err("its name climbs out of a directory by `..`".to_owned()),
            part if part.len() > NAME_MAX => {
                return Err(format!(
                    "a part of its name has {} bytes, and Linux has at most {NAME_MAX}",
                    part.len()
                ));
            }
            part => {
                if !out.is_empty() {
                    out.push(b'/');
                }
                out.extend(part);
            }
        }
    }
    Ok(out)
}
