//! What lies where on a medium: named ranges of bytes, from tables, descriptors and
//! directories. The builder digests them, `liveroot inspect` draws them.

use super::isofs::{self, Kind};
use super::{ByteSource, ReadError, bootcode, eltorito, fatfs, gptcopy, pesections, read_up_to};
use crate::layout::Span;
use crate::ondisk::window::Window;
use std::ops::Range;

/// Sectors of the tables that are read here, bytes.
const LBA: u64 = 512;
/// Where the MBR's entries begin: tools that move the backup GPT change them, and the code
/// in front of them never.
const MBR_ENTRIES: u64 = 446;
/// GPT type of an EFI system partition (UEFI 2.11, table 5.7).
pub const ESP_TYPE: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
/// Programs whose sections are told apart.
const PROGRAM: &str = ".efi";

/// All named ranges of a medium: nested and overlapping ones too, in no special order.
///
/// # Errors
/// When the source can't be read. What is damaged has no names.
pub fn regions(src: &dyn ByteSource) -> Result<Vec<Span>, ReadError> {
    let mut all = Vec::new();
    tables(src, &mut all)?;
    iso(src, &mut all)?;
    for esp in esps(src)? {
        fat(src, esp, &mut all)?;
    }
    Ok(all)
}

fn push(all: &mut Vec<Span>, name: impl Into<String>, at: Range<u64>) {
    if at.start < at.end {
        all.push(Span {
            name: name.into(),
            at,
        });
    }
}

fn tables(src: &dyn ByteSource, all: &mut Vec<Span>) -> Result<(), ReadError> {
    let record = read_up_to(src, 0, bootcode::RECORD)?;
    if bootcode::parse(&record).signed {
        push(all, "MBR", 0..MBR_ENTRIES);
        push(all, "MBR entries", MBR_ENTRIES..LBA);
    }
    let primary = gptcopy::read_copy(src, 1, LBA as u32)?;
    let mut copies = vec![("GPT", primary.clone())];
    let last = (src.len() / LBA).saturating_sub(1);
    let said = primary.map_or(last, |copy| copy.alternate_lba);
    for lba in [said, last] {
        if copies.len() == 1 && lba > 1 {
            let backup = gptcopy::read_copy(src, lba, LBA as u32)?;
            copies.extend(backup.map(|copy| ("GPT backup", Some(copy))));
        }
    }
    for (name, copy) in copies {
        let Some(copy) = copy else { continue };
        push(
            all,
            format!("{name} header"),
            copy.lba * LBA..(copy.lba + 1) * LBA,
        );
        let (start, count, size) = copy.entries;
        let start = start.saturating_mul(LBA);
        let length = u64::from(count) * u64::from(size);
        if length < src.len() {
            push(
                all,
                format!("{name} entries"),
                start..start.saturating_add(length),
            );
        }
    }
    Ok(())
}

fn iso(src: &dyn ByteSource, all: &mut Vec<Span>) -> Result<(), ReadError> {
    let catalogue = eltorito::read_catalogue(src)?;
    if let Some(catalogue) = catalogue {
        let start = u64::from(catalogue.lba) * isofs::SECTOR;
        push(all, "El Torito catalogue", start..start + isofs::SECTOR);
    }
    // Behind 64 sectors of 512 bytes a second set may stand, for partition 1.
    for (first, base) in [(isofs::FIRST, 0), (isofs::FIRST + 16, 16)] {
        for descriptor in isofs::read_descriptors(src, first)? {
            let start = descriptor.lba * isofs::SECTOR;
            let name = match descriptor.kind {
                Kind::Primary => "ISO 9660 volume descriptor",
                Kind::BootRecord => "El Torito boot record",
                Kind::Joliet => "Joliet volume descriptor",
                Kind::Terminator => "ISO 9660 terminator",
                _ => "ISO 9660 descriptor",
            };
            push(all, name, start..start + isofs::SECTOR);
            for (lba, length) in &descriptor.path_tables {
                let start = (u64::from(*lba) + base) * isofs::SECTOR;
                push(
                    all,
                    "ISO 9660 path table",
                    start..start + u64::from(*length),
                );
            }
            if !matches!(descriptor.kind, Kind::Primary | Kind::Joliet) {
                continue;
            }
            let below = Window::new(src, base * isofs::SECTOR, u64::MAX);
            let joliet = descriptor.kind == Kind::Joliet;
            let root = descriptor.root;
            let start = (u64::from(root.0) + base) * isofs::SECTOR;
            push(all, "directory /", start..start + u64::from(root.1));
            for file in isofs::walk(&below, root, joliet).files {
                for (start, length) in &file.extents {
                    let start = start + base * isofs::SECTOR;
                    let at = start..start.saturating_add(*length);
                    if file.directory {
                        push(all, format!("directory /{}", file.path), at);
                    } else if base == 0 && !joliet {
                        push(all, format!("/{}", file.path), at.clone());
                        program(src, &format!("/{}", file.path), at, all)?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// The sections of a program, where there are several of note.
fn program(
    src: &dyn ByteSource,
    path: &str,
    at: Range<u64>,
    all: &mut Vec<Span>,
) -> Result<(), ReadError> {
    if !path.to_ascii_lowercase().ends_with(PROGRAM) {
        return Ok(());
    }
    let window = Window::new(src, at.start, at.end - at.start);
    let Some(image) = pesections::read(&window)?.filter(pesections::Image::is_uki) else {
        return Ok(());
    };
    for section in image.sections {
        let start = at.start + section.at.start;
        let end = (at.start + section.at.end).min(at.end);
        push(all, format!("{path}: {}", section.name), start..end);
    }
    Ok(())
}

/// Where EFI system partitions lie, bytes: by GPT, by El Torito, by MBR.
///
/// # Errors
/// When the source can't be read.
pub fn esps(src: &dyn ByteSource) -> Result<Vec<Range<u64>>, ReadError> {
    let mut found: Vec<Range<u64>> = Vec::new();
    let mut add = |at: Range<u64>| {
        if at.start > 0 && at.start < src.len() && found.iter().all(|old| old.start != at.start) {
            found.push(at);
        }
    };
    if let Some(copy) = gptcopy::read_copy(src, 1, LBA as u32)? {
        for entry in copy
            .partitions
            .iter()
            .filter(|entry| entry.kind == ESP_TYPE)
        {
            let end = entry.last.saturating_add(1).saturating_mul(LBA);
            add(entry.first.saturating_mul(LBA)..end);
        }
    }
    for entry in eltorito::read_catalogue(src)?
        .into_iter()
        .flat_map(|c| c.entries)
    {
        if entry.platform == eltorito::PLATFORM_EFI {
            add(entry.claimed(src.len()));
        }
    }
    for entry in bootcode::parse(&read_up_to(src, 0, bootcode::RECORD)?).entries {
        if entry.kind == 0xef {
            let start = u64::from(entry.start) * LBA;
            add(start..start + u64::from(entry.length) * LBA);
        }
    }
    Ok(found)
}

fn fat(src: &dyn ByteSource, at: Range<u64>, all: &mut Vec<Span>) -> Result<(), ReadError> {
    let window = Window::new(src, at.start, u64::MAX);
    let Some(volume) = fatfs::read_volume(&window)? else {
        return Ok(());
    };
    let base = at.start;
    let place = |range: &Range<u64>| base + range.start..base.saturating_add(range.end);
    push(all, "ESP", place(&(0..volume.length)));
    let first = volume.tables.first().map_or(512, |table| table.start);
    push(all, "ESP: boot sector", place(&(0..first)));
    for (n, table) in volume.tables.iter().enumerate() {
        push(all, format!("ESP: FAT {}", n + 1), place(table));
    }
    push(all, "ESP: directory /", place(&volume.root));
    for file in volume.walk(&window)?.files {
        let mut left = file.length;
        for extent in &file.extents {
            let length = left.min(extent.end - extent.start);
            left -= length;
            let at = place(&(extent.start..extent.start + length));
            if file.directory {
                push(all, format!("ESP: directory /{}", file.path), at);
            } else {
                push(all, format!("ESP: /{}", file.path), at);
            }
        }
        if let [extent] = file.extents.as_slice()
            && !file.directory
        {
            let at = place(&(extent.start..extent.start + file.length));
            program(src, &format!("ESP: /{}", file.path), at, all)?;
        }
    }
    Ok(())
}
