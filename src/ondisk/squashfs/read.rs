//! All files of an image, by their paths: what the tables say of each, and where its contents
//! lie. Whatever the bytes are, there is an answer or a sentence, and no panic
//! (`include/linux/squashfs_fs.h`; `fs/squashfs/` reads the same structures).

use super::write::NO_TABLE;
use super::{BYTES_USED, Compressor, LENGTH, Superblock, metadata, parse};
use crate::ondisk::fields::{le16, le32, le64};
use crate::ondisk::{ByteSource, read_up_to};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

/// Undoes a compressor; the number is the most bytes that may come out.
pub type Unpack<'a> = &'a dyn Fn(Compressor, &[u8], usize) -> Option<Vec<u8>>;

/// In a block's length: it is stored as it is.
const RAW: u32 = 1 << 24;
const NONE: u32 = u32::MAX;
/// More files than that are not looked at.
const MOST: usize = 8 << 20;
/// Unpacked blocks that are kept, of tables and of fragments.
const KEPT: (usize, usize) = (4096, 64);

/// A file of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// 1 to 7, as directory entries name it: directory, file, link, block, char, pipe, socket.
    pub kind: u16,
    /// Permission bits with set-id and sticky.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: u32,
    /// Its number; names of one file share it.
    pub number: u32,
    /// Attributes, in the order of the image.
    pub xattrs: Vec<Attribute>,
    /// What a symbolic link leads to.
    pub target: Vec<u8>,
    /// A device's number as the kernel encodes it.
    pub device: u32,
    /// A regular file's contents.
    pub contents: Contents,
}

/// Where a regular file's bytes are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Length in bytes.
    pub size: u64,
    start: u64,
    fragment: Option<(u32, u32)>,
    blocks: Vec<u32>,
}

impl Contents {
    /// Where block `number` begins.
    fn before(&self, number: usize) -> u64 {
        let stored = self.blocks.iter().take(number).map(|n| u64::from(n & !RAW));
        self.start.saturating_add(stored.sum())
    }
}

/// An image whose tables were read.
pub struct Files<'a> {
    image: Image<'a>,
    fragments: Vec<(u64, u32)>,
    unpacked: RefCell<HashMap<u32, Rc<Vec<u8>>>>,
    /// Each path, `/` the root's.
    pub nodes: BTreeMap<Vec<u8>, Node>,
}

impl std::fmt::Debug for Files<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Files({})", self.nodes.len())
    }
}

/// A metadata block, unpacked, and the place of the next one.
type Block = Rc<(Vec<u8>, u64)>;

/// A name and a value.
pub type Attribute = (Vec<u8>, Vec<u8>);

struct Image<'a> {
    source: &'a dyn ByteSource,
    offset: u64,
    head: Vec<u8>,
    superblock: Superblock,
    unpack: Unpack<'a>,
    kept: RefCell<HashMap<u64, Block>>,
}

/// Reads the tables of the image at byte `offset`.
///
/// # Errors
/// A sentence about what cannot be read.
pub fn read<'a>(
    source: &'a dyn ByteSource,
    offset: u64,
    unpack: Unpack<'a>,
) -> Result<Files<'a>, String> {
    let head = read_up_to(source, offset, LENGTH).map_err(|why| why.to_string())?;
    let superblock = parse(&head).ok_or("it is no squashfs")?;
    let image = Image {
        source,
        offset,
        head,
        superblock,
        unpack,
        kept: RefCell::default(),
    };
    let count = usize::from(le16(&image.head, 26));
    let ids = image.indexed(le64(&image.head, 48), count * 4)?;
    let ids: Vec<u32> = ids.chunks_exact(4).map(|id| le32(id, 0)).collect();
    let count = le32(&image.head, 16) as usize;
    let fragments = match count {
        0 => Vec::new(),
        _ => image.indexed(le64(&image.head, 80), bounded(count, 16)?)?,
    };
    let fragments = fragments
        .chunks_exact(16)
        .map(|entry| (le64(entry, 0), le32(entry, 8)));
    let fragments = fragments.collect();
    let xattrs = Xattrs::read(&image)?;
    let nodes = image.walk(&ids, &xattrs)?;
    Ok(Files {
        image,
        fragments,
        unpacked: RefCell::default(),
        nodes,
    })
}

fn bounded(count: usize, size: usize) -> Result<usize, String> {
    match count <= MOST {
        true => Ok(count * size),
        false => Err(format!("a table of {count} entries is too long")),
    }
}

impl Image<'_> {
    fn bytes(&self, at: u64, length: usize) -> Result<Vec<u8>, String> {
        let cut = || format!("byte {at} lies behind the end of the image");
        let place = self.offset.checked_add(at).ok_or_else(cut)?;
        let bytes = read_up_to(self.source, place, length).map_err(|why| why.to_string())?;
        match bytes.len() == length && at < le64(&self.head, BYTES_USED) {
            true => Ok(bytes),
            false => Err(cut()),
        }
    }

    /// A metadata block and the place of the next one.
    fn block(&self, at: u64) -> Result<Block, String> {
        if let Some(kept) = self.kept.borrow().get(&at) {
            return Ok(Rc::clone(kept));
        }
        let length = le16(&self.bytes(at, 2)?, 0);
        let stored = usize::from(length & !metadata::RAW);
        let mut bytes = self.bytes(at.saturating_add(2), stored)?;
        if length & metadata::RAW == 0 {
            let unpacked = (self.unpack)(self.superblock.compressor, &bytes, metadata::BLOCK);
            bytes = unpacked.ok_or_else(|| format!("the block at byte {at} cannot be unpacked"))?;
        }
        if bytes.is_empty() || bytes.len() > metadata::BLOCK {
            return Err(format!("the block at byte {at} has {} bytes", bytes.len()));
        }
        let block = Rc::new((bytes, at + 2 + stored as u64));
        let mut kept = self.kept.borrow_mut();
        if kept.len() >= KEPT.0 {
            kept.clear();
        }
        kept.insert(at, Rc::clone(&block));
        Ok(block)
    }

    /// What stands at a place of the table that begins at `table`.
    fn cursor(&self, table: u64, reference: u64) -> Cursor<'_> {
        Cursor {
            image: self,
            block: table.saturating_add(reference >> 16),
            within: (reference & 0xffff) as usize,
        }
    }

    /// A table of equal items behind an index.
    fn indexed(&self, index: u64, length: usize) -> Result<Vec<u8>, String> {
        let count = length.div_ceil(metadata::BLOCK);
        let index = self.bytes(index, count * 8)?;
        let mut table = Vec::new();
        for place in index.chunks_exact(8) {
            table.extend_from_slice(&self.block(le64(place, 0))?.0);
        }
        match table.len() >= length {
            true => table.truncate(length),
            false => return Err("a table is shorter than the superblock says".into()),
        }
        Ok(table)
    }

    fn walk(&self, ids: &[u32], xattrs: &Xattrs<'_>) -> Result<BTreeMap<Vec<u8>, Node>, String> {
        let mut nodes = BTreeMap::new();
        let mut seen = HashSet::new();
        let mut pending = vec![(b"/".to_vec(), le64(&self.head, 32))];
        while let Some((path, reference)) = pending.pop() {
            let (node, listing) = self.node(reference, ids, xattrs)?;
            if let Some((at, length)) = listing {
                if !seen.insert(reference) {
                    return Err(format!("{} has itself in it", lossy(&path)));
                }
                self.list(at, length, &path, &mut pending)?;
            }
            nodes.insert(path, node);
            if nodes.len() + pending.len() > MOST {
                return Err("it has too many files".into());
            }
        }
        Ok(nodes)
    }

    /// The inode at a place, and the place and length of a directory's listing.
    fn node(
        &self,
        reference: u64,
        ids: &[u32],
        xattrs: &Xattrs<'_>,
    ) -> Result<(Node, Option<(u64, usize)>), String> {
        let mut at = self.cursor(le64(&self.head, 64), reference);
        let head = at.take(16)?;
        let kind = le16(&head, 0);
        let (plain, extended) = match kind {
            1..=7 => (kind, false),
            8..=14 => (kind - 7, true),
            _ => return Err(format!("there is no type {kind} of inodes")),
        };
        let id = |at| {
            let id = ids.get(usize::from(le16(&head, at))).copied();
            id.ok_or_else(|| "an inode has an owner that is in no table".to_owned())
        };
        let mut node = Node {
            kind: plain,
            mode: le16(&head, 2),
            uid: id(4)?,
            gid: id(6)?,
            mtime: le32(&head, 8),
            number: le32(&head, 12),
            xattrs: Vec::new(),
            target: Vec::new(),
            device: 0,
            contents: Contents::default(),
        };
        let (mut set, mut listing) = (NONE, None);
        match (plain, extended) {
            (1, false) => {
                let rest = at.take(16)?;
                let place = u64::from(le32(&rest, 0)) << 16 | u64::from(le16(&rest, 10));
                listing = Some((place, usize::from(le16(&rest, 8))));
            }
            (1, true) => {
                let rest = at.take(24)?;
                let place = u64::from(le32(&rest, 8)) << 16 | u64::from(le16(&rest, 18));
                listing = Some((place, le32(&rest, 4) as usize));
                set = le32(&rest, 20);
            }
            (2, _) => set = self.file(&mut at, extended, &mut node.contents)?,
            (3, _) => {
                let rest = at.take(8)?;
                node.target = at.take((le32(&rest, 4) as usize).min(1 << 16))?;
            }
            (4 | 5, _) => node.device = le32(&at.take(8)?, 4),
            _ => drop(at.take(4)?),
        }
        if extended && plain > 2 {
            set = le32(&at.take(4)?, 0);
        }
        if set != NONE {
            node.xattrs = xattrs.set(set)?;
        }
        // A length counts `.` and `..` as three bytes.
        let listing = listing.map(|(place, length)| (place, length.saturating_sub(3)));
        Ok((node, listing))
    }

    /// The rest of a file's inode; the number of its attributes.
    fn file(&self, at: &mut Cursor<'_>, extended: bool, to: &mut Contents) -> Result<u32, String> {
        let rest = at.take(if extended { 40 } else { 16 })?;
        let (fragment, set);
        if extended {
            (to.start, to.size) = (le64(&rest, 0), le64(&rest, 8));
            fragment = (le32(&rest, 28), le32(&rest, 32));
            set = le32(&rest, 36);
        } else {
            (to.start, to.size) = (le32(&rest, 0).into(), le32(&rest, 12).into());
            fragment = (le32(&rest, 4), le32(&rest, 8));
            set = NONE;
        }
        to.fragment = (fragment.0 != NONE).then_some(fragment);
        let block = u64::from(self.superblock.block_size);
        let count = match to.fragment {
            Some(_) => to.size / block,
            None => to.size.div_ceil(block),
        };
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let blocks = at.take(bounded(count, 4)?)?;
        to.blocks = blocks.chunks_exact(4).map(|entry| le32(entry, 0)).collect();
        Ok(set)
    }

    fn list(
        &self,
        at: u64,
        length: usize,
        above: &[u8],
        to: &mut Vec<(Vec<u8>, u64)>,
    ) -> Result<(), String> {
        let mut at = self.cursor(le64(&self.head, 72), at);
        let mut left = length;
        let mut spend = |bytes: usize| {
            let rest = left.checked_sub(bytes);
            left = rest.ok_or_else(|| format!("the listing of {} is cut", lossy(above)))?;
            Ok::<usize, String>(left)
        };
        let mut rest = length;
        while rest > 0 {
            spend(12)?;
            let header = at.take(12)?;
            for _ in 0..=le32(&header, 0).min(256) {
                spend(8)?;
                let entry = at.take(8)?;
                let length = usize::from(le16(&entry, 6)) + 1;
                rest = spend(length)?;
                let name = at.take(length)?;
                let mut path = above.to_vec();
                if path.last() != Some(&b'/') {
                    path.push(b'/');
                }
                path.extend_from_slice(&name);
                let reference = u64::from(le32(&header, 4)) << 16 | u64::from(le16(&entry, 0));
                to.push((path, reference));
            }
        }
        Ok(())
    }
}

struct Cursor<'a> {
    image: &'a Image<'a>,
    block: u64,
    within: usize,
}

impl Cursor<'_> {
    fn take(&mut self, length: usize) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        while out.len() < length {
            let block = self.image.block(self.block)?;
            let rest = block.0.get(self.within..).unwrap_or_default();
            let now = rest.len().min(length - out.len());
            out.extend_from_slice(&rest[..now]);
            self.within += now;
            if self.within >= block.0.len() {
                (self.block, self.within) = (block.1, 0);
            }
        }
        Ok(out)
    }
}

/// Sets of attributes.
struct Xattrs<'a> {
    image: &'a Image<'a>,
    start: u64,
    sets: Vec<u8>,
}

impl<'a> Xattrs<'a> {
    fn read(image: &'a Image<'a>) -> Result<Xattrs<'a>, String> {
        let at = le64(&image.head, 56);
        let (mut start, mut sets) = (0, Vec::new());
        if at != NO_TABLE {
            let header = image.bytes(at, 16)?;
            start = le64(&header, 0);
            let length = bounded(le32(&header, 8) as usize, 16)?;
            sets = image.indexed(at.saturating_add(16), length)?;
        }
        Ok(Xattrs { image, start, sets })
    }

    fn set(&self, number: u32) -> Result<Vec<Attribute>, String> {
        let at = number as usize * 16;
        let set = self.sets.get(at..at + 16);
        let set = set.ok_or("an inode has attributes that are in no table")?;
        let mut cursor = self.image.cursor(self.start, le64(set, 0));
        let mut found = Vec::new();
        for _ in 0..le32(set, 8).min(1 << 16) {
            let entry = cursor.take(4)?;
            let kind = le16(&entry, 0);
            let mut name = match kind & 0xff {
                0 => b"user.".to_vec(),
                1 => b"trusted.".to_vec(),
                2 => b"security.".to_vec(),
                other => format!("{other}.").into_bytes(),
            };
            name.extend(cursor.take(le16(&entry, 2).into())?);
            let length = le32(&cursor.take(4)?, 0);
            let mut value = cursor.take((length as usize).min(1 << 16))?;
            if kind & 0x100 != 0 {
                let mut there = self.image.cursor(self.start, le64(&value, 0));
                let length = le32(&there.take(4)?, 0);
                value = there.take((length as usize).min(1 << 16))?;
            }
            found.push((name, value));
        }
        Ok(found)
    }
}

impl Files<'_> {
    /// Bytes of a file from its block `number` on, at most a block; none behind its end.
    ///
    /// # Errors
    /// A sentence about what cannot be read.
    pub fn piece(&self, contents: &Contents, number: usize) -> Result<Option<Vec<u8>>, String> {
        let size = self.image.superblock.block_size as usize;
        let before = number as u64 * size as u64;
        let length = contents.size.saturating_sub(before).min(size as u64) as usize;
        if length == 0 {
            return Ok(None);
        }
        let bytes = match (contents.blocks.get(number), contents.fragment) {
            (Some(0), _) => vec![0; length],
            (Some(entry), _) => self.unpacked(contents.before(number), *entry)?,
            (None, Some((fragment, at))) => {
                let block = self.fragment(fragment)?;
                let part = block.get(at as usize..).and_then(|rest| rest.get(..length));
                part.ok_or("a fragment is shorter than its files")?.to_vec()
            }
            (None, None) => return Err("a file has fewer blocks than its length".into()),
        };
        match bytes.len() == length {
            true => Ok(Some(bytes)),
            false => Err(format!("a block has {} bytes, not {length}", bytes.len())),
        }
    }

    /// Whether a block of a file is stored here with the same bytes as there, so that nothing
    /// need be unpacked.
    pub fn same_stored(
        &self,
        contents: &Contents,
        other: (&Files<'_>, &Contents),
        number: usize,
    ) -> bool {
        let entry = contents.blocks.get(number);
        let (head, there) = (self.image.superblock, other.0.image.superblock);
        let is_same_way =
            (head.compressor, head.block_size) == (there.compressor, there.block_size);
        let (Some(entry), true) = (entry, is_same_way && entry == other.1.blocks.get(number))
        else {
            return false;
        };
        let stored = (entry & !RAW) as usize;
        let bytes = |files: &Files<'_>, contents: &Contents| {
            files.image.bytes(contents.before(number), stored)
        };
        stored as u64 <= self.block_size()
            && match (bytes(self, contents), bytes(other.0, other.1)) {
                (Ok(here), Ok(there)) => here == there,
                _ => false,
            }
    }

    /// Length of a block, bytes.
    pub fn block_size(&self) -> u64 {
        self.image.superblock.block_size.into()
    }

    fn fragment(&self, number: u32) -> Result<Rc<Vec<u8>>, String> {
        if let Some(block) = self.unpacked.borrow().get(&number) {
            return Ok(Rc::clone(block));
        }
        let entry = self.fragments.get(number as usize);
        let (at, entry) = entry.ok_or("a file has a fragment that is in no table")?;
        let block = Rc::new(self.unpacked(*at, *entry)?);
        let mut kept = self.unpacked.borrow_mut();
        if kept.len() >= KEPT.1 {
            kept.clear();
        }
        kept.insert(number, Rc::clone(&block));
        Ok(block)
    }

    fn unpacked(&self, at: u64, entry: u32) -> Result<Vec<u8>, String> {
        let most = self.image.superblock.block_size as usize;
        let stored = (entry & !RAW) as usize;
        if stored > most {
            return Err(format!("the block at byte {at} is too long"));
        }
        let bytes = self.image.bytes(at, stored)?;
        match entry & RAW {
            0 => (self.image.unpack)(self.image.superblock.compressor, &bytes, most)
                .ok_or_else(|| format!("the block at byte {at} cannot be unpacked")),
            _ => Ok(bytes),
        }
    }
}

fn lossy(path: &[u8]) -> String {
    crate::units::shown(&String::from_utf8_lossy(path)).to_string()
}

#[cfg(test)]
mod tests;
