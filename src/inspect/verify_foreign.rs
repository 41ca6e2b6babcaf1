//! A medium without a list of parts: what there is to compare, and what nothing covers.

use super::verify::Work;
use crate::layout::{LIVE_DIR, MEDIUM_JSON, SQUASHFS_IMG};
use crate::ondisk::isomd5::{self, Comparison};
use crate::ondisk::{ReadError, read_up_to};
use crate::units::ImageId;
use sha2::{Digest, Sha256};
use std::ops::Range;

/// Compares what can be; `trouble` is what gathering could not read.
pub(super) fn compare(work: &mut Work<'_>, trouble: &[String]) {
    work.total = 0;
    work.total += work.facts.isomd5.as_ref().map_or(0, |sum| sum.length);
    work.total += work
        .facts
        .manifest
        .as_ref()
        .map_or(0, |manifest| manifest.size);
    let claimed = work.facts.iso.claimed;
    if claimed > work.src.len() {
        let missing = work.src.len()..claimed;
        work.unreadable("the end of the image", missing, &ReadError::PastEnd);
    }
    tables(work);
    manifest(work);
    payloads(work);
    let by_id = image_id(work);
    let implanted = work.facts.isomd5.as_ref().map(|sum| sum.length);
    if implanted.is_some() {
        implanted_names(work);
    }
    match (implanted, by_id) {
        (Some(length), _) => {
            let rest = work.src.len().saturating_sub(length);
            if rest > 0 {
                work.not_covered.push(format!("the last {rest} bytes"));
            }
        }
        (None, true) => work
            .not_covered
            .push("all but the root image and the GPT: this medium lists no digests".into()),
        (None, false) => work
            .not_covered
            .push("contents: this medium has neither digests nor an implanted checksum".into()),
    }
    work.notes.extend(trouble.iter().cloned());
}

fn tables(work: &mut Work<'_>) {
    let size = u64::from(work.facts.gpt.sector_size);
    let mut compared = false;
    for (name, copy) in [
        ("GPT", &work.facts.gpt.primary),
        ("GPT backup", &work.facts.gpt.backup),
    ] {
        let Some(copy) = copy else { continue };
        compared = true;
        if !copy.header_holds {
            let at = copy.lba * size..(copy.lba + 1) * size;
            work.damaged(&format!("{name} header"), at, "its CRC");
        }
        if !copy.entries_hold {
            let start = copy.entries_lba.saturating_mul(size);
            let at = start..start.saturating_add(u64::from(copy.entry_count) * 128);
            work.damaged(&format!("{name} entries"), at, "their CRC");
        }
    }
    if compared {
        work.compared.push("the GPT with its CRCs".into());
    }
    let fence = work.facts.mbr.as_ref().is_some_and(|mbr| mbr.protective);
    if fence && work.facts.gpt.primary.is_none() {
        match work.src.len() < 2 * size {
            true => work.unreadable("GPT header", size..2 * size, &ReadError::PastEnd),
            false => work.damaged(
                "GPT header",
                size..2 * size,
                "the MBR announces it, and it is not there",
            ),
        }
    }
}

/// Our list of parts, where it is there and can't be read as one.
fn manifest(work: &mut Work<'_>) {
    let name = format!("/{LIVE_DIR}/{MEDIUM_JSON}");
    let span = work.spans.iter().find(|span| span.name == name);
    if let Some(at) = span.map(|span| span.at.clone())
        && work.facts.manifest.is_none()
        && at.end <= work.src.len()
    {
        work.damaged(&name, at, "it is no JSON of ours");
    }
}

fn payloads(work: &mut Work<'_>) {
    for payload in &work.facts.payloads {
        let Some(used) = payload.used else { continue };
        if used > payload.length {
            let at = payload.offset + payload.length..payload.offset.saturating_add(used);
            work.damaged(
                &format!("/{}", payload.path),
                at,
                "its superblock claims more than the file has",
            );
        }
    }
}

/// Whether the payload could be compared with the image's id.
fn image_id(work: &mut Work<'_>) -> bool {
    let path = format!("{LIVE_DIR}/{SQUASHFS_IMG}");
    let manifest = work.facts.manifest.clone();
    let Some(manifest) = manifest.filter(|manifest| !manifest.id.is_empty()) else {
        return false;
    };
    let payload = work
        .facts
        .payloads
        .iter()
        .find(|payload| payload.path == path);
    let Some((offset, length)) = payload.map(|payload| (payload.offset, payload.length)) else {
        let none = format!("/{path}");
        work.damaged(&none, 0..0, "there is no root image of that name");
        return false;
    };
    work.watch.phase("comparing the root image with its id");
    let name = format!("/{path}");
    if length != manifest.size {
        work.damaged(
            &name,
            offset..offset + length,
            "its length is not that of the image id",
        );
    }
    let mut hash = Sha256::new();
    let whole = work.read(&name, offset..offset + length, |bytes| hash.update(&*bytes));
    let digest: [u8; 32] = hash.finalize().into();
    if whole && ImageId::from_digest(&digest).to_string() != manifest.id {
        work.damaged(&name, offset..offset + length, "the image id");
    }
    if whole {
        work.compared.push(format!("{name} with the image id"));
    }
    whole
}

/// The implanted checksum, with the names of what lies in a damaged range.
fn implanted_names(work: &mut Work<'_>) {
    if let Some(range) = implanted(work) {
        let names = work.names(&range);
        work.damaged(&names, range, "the implanted checksum (isomd5)");
    }
}

/// Compares with the implanted checksum; the range in which it found a difference.
pub(super) fn implanted(work: &mut Work<'_>) -> Option<Range<u64>> {
    let descriptor = read_up_to(work.src, 16 * 2048, 2048).ok()?;
    let implanted = isomd5::parse(&descriptor)?;
    work.watch.phase("comparing with the implanted checksum");
    let length = implanted.length;
    let mut comparison = Comparison::new(implanted);
    let mut found = None;
    let whole = work.read("the image", 0..length, |bytes| {
        if found.is_none() {
            found = comparison.feed(bytes).err();
        }
    });
    if !whole {
        return None;
    }
    work.compared.push(format!(
        "bytes 0 to {length} with the implanted checksum (isomd5)"
    ));
    let damage = found.or_else(|| comparison.finish().err())?;
    Some(damage.from..damage.to)
}
