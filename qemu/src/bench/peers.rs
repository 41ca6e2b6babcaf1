//! `qemu/bench peers`: our module of dracut beside dmsquash-live.
//!
//! Debian 12's dracut makes three initramfs a mode that are equal but for one module: ours,
//! dmsquash-live, neither. All have what dracut puts into any machine's, compressed as it does.
//! A module's share is the guest seconds until the init of the medium's root, with it, less
//! those until the init of a plain ext4 on a virtio disk, with neither: so that unpacking the
//! module counts, and finding another bus than virtio. Clock and medium are those of `stage`.

use super::table::{Form, Line};
use super::{Bench, Case, LABEL, rounded, size, uptime};
use crate::dracut::{self, Dracut, Order};
use crate::fail;
use crate::product::Product;
use crate::roots;
use crate::scenario::{RootForm, Version};
use crate::trouble::Result;
use crate::world::World;

const PEER: &str = "dmsquash-live";

/// Ours must not take more than so many times the peer's share.
const LIMIT_SYSTEMD: f64 = 0.5;
const LIMIT_PLAIN: f64 = 1.0;

/// Nor add more bytes than these to the initramfs.
const LIMIT_BYTES: u64 = 1 << 20;

/// For init and the medium; dmsquash-live finds the root of a flat image only with the last.
const WORDS: &str = "rd.live.image rd.live.overlay.overlayfs=1 init=/sbin/marker-init";

/// For a plain root. It is not checked: a live root is not either, and the disk can't be written.
const BASE_WORDS: &str = "root=/dev/vda ro rd.skipfsck fsck.mode=skip init=/sbin/marker-init";

/// Whether systemd runs in the initramfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Systemd,
    Plain,
}

const MODES: [Mode; 2] = [Mode::Systemd, Mode::Plain];

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Mode::Systemd => "systemd",
            Mode::Plain => "plain",
        }
    }

    fn limit(self) -> f64 {
        match self {
            Mode::Systemd => LIMIT_SYSTEMD,
            Mode::Plain => LIMIT_PLAIN,
        }
    }

    /// dracut's initramfs with this module.
    fn initramfs(self, world: &World, module: Option<&str>) -> Result<Dracut> {
        let omit = match self {
            Mode::Systemd => "",
            Mode::Plain => "--omit 'systemd dracut-systemd systemd-initrd'",
        };
        let add = module.map_or_else(String::new, |module| format!("--add {module}"));
        let order = Order {
            name: format!("bench-{}-{}", self.name(), module.unwrap_or("base")),
            version: Version::V059,
            words: format!("{add} {omit}"),
            must: module.iter().map(|&module| module.to_owned()).collect(),
            ours: module == Some("liveroot"),
        };
        dracut::initramfs(world, &order)
    }
}

/// One case of one mode.
struct Row {
    case: String,
    /// Seconds of both modules' share, and of our own initramfs, less the trivial one's.
    ours: f64,
    peer: f64,
    limit: f64,
    own: f64,
    /// Bytes that both modules add.
    ours_bytes: u64,
    peer_bytes: u64,
}

impl Row {
    fn ratio(&self) -> f64 {
        (self.ours / self.peer * 1000.0).round() / 1000.0
    }

    fn holds(&self) -> bool {
        self.ratio() <= self.limit && self.ours_bytes <= LIMIT_BYTES
    }
}

/// Runs it; whether the limits hold for these cases, or for all.
pub fn run(product: Product, cases: &[&str], form: Form) -> Result<bool> {
    let wanted = |case: Case, mode: Mode| {
        let name = format!("{}-{}", case.name(), mode.name());
        cases.is_empty() || cases.contains(&name.as_str())
    };
    let known = |name: &&&str| {
        let mut all = Case::ALL
            .into_iter()
            .flat_map(|case| MODES.map(|mode| (case, mode)));
        all.any(|(case, mode)| format!("{}-{}", case.name(), mode.name()) == ***name)
    };
    if let Some(name) = cases.iter().find(|name| !known(name)) {
        fail!("no case {name:?}; such as cd-systemd, usb-plain, virtio-plain");
    }
    product.build()?;
    let bench = Bench::prepare(World::open(product)?)?;
    let mut rows = Vec::new();
    let mut notes = Vec::new();
    let mut own = Vec::new();
    for case in Case::ALL {
        if !MODES.into_iter().any(|mode| wanted(case, mode)) {
            own.push(f64::NAN);
            continue;
        }
        let words = format!("root=live:LABEL={LABEL} {WORDS}");
        let name = format!("own-{}", case.name());
        own.push(bench.measure(&name, &bench.medium.initrd, &words, Some(case))?);
    }
    for mode in MODES {
        if !Case::ALL.into_iter().any(|case| wanted(case, mode)) {
            continue;
        }
        let base = mode.initramfs(&bench.world, None)?;
        let ours = mode.initramfs(&bench.world, Some("liveroot"))?;
        let peer = mode.initramfs(&bench.world, Some(PEER))?;
        let disk = roots::image(&bench.world.cache, RootForm::Ext4)?;
        let floor = uptime(
            &bench.world,
            &format!("base-{}", mode.name()),
            &base.kernel,
            &base.initrd,
            BASE_WORDS,
            Case::Virtio.drive(&disk),
        )?;
        let base_bytes = size(&base.initrd)?;
        notes.push(format!(
            "{}: a plain root after {floor:.2} s, {base_bytes} bytes with neither module",
            mode.name()
        ));
        for (case, own) in Case::ALL.into_iter().zip(&own) {
            if !wanted(case, mode) {
                continue;
            }
            let measure = |who: &str, dracut: &Dracut| {
                let seconds = uptime(
                    &bench.world,
                    &format!("{who}-{}-{}", case.name(), mode.name()),
                    &dracut.kernel,
                    &dracut.initrd,
                    &format!("root=live:LABEL={LABEL} {WORDS}"),
                    case.drive(&bench.medium.iso),
                );
                seconds.map(|seconds| rounded(seconds - floor))
            };
            rows.push(Row {
                case: format!("{}-{}", case.name(), mode.name()),
                ours: measure("ours", &ours)?,
                peer: measure("peer", &peer)?,
                limit: mode.limit(),
                own: *own,
                ours_bytes: size(&ours.initrd)?.saturating_sub(base_bytes),
                peer_bytes: size(&peer.initrd)?.saturating_sub(base_bytes),
            });
        }
    }
    match form {
        Form::Json => lines(&rows).iter().for_each(|line| println!("{line}")),
        Form::Table => print_table(&rows, &notes, bench.trivial, size(&bench.medium.initrd)?),
    }
    let holds = rows.iter().all(Row::holds);
    eprintln!("the limits hold: {}", if holds { "yes" } else { "no" });
    Ok(holds)
}

fn print_table(rows: &[Row], notes: &[String], trivial: f64, own_bytes: u64) {
    println!("\npeers: a module's share of the boot, guest seconds, and the bytes it adds");
    for note in notes {
        println!("{note}");
    }
    println!(
        "own: liveroot's own initramfs of {own_bytes} bytes, less the trivial one's {trivial:.2} s"
    );
    println!(
        "{:<16} {:>8} {:>14} {:>7} {:>7} {:>8} {:>12} {:>14}",
        "case", "ours", PEER, "ratio", "limit", "own", "our bytes", "peer's bytes"
    );
    for row in rows {
        println!(
            "{:<16} {:>8.2} {:>14.2} {:>7.3} {:>7.2} {:>8.2} {:>12} {:>14}{}",
            row.case,
            row.ours,
            row.peer,
            row.ratio(),
            row.limit,
            row.own,
            row.ours_bytes,
            row.peer_bytes,
            if row.holds() { "" } else { "  FAILED" }
        );
    }
}

/// Shares; then our own initramfs beside the peer; then bytes.
fn lines(rows: &[Row]) -> Vec<String> {
    let mut lines = Vec::new();
    for row in rows {
        let line = |bench, ours: f64, peer_value: f64, unit| Line {
            bench,
            case: &row.case,
            ours,
            peer: PEER,
            peer_value,
            unit,
            ratio: (ours / peer_value * 1000.0).round() / 1000.0,
        };
        let all = [
            line("peers", row.ours, row.peer, "s"),
            line("peers-own-initramfs", row.own, row.peer, "s"),
            line(
                "peers-bytes-added",
                row.ours_bytes as f64,
                row.peer_bytes as f64,
                "bytes",
            ),
        ];
        lines.extend(
            all.iter()
                .filter_map(|line| serde_json::to_string(line).ok()),
        );
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_of_time_and_of_bytes() {
        let row = |ours, ours_bytes| Row {
            case: "cd-systemd".into(),
            ours,
            peer: 4.0,
            limit: 0.5,
            own: 1.0,
            ours_bytes,
            peer_bytes: 9,
        };
        assert!(row(2.0, LIMIT_BYTES).holds());
        assert!(!row(2.1, 1).holds());
        assert!(!row(1.0, LIMIT_BYTES + 1).holds());
        assert!(
            lines(&[row(2.0, 3)])[0].starts_with(
                r#"{"bench":"peers","case":"cd-systemd","ours":2.0,"peer":"dmsquash-live","peer_value":4.0,"unit":"s","ratio":0.5}"#
            )
        );
    }
}
