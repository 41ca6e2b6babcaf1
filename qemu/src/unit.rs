//! `cargo test` as a stage: each of its tests counts.

use crate::cache::Cache;
use crate::kernels;
use crate::product::Product;
use crate::suite::Tally;
use crate::tool;
use crate::trees;
use crate::trouble::{Result, Trouble};
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

/// What a run of `cargo test` came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Tests that held.
    pub passed: usize,
    /// Names of those that did not.
    pub failed: Vec<String>,
}

/// Runs all tests, or those whose name contains `filter`.
pub fn run(product: &Product, filter: Option<&str>, tally: &mut Tally) {
    let start = Instant::now();
    let mut arguments = vec!["--workspace", "--no-fail-fast"];
    arguments.extend(filter);
    match cargo_test(product, &arguments) {
        Err(trouble) => tally.count("unit", start, Err(trouble)),
        Ok((counted, said)) => {
            let about = format!("{} tests", counted.passed);
            if counted.passed > 0 {
                tally.count("unit", start, Ok(about));
                tally.passed += counted.passed - 1;
            }
            for name in counted.failed {
                let words = tool::tail(&section(&said, &name), 25);
                tally.count(&format!("unit {name}"), start, Err(Trouble(words)));
            }
        }
    }
}

/// Runs `cargo test`; an error if it could not be built or ran no tests at all.
pub fn cargo_test(product: &Product, arguments: &[&str]) -> Result<(Counted, String)> {
    let mut command = product.cargo();
    // What a test would skip is a failure, unless the caller says otherwise.
    if std::env::var_os("LIVEROOT_STRICT").is_none() {
        command.env("LIVEROOT_STRICT", "1");
    }
    if std::env::var_os("LIVEROOT_TREE").is_none() {
        command.env("LIVEROOT_TREE", tree()?);
    }
    command.args(["test", "--quiet"]).args(arguments);
    if !arguments.contains(&"--") {
        command.arg("--");
    }
    let done = command.args(["--format", "pretty"]).output()?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&done.stderr),
        String::from_utf8_lossy(&done.stdout)
    );
    fs::write(product.results("unit")?.join("cargo-test.log"), &said)?;
    let counted = count(&said);
    if counted == Counted::default() || (counted.failed.is_empty() && !done.status.success()) {
        return Err(Trouble(format!(
            "{}: {}\n{}",
            tool::show(&command),
            done.status,
            tool::tail(&said, 40)
        )));
    }
    Ok((counted, said))
}

/// A root tree with a kernel's modules, for tests that read real ones.
fn tree() -> Result<PathBuf> {
    let cache = Cache::open()?;
    Ok(trees::marker(&cache, &kernels::kernel(&cache, "6.1")?)?.path)
}

/// Reads the output of libtest's harness.
fn count(said: &str) -> Counted {
    let mut counted = Counted::default();
    for line in said.lines() {
        if let Some(rest) = line.strip_prefix("test ")
            && let Some(name) = rest.strip_suffix(" ... FAILED")
        {
            counted
                .failed
                .push(name.trim_end_matches(" - should panic").to_owned());
        }
        if let Some(rest) = line.strip_prefix("test result: ")
            && let Some((_, rest)) = rest.split_once(". ")
            && let Some((passed, _)) = rest.split_once(" passed")
        {
            counted.passed += passed.parse::<usize>().unwrap_or(0);
        }
    }
    counted
}

/// What a failing test printed.
fn section(said: &str, name: &str) -> String {
    let from = format!("---- {name} stdout ----");
    let text = said.split_once(&from).map_or("", |(_, rest)| rest);
    let end = ["\n---- ", "\nfailures:"]
        .iter()
        .filter_map(|mark| text.find(mark))
        .min()
        .unwrap_or(text.len());
    text[..end].trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "
test a::b ... ok
test a::c ... FAILED

failures:

---- a::c stdout ----
assertion failed: 1 == 2

failures:
    a::c

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out
test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out
";

    #[test]
    fn results_of_several_test_programs_are_added_up() {
        assert_eq!(
            count(SAID),
            Counted {
                passed: 5,
                failed: vec!["a::c".into()]
            }
        );
    }

    #[test]
    fn a_failing_tests_own_words_are_found() {
        assert_eq!(section(SAID, "a::c"), "assertion failed: 1 == 2");
    }
}
