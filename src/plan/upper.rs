//! Which device keeps the changes, and how long one that is not there is waited for.

use super::image::Layout;
use super::medium::{Device, match_name};
use super::search::{Candidate, UNANSWERED, Verdict};
use crate::layout::{HOME_TYPE, UPPER_TYPE};
use crate::ondisk::FsKind;
use crate::request::{DeviceSpec, Place, UpperRequest};
use crate::units::ImageId;
use std::time::Duration;

/// A device that the words name is waited for so long, counted from when the medium was
/// found: a disk that spins up takes 10 s.
pub const NAMED: Duration = Duration::from_secs(15);

/// For the last of them whoever is at the console is asked whether to go on without it.
pub const QUESTION: Duration = Duration::from_secs(10);

/// Nobody named it: devices that have announced themselves are waited for no longer.
pub const ANNOUNCED: Duration = Duration::from_secs(5);

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// This device; and why it.
    Take(String, String),
    /// Several are as good: which image was each used with?
    Compare(Vec<String>),
    /// It may still come, until then.
    Wait(Duration),
    /// What the words name can't be used.
    Refused(String),
    /// There is none.
    Missing,
}

/// The times that a decision looks at, all since the kernel started.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Now.
    pub now: Duration,
    /// When the medium was found.
    pub began: Duration,
    /// Whether hardware has announced disks that are not there yet.
    pub coming_up: bool,
    /// Whether a question may take the last part of the wait.
    pub may_ask: bool,
}

/// What is to be said when the words themselves send all writes to memory, on a root that lies as
/// `layout` names it ([`Layout::name`]).
pub fn describe_lost(upper: &UpperRequest, layout: Option<&str>) -> Option<&'static str> {
    match layout {
        _ if upper.off => Some(
            "Changes of this session are lost at its end (liveroot.overlay=off); saved changes, \
             if there are any, are left as they were.",
        ),
        // dracut mounts such an image for writing.
        Some(layout) if upper.none && layout == Layout::Bare.name() => Some(
            "rd.overlay=none: nothing is written into the image; changes of this session are lost \
             at its end.",
        ),
        _ => None,
    }
}

/// Decides, from all devices seen so far.
pub fn decide_upper(
    place: &Place,
    medium: &Device,
    candidates: &[&Candidate],
    times: Times,
) -> Decision {
    match place {
        Place::Memory => Decision::Missing,
        Place::Refused(why) => Decision::Refused(why.clone()),
        Place::Ours => decide_ours(medium, candidates, times),
        Place::Named(spec, _) => decide_named(spec, medium, candidates, times),
    }
}

fn decide_ours(medium: &Device, candidates: &[&Candidate], times: Times) -> Decision {
    let on_boot_disk = |c: &&&Candidate| c.device.disk() == medium.disk();
    let mut ours = candidates.iter().filter(|c| is_upper(c));
    if let Some(own) = ours.clone().find(on_boot_disk) {
        let why = "its type says so, and it is on the boot disk".to_owned();
        return Decision::Take(own.device.name.clone(), why);
    }
    let unread = candidates
        .iter()
        .any(|c| !c.device.optical && is_awaited(c, times.now));
    let end = times.began + ANNOUNCED;
    if (unread || times.coming_up) && times.now < end {
        return Decision::Wait(end);
    }
    let others: Vec<String> = ours
        .by_ref()
        .filter(|c| belongs_elsewhere(c, candidates).is_none())
        .map(|c| c.device.name.clone())
        .collect();
    match &others[..] {
        [] => Decision::Missing,
        [one] => Decision::Take(
            one.clone(),
            "its type says so, and it is the only one".into(),
        ),
        _ => Decision::Compare(others),
    }
}

fn decide_named(
    spec: &DeviceSpec,
    medium: &Device,
    candidates: &[&Candidate],
    times: Times,
) -> Decision {
    let named = candidates
        .iter()
        .filter(|c| match_name(spec, &c.device, &c.facts).is_ok());
    let is_medium = |c: &Candidate| {
        let under = [
            Some(&medium.name),
            medium.parent.as_ref(),
            medium.host.as_ref(),
        ];
        under.contains(&Some(&c.device.name))
    };
    let (same, mut usable): (Vec<&&Candidate>, Vec<&&Candidate>) =
        named.partition(|c| is_medium(c));
    usable.sort_by_key(|c| (c.device.disk() != medium.disk(), c.order));
    let unread = candidates
        .iter()
        .any(|c| !c.device.optical && is_awaited(c, times.now));
    let question = if times.may_ask {
        QUESTION
    } else {
        Duration::ZERO
    };
    let end = times.began + NAMED - question;
    // A name that several may have is decided when all have been read; nothing is taken that
    // has not been.
    let hasty = usable.first().is_some_and(|c| is_awaited(c, times.now));
    if (hasty || (unread && !is_unique(spec))) && times.now < end {
        return Decision::Wait(end);
    }
    if let Some(first) = usable.first().filter(|_| !hasty) {
        let why = match usable.len() {
            1 => "named by the words".to_owned(),
            n => format!("named by the words, the first of {n}"),
        };
        return Decision::Take(first.device.name.clone(), why);
    }
    if !same.is_empty() {
        let what = match medium.host {
            Some(_) => "has the ISO file that this system starts from",
            None => "is the boot medium itself",
        };
        return Decision::Refused(format!(
            "{spec} {what}, and is never written to: saved changes need a partition of their own"
        ));
    }
    if times.now < end {
        return Decision::Wait(end);
    }
    Decision::Missing
}

/// Whether only one device can have the name.
fn is_unique(spec: &DeviceSpec) -> bool {
    matches!(
        spec,
        DeviceSpec::Node(_) | DeviceSpec::Uuid(_) | DeviceSpec::PartUuid(_)
    )
}

/// What to do while nothing is there to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Nobody asked for any: writes go to memory.
    Nothing,
    /// Whoever is at the console is asked.
    Ask,
    /// Writes go to memory, and the user hears why.
    GiveUp,
    /// A page is shown, and the search goes on.
    Page,
    /// Nobody helps and nothing comes.
    PowerOff,
}

/// What the words say of a lack; times since the kernel started.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// `liveroot.overlay=require`.
    pub required: bool,
    /// Whether a question may be asked.
    pub may_ask: bool,
    /// Since when it is.
    pub asked: Option<Duration>,
    /// When an unattended machine is switched off.
    pub power_off: Option<Duration>,
}

/// Decides, when [`decide_upper`] found nothing.
pub fn decide_lack(place: &Place, patience: Patience, now: Duration) -> Lack {
    if patience.required {
        return match patience.power_off {
            Some(at) if now >= at => Lack::PowerOff,
            _ => Lack::Page,
        };
    }
    match patience.asked {
        _ if *place == Place::Ours => Lack::Nothing,
        Some(since) if now >= since + QUESTION => Lack::GiveUp,
        _ if patience.may_ask => Lack::Ask,
        _ => Lack::GiveUp,
    }
}

/// Among several that are as good: the first that was used with this image, else the first.
pub fn decide_among(found: &[(String, Option<ImageId>)], own: Option<&ImageId>) -> Decision {
    let count = found.len();
    let same = found
        .iter()
        .find(|(_, id)| id.is_some() && id.as_ref() == own);
    match (same, found.first()) {
        (Some((name, _)), _) => Decision::Take(
            name.clone(),
            format!("of {count} of its type it was used with this image"),
        ),
        (None, Some((name, _))) => {
            Decision::Take(name.clone(), format!("the first of {count} of its type"))
        }
        (None, None) => Decision::Missing,
    }
}

/// The partition for /home: on the boot disk, else on the disk of the upper. It is waited for
/// while partitions of these disks are unread.
pub fn decide_home(
    medium: &Device,
    upper: Option<&Device>,
    candidates: &[&Candidate],
    times: Times,
) -> Decision {
    let disks = [Some(medium.disk()), upper.map(Device::disk)];
    let on_them = |c: &&&Candidate| disks.contains(&Some(c.device.disk()));
    let unread = candidates
        .iter()
        .filter(on_them)
        .any(|c| !c.device.optical && is_awaited(c, times.now));
    let end = times.began + ANNOUNCED;
    if unread && times.now < end {
        return Decision::Wait(end);
    }
    let on = |disk: &str| {
        candidates
            .iter()
            .find(|c| c.facts.part_type.as_deref() == Some(HOME_TYPE) && c.device.disk() == disk)
    };
    match disks.into_iter().flatten().find_map(on) {
        Some(c) => Decision::Take(c.device.name.clone(), "its type says so".to_owned()),
        None => Decision::Missing,
    }
}

/// Partitions of our type that were not taken, each with the reason.
pub fn describe_others(taken: Option<&str>, candidates: &[&Candidate]) -> Vec<(String, String)> {
    candidates
        .iter()
        .filter(|c| is_upper(c) && taken != Some(&c.device.name))
        .map(|c| {
            let why = belongs_elsewhere(c, candidates);
            (
                c.device.name.clone(),
                why.unwrap_or_else(|| "another one was taken".into()),
            )
        })
        .collect()
}

fn is_upper(c: &Candidate) -> bool {
    c.facts.part_type.as_deref() == Some(UPPER_TYPE)
}

fn is_awaited(c: &Candidate, now: Duration) -> bool {
    matches!(c.verdict, Verdict::Probing(since) if now < since + UNANSWERED)
}

/// Somebody's other live stick keeps its own changes: they are not this image's.
fn belongs_elsewhere(c: &Candidate, all: &[&Candidate]) -> Option<String> {
    let holds_iso = |other: &&&Candidate| {
        other.device.disk() == c.device.disk()
            && other
                .facts
                .fs
                .as_ref()
                .is_some_and(|fs| fs.kind == FsKind::Iso9660)
    };
    let medium = all.iter().find(holds_iso)?;
    Some(format!(
        "it belongs to the live medium on {}",
        medium.device.disk()
    ))
}

#[cfg(test)]
#[path = "upper_tests.rs"]
mod tests;
