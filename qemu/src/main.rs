//! The machine under test: `demo`, `test` and `bench` of liveroot in QEMU.
//!
//! Reached through `qemu/demo`, `qemu/test` and `qemu/bench`, which install what is missing.

mod apt;
mod bench;
mod cache;
mod demo;
mod disk;
mod dracut;
mod firmware;
mod glob;
mod initramfs;
mod kernels;
mod lints;
mod machine;
mod media;
mod mutate;
mod parts;
mod play;
mod product;
mod roots;
mod scenario;
mod serve;
mod suite;
mod tool;
mod trees;
mod trouble;
mod unit;
mod world;

use product::Product;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "usage: qemu/demo [--check]
       qemu/test [FILTER]... [--list] [--all] [--mutate]
       qemu/bench stage|persist|peers [--json], and for peers in front of it: [CASE]... such as cd-systemd";

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let Some((source, command)) = take_source(&mut words) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let product = Product::at(&source);
    let arguments: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match (command.as_str(), arguments.as_slice()) {
        ("demo", []) => demo::show(product).map(|()| true),
        ("demo", ["--check"]) => demo::check(product).map(|()| true),
        ("test", words) if suite::Choice::parse(words).is_some() => {
            suite::run(&product, &suite::Choice::parse(words).unwrap_or_default())
        }
        ("bench", ["stage"]) => bench::stage(product, bench::Form::Table).map(|()| true),
        ("bench", ["stage", "--json"]) => bench::stage(product, bench::Form::Json).map(|()| true),
        ("bench", ["peers", cases @ .., "--json"]) => {
            bench::peers::run(product, cases, bench::Form::Json)
        }
        ("bench", ["peers", cases @ ..]) => bench::peers::run(product, cases, bench::Form::Table),
        ("bench", ["persist"]) => bench::persist::run(product, bench::Form::Table),
        ("bench", ["persist", "--json"]) => bench::persist::run(product, bench::Form::Json),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        // What failed has been said.
        Ok(false) => ExitCode::FAILURE,
        Err(trouble) => {
            eprintln!("qemu: {trouble}");
            ExitCode::FAILURE
        }
    }
}

/// `--source DIR COMMAND` in front, as the wrappers pass it.
fn take_source(words: &mut Vec<String>) -> Option<(PathBuf, String)> {
    if words.len() < 3 || words[0] != "--source" {
        return None;
    }
    let taken: Vec<String> = words.drain(..3).collect();
    Some((PathBuf::from(&taken[1]), taken[2].clone()))
}
