//! The system use areas of directory records: SUSP 1.12 (`CE`, `ST`), RRIP 1.12 (`NM`, `SL`,
//! `CL`).

use super::SECTOR;
use crate::ondisk::fields::{byte, le32, slice};
use crate::ondisk::{ByteSource, read_up_to};

/// Continuation areas that a record may have.
const MOST_CONTINUATIONS: usize = 32;

/// What a record's system use area says.
#[derive(Default)]
pub(super) struct RockRidge {
    pub(super) name: Option<String>,
    pub(super) symlink: bool,
    /// `CL`: where a directory lies that was moved up.
    pub(super) child: Option<u32>,
}

/// Of an area, and of those that it continues in.
pub(super) fn read(src: &dyn ByteSource, area: &[u8]) -> RockRidge {
    let mut rock = RockRidge::default();
    let mut name: Vec<u8> = Vec::new();
    let mut named = false;
    let mut area = area.to_vec();
    for _ in 0..MOST_CONTINUATIONS {
        let mut next = None;
        let mut at = 0;
        while at + 4 <= area.len() {
            let length = usize::from(byte(&area, at + 2));
            if length < 4 || at + length > area.len() {
                break;
            }
            let entry = slice(&area, at, length);
            match slice(entry, 0, 2) {
                // Flags 2 and 4 are "." and "..".
                b"NM" if byte(entry, 4) & 6 == 0 && name.len() < 4096 => {
                    named = true;
                    name.extend_from_slice(entry.get(5..).unwrap_or(&[]));
                }
                b"SL" => rock.symlink = true,
                b"CL" => rock.child = Some(le32(entry, 4)),
                b"CE" => next = Some((le32(entry, 4), le32(entry, 12), le32(entry, 20))),
                b"ST" => break,
                _ => {}
            }
            at += length;
        }
        let Some((lba, offset, length)) = next else {
            break;
        };
        let start = (u64::from(lba) * SECTOR).saturating_add(offset.into());
        match read_up_to(src, start, length.min(SECTOR as u32) as usize) {
            Ok(more) => area = more,
            Err(_) => break,
        }
    }
    if named {
        rock.name = Some(String::from_utf8_lossy(&name).replace('/', "?"));
    }
    rock
}
