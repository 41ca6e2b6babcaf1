//! The layout of the whole medium: where each part lies, and the bytes that tie them together.
//!
//! From the start: protective MBR and GPT, two sets of descriptors (the second for partition 1,
//! which starts at sector 64), directories, small files, the payload at a whole MiB, the EFI
//! system partition at a whole MiB, the backup GPT. The payload is written before its length is
//! known, so [`plan_front`] needs no more of it than a bound, and [`Front::plan_all`] the rest.
//! Pure; [`write_pieces`] is the act.

mod table;

pub use table::Identity;

use super::{Error, Result};
use crate::layout::PAYLOAD_ALIGN;
use crate::ondisk::iso9660::write::{
    Catalogue, Entry, Extent, Facts, Plan, Refusal, SECTOR, SYSTEM_AREA, Trees, What,
};
use crate::ondisk::isolinux;
use crate::units::Label;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Where partition 1 starts: 64 sectors of 512 bytes (as `xorriso -partition_offset 16`).
const PARTITION: u32 = 16;
/// Behind the second set of descriptors: three of them at most, the catalogue here.
const CATALOGUE: u32 = PARTITION + SYSTEM_AREA + 3;
/// isomd5sum never reads the last 15 sectors: nothing but the backup GPT is to lie there.
const UNCHECKED: u64 = 15 * SECTOR;
/// Sticks of 4,096-byte sectors take whole ones.
const LENGTH_ALIGN: u64 = 4096;

/// A file of the medium, but for the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediumFile {
    /// Path from the root, no slash before it.
    pub path: String,
    /// Its bytes.
    pub place: Place,
}

/// Whose bytes a file has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Its own.
    Own {
        /// How many.
        length: u64,
    },
    /// Some of another file's: the kernel within the unified kernel image takes no space twice.
    Within {
        /// The other file's path; it stands before this one.
        file: String,
        /// First byte in it, a multiple of 2,048.
        offset: u64,
        /// How many.
        length: u64,
    },
}

/// What is known before the payload is.
#[derive(Clone, Copy, Debug)]
pub struct FrontInput<'a> {
    /// Volume label.
    pub label: &'a Label,
    /// Seconds since 1970 of all dates.
    pub epoch: u64,
    /// Small files, in the order in which they are to lie.
    pub files: &'a [MediumFile],
    /// The payload's path.
    pub payload: &'a str,
    /// Bytes that the payload will have at most: the room for its records in a directory, of
    /// which there is one for each 4 GiB. A bound that is too large costs some sectors.
    pub payload_most: u64,
    /// What starts by BIOS; none for UEFI alone.
    pub bios: Option<BiosStart<'a>>,
}

/// What a BIOS starts.
#[derive(Clone, Copy, Debug)]
pub struct BiosStart<'a> {
    /// Path of isolinux among the files.
    pub isolinux: &'a str,
    /// The code of a stick's master boot record, [`isolinux::MBR_CODE`] bytes.
    pub mbr_code: &'a [u8],
}

/// A file and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Path from the root.
    pub path: String,
    /// First byte on the medium.
    pub offset: u64,
    /// Length, bytes.
    pub length: u64,
    /// Whether the bytes are a part of another file, and need not be written.
    pub within: bool,
}

/// All places up to the payload.
#[derive(Clone, Debug)]
pub struct Front {
    plan: Plan,
    label: Label,
    payload: String,
    bios: Option<(u64, [u8; 440])>,
    /// Where the payload starts, bytes.
    pub payload_offset: u64,
    /// The small files, in the order of the input.
    pub files: Vec<Placed>,
}

/// All places, and all bytes that are nobody's file.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Length of the medium, bytes.
    pub length: u64,
    /// Bytes and where they go; none overlap. Between them are files and zeros.
    pub pieces: Vec<(u64, Vec<u8>)>,
    /// All files, the payload last.
    pub files: Vec<Placed>,
    /// Where the EFI system partition starts, bytes.
    pub esp_offset: u64,
}

/// Gives places to all that stands before the payload.
///
/// # Errors
/// Paths that can't be, a file within another that does not lie on a sector.
pub fn plan_front(input: &FrontInput<'_>) -> Result<Front> {
    let mut entries = Vec::new();
    for file in input.files {
        let length = match file.place {
            Place::Own { length } | Place::Within { length, .. } => length,
        };
        entries.push(entry(&file.path, length));
    }
    entries.push(entry(input.payload, input.payload_most));
    let trees = Trees {
        joliet: true,
        partition: Some(PARTITION),
    };
    let plan = Plan::new(&entries, trees, input.epoch, CATALOGUE + 1).map_err(refused)?;
    let mut at = u64::from(plan.end()) * SECTOR;
    let mut files: Vec<Placed> = Vec::new();
    for file in input.files {
        let placed = match &file.place {
            Place::Own { length } => {
                let offset = at;
                at = sum(at, *length)?.next_multiple_of(SECTOR);
                (offset, *length, false)
            }
            Place::Within {
                file: host,
                offset,
                length,
            } => (
                within(&files, &file.path, host, *offset, *length)?,
                *length,
                true,
            ),
        };
        files.push(Placed {
            path: file.path.clone(),
            offset: placed.0,
            length: placed.1,
            within: placed.2,
        });
    }
    let bios = input
        .bios
        .map(|bios| bios_start(&files, &bios))
        .transpose()?;
    Ok(Front {
        plan,
        label: input.label.clone(),
        payload: input.payload.to_owned(),
        bios,
        payload_offset: at.next_multiple_of(PAYLOAD_ALIGN),
        files,
    })
}

fn entry(path: &str, most: u64) -> Entry {
    Entry {
        path: path.as_bytes().to_vec(),
        what: What::File { most },
    }
}

/// Where a part of another file lies.
fn within(files: &[Placed], path: &str, host: &str, offset: u64, length: u64) -> Result<u64> {
    let fits = |host: &&Placed| {
        offset
            .checked_add(length)
            .is_some_and(|end| end <= host.length)
    };
    let host = files.iter().find(|file| file.path == host).filter(fits);
    let start = host.and_then(|host| host.offset.checked_add(offset));
    start.filter(|start| start % SECTOR == 0).ok_or_else(|| {
        Error::input(
            path,
            format!("byte {offset} of another file is no place for {length} bytes of it"),
            "report this as a defect",
        )
    })
}

fn bios_start(files: &[Placed], bios: &BiosStart<'_>) -> Result<(u64, [u8; 440])> {
    let program = files.iter().find(|file| file.path == bios.isolinux);
    let start = program.and_then(|file| {
        let code = isolinux::boot_code(bios.mbr_code, file.offset / 512)?;
        Some((file.offset, code))
    });
    start.ok_or_else(|| {
        Error::input(
            bios.isolinux,
            "isolinux and the code of its master boot record do not belong together",
            "take both from one release of syslinux, or leave them out with --bios no",
        )
    })
}

impl Front {
    /// Where isolinux finds itself, for [`isolinux::put_boot_info`]: the sectors of the volume
    /// descriptor and of the program. None without BIOS.
    pub fn isolinux_at(&self) -> Option<(u32, u32)> {
        let (offset, _) = self.bios?;
        Some((SYSTEM_AREA, u32::try_from(offset / SECTOR).ok()?))
    }

    /// Gives places to what stands behind the payload, and makes all bytes that are nobody's
    /// file: partition tables, descriptors, directories, boot catalogue. Where isomd5sum's
    /// checksum goes is blank.
    ///
    /// # Errors
    /// A payload that is longer than was said, a medium over 8 TiB.
    pub fn plan_all(
        &self,
        identity: &Identity,
        payload_length: u64,
        esp_length: u64,
    ) -> Result<Layout> {
        let end = sum(self.payload_offset, payload_length)?;
        let esp_offset = sum(end, PAYLOAD_ALIGN - 1)? / PAYLOAD_ALIGN * PAYLOAD_ALIGN;
        let esp_end = sum(esp_offset, esp_length)?.next_multiple_of(SECTOR);
        let length = sum(esp_end, UNCHECKED)?.next_multiple_of(LENGTH_ALIGN);
        let mut files = self.files.clone();
        files.push(Placed {
            path: self.payload.clone(),
            offset: self.payload_offset,
            length: payload_length,
            within: false,
        });
        let mut extents = Vec::with_capacity(files.len());
        for file in &files {
            extents.push(Extent {
                sector: sector(file.offset)?,
                length: file.length,
            });
        }
        let catalogue = Catalogue {
            esp: sector(esp_offset)?,
            esp_length,
            bios: match self.bios {
                Some((offset, _)) => Some(sector(offset)?),
                None => None,
            },
        };
        let facts = Facts {
            label: &self.label,
            extents: &extents,
            catalogue: Some(CATALOGUE),
            whole: sector(length)?,
            end: sector(esp_offset)?,
        };
        let code: &[u8] = self.bios.as_ref().map_or(&[], |(_, code)| code);
        let partitions = table::Spans {
            iso: (u64::from(PARTITION) * SECTOR, esp_offset),
            esp: (esp_offset, esp_end),
            length,
        };
        let mut pieces = table::pieces(identity, &partitions, code)?;
        pieces.push((u64::from(CATALOGUE) * SECTOR, catalogue.bytes().to_vec()));
        let iso = self.plan.bytes(&facts).map_err(refused)?;
        pieces.extend(
            iso.into_iter()
                .map(|(at, bytes)| (u64::from(at) * SECTOR, bytes)),
        );
        pieces.sort_by_key(|(at, _)| *at);
        Ok(Layout {
            length,
            pieces,
            files,
            esp_offset,
        })
    }
}

/// Writes a layout's own bytes into an image that has its length and zeros wherever neither a
/// file nor the EFI system partition was written.
///
/// # Errors
/// When the file can't be written to; `path` is for the message.
pub fn write_pieces(image: &File, layout: &Layout, path: &Path) -> Result<()> {
    for (at, bytes) in &layout.pieces {
        image
            .write_all_at(bytes, *at)
            .map_err(Error::system("writing", path))?;
    }
    Ok(())
}

fn sector(offset: u64) -> Result<u32> {
    u32::try_from(offset / SECTOR).map_err(|_| refused(Refusal::Size))
}

/// Room is left for rounding up.
fn sum(a: u64, b: u64) -> Result<u64> {
    let sum = a.checked_add(b).filter(|sum| *sum < 1 << 62);
    sum.ok_or_else(|| refused(Refusal::Size))
}

fn refused(refusal: Refusal) -> Error {
    let remedy = match refusal {
        Refusal::Size => "put less into the image",
        _ => "report this as a defect",
    };
    Error::input("the medium", refusal.to_string(), remedy)
}

#[cfg(test)]
mod tests;
