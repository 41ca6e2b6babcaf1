//! `tests/boots/NAME/scenario.toml`: one boot, told as data.
//!
//! A scenario names the machine, the media and what is done while it runs; and what the
//! booted system must then have seen. Unknown keys are errors: a misspelt expectation
//! would hold for ever.

use crate::fail;
use crate::kernels::KERNELS;
use crate::machine::drive::Bus;
use crate::trouble::{Result, While};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// One boot.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// Directory name.
    #[serde(skip)]
    pub name: String,
    /// The expectation, as a sentence.
    pub about: String,
    /// Kernel of the tree: `6.1`, `6.12` or `testing`.
    #[serde(default = "default_kernel")]
    pub kernel: String,
    /// What starts the kernel.
    #[serde(default)]
    pub firmware: Start,
    /// MiB.
    #[serde(default = "default_memory")]
    pub memory: u32,
    /// Direct boots: words behind those baked into the medium.
    #[serde(default)]
    pub words: String,
    /// Direct boots: baked words to leave out, as patterns.
    #[serde(default)]
    pub without: Vec<String>,
    /// Direct boots: the kernel's console.
    #[serde(default = "default_console")]
    pub console: String,
    /// Whether only `--all` runs it.
    #[serde(default)]
    pub slow: bool,
    /// Media by name; without any there is `live`.
    #[serde(default, rename = "medium")]
    pub media: BTreeMap<String, Content>,
    /// Drives, in the order of their device lines.
    #[serde(default, rename = "drive")]
    pub drives: Vec<DriveSpec>,
    /// What is done while it runs.
    #[serde(default, rename = "step")]
    pub steps: Vec<Step>,
    /// What must come of it.
    #[serde(default)]
    pub expect: Expect,
}

/// What starts the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// QEMU itself, with the medium's own initramfs and words.
    #[default]
    Direct,
    /// UEFI firmware, from a drive.
    Ovmf,
    /// BIOS firmware, from a drive.
    SeaBios,
}

/// How a medium is made.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Content {
    /// Volume label.
    #[serde(default = "default_label")]
    pub label: String,
    /// Words added by `build --append`.
    #[serde(default)]
    pub append: String,
    /// Kernel of its tree, if it is another than the scenario's: another image.
    pub kernel: Option<String>,
    /// A foreign ISO that has the label, but no image.
    #[serde(default)]
    pub label_only: bool,
}

/// A drive of the machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DriveSpec {
    /// Where it hangs; also its id unless that is given.
    pub bus: Bus,
    /// Its id.
    pub id: Option<String>,
    /// The medium in it.
    pub medium: Option<String>,
    /// Plugged by a step.
    #[serde(default)]
    pub absent: bool,
}

/// One thing done; exactly one of the first five.
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
        }
    }
}

fn default_kernel() -> String {
    "6.1".into()
}
fn default_memory() -> u32 {
    1024
}
fn default_console() -> String {
    "ttyS0".into()
}
fn default_label() -> String {
    "LIVEROOT".into()
}

impl Default for Content {
    fn default() -> Self {
        Content {
            label: default_label(),
            append: String::new(),
            kernel: None,
            label_only: false,
        }
    }
}

/// All scenarios below `tests/boots`, by name.
pub fn gather(source: &Path) -> Result<Vec<Scenario>> {
    let dir = source.join("tests/boots");
    let mut found = Vec::new();
    for entry in fs::read_dir(&dir)
        .doing(format!("reading {}", dir.display()))?
        .flatten()
    {
        let file = entry.path().join("scenario.toml");
        let text = fs::read_to_string(&file).doing(format!("reading {}", file.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        found.push(parse(&name, &text).doing(file.display())?);
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// One scenario, with what it refers to checked.
fn parse(name: &str, text: &str) -> Result<Scenario> {
    let mut scenario: Scenario = toml::from_str(text)?;
    scenario.name = name.to_owned();
    if scenario.media.is_empty() {
        scenario.media.insert("live".into(), Content::default());
    }
    if !KERNELS.iter().any(|(known, _)| *known == scenario.kernel) {
        fail!("no kernel {:?}", scenario.kernel);
    }
    let medium_names = scenario
        .drives
        .iter()
        .filter_map(|drive| drive.medium.as_ref());
    for medium in medium_names.chain(
        scenario
            .steps
            .iter()
            .filter_map(|step| step.medium.as_ref()),
    ) {
        if !scenario.media.contains_key(medium) {
            fail!("no medium {medium:?}");
        }
    }
    for step in &scenario.steps {
        let verbs = [&step.wait, &step.send, &step.plug, &step.pull, &step.insert];
        if verbs.iter().filter(|verb| verb.is_some()).count() != 1 {
            fail!("a step does one thing: {step:?}");
        }
        if step.insert.is_some() != step.medium.is_some() {
            fail!("`insert` goes with `medium`: {step:?}");
        }
    }
    let expect = &scenario.expect;
    if expect.facts.is_empty() && expect.lines.is_empty() {
        fail!("it expects nothing, so it can't fail");
    }
    if !expect.boots && (!expect.facts.is_empty() || !expect.report.is_empty()) {
        fail!("a machine that does not boot states no facts");
    }
    Ok(scenario)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_scenarios_of_this_checkout_can_be_read() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        assert!(!gather(&source).unwrap().is_empty());
    }

    #[test]
    fn a_misspelt_key_is_an_error() {
        assert!(parse("x", "about = 'x'\n[expect]\nfacts = ['a']\n").is_ok());
        assert!(parse("x", "about = 'x'\n[expect]\nfact = ['a']\n").is_err());
    }

    #[test]
    fn a_scenario_that_cannot_fail_is_an_error() {
        assert!(parse("x", "about = 'x'\n").is_err());
    }

    #[test]
    fn a_step_does_one_thing() {
        let text = "about = 'x'\n[[step]]\nwait = 'a'\nsend = 'b'\n[expect]\nfacts = ['a']\n";
        assert!(parse("x", text).is_err());
    }
}
