//! The image's identity: the SHA-256 of its payload, and the manifest that carries it to
//! the medium and into the initramfs.

use super::{Error, Result, Watch, watch};
use crate::layout::{IMAGE_JSON, ImageManifest, MANIFEST_SCHEMA};
use crate::ondisk::cpio::Archive;
use crate::units::{ImageId, Label};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Reads the payload once and describes it.
pub fn describe(payload: &Path, label: &Label, watch: &dyn Watch) -> Result<ImageManifest> {
    let (digest, size) = digest_file(payload, watch)?;
    Ok(ImageManifest {
        schema: MANIFEST_SCHEMA,
        id: ImageId::from_digest(&digest),
        size,
        label: label.to_string(),
        verity: None,
    })
}

/// SHA-256 and length of a file.
pub fn digest_file(path: &Path, watch: &dyn Watch) -> Result<([u8; 32], u64)> {
    let mut file = File::open(path).map_err(Error::system("opening", path))?;
    let len = file
        .metadata()
        .map_err(Error::system("looking at", path))?
        .len();
    let mut hash = Sha256::new();
    let mut buf = vec![0; 1 << 20];
    let mut size = 0u64;
    loop {
        watch::check(watch)?;
        let n = file
            .read(&mut buf)
            .map_err(Error::system("reading", path))?;
        if n == 0 {
            return Ok((hash.finalize().into(), size));
        }
        hash.update(&buf[..n]);
        size += n as u64;
        watch.percent((size * 100 / len.max(1)) as u8);
    }
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

/// The manifest as text: what lies on the medium and in the initramfs, byte for byte.
pub fn manifest_text(manifest: &ImageManifest) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(manifest)
        .map_err(|e| Error::system("writing", Path::new(IMAGE_JSON))(e.into()))?;
    text.push(b'\n');
    Ok(text)
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
