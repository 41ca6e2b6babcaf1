//! Archives that nobody should be able to hurt a build with.

use super::maker::{Header, Maker, record};
use super::read_tar;
use liveroot::builder::source::{Kind, Source};
use std::fs;

/// What is said about an archive that must be refused.
#[track_caller]
fn refusal(bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("t.tar");
    fs::write(&file, bytes).unwrap();
    match read_tar(&file) {
        Ok(tar) => panic!("it was taken: {:?}", tar.listing()),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn refused(what: Maker, words: &[&str]) {
    let text = refusal(&what.end());
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

fn start() -> Maker {
    Maker::default().dir("./").file("a", b"four")
}

#[test]
fn names_that_lead_out_of_the_tree_or_nowhere_are_refused() {
    for path in ["../x", "a/../../x", "/../x", "b/..", ".."] {
        refused(
            start().file(path, b""),
            &["t.tar: ", "(at byte 1536)", "`..`"],
        );
        refused(start().link("l", path), &["its target", "`..`"]);
    }
    refused(start().file("", b""), &["(at byte 1536)", "it has no name"]);
    let root = start().header(Header::new(b'6', b"./", 0));
    refused(root, &["the root is no directory"]);
    let long = "n".repeat(256);
    let name = format!("x/{long}");
    refused(
        start().pax(&[("path", name.as_bytes())]).file("y", b""),
        &["(at byte 2560)", "256 bytes", "at most 255"],
    );
    refused(
        start().pax(&[("path", b"x\0y")]).file("y", b""),
        &["NUL", "(at byte 2560)"],
    );
    refused(
        start().pax(&[("path", &vec![b'/'; 70_000])]).file("y", b""),
        &["70000 bytes: too long"],
    );
}

#[test]
fn messages_show_no_bytes_that_a_terminal_obeys() {
    let text = {
        let maker = start().pax(&[("path", b"\x1b[2J\xff/../x")]).file("y", b"");
        refusal(&maker.end())
    };
    assert!(text.contains("\\u{1b}[2J\\xff/../x"), "{text}");
    assert!(!text.contains('\x1b'));
}

#[test]
fn names_that_contradict_each_other_are_refused() {
    refused(
        start().dir("d").file("d/x", b"").file("d", b""),
        &["t.tar: d/x (at byte 2048)", "d, above it, is no directory"],
    );
    refused(start().link("a", "b"), &["b, which the archive does not"]);
    refused(start().file("a/b", b""), &["a, above it, is no directory"]);
    refused(
        start().link("b", "nowhere"),
        &[
            "b (at byte 1536)",
            "nowhere, which the archive does not have",
        ],
    );
    refused(
        start().link("b", "c").link("c", "d").link("d", "b"),
        &["(at byte 1536)", "hard link to c, which leads back to it"],
    );
    refused(start().link("b", "b"), &["to b, which leads back to it"]);
    refused(
        start().link("0", "b").link("b", "nowhere"),
        &["t.tar: b (at byte 2048)", "nowhere, which the archive does"],
    );
    refused(
        start().link("b", "c").link("c", "d").dir("d"),
        &["t.tar: c (at byte 2048)", "hard link to a directory, d"],
    );
    refused(
        start().dir("d").link("b", "d"),
        &["hard link to a directory, d"],
    );
    refused(
        start().link("b/c", "a").link("b", "a"),
        &["above it, is no directory"],
    );
}

#[test]
fn numbers_out_of_range_are_refused() {
    let file = || Header::new(b'0', b"f", 0);
    let huge = [0x80, 0, 0, 1, 0, 0, 0, 0];
    for (header, words) in [
        (
            file().bytes(108, &huge),
            "owner, 4294967296, is out of range",
        ),
        (
            file().bytes(116, &huge),
            "group, 4294967296, is out of range",
        ),
        (file().bytes(108, &[0xff; 8]), "owner is no number"),
        (file().bytes(100, b"0000999\0"), "mode is no number"),
        (file().bytes(124, &[0xff; 12]), "size is no number"),
        (file().bytes(136, b"12:00\0"), "time is no number"),
        (
            Header::new(b'3', b"f", 0).number(329, 8, 4096),
            "device 4096:0 is out of range",
        ),
        (
            Header::new(b'4', b"f", 0).number(337, 8, 0o7_777_777),
            "device 0:2097151",
        ),
        (Header::new(b'2', b"f", 0), "points to a path of 0 bytes"),
        (Header::new(b'2', b"f", 5).link(b"x"), "has 5 bytes of data"),
        (Header::new(b'Q', b"f", 0), "kind, 'Q', is not known"),
        (
            Header::new(b'M', b"f", 0),
            "rest of a file in another archive",
        ),
    ] {
        refused(start().header(header), &["(at byte ", words]);
    }
    for (key, value) in [
        ("uid", "-1"),
        ("size", "18446744073709551616"),
        ("gid", "x"),
        ("mtime", "1e5"),
    ] {
        refused(
            start().pax(&[(key, value.as_bytes())]).file("f", b""),
            &["(at byte 2048)", key],
        );
    }
}

#[test]
fn an_archive_cut_anywhere_is_refused_with_the_place() {
    let whole = start().pax(&[("path", b"long")]).file("f", &[1; 600]).end();
    let files = whole.len() - 1024;
    for length in (1..files).step_by(37).chain([512, 1024, 1536, files]) {
        let text = refusal(&whole[..length]);
        assert!(text.contains("cut short"), "{length}: {text}");
        assert!(
            length < 512 || text.contains("(at byte "),
            "{length}: {text}"
        );
    }
    let text = refusal(b"");
    assert!(text.contains("empty"), "{text}");
}

#[test]
fn sizes_that_no_archive_has_cost_nothing() {
    let file = |size| Header::new(b'0', b"f", 0).bytes(124, &base_256(size));
    refused(
        start().header(file(1 << 42)),
        &["f (at byte 2048)", "cut short"],
    );
    refused(
        start().header(file(u64::MAX >> 1)),
        &["f (at byte 1536)", "too large"],
    );
    refused(
        start().header(Header::new(b'x', b"f", 0).bytes(124, &base_256(1 << 40))),
        &["too long"],
    );
    refused(
        start().header(Header::new(b'L', b"f", 0).bytes(124, &base_256(1 << 20))),
        &["cut short"],
    );
    let sparse = |records: &[(&str, &[u8])]| start().pax(records).file("f", b"");
    refused(
        sparse(&[
            ("GNU.sparse.size", b"9000000000000000000"),
            ("GNU.sparse.map", b""),
        ]),
        &["too large"],
    );
    // Each of them makes all directories above it.
    let path = "d/".repeat(30_000);
    let mut maker = start();
    for n in 0..10 {
        let path = format!("{n}/{path}f");
        maker = maker.pax(&[("path", path.as_bytes())]).file("f", b"");
    }
    refused(maker, &["too many directories above it are missing"]);
}

fn base_256(size: u64) -> [u8; 12] {
    let mut field = [0; 12];
    field[0] = 0x80;
    field[4..].copy_from_slice(&size.to_be_bytes());
    field
}

#[test]
fn records_whose_lengths_lie_are_refused() {
    for text in [
        &b"99 path=x\n"[..],
        b"4 path=x\n",
        b"path",
        b"0 =\n",
        b"11 path=x",
    ] {
        refused(
            start().raw_pax(text).file("f", b""),
            &["(at byte 2048)", "lies about its length"],
        );
    }
    let two = [record("path", b"x"), b"7 a=b\n".to_vec()].concat();
    refused(start().raw_pax(&two).file("f", b""), &["(at byte 2057)"]);
}

#[test]
fn headers_and_maps_that_do_not_fit_are_refused() {
    let mut bytes = start().file("f", b"").end();
    bytes[1536 + 3] ^= 1;
    let text = refusal(&bytes);
    assert!(
        text.contains("(at byte 1536)") && text.contains("checksum"),
        "{text}"
    );
    let mut bytes = start().end();
    bytes.extend(start().end());
    let text = refusal(&bytes);
    assert!(
        text.contains("(at byte 2560)") && text.contains("behind the archive's end"),
        "{text}"
    );
    let map = |map: &[u8], data: &[u8]| {
        let records = [("GNU.sparse.size", &b"100"[..]), ("GNU.sparse.map", map)];
        start().pax(&records).file("f", data)
    };
    for (text, data, words) in [
        (&b"0,4,2,4"[..], &b"12345678"[..], "contradicts itself"),
        (b"99,4", b"1234", "contradicts itself"),
        (b"18446744073709551615,4", b"1234", "past all bounds"),
        (b"0,4", b"12345", "for 4 bytes, and it has 5"),
        (b"0,4,8", b"1234", "has no length"),
        (b"x,4", b"1234", "no number"),
    ] {
        refused(map(text, data), &["(at byte ", words]);
    }
    let form_1 = |data: &[u8]| {
        let records: [(&str, &[u8]); 4] = [
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"g"),
            ("GNU.sparse.realsize", b"100"),
        ];
        start().pax(&records).file("f", data)
    };
    for (data, words) in [
        (&b"1\n0\n4\n"[..], "does not end"),
        (&[b'1'; 600], "no number"),
        (&[b'\n'; 512], "no number"),
        (b"", "does not end"),
    ] {
        refused(form_1(data), &["(at byte ", words]);
    }
    let huge = [b"99999999\n".to_vec(), vec![0; 600]].concat();
    refused(form_1(&huge), &["too many parts"]);
}

#[test]
fn what_is_no_archive_is_told_apart() {
    for (bytes, word) in [
        (&b"BZh91AY&SY"[..], "bzip2"),
        (b"\x04\x22\x4d\x18", "lz4"),
        (&[b'x'; 600], "no tar archive"),
        (b"\x1f\x8b\x08", "cannot be read on"),
    ] {
        let text = refusal(bytes);
        assert!(text.contains(word) && text.contains("t.tar"), "{text}");
    }
}

#[test]
fn odd_archives_that_mean_something_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("t.tar");
    let global = record("uid", b"7");
    let maker = Maker::default()
        .header(Header::new(b'g', b"g", global.len() as u64))
        .data(&global)
        .link("/before", "./usr/./bin//tool")
        .header(Header::new(b'0', b"/usr/bin/tool", 4).number(124, 12, 4))
        .data(b"tool")
        .link("usr/after", "before")
        .header(Header::new(b'5', b"usr/bin/", 0).number(100, 8, 0o711))
        .header(Header::new(b'5', b"usr/bin", 0).number(100, 8, 0o700))
        .header(Header::new(b'L', b"././@LongLink", 9))
        .data(b"long/one\0")
        .header(Header::new(0, b"short", 0));
    // One block of zeros is an end, and so is one of a blocking factor.
    for zeros in [512, 1024, 10240] {
        let mut bytes = maker.clone().0;
        bytes.extend(vec![0; zeros]);
        fs::write(&file, bytes).unwrap();
        let tar = read_tar(&file).unwrap();
        let names: Vec<(String, usize)> = tar
            .listing()
            .names
            .iter()
            .map(|n| (String::from_utf8(n.path.clone()).unwrap(), n.inode))
            .collect();
        let want = [
            ("", 0),
            ("before", 1),
            ("long", 2),
            ("long/one", 3),
            ("usr", 4),
            ("usr/after", 1),
            ("usr/bin", 5),
            ("usr/bin/tool", 1),
        ];
        assert_eq!(names, want.map(|(path, inode)| (path.to_owned(), inode)));
        let inode = |n: usize| &tar.listing().inodes[n];
        assert_eq!((inode(5).mode, inode(5).uid), (0o700, 7));
        assert_eq!((inode(2).mode, inode(2).uid, inode(2).mtime), (0o755, 0, 0));
        assert_eq!(inode(1).kind, Kind::File { size: 4 });
        assert_eq!(super::contents(&tar, 1), b"tool");
    }
}

#[test]
fn links_to_links_are_followed_however_long_and_once() {
    // Quadratic time would be 5 thousand million steps.
    let count = 100_000;
    let mut maker = start();
    for n in 0..count {
        maker = maker.link(&format!("l{n:06}"), &format!("l{:06}", n + 1));
    }
    let chain = maker.clone().file(&format!("l{count:06}"), b"end").end();
    let (listing, _) = super::invariants::list(&chain).unwrap();
    assert_eq!(listing.names.len(), 2 + count + 1);
    assert!(listing.names[2..].iter().all(|name| name.inode == 2));
    let round = maker.link(&format!("l{count:06}"), "l000000").end();
    let wrong = super::invariants::list(&round).unwrap_err();
    assert!(wrong.why.to_string().contains("leads back to it"));
}

#[test]
fn a_global_header_holds_for_all_behind_it_and_an_entrys_own_for_that_one() {
    let global = |value: &[u8]| {
        let text = record("uid", value);
        (Header::new(b'g', b"g", text.len() as u64), text)
    };
    let ((first, seven), (second, eight)) = (global(b"7"), global(b"8"));
    let bytes = start()
        .header(first)
        .data(&seven)
        .file("b", b"")
        .pax(&[("uid", b"9")])
        .file("c", b"")
        .file("d", b"")
        .pax(&[("gid", b"5")])
        .header(second)
        .data(&eight)
        .file("e", b"")
        .pax(&[("uid", b"")])
        .file("f", b"")
        .file("g", b"")
        .end();
    let (listing, _) = super::invariants::list(&bytes).unwrap();
    let owners: Vec<(u32, u32)> = listing.inodes.iter().map(|i| (i.uid, i.gid)).collect();
    let want = [
        (0, 0),
        (0, 0),
        (7, 0),
        (9, 0),
        (7, 0),
        (8, 5),
        (0, 0),
        (8, 0),
    ];
    assert_eq!(owners, want);
}
