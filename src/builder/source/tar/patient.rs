//! Reading from a pipe that may be slow, without missing that the build is to be given up.

use crate::builder::{Watch, watch};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;

/// How long a signal may go unnoticed, in milliseconds: signals restart a read(2) that waits.
const LOOK_FOR_SIGNALS: u16 = 50;

/// A file or pipe. Its errors wrap [`crate::builder::Error`] where the build was given up.
pub struct Patient<'a> {
    file: File,
    watch: &'a dyn Watch,
    /// Bytes read so far, and in all; the second is zero where nobody knows.
    done: u64,
    total: u64,
}

impl<'a> Patient<'a> {
    /// Reads on from where the file stands.
    pub fn new(file: File, watch: &'a dyn Watch) -> Patient<'a> {
        Patient {
            total: file.metadata().map_or(0, |meta| meta.len()),
            file,
            watch,
            done: 0,
        }
    }

    /// The file itself.
    pub fn into_file(self) -> File {
        self.file
    }
}

impl Read for Patient<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            watch::check(self.watch).map_err(io::Error::other)?;
            let mut fds = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::from(LOOK_FOR_SIGNALS)) {
                Ok(0) | Err(nix::Error::EINTR) => {}
                Ok(_) => break,
                Err(errno) => return Err(errno.into()),
            }
        }
        let n = self.file.read(buf)?;
        self.done += n as u64;
        if self.total > 0 {
            self.watch.progress(self.done.min(self.total), self.total);
        }
        Ok(n)
    }
}
