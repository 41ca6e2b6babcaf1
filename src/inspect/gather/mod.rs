//! From a medium's bytes to [`Facts`]. Whatever is damaged or behind the end becomes a line
//! of trouble; the rest is gathered all the same.

mod files;

use super::facts::*;
use crate::layout::Span;
use crate::ondisk::isofs::{self, Kind};
use crate::ondisk::window::Window;
use crate::ondisk::{
    ByteSource, ReadError, bootcode, eltorito, fatfs, gptcopy, isomd5, pesections, read_up_to,
    regions,
};
use std::collections::BTreeSet;

const LBA: u64 = 512;

/// Facts, what lies where, and what could not be read.
pub fn gather(src: &dyn ByteSource) -> (Facts, Vec<Span>, Vec<String>) {
    let mut facts = Facts {
        length: src.len(),
        ..Facts::default()
    };
    let mut trouble = Vec::new();
    let mut say = |what: &str, result: Result<(), ReadError>| {
        if let Err(why) = result {
            trouble.push(format!("{what}: {why}"));
        }
    };
    say("the first sector", gather_mbr(src, &mut facts));
    say("the GPT", gather_gpt(src, &mut facts));
    say(
        "the volume descriptors",
        gather_descriptors(src, &mut facts),
    );
    say("the El Torito catalogue", gather_eltorito(src, &mut facts));
    let mut more = Vec::new();
    say(
        "the FAT file systems",
        gather_fats(src, &mut facts, &mut more),
    );
    say(
        "the tree of ISO 9660",
        files::iso(src, &mut facts, &mut more),
    );
    say("the root image", gather_bare(src, &mut facts));
    say("the implanted checksum", gather_isomd5(src, &mut facts));
    let spans = match regions::regions(src) {
        Ok(spans) => spans,
        Err(why) => {
            trouble.push(format!("what lies where: {why}"));
            Vec::new()
        }
    };
    trouble.extend(more);
    if facts.iso.claimed > facts.length {
        trouble.push(format!(
            "cut short: the volume descriptor at byte 32768 claims {} bytes, and the medium ends at byte {}",
            facts.iso.claimed, facts.length
        ));
    }
    (facts, spans, trouble)
}

fn gather_mbr(src: &dyn ByteSource, facts: &mut Facts) -> Result<(), ReadError> {
    let record = bootcode::parse(&read_up_to(src, 0, bootcode::RECORD)?);
    let loaded = |target: u64| -> Result<Vec<u8>, ReadError> {
        read_up_to(src, target.saturating_mul(LBA), LBA as usize)
    };
    let code = match record.code {
        bootcode::BootCode::None => Code::None,
        bootcode::BootCode::Isolinux(target) => Code::Isolinux {
            target,
            found: loaded(target)?.get(64..68) == Some(&bootcode::ISOLINUX_MARK[..]),
        },
        bootcode::BootCode::Grub(target) => Code::Grub {
            target,
            found: target != 0 && loaded(target)?.iter().any(|byte| *byte != 0),
        },
        bootcode::BootCode::Syslinux => Code::Syslinux,
        bootcode::BootCode::Unknown => Code::Unknown,
    };
    let protective = record.protective();
    let entries = record.entries.into_iter().map(|e| MbrEntry {
        number: e.number,
        active: e.active,
        kind: e.kind,
        start: e.start,
        length: e.length,
    });
    facts.mbr = (facts.length >= LBA).then(|| Mbr {
        signed: record.signed,
        code,
        protective,
        entries: entries.collect(),
    });
    Ok(())
}

fn gather_gpt(src: &dyn ByteSource, facts: &mut Facts) -> Result<(), ReadError> {
    // Media are made for sectors of 512 bytes; disks of 4,096 have a table of their own.
    let mut size = 512;
    if gptcopy::read_copy(src, 1, 512)?.is_none() && gptcopy::read_copy(src, 1, 4096)?.is_some() {
        size = 4096;
    }
    let last = (src.len() / u64::from(size)).saturating_sub(1);
    let primary = gptcopy::read_copy(src, 1, size)?;
    let mut backup = None;
    if let Some(primary) = primary.as_ref().filter(|copy| copy.alternate_lba > 1) {
        backup = gptcopy::read_copy(src, primary.alternate_lba, size)?;
    }
    if backup.is_none() && last > 1 {
        backup = gptcopy::read_copy(src, last, size)?;
    }
    facts.gpt = Gpt {
        sector_size: size,
        primary: primary.map(copy),
        backup: backup.map(copy),
        last_lba: last,
    };
    Ok(())
}

fn copy(copy: gptcopy::GptCopy) -> GptCopy {
    let entry = |e: &gptcopy::Entry| GptEntry {
        number: e.number,
        kind: e.kind.clone(),
        first: e.first,
        last: e.last,
        name: e.name.clone(),
    };
    GptCopy {
        lba: copy.lba,
        header_holds: copy.header_holds,
        entries_hold: copy.entries_hold,
        holds: copy.holds(),
        alternate_lba: copy.alternate_lba,
        usable: copy.usable,
        disk: copy.disk.clone(),
        entries_lba: copy.entries.0,
        entry_count: copy.entries.1,
        partitions: copy.partitions.iter().map(entry).collect(),
    }
}

fn gather_descriptors(src: &dyn ByteSource, facts: &mut Facts) -> Result<(), ReadError> {
    for first in [isofs::FIRST, isofs::FIRST + 16] {
        for d in isofs::read_descriptors(src, first)? {
            if facts.descriptors.iter().any(|old| old.lba == d.lba) {
                continue;
            }
            if d.kind == Kind::Primary && !facts.iso.present {
                facts.iso.present = true;
                facts.iso.label = d.label.clone();
                facts.iso.claimed = u64::from(d.sectors) * isofs::SECTOR;
            }
            facts.descriptors.push(Volume {
                kind: format!("{:?}", d.kind).to_lowercase(),
                lba: d.lba,
                label: d.label,
                sectors: d.sectors,
            });
        }
    }
    Ok(())
}

fn gather_eltorito(src: &dyn ByteSource, facts: &mut Facts) -> Result<(), ReadError> {
    let Some(catalogue) = eltorito::read_catalogue(src)? else {
        return Ok(());
    };
    let mut entries = Vec::new();
    for entry in catalogue.entries {
        let head = read_up_to(src, entry.start(), isofs::SECTOR as usize)?;
        let image = Window::new(src, entry.start(), u64::MAX);
        let volume = fatfs::read_volume(&image)?;
        entries.push(BootEntry {
            platform: entry.platform,
            default: entry.default,
            bootable: entry.bootable,
            media: entry.media,
            count: entry.sectors,
            offset: entry.start(),
            real_length: volume.map(|volume| volume.length),
            has_code: head.iter().any(|byte| *byte != 0),
            isolinux: head.get(64..68) == Some(&bootcode::ISOLINUX_MARK[..]),
        });
    }
    facts.eltorito = Some(ElTorito {
        catalogue: u64::from(catalogue.lba) * eltorito::SECTOR,
        valid: catalogue.valid,
        entries,
    });
    Ok(())
}

/// Where firmware may look for a FAT.
fn places(facts: &Facts) -> BTreeSet<u64> {
    let size = u64::from(facts.gpt.sector_size);
    let copies = [&facts.gpt.primary, &facts.gpt.backup];
    let partitions = copies
        .into_iter()
        .flatten()
        .flat_map(|copy| &copy.partitions);
    let gpt = partitions.map(|p| p.first.saturating_mul(size));
    let mbr = facts.mbr.iter().flat_map(|mbr| &mbr.entries);
    let mbr = mbr.map(|e| u64::from(e.start) * LBA);
    let entries = facts.eltorito.iter().flat_map(|e| &e.entries);
    let all = gpt.chain(mbr).chain(entries.map(|e| e.offset));
    all.chain([0]).filter(|at| *at < facts.length).collect()
}

fn gather_fats(
    src: &dyn ByteSource,
    facts: &mut Facts,
    trouble: &mut Vec<String>,
) -> Result<(), ReadError> {
    for offset in places(facts) {
        let window = Window::new(src, offset, u64::MAX);
        let Some(volume) = fatfs::read_volume(&window)? else {
            continue;
        };
        let walk = volume.walk(&window)?;
        let about = |line: &String| format!("FAT at byte {offset}: {line}");
        trouble.extend(walk.trouble.iter().take(20).map(about));
        if offset + volume.length > facts.length {
            trouble.push(format!(
                "FAT at byte {offset}: it claims {} bytes, and the medium ends at byte {}",
                volume.length, facts.length
            ));
        }
        let end = |file: &fatfs::FatFile| {
            let mut left = file.length;
            let ends = file.extents.iter().map(|extent| {
                let length = left.min(extent.end - extent.start);
                left -= length;
                extent.start + length
            });
            ends.max().unwrap_or(0)
        };
        let mut loader = None;
        for file in walk.files.iter().filter(|file| !file.directory) {
            if file.path.eq_ignore_ascii_case("EFI/BOOT/BOOTX64.EFI") {
                let at = file.extents.first().map_or(0, |extent| extent.start);
                let image = pesections::read(&Window::new(&window, at, file.length))?;
                loader = Some(Loader {
                    path: file.path.clone(),
                    machine: image.map_or(0, |image| image.machine),
                    end: end(file),
                });
            }
        }
        let files = walk.files.iter().filter(|file| !file.directory);
        facts.fats.push(Fat {
            offset,
            length: volume.length,
            header: Some(volume.header),
            counted: Some(volume.counted),
            clusters: volume.clusters,
            cluster: volume.cluster,
            label: volume.label.clone(),
            files: files
                .map(|file| FatFile {
                    path: file.path.clone(),
                    length: file.length,
                    end: end(file),
                })
                .collect(),
            loader,
            tables_equal: tables_equal(&window, &volume)?,
        });
    }
    Ok(())
}

fn tables_equal(src: &dyn ByteSource, volume: &fatfs::Volume) -> Result<bool, ReadError> {
    let [first, second] = volume.tables.as_slice() else {
        return Ok(true);
    };
    let length = (first.end - first.start).min(16 << 20) as usize;
    Ok(read_up_to(src, first.start, length)? == read_up_to(src, second.start, length)?)
}

/// An image that is nothing but a payload.
fn gather_bare(src: &dyn ByteSource, facts: &mut Facts) -> Result<(), ReadError> {
    if !facts.iso.present && facts.payloads.is_empty() {
        facts
            .payloads
            .extend(files::payload(src, "", 0, src.len())?);
    }
    Ok(())
}

fn gather_isomd5(src: &dyn ByteSource, facts: &mut Facts) -> Result<(), ReadError> {
    let descriptor = read_up_to(src, isofs::FIRST * isofs::SECTOR, isofs::SECTOR as usize)?;
    let area = descriptor.get(883..1395).unwrap_or(&[]);
    let says = |text: &[u8]| area.windows(text.len()).any(|window| window == text);
    facts.isomd5 = isomd5::parse(&descriptor).map(|implanted| Isomd5 {
        length: implanted.length,
        fragments: implanted.fragments.is_some(),
        supported: says(b"RHLISOSTATUS=1"),
    });
    Ok(())
}
