//! What a BIOS starts: SeaBIOS's `src/cdrom.c` and `src/boot.c`.

use super::{Told, Verdict, platform};
use crate::inspect::facts::{Code, Facts};
use crate::ondisk::eltorito;

pub(super) fn dvd(facts: &Facts) -> Told {
    let Some(catalogue) = &facts.eltorito else {
        return Told::fails("no El Torito boot record in sector 17");
    };
    let Some(entry) = catalogue.entries.iter().find(|entry| entry.default) else {
        return Told::fails("the El Torito catalogue is empty");
    };
    if entry.platform != eltorito::PLATFORM_BIOS {
        return Told::fails(format!(
            "the default boot entry is for {}, not for a BIOS",
            platform(entry.platform)
        ));
    }
    if !entry.bootable {
        return Told::fails("the default boot entry is marked as not bootable");
    }
    if !entry.has_code {
        return Told::fails(format!(
            "nothing lies at byte {}, where the boot entry points",
            entry.offset
        ));
    }
    if entry.media == 0 && entry.real_length.is_some() {
        return Told::fails(
            "the default boot entry is a FAT for UEFI: a BIOS runs its boot sector, which starts nothing",
        );
    }
    let mut reasons = Vec::new();
    if !catalogue.valid {
        reasons.push(
            "the catalogue's validation entry is wrong: SeaBIOS does not sum it, other BIOSes do"
                .into(),
        );
    }
    Told::starts(reasons)
}

pub(super) fn stick(facts: &Facts) -> Told {
    let Some(mbr) = facts.mbr.as_ref().filter(|mbr| mbr.signed) else {
        return Told::fails("the first sector has no boot signature (55 AA)");
    };
    let active = mbr.entries.iter().any(|entry| entry.active);
    let mut reasons = Vec::new();
    if !active {
        reasons.push("no entry of the MBR is active: some BIOSes pass such a stick by".into());
    }
    match &mbr.code {
        Code::None => Told::fails("the MBR has no boot code"),
        Code::Isolinux { found: true, .. } | Code::Grub { found: true, .. } => {
            Told::starts(reasons)
        }
        Code::Isolinux { target, .. } => Told::fails(format!(
            "the MBR's code loads isolinux from sector {target}, where it is not"
        )),
        Code::Grub { target, .. } => Told::fails(format!(
            "the MBR's code loads GRUB from sector {target}, where nothing is"
        )),
        Code::Syslinux if !active => {
            Told::fails("the MBR's code starts the active partition, and there is none")
        }
        Code::Syslinux => Told {
            verdict: Verdict::Unknown,
            reasons: vec![
                "the MBR's code starts the active partition, whose boot sector is not judged"
                    .into(),
            ],
        },
        Code::Unknown if facts.fat_at(0).is_some() => {
            Told::fails("the first sector is a FAT's, whose code starts nothing")
        }
        Code::Unknown => Told {
            verdict: Verdict::Unknown,
            reasons: vec!["the MBR has boot code that is not known here".into()],
        },
    }
}
