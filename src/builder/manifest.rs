//! The image's identity: the SHA-256 of its payload, and the manifest that carries it to
//! the medium and into the initramfs.

use super::payload::Payload;
use super::{Error, Result, Watch, watch};
use crate::layout::{IMAGE_JSON, ImageManifest, MANIFEST_SCHEMA};
use crate::ondisk::cpio::Archive;
use crate::units::Label;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What describes a payload.
pub fn describe(payload: &Payload, label: &Label) -> ImageManifest {
    ImageManifest {
        schema: MANIFEST_SCHEMA,
        id: payload.id.clone(),
        size: payload.size,
        label: label.to_string(),
        verity: Some(payload.verity.clone()),
    }
}

/// SHA-256 of a range of bytes of an open file; `path` is for messages.
///
/// # Errors
/// When it can't be read or ends before the range does; a signal.
pub fn digest_range(
    file: &File,
    path: &Path,
    range: Range<u64>,
    watch: &dyn Watch,
) -> Result<[u8; 32]> {
    let total = range.end.saturating_sub(range.start);
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    let mut done = 0;
    while done < total {
        watch::check(watch)?;
        let piece = &mut piece[..(total - done).min(1 << 20) as usize];
        file.read_exact_at(piece, range.start + done)
            .map_err(Error::system("reading", path))?;
        hash.update(&*piece);
        done += piece.len() as u64;
        watch.progress(done, total);
    }
    Ok(hash.finalize().into())
}

/// SHA-256 of several parts, for what stands in for clocks and chance.
pub fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Length of the manifest's text in the initramfs, bytes: blanks fill it up, so that all places
/// on the medium are known before the payload is.
const TEXT_LENGTH: usize = 1024;

/// The manifest as text, of one length whatever it says.
///
/// # Errors
/// None that is known.
pub fn manifest_text(manifest: &ImageManifest) -> Result<Vec<u8>> {
    let text = serde_json::to_vec_pretty(manifest)
        .map_err(|e| Error::system("writing", Path::new(IMAGE_JSON))(e.into()))?;
    fill(text, TEXT_LENGTH, IMAGE_JSON)
}

/// Fills a text up with blanks, and ends it with a newline.
///
/// # Errors
/// When it is longer than that.
pub fn fill(mut text: Vec<u8>, length: usize, path: &str) -> Result<Vec<u8>> {
    if text.len() >= length {
        return Err(Error::input(
            path,
            format!("{} bytes have no place in {length}", text.len()),
            "report this as a defect",
        ));
    }
    text.resize(length - 1, b' ');
    text.push(b'\n');
    Ok(text)
}

/// The segment that stands for a manifest whose payload is not known yet: as long as that.
///
/// # Errors
/// None that is known.
pub fn blank_segment() -> Result<Vec<u8>> {
    manifest_segment(&[b' '; TEXT_LENGTH])
}

/// The cpio segment that holds the manifest and nothing else: it can be appended to any
/// initramfs.
pub fn manifest_segment(text: &[u8]) -> Result<Vec<u8>> {
    let mut archive = Archive::new();
    archive.file(IMAGE_JSON, 0o644, text.to_vec());
    archive
        .to_bytes()
        .map_err(|e| Error::input(e.0, "it is too large", "report this as a defect"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ondisk::cpio;
    use crate::units::ImageId;

    #[test]
    fn the_segment_holds_the_manifest_and_nothing_else() {
        let manifest = ImageManifest {
            schema: 1,
            id: ImageId::from_digest(&[7; 32]),
            size: 4096,
            label: "My Label".into(),
            verity: None,
        };
        let text = manifest_text(&manifest).unwrap();
        let segment = manifest_segment(&text).unwrap();
        let (entries, _) = cpio::read(&segment).unwrap();
        let names: Vec<_> = entries.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["liveroot", "liveroot/image.json"]);
        assert_eq!(
            serde_json::from_slice::<ImageManifest>(entries[1].data).unwrap(),
            manifest
        );
    }

    #[test]
    fn an_agent_that_knows_no_hash_tree_reads_the_manifest_too() {
        /// What version 0.1 read.
        #[derive(serde::Deserialize)]
        struct Old {
            schema: u32,
            id: ImageId,
            size: u64,
            label: String,
        }
        let digest = crate::units::Hex32([7; 32]);
        let manifest = ImageManifest {
            schema: MANIFEST_SCHEMA,
            id: ImageId::from_digest(&[7; 32]),
            size: 4096,
            label: "L".into(),
            verity: Some(crate::layout::VerityManifest {
                root_hash: digest,
                salt: digest,
                data_blocks: 1,
                hash_offset: 4096,
            }),
        };
        let text = manifest_text(&manifest).unwrap();
        let old: Old = serde_json::from_slice(&text).unwrap();
        assert_eq!((old.schema, old.size, old.label.as_str()), (1, 4096, "L"));
        assert_eq!(old.id, manifest.id);
        let new: ImageManifest = serde_json::from_slice(&text).unwrap();
        assert_eq!(new, manifest);
    }

    #[test]
    fn digests_tell_where_parts_end() {
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
    }
}
