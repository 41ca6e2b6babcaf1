//! A medium of ours whose builder listed all its parts.

use super::facts::Facts;
use super::verify::{Work, sha256_hex};
use super::verify_foreign::implanted;
use crate::layout::{LIVE_DIR, MEDIUM_JSON, MediumManifest, Part, SQUASHFS_IMG, seal_place};
use crate::ondisk::checksum::crc32;
use crate::ondisk::fields::{has_magic, le32, le64};
use crate::ondisk::isofs::{self, Kind};
use crate::ondisk::verity::{self, Met, Superblock};
use crate::ondisk::window::Window;
use crate::ondisk::{ByteSource, bootcode, read_up_to};
use crate::units::ImageId;
use sha2::{Digest, Sha256};
use std::ops::Range;

const LBA: u64 = 512;
const LONGEST_TEXT: u64 = 16 << 20;
/// How far a manifest is searched for when directories are damaged.
const SEARCHED: u64 = 256 << 20;
/// How its text begins.
const BEGINNING: &[u8] = b"{\n  \"schema\":";
/// Where the MBR's entries begin, which the builder lists as a part up to the sector's end.
const ENTRIES: u64 = 446;
/// The text of isomd5, in the volume descriptor.
const MD5_TEXT: Range<u64> = 0x8373..0x8573;

/// A manifest with parts, and where its text lies.
#[derive(Debug)]
pub(super) struct Sealed {
    manifest: MediumManifest,
    text: Vec<u8>,
    at: Range<u64>,
}

/// By the directories, or, where those are damaged, by how it begins.
pub(super) fn find(src: &dyn ByteSource, facts: &Facts) -> Option<Sealed> {
    by_path(src).or_else(|| {
        let lost = facts.manifest.is_none();
        lost.then(|| by_text(src)).flatten()
    })
}

fn by_path(src: &dyn ByteSource) -> Option<Sealed> {
    let path = format!("{LIVE_DIR}/{MEDIUM_JSON}");
    for first in [isofs::FIRST, isofs::FIRST + 16] {
        let base = (first - isofs::FIRST) * isofs::SECTOR;
        let below = Window::new(src, base, u64::MAX);
        for descriptor in isofs::read_descriptors(src, first).ok()? {
            if !matches!(descriptor.kind, Kind::Primary | Kind::Joliet) {
                continue;
            }
            let joliet = descriptor.kind == Kind::Joliet;
            let walk = isofs::walk(&below, descriptor.root, joliet);
            let Some(file) = walk.files.iter().find(|file| file.path == path) else {
                continue;
            };
            let (start, length) = file.extents.first().copied()?;
            let at = start + base..start + base + length.min(LONGEST_TEXT);
            if let Some(sealed) = read(src, at) {
                return Some(sealed);
            }
        }
    }
    None
}

fn by_text(src: &dyn ByteSource) -> Option<Sealed> {
    let mut chunk = vec![0; 1 << 20];
    let mut offset = 0;
    while offset < src.len().min(SEARCHED) {
        let length = (chunk.len() as u64).min(src.len() - offset) as usize;
        if src.read_at(offset, &mut chunk[..length]).is_ok() {
            for (n, sector) in chunk[..length].chunks(isofs::SECTOR as usize).enumerate() {
                if sector.starts_with(BEGINNING) {
                    let start = offset + n as u64 * isofs::SECTOR;
                    let found = read(src, start..start + LONGEST_TEXT);
                    if found.is_some() {
                        return found;
                    }
                }
            }
        }
        offset += length as u64;
    }
    None
}

/// A text that may go on behind its end, where the next part begins.
fn read(src: &dyn ByteSource, at: Range<u64>) -> Option<Sealed> {
    let mut text = read_up_to(src, at.start, (at.end - at.start) as usize).ok()?;
    let mut values = serde_json::Deserializer::from_slice(&text).into_iter::<MediumManifest>();
    let manifest = values.next()?.ok()?;
    if manifest.parts.is_empty() {
        return None;
    }
    let next = manifest.parts.iter().map(|part| part.offset);
    let end = next
        .filter(|offset| *offset > at.start)
        .min()
        .unwrap_or(at.end)
        .min(at.end);
    text.truncate((end - at.start) as usize);
    Some(Sealed {
        manifest,
        text,
        at: at.start..end,
    })
}

/// Compares everything.
pub(super) fn compare(work: &mut Work<'_>, sealed: &Sealed) {
    let manifest = &sealed.manifest;
    let sum = work.facts.isomd5.as_ref().map_or(0, |sum| sum.length);
    let parts: u64 = manifest
        .parts
        .iter()
        .fold(0, |all, part| all.saturating_add(part.length));
    work.total = parts.saturating_add(manifest.size).saturating_add(sum);
    seal(work, sealed);
    if work.src.len() < manifest.image_size {
        let missing = work.src.len()..manifest.image_size;
        work.unreadable(
            "the end of the image",
            missing,
            &crate::ondisk::ReadError::PastEnd,
        );
    }
    work.watch.phase("comparing the parts");
    for part in &manifest.parts {
        if !one_part(work, manifest, part) {
            return;
        }
    }
    work.compared
        .push(format!("{} parts with their digests", manifest.parts.len()));
    work.watch
        .phase("comparing the root image with its hash tree");
    payload(work, manifest);
    // One reading more, for the text of isomd5 alone: with other damage it could tell nothing.
    if work.damage.is_empty()
        && work.unreadable.is_empty()
        && let Some(range) = implanted(work)
        && work.unreadable.is_empty()
    {
        // All else holds, and the sum does not: then it is the sum that is wrong.
        if work.notes.is_empty() {
            work.damaged(
                "the text of isomd5",
                MD5_TEXT,
                "all it covers is whole, but it says otherwise",
            );
        } else {
            work.notes.push(format!(
                "the implanted checksum no longer holds (bytes {} to {}): the table was changed",
                range.start, range.end
            ));
        }
    }
    let behind = work.src.len().saturating_sub(manifest.image_size);
    if behind > 0 {
        work.not_covered
            .push(format!("{behind} bytes behind the image"));
    }
}

/// The list covers itself: its digest stands in it, with its own digits as zeros.
fn seal(work: &mut Work<'_>, sealed: &Sealed) {
    let name = format!("/{LIVE_DIR}/{MEDIUM_JSON}");
    let holds = seal_place(&sealed.text).is_some_and(|place| {
        let mut text = sealed.text.clone();
        text[place].fill(b'0');
        let sum = sha256_hex(&text);
        sealed
            .manifest
            .seal
            .as_ref()
            .is_some_and(|seal| seal.to_string() == sum)
    });
    if !holds {
        work.damaged(&name, sealed.at.clone(), "its own seal");
    }
}

/// False when somebody asked to stop.
fn one_part(work: &mut Work<'_>, manifest: &MediumManifest, part: &Part) -> bool {
    let Some(end) = part.offset.checked_add(part.length) else {
        work.damaged(&part.name, part.offset..u64::MAX, "its digest");
        return true;
    };
    let mut hash = Sha256::new();
    let whole = work.read(&part.name, part.offset..end, |bytes| hash.update(&*bytes));
    if work.watch.cancelled() {
        return false;
    }
    let digest: [u8; 32] = hash.finalize().into();
    if !whole || ImageId::from_digest(&digest) == part.sha256 {
        return true;
    }
    if part.length <= 1 << 20 && moved_backup(work.src, manifest, part) {
        let note = "the GPT was adapted to a larger stick; it holds".to_owned();
        if !work.notes.contains(&note) {
            work.notes.push(note);
        }
        return true;
    }
    work.damaged(&part.name, part.offset..end, "its digest");
    true
}

/// Whether a part of the table differs only in what gdisk and others write when they move the
/// backup to the end of a larger stick: then, taken back, it has its digest again.
fn moved_backup(src: &dyn ByteSource, manifest: &MediumManifest, part: &Part) -> bool {
    let sectors = manifest.image_size / LBA;
    let (Some(last), true) = (sectors.checked_sub(1), src.len() > manifest.image_size) else {
        return false;
    };
    let Ok(mut bytes) = read_up_to(src, part.offset, part.length as usize) else {
        return false;
    };
    let header = read_up_to(src, LBA, LBA as usize).unwrap_or_default();
    let holds = crate::ondisk::gptcopy::read_copy(src, 1, LBA as u32);
    let moved =
        holds.is_ok_and(|copy| copy.is_some_and(|copy| copy.holds() && copy.alternate_lba > last));
    if !moved {
        return false;
    }
    if part.offset == ENTRIES && part.length == LBA - ENTRIES {
        // Cylinders are written in many ways, so they are not compared: the fence must be one,
        // must span the stick, and must be alone.
        let record = read_up_to(src, 0, bootcode::RECORD).unwrap_or_default();
        let record = bootcode::parse(&record);
        let all = (src.len() / LBA - 1).min(u32::MAX.into()) as u32;
        return record.protective() && record.entries.len() == 1 && record.entries[0].length == all;
    } else if part.offset == LBA && has_magic(&header, 0, b"EFI PART") && bytes.len() >= 92 {
        let entries = u64::from(le32(&header, 80)) * u64::from(le32(&header, 84));
        let usable = last.saturating_sub(entries.div_ceil(LBA) + 1);
        debug_assert!(le64(&header, 32) > last);
        bytes[32..40].copy_from_slice(&last.to_le_bytes());
        bytes[48..56].copy_from_slice(&usable.to_le_bytes());
        bytes[16..20].fill(0);
        let sum = !crc32(!0, &bytes[..92]);
        bytes[16..20].copy_from_slice(&sum.to_le_bytes());
    } else if part.name.starts_with("GPT backup") {
        // The old one may have been wiped: nobody reads it any more.
        return true;
    }
    sha256_hex(&bytes) == part.sha256.to_string()
}

fn payload(work: &mut Work<'_>, manifest: &MediumManifest) {
    let name = format!("/{LIVE_DIR}/{SQUASHFS_IMG}");
    let start = manifest.payload_offset;
    let Some(listed) = &manifest.verity else {
        work.not_covered.push(format!("{name}: no root hash"));
        return;
    };
    // The tree lies behind the squashfs, and ends before the image does.
    let length = manifest.image_size.saturating_sub(start);
    let window = Window::new(work.src, start, length);
    let (root, at) = (listed.root_hash.0, listed.hash_offset);
    let head = read_up_to(&window, at, verity::SUPERBLOCK).unwrap_or_default();
    let found = Superblock::parse(&head).ok().flatten();
    let Some(superblock) = found.filter(|found| found.data_length() <= at) else {
        let at = start.saturating_add(at);
        let at = at..at.saturating_add(verity::SUPERBLOCK as u64);
        work.damaged(
            &format!("{name}: hash tree"),
            at,
            "it has no superblock that can be used",
        );
        work.not_covered
            .push(format!("{name}: without its hash tree"));
        return;
    };
    let mut met = Vec::new();
    // Two closures, one worker: what is met is noted when the reading is done.
    {
        let mut step = |bytes| work.step(bytes);
        verity::compare(&window, at, &superblock, &root, &mut step, &mut |one| {
            met.push(one)
        });
    }
    let on_medium =
        |range: Range<u64>| start.saturating_add(range.start)..start.saturating_add(range.end);
    let mut unknown = 0;
    for one in met {
        match one {
            Met::Data(range) => work.damaged(&name, on_medium(range), "the hash tree"),
            Met::Tree(range) => work.damaged(
                &format!("{name}: hash tree"),
                on_medium(range),
                "the hash above",
            ),
            Met::Unknown(range) => unknown += range.end - range.start,
            Met::Unreadable(range, why) => work.unreadable(&name, on_medium(range), &why),
        }
    }
    if unknown > 0 {
        work.not_covered.push(format!(
            "{unknown} bytes of {name}, whose hashes are damaged"
        ));
    }
    work.compared.push(format!(
        "{name}: {} blocks with the hash tree, and that with its root {}",
        superblock.data_blocks, listed.root_hash
    ));
}
