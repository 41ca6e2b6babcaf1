//! The stages that only read the source, and what was built from it.

use crate::fail;
use crate::product::Product;
use crate::tool;
use crate::trouble::{Result, While};
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
    /// The size of the agent.
    Size,
}

/// What the agent may have: it is read from slow sticks by slow firmware.
const AGENT_BYTES: usize = 1_700_000;
/// Likewise, compressed as in an initramfs.
const AGENT_PACKED: usize = 720_000;

/// In the order they run, quick ones first.
pub const ALL: [Lint; 4] = [Lint::Fmt, Lint::Shell, Lint::Size, Lint::Clippy];

impl Lint {
    /// As filters name it.
    pub fn name(self) -> &'static str {
        match self {
            Lint::Fmt => "fmt",
            Lint::Clippy => "clippy",
            Lint::Shell => "shellcheck",
            Lint::Size => "size",
        }
    }

    /// What it runs.
    pub fn about(self) -> &'static str {
        match self {
            Lint::Fmt => "cargo fmt --check",
            Lint::Clippy => "cargo clippy -- -D warnings, of all targets",
            Lint::Shell => "shellcheck of every shell script of the checkout",
            Lint::Size => "the agent has at most 1.7 MB, 720 KB by zstd -19",
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
            Lint::Size => check_size(product),
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

fn check_size(product: &Product) -> Result<()> {
    product.build()?;
    let agent = product.agent();
    let bytes = fs::read(&agent)
        .doing(format!("reading {}", agent.display()))?
        .len();
    let packed = tool::output(Command::new("zstd").args(["-19", "-q", "-c"]).arg(&agent))?.len();
    eprintln!("the agent has {bytes} bytes, {packed} by zstd -19");
    if bytes > AGENT_BYTES || packed > AGENT_PACKED {
        fail!(
            "{}: {bytes} bytes, {packed} by zstd -19; at most {AGENT_BYTES} and {AGENT_PACKED}",
            agent.display()
        );
    }
    Ok(())
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
