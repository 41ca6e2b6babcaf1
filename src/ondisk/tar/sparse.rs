//! Maps of sparse files: which parts of them an archive holds.

use super::pax::decimal;
use super::{BLOCK, Malformed, Piece, Result, Why, header, says};
use crate::ondisk::fields::{byte, slice};

/// The most parts of one file: with holes between all of them, a file of 8 GiB and more.
pub const EXTENTS_LIMIT: usize = 1 << 20;
/// The length of a line of the third form, a number, at most.
const LINE: usize = 24;

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub offset: u64,
    pub length: u64,
}

/// A file without holes.
pub fn whole(at: u64, length: u64) -> Vec<Piece> {
    let piece = Piece {
        offset: 0,
        at,
        length,
    };
    if length > 0 { vec![piece] } else { Vec::new() }
}

/// Gives each part its place: they stand behind each other from `data` on, `held` bytes in
/// all. `at` is the header, for messages.
pub fn place(extents: &[Extent], size: u64, data: u64, held: u64, at: u64) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let (mut end, mut used) = (0, 0_u64);
    for extent in extents {
        let Some(next) = extent.offset.checked_add(extent.length) else {
            return says(at, "its map of holes counts past all bounds");
        };
        if extent.offset < end || next > size {
            return says(at, "its map of holes contradicts itself, or its size");
        }
        end = next;
        if extent.length > 0 {
            pieces.push(Piece {
                offset: extent.offset,
                at: data.saturating_add(used),
                length: extent.length,
            });
        }
        // No overflow: the parts do not overlap, and end below 2^64.
        used += extent.length;
    }
    match used == held {
        true => Ok(pieces),
        false => says(
            at,
            format!("its map of holes is for {used} bytes, and it has {held}"),
        ),
    }
}

/// The map of GNU tar's oldest form in the making.
#[derive(Debug)]
pub struct OldMap {
    pub extents: Vec<Extent>,
    /// The file's true length.
    pub size: u64,
    goes_on: bool,
}

impl OldMap {
    /// From the file's header: four parts, whether there are more, and the size.
    pub fn start(block: &[u8], at: u64) -> Result<OldMap> {
        let mut map = OldMap {
            extents: Vec::new(),
            size: field(block, 483, at)?,
            goes_on: byte(block, 482) != 0,
        };
        map.take(block, 386, 4, at)?;
        Ok(map)
    }

    /// Whether another block of it follows.
    pub fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// From a block of the map: 21 parts, and whether there are more.
    pub fn more(&mut self, block: &[u8], at: u64) -> Result<()> {
        self.goes_on = byte(block, 504) != 0;
        self.take(block, 0, 21, at)
    }

    fn take(&mut self, block: &[u8], from: usize, count: usize, at: u64) -> Result<()> {
        for n in 0..count {
            let from = from + 24 * n;
            // An unused place.
            if byte(block, from + 12) == 0 {
                break;
            }
            self.extents.push(Extent {
                offset: field(block, from, at)?,
                length: field(block, from + 12, at)?,
            });
        }
        match self.extents.len() > EXTENTS_LIMIT {
            true => says(at, "a sparse file has too many parts"),
            false => Ok(()),
        }
    }
}

fn field(block: &[u8], from: usize, at: u64) -> Result<u64> {
    let number = header::number(slice(block, from, 12));
    match number.and_then(|n| u64::try_from(n).ok()) {
        Some(number) => Ok(number),
        None => says(at + from as u64, "its map of holes has no number here"),
    }
}

/// The map that stands in front of a file's data (form 1.0): lines of decimal numbers, first
/// how many parts there are; filled up to whole blocks. `read` reads from the data on, of
/// which there are `length` bytes, at `at` of the archive. Gives the length of the map too.
pub fn read_map(
    read: &dyn Fn(u64, &mut [u8]) -> Result<()>,
    length: u64,
    at: u64,
) -> Result<(Vec<Extent>, u64)> {
    let mut lines = Lines {
        read,
        length,
        at,
        next: 0,
        buf: Vec::new(),
    };
    let count = lines.number()?;
    if count > EXTENTS_LIMIT as u64 {
        return says(at, "a sparse file has too many parts");
    }
    let mut extents = Vec::new();
    for _ in 0..count {
        extents.push(Extent {
            offset: lines.number()?,
            length: lines.number()?,
        });
    }
    Ok((extents, lines.next))
}

/// Lines out of blocks.
struct Lines<'a> {
    read: &'a dyn Fn(u64, &mut [u8]) -> Result<()>,
    length: u64,
    at: u64,
    /// Offset of the block to be read next.
    next: u64,
    /// What was read and not yet used.
    buf: Vec<u8>,
}

impl Lines<'_> {
    fn number(&mut self) -> Result<u64> {
        loop {
            let newline = self.buf.iter().take(LINE).position(|byte| *byte == b'\n');
            if let Some(end) = newline {
                let number = decimal(&self.buf[..end]);
                self.buf.drain(..=end);
                return match number {
                    Some(number) => Ok(number),
                    None => self.bad(),
                };
            }
            if self.buf.len() >= LINE {
                return self.bad();
            }
            if self.length - self.next < BLOCK {
                return Err(Malformed {
                    at: self.at + self.next,
                    path: None,
                    why: Why::Says("its map of holes does not end".into()),
                });
            }
            let mut block = [0; BLOCK as usize];
            (self.read)(self.next, &mut block)?;
            self.next += BLOCK;
            self.buf.extend(block);
        }
    }

    fn bad(&self) -> Result<u64> {
        says(
            self.at + self.next.saturating_sub(BLOCK),
            "its map of holes has a line that is no number",
        )
    }
}
