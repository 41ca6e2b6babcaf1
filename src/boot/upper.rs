//! Where writes go: to saved changes, or to memory.

use super::ask;
use super::dirs::UpperDirs;
use super::failure::Failure;
use super::hunt::upper::Found;
use super::loader::Loader;
use super::machine::Machine;
use super::memory;
use super::report::Report;
use super::saved::{self, Own, Saved};
use crate::request::Request;
use std::time::Duration;

/// The layers of the root, and the session that is open then.
#[derive(Debug)]
pub struct Upper {
    /// Directories of the overlay.
    pub dirs: UpperDirs,
    /// The session's file, below the root of its file system.
    pub session: Option<String>,
}

/// Makes the upper ready. Saved changes that can't be used are a question and a notice, and
/// writes go to memory; a page if the words require them.
pub fn prepare(
    machine: &Machine,
    request: &Request,
    loader: &Loader,
    found: Found,
    own: &Own,
    report: &mut Report,
) -> Result<Upper, Failure> {
    let opened = match found {
        Found::Nothing => Ok(None),
        Found::Missing { why, asked } => Err((why, asked)),
        Found::Keeper(keeper) => saved::open(machine, loader, &request.upper, &keeper, own, report)
            .map(Some)
            .map_err(|why| (why, false)),
    };
    let saved: Option<Saved> = match opened {
        Ok(saved) => saved,
        Err((why, _)) if request.upper.required => return Err(Failure::UpperRequired(why)),
        Err((why, asked)) => {
            // Whoever wants to see only has nothing to lose.
            if request.upper.may_ask && !asked && !request.upper.readonly {
                ask_on(machine, &why);
            }
            report.tell(format!(
                "Changes of this session are lost at its end, for the saved changes could not be used: {why}."
            ));
            None
        }
    };
    let session = saved.as_ref().and_then(|s| s.session.clone());
    let dirs = match saved {
        Some(Saved {
            upper,
            work: Some(work),
            ..
        }) => UpperDirs {
            readonly: None,
            upper,
            work,
        },
        Some(Saved { upper, .. }) => UpperDirs {
            readonly: Some(upper),
            ..memory::mount_tmpfs(machine, &request.upper.memory, report)?
        },
        None => memory::mount_tmpfs(machine, &request.upper.memory, report)?,
    };
    dirs.link(machine, report);
    Ok(Upper { dirs, session })
}

/// Lets whoever is there read it, and go on at once.
fn ask_on(machine: &Machine, why: &str) {
    let text = format!(
        "\n The saved changes can't be used: {why}.\n\
         \x20Press Enter to start without them: changes of this session are lost at its end.\n"
    );
    let limit = Duration::from_secs(10);
    ask::question(machine, &text, b"", (b'\r', "Starting without them"), limit);
}
