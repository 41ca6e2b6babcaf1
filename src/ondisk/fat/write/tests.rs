use super::*;
use crate::ondisk::FsKind;
use crate::ondisk::fat::probe;
use proptest::prelude::*;

fn volume(kind: FatKind, cluster: u64, clusters: u64) -> Volume {
    Volume {
        geometry: Geometry::for_clusters(kind, cluster, clusters).unwrap(),
        serial: 0x1234_abcd,
        date: Moment(1_700_000_001),
        hidden: 2048,
    }
}

fn files(files: &[(&str, u64)]) -> Vec<(String, u64)> {
    files
        .iter()
        .map(|(path, len)| ((*path).into(), *len))
        .collect()
}

#[test]
fn files_lie_one_behind_the_other_behind_the_directories() {
    let volume = volume(FatKind::Fat16, 4, 0);
    let list = files(&[("b/c", 2049), ("EFI/BOOT/X.EFI", 10), ("a", 0), ("b/a", 1)]);
    let plan = plan(&volume, &list).unwrap();
    let start = volume.geometry.data() * 512;
    let found: Vec<_> = plan
        .files
        .iter()
        .map(|f| (f.path.as_str(), f.offset))
        .collect();
    let expected = [
        ("EFI/BOOT/X.EFI", start + 3 * 2048),
        ("a", 0),
        ("b/a", start + 4 * 2048),
        ("b/c", start + 5 * 2048),
    ];
    assert_eq!(found, expected);
    let needed = clusters_needed(FatKind::Fat16, 2048, &list);
    assert_eq!(needed, Ok(3 + 1 + 1 + 2));
    assert_eq!(clusters_needed(FatKind::Fat32, 2048, &list), Ok(3 + 4 + 1));
}

#[test]
fn the_order_in_which_files_are_given_changes_nothing() {
    let volume = volume(FatKind::Fat32, 1, 0);
    let mut list = files(&[
        ("longname one", 9),
        ("longname two", 8),
        ("x/y", 7),
        ("x.y", 5),
    ]);
    let one = plan(&volume, &list).unwrap();
    list.reverse();
    assert_eq!(plan(&volume, &list), Ok(one));
}

#[test]
fn our_reader_knows_the_volume_and_finds_no_label() {
    for (kind, cluster) in [(FatKind::Fat16, 4), (FatKind::Fat32, 1)] {
        let volume = volume(kind, cluster, 0);
        let plan = plan(&volume, &files(&[("EFI/a", 5)])).unwrap();
        let mut image = vec![0; (plan.sectors * 512) as usize];
        for (at, bytes) in &plan.metadata {
            put(&mut image, *at as usize, bytes);
        }
        let facts = probe(&image[..4096], &image).unwrap().unwrap();
        assert_eq!((facts.kind, facts.label), (FsKind::Vfat, None));
        assert_eq!(facts.uuid.as_deref(), Some("1234-ABCD"));
        assert_eq!(facts.size.unwrap().0, plan.sectors * 512);
    }
}

#[test]
fn what_fat_cannot_hold_is_refused() {
    let volume = volume(FatKind::Fat16, 4, 0);
    let refused = |list: &[(&str, u64)]| plan(&volume, &files(list)).unwrap_err();
    assert!(matches!(refused(&[("a/b:c", 1)]), FatError::Name(..)));
    assert!(matches!(refused(&[("/a", 1)]), FatError::Name(..)));
    assert!(matches!(refused(&[("a//b", 1)]), FatError::Name(..)));
    assert!(matches!(refused(&[("a/../b", 1)]), FatError::Name(..)));
    assert!(matches!(refused(&[("a", 1), ("A", 1)]), FatError::Same(..)));
    assert!(matches!(
        refused(&[("a/b", 1), ("A/c", 1)]),
        FatError::Same(..)
    ));
    assert!(matches!(
        refused(&[("a", 1), ("a/b", 1)]),
        FatError::Same(..)
    ));
    assert!(matches!(
        refused(&[("a/b", 1), ("a", 1)]),
        FatError::Same(..)
    ));
    assert!(matches!(refused(&[("a", 1), ("a", 1)]), FatError::Same(..)));
    assert!(matches!(
        refused(&[("a", 1 << 32)]),
        FatError::FileTooLong(..)
    ));
    assert!(matches!(
        refused(&[("a", 1 << 24)]),
        FatError::Full(8192, _)
    ));
    let many: Vec<_> = (0..513).map(|n| (format!("F{n}"), 0)).collect();
    assert!(plan(&volume, &many[..512]).is_ok());
    let full = FatError::DirectoryFull(String::new(), 513, 512);
    assert_eq!(plan(&volume, &many), Err(full));
}

#[test]
fn dates_are_clamped_to_what_fat_knows() {
    let day = |year: u16, month: u16, day: u16| (year - 1980) << 9 | month << 5 | day;
    assert_eq!(date(Moment(0)), (day(1980, 1, 1), 0));
    assert_eq!(date(Moment(315_532_799)), (day(1980, 1, 1), 0));
    assert_eq!(date(Moment(315_532_802)), (day(1980, 1, 1), 1));
    // 2023-11-14 22:13:21 UTC.
    assert_eq!(
        date(Moment(1_700_000_001)),
        (day(2023, 11, 14), 22 << 11 | 13 << 5 | 10)
    );
    let end = (day(2107, 12, 31), 23 << 11 | 59 << 5 | 29);
    assert_eq!(date(Moment(4_354_819_199)), end);
    assert_eq!(date(Moment(u64::MAX >> 8)), end);
}

proptest! {
    #[test]
    fn nothing_overlaps(paths in proptest::collection::btree_map("[a-c]{1,2}(/[a-c ]{1,9}){0,2}", 0u64..9000, 0..30), large in any::<bool>()) {
        let kind = if large { FatKind::Fat32 } else { FatKind::Fat16 };
        let volume = volume(kind, 1, 0);
        let list: Vec<_> = paths.into_iter().collect();
        if let Ok(plan) = plan(&volume, &list) {
            let files = plan.files.iter().map(|f| (f.offset, f.len));
            let mut pieces: Vec<_> = plan.metadata.iter().map(|(at, b)| (*at, b.len() as u64)).chain(files).filter(|p| p.1 > 0).collect();
            pieces.sort();
            for pair in pieces.windows(2) {
                prop_assert!(pair[0].0 + pair[0].1 <= pair[1].0);
            }
            let end = pieces.last().map_or(0, |(at, len)| at + len);
            prop_assert!(end <= plan.sectors * 512);
            prop_assert_eq!(plan.files.len(), list.len());
        }
    }
}
