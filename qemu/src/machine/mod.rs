//! The machine as an object: firmware, memory and drives; turned into a QEMU command line
//! here and into a running [`guest::Guest`] by [`Machine::start`].

pub mod accel;
pub mod drive;
pub mod guest;
pub mod process;
pub mod qmp;

use crate::trouble::Result;
use accel::Accel;
use drive::Drive;
use guest::Guest;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

const OVMF_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const OVMF_VARS: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
const QBOOT: &str = "/usr/share/qemu/qboot.rom";

/// What runs before the kernel.
#[derive(Clone, Debug)]
pub enum Firmware {
    /// Nothing to speak of: QEMU puts an uncompressed kernel in memory.
    Direct(Direct),
    /// UEFI, from a drive.
    Ovmf,
    /// BIOS, from a drive.
    SeaBios,
}

/// A kernel that QEMU loads by itself.
#[derive(Clone, Debug)]
pub struct Direct {
    /// The kernel ELF.
    pub kernel: PathBuf,
    /// Its initramfs.
    pub initrd: PathBuf,
    /// Its command line.
    pub words: String,
}

/// How the guest's clock runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// With the host's.
    Host,
    /// By executed instructions: figures repeat whatever else the host does.
    Instructions,
}

/// Devices beside the named drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Board {
    /// None, so that a test sees only what it asked for.
    Bare,
    /// QEMU's default ones, a screen and an empty CD drive among them.
    Usual,
}

/// A machine that is switched off.
#[derive(Clone, Debug)]
pub struct Machine {
    /// What runs first.
    pub firmware: Firmware,
    /// MiB.
    pub memory: u32,
    /// In the order of their device lines.
    pub drives: Vec<Drive>,
    /// The guest's time.
    pub clock: Clock,
    /// Other devices.
    pub board: Board,
    /// Words of QEMU's for what the drives above can't say.
    pub more: Vec<String>,
}

impl Machine {
    /// A bare machine.
    pub fn new(firmware: Firmware, drives: Vec<Drive>) -> Machine {
        Machine {
            firmware,
            memory: 1024,
            drives,
            clock: Clock::Host,
            board: Board::Bare,
            more: Vec::new(),
        }
    }

    /// Switches it on. `dir` receives the serial log and, on failure, all other evidence.
    pub fn start(&self, accel: &Accel, dir: &Path) -> Result<Guest> {
        Guest::start(self.arguments(accel), &self.drives, dir)
    }

    /// The command line, without what serial port and monitor are tied to.
    pub fn arguments(&self, accel: &Accel) -> Vec<OsString> {
        let mut line = Line(Vec::new());
        line.add(&[
            "-M",
            "q35",
            "-accel",
            accel.name(),
            "-cpu",
            accel.cpu(),
            "-smp",
            "1",
        ]);
        line.add(&[
            "-m",
            &self.memory.to_string(),
            "-display",
            "none",
            "-nic",
            "none",
            "-no-reboot",
        ]);
        if self.clock == Clock::Instructions {
            line.add(&["-icount", "shift=1,sleep=on"]);
        }
        if self.board == Board::Bare {
            line.add(&["-nodefaults"]);
        }
        match &self.firmware {
            Firmware::Direct(direct) => {
                if self.board == Board::Bare {
                    line.add(&["-bios", QBOOT]);
                }
                line.add(&["-kernel"])
                    .path(&direct.kernel)
                    .add(&["-initrd"])
                    .path(&direct.initrd);
                line.add(&["-append", &direct.words]);
            }
            Firmware::Ovmf => {
                line.add(&["-vga", "std"]);
                line.add(&[
                    "-drive",
                    &format!("if=pflash,format=raw,unit=0,readonly=on,file={OVMF_CODE}"),
                ]);
                // Variables are forgotten at the end.
                line.add(&[
                    "-drive",
                    &format!("if=pflash,format=raw,unit=1,snapshot=on,file={OVMF_VARS}"),
                ]);
            }
            Firmware::SeaBios => {
                line.add(&["-vga", "std"]);
            }
        }
        for drive in &self.drives {
            drive.arguments(&mut line);
        }
        line.0.extend(self.more.iter().map(OsString::from));
        line.0
    }
}

/// A command line that grows.
#[derive(Debug)]
pub struct Line(Vec<OsString>);

impl Line {
    /// Adds words.
    pub fn add(&mut self, words: &[&str]) -> &mut Line {
        self.0.extend(words.iter().map(OsString::from));
        self
    }

    /// Adds a file's name, of any bytes.
    pub fn path(&mut self, path: &Path) -> &mut Line {
        self.0.push(path.as_os_str().to_owned());
        self
    }
}
