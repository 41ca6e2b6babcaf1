//! Entries of FAT directories, long names among them.

use super::{ATTR_DIRECTORY, ATTR_LONG, ATTR_VOLUME, ENTRY};
use crate::ondisk::fields::{byte, le16, le32, slice};

/// An entry with its name.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) directory: bool,
    pub(super) cluster: u32,
    pub(super) size: u64,
}

/// Those of a directory, without what is deleted.
pub(super) fn entries(bytes: &[u8]) -> Vec<Found> {
    let mut found = Vec::new();
    // Pieces of a long name stand in front of the entry, last piece first.
    let mut long: Vec<u16> = Vec::new();
    for entry in bytes.chunks_exact(ENTRY) {
        let (first, attributes) = (byte(entry, 0), byte(entry, 11));
        if first == 0 {
            break;
        }
        if first == 0xe5 {
            long.clear();
            continue;
        }
        if attributes & 0x3f == ATTR_LONG {
            let fields = [
                slice(entry, 1, 10),
                slice(entry, 14, 12),
                slice(entry, 28, 4),
            ];
            let piece = fields
                .into_iter()
                .flat_map(|field| field.chunks_exact(2).map(|unit| le16(unit, 0)));
            let mut piece: Vec<u16> = piece.take_while(|unit| *unit != 0).collect();
            if first & 0x40 != 0 || long.len() > 260 {
                long.clear();
            }
            piece.append(&mut long);
            long = piece;
            continue;
        }
        let name = match long.is_empty() {
            true => short_name(entry),
            false => String::from_utf16_lossy(&long),
        };
        long.clear();
        if attributes & ATTR_VOLUME != 0 || name == "." || name == ".." {
            continue;
        }
        found.push(Found {
            name: name.replace('/', "?"),
            directory: attributes & ATTR_DIRECTORY != 0,
            cluster: u32::from(le16(entry, 20)) << 16 | u32::from(le16(entry, 26)),
            size: le32(entry, 28).into(),
        });
    }
    found
}

/// Eight and three; bits 3 and 4 of byte 12 say that a part is in lower case (Windows NT).
fn short_name(entry: &[u8]) -> String {
    let part = |at, length, lower: bool| {
        let text = String::from_utf8_lossy(slice(entry, at, length));
        let text = text.trim_end_matches(' ').to_owned();
        if lower {
            text.to_ascii_lowercase()
        } else {
            text
        }
    };
    let case = byte(entry, 12);
    let (base, extension) = (part(0, 8, case & 8 != 0), part(8, 3, case & 16 != 0));
    match extension.as_str() {
        "" => base,
        extension => format!("{base}.{extension}"),
    }
}
