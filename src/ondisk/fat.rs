//! FAT12, FAT16 and FAT32: sticks and EFI system partitions.
//!
//! Microsoft's "FAT: General Overview of On-Disk Format" 1.03; `fs/fat/inode.c`,
//! fat_read_bpb, and libblkid's `superblocks/vfat.c` for what counts as valid.

pub mod geometry;
pub mod names;
pub mod write;

use super::fields::{byte, has_magic, le16, le32, slice};
use super::{ByteSource, FsFacts, FsKind, Probed, ReadError, read_up_to, text};
use crate::units::{Bytes, Label};

const BYTES_PER_SECTOR: usize = 0x0b;
const SECTORS_PER_CLUSTER: usize = 0x0d;
const RESERVED_SECTORS: usize = 0x0e;
const NUMBER_OF_FATS: usize = 0x10;
const ROOT_ENTRIES: usize = 0x11;
const TOTAL_SECTORS_16: usize = 0x13;
const MEDIA: usize = 0x15;
const FAT_SIZE_16: usize = 0x16;
const TOTAL_SECTORS_32: usize = 0x20;
const FAT_SIZE_32: usize = 0x24;
const ROOT_CLUSTER: usize = 0x2c;
/// Start of the extended boot record.
const EXTENDED_16: usize = 0x24;
const EXTENDED_32: usize = 0x40;
/// Within it.
const BOOT_SIGNATURE: usize = 2;
const SERIAL: usize = 3;
const BOOT_LABEL: usize = 7;
const TYPE_TEXT: usize = 18;

const TYPE_TEXTS: [&[u8]; 3] = [b"FAT", b"MSDOS", b"MSWIN"];
/// OS/2 puts a mock boot sector in front of these.
const OTHERS: [&[u8]; 2] = [b"JFS     ", b"HPFS    "];

const ENTRY: usize = 32;
const ATTRIBUTES: usize = 11;
const ATTR_VOLUME_ID: u8 = 0x08;
const ATTR_DIRECTORY: u8 = 0x10;
const ATTR_LONG_NAME: u8 = 0x0f;
const CLUSTER_HIGH: usize = 20;
const CLUSTER_LOW: usize = 26;
const FREE: u8 = 0xe5;
/// Stands for a true 0xe5 at the start of a name.
const KANJI_E5: u8 = 0x05;

/// How much of a root directory is searched, and in what pieces: 2,048 entries, fewer
/// where clusters are smaller than a piece.
const PIECE: usize = 4096;
const PIECES: usize = 16;

/// The boot sector, checked.
struct Geometry {
    cluster: u64,
    /// Where the tables begin, bytes.
    tables: u64,
    /// Where the tables end: root directory or first cluster, bytes.
    tables_end: u64,
    length: u64,
    root: Root,
}

enum Root {
    /// FAT12 and FAT16: so many entries behind the tables.
    Fixed(u64),
    /// FAT32: a chain of clusters, and how many the table has.
    Chain(u32, u32),
}

/// Whether a boot sector is FAT's and not a partition table's.
pub fn is_boot_sector(head: &[u8]) -> bool {
    geometry(head).is_some()
}

/// Facts of a device, `head` being its first bytes.
pub fn probe(head: &[u8], src: &dyn ByteSource) -> Probed {
    let Some(geometry) = geometry(head) else {
        return Ok(None);
    };
    let extended = match geometry.root {
        Root::Fixed(_) => EXTENDED_16,
        Root::Chain(..) => EXTENDED_32,
    };
    let boot = slice(head, extended, TYPE_TEXT + 8);
    let signature = byte(boot, BOOT_SIGNATURE);
    let label = match root_label(&geometry, src)? {
        None if signature == 0x29 => boot_label(slice(boot, BOOT_LABEL, 11)),
        label => label,
    };
    let has_serial = extended == EXTENDED_32 || matches!(signature, 0x28 | 0x29);
    Ok(Some(FsFacts {
        kind: FsKind::Vfat,
        label,
        uuid: text::serial(if has_serial { le32(boot, SERIAL) } else { 0 }),
        size: Some(Bytes(geometry.length)),
    }))
}

fn geometry(head: &[u8]) -> Option<Geometry> {
    let sector = u64::from(le16(head, BYTES_PER_SECTOR));
    let per_cluster = byte(head, SECTORS_PER_CLUSTER);
    let reserved = u64::from(le16(head, RESERVED_SECTORS));
    let fats = u64::from(byte(head, NUMBER_OF_FATS));
    let media = byte(head, MEDIA);
    let sound = has_text_or_mark(head)
        && sector.is_power_of_two()
        && (512..=4096).contains(&sector)
        && per_cluster.is_power_of_two()
        && reserved != 0
        && (1..=2).contains(&fats)
        && (media == 0xf0 || media >= 0xf8);
    if !sound {
        return None;
    }
    let entries = u64::from(le16(head, ROOT_ENTRIES));
    let (fat_size, root) = match (le16(head, FAT_SIZE_16), le32(head, FAT_SIZE_32)) {
        (0, 0) => return None,
        (0, size) => {
            let clusters = u32::try_from(u64::from(size) * sector / 4).unwrap_or(u32::MAX);
            (
                u64::from(size),
                Root::Chain(le32(head, ROOT_CLUSTER), clusters),
            )
        }
        (size, _) => (u64::from(size), Root::Fixed(entries)),
    };
    let sectors = match le16(head, TOTAL_SECTORS_16) {
        0 => u64::from(le32(head, TOTAL_SECTORS_32)),
        sectors => u64::from(sectors),
    };
    let tables_end = reserved + fats * fat_size;
    (sectors > tables_end).then_some(Geometry {
        cluster: u64::from(per_cluster) * sector,
        tables: reserved * sector,
        tables_end: tables_end * sector,
        length: sectors * sector,
        root,
    })
}

/// Its own text, or at least the mark that old floppies share with a partition table.
fn has_text_or_mark(head: &[u8]) -> bool {
    let at = |extended: usize, texts: &[&[u8]]| {
        texts
            .iter()
            .any(|text| has_magic(head, extended + TYPE_TEXT, text))
    };
    let text = at(EXTENDED_16, &TYPE_TEXTS) || at(EXTENDED_32, &TYPE_TEXTS);
    text || has_magic(head, 510, &[0x55, 0xaa]) && !at(EXTENDED_16, &OTHERS)
}

fn root_label(geometry: &Geometry, src: &dyn ByteSource) -> Result<Option<Label>, ReadError> {
    let mut left = match geometry.root {
        Root::Fixed(entries) => entries * ENTRY as u64,
        Root::Chain(..) => geometry.cluster,
    };
    let (mut cluster, clusters) = match geometry.root {
        Root::Fixed(_) => (0, 0),
        Root::Chain(first, clusters) => (first, clusters),
    };
    let in_table = |cluster: u32| cluster >= 2 && cluster < clusters;
    let start = |cluster: u32| {
        geometry.tables_end + u64::from(cluster.saturating_sub(2)) * geometry.cluster
    };
    if clusters != 0 && !in_table(cluster) {
        return Ok(None);
    }
    let mut at = start(cluster);
    for _ in 0..PIECES {
        let length = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
        let piece = read_up_to(src, at, length)?;
        for entry in piece.chunks_exact(ENTRY) {
            if byte(entry, 0) == 0 {
                return Ok(None);
            }
            if is_volume_entry(entry) {
                return Ok(entry_label(entry));
            }
        }
        at += length as u64;
        left -= length as u64;
        if left == 0 {
            if clusters == 0 {
                return Ok(None);
            }
            let entry = read_up_to(src, geometry.tables + u64::from(cluster) * 4, 4)?;
            cluster = le32(&entry, 0) & 0x0fff_ffff;
            if !in_table(cluster) {
                return Ok(None);
            }
            (at, left) = (start(cluster), geometry.cluster);
        }
    }
    Ok(None)
}

fn is_volume_entry(entry: &[u8]) -> bool {
    let attributes = byte(entry, ATTRIBUTES);
    byte(entry, 0) != FREE
        && le16(entry, CLUSTER_HIGH) == 0
        && le16(entry, CLUSTER_LOW) == 0
        && attributes & 0x3f != ATTR_LONG_NAME
        && attributes & (ATTR_VOLUME_ID | ATTR_DIRECTORY) == ATTR_VOLUME_ID
}

fn entry_label(entry: &[u8]) -> Option<Label> {
    let mut name = slice(entry, 0, 11).to_vec();
    if let Some(first) = name.first_mut().filter(|first| **first == KANJI_E5) {
        *first = FREE;
    }
    text::label(&name)
}

/// What mkfs.fat(8) writes for "none" is none.
fn boot_label(field: &[u8]) -> Option<Label> {
    if field == b"NO NAME    " {
        None
    } else {
        text::label(field)
    }
}
