//! Kernel words to a typed request. Pure.
//!
//! What was *said* ([`said::Said`]: bytes, in order) stays apart from what is *meant*
//! ([`Request`]). [`words`] is the one table of words.
#![forbid(unsafe_code)]

pub mod claim;
pub mod device;
pub mod said;
pub mod size;
pub mod words;

mod meant;
mod upper;

pub use device::DeviceSpec;
pub use meant::{decide_request, decide_request_with_udev};
pub use size::TmpfsSize;
pub use upper::{Directory, OnChange, Place, UpperRequest};

use crate::units::Bytes;
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
    /// `iso-scan/filename`: an ISO file on any disk that holds the medium, below that disk's
    /// root, no slash before it.
    pub iso: Option<String>,
    /// `rd.live.ram`, `rd.writable.fsimg`: what is copied to memory.
    pub copy: Copy,
    /// `rd.minmem`: what must stay of the machine's memory when an image is copied there.
    pub min_memory: Bytes,
    /// `rd.live.check`: the medium is read through and compared with its checksum first.
    pub check: bool,
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
    /// Misspelt words, each with its nearest match: what was typed is not done.
    pub misspelt: Vec<String>,
    /// Words of what is not used here, each with what stands in for it.
    pub replaced: Vec<String>,
    /// What else the report says of the words.
    pub notices: Vec<String>,
    /// Why the words can't be followed at all, if they can't.
    pub refusal: Option<String>,
    /// Whose initramfs this is.
    pub host: Host,
}

/// What is copied to memory before it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Copy {
    /// Nothing: the medium is read as long as the system runs.
    #[default]
    Nothing,
    /// `rd.live.ram`: the image as it lies on the medium.
    Image,
    /// `rd.writable.fsimg`: the file system image that is inside, if one is.
    Inner,
}

/// Whose initramfs this is, and so what follows when a boot can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// Our own: a page stays, or the machine is switched off.
    Own,
    /// dracut's: it goes on, at the latest `until` (time since the kernel's start).
    Dracut {
        /// The end of all waiting.
        until: Duration,
    },
}

/// What is left to look at the disks when dracut has waited as long as it may.
const LAST_LOOK: Duration = Duration::from_secs(10);

impl Request {
    /// The same in an initramfs of dracut, entered at `now` (time since the kernel's start).
    /// dracut counts `rd.timeout` and `rd.retry` from its own wait for devices, not from the
    /// kernel's start (dracut.cmdline(7)). Where its queue has waited for the same device `since`,
    /// nobody waits twice.
    pub fn in_dracut(mut self, now: Duration, since: Option<Duration>) -> Self {
        let limit = self.timeout.take().unwrap_or(self.retry);
        let until = match since {
            Some(since) => (since + limit).max(now + limit.min(LAST_LOOK)),
            None => now + limit,
        };
        self.host = Host::Dracut { until };
        self
    }

    /// The same with the medium that dracut's step was given: livenet's and anaconda's argument
    /// of /sbin/dmsquash-live-root, which stands above root=.
    pub fn with_medium(mut self, text: &str) -> Self {
        self.medium = match text.starts_with('/') {
            true => Some(DeviceSpec::Path(text.to_owned())),
            false => DeviceSpec::parse(text.as_bytes()),
        };
        self.refusal = match &self.medium {
            Some(_) => None,
            None => Some(format!("{text:?} names no device and no file")),
        };
        self
    }

    /// Nodes below /dev that the words name.
    pub fn nodes(&self) -> Vec<String> {
        let upper = match &self.upper.place {
            Place::Named(spec, _) => Some(spec),
            _ => None,
        };
        let nodes = self
            .medium
            .iter()
            .chain(upper)
            .filter_map(|spec| match spec {
                DeviceSpec::Node(node) => Some(node.clone()),
                _ => None,
            });
        nodes.collect()
    }

    /// When nobody is waited for any longer, as time since the kernel's start; none is never.
    pub fn ends_at(&self) -> Option<Duration> {
        match self.host {
            Host::Dracut { until } => Some(until),
            Host::Own => (!self.shell).then_some(self.retry),
        }
    }
}
