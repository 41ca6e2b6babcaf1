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

fn disk(device: &str) -> LeftMount {
    LeftMount {
        device: device.into(),
        number: "8:3".into(),
        at: "/run/initramfs/overlayfs".into(),
        fs: "ext4".into(),
    }
}

/// What is mounted where the changes go; `number` is the file system's.
fn mounted(machine: &Machine, number: &str) {
    let table = machine.proc.join("self");
    std::fs::create_dir_all(&table).unwrap();
    let at = machine.saved();
    let line = format!("1 1 {number} / {} rw - ext4 x rw\n", at.display());
    std::fs::write(table.join("mountinfo"), line).unwrap();
}

fn leave(machine: &Machine, change: impl Fn(&mut Left)) {
    let mut left = read_left(machine).unwrap();
    change(&mut left);
    let file = machine.run.join(RUN_DIR).join(LEFT_JSON);
    std::fs::write(file, serde_json::to_vec(&left).unwrap()).unwrap();
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
            at: "/run/initramfs/live".into(),
            ..LeftMount::default()
        }),
        upper: Some(disk(device)),
        saved: kept.then(|| disk(device)),
        directory: kept.then(|| "liveroot/current/upper".into()),
        session: kept.then(|| "liveroot/current/session.json".into()),
        notices: vec!["The last session did not end cleanly.".into()],
        ..Left::default()
    };
    let ours = machine.run.join(RUN_DIR);
    std::fs::create_dir_all(&ours).unwrap();
    std::fs::write(ours.join(LEFT_JSON), serde_json::to_vec(&left).unwrap()).unwrap();
    let report = r#"{"schema":1,"medium":{"label":"LI\u001bVE","fs":"iso9660"},
        "upper":{"last":"not-closed","check":"clean"}}"#;
    std::fs::write(ours.join("report.json"), report).unwrap();
    mounted(&machine, "8:3");
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
        "last      the session before did not end cleanly; check: clean\n",
        "notice    The last session did not end cleanly.\n",
        " % used)\n",
    ] {
        assert!(text.contains(line), "{line:?} in\n{text}");
    }
    std::fs::create_dir_all(machine.sys.join("dev/block/8:1")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&status(&machine, true).unwrap()).unwrap();
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
    let json: serde_json::Value = serde_json::from_str(&sessions(&machine, true).unwrap()).unwrap();
    assert_eq!(json["sessions"][0]["in_use"], true);
    assert!(json["sessions"][0]["size"].as_u64().unwrap() >= 9000);
    assert_eq!(json["sessions"][1]["session"], serde_json::Value::Null);
}

#[test]
fn dracuts_overlay_in_use_is_listed_with_those_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let machine = machine(dir.path(), "/dev/sda3");
    leave(&machine, |left| {
        left.directory = Some("LiveOS/overlay-L-u".into());
        left.session = Some("LiveOS/.liveroot-overlay-L-u.json".into());
    });
    let live = machine.saved().join("LiveOS");
    std::fs::create_dir_all(live.join("overlay-L-u/etc")).unwrap();
    let open = session_bytes(&session("L", true));
    std::fs::write(live.join(".liveroot-overlay-L-u.json"), &open).unwrap();
    std::fs::write(live.join(".liveroot-overlay-L-u.session-1.json"), open).unwrap();
    let text = sessions(&machine, false).unwrap();
    assert!(text.contains("\n* LiveOS/overlay-L-u "), "{text}");
    assert!(text.contains("\n  LiveOS/overlay-L-u.session-1 "), "{text}");
    assert_eq!(text.matches("* ").count(), 1, "{text}");
    assert!(text.starts_with("  liveroot/current "), "{text}");
    let text = status(&machine, false).unwrap();
    assert!(text.contains("(ext4), in LiveOS/overlay-L-u\n"), "{text}");
}

#[test]
fn saved_changes_that_are_only_read_are_told_and_listed() {
    let dir = tempfile::tempdir().unwrap();
    let machine = machine(dir.path(), "/dev/sda3");
    leave(&machine, |left| {
        left.session = None;
        left.upper = Some(LeftMount {
            device: "tmpfs".into(),
            ..disk("tmpfs")
        });
        // dracut's: without a session's file.
        left.directory = Some("LiveOS/overlay-L-u".into());
    });
    std::fs::create_dir_all(machine.saved().join("LiveOS/overlay-L-u")).unwrap();
    let text = status(&machine, false).unwrap();
    let expected = "saved     changes on /dev/sda3 (ext4), in LiveOS/overlay-L-u, are only read\n";
    assert!(text.contains(expected), "{text}");
    assert!(text.contains("in memory"), "{text}");
    let text = sessions(&machine, false).unwrap();
    assert!(text.contains("\n* LiveOS/overlay-L-u "), "{text}");
}

#[test]
fn another_file_system_in_the_place_of_the_upper_is_not_taken_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let machine = machine(dir.path(), "/dev/sda3");
    mounted(&machine, "0:25");
    let text = status(&machine, false).unwrap();
    let gone = "/dev/sda3 is not mounted at /run/initramfs/overlayfs any more";
    assert!(text.contains(gone), "{text}");
    assert!(sessions(&machine, false).is_err());
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
