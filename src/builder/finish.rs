//! The medium around its payload: every place before the payload is packed, and every byte
//! after.

use super::bios::Bios;
use super::boot::Boot;
use super::medium::{
    BiosStart, Front, FrontInput, Identity, Layout, MediumFile, Place, plan_front, write_pieces,
};
use super::seal::{self, Sealed};
use super::source::Listing;
use super::{Error, Result, Sizes, Watch, error, manifest, payload, volume};
use crate::layout::{ImageManifest, LIVE_DIR, MEDIUM_JSON, SQUASHFS_IMG, UKI_PATH};
use crate::ondisk::fat::write::Geometry;
use crate::ondisk::isolinux;
use crate::units::{Bytes, Label};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The manifest's path on the medium.
fn manifest_path() -> String {
    format!("{LIVE_DIR}/{MEDIUM_JSON}")
}

/// Gives places to all that stands before the payload. `files` are those of the ISO's tree, to
/// which the manifest comes.
///
/// # Errors
/// Paths that ISO 9660 cannot hold.
pub fn plan(
    boot: &Boot<'_>,
    mut files: Vec<MediumFile>,
    label: &Label,
    epoch: u64,
    listing: &Listing,
) -> Result<Front> {
    let length = seal::text_length(files.len() + boot.esp.len());
    files.push(MediumFile {
        path: manifest_path(),
        place: Place::Own { length },
    });
    let isolinux = Bios::program();
    plan_front(&FrontInput {
        label,
        epoch,
        files: &files,
        payload: &format!("{LIVE_DIR}/{SQUASHFS_IMG}"),
        payload_most: payload::most(listing),
        bios: boot.bios.as_ref().map(|bios| BiosStart {
            isolinux: &isolinux,
            mbr_code: &bios.mbr_code,
        }),
    })
}

/// A medium whose payload is in its place.
#[derive(Debug)]
pub struct Medium<'a> {
    /// What firmware starts.
    pub boot: &'a Boot<'a>,
    /// The places before the payload.
    pub front: &'a Front,
    /// Of the ESP.
    pub geometry: Geometry,
    /// The finished initramfs.
    pub initramfs: &'a [u8],
    /// The image's manifest.
    pub manifest: &'a ImageManifest,
    /// Length of the payload with its hash tree, bytes.
    pub payload: u64,
    /// Seconds since 1970 of all dates.
    pub epoch: u64,
}

impl Medium<'_> {
    /// Writes all that is not payload, and the manifest with its digests at the end; gives the
    /// layout, and the lengths of what it wrote. `path` is the image's, for messages.
    ///
    /// # Errors
    /// When the image can't be written, has no space; a signal.
    pub fn write(&self, image: &File, path: &Path, watch: &dyn Watch) -> Result<(Layout, Sizes)> {
        let unified = self.boot.unified(self.initramfs)?;
        let digest = unified.digest();
        let identity = Identity {
            disk: self.guid(&digest),
        };
        let esp_length = self.geometry.sectors * 512;
        let layout = self.front.plan_all(&identity, self.payload, esp_length)?;
        check_space(path, Bytes(2 * esp_length))?;
        image
            .set_len(layout.length)
            .map_err(Error::system("writing", path))?;
        let small = self.boot.esp.iter().chain(&self.boot.iso);
        for (name, bytes) in small.clone() {
            let at = place(&layout, name)?;
            write(image, path, at, &self.told(name, bytes.clone())?)?;
        }
        unified.write_at(image, place(&layout, UKI_PATH)?, path)?;

        let serial = u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]);
        let files = self.boot.esp_files(&unified);
        let esp = volume::plan(self.geometry, &files, serial, self.epoch, layout.esp_offset)?;
        volume::write_metadata(image, layout.esp_offset, &esp, path)?;
        for file in &esp.files {
            let at = layout.esp_offset + file.offset;
            match self.boot.esp.iter().find(|(name, _)| *name == file.path) {
                Some((_, bytes)) => write(image, path, at, bytes)?,
                None => unified.write_at(image, at, path)?,
            }
        }
        write_pieces(image, &layout, path)?;
        seal::write(
            &Sealed {
                manifest: self.manifest,
                layout: &layout,
                own: &manifest_path(),
            },
            image,
            path,
            watch,
        )?;
        let sizes = Sizes {
            uki: unified.len(),
            esp: esp_length,
            files: unified.len() + small.map(|(_, bytes)| bytes.len() as u64).sum::<u64>(),
            ..Sizes::default()
        };
        Ok((layout, sizes))
    }

    /// The bytes of a small file as they go onto the medium: isolinux is told where it lies.
    fn told(&self, name: &str, mut bytes: Vec<u8>) -> Result<Vec<u8>> {
        if let Some((descriptor, sector)) = self.front.isolinux_at()
            && name == Bios::program()
        {
            isolinux::put_boot_info(&mut bytes, descriptor, sector).ok_or_else(|| {
                Error::input(name, "it takes no boot info table", "use --bios no")
            })?;
        }
        Ok(bytes)
    }

    /// A GUID that two media share only if they are the same (RFC 9562, version 8).
    fn guid(&self, unified: &[u8; 32]) -> [u8; 16] {
        let id = self.manifest.id.to_string();
        let mut parts: Vec<&[u8]> = vec![
            b"liveroot disk",
            id.as_bytes(),
            self.manifest.label.as_bytes(),
            unified,
        ];
        for (path, bytes) in self.boot.esp.iter().chain(&self.boot.iso) {
            parts.extend([path.as_bytes(), bytes]);
        }
        let digest = manifest::digest(&parts);
        let mut guid = [0; 16];
        guid.copy_from_slice(&digest[..16]);
        // The first three fields are little-endian on disk: the version is in byte 7.
        guid[7] = guid[7] & 0x0f | 0x80;
        guid[8] = guid[8] & 0x3f | 0x80;
        guid
    }
}

fn place(layout: &Layout, path: &str) -> Result<u64> {
    let found = layout.files.iter().find(|file| file.path == path);
    found.map(|file| file.offset).ok_or_else(|| {
        Error::input(
            path,
            "it has no place on the medium",
            "report this as a defect",
        )
    })
}

fn write(image: &File, path: &Path, at: u64, bytes: &[u8]) -> Result<()> {
    image
        .write_all_at(bytes, at)
        .map_err(Error::system("writing", path))
}

fn check_space(path: &Path, need: Bytes) -> Result<()> {
    let dir = path.parent().unwrap_or(path);
    match error::free_space(dir) {
        Some(free) if free < need => Err(Error::no_space(dir, Some(need))),
        _ => Ok(()),
    }
}
