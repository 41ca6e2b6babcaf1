//! Which accelerator the guests run on.
//!
//! /dev/kvm proves nothing: there are machines where it opens and each guest then hangs or
//! aborts. So KVM is believed only after a 512-byte boot sector has ended the machine within
//! a second and a kernel has reached its init within three, with the CPU the tests use.

use super::{Direct, Firmware, Machine};
use crate::tool;
use crate::trouble::Result;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const SECTOR_WITHIN: &str = "1";
const KERNEL_WITHIN: Duration = Duration::from_secs(3);

/// mov ax,16; mov dx,0xf4; out dx,ax; hlt: ends QEMU with status 16 << 1 | 1.
const BOOT_SECTOR: [u8; 8] = [0xb8, 0x10, 0x00, 0xba, 0xf4, 0x00, 0xef, 0xf4];
const BOOT_SECTOR_STATUS: i32 = 33;

/// An accelerator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// The host's CPU.
    Kvm,
    /// Translation.
    Tcg,
}

impl Accel {
    /// QEMU's word.
    pub fn name(self) -> &'static str {
        match self {
            Accel::Kvm => "kvm",
            Accel::Tcg => "tcg",
        }
    }

    /// The CPU to show.
    pub fn cpu(self) -> &'static str {
        match self {
            Accel::Kvm => "host",
            Accel::Tcg => "max",
        }
    }

    /// Chooses, and says what and why. `probe` is a kernel whose initramfs says "@@LR ".
    pub fn choose(probe: impl FnOnce() -> Result<Direct>, scratch: &Path) -> Result<Accel> {
        let (accel, why) = match Accel::refusal(probe, scratch)? {
            None => (
                Accel::Kvm,
                "a boot sector and a kernel ran on it in time".to_owned(),
            ),
            Some(why) => (Accel::Tcg, why),
        };
        eprintln!("accelerator: {}: {why}", accel.name());
        Ok(accel)
    }

    /// Why KVM can't be used, if so.
    fn refusal(probe: impl FnOnce() -> Result<Direct>, scratch: &Path) -> Result<Option<String>> {
        if fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/kvm")
            .is_err()
        {
            return Ok(Some("/dev/kvm can't be opened".into()));
        }
        let status = run_boot_sector(&scratch.join("boot-sector.img"))?;
        if status != Some(BOOT_SECTOR_STATUS) {
            let ended = status.map_or("was killed".to_owned(), |status| {
                format!("ended with {status}")
            });
            return Ok(Some(format!(
                "/dev/kvm opens, but a boot sector on it {ended} instead of ending with 33 within {SECTOR_WITHIN} s"
            )));
        }
        let mut machine = Machine::new(Firmware::Direct(probe()?), Vec::new());
        machine.memory = 256;
        let mut guest = machine.start(&Accel::Kvm, scratch)?;
        match guest.wait_for("@@LR ", KERNEL_WITHIN) {
            Ok(()) => Ok(None),
            Err(trouble) => Ok(Some(format!(
                "/dev/kvm runs a boot sector but no kernel: {trouble}"
            ))),
        }
    }
}

/// The exit status of a machine that runs the boot sector; none if a signal ended it.
fn run_boot_sector(image: &Path) -> Result<Option<i32>> {
    let mut sector = [0u8; 512];
    sector[..BOOT_SECTOR.len()].copy_from_slice(&BOOT_SECTOR);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    fs::write(image, sector)?;
    // `-M pc`: the bare sector does not run on q35.
    let mut command = Command::new("timeout");
    command.args([
        "-s",
        "KILL",
        SECTOR_WITHIN,
        "qemu-system-x86_64",
        "-accel",
        "kvm",
        "-cpu",
        Accel::Kvm.cpu(),
    ]);
    command.args(["-M", "pc", "-m", "64", "-nodefaults", "-display", "none"]);
    command.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=2", "-drive"]);
    command.arg(format!("file={},format=raw,if=ide", image.display()));
    let done = command.output()?;
    fs::write(image.with_extension("txt"), tool::show(&command))?;
    Ok(done.status.code())
}
