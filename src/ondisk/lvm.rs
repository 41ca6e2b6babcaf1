//! LVM2 physical volumes: recognised so that a verdict can name them.
//!
//! lvm2's `lib/format_text/layout.h`: a label in one of the first four sectors.

use super::checksum::crc32;
use super::fields::{has_magic, le32, le64, slice};
use super::{FsFacts, FsKind, text};

const LABEL_SCAN_SECTORS: usize = 4;
const LABEL_ID: &[u8] = b"LABELONE";
const SECTOR_XL: usize = 8;
/// Over the rest of the sector, from the next field on.
const CRC_XL: usize = 16;
const SUMMED: usize = 20;
const INITIAL_CRC: u32 = 0xf597_a6cf;
const TYPE: usize = 24;
const LVM2_LABEL: &[u8] = b"LVM2 001";
/// First field of the header of a physical volume, right behind the label.
const PV_UUID: usize = 32;
/// Lengths of the groups in which LVM writes its 32 characters.
const GROUPS: [usize; 7] = [6, 4, 4, 4, 4, 4, 6];

/// Facts from the first bytes of a device.
pub fn probe(head: &[u8]) -> Option<FsFacts> {
    let sectors = head.chunks_exact(512).take(LABEL_SCAN_SECTORS).enumerate();
    let is_label = |(number, sector): &(usize, &[u8])| {
        has_magic(sector, 0, LABEL_ID)
            && has_magic(sector, TYPE, LVM2_LABEL)
            && le64(sector, SECTOR_XL) == *number as u64
            && le32(sector, CRC_XL) == crc32(INITIAL_CRC, slice(sector, SUMMED, 512 - SUMMED))
    };
    let (_, sector) = sectors.into_iter().find(is_label)?;
    Some(FsFacts {
        kind: FsKind::Lvm2,
        label: None,
        uuid: text::label(slice(sector, PV_UUID, 32)).map(|text| grouped(&text.to_string())),
        size: None,
    })
}

fn grouped(text: &str) -> String {
    let mut rest = text.chars();
    let groups: Vec<String> = GROUPS
        .iter()
        .map(|n| rest.by_ref().take(*n).collect())
        .collect();
    groups.join("-")
}
