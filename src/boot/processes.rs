//! Ends what still runs, so that nothing holds a file system.

use super::machine::Machine;
use crate::plan::process::{Process, Round, decide_victims, parse_stat};
use crate::sys::bounded::{signal, wait_gone};
use crate::sys::{clock, process};
use nix::sys::signal::Signal;
use std::time::Duration;

/// For all processes together, to end by themselves.
const ASKED: Duration = Duration::from_secs(10);

/// Likewise, after each SIGKILL: who stays longer hangs in the kernel.
const ENDED: Duration = Duration::from_secs(3);

/// Asks, then ends. Those that start meanwhile are found by looking again. `undying` are
/// those that hang in the kernel: nobody waits for them a second time.
pub fn end_processes(
    machine: &Machine,
    caller_goes_on: bool,
    round: Round,
    undying: &mut Vec<i32>,
) {
    // The one that works, and the one that waits for it.
    let ourselves = process::own_and_parent();
    let look = |undying: &[i32]| {
        let mut victims = decide_victims(&gather(machine), &ourselves, caller_goes_on, round);
        victims.retain(|victim| !undying.contains(victim));
        victims
    };
    for (signals, patience) in [
        // SIGHUP is what shells heed; SIGCONT wakes those that were stopped.
        (
            [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGCONT].as_slice(),
            ASKED,
        ),
        (&[Signal::SIGKILL], ENDED),
        (&[Signal::SIGKILL], ENDED),
    ] {
        let victims = look(undying);
        if victims.is_empty() {
            return;
        }
        for (victim, what) in victims
            .iter()
            .flat_map(|v| signals.iter().map(move |s| (v, s)))
        {
            signal(*victim, *what);
        }
        let deadline = clock::since_boot() + patience;
        for victim in victims {
            wait_gone(victim, deadline.saturating_sub(clock::since_boot()));
        }
    }
    for pid in look(undying) {
        undying.push(pid);
        let name = std::fs::read_to_string(machine.proc.join(format!("{pid}/comm")));
        log::error!(
            "process {pid} ({}) does not end",
            name.unwrap_or_default().trim()
        );
    }
}

/// All processes.
pub fn gather(machine: &Machine) -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir(&machine.proc) else {
        return Vec::new();
    };
    let look = |name: &str| {
        let pid = name.parse().ok()?;
        let dir = machine.proc.join(name);
        let stat = std::fs::read(dir.join("stat")).ok()?;
        let command = std::fs::read(dir.join("cmdline")).unwrap_or_default();
        Some(Process {
            pid,
            stat: parse_stat(&String::from_utf8_lossy(&stat))?,
            storage: command.first() == Some(&b'@'),
        })
    };
    entries
        .flatten()
        .filter_map(|e| look(e.file_name().to_str()?))
        .collect()
}
