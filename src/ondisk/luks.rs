//! LUKS 1 and 2: recognised so that a verdict can name them.
//!
//! cryptsetup's `docs/on-disk-format*.pdf`; big-endian, at byte 0.

use super::fields::{be16, has_magic, slice};
use super::{FsFacts, FsKind, text};

const LUKS_MAGIC: &[u8] = b"LUKS\xba\xbe";
const VERSION: usize = 6;
/// Version 2 only.
const LABEL: usize = 24;
const LABEL_LENGTH: usize = 48;
const UUID: usize = 168;
const UUID_LENGTH: usize = 40;

/// Facts from the first bytes of a device.
pub fn probe(head: &[u8]) -> Option<FsFacts> {
    let version = be16(head, VERSION);
    if !has_magic(head, 0, LUKS_MAGIC) || !(1..=2).contains(&version) {
        return None;
    }
    let uuid = text::label(slice(head, UUID, UUID_LENGTH));
    let label = if version == 2 {
        text::label(slice(head, LABEL, LABEL_LENGTH))
    } else {
        None
    };
    Some(FsFacts {
        kind: FsKind::Luks,
        label,
        uuid: uuid.map(|text| text.to_string()),
        size: None,
    })
}
