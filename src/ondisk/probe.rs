//! Which file system lies on a device, decided from one read of its first 68 KiB.
//!
//! A format is data: a kind and a probe over those bytes. Few formats read more, and only
//! for their label. Order is the decision where a device carries traces of several:
//!
//! 1. Superblocks in the first 32 KiB (LUKS to exFAT) come before ISO 9660: writing an ISO
//!    overwrites that area, so they are younger than an ISO behind them, while their mkfs
//!    leaves its descriptors at 32 KiB standing. Their magics are long or summed.
//! 2. UDF comes before ISO 9660: a bridge disc is both, and blkid(8) calls it UDF.
//! 3. FAT comes after ISO 9660: a hybrid image may carry a boot sector on purpose, while
//!    the tables of a FAT made later would have buried the descriptors.
//! 4. RAID at the end of the device comes last and beats what it may mirror; discs and
//!    images never get that far, so a CD is not asked for its end.

use super::{
    ByteSource, FsFacts, FsKind, Probed, btrfs, erofs, exfat, ext, f2fs, fat, iso9660, luks, lvm,
    mdraid, ntfs, read_up_to, snapshot, squashfs, swap, udf, xfs,
};

/// Reaches to the end of the btrfs superblock, the farthest of all.
pub const HEAD: usize = 68 << 10;

/// Smaller devices hold nothing: an extended partition's own device, a zram without size.
const LEAST: usize = 1024;

/// How a format is recognised.
enum Probe {
    /// From the first bytes alone.
    Head(fn(&[u8]) -> Option<FsFacts>),
    /// These say that it is worth reading more.
    More(fn(&[u8], &dyn ByteSource) -> Probed),
}

const FORMATS: [Probe; 16] = [
    Probe::Head(luks::probe),
    Probe::Head(lvm::probe),
    Probe::Head(mdraid::probe),
    Probe::Head(snapshot::probe),
    Probe::Head(squashfs::probe),
    Probe::Head(xfs::probe),
    Probe::Head(ext::probe),
    Probe::Head(f2fs::probe),
    Probe::Head(erofs::probe),
    Probe::Head(swap::probe),
    Probe::More(ntfs::probe),
    Probe::More(exfat::probe),
    Probe::More(udf::probe),
    Probe::Head(iso9660::probe),
    Probe::More(fat::probe),
    Probe::Head(btrfs::probe),
];

/// What lies on a device; none when nothing is recognised.
pub fn probe_filesystem(src: &dyn ByteSource) -> Probed {
    let head = read_up_to(src, 0, HEAD)?;
    if head.len() < LEAST {
        return Ok(None);
    }
    let found = probe_head(&head, src)?;
    let may_be_mirrored = found.as_ref().is_none_or(|facts| {
        use FsKind::{Btrfs, Exfat, Ext, F2fs, Ntfs, Vfat, Xfs};
        matches!(facts.kind, Btrfs | Exfat | Ext | F2fs | Ntfs | Vfat | Xfs)
    });
    let mirror = if may_be_mirrored {
        mdraid::probe_end(src)
    } else {
        None
    };
    Ok(mirror.or(found))
}

fn probe_head(head: &[u8], src: &dyn ByteSource) -> Probed {
    for format in &FORMATS {
        let found = match format {
            Probe::Head(probe) => probe(head),
            Probe::More(probe) => probe(head, src)?,
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}
