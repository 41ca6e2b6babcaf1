//! What stands behind the contents: inodes, listings, fragments, the index by number, ids and
//! attributes, in the order that the kernel expects (fs/squashfs/super.c).
//!
//! The inodes of a directory stand together, so that its listing needs few headers and a walk
//! reads few blocks: directories are done from the last to the first, so that the listings of
//! those within are there when a directory's inodes are written.

use super::super::source::{Inode, Kind, Source};
use super::super::{Error, Result};
use super::Options;
use super::compress::Packer;
use super::data::Stored;
use super::plan::{Plan, last_name};
use super::sink::Sink;
use crate::ondisk::squashfs::directory::{self, Entry, Index};
use crate::ondisk::squashfs::inode::{Body, Head, Type, device_number, encode};
use crate::ondisk::squashfs::metadata::{Place, Stream, indexed};
use crate::ondisk::squashfs::write::{NO_TABLE, Superblock, fragment_entry};
use crate::ondisk::squashfs::xattr;

/// Writes all tables and gives the superblock, which the caller writes.
///
/// # Errors
/// A table that its references cannot reach; no space.
pub fn write(
    source: &dyn Source,
    plan: &Plan,
    stored: &Stored,
    options: &Options,
    sink: &mut Sink<'_>,
) -> Result<Superblock> {
    let mut packer = Packer::new(options.compressor, options.block_size).map_err(failed)?;
    let mut pack = |block: &[u8]| packer.pack_small(block).map_err(failed);

    let mut writer = Writer::new(source, plan, stored, options);
    writer.write(&mut pack)?;
    let Writer {
        inodes,
        listings,
        xattrs,
        places,
        numbers,
        ..
    } = writer;
    let root = places[plan.directories[0].inode].reference();
    let inode_table = sink.position();
    sink.write(&reachable(inodes.finish(&mut pack)?.0)?)?;
    let directory_table = sink.position();
    sink.write(&reachable(listings.finish(&mut pack)?.0)?)?;

    let entries = stored.fragments.iter();
    let entries: Vec<u8> = entries
        .flat_map(|block| fragment_entry(block.start, block.entry))
        .collect();
    let fragments = indexed(&entries, sink.position(), &mut pack)?;
    sink.write(&fragments.bytes)?;

    let mut references = vec![0; plan.inodes as usize];
    for (place, number) in places.iter().zip(&numbers) {
        if let Some(reference) = references.get_mut((*number as usize).wrapping_sub(1)) {
            *reference = place.reference();
        }
    }
    let references: Vec<u8> = references.into_iter().flat_map(u64::to_le_bytes).collect();
    let export = indexed(&references, sink.position(), &mut pack)?;
    sink.write(&export.bytes)?;

    let ids: Vec<u8> = plan.ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    let ids = indexed(&ids, sink.position(), &mut pack)?;
    sink.write(&ids.bytes)?;

    let xattrs = xattrs.finish(sink.position(), &mut pack)?;
    if let Some(xattrs) = &xattrs {
        sink.write(&xattrs.bytes)?;
    }
    Ok(Superblock {
        inodes: plan.inodes,
        time: clamp(i64::MAX, options.epoch),
        block_size: options.block_size,
        fragments: stored.fragments.len() as u32,
        compressor: options.compressor.kind(),
        has_options: !options.compressor.fields(options.block_size).is_empty(),
        ids: plan.ids.len() as u16,
        root,
        bytes_used: sink.position(),
        id_table: ids.index,
        xattr_table: xattrs.map_or(NO_TABLE, |xattrs| xattrs.header),
        inode_table,
        directory_table,
        fragment_table: fragments.index,
        export_table: export.index,
    })
}

fn failed(why: String) -> Error {
    Error::System {
        doing: "packing a table of",
        on: "the image".into(),
        cause: std::io::Error::other(why),
    }
}

/// A table whose places fit their references.
fn reachable(table: Vec<u8>) -> Result<Vec<u8>> {
    match u32::try_from(table.len()) {
        Ok(_) => Ok(table),
        Err(_) => Err(Error::input(
            "the tree",
            format!(
                "its inodes or names take {} bytes, and 4 GiB can be reached",
                table.len()
            ),
            "split it",
        )),
    }
}

/// A time as inodes have it: not before 1970, not after the image's own.
fn clamp(time: i64, epoch: u64) -> u32 {
    let time = u64::try_from(time).unwrap_or(0).min(epoch);
    u32::try_from(time).unwrap_or(u32::MAX)
}

/// Inodes and listings as they grow.
struct Writer<'a> {
    source: &'a dyn Source,
    plan: &'a Plan,
    stored: &'a Stored,
    options: &'a Options,
    inodes: Stream,
    listings: Stream,
    xattrs: xattr::Table,
    /// By inode; its number is 0 where no name leads to it.
    numbers: Vec<u32>,
    places: Vec<Place>,
    is_written: Vec<bool>,
    /// By inode, of directories.
    directories: Vec<u32>,
    /// By directory.
    written: Vec<WrittenListing>,
}

#[derive(Clone, Default)]
struct WrittenListing {
    place: Place,
    length: u32,
    index: Vec<(Index, u32)>,
}

type Packing<'a> = &'a mut dyn FnMut(&[u8]) -> Result<Option<Vec<u8>>>;

impl<'a> Writer<'a> {
    fn new(
        source: &'a dyn Source,
        plan: &'a Plan,
        stored: &'a Stored,
        options: &'a Options,
    ) -> Self {
        let count = source.listing().inodes.len();
        let mut directories = vec![0; count];
        for (number, directory) in plan.directories.iter().enumerate() {
            directories[directory.inode] = number as u32;
        }
        Writer {
            source,
            plan,
            stored,
            options,
            inodes: Stream::default(),
            listings: Stream::default(),
            xattrs: xattr::Table::default(),
            numbers: numbers(source, plan),
            places: vec![Place::default(); count],
            is_written: vec![false; count],
            directories,
            written: vec![WrittenListing::default(); plan.directories.len()],
        }
    }

    fn write(&mut self, pack: Packing<'_>) -> Result<()> {
        let names = &self.source.listing().names;
        for (number, directory) in self.plan.directories.iter().enumerate().rev() {
            for child in &directory.children {
                self.write_inode(names[*child].inode, pack)?;
            }
            self.write_listing(number, pack)?;
        }
        self.write_inode(self.plan.directories[0].inode, pack)
    }

    fn write_listing(&mut self, number: usize, pack: Packing<'_>) -> Result<()> {
        let listing = self.source.listing();
        let children = self.plan.directories[number].children.iter();
        let entries: Vec<Entry<'_>> = children
            .map(|child| {
                let name = &listing.names[*child];
                Entry {
                    name: last_name(&name.path),
                    place: self.places[name.inode],
                    number: self.numbers[name.inode],
                    kind: kind(&listing.inodes[name.inode].kind),
                }
            })
            .collect();
        let encoded = directory::encode(&entries);
        let place = self.listings.place();
        let first = self.listings.block();
        self.listings.push(&encoded.bytes, pack)?;
        let index = encoded.index.into_iter().map(|index| {
            let at = index.at as usize + usize::from(place.offset);
            let block = self
                .listings
                .start_of(first + at / crate::ondisk::squashfs::metadata::BLOCK);
            (index, block)
        });
        self.written[number] = WrittenListing {
            place,
            length: u32::try_from(encoded.bytes.len()).unwrap_or(u32::MAX),
            index: index.collect(),
        };
        Ok(())
    }

    fn write_inode(&mut self, number: usize, pack: Packing<'_>) -> Result<()> {
        if std::mem::replace(&mut self.is_written[number], true) {
            return Ok(());
        }
        let inode = &self.source.listing().inodes[number];
        let head = self.head(number, inode, pack)?;
        let file;
        let body = match &inode.kind {
            Kind::Directory => {
                let directory = self.directories[number] as usize;
                let above = self.plan.directories[directory].parent;
                let listing = &self.written[directory];
                Body::Directory {
                    listing: listing.place,
                    length: listing.length,
                    parent: match above {
                        Some(above) => self.numbers[self.plan.directories[above].inode],
                        None => self.plan.inodes.saturating_add(1),
                    },
                    index: &listing.index,
                }
            }
            Kind::File { size } => {
                file = self.stored.file(number, *size, self.options.block_size);
                Body::File {
                    start: file.start,
                    size: *size,
                    holes: file.holes,
                    fragment: self.stored.contents(number).fragment,
                    blocks: &file.blocks,
                }
            }
            Kind::Symlink { target } => Body::Symlink(target),
            Kind::Char(device) => Body::Char(device_number(device.major, device.minor)),
            Kind::Block(device) => Body::Block(device_number(device.major, device.minor)),
            Kind::Fifo => Body::Fifo,
            Kind::Socket => Body::Socket,
        };
        self.places[number] = self.inodes.place();
        self.inodes.push(&encode(&head, &body), pack)
    }

    fn head(&mut self, number: usize, inode: &Inode, pack: Packing<'_>) -> Result<Head> {
        let (uid, gid) = match self.options.all_root {
            true => (0, 0),
            false => (inode.uid, inode.gid),
        };
        // All are there: the plan has collected them.
        let id = |id| self.plan.ids.binary_search(&id).unwrap_or_default() as u16;
        let links = match inode.kind {
            // Its name, its own ".", and the ".." of each directory in it.
            Kind::Directory => {
                let directory = self.directories[number] as usize;
                2 + self.plan.directories[directory].directories
            }
            _ => self.plan.links[number],
        };
        let (uid, gid) = (id(uid), id(gid));
        let set = inode.xattrs.iter();
        let set = set.map(|xattr| (xattr.name.as_slice(), xattr.value.as_slice()));
        Ok(Head {
            mode: inode.mode & 0o7777,
            uid,
            gid,
            mtime: clamp(inode.mtime, self.options.epoch),
            number: self.numbers[number],
            links,
            xattrs: self.xattrs.add(set, pack)?,
        })
    }
}

/// Inodes' numbers, in the order in which they are written.
fn numbers(source: &dyn Source, plan: &Plan) -> Vec<u32> {
    let names = &source.listing().names;
    let mut numbers = vec![0; source.listing().inodes.len()];
    let mut last = 0;
    let children = plan.directories.iter().rev().flat_map(|d| &d.children);
    let inodes = children.map(|child| names[*child].inode);
    for inode in inodes.chain([plan.directories[0].inode]) {
        if numbers[inode] == 0 {
            last += 1;
            numbers[inode] = last;
        }
    }
    numbers
}

fn kind(kind: &Kind) -> Type {
    match kind {
        Kind::Directory => Type::Directory,
        Kind::File { .. } => Type::File,
        Kind::Symlink { .. } => Type::Symlink,
        Kind::Char(_) => Type::Char,
        Kind::Block(_) => Type::Block,
        Kind::Fifo => Type::Fifo,
        Kind::Socket => Type::Socket,
    }
}
