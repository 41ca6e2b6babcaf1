//! Descriptors and directories of ISO 9660, with the names of Rock Ridge.
//!
//! ECMA-119 (4th edition): 8.4 descriptors, 9.1 directory records; IEEE P1282 (SUSP 1.12,
//! RRIP 1.12): `NM`, `SL`, `CL`, `CE`. `iso9660.rs` has what a probe asks.

mod rockridge;

use crate::ondisk::fields::{byte, has_magic, le16, le32, slice};
use crate::ondisk::{ByteSource, ReadError, read_up_to};
use std::collections::BTreeSet;

/// Sector, bytes.
pub const SECTOR: u64 = 2048;
/// First descriptor, sectors.
pub const FIRST: u64 = 16;
/// More descriptors than any disc has.
const MOST_DESCRIPTORS: u64 = 32;
/// Bounds of a walk, so that a hostile disc ends it.
const MOST_FILES: usize = 200_000;
/// Bytes of all paths together.
const LONGEST_PATHS: usize = 32 << 20;
const MOST_DEPTH: usize = 64;
/// A directory that is longer is not read to its end.
const LONGEST_DIRECTORY: u64 = 64 << 20;

const VOLUME_ID: usize = 40;
const VOLUME_SPACE_SIZE: usize = 80;
const ESCAPE_SEQUENCES: usize = 88;
const PATH_TABLE_SIZE: usize = 132;
const PATH_TABLES: [(usize, bool); 4] = [(140, false), (144, false), (148, true), (152, true)];
const ROOT: usize = 156;

const FLAG_DIRECTORY: u8 = 2;
const FLAG_ASSOCIATED: u8 = 4;
const FLAG_MORE: u8 = 0x80;

/// What a descriptor is (ECMA-119 8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// El Torito's, or another's.
    BootRecord,
    /// The one.
    Primary,
    /// Joliet's.
    Joliet,
    /// Another supplementary or enhanced one.
    Supplementary,
    /// Volume partition.
    Partition,
    /// The last one.
    Terminator,
    /// A number that the standard does not know.
    Other(u8),
}

/// A volume descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Which.
    pub kind: Kind,
    /// Its sector.
    pub lba: u64,
    /// Volume id as it stands, without the blanks at its end; empty for boot records.
    pub label: String,
    /// Length of the volume in sectors.
    pub sectors: u32,
    /// Where the root directory begins, sectors, and its length in bytes.
    pub root: (u32, u32),
    /// Path tables: sector and length in bytes.
    pub path_tables: Vec<(u32, u32)>,
}

/// The descriptors from sector `first` on, up to and with the terminator; none where there
/// are none.
///
/// # Errors
/// When the source can't be read.
pub fn read_descriptors(src: &dyn ByteSource, first: u64) -> Result<Vec<Descriptor>, ReadError> {
    let mut found = Vec::new();
    for lba in first..first + MOST_DESCRIPTORS {
        let bytes = read_up_to(src, lba * SECTOR, SECTOR as usize)?;
        if bytes.len() < SECTOR as usize || !has_magic(&bytes, 1, b"CD001") {
            break;
        }
        let descriptor = descriptor(&bytes, lba);
        let last = descriptor.kind == Kind::Terminator;
        found.push(descriptor);
        if last {
            break;
        }
    }
    Ok(found)
}

fn descriptor(bytes: &[u8], lba: u64) -> Descriptor {
    let kind = match byte(bytes, 0) {
        0 => Kind::BootRecord,
        1 => Kind::Primary,
        2 if has_magic(bytes, ESCAPE_SEQUENCES, b"%/") => Kind::Joliet,
        2 => Kind::Supplementary,
        3 => Kind::Partition,
        255 => Kind::Terminator,
        other => Kind::Other(other),
    };
    let id = slice(bytes, VOLUME_ID, 32);
    let label = match kind {
        Kind::Joliet => char::decode_utf16(crate::ondisk::text::units_be(id))
            .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect(),
        Kind::Primary | Kind::Supplementary => String::from_utf8_lossy(id).into_owned(),
        _ => String::new(),
    };
    let has_volume = matches!(kind, Kind::Primary | Kind::Joliet | Kind::Supplementary);
    let number = |at| if has_volume { le32(bytes, at) } else { 0 };
    let size = number(PATH_TABLE_SIZE);
    let tables = PATH_TABLES.into_iter().map(|(at, big)| match big {
        true => number(at).swap_bytes(),
        false => number(at),
    });
    Descriptor {
        kind,
        lba,
        label: label.trim_end_matches([' ', '\0']).to_owned(),
        sectors: number(VOLUME_SPACE_SIZE),
        root: (number(ROOT + 2), number(ROOT + 10)),
        path_tables: tables
            .filter(|lba| *lba != 0)
            .map(|lba| (lba, size))
            .collect(),
    }
}

/// A file or directory of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsoFile {
    /// From the root, without a slash before it. Rock Ridge's name where there is one.
    pub path: String,
    /// Whether it is a directory.
    pub directory: bool,
    /// Whether Rock Ridge calls it a symbolic link.
    pub symlink: bool,
    /// Its pieces: offset and length, bytes. More than one for files of 4 GiB and more.
    pub extents: Vec<(u64, u64)>,
}

impl IsoFile {
    /// Length, bytes.
    pub fn length(&self) -> u64 {
        self.extents
            .iter()
            .fold(0, |sum, (_, length)| sum.saturating_add(*length))
    }
}

/// A tree, and what stopped the walk through it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// In the order of the directories.
    pub files: Vec<IsoFile>,
    /// What was wrong, with its offset; empty when all could be read.
    pub trouble: Vec<String>,
}

/// All files below the root of a descriptor. `base` is added to sectors (0, but for
/// partitions that count from themselves). `joliet`: names are UCS-2.
pub fn walk(src: &dyn ByteSource, root: (u32, u32), joliet: bool) -> Walk {
    let mut walk = Walk::default();
    let mut seen = BTreeSet::new();
    let mut todo = vec![(String::new(), root, 0usize)];
    let mut skip = None;
    let mut paths = 0;
    while let Some((path, (lba, length), depth)) = todo.pop() {
        if !seen.insert(lba) {
            continue;
        }
        let (start, length) = (u64::from(lba) * SECTOR, u64::from(length));
        if depth > MOST_DEPTH || length > LONGEST_DIRECTORY {
            walk.trouble.push(format!(
                "/{path}: a directory of {length} bytes, {depth} deep, at byte {start} is not read"
            ));
            continue;
        }
        let bytes = match read_up_to(src, start, length as usize) {
            Ok(bytes) => bytes,
            Err(why) => {
                walk.trouble
                    .push(format!("/{path}: the directory at byte {start}: {why}"));
                continue;
            }
        };
        if (bytes.len() as u64) < length {
            walk.trouble.push(format!(
                "/{path}: the directory at byte {start} is cut short: {} of {length} bytes",
                bytes.len()
            ));
        }
        let mut directory = Vec::new();
        read_directory(src, &bytes, &path, joliet, &mut skip, &mut directory);
        for (file, at) in directory {
            paths += file.path.len();
            if walk.files.len() >= MOST_FILES || paths > LONGEST_PATHS {
                walk.trouble.push(format!(
                    "more than {MOST_FILES} files, or {LONGEST_PATHS} bytes of paths: the rest is not read"
                ));
                return walk;
            }
            if file.directory
                && let Some((lba, length)) = at
            {
                todo.push((file.path.clone(), (lba, length), depth + 1));
            }
            walk.files.push(file);
        }
    }
    walk
}

type Found = (IsoFile, Option<(u32, u32)>);

/// The records of one directory.
fn read_directory(
    src: &dyn ByteSource,
    bytes: &[u8],
    path: &str,
    joliet: bool,
    skip: &mut Option<usize>,
    found: &mut Vec<Found>,
) {
    let mut continued = false;
    for sector in bytes.chunks(SECTOR as usize) {
        let mut at = 0;
        // No record crosses a sector (ECMA-119 6.8.1.1).
        while at + 33 <= sector.len() {
            let length = usize::from(byte(sector, at));
            let name_length = usize::from(byte(sector, at + 32));
            if length < 34 || at + length > sector.len() || 33 + name_length > length {
                break;
            }
            let record = slice(sector, at, length);
            at += length;
            let flags = byte(record, 25);
            let id = slice(record, 33, name_length);
            let extent = (le32(record, 2), le32(record, 10));
            let system = slice(record, 33 + name_length + (1 - name_length % 2), length);
            if id == [0] || id == [1] {
                if id == [0] && skip.is_none() {
                    // `SP` of the root's first record: bytes to leave out before each area.
                    *skip = Some(match has_magic(system, 0, b"SP") && byte(system, 2) >= 7 {
                        true => usize::from(byte(system, 6)),
                        false => 0,
                    });
                }
                continue;
            }
            if flags & FLAG_ASSOCIATED != 0 {
                continue;
            }
            let piece = (u64::from(extent.0) * SECTOR, u64::from(extent.1));
            if continued && let Some((file, _)) = found.last_mut() {
                file.extents.push(piece);
            } else {
                let rock = rockridge::read(src, system.get(skip.unwrap_or(0)..).unwrap_or(&[]));
                let name = match (rock.name, joliet) {
                    (Some(name), _) => name,
                    (None, true) => char::decode_utf16(crate::ondisk::text::units_be(id))
                        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
                        .collect(),
                    (None, false) => plain_name(id),
                };
                let directory = flags & FLAG_DIRECTORY != 0;
                let path = match path {
                    "" => name,
                    above => format!("{above}/{name}"),
                };
                let file = IsoFile {
                    path,
                    directory: directory || rock.child.is_some(),
                    symlink: rock.symlink,
                    extents: vec![piece],
                };
                let at = rock.child.map(|lba| (lba, SECTOR as u32)).or(Some(extent));
                found.push((file, at));
            }
            continued = flags & FLAG_MORE != 0;
        }
    }
}

/// `NAME.EXT;1` as people write it.
fn plain_name(id: &[u8]) -> String {
    let text = String::from_utf8_lossy(id);
    let name = text.split(';').next().unwrap_or_default();
    name.trim_end_matches('.').to_owned()
}

/// Length of one logical block that a descriptor states; 0 where there is none.
pub fn block_size(descriptor: &[u8]) -> u16 {
    le16(descriptor, 128)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ondisk::window::Window;
    use proptest::prelude::*;

    #[derive(Debug)]
    struct Disc(Vec<u8>);

    impl ByteSource for Disc {
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
            self.0.read_at(offset, buf)
        }
        fn len(&self) -> u64 {
            self.0.len() as u64
        }
    }

    fn record(name: &[u8], flags: u8, lba: u32, length: u32, system: &[u8]) -> Vec<u8> {
        let mut record = vec![0; 33];
        record[2..6].copy_from_slice(&lba.to_le_bytes());
        record[10..14].copy_from_slice(&length.to_le_bytes());
        record[25] = flags;
        record[32] = name.len() as u8;
        record.extend_from_slice(name);
        if name.len().is_multiple_of(2) {
            record.push(0);
        }
        record.extend_from_slice(system);
        record[0] = record.len() as u8;
        record
    }

    /// A root at sector 1 with a directory at sector 2 and a file of two pieces.
    fn disc() -> Disc {
        let mut bytes = vec![0; 4 * SECTOR as usize];
        let mut root = record(&[0], 2, 1, 2048, b"SP\x07\x01\xbe\xef\x00");
        root.extend(record(&[1], 2, 1, 2048, b""));
        root.extend(record(
            b"DIR",
            2,
            2,
            2048,
            b"NM\x08\x01\x00dirNM\x07\x01\x00\x2d1",
        ));
        root.extend(record(b"BIG.;1", 0x80, 3, 2048, b""));
        root.extend(record(b"BIG.;1", 0, 3, 100, b""));
        bytes[2048..2048 + root.len()].copy_from_slice(&root);
        let mut dir = record(&[0], 2, 2, 2048, b"");
        dir.extend(record(&[1], 2, 1, 2048, b""));
        dir.extend(record(b"LOOP", 2, 1, 2048, b""));
        bytes[4096..4096 + dir.len()].copy_from_slice(&dir);
        Disc(bytes)
    }

    #[test]
    fn names_pieces_and_circles_are_understood() {
        let walk = walk(&disc(), (1, 2048), false);
        let names: Vec<_> = walk
            .files
            .iter()
            .map(|f| (f.path.as_str(), f.length()))
            .collect();
        assert_eq!(
            names,
            [("dir-1", 2048), ("BIG", 2148), ("dir-1/LOOP", 2048)]
        );
        assert_eq!(walk.trouble, Vec::<String>::new());
    }

    #[test]
    fn a_directory_behind_the_end_is_told_with_its_offset() {
        let disc = disc();
        let short = Window::new(&disc, 0, 4096 + 100);
        let walk = walk(&short, (1, 2048), false);
        assert_eq!(walk.files.len(), 2);
        assert!(
            walk.trouble[0]
                .contains("/dir-1: the directory at byte 4096 is cut short: 100 of 2048"),
            "{:?}",
            walk.trouble
        );
    }

    proptest! {
        #[test]
        fn damaged_directories_end(damage in proptest::collection::vec((2048usize..8192, any::<u8>()), 0..40), cut in 0u64..8192) {
            let mut disc = disc();
            for (at, byte) in damage { disc.0[at] = byte; }
            let _ = walk(&Window::new(&disc, 0, cut), (1, 2048), false);
            let _ = walk(&disc, (1, 4096), true);
        }
    }
}
