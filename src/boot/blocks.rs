//! Reads a medium, or an image on it, from one end to the other, in a thread: a disk may die in
//! the middle of it, and whoever waits has a limit.

use crate::sys::{Error, block, clock, process};
use crate::units::Bytes;
use rustix::fs::{Advice, fadvise};
use std::fs::File;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Read at a time, bytes; a multiple of `isomd5::CHUNK`. Measured: 512 bytes, as dracut's copy
/// has it, run at a sixth of the rate, and more than this at the same.
const BLOCK: usize = 1 << 20;

/// For one block. The kernel gives up a bad spot of a disk or disc after five tries more, of 30 s
/// each (`SD_TIMEOUT`, `SD_MAX_RETRIES`, drivers/scsi/sd.h): what says nothing for longer is dead.
pub const SILENCE: Duration = Duration::from_secs(180);

/// Between two looks at how it gets on, while nothing comes.
const LOOK: Duration = Duration::from_millis(500);

/// What comes of reading.
#[derive(Debug)]
pub enum News {
    /// The thread knows what is to be read.
    Ready,
    /// The next bytes.
    Block(Vec<u8>),
    /// A byte that was typed.
    Key(u8),
    /// Time passed.
    Nothing,
    /// All was read.
    End,
    /// It can't be read on.
    Broken(Trouble),
}

/// Why something can't be read on, as people read it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Whoever was asked for bytes answers no more.
    #[error("{0}")]
    Silent(String),
    /// The system's words, or what is wrong with the content.
    #[error("{0}")]
    Failed(String),
}

impl From<String> for Trouble {
    fn from(why: String) -> Self {
        Trouble::Failed(why)
    }
}

/// What thread and keyboards say, and on the way back what the thread may fill again: each type
/// of channel is 4 KB of the agent.
#[derive(Debug)]
pub enum Message {
    /// See [`News`].
    Ready,
    /// Likewise.
    Block(Vec<u8>),
    /// Likewise.
    Key(u8),
    /// The thread is over.
    End(Result<(), String>),
}

/// The reading that goes on.
#[derive(Debug)]
pub struct Reading {
    heard: Receiver<Message>,
    told: Sender<Message>,
    empty: Sender<Message>,
    limit: Duration,
    /// When the thread said something last, since the kernel's start.
    answered: Duration,
}

/// What the thread does: it tells [`Giver`] what it reads. What it holds is closed before its
/// end is told.
pub type Work = Box<dyn FnOnce(&Giver) -> Result<(), String> + Send>;

impl Reading {
    /// Starts the thread; each of its answers may take `limit`.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(limit: Duration, work: Work) -> Result<Self, String> {
        let (told, heard) = channel();
        let (empty, buffers) = channel();
        // One is read while the other is used.
        for _ in 0..2 {
            let _ = empty.send(Message::Block(vec![0; BLOCK]));
        }
        let sender = told.clone();
        let work = move || {
            let giver = Giver { sender, buffers };
            let end = work(&giver);
            // Nobody may wait any more.
            let _ = giver.sender.send(Message::End(end));
        };
        process::start_thread(Box::new(work)).map_err(|e| e.to_string())?;
        Ok(Reading {
            heard,
            told,
            empty,
            limit,
            answered: clock::since_boot(),
        })
    }

    /// Where keys are to be told.
    pub fn keys(&self) -> Sender<Message> {
        self.told.clone()
    }

    /// The next that comes, waited for until `by` (since the kernel's start) if that is given, and
    /// otherwise for a moment.
    pub fn next(&mut self, by: Option<Duration>) -> News {
        let now = clock::since_boot();
        let by = by.unwrap_or(now + LOOK);
        let silent = self.answered + self.limit;
        let heard = self.heard.recv_timeout(by.min(silent).saturating_sub(now));
        let news = match heard {
            Ok(Message::Key(key)) => return News::Key(key),
            Ok(Message::Ready) => News::Ready,
            Ok(Message::Block(bytes)) => News::Block(bytes),
            Ok(Message::End(Ok(()))) => News::End,
            Ok(Message::End(Err(why))) => News::Broken(Trouble::Failed(why)),
            Err(_) if clock::since_boot() < silent => return News::Nothing,
            Err(_) => {
                let why = format!("no answer for {} s", self.limit.as_secs());
                return News::Broken(Trouble::Silent(why));
            }
        };
        self.answered = clock::since_boot();
        news
    }

    /// Gives back what was used, to be filled again.
    pub fn give_back(&self, bytes: Vec<u8>) {
        // The thread may be over.
        let _ = self.empty.send(Message::Block(bytes));
    }
}

/// Fills the beginning of a buffer with the bytes at an offset; how many.
pub type Fill<'a> = dyn FnMut(u64, &mut [u8]) -> Result<usize, String> + 'a;

/// The thread's side.
#[derive(Debug)]
pub struct Giver {
    sender: Sender<Message>,
    buffers: Receiver<Message>,
}

impl Giver {
    /// What is to be read is known.
    pub fn ready(&self) {
        let _ = self.sender.send(Message::Ready);
    }

    /// Gives the bytes from 0 to `length`, as `read` has them. It ends when nobody listens.
    ///
    /// # Errors
    /// Those of `read`, and that it has none before the end.
    pub fn give(&self, length: u64, read: &mut Fill<'_>) -> Result<(), String> {
        let mut at = 0;
        while at < length {
            let Ok(Message::Block(mut bytes)) = self.buffers.recv() else {
                return Ok(());
            };
            let left = usize::try_from(length - at).unwrap_or(BLOCK);
            bytes.resize(left.min(BLOCK), 0);
            let n = read(at, &mut bytes)?;
            bytes.truncate(n);
            at += n as u64;
            if self.sender.send(Message::Block(bytes)).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Reads what is to be copied: the beginning of a buffer, from an offset, so many bytes.
pub type Read = Box<dyn FnMut(u64, &mut [u8]) -> Result<usize, i32> + Send>;

/// What is copied.
#[allow(missing_debug_implementations)]
pub struct Source {
    /// Reads it.
    pub read: Read,
    /// How people call it: `LiveOS/squashfs.img on /dev/sda1`.
    pub name: String,
    /// Length in bytes.
    pub size: u64,
}

impl Source {
    /// An open file or device. What is read is not kept: the memory of two images may not be
    /// there.
    pub fn of_file(file: File, name: String, size: u64) -> Self {
        // A larger read-ahead; without it the copy is slower and no worse.
        let _ = fadvise(&file, 0, None, Advice::Sequential);
        let read = move |at, buffer: &mut [u8]| {
            let n = block::read_some_at(&file, at, buffer)?;
            let _ = fadvise(&file, at, NonZeroU64::new(n as u64), Advice::DontNeed);
            Ok(n)
        };
        Source {
            read: Box::new(read),
            name,
            size,
        }
    }
}

/// Copies all of `from` to the start of `to`, which gets its length, filled up with zeros to
/// whole pages. `show` is called as it gets on, with the bytes that are copied; at least twice
/// a second. Each block may take `limit`.
///
/// # Errors
/// What failed, on what, where. Then `to` holds no memory any more.
pub fn copy(
    from: Source,
    to: &File,
    limit: Duration,
    show: &mut dyn FnMut(u64),
) -> Result<(), Trouble> {
    let copying = copy_all(from, to, limit, show);
    if copying.is_err() {
        let _ = to.set_len(0);
    }
    copying
}

fn copy_all(
    mut from: Source,
    to: &File,
    limit: Duration,
    show: &mut dyn FnMut(u64),
) -> Result<(), Trouble> {
    to.set_len(pages(from.size))
        .map_err(|e| Trouble::Failed(format!("taking memory for the copy: {e}")))?;
    let name = from.name.clone();
    let work = move |giver: &Giver| {
        giver.give(from.size, &mut |at, buffer| match (from.read)(at, buffer) {
            Ok(0) => {
                let size = Bytes(from.size);
                Err(format!("{} ends at byte {at} of {size}", from.name))
            }
            Ok(n) => Ok(n),
            Err(e) => {
                let why = Error::new("reading", &from.name, e);
                Err(format!("{why}, at byte {at}"))
            }
        })
    };
    let mut reading = Reading::start(limit, Box::new(work)).map_err(Trouble::Failed)?;
    let mut copied = 0;
    loop {
        match reading.next(None) {
            News::Block(bytes) => {
                to.write_all_at(&bytes, copied).map_err(|e| {
                    Trouble::Failed(format!("writing the copy to memory at byte {copied}: {e}"))
                })?;
                copied += bytes.len() as u64;
                reading.give_back(bytes);
            }
            News::End => return Ok(()),
            News::Broken(Trouble::Silent(why)) => {
                let why = format!("reading {name} at byte {copied}: {why}");
                return Err(Trouble::Silent(why));
            }
            News::Broken(trouble) => return Err(trouble),
            News::Ready | News::Key(_) | News::Nothing => {}
        }
        show(copied);
    }
}

/// As whole pages.
pub fn pages(size: u64) -> u64 {
    size.div_ceil(4096).saturating_mul(4096)
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
        Source::of_file(file, name, size)
    }

    #[test]
    fn every_byte_is_copied_and_the_rest_of_the_page_is_zero() {
        let bytes: Vec<u8> = (0..(3 << 20) + 4097u32).map(|n| (n % 251) as u8).collect();
        let to = file(b"");
        let mut seen = Vec::new();
        let from = source(file(&bytes), bytes.len() as u64);
        copy(from, &to, SILENCE, &mut |done| seen.push(done)).unwrap();
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
        let why = copy(from, &to, SILENCE, &mut |_| ()).unwrap_err();
        assert_eq!(
            why.to_string(),
            "LiveOS/squashfs.img on /dev/sdz1 ends at byte 5000 of 8.8 KiB"
        );
        assert_eq!(to.metadata().unwrap().len(), 0);
    }

    #[test]
    fn a_read_error_names_device_file_and_place() {
        // Reading one's own memory at 0, where nothing is, is EIO.
        let broken = File::open("/proc/self/mem").unwrap();
        let to = file(b"");
        let why = copy(source(broken, 4096), &to, SILENCE, &mut |_| ()).unwrap_err();
        let expected = "reading LiveOS/squashfs.img on /dev/sdz1: Input/output error, at byte 0";
        assert_eq!(why.to_string(), expected);
        assert_eq!(to.metadata().unwrap().len(), 0);
    }

    #[test]
    fn a_disk_that_falls_silent_is_given_up_with_its_place_and_frees_the_memory() {
        let (answer, asked) = std::sync::mpsc::channel::<()>();
        let source = Source {
            read: Box::new(move |at, buffer| {
                if at > 0 {
                    // Until the test is over.
                    let _ = asked.recv();
                }
                Ok(buffer.len())
            }),
            name: "LiveOS/squashfs.img on /dev/sdz1".to_owned(),
            size: 3 << 20,
        };
        let to = file(b"");
        let mut seen = Vec::new();
        let limit = Duration::from_secs(1);
        let trouble = copy(source, &to, limit, &mut |done| seen.push(done)).unwrap_err();
        let why = "reading LiveOS/squashfs.img on /dev/sdz1 at byte 1048576: no answer for 1 s";
        assert_eq!(trouble, Trouble::Silent(why.to_owned()));
        assert_eq!(to.metadata().unwrap().len(), 0);
        assert!(
            seen.iter().filter(|done| **done == 1 << 20).count() > 1,
            "{seen:?}"
        );
        drop(answer);
    }
}
