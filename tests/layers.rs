//! The house rules that a compiler does not hold: who imports whom, what is pure, where
//! `unsafe` may stand, what may not be called. `DESIGN.md` has them with their reasons.

// A test may panic; clippy knows only functions marked #[test].
#![allow(clippy::unwrap_used)]

#[path = "layers/source.rs"]
mod source;

use source::{CodePath, Source};
use std::fs;
use std::path::Path;

/// Whom each folder may import; `units` and `layout` are open to all.
const IMPORTS: [(&str, &[&str]); 8] = [
    (
        "cli",
        &[
            "boot", "builder", "inspect", "plan", "request", "ondisk", "sys",
        ],
    ),
    ("inspect", &["ondisk", "sys"]),
    ("boot", &["plan", "request", "sys", "ondisk"]),
    ("builder", &["request", "ondisk", "sys"]),
    ("plan", &["request", "ondisk"]),
    ("request", &[]),
    ("ondisk", &[]),
    ("sys", &[]),
];
const SHARED: [&str; 2] = ["units", "layout"];

/// A decision must come out the same anywhere and at any time.
const PURE: [&str; 3] = ["request", "plan", "ondisk"];
const IMPURE: [&[&str]; 7] = [
    &["std", "fs"],
    &["std", "env"],
    &["std", "net"],
    &["std", "process"],
    &["std", "thread"],
    &["std", "time", "SystemTime"],
    &["std", "time", "Instant"],
];

/// Events, not sleeps: whatever waits, waits in poll(2), for something.
const SLEEPS: [&str; 5] = [
    "sleep",
    "sleep_ms",
    "usleep",
    "nanosleep",
    "clock_nanosleep",
];

/// What a file breaks, a line each.
fn violations(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let mut report = |line: usize, what: String| {
        found.push(format!("src/{}:{line}: {what}", source.path));
    };
    for path in source.paths() {
        for what in [import(source, &path), impurity(source, &path)]
            .into_iter()
            .flatten()
        {
            report(path.line, what);
        }
    }
    for token in SLEEPS.iter().flat_map(|word| source.places(&[word])) {
        report(
            token.line,
            format!("`{}`: wait for an event instead", token.text),
        );
    }
    let unwraps = source.places(&[".", "unwrap", "("]);
    let expects = source.places(&[".", "expect", "("]);
    for token in unwraps
        .into_iter()
        .chain(expects)
        .filter(|token| !token.in_test)
    {
        report(token.line, "unwrap or expect outside tests".into());
    }
    for (line, what) in unsafety(source) {
        report(line, what);
    }
    // One `use` may break one rule more than once.
    found.dedup();
    found
}

fn import(source: &Source, path: &CodePath) -> Option<String> {
    let (_, allowed) = IMPORTS.iter().find(|(layer, _)| *layer == source.layer())?;
    let target = target(source, path)?;
    let is_layer = IMPORTS.iter().any(|(layer, _)| *layer == target);
    let open = SHARED.contains(&target) || allowed.contains(&target) || target == source.layer();
    // What is no folder stands in lib.rs itself: a name exported past the table.
    (!open).then(|| match is_layer {
        true => format!("`{}` may not import `{target}`", source.layer()),
        false => format!("`{target}` is no folder of the import table"),
    })
}

/// The first word below the crate that a path names, however it climbs there.
fn target<'a>(source: &Source, path: &'a CodePath) -> Option<&'a str> {
    let supers = path
        .words
        .iter()
        .take_while(|word| *word == "super")
        .count();
    // src/boot/mod.rs is one step below the crate, src/boot/find.rs two, its tests three.
    let depth = source.path.matches('/').count() + 1
        - usize::from(source.path.ends_with("/mod.rs"))
        + usize::from(path.in_test && path.words[0] == "super");
    match path.words[0].as_str() {
        "crate" | "liveroot" => path.words.get(1).map(String::as_str),
        "super" if supers >= depth => path.words.get(supers).map(String::as_str),
        _ => None,
    }
}

fn impurity(source: &Source, path: &CodePath) -> Option<String> {
    let impure = IMPURE.iter().find(|impure| {
        let words: Vec<&str> = path.words.iter().map(String::as_str).collect();
        words.starts_with(impure) || words == ["std", "time", "*"]
    })?;
    let is_pure = PURE.contains(&source.layer()) && !path.in_test;
    is_pure.then(|| format!("`{}` is pure: no `{}`", source.layer(), impure.join("::")))
}

fn unsafety(source: &Source) -> Vec<(usize, String)> {
    if source.layer() == "sys" {
        return Vec::new();
    }
    let agent = source.path == "bin/liveroot-init.rs";
    let excepted = source.places(&["unsafe", "(", "no_mangle", ")"]).len();
    let mut found: Vec<(usize, String)> = source
        .places(&["unsafe"])
        .into_iter()
        .skip(if agent { excepted } else { 0 })
        .map(|token| (token.line, "`unsafe` outside src/sys".into()))
        .collect();
    let is_root = source.path == format!("{}/mod.rs", source.layer())
        || SHARED
            .iter()
            .any(|shared| source.path == format!("{shared}.rs"));
    let forbids = source.places(&["#", "!", "[", "forbid", "(", "unsafe_code"]);
    if is_root && source.has_code() && forbids.is_empty() {
        found.push((1, "`#![forbid(unsafe_code)]` is missing".into()));
    }
    found
}

fn sources() -> Vec<Source> {
    fn walk(dir: &Path, root: &Path, sources: &mut Vec<Source>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, sources);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap();
                sources.push(Source::new(name, &fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    walk(&root, &root, &mut sources);
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

#[test]
fn the_sources_keep_the_house_rules() {
    let found: Vec<String> = sources().iter().flat_map(violations).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn every_folder_stands_in_the_import_table() {
    let known = |layer: &str| {
        IMPORTS.iter().any(|(known, _)| *known == layer)
            || SHARED.contains(&layer)
            || ["lib", "bin"].contains(&layer)
    };
    let unknown: Vec<String> = sources()
        .iter()
        .map(|s| s.layer().to_owned())
        .filter(|layer| !known(layer))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// The rules themselves, on sources made up for them.
mod rules {
    use super::*;

    #[track_caller]
    fn broken(path: &str, text: &str, what: &str) {
        let found = violations(&Source::new(path, text));
        assert!(
            found.len() == 1 && found[0].contains(what),
            "{text:?}: {found:?}"
        );
    }

    #[track_caller]
    fn kept(path: &str, text: &str) {
        assert_eq!(
            violations(&Source::new(path, text)),
            Vec::<String>::new(),
            "{text:?}"
        );
    }

    #[test]
    fn an_import_against_the_table_is_seen() {
        broken(
            "ondisk/fat.rs",
            "use crate::sys::block;",
            "`ondisk` may not import `sys`",
        );
        broken(
            "plan/medium.rs",
            "fn f() { crate::boot::go() }",
            "`plan` may not import `boot`",
        );
        broken(
            "sys/kmsg.rs",
            "use liveroot::request::Request;",
            "may not import `request`",
        );
        broken(
            "builder/iso.rs",
            "use crate::{units::Label, plan::{self, Facts}};",
            "import `plan`",
        )
    }

    #[test]
    fn climbing_to_the_crate_is_seen() {
        broken(
            "ondisk/fat.rs",
            "use super::super::sys;",
            "may not import `sys`",
        );
        broken(
            "plan/mod.rs",
            "#![forbid(unsafe_code)] use super::boot::x;",
            "may not import `boot`",
        );
        broken(
            "plan/a.rs",
            "#[cfg(test)] mod tests { use super::super::super::cli; }",
            "`cli`",
        );
        kept(
            "plan/a.rs",
            "#[cfg(test)] mod tests { use super::super::b; }",
        );
        kept("ondisk/fat.rs", "use super::fields;");
    }

    #[test]
    fn a_name_exported_past_the_table_is_seen() {
        broken("plan/a.rs", "use crate::Mount;", "no folder");
    }

    #[test]
    fn imports_of_the_table_are_kept() {
        kept(
            "boot/find.rs",
            "use crate::{sys::{self, mount}, plan, units::Label, layout};",
        );
        kept("cli/build.rs", "use crate::builder::iso; use crate::boot;");
        kept(
            "ondisk/gpt.rs",
            "use crate::ondisk::mbr; // not crate::sys::x\n/* crate::sys */",
        );
        kept(
            "ondisk/gpt.rs",
            r##"const T: &str = "crate::sys"; const R: &str = r#"crate::"sys"#;"##,
        );
        kept(
            "ondisk/gpt.rs",
            "fn f<'crate_>(c: char) { let q = '\"'; let e = '\\''; }",
        );
    }

    #[test]
    fn clocks_files_and_environment_in_pure_folders_are_seen() {
        broken(
            "plan/a.rs",
            "use std::time::{Duration, Instant};",
            "no `std::time::Instant`",
        );
        broken("plan/a.rs", "use std::time::*;", "`plan` is pure");
        broken(
            "request/a.rs",
            "fn f() { std::env::var(\"X\"); }",
            "no `std::env`",
        );
        broken(
            "ondisk/a.rs",
            "use std::{fmt, fs::{self, File}};",
            "no `std::fs`",
        );
        kept("plan/a.rs", "use std::time::Duration; use std::fmt;");
        kept("boot/a.rs", "use std::{fs, env, time::Instant};");
        kept("plan/a.rs", "#[cfg(test)] mod tests { use std::fs; }");
    }

    #[test]
    fn a_sleep_is_seen() {
        broken("boot/a.rs", "fn f() { std::thread::sleep(x) }", "`sleep`");
        broken(
            "sys/a.rs",
            "fn f() { unsafe { libc::usleep(5) }; }",
            "`usleep`",
        );
        kept("boot/a.rs", "fn asleep() {} // sleep\n");
    }

    #[test]
    fn unwrap_and_expect_outside_tests_are_seen() {
        broken("boot/a.rs", "fn f() { g().unwrap() }", "unwrap or expect");
        broken(
            "sys/a.rs",
            "fn f() { g().expect(\"why\") }",
            "unwrap or expect",
        );
        broken(
            "boot/a.rs",
            "#[cfg(test)] mod t { fn f() {} } fn g() { h().unwrap() }",
            "unwrap",
        );
        broken(
            "boot/a.rs",
            "#[cfg(test)] use x::{y}; fn g() { h().unwrap() }",
            "unwrap",
        );
        kept(
            "boot/a.rs",
            "#[cfg(test)]\nmod tests { fn f() { g().unwrap().expect(\"}\"); } }",
        );
        kept(
            "boot/a.rs",
            "fn f() { g().unwrap_or(1) } fn expect(x: u8) {}",
        );
        kept("boot/tests.rs", "fn f() { g().unwrap() }");
    }

    #[test]
    fn unsafe_outside_sys_is_seen() {
        broken("boot/a.rs", "fn f() { unsafe { g() } }", "`unsafe` outside");
        broken(
            "bin/liveroot.rs",
            "#[unsafe(no_mangle)] fn main() {}",
            "`unsafe` outside",
        );
        broken(
            "bin/liveroot-init.rs",
            "#[unsafe(no_mangle)] fn m() { unsafe {} }",
            "`unsafe`",
        );
        kept(
            "bin/liveroot-init.rs",
            "#[unsafe(no_mangle)] pub extern \"C\" fn main() {}",
        );
        kept("sys/a.rs", "fn f() { unsafe { g() } }");
        kept("boot/a.rs", "// unsafe\nconst S: &str = \"unsafe\";");
    }

    #[test]
    fn a_folder_that_does_not_forbid_unsafe_is_seen() {
        broken(
            "boot/mod.rs",
            "pub mod find;",
            "`#![forbid(unsafe_code)]` is missing",
        );
        broken("units.rs", "pub struct Bytes;", "is missing");
        kept("boot/mod.rs", "#![forbid(unsafe_code)]\npub mod find;");
        kept("boot/find.rs", "fn f() {}");
        kept("boot/mod.rs", "//! (skeleton)\n");
        kept("sys/mod.rs", "pub mod mount;");
    }

    #[test]
    fn a_place_is_named_by_its_line() {
        let text = "/* one\n two */\nfn f() {}\n\nuse crate::cli;\n";
        let found = violations(&Source::new("sys/a.rs", text));
        assert_eq!(found, ["src/sys/a.rs:5: `sys` may not import `cli`"]);
    }
}
