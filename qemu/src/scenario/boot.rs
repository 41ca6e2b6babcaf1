//! The part of a scenario that tells of one boot: what is done, what must come of it.

use super::{RootForm, Start};
use crate::fail;
use crate::trouble::Result;
use serde::Deserialize;
use std::collections::BTreeMap;

/// One start of the machine, up to its end.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Boot {
    /// What this one is for, where the scenario's sentence does not say it.
    pub about: String,
    /// What starts the kernel, if it is not what starts it otherwise.
    pub firmware: Option<Start>,
    /// Direct boots: whose kernel, initramfs and words; otherwise those of `live`.
    pub medium: Option<String>,
    /// Direct boots: which of dracut's initramfs, with Debian's kernel; otherwise the medium's
    /// own.
    pub dracut: Option<ByDracut>,
    /// Modules of dracut beside the usual ones.
    pub with: Vec<String>,
    /// Direct boots: text of files that are put into the initramfs, by path.
    pub initramfs: BTreeMap<String, String>,
    /// Direct boots: roots that are put into the initramfs, by path.
    pub initramfs_roots: BTreeMap<String, RootForm>,
    /// Direct boots: words behind those of the scenario.
    pub words: String,
    /// Direct boots: baked words to leave out beside the scenario's, as patterns.
    pub without: Vec<String>,
    /// Ids of the drives that are there; otherwise all.
    pub drives: Option<Vec<String>>,
    /// What is done while it runs.
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
    /// What must come of it.
    pub expect: Expect,
    /// How the guest is to end itself; the kernel's last line must say so. Otherwise any
    /// power-off will do.
    pub end: Option<End>,
    /// Whether QEMU is killed after the steps, as a power cut would end it.
    pub kill: bool,
    /// What must hold of the drives afterwards.
    #[serde(rename = "check")]
    pub checks: Vec<Check>,
}

/// A version of dracut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Version {
    /// Debian 12's.
    #[default]
    #[serde(rename = "059")]
    V059,
    /// Debian 13's.
    #[serde(rename = "106")]
    V106,
    /// Debian testing's.
    #[serde(rename = "112")]
    V112,
}

impl Version {
    /// All of them; the first is the one that is always tested.
    pub const ALL: [Version; 3] = [Version::V059, Version::V106, Version::V112];

    /// As scenarios write it.
    pub fn name(self) -> &'static str {
        match self {
            Version::V059 => "059",
            Version::V106 => "106",
            Version::V112 => "112",
        }
    }
}

/// An initramfs of dracut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ByDracut {
    /// With dmsquash-live, without systemd.
    Peer,
    /// With our module, without systemd.
    Plain,
    /// With our module and systemd.
    Systemd,
}

impl ByDracut {
    /// As scenarios write it.
    pub fn name(self) -> &'static str {
        match self {
            ByDracut::Peer => "peer",
            ByDracut::Plain => "plain",
            ByDracut::Systemd => "systemd",
        }
    }
}

/// How a guest ends itself: the word `lr.end=` of the marker init.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum End {
    Poweroff,
    Reboot,
    Halt,
}

impl End {
    /// The value of `lr.end=`.
    pub fn word(self) -> &'static str {
        match self {
            End::Poweroff => "poweroff",
            End::Reboot => "reboot",
            End::Halt => "halt",
        }
    }

    /// The kernel's last line (kernel/reboot.c).
    pub fn line(self) -> &'static str {
        match self {
            End::Poweroff => "reboot: Power down",
            End::Reboot => "reboot: Restarting system",
            End::Halt => "reboot: System halted",
        }
    }
}

/// What must hold of a drive between two boots; `at` is `DRIVE:PARTITION`, a whole disk is
/// partition 0.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Check {
    /// Its file system was left clean: nothing to replay, nothing to repair.
    pub clean: Option<String>,
    /// It is the same byte for byte as before this boot.
    pub same: Option<String>,
    /// A file on an ext4, `DRIVE:PARTITION:/PATH`, that `has` this text or is `absent`.
    pub file: Option<String>,
    /// Pattern for the text of `file`.
    pub has: Option<String>,
    /// Whether `file` must not be there.
    pub absent: bool,
}

/// One thing done; exactly one of the first six.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Step {
    /// Until the serial line has said this.
    pub wait: Option<String>,
    /// Typed on the serial line.
    pub send: Option<String>,
    /// A drive to plug in.
    pub plug: Option<String>,
    /// A drive to pull out.
    pub pull: Option<String>,
    /// A drive to put `medium` into.
    pub insert: Option<String>,
    /// Seconds in which nothing is done: where lateness itself is the subject.
    pub pause: Option<u64>,
    /// For `insert`.
    pub medium: Option<String>,
    /// Seconds for `wait` and `pull`.
    pub within: Option<u64>,
}

/// What must come of it. Patterns are of [`crate::glob`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Expect {
    /// Whether the marker init is reached; if not, the machine must power off by itself.
    pub boots: bool,
    /// Seconds from the last step to the end.
    pub within: u64,
    /// Facts that the booted system must have stated (lines behind `@@LR `).
    pub facts: Vec<String>,
    /// Facts that it must not have stated.
    pub no_facts: Vec<String>,
    /// Lines that must be on the serial line.
    pub lines: Vec<String>,
    /// Lines that must not be.
    pub no_lines: Vec<String>,
    /// Values in report.json by path, such as `medium.label`.
    pub report: BTreeMap<String, String>,
    /// Id of the drive whose disc must have been ejected.
    pub ejected: Option<String>,
}

impl Default for Expect {
    fn default() -> Self {
        Expect {
            boots: true,
            within: 120,
            facts: Vec::new(),
            no_facts: Vec::new(),
            lines: Vec::new(),
            no_lines: Vec::new(),
            report: BTreeMap::new(),
            ejected: None,
        }
    }
}

impl Expect {
    /// Whether it can fail: to boot at all is asked for by each boot anyway.
    pub fn says_anything(&self) -> bool {
        !self.facts.is_empty() || !self.lines.is_empty()
    }
}

impl Step {
    /// Whether it is one thing.
    pub fn check(&self) -> Result<()> {
        let verbs = [&self.wait, &self.send, &self.plug, &self.pull, &self.insert];
        let verbs = verbs.iter().filter(|verb| verb.is_some()).count();
        if verbs + usize::from(self.pause.is_some()) != 1 {
            fail!("a step does one thing: {self:?}");
        }
        if self.insert.is_some() != self.medium.is_some() {
            fail!("`insert` goes with `medium`: {self:?}");
        }
        Ok(())
    }
}

impl Check {
    /// Where it looks, if what it says goes together.
    pub fn check(&self) -> Result<&String> {
        let said: Vec<&String> = [&self.clean, &self.same, &self.file]
            .into_iter()
            .flatten()
            .collect();
        let [at] = said.as_slice() else {
            fail!("a check looks at one thing: {self:?}");
        };
        if self.file.is_some() != (self.absent != self.has.is_some()) {
            fail!("`file` goes with `has` or with `absent`: {self:?}");
        }
        Ok(at)
    }
}
