//! Where writes go, as the words say it.
//!
//! `rd.overlay=DEVSPEC[:PATHSPEC|:auto]` and its older spelling are dracut's
//! (dracut.cmdline(7), dmsquash-live): DEVSPEC ends at the first colon, PATHSPEC begins
//! behind the last.

use super::meant::Words;
use super::said::Said;
use super::{DeviceSpec, TmpfsSize, size};

/// What the words ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpperRequest {
    /// Size of the tmpfs, where it is one.
    pub memory: TmpfsSize,
    /// Where saved changes are.
    pub place: Place,
    /// `liveroot.overlay=off`, the menu's word.
    pub off: bool,
    /// `rd.overlay=none`: with dracut an image of its own file system is written to then.
    pub none: bool,
    /// `liveroot.overlay=require`: rather stop than start without them.
    pub required: bool,
    /// `rd.overlay.readonly`: they are seen, and nothing is added to them.
    pub readonly: bool,
    /// `rd.overlay.reset`: they are thrown away.
    pub reset: bool,
    /// Whether a question may be asked (`rd.live.overlay.nouserconfirmprompt`, `rd.shell=0`).
    pub may_ask: bool,
    /// `liveroot.onchange`.
    pub on_change: OnChange,
}

/// Where saved changes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: writes go to memory.
    Memory,
    /// On a partition of our own type, if there is one.
    Ours,
    /// Where the words say.
    Named(DeviceSpec, Directory),
    /// The words name a place that can't be used, and this is why.
    Refused(String),
}

/// The upper directory on the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Directory {
    /// Ours on a partition of ours, else the one that dracut names after the medium.
    Auto,
    /// This one; no slashes around it.
    Given(String),
}

/// What becomes of saved changes that were made on another image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnChange {
    /// Whoever is at the console says.
    Ask,
    /// They are put aside.
    Fresh,
    /// They are used.
    Keep,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Memory => f.write_str("memory"),
            Place::Ours => f.write_str("a partition for saved changes, if there is one"),
            Place::Named(spec, Directory::Auto) => write!(f, "{spec}"),
            Place::Named(spec, Directory::Given(path)) => write!(f, "{spec}:/{path}"),
            Place::Refused(why) => f.write_str(why),
        }
    }
}

/// Reads the words for the upper.
pub(super) fn read_upper(words: &Words<'_>, notices: &mut Vec<String>) -> UpperRequest {
    let mut memory = read_size(words, notices);
    let mut place = read_place(words, &mut memory, notices);
    let mode = words.text("liveroot.overlay");
    match mode.as_deref() {
        Some("off" | "no" | "0") => place = Place::Memory,
        None | Some("on" | "yes" | "1" | "require") => {}
        Some(other) => notices.push(format!(
            "liveroot.overlay={other}: not one of on, off, require; ignored"
        )),
    }
    let on_change = match words.text("liveroot.onchange").as_deref() {
        None | Some("ask") => OnChange::Ask,
        Some("fresh") => OnChange::Fresh,
        Some("keep") => OnChange::Keep,
        Some(other) => {
            notices.push(format!(
                "liveroot.onchange={other}: not one of ask, fresh, keep; ask is used"
            ));
            OnChange::Ask
        }
    };
    let none = |word: &Said| word.text().eq_ignore_ascii_case("none");
    UpperRequest {
        memory,
        none: words.all("rd.overlay").last().is_some_and(none),
        off: mode
            .as_deref()
            .is_some_and(|mode| ["off", "no", "0"].contains(&mode)),
        required: mode.as_deref() == Some("require") && place != Place::Memory,
        place,
        readonly: words.is_on("rd.live.overlay.readonly", false),
        reset: words.is_on("rd.live.overlay.reset", false),
        may_ask: !words.is_on("rd.live.overlay.nouserconfirmprompt", false)
            && words.is_on("rd.shell", true),
        on_change,
    }
}

fn read_size(words: &Words<'_>, notices: &mut Vec<String>) -> TmpfsSize {
    let mut memory = TmpfsSize::default();
    if let Some(text) = words.text("rd.live.overlay.size") {
        let mib = text.trim_end_matches(['m', 'M']);
        if size::is_tmpfs_size(&format!("{mib}m")) {
            memory.size = format!("{mib}m");
        } else {
            notices.push(format!(
                "rd.live.overlay.size={text}: not a number of MiB, ignored"
            ));
        }
    }
    memory
}

fn read_place(words: &Words<'_>, memory: &mut TmpfsSize, notices: &mut Vec<String>) -> Place {
    // Since dracut 110 the word is a boolean too, which says nothing of a place.
    let is_place = |word: &&Said| !matches!(&*word.text(), "" | "1" | "yes" | "on");
    let Some(word) = words.all("rd.overlay").filter(is_place).last() else {
        return Place::Ours;
    };
    let text = word.text();
    let key = String::from_utf8_lossy(&word.key);
    if matches!(&*text, "tmpfs" | "0" | "no" | "off") || text.eq_ignore_ascii_case("none") {
        return Place::Memory;
    }
    if let Some(options) = text.strip_prefix("tmpfs:") {
        let (wanted, refused) = size::parse_tmpfs_options(options, memory.clone());
        *memory = wanted;
        for part in refused {
            notices.push(format!(
                "{key}: {part} is no option of the upper's tmpfs, ignored"
            ));
        }
        return Place::Memory;
    }
    let (device, path) = match text.split_once(':') {
        None => (&*text, None),
        Some((device, rest)) => (device, rest.rsplit(':').next()),
    };
    let refused = |why: &str| Place::Refused(format!("{key}={text}: {why}"));
    let directory = match path {
        None | Some("" | "auto") => Directory::Auto,
        Some(path) if path.split('/').any(|part| part == "..") => {
            return refused("`..` is not followed");
        }
        Some(path) => match path.trim_matches('/') {
            "" => return refused("the root of a file system can't be an upper directory"),
            path => Directory::Given(path.to_owned()),
        },
    };
    match DeviceSpec::parse(device.as_bytes()) {
        Some(spec) => Place::Named(spec, directory),
        None => refused(
            "not a form that is known here (LABEL=, UUID=, PARTUUID=, PARTLABEL=, /dev/…, none)",
        ),
    }
}
