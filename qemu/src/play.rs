//! Plays one scenario: prepares its media, runs its machine, checks what came of it.

use crate::fail;
use crate::glob;
use crate::kernels;
use crate::machine::drive::{Bus, Drive};
use crate::machine::guest::Guest;
use crate::machine::{Direct, Firmware, Machine};
use crate::media::{self, Medium, Order};
use crate::scenario::{Scenario, Start, Step};
use crate::trees;
use crate::trouble::{Result, Trouble, While};
use crate::world::World;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For a step that names no time of its own. Hosts may be slow; a pass never waits for it.
const STEP_WITHIN: Duration = Duration::from_secs(150);

/// What was measured of a boot that passed.
#[derive(Clone, Copy, Debug)]
pub struct Played {
    /// CPU seconds of QEMU.
    pub cpu: f64,
}

/// Runs it; the evidence of a failure is in `dir`.
pub fn play(world: &World, scenario: &Scenario, dir: &Path) -> Result<Played> {
    let media = prepare_media(world, scenario)?;
    let drives = prepare_drives(scenario, &media, dir)?;
    let firmware = match scenario.firmware {
        Start::Direct => Firmware::Direct(direct(world, scenario, &media)?),
        Start::Ovmf => Firmware::Ovmf,
        Start::SeaBios => Firmware::SeaBios,
    };
    let mut machine = Machine::new(firmware, drives);
    machine.memory = scenario.memory;
    let mut guest = machine.start(&world.accel, dir)?;
    let run = run_steps(scenario, &media, &mut guest);
    let heard = guest.heard();
    let report = report_of(&heard);
    if let Some(report) = &report {
        fs::write(dir.join("report.json"), format!("{report:#}\n"))?;
    }
    let checked = run.and_then(|cpu| {
        check(scenario, &heard, report.as_ref())?;
        check_untouched(scenario, &media, &machine.drives)?;
        Ok(Played { cpu })
    });
    if checked.is_err() {
        guest.abandon();
    }
    for drive in machine.drives.iter().filter(|drive| drive.writable) {
        let _ = drive.file.as_ref().map(fs::remove_file);
    }
    checked
}

fn prepare_media(world: &World, scenario: &Scenario) -> Result<BTreeMap<String, Medium>> {
    let mut media = BTreeMap::new();
    for (name, content) in &scenario.media {
        let medium = if content.label_only {
            media::label_only(&world.cache, &content.label)?
        } else {
            let kernel = content.kernel.as_ref().unwrap_or(&scenario.kernel);
            let tree = trees::marker(&world.cache, &kernels::kernel(&world.cache, kernel)?)?;
            // All speak on the serial line, and a panic ends the machine.
            let append = format!("console=ttyS0 panic=-1 {}", content.append);
            let order = Order {
                name: &format!(
                    "marker-{kernel}-{}",
                    content.label.replace([' ', '#', '/'], "_")
                ),
                label: &content.label,
                append: append.trim(),
            };
            media::live(&world.cache, &world.product, &tree, &order)?
        };
        media.insert(name.clone(), medium);
    }
    Ok(media)
}

/// Disks get a copy of their own that the guest could write to: afterwards it must still be
/// what it was. CD drives read the original.
fn prepare_drives(
    scenario: &Scenario,
    media: &BTreeMap<String, Medium>,
    dir: &Path,
) -> Result<Vec<Drive>> {
    let mut drives = Vec::new();
    for (number, spec) in scenario.drives.iter().enumerate() {
        let id = spec.id.clone().unwrap_or_else(|| format!("d{number}"));
        let mut drive = Drive {
            id,
            bus: spec.bus,
            file: None,
            present: !spec.absent,
            writable: false,
        };
        if let Some(medium) = spec.medium.as_ref().and_then(|name| media.get(name)) {
            drive.writable = spec.bus.is_disk();
            drive.file = Some(if drive.writable {
                copy(
                    &medium.iso,
                    &dir.join(format!("{}.img", drive.id)),
                    spec.bus,
                )?
            } else {
                medium.iso.clone()
            });
        }
        drives.push(drive);
    }
    Ok(drives)
}

fn copy(from: &Path, to: &Path, bus: Bus) -> Result<PathBuf> {
    let length = fs::copy(from, to).doing(format!("copying {}", from.display()))?;
    if bus == Bus::Sd {
        // QEMU makes only cards of a power of two.
        fs::OpenOptions::new()
            .write(true)
            .open(to)?
            .set_len(length.next_power_of_two())?;
    }
    Ok(to.to_owned())
}

/// The kernel with the initramfs and the words of the medium `live`, as its own boot loader
/// would start it; but on the console that the scenario asks for.
fn direct(world: &World, scenario: &Scenario, media: &BTreeMap<String, Medium>) -> Result<Direct> {
    let kernel = kernels::kernel(&world.cache, &scenario.kernel)?;
    let Some(live) = media.get("live") else {
        fail!("a direct boot needs a medium called `live`")
    };
    let leave_out = |word: &&str| {
        word.starts_with("console=") || scenario.without.iter().any(|p| glob::fits(p, word))
    };
    let baked: Vec<&str> = words_of(&live.words)
        .into_iter()
        .filter(|word| !leave_out(word))
        .collect();
    let words = format!(
        "{} console={} {}",
        baked.join(" "),
        scenario.console,
        scenario.words
    );
    Ok(Direct {
        kernel: kernel.vmlinux,
        initrd: live.initrd.clone(),
        words: words.trim().to_owned(),
    })
}

/// The words of a command line; blanks in double quotes part none.
fn words_of(line: &str) -> Vec<&str> {
    let mut quoted = false;
    let part = |c: char| {
        quoted ^= c == '"';
        c == ' ' && !quoted
    };
    line.split(part).filter(|word| !word.is_empty()).collect()
}

/// CPU seconds of the whole run.
fn run_steps(
    scenario: &Scenario,
    media: &BTreeMap<String, Medium>,
    guest: &mut Guest,
) -> Result<f64> {
    for step in &scenario.steps {
        run_step(step, media, guest)?;
    }
    let within = Duration::from_secs(scenario.expect.within);
    if scenario.expect.boots {
        guest.wait_for("@@LR end\r\n", within)?;
        return guest.wait_end(STEP_WITHIN);
    }
    guest.wait_end(within)
}

fn run_step(step: &Step, media: &BTreeMap<String, Medium>, guest: &mut Guest) -> Result<()> {
    let within = step.within.map_or(STEP_WITHIN, Duration::from_secs);
    if let Some(marker) = &step.wait {
        guest.wait_for(marker, within)?;
    }
    if let Some(text) = &step.send {
        guest.send(text)?;
    }
    if let Some(id) = &step.plug {
        guest.drive(id)?.plug(&mut guest.qmp)?;
    }
    if let Some(id) = &step.pull {
        guest.drive(id)?.pull(&mut guest.qmp, within)?;
    }
    if let Some(id) = &step.insert {
        let Some(medium) = step.medium.as_ref().and_then(|name| media.get(name)) else {
            fail!("nothing to insert")
        };
        guest.drive(id)?.insert(&mut guest.qmp, &medium.iso)?;
    }
    Ok(())
}

/// report.json as the guest printed it.
fn report_of(heard: &str) -> Option<Value> {
    let line = heard
        .lines()
        .find_map(|line| line.strip_prefix("@@LR report "))?;
    serde_json::from_str(line).ok()
}

/// All that does not hold, in one error.
fn check(scenario: &Scenario, heard: &str, report: Option<&Value>) -> Result<()> {
    let expect = &scenario.expect;
    let lines: Vec<&str> = heard.lines().collect();
    let facts: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("@@LR "))
        .collect();
    let mut broken = Vec::new();
    for word in ["Kernel panic", "Oops:", "BUG:"] {
        broken.extend(
            lines
                .iter()
                .filter(|line| line.contains(word))
                .map(|line| (*line).to_owned()),
        );
    }
    let mut hold = |what: &str, patterns: &[String], texts: &[&str], wanted: bool| {
        for pattern in patterns {
            if texts.iter().any(|text| glob::fits(pattern, text)) != wanted {
                broken.push(format!("{what}: {pattern}"));
            }
        }
    };
    hold("missing fact", &expect.facts, &facts, true);
    hold("unwanted fact", &expect.no_facts, &facts, false);
    hold("missing line", &expect.lines, &lines, true);
    hold("unwanted line", &expect.no_lines, &lines, false);
    for (path, wanted) in &expect.report {
        let found = report.and_then(|report| value_at(report, path));
        if !found
            .as_ref()
            .is_some_and(|found| glob::fits(wanted, found))
        {
            broken.push(format!("report.json: {path} is {found:?}, not {wanted:?}"));
        }
    }
    if broken.is_empty() {
        Ok(())
    } else {
        Err(Trouble(broken.join("\n")))
    }
}

/// The value at a dotted path, as text; `[]` in a path joins all members of a list.
fn value_at(report: &Value, path: &str) -> Option<String> {
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    if let Some((list, member)) = path.split_once("[].") {
        let list = report
            .pointer(&format!("/{}", list.replace('.', "/")))?
            .as_array()?;
        return Some(
            list.iter()
                .filter_map(|item| item.get(member))
                .map(text)
                .collect::<Vec<_>>()
                .join("; "),
        );
    }
    report
        .pointer(&format!("/{}", path.replace('.', "/")))
        .filter(|value| !value.is_null())
        .map(text)
}

/// No boot may write to a medium that nobody asked it to write to.
fn check_untouched(
    scenario: &Scenario,
    media: &BTreeMap<String, Medium>,
    drives: &[Drive],
) -> Result<()> {
    for (spec, drive) in scenario
        .drives
        .iter()
        .zip(drives)
        .filter(|(_, drive)| drive.writable)
    {
        let original = spec.medium.as_ref().and_then(|name| media.get(name));
        if let (Some(original), Some(copy)) = (original, &drive.file)
            && !fs::read(copy)?.starts_with(&fs::read(&original.iso)?)
        {
            fail!("the boot wrote to drive {}", drive.id);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_quoted_word_stays_whole() {
        assert_eq!(
            words_of("\"root=live:LABEL=A B\"  quiet"),
            ["\"root=live:LABEL=A B\"", "quiet"]
        );
    }

    #[test]
    fn report_values_are_found_by_path() {
        let report = json!({"medium": {"label": "L", "uuid": null}, "candidates": [{"verdict": "refused"}, {"verdict": "accepted"}]});
        assert_eq!(value_at(&report, "medium.label").as_deref(), Some("L"));
        assert_eq!(
            value_at(&report, "candidates[].verdict").as_deref(),
            Some("refused; accepted")
        );
        assert_eq!(value_at(&report, "medium.uuid"), None);
        assert_eq!(value_at(&report, "medium.size"), None);
    }
}
