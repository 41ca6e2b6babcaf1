//! One after the other, by a lock on a file: flock(2).

use super::bounded::bounded;
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::os::fd::AsFd;
use std::time::Duration;

/// Held until it is dropped. Children that are still there hold it no longer than that: the
/// lock belongs to the open file, and is given back for all who share it.
#[derive(Debug)]
pub struct Turn(File);

impl Turn {
    /// Waits for whoever has it, at most for `limit`; `when_not_free` is called first when somebody
    /// has. A child waits, and takes it for all who share the file: whoever forks later wants no
    /// threads.
    ///
    /// # Errors
    /// The errno; `ETIMEDOUT` when it was not given back in time.
    pub fn wait(file: File, limit: Duration, when_not_free: &dyn Fn()) -> Result<Self, i32> {
        let take = |how| flock(&file, how).map_err(rustix::io::Errno::raw_os_error);
        if take(FlockOperation::NonBlockingLockExclusive) == Err(libc::EWOULDBLOCK) {
            when_not_free();
            let mut wait = || take(FlockOperation::LockExclusive);
            bounded(limit, Some(file.as_fd()), &mut || false, &mut wait)?;
        }
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
    use std::sync::atomic::{AtomicBool, Ordering};

    const LIMIT: Duration = Duration::from_secs(60);

    #[test]
    fn whoever_does_not_give_it_back_is_not_waited_for_for_ever_and_that_is_said() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || File::open(file.path()).unwrap();
        let turn = Turn::wait(open(), LIMIT, &|| ()).unwrap();
        let said = AtomicBool::new(false);
        let say = || said.store(true, Ordering::SeqCst);
        let late = Turn::wait(open(), Duration::from_millis(50), &say);
        assert_eq!(
            (late.err(), said.into_inner()),
            (Some(libc::ETIMEDOUT), true)
        );
        let giving_back = std::thread::spawn(move || drop(turn));
        let turn = Turn::wait(open(), LIMIT, &|| ()).unwrap();
        giving_back.join().unwrap();
        let try_it = || flock(open(), FlockOperation::NonBlockingLockExclusive);
        assert!(try_it().is_err(), "what the child took is ours");
        drop(turn);
        assert!(try_it().is_ok());
    }

    #[test]
    fn a_turn_that_is_over_is_free_though_the_file_is_still_open_elsewhere() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || File::open(file.path()).unwrap();
        let held = open();
        let shared = held.try_clone().unwrap();
        let turn = Turn::wait(held, LIMIT, &|| panic!("it is free")).unwrap();
        let try_it = || flock(open(), FlockOperation::NonBlockingLockExclusive);
        assert!(try_it().is_err());
        drop(turn);
        assert!(try_it().is_ok());
        drop(shared);
    }
}
