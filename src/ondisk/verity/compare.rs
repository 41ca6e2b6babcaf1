//! A payload compared with the tree behind it, block by block.

use super::{BLOCK, DIGEST, PER_BLOCK, Superblock, digest};
use crate::ondisk::fields::slice;
use crate::ondisk::{ByteSource, ReadError, read_up_to};
use sha2::Sha256;
use std::ops::Range;

const BLOCK_BYTES: u64 = BLOCK as u64;
/// Blocks that are read at once: 1 MiB.
const AT_ONCE: u64 = 256;

/// What the comparison met; byte ranges count from the start of the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Met {
    /// Data that is not what was hashed.
    Data(Range<u64>),
    /// A block of the tree that is not what was hashed.
    Tree(Range<u64>),
    /// Data whose hash can't be trusted.
    Unknown(Range<u64>),
    /// The device failed here, or the source ends before.
    Unreadable(Range<u64>, ReadError),
}

/// Whether to go on.
pub type GoOn = bool;

/// Compares a payload with its tree, whose superblock lies at byte `at`. `progress` is told
/// how many bytes were read since it was last called, and ends the comparison by `false`.
pub fn compare(
    src: &dyn ByteSource,
    at: u64,
    superblock: &Superblock,
    root: &[u8; DIGEST],
    progress: &mut dyn FnMut(u64) -> GoOn,
    met: &mut dyn FnMut(Met),
) {
    let mut comparison = Comparison {
        src,
        salted: superblock.salted(),
        progress,
        met,
    };
    // From the top down: what stands above is known when its turn comes.
    let mut above = Above::Root(*root);
    for level in superblock.levels().iter().rev() {
        let row = Row {
            start: at + level.at,
            blocks: level.blocks,
        };
        let mut sound = Vec::new();
        if !comparison.row(row, &above, Some(&mut sound)) {
            return;
        }
        above = Above::Level(row.start, sound);
    }
    let data = Row {
        start: 0,
        blocks: superblock.data_blocks,
    };
    comparison.row(data, &above, None);
}

/// Blocks that lie side by side: a level, or the data.
#[derive(Clone, Copy)]
struct Row {
    start: u64,
    blocks: u64,
}

impl Row {
    fn range(self, number: u64) -> Range<u64> {
        let start = self.start + number * BLOCK_BYTES;
        start..start + BLOCK_BYTES
    }

    fn end(self) -> u64 {
        self.start + self.blocks * BLOCK_BYTES
    }
}

/// What has a row's digests.
enum Above {
    Root([u8; DIGEST]),
    /// Where the level begins, and which of its blocks hold.
    Level(u64, Vec<bool>),
}

struct Comparison<'a> {
    src: &'a dyn ByteSource,
    salted: Sha256,
    progress: &'a mut dyn FnMut(u64) -> GoOn,
    met: &'a mut dyn FnMut(Met),
}

impl Comparison<'_> {
    /// One row; `sound` is that of the tree, and learns which blocks hold.
    fn row(&mut self, row: Row, above: &Above, mut sound: Option<&mut Vec<bool>>) -> GoOn {
        let mut wanted = Wanted::new(self.src, above);
        let mut first = 0;
        while first < row.blocks {
            let count = AT_ONCE.min(row.blocks - first);
            let mut whole = vec![0; count as usize * BLOCK];
            // A chunk that can't be read may have a single bad sector.
            let read = self.src.read_at(row.range(first).start, &mut whole);
            for (number, block) in (first..).zip(whole.chunks_mut(BLOCK)) {
                let range = row.range(number);
                if read.is_err()
                    && let Err(why) = self.src.read_at(range.start, block)
                {
                    let at = range.start;
                    (self.met)(Met::Unreadable(range.clone(), why));
                    note(&mut sound, false);
                    if at >= self.src.len() {
                        if range.end < row.end() {
                            let rest = range.end..row.end();
                            (self.met)(Met::Unreadable(rest, ReadError::PastEnd));
                        }
                        // What is not in the list does not hold.
                        return true;
                    }
                    continue;
                }
                let wanted = wanted.of(number);
                let holds = wanted.map(|wanted| digest(&self.salted, block) == wanted);
                note(&mut sound, holds == Some(true));
                match (holds, sound.is_some()) {
                    (Some(true), _) => {}
                    (Some(false), true) => (self.met)(Met::Tree(range)),
                    (Some(false), false) => (self.met)(Met::Data(range)),
                    (None, _) => (self.met)(Met::Unknown(range)),
                }
            }
            first += count;
            if !(self.progress)(count * BLOCK_BYTES) {
                return false;
            }
        }
        true
    }
}

fn note(sound: &mut Option<&mut Vec<bool>>, holds: bool) {
    if let Some(sound) = sound {
        sound.push(holds);
    }
}

/// Digests of a row, with the block above that has the last one.
struct Wanted<'a> {
    src: &'a dyn ByteSource,
    above: &'a Above,
    block: Option<(u64, Vec<u8>)>,
}

impl<'a> Wanted<'a> {
    fn new(src: &'a dyn ByteSource, above: &'a Above) -> Self {
        Wanted {
            src,
            above,
            block: None,
        }
    }

    /// None when the block that has it does not hold.
    fn of(&mut self, number: u64) -> Option<[u8; DIGEST]> {
        let (start, sound) = match self.above {
            Above::Root(root) => return Some(*root),
            Above::Level(start, sound) => (*start, sound),
        };
        let parent = number / PER_BLOCK;
        if !sound.get(parent as usize).copied().unwrap_or(false) {
            return None;
        }
        if self.block.as_ref().is_none_or(|(of, _)| *of != parent) {
            let read = read_up_to(self.src, start + parent * BLOCK_BYTES, BLOCK);
            self.block = Some((parent, read.unwrap_or_default()));
        }
        let (_, block) = self.block.as_ref()?;
        let at = (number % PER_BLOCK) as usize * DIGEST;
        slice(block, at, DIGEST).try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{data, tree};
    use super::*;

    /// A payload of so many blocks with its superblock and tree.
    fn sample(blocks: usize) -> (Vec<u8>, Superblock, [u8; DIGEST]) {
        let mut bytes = data(blocks);
        let (superblock, tree, root) = tree(&bytes);
        bytes.extend(tree);
        (bytes, superblock, root)
    }

    // A slice is no `dyn ByteSource`.
    #[allow(clippy::ptr_arg)]
    fn met(bytes: &Vec<u8>, superblock: &Superblock, root: &[u8; DIGEST]) -> Vec<Met> {
        let mut all = Vec::new();
        let at = superblock.data_blocks * BLOCK_BYTES;
        let mut note = |one| all.push(one);
        compare(bytes, at, superblock, root, &mut |_| true, &mut note);
        all
    }

    #[test]
    fn a_whole_payload_meets_nothing_at_any_depth() {
        for blocks in [1, 2, 128, 129, 300] {
            let (bytes, superblock, root) = sample(blocks);
            assert_eq!(met(&bytes, &superblock, &root), [], "{blocks}");
        }
    }

    #[test]
    fn a_flipped_bit_is_placed_in_its_block() {
        let (mut bytes, superblock, root) = sample(300);
        bytes[5 * BLOCK + 7] ^= 4;
        let block = 5 * BLOCK_BYTES..6 * BLOCK_BYTES;
        assert_eq!(met(&bytes, &superblock, &root), [Met::Data(block)]);
    }

    #[test]
    fn a_broken_tree_leaves_its_data_unknown_and_is_the_only_damage() {
        let (mut bytes, superblock, root) = sample(300);
        // Superblock, top, then the first block above the data.
        let tree = 302 * BLOCK;
        bytes[tree + 1] ^= 1;
        let all = met(&bytes, &superblock, &root);
        assert_eq!(all[0], Met::Tree(tree as u64..tree as u64 + BLOCK_BYTES));
        assert_eq!(all.len(), 129);
        assert!(all[1..].iter().all(|one| matches!(one, Met::Unknown(_))));
    }

    #[test]
    fn a_payload_that_is_cut_short_ends_the_comparison() {
        let (mut bytes, superblock, root) = sample(4);
        bytes.truncate(6000);
        let all = met(&bytes, &superblock, &root);
        let unreadable = |one: &Met| matches!(one, Met::Unreadable(..));
        assert!(all.iter().any(unreadable), "{all:?}");
    }
}
