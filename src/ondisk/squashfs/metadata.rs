//! Metadata blocks: inodes, listings and tables stand in blocks of 8 KiB, each packed for
//! itself behind a length (`include/linux/squashfs_fs.h`, SQUASHFS_METADATA_SIZE,
//! SQUASHFS_COMPRESSED_BIT).

/// Length of a block before it is packed.
pub const BLOCK: usize = 8192;
/// In a block's length: it is stored as it is.
pub const RAW: u16 = 1 << 15;

/// Packs a block; none when that makes it no smaller.
pub type Pack<'a, E> = &'a mut dyn FnMut(&[u8]) -> Result<Option<Vec<u8>>, E>;

/// Where something stands in a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Start of its block, in stored bytes from the table's start; saturates, and
    /// whoever ends the table checks its length.
    pub block: u32,
    /// Its place in the unpacked block, in bytes.
    pub offset: u16,
}

impl Place {
    /// Both in one number, as inode and attribute references have them.
    pub fn reference(self) -> u64 {
        u64::from(self.block) << 16 | u64::from(self.offset)
    }
}

/// A table that grows.
#[derive(Debug, Default)]
pub struct Stream {
    stored: Vec<u8>,
    pending: Vec<u8>,
    /// Start of each block in `stored`, without the pending one.
    starts: Vec<u64>,
}

impl Stream {
    /// Where the next byte goes.
    pub fn place(&self) -> Place {
        Place {
            block: saturating(self.stored.len()),
            offset: self.pending.len() as u16,
        }
    }

    /// Number of the block that the next byte goes to.
    pub fn block(&self) -> usize {
        self.starts.len()
    }

    /// Start of block `number`, as [`Place::block`].
    pub fn start_of(&self, number: usize) -> u32 {
        let start = self.starts.get(number).copied();
        start.map_or(saturating(self.stored.len()), |start| {
            u32::try_from(start).unwrap_or(u32::MAX)
        })
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// What `pack` fails with.
    pub fn push<E>(&mut self, mut bytes: &[u8], pack: Pack<'_, E>) -> Result<(), E> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.pending.len()));
            self.pending.extend_from_slice(now);
            bytes = later;
            if self.pending.len() == BLOCK {
                self.flush(pack)?;
            }
        }
        Ok(())
    }

    /// The table's stored bytes, and the start of each block among them.
    ///
    /// # Errors
    /// What `pack` fails with.
    pub fn finish<E>(mut self, pack: Pack<'_, E>) -> Result<(Vec<u8>, Vec<u64>), E> {
        if !self.pending.is_empty() {
            self.flush(pack)?;
        }
        Ok((self.stored, self.starts))
    }

    fn flush<E>(&mut self, pack: Pack<'_, E>) -> Result<(), E> {
        self.starts.push(self.stored.len() as u64);
        let packed = pack(&self.pending)?.filter(|packed| packed.len() < self.pending.len());
        let (length, bytes) = match &packed {
            Some(packed) => (packed.len() as u16, packed),
            None => (self.pending.len() as u16 | RAW, &self.pending),
        };
        self.stored.extend_from_slice(&length.to_le_bytes());
        self.stored.extend_from_slice(bytes);
        self.pending.clear();
        Ok(())
    }
}

fn saturating(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// A table of equal items with its index, which holds the place of each block in the image.
#[derive(Debug)]
pub struct Indexed {
    /// Blocks, then index.
    pub bytes: Vec<u8>,
    /// Place of the index in the image: what the superblock names.
    pub index: u64,
}

/// Lays `items` down at byte `at` of the image.
///
/// # Errors
/// What `pack` fails with.
pub fn indexed<E>(items: &[u8], at: u64, pack: Pack<'_, E>) -> Result<Indexed, E> {
    let mut stream = Stream::default();
    stream.push(items, pack)?;
    let (mut bytes, starts) = stream.finish(pack)?;
    let index = at + bytes.len() as u64;
    for start in starts {
        bytes.extend_from_slice(&(at + start).to_le_bytes());
    }
    Ok(Indexed { bytes, index })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn raw(_: &[u8]) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(None)
    }

    #[test]
    fn a_place_is_never_behind_the_end_of_its_block() {
        let mut stream = Stream::default();
        stream.push(&[1; BLOCK], &mut raw).unwrap();
        let place = stream.place();
        assert_eq!((place.block, place.offset), (BLOCK as u32 + 2, 0));
        assert_eq!(stream.start_of(0), 0);
        assert_eq!(stream.start_of(1), BLOCK as u32 + 2);
    }

    #[test]
    fn a_block_that_does_not_shrink_is_stored_raw_and_says_so() {
        let mut same = |block: &[u8]| Ok::<_, Infallible>(Some(block.to_vec()));
        let mut stream = Stream::default();
        stream.push(b"abc", &mut same).unwrap();
        assert_eq!(stream.finish(&mut same).unwrap().0, b"\x03\x80abc");
        let mut half = |block: &[u8]| Ok::<_, Infallible>(Some(block[..1].to_vec()));
        let table = indexed(b"abc", 100, &mut half).unwrap();
        assert_eq!(table.bytes, b"\x01\x00a\x64\0\0\0\0\0\0\0");
        assert_eq!(table.index, 103);
    }
}
