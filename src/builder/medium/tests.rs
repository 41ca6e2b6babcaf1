use super::*;
use proptest::prelude::*;

fn own(path: &str, length: u64) -> MediumFile {
    MediumFile {
        path: path.into(),
        place: Place::Own { length },
    }
}

fn front(files: &[MediumFile], payload_most: u64) -> Front {
    let input = FrontInput {
        label: &Label::new("L"),
        epoch: 0,
        files,
        payload: "LiveOS/squashfs.img",
        payload_most,
        bios: None,
    };
    plan_front(&input).unwrap()
}

const IDENTITY: Identity = Identity { disk: [7; 16] };
const MIB: u64 = 1 << 20;

#[test]
fn a_kernel_within_another_file_takes_no_space_of_its_own() {
    let mut files = vec![own("EFI/liveroot/linux.efi", 90 * MIB)];
    let without = front(&files, MIB).payload_offset;
    files.push(MediumFile {
        path: "boot/vmlinuz".into(),
        place: Place::Within {
            file: "EFI/liveroot/linux.efi".into(),
            offset: 4096,
            length: 9 * MIB,
        },
    });
    let front = front(&files, MIB);
    assert_eq!(front.payload_offset, without);
    assert_eq!(front.files[1].offset, front.files[0].offset + 4096);
}

#[test]
fn a_file_within_another_starts_at_a_sector_of_it_and_ends_in_it() {
    for (offset, length) in [(512, 1), (2048, 4096), (u64::MAX, 4), (4096, 1)] {
        let within = MediumFile {
            path: "b".into(),
            place: Place::Within {
                file: "a".into(),
                offset,
                length,
            },
        };
        let input = FrontInput {
            label: &Label::new("L"),
            epoch: 0,
            files: &[own("a", 4096), within],
            payload: "p",
            payload_most: 0,
            bios: None,
        };
        assert!(plan_front(&input).is_err(), "{offset} {length}");
    }
}

#[test]
fn what_the_sectors_cannot_reach_is_refused() {
    let front = front(&[], u64::MAX >> 20);
    for length in [9 << 40, 1 << 62, u64::MAX] {
        assert!(front.plan_all(&IDENTITY, length, MIB).is_err(), "{length}");
        assert!(front.plan_all(&IDENTITY, MIB, length).is_err(), "{length}");
    }
    assert!(front.plan_all(&IDENTITY, 1 << 40, MIB).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Nothing overlaps, all is where the medium's layout says, and the payload's place does not
    /// depend on its length.
    #[test]
    fn all_parts_lie_apart(
        lengths in proptest::collection::vec(0u64..3 * MIB, 0..12),
        payload in prop_oneof![0u64..5 * MIB, 0u64..(1 << 40)],
        esp in (1u64..70_000).prop_map(|sectors| sectors * 512),
    ) {
        let files: Vec<MediumFile> = lengths
            .iter()
            .enumerate()
            .map(|(n, length)| own(&format!("dir{}/file{n}", n % 3), *length))
            .collect();
        let front = front(&files, 1 << 40);
        let layout = front.plan_all(&IDENTITY, payload, esp).unwrap();
        let mut spans: Vec<(u64, u64)> = layout
            .files
            .iter()
            .map(|file| (file.offset, file.length))
            .chain(layout.pieces.iter().map(|(at, bytes)| (*at, bytes.len() as u64)))
            .chain([(layout.esp_offset, esp)])
            .filter(|(_, length)| *length > 0)
            .collect();
        spans.sort_unstable();
        for pair in spans.windows(2) {
            prop_assert!(pair[0].0 + pair[0].1 <= pair[1].0, "{:?}", pair);
        }
        let placed = layout.files.last().unwrap();
        prop_assert_eq!(placed.offset, front.payload_offset);
        prop_assert_eq!(placed.offset % MIB, 0);
        prop_assert_eq!(layout.esp_offset % MIB, 0);
        prop_assert!(placed.offset + placed.length <= layout.esp_offset);
        prop_assert!(layout.esp_offset + esp + 15 * 2048 <= layout.length);
        prop_assert_eq!(layout.length % 4096, 0);
    }
}
