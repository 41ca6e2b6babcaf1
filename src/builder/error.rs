//! What can go wrong while making media: each message names file, finding and remedy.

use crate::units::Bytes;
use std::path::{Path, PathBuf};

/// Why no medium was made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the user gave does not serve.
    #[error("{on}: {finding}\n  {remedy}")]
    Input {
        /// File, directory or option.
        on: String,
        /// What is wrong with it.
        finding: String,
        /// What to do.
        remedy: String,
    },
    /// An outside tool is not installed.
    #[error(
        "{name} is not installed\n  install it: `apt install {debian}` (Debian, Ubuntu) or `dnf install {fedora}` (Fedora)"
    )]
    MissingTool {
        /// Program.
        name: &'static str,
        /// Debian's package.
        debian: &'static str,
        /// Fedora's package.
        fedora: &'static str,
    },
    /// An outside tool failed.
    #[error("{name} failed ({status}) while {doing}; its last lines:\n{tail}")]
    Tool {
        /// Program.
        name: &'static str,
        /// What it was for.
        doing: String,
        /// How it ended.
        status: String,
        /// Its last words, indented.
        tail: String,
    },
    /// The EFI system partition would exceed what El Torito can count.
    #[error(
        "the EFI system partition would take {total}, and a CD's boot entry counts at most {limit}: {excess} too much\n{parts}  {remedy}"
    )]
    EspTooLarge {
        /// Its length.
        total: Bytes,
        /// The greatest length.
        limit: Bytes,
        /// What it is too long by.
        excess: Bytes,
        /// A line for each part.
        parts: String,
        /// What to do.
        remedy: String,
    },
    /// The file system is full.
    #[error(
        "{on}: no space left ({free} free{need})\n  free some space there, or write the output to another file system"
    )]
    NoSpace {
        /// Directory being written to.
        on: String,
        /// What is free there.
        free: Bytes,
        /// ", … needed" where it is known.
        need: String,
    },
    /// A signal asked to stop.
    #[error("interrupted; nothing was written")]
    Interrupted,
    /// The system refused something else.
    #[error("{doing} {on}: {cause}")]
    System {
        /// Present participle, as in "reading".
        doing: &'static str,
        /// File.
        on: PathBuf,
        /// The system's answer.
        cause: std::io::Error,
    },
}

/// Shorthand of this half.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Input that does not serve.
    pub fn input(
        on: impl std::fmt::Display,
        finding: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Error::Input {
            on: on.to_string(),
            finding: finding.into(),
            remedy: remedy.into(),
        }
    }

    /// For `map_err`: the system's refusal while `doing` something to a path.
    pub fn system(doing: &'static str, on: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let on = on.to_owned();
        move |cause| match cause.kind() {
            std::io::ErrorKind::StorageFull => Error::no_space(&on, None),
            _ => Error::System { doing, on, cause },
        }
    }

    /// No space where `on` lies, with what is free there now.
    pub fn no_space(on: &Path, need: Option<Bytes>) -> Error {
        let dir = if on.is_dir() {
            on
        } else {
            on.parent().unwrap_or(on)
        };
        Error::NoSpace {
            on: dir.display().to_string(),
            free: free_space(dir).unwrap_or_default(),
            need: need.map(|n| format!(", {n} needed")).unwrap_or_default(),
        }
    }
}

/// What an unprivileged writer may still write below `dir`; none when nobody tells.
pub fn free_space(dir: &Path) -> Option<Bytes> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(Bytes(stat.f_bavail.saturating_mul(stat.f_frsize)))
}
