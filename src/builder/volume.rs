//! The EFI system partition as a FAT volume of our own making.
//!
//! FAT16 of at most 65,535 sectors, so that El Torito's 16-bit count of 512-byte sectors holds
//! it on a disc; FAT32 above, for whoever asks: its boot entry says 0, "to the end of the
//! disc". Contract: Microsoft's FAT specification (fatgen103), El Torito 1.0, UEFI 2.11
//! 13.3.2.

use super::{Error, Result};
use crate::ondisk::fat::geometry::TRACK;
use crate::ondisk::fat::write::{self, FatError, FatKind, FatPlan, Geometry, Volume};
use crate::units::{Bytes, Sectors};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The most that a boot entry counts, in whole tracks.
const MAX_SECTORS: u64 = 65_535 / TRACK * TRACK;
/// Sectors of a FAT16's cluster: 2 KiB, so that the tables stay small.
const CLUSTER: u64 = 4;
/// Room that stays free, for a person who edits an entry, bytes.
const SLACK: u64 = 64 << 10;

/// How large the partition may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EspLimit {
    /// What a disc's boot entry counts.
    Countable,
    /// Anything: `--large-esp`.
    Large,
}

/// A volume for these files (paths with slashes, and lengths in bytes), or why there can be
/// none. `largest` says what its largest file is made of, for the message.
///
/// # Errors
/// When the files are too large, or have names that FAT has not.
pub fn geometry(
    files: &[(String, u64)],
    limit: EspLimit,
    largest: &[(String, Bytes)],
) -> Result<Geometry> {
    let needed = write::clusters_needed(FatKind::Fat16, CLUSTER * 512, files).map_err(refused)?;
    let slack = SLACK / (CLUSTER * 512);
    let countable = |found: &Geometry| found.sectors <= MAX_SECTORS;
    let small = Geometry::for_clusters(FatKind::Fat16, CLUSTER, needed + slack).filter(countable);
    // The slack is a courtesy, not a need.
    let full = || {
        let most = Geometry::of_sectors(FatKind::Fat16, CLUSTER, MAX_SECTORS);
        most.filter(|most| needed <= most.clusters)
    };
    if let Some(found) = small.or_else(full) {
        return Ok(found);
    }
    match limit {
        EspLimit::Countable => Err(too_large(needed + slack, largest)),
        EspLimit::Large => large(files),
    }
}

/// A FAT32. How many clusters are needed depends on their size, and that on the number.
fn large(files: &[(String, u64)]) -> Result<Geometry> {
    let mut bytes = files.iter().map(|(_, len)| *len).sum::<u64>() + SLACK;
    // Each round's clusters are no smaller than the last one's, of which there are four sizes.
    for _ in 0..6 {
        let Some(found) = Geometry::fat32_for(bytes) else {
            break;
        };
        let cluster = found.cluster_bytes();
        let needed = write::clusters_needed(FatKind::Fat32, cluster, files).map_err(refused)?;
        if needed + SLACK / cluster <= found.clusters {
            return Ok(found);
        }
        bytes = bytes.max(needed * cluster + SLACK);
    }
    Err(Error::input(
        "the EFI system partition",
        format!("no FAT32 holds {}", Bytes(bytes)),
        "make the initramfs smaller",
    ))
}

fn too_large(clusters: u64, largest: &[(String, Bytes)]) -> Error {
    let table = ((clusters + 2) * FatKind::Fat16.entry()).div_ceil(512);
    let other = FatKind::Fat16.reserved() + FatKind::Fat16.root_sectors() + 2 * table;
    let sectors = (clusters * CLUSTER + other).next_multiple_of(TRACK);
    let (total, limit) = (Sectors(sectors).bytes(), Sectors(MAX_SECTORS).bytes());
    let parts = largest
        .iter()
        .map(|(name, size)| format!("    {name:<12} {size}\n"))
        .collect();
    Error::EspTooLarge {
        total,
        limit,
        excess: Bytes(total.0.saturating_sub(limit.0)),
        parts,
        remedy: "make the largest part smaller: --drivers boot, less microcode in the tree, a smaller kernel; with --initrd an initramfs with less in it (dracut --omit, --omit-drivers, --compress), or another boot loader for it than this one: a generic one of dracut is too large; --large-esp takes any size, and some machines will not start it from a DVD".into(),
    }
}

/// Where the files of a volume of this geometry go, and the bytes around them. `serial` is
/// its id, `epoch` the date of all, in seconds since 1970, `start` the partition's first byte
/// on the disk.
///
/// # Errors
/// When the files are not those that the geometry was made for.
pub fn plan(
    geometry: Geometry,
    files: &[(String, u64)],
    serial: u32,
    epoch: u64,
    start: u64,
) -> Result<FatPlan> {
    let volume = Volume {
        geometry,
        serial,
        date: crate::units::Moment(epoch),
        // Firmware does not look there; who boots from the partition by BIOS does.
        hidden: u32::try_from(start / 512).unwrap_or(0),
    };
    write::plan(&volume, files).map_err(refused)
}

/// Writes the bytes around the files of the volume that begins at `start` in `file`, which has
/// zeros there. `path` is for messages.
///
/// # Errors
/// When the file can't be written.
pub fn write_metadata(file: &File, start: u64, plan: &FatPlan, path: &Path) -> Result<()> {
    for (at, bytes) in &plan.metadata {
        file.write_all_at(bytes, start + at)
            .map_err(Error::system("writing", path))?;
    }
    Ok(())
}

fn refused(error: FatError) -> Error {
    let remedy = match error {
        FatError::Name(..) | FatError::Same(..) => "rename it",
        FatError::Full(..) => "report this as a defect",
        _ => "make it smaller",
    };
    Error::input("the EFI system partition", error.to_string(), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(size: u64) -> Vec<(String, u64)> {
        vec![("EFI/liveroot/linux.efi".into(), size)]
    }

    #[test]
    fn a_partition_fits_its_files_and_is_a_whole_number_of_disc_sectors() {
        for mib in [0, 1, 9, 20, 31, 33, 64, 65, 128, 129, 300, 2000] {
            let files = files(mib << 20);
            let found = geometry(&files, EspLimit::Large, &[]).unwrap();
            assert_eq!(found.sectors % 4, 0);
            assert_eq!(found.kind == FatKind::Fat16, mib < 32, "{mib}");
            assert!(plan(found, &files, 1, 2, 3 << 20).is_ok(), "{mib}");
            assert!(
                found.sectors * 512 < (mib << 20).max(34 << 20) * 102 / 100,
                "{mib}"
            );
        }
    }

    #[test]
    fn no_partition_exceeds_what_a_boot_entry_counts() {
        let largest = (31 << 20) + (700 << 10);
        let mut refusals = 0;
        for size in (largest..34 << 20).step_by(10_000) {
            match geometry(&files(size), EspLimit::Countable, &[]) {
                Ok(found) => assert!(found.sectors <= 65_535 && refusals == 0, "{size}"),
                Err(_) => refusals += 1,
            }
        }
        assert!(refusals > 0);
        let parts = [("kernel".into(), Bytes::mib(20))];
        let error = geometry(&files(34 << 20), EspLimit::Countable, &parts).unwrap_err();
        let text = error.to_string();
        for part in ["kernel       20.0 MiB", "--large-esp", "--drivers boot"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn many_small_files_are_counted_with_their_directories() {
        let file = |n: u32| (format!("d/{n:05}.conf"), 1);
        let files: Vec<_> = (0..40_000).map(file).collect();
        let error = geometry(&files, EspLimit::Countable, &[]).unwrap_err();
        assert!(error.to_string().contains("80002 entries"), "{error}");
        let files = &files[..20_000];
        assert!(geometry(files, EspLimit::Countable, &[]).is_err());
        let found = geometry(files, EspLimit::Large, &[]).unwrap();
        assert_eq!(found.kind, FatKind::Fat32);
        assert!(plan(found, files, 1, 2, 0).is_ok());
    }
}
