//! A short run of what `fuzz/targets/tar.rs` does for long: archives of every kind, changed in
//! places, the same in each run.

use super::invariants::check;
use super::maker::{Header, Maker, record, seal};

/// How many changed archives are tried: a few seconds.
const CASES: usize = 20_000;

/// Archives that use all there is.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let map = |extents: &str| extents.as_bytes().to_vec();
    let sparse_0 = [
        record("GNU.sparse.size", b"4096"),
        record("GNU.sparse.numblocks", b"2"),
        record("GNU.sparse.offset", b"0"),
        record("GNU.sparse.numbytes", b"4"),
        record("GNU.sparse.offset", b"1024"),
        record("GNU.sparse.numbytes", b"8"),
    ];
    let sparse_1: [(&str, &[u8]); 4] = [
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"sparse/one"),
        ("GNU.sparse.realsize", b"4096"),
    ];
    let map_1 = [&b"2\n0\n4\n1024\n8\n"[..], &[0; 499], b"123412345678"].concat();
    let old = Header::new(b'S', b"old", 12)
        .bytes(257, b"ustar  \0")
        .number(386, 12, 0)
        .number(398, 12, 4)
        .number(410, 12, 1024)
        .number(422, 12, 4)
        .bytes(482, b"\x01")
        .number(483, 12, 8192);
    let mut more = [0; 512];
    more[..24].copy_from_slice(b"00000004000\x0000000000004\0");
    let device = Header::new(b'3', b"dev/null", 0)
        .number(329, 8, 1)
        .number(337, 8, 3);
    let global = record("comment", b"a commit");
    vec![
        (
            "plain",
            Maker::default()
                .dir("./")
                .file("./a", b"four")
                .dir("./d")
                .file("d/b", &[1; 700])
                .link("l", "./a")
                .link("k", "l")
                .header(Header::new(b'2', b"s", 0).link(b"a"))
                .header(device)
                .header(Header::new(b'6', b"p", 0))
                .end(),
        ),
        (
            "pax",
            Maker::default()
                .header(Header::new(b'g', b"g", global.len() as u64))
                .data(&global)
                .pax(&[
                    ("path", b"a/long/name"),
                    ("uid", b"70000"),
                    ("mtime", b"-1.5"),
                    ("size", b"3"),
                    ("SCHILY.xattr.user.x", b"\n\0="),
                    ("LIBARCHIVE.xattr.user.y", b"AAH/"),
                    ("SCHILY.acl.access", b"user::rwx"),
                    ("RHT.security.selinux", b"u:r:t"),
                ])
                .file("short", b"abc")
                .pax(&[("linkpath", b"a/long/name")])
                .link("l", "x")
                .end(),
        ),
        (
            "gnu",
            Maker::default()
                .header(Header::new(b'L', b"././@LongLink", 9))
                .data(b"long/one\0")
                .file("x", b"1")
                .header(Header::new(b'K', b"././@LongLink", 9))
                .data(b"long/one\0")
                .link("y", "x")
                .header(Header::new(b'0', b"big", 0).bytes(108, &[0x80, 0, 0, 0, 0, 1, 0, 0]))
                .end(),
        ),
        (
            "sparse-old",
            Maker::default()
                .header(old)
                .data(&more)
                .data(b"123412345678")
                .end(),
        ),
        (
            "sparse-0.0",
            Maker::default()
                .raw_pax(&sparse_0.concat())
                .file("s", b"123412345678")
                .end(),
        ),
        (
            "sparse-0.1",
            Maker::default()
                .pax(&[
                    ("GNU.sparse.size", b"4096"),
                    ("GNU.sparse.map", &map("0,4,1024,8")),
                    ("GNU.sparse.name", b"s"),
                ])
                .file("x", b"123412345678")
                .end(),
        ),
        (
            "sparse-1.0",
            Maker::default().pax(&sparse_1).file("x", &map_1).end(),
        ),
    ]
}

/// The same numbers in each run (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n.max(1)
    }
}

/// Texts and bytes that parsers trip over.
const WORDS: [&[u8]; 14] = [
    b"..",
    b"/",
    b"../x",
    b"./",
    b"\0",
    b"\n",
    b"99999999999999999999",
    b"-1",
    b"18446744073709551615",
    &[0xff; 12],
    &[
        0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    ],
    b"=",
    b"0,",
    b"77777777777\0",
];

fn change(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.below(bytes.len());
    let block = at / 512 * 512;
    match dice.below(8) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes[at] = b"0123567xgLKS\0/"[dice.below(14)],
        2 => {
            let word = WORDS[dice.below(WORDS.len())];
            let end = bytes.len().min(at + word.len());
            bytes[at..end].copy_from_slice(&word[..end - at]);
        }
        // A header's fields: name, mode to time, kind, link, device, sparse map.
        3 => {
            let field = [
                0, 100, 108, 116, 124, 136, 156, 157, 329, 337, 345, 386, 398, 482, 483,
            ];
            let (from, word) = (
                block + field[dice.below(15)],
                WORDS[dice.below(WORDS.len())],
            );
            if from + word.len() <= bytes.len() {
                bytes[from..from + word.len()].copy_from_slice(word);
            }
        }
        4 => bytes.truncate(at),
        5 => {
            let copy = bytes[block..bytes.len().min(block + 512)].to_vec();
            bytes.splice(block..block, copy);
        }
        6 => drop(bytes.drain(block..bytes.len().min(block + 512))),
        _ => {
            let other = dice.below(bytes.len()) / 512 * 512;
            if other + 512 <= bytes.len() && block + 512 <= bytes.len() {
                bytes.copy_within(other..other + 512, block);
            }
        }
    }
}

#[test]
fn changed_archives_get_an_answer_and_never_a_listing_that_lies() {
    let seeds = seeds();
    for (name, bytes) in &seeds {
        assert!(
            check(bytes),
            "{name} is refused: {:?}",
            super::invariants::list(bytes).err()
        );
    }
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut taken = 0;
    for case in 0..CASES {
        let mut bytes = seeds[dice.below(seeds.len())].1.clone();
        for _ in 0..=dice.below(4) {
            if !bytes.is_empty() {
                change(&mut bytes, &mut dice);
            }
        }
        // Else all would end at a checksum.
        if case % 8 != 0 {
            let blocks = bytes.chunks_exact_mut(512);
            blocks
                .filter(|block| block[257..262] == *b"ustar")
                .for_each(seal);
        }
        taken += usize::from(check(&bytes));
    }
    assert!(
        taken > CASES / 20,
        "hardly any archive reaches the tree: {taken}"
    );
    assert!(
        taken < CASES * 9 / 10,
        "hardly any archive is refused: {taken}"
    );
}

/// For `fuzz/seeds`.
#[test]
#[ignore = "writes into fuzz/corpus"]
fn seeds_are_written() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/tar");
    std::fs::create_dir_all(&dir).unwrap();
    for (name, bytes) in seeds() {
        std::fs::write(dir.join(name), bytes).unwrap();
    }
}
