//! Members of Linux software RAID: recognised so that nobody takes one for a medium.
//!
//! `include/uapi/linux/raid/md_p.h`. Version 1.1 stands at byte 0, 1.2 at 4 KiB, 1.0 and
//! 0.90 at the end of the device, behind what may look like a plain file system.

use super::fields::{bytes16, le32, le64, slice};
use super::{ByteSource, FsFacts, FsKind, ReadError, text};

const MD_SB_MAGIC: u32 = 0xa92b_4efc;
const MAJOR_VERSION: usize = 4;
const SET_UUID: usize = 16;
const SET_NAME: usize = 32;
const SUPER_OFFSET: usize = 144;
/// Enough of either version for what is read here.
const LENGTH: usize = 256;

/// Version 0.90: device size in KiB, and its UUID as one and three host words.
const V0_SIZE: usize = 32;
const V0_SET_UUID0: usize = 20;
const V0_SET_UUID1: usize = 52;
const MD_RESERVED_BYTES: u64 = 65536;

/// Facts from the first bytes of a device.
pub fn probe(head: &[u8]) -> Option<FsFacts> {
    [0, 4096]
        .into_iter()
        .find_map(|at| version_1(head.get(at..)?, at as u64))
}

/// Facts from the end of a device. A device that can't read its end (a CD, whose length
/// may be a guess) is no member.
pub fn probe_end(src: &dyn ByteSource) -> Option<FsFacts> {
    let mut sb = [0; LENGTH];
    let mut read =
        |at: u64| -> Result<[u8; LENGTH], ReadError> { src.read_at(at, &mut sb).map(|()| sb) };
    let at = (src.len() & !0xfff).checked_sub(0x2000)?;
    if let Some(facts) = version_1(&read(at).ok()?, at) {
        return Some(facts);
    }
    let at = (src.len() & !(MD_RESERVED_BYTES - 1)).checked_sub(MD_RESERVED_BYTES)?;
    version_0(&read(at).ok()?, at)
}

fn version_1(sb: &[u8], at: u64) -> Option<FsFacts> {
    let sound = le32(sb, 0) == MD_SB_MAGIC
        && le32(sb, MAJOR_VERSION) == 1
        && le64(sb, SUPER_OFFSET) == at / 512;
    sound.then(|| facts(bytes16(sb, SET_UUID), text::label(slice(sb, SET_NAME, 32))))
}

fn version_0(sb: &[u8], at: u64) -> Option<FsFacts> {
    let size = u64::from(le32(sb, V0_SIZE)) << 10;
    let sound = le32(sb, 0) == MD_SB_MAGIC && le32(sb, MAJOR_VERSION) == 0 && size <= at;
    let words = [
        V0_SET_UUID0,
        V0_SET_UUID1,
        V0_SET_UUID1 + 4,
        V0_SET_UUID1 + 8,
    ];
    let mut uuid = [0; 16];
    for (chunk, word) in uuid.chunks_exact_mut(4).zip(words) {
        chunk.copy_from_slice(&le32(sb, word).to_be_bytes());
    }
    sound.then(|| facts(uuid, None))
}

fn facts(uuid: [u8; 16], label: Option<crate::units::Label>) -> FsFacts {
    FsFacts {
        kind: FsKind::MdRaid,
        label,
        uuid: text::uuid(uuid),
        size: None,
    }
}
