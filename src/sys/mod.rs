//! The kernel, one subsystem a file. The only `unsafe` of the package lives here.
#![allow(unsafe_code)]

pub mod barrier;
pub mod block;
pub mod borrow;
pub mod bounded;
pub mod clock;
pub mod compat;
pub mod console;
pub mod devmapper;
pub mod interrupt;
pub mod keys;
pub mod kmsg;
pub mod loopdev;
pub mod memory;
pub mod module;
pub mod mount;
pub mod power;
pub mod process;
pub mod turn;
pub mod uevent;

use std::fmt;

/// A call that the system refused: what was being done, on what, and its answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// Present participle, as in "mounting squashfs".
    pub doing: String,
    /// Device, file or mount point.
    pub on: String,
    /// errno(3).
    pub errno: i32,
    /// The kernel's own words, where it gave any.
    pub kernel: Option<String>,
}

impl Error {
    /// From an errno.
    pub fn new(doing: impl Into<String>, on: impl fmt::Display, errno: i32) -> Self {
        Error {
            doing: doing.into(),
            on: on.to_string(),
            errno,
            kernel: None,
        }
    }

    /// From the standard library's error.
    pub fn io(doing: impl Into<String>, on: impl fmt::Display, e: &std::io::Error) -> Self {
        Error::new(doing, on, e.raw_os_error().unwrap_or(libc::EIO))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause = std::io::Error::from_raw_os_error(self.errno).to_string();
        // "No such file (os error 2)": the number says nothing to people.
        let cause = cause.split(" (os error").next().unwrap_or_default();
        write!(f, "{} {}: {cause}", self.doing, self.on)?;
        match &self.kernel {
            Some(text) => write!(f, " ({text})"),
            None => Ok(()),
        }
    }
}
