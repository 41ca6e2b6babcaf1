//! The boot, in the order in which it happens.
//!
//! PID 1 keeps to itself: it forks, hears from the child which root and init are to be
//! entered, and enters them. The child is the boot; its threads may hang in the driver of
//! a broken disk without holding up PID 1 ([`process::run_in_child`]).
#![forbid(unsafe_code)]

pub mod apart;
pub mod ask;
pub mod blocks;
pub mod borrow;
pub mod check;
pub mod check_medium;
pub mod close;
pub mod copy;
pub mod dirs;
pub mod dracut;
pub mod early;
pub mod end;
pub mod examine;
pub mod failure;
pub mod gather;
pub mod generator;
pub mod handoff;
pub mod home;
pub mod hunt;
pub mod image;
pub mod imagefile;
pub mod isoscan;
pub mod leave;
pub mod left;
pub mod limits;
pub mod loader;
pub mod lower;
pub mod machine;
pub mod medium;
pub mod named;
pub mod page;
pub mod partition;
pub mod plymouth;
pub mod probe;
pub mod processes;
pub mod progress;
pub mod report;
pub mod reserve;
pub mod root;
pub mod saved;
pub mod session;
pub mod sessions;
pub mod status;
pub mod tmpfs;
pub mod unpack;
pub mod updates;
pub mod upper;
pub mod watch;
pub mod within;

use crate::layout;
use crate::plan::init::is_systemd;
use crate::request::{Place, Request, decide_request};
use crate::sys::{clock, console, kmsg, process};
use failure::Failure;
use handoff::Handoff;
use loader::Loader;
use machine::Machine;
use report::Report;
use std::fs::File;
use std::io::Write;
use std::time::Duration;

/// The face of PID 1: boots, and never returns.
pub fn run_as_init(arguments: &[std::ffi::OsString]) -> ! {
    let began = (clock::wall(), clock::since_boot());
    let machine = Machine::running();
    let early = early::mount_kernel_filesystems(&machine);
    console::ensure_standard_fds(&machine.dev);
    let said = process::run_in_child(|pipe| boot_in_child(&machine, early, pipe));
    let failure = match said.map(|bytes| Handoff::from_bytes(&bytes)) {
        Ok(Some(handoff)) => Failure::Handoff(handoff::enter(&machine, &handoff, began, arguments)),
        Ok(None) => Failure::AgentDied,
        Err(e) => Failure::Handoff(e),
    };
    // The page's keyboard needs drivers, and PID 1 no threads.
    let _ = process::run_in_child(|_pipe| end_on_page(&machine, &failure));
    let request = decide_request(&gather::words(&machine));
    page::show(&machine, &page::render(&failure, &request, &[], None));
    page::wait_without_hope(&request)
}

/// What the child does: the story, or its failure page, for as long as it takes.
fn boot_in_child(machine: &Machine, early: Vec<crate::sys::Error>, mut pipe: File) {
    kmsg::KmsgLog::open(&machine.dev).install();
    page::show_panics(machine);
    let rate_limit = kmsg::RateLimitLifted::lift(&machine.proc);
    let words = gather::words(machine);
    let request = decide_request(&words);
    let mut report = Report::new(&request);
    early.iter().for_each(|e| report.warn(e.to_string()));
    let parameters = gather::parameters(&words);
    let loader = Loader::start(machine, parameters, request.blacklist.clone(), &mut report);
    let told = tell(machine, &request, &loader, &mut report)
        .and_then(|told| leave(machine, told, &mut report));
    drop(rate_limit);
    match told {
        Ok(handoff) => {
            // PID 1 hears of it and goes; nothing is left to do here if it does not.
            let _ = pipe.write_all(&handoff.to_bytes());
            drop(pipe);
            loader.settle(LAST_INSERTIONS);
        }
        Err(failure) => {
            log::error!("{}: {failure}", failure.id());
            report.write(machine);
            hunt::listen::serve_people(machine, &loader);
            let notes = page::notes(&report, &loader.failures());
            page::show(machine, &page::render(&failure, &request, &notes, None));
            page::wait_without_hope(&request)
        }
    }
}

/// How long the child stays for insertions that go on while the live system starts.
const LAST_INSERTIONS: Duration = Duration::from_secs(30);

/// A page that only people can end, in a child of its own: PID 1 could not go on.
fn end_on_page(machine: &Machine, failure: &Failure) {
    kmsg::KmsgLog::open(&machine.dev).install();
    log::error!("{}: {failure}", failure.id());
    let request = decide_request(&gather::words(machine));
    let mut report = Report::new(&request);
    let loader = Loader::start(machine, Vec::new(), request.blacklist.clone(), &mut report);
    hunt::listen::serve_people(machine, &loader);
    page::show(machine, &page::render(failure, &request, &[], None));
    page::wait_without_hope(&request)
}

/// What a told story leaves to do.
struct Told {
    handoff: Handoff,
    left: layout::Left,
}

/// The boot on one screen.
fn tell(
    machine: &Machine,
    request: &Request,
    loader: &Loader,
    report: &mut Report,
) -> Result<Told, Failure> {
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
    // What was typed is not done: to protect changes, or to drop them.
    for undone in request.misspelt.iter().chain(&request.replaced) {
        report.tell(undone.clone());
    }
    for notice in &request.notices {
        report.warn(notice.clone());
    }
    report.step("words");

    let (mut hunt, medium) = medium::find(machine, request, wanted, loader, report)?;
    report.step("medium");

    let own = medium.own(request, report);
    let found = hunt.find_upper(&medium.name, own.image.as_ref());
    let home = hunt.find_home(&medium.name, found.device());
    report.take_others(hunt.others(found.device().map(|d| &*d.name)));
    loader.stop();
    report.step("search");

    if request.check {
        check_medium::check(machine, loader, &medium.stack.node, report)?;
        report.step("check");
    }

    let stack = copy::copy(machine, request, loader, medium.stack, report)?;
    if report.copy.is_some() {
        report.step("copy");
    }
    let image = image::attach(machine, stack, report)?;
    report.step("image");

    let upper = upper::prepare(machine, request, loader, found, &own, report)?;
    report.step("root");

    let keeps = own.image.is_some() || upper.saved.is_some();
    if let Some(keeper) = home.filter(|_| keeps && request.upper.place != Place::Memory) {
        home::mount(machine, loader, &keeper, request.upper.readonly, report);
        report.step("home");
    }

    report.modules = loader.records();
    Ok(Told {
        handoff: image.handoff,
        left: left::gather(machine, request, own.image, upper.session(), report),
    })
}

/// The report is left behind, the mounts go into the new root, the initramfs is freed.
fn leave(machine: &Machine, told: Told, report: &mut Report) -> Result<Handoff, Failure> {
    let Told { handoff, left } = told;
    let now = clock::since_boot();
    log::info!(
        "starting {} {}.{:02} s after the kernel",
        handoff.init,
        now.as_secs(),
        now.subsec_millis() / 10
    );
    let systemd = is_systemd(&handoff.resolved);
    leave::leave_behind(machine, systemd, &left, report);
    report.step("handoff");
    report.write(machine);
    page::show_notices(machine, &report.notices);
    handoff::move_mounts(machine).map_err(Failure::Handoff)?;
    if !systemd {
        leave::start_watch(machine);
    }
    if let Err(e) = process::free_initramfs(&machine.root) {
        log::warn!("{e}");
    }
    Ok(handoff)
}
