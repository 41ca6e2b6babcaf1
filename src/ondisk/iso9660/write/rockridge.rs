//! Rock Ridge 1.10: modes, owners, times, true names and links, in the System Use fields of
//! directory records (SUSP 1.10, RRIP 1.10 as all readers of today take it).

use super::bytes::both32;
use super::{SECTOR, date};

/// Length of a CE field (SUSP 5.1).
const CE: usize = 28;
/// The longest field: its length stands in a byte.
const LONGEST: usize = 255;

/// `CONTINUE` of NM, of SL and of its components (RRIP 4.1.3.1, 4.1.4).
const CONTINUE: u8 = 1;
const CURRENT: u8 = 2;
const PARENT: u8 = 4;
const ROOT: u8 = 8;

/// Rock Ridge is in use (SUSP 5.3); only in the root's own record.
pub const SP: [u8; 7] = [b'S', b'P', 7, 1, 0xbe, 0xef, 0];

/// The extension in use (SUSP 5.5, RRIP 4.3), in its own words.
pub fn er() -> Vec<u8> {
    const ID: &[u8] = b"RRIP_1991A";
    const DESCRIPTION: &[u8] = b"THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX \
                                 FILE SYSTEM SEMANTICS";
    const SOURCE: &[u8] = b"PLEASE CONTACT DISC PUBLISHER FOR SPECIFICATION SOURCE.  SEE \
                            PUBLISHER IDENTIFIER IN PRIMARY VOLUME DESCRIPTOR FOR CONTACT \
                            INFORMATION.";
    let lengths = [ID.len() as u8, DESCRIPTION.len() as u8, SOURCE.len() as u8];
    let mut field = field(b"ER", &lengths);
    field.push(1);
    for text in [ID, DESCRIPTION, SOURCE] {
        field.extend(text);
    }
    sealed(field)
}

/// Mode, links, owner and group 0 (RRIP 4.1.1). `mode` has the type's bits too.
pub fn px(mode: u32, links: u32) -> Vec<u8> {
    let mut bytes = field(b"PX", &[]);
    for number in [mode, links, 0, 0] {
        bytes.extend(both32(number));
    }
    sealed(bytes)
}

/// Modification, access and change, all the same (RRIP 4.1.6; flags 0x02, 0x04 and 0x08).
pub fn tf(epoch: u64) -> Vec<u8> {
    let mut bytes = field(b"TF", &[0x0e]);
    for _ in 0..3 {
        bytes.extend(date::short(epoch));
    }
    sealed(bytes)
}

/// The true name (RRIP 4.1.4).
pub fn nm(name: &[u8]) -> Vec<Vec<u8>> {
    let chunks = name.chunks(LONGEST - 5);
    let last = chunks.len().saturating_sub(1);
    let part = |(n, chunk): (usize, &[u8])| {
        let mut bytes = field(b"NM", &[if n < last { CONTINUE } else { 0 }]);
        bytes.extend(chunk);
        sealed(bytes)
    };
    chunks.enumerate().map(part).collect()
}

/// Where a link points (RRIP 4.1.3).
pub fn sl(target: &[u8]) -> Vec<Vec<u8>> {
    let mut fields = vec![field(b"SL", &[0])];
    let mut add = |flags: u8, text: &[u8]| {
        let full = fields.last().map_or(0, Vec::len) + 2 + text.len() > LONGEST;
        if full {
            fields.push(field(b"SL", &[0]));
        }
        if let Some(bytes) = fields.last_mut() {
            bytes.extend([flags, text.len() as u8]);
            bytes.extend(text);
        }
    };
    let rest = match target.strip_prefix(b"/") {
        Some(rest) => {
            add(ROOT, b"");
            rest
        }
        None => target,
    };
    let parts = rest.split(|b| *b == b'/').filter(|part| !part.is_empty());
    for part in parts {
        match part {
            b"." => add(CURRENT, b""),
            b".." => add(PARENT, b""),
            _ => {
                // A part that is longer than a field goes on in the next.
                let chunks = part.chunks(LONGEST - 7);
                let last = chunks.len() - 1;
                for (n, chunk) in chunks.enumerate() {
                    add(if n < last { CONTINUE } else { 0 }, chunk);
                }
            }
        }
    }
    let last = fields.len() - 1;
    for field in &mut fields[..last] {
        field[4] = CONTINUE;
    }
    fields.into_iter().map(sealed).collect()
}

/// Signature, room for the length, version, and what follows.
fn field(signature: &[u8; 2], more: &[u8]) -> Vec<u8> {
    let mut bytes = vec![signature[0], signature[1], 0, 1];
    bytes.extend(more);
    bytes
}

/// With its length, which is below 256 for all that is made here.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[2] = bytes.len() as u8;
    bytes
}

/// Where fields go that a directory's records have no room for.
#[derive(Debug)]
pub struct Continuation {
    /// The sector that [`Continuation::bytes`] begin at, as the records count sectors.
    pub sector: u32,
    /// What is there.
    pub bytes: Vec<u8>,
}

impl Continuation {
    /// Joins fields to at most `room` bytes; the rest goes here, and a CE field leads to it.
    pub fn pack(&mut self, fields: &[Vec<u8>], room: usize) -> Vec<u8> {
        let total: usize = fields.iter().map(Vec::len).sum();
        if total <= room {
            return fields.concat();
        }
        let mut here = Vec::new();
        let mut rest = fields;
        while let Some((first, others)) = rest.split_first() {
            if here.len() + first.len() > room.saturating_sub(CE) {
                break;
            }
            here.extend(first);
            rest = others;
        }
        let (at, length) = self.keep(rest);
        let mut ce = field(b"CE", &[]);
        for number in [
            self.sector + (at / SECTOR as usize) as u32,
            (at % SECTOR as usize) as u32,
            length as u32,
        ] {
            ce.extend(both32(number));
        }
        here.extend(sealed(ce));
        here
    }

    /// Puts fields into one sector (SUSP 5.1: an area must not cross a border); where they came
    /// to lie. More than a sector leads on from its end.
    fn keep(&mut self, fields: &[Vec<u8>]) -> (usize, usize) {
        let sector = SECTOR as usize;
        let total: usize = fields.iter().map(Vec::len).sum();
        let mut at = self.bytes.len();
        if at % sector + total.min(sector) > sector {
            at = at.next_multiple_of(sector);
        }
        // Taken before what follows is kept, so that it stands behind.
        let length = if total <= sector { total } else { sector };
        self.bytes.resize(at + length, 0);
        let area = self.pack(fields, sector);
        self.bytes[at..at + area.len()].copy_from_slice(&area);
        (at, area.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_record_is_the_one_that_all_write() {
        assert_eq!(er().len(), 237);
        assert_eq!(px(0o100_444, 1).len(), 36);
        assert_eq!(tf(0).len(), 26);
    }

    #[test]
    fn long_targets_are_cut_at_fields_and_lead_on() {
        let target = vec![b"x".repeat(200); 20].join(&b'/');
        let fields = sl(&target);
        assert_eq!(fields.len(), 20);
        assert!(
            fields
                .iter()
                .all(|f| f.len() <= 255 && f[2] as usize == f.len())
        );
        assert_eq!((fields[0][4], fields[19][4]), (1, 0));
        let mut more = Continuation {
            sector: 100,
            bytes: Vec::new(),
        };
        let here = more.pack(&fields, 180);
        assert_eq!(here.len(), 28);
        // Two full sectors of nine fields and what is left of twenty.
        assert_eq!(more.bytes.len().div_ceil(2048), 3);
        assert_eq!(&more.bytes[9 * 207..][..2], b"CE");
    }
}
