//! The boot, in the order in which it happens.
//!
//! PID 1 keeps to itself: it forks, hears from the child which root and init are to be
//! entered, and enters them. The child is the boot; its threads may hang in the driver of
//! a broken disk without holding up PID 1 ([`process::run_in_child`]).
#![forbid(unsafe_code)]

pub mod early;
pub mod examine;
pub mod failure;
pub mod gather;
pub mod handoff;
pub mod image;
pub mod loader;
pub mod machine;
pub mod medium;
pub mod page;
pub mod probe;
pub mod report;
pub mod root;
pub mod upper;

use crate::layout;
use crate::request::{Request, Upper, decide_request};
use crate::sys::{clock, console, kmsg, process};
use failure::Failure;
use handoff::Handoff;
use machine::Machine;
use report::Report;
use std::fs::File;
use std::io::Write;

/// The face of PID 1: boots, and never returns.
pub fn run_as_init(arguments: &[std::ffi::OsString]) -> ! {
    let began = (clock::wall(), clock::since_boot());
    let machine = Machine::running();
    let early = early::mount_kernel_filesystems(&machine);
    console::ensure_standard_fds(&machine.dev);
    let said = process::run_in_child(|pipe| boot_in_child(&machine, early, pipe));
    let handoff = said.ok().and_then(|bytes| Handoff::from_bytes(&bytes));
    let failure = match handoff {
        Some(handoff) => Failure::Handoff(handoff::enter(&machine, &handoff, began, arguments)),
        None => Failure::AgentDied,
    };
    let request = decide_request(&gather::words(&machine));
    page::show(&machine, &page::render(&failure, &request, None));
    page::wait_without_hope(&request)
}

/// What the child does: the story, or its failure page, for as long as it takes.
fn boot_in_child(machine: &Machine, early: Vec<crate::sys::Error>, pipe: &mut File) {
    kmsg::KmsgLog::open(&machine.dev).install();
    page::show_panics(machine);
    let rate_limit = kmsg::RateLimitLifted::lift(&machine.proc);
    let words = gather::words(machine);
    let request = decide_request(&words);
    let mut report = Report::new(&request);
    early.iter().for_each(|e| report.warn(e.to_string()));
    let told = tell(machine, &request, gather::parameters(&words), &mut report)
        .and_then(|handoff| leave(machine, handoff, &mut report));
    drop(rate_limit);
    match told {
        // PID 1 hears of it and goes; nothing is left to do here if it does not.
        Ok(handoff) => drop(pipe.write_all(&handoff.to_bytes())),
        Err(failure) => {
            log::error!("{}: {failure}", failure.id());
            page::show(machine, &page::render(&failure, &request, None));
            page::wait_without_hope(&request)
        }
    }
}

/// The boot on one screen.
fn tell(
    machine: &Machine,
    request: &Request,
    parameters: Vec<(String, String)>,
    report: &mut Report,
) -> Result<Handoff, Failure> {
    if let Some(why) = &request.refusal {
        return Err(Failure::Words(why.clone()));
    }
    let manifest = gather::manifest(machine, report);
    let wanted = medium::decide_wanted(request, manifest.as_ref())?;
    log::info!(
        "version {}, looking for {}",
        layout::VERSION,
        medium::describe(&wanted)
    );
    request.notices.iter().for_each(|n| report.warn(n.clone()));
    report.step("words");

    let loader = loader::Loader::start(machine, parameters, request.blacklist.clone(), report);
    let found = medium::find(machine, request, wanted, &loader, report)?;
    report.step("medium");

    let image = image::attach(machine, found, report)?;
    report.step("image");

    let Upper::Tmpfs(size) = &request.upper;
    let upper = upper::mount_tmpfs(machine, size, report)?;
    report.step("upper");

    root::mount(machine, &loader, &upper, report)?;
    report.step("root");

    report.modules = loader.records();
    Ok(image.handoff)
}

/// The report is left behind, the mounts go into the new root, the initramfs is freed.
fn leave(machine: &Machine, handoff: Handoff, report: &mut Report) -> Result<Handoff, Failure> {
    let now = clock::since_boot();
    log::info!(
        "starting {} {}.{:02} s after the kernel",
        handoff.init,
        now.as_secs(),
        now.subsec_millis() / 10
    );
    report.step("handoff");
    report.write(machine);
    handoff::move_mounts(machine).map_err(Failure::Handoff)?;
    if let Err(e) = process::free_initramfs(&machine.root) {
        log::warn!("{e}");
    }
    Ok(handoff)
}
