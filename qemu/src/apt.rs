//! Packages of any Debian suite, from the mirror that this machine is set up for, without
//! touching the machine's own apt: state and cache lie in a directory of their own, which
//! is removed afterwards.

use crate::fail;
use crate::tool;
use crate::trouble::{Result, Trouble, While};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The machine's Debian mirror. It is read each time and written nowhere that stays.
pub fn mirror() -> Result<String> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(list) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(list.flatten().map(|entry| entry.path()));
    }
    files.sort();
    for file in files {
        let extension = file
            .extension()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if !["list", "sources"].contains(&extension.as_str()) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap_or_default();
        if let Some(uri) = mirror_in(&text) {
            return Ok(uri);
        }
    }
    fail!("no Debian mirror in /etc/apt/sources.list or /etc/apt/sources.list.d")
}

/// The first archive of plain suites in a file of either format; security and foreign
/// archives don't carry all suites.
fn mirror_in(text: &str) -> Option<String> {
    let debian = |suite: &str| ["bookworm", "trixie", "stable", "oldstable"].contains(&suite);
    let fits = |uri: &str, suites: &[&str]| {
        suites.iter().any(|suite| debian(suite)) && uri.contains("://") && !uri.starts_with("cdrom")
    };
    for line in text.lines().filter(|line| line.starts_with("deb ")) {
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        // Options in brackets may hold blanks.
        let start = words
            .iter()
            .rposition(|word| word.ends_with(']'))
            .map_or(0, |at| at + 1);
        if let [uri, suite, ..] = words[start..]
            && fits(uri, &[suite])
        {
            return Some(uri.to_owned());
        }
    }
    for stanza in text.split("\n\n") {
        let field = |name: &str| {
            stanza
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap_or("")
                .trim()
        };
        let suites: Vec<&str> = field("Suites:").split_whitespace().collect();
        if let Some(uri) = field("URIs:").split_whitespace().next()
            && field("Enabled:") != "no"
            && fits(uri, &suites)
        {
            return Some(uri.to_owned());
        }
    }
    None
}

/// The line of a sources list for one suite.
pub fn source(mirror: &str, suite: &str) -> String {
    format!("deb [signed-by={KEYRING}] {mirror} {suite} main")
}

/// An apt of our own, with one suite.
#[derive(Debug)]
pub struct Apt {
    dir: PathBuf,
}

impl Apt {
    /// Fetches the suite's list of packages.
    pub fn open(suite: &str) -> Result<Apt> {
        let dir = std::env::temp_dir().join(format!("liveroot-apt-{}-{suite}", std::process::id()));
        for sub in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(sub)).doing(format!("making {}", dir.display()))?;
        }
        fs::write(dir.join("status"), "")?;
        fs::write(dir.join("sources.list"), source(&mirror()?, suite))?;
        let apt = Apt { dir };
        tool::run(apt.command("apt-get").arg("update"))?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for (name, at) in [
            ("Dir::Etc::sourcelist", "sources.list"),
            ("Dir::State::lists", "lists"),
            ("Dir::State::status", "status"),
            ("Dir::Cache", "cache"),
        ] {
            command
                .arg("-o")
                .arg(format!("{name}={}", self.dir.join(at).display()));
        }
        // Not the machine's pins; nor its user `_apt`, who can't write here. The mirror's
        // lists may be behind this machine's clock.
        for word in [
            "Dir::Etc::sourceparts=/dev/null",
            "Dir::Etc::preferences=/dev/null",
            "Dir::Etc::preferencesparts=/dev/null",
            "APT::Sandbox::User=root",
            "Acquire::Check-Valid-Until=false",
            "Acquire::Languages=none",
        ] {
            command.arg("-o").arg(word);
        }
        command.current_dir(&self.dir);
        command
    }

    /// Fields of the newest version of a package.
    fn show(&self, package: &str) -> Result<String> {
        tool::text(
            self.command("apt-cache")
                .args(["show", "--no-all-versions", package]),
        )
    }

    /// `start` and what it depends on, as far as the names begin with one of `prefixes`:
    /// name and version of each.
    pub fn family(&self, start: &str, prefixes: &[&str]) -> Result<Vec<(String, String)>> {
        let mut found: Vec<(String, String)> = Vec::new();
        let mut open = vec![start.to_owned()];
        while let Some(name) = open.pop() {
            if found.iter().any(|(known, _)| *known == name) {
                continue;
            }
            let fields = self.show(&name)?;
            let field = |label: &str| {
                fields
                    .lines()
                    .find_map(|line| line.strip_prefix(label))
                    .unwrap_or("")
                    .trim()
                    .to_owned()
            };
            open.extend(
                dependencies(&field("Depends:"))
                    .filter(|name| prefixes.iter().any(|p| name.starts_with(p))),
            );
            found.push((name, field("Version:")));
        }
        Ok(found)
    }

    /// Unpacks packages into `tree`, running none of their scripts.
    pub fn unpack(&self, packages: &[String], tree: &Path) -> Result<()> {
        tool::run(self.command("apt-get").arg("download").args(packages))?;
        fs::create_dir_all(tree)?;
        for entry in fs::read_dir(&self.dir)?.flatten() {
            if entry
                .path()
                .extension()
                .is_some_and(|extension| extension == "deb")
            {
                tool::run(Command::new("dpkg").arg("-x").arg(entry.path()).arg(tree))?;
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

impl Drop for Apt {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            eprintln!("{} stays: {}", self.dir.display(), Trouble::from(error));
        }
    }
}

/// Names in a Depends field; the first of alternatives.
fn dependencies(field: &str) -> impl Iterator<Item = String> + '_ {
    field
        .split(',')
        .filter_map(|one| one.trim().split([' ', '(', '|', ':']).next())
        .filter(|n| !n.is_empty())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_found_in_both_formats_and_is_never_the_security_archive() {
        let old = "deb http://security.example/s bookworm-security main\ndeb [arch=amd64 signed-by=/k] http://m.example/debian bookworm main\n";
        assert_eq!(mirror_in(old).as_deref(), Some("http://m.example/debian"));
        let new = "Types: deb\nURIs: http://s.example/s\nSuites: bookworm-security\n\nTypes: deb\n# note\nURIs: http://m.example/debian\nSuites: bookworm bookworm-updates\n";
        assert_eq!(mirror_in(new).as_deref(), Some("http://m.example/debian"));
        assert_eq!(
            mirror_in("deb http://other.example/repo nodistro main\n"),
            None
        );
    }

    #[test]
    fn dependencies_are_names_only() {
        let names: Vec<_> = dependencies("linux-image-6.1 (= 6.1.1), a | b, c:any").collect();
        assert_eq!(names, ["linux-image-6.1", "a", "c"]);
    }
}
