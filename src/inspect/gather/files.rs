//! What the files of an ISO say: which boot, and which hold a root.

use crate::inspect::facts::*;
use crate::layout::{LIVE_DIR, MEDIUM_JSON, MediumManifest};
use crate::ondisk::isofs::{self, IsoFile, Kind};
use crate::ondisk::verity::{self, Superblock};
use crate::ondisk::window::Window;
use crate::ondisk::{ByteSource, ReadError, erofs, pesections, read_up_to, squashfs};

/// Configurations are shorter.
const LONGEST_TEXT: u64 = 256 << 10;
/// Files that are looked into for a root image: the longest.
const MOST_PAYLOADS: usize = 32;
/// Text of a manifest.
const LONGEST_MANIFEST: u64 = 16 << 20;

/// Files of the primary tree: their count, what boots, root images, our manifest.
pub(super) fn iso(
    src: &dyn ByteSource,
    facts: &mut Facts,
    trouble: &mut Vec<String>,
) -> Result<(), ReadError> {
    let descriptors = isofs::read_descriptors(src, isofs::FIRST)?;
    let Some(primary) = descriptors.iter().find(|d| d.kind == Kind::Primary) else {
        return Ok(());
    };
    let walk = isofs::walk(src, primary.root, false);
    trouble.extend(walk.trouble.iter().take(20).cloned());
    let mut files: Vec<&IsoFile> = walk.files.iter().filter(|f| !f.directory).collect();
    facts.iso.symlinks = files.iter().filter(|f| f.symlink).count();
    files.retain(|file| !file.symlink);
    facts.iso.files = files.len();
    let cut = |file: &&&IsoFile| {
        file.extents
            .iter()
            .any(|(start, length)| start.saturating_add(*length) > src.len())
    };
    let all_cut: Vec<_> = files.iter().filter(cut).collect();
    for file in all_cut.iter().take(5) {
        let start = file.extents.first().map_or(0, |(start, _)| *start);
        trouble.push(format!(
            "/{}: it lies at byte {start} with {} bytes, and the medium ends at byte {}",
            file.path,
            file.length(),
            src.len()
        ));
    }
    if all_cut.len() > 5 {
        trouble.push(format!(
            "{} more files reach behind the end",
            all_cut.len() - 5
        ));
    }
    if let Some(longest) = files.iter().max_by_key(|file| file.length()) {
        facts.iso.longest = longest.length();
        facts.iso.longest_path = longest.path.clone();
    }
    for file in &files {
        boot_file(src, file, facts)?;
    }
    files.sort_by_key(|file| std::cmp::Reverse(file.length()));
    for file in files.iter().take(MOST_PAYLOADS) {
        let (start, _) = file.extents.first().copied().unwrap_or_default();
        let found = payload(src, &file.path, start, file.length())?;
        facts.payloads.extend(found);
    }
    let path = format!("{LIVE_DIR}/{MEDIUM_JSON}");
    if let Some(file) = files.iter().find(|file| file.path == path) {
        match serde_json::from_slice::<MediumManifest>(&read_file(src, file, LONGEST_MANIFEST)?) {
            Ok(manifest) => {
                facts.manifest = Some(Manifest {
                    id: manifest.id.map(String::from).unwrap_or_default(),
                    size: manifest.size,
                    label: manifest.label,
                    root_hash: manifest.verity.map(|verity| verity.root_hash.to_string()),
                    parts: manifest.parts.len(),
                    sealed: manifest.seal.is_some(),
                });
            }
            Err(why) => trouble.push(format!("/{path}: {why}")),
        }
    }
    Ok(())
}

/// Beginning of a file that lies in one piece, as those of interest do.
fn read_file(src: &dyn ByteSource, file: &IsoFile, most: u64) -> Result<Vec<u8>, ReadError> {
    let (start, length) = file.extents.first().copied().unwrap_or_default();
    read_up_to(src, start, length.min(most) as usize)
}

fn boot_file(src: &dyn ByteSource, file: &IsoFile, facts: &mut Facts) -> Result<(), ReadError> {
    let lower = file.path.to_ascii_lowercase();
    let name = lower.rsplit('/').next().unwrap_or_default();
    let (offset, _) = file.extents.first().copied().unwrap_or_default();
    let is_text = [".cfg", ".conf"].iter().any(|end| name.ends_with(end));
    let is_program = name.ends_with(".efi");
    let is_boot = [
        "vmlinuz",
        "initrd",
        "initramfs",
        "linux",
        "isolinux.bin",
        "eltorito.img",
    ]
    .iter()
    .any(|start| name.starts_with(start));
    let mut sections = Vec::new();
    let mut words = Vec::new();
    if is_text && file.length() <= LONGEST_TEXT {
        words = read_file(src, file, LONGEST_TEXT)?;
        if lower == "boot/grub/loopback.cfg" || lower == "boot/grub2/loopback.cfg" {
            let text = String::from_utf8_lossy(&words);
            facts.iso.loopback_has_iso_path = text.contains("iso_path");
            facts.iso.loopback_cfg = Some(file.path.clone());
        }
    }
    if is_program {
        let window = Window::new(src, offset, file.length());
        for section in pesections::read(&window)?.map_or(Vec::new(), |image| image.sections) {
            let length = section.at.end - section.at.start;
            if section.name == ".cmdline" {
                words = read_up_to(&window, section.at.start, length.min(LONGEST_TEXT) as usize)?;
            }
            sections.push((section.name, length));
        }
        if lower.starts_with("efi/boot/") {
            facts.iso.efi_boot.push(file.path.clone());
        }
    }
    let words = String::from_utf8_lossy(&words);
    // dracut's, Fedora's, GRUB's `search --label`.
    let marks = ["LABEL=", "--label ", "-l "];
    let label = facts.iso.label.as_str();
    let spelt = [label.to_owned(), label.replace(' ', "\\x20")];
    let named = |label: &String| {
        let mut marks = marks.iter();
        marks.any(|mark| {
            words.contains(&format!("{mark}{label}")) || words.contains(&format!("{mark}'{label}'"))
        })
    };
    if !label.is_empty() && spelt.iter().any(named) {
        facts.iso.by_label.push(file.path.clone());
    }
    if is_program
        || is_boot
        || (is_text
            && (lower.contains("boot") || lower.contains("loader") || lower.contains("linux")))
    {
        sections.truncate(20);
        facts.iso.boot_files.push(BootFile {
            path: file.path.clone(),
            offset,
            length: file.length(),
            sections,
        });
    }
    Ok(())
}

/// What a file holds, if it is a root image.
pub(super) fn payload(
    src: &dyn ByteSource,
    path: &str,
    offset: u64,
    length: u64,
) -> Result<Option<Payload>, ReadError> {
    let window = Window::new(src, offset, length);
    let head = read_up_to(&window, 0, 8192)?;
    let mut found = Payload {
        path: path.to_owned(),
        offset,
        length,
        ..Payload::default()
    };
    if let Some(superblock) = squashfs::parse(&head) {
        found.kind = "squashfs".into();
        found.compressor = Some(format!("{:?}", superblock.compressor).to_lowercase());
        found.block_size = Some(superblock.block_size);
        found.used = Some(superblock.bytes_used.0);
    } else if let Some(facts) = erofs::probe(&head) {
        found.kind = "erofs".into();
        found.used = facts.size.map(|size| size.0);
    } else {
        return Ok(None);
    }
    found.verity = verity(&window, found.used.unwrap_or(0))?;
    Ok(Some(found))
}

/// A hash tree's superblock begins at the next block of it behind the data.
fn verity(payload: &dyn ByteSource, used: u64) -> Result<Option<Verity>, ReadError> {
    for alignment in [4096, 1024, 512, 65_536, 1 << 20] {
        let at = used.next_multiple_of(alignment);
        let bytes = read_up_to(payload, at, verity::SUPERBLOCK)?;
        if let Ok(Some(superblock)) = Superblock::parse(&bytes) {
            return Ok(Some(Verity {
                offset: at,
                data_blocks: superblock.data_blocks,
                data_block: verity::BLOCK as u64,
                length: superblock.length(),
            }));
        }
    }
    Ok(None)
}
