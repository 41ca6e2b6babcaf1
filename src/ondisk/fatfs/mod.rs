//! The files of a FAT, and where their bytes lie.
//!
//! Microsoft's "FAT: General Overview of On-Disk Format" 1.03: the type follows from the
//! count of clusters (page 14), long names (page 27). `fat.rs` has what a probe asks.

mod entries;

use crate::ondisk::fields::{byte, le16, le32};
use crate::ondisk::{ByteSource, ReadError, fat, read_up_to};
use entries::entries;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::Range;

/// Fewer clusters make a FAT12.
pub const LEAST_FAT16: u64 = 4_085;
/// Fewer clusters make no FAT32.
pub const LEAST_FAT32: u64 = 65_525;

/// Bounds of a walk, so that a hostile volume ends it.
const MOST_FILES: usize = 20_000;
const MOST_DEPTH: usize = 32;
const LONGEST_DIRECTORY: u64 = 2 << 20;
const MOST_CLUSTERS: u64 = 1 << 22;
/// A FAT that is longer is no ESP's: 2^22 clusters of four bytes.
const LONGEST_FAT: u64 = 16 << 20;

const ENTRY: usize = 32;
const ATTR_LONG: u8 = 0x0f;
const ATTR_VOLUME: u8 = 0x08;
const ATTR_DIRECTORY: u8 = 0x10;

/// Bits of an entry in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum FatType {
    Fat12,
    Fat16,
    Fat32,
}

impl std::fmt::Display for FatType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            FatType::Fat12 => "FAT12",
            FatType::Fat16 => "FAT16",
            FatType::Fat32 => "FAT32",
        })
    }
}

/// A FAT volume's measures; offsets and lengths in bytes from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// As its boot sector is built: with 32-bit fields or without.
    pub header: FatType,
    /// As the count of clusters says.
    pub counted: FatType,
    /// Data clusters.
    pub clusters: u64,
    /// Length of a cluster.
    pub cluster: u64,
    /// The copies of the table.
    pub tables: Vec<Range<u64>>,
    /// The root directory of FAT12 and FAT16; empty for FAT32.
    pub root: Range<u64>,
    /// First cluster of FAT32's root directory; 0 otherwise.
    pub root_cluster: u32,
    /// Where clusters begin.
    pub data: u64,
    /// Length of the whole.
    pub length: u64,
    /// Label of the root directory or the boot sector.
    pub label: Option<String>,
}

/// A file or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FatFile {
    /// From the root, without a slash before it.
    pub path: String,
    /// Whether it is a directory.
    pub directory: bool,
    /// Length in bytes; of a directory that of its clusters.
    pub length: u64,
    /// Its pieces in order, bytes from the volume's start; they may reach behind `length`.
    pub extents: Vec<Range<u64>>,
}

/// What the directories hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// Directories before what is in them.
    pub files: Vec<FatFile>,
    /// What was wrong, with its place.
    pub trouble: Vec<String>,
}

/// Reads a volume's measures; none if it is no FAT.
///
/// # Errors
/// When the source can't be read.
pub fn read_volume(src: &dyn ByteSource) -> Result<Option<Volume>, ReadError> {
    let head = read_up_to(src, 0, 512)?;
    if !fat::is_boot_sector(&head) {
        return Ok(None);
    }
    let sector = u64::from(le16(&head, 0x0b));
    let per_cluster = u64::from(byte(&head, 0x0d)).max(1);
    let reserved = u64::from(le16(&head, 0x0e));
    let copies = u64::from(byte(&head, 0x10));
    let root_length = u64::from(le16(&head, 0x11)) * ENTRY as u64;
    let sectors = match le16(&head, 0x13) {
        0 => u64::from(le32(&head, 0x20)),
        sectors => u64::from(sectors),
    };
    let (is_32, fat) = match le16(&head, 0x16) {
        0 => (true, u64::from(le32(&head, 0x24))),
        sectors => (false, u64::from(sectors)),
    };
    let root = (reserved + copies * fat) * sector;
    let data = root + root_length.next_multiple_of(sector.max(1));
    let cluster = per_cluster * sector;
    let clusters = (sectors * sector).saturating_sub(data) / cluster.max(1);
    let counted = match clusters {
        0..LEAST_FAT16 => FatType::Fat12,
        LEAST_FAT16..LEAST_FAT32 => FatType::Fat16,
        _ => FatType::Fat32,
    };
    let header = match (is_32, counted) {
        (true, _) => FatType::Fat32,
        (false, FatType::Fat12) => FatType::Fat12,
        (false, _) => FatType::Fat16,
    };
    let tables =
        (0..copies).map(|n| (reserved + n * fat) * sector..(reserved + (n + 1) * fat) * sector);
    let label = fat::probe(&head, src)?.and_then(|facts| facts.label);
    Ok(Some(Volume {
        header,
        counted,
        clusters,
        cluster,
        tables: tables.collect(),
        root: root..if is_32 { root } else { root + root_length },
        root_cluster: if is_32 { le32(&head, 0x2c) } else { 0 },
        data,
        length: sectors * sector,
        label: label.map(|label| label.to_string()),
    }))
}

impl Volume {
    /// Where a cluster lies.
    fn place(&self, cluster: u32) -> Range<u64> {
        let start = self.data + u64::from(cluster.saturating_sub(2)) * self.cluster;
        start..start + self.cluster
    }

    /// All files. A table of more than 16 MiB is read that far.
    ///
    /// # Errors
    /// When the table can't be read.
    pub fn walk(&self, src: &dyn ByteSource) -> Result<Walk, ReadError> {
        let first = self.tables.first().cloned().unwrap_or(0..0);
        let length = (first.end - first.start).min(LONGEST_FAT) as usize;
        let table = Table {
            bytes: read_up_to(src, first.start, length)?,
            left: Cell::new(self.clusters.min(MOST_CLUSTERS)),
            volume: self,
        };
        let mut walk = Walk::default();
        let mut seen = BTreeSet::new();
        let root = match self.header {
            FatType::Fat32 => table.chain(self.root_cluster, &mut walk.trouble, "/"),
            _ => vec![self.root.clone()],
        };
        let mut todo = vec![(String::new(), root, 0)];
        while let Some((path, extents, depth)) = todo.pop() {
            let mut bytes = Vec::new();
            for extent in &extents {
                let left = LONGEST_DIRECTORY.saturating_sub(bytes.len() as u64);
                let length = (extent.end - extent.start).min(left) as usize;
                match read_up_to(src, extent.start, length) {
                    Ok(more) => {
                        if more.len() < length {
                            walk.trouble.push(format!(
                                "/{path}: the directory at byte {} is cut short",
                                extent.start
                            ));
                        }
                        bytes.extend(more);
                    }
                    Err(why) => walk.trouble.push(format!(
                        "/{path}: the directory at byte {}: {why}",
                        extent.start
                    )),
                }
            }
            for found in entries(&bytes) {
                if walk.files.len() >= MOST_FILES {
                    walk.trouble.push(format!(
                        "more than {MOST_FILES} files: the rest is not read"
                    ));
                    return Ok(walk);
                }
                let path = match path.as_str() {
                    "" => found.name,
                    above => format!("{above}/{}", found.name),
                };
                let extents = match found.cluster {
                    0 => Vec::new(),
                    first => table.chain(first, &mut walk.trouble, &path),
                };
                let room: u64 = extents.iter().map(|e| e.end - e.start).sum();
                if found.directory {
                    if depth < MOST_DEPTH && seen.insert(found.cluster) {
                        todo.push((path.clone(), extents.clone(), depth + 1));
                    }
                } else if room < found.size {
                    walk.trouble.push(format!(
                        "/{path}: {} bytes, but its clusters hold {room}",
                        found.size
                    ));
                }
                walk.files.push(FatFile {
                    path,
                    directory: found.directory,
                    length: if found.directory { room } else { found.size },
                    extents,
                });
            }
        }
        Ok(walk)
    }
}

struct Table<'a> {
    bytes: Vec<u8>,
    /// Clusters that no chain has used yet.
    left: Cell<u64>,
    volume: &'a Volume,
}

impl Table<'_> {
    fn next(&self, cluster: u32) -> Option<u32> {
        let n = cluster as usize;
        let (next, end) = match self.volume.header {
            FatType::Fat12 => {
                let pair = le16(&self.bytes, n + n / 2);
                (
                    u32::from(if n.is_multiple_of(2) {
                        pair & 0xfff
                    } else {
                        pair >> 4
                    }),
                    0xff7,
                )
            }
            FatType::Fat16 => (u32::from(le16(&self.bytes, n * 2)), 0xfff7),
            FatType::Fat32 => (
                le32(&self.bytes, n.saturating_mul(4)) & 0x0fff_ffff,
                0x0fff_fff7,
            ),
        };
        (next < end).then_some(next)
    }

    /// The pieces of a chain; neighbours become one.
    ///
    /// A cluster belongs to one file, so all chains together have no more steps than there are
    /// clusters; those that share some spend the rest's.
    fn chain(&self, first: u32, trouble: &mut Vec<String>, path: &str) -> Vec<Range<u64>> {
        let mut pieces: Vec<Range<u64>> = Vec::new();
        let mut cluster = first;
        loop {
            let inside = cluster >= 2 && u64::from(cluster) < self.volume.clusters + 2;
            let left = self.left.get().checked_sub(1);
            let (true, Some(left)) = (inside, left) else {
                trouble.push(format!(
                    "/{path}: its chain of clusters leads to {cluster}, which is none, another's or a circle"
                ));
                return pieces;
            };
            self.left.set(left);
            let place = self.volume.place(cluster);
            match pieces.last_mut() {
                Some(last) if last.end == place.start => last.end = place.end,
                _ => pieces.push(place),
            }
            match self.next(cluster) {
                Some(next) => cluster = next,
                None => return pieces,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ondisk::window::Window;
    use proptest::prelude::*;

    #[derive(Debug)]
    struct Disk(Vec<u8>);

    impl ByteSource for Disk {
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
            self.0.read_at(offset, buf)
        }
        fn len(&self) -> u64 {
            self.0.len() as u64
        }
    }

    /// FAT12 of 100 sectors: one reserved, two tables of one, 16 entries, clusters of one.
    fn disk() -> Disk {
        let mut bytes = vec![0; 100 * 512];
        bytes[0x0b..0x0d].copy_from_slice(&512u16.to_le_bytes());
        bytes[0x0d..0x11].copy_from_slice(&[1, 1, 0, 2]);
        bytes[0x11] = 16;
        bytes[0x13] = 100;
        bytes[0x15] = 0xf8;
        bytes[0x16] = 1;
        bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
        // Cluster 2 (a directory) ends; 3 goes on at 5, which ends.
        bytes[512..512 + 9].copy_from_slice(&[0xf8, 0xff, 0xff, 0xff, 0x5f, 0, 0, 0xf0, 0xff]);
        let root = 3 * 512;
        bytes[root..root + 12].copy_from_slice(b"EFI        \x10");
        bytes[root + 26] = 2;
        let dir = 4 * 512;
        bytes[dir..dir + 12].copy_from_slice(b"A       TXT\x20");
        bytes[dir + 12] = 8 | 16;
        bytes[dir + 26] = 3;
        bytes[dir + 28..dir + 30].copy_from_slice(&600u16.to_le_bytes());
        Disk(bytes)
    }

    #[test]
    fn files_are_found_with_their_pieces() {
        let disk = disk();
        let volume = read_volume(&disk).unwrap().unwrap();
        assert_eq!((volume.header, volume.clusters), (FatType::Fat12, 96));
        let walk = volume.walk(&disk).unwrap();
        assert_eq!(walk.trouble, Vec::<String>::new());
        assert_eq!(walk.files[1].path, "EFI/a.txt");
        assert_eq!(walk.files[1].extents, [5 * 512..6 * 512, 7 * 512..8 * 512]);
    }

    proptest! {
        #[test]
        fn damaged_volumes_end(damage in proptest::collection::vec((0usize..4096, any::<u8>()), 0..40), cut in 0u64..51_200) {
            let mut disk = disk();
            for (at, byte) in damage { disk.0[at] = byte; }
            let cut = Window::new(&disk, 0, cut);
            for src in [&disk as &dyn ByteSource, &cut] {
                if let Ok(Some(volume)) = read_volume(src) {
                    let _ = volume.walk(src);
                }
            }
        }
    }
}
