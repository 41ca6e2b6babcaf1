//! The shells complete every command and option of `liveroot`.
//!
//! `BLESS=1 cargo test --test completions` writes completions/ anew. The files are kept in the
//! tree, so that `make install` runs no program that was built for another machine.
#![allow(clippy::unwrap_used)]

use clap_complete::{Shell, generate};
use std::path::Path;

/// As each shell looks for them.
const FILES: [(&str, Shell); 3] = [
    ("liveroot", Shell::Bash),
    ("_liveroot", Shell::Zsh),
    ("liveroot.fish", Shell::Fish),
];

fn completion(shell: Shell) -> String {
    let mut text = Vec::new();
    generate(shell, &mut liveroot::cli::command(), "liveroot", &mut text);
    String::from_utf8(text).unwrap()
}

#[test]
fn the_completions_are_those_of_the_command_line() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("completions");
    for (name, shell) in FILES {
        let path = dir.join(name);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, completion(shell)).unwrap();
        }
        assert!(
            std::fs::read_to_string(&path).unwrap_or_default() == completion(shell),
            "BLESS=1 cargo test --test completions writes {}",
            path.display()
        );
    }
}

/// Of a command and those below it.
fn options(command: &clap::Command) -> Vec<String> {
    let own = command
        .get_arguments()
        .filter_map(|argument| argument.get_long());
    let below = command.get_subcommands().flat_map(options);
    own.map(|long| format!("--{long}")).chain(below).collect()
}

/// Asks bash itself, since the generator could leave one out.
#[test]
fn bash_offers_every_option_of_build() {
    let command = liveroot::cli::command();
    let build = command.find_subcommand("build").unwrap();
    let script = "eval \"$1\"
        COMP_WORDS=(liveroot build --) COMP_CWORD=2
        _liveroot liveroot -- build
        printf '%s\\n' \"${COMPREPLY[@]}\"";
    let said = std::process::Command::new("bash")
        .args(["--norc", "-c", script, "bash", &completion(Shell::Bash)])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&said.stdout);
    let offered: Vec<&str> = said.lines().collect();
    let options = options(build);
    assert!(options.len() > 5);
    for option in options {
        assert!(offered.contains(&option.as_str()), "{option}: {offered:?}");
    }
}
