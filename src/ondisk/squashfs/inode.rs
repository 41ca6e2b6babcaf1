//! Inodes: seven kinds, each in a basic and an extended form. The basic one is taken
//! wherever it can say all (`include/linux/squashfs_fs.h`, struct squashfs_*_inode).

use super::directory::Index;
use super::metadata::Place;

/// Types of inodes in directory entries and of basic inodes; the extended form of each is
/// [`EXTENDED`] more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
#[repr(u16)]
pub enum Type {
    Directory = 1,
    File = 2,
    Symlink = 3,
    Block = 4,
    Char = 5,
    Fifo = 6,
    Socket = 7,
}

/// From a basic type to its extended one.
const EXTENDED: u16 = 7;
/// No fragment, no attributes, no table (SQUASHFS_INVALID_FRAG, SQUASHFS_INVALID_XATTR).
const NONE: u32 = u32::MAX;
/// A listing's length counts the entries `.` and `..`, which are not stored, as three bytes.
const DOTS: u32 = 3;

/// What all inodes have.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// Permission bits with set-id and sticky.
    pub mode: u16,
    /// Owner: place in the table of ids.
    pub uid: u16,
    /// Group: place in the table of ids.
    pub gid: u16,
    /// Seconds since 1970.
    pub mtime: u32,
    /// From 1 on.
    pub number: u32,
    /// Names that lead here.
    pub links: u32,
    /// Place in the table of attribute sets.
    pub xattrs: Option<u32>,
}

/// What one kind has.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// A directory.
    Directory {
        /// Its listing in the directory table.
        listing: Place,
        /// Length of the listing in bytes, unpacked.
        length: u32,
        /// Number of the inode above; of the root, one more than there are inodes.
        parent: u32,
        /// For lookups in long listings, with the start of each entry's block.
        index: &'a [(Index, u32)],
    },
    /// A regular file.
    File {
        /// Place of its first block, in bytes from the image's start.
        start: u64,
        /// Length in bytes.
        size: u64,
        /// Bytes of it that are holes.
        holes: u64,
        /// Fragment block with its end, and place in it.
        fragment: Option<(u32, u32)>,
        /// Stored length of each block, as [`super::write::block_entry`] makes it.
        blocks: &'a [u32],
    },
    /// A symbolic link to these bytes.
    Symlink(&'a [u8]),
    /// A block device, by its number ([`device_number`]).
    Block(u32),
    /// A character device, by its number.
    Char(u32),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl Body<'_> {
    /// The type that directory entries name.
    pub fn kind(&self) -> Type {
        match self {
            Body::Directory { .. } => Type::Directory,
            Body::File { .. } => Type::File,
            Body::Symlink(_) => Type::Symlink,
            Body::Block(_) => Type::Block,
            Body::Char(_) => Type::Char,
            Body::Fifo => Type::Fifo,
            Body::Socket => Type::Socket,
        }
    }
}

/// A device's number as the kernel's `new_encode_dev` makes it (`include/linux/kdev_t.h`):
/// 12 bits of `major`, 20 bits of `minor`.
pub fn device_number(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major & 0xfff) << 8 | (minor & 0xf_ff00) << 12
}

/// An inode's bytes.
pub fn encode(head: &Head, body: &Body<'_>) -> Vec<u8> {
    let mut out = Out(Vec::with_capacity(64));
    let extended = needs_extended(head, body);
    out.u16(body.kind() as u16 + if extended { EXTENDED } else { 0 });
    out.u16(head.mode).u16(head.uid).u16(head.gid);
    out.u32(head.mtime).u32(head.number);
    match *body {
        Body::Directory {
            listing,
            length,
            parent,
            index,
        } => match extended {
            false => {
                out.u32(listing.block).u32(head.links);
                out.u16((length + DOTS) as u16)
                    .u16(listing.offset)
                    .u32(parent);
            }
            true => {
                out.u32(head.links).u32(length.saturating_add(DOTS));
                out.u32(listing.block).u32(parent).u16(index.len() as u16);
                out.u16(listing.offset).u32(head.xattrs.unwrap_or(NONE));
                for (entry, block) in index {
                    out.u32(entry.at).u32(*block);
                    out.u32(entry.name.len() as u32 - 1).bytes(&entry.name);
                }
            }
        },
        Body::File {
            start,
            size,
            holes,
            fragment,
            blocks,
        } => {
            let (fragment, offset) = fragment.unwrap_or((NONE, 0));
            match extended {
                false => {
                    out.u32(start as u32).u32(fragment).u32(offset);
                    out.u32(size as u32);
                }
                true => {
                    // As mksquashfs has it: a file takes at least something, or st_blocks is 0.
                    let holes = holes.min(size.saturating_sub(1));
                    out.u64(start).u64(size).u64(holes).u32(head.links);
                    out.u32(fragment).u32(offset);
                    out.u32(head.xattrs.unwrap_or(NONE));
                }
            }
            for block in blocks {
                out.u32(*block);
            }
        }
        Body::Symlink(target) => {
            out.u32(head.links).u32(target.len() as u32).bytes(target);
            out.xattrs(extended, head);
        }
        Body::Block(device) | Body::Char(device) => {
            out.u32(head.links).u32(device).xattrs(extended, head);
        }
        Body::Fifo | Body::Socket => {
            out.u32(head.links).xattrs(extended, head);
        }
    }
    out.0
}

fn needs_extended(head: &Head, body: &Body<'_>) -> bool {
    let small = |n: u64| u32::try_from(n).is_ok();
    head.xattrs.is_some()
        || match *body {
            Body::Directory { length, index, .. } => {
                !index.is_empty() || length > u32::from(u16::MAX) - DOTS
            }
            Body::File {
                start, size, holes, ..
            } => head.links > 1 || holes > 0 || !small(size) || !small(start),
            _ => false,
        }
}

/// Little-endian fields, one after the other.
struct Out(Vec<u8>);

impl Out {
    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn u16(&mut self, n: u16) -> &mut Self {
        self.bytes(&n.to_le_bytes())
    }

    fn u32(&mut self, n: u32) -> &mut Self {
        self.bytes(&n.to_le_bytes())
    }

    fn u64(&mut self, n: u64) -> &mut Self {
        self.bytes(&n.to_le_bytes())
    }

    fn xattrs(&mut self, extended: bool, head: &Head) {
        if extended {
            self.u32(head.xattrs.unwrap_or(NONE));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ondisk::fields::{le16, le32, le64};

    const HEAD: Head = Head {
        mode: 0o644,
        uid: 0,
        gid: 1,
        mtime: 9,
        number: 7,
        links: 1,
        xattrs: None,
    };

    fn file(start: u64, size: u64, holes: u64) -> Body<'static> {
        Body::File {
            start,
            size,
            holes,
            fragment: None,
            blocks: &[5],
        }
    }

    #[test]
    fn a_file_is_extended_only_where_the_basic_form_cannot_say_it() {
        let far = u64::from(u32::MAX);
        for (links, body, want) in [
            (1, file(96, far, 0), Type::File as u16),
            (1, file(far, 1, 0), Type::File as u16),
            (1, file(far + 1, 1, 0), 9),
            (1, file(96, far + 1, 0), 9),
            (1, file(96, 4096, 1), 9),
            (2, file(96, 1, 0), 9),
        ] {
            let bytes = encode(&Head { links, ..HEAD }, &body);
            assert_eq!(le16(&bytes, 0), want, "{links} {body:?}");
            assert_eq!(bytes.len(), if want == 9 { 60 } else { 36 });
        }
    }

    #[test]
    fn a_file_of_holes_alone_still_takes_a_byte() {
        let bytes = encode(&HEAD, &file(0, 4096, 4096));
        assert_eq!(le64(&bytes, 32), 4095);
    }

    #[test]
    fn attributes_make_every_kind_extended() {
        let directory = Body::Directory {
            listing: Place::default(),
            length: 0,
            parent: 1,
            index: &[],
        };
        let bodies = [
            directory,
            file(0, 0, 0),
            Body::Symlink(b"x"),
            Body::Block(1),
            Body::Char(1),
            Body::Fifo,
            Body::Socket,
        ];
        for (body, length) in bodies.into_iter().zip([40, 60, 29, 28, 28, 24, 24]) {
            let xattrs = Some(3);
            let bytes = encode(&Head { xattrs, ..HEAD }, &body);
            assert_eq!(le16(&bytes, 0), body.kind() as u16 + 7);
            assert_eq!(bytes.len(), length, "{body:?}");
        }
    }

    #[test]
    fn a_long_listing_makes_its_directory_extended() {
        for (length, want) in [(65_532, 1), (65_533, 8)] {
            let body = Body::Directory {
                listing: Place::default(),
                length,
                parent: 1,
                index: &[],
            };
            assert_eq!(le16(&encode(&HEAD, &body), 0), want);
        }
    }

    #[test]
    fn device_numbers_are_the_kernels() {
        assert_eq!(device_number(8, 1), 0x801);
        assert_eq!(device_number(0xfff, 0xf_ffff), u32::MAX);
        assert_eq!(device_number(1, 0x100), 0x10_0100);
        assert_eq!(
            le32(&encode(&HEAD, &Body::Char(device_number(5, 1))), 20),
            0x501
        );
    }
}
