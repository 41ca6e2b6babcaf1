//! A new FAT16 or FAT32 volume: where each file goes, and the bytes of all that is no file.
//!
//! Microsoft's "FAT: General Overview of On-Disk Format" 1.03. All is known beforehand, so
//! directories and then files, in the order of their paths, lie one behind the other, each in
//! one piece. Whoever writes the volume copies the contents to their places; whatever is in
//! neither list is zero.

pub use super::geometry::{FatKind, Geometry};

use super::geometry::{ROOT_ENTRIES, SECTOR, TABLES};
use super::names::{self, Short};
use super::{
    ATTR_DIRECTORY, ATTRIBUTES, BOOT_LABEL, BOOT_SIGNATURE, BYTES_PER_SECTOR, CLUSTER_HIGH,
    CLUSTER_LOW, ENTRY, EXTENDED_16, EXTENDED_32, FAT_SIZE_16, FAT_SIZE_32, MEDIA, NUMBER_OF_FATS,
    RESERVED_SECTORS, ROOT_CLUSTER, SECTORS_PER_CLUSTER, SERIAL, TOTAL_SECTORS_16,
    TOTAL_SECTORS_32, TYPE_TEXT,
};
use crate::ondisk::fields::put;
use crate::units::Moment;
use std::collections::BTreeMap;
use std::fmt;

/// What a volume has beside files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    /// How large its parts are.
    pub geometry: Geometry,
    /// Its id.
    pub serial: u32,
    /// Of all dates, in UTC; FAT knows even seconds of 1980 to 2107.
    pub date: Moment,
    /// Sectors before it on the disk.
    pub hidden: u32,
}

/// A volume, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FatPlan {
    /// Its length in sectors of 512 bytes.
    pub sectors: u64,
    /// Offset in the volume and bytes: boot sectors, tables, directories.
    pub metadata: Vec<(u64, Vec<u8>)>,
    /// The files, in the order of their paths.
    pub files: Vec<FatFile>,
}

/// Where a file's contents go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FatFile {
    /// As it was given.
    pub path: String,
    /// Bytes from the volume's start; 0 for an empty file, which has no place.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
}

/// Why there is no such volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FatError {
    /// A path has a name that FAT has not, and why.
    Name(String, &'static str),
    /// Two paths are the same to FAT, or one is a directory of the other's.
    Same(String, String),
    /// A file's length does not fit 32 bits.
    FileTooLong(String, u64),
    /// A directory (the root is empty) would have so many entries, of so many at most.
    DirectoryFull(String, u64, u64),
    /// So many clusters are needed, and so many are there.
    Full(u64, u64),
}

impl fmt::Display for FatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FatError::Name(path, why) => write!(f, "{path}: {why}"),
            FatError::Same(one, two) => {
                write!(f, "{one} and {two} are the same on FAT, which ignores case")
            }
            FatError::FileTooLong(path, len) => {
                write!(
                    f,
                    "{path} has {len} bytes, and FAT holds files up to 4 GiB less one byte"
                )
            }
            FatError::DirectoryFull(path, entries, most) => write!(
                f,
                "/{path} would have {entries} entries (long names take several), and at most {most} fit"
            ),
            FatError::Full(needed, clusters) => {
                write!(
                    f,
                    "{needed} clusters are needed, and the volume has {clusters}"
                )
            }
        }
    }
}

/// Entries of a directory that is made of clusters (2 MiB, the specification's limit).
const MOST_ENTRIES: u64 = 65_536;
const ATTR_ARCHIVE: u8 = 0x20;
const CREATED: usize = 14;
const ACCESSED: usize = 18;
const WRITTEN: usize = 22;
const FILE_SIZE: usize = 28;
const MEDIA_FIXED: u8 = 0xf8;

/// A file or directory while the volume is planned.
#[derive(Debug)]
struct Node {
    path: String,
    name: String,
    len: u64,
    /// Of a directory, by place in the list; none for a file.
    children: Option<Vec<usize>>,
    parent: usize,
    /// Its name in its directory.
    short: Short,
    is_short: bool,
    cluster: u64,
}

/// How many clusters these files and their directories take.
///
/// # Errors
/// When a name, a length or a directory does not fit.
pub fn clusters_needed(
    kind: FatKind,
    cluster_bytes: u64,
    files: &[(String, u64)],
) -> Result<u64, FatError> {
    let nodes = nodes(files)?;
    check_directories(kind, &nodes)?;
    let clusters = |node| clusters_of(kind, cluster_bytes, &nodes, node);
    Ok((0..nodes.len()).map(clusters).sum())
}

/// The volume with these files: paths with slashes, and lengths in bytes.
///
/// # Errors
/// As of [`clusters_needed`], and when they do not fit the volume.
pub fn plan(volume: &Volume, files: &[(String, u64)]) -> Result<FatPlan, FatError> {
    let geometry = &volume.geometry;
    let kind = geometry.kind;
    let mut nodes = nodes(files)?;
    check_directories(kind, &nodes)?;
    let is_directory = |nodes: &[Node], n: usize| nodes[n].children.is_some();
    let (directories, plain): (Vec<_>, Vec<_>) =
        (0..nodes.len()).partition(|n| is_directory(&nodes, *n));
    let mut chains = Vec::new();
    let mut next = 2;
    for n in directories.iter().chain(&plain) {
        let clusters = clusters_of(kind, geometry.cluster_bytes(), &nodes, *n);
        if clusters > 0 {
            nodes[*n].cluster = next;
            next += clusters;
            chains.push(clusters);
        }
    }
    let used = next - 2;
    if used > geometry.clusters {
        return Err(FatError::Full(used, geometry.clusters));
    }
    let mut metadata = vec![(0, reserved(volume, used))];
    let table = table(kind, &chains);
    for n in 0..TABLES {
        let at = (kind.reserved() + n * geometry.table) * SECTOR;
        metadata.push((at, table.clone()));
    }
    for n in directories {
        let at = match nodes[n].cluster {
            0 => (kind.reserved() + TABLES * geometry.table) * SECTOR,
            cluster => geometry.offset(cluster),
        };
        metadata.push((at, directory(volume, &nodes, n)));
    }
    let place = |n: usize| FatFile {
        path: nodes[n].path.clone(),
        offset: match nodes[n].cluster {
            0 => 0,
            cluster => geometry.offset(cluster),
        },
        len: nodes[n].len,
    };
    Ok(FatPlan {
        sectors: geometry.sectors,
        metadata,
        files: plain.into_iter().map(place).collect(),
    })
}

/// The root, then all directories and files in the order of their paths.
fn nodes(files: &[(String, u64)]) -> Result<Vec<Node>, FatError> {
    let mut paths: BTreeMap<&str, Option<u64>> = BTreeMap::new();
    for (path, len) in files {
        if u32::try_from(*len).is_err() {
            return Err(FatError::FileTooLong(path.clone(), *len));
        }
        for (at, _) in path.match_indices('/') {
            if let Some(Some(_)) = paths.insert(&path[..at], None) {
                return Err(FatError::Same(path[..at].into(), path.clone()));
            }
        }
        if paths.insert(path, Some(*len)).is_some() {
            return Err(FatError::Same(path.clone(), path.clone()));
        }
    }
    let mut nodes = vec![Node::new("", "", None, 0)];
    let mut places = BTreeMap::from([("", 0)]);
    let mut folded: BTreeMap<(usize, String), &str> = BTreeMap::new();
    for (path, len) in paths {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        if let Some(why) = names::refusal(name) {
            return Err(FatError::Name(path.into(), why));
        }
        // A directory stands before what is in it: its path is the beginning of theirs.
        let parent = places.get(above).copied().unwrap_or(0);
        if let Some(other) = folded.insert((parent, names::folded(name)), path) {
            return Err(FatError::Same(other.into(), path.into()));
        }
        let place = nodes.len();
        places.insert(path, place);
        nodes.push(Node::new(path, name, len, parent));
        if let Some(children) = &mut nodes[parent].children {
            children.push(place);
        }
    }
    for n in 0..nodes.len() {
        name_children(&mut nodes, n);
    }
    Ok(nodes)
}

/// Gives all names in a directory their short forms.
fn name_children(nodes: &mut [Node], directory: usize) {
    let children = nodes[directory].children.clone().unwrap_or_default();
    let names: Vec<&str> = children.iter().map(|n| nodes[*n].name.as_str()).collect();
    for (n, (short, is_short)) in children.iter().zip(names::short_names(&names)) {
        (nodes[*n].short, nodes[*n].is_short) = (short, is_short);
    }
}

impl Node {
    fn new(path: &str, name: &str, len: Option<u64>, parent: usize) -> Node {
        Node {
            path: path.into(),
            name: name.into(),
            len: len.unwrap_or(0),
            children: len.is_none().then(Vec::new),
            parent,
            short: [b' '; 11],
            is_short: true,
            cluster: 0,
        }
    }
}

/// Entries that a directory's names take, with `.` and `..` but in the root.
fn entries_of(nodes: &[Node], n: usize) -> u64 {
    let children = nodes[n].children.iter().flatten();
    let names = children.map(|c| names::entries(&nodes[*c].name, nodes[*c].is_short));
    names.sum::<u64>() + if n == 0 { 0 } else { 2 }
}

fn check_directories(kind: FatKind, nodes: &[Node]) -> Result<(), FatError> {
    for n in (0..nodes.len()).filter(|n| nodes[*n].children.is_some()) {
        let most = match (kind, n) {
            (FatKind::Fat16, 0) => ROOT_ENTRIES,
            _ => MOST_ENTRIES,
        };
        let entries = entries_of(nodes, n);
        if entries > most {
            return Err(FatError::DirectoryFull(
                nodes[n].path.clone(),
                entries,
                most,
            ));
        }
    }
    Ok(())
}

fn clusters_of(kind: FatKind, cluster_bytes: u64, nodes: &[Node], n: usize) -> u64 {
    match (&nodes[n].children, kind, n) {
        (Some(_), FatKind::Fat16, 0) => 0,
        (Some(_), ..) => {
            let bytes = entries_of(nodes, n) * ENTRY as u64;
            bytes.div_ceil(cluster_bytes).max(1)
        }
        (None, ..) => nodes[n].len.div_ceil(cluster_bytes),
    }
}

/// The table, as far as it is not zero: each chain goes on to the next cluster.
fn table(kind: FatKind, chains: &[u64]) -> Vec<u8> {
    const END: u32 = 0x0fff_ffff;
    let first = END & !0xff | u32::from(MEDIA_FIXED);
    let mut entries = vec![first, END];
    for clusters in chains {
        let next = entries.len() as u32 + 1;
        entries.extend((1..*clusters).map(|n| next + n as u32 - 1));
        entries.push(END);
    }
    let entries = entries.into_iter();
    match kind {
        FatKind::Fat16 => entries.flat_map(|e| (e as u16).to_le_bytes()).collect(),
        FatKind::Fat32 => entries.flat_map(u32::to_le_bytes).collect(),
    }
}

fn directory(volume: &Volume, nodes: &[Node], n: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    if n != 0 {
        let above = nodes[n].parent;
        // The root is cluster 0 here, wherever it is.
        let above = if above == 0 { 0 } else { nodes[above].cluster };
        let mut name = [b' '; 11];
        for cluster in [nodes[n].cluster, above] {
            let dots = if cluster == nodes[n].cluster && bytes.is_empty() {
                1
            } else {
                2
            };
            name[..dots].fill(b'.');
            bytes.extend(entry(volume, &name, ATTR_DIRECTORY, cluster, 0));
        }
    }
    for child in nodes[n].children.iter().flatten().map(|c| &nodes[*c]) {
        if !child.is_short {
            bytes.extend(names::long_entries(&child.name, &child.short).concat());
        }
        let attributes = match child.children {
            Some(_) => ATTR_DIRECTORY,
            None => ATTR_ARCHIVE,
        };
        bytes.extend(entry(
            volume,
            &child.short,
            attributes,
            child.cluster,
            child.len,
        ));
    }
    bytes
}

fn entry(volume: &Volume, name: &Short, attributes: u8, cluster: u64, len: u64) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    let (date, time) = date(volume.date);
    let stamp = [time.to_le_bytes(), date.to_le_bytes()].concat();
    put(&mut entry, 0, name);
    entry[ATTRIBUTES] = attributes;
    put(&mut entry, CREATED, &stamp);
    put(&mut entry, ACCESSED, &date.to_le_bytes());
    put(&mut entry, WRITTEN, &stamp);
    put(
        &mut entry,
        CLUSTER_HIGH,
        &((cluster >> 16) as u16).to_le_bytes(),
    );
    put(&mut entry, CLUSTER_LOW, &(cluster as u16).to_le_bytes());
    put(&mut entry, FILE_SIZE, &(len as u32).to_le_bytes());
    entry
}

/// Date and time of an entry.
fn date(moment: Moment) -> (u16, u16) {
    let civil = moment.civil();
    let number = |year: u64, month: u64, day: u64| ((year - 1980) << 9 | month << 5 | day) as u16;
    match civil.year {
        ..1980 => (number(1980, 1, 1), 0),
        1980..2108 => (
            number(civil.year, civil.month, civil.day),
            (civil.hour << 11 | civil.minute << 5 | (civil.second / 2)) as u16,
        ),
        _ => (number(2107, 12, 31), (23 << 11 | 59 << 5 | 29) as u16),
    }
}

/// The sectors before the tables.
fn reserved(volume: &Volume, used: u64) -> Vec<u8> {
    const BACKUP: usize = 6;
    let mut bytes = boot_sector(volume);
    if volume.geometry.kind == FatKind::Fat32 {
        bytes.extend(fs_info(volume.geometry.clusters - used, used + 2));
        let copy = bytes.clone();
        bytes.resize(BACKUP * SECTOR as usize, 0);
        bytes.extend(copy);
    }
    bytes
}

fn boot_sector(volume: &Volume) -> Vec<u8> {
    let geometry = &volume.geometry;
    let is_16 = geometry.kind == FatKind::Fat16;
    let extended = if is_16 { EXTENDED_16 } else { EXTENDED_32 };
    let code = extended + TYPE_TEXT + 8;
    let mut boot = vec![0; SECTOR as usize];
    // A jump to the code, which asks the BIOS for the next device (INT 18h), and halts.
    put(&mut boot, 0, &[0xeb, (code - 2) as u8, 0x90]);
    put(&mut boot, 3, b"LIVEROOT");
    put(&mut boot, code, &[0xcd, 0x18, 0xf4, 0xeb, 0xfd]);
    put(&mut boot, BYTES_PER_SECTOR, &(SECTOR as u16).to_le_bytes());
    boot[SECTORS_PER_CLUSTER] = geometry.cluster as u8;
    let reserved = geometry.kind.reserved() as u16;
    put(&mut boot, RESERVED_SECTORS, &reserved.to_le_bytes());
    boot[NUMBER_OF_FATS] = TABLES as u8;
    boot[MEDIA] = MEDIA_FIXED;
    match u16::try_from(geometry.sectors) {
        Ok(sectors) if is_16 => put(&mut boot, TOTAL_SECTORS_16, &sectors.to_le_bytes()),
        _ => put(
            &mut boot,
            TOTAL_SECTORS_32,
            &(geometry.sectors as u32).to_le_bytes(),
        ),
    }
    let (track, heads) = tracks(geometry.sectors);
    put(&mut boot, SECTORS_PER_TRACK, &track.to_le_bytes());
    put(&mut boot, HEADS, &heads.to_le_bytes());
    put(&mut boot, HIDDEN_SECTORS, &volume.hidden.to_le_bytes());
    if is_16 {
        put(
            &mut boot,
            ROOT_ENTRIES_AT,
            &(ROOT_ENTRIES as u16).to_le_bytes(),
        );
        put(
            &mut boot,
            FAT_SIZE_16,
            &(geometry.table as u16).to_le_bytes(),
        );
    } else {
        put(
            &mut boot,
            FAT_SIZE_32,
            &(geometry.table as u32).to_le_bytes(),
        );
        put(&mut boot, ROOT_CLUSTER, &2u32.to_le_bytes());
        put(&mut boot, FS_INFO, &1u16.to_le_bytes());
        put(&mut boot, BACKUP_BOOT, &6u16.to_le_bytes());
    }
    boot[extended] = FIRST_DISK;
    boot[extended + BOOT_SIGNATURE] = 0x29;
    put(&mut boot, extended + SERIAL, &volume.serial.to_le_bytes());
    put(&mut boot, extended + BOOT_LABEL, b"NO NAME    ");
    let text: &[u8; 8] = if is_16 { b"FAT16   " } else { b"FAT32   " };
    put(&mut boot, extended + TYPE_TEXT, text);
    put(&mut boot, 510, &[0x55, 0xaa]);
    boot
}

const ROOT_ENTRIES_AT: usize = super::ROOT_ENTRIES;
const SECTORS_PER_TRACK: usize = 0x18;
const HEADS: usize = 0x1a;
const HIDDEN_SECTORS: usize = 0x1c;
const FS_INFO: usize = 0x30;
const BACKUP_BOOT: usize = 0x32;
/// The BIOS's number of the first hard disk.
const FIRST_DISK: u8 = 0x80;

/// Sectors of a track and heads, as mkfs.fat(8) and BIOSes of that time say.
fn tracks(sectors: u64) -> (u16, u16) {
    if sectors <= 1 << 20 {
        (32, 64)
    } else {
        (63, 255)
    }
}

/// How many clusters are free, and from which on.
fn fs_info(free: u64, next: u64) -> Vec<u8> {
    let mut bytes = vec![0; SECTOR as usize];
    put(&mut bytes, 0, b"RRaA");
    put(&mut bytes, 484, b"rrAa");
    put(&mut bytes, 488, &(free as u32).to_le_bytes());
    // All taken: nobody knows.
    let next = if free == 0 { u32::MAX } else { next as u32 };
    put(&mut bytes, 492, &next.to_le_bytes());
    put(&mut bytes, 510, &[0x55, 0xaa]);
    bytes
}

#[cfg(test)]
mod tests;
