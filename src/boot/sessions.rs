//! `liveroot sessions`: the saved changes on the file system that takes them, those in use
//! and those that were put aside; and the words of the agent's own `liveroot`.

use super::machine::Machine;
use super::status::{NOT_OURS, describe, is_there, place, read_left, status};
use crate::layout::{CURRENT, PUT_ASIDE, SESSION_JSON, Session, UPPER_DIR, VERSION};
use crate::ondisk::session::parse_session;
use crate::plan::spot::Spot;
use crate::units::{Bytes, shown};
use serde::Serialize;
use std::fmt::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Version of the structure below.
const SCHEMA: u32 = 1;

/// What `--json` prints; sizes in bytes, times in seconds since 1970.
#[derive(Debug, Serialize)]
struct Sessions {
    schema: u32,
    sessions: Vec<Entry>,
}

#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    in_use: bool,
    size: u64,
    /// Whether all was counted.
    size_is_whole: bool,
    session: Option<Session>,
    /// Why its file can't be read.
    trouble: Option<String>,
}

/// Files that are counted for a size: some seconds on a slow stick.
const COUNTED: u32 = 100_000;

/// The text of `liveroot sessions`.
///
/// # Errors
/// The reason, for people.
pub fn sessions(machine: &Machine, json: bool) -> Result<String, String> {
    let left = read_left(machine).ok_or(NOT_OURS)?;
    let mut found = Vec::new();
    let current = left.directory.as_deref().map(Spot::of_upper);
    if let Some(saved) = &left.saved {
        if !is_there(machine, saved) {
            let (device, at) = (&saved.device, &saved.at);
            return Err(format!(
                "{device} with the saved changes is not mounted at {at} any more: mount it there"
            ));
        }
        let root = place(machine, saved);
        for spot in list(&root, current.as_ref())? {
            let in_use = current.as_ref() == Some(&spot);
            found.push(look(&root, spot, in_use));
        }
    }
    if json {
        return to_json(&Sessions {
            schema: SCHEMA,
            sessions: found,
        });
    }
    if found.is_empty() {
        return Ok("no saved changes: what this system writes is in memory\n".to_owned());
    }
    let mut text = String::new();
    for entry in &found {
        let Entry { name, session, .. } = entry;
        let least = if entry.size_is_whole { "" } else { "at least " };
        let what = match (session, &entry.trouble) {
            (Some(session), _) => {
                let state = match (entry.in_use, session.open) {
                    (true, _) => "in use",
                    (false, true) => "not closed",
                    (false, false) => "closed",
                };
                format!("{}, {state}", describe(session, left.image.as_ref()))
            }
            (None, trouble) => trouble.clone().unwrap_or_default(),
        };
        let used = if entry.in_use { "*" } else { " " };
        let line = format!("{used} {name:<20} {least}{}, {what}", Bytes(entry.size));
        let _ = writeln!(text, "{}", shown(&line));
    }
    Ok(text)
}

/// Ours, and those beside the one in use where that is kept under another name.
fn list(root: &Path, in_use: Option<&Spot>) -> Result<Vec<Spot>, String> {
    let ours = |name: &str| name == CURRENT || name.starts_with(PUT_ASIDE);
    let mut files: Vec<String> = names(&root.join(UPPER_DIR))?
        .into_iter()
        .filter(|name| ours(name))
        .map(|name| format!("{UPPER_DIR}/{name}/{SESSION_JSON}"))
        .collect();
    let other = in_use.filter(|spot| **spot != Spot::ours());
    if let Some(Spot { session, .. }) = other {
        let parent = session.rsplit_once('/').map_or("", |(parent, _)| parent);
        let beside = names(&root.join(parent))?.into_iter();
        files.extend(beside.map(|name| {
            format!("{parent}/{name}")
                .trim_start_matches('/')
                .to_owned()
        }));
    }
    let mut spots: Vec<Spot> = files.iter().filter_map(|file| Spot::of(file)).collect();
    // dracut writes no session's file.
    spots.extend(other.filter(|spot| !spots.contains(spot)).cloned());
    Ok(spots)
}

fn names(dir: &Path) -> Result<Vec<String>, String> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(format!("reading {}: {e}", dir.display())),
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok())
        .collect();
    names.sort();
    // session-10 behind session-9.
    let longest = names.iter().map(String::len).max().unwrap_or(0);
    let of = |length| names.iter().filter(move |n| n.len() == length).cloned();
    Ok((0..=longest).flat_map(of).collect())
}

fn look(root: &Path, spot: Spot, in_use: bool) -> Entry {
    let bytes = std::fs::read(root.join(&spot.session)).map_err(|e| e.to_string());
    let session = bytes.and_then(|bytes| parse_session(&bytes).map_err(|e| e.to_string()));
    let (size, size_is_whole) = size_of(root.join(&spot.upper));
    let trouble = session
        .as_ref()
        .err()
        .map(|e| format!("{}: {e}", spot.session));
    Entry {
        in_use,
        name: spot.base,
        size,
        size_is_whole,
        session: session.ok(),
        trouble,
    }
}

/// Bytes that a directory takes on disk, and whether all was counted.
fn size_of(dir: PathBuf) -> (u64, bool) {
    let (mut size, mut counted) = (0u64, 0);
    let mut dirs = vec![dir];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else {
                continue;
            };
            counted += 1;
            if counted > COUNTED {
                return (size, false);
            }
            size += meta.blocks() * 512;
            if meta.is_dir() {
                dirs.push(entry.path());
            }
        }
    }
    (size, true)
}

/// What `--json` prints.
pub(super) fn to_json<T: Serialize>(value: &T) -> Result<String, String> {
    let text = serde_json::to_string_pretty(value).map_err(|e| e.to_string())?;
    Ok(text + "\n")
}

const HELP: &str = "\
liveroot: what this live system runs from. This is the agent's own, for an image that has no
liveroot; it makes no media.

  liveroot status [--json]     medium, image, where changes go, how full that is
  liveroot sessions [--json]   saved changes, those in use and those put aside
  -h, --help                   this text
  -V, --version                the version
";

/// The face: `liveroot` where the image has none. The text and the exit status.
pub fn run(words: &[String]) -> (String, i32) {
    let machine = Machine::running();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let told = match words[..] {
        ["status"] => status(&machine, false),
        ["status", "--json"] => status(&machine, true),
        ["sessions"] => sessions(&machine, false),
        ["sessions", "--json"] => sessions(&machine, true),
        ["-V" | "--version"] => Ok(format!("liveroot {VERSION}\n")),
        ["-h" | "--help"] => Ok(HELP.to_owned()),
        _ => return (HELP.to_owned(), 2),
    };
    match told {
        Ok(text) => (text, 0),
        Err(why) => (format!("liveroot: {why}\n"), 1),
    }
}
