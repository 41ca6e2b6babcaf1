//! `liveroot status`: what this live system runs from, and where its changes go.
//!
//! Reads what boot left in /run/liveroot, and the file systems themselves; nothing is
//! opened on the medium.

use super::machine::Machine;
use super::watch::is_memory;
use crate::layout::{LEFT_JSON, Left, LeftMount, RUN_DIR, Session};
use crate::ondisk::session::parse_session;
use crate::plan::fill::Room;
use crate::plan::spot::Spot;
use crate::sys::mount::shown_number;
use crate::units::{Bytes, ImageId, Moment, shown};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::path::PathBuf;

/// Version of the structure below.
const SCHEMA: u32 = 1;

/// What `--json` prints. Numbers of bytes and files; times in seconds since 1970.
#[derive(Debug, Serialize)]
struct Status {
    schema: u32,
    image: Option<ImageId>,
    medium: Option<Medium>,
    changes: Option<Changes>,
    session: Option<Session>,
    /// How the session before this one ended: `new`, `closed`, `not-closed`, `unknown`.
    last: Option<String>,
    /// What came of the file system's check.
    check: Option<String>,
    /// Saved changes that are seen and not written to.
    seen: Option<Seen>,
    home: Option<String>,
    notices: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Medium {
    device: String,
    label: Option<String>,
    present: bool,
    /// The image is in memory.
    released: bool,
}

#[derive(Debug, Serialize)]
struct Seen {
    device: String,
    fs: String,
    directory: String,
}

#[derive(Debug, Serialize)]
struct Changes {
    /// Whether they survive the end.
    kept: bool,
    /// Whether the file system is where boot mounted it; else the numbers are 0.
    mounted: bool,
    at: String,
    device: String,
    fs: String,
    directory: String,
    size: u64,
    free: u64,
    files: u64,
    files_free: u64,
    used_percent: u8,
}

/// What is read of the boot's report.
#[derive(Default, Deserialize)]
struct Report {
    medium: Option<ReportMedium>,
    upper: Option<ReportUpper>,
}

#[derive(Deserialize)]
struct ReportUpper {
    last: Option<String>,
    check: Option<String>,
}

#[derive(Deserialize)]
struct ReportMedium {
    label: Option<String>,
}

/// What the program says when it runs elsewhere.
pub const NOT_OURS: &str = "this system was not booted through liveroot";

/// What boot left; none where there was no boot of ours.
pub fn read_left(machine: &Machine) -> Option<Left> {
    let text = std::fs::read(machine.run.join(RUN_DIR).join(LEFT_JSON)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Its place in this process's tree.
pub fn place(machine: &Machine, mount: &LeftMount) -> PathBuf {
    machine.root.join(mount.at.trim_start_matches('/'))
}

/// Whether that file system is still there: it may have been unmounted (by a click on a
/// desktop), and the place is then a directory of /run.
pub fn is_there(machine: &Machine, mount: &LeftMount) -> bool {
    let number = shown_number(&machine.proc, &place(machine, mount));
    !number.is_empty() && number == mount.number
}

/// What is free where it is mounted; none when it has gone.
pub fn room(machine: &Machine, mount: &LeftMount) -> Option<Room> {
    if !is_there(machine, mount) {
        return None;
    }
    let stat = rustix::fs::statvfs(place(machine, mount)).ok()?;
    // As df(1) counts: what is kept for root is neither used nor free.
    let used = stat.f_blocks.saturating_sub(stat.f_bfree);
    Some(Room {
        total: used
            .saturating_add(stat.f_bavail)
            .saturating_mul(stat.f_frsize),
        free: stat.f_bavail.saturating_mul(stat.f_frsize),
        files: stat.f_files,
        files_free: stat.f_ffree,
    })
}

/// The text of `liveroot status`.
///
/// # Errors
/// The reason, for people.
pub fn status(machine: &Machine, json: bool) -> Result<String, String> {
    let left = read_left(machine).ok_or(NOT_OURS)?;
    let status = gather(machine, left);
    if json {
        return super::sessions::to_json(&status);
    }
    Ok(show(&status))
}

fn gather(machine: &Machine, left: Left) -> Status {
    let report = std::fs::read(machine.run.join(RUN_DIR).join("report.json")).ok();
    let report: Option<Report> = report.and_then(|text| serde_json::from_slice(&text).ok());
    let Report { medium, upper } = report.unwrap_or_default();
    let label = medium.and_then(|m| m.label);
    let (last, check) = upper.map_or((None, None), |u| (u.last, u.check));
    let session = left.upper.as_ref().zip(left.session.as_ref());
    let session = session.and_then(|(upper, session)| {
        let bytes = std::fs::read(place(machine, upper).join(session.trim_start_matches('/')));
        parse_session(&bytes.ok()?).ok()
    });
    let base = left.directory.as_deref().map(|d| Spot::of_upper(d).base);
    let seen = left.saved.as_ref().filter(|_| left.session.is_none());
    let seen = seen.map(|saved| Seen {
        device: saved.device.clone(),
        fs: saved.fs.clone(),
        directory: base.clone().unwrap_or_default(),
    });
    let changes = left.upper.as_ref().map(|upper| {
        let found = room(machine, upper);
        let room = found.unwrap_or_default();
        let kept = !is_memory(upper) && left.session.is_some();
        Changes {
            kept,
            mounted: found.is_some(),
            at: upper.at.clone(),
            device: upper.device.clone(),
            fs: upper.fs.clone(),
            directory: base.clone().filter(|_| kept).unwrap_or_default(),
            size: room.total,
            free: room.free,
            files: room.files,
            files_free: room.files_free,
            used_percent: room.fill().1,
        }
    });
    Status {
        schema: SCHEMA,
        image: left.image,
        medium: left.medium.map(|medium| Medium {
            present: !medium.number.is_empty()
                && machine.sys.join("dev/block").join(&medium.number).exists(),
            released: medium.at.is_empty(),
            device: medium.device,
            label,
        }),
        changes,
        session,
        last,
        check,
        seen,
        home: left.home.map(|home| home.device),
        notices: left.notices,
    }
}

fn show(status: &Status) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: String| {
        let _ = writeln!(text, "{key:<9} {}", shown(&value));
    };
    if let Some(medium) = &status.medium {
        let label = medium.label.as_deref().unwrap_or("without a label");
        let gone = match (medium.released, medium.present) {
            (true, _) => ", not needed any more",
            (false, true) => "",
            (false, false) => ", not there any more",
        };
        line("medium", format!("{} ({label}){gone}", medium.device));
    }
    let id = status
        .image
        .as_ref()
        .map_or("without an id", ImageId::short);
    line("image", id.to_owned());
    match &status.changes {
        None => line("changes", "not known".to_owned()),
        Some(c) => {
            line("changes", where_to(c));
            let (device, at) = (&c.device, &c.at);
            let files = match c.files {
                0 => String::new(),
                _ => format!(", {} more files", c.files_free),
            };
            let (free, size) = (Bytes(c.free), Bytes(c.size));
            let room = match c.mounted {
                true => format!("{free} of {size} free{files} ({} % used)", c.used_percent),
                false => format!("not known: {device} is not mounted at {at} any more"),
            };
            line("room", room);
        }
    }
    if let Some(Seen {
        device,
        fs,
        directory,
    }) = &status.seen
    {
        let seen = format!("changes on {device} ({fs}), in {directory}, are only read");
        line("saved", seen);
    }
    if let Some(last) = &status.last {
        let check = status.check.as_ref().map(|c| format!("; check: {c}"));
        line("last", ended(last).to_owned() + &check.unwrap_or_default());
    }
    if let Some(session) = &status.session {
        line("session", describe(session, status.image.as_ref()));
    }
    if let Some(home) = &status.home {
        line("home", home.clone());
    }
    for notice in &status.notices {
        line("notice", notice.clone());
    }
    text
}

/// From the report's `last`.
fn ended(last: &str) -> &'static str {
    match last {
        "new" => "this is the first session",
        "closed" => "the session before ended cleanly",
        "not-closed" => "the session before did not end cleanly",
        _ => "how the session before ended is not known",
    }
}

fn where_to(changes: &Changes) -> String {
    if !changes.kept {
        return "are kept in memory and gone at the end".to_owned();
    }
    let Changes {
        device,
        fs,
        directory,
        ..
    } = changes;
    format!("are kept on {device} ({fs}), in {directory}")
}

/// A session in one line.
pub fn describe(session: &Session, running: Option<&ImageId>) -> String {
    let image = match &session.image {
        Some(id) if Some(id) == running => "this image".to_owned(),
        Some(id) => format!("image {}", id.short()),
        None => "an image without an id".to_owned(),
    };
    let (label, made, used) = (&session.label, Moment(session.made), Moment(session.used));
    format!("made on {image} ({label}) {made}, used {used}")
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
