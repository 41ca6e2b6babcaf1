//! The manual and the README know every kernel word, and say what the table says; the manual
//! has each option and each field of a result.
//!
//! `BLESS=1 cargo test --test manual` writes man/liveroot.cmdline.7 anew.
#![allow(clippy::unwrap_used)]

use liveroot::layout::VERSION;
use liveroot::request::words::{Family, Support, WORDS, Word};
use std::path::Path;

const HEAD: &str = r#".SH NAME
liveroot.cmdline \- kernel words that liveroot understands
.SH DESCRIPTION
The agent of a liveroot image,
.BR liveroot\-init ,
reads these words from the kernel command line.
The meaning of dracut's words is that of
.BR dracut.cmdline (7).
.PP
Of a word that is said twice, in whichever spelling, the last counts.
Booleans are true when bare and false only for the values
.BR 0 ,
.B no
and
.BR off .
Double quotes around a word or its value hold blanks together; in labels
.B \ex20
is a blank too.
A misspelt word is reported with its nearest match, in the kernel's log and in
.IR /run/liveroot/report.json ,
and the boot goes on.
"#;

fn escape(text: &str) -> String {
    text.replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('.', "\\&.")
}

fn entry(word: &Word) -> String {
    let mut text = format!(".TP\n.B {}\n{}.\n", escape(word.name), escape(word.text));
    text += &format!("Default: {}.\n", escape(word.default));
    if !word.aliases.is_empty() {
        let aliases: Vec<String> = word.aliases.iter().map(|a| escape(a)).collect();
        text += &format!("Also spelt {}.\n", aliases.join(", "));
    }
    match word.support {
        Support::Instead(what) => text += &format!("Not used here: {}.\n", escape(what)),
        Support::Acted | Support::Idle => {}
    }
    text
}

fn page() -> String {
    let mut page = format!(
        ".\\\" Made from src/request/words.rs by tests/manual.rs; do not edit.\n\
         .TH LIVEROOT.CMDLINE 7 \"\" \"liveroot {VERSION}\" \"liveroot\"\n{HEAD}"
    );
    let parts = [
        (Family::Kernel, "THE KERNEL'S WORDS"),
        (Family::Dracut, "WORDS OF DRACUT"),
        (Family::Liveroot, "LIVEROOT'S OWN WORDS"),
    ];
    for (family, title) in parts {
        page += &format!(".SH {title}\n");
        WORDS
            .iter()
            .filter(|w| w.family == family)
            .for_each(|w| page += &entry(w));
    }
    page += ".SH PARAMETERS OF MODULES\n.TP\n.BI MODULE . PARAMETER = VALUE\n\
             Handed to that module when the agent loads it, as\n.BR modprobe (8)\ndoes.\n";
    page + ".SH SEE ALSO\n.BR liveroot (1),\n.BR dracut.cmdline (7),\n.BR bootparam (7)\n"
}

#[test]
fn the_manual_says_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("man/liveroot.cmdline.7");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page(),
        "BLESS=1 cargo test --test manual writes {}",
        path.display()
    );
}

/// Each long option of a command and those below it.
fn options(command: &clap::Command, found: &mut Vec<String>) {
    let own = command.get_arguments().filter_map(clap::Arg::get_long);
    found.extend(own.map(|long| format!("--{long}")));
    for below in command.get_subcommands() {
        options(below, found);
    }
}

#[test]
fn the_manual_has_every_option() {
    let manual = include_str!("../man/liveroot.1").replace("\\-", "-");
    let mut named = Vec::new();
    options(&liveroot::cli::command(), &mut named);
    assert!(named.len() > 15, "{named:?}");
    for option in named {
        let is_word = |at: usize| {
            !manual[at + option.len()..].starts_with(|c: char| c == '-' || c.is_alphanumeric())
        };
        let entry = manual.match_indices(&option).any(|(at, _)| is_word(at));
        assert!(entry, "{option} is missing in man/liveroot.1");
    }
}

#[test]
fn the_manual_has_every_field_of_the_result() {
    let manual = include_str!("../man/liveroot.1");
    let source = include_str!("../src/builder/output.rs");
    let of = |name: &str| -> Vec<&str> {
        let start = source.find(&format!("pub struct {name} {{")).unwrap();
        let body = source[start..]
            .lines()
            .skip(1)
            .take_while(|line| *line != "}");
        body.filter_map(|line| line.trim().strip_prefix("pub ")?.split(':').next())
            .collect()
    };
    let fields = [of("Outcome"), of("Sizes"), of("Packing")].concat();
    assert!(fields.len() > 30, "{fields:?}");
    for field in fields {
        assert!(
            manual.contains(field),
            "{field} is missing in man/liveroot.1"
        );
    }
}

#[test]
fn the_readme_names_every_word_that_is_acted_on() {
    let readme = include_str!("../README.md");
    for word in WORDS.iter().filter(|w| w.support == Support::Acted) {
        let named = readme.contains(&format!("`{}", word.name));
        assert!(named, "{} is missing in README.md", word.name);
    }
}
