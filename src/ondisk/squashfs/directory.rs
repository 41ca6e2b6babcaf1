//! Listings of directories: runs of entries behind headers, and the index that finds a name
//! in a long one (`include/linux/squashfs_fs.h`, struct squashfs_dir_header, squashfs_dir_entry,
//! squashfs_dir_index).

use super::inode::Type;
use super::metadata::{BLOCK, Place};

/// Most entries behind one header (SQUASHFS_DIR_COUNT).
const RUN: usize = 256;
/// Longest name, in bytes (SQUASHFS_NAME_LEN); Linux itself finds none above 255.
pub const NAME: usize = 256;
const HEADER_LENGTH: usize = 12;
const ENTRY_LENGTH: usize = 8;
/// An inode counts its index entries in 16 bits.
const MOST_INDEXES: usize = u16::MAX as usize;

/// A name and where it leads.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// 1 to 256 bytes without a slash.
    pub name: &'a [u8],
    /// The inode's place in the inode table.
    pub place: Place,
    /// The inode's number.
    pub number: u32,
    /// What it is.
    pub kind: Type,
}

/// A header that lookups may jump to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Its place in the listing, in unpacked bytes.
    pub at: u32,
    /// The first name behind it.
    pub name: Vec<u8>,
}

/// A directory's listing.
#[derive(Debug, Default)]
pub struct Listing {
    /// Headers and entries.
    pub bytes: Vec<u8>,
    /// About one for each 8 KiB behind the first.
    pub index: Vec<Index>,
}

/// The listing of entries that are sorted by the bytes of their names.
pub fn encode(entries: &[Entry<'_>]) -> Listing {
    let mut listing = Listing::default();
    let mut run: Option<Run> = None;
    let mut indexed = 0;
    for entry in entries {
        let end = listing.bytes.len() + ENTRY_LENGTH + entry.name.len();
        // A lookup unpacks one block behind the place that it jumps to.
        let far = end - indexed > BLOCK && listing.index.len() < MOST_INDEXES;
        let open = run.filter(|run| !far && run.takes(entry));
        let mut open = open.unwrap_or_else(|| {
            if far {
                indexed = listing.bytes.len();
                listing.index.push(Index {
                    at: u32::try_from(indexed).unwrap_or(u32::MAX),
                    name: entry.name.to_vec(),
                });
            }
            Run::begin(&mut listing.bytes, entry)
        });
        open.add(&mut listing.bytes, entry);
        run = Some(open);
    }
    listing
}

/// Entries behind one header: their inodes stand in one metadata block, with numbers near
/// the first one's.
#[derive(Clone, Copy)]
struct Run {
    header: usize,
    count: usize,
    block: u32,
    number: u32,
}

impl Run {
    fn begin(bytes: &mut Vec<u8>, entry: &Entry<'_>) -> Run {
        let header = bytes.len();
        bytes.extend_from_slice(&[0; HEADER_LENGTH]);
        bytes[header + 4..header + 8].copy_from_slice(&entry.place.block.to_le_bytes());
        bytes[header + 8..].copy_from_slice(&entry.number.to_le_bytes());
        Run {
            header,
            count: 0,
            block: entry.place.block,
            number: entry.number,
        }
    }

    fn takes(&self, entry: &Entry<'_>) -> bool {
        self.count < RUN && self.block == entry.place.block && self.delta(entry).is_some()
    }

    fn delta(&self, entry: &Entry<'_>) -> Option<i16> {
        i16::try_from(i64::from(entry.number) - i64::from(self.number)).ok()
    }

    fn add(&mut self, bytes: &mut Vec<u8>, entry: &Entry<'_>) {
        bytes.extend_from_slice(&entry.place.offset.to_le_bytes());
        bytes.extend_from_slice(&self.delta(entry).unwrap_or_default().to_le_bytes());
        bytes.extend_from_slice(&(entry.kind as u16).to_le_bytes());
        bytes.extend_from_slice(&(entry.name.len() as u16).saturating_sub(1).to_le_bytes());
        bytes.extend_from_slice(entry.name);
        let count = self.count as u32;
        bytes[self.header..self.header + 4].copy_from_slice(&count.to_le_bytes());
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ondisk::fields::{le16, le32};

    /// How many entries stand behind each header.
    fn runs(bytes: &[u8]) -> Vec<u32> {
        let (mut at, mut runs) = (0, Vec::new());
        while at < bytes.len() {
            let count = le32(bytes, at) + 1;
            runs.push(count);
            at += HEADER_LENGTH;
            for _ in 0..count {
                at += ENTRY_LENGTH + usize::from(le16(bytes, at + 6)) + 1;
            }
        }
        runs
    }

    fn entry(name: &[u8], block: u32, number: u32) -> Entry<'_> {
        Entry {
            name,
            place: Place { block, offset: 4 },
            number,
            kind: Type::File,
        }
    }

    #[test]
    fn a_header_serves_256_entries_of_one_block_with_near_numbers() {
        let many: Vec<_> = (0..257).map(|n| entry(b"x", 0, n)).collect();
        assert_eq!(runs(&encode(&many).bytes), [256, 1]);
        let blocks = [entry(b"a", 0, 1), entry(b"b", 9, 2)];
        assert_eq!(runs(&encode(&blocks).bytes), [1, 1]);
        let near = [entry(b"a", 0, 40_000), entry(b"b", 0, 72_767)];
        assert_eq!(runs(&encode(&near).bytes), [2]);
        let far = [entry(b"a", 0, 40_000), entry(b"b", 0, 72_768)];
        assert_eq!(runs(&encode(&far).bytes), [1, 1]);
        let back = [entry(b"a", 0, 40_000), entry(b"b", 0, 7_231)];
        assert_eq!(runs(&encode(&back).bytes), [1, 1]);
    }

    #[test]
    fn an_index_names_a_header_within_each_8_kib() {
        let names: Vec<Vec<u8>> = (0..200).map(|n| format!("{n:0>200}").into()).collect();
        let entries: Vec<_> = names.iter().map(|name| entry(name, 0, 1)).collect();
        let listing = encode(&entries);
        assert_eq!(listing.index.len(), 5);
        let mut before = 0;
        for index in &listing.index {
            let at = index.at as usize;
            assert!(at - before <= BLOCK);
            let name = at + HEADER_LENGTH + ENTRY_LENGTH;
            assert_eq!(listing.bytes[name..name + 200], index.name);
            before = at;
        }
    }

    #[test]
    fn an_empty_directory_has_an_empty_listing() {
        assert!(encode(&[]).bytes.is_empty());
    }
}
