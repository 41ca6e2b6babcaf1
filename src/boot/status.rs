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
    home: Option<String>,
    notices: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Medium {
    device: String,
    label: Option<String>,
    present: bool,
}

#[derive(Debug, Serialize)]
struct Changes {
    /// Whether they survive the end.
    kept: bool,
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

/// What is free where it is mounted; none when it has gone.
pub fn room(machine: &Machine, mount: &LeftMount) -> Option<Room> {
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
    let label = report.and_then(|r| r.medium).and_then(|m| m.label);
    let session = left.upper.as_ref().zip(left.session.as_ref());
    let session = session.and_then(|(upper, session)| {
        let bytes = std::fs::read(place(machine, upper).join(session.trim_start_matches('/')));
        parse_session(&bytes.ok()?).ok()
    });
    let changes = left.upper.as_ref().map(|upper| {
        let room = room(machine, upper).unwrap_or_default();
        let spot = left.session.as_deref().and_then(Spot::of);
        Changes {
            kept: !is_memory(upper) && left.session.is_some(),
            device: upper.device.clone(),
            fs: upper.fs.clone(),
            directory: spot.map_or(String::new(), |spot| spot.base),
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
            present: machine.sys.join("dev/block").join(&medium.number).exists(),
            device: medium.device,
            label,
        }),
        changes,
        session,
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
        let gone = if medium.present {
            ""
        } else {
            ", not there any more"
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
            let files = match c.files {
                0 => String::new(),
                _ => format!(", {} more files", c.files_free),
            };
            let (free, size) = (Bytes(c.free), Bytes(c.size));
            line(
                "room",
                format!("{free} of {size} free{files} ({} % used)", c.used_percent),
            );
        }
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
    let open = if session.open { "open" } else { "closed" };
    format!("made on {image} ({label}) {made}, used {used}, {open}")
}

/// Where the file system of the saved changes is; none when changes go to memory.
pub fn saved_root(machine: &Machine, left: &Left) -> Option<PathBuf> {
    let upper = left.upper.as_ref().filter(|u| !is_memory(u))?;
    Some(place(machine, upper))
}

#[cfg(test)]
mod tests {
    use super::super::sessions::sessions;
    use super::*;
    use crate::layout::{LEFT_SCHEMA, SESSION_SCHEMA, UPPER_DIR};
    use crate::ondisk::session::session_bytes;

    fn session(label: &str, open: bool) -> Session {
        Session {
            schema: SESSION_SCHEMA,
            image: Some(ImageId::from_digest(&[7; 32])),
            label: label.into(),
            made: 1_795_517_865,
            used: 1_795_517_865,
            open,
        }
    }

    /// A live system whose changes go to a "disk" that is a directory.
    fn machine(dir: &std::path::Path, device: &str) -> Machine {
        let machine = Machine::below(dir.into());
        let kept = device.starts_with('/');
        let left = Left {
            schema: LEFT_SCHEMA,
            image: Some(ImageId::from_digest(&[7; 32])),
            medium: Some(LeftMount {
                device: "/dev/sda1".into(),
                number: "8:1".into(),
                ..LeftMount::default()
            }),
            upper: Some(LeftMount {
                device: device.into(),
                number: "8:3".into(),
                at: "/run/initramfs/overlayfs".into(),
                fs: "ext4".into(),
            }),
            session: kept.then(|| "liveroot/current/session.json".into()),
            notices: vec!["The last session did not end cleanly.".into()],
            ..Left::default()
        };
        let ours = machine.run.join(RUN_DIR);
        std::fs::create_dir_all(&ours).unwrap();
        std::fs::write(ours.join(LEFT_JSON), serde_json::to_vec(&left).unwrap()).unwrap();
        let report = r#"{"schema":1,"medium":{"label":"LI\u001bVE","fs":"iso9660"}}"#;
        std::fs::write(ours.join("report.json"), report).unwrap();
        for (name, session) in [
            ("current", session("LIVE", true)),
            ("session-1", session("\u{1b}cOLD", false)),
        ] {
            let at = machine.saved().join(UPPER_DIR).join(name);
            std::fs::create_dir_all(at.join("upper/etc")).unwrap();
            std::fs::write(at.join("upper/etc/file"), vec![1; 9000]).unwrap();
            std::fs::write(at.join("session.json"), session_bytes(&session)).unwrap();
        }
        machine
    }

    #[test]
    fn status_tells_medium_image_changes_session_and_notices() {
        let dir = tempfile::tempdir().unwrap();
        let machine = machine(dir.path(), "/dev/sda3");
        let text = status(&machine, false).unwrap();
        for line in [
            "medium    /dev/sda1 (LI?VE), not there any more\n",
            "image     07070707\n",
            "changes   are kept on /dev/sda3 (ext4), in liveroot/current\n",
            "session   made on this image (LIVE) 2026-11-24 10:57 UTC, ",
            "notice    The last session did not end cleanly.\n",
            " % used)\n",
        ] {
            assert!(text.contains(line), "{line:?} in\n{text}");
        }
        std::fs::create_dir_all(machine.sys.join("dev/block/8:1")).unwrap();
        let json: serde_json::Value =
            serde_json::from_str(&status(&machine, true).unwrap()).unwrap();
        assert_eq!(json["medium"]["present"], true);
        assert_eq!(json["changes"]["kept"], true);
        assert!(json["changes"]["size"].as_u64().unwrap() > 0);
        assert_eq!(json["session"]["open"], true);
    }

    #[test]
    fn sessions_are_listed_with_their_size() {
        let dir = tempfile::tempdir().unwrap();
        let machine = machine(dir.path(), "/dev/sda3");
        let text = sessions(&machine, false).unwrap();
        assert!(
            text.contains("(?cOLD)") && !text.contains('\u{1b}'),
            "{text}"
        );
        std::fs::write(machine.saved().join("liveroot/session-1/session.json"), "x").unwrap();
        let text = sessions(&machine, false).unwrap();
        assert!(text.starts_with("* liveroot/current "), "{text}");
        assert!(
            text.contains("\n  liveroot/session-1 ") && text.contains("session.json: "),
            "{text}"
        );
        let json: serde_json::Value =
            serde_json::from_str(&sessions(&machine, true).unwrap()).unwrap();
        assert_eq!(json["sessions"][0]["in_use"], true);
        assert!(json["sessions"][0]["size"].as_u64().unwrap() >= 9000);
        assert_eq!(json["sessions"][1]["session"], serde_json::Value::Null);
    }

    #[test]
    fn dracuts_overlay_in_use_is_listed_with_those_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let machine = machine(dir.path(), "/dev/sda3");
        let file = machine.run.join(RUN_DIR).join(LEFT_JSON);
        let mut left = read_left(&machine).unwrap();
        left.session = Some("LiveOS/.liveroot-overlay-L-u.json".into());
        std::fs::write(file, serde_json::to_vec(&left).unwrap()).unwrap();
        let live = machine.saved().join("LiveOS");
        std::fs::create_dir_all(live.join("overlay-L-u/etc")).unwrap();
        let open = session_bytes(&session("L", true));
        std::fs::write(live.join(".liveroot-overlay-L-u.json"), open).unwrap();
        let text = sessions(&machine, false).unwrap();
        assert!(text.contains("\n* LiveOS/overlay-L-u "), "{text}");
        assert!(text.starts_with("  liveroot/current "), "{text}");
        let text = status(&machine, false).unwrap();
        assert!(text.contains("(ext4), in LiveOS/overlay-L-u\n"), "{text}");
    }

    #[test]
    fn changes_in_memory_are_said_to_be_lost() {
        let dir = tempfile::tempdir().unwrap();
        let machine = machine(dir.path(), "tmpfs");
        let text = status(&machine, false).unwrap();
        assert!(
            text.contains("changes   are kept in memory and gone at the end\n"),
            "{text}"
        );
        assert!(
            sessions(&machine, false)
                .unwrap()
                .starts_with("no saved changes")
        );
    }

    #[test]
    fn elsewhere_it_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::below(dir.path().into());
        assert_eq!(status(&machine, false), Err(NOT_OURS.to_owned()));
        assert_eq!(sessions(&machine, true), Err(NOT_OURS.to_owned()));
    }
}
