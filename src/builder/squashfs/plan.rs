//! What is written, in which order, and whether the format can say it: pure.

use super::super::source::{Kind, Listing, Source, compare, shown};
use super::super::{Error, Result, Watch};
use super::{Options, Sort};
use crate::ondisk::squashfs::xattr;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

/// Longest target that the kernel follows: a page with its end mark (fs/squashfs/inode.c
/// refuses more than a page, fs/namei.c, page_get_link, cuts there).
const MOST_TARGET: usize = 4095;
/// Longest name that Linux looks up, in bytes (`linux/limits.h`, NAME_MAX).
const MOST_NAME: usize = 255;
/// The superblock counts owners and groups in 16 bits.
const MOST_IDS: usize = u16::MAX as usize;
const MOST_MAJOR: u32 = 0xfff;
const MOST_MINOR: u32 = 0xf_ffff;

/// Blocks of all files together: their lengths are kept in memory, and a sparse file may claim
/// any number. Of 128 KiB these are 2 TiB.
const MOST_BLOCKS: u64 = 16 << 20;

/// A directory, and what is in it.
#[derive(Debug)]
pub struct Directory {
    /// Its inode.
    pub inode: usize,
    /// The directory above: place among the directories; none for the root.
    pub parent: Option<usize>,
    /// Places in the listing's names, in order.
    pub children: Vec<usize>,
    /// How many of them are directories.
    pub directories: u32,
}

/// What to write.
#[derive(Debug)]
pub struct Plan {
    /// All directories, each before those in it; the root first.
    pub directories: Vec<Directory>,
    /// How many names lead to each inode.
    pub links: Vec<u32>,
    /// Regular files in the order of their contents.
    pub files: Vec<usize>,
    /// By inode, whether it is a file with the size of another one.
    pub has_twin: Vec<bool>,
    /// Bytes of all files.
    pub total: u64,
    /// Owners and groups, sorted.
    pub ids: Vec<u32>,
    /// How many inodes have a name.
    pub inodes: u32,
}

/// A path's last component.
pub fn last_name(path: &[u8]) -> &[u8] {
    let start = path.iter().rposition(|byte| *byte == b'/');
    &path[start.map_or(0, |slash| slash + 1)..]
}

impl Plan {
    /// Looks through the tree.
    ///
    /// # Errors
    /// What the format cannot hold, with the file that has it.
    pub fn make(source: &dyn Source, options: &Options, watch: &dyn Watch) -> Result<Plan> {
        let listing = source.listing();
        let directories = directories(source, listing)?;
        let mut links = vec![0u32; listing.inodes.len()];
        for name in &listing.names {
            links[name.inode] += 1;
        }
        let named = |inode: &usize| links[*inode] > 0;
        let inodes: Vec<usize> = (0..listing.inodes.len()).filter(named).collect();
        for inode in &inodes {
            check(source, *inode, links[*inode])?;
        }
        warn_of_attributes(source, &inodes, watch);
        let ids = ids(listing, &inodes, options.all_root)?;
        let files = files(listing, options.sort.as_ref(), watch);
        let mut sizes: HashMap<u64, u32> = HashMap::new();
        let mut total = 0u64;
        let mut blocks = 0u64;
        for (inode, size) in files.iter().filter_map(|f| Some((*f, size(listing, *f)?))) {
            blocks = blocks.saturating_add(size / u64::from(options.block_size));
            if blocks > MOST_BLOCKS {
                return Err(Error::input(
                    source.describe(inode),
                    format!(
                        "with it the files take more than {MOST_BLOCKS} blocks of {} bytes",
                        options.block_size
                    ),
                    "leave out what is that large, or choose larger blocks",
                ));
            }
            *sizes.entry(size).or_default() += 1;
            total = total.saturating_add(size);
        }
        let twins = |inode| size(listing, inode).is_some_and(|size| sizes.get(&size) > Some(&1));
        let count = inodes.len();
        Ok(Plan {
            has_twin: (0..listing.inodes.len()).map(twins).collect(),
            inodes: u32::try_from(count).map_err(|_| {
                let finding = format!("{count} inodes are more than the format can number");
                Error::input("the tree", finding, "split it")
            })?,
            directories,
            links,
            files,
            total,
            ids,
        })
    }
}

/// The size of a file that is not empty.
fn size(listing: &Listing, inode: usize) -> Option<u64> {
    match listing.inodes[inode].kind {
        Kind::File { size } if size > 0 => Some(size),
        _ => None,
    }
}

fn directories(source: &dyn Source, listing: &Listing) -> Result<Vec<Directory>> {
    let broken = |path: &[u8], finding: &str| {
        let on = format!("/{}", shown(path));
        Error::input(on, finding, "give it a place and a name of its own")
    };
    let mut directories: Vec<Directory> = Vec::new();
    // The directories that lead to the name before, with the length of their paths.
    let mut above: Vec<(usize, &[u8])> = Vec::new();
    let mut before: Option<&[u8]> = None;
    for (number, name) in listing.names.iter().enumerate() {
        let path = name.path.as_slice();
        let in_order = before.is_none_or(|before| compare(before, path).is_lt());
        if !in_order || name.inode >= listing.inodes.len() {
            return Err(broken(path, "it stands twice or in the wrong place"));
        }
        before = Some(path);
        let last = last_name(path);
        let parent = &path[..path.len() - last.len()];
        let parent = parent.strip_suffix(b"/").unwrap_or(parent);
        let is_root = path.is_empty();
        if !is_root && (last.is_empty() || last == b"." || last == b"..") {
            return Err(broken(path, "this is no name of a file"));
        }
        if last.len() > MOST_NAME || last.contains(&0) {
            let finding = format!("the name has {} bytes or a zero byte", last.len());
            return Err(broken(path, &finding));
        }
        while above
            .last()
            .is_some_and(|(_, dir)| is_root || *dir != parent)
        {
            above.pop();
        }
        let parent = above.last().map(|(directory, _)| *directory);
        if !is_root && parent.is_none() {
            return Err(broken(path, "nothing above it is a directory"));
        }
        let is_directory = listing.inodes[name.inode].kind == Kind::Directory;
        if let Some(parent) = parent {
            directories[parent].children.push(number);
            directories[parent].directories += u32::from(is_directory);
        }
        if is_directory {
            above.push((directories.len(), path));
            directories.push(Directory {
                inode: name.inode,
                parent,
                children: Vec::new(),
                directories: 0,
            });
        }
    }
    match directories.is_empty() {
        true => Err(Error::input(
            source.describe(0),
            "the tree has no root directory",
            "give a directory or an archive of one",
        )),
        false => Ok(directories),
    }
}

/// What an inode may have.
fn check(source: &dyn Source, number: usize, links: u32) -> Result<()> {
    let inode = &source.listing().inodes[number];
    let refuse =
        |finding: String, remedy| Err(Error::input(source.describe(number), finding, remedy));
    match &inode.kind {
        Kind::Directory if links > 1 => refuse(
            format!("{links} names lead to this directory"),
            "a directory has one name: replace the others by symbolic links",
        ),
        Kind::Symlink { target } if target.is_empty() || target.len() > MOST_TARGET => refuse(
            format!("the link's target has {} bytes", target.len()),
            "Linux follows links of 1 to 4095 bytes: remove it",
        ),
        Kind::Char(device) | Kind::Block(device)
            if device.major > MOST_MAJOR || device.minor > MOST_MINOR =>
        {
            refuse(
                format!(
                    "the device has the number {}:{}",
                    device.major, device.minor
                ),
                "Linux has majors up to 4095 and minors up to 1048575: remove it",
            )
        }
        _ => Ok(()),
    }?;
    for attribute in &inode.xattrs {
        let (name, value) = (attribute.name.len(), attribute.value.len());
        if name > xattr::MOST_NAME || value > xattr::MOST_VALUE {
            return refuse(
                format!("an attribute has a name of {name} bytes and a value of {value}"),
                "Linux has names up to 255 bytes and values up to 65536: remove it",
            );
        }
    }
    Ok(())
}

/// Access control lists and the like have no place in the format, as with mksquashfs.
fn warn_of_attributes(source: &dyn Source, inodes: &[usize], watch: &dyn Watch) {
    let listing = source.listing();
    let lost = |inode: &&usize| {
        let xattrs = &listing.inodes[**inode].xattrs;
        xattrs.iter().find(|x| xattr::split_name(&x.name).is_none())
    };
    let mut having = inodes.iter().filter(|inode| lost(inode).is_some());
    if let Some(first) = having.next() {
        let name = lost(&first).map(|x| shown(&x.name));
        let more = having.count();
        watch.warn(&format!(
            "{} has the attribute {}, which squashfs has no place for: it is left out{}",
            source.describe(*first),
            name.unwrap_or_default(),
            match more {
                0 => String::new(),
                more => format!(", here and of {more} more"),
            }
        ));
    }
}

fn ids(listing: &Listing, inodes: &[usize], all_root: bool) -> Result<Vec<u32>> {
    if all_root {
        return Ok(vec![0]);
    }
    let both = |inode: &usize| [listing.inodes[*inode].uid, listing.inodes[*inode].gid];
    let ids: BTreeSet<u32> = inodes.iter().flat_map(both).collect();
    if ids.len() > MOST_IDS {
        return Err(Error::input(
            "the tree",
            format!(
                "its files have {} different owners and groups, and an image holds {MOST_IDS}",
                ids.len()
            ),
            "give all files to root with --all-root, or those of many users to one",
        ));
    }
    Ok(ids.into_iter().collect())
}

/// Regular files, those of the highest priority first, else in the order of their first names.
fn files(listing: &Listing, sort: Option<&Sort>, watch: &dyn Watch) -> Vec<usize> {
    const UNSEEN: i32 = i32::MIN;
    let mut priorities = vec![UNSEEN; listing.inodes.len()];
    let mut files = Vec::new();
    // Of the directories that lead to the name.
    let mut above: Vec<(&[u8], i16)> = Vec::new();
    for name in &listing.names {
        let path = name.path.as_slice();
        while above.last().is_some_and(|(dir, _)| !is_within(path, dir)) {
            above.pop();
        }
        let inherited = above.last().map_or(0, |(_, priority)| *priority);
        let priority = sort.and_then(|sort| sort.of(path)).unwrap_or(inherited);
        match listing.inodes[name.inode].kind {
            Kind::Directory => above.push((path, priority)),
            Kind::File { .. } => {
                let known = &mut priorities[name.inode];
                if *known == UNSEEN {
                    files.push(name.inode);
                }
                *known = (*known).max(i32::from(priority));
            }
            _ => {}
        }
    }
    if let Some(sort) = sort {
        warn_of_paths(listing, sort, watch);
        files.sort_by_key(|file| Reverse(priorities[*file]));
    }
    files
}

fn is_within(path: &[u8], directory: &[u8]) -> bool {
    directory.is_empty()
        || path
            .strip_prefix(directory)
            .is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// A path of the sort file that leads nowhere is probably misspelt.
fn warn_of_paths(listing: &Listing, sort: &Sort, watch: &dyn Watch) {
    for path in sort.paths() {
        let found = listing
            .names
            .binary_search_by(|name| compare(&name.path, path));
        if found.is_err() {
            watch.warn(&format!(
                "the sort file names {}, which is not in the tree",
                shown(path)
            ));
        }
    }
}
