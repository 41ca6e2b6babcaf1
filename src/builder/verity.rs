//! The hash tree behind a payload: dm-verity's superblock and digests, as veritysetup(8)
//! writes them, so that each block of the image can be checked as it is read.
//!
//! Level by level, from the data upwards. Two workers each take the blocks below one block of
//! digests, so memory is bounded (512 KiB a worker) whatever the payload's length, and the
//! bytes do not depend on who was first.

use super::{Error, Result, Watch, manifest, watch};
use crate::layout::VerityManifest;
use crate::ondisk::verity::{BLOCK, DIGEST, Level, PER_BLOCK, Superblock, digest};
use crate::units::{Hex32, ImageId};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Reading of a stick is slower than one of them; writing an image wants two.
const WORKERS: usize = 2;

/// Superblock of a payload of `length` bytes with this id: its salt and UUID are the same
/// whenever the payload is. A last block that is not full counts as filled up with zeros.
///
/// # Errors
/// When the payload is empty.
pub fn superblock(id: &ImageId, length: u64) -> Result<Superblock> {
    let id = id.to_string();
    let salt = manifest::digest(&[b"liveroot verity", id.as_bytes()]);
    let name = manifest::digest(&[b"liveroot verity uuid", id.as_bytes()]);
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&name[..16]);
    // RFC 9562, version 8; cryptsetup reads it in the order of its text.
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    Superblock::new(uuid, salt.to_vec(), length.div_ceil(BLOCK as u64)).map_err(|e| {
        Error::input(
            "the payload",
            format!("{length} bytes can have no hash tree: {e}"),
            "report this as a defect",
        )
    })
}

/// How many bytes payload and tree take together.
///
/// # Errors
/// As of [`superblock`].
pub fn length_with_tree(length: u64) -> Result<u64> {
    let superblock = superblock(&ImageId::from_digest(&[0; 32]), length)?;
    Ok(length.next_multiple_of(BLOCK as u64) + superblock.length())
}

/// Appends superblock and tree to the payload that lies at `start` in `file`, `length` bytes
/// long: what the manifest says of them. The bytes from the payload's end to the next whole
/// block must be zero. `path` is the file's, for messages.
///
/// # Errors
/// When the file can't be read or written, or the payload is empty.
pub fn append(
    file: &File,
    path: &Path,
    start: u64,
    length: u64,
    id: &ImageId,
    watch: &dyn Watch,
) -> Result<VerityManifest> {
    let superblock = superblock(id, length)?;
    let hash_offset = length.next_multiple_of(BLOCK as u64);
    let tree = start + hash_offset;
    let job = Job {
        file,
        path,
        superblock: &superblock,
        watch,
    };
    let mut below = Level {
        at: start,
        blocks: superblock.data_blocks,
        digests: 0,
    };
    for level in superblock.levels() {
        let level = Level {
            at: tree + level.at,
            ..level
        };
        job.write_level(&below, &level)?;
        below = level;
    }
    let mut top = vec![0; BLOCK];
    job.read(&mut top, below.at)?;
    let root = digest(&superblock.salted(), &top);
    file.write_all_at(&superblock.encode(), tree)
        .map_err(Error::system("writing", path))?;
    let mut salt = [0; DIGEST];
    salt.copy_from_slice(&superblock.salt);
    Ok(VerityManifest {
        root_hash: Hex32(root),
        salt: Hex32(salt),
        data_blocks: superblock.data_blocks,
        hash_offset,
    })
}

struct Job<'a> {
    file: &'a File,
    path: &'a Path,
    superblock: &'a Superblock,
    watch: &'a dyn Watch,
}

impl Job<'_> {
    /// The digests of all blocks `below`; places are bytes of the file.
    fn write_level(&self, below: &Level, level: &Level) -> Result<()> {
        let next = AtomicU64::new(0);
        let work = || -> Result<()> {
            let salted = self.superblock.salted();
            let mut blocks = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= level.blocks {
                    return Ok(());
                }
                watch::check(self.watch)?;
                let first = number * PER_BLOCK;
                let count = (below.blocks - first).min(PER_BLOCK) as usize;
                blocks.resize(count * BLOCK, 0);
                self.read(&mut blocks, below.at + first * BLOCK as u64)?;
                let mut digests = [0; BLOCK];
                for (block, place) in blocks.chunks(BLOCK).zip(digests.chunks_mut(DIGEST)) {
                    place.copy_from_slice(&digest(&salted, block));
                }
                let at = level.at + number * BLOCK as u64;
                self.file
                    .write_all_at(&digests, at)
                    .map_err(Error::system("writing", self.path))?;
                self.watch.progress(number, level.blocks);
            }
        };
        // Behind an error the other worker ends with its own share: nothing waits.
        std::thread::scope(|scope| {
            let workers: Vec<_> = (1..WORKERS).map(|_| scope.spawn(work)).collect();
            let own = work();
            workers.into_iter().fold(own, |result, worker| {
                let other = worker.join().unwrap_or_else(|cause| {
                    std::panic::resume_unwind(cause);
                });
                result.and(other)
            })
        })
    }

    /// Fills `buf`; what the file lacks of a last block is zero.
    fn read(&self, buf: &mut [u8], at: u64) -> Result<()> {
        let mut done = 0;
        while done < buf.len() {
            match self.file.read_at(&mut buf[done..], at + done as u64) {
                Ok(0) => {
                    buf[done..].fill(0);
                    break;
                }
                Ok(n) => done += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::system("reading", self.path)(e)),
            }
        }
        Ok(())
    }
}
