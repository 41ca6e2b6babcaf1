//! The agent that goes into the initramfs: a static x86-64 program of this very version.

use super::{Error, Result};
use crate::layout::{AGENT_MARK_PREFIX, VERSION};
use crate::ondisk::elf::{BadElf, EM_X86_64, Elf};
use std::path::{Path, PathBuf};

/// The agent's file name beside `liveroot`.
const NAME: &str = "liveroot-init";
/// Where packages put it.
const INSTALLED: &str = "/usr/lib/liveroot/liveroot-init";

/// Reads the agent that was named, or the one that came with this program.
pub fn read_agent(named: Option<&Path>) -> Result<Vec<u8>> {
    let file = match named {
        Some(file) => file.to_owned(),
        None => find()?,
    };
    let bytes = std::fs::read(&file).map_err(|cause| {
        Error::input(
            file.display(),
            format!("the agent cannot be read: {cause}"),
            "name it with --agent",
        )
    })?;
    check(&file, &bytes)?;
    Ok(bytes)
}

fn find() -> Result<PathBuf> {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|exe| Some(exe.parent()?.join(NAME)));
    let places: Vec<PathBuf> = beside
        .into_iter()
        .chain([PathBuf::from(INSTALLED)])
        .collect();
    if let Some(file) = places.iter().find(|file| file.is_file()) {
        return Ok(file.clone());
    }
    let looked: Vec<_> = places.iter().map(|p| p.display().to_string()).collect();
    Err(Error::input(
        NAME,
        format!("the agent was not found (looked for {})", looked.join(", ")),
        "build or install it, or name it with --agent",
    ))
}

fn check(file: &Path, bytes: &[u8]) -> Result<()> {
    let refuse = |finding: String, remedy: &str| Err(Error::input(file.display(), finding, remedy));
    let facts = Elf::parse(bytes)
        .and_then(|elf| Ok((elf.machine()?, elf.is_program()?, elf.has_interpreter()?)));
    match facts {
        Err(bad @ (BadElf::NotElf | BadElf::OtherClass | BadElf::Cut)) => {
            return refuse(
                format!("{bad}, so no agent"),
                "name liveroot-init with --agent",
            );
        }
        Ok((EM_X86_64, true, false)) => {}
        Ok((EM_X86_64, true, true)) => {
            return refuse(
                "it is linked dynamically, and an initramfs holds no libraries".into(),
                "build it with `cargo build --release` in liveroot's own directory",
            );
        }
        Ok(_) => {
            return refuse(
                "it is no program for x86-64".into(),
                "name liveroot-init with --agent",
            );
        }
    }
    match versions(bytes) {
        found if found.iter().any(|v| v == VERSION) => Ok(()),
        found if found.is_empty() => refuse(
            "it is no liveroot agent".into(),
            "name liveroot-init with --agent",
        ),
        found => refuse(
            format!(
                "it is of version {}, and this is liveroot {VERSION}",
                found.join(", ")
            ),
            "use the agent that was built with this liveroot",
        ),
    }
}

/// Versions that stand behind the mark, each ended by a newline. The mark's prefix alone
/// stands in programs that look for it.
fn versions(bytes: &[u8]) -> Vec<String> {
    let prefix = AGENT_MARK_PREFIX.as_bytes();
    let mut found = Vec::new();
    let mut rest = bytes;
    while let Some(at) = find_bytes(rest, prefix) {
        rest = &rest[at + prefix.len()..];
        let text = rest.get(..33.min(rest.len())).unwrap_or_default();
        let version = text
            .split(|b| *b == b'\n')
            .next()
            .filter(|v| v.len() < text.len());
        let version = version.filter(|v| !v.is_empty() && v.iter().all(u8::is_ascii_graphic));
        found.extend(version.map(|v| String::from_utf8_lossy(v).into_owned()));
    }
    found.sort();
    found.dedup();
    found
}

fn find_bytes(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = needle.first()?;
    let mut at = 0;
    while let Some(n) = haystack.get(at..)?.iter().position(|b| b == first) {
        at += n;
        if haystack[at..].starts_with(needle) {
            return Some(at);
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::AGENT_MARK;

    /// This test program, static as ours are, which carries the mark through `AGENT_MARK`.
    fn program() -> Vec<u8> {
        let mut bytes = std::fs::read("/proc/self/exe").unwrap();
        bytes.extend_from_slice(AGENT_MARK.as_bytes());
        bytes
    }

    fn why(bytes: &[u8]) -> String {
        check(Path::new("/some/agent"), bytes)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_static_program_with_our_mark_is_taken() {
        check(Path::new("agent"), &program()).unwrap();
    }

    #[test]
    fn a_script_is_refused() {
        assert!(why(b"#!/bin/sh\nexec sh\n").contains("no ELF file"));
    }

    #[test]
    fn an_agent_of_another_version_is_refused() {
        let mut bytes = vec![0; 64];
        bytes.extend_from_slice(format!("x{AGENT_MARK_PREFIX}0.0.9\n").as_bytes());
        assert_eq!(versions(&bytes), ["0.0.9"]);
        assert_eq!(
            versions(format!("{AGENT_MARK_PREFIX}{AGENT_MARK_PREFIX}1.2\n").as_bytes()),
            ["1.2"]
        );
        assert!(versions(AGENT_MARK_PREFIX.as_bytes()).is_empty());
    }

    #[test]
    fn a_program_for_another_machine_is_refused() {
        let mut bytes = program();
        bytes[18..20].copy_from_slice(&183u16.to_le_bytes());
        assert!(why(&bytes).contains("x86-64"));
    }

    #[test]
    fn a_dynamic_program_is_refused() {
        let mut bytes = program();
        let table = u64::from_le_bytes(bytes[32..40].try_into().unwrap()) as usize;
        bytes[table..table + 4].copy_from_slice(&3u32.to_le_bytes());
        assert!(why(&bytes).contains("dynamically"));
    }
}
