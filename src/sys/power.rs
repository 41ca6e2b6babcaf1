//! The machine as a whole: its CPUs, and its end.

use nix::sys::reboot::{RebootMode, reboot};

/// Writes everything out and switches the machine off. Returns only when the kernel
/// refused (we are not PID 1's equal, or lack the capability).
pub fn power_off() -> nix::Error {
    nix::unistd::sync();
    match reboot(RebootMode::RB_POWER_OFF) {
        Err(e) => e,
        Ok(never) => match never {},
    }
}

/// How many CPUs are online; at least one.
pub fn online_cpus() -> usize {
    // SAFETY: sysconf takes a number and returns one.
    let n = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    usize::try_from(n).unwrap_or(1).max(1)
}
