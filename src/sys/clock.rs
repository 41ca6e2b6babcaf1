//! The clocks of a boot.

use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

fn read(id: ClockId) -> Duration {
    // The two clocks read here exist on every kernel: a failure is a zero in a report.
    clock_gettime(id).map(Duration::from).unwrap_or_default()
}

/// Time since the kernel started (CLOCK_MONOTONIC), the time base of report and plan.
pub fn since_boot() -> Duration {
    read(ClockId::CLOCK_MONOTONIC)
}

/// Wall clock since 1970 (CLOCK_REALTIME); before the first time synchronisation it may
/// be wrong, so it is handed on and never decided by.
pub fn wall() -> Duration {
    read(ClockId::CLOCK_REALTIME)
}
