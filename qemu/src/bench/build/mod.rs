//! `qemu/bench build`: our writers beside the programs that people make live media with.
//!
//! `liveroot pack` and mksquashfs pack the same trees with the same options, in turns, after
//! one look through the tree that brings it into memory; of several rounds the least of each
//! figure counts, since whatever else a machine does only adds. CPU seconds are those of all
//! processes (wait4(2)), memory is the largest resident set. `fast` is a whole medium,
//! `liveroot build --fast` beside a chain of four programs; `after` is the part of a build
//! that follows its payload, timed by its lines on standard error.

mod inputs;
mod measure;
mod peers;

use super::table::{Form, Line};
use crate::cache::Cache;
use crate::fail;
use crate::product::Product;
use crate::tool;
use crate::trouble::{Result, While};
use measure::Taken;
use peers::Effort;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How often each side runs, unless the command line says otherwise.
pub const ROUNDS: usize = 2;

/// Ours must not have more than so many times the peer's.
const LIMIT_SIZE: f64 = 1.002;
const LIMIT_TIME: f64 = 1.05;
const LIMIT_FAST: f64 = 0.8;
/// Nor so many MB in memory, whatever the peer has.
const LIMIT_MEMORY: f64 = 150.0;
/// Of the time of a build, what follows the payload.
const LIMIT_AFTER: f64 = 0.03;
/// Four times the files, of the time for one.
const LIMIT_COPIES: f64 = 1.5;

const MKSQUASHFS: &str = "mksquashfs";
const CHAIN: &str = "chain";

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Size,
    Cpu,
    Wall,
    Memory,
    Fast,
    After,
    Random,
    Copies,
}

impl Case {
    const ALL: [Case; 8] = [
        Case::Size,
        Case::Cpu,
        Case::Wall,
        Case::Memory,
        Case::Fast,
        Case::After,
        Case::Random,
        Case::Copies,
    ];

    fn name(self) -> &'static str {
        match self {
            Case::Size => "size",
            Case::Cpu => "cpu",
            Case::Wall => "wall",
            Case::Memory => "memory",
            Case::Fast => "fast",
            Case::After => "after",
            Case::Random => "random",
            Case::Copies => "copies",
        }
    }
}

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    /// Ours by the peer's.
    Ratio(f64),
    /// Ours alone.
    Most(f64),
}

/// A figure of ours beside a peer's.
#[derive(Clone, Debug)]
struct Row {
    case: String,
    ours: f64,
    peer: &'static str,
    peer_value: f64,
    unit: &'static str,
    limit: Limit,
}

impl Row {
    /// Finely enough for the limit of sizes.
    fn ratio(&self) -> f64 {
        (self.ours / self.peer_value * 10_000.0).round() / 10_000.0
    }

    fn holds(&self) -> bool {
        match self.limit {
            Limit::Ratio(limit) => self.ratio() <= limit,
            Limit::Most(limit) => self.ours <= limit,
        }
    }
}

/// What the command line asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    cases: Vec<Case>,
    rounds: usize,
    is_json: bool,
}

impl Choice {
    /// `[CASE]... [--rounds N] [--json]`; nothing if a word is unknown.
    pub fn parse(words: &[&str]) -> Option<Choice> {
        let mut choice = Choice {
            cases: Vec::new(),
            rounds: ROUNDS,
            is_json: false,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--json" => choice.is_json = true,
                "--rounds" => choice.rounds = words.next()?.parse().ok().filter(|n| *n > 0)?,
                word => choice
                    .cases
                    .push(Case::ALL.into_iter().find(|case| case.name() == word)?),
            }
        }
        Some(choice)
    }

    fn wants(&self, case: Case) -> bool {
        self.cases.is_empty() || self.cases.contains(&case)
    }
}

/// Runs it; whether the limits hold.
pub fn run(product: Product, choice: &Choice) -> Result<bool> {
    product.build()?;
    let dir = product.results("bench-build")?;
    let bench = Bench {
        cache: Cache::open()?,
        product,
        rounds: choice.rounds,
        dir,
    };
    let mut rows = Vec::new();
    let of_both = [Case::Size, Case::Cpu, Case::Wall, Case::Memory];
    if of_both.into_iter().any(|case| choice.wants(case)) {
        for (name, tree) in [
            ("debian", inputs::debian(&bench.cache)?),
            ("small", inputs::small(&bench.cache)?),
        ] {
            let (ours, peer) = bench.pack(name, &tree)?;
            let cases = of_both.into_iter().filter(|case| choice.wants(*case));
            rows.extend(cases.map(|case| row(case, name, ours, peer)));
        }
    }
    if choice.wants(Case::Random) {
        let (ours, peer) = bench.pack("random", &inputs::random(&bench.cache)?)?;
        let cases = [Case::Size, Case::Cpu, Case::Wall];
        rows.extend(cases.map(|case| row(case, "random", ours, peer)));
    }
    if choice.wants(Case::Copies) {
        rows.extend(bench.copies()?);
    }
    if choice.wants(Case::Fast) {
        rows.extend(bench.fast()?);
    }
    if choice.wants(Case::After) {
        rows.push(bench.after()?);
    }
    let form = match choice.is_json {
        true => Form::Json,
        false => Form::Table,
    };
    show(&rows, form, choice.rounds);
    let holds = rows.iter().all(Row::holds);
    eprintln!("the limits hold: {}", if holds { "yes" } else { "no" });
    Ok(holds)
}

/// One figure of what both took.
fn row(case: Case, tree: &str, ours: Taken, peer: Taken) -> Row {
    let (ours, peer_value, unit, limit) = match case {
        Case::Size => {
            let limit = Limit::Ratio(LIMIT_SIZE);
            (ours.bytes as f64, peer.bytes as f64, "bytes", limit)
        }
        Case::Memory => (ours.memory, peer.memory, "MB", Limit::Most(LIMIT_MEMORY)),
        Case::Wall => (ours.wall, peer.wall, "s", Limit::Ratio(LIMIT_TIME)),
        _ => (ours.cpu, peer.cpu, "s", Limit::Ratio(LIMIT_TIME)),
    };
    let figure = match case {
        Case::Size | Case::Memory | Case::Wall => case.name(),
        _ => Case::Cpu.name(),
    };
    Row {
        case: format!("{figure}-{tree}"),
        ours,
        peer: MKSQUASHFS,
        peer_value,
        unit,
        limit,
    }
}

struct Bench {
    product: Product,
    cache: Cache,
    rounds: usize,
    dir: PathBuf,
}

impl Bench {
    /// Ours and mksquashfs.
    fn pack(&self, name: &str, tree: &Path) -> Result<(Taken, Taken)> {
        self.in_turns(
            name,
            tree,
            |output| peers::ours(&self.product, Effort::Usual, tree, output),
            |output| peers::mksquashfs(Effort::Usual, tree, output),
        )
    }

    /// A tree whose files are there four times: beside mksquashfs, and beside the files once.
    fn copies(&self) -> Result<Vec<Row>> {
        let (four, one) = (
            inputs::copies(&self.cache, false)?,
            inputs::copies(&self.cache, true)?,
        );
        let (ours, peer) = self.pack("copies", &four)?;
        let mut rows: Vec<Row> = [Case::Size, Case::Cpu, Case::Wall]
            .map(|case| row(case, "copies", ours, peer))
            .to_vec();
        let (four, one) = self.in_turns(
            "once",
            &one,
            |output| peers::ours(&self.product, Effort::Usual, &four, output),
            |output| peers::ours(&self.product, Effort::Usual, &one, output),
        )?;
        rows.push(Row {
            case: "cpu-four-of-once".into(),
            ours: four.cpu,
            peer: "ours, once",
            peer_value: one.cpu,
            unit: "s",
            limit: Limit::Ratio(LIMIT_COPIES),
        });
        Ok(rows)
    }

    /// A whole medium, as fast as may be, beside the chain.
    fn fast(&self) -> Result<Vec<Row>> {
        let help = tool::text(Command::new(self.product.program()).args(["build", "--help"]))?;
        if !help.contains("--fast") {
            fail!("fast: `liveroot build` has no --fast");
        }
        let tree = inputs::debian(&self.cache)?;
        let scratch = self.dir.join("chain");
        let (ours, peer) = self.in_turns(
            "fast",
            &tree,
            |output| peers::ours_whole(&self.product, Effort::Fast, &tree, output),
            |output| peers::chain(Effort::Fast, &tree, output, &scratch),
        )?;
        let limit = Limit::Ratio(LIMIT_FAST);
        let row = |figure: &str, ours, peer_value| Row {
            case: format!("fast-{figure}"),
            ours,
            peer: CHAIN,
            peer_value,
            unit: "s",
            limit,
        };
        Ok(vec![
            row("wall", ours.wall, peer.wall),
            row("cpu", ours.cpu, peer.cpu),
        ])
    }

    /// What follows the payload, beside the whole build.
    fn after(&self) -> Result<Row> {
        let tree = inputs::debian(&self.cache)?;
        let output = self.dir.join("after.iso");
        let mut command = peers::ours_whole(&self.product, Effort::Usual, &tree, &output);
        read_through(&tree)?;
        let taken = measure::run(&mut command, &output, &self.dir.join("after.log"))?;
        tell("after ours", taken);
        measure::remove(&output)?;
        if taken.after == 0.0 {
            fail!("after: `liveroot build` did not say when its payload was done");
        }
        Ok(Row {
            case: "after-payload".into(),
            ours: taken.after,
            peer: "whole build",
            peer_value: taken.wall,
            unit: "s",
            limit: Limit::Ratio(LIMIT_AFTER),
        })
    }

    /// Both, in turns, the least of each figure; what they make is removed.
    fn in_turns(
        &self,
        name: &str,
        tree: &Path,
        ours: impl Fn(&Path) -> Command,
        peer: impl Fn(&Path) -> Command,
    ) -> Result<(Taken, Taken)> {
        read_through(tree)?;
        let measure = |side: &str, command: &dyn Fn(&Path) -> Command| {
            let output = self.dir.join(format!("{name}-{side}.img"));
            let log = self.dir.join(format!("{name}-{side}.log"));
            let taken = measure::run(&mut command(&output), &output, &log)?;
            measure::remove(&output)?;
            tell(&format!("{name} {side}"), taken);
            Ok::<_, crate::trouble::Trouble>(taken)
        };
        let mut least: Option<(Taken, Taken)> = None;
        for round in 0..self.rounds {
            // Who begins changes: what the other left behind in the caches is fair then.
            let both = match round % 2 {
                0 => {
                    let ours = measure("ours", &ours)?;
                    (ours, measure("peer", &peer)?)
                }
                _ => {
                    let peer = measure("peer", &peer)?;
                    (measure("ours", &ours)?, peer)
                }
            };
            least = Some(match least {
                Some((ours, peer)) => (ours.least(both.0), peer.least(both.1)),
                None => both,
            });
        }
        match least {
            Some(least) => Ok(least),
            None => fail!("{name}: no rounds"),
        }
    }
}

fn tell(name: &str, taken: Taken) {
    eprintln!(
        "{name}: {:.2} s of CPU, {:.2} s, {:.0} MB, {} bytes",
        taken.cpu, taken.wall, taken.memory, taken.bytes
    );
}

/// Brings a tree into memory, so that nobody pays for its disk.
fn read_through(tree: &Path) -> Result<()> {
    tool::shell("tar -cf - -C \"$1\" . | cat >/dev/null", &[&tree])
        .map(drop)
        .doing("reading the tree")
}

fn show(rows: &[Row], form: Form, rounds: usize) {
    if form == Form::Json {
        for row in rows {
            let line = Line {
                bench: "build",
                case: &row.case,
                ours: row.ours,
                peer: row.peer,
                peer_value: row.peer_value,
                unit: row.unit,
                ratio: row.ratio(),
            };
            if let Ok(line) = serde_json::to_string(&line) {
                println!("{line}");
            }
        }
        return;
    }
    println!("\nbuild: the least of {rounds} rounds each");
    println!(
        "{:<18} {:>13} {:<12} {:>13} {:<5} {:>8} {:>12}",
        "case", "ours", "peer", "peer's", "", "ratio", "limit"
    );
    for row in rows {
        let figure = |value: f64| match row.unit {
            "bytes" => format!("{value:.0}"),
            _ => format!("{value:.2}"),
        };
        let limit = match row.limit {
            Limit::Ratio(limit) => format!("{limit}"),
            Limit::Most(limit) => format!("{limit} {}", row.unit),
        };
        println!(
            "{:<18} {:>13} {:<12} {:>13} {:<5} {:>8.4} {limit:>12}{}",
            row.case,
            figure(row.ours),
            row.peer,
            figure(row.peer_value),
            row.unit,
            row.ratio(),
            if row.holds() { "" } else { "  FAILED" }
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_of_the_ratio_or_of_ours_alone() {
        let taken = |cpu, memory, bytes| Taken {
            wall: 1.0,
            cpu,
            memory,
            bytes,
            after: 0.0,
        };
        let peer = taken(10.0, 1000.0, 100_000);
        let holds = |case, ours| row(case, "debian", ours, peer).holds();
        assert!(holds(Case::Size, taken(1.0, 1.0, 100_200)));
        assert!(!holds(Case::Size, taken(1.0, 1.0, 100_250)));
        assert!(holds(Case::Cpu, taken(10.5, 1.0, 1)));
        assert!(!holds(Case::Cpu, taken(10.6, 1.0, 1)));
        // The peer's memory is no excuse.
        assert!(holds(Case::Memory, taken(1.0, 150.0, 1)));
        assert!(!holds(Case::Memory, taken(1.0, 151.0, 1)));
        assert_eq!(row(Case::Cpu, "debian", peer, peer).case, "cpu-debian");
    }

    #[test]
    fn the_least_of_each_figure_counts() {
        let taken = |wall, cpu| Taken {
            wall,
            cpu,
            memory: 1.0,
            bytes: 1,
            after: 0.0,
        };
        assert_eq!(taken(1.0, 4.0).least(taken(2.0, 3.0)), taken(1.0, 3.0));
    }

    #[test]
    fn cases_and_rounds_are_chosen_and_unknown_words_refused() {
        let choice = Choice::parse(&["cpu", "--rounds", "5", "--json"]).unwrap();
        assert!(choice.wants(Case::Cpu) && !choice.wants(Case::Wall));
        assert_eq!((choice.rounds, choice.is_json), (5, true));
        assert!(Choice::parse(&[]).unwrap().wants(Case::Copies));
        for words in [&["cpus"][..], &["--rounds"], &["--rounds", "0"]] {
            assert_eq!(Choice::parse(words), None, "{words:?}");
        }
    }
}
