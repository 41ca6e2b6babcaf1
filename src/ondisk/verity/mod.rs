//! dm-verity as veritysetup(8) writes it: a superblock, and behind it a tree of digests.
//!
//! cryptsetup's `lib/verity/verity.h` (struct verity_sb) and `verity_hash.c`; the kernel's
//! `Documentation/admin-guide/device-mapper/verity.rst`. Hash type 1, SHA-256, blocks of
//! 4,096 bytes: a digest is that of salt and block, a hash block has 128 of them, the top
//! level stands first, and its digest is the root hash.

mod compare;

use crate::ondisk::fields::{bytes16, has_magic, le16, le32, le64, slice};
use crate::ondisk::{ByteSource, ReadError};
pub use compare::{GoOn, Met, compare};
use sha2::{Digest, Sha256};

/// Bytes of a block, of data and of digests.
pub const BLOCK: usize = 4096;
/// Bytes of a digest, and of our salts.
pub const DIGEST: usize = 32;
/// Digests that a hash block holds.
pub const PER_BLOCK: u64 = (BLOCK / DIGEST) as u64;
const PER_BLOCK_BITS: u32 = PER_BLOCK.trailing_zeros();
/// More data than a byte count of 64 bits has room for.
const MOST_BLOCKS: u64 = u64::MAX / BLOCK as u64 / 2;

const MAGIC: &[u8] = b"verity\0\0";
const VERSION: u32 = 1;
const HASH_TYPE: u32 = 1;
const ALGORITHM: &[u8] = b"sha256";
/// Bytes of the superblock; the rest of its block is zero.
pub const SUPERBLOCK: usize = 512;
const VERSION_AT: usize = 8;
const HASH_TYPE_AT: usize = 12;
const UUID_AT: usize = 16;
const ALGORITHM_AT: usize = 32;
const ALGORITHM_LENGTH: usize = 32;
const DATA_BLOCK_SIZE_AT: usize = 64;
const HASH_BLOCK_SIZE_AT: usize = 68;
const DATA_BLOCKS_AT: usize = 72;
const SALT_SIZE_AT: usize = 80;
const SALT_AT: usize = 88;
const MOST_SALT: usize = 256;

/// What a tree is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// As it stands on disk, most significant byte first.
    pub uuid: [u8; 16],
    /// At most 256 bytes.
    pub salt: Vec<u8>,
    /// Blocks that are covered, at least one.
    pub data_blocks: u64,
}

/// What is no tree that can be checked here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerityError {
    /// A field's value, as words, is not the one known here.
    Unknown(&'static str, u64),
    /// The algorithm is not SHA-256.
    Algorithm(String),
    /// No blocks, or more than there can be.
    Blocks(u64),
    /// The salt is longer than its field.
    Salt(usize),
}

impl std::fmt::Display for VerityError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            VerityError::Unknown(field, value) => {
                write!(f, "a verity superblock whose {field} is {value}")
            }
            VerityError::Algorithm(name) => write!(f, "a verity tree of {name:?}, not of sha256"),
            VerityError::Blocks(count) => write!(f, "a verity tree over {count} blocks"),
            VerityError::Salt(length) => write!(f, "a verity salt of {length} bytes"),
        }
    }
}

/// Hash blocks of one level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Bytes from the superblock's start to its first block.
    pub at: u64,
    /// Its blocks.
    pub blocks: u64,
    /// Digests in them.
    pub digests: u64,
}

impl Superblock {
    /// Of a superblock's bytes; none when they are something else.
    ///
    /// # Errors
    /// When it is one, of a kind that is not known here.
    pub fn parse(bytes: &[u8]) -> Result<Option<Superblock>, VerityError> {
        if bytes.len() < SUPERBLOCK || !has_magic(bytes, 0, MAGIC) {
            return Ok(None);
        }
        for (field, at, known) in [
            ("version", VERSION_AT, VERSION),
            ("hash type", HASH_TYPE_AT, HASH_TYPE),
            ("data block size", DATA_BLOCK_SIZE_AT, BLOCK as u32),
            ("hash block size", HASH_BLOCK_SIZE_AT, BLOCK as u32),
        ] {
            let value = le32(bytes, at);
            if value != known {
                return Err(VerityError::Unknown(field, value.into()));
            }
        }
        let name = slice(bytes, ALGORITHM_AT, ALGORITHM_LENGTH);
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        if name != ALGORITHM {
            let name = String::from_utf8_lossy(name).into_owned();
            return Err(VerityError::Algorithm(name));
        }
        let salt = usize::from(le16(bytes, SALT_SIZE_AT));
        if salt > MOST_SALT {
            return Err(VerityError::Salt(salt));
        }
        let salt = slice(bytes, SALT_AT, salt).to_vec();
        Superblock::new(bytes16(bytes, UUID_AT), salt, le64(bytes, DATA_BLOCKS_AT)).map(Some)
    }

    /// For a tree over so many blocks.
    ///
    /// # Errors
    /// When there are none or too many, or the salt is over 256 bytes.
    pub fn new(uuid: [u8; 16], salt: Vec<u8>, data_blocks: u64) -> Result<Self, VerityError> {
        if data_blocks == 0 || data_blocks > MOST_BLOCKS {
            return Err(VerityError::Blocks(data_blocks));
        }
        if salt.len() > MOST_SALT {
            return Err(VerityError::Salt(salt.len()));
        }
        Ok(Superblock {
            uuid,
            salt,
            data_blocks,
        })
    }

    /// Its whole block.
    pub fn encode(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, MAGIC);
        put(VERSION_AT, &VERSION.to_le_bytes());
        put(HASH_TYPE_AT, &HASH_TYPE.to_le_bytes());
        put(UUID_AT, &self.uuid);
        put(ALGORITHM_AT, ALGORITHM);
        put(DATA_BLOCK_SIZE_AT, &(BLOCK as u32).to_le_bytes());
        put(HASH_BLOCK_SIZE_AT, &(BLOCK as u32).to_le_bytes());
        put(DATA_BLOCKS_AT, &self.data_blocks.to_le_bytes());
        let salt = &self.salt[..self.salt.len().min(MOST_SALT)];
        put(SALT_SIZE_AT, &(salt.len() as u16).to_le_bytes());
        put(SALT_AT, salt);
        block
    }

    /// Levels of the tree, that of the data's digests first; none over a single block, whose
    /// digest is the root hash.
    pub fn levels(&self) -> Vec<Level> {
        let mut levels = Vec::new();
        let mut digests = self.data_blocks;
        while digests > 1 {
            let blocks = digests.div_ceil(PER_BLOCK);
            levels.push(Level {
                at: 0,
                blocks,
                digests,
            });
            digests = blocks;
        }
        let mut at = BLOCK as u64;
        for level in levels.iter_mut().rev() {
            level.at = at;
            at += level.blocks * BLOCK as u64;
        }
        levels
    }

    /// Bytes that are covered.
    pub fn data_length(&self) -> u64 {
        self.data_blocks * BLOCK as u64
    }

    /// Bytes of superblock and tree.
    pub fn length(&self) -> u64 {
        let blocks: u64 = self.levels().iter().map(|level| level.blocks).sum();
        (1 + blocks) * BLOCK as u64
    }

    /// The hash state that each block's digest begins with.
    pub fn salted(&self) -> Sha256 {
        Sha256::new_with_prefix(&self.salt)
    }
}

/// The digest of a block, from [`Superblock::salted`].
pub fn digest(salted: &Sha256, block: &[u8]) -> [u8; DIGEST] {
    salted.clone().chain_update(block).finalize().into()
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The block is what the root hash stands for.
    Intact,
    /// The block is not.
    Data,
    /// Nobody can say: the tree is damaged in the hash block so many bytes behind the
    /// superblock's start.
    Tree(u64),
}

/// Checks blocks against a root hash, with the hash blocks that it needed last: whoever goes
/// from the first block to the last reads each hash block once.
#[derive(Debug)]
pub struct Checker {
    superblock: Superblock,
    salted: Sha256,
    levels: Vec<Level>,
    root: [u8; DIGEST],
    /// For each level a hash block that was found intact, and its number.
    known: Vec<Option<(u64, Vec<u8>)>>,
}

impl Checker {
    /// Nothing is known yet.
    pub fn new(superblock: Superblock, root: [u8; DIGEST]) -> Checker {
        let levels = superblock.levels();
        Checker {
            salted: superblock.salted(),
            known: vec![None; levels.len()],
            superblock,
            levels,
            root,
        }
    }

    /// Whether `block` is the one of this number; `tree` begins at the superblock. A number
    /// behind the last is not.
    ///
    /// # Errors
    /// When the tree can't be read.
    pub fn check(
        &mut self,
        number: u64,
        block: &[u8],
        tree: &dyn ByteSource,
    ) -> Result<Finding, ReadError> {
        if number >= self.superblock.data_blocks {
            return Ok(Finding::Data);
        }
        let mut wanted = self.root;
        for (n, level) in self.levels.iter().enumerate().rev() {
            let hash_block = number >> (PER_BLOCK_BITS * (n as u32 + 1));
            let slot = (number >> (PER_BLOCK_BITS * n as u32)) % PER_BLOCK;
            let known = &mut self.known[n];
            if known.as_ref().is_none_or(|(of, _)| *of != hash_block) {
                let at = level.at + hash_block * BLOCK as u64;
                let mut bytes = vec![0; BLOCK];
                tree.read_at(at, &mut bytes)?;
                if digest(&self.salted, &bytes) != wanted {
                    return Ok(Finding::Tree(at));
                }
                *known = Some((hash_block, bytes));
            }
            let bytes = known.as_ref().map(|(_, bytes)| &bytes[..]);
            let digest = slice(bytes.unwrap_or_default(), slot as usize * DIGEST, DIGEST);
            wanted.copy_from_slice(digest);
        }
        Ok(if digest(&self.salted, block) == wanted {
            Finding::Intact
        } else {
            Finding::Data
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn superblock(data_blocks: u64) -> Superblock {
        Superblock::new([3; 16], vec![5; 32], data_blocks).unwrap()
    }

    /// Superblock and tree over `data`, the plain way, and the root hash.
    pub(super) fn tree(data: &[u8]) -> (Superblock, Vec<u8>, [u8; DIGEST]) {
        let superblock = superblock((data.len() / BLOCK) as u64);
        let salted = superblock.salted();
        let mut levels = Vec::new();
        let mut below = data.to_vec();
        while below.len() > BLOCK {
            let mut above: Vec<u8> = below
                .chunks(BLOCK)
                .flat_map(|block| digest(&salted, block))
                .collect();
            above.resize(above.len().next_multiple_of(BLOCK), 0);
            levels.push(above.clone());
            below = above;
        }
        let mut bytes = superblock.encode().to_vec();
        bytes.extend(levels.iter().rev().flatten());
        (superblock, bytes, digest(&salted, &below))
    }

    pub(super) fn data(blocks: usize) -> Vec<u8> {
        (0..blocks * BLOCK)
            .map(|n| (n / 7 + n / 4096) as u8)
            .collect()
    }

    #[test]
    fn levels_grow_where_a_hash_block_is_full() {
        for (blocks, levels) in [
            (1, vec![]),
            (2, vec![1]),
            (127, vec![1]),
            (128, vec![1]),
            (129, vec![2, 1]),
            (16_384, vec![128, 1]),
            (16_385, vec![129, 2, 1]),
        ] {
            let superblock = superblock(blocks);
            let found: Vec<u64> = superblock.levels().iter().map(|l| l.blocks).collect();
            assert_eq!(found, levels, "{blocks}");
            let length = (1 + levels.iter().sum::<u64>()) * BLOCK as u64;
            assert_eq!(superblock.length(), length);
            let top = superblock.levels().last().map(|level| level.at);
            assert_eq!(top, (!levels.is_empty()).then_some(BLOCK as u64));
        }
        // The figure of builders.md 2.5, measured with veritysetup.
        assert_eq!(superblock(105_312).length(), 3_407_872);
    }

    #[test]
    fn a_superblock_reads_back_and_others_are_refused() {
        let superblock = superblock(77);
        let bytes = superblock.encode();
        assert_eq!(Superblock::parse(&bytes), Ok(Some(superblock)));
        assert_eq!(Superblock::parse(&bytes[..511]), Ok(None));
        assert_eq!(Superblock::parse(&[0; 4096]), Ok(None));
        let with = |at: usize, byte: u8| {
            let mut bytes = bytes;
            bytes[at] = byte;
            Superblock::parse(&bytes).unwrap_err().to_string()
        };
        assert_eq!(with(8, 2), "a verity superblock whose version is 2");
        assert_eq!(with(12, 0), "a verity superblock whose hash type is 0");
        assert_eq!(
            with(65, 2),
            "a verity superblock whose data block size is 512"
        );
        assert_eq!(with(35, b'5'), "a verity tree of \"sha556\", not of sha256");
        assert_eq!(with(72, 0), "a verity tree over 0 blocks");
        assert_eq!(with(81, 2), "a verity salt of 544 bytes");
        assert!(with(79, 0x80).contains("blocks"));
    }

    #[test]
    fn a_flipped_bit_is_found_where_it_is() {
        for blocks in [1, 2, 129, 300] {
            let mut data = data(blocks);
            let (superblock, bytes, root) = tree(&data);
            assert_eq!(bytes.len() as u64, superblock.length());
            let check = |data: &[u8], bytes: &Vec<u8>| -> Vec<Finding> {
                let mut checker = Checker::new(superblock.clone(), root);
                let blocks = (0..).zip(data.chunks(BLOCK));
                blocks
                    .map(|(n, block)| checker.check(n, block, bytes).unwrap())
                    .collect()
            };
            assert!(check(&data, &bytes).iter().all(|f| *f == Finding::Intact));
            let last = data.len() - 1;
            data[last] ^= 8;
            let found = check(&data, &bytes);
            assert_eq!(found.iter().filter(|f| **f != Finding::Intact).count(), 1);
            assert_eq!(found.last(), Some(&Finding::Data));
            data[last] ^= 8;
            if blocks > 1 {
                let mut bytes = bytes.clone();
                let at = bytes.len() - BLOCK;
                bytes[at] ^= 1;
                let found = check(&data, &bytes);
                assert_eq!(found.last(), Some(&Finding::Tree(at as u64)));
            }
            let mut checker = Checker::new(superblock.clone(), root);
            assert_eq!(
                checker.check(blocks as u64, &data[..BLOCK], &bytes),
                Ok(Finding::Data)
            );
            let cut = checker.check(0, &data[..BLOCK], &bytes[..BLOCK].to_vec());
            assert_eq!(cut.is_err(), blocks > 1);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(edits in proptest::collection::vec((0usize..512, any::<u8>()), 0..8), number in any::<u64>()) {
            let mut bytes = superblock(300).encode();
            for (at, byte) in edits {
                bytes[at] = byte;
            }
            if let Ok(Some(superblock)) = Superblock::parse(&bytes) {
                let _ = superblock.length();
                let mut checker = Checker::new(superblock, [0; 32]);
                let _ = checker.check(number, &[0; BLOCK], &bytes.to_vec());
            }
        }
    }
}
