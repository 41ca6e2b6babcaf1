//! `qemu/bench`: ours beside its peers, in one run, on one machine.
//!
//! `stage` measures what the initramfs stage costs: guest seconds until the new root's init
//! runs, less those until the init of an initramfs that does nothing. The guest's clock
//! counts instructions (`-icount shift=1,sleep=on`), so the figures repeat to about 0.02 s
//! whatever else the host does. Peers: two hand-made floors, see [`floor`]. `persist` is in
//! [`persist`], `peers` in [`peers`], `build`, which starts no guest, in [`build`].

pub mod build;
mod floor;
pub mod peers;
pub mod persist;
mod table;

use crate::initramfs;
use crate::machine::accel::Accel;
use crate::machine::{Board, Clock, Direct, Firmware, Machine};
use crate::media::{self, Medium, Order};
use crate::product::Product;
use crate::trees::{self, Tree};
use crate::trouble::{Result, Trouble, While};
use crate::world::World;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
pub use table::Form;
use table::Row;

const LABEL: &str = "BENCH";
const WORDS: &str = "console=ttyS0 panic=-1 quiet";
const MEMORY: u32 = 2048;

/// Counting instructions makes a guest some three times slower.
const BOOT_WITHIN: Duration = Duration::from_secs(400);

/// What the medium hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// SATA CD drive.
    Cd,
    /// USB 3 stick.
    Usb,
    /// virtio disk.
    Virtio,
}

impl Case {
    /// In the order of the table.
    const ALL: [Case; 3] = [Case::Cd, Case::Usb, Case::Virtio];

    /// As in the table.
    pub fn name(self) -> &'static str {
        match self {
            Case::Cd => "cd",
            Case::Usb => "usb",
            Case::Virtio => "virtio",
        }
    }

    /// The medium's device node; the bare floor knows it.
    fn node(self) -> &'static str {
        match self {
            Case::Cd => "/dev/sr0",
            Case::Usb => "/dev/sda",
            Case::Virtio => "/dev/vda",
        }
    }

    /// QEMU's words: the same as where the peers' figures come from.
    fn drive(self, iso: &Path) -> Vec<String> {
        let iso = iso.display();
        let words: Vec<String> = match self {
            Case::Cd => vec![format!("file={iso},media=cdrom,readonly=on")],
            Case::Usb => vec![format!("if=none,id=u,file={iso},format=raw,readonly=on")],
            Case::Virtio => vec![format!("if=virtio,file={iso},format=raw,readonly=on")],
        };
        let mut line = vec!["-drive".to_owned()];
        line.extend(words);
        if self == Case::Usb {
            line.extend(
                ["-device", "qemu-xhci", "-device", "usb-storage,drive=u"].map(str::to_owned),
            );
        }
        line
    }
}

/// What all boots of a run share.
struct Bench {
    world: World,
    kernel: PathBuf,
    tree: Tree,
    medium: Medium,
    trivial: f64,
}

/// Runs the bench `stage`.
pub fn stage(product: Product, form: Form) -> Result<()> {
    product.build()?;
    let bench = Bench::prepare(World::open(product)?)?;
    let modules = initramfs::modules(&bench.medium.initrd)?;
    let ours_bytes = size(&bench.medium.initrd)?;
    let mut rows = Vec::new();
    for case in Case::ALL {
        let words = format!("root=live:LABEL={LABEL} rd.live.image init=/sbin/marker-init");
        let ours = bench.measure(
            &format!("ours-{}", case.name()),
            &bench.medium.initrd,
            &words,
            Some(case),
        )?;
        for floor in [
            floor::bare(&bench.world.cache, &bench.tree, case)?,
            floor::modalias(&bench.world.cache, &bench.tree, case, &modules)?,
        ] {
            let peer = bench.measure(
                &format!("{}-{}", floor.name, case.name()),
                &floor.initrd,
                "",
                Some(case),
            )?;
            rows.push(Row {
                case: case.name(),
                peer: floor.name,
                ours,
                peer_value: peer,
                ours_bytes,
                peer_bytes: size(&floor.initrd)?,
            });
        }
    }
    table::print(
        "stage",
        &rows,
        form,
        &format!("less the trivial initramfs's {:.2} s", bench.trivial),
    );
    Ok(())
}

impl Bench {
    fn prepare(world: World) -> Result<Bench> {
        let tree = trees::debian_with_marker(&world.cache)?;
        let order = Order {
            name: "bench",
            label: LABEL,
            append: "",
        };
        let medium = media::live(&world.cache, &world.product, &tree, &order)?;
        let kernel = trees::kernel_elf(&world.cache, &tree)?;
        let mut bench = Bench {
            world,
            kernel,
            tree,
            medium,
            trivial: 0.0,
        };
        bench.trivial = bench.measure(
            "trivial",
            &initramfs::trivial(&bench.world.cache)?,
            "",
            None,
        )?;
        Ok(bench)
    }

    /// Guest seconds at the marker, less the trivial initramfs's.
    fn measure(&self, name: &str, initrd: &Path, words: &str, case: Option<Case>) -> Result<f64> {
        let drive = case.map(|case| case.drive(&self.medium.iso));
        let uptime = uptime(
            &self.world,
            name,
            &self.kernel,
            initrd,
            words,
            drive.unwrap_or_default(),
        )?;
        Ok(rounded(uptime - self.trivial))
    }
}

/// To hundredths of a second, as finely as figures repeat.
fn rounded(seconds: f64) -> f64 {
    (seconds * 100.0).round() / 100.0
}

/// Guest seconds at the marker; `drive` are QEMU's words for what the machine has.
fn uptime(
    world: &World,
    name: &str,
    kernel: &Path,
    initrd: &Path,
    words: &str,
    drive: Vec<String>,
) -> Result<f64> {
    let words = format!("{WORDS} {words}");
    let direct = Direct {
        kernel: kernel.to_owned(),
        initrd: initrd.to_owned(),
        words: words.trim().to_owned(),
    };
    let mut machine = Machine::new(Firmware::Direct(direct), Vec::new());
    machine.memory = MEMORY;
    machine.clock = Clock::Instructions;
    machine.board = Board::Usual;
    machine.more = drive;
    let dir = world.product.results(&format!("bench-{name}"))?;
    let mut guest = machine.start(&Accel::Tcg, &dir)?;
    let waited = guest
        .wait_for("@@LR uptime ", BOOT_WITHIN)
        .and_then(|()| guest.wait_for("\n", BOOT_WITHIN));
    let heard = guest.heard();
    if let Err(trouble) = waited {
        guest.abandon();
        return Err(trouble).doing(format!("{name}, evidence in {}", dir.display()));
    }
    let uptime = heard
        .split_once("@@LR uptime ")
        .and_then(|(_, rest)| rest.split_whitespace().next()?.parse::<f64>().ok());
    let uptime = uptime.ok_or_else(|| Trouble(format!("{name}: no figure behind the marker")))?;
    eprintln!("{name}: {uptime:.2} s");
    Ok(uptime)
}

fn size(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path)
        .doing(format!("looking at {}", path.display()))?
        .len())
}
