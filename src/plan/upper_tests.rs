//! Which device keeps the changes: each test is a machine with disks.

use super::*;
use crate::ondisk::{FsFacts, FsKind};
use crate::plan::medium::{Facts, Probe, Wanted};
use crate::plan::search::{Event, Limits, Search};
use crate::request::Directory;
use crate::units::{Label, Sectors};

const SECOND: Duration = Duration::from_secs(1);

/// One device: name, GPT type, label, file system.
type Shown = (
    &'static str,
    Option<&'static str>,
    &'static str,
    Option<FsKind>,
);

fn device(name: &str) -> Device {
    let disk = name.trim_end_matches(|c: char| c.is_ascii_digit());
    Device {
        name: name.into(),
        size: Sectors(1000),
        parent: (disk != name && !name.starts_with("sr")).then(|| disk.to_owned()),
        partitions: vec![],
        optical: name.starts_with("sr"),
        model: String::new(),
        host: None,
    }
}

fn machine(shown: &[Shown]) -> Search {
    let limits = Limits {
        timeout: None,
        give_up: None,
    };
    let mut search = Search::new(Wanted::default(), limits, SECOND);
    for (name, part_type, label, fs) in shown {
        search.step(SECOND, Event::Seen(device(name)));
        let fs = fs.map(|kind| FsFacts {
            kind,
            label: Some(Label::new(label)),
            uuid: None,
            size: None,
        });
        let facts = Facts {
            fs,
            part_type: part_type.map(str::to_owned),
            ..Facts::default()
        };
        search.step(SECOND, Event::Probed((*name).into(), Probe::Facts(facts)));
    }
    search
}

fn decide_at(
    place: &Place,
    search: &Search,
    medium: &str,
    after: Duration,
    coming_up: bool,
) -> Decision {
    let times = Times {
        now: SECOND + after,
        began: SECOND,
        coming_up,
        may_ask: false,
    };
    decide_upper(place, &device(medium), &search.candidates(), times)
}

fn ours(shown: &[Shown], medium: &str) -> Decision {
    decide_at(&Place::Ours, &machine(shown), medium, Duration::ZERO, false)
}

fn taken(decision: Decision) -> String {
    match decision {
        Decision::Take(name, _) => name,
        other => panic!("{other:?}"),
    }
}

const STICK: Shown = ("sda1", None, "LIVE", Some(FsKind::Iso9660));
const EXT: Option<FsKind> = Some(FsKind::Ext);

#[test]
fn the_partition_on_the_boot_stick_wins() {
    let shown = [
        ("sdb1", Some(UPPER_TYPE), "", EXT),
        STICK,
        ("sda3", Some(UPPER_TYPE), "", EXT),
    ];
    assert_eq!(taken(ours(&shown, "sda1")), "sda3");
}

#[test]
fn one_on_another_disk_is_taken_and_of_two_the_one_of_this_image() {
    let two = [
        STICK,
        ("sdb1", Some(UPPER_TYPE), "", EXT),
        ("sdc1", Some(UPPER_TYPE), "", EXT),
    ];
    assert_eq!(taken(ours(&two[..2], "sda1")), "sdb1");
    assert_eq!(
        ours(&two, "sda1"),
        Decision::Compare(vec!["sdb1".into(), "sdc1".into()])
    );
    let id = |n| Some(ImageId::from_digest(&[n; 32]));
    let found = [("sdb1".to_owned(), id(1)), ("sdc1".to_owned(), id(2))];
    assert_eq!(taken(decide_among(&found, id(2).as_ref())), "sdc1");
    assert_eq!(taken(decide_among(&found, id(3).as_ref())), "sdb1");
    assert_eq!(
        taken(decide_among(
            &[("sdb1".into(), None), found[1].clone()],
            None
        )),
        "sdb1"
    );
}

#[test]
fn the_changes_of_another_live_stick_are_left_alone() {
    let other = [
        STICK,
        ("sdb1", None, "OTHER", Some(FsKind::Iso9660)),
        ("sdb3", Some(UPPER_TYPE), "", EXT),
    ];
    assert_eq!(ours(&other, "sda1"), Decision::Missing);
    let search = machine(&other);
    let others = describe_others(None, &search.candidates());
    assert_eq!(
        others,
        [(
            "sdb3".to_owned(),
            "it belongs to the live medium on sdb".to_owned()
        )]
    );
}

#[test]
fn without_any_nobody_waits_but_for_what_has_announced_itself() {
    assert_eq!(ours(&[STICK], "sda1"), Decision::Missing);
    let search = machine(&[STICK]);
    let after = |time, coming_up| decide_at(&Place::Ours, &search, "sda1", time, coming_up);
    assert_eq!(
        after(Duration::ZERO, true),
        Decision::Wait(SECOND + ANNOUNCED)
    );
    assert_eq!(after(ANNOUNCED, true), Decision::Missing);
    let mut search = machine(&[STICK]);
    search.step(SECOND, Event::Seen(device("sdb1")));
    let unread = decide_at(&Place::Ours, &search, "sda1", Duration::ZERO, false);
    assert_eq!(unread, Decision::Wait(SECOND + ANNOUNCED));
}

fn named(text: &str) -> Place {
    Place::Named(DeviceSpec::parse(text.as_bytes()).unwrap(), Directory::Auto)
}

#[test]
fn a_named_device_is_waited_for() {
    let place = named("LABEL=KEEP");
    let search = machine(&[STICK]);
    let at = |time| decide_at(&place, &search, "sda1", time, false);
    assert_eq!(at(Duration::ZERO), Decision::Wait(SECOND + NAMED));
    assert_eq!(at(NAMED), Decision::Missing);
    let asking = Times {
        now: SECOND + NAMED - QUESTION,
        began: SECOND,
        coming_up: false,
        may_ask: true,
    };
    let decision = decide_upper(&place, &device("sda1"), &search.candidates(), asking);
    assert_eq!(decision, Decision::Missing);
    let there = machine(&[
        STICK,
        ("sdb1", None, "KEEP", EXT),
        ("sda3", None, "KEEP", EXT),
    ]);
    assert_eq!(
        taken(decide_at(&place, &there, "sda1", NAMED, false)),
        "sda3"
    );
}

#[test]
fn the_medium_itself_is_refused_at_once() {
    let search = machine(&[STICK, ("sda", None, "LIVE", Some(FsKind::Iso9660))]);
    for place in ["LABEL=LIVE", "/dev/sda1", "/dev/sda"] {
        let decision = decide_at(&named(place), &search, "sda1", Duration::ZERO, false);
        assert!(
            matches!(&decision, Decision::Refused(why) if why.contains("itself")),
            "{decision:?}"
        );
    }
}

#[test]
fn home_is_on_the_boot_disk_or_beside_the_upper() {
    let mut search = machine(&[
        STICK,
        ("sdb1", Some(UPPER_TYPE), "", EXT),
        ("sdb2", Some(HOME_TYPE), "", EXT),
        ("sdc2", Some(HOME_TYPE), "", EXT),
    ]);
    let home = |search: &Search, medium, upper: Option<&str>, after| {
        let times = Times {
            now: SECOND + after,
            began: SECOND,
            coming_up: false,
            may_ask: false,
        };
        let upper = upper.map(device);
        decide_home(&device(medium), upper.as_ref(), &search.candidates(), times)
    };
    let now = Duration::ZERO;
    assert_eq!(taken(home(&search, "sda1", Some("sdb1"), now)), "sdb2");
    assert_eq!(taken(home(&search, "sdc1", Some("sdb1"), now)), "sdc2");
    assert_eq!(home(&search, "sda1", None, now), Decision::Missing);
    // Read a moment later than the upper.
    search.step(SECOND, Event::Seen(device("sda4")));
    let wait = Decision::Wait(SECOND + ANNOUNCED);
    assert_eq!(home(&search, "sda1", None, now), wait);
    assert_eq!(home(&search, "sda1", None, ANNOUNCED), Decision::Missing);
}

#[test]
fn nothing_is_taken_before_it_was_read() {
    let place = named("/dev/sdb1");
    let mut search = machine(&[STICK]);
    search.step(SECOND, Event::Seen(device("sdb1")));
    let at = |search: &Search, time| decide_at(&place, search, "sda1", time, false);
    assert_eq!(at(&search, Duration::ZERO), Decision::Wait(SECOND + NAMED));
    let unreadable = Probe::Unreadable("Input/output error".into());
    search.step(SECOND, Event::Probed("sdb1".into(), unreadable));
    assert_eq!(taken(at(&search, Duration::ZERO)), "sdb1");
    let facts = &search.candidate("sdb1").unwrap().facts;
    assert_eq!(facts.unreadable.as_deref(), Some("Input/output error"));
}

#[test]
fn of_two_with_one_label_the_first_answer_does_not_decide() {
    let place = named("LABEL=KEEP");
    let mut search = machine(&[STICK, ("sdb1", None, "KEEP", EXT)]);
    search.step(SECOND, Event::Seen(device("sda3")));
    let decision = decide_at(&place, &search, "sda1", Duration::ZERO, false);
    assert_eq!(decision, Decision::Wait(SECOND + NAMED));
}

#[test]
fn a_lack_is_a_question_a_notice_or_a_page_as_the_words_say() {
    let patience = Patience {
        required: false,
        may_ask: true,
        asked: None,
        power_off: None,
    };
    let place = named("LABEL=KEEP");
    let at = |patience, now| decide_lack(&place, patience, now);
    assert_eq!(at(patience, SECOND), Lack::Ask);
    let asked = Patience {
        asked: Some(SECOND),
        ..patience
    };
    assert_eq!(at(asked, QUESTION), Lack::Ask);
    assert_eq!(at(asked, SECOND + QUESTION), Lack::GiveUp);
    let mute = Patience {
        may_ask: false,
        ..patience
    };
    assert_eq!(at(mute, SECOND), Lack::GiveUp);
    assert_eq!(decide_lack(&Place::Ours, patience, SECOND), Lack::Nothing);
    let required = Patience {
        required: true,
        ..patience
    };
    assert_eq!(at(required, SECOND), Lack::Page);
    assert_eq!(decide_lack(&Place::Ours, required, SECOND), Lack::Page);
    let unattended = Patience {
        power_off: Some(QUESTION),
        ..required
    };
    assert_eq!(at(unattended, SECOND), Lack::Page);
    assert_eq!(at(unattended, QUESTION), Lack::PowerOff);
}

#[test]
fn the_disk_that_holds_the_iso_file_is_the_boot_disk_and_not_written_to() {
    let data = ("sda2", None, "DATA", EXT);
    let search = machine(&[
        data,
        ("sdb1", Some(UPPER_TYPE), "", EXT),
        ("sda3", Some(UPPER_TYPE), "", EXT),
    ]);
    let iso = Device {
        parent: Some("sda".into()),
        host: Some("sda2".into()),
        ..device("loop0")
    };
    let times = Times {
        now: SECOND,
        began: SECOND,
        coming_up: false,
        may_ask: false,
    };
    let decide = |place: &Place| decide_upper(place, &iso, &search.candidates(), times);
    assert_eq!(taken(decide(&Place::Ours)), "sda3");
    let named = DeviceSpec::parse(b"LABEL=DATA").unwrap();
    let Decision::Refused(why) = decide(&Place::Named(named, Directory::Auto)) else {
        panic!("taken")
    };
    assert!(why.contains("LABEL=DATA has the ISO file"), "{why}");
}

#[test]
fn whoever_expects_writes_in_a_bare_image_is_told_that_there_are_none() {
    use crate::request::{decide_request, said};
    let told = |line: &str, layout| {
        let request = decide_request(&said::split(line.as_bytes()));
        describe_lost(&request.upper, layout)
    };
    for line in ["rd.overlay=none", "rd.live.overlay=NONE"] {
        let notice = told(line, Some("bare")).unwrap();
        assert!(notice.starts_with("rd.overlay=none: nothing is written"));
        assert_eq!(told(line, Some("flat")), None);
        assert_eq!(told(line, None), None);
    }
    assert_eq!(told("rd.overlay=none rd.overlay=tmpfs", Some("bare")), None);
    assert_eq!(told("", Some("bare")), None);
    assert!(told("liveroot.overlay=off", Some("flat")).is_some());
}
