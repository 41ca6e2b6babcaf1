//! `qemu/demo`: a Debian tree becomes an ISO, boots under OVMF, and a person, or
//! `--check`, logs in and looks.

use crate::fail;
use crate::machine::drive::{Bus, Drive};
use crate::machine::guest::Guest;
use crate::machine::{Firmware, Machine};
use crate::media::{self, Medium, Order};
use crate::product::Product;
use crate::trees;
use crate::trouble::{Result, While};
use crate::world::World;
use serde_json::Value;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

const MEMORY: u32 = 2048;

/// Firmware, kernel, all of Debian: some 30 CPU seconds by translation.
const STAGE_WITHIN: Duration = Duration::from_secs(300);

/// What is typed as root, and what has to come of it.
const ASSERTIONS: [(&str, &str); 9] = [
    (
        "/ is an overlay called LiveOS_rootfs",
        "[ \"$(findmnt -no SOURCE,FSTYPE / | tr -s ' ')\" = 'LiveOS_rootfs overlay' ]",
    ),
    (
        "its lower layer is a squashfs on a loop device",
        "findmnt -no SOURCE,FSTYPE /run/rootfsbase | grep -E '^/dev/loop[0-9]+ +squashfs$'",
    ),
    (
        "that loop device is backed by LiveOS/squashfs.img",
        "l=$(findmnt -no SOURCE /run/rootfsbase); grep 'LiveOS/squashfs.img$' /sys/block/${l#/dev/}/loop/backing_file",
    ),
    (
        "the medium is an ISO",
        "[ \"$(findmnt -no FSTYPE /run/initramfs/live)\" = iso9660 ]",
    ),
    (
        "writing works",
        "echo kept >/root/file && [ \"$(cat /root/file)\" = kept ]",
    ),
    (
        "a directory of the image can be renamed",
        "mv /usr/share/doc /usr/share/doc.renamed && ls /usr/share/doc.renamed >/dev/null",
    ),
    (
        "no unit has failed",
        "[ -z \"$(systemctl --failed --no-legend)\" ]",
    ),
    (
        "systemd knows how long the initrd took",
        "systemd-analyze time | grep initrd",
    ),
    (
        "the report is there",
        "grep -q '\"schema\"' /run/liveroot/report.json",
    ),
];

/// Boots it for a person.
pub fn show(product: Product) -> Result<()> {
    product.build()?;
    let world = World::open(product)?;
    let medium = medium(&world)?;
    println!();
    println!("Booting {}", medium.iso.display());
    println!(
        "This terminal is the machine's serial console. Log in as root; there is no password."
    );
    println!(
        "Try: findmnt /; less /run/liveroot/report.json; systemd-analyze. End with `poweroff`, or Ctrl-A X."
    );
    println!();
    let status = Command::new("qemu-system-x86_64")
        .args(machine(&medium).arguments(&world.accel))
        .args(["-serial", "mon:stdio"])
        .status()
        .doing("starting qemu-system-x86_64")?;
    if !status.success() {
        fail!("qemu-system-x86_64: {status}");
    }
    Ok(())
}

/// Boots it, looks from inside, and fails if anything is not as it should be.
pub fn check(product: Product) -> Result<()> {
    product.build()?;
    let world = World::open(product)?;
    let medium = medium(&world)?;
    let dir = world.product.results("demo")?;
    let mut guest = machine(&medium).start(&world.accel, &dir)?;
    match look(&mut guest, &dir) {
        Ok(cpu) => {
            println!("the demo boots and is what it should be; cpu {cpu:.1} s");
            Ok(())
        }
        Err(trouble) => {
            guest.abandon();
            fail!("{trouble}\nevidence: {}", dir.display());
        }
    }
}

fn medium(world: &World) -> Result<Medium> {
    let tree = trees::debian(&world.cache)?;
    // Firmware, menu, kernel and login speak on both.
    let order = Order {
        name: "debian12",
        label: "DEBIAN12",
        append: "console=tty0 console=ttyS0",
    };
    media::live(&world.cache, &world.product, &tree, &order)
}

fn machine(medium: &Medium) -> Machine {
    let mut machine = Machine::new(
        Firmware::Ovmf,
        vec![Drive::new("cd", Bus::Cd, medium.iso.clone())],
    );
    machine.memory = MEMORY;
    machine
}

/// CPU seconds of the whole run.
fn look(guest: &mut Guest, dir: &std::path::Path) -> Result<f64> {
    let start = Instant::now();
    let passed = |what: &str| println!("{:6.1} s  {what}", start.elapsed().as_secs_f64());
    guest.wait_for("BdsDxe: starting Boot", STAGE_WITHIN)?;
    passed("the firmware starts the medium's boot loader");
    guest.wait_for("Boot in", STAGE_WITHIN)?;
    passed("the menu is there");
    guest.send("\r")?;
    guest.wait_for("login: ", STAGE_WITHIN)?;
    passed("Debian asks for a login");
    guest.send("root\r")?;
    guest.wait_for("# ", STAGE_WITHIN)?;
    passed("root is logged in");
    let mut shell = Shell::enter(guest)?;
    // Until then units may still be starting.
    let (state, _) = shell.run("systemctl is-system-running --wait")?;
    passed(&format!("the system is {}", state.trim()));
    let mut broken = Vec::new();
    for (what, command) in ASSERTIONS {
        let (said, status) = shell.run(command)?;
        passed(&format!(
            "{} {what}",
            if status == 0 { "ok:    " } else { "FAILED:" }
        ));
        if status != 0 {
            broken.push(format!("{what}\n  {command}\n  {said}"));
        }
    }
    let (report, _) = shell.run("cat /run/liveroot/report.json")?;
    fs::write(dir.join("report.json"), &report)?;
    print_steps(&report)?;
    if !broken.is_empty() {
        let (failed, _) = shell.run(
            "systemctl --failed --no-pager; journalctl -b -p warning --no-pager | tail -n 30",
        )?;
        fail!("{}\n{failed}", broken.join("\n"));
    }
    shell.send("systemctl poweroff\r")?;
    guest.wait_end(STAGE_WITHIN)
}

/// The time of each step of the boot, as the agent reported it.
fn print_steps(report: &str) -> Result<()> {
    let report: Value = serde_json::from_str(report).doing("reading /run/liveroot/report.json")?;
    let Some(steps) = report["steps"].as_array().filter(|steps| !steps.is_empty()) else {
        fail!("the report tells no steps");
    };
    println!("\n  {:<24} {:>12} {:>12}", "step", "at, ms", "took, ms");
    for step in steps {
        let milliseconds = |name: &str| step[name].as_f64().unwrap_or(f64::NAN) / 1000.0;
        let name = step["name"].as_str().unwrap_or("?");
        println!(
            "  {name:<24} {:>12.1} {:>12.1}",
            milliseconds("at_us"),
            milliseconds("took_us")
        );
    }
    println!();
    Ok(())
}

/// A root shell at the other end of the serial line.
struct Shell<'a> {
    guest: &'a mut Guest,
    number: u32,
}

impl<'a> Shell<'a> {
    /// Makes the login shell one that neither echoes nor prompts.
    fn enter(guest: &'a mut Guest) -> Result<Shell<'a>> {
        // The login shell reads ahead: what is typed before the next prompt may be lost.
        guest.send("exec sh\r")?;
        guest.wait_for("# ", STAGE_WITHIN)?;
        let mut shell = Shell { guest, number: 0 };
        shell.send("stty -echo; PS1=; PS2=; export PAGER=cat SYSTEMD_PAGER= SYSTEMD_COLORS=0; dmesg -n 1\r")?;
        shell.run("true")?;
        Ok(shell)
    }

    fn send(&mut self, text: &str) -> Result<()> {
        self.guest.send(text)
    }

    /// What a command said, and its exit status.
    fn run(&mut self, command: &str) -> Result<(String, i32)> {
        self.number += 1;
        // The typed line may be echoed: it must not contain what is waited for.
        let (begin, end) = (
            format!("@@LR begin {}\r\n", self.number),
            format!("@@LR end {} ", self.number),
        );
        let line = format!(
            "printf '@@%s begin {0}\\n' LR; {{ {command}; }} 2>&1; printf '@@%s end {0} %s.\\n' LR $?\r",
            self.number
        );
        self.guest.send(&line)?;
        self.guest
            .wait_for(&end, STAGE_WITHIN)
            .doing(format!("running {command}"))?;
        self.guest.wait_for(".\r\n", STAGE_WITHIN)?;
        let heard = self.guest.heard();
        let (begin, end) = (begin.replace('\r', ""), end.as_str());
        let Some((said, rest)) = heard
            .rsplit_once(&begin)
            .and_then(|(_, rest)| rest.split_once(end))
        else {
            fail!("the answer to {command} is garbled");
        };
        let status = rest
            .split('.')
            .next()
            .and_then(|status| status.parse().ok())
            .unwrap_or(-1);
        Ok((said.to_owned(), status))
    }
}
