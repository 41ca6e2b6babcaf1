//! Tests of the predictions: from a medium that starts every way, one mistake at a time.

use super::*;
use crate::inspect::facts::*;
use crate::ondisk::fatfs::FatType;
use crate::ondisk::regions::ESP_TYPE;

/// ISO in sectors 64 to 999, ESP in 1,000 to 1,999.
pub(crate) fn sample() -> Facts {
    let copy = |lba, alternate_lba| GptCopy {
        lba,
        header_holds: true,
        entries_hold: true,
        holds: true,
        alternate_lba,
        usable: (34, 2020),
        partitions: vec![
            GptEntry {
                number: 1,
                kind: "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7".into(),
                first: 64,
                last: 999,
                ..GptEntry::default()
            },
            GptEntry {
                number: 2,
                kind: ESP_TYPE.into(),
                first: 1000,
                last: 1999,
                ..GptEntry::default()
            },
        ],
        ..GptCopy::default()
    };
    let entry = |platform, offset| BootEntry {
        platform,
        default: platform == 0,
        bootable: true,
        offset,
        has_code: true,
        ..BootEntry::default()
    };
    Facts {
        length: 2054 * 512,
        mbr: Some(Mbr {
            signed: true,
            code: Code::Isolinux {
                target: 200,
                found: true,
            },
            protective: true,
            entries: vec![MbrEntry {
                number: 1,
                active: true,
                kind: 0xee,
                start: 1,
                length: 2053,
            }],
        }),
        gpt: Gpt {
            sector_size: 512,
            primary: Some(copy(1, 2053)),
            backup: Some(copy(2053, 1)),
            last_lba: 2053,
        },
        eltorito: Some(ElTorito {
            catalogue: 40_960,
            valid: true,
            entries: vec![
                BootEntry {
                    count: 4,
                    ..entry(0, 102_400)
                },
                BootEntry {
                    count: 1000,
                    real_length: Some(512_000),
                    ..entry(0xef, 512_000)
                },
            ],
        }),
        fats: vec![Fat {
            offset: 512_000,
            length: 512_000,
            header: Some(FatType::Fat16),
            counted: Some(FatType::Fat16),
            clusters: 4100,
            cluster: 512,
            loader: Some(Loader {
                path: "EFI/BOOT/BOOTX64.EFI".into(),
                machine: 0x8664,
                end: 300_000,
            }),
            files: vec![FatFile {
                path: "linux.efi".into(),
                length: 1,
                end: 400_000,
            }],
            tables_equal: true,
            ..Fat::default()
        }],
        iso: Iso {
            present: true,
            label: "LIVE".into(),
            claimed: 1_024_000,
            efi_boot: vec!["EFI/BOOT/BOOTX64.EFI".into()],
            loopback_cfg: Some("boot/grub/loopback.cfg".into()),
            loopback_has_iso_path: true,
            by_label: vec!["boot/grub/grub.cfg".into()],
            ..Iso::default()
        },
        ..Facts::default()
    }
}

#[track_caller]
fn told(facts: &Facts, way: Way) -> (Verdict, String) {
    let all = predict(facts);
    let one = all.into_iter().find(|one| one.way == way).unwrap();
    (one.verdict, one.reasons.join("; "))
}

/// One change makes one way fail, with these words.
#[track_caller]
fn fails(way: Way, words: &str, change: impl FnOnce(&mut Facts)) {
    let mut facts = sample();
    change(&mut facts);
    let (verdict, reasons) = told(&facts, way);
    assert!(
        verdict == Verdict::Fails && reasons.contains(words),
        "{verdict:?}: {reasons}"
    );
}

fn efi(facts: &mut Facts) -> &mut BootEntry {
    &mut facts.eltorito.as_mut().unwrap().entries[1]
}

#[test]
fn a_good_medium_starts_every_way() {
    for one in predict(&sample()) {
        assert_eq!(one.verdict, Verdict::Starts, "{one:?}");
    }
}

#[test]
fn a_dvd_needs_a_catalogue_an_entry_and_all_of_the_loader() {
    fails(Way::UefiDvd, "no El Torito", |f| f.eltorito = None);
    fails(Way::UefiDvd, "does not validate", |f| {
        f.eltorito.as_mut().unwrap().valid = false
    });
    fails(Way::UefiDvd, "no entry for UEFI", |f| {
        f.eltorito.as_mut().unwrap().entries.pop();
    });
    fails(Way::UefiDvd, "is not bootable", |f| {
        efi(f).bootable = false;
        f.eltorito.as_mut().unwrap().entries[0].bootable = false;
    });
    fails(Way::UefiDvd, "firmware sees 204800 bytes", |f| {
        efi(f).count = 100
    });
    fails(Way::UefiDvd, "no FAT", |f| f.fats.clear());
    fails(Way::UefiDvd, "no EFI/BOOT/BOOTX64.EFI", |f| {
        f.fats[0].loader = None
    });
    fails(Way::UefiDvd, "no program for x86-64", |f| {
        f.fats[0].loader.as_mut().unwrap().machine = 0xaa64
    });
    fails(Way::UefiDvd, "clusters", |f| {
        f.fats[0].header = Some(FatType::Fat32)
    });
}

#[test]
fn a_count_that_others_would_believe_is_told_although_edk2_sees_more() {
    let mut facts = sample();
    efi(&mut facts).count = 160;
    let (verdict, reasons) = told(&facts, Way::UefiDvd);
    assert_eq!(verdict, Verdict::Starts);
    assert!(
        reasons.contains("linux.efi ends at byte 400000"),
        "{reasons}"
    );
    assert!(reasons.contains("EDK2 sees four times"), "{reasons}");
    efi(&mut facts).count = 0;
    assert_eq!(told(&facts, Way::UefiDvd).0, Verdict::Starts);
    facts.iso.claimed = 512_000 + 1000;
    assert_eq!(told(&facts, Way::UefiDvd).0, Verdict::Fails);
}

#[test]
fn a_stick_goes_by_its_gpt_alone_where_that_holds() {
    fails(Way::UefiStick, "overlaps partition 1", |f| {
        f.gpt.primary.as_mut().unwrap().partitions[0].last = 1500;
    });
    fails(Way::UefiStick, "no EFI system partition", |f| {
        f.gpt.primary.as_mut().unwrap().partitions.pop();
    });
    fails(Way::UefiStick, "outside", |f| {
        f.gpt.primary.as_mut().unwrap().usable.1 = 1500
    });
}

#[test]
fn the_backup_counts_only_in_the_last_sector() {
    let mut facts = sample();
    facts.gpt.primary.as_mut().unwrap().holds = false;
    facts.eltorito = None;
    assert_eq!(told(&facts, Way::UefiStick).0, Verdict::Starts);
    facts.gpt.last_lba += 1;
    let (verdict, reasons) = told(&facts, Way::UefiStick);
    assert_eq!(verdict, Verdict::Fails);
    assert!(reasons.contains("both copies"), "{reasons}");
}

#[test]
fn without_a_fence_el_torito_or_the_mbr_must_do() {
    let mut facts = sample();
    facts.mbr.as_mut().unwrap().protective = false;
    let (verdict, reasons) = told(&facts, Way::UefiStick);
    assert_eq!(verdict, Verdict::Starts);
    assert!(reasons.contains("no protective entry"), "{reasons}");
    facts.eltorito = None;
    facts.mbr.as_mut().unwrap().entries = vec![MbrEntry {
        number: 2,
        kind: 0xef,
        start: 1000,
        length: 1000,
        ..MbrEntry::default()
    }];
    assert_eq!(told(&facts, Way::UefiStick).0, Verdict::Starts);
    let whole = MbrEntry {
        number: 1,
        kind: 0x17,
        start: 0,
        length: 2000,
        ..MbrEntry::default()
    };
    facts.mbr.as_mut().unwrap().entries.push(whole);
    let (verdict, reasons) = told(&facts, Way::UefiStick);
    assert!(
        verdict == Verdict::Fails && reasons.contains("entries 1 and 2"),
        "{reasons}"
    );
}

#[test]
fn a_bios_needs_its_own_entry_and_boot_code() {
    fails(Way::BiosDvd, "for UEFI, not for a BIOS", |f| {
        f.eltorito.as_mut().unwrap().entries[0].platform = 0xef;
    });
    fails(Way::BiosDvd, "not bootable", |f| {
        f.eltorito.as_mut().unwrap().entries[0].bootable = false
    });
    fails(Way::BiosDvd, "nothing lies", |f| {
        f.eltorito.as_mut().unwrap().entries[0].has_code = false
    });
    fails(Way::BiosStick, "55 AA", |f| {
        f.mbr.as_mut().unwrap().signed = false
    });
    fails(Way::BiosStick, "no boot code", |f| {
        f.mbr.as_mut().unwrap().code = Code::None
    });
    fails(Way::BiosStick, "where it is not", |f| {
        f.mbr.as_mut().unwrap().code = Code::Isolinux {
            target: 7,
            found: false,
        };
    });
    let mut facts = sample();
    facts.mbr.as_mut().unwrap().code = Code::Unknown;
    assert_eq!(told(&facts, Way::BiosStick).0, Verdict::Unknown);
}

#[test]
fn a_copy_needs_plain_files_and_a_label_that_fits() {
    fails(Way::CopiedToFat, "as a plain file", |f| {
        f.iso.efi_boot.clear()
    });
    fails(Way::CopiedToFat, "at most 4294967295", |f| {
        f.iso.longest = 1 << 32
    });
    fails(Way::CopiedToFat, "does not fit a FAT", |f| {
        f.iso.label = "Fedora-WS-Live".into()
    });
    let mut facts = sample();
    facts.iso.label = "Fedora-WS-Live".into();
    facts.iso.by_label.clear();
    assert_eq!(told(&facts, Way::CopiedToFat).0, Verdict::Starts);
}

#[test]
fn a_loop_needs_grubs_file() {
    fails(Way::Loopback, "no boot/grub/loopback.cfg", |f| {
        f.iso.loopback_cfg = None
    });
    fails(Way::Loopback, "iso_path", |f| {
        f.iso.loopback_has_iso_path = false
    });
}

#[test]
fn a_medium_whose_root_image_is_cut_short_starts_in_no_way() {
    let facts = Facts {
        length: 1000,
        payloads: vec![super::super::facts::Payload {
            path: "LiveOS/squashfs.img".into(),
            offset: 600,
            length: 600,
            used: Some(401),
            ..Default::default()
        }],
        ..Facts::default()
    };
    for one in predict(&facts) {
        assert_eq!(one.verdict, Verdict::Fails, "{:?}", one.way);
        assert!(one.reasons[0].contains("cut short"), "{:?}", one.reasons);
    }
}
