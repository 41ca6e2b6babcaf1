//! One tree of directories: of one flavour, for one way of counting sectors.

use super::names::{Flavour, Names};
use super::pathtable::{self, Order};
use super::record::{DIRECTORY, MORE, Record, append};
use super::rockridge::{self, Continuation, SP};
use super::tree::{Kind, Node};
use super::{Extent, MOST_EXTENT, Piece, Refusal, SECTOR, descriptor};
use crate::units::Label;

/// `S_IFDIR`, `S_IFREG` and `S_IFLNK` (stat.h) with what all may do.
const DIRECTORY_MODE: u32 = 0o040_555;
const FILE_MODE: u32 = 0o100_444;
const LINK_MODE: u32 = 0o120_777;

/// Where a directory's records are and where their continuation, in sectors.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// First sector, from the start of the image.
    at: u32,
    /// Sectors of records that there is room for.
    records: u32,
    /// Sectors of continuation behind them.
    more: u32,
}

/// The tree.
#[derive(Clone, Debug)]
pub struct View {
    flavour: Flavour,
    base: u32,
    names: Names,
    /// In the order of `names.directories`.
    places: Vec<Place>,
    tables: (u32, u32),
    table_length: u32,
    end: u32,
}

/// What the records of a directory say of others.
struct Known<'a> {
    nodes: &'a [Node],
    extents: &'a [Extent],
    epoch: u64,
    /// Of each node that is a directory: its sector and its length.
    directories: &'a [(u32, u32)],
}

impl View {
    /// Gives places to all directories, each with room for files of these lengths, then to the
    /// path tables.
    pub fn new(
        nodes: &[Node],
        names: Names,
        flavour: Flavour,
        base: u32,
        widest: &[Extent],
        epoch: u64,
        first: u32,
    ) -> Result<View, Refusal> {
        let mut view = View {
            flavour,
            base,
            names,
            places: Vec::new(),
            tables: (0, 0),
            table_length: 0,
            end: 0,
        };
        let known = Known {
            nodes,
            extents: widest,
            epoch,
            directories: &vec![(0, 0); nodes.len()],
        };
        let mut at = first;
        for &directory in &view.names.directories {
            let (records, more) = view.directory(directory, &known, 0);
            let place = Place {
                at,
                records: sectors(records.len())?,
                more: sectors(more.len())?,
            };
            let length = u64::from(place.records) + u64::from(place.more);
            at = forward(at, length)?;
            view.places.push(place);
        }
        let zeros = vec![0; view.places.len()];
        let table = pathtable::bytes(nodes, &view.names, &zeros, Order::Little);
        view.table_length = u32::try_from(table.len()).map_err(|_| Refusal::Size)?;
        let length = u64::from(sectors(table.len())?);
        let second = forward(at, length)?;
        view.tables = (at, second);
        view.end = forward(second, length)?;
        Ok(view)
    }

    /// The first sector behind it.
    pub fn end(&self) -> u32 {
        self.end
    }

    /// What its sectors count from.
    pub fn base(&self) -> u32 {
        self.base
    }

    /// Its flavour.
    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// What its descriptor says.
    pub fn descriptor<'a>(
        &self,
        label: &'a Label,
        epoch: u64,
        space: u32,
        root_length: u32,
    ) -> descriptor::Facts<'a> {
        descriptor::Facts {
            flavour: self.flavour,
            label,
            epoch,
            space,
            table_length: self.table_length,
            tables: (self.tables.0 - self.base, self.tables.1 - self.base),
            root: self.places.first().map_or(0, |place| place.at) - self.base,
            root_length,
        }
    }

    /// The root directory's length, and all directories and tables.
    pub fn bytes(
        &self,
        nodes: &[Node],
        extents: &[Extent],
        epoch: u64,
    ) -> Result<(u32, Vec<Piece>), Refusal> {
        let mut directories = vec![(0, 0); nodes.len()];
        let measure = Known {
            nodes,
            extents,
            epoch,
            directories: &directories,
        };
        let mut lengths = Vec::with_capacity(self.places.len());
        for &directory in &self.names.directories {
            let (records, _) = self.directory(directory, &measure, 0);
            lengths.push(sectors(records.len())? * SECTOR as u32);
        }
        let all = self
            .names
            .directories
            .iter()
            .zip(&self.places)
            .zip(&lengths);
        for ((&directory, place), &length) in all {
            directories[directory] = (place.at - self.base, length);
        }
        let known = Known {
            nodes,
            extents,
            epoch,
            directories: &directories,
        };
        let mut pieces = Vec::new();
        for (&directory, place) in self.names.directories.iter().zip(&self.places) {
            let more_at = place.at + place.records;
            let (records, more) = self.directory(directory, &known, more_at - self.base);
            pieces.push((place.at, records));
            if !more.is_empty() {
                pieces.push((more_at, more));
            }
        }
        let at: Vec<u32> = self.places.iter().map(|p| p.at - self.base).collect();
        let table = |order| pathtable::bytes(nodes, &self.names, &at, order);
        pieces.push((self.tables.0, table(Order::Little)));
        pieces.push((self.tables.1, table(Order::Big)));
        Ok((lengths.first().copied().unwrap_or(0), pieces))
    }

    /// The records of a directory, whole sectors of them, and what they have no room for.
    fn directory(&self, directory: usize, known: &Known<'_>, more_at: u32) -> (Vec<u8>, Vec<u8>) {
        let mut more = Continuation {
            sector: more_at,
            bytes: Vec::new(),
        };
        let mut records = Vec::new();
        let parent = known.nodes[directory].parent;
        for (id, node) in [(0, directory), (1, parent)] {
            let (sector, length) = known.directories[node];
            let record = Record {
                id: &[id],
                sector,
                length,
                flags: DIRECTORY,
                epoch: known.epoch,
            };
            let mut fields = Vec::new();
            if self.flavour == Flavour::Primary {
                let is_root = directory == 0 && id == 0;
                fields.extend(is_root.then(|| SP.to_vec()));
                fields.push(rockridge::px(DIRECTORY_MODE, self.links(node, known.nodes)));
                fields.push(rockridge::tf(known.epoch));
                fields.extend(is_root.then(rockridge::er));
            }
            let system_use = more.pack(&fields, record.room());
            append(&mut records, &record.bytes(&system_use));
        }
        for &child in &self.names.children[directory] {
            self.child(child, known, &mut records, &mut more);
        }
        records.resize(records.len().next_multiple_of(SECTOR as usize), 0);
        (records, more.bytes)
    }

    /// The records of what is in a directory: one, but for files over [`MOST_EXTENT`].
    fn child(
        &self,
        child: usize,
        known: &Known<'_>,
        records: &mut Vec<u8>,
        more: &mut Continuation,
    ) {
        let node = &known.nodes[child];
        let mut fields = Vec::new();
        if self.flavour == Flavour::Primary {
            let (mode, links) = match node.kind {
                Kind::Directory => (DIRECTORY_MODE, self.links(child, known.nodes)),
                Kind::File(_) => (FILE_MODE, 1),
                Kind::Symlink(_) => (LINK_MODE, 1),
            };
            fields.push(rockridge::px(mode, links));
            fields.push(rockridge::tf(known.epoch));
            fields.extend(rockridge::nm(&node.name));
            if let Kind::Symlink(target) = &node.kind {
                fields.extend(rockridge::sl(target));
            }
        }
        let mut put = |sector, length, flags| {
            let record = Record {
                id: &self.names.ids[child],
                sector,
                length,
                flags,
                epoch: known.epoch,
            };
            let system_use = more.pack(&fields, record.room());
            append(records, &record.bytes(&system_use));
        };
        match node.kind {
            Kind::Directory => {
                let (sector, length) = known.directories[child];
                put(sector, length, DIRECTORY);
            }
            Kind::Symlink(_) => put(0, 0, 0),
            Kind::File(entry) => {
                let extent = known.extents.get(entry).copied().unwrap_or_default();
                let mut sector = extent.sector.saturating_sub(self.base);
                let mut left = extent.length;
                // Rock Ridge stands in each: Linux takes the name from the last record.
                while left > MOST_EXTENT {
                    put(sector, MOST_EXTENT as u32, MORE);
                    sector = sector.saturating_add((MOST_EXTENT / SECTOR) as u32);
                    left -= MOST_EXTENT;
                }
                put(sector, left as u32, 0);
            }
        }
    }

    /// Links of a directory: its name, its own dot, and one from each directory in it.
    fn links(&self, directory: usize, nodes: &[Node]) -> u32 {
        let inner = self.names.children[directory].iter();
        2 + inner.filter(|child| nodes[**child].is_directory()).count() as u32
    }
}

fn sectors(length: usize) -> Result<u32, Refusal> {
    u32::try_from((length as u64).div_ceil(SECTOR)).map_err(|_| Refusal::Size)
}

fn forward(at: u32, by: u64) -> Result<u32, Refusal> {
    u32::try_from(u64::from(at) + by).map_err(|_| Refusal::Size)
}
