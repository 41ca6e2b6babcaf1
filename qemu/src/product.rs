//! The programs under test, and the source they come from.

use crate::cache::Key;
use crate::fail;
use crate::trouble::{Result, While};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// A checkout of liveroot and where its programs come out.
#[derive(Clone, Debug)]
pub struct Product {
    /// The checkout.
    pub source: PathBuf,
    target: PathBuf,
}

impl Product {
    /// Of a checkout; CARGO_TARGET_DIR is honoured as cargo does.
    pub fn at(source: &Path) -> Product {
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| source.join("target"), PathBuf::from);
        Product {
            source: source.to_owned(),
            target,
        }
    }

    /// Builds into a directory below the target directory of another checkout.
    pub fn build_below(&mut self, other: &Product, name: &str) {
        self.target = other.target.join(name);
    }

    /// `cargo build --release`; says how long it took and how large the agent is.
    pub fn build(&self) -> Result<()> {
        let start = Instant::now();
        let status = self
            .cargo()
            .args(["build", "--release", "--quiet"])
            .status()
            .doing("starting cargo")?;
        if !status.success() {
            fail!("cargo build --release: {status}");
        }
        let size = fs::metadata(self.agent())
            .doing("looking at the agent")?
            .len();
        eprintln!(
            "built liveroot in {:.1} s; the agent has {size} bytes",
            start.elapsed().as_secs_f64()
        );
        Ok(())
    }

    /// Cargo, in the checkout.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new("cargo");
        command
            .current_dir(&self.source)
            .env("CARGO_TARGET_DIR", &self.target);
        command
    }

    /// Git, in the checkout, whoever owns it.
    pub fn git(&self) -> Command {
        let mut command = Command::new("git");
        command
            .current_dir(&self.source)
            .args(["-c", "safe.directory=*"]);
        command
    }

    /// Applies a patch to the checkout.
    pub fn patch(&self, file: &Path) -> Command {
        let mut command = Command::new("git");
        command.current_dir(&self.source).arg("apply").arg(file);
        command
    }

    fn release(&self) -> PathBuf {
        self.target.join("x86_64-unknown-linux-gnu/release")
    }

    /// The user's program.
    pub fn program(&self) -> PathBuf {
        self.release().join("liveroot")
    }

    /// The agent.
    pub fn agent(&self) -> PathBuf {
        self.release().join("liveroot-init")
    }

    /// Digest of both.
    pub fn key(&self) -> Result<Key> {
        Key::of_files(&[&self.program(), &self.agent()])
    }

    /// Where a test leaves its evidence; emptied.
    pub fn results(&self, name: &str) -> Result<PathBuf> {
        let dir = self.source.join("qemu/out").join(name);
        if dir.exists() {
            fs::remove_dir_all(&dir).doing(format!("emptying {}", dir.display()))?;
        }
        fs::create_dir_all(&dir).doing(format!("making {}", dir.display()))?;
        Ok(dir)
    }
}
