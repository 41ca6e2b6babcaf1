//! `liveroot build --check-against`: the same build once more, and whether it gives the same
//! bytes as an image that somebody else may have made.

use super::progress::Progress;
use crate::builder::{Error, Options, Result, Watch, build};
use crate::inspect::differ::{Difference, Trouble, differ};
use crate::inspect::medium::Medium;
use crate::units::shown;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What came of it.
#[derive(Debug, serde::Serialize)]
pub(super) struct Checked {
    schema: u32,
    /// The image that ours was compared with.
    against: String,
    /// SHA-256 of our payload.
    image_id: crate::units::ImageId,
    same: bool,
    difference: Option<Difference>,
}

/// A directory that goes away with what is in it.
struct Scratch(PathBuf);

impl Scratch {
    /// Nobody else's: it must not be there yet.
    fn new() -> Result<Scratch> {
        let name = format!("liveroot-check-{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir(&dir).map_err(Error::system("making", &dir))?;
        Ok(Scratch(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Builds what `options` say and compares it with `other`.
///
/// # Errors
/// Those of a build; an image that cannot be read.
pub(super) fn check(mut options: Options, other: &Path, progress: &Progress) -> Result<Checked> {
    let open = |path: &Path| {
        Medium::open(path).map_err(|why| Error::input("--check-against", why, "name an ISO"))
    };
    let theirs = open(other)?;
    let scratch = Scratch::new()?;
    options.output = scratch.0.join("live.iso");
    let outcome = build(&options, progress)?;
    progress.phase("comparing");
    let ours = open(&options.output)?;
    let mut go_on = |done, total| {
        progress.progress(done, total);
        !progress.cancelled()
    };
    let difference = differ(&ours, &theirs, &mut go_on).map_err(|trouble| {
        let failed = |path: &Path, why: crate::ondisk::ReadError| {
            Error::input(
                path.display(),
                format!("it cannot be read: {why}"),
                "read it again",
            )
        };
        match trouble {
            Trouble::Ours(why) => failed(&options.output, why),
            Trouble::Other(why) => failed(other, why),
            Trouble::Interrupted => Error::Interrupted,
        }
    })?;
    Ok(Checked {
        schema: 1,
        against: other.to_string_lossy().into_owned(),
        image_id: outcome.image_id,
        same: difference.is_none(),
        difference,
    })
}

impl Checked {
    /// Says it: exit status 1 when something differs.
    pub(super) fn show(&self, json: bool) -> ExitCode {
        let against = shown(&self.against);
        let text = match (json, &self.difference) {
            (true, _) => serde_json::to_string(self).unwrap_or_default() + "\n",
            (false, None) => format!("{against}: the same bytes\n"),
            (false, Some(difference)) => format!("{against} differs: {difference}\n"),
        };
        match (super::build::print(&text), self.same) {
            (Ok(()), true) => ExitCode::SUCCESS,
            (Ok(()), false) => ExitCode::FAILURE,
            (Err(why), _) => {
                super::complain(format_args!("compared, but standard output failed: {why}"));
                ExitCode::FAILURE
            }
        }
    }
}
