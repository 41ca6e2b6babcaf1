//! The EFI system partition: a FAT16 image of at most 65,535 sectors, so that El Torito's
//! 16-bit count of 512-byte sectors holds it on a disc.
//!
//! Contract: Microsoft's FAT specification (fatgen103), El Torito 1.0, UEFI 2.11 13.3.2.

use super::tool::{MCOPY, MKFS_FAT, MMD, Tools, args};
use super::{Error, Result};
use crate::units::{Bytes, Sectors};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// mkfs.fat gives away what is no whole track of 32 sectors; a track is a whole number of a
/// disc's 2,048-byte sectors too.
const TRACK: u64 = 32;
/// The most that a boot entry counts, in whole tracks.
const MAX_SECTORS: u64 = 65_535 / TRACK * TRACK;
/// Fewer clusters than this make a FAT12, which firmware reads differently.
const MIN_CLUSTERS: u64 = 4_085 + 16;
/// Sectors of a cluster: 2 KiB, so that the tables stay small.
const CLUSTER: u64 = 4;
/// Entries of the root directory, and the sectors they take.
const ROOT_ENTRIES: u64 = 512;
const ROOT_SECTORS: u64 = ROOT_ENTRIES * 32 / 512;
/// Room that stays free, for a person who edits an entry.
const SLACK_CLUSTERS: u64 = 32;

/// A file of the ESP.
#[derive(Clone, Debug)]
pub struct EspFile {
    /// Path within, with slashes.
    pub path: String,
    /// Where its contents are.
    pub from: PathBuf,
    /// Its length.
    pub size: Bytes,
}

impl EspFile {
    /// A file whose contents lie at `from`.
    pub fn new(path: &str, from: PathBuf) -> Result<EspFile> {
        let size = std::fs::metadata(&from)
            .map_err(Error::system("looking at", &from))?
            .len();
        Ok(EspFile {
            path: path.to_owned(),
            from,
            size: Bytes(size),
        })
    }
}

/// How large the partition must be, or why it cannot be. `largest` says what its largest
/// file is made of, for the message.
pub fn plan(files: &[EspFile], largest: &[(String, Bytes)]) -> Result<Sectors> {
    let cluster = CLUSTER * 512;
    let dirs = directories(files).len() as u64;
    let needed: u64 = files
        .iter()
        .map(|f| f.size.0.div_ceil(cluster))
        .sum::<u64>()
        + dirs;
    let clusters = (needed + SLACK_CLUSTERS).max(MIN_CLUSTERS);
    let sectors = whole(clusters);
    if sectors <= MAX_SECTORS {
        return Ok(Sectors(sectors));
    }
    // The slack is a courtesy, not a need.
    if whole(needed) <= MAX_SECTORS {
        return Ok(Sectors(MAX_SECTORS));
    }
    let parts = largest
        .iter()
        .map(|(name, size)| format!("    {name:<12} {size}\n"))
        .collect();
    Err(Error::EspTooLarge {
        total: Sectors(sectors).bytes(),
        limit: Sectors(MAX_SECTORS).bytes(),
        parts,
        excess: Bytes(Sectors(sectors).bytes().0 - Sectors(MAX_SECTORS).bytes().0),
        remedy: "make the largest part smaller: --drivers boot, less microcode in the tree, a smaller kernel; with --initrd an initramfs with less in it (dracut --omit, --omit-drivers, --compress), or another boot loader for it than this one: a generic one of dracut is too large".into(),
    })
}

/// Sectors of a file system with that many clusters: boot sector aligned to a cluster, two
/// tables of two bytes a cluster, the root directory.
fn whole(clusters: u64) -> u64 {
    let table = ((clusters + 2) * 2).div_ceil(512).next_multiple_of(CLUSTER);
    (CLUSTER + 2 * table + ROOT_SECTORS + clusters * CLUSTER).next_multiple_of(TRACK)
}

/// All directories of these files, parents before children.
fn directories(files: &[EspFile]) -> BTreeSet<String> {
    let mut dirs = BTreeSet::new();
    for file in files {
        let mut path = file.path.as_str();
        while let Some((above, _)) = path.rsplit_once('/') {
            dirs.insert(above.to_owned());
            path = above;
        }
    }
    dirs
}

/// Writes the image. The volume gets no label: one would compete with the medium's own.
pub fn write(
    tools: &Tools<'_>,
    files: &[EspFile],
    size: Sectors,
    id: u32,
    to: &Path,
) -> Result<()> {
    let image = std::fs::File::create(to).map_err(Error::system("writing", to))?;
    image
        .set_len(size.bytes().0)
        .map_err(Error::system("writing", to))?;
    drop(image);
    let doing = "making the EFI system partition";
    let (id, cluster, root) = (
        format!("{id:08x}"),
        CLUSTER.to_string(),
        ROOT_ENTRIES.to_string(),
    );
    let mkfs = args([
        &"--invariant",
        &"-i",
        &id,
        &"-F",
        &"16",
        &"-S",
        &"512",
        &"-s",
        &cluster,
        &"-f",
        &"2",
        &"-r",
        &root,
        &to,
    ]);
    tools.run(MKFS_FAT, doing, &mkfs)?;
    let mut mmd = args([&"-i", &to]);
    mmd.extend(
        directories(files)
            .into_iter()
            .map(|dir| format!("::{dir}").into()),
    );
    tools.run(MMD, doing, &mmd)?;
    // One by one: a recursive copy follows the order of the host's directories.
    for file in files {
        let target = format!("::{}", file.path);
        tools.run(MCOPY, doing, &args([&"-i", &to, &file.from, &target]))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, size: u64) -> EspFile {
        EspFile {
            path: path.into(),
            from: PathBuf::new(),
            size: Bytes(size),
        }
    }

    #[test]
    fn a_partition_fits_its_files_and_is_a_whole_number_of_disc_sectors() {
        for mib in [1, 9, 20, 31] {
            let sectors = plan(&[file("EFI/x", mib << 20)], &[]).unwrap();
            assert!(sectors.bytes().0 > mib << 20);
            assert_eq!(sectors.0 % 4, 0);
        }
    }

    #[test]
    fn no_partition_exceeds_what_a_boot_entry_counts() {
        let largest = (31 << 20) + (700 << 10);
        for size in (largest..34 << 20).step_by(10_000) {
            if let Ok(sectors) = plan(&[file("EFI/x", size)], &[]) {
                assert!(sectors.0 <= 65_535, "{size}");
            }
        }
        let error = plan(
            &[file("EFI/x", 34 << 20)],
            &[("kernel".into(), Bytes::mib(20))],
        )
        .unwrap_err();
        assert!(
            error.to_string().contains("kernel       20.0 MiB"),
            "{error}"
        );
    }

    #[test]
    fn directories_come_before_what_is_in_them() {
        let dirs = directories(&[
            file("EFI/liveroot/linux.efi", 1),
            file("loader/entries/a.conf", 1),
        ]);
        assert_eq!(
            dirs.into_iter().collect::<Vec<_>>(),
            ["EFI", "EFI/liveroot", "loader", "loader/entries"]
        );
    }
}
