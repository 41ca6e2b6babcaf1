//! Volume descriptors (ECMA-119 8; El Torito 1.0, figure 7; Joliet 1.0).

use super::bytes::{both16, both32};
use super::names::Flavour;
use super::record::{DIRECTORY, Record};
use super::{SECTOR, date};
use crate::units::Label;

/// What a descriptor of a tree says.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Which tree.
    pub flavour: Flavour,
    /// The volume's name; Joliet has room for its first 16 characters.
    pub label: &'a Label,
    /// Seconds since 1970: all dates.
    pub epoch: u64,
    /// Sectors of the volume.
    pub space: u32,
    /// Bytes of a path table.
    pub table_length: u32,
    /// Sectors of the path tables, types L and M.
    pub tables: (u32, u32),
    /// Where the root directory is.
    pub root: u32,
    /// Its length, bytes.
    pub root_length: u32,
}

/// Who made it, in letters that ECMA-119 7.4 allows: publisher and preparer.
const MAKER: &str = "LIVEROOT";
/// UCS-2, level 3 (Joliet 1.0, "Escape Sequences").
const JOLIET: &[u8] = b"%/E";

/// A primary or Joliet descriptor. The application use area stays blank: a checksum of
/// isomd5sum's goes there.
pub fn tree(facts: &Facts<'_>) -> [u8; SECTOR as usize] {
    let joliet = facts.flavour == Flavour::Joliet;
    let mut d = head(if joliet { 2 } else { 1 });
    let text = |text: &str, length| {
        if joliet {
            wide(text, length)
        } else {
            plain(text.as_bytes(), length)
        }
    };
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(place) = d.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    put(8, &text("", 32));
    let name = match facts.flavour {
        Flavour::Primary => plain(&facts.label.0, 32),
        Flavour::Joliet => wide(&facts.label.to_string(), 32),
    };
    put(40, &name);
    put(80, &both32(facts.space));
    if joliet {
        put(88, JOLIET);
    }
    put(120, &both16(1));
    put(124, &both16(1));
    put(128, &both16(SECTOR as u16));
    put(132, &both32(facts.table_length));
    put(140, &facts.tables.0.to_le_bytes());
    put(148, &facts.tables.1.to_be_bytes());
    let root = Record {
        id: &[0],
        sector: facts.root,
        length: facts.root_length,
        flags: DIRECTORY,
        epoch: facts.epoch,
    };
    put(156, &root.bytes(&[]));
    for (at, who) in [(190, ""), (318, MAKER), (446, MAKER), (574, "")] {
        put(at, &text(who, 128));
    }
    for at in [702, 739, 776] {
        put(at, &text("", 37));
    }
    put(813, &date::long(facts.epoch));
    put(830, &date::long(facts.epoch));
    put(847, &date::NONE);
    put(864, &date::NONE);
    put(881, &[1]);
    if !joliet {
        put(883, &[b' '; 512]);
    }
    d
}

/// El Torito's: it names the sector of the catalogue, and must be in sector 17.
pub fn boot_record(catalogue: u32) -> [u8; SECTOR as usize] {
    const ID: &[u8; 23] = b"EL TORITO SPECIFICATION";
    let mut d = head(0);
    d[7..7 + ID.len()].copy_from_slice(ID);
    d[71..75].copy_from_slice(&catalogue.to_le_bytes());
    d
}

/// The last one of a set.
pub fn terminator() -> [u8; SECTOR as usize] {
    head(255)
}

fn head(kind: u8) -> [u8; SECTOR as usize] {
    let mut d = [0; SECTOR as usize];
    d[0] = kind;
    d[1..6].copy_from_slice(b"CD001");
    d[6] = 1;
    d
}

/// Cut or filled up with blanks.
fn plain(text: &[u8], length: usize) -> Vec<u8> {
    let mut bytes = text[..text.len().min(length)].to_vec();
    bytes.resize(length, b' ');
    bytes
}

/// UCS-2, big-endian; a byte that is too few for a character stays zero.
fn wide(text: &str, length: usize) -> Vec<u8> {
    let unit = |c: char| u16::try_from(u32::from(c)).unwrap_or(u16::from(b'_'));
    let units = text
        .chars()
        .map(unit)
        .chain(std::iter::repeat(u16::from(b' ')));
    let mut bytes: Vec<u8> = units.take(length / 2).flat_map(u16::to_be_bytes).collect();
    bytes.resize(length, 0);
    bytes
}
