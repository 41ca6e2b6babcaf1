//! What UEFI firmware starts: EDK2's `MdeModulePkg/Universal/Disk/PartitionDxe` (`Gpt.c`,
//! `ElTorito.c`, `Mbr.c`) and `FatPkg/EnhancedFatDxe`.

use super::{Told, Verdict, platform};
use crate::inspect::facts::{BootEntry, Facts, Fat, GptCopy, overlap};
use crate::ondisk::fatfs::{FatType, LEAST_FAT32};
use crate::ondisk::regions::ESP_TYPE;
use crate::ondisk::{eltorito, pe};

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

pub(super) fn dvd(facts: &Facts) -> Told {
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

/// The copy of the GPT that firmware takes: it needs the fence, and the backup at the end.
fn taken(facts: &Facts) -> Option<&GptCopy> {
    let fence = facts.mbr.as_ref().is_some_and(|mbr| mbr.protective);
    let primary = facts.gpt.primary.as_ref().filter(|copy| copy.holds);
    let backup = facts.gpt.backup.as_ref();
    let backup = backup.filter(|copy| copy.holds && copy.lba == facts.gpt.last_lba);
    fence.then_some(())?;
    primary.or(backup)
}

pub(super) fn stick(facts: &Facts) -> Told {
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
    let range = |p: &crate::inspect::facts::GptEntry| p.first..p.last.saturating_add(1);
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
    let range = |e: &crate::inspect::facts::MbrEntry| {
        u64::from(e.start)..u64::from(e.start) + u64::from(e.length)
    };
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
