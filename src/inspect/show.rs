//! A report as people read it.

use super::draw::{Canvas, draw};
use super::facts::{BootEntry, Code, Facts};
use super::{Report, Verdict};
use crate::layout::Span;
use crate::ondisk::eltorito;
use crate::units::{Bytes, shown};
use std::fmt::Write;

/// The whole report.
pub fn text(report: &Report, spans: &[Span], canvas: Canvas) -> String {
    let facts = &report.facts;
    let mut out = format!(
        "{}: {}, {} bytes\n\n",
        shown(&report.medium),
        Bytes(facts.length),
        facts.length
    );
    out += &draw(facts, spans, canvas);
    out.push('\n');
    for (name, value) in rows(facts) {
        let _ = writeln!(out, "{name:<11} {}", shown(&value));
    }
    out.push('\n');
    for way in &report.ways {
        let verdict = match way.verdict {
            Verdict::Starts => "starts",
            Verdict::Fails => "does not start",
            Verdict::Unknown => "unknown",
        };
        let _ = writeln!(out, "{:<16} {verdict}", way.way.name());
        for reason in &way.reasons {
            out += &wrapped(&shown(reason), 4, canvas.width);
        }
    }
    for (title, lines) in [
        ("found wrong:", &report.findings),
        ("could not be read:", &report.trouble),
    ] {
        if !lines.is_empty() {
            let _ = writeln!(out, "\n{title}");
        }
        for line in lines {
            out += &wrapped(&shown(line), 2, canvas.width);
        }
    }
    out
}

/// A paragraph, indented.
fn wrapped(text: &str, indent: usize, width: usize) -> String {
    let mut out = String::new();
    let mut line = " ".repeat(indent);
    let mut empty = true;
    for word in text.split(' ') {
        if !empty && line.chars().count() + 1 + word.chars().count() > width.max(40) {
            out += &line;
            out.push('\n');
            line = " ".repeat(indent);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line += word;
        empty = false;
    }
    out + &line + "\n"
}

fn rows(facts: &Facts) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if let Some(mbr) = &facts.mbr {
        let code = match &mbr.code {
            Code::None => "no boot code".to_owned(),
            Code::Isolinux { target, found } => format!(
                "isolinux's code, which loads sector {target}{}",
                if *found { "" } else { " (not isolinux)" }
            ),
            Code::Grub { target, .. } => format!("GRUB's code, which loads sector {target}"),
            Code::Syslinux => "syslinux's code".into(),
            Code::Unknown => "boot code that is not known here".into(),
        };
        let signed = if mbr.signed { "" } else { "no signature, " };
        rows.push(("MBR", format!("{signed}{code}")));
        for e in &mbr.entries {
            let active = if e.active { ", active" } else { "" };
            rows.push((
                "",
                format!(
                    "{}: type {:02x}, sectors {} + {}{active}",
                    e.number, e.kind, e.start, e.length
                ),
            ));
        }
    }
    for (name, copy) in [
        ("GPT", &facts.gpt.primary),
        ("GPT backup", &facts.gpt.backup),
    ] {
        let Some(copy) = copy else { continue };
        let state = match (copy.header_holds, copy.entries_hold) {
            (true, true) => "holds",
            (false, _) => "its header is damaged",
            (true, false) => "its entries are damaged",
        };
        rows.push((
            name,
            format!(
                "sector {}, {state}, {} entries at {}, disk {}",
                copy.lba, copy.entry_count, copy.entries_lba, copy.disk
            ),
        ));
        if name == "GPT" {
            for p in &copy.partitions {
                rows.push((
                    "",
                    format!(
                        "{}: {} to {}, {} {:?}",
                        p.number, p.first, p.last, p.kind, p.name
                    ),
                ));
            }
        }
    }
    for volume in &facts.descriptors {
        rows.push((
            "descriptor",
            format!(
                "sector {}: {} {:?}, {} sectors",
                volume.lba, volume.kind, volume.label, volume.sectors
            ),
        ));
    }
    if let Some(catalogue) = &facts.eltorito {
        let state = if catalogue.valid {
            ""
        } else {
            ", does not validate"
        };
        rows.push((
            "El Torito",
            format!("catalogue at byte {}{state}", catalogue.catalogue),
        ));
        rows.extend(
            catalogue
                .entries
                .iter()
                .map(|entry| ("", boot_entry(entry))),
        );
    }
    for fat in &facts.fats {
        let kind = fat.header.map_or(String::new(), |kind| kind.to_string());
        rows.push((
            "FAT",
            format!(
                "{kind} at byte {}, {}, {} clusters of {} bytes",
                fat.offset,
                Bytes(fat.length),
                fat.clusters,
                fat.cluster
            ),
        ));
        for file in fat
            .files
            .iter()
            .filter(|file| file.path.to_ascii_lowercase().ends_with(".efi"))
            .take(8)
        {
            rows.push(("", format!("/{}, {}", file.path, Bytes(file.length))));
        }
    }
    for payload in &facts.payloads {
        let packed = payload.compressor.as_deref().unwrap_or("");
        let block = payload.block_size.map_or(String::new(), |size| {
            format!(", blocks of {}", Bytes(size.into()))
        });
        rows.push((
            "root image",
            format!(
                "/{} at byte {}: {} {packed}{block}, {} of {} bytes",
                payload.path,
                payload.offset,
                payload.kind,
                payload.used.unwrap_or(0),
                payload.length
            ),
        ));
        if let Some(verity) = &payload.verity {
            rows.push((
                "verity",
                format!(
                    "{} blocks of {}, tree of {} bytes",
                    verity.data_blocks, verity.data_block, verity.length
                ),
            ));
        }
    }
    rows.push((
        "isomd5",
        match &facts.isomd5 {
            None => "none".into(),
            Some(sum) => format!(
                "bytes 0 to {}, {}, {}",
                sum.length,
                if sum.fragments {
                    "with fragment sums"
                } else {
                    "without fragment sums"
                },
                if sum.supported {
                    "marked as supported"
                } else {
                    "not marked as supported"
                }
            ),
        },
    ));
    if let Some(manifest) = &facts.manifest {
        let seal = match (manifest.parts, manifest.sealed) {
            (0, _) => "no digests of its parts".into(),
            (parts, true) => format!("{parts} parts, sealed"),
            (parts, false) => format!("{parts} parts, not sealed"),
        };
        rows.push((
            "liveroot",
            format!(
                "image {}, label {:?}, {seal}",
                manifest.id.get(..8).unwrap_or(""),
                manifest.label
            ),
        ));
    }
    for file in facts.iso.boot_files.iter().take(24) {
        let sections: Vec<&str> = file
            .sections
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        let sections = if sections.contains(&".linux") {
            format!(": {}", sections.join(" "))
        } else {
            String::new()
        };
        rows.push((
            "file",
            format!("/{}, {}{sections}", file.path, Bytes(file.length)),
        ));
    }
    rows
}

fn boot_entry(entry: &BootEntry) -> String {
    let platform = match entry.platform {
        eltorito::PLATFORM_BIOS => "BIOS".to_owned(),
        eltorito::PLATFORM_EFI => "UEFI".to_owned(),
        other => format!("platform {other:#04x}"),
    };
    let media = match entry.media {
        0 => "no emulation",
        1..=3 => "a floppy",
        4 => "a hard disk",
        _ => "unknown emulation",
    };
    let real = entry.real_length.map_or(String::new(), |real| {
        format!(" (its FAT has {})", real / eltorito::VIRTUAL)
    });
    let bootable = if entry.bootable { "" } else { ", not bootable" };
    format!(
        "{platform}, {media}, {} sectors{real} at byte {}{bootable}",
        entry.count, entry.offset
    )
}
