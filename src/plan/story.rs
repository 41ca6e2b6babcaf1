//! The words in which a search is told: events in, actions out, verdicts on devices.

use super::medium::{Device, Found, Probe};
use crate::units::Sectors;
use std::time::Duration;

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A block device is there (again).
    Seen(Device),
    /// It has gone.
    Gone(String),
    /// A worker read it.
    Probed(String, Probe),
    /// A worker asked an optical drive for its disc; its length, if one can be read.
    Looked(String, Look),
    /// A worker looked for the image on it; the reason if it is not there.
    Examined(String, Result<Found, String>),
    /// A worker found the ISO file on it, and this loop device is over the file.
    Holds(String, Device),
    /// The machine is still bringing devices up: a driver went in, an uevent came.
    Activity,
    /// Time passed.
    Tick,
}

/// Something is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read the device's superblock.
    Probe(String),
    /// Ask an optical drive for its disc.
    Look(String),
    /// Mount it read-only and look for the image.
    Examine(String),
    /// This is the medium.
    Accept(String),
    /// Show the failure page, or show it anew: the verdicts changed.
    ShowPage,
    /// Nobody helps and nothing comes.
    GiveUp,
}

/// What an optical drive says of its disc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// There is one, this long.
    Disc(Sectors),
    /// It is being looked at.
    Settling,
    /// There is none.
    Nothing,
}

/// What is known of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A worker reads it, since then.
    Probing(Duration),
    /// A drive without a disc, a reader without a card.
    Empty,
    /// A drive that looks at its disc, since then.
    Settling(Duration),
    /// The words name it; examined when its turn comes.
    Named,
    /// A worker looks at it, since then.
    Examining(Duration),
    /// It holds the ISO file, which is this loop device.
    Holds(String),
    /// It holds an image, but not the one of this initramfs, or a root tree and no image; or it is
    /// the ISO file, and `root=` names something else.
    OtherImage(Found),
    /// The medium.
    Accepted(Found),
    /// It is not, and why.
    Refused(String),
}
