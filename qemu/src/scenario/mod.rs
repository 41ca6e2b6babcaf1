//! `tests/boots/NAME/scenario.toml`: one boot, or several of one machine, told as data.
//!
//! A scenario names the machine, the media and what is done while it runs; and what the
//! booted system must then have seen. With `[[boot]]` entries the machine is started once
//! for each, and what was written to its drives stays from one to the next. Unknown keys
//! are errors: a misspelt expectation would hold for ever.

mod boot;
mod drives;

use crate::fail;
use crate::kernels::KERNELS;
use crate::trouble::{Result, While};
pub use boot::{Boot, ByDracut, Check, End, Expect, Step, Version};
pub use drives::{
    Content, Damage, DriveSpec, FileSystem, Holds, PartitionSpec, RootForm, Table, TreeKind,
};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// One machine and its boots.
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
    /// Direct boots: words behind those baked into the medium, in every boot.
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
    /// The version of dracut, where a boot is by dracut.
    #[serde(skip)]
    pub version: Version,
    /// Versions of dracut that it holds of; otherwise all.
    #[serde(default)]
    versions: Option<Vec<Version>>,
    /// Media by name; without any there is `live`.
    #[serde(default, rename = "medium")]
    pub media: BTreeMap<String, Content>,
    /// Drives, in the order of their device lines.
    #[serde(default, rename = "drive")]
    pub drives: Vec<DriveSpec>,
    /// Roots that the guest can fetch, by the path behind `{HTTP}/` in its words; it then has a
    /// network card.
    #[serde(default)]
    pub serve: BTreeMap<String, RootForm>,
    /// What is done while it runs; of the only boot, as the next four.
    #[serde(default, rename = "step")]
    steps: Vec<Step>,
    #[serde(default)]
    expect: Expect,
    end: Option<End>,
    #[serde(default, rename = "check")]
    checks: Vec<Check>,
    /// The boots; never none once it has been read.
    #[serde(default, rename = "boot")]
    pub boots: Vec<Boot>,
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
    #[serde(rename = "seabios")]
    SeaBios,
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
/// All scenarios below `tests/boots`, by name.
pub fn gather(source: &Path) -> Result<Vec<Scenario>> {
    let dir = source.join("tests/boots");
    let mut found = Vec::new();
    for entry in fs::read_dir(&dir)
        .doing(format!("reading {}", dir.display()))?
        .flatten()
        .filter(|entry| entry.path().is_dir())
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
pub fn parse(name: &str, text: &str) -> Result<Scenario> {
    let mut scenario: Scenario = toml::from_str(text)?;
    scenario.name = name.to_owned();
    if scenario.media.is_empty() {
        scenario.media.insert("live".into(), Content::default());
    }
    if !KERNELS.iter().any(|(known, _)| *known == scenario.kernel) {
        fail!("no kernel {:?}", scenario.kernel);
    }
    let only = Boot {
        steps: std::mem::take(&mut scenario.steps),
        expect: std::mem::take(&mut scenario.expect),
        end: scenario.end.take(),
        checks: std::mem::take(&mut scenario.checks),
        ..Boot::default()
    };
    if scenario.boots.is_empty() {
        scenario.boots.push(only);
    } else if !only.steps.is_empty() || only.expect.says_anything() || !only.checks.is_empty() {
        fail!("steps, expectations and checks belong to a [[boot]], for there are some");
    }
    for (number, drive) in scenario.drives.iter().enumerate() {
        drive.check().doing(scenario.drive_id(number))?;
    }
    for boot in &scenario.boots {
        scenario.check_boot(boot)?;
    }
    if let Some(versions) = &scenario.versions {
        let Some(first) = versions.first() else {
            fail!("it holds of no version of dracut");
        };
        scenario.version = *first;
    }
    Ok(scenario)
}

impl Scenario {
    /// The id of a drive by its place in the file.
    pub fn drive_id(&self, number: usize) -> String {
        let given = self.drives.get(number).and_then(|drive| drive.id.clone());
        given.unwrap_or_else(|| format!("d{number}"))
    }

    /// The same with the other versions of dracut that it holds of, named `NAME@VERSION`.
    pub fn with_other_versions(&self) -> Vec<Scenario> {
        if self.boots.iter().all(|boot| boot.dracut.is_none()) {
            return Vec::new();
        }
        let holds = |version: &Version| {
            let versions = self.versions.as_ref();
            *version != self.version && versions.is_none_or(|some| some.contains(version))
        };
        let versions = Version::ALL.into_iter().filter(holds);
        versions
            .map(|version| Scenario {
                name: format!("{}@{}", self.name, version.name()),
                version,
                ..self.clone()
            })
            .collect()
    }

    fn check_boot(&self, boot: &Boot) -> Result<()> {
        let of_drives = self.drives.iter().filter_map(|drive| drive.medium.as_ref());
        let of_steps = boot.steps.iter().filter_map(|step| step.medium.as_ref());
        for medium in of_drives.chain(of_steps).chain(&boot.medium) {
            if !self.media.contains_key(medium) {
                fail!("no medium {medium:?}");
            }
        }
        let ids: Vec<String> = (0..self.drives.len()).map(|n| self.drive_id(n)).collect();
        for id in boot.drives.iter().flatten() {
            if !ids.contains(id) {
                fail!("no drive {id:?}");
            }
        }
        for check in &boot.checks {
            let at = check.check()?;
            if !ids.iter().any(|id| at.starts_with(&format!("{id}:"))) {
                fail!("no drive of {at:?}");
            }
        }
        boot.steps.iter().try_for_each(Step::check)?;
        if !boot.expect.says_anything() && boot.checks.is_empty() {
            fail!("it expects nothing, so it can't fail");
        }
        let inside = !boot.expect.facts.is_empty() || !boot.expect.report.is_empty();
        if boot.dracut.is_none() && !boot.with.is_empty() {
            fail!("modules of dracut go with `dracut`");
        }
        if !boot.expect.boots && inside {
            fail!("a machine that does not boot states no facts");
        }
        Ok(())
    }
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
    fn the_map_of_boots_names_scenarios_that_are_there() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let map = fs::read_to_string(source.join("tests/boots/README.md")).unwrap();
        let names: Vec<String> = gather(&source)
            .unwrap()
            .into_iter()
            .map(|scenario| scenario.name)
            .collect();
        let rows = map.lines().filter(|line| line.starts_with("| t"));
        let mut named = 0;
        for cell in rows.filter_map(|row| row.split('|').nth(2)) {
            for name in cell.split('`').skip(1).step_by(2) {
                assert!(
                    names.iter().any(|known| known == name),
                    "no scenario {name}"
                );
                named += 1;
            }
        }
        assert!(named > 30);
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
    fn boots_of_one_machine_say_what_they_expect_themselves() {
        let boots =
            "[[boot]]\n[boot.expect]\nfacts = ['a']\n[[boot]]\n[boot.expect]\nlines = ['b']\n";
        let scenario = parse("x", &format!("about = 'x'\n{boots}")).unwrap();
        assert_eq!(scenario.boots.len(), 2);
        assert!(
            parse(
                "x",
                &format!("about = 'x'\n{boots}[expect]\nfacts = ['a']\n")
            )
            .is_err()
        );
        assert!(parse("x", &format!("about = 'x'\n{boots}[[boot]]\n")).is_err());
    }

    #[test]
    fn a_check_names_a_drive_and_what_must_hold() {
        let scenario = |check: &str| {
            let text =
                format!("about = 'x'\n[[drive]]\nbus = 'usb'\nsize = 9\n[[check]]\n{check}\n");
            parse("x", &text)
        };
        assert!(scenario("clean = 'd0:3'").is_ok());
        assert!(scenario("clean = 'd1:3'").is_err());
        assert!(scenario("file = 'd0:3:/a'").is_err());
        assert!(scenario("file = 'd0:3:/a'\nhas = '*'").is_ok());
        assert!(scenario("file = 'd0:3:/a'\nhas = '*'\nabsent = true").is_err());
        assert!(scenario("clean = 'd0:3'\nsame = 'd0:3'").is_err());
        assert!(scenario("has = 'x'").is_err());
    }

    #[test]
    fn each_version_of_dracut_has_its_name() {
        let names = |more: &str| {
            let text = format!("about = 'x'\n{more}\n[[boot]]\n[boot.expect]\nfacts = ['a']\n");
            let text = text.replace("[[boot]]\n", "[[boot]]\ndracut = 'plain'\n");
            let others = parse("x", &text).unwrap().with_other_versions();
            others
                .into_iter()
                .map(|other| other.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(""), ["x@106", "x@112"]);
        assert!(names("versions = ['059']").is_empty());
        assert_eq!(names("versions = ['059', '112']"), ["x@112"]);
        let ours = parse("x", "about = 'x'\n[expect]\nfacts = ['a']\n").unwrap();
        assert!(ours.with_other_versions().is_empty());
    }

    #[test]
    fn a_step_does_one_thing() {
        let text = "about = 'x'\n[[step]]\nwait = 'a'\nsend = 'b'\n[expect]\nfacts = ['a']\n";
        assert!(parse("x", text).is_err());
    }
}
