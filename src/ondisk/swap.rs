//! Swap areas: recognised so that a verdict can name them.
//!
//! `include/linux/swap.h`, union swap_header: the magic ends the first page, the header
//! stands at byte 1,024. Hibernation images put a magic of their own in its place.

use super::fields::{bytes16, has_magic, slice};
use super::{FsFacts, FsKind, text};

/// The page sizes of the architectures that we may meet a disk of.
const PAGE_SIZES: [usize; 2] = [4096, 65536];
const MAGICS: [&[u8]; 5] = [
    b"SWAPSPACE2",
    b"S1SUSPEND",
    b"S2SUSPEND",
    b"ULSUSPEND",
    b"LINHIB0001",
];
const SWS_UUID: usize = 1024 + 12;
const SWS_VOLUME: usize = 1024 + 28;

/// Facts from the first bytes of a device.
pub fn probe(head: &[u8]) -> Option<FsFacts> {
    let marked = |page: &usize| MAGICS.iter().any(|magic| has_magic(head, page - 10, magic));
    PAGE_SIZES.iter().any(marked).then(|| FsFacts {
        kind: FsKind::Swap,
        label: text::label(slice(head, SWS_VOLUME, 16)),
        uuid: text::uuid(bytes16(head, SWS_UUID)),
        size: None,
    })
}
