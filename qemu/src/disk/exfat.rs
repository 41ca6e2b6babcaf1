//! Files in a fresh exFAT: there is no tool that writes them without mounting it, and not every
//! host can mount it.
//!
//! "exFAT file system specification", Microsoft, 2019: each file and directory lies in one
//! stretch of clusters, so that the FAT stays as it is (NoFatChain, 7.6.2.2); what is in the root
//! directory fits its only cluster.

use crate::fail;
use crate::trouble::{Result, Trouble, While};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes of a directory entry.
const ENTRY: usize = 32;
/// Types of entries (7.1, 7.4, 7.6, 7.7).
const BITMAP: u8 = 0x81;
const FILE: u8 = 0x85;
const STREAM: u8 = 0xc0;
const NAME: u8 = 0xc1;
/// Attributes of a file entry (7.4.4).
const DIRECTORY: u16 = 0x10;
const ARCHIVE: u16 = 0x20;
/// The first of January 1980 (7.4.8).
const DATE: u32 = 0x0021_0000;

/// Puts what is in `from` into the file system in the file `image`.
pub fn fill(from: &Path, image: &Path) -> Result<()> {
    let mut volume =
        Volume::open(image).doing(format!("looking at the exFAT {}", image.display()))?;
    let entries = volume.add_all(from)?;
    let root = volume.root;
    let mut used = volume.read(root)?;
    let Some(end) = used.chunks(ENTRY).position(|entry| entry[0] == 0) else {
        fail!("the root directory is full")
    };
    let there = used.get_mut(end * ENTRY..end * ENTRY + entries.len());
    there
        .ok_or_else(|| Trouble("too many files for one cluster".into()))?
        .copy_from_slice(&entries);
    volume.write(root, &used)?;
    volume.write_bitmap()
}

struct Volume {
    file: File,
    /// Offset of cluster 2, bytes.
    heap: u64,
    /// Bytes of a cluster.
    cluster: usize,
    clusters: u32,
    root: u32,
    bitmap_at: u32,
    bitmap: Vec<u8>,
}

impl Volume {
    fn open(image: &Path) -> Result<Volume> {
        let file = OpenOptions::new().read(true).write(true).open(image)?;
        let mut boot = [0; 512];
        file.read_exact_at(&mut boot, 0)?;
        let word =
            |at: usize| u32::from_le_bytes([boot[at], boot[at + 1], boot[at + 2], boot[at + 3]]);
        let (sector, per_cluster) = (boot[108], boot[109]);
        let mut volume = Volume {
            heap: u64::from(word(88)) << sector,
            cluster: 1 << (sector + per_cluster),
            clusters: word(92),
            root: word(96),
            bitmap_at: 0,
            bitmap: Vec::new(),
            file,
        };
        let root = volume.read(volume.root)?;
        let Some(entry) = root.chunks(ENTRY).find(|entry| entry[0] == BITMAP) else {
            fail!("no allocation bitmap")
        };
        volume.bitmap_at = u32::from_le_bytes([entry[20], entry[21], entry[22], entry[23]]);
        let mut bitmap = vec![0; (volume.clusters as usize).div_ceil(8)];
        let at = volume.offset(volume.bitmap_at);
        volume.file.read_exact_at(&mut bitmap, at)?;
        volume.bitmap = bitmap;
        Ok(volume)
    }

    fn offset(&self, cluster: u32) -> u64 {
        self.heap + u64::from(cluster - 2) * self.cluster as u64
    }

    fn read(&self, cluster: u32) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.cluster];
        self.file.read_exact_at(&mut bytes, self.offset(cluster))?;
        Ok(bytes)
    }

    fn write(&self, cluster: u32, bytes: &[u8]) -> Result<()> {
        Ok(self.file.write_all_at(bytes, self.offset(cluster))?)
    }

    fn write_bitmap(&self) -> Result<()> {
        self.write(self.bitmap_at, &self.bitmap)
    }

    /// Writes bytes to clusters behind all that are used; the first one.
    fn store(&mut self, bytes: &[u8]) -> Result<u32> {
        let used = |at: &u32| self.bitmap[*at as usize / 8] & (1 << (at % 8)) != 0;
        let start = (0..self.clusters).rev().find(used).map_or(0, |at| at + 1);
        let count = u32::try_from(bytes.len().div_ceil(self.cluster))?;
        if start + count > self.clusters {
            fail!("no room in the exFAT");
        }
        for at in start..start + count {
            self.bitmap[at as usize / 8] |= 1 << (at % 8);
        }
        self.write(start + 2, bytes)?;
        Ok(start + 2)
    }

    /// Stores all that is in a directory of the host; its entries.
    fn add_all(&mut self, from: &Path) -> Result<Vec<u8>> {
        let mut entries = Vec::new();
        let mut names: Vec<_> = fs::read_dir(from)?.flatten().collect();
        names.sort_by_key(fs::DirEntry::file_name);
        for entry in names {
            let (attributes, content) = if entry.file_type()?.is_dir() {
                let mut inside = self.add_all(&entry.path())?;
                // A directory's length is of whole clusters (7.6.7), and zeros end it.
                inside.resize((inside.len() + ENTRY).next_multiple_of(self.cluster), 0);
                (DIRECTORY, inside)
            } else {
                (ARCHIVE, fs::read(entry.path())?)
            };
            let first = if content.is_empty() {
                0
            } else {
                self.store(&content)?
            };
            let name = entry.file_name().to_string_lossy().into_owned();
            entries.extend(entry_set(&name, attributes, first, content.len() as u64)?);
        }
        Ok(entries)
    }
}

/// File, stream and name entries with their checksum (6.3.3).
fn entry_set(name: &str, attributes: u16, first: u32, length: u64) -> Result<Vec<u8>> {
    let units: Vec<u16> = name.encode_utf16().collect();
    let parts = units.len().div_ceil(15);
    let mut set = vec![0; ENTRY * (2 + parts)];
    set[0] = FILE;
    set[1] = u8::try_from(1 + parts)?;
    set[4..6].copy_from_slice(&attributes.to_le_bytes());
    for at in [8, 12, 16] {
        set[at..at + 4].copy_from_slice(&DATE.to_le_bytes());
    }
    let stream = &mut set[ENTRY..2 * ENTRY];
    stream[0] = STREAM;
    // AllocationPossible, NoFatChain.
    stream[1] = if length == 0 { 1 } else { 3 };
    stream[3] = u8::try_from(units.len())?;
    let upper: Vec<u8> = name
        .to_ascii_uppercase()
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    stream[4..6].copy_from_slice(&sum(&upper).to_le_bytes());
    stream[8..16].copy_from_slice(&length.to_le_bytes());
    stream[20..24].copy_from_slice(&first.to_le_bytes());
    stream[24..32].copy_from_slice(&length.to_le_bytes());
    for (part, units) in set[2 * ENTRY..].chunks_mut(ENTRY).zip(units.chunks(15)) {
        part[0] = NAME;
        for (at, unit) in units.iter().enumerate() {
            part[2 + 2 * at..4 + 2 * at].copy_from_slice(&unit.to_le_bytes());
        }
    }
    let summed = [&set[..2], &set[4..]].concat();
    set[2..4].copy_from_slice(&sum(&summed).to_le_bytes());
    Ok(set)
}

/// The 16-bit sum of entry sets and of names (6.3.3, 7.6.4).
fn sum(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0u16, |sum, byte| {
        sum.rotate_right(1).wrapping_add(u16::from(*byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool;
    use std::process::Command;

    #[test]
    fn its_own_checker_finds_all_files_and_nothing_wrong() {
        let dir = std::env::temp_dir().join(format!("liveroot-exfat-{}", std::process::id()));
        let content = dir.join("content");
        fs::create_dir_all(content.join("LiveOS/deeper")).unwrap();
        fs::write(
            content.join("LiveOS/a name of more than fifteen letters"),
            vec![7; 70_000],
        )
        .unwrap();
        fs::write(content.join("LiveOS/deeper/empty"), "").unwrap();
        fs::write(content.join("linux.iso"), vec![9; 5000]).unwrap();
        let image = dir.join("image");
        File::create(&image).unwrap().set_len(16 << 20).unwrap();
        tool::run(Command::new("mkfs.exfat").arg(&image)).unwrap();
        fill(&content, &image).unwrap();
        let said = tool::text(Command::new("fsck.exfat").arg("-n").arg(&image)).unwrap();
        assert!(said.contains("directories 3, files 3"), "{said}");
        // It is the checker that would say so.
        let mut bytes = fs::read(&image).unwrap();
        let at = bytes
            .windows(2)
            .rposition(|pair| pair == [NAME, 0])
            .unwrap();
        bytes[at + 2] ^= 1;
        fs::write(&image, bytes).unwrap();
        assert!(tool::run(Command::new("fsck.exfat").arg("-n").arg(&image)).is_err());
        fs::remove_dir_all(&dir).unwrap();
    }
}
