//! Kernel words to a typed request. Pure.
//!
//! What was *said* ([`said::Said`]: bytes, in order) stays apart from what is *meant*
//! ([`Request`]). [`words`] is the one table of words.
#![forbid(unsafe_code)]

pub mod device;
pub mod said;
pub mod size;
pub mod words;

mod meant;
mod upper;

pub use device::DeviceSpec;
pub use meant::decide_request;
pub use size::TmpfsSize;
pub use upper::{Directory, OnChange, Place, UpperRequest};

use std::time::Duration;

/// What a boot was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The medium, as `root=` names it; none when the words name none.
    pub medium: Option<DeviceSpec>,
    /// `rd.live.dir`: directory of the image on the medium, without slashes around.
    pub live_dir: String,
    /// `rd.live.squashimg`: the image below [`Request::live_dir`].
    pub squashimg: String,
    /// Where writes go.
    pub upper: UpperRequest,
    /// `liveroot.eject`: the disc comes out at the end.
    pub eject: bool,
    /// `init=`, or none for the usual places.
    pub init: Option<String>,
    /// Whether a shell may be offered (`rd.shell`); without it a page ends in power-off.
    pub shell: bool,
    /// `rd.retry`: how long a page waits for a medium when there is nobody to help.
    pub retry: Duration,
    /// `rd.timeout`: the most that is waited before the page is shown; none is no limit.
    pub timeout: Option<Duration>,
    /// `modprobe.blacklist=`, `rd.driver.blacklist=`, `module_blacklist=`.
    pub blacklist: Vec<String>,
    /// What the user should hear of: misspelt words, words that do nothing here.
    pub notices: Vec<String>,
    /// Why the words can't be followed at all, if they can't.
    pub refusal: Option<String>,
}
