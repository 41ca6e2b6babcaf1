//! ISO 9660, level 3, with Rock Ridge and Joliet: names and places to bytes.
//!
//! ECMA-119 (4th edition), RRIP 1.10, Joliet 1.0, El Torito 1.0. Two steps, for a file may be
//! written before its length is known: [`Plan::new`] gives each directory its place and room,
//! [`Plan::bytes`] writes them when all files have places and lengths.
//!
//! A volume may have a second set of descriptors and directories for a partition that starts
//! within the system area's end (`xorriso -partition_offset`): the same files, but sectors count
//! from the partition's start. All belongs to root; directories are 0555, files 0444.

mod bytes;
mod date;
mod descriptor;
mod eltorito;
mod names;
mod pathtable;
mod record;
mod rockridge;
mod tree;
mod view;

pub use eltorito::{Catalogue, MOST_COUNTED};
pub use tree::{Entry, What};

use crate::units::Label;
use names::{Flavour, names};
use tree::Node;
use view::View;

/// Bytes of a sector.
pub const SECTOR: u64 = 2048;
/// Sectors before the first descriptor (ECMA-119 6.2.1).
pub const SYSTEM_AREA: u32 = 16;
/// The most bytes that one record of a file has: whole sectors in 32 bits.
pub const MOST_EXTENT: u64 = 0xffff_f800;

/// Why there is no such volume.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A path that can't be.
    #[error("{0:?} can't be a path in an ISO: {1}")]
    Name(String, &'static str),
    /// More directories than path tables number.
    #[error("more than 65,535 directories, which is all that an ISO's path table can number")]
    Directories,
    /// Sectors have 32 bits.
    #[error("more than 8 TiB, which is all that an ISO's 32-bit sector numbers reach")]
    Size,
    /// A file outgrew the room that was set aside for its records.
    #[error("a file has {length} bytes, and room was made for {most}")]
    Outgrown {
        /// Its bytes.
        length: u64,
        /// What was announced.
        most: u64,
    },
}

/// Where a file's bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// First sector, from the start of the image.
    pub sector: u32,
    /// Length, bytes.
    pub length: u64,
}

/// A sector, and what stands from there on.
pub type Piece = (u32, Vec<u8>);

/// Which trees there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trees {
    /// Joliet, for Windows.
    pub joliet: bool,
    /// First sector of a partition that is a volume of its own, with descriptors 16 sectors
    /// behind it.
    pub partition: Option<u32>,
}

/// The places of all directories and tables.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Of each entry; none of those that are no files.
    most: Vec<Option<u64>>,
    nodes: Vec<Node>,
    views: Vec<View>,
    epoch: u64,
    end: u32,
}

/// What the descriptors say.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The volume's name: 32 bytes at most.
    pub label: &'a Label,
    /// Of each entry that [`Plan::new`] was given; those that are no files are not looked at.
    pub extents: &'a [Extent],
    /// Sector of El Torito's catalogue.
    pub catalogue: Option<u32>,
    /// Sectors of the whole image. The first descriptor says these: isomd5sum and EDK2 rely on
    /// it.
    pub whole: u32,
    /// The end of the files, a sector: the other descriptors say this, and the partition ends
    /// there.
    pub end: u32,
}

impl Plan {
    /// Gives places to directories and tables, from sector `first` on. `epoch`: seconds since
    /// 1970 of all dates.
    ///
    /// # Errors
    /// Paths that can't be, more directories than 65,535.
    pub fn new(entries: &[Entry], trees: Trees, epoch: u64, first: u32) -> Result<Plan, Refusal> {
        let nodes = tree::nodes(entries)?;
        let most: Vec<Option<u64>> = entries
            .iter()
            .map(|entry| match entry.what {
                What::File { most } => Some(most),
                _ => None,
            })
            .collect();
        let widest: Vec<Extent> = most
            .iter()
            .map(|most| Extent {
                sector: 0,
                length: most.unwrap_or(0),
            })
            .collect();
        let mut flavours = vec![names(&nodes, Flavour::Primary)];
        if trees.joliet {
            flavours.push(names(&nodes, Flavour::Joliet));
        }
        let mut views = Vec::new();
        let mut end = first;
        for base in std::iter::once(0).chain(trees.partition) {
            for (flavour, names) in [Flavour::Primary, Flavour::Joliet]
                .into_iter()
                .zip(&flavours)
            {
                let view = View::new(&nodes, names.clone(), flavour, base, &widest, epoch, end)?;
                end = view.end();
                views.push(view);
            }
        }
        Ok(Plan {
            most,
            nodes,
            views,
            epoch,
            end,
        })
    }

    /// The first sector behind directories and tables.
    pub fn end(&self) -> u32 {
        self.end
    }

    /// All descriptors, directories and tables: sector, and bytes.
    ///
    /// # Errors
    /// A file that is longer than was said, one that ends behind the image's end.
    pub fn bytes(&self, facts: &Facts<'_>) -> Result<Vec<Piece>, Refusal> {
        for (extent, most) in facts.extents.iter().zip(&self.most) {
            let (Some(most), length) = (*most, extent.length) else {
                continue;
            };
            if length > most {
                return Err(Refusal::Outgrown { length, most });
            }
            let end = u64::from(extent.sector) + length.div_ceil(SECTOR);
            if end > facts.end.into() {
                return Err(Refusal::Size);
            }
        }
        let mut pieces = Vec::new();
        let mut base = None;
        let mut at = 0;
        for view in &self.views {
            if base != Some(view.base()) {
                if base.is_some() {
                    pieces.push((at, descriptor::terminator().to_vec()));
                }
                base = Some(view.base());
                at = view.base() + SYSTEM_AREA;
            }
            let space = match (view.base(), view.flavour()) {
                (0, Flavour::Primary) => facts.whole,
                _ => facts.end.saturating_sub(view.base()),
            };
            let (root_length, parts) = view.bytes(&self.nodes, facts.extents, self.epoch)?;
            let facts_of_tree = view.descriptor(facts.label, self.epoch, space, root_length);
            pieces.push((at, descriptor::tree(&facts_of_tree).to_vec()));
            at += 1;
            if let (17, Some(catalogue)) = (at, facts.catalogue) {
                pieces.push((at, descriptor::boot_record(catalogue).to_vec()));
                at += 1;
            }
            pieces.extend(parts);
        }
        pieces.push((at, descriptor::terminator().to_vec()));
        pieces.sort_by_key(|(sector, _)| *sector);
        Ok(pieces)
    }
}
