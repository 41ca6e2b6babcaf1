//! Plays one scenario: prepares its drives, starts its machine once for each boot, checks
//! what came of it.

mod heard;
pub mod prepare;

use crate::disk::check::{self, Before};
use crate::fail;
use crate::machine::drive::Drive;
use crate::machine::guest::Guest;
use crate::machine::{Firmware, Machine};
use crate::media::Medium;
use crate::scenario::{Boot, End, Scenario, Start, Step};
use crate::trouble::{Result, Trouble, While};
use crate::world::World;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// For a step that names no time of its own. Hosts may be slow; a pass never waits for it.
const STEP_WITHIN: Duration = Duration::from_secs(150);

/// What was measured of a scenario that passed.
#[derive(Clone, Copy, Debug)]
pub struct Played {
    /// CPU seconds of QEMU.
    pub cpu: f64,
}

/// Runs it; the evidence of a failure is in `dir`.
pub fn play(world: &World, scenario: &Scenario, dir: &Path) -> Result<Played> {
    let media = prepare::media(world, scenario)?;
    let drives = prepare::drives(world, scenario, &media, dir)?;
    let mut played = Played { cpu: 0.0 };
    for (number, boot) in scenario.boots.iter().enumerate() {
        let stage = Stage {
            world,
            scenario,
            boot,
            media: &media,
        };
        let cpu = if scenario.boots.len() == 1 {
            stage.play(&drives, dir)?
        } else {
            let name = format!("boot-{}", number + 1);
            let dir = dir.join(&name);
            fs::create_dir_all(&dir)?;
            let what = [name.as_str(), &boot.about].join(" ");
            stage.play(&drives, &dir).doing(what.trim_end())?
        };
        played.cpu += cpu;
    }
    for (spec, drive) in scenario.drives.iter().zip(&drives) {
        if spec.bus.is_disk() {
            let _ = drive.file.as_ref().map(fs::remove_file);
        }
    }
    Ok(played)
}

/// One boot and what it is played with.
struct Stage<'a> {
    world: &'a World,
    scenario: &'a Scenario,
    boot: &'a Boot,
    media: &'a BTreeMap<String, Medium>,
}

impl Stage<'_> {
    /// CPU seconds of QEMU.
    fn play(&self, drives: &[Drive], dir: &Path) -> Result<f64> {
        let firmware = match self.boot.firmware.unwrap_or(self.scenario.firmware) {
            Start::Direct => Firmware::Direct(prepare::direct(
                self.world,
                self.scenario,
                self.boot,
                self.media,
                dir,
            )?),
            Start::Ovmf => Firmware::Ovmf,
            Start::SeaBios => Firmware::SeaBios,
        };
        let there = |drive: &&Drive| {
            let wanted = self.boot.drives.as_ref();
            wanted.is_none_or(|ids| ids.contains(&drive.id))
        };
        let before = Before::look(&self.scenario.drives, drives, &self.boot.checks)?;
        let mut machine = Machine::new(firmware, drives.iter().filter(there).cloned().collect());
        machine.memory = self.scenario.memory;
        let server = prepare::server(self.world, self.scenario)?;
        if let (Some(server), Firmware::Direct(direct)) = (&server, &mut machine.firmware) {
            direct.words = direct.words.replace("{HTTP}", &server.address());
            machine.more = vec!["-nic".into(), "user,model=virtio-net-pci".into()];
        }
        let mut guest = machine.start(&self.world.accel, dir)?;
        let run = self.run_steps(&mut guest);
        let heard = guest.heard();
        let report = heard::report_of(&heard);
        if let Some(report) = &report {
            fs::write(dir.join("report.json"), format!("{report:#}\n"))?;
        }
        if run.is_err() {
            guest.abandon();
        }
        let cpu = run?;
        let held = [
            heard::check(self.boot, &heard, report.as_ref()),
            before.compare(),
            check::run(&self.boot.checks, drives, dir),
        ];
        let broken: Vec<String> = held
            .into_iter()
            .filter_map(|held| held.err().map(|trouble| trouble.0))
            .collect();
        if broken.is_empty() {
            let _ = fs::remove_file(dir.join(prepare::APPENDED));
            return Ok(cpu);
        }
        Err(Trouble(broken.join("\n")))
    }

    /// CPU seconds of the whole run.
    fn run_steps(&self, guest: &mut Guest) -> Result<f64> {
        for step in &self.boot.steps {
            run_step(step, self.media, guest)?;
        }
        if self.boot.kill {
            return Ok(guest.kill());
        }
        let within = Duration::from_secs(self.boot.expect.within);
        if !self.boot.expect.boots {
            return guest.wait_end(within);
        }
        guest.wait_for("@@LR end\r\n", within)?;
        if self.boot.end == Some(End::Halt) {
            // A halted machine stays: only we can end it.
            guest.wait_for(End::Halt.line(), STEP_WITHIN)?;
            guest.quit()?;
        }
        let cpu = guest.wait_end(STEP_WITHIN)?;
        if let Some(id) = &self.boot.expect.ejected {
            let opened = |data: &Value| data["id"] == **id && data["tray-open"] == true;
            // QEMU has ended: the event has come or never will.
            guest
                .qmp
                .wait_event("DEVICE_TRAY_MOVED", STEP_WITHIN, opened)
                .doing(format!("the disc in {id} was not ejected"))?;
        }
        Ok(cpu)
    }
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
    if let Some(seconds) = step.pause {
        guest.listen_for(Duration::from_secs(seconds))?;
    }
    if let Some(id) = &step.insert {
        let Some(medium) = step.medium.as_ref().and_then(|name| media.get(name)) else {
            fail!("nothing to insert")
        };
        guest.drive(id)?.insert(&mut guest.qmp, &medium.iso)?;
    }
    Ok(())
}
