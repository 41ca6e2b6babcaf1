//! How large the parts of a new FAT volume are.
//!
//! Microsoft's "FAT: General Overview of On-Disk Format" 1.03: the count of clusters alone
//! says whether a volume is FAT12, FAT16 or FAT32. Near the borders programs miscount, so 16
//! clusters of distance are kept, as the specification advises.

/// Bytes of a sector.
pub const SECTOR: u64 = 512;
/// mkfs.fat(8) gives away what is no whole track of 32 sectors; a track is a whole number of
/// a disc's 2,048-byte sectors too.
pub const TRACK: u64 = 32;
/// Copies of the table.
pub const TABLES: u64 = 2;
/// Tables and data begin on a disc's sector, in sectors.
const ALIGN: u64 = 4;
/// Entries of FAT16's root directory.
pub const ROOT_ENTRIES: u64 = 512;

/// Which of the two that we write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FatKind {
    /// Table entries of 16 bits, a root directory of [`ROOT_ENTRIES`].
    Fat16,
    /// Table entries of 28 bits, a root directory like others.
    Fat32,
}

impl FatKind {
    /// How many clusters such a volume has, at least and at most.
    pub const fn clusters(self) -> (u64, u64) {
        match self {
            FatKind::Fat16 => (4_085 + 16, 65_525 - 17),
            FatKind::Fat32 => (65_525 + 16, 0x0fff_fff5 - 2),
        }
    }

    /// Bytes of a table's entry.
    pub const fn entry(self) -> u64 {
        match self {
            FatKind::Fat16 => 2,
            FatKind::Fat32 => 4,
        }
    }

    /// Sectors before the tables.
    pub const fn reserved(self) -> u64 {
        match self {
            FatKind::Fat16 => ALIGN,
            FatKind::Fat32 => 32,
        }
    }

    /// Sectors of a root directory outside the clusters.
    pub const fn root_sectors(self) -> u64 {
        match self {
            FatKind::Fat16 => ROOT_ENTRIES * 32 / SECTOR,
            FatKind::Fat32 => 0,
        }
    }
}

/// A volume's parts, in sectors of 512 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Which.
    pub kind: FatKind,
    /// All.
    pub sectors: u64,
    /// Sectors of a cluster, a power of two.
    pub cluster: u64,
    /// Sectors of one table.
    pub table: u64,
    /// Clusters for data.
    pub clusters: u64,
}

impl Geometry {
    /// A volume of so many sectors with clusters of so many; none when its clusters are not
    /// as many as its kind has, or cannot be counted in 32 bits.
    pub fn of_sectors(kind: FatKind, cluster: u64, sectors: u64) -> Option<Geometry> {
        if !(1..=64).contains(&cluster) || !cluster.is_power_of_two() || sectors > u32::MAX.into() {
            return None;
        }
        let rest = sectors.checked_sub(kind.reserved() + kind.root_sectors())?;
        // With a table for all that is left, less is left: so this is enough.
        let most = rest / cluster + 2;
        let table = (most * kind.entry())
            .div_ceil(SECTOR)
            .next_multiple_of(ALIGN);
        // And with smaller ones, as long as they are.
        let mut found = None;
        let mut table = Some(table);
        while let Some(sectors_of_table) = table.filter(|table| *table > 0) {
            let clusters = rest.saturating_sub(TABLES * sectors_of_table) / cluster;
            if (clusters + 2) * kind.entry() > sectors_of_table * SECTOR {
                break;
            }
            found = Some((sectors_of_table, clusters));
            table = sectors_of_table.checked_sub(ALIGN);
        }
        let (table, clusters) = found?;
        let (least, most) = kind.clusters();
        (least..=most).contains(&clusters).then_some(Geometry {
            kind,
            sectors,
            cluster,
            table,
            clusters,
        })
    }

    /// The smallest volume, in whole tracks, with so many clusters, or as few more as its kind
    /// asks for; none when its kind has not as many.
    pub fn for_clusters(kind: FatKind, cluster: u64, clusters: u64) -> Option<Geometry> {
        let clusters = clusters.max(kind.clusters().0);
        if clusters > kind.clusters().1 {
            return None;
        }
        let table = ((clusters + 2) * kind.entry()).div_ceil(SECTOR);
        let data = clusters.checked_mul(cluster)?;
        let least = kind.reserved() + kind.root_sectors() + TABLES * table + data;
        let mut sectors = least.next_multiple_of(TRACK);
        // Alignment takes less than a track.
        for _ in 0..4 {
            if let Some(found) = Geometry::of_sectors(kind, cluster, sectors)
                && found.clusters >= clusters
            {
                return Some(found);
            }
            sectors += TRACK;
        }
        None
    }

    /// A FAT32 for so many bytes in clusters: the largest clusters, up to 4 KiB, that are
    /// enough in number without waste, else the smallest.
    pub fn fat32_for(bytes: u64) -> Option<Geometry> {
        let least = FatKind::Fat32.clusters().0;
        let enough = |cluster: &u64| bytes / (cluster * SECTOR) >= least;
        let cluster = [8, 4, 2].into_iter().find(enough).unwrap_or(1);
        Geometry::for_clusters(FatKind::Fat32, cluster, bytes.div_ceil(cluster * SECTOR))
    }

    /// Bytes of a cluster.
    pub const fn cluster_bytes(&self) -> u64 {
        self.cluster * SECTOR
    }

    /// First sector of the clusters.
    pub const fn data(&self) -> u64 {
        self.kind.reserved() + TABLES * self.table + self.kind.root_sectors()
    }

    /// Where a cluster begins, bytes; they are counted from 2.
    pub const fn offset(&self, cluster: u64) -> u64 {
        (self.data() + (cluster - 2) * self.cluster) * SECTOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_volume_is_near_a_border() {
        for kind in [FatKind::Fat16, FatKind::Fat32] {
            let (least, most) = kind.clusters();
            let small = Geometry::for_clusters(kind, 1, 0).unwrap();
            assert!((least..least + 64).contains(&small.clusters), "{small:?}");
            assert_eq!(Geometry::of_sectors(kind, 1, small.sectors - 96), None);
            assert_eq!(Geometry::for_clusters(kind, 1, most + 1), None);
        }
        let most = Geometry::for_clusters(FatKind::Fat16, 4, 65_000).unwrap();
        assert!(most.clusters < 65_525);
        assert_eq!(Geometry::of_sectors(FatKind::Fat16, 3, 40_000), None);
        assert_eq!(Geometry::of_sectors(FatKind::Fat16, 4, 3), None);
        assert_eq!(Geometry::of_sectors(FatKind::Fat32, 1, 1 << 40), None);
    }

    #[test]
    fn a_large_partition_is_as_small_as_fat32_can_be() {
        let small = Geometry::fat32_for(1 << 20).unwrap();
        assert_eq!(small.cluster, 1);
        // builders.md 2.3: about 32.5 MiB is the least.
        assert!(
            (34_089_472..34_140_000).contains(&(small.sectors * SECTOR)),
            "{small:?}"
        );
        assert_eq!(Geometry::fat32_for(100 << 20).unwrap().cluster, 2);
        assert_eq!(Geometry::fat32_for(1 << 30).unwrap().cluster, 8);
    }

    proptest! {
        #[test]
        fn tables_have_an_entry_for_each_cluster(sectors in 0u64..6_000_000, shift in 0u32..7, large in any::<bool>()) {
            let kind = if large { FatKind::Fat32 } else { FatKind::Fat16 };
            if let Some(found) = Geometry::of_sectors(kind, 1 << shift, sectors) {
                prop_assert!((found.clusters + 2) * kind.entry() <= found.table * SECTOR);
                prop_assert!(found.data() + found.clusters * found.cluster <= sectors);
                prop_assert!(found.data() + (found.clusters + 1) * found.cluster > sectors);
                prop_assert_eq!(found.data() % ALIGN, 0);
            }
        }

        #[test]
        fn so_many_clusters_are_there(clusters in 0u64..300_000, shift in 0u32..4, large in any::<bool>()) {
            let kind = if large { FatKind::Fat32 } else { FatKind::Fat16 };
            let found = Geometry::for_clusters(kind, 1 << shift, clusters);
            // Whole tracks may take the last few over the border.
            prop_assert!(found.is_some() || clusters > kind.clusters().1 - 64);
            if let Some(found) = found {
                prop_assert!(found.clusters >= clusters);
                prop_assert_eq!(found.sectors % TRACK, 0);
            }
        }
    }
}
