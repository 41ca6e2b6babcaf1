//! Where writes go: to saved changes, or to memory.

use super::ask;
use super::dirs::UpperDirs;
use super::failure::Failure;
use super::hunt::upper::Found;
use super::loader::Loader;
use super::machine::Machine;
use super::page;
use super::report::Report;
use super::reserve;
use super::root;
use super::saved::{self, Own, Saved};
use super::tmpfs;
use crate::plan::upper::describe_lost;
use crate::request::Request;
use std::time::Duration;

/// The layers of the root, and what they stand on.
#[derive(Debug)]
pub struct Upper {
    /// Directories of the overlay.
    pub dirs: UpperDirs,
    /// The saved changes that are in them.
    pub saved: Option<Saved>,
}

impl Upper {
    /// The file of the session that is open, below the root of its file system.
    pub fn session(&self) -> Option<String> {
        self.saved.as_ref()?.session.clone()
    }
}

/// Makes the upper ready and stacks the root on it. Saved changes that can't be used are a
/// question and a notice, and writes go to memory; a page if the words require them.
pub fn prepare(
    machine: &Machine,
    request: &Request,
    loader: &Loader,
    found: Found,
    own: &Own,
    report: &mut Report,
) -> Result<Upper, Failure> {
    let opened = match found {
        Found::Nothing => None,
        Found::Missing { why, asked } => Some(Err((why, asked))),
        Found::Keeper(keeper) => {
            let saved = saved::open(machine, loader, &request.upper, &keeper, own, report);
            Some(saved.map_err(|why| (why, false)))
        }
    };
    report.step("upper");
    let lack = match opened {
        None => {
            let layout = report.image.as_ref().map(|image| image.layout);
            if let Some(notice) = describe_lost(&request.upper, layout) {
                report.tell(notice.to_owned());
            }
            return on_memory(machine, request, loader, None, report);
        }
        Some(Ok(saved)) => match stack(machine, request, loader, saved, report) {
            Err(why) => (why, false),
            Ok(upper) => return upper,
        },
        Some(Err(lack)) => lack,
    };
    let (why, asked) = lack;
    if request.upper.required {
        return Err(Failure::UpperRequired(why));
    }
    // Whoever wants to see only has nothing to lose.
    if request.upper.may_ask && !asked && !request.upper.readonly {
        ask_on(machine, loader, &why);
    }
    report.tell(format!(
        "Changes of this session are lost at its end, for the saved changes could not be used: {why}."
    ));
    on_memory(machine, request, loader, None, report)
}

/// The root over saved changes; the reason when the kernel does not stack it there, and then
/// nothing of them is mounted.
fn stack(
    machine: &Machine,
    request: &Request,
    loader: &Loader,
    saved: Saved,
    report: &mut Report,
) -> Result<Result<Upper, Failure>, String> {
    let Some(work) = saved.work.clone() else {
        return Ok(on_memory(machine, request, loader, Some(saved), report));
    };
    let dirs = UpperDirs {
        readonly: None,
        upper: saved.upper.clone(),
        work,
    };
    dirs.link(machine, report);
    match root::mount(machine, loader, &dirs, report) {
        Ok(()) => {
            reserve::renew(&machine.saved(), &saved.spot);
            let saved = Some(saved);
            Ok(Ok(Upper { dirs, saved }))
        }
        Err(failure) => {
            dirs.unlink(machine);
            saved.release(machine);
            report.upper = None;
            Err(failure.to_string())
        }
    }
}

fn on_memory(
    machine: &Machine,
    request: &Request,
    loader: &Loader,
    saved: Option<Saved>,
    report: &mut Report,
) -> Result<Upper, Failure> {
    let dirs = UpperDirs {
        readonly: saved.as_ref().map(|saved| saved.upper.clone()),
        ..tmpfs::mount_tmpfs(machine, &request.upper.memory, report)?
    };
    dirs.link(machine, report);
    root::mount(machine, loader, &dirs, report)?;
    Ok(Upper { dirs, saved })
}

/// Lets whoever is there read it, and go on at once.
fn ask_on(machine: &Machine, loader: &Loader, why: &str) {
    let what = page::paragraph(&format!("The saved changes can't be used: {why}."));
    let text = format!(
        "\n {what}\n\
         \x20Press Enter to start without them: changes of this session are lost at its end.\n"
    );
    let limit = Duration::from_secs(10);
    let otherwise = (b'\r', "Starting without them");
    ask::question(machine, loader, &text, b"", otherwise, limit);
}
