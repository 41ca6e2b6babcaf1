//! `qemu/test`: lints, unit tests, boots; each stage's time, and at the end the count.

use crate::demo;
use crate::firmware;
use crate::lints;
use crate::mutate;
use crate::play;
use crate::product::Product;
use crate::scenario::{self, Scenario};
use crate::trouble::{Result, Trouble};
use crate::unit;
use crate::world::World;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

/// One more than the two cores that a small machine has: guests wait too, for firmware's menu
/// and for disks that do not come.
const GUESTS_AT_ONCE: usize = 3;

/// What the command line chose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    filters: Vec<String>,
    list: bool,
    all: bool,
    mutate: bool,
}

impl Choice {
    /// Nothing if a word is unknown.
    pub fn parse(words: &[&str]) -> Option<Choice> {
        let mut choice = Choice::default();
        for word in words {
            match *word {
                "--list" => choice.list = true,
                "--all" => choice.all = true,
                "--mutate" => choice.mutate = true,
                word if word.starts_with('-') => return None,
                word => choice.filters.push(word.to_owned()),
            }
        }
        Some(choice)
    }

    /// Whether scenarios are run with all versions of dracut; a name of one has an `@`.
    fn wants_versions(&self) -> bool {
        self.all || self.list || self.filters.iter().any(|filter| filter.contains('@'))
    }

    fn takes(&self, name: &str) -> bool {
        self.filters.is_empty()
            || self
                .filters
                .iter()
                .any(|filter| name.contains(filter.as_str()))
    }
}

/// Tests that passed and failed.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many held.
    pub passed: usize,
    /// Names of those that did not.
    pub failed: Vec<String>,
}

impl Tally {
    /// Counts one, and says it: a name, what was measured, or why it failed.
    pub fn count(&mut self, name: &str, start: Instant, outcome: Result<String>) {
        let seconds = start.elapsed().as_secs_f64();
        match outcome {
            Ok(measured) => {
                self.passed += 1;
                println!("ok     {name:<40} {seconds:6.1} s  {measured}");
            }
            Err(trouble) => {
                self.failed.push(name.to_owned());
                println!("FAILED {name:<40} {seconds:6.1} s\n{}", indent(&trouble.0));
            }
        }
    }
}

fn indent(text: &str) -> String {
    text.lines()
        .map(|line| format!("       {line}\n"))
        .collect()
}

/// One stage of the suite.
enum Stage {
    Lint(lints::Lint),
    Unit,
    Boot(Box<Scenario>),
    Firmware(firmware::Image),
    Demo,
}

impl Stage {
    fn name(&self) -> String {
        match self {
            Stage::Lint(lint) => format!("lint/{}", lint.name()),
            Stage::Unit => "unit".into(),
            Stage::Boot(scenario) => format!("boots/{}", scenario.name),
            Stage::Firmware(image) => format!("firmware/{}", image.name),
            Stage::Demo => "demo".into(),
        }
    }

    fn about(&self) -> &str {
        match self {
            Stage::Lint(lint) => lint.about(),
            Stage::Unit => "cargo test of all packages",
            Stage::Boot(scenario) => &scenario.about,
            Stage::Firmware(image) => image.about,
            Stage::Demo => "qemu/demo --check",
        }
    }
}

/// Runs what was chosen; whether all held.
pub fn run(product: &Product, choice: &Choice) -> Result<bool> {
    if choice.mutate {
        return Ok(finish(&mutate::run(product, |name| choice.takes(name))?));
    }
    let stages: Vec<Stage> = gather(product, choice)?
        .into_iter()
        .filter(|stage| choice.takes(&stage.name()))
        .collect();
    if choice.list {
        for stage in &stages {
            println!("{:<36} {}", stage.name(), stage.about());
        }
        return Ok(true);
    }
    let mut tally = Tally::default();
    if stages.is_empty() {
        // Then it names a unit test.
        for filter in &choice.filters {
            unit::run(product, Some(filter), &mut tally);
        }
        return Ok(finish(&tally));
    }
    run_stages(product, stages, &mut tally);
    Ok(finish(&tally))
}

fn gather(product: &Product, choice: &Choice) -> Result<Vec<Stage>> {
    let mut stages: Vec<Stage> = lints::ALL.into_iter().map(Stage::Lint).collect();
    stages.push(Stage::Unit);
    let boots = scenario::gather(&product.source)?;
    let wanted = |scenario: &Scenario| {
        !scenario.slow || choice.all || choice.list || !choice.filters.is_empty()
    };
    for scenario in boots.into_iter().filter(wanted) {
        let others = scenario.with_other_versions();
        stages.push(Stage::Boot(Box::new(scenario)));
        if choice.wants_versions() {
            stages.extend(others.into_iter().map(|other| Stage::Boot(Box::new(other))));
        }
    }
    stages.extend(firmware::ALL.into_iter().map(Stage::Firmware));
    if choice.all || choice.list || !choice.filters.is_empty() {
        stages.push(Stage::Demo);
    }
    Ok(stages)
}

fn run_stages(product: &Product, stages: Vec<Stage>, tally: &mut Tally) {
    let (mut boots, mut images) = (VecDeque::new(), VecDeque::new());
    let mut with_demo = false;
    for stage in stages {
        let start = Instant::now();
        let name = stage.name();
        match stage {
            Stage::Lint(lint) => {
                tally.count(&name, start, lint.run(product).map(|()| String::new()))
            }
            Stage::Unit => unit::run(product, None, tally),
            Stage::Boot(scenario) => boots.push_back(*scenario),
            Stage::Firmware(image) => images.push_back(image),
            Stage::Demo => with_demo = true,
        }
    }
    if boots.is_empty() && images.is_empty() && !with_demo {
        return;
    }
    let start = Instant::now();
    match product.build().and_then(|()| World::open(product.clone())) {
        Ok(world) => {
            if !boots.is_empty() {
                run_boots(&world, boots, tally);
            }
            judge_images(&world, images, tally);
        }
        Err(trouble) => tally.count("build", start, Err(trouble)),
    }
    if with_demo {
        let start = Instant::now();
        tally.count(
            "demo",
            start,
            demo::check(product.clone()).map(|()| String::new()),
        );
    }
}

/// All boots, a few at a time.
fn run_boots(world: &World, boots: VecDeque<Scenario>, tally: &mut Tally) {
    let start = Instant::now();
    let (count, cpu) = (boots.len(), Mutex::new(0.0));
    let (queue, shared) = (Mutex::new(boots), Mutex::new(tally));
    std::thread::scope(|scope| {
        for _ in 0..GUESTS_AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(scenario) = held(&queue).pop_front() else {
                        return;
                    };
                    let (name, start) = (format!("boots/{}", scenario.name), Instant::now());
                    let played = run_boot(world, &scenario);
                    *held(&cpu) += played.as_ref().map_or(0.0, |played| played.cpu);
                    held(&shared).count(
                        &name,
                        start,
                        played.map(|played| format!("cpu {:.1} s", played.cpu)),
                    );
                }
            });
        }
    });
    println!(
        "{count} boots in {:.1} s, cpu {:.1} s",
        start.elapsed().as_secs_f64(),
        held(&cpu)
    );
}

/// All images of `firmware/`, a few at a time.
fn judge_images(world: &World, images: VecDeque<firmware::Image>, tally: &mut Tally) {
    let (queue, shared) = (Mutex::new(images), Mutex::new(tally));
    std::thread::scope(|scope| {
        for _ in 0..GUESTS_AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(image) = held(&queue).pop_front() else {
                        return;
                    };
                    let (name, start) = (format!("firmware/{}", image.name), Instant::now());
                    let outcome = firmware::judge(world, &image);
                    held(&shared).count(&name, start, outcome);
                }
            });
        }
    });
}

fn run_boot(world: &World, scenario: &Scenario) -> Result<play::Played> {
    let dir = world.product.results(&scenario.name)?;
    play::play(world, scenario, &dir).map_err(|trouble| {
        Trouble(format!(
            "{}\n{trouble}\nevidence: {}",
            scenario.about,
            dir.display()
        ))
    })
}

/// A lock whose former holder may have panicked: what it guards is a plain list or number.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Says the last line, on which others rely. No tests at all are no success.
fn finish(tally: &Tally) -> bool {
    for name in &tally.failed {
        println!("failed: {name}");
    }
    println!("{} passed, {} failed", tally.passed, tally.failed.len());
    tally.failed.is_empty() && tally.passed > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_command_line_are_told_apart() {
        let choice = Choice::parse(&["--all", "usb", "cd"]).unwrap();
        assert!(
            choice.all
                && choice.takes("boots/usb-x")
                && choice.takes("a-cd")
                && !choice.takes("unit")
        );
        assert_eq!(Choice::parse(&["--al"]), None);
        assert!(Choice::default().takes("anything"));
    }

    #[test]
    fn a_failure_is_counted_and_no_tests_at_all_are_one_too() {
        let mut tally = Tally::default();
        assert!(!finish(&tally));
        tally.count("a", Instant::now(), Ok(String::new()));
        assert!(finish(&tally));
        tally.count("b", Instant::now(), Err(Trouble("x".into())));
        assert!(!finish(&tally));
    }
}
