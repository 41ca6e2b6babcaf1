//! One after the other, by a lock on a file: flock(2).

use rustix::fs::{FlockOperation, flock};
use std::fs::File;

/// Held until it is dropped. Children that are still there hold it no longer than that: the
/// lock belongs to the open file, and is given back for all who share it.
#[derive(Debug)]
pub struct Turn(File);

impl Turn {
    /// Waits for whoever has it; that one's own waits have their limits.
    pub fn wait(file: File) -> rustix::io::Result<Self> {
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(Turn(file))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Closing it, at the end of all children, gives it back too.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_that_is_over_is_free_though_the_file_is_still_open_elsewhere() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || File::open(file.path()).unwrap();
        let held = open();
        let shared = held.try_clone().unwrap();
        let turn = Turn::wait(held).unwrap();
        let try_it = || flock(open(), FlockOperation::NonBlockingLockExclusive);
        assert!(try_it().is_err());
        drop(turn);
        assert!(try_it().is_ok());
        drop(shared);
    }
}
