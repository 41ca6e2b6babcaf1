//! `liveroot inspect` judged by firmware: twelve images, six of them broken on purpose, each
//! started by OVMF and by SeaBIOS, as a disc and as a stick. What was predicted must happen.
//!
//! What starts is a program of a few bytes that says a word on the serial line.

mod images;
mod program;

use crate::fail;
use crate::machine::drive::{Bus, Drive};
use crate::machine::{Firmware, Machine};
use crate::tool;
use crate::trouble::{Result, While};
use crate::world::World;
pub use images::{ALL, Image};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// What the programs say.
const EFI_SAYS: &str = "@@LR by efi";
const BIOS_SAYS: &str = "@@LR by bios";

/// Patience with what is predicted to start: a loaded machine is slow.
const STARTS_WITHIN: Duration = Duration::from_secs(120);
/// How long a BIOS that has handed over may take to a word, after which there will be none.
const BIOS_TAKES: Duration = Duration::from_secs(5);
/// What OVMF starts when all else could not be started; its prompt would be five seconds later.
const OVMF_GAVE_UP: &str = "\"EFI Internal Shell\"";
/// What SeaBIOS says on its debug port once it has handed over or given up.
const HANDED_OVER: &str = "Booting from ";
const GAVE_UP: &str = "No bootable device";

/// The ways that firmware can judge: name in the JSON, firmware, bus, the program's word.
const WAYS: [(&str, bool, Bus); 4] = [
    ("uefi-dvd", true, Bus::Cd),
    ("uefi-stick", true, Bus::Usb),
    ("bios-dvd", false, Bus::Cd),
    ("bios-stick", false, Bus::Usb),
];

/// Makes the image, asks `inspect`, boots it four ways; what was seen.
pub fn judge(world: &World, image: &Image) -> Result<String> {
    let dir = world.product.results(&format!("firmware-{}", image.name))?;
    let iso = image.make(&dir)?;
    let predicted = ask(world, &iso)?;
    let (mut seen, mut wrong) = (Vec::new(), Vec::new());
    for (way, uefi, bus) in WAYS {
        let (verdict, reasons) = predicted(way)?;
        let expected = match verdict.as_str() {
            "starts" => true,
            "fails" => false,
            other => fail!("{way}: inspect says {other:?}, which no firmware can judge"),
        };
        let place = dir.join(way);
        fs::create_dir_all(&place)?;
        let started = boot(world, &iso, uefi, bus, expected, &place)?;
        seen.push(format!("{way} {}", if started { "starts" } else { "-" }));
        if started != expected {
            wrong.push(format!(
                "{way}: predicted: {verdict} ({reasons}); it did {}start",
                if started { "" } else { "not " }
            ));
        }
        let wanted = image.starts.contains(&way);
        if wanted != started {
            wrong.push(format!(
                "{way}: the image is meant to {}start",
                if wanted { "" } else { "not " }
            ));
        }
    }
    if !wrong.is_empty() {
        fail!(
            "{}: {}\nevidence: {}",
            image.about,
            wrong.join("\n"),
            dir.display()
        );
    }
    // Images are large, and made anew in a moment.
    fs::remove_file(&iso)?;
    Ok(seen.join(", "))
}

/// The predictions of `liveroot inspect`: verdict and reasons of a way.
fn ask(world: &World, iso: &Path) -> Result<impl Fn(&str) -> Result<(String, String)> + use<>> {
    let output = Command::new(world.product.program())
        .args(["inspect", "--json"])
        .arg(iso)
        .output()
        .doing("asking liveroot inspect")?;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).doing(format!(
        "reading what inspect said: {}",
        String::from_utf8_lossy(&output.stderr)
    ))?;
    Ok(move |way: &str| {
        let ways = report["ways"].as_array().cloned().unwrap_or_default();
        let Some(one) = ways.iter().find(|one| one["way"] == way) else {
            fail!("inspect says nothing of {way}");
        };
        let verdict = one["verdict"].as_str().unwrap_or_default().to_owned();
        Ok((verdict, one["reasons"].to_string()))
    })
}

/// Whether the program on the image says its word.
fn boot(
    world: &World,
    iso: &Path,
    uefi: bool,
    bus: Bus,
    expected: bool,
    dir: &Path,
) -> Result<bool> {
    let firmware = match uefi {
        true => Firmware::Ovmf,
        false => Firmware::SeaBios,
    };
    let mut machine = Machine::new(firmware, vec![Drive::new("m", bus, iso.to_owned())]);
    machine.memory = 256;
    let log = dir.join("bios.log");
    if !uefi {
        machine.more = [
            "-chardev",
            &format!("file,id=bios,path={}", log.display()),
            "-device",
            "isa-debugcon,iobase=0x402,chardev=bios",
        ]
        .map(str::to_owned)
        .to_vec();
    }
    let mut guest = machine.start(&world.accel, dir)?;
    let started = match (uefi, expected) {
        (_, true) => {
            let says = if uefi { EFI_SAYS } else { BIOS_SAYS };
            guest.wait_for(says, STARTS_WITHIN).is_ok()
        }
        // OVMF says when it has nothing to start, SeaBIOS only on its debug port.
        (true, false) => {
            guest.wait_for(OVMF_GAVE_UP, STARTS_WITHIN).ok();
            guest.heard().contains(EFI_SAYS)
        }
        (false, false) => {
            wait_for_bios(&mut guest, &log)?;
            guest.heard().contains(BIOS_SAYS)
        }
    };
    guest.kill();
    Ok(started)
}

/// Until SeaBIOS has given up, or what it has handed over to has had its time.
fn wait_for_bios(guest: &mut crate::machine::guest::Guest, log: &Path) -> Result<()> {
    let deadline = Instant::now() + STARTS_WITHIN;
    let mut handed_over: Option<Instant> = None;
    while Instant::now() < deadline {
        guest.listen_for(Duration::from_millis(300))?;
        let said = fs::read(log).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        if said.contains(GAVE_UP) {
            return Ok(());
        }
        if handed_over.is_none() && said.contains(HANDED_OVER) {
            handed_over = Some(Instant::now());
        }
        if handed_over.is_some_and(|since| since.elapsed() > BIOS_TAKES) {
            return Ok(());
        }
    }
    fail!(
        "SeaBIOS did not try to boot:\n{}",
        tool::tail(&fs::read_to_string(log).unwrap_or_default(), 20)
    )
}
