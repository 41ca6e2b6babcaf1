//! The search, decided in milliseconds: each test is a story of events.

use super::*;
use crate::ondisk::{FsFacts, FsKind};
use crate::request::DeviceSpec;
use crate::units::{ImageId, Label, Sectors};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn id(byte: u8) -> ImageId {
    ImageId::from_digest(&[byte; 32])
}

fn search(image: Option<ImageId>) -> Search {
    let wanted = Wanted {
        spec: DeviceSpec::parse(b"LABEL=LIVE"),
        named: true,
        id: image,
        image_path: "LiveOS/squashfs.img".into(),
        iso: None,
    };
    let limits = Limits {
        timeout: None,
        give_up: None,
    };
    Search::new(wanted, limits, ms(0))
}

fn device(name: &str, parent: Option<&str>, partitions: &[&str]) -> Event {
    Event::Seen(Device {
        name: name.into(),
        size: Sectors(1000),
        parent: parent.map(str::to_owned),
        partitions: partitions.iter().map(|p| (*p).to_owned()).collect(),
        optical: name.starts_with("sr"),
        model: String::new(),
        host: None,
    })
}

fn labelled(name: &str, label: &str) -> Event {
    let fs = FsFacts {
        kind: FsKind::Iso9660,
        label: Some(Label::new(label)),
        uuid: None,
        size: None,
    };
    Event::Probed(
        name.into(),
        Probe::Facts(Facts {
            fs: Some(fs),
            ..Facts::default()
        }),
    )
}

fn found(name: &str, image: Option<ImageId>) -> Event {
    Event::Examined(
        name.into(),
        Ok(Found {
            id: image,
            size: 1,
            init: "/sbin/init".into(),
        }),
    )
}

fn not_there(name: &str) -> Event {
    Event::Examined(name.into(), Err("no LiveOS/squashfs.img".into()))
}

fn examine(name: &str) -> Vec<Action> {
    vec![Action::Examine(name.into())]
}

fn accept(name: &str) -> Vec<Action> {
    vec![Action::Accept(name.into())]
}

#[test]
fn a_full_match_is_accepted_at_once() {
    let mut s = search(Some(id(1)));
    assert_eq!(
        s.step(ms(10), device("sr0", None, &[])),
        [Action::Probe("sr0".into())]
    );
    assert_eq!(s.step(ms(20), labelled("sr0", "LIVE")), examine("sr0"));
    assert_eq!(s.step(ms(30), found("sr0", Some(id(1)))), accept("sr0"));
    // What comes later is read, for the upper, and not examined.
    let probe = [Action::Probe("sda".into())];
    assert_eq!(s.step(ms(40), device("sda", None, &[])), probe);
    assert!(s.step(ms(50), labelled("sda", "LIVE")).is_empty());
}

#[test]
fn of_a_hybrid_stick_partition_1_is_the_medium() {
    let mut s = search(None);
    s.step(ms(1), device("sda", None, &["sda1", "sda2"]));
    assert!(
        s.step(ms(2), labelled("sda", "LIVE")).is_empty(),
        "partitions are not seen yet"
    );
    s.step(ms(3), device("sda1", Some("sda"), &[]));
    s.step(ms(4), device("sda2", Some("sda"), &[]));
    s.step(ms(5), labelled("sda2", "EFI"));
    assert_eq!(s.step(ms(6), labelled("sda1", "LIVE")), examine("sda1"));
    assert_eq!(s.step(ms(7), found("sda1", None)), accept("sda1"));
}

#[test]
fn the_whole_disk_is_the_medium_when_no_partition_is() {
    let mut s = search(None);
    s.step(ms(1), device("sda", None, &["sda1"]));
    s.step(ms(2), labelled("sda", "LIVE"));
    s.step(ms(3), device("sda1", Some("sda"), &[]));
    assert_eq!(s.step(ms(4), labelled("sda1", "OTHER")), examine("sda"));
}

#[test]
fn the_right_label_without_the_image_is_passed_over() {
    let mut s = search(Some(id(1)));
    s.step(ms(1), device("vda", None, &[]));
    s.step(ms(2), device("vdb", None, &[]));
    assert_eq!(s.step(ms(3), labelled("vda", "LIVE")), examine("vda"));
    assert!(s.step(ms(4), not_there("vda")).is_empty());
    assert_eq!(s.step(ms(5), labelled("vdb", "LIVE")), examine("vdb"));
    assert_eq!(s.step(ms(6), found("vdb", Some(id(1)))), accept("vdb"));
    let first = s.candidate("vda").unwrap();
    assert_eq!(
        first.verdict,
        Verdict::Refused("no LiveOS/squashfs.img".into())
    );
}

#[test]
fn another_image_waits_for_the_right_one_and_is_taken_in_silence() {
    let story = |s: &mut Search| {
        s.step(ms(1), device("vda", None, &[]));
        s.step(ms(2), labelled("vda", "LIVE"));
        assert!(s.step(ms(3), found("vda", Some(id(2)))).is_empty());
    };
    let mut s = search(Some(id(1)));
    story(&mut s);
    let deadline = s.next_deadline(ms(3));
    assert_eq!(deadline, ms(3) + SECOND_CHOICE);
    assert_eq!(s.step(deadline, Event::Tick), accept("vda"));

    let mut s = search(Some(id(1)));
    story(&mut s);
    s.step(ms(4), device("vdb", None, &[]));
    s.step(ms(5), labelled("vdb", "LIVE"));
    assert_eq!(s.step(ms(6), found("vdb", Some(id(1)))), accept("vdb"));
}

#[test]
fn without_words_only_the_own_image_is_taken() {
    let mut s = search(Some(id(1)));
    s.wanted.named = false;
    s.step(ms(1), device("vda", None, &[]));
    assert_eq!(s.step(ms(2), labelled("vda", "LIVE")), examine("vda"));
    assert!(s.step(ms(3), found("vda", Some(id(2)))).is_empty());
    assert_eq!(s.step(ms(9000), Event::Tick), [Action::ShowPage]);
}

#[test]
fn the_page_comes_after_silence_and_the_search_goes_on_behind_it() {
    let mut s = search(None);
    s.step(ms(1000), device("sda", None, &[]));
    s.step(ms(1100), labelled("sda", "OTHER"));
    assert!(s.step(ms(3000), Event::Activity).is_empty());
    assert!(s.step(ms(7999), Event::Tick).is_empty());
    assert_eq!(s.step(ms(8000), Event::Tick), [Action::ShowPage]);
    assert!(s.step(ms(9000), Event::Tick).is_empty(), "once is enough");
    assert_eq!(
        s.step(ms(60_000), device("sdb", None, &[])),
        [Action::Probe("sdb".into())]
    );
    assert_eq!(
        s.step(ms(60_001), labelled("sdb", "LIVE")),
        [Action::Examine("sdb".into()), Action::ShowPage]
    );
    assert_eq!(s.step(ms(60_002), found("sdb", None)), accept("sdb"));
}

#[test]
fn a_disk_that_never_answers_delays_the_page_and_nothing_else() {
    let mut s = search(None);
    s.step(ms(0), device("vda", None, &[]));
    assert!(s.step(ms(6000), Event::Tick).is_empty());
    assert_eq!(s.step(ms(10_000), Event::Tick), [Action::ShowPage]);
    s.step(ms(11_000), device("sr0", None, &[]));
    s.step(ms(11_001), labelled("sr0", "LIVE"));
    assert_eq!(s.step(ms(11_002), found("sr0", None)), accept("sr0"));
}

fn looked(name: &str, look: Look) -> Event {
    Event::Looked(name.into(), look)
}

#[test]
fn an_empty_drive_is_asked_once_a_second_and_holds_nothing_up() {
    let mut s = search(None);
    s.step(ms(0), device("sr0", None, &[]));
    s.step(ms(100), Event::Probed("sr0".into(), Probe::Empty));
    assert_eq!(s.next_deadline(ms(100)), ms(1000));
    assert_eq!(s.step(ms(1000), Event::Tick), [Action::Look("sr0".into())]);
    assert!(
        s.step(ms(2500), Event::Tick).is_empty(),
        "asked twice before it answered"
    );
    assert!(s.step(ms(2600), looked("sr0", Look::Nothing)).is_empty());
    assert_eq!(s.step(ms(3600), Event::Tick), [Action::Look("sr0".into())]);
    let disc = looked("sr0", Look::Disc(Sectors(99)));
    assert_eq!(s.step(ms(3700), disc), [Action::Probe("sr0".into())]);
    assert_eq!(s.step(ms(3800), labelled("sr0", "LIVE")), examine("sr0"));
}

#[test]
fn looking_into_a_drive_does_not_keep_the_page_away() {
    let mut s = search(None);
    s.step(ms(0), device("sr0", None, &[]));
    s.step(ms(10), Event::Probed("sr0".into(), Probe::Empty));
    let mut now = ms(10);
    for _ in 0..20 {
        now = s.next_deadline(now);
        let actions = s.step(now, Event::Tick);
        if actions.contains(&Action::ShowPage) {
            assert_eq!(now.as_secs(), SILENCE.as_secs(), "{now:?}");
            return;
        }
        for action in actions {
            if let Action::Look(name) = action {
                s.step(now, looked(&name, Look::Nothing));
            }
        }
    }
    panic!("no page");
}

#[test]
fn a_wrong_disc_that_is_changed_for_the_right_one_is_seen() {
    let mut s = search(None);
    s.step(ms(0), device("sr0", None, &[]));
    s.step(ms(10), labelled("sr0", "OTHER"));
    assert!(s.step(ms(5010), Event::Tick).contains(&Action::ShowPage));
    assert!(
        s.step(ms(5020), looked("sr0", Look::Disc(Sectors(1000))))
            .is_empty(),
        "the same"
    );
    assert_eq!(s.step(ms(6020), Event::Tick), [Action::Look("sr0".into())]);
    assert!(s.step(ms(6030), looked("sr0", Look::Nothing)).is_empty());
    assert_eq!(s.step(ms(7030), Event::Tick), [Action::Look("sr0".into())]);
    s.step(ms(7040), looked("sr0", Look::Settling));
    s.step(ms(8040), Event::Tick);
    let disc = looked("sr0", Look::Disc(Sectors(1000)));
    assert_eq!(s.step(ms(8050), disc), [Action::Probe("sr0".into())]);
    s.step(ms(8060), labelled("sr0", "LIVE"));
    assert_eq!(s.step(ms(8070), found("sr0", None)), accept("sr0"));
}

#[test]
fn a_disc_that_spins_up_is_waited_for_before_a_second_choice_is_taken() {
    let mut s = search(Some(id(1)));
    s.step(ms(0), device("sr0", None, &[]));
    s.step(ms(10), Event::Probed("sr0".into(), Probe::Settling));
    s.step(ms(20), device("sda", None, &[]));
    s.step(ms(30), labelled("sda", "LIVE"));
    s.step(ms(40), found("sda", Some(id(2))));
    s.step(ms(1000), Event::Tick);
    s.step(ms(1010), looked("sr0", Look::Settling));
    assert!(
        s.step(ms(9000), Event::Tick)
            .iter()
            .all(|a| *a != Action::Accept("sda".into()))
    );
    s.step(ms(9010), looked("sr0", Look::Disc(Sectors(5))));
    s.step(ms(9020), labelled("sr0", "LIVE"));
    assert_eq!(s.step(ms(9030), found("sr0", Some(id(1)))), accept("sr0"));
}

#[test]
fn a_device_that_flaps_for_ever_does_not_keep_the_page_away() {
    let mut s = search(None);
    for second in 0..59 {
        assert!(s.step(ms(second * 1000), Event::Activity).is_empty());
    }
    assert_eq!(s.step(PAGE_LIMIT, Event::Activity), [Action::ShowPage]);
}

#[test]
fn a_card_reader_is_read_when_its_card_comes() {
    let mut s = search(None);
    let reader = |size: u64| {
        let Event::Seen(device) = device("sdb", None, &[]) else {
            unreachable!()
        };
        Event::Seen(Device {
            size: Sectors(size),
            ..device
        })
    };
    assert!(s.step(ms(0), reader(0)).is_empty());
    assert_eq!(s.candidate("sdb").unwrap().verdict, Verdict::Empty);
    assert_eq!(s.step(ms(9), reader(64)), [Action::Probe("sdb".into())]);
}

#[test]
fn partitions_that_show_late_are_preferred_all_the_same() {
    let mut s = search(None);
    s.step(ms(1), device("sda", None, &[]));
    assert_eq!(s.step(ms(2), labelled("sda", "LIVE")), examine("sda"));
    assert!(s.step(ms(3), device("sda", None, &["sda1"])).is_empty());
    s.step(ms(4), device("sda1", Some("sda"), &[]));
    assert_eq!(s.step(ms(5), labelled("sda1", "LIVE")), examine("sda1"));
}

#[test]
fn rd_timeout_shows_the_page_in_the_middle_of_activity() {
    let mut s = search(None);
    s.limits.timeout = Some(ms(2000));
    assert!(s.step(ms(1900), Event::Activity).is_empty());
    assert_eq!(s.step(ms(2000), Event::Activity), [Action::ShowPage]);
}

#[test]
fn with_nobody_there_the_machine_is_switched_off_behind_the_page() {
    let mut s = search(None);
    s.limits.give_up = Some(ms(8000));
    assert_eq!(s.step(ms(5000), Event::Tick), [Action::ShowPage]);
    assert!(s.step(ms(7999), Event::Tick).is_empty());
    assert_eq!(s.next_deadline(ms(7999)), ms(8000));
    assert_eq!(s.step(ms(8000), Event::Tick), [Action::GiveUp]);
}

#[test]
fn a_stick_that_was_pulled_is_forgotten() {
    let mut s = search(None);
    s.step(ms(1), device("sda", None, &[]));
    s.step(ms(2), Event::Gone("sda".into()));
    assert!(s.step(ms(3), labelled("sda", "LIVE")).is_empty());
    assert!(s.candidates().is_empty());
}

#[test]
fn a_device_seen_twice_is_read_once() {
    let mut s = search(None);
    s.step(ms(1), device("sda", None, &[]));
    assert!(s.step(ms(2), device("sda", None, &["sda1"])).is_empty());
    s.step(ms(3), labelled("sda", "OTHER"));
    assert_eq!(
        s.step(ms(4), device("sda", None, &[])),
        [Action::Probe("sda".into())]
    );
}

fn in_iso(root: Option<&[u8]>, image: Option<ImageId>) -> Search {
    let mut search = search(image);
    search.wanted.spec = root.and_then(DeviceSpec::parse);
    search.wanted.iso = Some("x.iso".into());
    search
}

fn iso(of: &str) -> Event {
    let Event::Seen(device) = device("loop0", Some("sda"), &[]) else {
        unreachable!()
    };
    let host = Some(of.to_owned());
    Event::Holds(of.into(), Device { host, ..device })
}

/// A disk whose partition holds the file.
fn disk_with_iso(search: &mut Search) {
    search.step(ms(0), device("sda", None, &["sda1"]));
    search.step(ms(0), device("sda1", Some("sda"), &[]));
    search.step(ms(1), labelled("sda1", "DATA"));
    let whole = Event::Probed("sda".into(), Probe::Facts(Facts::default()));
    search.step(ms(1), whole);
}

#[test]
fn an_iso_file_is_looked_for_whatever_the_disks_name_and_is_then_a_device() {
    let mut search = in_iso(Some(b"LABEL=LIVE"), None);
    search.step(ms(0), device("sda1", Some("sda"), &[]));
    assert_eq!(
        search.step(ms(1), labelled("sda1", "DATA")),
        examine("sda1")
    );
    let probe = vec![Action::Probe("loop0".into())];
    assert_eq!(search.step(ms(2), iso("sda1")), probe);
    assert_eq!(
        search.step(ms(3), labelled("loop0", "LIVE")),
        examine("loop0")
    );
    assert_eq!(search.step(ms(4), found("loop0", None)), accept("loop0"));
    let verdict = &search.candidate("sda1").unwrap().verdict;
    assert_eq!(*verdict, Verdict::Holds("loop0".into()));
}

#[test]
fn others_are_searched_while_one_disk_is_slow_with_its_answer() {
    let mut search = in_iso(Some(b"LABEL=LIVE"), None);
    search.step(ms(0), device("sdb1", Some("sdb"), &[]));
    assert_eq!(
        search.step(ms(1), labelled("sdb1", "SLOW")),
        examine("sdb1")
    );
    search.step(ms(1), device("sda1", Some("sda"), &[]));
    assert_eq!(
        search.step(ms(2), labelled("sda1", "DATA")),
        examine("sda1")
    );
    search.step(ms(3), iso("sda1"));
    search.step(ms(4), labelled("loop0", "LIVE"));
    assert_eq!(search.step(ms(5), found("loop0", None)), accept("loop0"));
}

#[test]
fn an_iso_file_is_taken_as_it_is_without_root_or_when_root_names_nothing_else() {
    let mut search = in_iso(None, None);
    disk_with_iso(&mut search);
    search.step(ms(2), iso("sda1"));
    search.step(ms(3), labelled("loop0", "OTHER"));
    assert_eq!(search.step(ms(4), found("loop0", None)), accept("loop0"));

    let mut search = in_iso(Some(b"LABEL=LIVE"), None);
    disk_with_iso(&mut search);
    search.step(ms(2), iso("sda1"));
    search.step(ms(3), labelled("loop0", "OTHER"));
    // What root= names may still come.
    assert_eq!(search.step(ms(4), found("loop0", None)), vec![]);
    assert_eq!(search.step(ms(4990), Event::Tick), vec![]);
    assert_eq!(search.step(ms(5010), Event::Tick), accept("loop0"));
}

#[test]
fn a_medium_that_root_names_goes_before_an_iso_file_that_is_none() {
    let mut search = in_iso(Some(b"LABEL=LIVE"), None);
    disk_with_iso(&mut search);
    search.step(ms(2), iso("sda1"));
    search.step(ms(3), labelled("loop0", "OTHER"));
    search.step(ms(4), found("loop0", None));
    search.step(ms(100), device("sr0", None, &[]));
    assert_eq!(
        search.step(ms(101), labelled("sr0", "LIVE")),
        examine("sr0")
    );
    assert_eq!(search.step(ms(102), found("sr0", None)), accept("sr0"));
}

#[test]
fn an_iso_file_of_another_image_waits_for_the_right_one_and_is_then_taken() {
    let mut search = in_iso(None, Some(id(1)));
    search.wanted.named = false;
    disk_with_iso(&mut search);
    search.step(ms(2), iso("sda1"));
    search.step(ms(3), labelled("loop0", "LIVE"));
    assert_eq!(search.step(ms(4), found("loop0", Some(id(2)))), vec![]);
    assert_eq!(search.step(ms(5010), Event::Tick), accept("loop0"));
}

#[test]
fn an_iso_file_goes_with_its_disk() {
    let mut search = in_iso(None, None);
    disk_with_iso(&mut search);
    search.step(ms(2), iso("sda1"));
    search.step(ms(3), Event::Gone("sda1".into()));
    assert!(search.candidate("loop0").is_none());
    assert_eq!(search.step(ms(4), labelled("loop0", "LIVE")), vec![]);
}

/// A medium whose own files are the root.
fn tree(name: &str) -> Event {
    let found = Found {
        id: None,
        size: 0,
        init: "/sbin/init".into(),
    };
    Event::Examined(name.into(), Ok(found))
}

#[test]
fn a_plain_tree_waits_for_an_image_and_is_taken_in_silence() {
    let two = || {
        let mut s = search(None);
        for (name, at) in [("vda", 0), ("vdb", 2)] {
            s.step(ms(at), device(name, None, &[]));
            let probed = s.step(ms(at + 1), labelled(name, "LIVE"));
            assert_eq!(probed, examine(name));
        }
        assert!(s.step(ms(4), tree("vda")).is_empty());
        s
    };
    assert_eq!(two().step(ms(100), found("vdb", None)), accept("vdb"));

    let mut s = two();
    s.step(ms(100), not_there("vdb"));
    assert!(s.step(ms(5099), Event::Tick).is_empty());
    assert_eq!(s.step(ms(5100), Event::Tick), accept("vda"));
}

#[test]
fn a_plain_tree_on_the_node_that_the_words_name_is_taken_at_once() {
    let mut s = search(None);
    s.wanted.spec = DeviceSpec::parse(b"/dev/vda");
    s.step(ms(0), device("vda", None, &[]));
    s.step(ms(1), labelled("vda", "LIVE"));
    assert_eq!(s.step(ms(2), tree("vda")), accept("vda"));
}
