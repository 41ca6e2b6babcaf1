//! Calls of the end that may hang in the kernel: each has a limit, and longer while the
//! kernel gets on.

use super::machine::Machine;
use crate::plan::end::{swapped, unwritten};
use crate::sys::Error;
use crate::sys::bounded::bounded;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Duration;

/// For one call of the kernel; as long again while something gets written.
const CALL: Duration = Duration::from_secs(10);

/// Whether the kernel still gets something written, or read back from swap.
#[derive(Debug)]
pub struct Writing {
    proc: PathBuf,
    left: u64,
}

impl Writing {
    /// From now on.
    pub fn new(machine: &Machine) -> Self {
        let proc = machine.proc.clone();
        let mut writing = Writing { proc, left: 0 };
        writing.left = writing.gather();
        writing
    }

    fn gather(&self) -> u64 {
        let text = |name| std::fs::read_to_string(self.proc.join(name)).unwrap_or_default();
        unwritten(&text("meminfo")).saturating_add(swapped(&text("swaps")))
    }

    /// Whether less is left than the last time.
    pub fn moves(&mut self) -> bool {
        let now = self.gather();
        let fell = now < self.left && now > 0;
        self.left = now;
        fell
    }
}

/// One call.
pub fn once(machine: &Machine, work: &mut dyn FnMut() -> Result<(), i32>) -> Result<(), i32> {
    once_with(machine, None, work)
}

/// One call that needs a descriptor.
pub fn once_with(
    machine: &Machine,
    needs: Option<BorrowedFd<'_>>,
    work: &mut dyn FnMut() -> Result<(), i32>,
) -> Result<(), i32> {
    let mut writing = Writing::new(machine);
    bounded(CALL, needs, &mut || writing.moves(), work)
}

/// sync(2); false when it was given up.
pub fn sync(machine: &Machine) -> bool {
    let synced = once(machine, &mut || {
        nix::unistd::sync();
        Ok(())
    });
    if let Err(e) = synced {
        log::error!("{}", Error::new("writing out", "all file systems", e));
    }
    synced.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_falls_moves() {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::below(dir.path().into());
        std::fs::create_dir_all(&machine.proc).unwrap();
        let say = |dirty: u32, swapped: u32| {
            let meminfo = format!("Dirty: {dirty} kB\nWriteback: 1 kB\n");
            std::fs::write(machine.proc.join("meminfo"), meminfo).unwrap();
            let swaps = format!("Filename Type Size Used Priority\n/swap file 99 {swapped} -2\n");
            std::fs::write(machine.proc.join("swaps"), swaps).unwrap();
        };
        say(100, 50);
        let mut writing = Writing::new(&machine);
        assert!(!writing.moves(), "what a dead stick was to get stays");
        say(99, 50);
        assert!(writing.moves());
        say(99, 10);
        assert!(writing.moves(), "swapoff reads back");
        assert!(!writing.moves());
        say(200, 10);
        assert!(!writing.moves());
    }
}
