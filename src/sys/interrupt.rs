//! Ctrl-C and SIGTERM, noticed instead of obeyed: the builder ends its tools, removes its
//! scratch directory and leaves by itself.
//!
//! A handler reaches nothing but a static; this flag is the one piece of global state.

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::sync::atomic::{AtomicI32, Ordering};

static CAUGHT: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(signal: libc::c_int) {
    CAUGHT.store(signal, Ordering::Relaxed);
}

/// From now on SIGINT, SIGTERM and SIGHUP are only noted; see [`caught`].
pub fn notice_interrupts() -> nix::Result<()> {
    let action = SigAction::new(
        SigHandler::Handler(note),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler stores to an atomic, which is async-signal-safe, and no
        // other code of the program installs handlers for these signals.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

/// The signal that asked the program to stop, if any came.
pub fn caught() -> Option<i32> {
    match CAUGHT.load(Ordering::Relaxed) {
        0 => None,
        signal => Some(signal),
    }
}
