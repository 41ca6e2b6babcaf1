//! The copy-on-write store of a device-mapper snapshot, which dmsquash-live keeps changes in.
//!
//! `drivers/md/dm-snap-persistent.c`, struct disk_header; little-endian, at byte 0.

use super::fields::{has_magic, le32};
use super::{FsFacts, FsKind};

/// Bytes that [`is_cow`] looks at.
pub const HEAD: u64 = 16;

/// `SNAP_MAGIC`, 0x70416e53.
const SNAP_MAGIC: &[u8] = b"SnAp";
const VERSION: usize = 8;
const SNAPSHOT_DISK_VERSION: u32 = 1;

/// Whether it begins with the header. Its `valid` field is no matter: an overflown store may
/// still be all that somebody has.
pub fn is_cow(head: &[u8]) -> bool {
    has_magic(head, 0, SNAP_MAGIC) && le32(head, VERSION) == SNAPSHOT_DISK_VERSION
}

/// Facts from the first bytes of a device.
pub fn probe(head: &[u8]) -> Option<FsFacts> {
    is_cow(head).then_some(FsFacts {
        kind: FsKind::DmSnapshot,
        label: None,
        uuid: None,
        size: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_known_by_magic_and_version() {
        let mut head = [0u8; 512];
        head[..4].copy_from_slice(b"SnAp");
        assert!(!is_cow(&head));
        head[4] = 1;
        head[8] = 1;
        head[12] = 8;
        assert_eq!(probe(&head).map(|f| f.kind), Some(FsKind::DmSnapshot));
        assert!(!is_cow(&head[..8]));
    }
}
