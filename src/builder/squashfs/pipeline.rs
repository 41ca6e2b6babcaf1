//! Blocks in order through several threads: one reads, some pack, the caller writes.
//!
//! A fixed number of slots goes round, so that memory is bounded however fast the reader
//! is; the writer takes slots in the reader's order, so that the output is the same however
//! many threads pack. Whoever fails lets go of its ends of the channels, and the others stop.

use super::super::{Error, Result};
use super::compress::{Compressor, Packer, bound};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

/// A block on its way.
#[derive(Debug)]
pub struct Slot<T> {
    /// What the reader says about it.
    pub tag: Option<T>,
    /// As read.
    pub raw: Vec<u8>,
    packed: Vec<u8>,
    is_packed: bool,
    turn: u64,
}

impl<T> Slot<T> {
    /// What is to be stored, and whether it is packed.
    pub fn stored(&self) -> (&[u8], bool) {
        match self.is_packed {
            true => (&self.packed, true),
            false => (&self.raw, false),
        }
    }
}

/// The reader's ends.
#[derive(Debug)]
pub struct Feed<T> {
    free: Receiver<Slot<T>>,
    jobs: Sender<Slot<T>>,
    turn: u64,
}

impl<T> Feed<T> {
    /// A free slot, with the bytes of its last use; waits until there is one.
    ///
    /// # Errors
    /// The others have stopped, and know why.
    pub fn take(&self) -> Result<Slot<T>> {
        self.free.recv().map_err(|_| Error::Interrupted)
    }

    /// Sends a slot on its way.
    ///
    /// # Errors
    /// The others have stopped, and know why.
    pub fn send(&mut self, mut slot: Slot<T>, tag: T) -> Result<()> {
        slot.tag = Some(tag);
        slot.turn = self.turn;
        self.turn += 1;
        self.jobs.send(slot).map_err(|_| Error::Interrupted)
    }
}

/// How blocks are packed, and on how many threads.
#[derive(Clone, Copy, Debug)]
pub struct Works {
    /// The way.
    pub compressor: Compressor,
    /// The longest block, in bytes.
    pub block_size: u32,
    /// At most; fewer where blocks or the packer's tables are large.
    pub workers: usize,
}

/// Bytes that slots and packers take together at most, however many cores there are: the whole
/// program is to stay below 150 MB.
const MEMORY: usize = 96 << 20;

impl Works {
    /// How many threads pack: as many as asked for, and as fit into the memory.
    fn threads(&self) -> usize {
        let slot = self.block_size as usize + bound(self.block_size as usize);
        let each = SLOTS * slot + self.compressor.memory(self.block_size);
        self.workers.min(MEMORY / each).max(1)
    }
}

/// Slots for each worker: one being packed, others read ahead or waiting for their turn.
const SLOTS: usize = 4;

/// Runs `read` on a thread of its own and `write` on this one, for each slot in order.
/// Gives what `read` gave.
///
/// # Errors
/// The writer's, a packer's or the reader's.
pub fn run<T: Send, R: Send>(
    works: Works,
    read: impl FnOnce(&mut Feed<T>) -> Result<R> + Send,
    mut write: impl FnMut(&Slot<T>) -> Result<()>,
) -> Result<R> {
    let workers = works.threads();
    let (free, to_read) = channel();
    let (jobs, to_pack) = channel();
    let (done, to_write) = channel();
    let to_pack = Mutex::new(to_pack);
    for _ in 0..workers * SLOTS {
        // The other end is here yet.
        let _ = free.send(Slot {
            tag: None,
            raw: Vec::new(),
            packed: Vec::new(),
            is_packed: false,
            turn: 0,
        });
    }
    let mut feed = Feed {
        free: to_read,
        jobs,
        turn: 0,
    };
    std::thread::scope(|scope| {
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let no_thread = |e| Error::system("starting a thread for", Path::new("the image"))(e);
        // Moved in, so that its ends close with it, also when it fails.
        let reader = thread("read")
            .spawn_scoped(scope, move || read(&mut feed))
            .map_err(no_thread)?;
        for _ in 0..workers {
            let (to_pack, done) = (&to_pack, done.clone());
            thread("pack")
                .spawn_scoped(scope, move || pack(works, to_pack, &done))
                .map_err(no_thread)?;
        }
        drop(done);
        let written = write_in_order(&to_write, &free, &mut write);
        drop((to_write, free));
        let read = reader.join();
        written?;
        read.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

type Packed<T> = Result<Slot<T>>;

fn pack<T>(works: Works, jobs: &Mutex<Receiver<Slot<T>>>, done: &Sender<Packed<T>>) {
    let failed = |why: String| Error::System {
        doing: "packing a block of",
        on: "the image".into(),
        cause: std::io::Error::other(why),
    };
    let mut packer = match Packer::new(works.compressor, works.block_size) {
        Ok(packer) => packer,
        Err(why) => {
            let _ = done.send(Err(failed(why)));
            return;
        }
    };
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(mut slot) = job else { return };
        let packed = packer.pack(&slot.raw, &mut slot.packed);
        let packed = packed.map_err(failed).map(|is_packed| {
            slot.is_packed = is_packed;
            slot
        });
        if done.send(packed).is_err() {
            return;
        }
    }
}

fn write_in_order<T>(
    done: &Receiver<Packed<T>>,
    free: &Sender<Slot<T>>,
    write: &mut impl FnMut(&Slot<T>) -> Result<()>,
) -> Result<()> {
    let mut waiting = BTreeMap::new();
    let mut turn = 0;
    for slot in done {
        let slot = slot?;
        waiting.insert(slot.turn, slot);
        while let Some(slot) = waiting.remove(&turn) {
            write(&slot)?;
            turn += 1;
            // The reader may be through.
            let _ = free.send(slot);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_cores_take_no_more_memory() {
        let threads = |compressor, block_size| {
            let works = Works {
                compressor,
                block_size,
                workers: 64,
            };
            works.threads()
        };
        let zstd = |level| Compressor::Zstd { level };
        assert_eq!(threads(zstd(22), 1 << 20), 3);
        assert_eq!(threads(Compressor::Xz { x86: true }, 1 << 20), 3);
        assert!(threads(zstd(15), 128 << 10) >= 16);
        assert_eq!(threads(Compressor::Lz4, 4096), 64);
    }
}
