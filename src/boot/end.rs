//! The end: the stack is taken apart, so that each file system is clean, then the machine
//! ends. docs/shutdown.md is the contract with the inits that call it.
//!
//! It is the last thing that runs, so it hangs on nothing: what may hang in the kernel is
//! done in a child with a limit, and all of that in one more child, so that not even a crash
//! of ours keeps the machine from ending.

use super::apart::take_apart;
use super::limits::{Writing, once, sync};
use super::machine::Machine;
use super::processes::end_processes;
use crate::layout::{EJECT, LEFT_JSON, Left, RUN_DIR};
use crate::plan::end::{Caller, Verb, decide_refusal, decide_verb};
use crate::plan::process::Round;
use crate::sys::bounded::bounded;
use crate::sys::{Error, block, kmsg, mount, power, process};
use std::io::Write;
use std::path::Path;
use std::time::Duration;
use sys_mount::MountFlags;

/// For all of it; as long again while something gets written.
const ALL: Duration = Duration::from_secs(120);

/// The face: `words` are those behind the program's name.
pub fn run(words: &[String]) -> i32 {
    let first = process::is_first();
    let machine = Machine::running();
    let verb = match decide_verb(first, words) {
        Ok(verb) => verb,
        Err(word) => {
            complain(&format!(
                "'{word}' is none of poweroff, reboot, halt and kexec"
            ));
            return 2;
        }
    };
    if !first && !machine.run.join(RUN_DIR).exists() {
        complain("this system was not booted through liveroot; nothing done");
        return 1;
    }
    let caller = Caller {
        first,
        root: rustix::process::geteuid().is_root(),
        by_init: process::own_and_parent()[1] == 1,
        // As sd_booted(3) tells.
        systemd: machine.run.join("systemd/system").is_dir(),
    };
    if let Some(why) = decide_refusal(caller, verb) {
        complain(why);
        return 1;
    }
    process::ignore_signals();
    mount_tables(&machine);
    let mut writing = Writing::new(&machine);
    // Only the child logs: it closes what was open before, and the log opens once.
    let done = bounded(ALL, None, &mut || writing.moves(), &mut || {
        kmsg::KmsgLog::open(&machine.dev).install();
        let _rate_limit = kmsg::RateLimitLifted::lift(&machine.proc);
        end_all(&machine, verb.is_none());
        Ok(())
    });
    kmsg::KmsgLog::open(&machine.dev).install();
    if let Err(e) = done {
        let what = Error::new("taking apart", "the live system", e);
        log::error!("{what}; the machine ends all the same");
        sync(&machine);
    }
    verb.map_or(0, |verb| end_machine(first, verb))
}

/// The kernel's tables: `umount -a` before us takes them away, and without them nothing is
/// known of processes and mounts.
fn mount_tables(machine: &Machine) {
    for (fstype, at, sign) in [
        ("proc", &machine.proc, "mounts"),
        ("sysfs", &machine.sys, "class"),
    ] {
        if at.join(sign).symlink_metadata().is_err() {
            let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
            if let Err(e) = mount::mount_plain(fstype, at, flags, "") {
                complain(&e.to_string());
            }
        }
    }
}

fn end_machine(first: bool, verb: Verb) -> i32 {
    let how = match verb {
        Verb::Poweroff => power::End::PowerOff,
        Verb::Reboot => power::End::Restart,
        Verb::Halt => power::End::Halt,
        Verb::Kexec => power::End::Kexec,
    };
    let mut refused = power::end(how);
    if verb == Verb::Kexec {
        log::error!("no kernel was loaded by kexec(8) ({refused}); rebooting");
        refused = power::end(power::End::Restart);
    }
    log::error!("the kernel refuses to end the machine: {refused}");
    if first {
        process::idle();
    }
    1
}

fn complain(text: &str) {
    // Nobody is left to be told.
    let _ = writeln!(std::io::stderr(), "liveroot-init: {text}");
}

/// Everything but the machine's own end.
fn end_all(machine: &Machine, caller_goes_on: bool) {
    let left = read_left(machine);
    let synced = sync(machine);
    let mut undying = Vec::new();
    end_processes(machine, caller_goes_on, Round::First, &mut undying);
    // What they wrote when they were asked to end. One that hung would hang again.
    let _ = synced && sync(machine);
    let stalled = &mut || end_processes(machine, caller_goes_on, Round::Last, &mut undying);
    let ended = take_apart(machine, &left, stalled);
    for trouble in &ended.troubles {
        log::error!("{trouble}");
    }
    if ended.closed {
        log::info!("saved changes are written and closed");
    }
    eject(machine, &left);
    log::info!("the live system is taken apart");
}

/// What boot left; systemd-shutdown(8) keeps /run, but its place may be the old root's.
fn read_left(machine: &Machine) -> Left {
    let file = Path::new(RUN_DIR).join(LEFT_JSON);
    let places = [machine.run.clone(), machine.root.join("oldroot/run")];
    let text = places
        .iter()
        .find_map(|run| std::fs::read(run.join(&file)).ok());
    let left = text.and_then(|text| serde_json::from_slice(&text).ok());
    left.unwrap_or_else(|| {
        log::warn!("no {LEFT_JSON}: file systems are unmounted, no session is closed");
        Left::default()
    })
}

fn eject(machine: &Machine, left: &Left) {
    let asked = left.eject || machine.run.join(RUN_DIR).join(EJECT).exists();
    let device = left.medium.as_ref().map_or("", |m| m.device.as_str());
    let Some(name) = device.strip_prefix("/dev/sr").filter(|_| asked) else {
        return;
    };
    let node = machine.dev.join(format!("sr{name}"));
    if let Err(e) = once(machine, &mut || block::eject(&node)) {
        let busy = "an init that stays uses the disc until the end";
        let why = (e == libc::EBUSY).then(|| busy.to_owned());
        let error = Error::new("ejecting the disc of", device, e);
        log::error!(
            "{}",
            Error {
                kernel: why,
                ..error
            }
        );
    }
}
