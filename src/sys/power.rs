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

/// How the machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Without power.
    PowerOff,
    /// From the firmware on.
    Restart,
    /// Stands still.
    Halt,
    /// Into the kernel that was loaded for it.
    Kexec,
}

/// Ends the machine, without writing anything out: reboot(2). Returns only when the kernel
/// refused, as it does to kexec without a loaded kernel.
pub fn end(how: End) -> nix::Error {
    let mode = match how {
        End::PowerOff => RebootMode::RB_POWER_OFF,
        End::Restart => RebootMode::RB_AUTOBOOT,
        End::Halt => RebootMode::RB_HALT_SYSTEM,
        End::Kexec => RebootMode::RB_KEXEC,
    };
    match reboot(mode) {
        Err(e) => e,
        Ok(never) => match never {},
    }
}

/// Stops swapping to a file or device; what it holds comes back into memory.
///
/// # Errors
/// The errno; ENOMEM when memory has no room for it.
pub fn stop_swap(path: &std::ffi::CStr) -> Result<(), i32> {
    // SAFETY: a string that ends with NUL.
    match unsafe { libc::swapoff(path.as_ptr()) } {
        0 => Ok(()),
        _ => Err(super::loopdev::errno()),
    }
}

/// How many CPUs are online; at least one.
pub fn online_cpus() -> usize {
    // SAFETY: sysconf takes a number and returns one.
    let n = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    usize::try_from(n).unwrap_or(1).max(1)
}
