//! Copies an image into memory, in a thread: a disk may die in the middle of it.

use crate::sys::{block, clock, process};
use crate::units::Bytes;
use rustix::fs::{Advice, fadvise};
use std::fs::File;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Read at a time, bytes. Measured: 512 bytes, as dracut's copy has it, run at a sixth of the
/// rate, and more than this at the same.
const BLOCK: usize = 1 << 20;

/// A disk that gives no block for so long is given up. The kernel itself tries a read of a bad
/// spot again for up to half a minute.
const STALL: Duration = Duration::from_secs(60);

/// Between two looks at the clock while nothing comes.
const LOOK: Duration = Duration::from_millis(500);

/// What is copied.
#[derive(Debug)]
pub struct Source {
    /// Open for reading.
    pub file: File,
    /// How people call it: `LiveOS/squashfs.img on /dev/sda1`.
    pub name: String,
    /// Length in bytes.
    pub size: u64,
}

enum Message {
    /// So many bytes are there.
    Done(u64),
    /// All are, or why not.
    End(Result<(), String>),
}

/// Copies all of `from` to the start of `to`, which gets its length, filled up with zeros to
/// whole pages. `show` is called as it gets on, with the bytes that are copied; at least twice
/// a second.
///
/// # Errors
/// What failed, on what, where, as people read it. Then `to` holds no memory any more.
pub fn copy(from: Source, to: &File, show: &mut dyn FnMut(u64)) -> Result<(), String> {
    let fail = |what: &str, e: std::io::Error| format!("{what} memory for the copy: {e}");
    to.set_len(pages(from.size))
        .map_err(|e| fail("taking", e))?;
    let target = to.try_clone().map_err(|e| fail("opening", e))?;
    let given_up = Arc::new(AtomicBool::new(false));
    let stop = given_up.clone();
    let name = from.name.clone();
    let (sender, receiver) = channel();
    let work = move || {
        let end = copy_blocks(&from, &target, &stop, &sender);
        // Nobody may wait any more. The files are closed before whoever waits goes on.
        drop((from, target));
        let _ = sender.send(Message::End(end));
    };
    let started = process::start_thread(Box::new(work)).map_err(|e| e.to_string());
    let mut copied = 0;
    let mut heard = clock::since_boot();
    let end = started.and_then(|()| {
        loop {
            match receiver.recv_timeout(LOOK) {
                Ok(Message::End(end)) => break end,
                Ok(Message::Done(bytes)) => {
                    copied = bytes;
                    heard = clock::since_boot();
                }
                Err(RecvTimeoutError::Timeout) if clock::since_boot() < heard + STALL => {}
                Err(_) => break Err(stalled(&name, copied)),
            }
            show(copied);
        }
    });
    if end.is_err() {
        given_up.store(true, Ordering::Relaxed);
        // The memory comes back though the thread may hold the file for ever.
        let _ = to.set_len(0);
    }
    end
}

/// As whole pages.
pub fn pages(size: u64) -> u64 {
    size.div_ceil(4096).saturating_mul(4096)
}

fn stalled(name: &str, at: u64) -> String {
    let seconds = STALL.as_secs();
    format!("reading {name} at byte {at}: no answer for {seconds} s")
}

fn copy_blocks(
    from: &Source,
    to: &File,
    given_up: &AtomicBool,
    sender: &Sender<Message>,
) -> Result<(), String> {
    // A larger read-ahead; without it the copy is slower and no worse.
    let _ = fadvise(&from.file, 0, None, Advice::Sequential);
    let mut block = vec![0; BLOCK];
    let mut at = 0;
    while at < from.size {
        let rest = usize::try_from(from.size - at).unwrap_or(BLOCK).min(BLOCK);
        let read = block::read_some_at(&from.file, at, &mut block[..rest]);
        let n = match read {
            Ok(0) => {
                let size = Bytes(from.size);
                return Err(format!("{} ends at byte {at} of {size}", from.name));
            }
            Ok(n) => n,
            Err(e) => {
                let why = crate::sys::Error::new("reading", &from.name, e);
                return Err(format!("{why}, at byte {at}"));
            }
        };
        if given_up.load(Ordering::Relaxed) {
            return Err(String::new());
        }
        to.write_all_at(&block[..n], at)
            .map_err(|e| format!("writing the copy to memory at byte {at}: {e}"))?;
        // What is copied is not read again: the memory of two images may not be there.
        let _ = fadvise(&from.file, at, NonZeroU64::new(n as u64), Advice::DontNeed);
        at += n as u64;
        if sender.send(Message::Done(at)).is_err() {
            return Err(String::new());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn source(file: File, size: u64) -> Source {
        let name = "LiveOS/squashfs.img on /dev/sdz1".to_owned();
        Source { file, name, size }
    }

    #[test]
    fn every_byte_is_copied_and_the_rest_of_the_page_is_zero() {
        let bytes: Vec<u8> = (0..(3 << 20) + 4097u32).map(|n| (n % 251) as u8).collect();
        let to = file(b"");
        let mut seen = Vec::new();
        let from = source(file(&bytes), bytes.len() as u64);
        copy(from, &to, &mut |done| seen.push(done)).unwrap();
        let mut copied = vec![1; bytes.len() + 4095];
        to.read_exact_at(&mut copied, 0).unwrap();
        assert_eq!(to.metadata().unwrap().len(), copied.len() as u64);
        assert!(copied[..bytes.len()] == bytes && copied[bytes.len()..].iter().all(|b| *b == 0));
        assert!(seen.is_sorted() && seen.contains(&(1 << 20)), "{seen:?}");
    }

    #[test]
    fn an_end_before_the_end_is_named_with_its_place_and_frees_the_memory() {
        let to = file(b"");
        let from = source(file(&[7; 5000]), 9000);
        let why = copy(from, &to, &mut |_| ()).unwrap_err();
        assert_eq!(
            why,
            "LiveOS/squashfs.img on /dev/sdz1 ends at byte 5000 of 8.8 KiB"
        );
        assert_eq!(to.metadata().unwrap().len(), 0);
    }

    #[test]
    fn a_read_error_names_device_file_and_place() {
        // Reading one's own memory at 0, where nothing is, is EIO.
        let broken = File::open("/proc/self/mem").unwrap();
        let to = file(b"");
        let why = copy(source(broken, 4096), &to, &mut |_| ()).unwrap_err();
        let expected = "reading LiveOS/squashfs.img on /dev/sdz1: Input/output error, at byte 0";
        assert_eq!(why, expected);
        assert_eq!(to.metadata().unwrap().len(), 0);
    }
}
