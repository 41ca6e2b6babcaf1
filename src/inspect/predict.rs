//! Whether a medium will start, decided from facts: pure.
//!
//! What firmware does is EDK2's `MdeModulePkg/Universal/Disk/PartitionDxe` (`Gpt.c`,
//! `ElTorito.c`, `Mbr.c`) and `FatPkg/EnhancedFatDxe`, and SeaBIOS's `src/cdrom.c` and
//! `src/boot.c`. `qemu/` boots twelve images and holds these predictions against both.

use super::facts::{BootEntry, Code, Facts, Fat, GptCopy, overlap};
use crate::ondisk::fatfs::{FatType, LEAST_FAT32};
use crate::ondisk::regions::ESP_TYPE;
use crate::ondisk::{eltorito, pe};
use serde::Serialize;

/// A way of starting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Way {
    UefiDvd,
    UefiStick,
    BiosDvd,
    BiosStick,
    CopiedToFat,
    Loopback,
}

impl Way {
    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Way::UefiDvd => "UEFI, DVD",
            Way::UefiStick => "UEFI, stick",
            Way::BiosDvd => "BIOS, DVD",
            Way::BiosStick => "BIOS, stick",
            Way::CopiedToFat => "copied to FAT",
            Way::Loopback => "loop, from GRUB",
        }
    }
}

/// Whether it will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Verdict {
    Starts,
    Fails,
    /// The medium does not tell.
    Unknown,
}

/// A way, and whether it works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct Prediction {
    pub way: Way,
    pub verdict: Verdict,
    /// Why not; or what to know although it starts.
    pub reasons: Vec<String>,
}

/// A way's decision.
type Decide = fn(&Facts) -> Told;

/// All six ways.
pub fn predict(facts: &Facts) -> Vec<Prediction> {
    let ways: [(Way, Decide); 6] = [
        (Way::UefiDvd, uefi_dvd),
        (Way::UefiStick, uefi_stick),
        (Way::BiosDvd, bios_dvd),
        (Way::BiosStick, bios_stick),
        (Way::CopiedToFat, copied),
        (Way::Loopback, loopback),
    ];
    let told = ways.into_iter().map(|(way, decide)| (way, decide(facts)));
    told.map(|(way, told)| Prediction {
        way,
        verdict: told.verdict,
        reasons: told.reasons,
    })
    .collect()
}

struct Told {
    verdict: Verdict,
    reasons: Vec<String>,
}

impl Told {
    fn starts(reasons: Vec<String>) -> Told {
        Told {
            verdict: Verdict::Starts,
            reasons,
        }
    }

    fn fails(reason: impl Into<String>) -> Told {
        Told {
            verdict: Verdict::Fails,
            reasons: vec![reason.into()],
        }
    }

    /// The first that starts; if none does, why not each.
    fn first(all: Vec<Told>, none: &str) -> Told {
        let mut reasons = Vec::new();
        for told in all {
            if told.verdict == Verdict::Starts {
                return told;
            }
            reasons.extend(told.reasons);
        }
        if reasons.is_empty() {
            reasons.push(none.to_owned());
        }
        reasons.dedup();
        Told {
            verdict: Verdict::Fails,
            reasons,
        }
    }
}

/// Whether UEFI starts something from the FAT at `offset`, of which it sees `visible` bytes.
fn from_fat(facts: &Facts, offset: u64, visible: u64, what: &str) -> Told {
    let Some(fat) = facts.fat_at(offset) else {
        return Told::fails(format!("{what}: no FAT file system at byte {offset}"));
    };
    if fat.header == Some(FatType::Fat32) && fat.clusters < LEAST_FAT32 {
        return Told::fails(format!(
            "{what}: a FAT32 of {} clusters, and fewer than {LEAST_FAT32} make none: firmware does not mount it",
            fat.clusters
        ));
    }
    let Some(loader) = &fat.loader else {
        return Told::fails(format!("{what}: no EFI/BOOT/BOOTX64.EFI in its FAT"));
    };
    if loader.machine != pe::MACHINE_AMD64 {
        return Told::fails(format!("{what}: {} is no program for x86-64", loader.path));
    }
    let room = visible.min(facts.length.saturating_sub(offset));
    if loader.end > room {
        return Told::fails(format!(
            "{what}: firmware sees {room} bytes of it, and {} ends at byte {}",
            loader.path, loader.end
        ));
    }
    Told::starts(beyond(fat, room, what))
}

/// Files that are cut off, for what has started would miss them.
fn beyond(fat: &Fat, room: u64, what: &str) -> Vec<String> {
    let cut = fat.files.iter().filter(|file| file.end > room);
    cut.take(3)
        .map(|file| {
            format!(
                "{what}: firmware sees {room} bytes of it, and {} ends at byte {}: the loader starts, and does not find it",
                file.path, file.end
            )
        })
        .collect()
}

fn uefi_dvd(facts: &Facts) -> Told {
    // EDK2 multiplies the count by the disc's sectors of 2,048 bytes instead of 512.
    from_eltorito(facts, eltorito::SECTOR)
}

fn from_eltorito(facts: &Facts, unit: u64) -> Told {
    let Some(catalogue) = &facts.eltorito else {
        return Told::fails("no El Torito boot record in sector 17");
    };
    if !catalogue.valid {
        return Told::fails(format!(
            "the El Torito catalogue at byte {} does not validate: its sum or its mark is wrong",
            catalogue.catalogue
        ));
    }
    let usable = |e: &&BootEntry| e.bootable && e.offset != 0;
    let entries = catalogue.entries.iter().filter(usable);
    let told = entries.map(|entry| {
        let what = format!("the boot entry for {}", platform(entry.platform));
        let visible = match entry.count {
            0 | 1 => facts.iso.claimed.saturating_sub(entry.offset),
            count => u64::from(count) * unit,
        };
        let mut told = from_fat(facts, entry.offset, visible, &what);
        if told.verdict == Verdict::Starts {
            told.reasons.extend(remarks(facts, entry));
        }
        (entry.platform, told)
    });
    let mut all: Vec<_> = told.collect();
    // What is no FAT is a BIOS's, and no reason.
    let is_efi = |platform: &u8| *platform == eltorito::PLATFORM_EFI;
    if all.iter().any(|(platform, _)| is_efi(platform)) {
        all.retain(|(platform, told)| is_efi(platform) || told.verdict == Verdict::Starts);
    } else if all.iter().all(|(_, told)| told.verdict != Verdict::Starts) {
        let for_efi = |entry: &BootEntry| is_efi(&entry.platform);
        return Told::fails(match catalogue.entries.iter().any(for_efi) {
            true => "the entry for UEFI in the El Torito catalogue is not bootable",
            false => "no entry for UEFI (platform 0xEF) in the El Torito catalogue",
        });
    }
    let all = all.into_iter().map(|(_, told)| told).collect();
    Told::first(all, "no bootable entry for UEFI in the El Torito catalogue")
}

/// What other firmware than EDK2 may stumble over.
fn remarks(facts: &Facts, entry: &BootEntry) -> Vec<String> {
    let mut remarks = Vec::new();
    if entry.platform != eltorito::PLATFORM_EFI {
        remarks.push("the entry is not marked for UEFI: EDK2 does not mind, others may".into());
    }
    let claimed = u64::from(entry.count) * eltorito::VIRTUAL;
    let real = entry.real_length.unwrap_or(0);
    match entry.count {
        0 | 1 => remarks.push(format!(
            "the boot entry's count is {}, \"to the end of the disc\": U-Boot and some firmware take it for empty",
            entry.count
        )),
        _ if claimed < real => remarks.push(format!(
            "the boot entry counts {claimed} bytes, and the FAT has {real}: EDK2 sees four times the count, others do not"
        )),
        _ => {}
    }
    if facts.iso.claimed < entry.offset.saturating_add(real) && entry.count < 2 {
        remarks.push("the FAT reaches behind the volume's end".into());
    }
    remarks
}

fn platform(platform: u8) -> String {
    match platform {
        eltorito::PLATFORM_BIOS => "BIOS".into(),
        eltorito::PLATFORM_EFI => "UEFI".into(),
        other => format!("platform {other:#04x}"),
    }
}

/// The copy of the GPT that firmware takes: it needs the fence, and the backup at the end.
fn taken(facts: &Facts) -> Option<&GptCopy> {
    let fence = facts.mbr.as_ref().is_some_and(|mbr| mbr.protective);
    let primary = facts.gpt.primary.as_ref().filter(|copy| copy.holds);
    let backup = facts.gpt.backup.as_ref();
    let backup = backup.filter(|copy| copy.holds && copy.lba == facts.gpt.last_lba);
    fence.then_some(())?;
    primary.or(backup)
}

fn uefi_stick(facts: &Facts) -> Told {
    if let Some(copy) = taken(facts) {
        return from_gpt(facts, copy);
    }
    let mut all = Vec::new();
    if facts.eltorito.is_some() {
        let mut told = from_eltorito(facts, eltorito::VIRTUAL);
        if told.verdict == Verdict::Starts {
            told.reasons.push(
                "without a valid GPT, by El Torito from a stick: EDK2 does that, other firmware may not".into(),
            );
            told.reasons.extend(no_gpt(facts));
            return told;
        }
        all.push(told);
    }
    all.push(from_mbr(facts));
    if facts.fat_at(0).is_some() {
        all.push(from_fat(facts, 0, facts.length, "the whole medium"));
    }
    let mut told = Told::first(all, "no partition table and no El Torito");
    if told.verdict == Verdict::Fails {
        told.reasons.extend(no_gpt(facts));
    }
    told
}

/// Why there is no GPT to go by.
fn no_gpt(facts: &Facts) -> Option<String> {
    let fence = facts.mbr.as_ref().is_some_and(|mbr| mbr.protective);
    match (&facts.gpt.primary, &facts.gpt.backup) {
        (None, None) => None,
        _ if !fence => {
            Some("the GPT counts for nothing: the MBR has no protective entry (type EE)".into())
        }
        _ => Some("both copies of the GPT are damaged or not where they belong".into()),
    }
}

fn from_gpt(facts: &Facts, copy: &GptCopy) -> Told {
    let size = u64::from(facts.gpt.sector_size);
    let range = |p: &super::facts::GptEntry| p.first..p.last.saturating_add(1);
    let mut all = Vec::new();
    for p in &copy.partitions {
        let what = format!("partition {}", p.number);
        let offset = p.first.saturating_mul(size);
        let is_esp = p.kind == ESP_TYPE;
        if !is_esp && facts.fat_at(offset).is_none() {
            continue;
        }
        let others = copy
            .partitions
            .iter()
            .filter(|other| other.number != p.number);
        let clash = others
            .clone()
            .find(|other| overlap(&range(p), &range(other)));
        if let Some(other) = clash {
            all.push(Told::fails(format!(
                "{what} overlaps partition {}: firmware uses neither",
                other.number
            )));
            continue;
        }
        if p.first < copy.usable.0 || p.last > copy.usable.1 || p.first > p.last {
            all.push(Told::fails(format!(
                "{what} lies outside of what the GPT may use"
            )));
            continue;
        }
        let visible = range(p).end.saturating_sub(p.first).saturating_mul(size);
        let mut told = from_fat(facts, offset, visible, &what);
        if told.verdict == Verdict::Starts && !is_esp {
            told.reasons.push(format!(
                "{what} is not of the type of EFI system partitions: some firmware passes it by"
            ));
        }
        all.push(told);
    }
    Told::first(all, "no EFI system partition in the GPT")
}

fn from_mbr(facts: &Facts) -> Told {
    let Some(mbr) = facts.mbr.as_ref().filter(|mbr| mbr.signed) else {
        return Told::fails("the first sector has no boot signature (55 AA)");
    };
    let range =
        |e: &super::facts::MbrEntry| u64::from(e.start)..u64::from(e.start) + u64::from(e.length);
    let used: Vec<_> = mbr
        .entries
        .iter()
        .filter(|e| e.kind != 0 && e.length != 0)
        .collect();
    for entry in &used {
        let others = used.iter().filter(|other| other.number != entry.number);
        if let Some(other) = others
            .clone()
            .find(|other| overlap(&range(entry), &range(other)))
        {
            return Told::fails(format!(
                "entries {} and {} of the MBR overlap: firmware takes the table for none",
                entry.number.min(other.number),
                entry.number.max(other.number)
            ));
        }
        if range(entry).end > facts.length / 512 {
            return Told::fails(format!(
                "entry {} of the MBR reaches behind the end",
                entry.number
            ));
        }
    }
    let fats = used
        .iter()
        .filter(|e| e.kind == 0xef || facts.fat_at(range(e).start * 512).is_some());
    let told = fats.map(|e| {
        let what = format!("MBR partition {}", e.number);
        from_fat(
            facts,
            range(e).start * 512,
            u64::from(e.length) * 512,
            &what,
        )
    });
    Told::first(
        told.collect(),
        "no EFI system partition (type EF) in the MBR",
    )
}

fn bios_dvd(facts: &Facts) -> Told {
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

fn bios_stick(facts: &Facts) -> Told {
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

/// A label that a FAT can have: at most 11 characters, no small letters.
fn fits_fat(label: &str) -> bool {
    let allowed =
        |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || " -_$%'@~!(){}^#&".contains(c);
    label.len() <= 11 && label.chars().all(allowed)
}

fn copied(facts: &Facts) -> Told {
    if !facts.iso.present {
        return Told::fails("no ISO 9660 tree to copy from");
    }
    let mut reasons = Vec::new();
    let wanted = |path: &String| path.eq_ignore_ascii_case("EFI/BOOT/BOOTX64.EFI");
    if !facts.iso.efi_boot.iter().any(wanted) {
        reasons.push("no EFI/BOOT/BOOTX64.EFI as a plain file in the ISO's tree".to_owned());
    }
    if facts.iso.longest > u64::from(u32::MAX) {
        reasons.push(format!(
            "/{} has {} bytes, and a file on FAT at most 4294967295",
            facts.iso.longest_path, facts.iso.longest
        ));
    }
    if let Some(by) = facts
        .iso
        .by_label
        .first()
        .filter(|_| !fits_fat(&facts.iso.label))
    {
        reasons.push(format!(
            "the label {:?} does not fit a FAT (11 capital letters and digits), and /{by} finds the medium by it",
            crate::units::shown(&facts.iso.label)
        ));
    }
    if !reasons.is_empty() {
        return Told {
            verdict: Verdict::Fails,
            reasons,
        };
    }
    if facts.iso.symlinks > 0 {
        reasons.push(format!(
            "{} symbolic links are lost on FAT",
            facts.iso.symlinks
        ));
    }
    if !facts.iso.by_label.is_empty() {
        reasons.push(format!("the FAT must get the label {}", facts.iso.label));
    }
    Told::starts(reasons)
}

fn loopback(facts: &Facts) -> Told {
    if !facts.iso.present {
        return Told::fails("no ISO 9660 file system");
    }
    match &facts.iso.loopback_cfg {
        None => Told::fails("no boot/grub/loopback.cfg: GRUB's user must write the entry by hand"),
        Some(path) if !facts.iso.loopback_has_iso_path => Told::fails(format!(
            "/{path} does not use iso_path: the system will not find its file"
        )),
        Some(_) => Told::starts(Vec::new()),
    }
}

#[cfg(test)]
#[path = "predict_tests.rs"]
pub(super) mod tests;
