//! The stages that only read the source.

use crate::product::Product;
use crate::tool;
use crate::trouble::Result;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// One lint.
#[derive(Clone, Copy, Debug)]
pub enum Lint {
    /// `cargo fmt`.
    Fmt,
    /// `cargo clippy`.
    Clippy,
    /// `shellcheck`.
    Shell,
}

/// In the order they run, quick ones first.
pub const ALL: [Lint; 3] = [Lint::Fmt, Lint::Shell, Lint::Clippy];

impl Lint {
    /// As filters name it.
    pub fn name(self) -> &'static str {
        match self {
            Lint::Fmt => "fmt",
            Lint::Clippy => "clippy",
            Lint::Shell => "shellcheck",
        }
    }

    /// What it runs.
    pub fn about(self) -> &'static str {
        match self {
            Lint::Fmt => "cargo fmt --check",
            Lint::Clippy => "cargo clippy -- -D warnings, of all targets",
            Lint::Shell => "shellcheck of every shell script of the checkout",
        }
    }

    /// Fails with the tool's own words.
    pub fn run(self, product: &Product) -> Result<()> {
        match self {
            Lint::Fmt => tool::run(product.cargo().args(["fmt", "--all", "--check"])),
            Lint::Clippy => tool::run(product.cargo().args([
                "clippy",
                "--workspace",
                "--all-targets",
                "--quiet",
                "--",
                "-D",
                "warnings",
            ])),
            Lint::Shell => {
                let scripts = shell_scripts(product)?;
                tool::run(
                    Command::new("shellcheck")
                        .current_dir(&product.source)
                        .arg("--external-sources")
                        .args(scripts),
                )
            }
        }
    }
}

/// Files of the checkout that a shell would run, found by their first line.
fn shell_scripts(product: &Product) -> Result<Vec<PathBuf>> {
    let list = tool::output(product.git().args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    let list = String::from_utf8_lossy(&list).into_owned();
    let is_script = |path: &&str| {
        let content = fs::read(product.source.join(path)).unwrap_or_default();
        let first = content
            .split(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        let first = String::from_utf8_lossy(first).into_owned();
        path.ends_with(".sh")
            || (first.starts_with("#!") && (first.ends_with("/sh") || first.ends_with("bash")))
    };
    Ok(list
        .split('\0')
        .filter(|path| !path.is_empty())
        .filter(is_script)
        .map(PathBuf::from)
        .collect())
}
