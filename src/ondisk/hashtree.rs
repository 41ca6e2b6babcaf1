//! dm-verity's hash tree behind a payload: read, and compared with every block.
//!
//! cryptsetup's "DMVerity" wiki page (superblock, version 1) and the kernel's
//! `drivers/md/dm-verity-target.c`, verity_ctr (levels) and verity_hash (salt first).

use super::fields::{has_magic, le16, le32, le64, slice};
use super::{ByteSource, ReadError, read_up_to};
use sha2::{Digest, Sha256};
use std::ops::Range;

/// Length of the superblock, bytes.
pub const SUPERBLOCK: usize = 512;
const DIGEST: u64 = 32;
const MOST_LEVELS: usize = 16;
/// Bytes that are read at once.
const CHUNK: u64 = 1 << 20;

/// What the superblock says. Only SHA-256 with the salt in front (hash type 1) is known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Bytes of a data block.
    pub data_block: u64,
    /// Bytes of a hash block.
    pub hash_block: u64,
    /// How many data blocks there are.
    pub data_blocks: u64,
    /// Hashed in front of each block.
    pub salt: Vec<u8>,
}

/// Reads a superblock; none if it is none or of a kind that is not known.
pub fn parse(bytes: &[u8]) -> Option<Superblock> {
    let (data_block, hash_block) = (u64::from(le32(bytes, 64)), u64::from(le32(bytes, 68)));
    let block = |size: u64| size.is_power_of_two() && (512..=1 << 16).contains(&size);
    let salt = usize::from(le16(bytes, 80));
    let sound = bytes.len() >= SUPERBLOCK
        && has_magic(bytes, 0, b"verity\0\0")
        && (le32(bytes, 8), le32(bytes, 12)) == (1, 1)
        && has_magic(bytes, 32, b"sha256\0")
        && block(data_block)
        && block(hash_block)
        && salt <= 256;
    let data_blocks = le64(bytes, 72);
    let known = data_blocks != 0 && data_blocks <= u64::MAX / data_block / 2;
    (sound && known).then(|| Superblock {
        data_block,
        hash_block,
        data_blocks,
        salt: slice(bytes, 88, salt).to_vec(),
    })
}

impl Superblock {
    /// Bytes that the tree covers, from the start of the payload.
    pub fn data_length(&self) -> u64 {
        self.data_blocks * self.data_block
    }

    /// Blocks of each level, the one above the data first.
    fn levels(&self) -> Vec<u64> {
        let per_block = self.hash_block / DIGEST;
        let (mut levels, mut blocks) = (Vec::new(), self.data_blocks);
        while blocks > 1 && levels.len() < MOST_LEVELS {
            blocks = blocks.div_ceil(per_block);
            levels.push(blocks);
        }
        levels
    }

    /// Bytes of superblock and tree.
    pub fn tree_length(&self) -> u64 {
        (1 + self.levels().iter().sum::<u64>()) * self.hash_block
    }

    fn digest(&self, block: &[u8]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(&self.salt);
        hash.update(block);
        hash.finalize().into()
    }
}

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
    root: &[u8; 32],
    progress: &mut dyn FnMut(u64) -> GoOn,
    met: &mut dyn FnMut(Met),
) {
    let levels = superblock.levels();
    // The top level comes first, right behind the superblock's block.
    let mut start = at + superblock.hash_block;
    let mut places = Vec::new();
    for blocks in levels.iter().rev() {
        places.push((start, *blocks, superblock.hash_block, true));
        start += blocks * superblock.hash_block;
    }
    places.push((0, superblock.data_blocks, superblock.data_block, false));

    let mut above: Option<(u64, Vec<bool>)> = None;
    for (start, blocks, size, is_tree) in places {
        let level = Level {
            start,
            blocks,
            size,
            is_tree,
        };
        let mut good = Vec::new();
        let done = level.compare(
            src,
            superblock,
            root,
            above.as_ref(),
            progress,
            met,
            &mut good,
        );
        if !done {
            return;
        }
        above = Some((start, good));
    }
}

struct Level {
    start: u64,
    blocks: u64,
    size: u64,
    is_tree: bool,
}

impl Level {
    #[allow(clippy::too_many_arguments)]
    fn compare(
        &self,
        src: &dyn ByteSource,
        superblock: &Superblock,
        root: &[u8; 32],
        above: Option<&(u64, Vec<bool>)>,
        progress: &mut dyn FnMut(u64) -> GoOn,
        met: &mut dyn FnMut(Met),
        good: &mut Vec<bool>,
    ) -> GoOn {
        let per_block = superblock.hash_block / DIGEST;
        let at_once = (CHUNK / self.size).max(1);
        let mut parent = (u64::MAX, Vec::new());
        let mut first = 0;
        while first < self.blocks {
            let count = at_once.min(self.blocks - first);
            let start = self.start + first * self.size;
            // A chunk that can't be read may have a single bad sector.
            let mut whole = vec![0; (count * self.size) as usize];
            let read = src.read_at(start, &mut whole);
            for n in 0..count {
                let range = start + n * self.size..start + (n + 1) * self.size;
                let block = &mut whole[(n * self.size) as usize..((n + 1) * self.size) as usize];
                if read.is_err()
                    && let Err(why) = src.read_at(range.start, block)
                {
                    met(Met::Unreadable(range, why));
                    self.note(good, false);
                    if why_ends(src, self.start + (first + n) * self.size) {
                        let rest = self.start + (first + n + 1) * self.size
                            ..self.start + self.blocks * self.size;
                        if !rest.is_empty() {
                            met(Met::Unreadable(rest, ReadError::PastEnd));
                        }
                        good.resize(
                            if self.is_tree {
                                self.blocks as usize
                            } else {
                                0
                            },
                            false,
                        );
                        return true;
                    }
                    continue;
                }
                let wanted = match above {
                    None => Some(*root),
                    Some((place, sound)) => {
                        let number = (first + n) / per_block;
                        if parent.0 != number {
                            let at = place + number * superblock.hash_block;
                            let bytes = read_up_to(src, at, superblock.hash_block as usize);
                            parent = (number, bytes.unwrap_or_default());
                        }
                        let trusted = sound.get(number as usize).copied().unwrap_or(false);
                        let at = ((first + n) % per_block * DIGEST) as usize;
                        let digest = slice(&parent.1, at, DIGEST as usize).try_into().ok();
                        digest.filter(|_| trusted)
                    }
                };
                let holds = wanted.map(|wanted: [u8; 32]| superblock.digest(block) == wanted);
                self.note(good, holds == Some(true));
                match (holds, self.is_tree) {
                    (Some(true), _) => {}
                    (Some(false), true) => met(Met::Tree(range)),
                    (Some(false), false) => met(Met::Data(range)),
                    (None, _) => met(Met::Unknown(range)),
                }
            }
            first += count;
            if !progress(count * self.size) {
                return false;
            }
        }
        true
    }

    /// Which data blocks hold need not be remembered.
    fn note(&self, good: &mut Vec<bool>, holds: bool) {
        if self.is_tree {
            good.push(holds);
        }
    }
}

fn why_ends(src: &dyn ByteSource, at: u64) -> bool {
    at >= src.len()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A payload of so many 4 KiB blocks with its superblock and tree, and the root hash.
    pub(crate) fn sample(blocks: u64) -> (Vec<u8>, [u8; 32]) {
        let superblock = Superblock {
            data_block: 4096,
            hash_block: 4096,
            data_blocks: blocks,
            salt: b"salt".to_vec(),
        };
        let mut payload: Vec<u8> = (0..blocks * 4096).map(|n| (n / 5 % 251) as u8).collect();
        let mut head = vec![0; 4096];
        head[..8].copy_from_slice(b"verity\0\0");
        head[8] = 1;
        head[12] = 1;
        head[32..38].copy_from_slice(b"sha256");
        head[64..68].copy_from_slice(&4096u32.to_le_bytes());
        head[68..72].copy_from_slice(&4096u32.to_le_bytes());
        head[72..80].copy_from_slice(&blocks.to_le_bytes());
        head[80] = 4;
        head[88..92].copy_from_slice(b"salt");
        let mut below = payload.clone();
        let mut levels: Vec<Vec<u8>> = Vec::new();
        while below.len() > 4096 {
            let mut level: Vec<u8> = below
                .chunks(4096)
                .flat_map(|block| superblock.digest(block))
                .collect();
            level.resize(level.len().next_multiple_of(4096), 0);
            levels.push(level.clone());
            below = level;
        }
        let root = superblock.digest(&below);
        payload.extend(head);
        levels.iter().rev().for_each(|level| payload.extend(level));
        (payload, root)
    }

    #[derive(Debug)]
    struct File(Vec<u8>);

    impl ByteSource for File {
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
            self.0.read_at(offset, buf)
        }
        fn len(&self) -> u64 {
            self.0.len() as u64
        }
    }

    fn met(bytes: Vec<u8>, blocks: u64, root: &[u8; 32]) -> Vec<Met> {
        let at = blocks * 4096;
        let superblock = parse(&bytes[at as usize..]).unwrap();
        let mut all = Vec::new();
        compare(
            &File(bytes),
            at,
            &superblock,
            root,
            &mut |_| true,
            &mut |one| all.push(one),
        );
        all
    }

    #[test]
    fn a_whole_payload_meets_nothing_at_any_depth() {
        for blocks in [1, 2, 128, 129, 300] {
            let (bytes, root) = sample(blocks);
            let superblock = parse(&bytes[(blocks * 4096) as usize..]).unwrap();
            assert_eq!(bytes.len() as u64, blocks * 4096 + superblock.tree_length());
            assert_eq!(met(bytes, blocks, &root), []);
        }
    }

    #[test]
    fn a_flipped_bit_is_placed_in_its_block() {
        let (mut bytes, root) = sample(300);
        bytes[5 * 4096 + 7] ^= 4;
        assert_eq!(met(bytes, 300, &root), [Met::Data(5 * 4096..6 * 4096)]);
    }

    #[test]
    fn a_broken_tree_leaves_its_data_unknown_and_is_the_only_damage() {
        let (mut bytes, root) = sample(300);
        // Superblock, top, then the first block above the data.
        let tree = 302 * 4096;
        bytes[tree + 1] ^= 1;
        let all = met(bytes, 300, &root);
        assert_eq!(all[0], Met::Tree(tree as u64..tree as u64 + 4096));
        assert_eq!(all.len(), 129);
        assert!(all[1..].iter().all(|one| matches!(one, Met::Unknown(_))));
    }

    #[test]
    fn a_payload_that_is_cut_short_ends_the_comparison() {
        let (bytes, root) = sample(4);
        let superblock = parse(&bytes[4 * 4096..]).unwrap();
        let mut all = Vec::new();
        let short = File(bytes[..6000].to_vec());
        compare(
            &short,
            4 * 4096,
            &superblock,
            &root,
            &mut |_| true,
            &mut |one| all.push(one),
        );
        assert!(
            all.iter().any(|one| matches!(one, Met::Unreadable(..))),
            "{all:?}"
        );
    }
}
