//! `qemu/test --mutate`: a test that can't fail proves nothing, so each patch of
//! `tests/mutations/` breaks the code in one place and the test it names must go red.
//!
//! A patch begins with `red: ARGUMENTS`, what `cargo test` is given to run that test
//! (`red: --lib request::tests::a_name`), then why in free text, then the diff. The control
//! is the same test without the patch.

use crate::product::Product;
use crate::suite::Tally;
use crate::tool;
use crate::trouble::{Result, Trouble, While};
use crate::unit;
use crate::{fail, unit::Counted};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A patch.
#[derive(Clone, Debug)]
struct Mutation {
    name: String,
    file: PathBuf,
    red: Vec<String>,
}

/// Applies each patch to a copy of the checkout.
pub fn run(product: &Product, takes: impl Fn(&str) -> bool) -> Result<Tally> {
    let mutations: Vec<Mutation> = gather(&product.source)?
        .into_iter()
        .filter(|one| takes(&one.name))
        .collect();
    let copy = copy_source(product)?;
    let mut tally = Tally::default();
    // Controls first: they share one build.
    let mut sound = Vec::new();
    for mutation in mutations {
        let start = Instant::now();
        let green = control(&copy, &mutation);
        let failed = green.is_err();
        if failed {
            tally.count(
                &format!("{} (control)", mutation.name),
                start,
                green.map(|()| String::new()),
            );
        } else {
            sound.push(mutation);
        }
    }
    for mutation in sound {
        let start = Instant::now();
        let outcome = turn_red(&copy, &mutation);
        tally.count(&mutation.name, start, outcome);
    }
    fs::remove_dir_all(&copy.source).doing("removing the copy of the source")?;
    Ok(tally)
}

fn gather(source: &Path) -> Result<Vec<Mutation>> {
    let dir = source.join("tests/mutations");
    let mut found = Vec::new();
    for entry in fs::read_dir(&dir)
        .doing(format!("reading {}", dir.display()))?
        .flatten()
    {
        let file = entry.path();
        if file
            .extension()
            .is_none_or(|extension| extension != "patch")
        {
            continue;
        }
        let text = fs::read_to_string(&file)?;
        let Some(red) = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("red: "))
        else {
            fail!(
                "{} does not begin with `red: ` and what cargo test is given",
                file.display()
            );
        };
        let name = file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        found.push(Mutation {
            name: format!("mutations/{name}"),
            red: red.split_whitespace().map(str::to_owned).collect(),
            file,
        });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The files that git knows or would take, in a directory of their own. Its builds go below
/// our target directory and are kept there; in ours, cargo would take the last broken build
/// for the checkout's, for it tells members of workspaces apart by relative paths.
fn copy_source(product: &Product) -> Result<Product> {
    let copy = std::env::temp_dir().join(format!("liveroot-mutate-{}", std::process::id()));
    fs::create_dir_all(&copy)?;
    let list =
        "git -c safe.directory='*' -C \"$1\" ls-files -z --cached --others --exclude-standard";
    let script = format!(
        "{list} | tar -C \"$1\" --null --no-recursion --ignore-failed-read -T - -cf - | tar -C \"$2\" -xmf -"
    );
    tool::shell(&script, &[&product.source, &copy])?;
    let mut there = Product::at(&copy);
    there.build_below(product, "mutate");
    Ok(there)
}

fn control(copy: &Product, mutation: &Mutation) -> Result<()> {
    let counted = named_test(copy, mutation)?;
    if counted.passed == 0 || !counted.failed.is_empty() {
        fail!("without the patch its test is not green: {counted:?}");
    }
    Ok(())
}

fn turn_red(copy: &Product, mutation: &Mutation) -> Result<String> {
    let apply = |reverse: &[&str]| tool::run(copy.patch(&mutation.file).args(reverse));
    apply(&[]).doing("the patch no longer applies")?;
    let broken = named_test(copy, mutation);
    apply(&["--reverse"])?;
    match broken? {
        Counted { failed, .. } if !failed.is_empty() => Ok(format!("red: {}", failed.join(", "))),
        counted => Err(Trouble(format!(
            "the code is broken and `cargo test {}` stays green ({} passed)",
            mutation.red.join(" "),
            counted.passed
        ))),
    }
}

fn named_test(copy: &Product, mutation: &Mutation) -> Result<Counted> {
    let arguments: Vec<&str> = mutation.red.iter().map(String::as_str).collect();
    unit::cargo_test(copy, &arguments).map(|(counted, _)| counted)
}
