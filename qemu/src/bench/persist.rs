//! `qemu/bench persist`: what the overlay costs those who write.
//!
//! In one guest, writes go through the overlay whose upper is on an ext4 partition of the boot
//! stick, and beside it to a directory of the same file system. The writer is
//! `qemu/guest/helper.rs`: batches of 1 MiB in a row, of 64 pages at random places of 8 MiB, and
//! of one such page, with an fsync behind each batch; batches go the one way and the other in
//! turns, so that both see the same disk, caches and host. It says the median batch of each
//! way; of several rounds the round with the median ratio counts. The guest's clock counts
//! instructions, but for its waits, which are the host's.

use super::BOOT_WITHIN;
use super::table::{Form, Line};
use crate::fail;
use crate::machine::accel::Accel;
use crate::machine::{Clock, Firmware, Machine};
use crate::play::prepare;
use crate::product::Product;
use crate::scenario;
use crate::trouble::{Result, While};
use crate::world::World;

/// Through the overlay it must be at least so many times as fast as without.
const LIMIT: f64 = 0.95;

/// How often each kind is written each way.
const ROUNDS: u32 = 5;

/// The machine, as a scenario's.
const MACHINE: &str = "
about = 'writes through the overlay and beside it'
[[drive]]
bus = 'usb'
medium = 'live'
size = 256
[[drive.partition]]
type = 'upper'
size = 160
fs = 'ext4'
[expect]
facts = ['measured *']
";

/// What is written: the helper's word for it, how much of what unit a batch is.
const KINDS: [(&str, f64, &str); 3] = [
    ("sequential", 1.0, "MiB/s"),
    ("random", 64.0, "pages/s"),
    ("fsync", 1.0, "fsyncs/s"),
];

/// Runs it; whether the limit holds for all kinds.
pub fn run(product: Product, form: Form) -> Result<bool> {
    product.build()?;
    let world = World::open(product)?;
    let heard = measure(&world)?;
    let mut holds = true;
    if form == Form::Table {
        println!(
            "\npersist: writes through the overlay and to the bare file system, medians of {ROUNDS} rounds"
        );
        println!(
            "{:<12} {:>10} {:>10} {:<10} {:>7}",
            "case", "ours", "bare", "", "ratio"
        );
    }
    for (kind, amount, unit) in KINDS {
        let mut rounds = times(&heard, kind);
        rounds.sort_by(|a, b| (a.1 / a.0).total_cmp(&(b.1 / b.0)));
        let Some((ours, bare)) = rounds.get(rounds.len() / 2) else {
            fail!("no figures of {kind}");
        };
        let (ours, bare) = (amount * 1e9 / ours, amount * 1e9 / bare);
        let ratio = (ours / bare * 1000.0).round() / 1000.0;
        holds &= ratio >= LIMIT;
        match form {
            Form::Table => println!("{kind:<12} {ours:>10.1} {bare:>10.1} {unit:<10} {ratio:>7.3}"),
            Form::Json => println!(
                "{}",
                serde_json::to_string(&Line {
                    bench: "persist",
                    case: kind,
                    ours: (ours * 10.0).round() / 10.0,
                    peer: "bare",
                    peer_value: (bare * 10.0).round() / 10.0,
                    unit,
                    ratio,
                })?
            ),
        }
    }
    eprintln!(
        "each at least {LIMIT} times: {}",
        if holds { "yes" } else { "no" }
    );
    Ok(holds)
}

/// What the guest said.
fn measure(world: &World) -> Result<String> {
    let mut scenario = scenario::parse("bench-persist", MACHINE)?;
    scenario.words = format!("lr.act=measure:{ROUNDS}");
    let dir = world.product.results("bench-persist")?;
    let media = prepare::media(world, &scenario)?;
    let drives = prepare::drives(world, &scenario, &media, &dir)?;
    let direct = prepare::direct(world, &scenario, &scenario.boots[0], &media, &dir)?;
    let mut machine = Machine::new(Firmware::Direct(direct), drives);
    machine.clock = Clock::Instructions;
    let mut guest = machine.start(&Accel::Tcg, &dir)?;
    let waited = guest.wait_for("@@LR end\r\n", BOOT_WITHIN);
    let heard = guest.heard();
    if let Err(trouble) = waited {
        guest.abandon();
        return Err(trouble).doing(format!("evidence in {}", dir.display()));
    }
    Ok(heard)
}

/// Nanoseconds of ours and of the bare file system, of each round.
fn times(heard: &str, kind: &str) -> Vec<(f64, f64)> {
    let start = format!("@@LR measured {kind} ");
    let lines = heard.lines().filter_map(|line| line.strip_prefix(&start));
    lines
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_one_kind_are_read_and_what_is_no_figure_is_not() {
        let heard = "@@LR measured fsync 10 20 round 1\nx\n@@LR measured random 1 2\n@@LR measured fsync No space 3\n";
        assert_eq!(times(heard, "fsync"), [(10.0, 20.0)]);
    }

    #[test]
    fn its_machine_can_be_read() {
        assert!(scenario::parse("x", MACHINE).is_ok());
    }
}
