//! `LiveOS/liveroot.json`: the image's manifest, and the digests by which `liveroot verify`
//! finds damage and names it. Written last but for isomd5's text.

use super::manifest::{self, digest_range};
use super::medium::Layout;
use super::{Error, Result, Watch};
use crate::layout::{
    ImageManifest, LIVE_DIR, MediumManifest, Part, SQUASHFS_IMG, Span, cover, seal_place,
};
use crate::ondisk::isomd5::AREA_LENGTH;
use crate::ondisk::isomd5::write::AT;
use crate::ondisk::regions::regions;
use crate::ondisk::verity::BLOCK;
use crate::ondisk::{ByteSource, ReadError};
use crate::sys::block;
use crate::units::ImageId;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes that its text has for itself, and for each file of the medium and of the ESP: a part's
/// line, and the gap's behind it.
const TEXT: u64 = 32 << 10;
const PER_FILE: u64 = 1536;

/// How long its text is with so many files on the medium, bytes. Blanks fill it up.
pub fn text_length(files: usize) -> u64 {
    (TEXT + PER_FILE * files as u64).next_multiple_of(2048)
}

/// What lies where on a finished medium.
#[derive(Debug)]
pub struct Sealed<'a> {
    /// The image's manifest.
    pub manifest: &'a ImageManifest,
    /// All places.
    pub layout: &'a Layout,
    /// Path of the file that is written here.
    pub own: &'a str,
}

/// Reads all that is neither payload nor text of a checksum, and writes the file.
///
/// # Errors
/// When the image can't be read or written; a signal.
pub fn write(sealed: &Sealed<'_>, image: &File, path: &Path, watch: &dyn Watch) -> Result<()> {
    let layout = sealed.layout;
    let defect = |what: &str| Error::input(sealed.own, what, "report this as a defect");
    let place = |name: &str| {
        let found = layout.files.iter().find(|file| file.path == name);
        found.map(|file| file.offset..file.offset + file.length)
    };
    let own = place(sealed.own).ok_or_else(|| defect("it has no place on the medium"))?;
    let payload = layout
        .files
        .last()
        .map(|file| file.offset..file.offset + file.length);
    let payload = payload.unwrap_or(0..0);
    let verity = sealed.manifest.verity.as_ref();
    let tree = verity.map_or(payload.end, |verity| payload.start + verity.hash_offset);
    let checksum = AT..AT + AREA_LENGTH as u64;
    // The tree's superblock is a part: nothing else covers it.
    let behind = (tree + BLOCK as u64).min(payload.end);
    let left_out = [
        payload.start..tree,
        behind..payload.end,
        checksum,
        own.clone(),
    ];
    let mut parts = Vec::new();
    let medium = Image {
        file: image,
        length: layout.length,
    };
    let mut spans = regions(&medium).map_err(|e| defect(&e.to_string()))?;
    spans.push(Span {
        name: format!("/{LIVE_DIR}/{SQUASHFS_IMG}: hash tree"),
        at: tree..behind,
    });
    for span in cover(layout.length, &spans, &left_out) {
        let sha256 = ImageId::from_digest(&digest_range(image, path, span.at.clone(), watch)?);
        parts.push(Part {
            name: span.name,
            offset: span.at.start,
            length: span.at.end - span.at.start,
            sha256,
        });
    }
    let manifest = MediumManifest {
        schema: sealed.manifest.schema,
        id: Some(sealed.manifest.id.clone()),
        size: sealed.manifest.size,
        label: sealed.manifest.label.clone(),
        verity: verity.cloned(),
        payload_offset: payload.start,
        image_size: layout.length,
        parts,
        seal: Some(ImageId::from_digest(&[0; 32])),
    };
    let text = serde_json::to_vec_pretty(&manifest)
        .map_err(|e| Error::system("writing", Path::new(sealed.own))(e.into()))?;
    let mut text = manifest::fill(text, (own.end - own.start) as usize, sealed.own)?;
    let digest: [u8; 32] = Sha256::digest(&text).into();
    let digits = seal_place(&text).ok_or_else(|| defect("it has no place for its seal"))?;
    text[digits].copy_from_slice(ImageId::from_digest(&digest).to_string().as_bytes());
    image
        .write_all_at(&text, own.start)
        .map_err(Error::system("writing", path))
}

/// An image that is written, as the readers of media want it.
struct Image<'a> {
    file: &'a File,
    length: u64,
}

impl ByteSource for Image<'_> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::result::Result<(), ReadError> {
        ReadError::unless_filled(block::read_exact_at(self.file, offset, buf))
    }

    fn len(&self) -> u64 {
        self.length
    }
}
