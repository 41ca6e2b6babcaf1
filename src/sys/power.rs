//! The end: power off, and memory.

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

/// Memory of the machine in bytes, and how many CPUs are online.
pub fn memory_and_cpus() -> (u64, usize) {
    let info = rustix::system::sysinfo();
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    (info.totalram as u64 * u64::from(info.mem_unit.max(1)), cpus)
}
