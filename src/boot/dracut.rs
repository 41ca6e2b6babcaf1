//! A step of dracut's initramfs: the same story, up to the root at /sysroot. dracut enters it.
//!
//! dracut-module/ is the caller. The words come by standard input, as dracut's getcmdline
//! prints them: they stand in more places than /proc/cmdline (dracut.cmdline(7)).

use super::failure::Failure;
use super::gather;
use super::leave::leave_behind;
use super::loader::Loader;
use super::machine::Machine;
use super::page;
use super::report::Report;
use super::{LAST_INSERTIONS, Told, tell};
use crate::plan::init::is_systemd;
use crate::request::said::{self, Said};
use crate::request::{Request, decide_request_with_udev};
use crate::sys::turn::Turn;
use crate::sys::{clock, kmsg, mount, process};
use std::fs::File;
use std::io::{Read, Write};
use std::time::Duration;

/// More than any command line: the kernel's own has 2,048 bytes on x86, files of dracut's are
/// short.
const WORDS: u64 = 64 << 10;

/// What the child says when the root stands, and when it has shown why not.
const STANDS: &[u8] = b"+";
const FAILED: &[u8] = b"-";

/// The face: 0 when the root is at /sysroot, else 1, once a page has said why. As with PID 1
/// the work is a child's: a thread that hangs in a broken disk's driver must not keep dracut.
/// `arguments` are those behind `dracut`: `--since=SECONDS`, and the device or file that root=
/// does not name.
pub fn run(arguments: &[String]) -> i32 {
    let machine = Machine::running();
    let words = read_words();
    let request = decide_request_with_udev(&words);
    let _turn = match lock(&machine, request.timeout.unwrap_or(request.retry)) {
        Ok(turn) => turn,
        Err(why) => {
            page::show(&machine, &format!("\n {why}; dracut goes on.\n"));
            return 1;
        }
    };
    if stands(&machine) {
        return 0;
    }
    let (since, medium) = read_arguments(arguments);
    let mut request = request.in_dracut(clock::since_boot(), since);
    if let Some(medium) = medium {
        request = request.with_medium(medium);
    }
    let parameters = gather::parameters(&words);
    let said = process::run_in_child(|pipe| step_in_child(&machine, &request, parameters, pipe));
    let failure = match said.as_deref() {
        Ok(STANDS) => return 0,
        Ok(FAILED) => return 1,
        Ok(_) => Failure::AgentDied,
        Err(e) => Failure::Handoff(e.clone()),
    };
    page::show(&machine, &page::render(&failure, &request, &[], None));
    1
}

/// When dracut began to wait for the same device (seconds since the kernel's start), and the
/// medium.
fn read_arguments(arguments: &[String]) -> (Option<Duration>, Option<&str>) {
    let (mut since, mut medium) = (None, None);
    for argument in arguments {
        match argument.strip_prefix("--since=") {
            Some(seconds) => since = seconds.parse().ok().map(Duration::from_secs),
            None => medium = Some(argument.as_str()),
        }
    }
    (since, medium)
}

/// The words, as dracut's getcmdline gives them to standard input.
pub fn read_words() -> Vec<Said> {
    let mut line = Vec::new();
    // Without words there is no root=, and the page says so.
    let _ = std::io::stdin().take(WORDS).read_to_end(&mut line);
    said::split(&line)
}

/// What a start may take behind its wait for devices: a check of the medium and a copy of it,
/// of which each may take minutes.
const WORK: Duration = Duration::from_secs(900);

/// The longest wait for another start's devices that is waited for here.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Ventoy calls us beside dracut's hook: one after the other, and the second finds the root
/// there. `devices` is how long the other one may wait for its devices. Without the file each is
/// on its own, as when it is called once.
///
/// # Errors
/// That the other one does not end; in words.
fn lock(machine: &Machine, devices: Duration) -> Result<Option<Turn>, String> {
    let path = machine.run.join("initramfs/.liveroot.lock");
    let made = std::fs::create_dir_all(machine.run.join("initramfs"));
    let Ok(file) = made.and_then(|()| File::create(&path)) else {
        return Ok(None);
    };
    let say = || {
        let other = "another start of liveroot, which is under way";
        page::show(machine, &format!("\n Waiting for {other}.\n"));
    };
    match Turn::wait(file, devices.min(DAY) + WORK, &say) {
        Err(libc::ETIMEDOUT) => Err(format!(
            "another start of liveroot, which holds {}, does not end",
            path.display()
        )),
        turn => Ok(turn.ok()),
    }
}

/// Whether something is mounted at /sysroot.
fn stands(machine: &Machine) -> bool {
    !mount::shown_number(&machine.proc, &machine.sysroot).is_empty()
}

fn step_in_child(
    machine: &Machine,
    request: &Request,
    parameters: Vec<(String, Option<String>)>,
    mut pipe: File,
) {
    kmsg::KmsgLog::open(&machine.dev).install();
    page::show_panics(machine);
    let rate_limit = kmsg::RateLimitLifted::lift(&machine.proc);
    let mut report = Report::new(request);
    let loader = Loader::start(machine, parameters, request.blacklist.clone(), &mut report);
    let outcome = match tell(machine, request, &loader, &mut report) {
        Ok(told) => {
            leave(machine, &told, &mut report);
            STANDS
        }
        Err(failure) => {
            log::error!("{}: {failure}", failure.id());
            report.write(machine);
            // The page of the search is on the screen, with the devices that were seen.
            if !matches!(failure, Failure::MediumNotFound) {
                let notes = page::notes(&report, &loader.failures());
                let page = page::render(&failure, request, &notes, None);
                page::show(machine, &page);
                page::keep(machine, &failure, None, &page);
            }
            FAILED
        }
    };
    drop(rate_limit);
    // dracut hears of it and goes on; nothing is left to do here if it does not.
    let _ = pipe.write_all(outcome);
    drop(pipe);
    loader.settle(LAST_INSERTIONS);
}

/// As in our own initramfs, but that mounts and init are dracut's to move and to start.
fn leave(machine: &Machine, told: &Told, report: &mut Report) {
    leave_behind(
        machine,
        is_systemd(&told.handoff.resolved),
        &told.left,
        report,
    );
    report.step("handoff");
    report.write(machine);
    page::show_notices(machine, &report.notices);
    log::info!("the root stands at {}", machine.sysroot.display());
}
