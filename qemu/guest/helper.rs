//! What busybox lacks: extended attributes, a drive that opens, and writes whose errors and times count.
//!
//! Compiled statically by the runner (`trees.rs`) with nothing but the standard library. It
//! runs in the guests, and on the host where partitions are made with their content.

use std::ffi::{CString, c_char, c_int, c_ulong, c_void};
use std::fs::{self, File, OpenOptions};
use std::io::{Error, Result, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::time::Instant;

// SAFETY: as sys/xattr.h and sys/ioctl.h declare them.
unsafe extern "C" {
    fn setxattr(
        path: *const c_char,
        name: *const c_char,
        value: *const c_void,
        size: usize,
        flags: c_int,
    ) -> c_int;
    fn getxattr(path: *const c_char, name: *const c_char, value: *mut c_void, size: usize)
    -> isize;
    fn ioctl(file: c_int, request: c_ulong, ...) -> c_int;
}

/// Of linux/cdrom.h.
const CDROMEJECT: c_ulong = 0x5309;
const CDROM_LOCKDOOR: c_ulong = 0x5329;

/// Of asm-generic/fcntl.h: an open without it locks the drive's door.
const O_NONBLOCK: i32 = 0o4000;

/// One page, and what most file systems call a block.
const BLOCK: usize = 4096;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["setxattr", path, name, value] => set_attribute(path, name, value),
        ["getxattr", path, name] => get_attribute(path, name).map(|value| println!("{value}")),
        ["eject", drive] => eject(drive),
        ["write-on", dir] => write_on(dir),
        ["whole", dir, count] => whole(dir, count),
        ["fill", file] => fill(file),
        ["fill-inodes", dir] => fill_inodes(dir),
        ["measure", kind, ours, bare] => measure(kind, ours, bare),
        _ => Err(Error::other("unknown words")),
    };
    if let Err(error) = done {
        println!("{error}");
        std::process::exit(1);
    }
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(Error::other)
}

fn set_attribute(path: &str, name: &str, value: &str) -> Result<()> {
    let (path, name) = (c_string(path)?, c_string(name)?);
    // SAFETY: both strings end in a zero, the value is as long as is said.
    let done = unsafe {
        setxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            0,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(Error::last_os_error())
    }
}

fn get_attribute(path: &str, name: &str) -> Result<String> {
    let (path, name) = (c_string(path)?, c_string(name)?);
    let mut value = [0u8; 256];
    // SAFETY: both strings end in a zero, the buffer is as long as is said.
    let length = unsafe {
        getxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_mut_ptr().cast(),
            value.len(),
        )
    };
    match usize::try_from(length) {
        Ok(length) => Ok(String::from_utf8_lossy(&value[..length]).into_owned()),
        Err(_) => Err(Error::last_os_error()),
    }
}

/// Opens a CD drive; the kernel refuses it while anybody else has the disc open.
fn eject(drive: &str) -> Result<()> {
    let drive = OpenOptions::new()
        .read(true)
        .custom_flags(O_NONBLOCK)
        .open(drive)?;
    for request in [CDROM_LOCKDOOR, CDROMEJECT] {
        // SAFETY: the file is open for the call; 0, the door's new state, is a number.
        match unsafe { ioctl(drive.as_raw_fd(), request, 0) } {
            0 => {}
            -1 => return Err(Error::last_os_error()),
            status => return Err(Error::other(format!("the drive refuses: {status:#x}"))),
        }
    }
    Ok(())
}

/// What file `number` of [`write_on`] holds: it tells a torn file from a whole one.
fn content(number: usize) -> Vec<u8> {
    format!("file {number} of many\n")
        .into_bytes()
        .into_iter()
        .cycle()
        .take(3 * BLOCK + number)
        .collect()
}

/// Writes file after file for ever; what it says to be synced must never be lost.
fn write_on(dir: &str) -> Result<()> {
    fs::create_dir_all(dir)?;
    for number in 1.. {
        let mut file = File::create(format!("{dir}/{number}"))?;
        file.write_all(&content(number))?;
        file.sync_all()?;
        File::open(dir)?.sync_all()?;
        println!("@@LR synced {number}");
    }
    Ok(())
}

/// Whether the first `count` files of [`write_on`] are there and whole.
fn whole(dir: &str, count: &str) -> Result<()> {
    let count: usize = count.parse().map_err(Error::other)?;
    for number in 1..=count {
        let path = format!("{dir}/{number}");
        let found = fs::read(&path).map_err(|e| Error::other(format!("{path}: {e}")))?;
        if found != content(number) {
            return Err(Error::other(format!("{path} is torn")));
        }
    }
    println!("{count} files are whole");
    Ok(())
}

/// Writes until not one byte more goes in; says how the last one was refused.
fn fill(path: &str) -> Result<()> {
    let mut file = File::create(path)?;
    let block = vec![b'x'; 1 << 20];
    let mut refusal = String::new();
    for size in [1 << 20, BLOCK, 1] {
        loop {
            match file.write(&block[..size]) {
                Ok(0) => return Err(Error::other("nothing written, no error")),
                Ok(_) => {}
                Err(error) => {
                    refusal = error.to_string();
                    break;
                }
            }
        }
    }
    // Blocks that were only promised are asked for now.
    if let Err(error) = file.sync_all() {
        refusal = format!("fsync: {error}");
    }
    println!("{refusal}");
    Ok(())
}

/// Makes empty files until there is no room for one more; says how it was refused.
fn fill_inodes(dir: &str) -> Result<()> {
    fs::create_dir_all(dir)?;
    for number in 0.. {
        if let Err(error) = File::create(format!("{dir}/{number}")) {
            println!("{error}");
            break;
        }
    }
    Ok(())
}

/// How one kind of writing goes: pages of a batch, whether they are in a row, and how many
/// batches are written. Each batch ends with an fsync.
struct Kind {
    pages: usize,
    in_a_row: bool,
    batches: usize,
}

impl Kind {
    fn named(name: &str) -> Result<Kind> {
        let (pages, in_a_row, batches) = match name {
            "sequential" => (256, true, 64),
            "random" => (64, false, 128),
            "fsync" => (1, false, 512),
            _ => return Err(Error::other("unknown kind")),
        };
        Ok(Kind {
            pages,
            in_a_row,
            batches,
        })
    }
}

/// Bytes of the file that random pages are written in.
const RANDOM: usize = 8 << 20;

/// Writes batches to files in two directories in turns, so that whatever else goes on meets
/// both; says the median of each, nanoseconds.
fn measure(kind: &str, ours: &str, bare: &str) -> Result<()> {
    let kind = Kind::named(kind)?;
    let paths = [ours, bare].map(|dir| format!("{dir}/measured"));
    let mut files = Vec::new();
    for path in &paths {
        files.push(prepared(path, !kind.in_a_row)?);
    }
    let mut times = [Vec::new(), Vec::new()];
    let batch = vec![b'm'; kind.pages * BLOCK];
    let mut places = offsets(kind.batches * kind.pages, RANDOM);
    for number in 0..kind.batches {
        let random: Vec<u64> = places.by_ref().take(kind.pages).collect();
        // Neither is always first.
        for which in [number % 2, 1 - number % 2] {
            let begun = Instant::now();
            if kind.in_a_row {
                files[which].write_all_at(&batch, (number * batch.len()) as u64)?;
            } else {
                for place in &random {
                    files[which].write_all_at(&batch[..BLOCK], *place)?;
                }
            }
            files[which].sync_all()?;
            times[which].push(begun.elapsed().as_nanos());
        }
    }
    for path in &paths {
        fs::remove_file(path)?;
    }
    let [ours, bare] = times.map(|mut all| {
        all.sort_unstable();
        all[all.len() / 2]
    });
    println!("{ours} {bare}");
    Ok(())
}

/// A new file; with pages to write over, if asked for.
fn prepared(path: &str, full: bool) -> Result<File> {
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(path)?;
    if full {
        file.write_all(&vec![b'm'; RANDOM])?;
    }
    file.sync_all()?;
    Ok(file)
}

/// Offsets of blocks in a file, the same in each run.
fn offsets(count: usize, length: usize) -> impl Iterator<Item = u64> {
    let blocks = (length / BLOCK) as u64;
    let mut state: u64 = 0x2545_f491_4f6c_dd1d;
    std::iter::repeat_with(move || {
        // xorshift64: Marsaglia, Journal of Statistical Software 8 (14), 2003.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % blocks * BLOCK as u64
    })
    .take(count)
}
