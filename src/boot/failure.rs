//! What ends on a page: a closed list, each with a stable id.

use crate::sys;

/// Why the boot can't go on by itself.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The kernel's words can't be followed.
    #[error("{0}")]
    Words(String),
    /// Neither the words nor the initramfs say what to look for.
    #[error("nothing says which medium to look for: no root= and no image.json in the initramfs")]
    NothingWanted,
    /// No device holds what is wanted, and nobody helped in time.
    #[error("no device holds the live image")]
    MediumNotFound,
    /// The accepted medium or image could not be given its place.
    #[error("{0}")]
    Medium(sys::Error),
    /// `rd.live.check` found that the medium is not what was written to it.
    #[error("the medium is damaged: {0}")]
    MediumDamaged(String),
    /// The words require saved changes, and they can't be used.
    #[error("the saved changes can't be used, and liveroot.overlay=require wants them: {0}")]
    UpperRequired(String),
    /// The tmpfs for writes could not be set up.
    #[error("{0}")]
    Upper(sys::Error),
    /// The overlay could not be mounted.
    #[error("{0}")]
    Root(sys::Error),
    /// The new root could not be entered or its init not executed.
    #[error("{0}")]
    Handoff(sys::Error),
    /// The boot process ended without a word.
    #[error("the program that boots this system ended unexpectedly")]
    AgentDied,
}

impl Failure {
    /// The stable id.
    pub fn id(&self) -> &'static str {
        match self {
            Failure::Words(_) => "words-not-understood",
            Failure::NothingWanted => "nothing-wanted",
            Failure::MediumNotFound => "medium-not-found",
            Failure::Medium(_) => "medium-not-mounted",
            Failure::MediumDamaged(_) => "medium-damaged",
            Failure::UpperRequired(_) => "upper-required",
            Failure::Upper(_) => "upper-not-mounted",
            Failure::Root(_) => "root-not-mounted",
            Failure::Handoff(_) => "handoff-failed",
            Failure::AgentDied => "agent-died",
        }
    }

    /// What people can do, in words for those who have never seen a shell.
    pub fn advice(&self) -> &'static str {
        match self {
            Failure::Words(_) | Failure::NothingWanted => {
                "Restart, press e on the menu's entry and correct the word named above."
            }
            Failure::MediumNotFound => {
                "Put the live stick or disc in (another port may help): the start goes on by\n\
                 itself. If it is in already and is named above with another label, the word\n\
                 root= is wrong: restart, press e on the menu's entry and correct it. Else it\n\
                 is not the one that this start needs, or it is damaged: write it again."
            }
            Failure::Medium(_) => "Restart. If this page comes again, write the stick again.",
            Failure::MediumDamaged(_) => {
                "Write the stick again, or burn another disc, more slowly. Whatever wrote to\n\
                 the stick since it was made, a new partition too, counts as damage. To use it\n\
                 as it is, restart, press e on the menu's entry and take rd.live.check away."
            }
            Failure::UpperRequired(_) => {
                "Put the disk with the saved changes in: the start goes on by itself if it was\n\
                 missing. Or restart and choose \"without saved changes\" in the menu (the word\n\
                 liveroot.overlay=off): then changes are lost at the end of the session."
            }
            Failure::Upper(_) => {
                "The memory is too small or the size word is wrong: restart, press e on the\n\
                 menu's entry and try rd.live.overlay.size=256"
            }
            Failure::Root(_) => {
                "The kernel refused the overlay: its line above or in the log says why."
            }
            Failure::Handoff(_) | Failure::AgentDied => {
                "Restart. If this page comes again, please report it with the lines above."
            }
        }
    }
}
