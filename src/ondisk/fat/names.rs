//! Names in a FAT directory: short ones of 8 and 3 characters, long ones in entries before.
//!
//! Microsoft's "FAT: General Overview of On-Disk Format" 1.03, "FAT Directory Structure" and
//! "FAT Long Directory Entries". The numbers behind `~` are the first free ones in the order
//! of the names, so that the same names get the same aliases.

use std::collections::{BTreeMap, BTreeSet};

/// Characters of a directory entry's name: base and extension, padded with blanks.
pub type Short = [u8; 11];

const BASE: usize = 8;
/// Most UTF-16 units of a long name.
pub const MOST_UNITS: usize = 255;
/// UTF-16 units that a long entry holds.
pub const PER_ENTRY: usize = 13;
/// Where they stand in it.
const UNITS_AT: [usize; PER_ENTRY] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
const LAST_LONG: u8 = 0x40;
const ATTR_LONG_NAME: u8 = 0x0f;
const CHECKSUM_AT: usize = 13;

/// Why a name cannot stand in a directory; none if it can.
pub fn refusal(name: &str) -> Option<&'static str> {
    let forbidden = |c: char| c < ' ' || c == '\x7f' || "\"*/:<>?\\|".contains(c);
    if name.is_empty() || name == "." || name == ".." {
        Some("it is no name")
    } else if name.contains(forbidden) {
        Some(
            "it holds a character that FAT does not know: one of \" * / : < > ? \\ | or a control character",
        )
    } else if name.ends_with(['.', ' ']) {
        Some("it ends with a dot or a blank, which readers of FAT drop")
    } else if name.encode_utf16().count() > MOST_UNITS {
        Some("it is longer than 255 UTF-16 units")
    } else {
        None
    }
}

/// As names are compared: without case.
pub fn folded(name: &str) -> String {
    name.chars().flat_map(char::to_uppercase).collect()
}

/// For each name its short form, and whether that is the name itself. The names pass
/// [`refusal`] and differ in [`folded`].
pub fn short_names(names: &[&str]) -> Vec<(Short, bool)> {
    let mut taken = BTreeSet::new();
    let mut next: BTreeMap<(String, String), u32> = BTreeMap::new();
    let mut found = vec![None; names.len()];
    // A name that is short by itself is nobody else's alias.
    for (place, name) in found.iter_mut().zip(names) {
        if let Some(short) = as_short(&name.to_ascii_uppercase()) {
            taken.insert(short);
            *place = Some((short, as_short(name) == Some(short)));
        }
    }
    let mut alias = |name: &str| {
        let (base, extension) = stem(name);
        let number = next.entry((base.clone(), extension.clone())).or_insert(0);
        loop {
            // There are fewer entries in a directory than numbers of six digits.
            *number += 1;
            let short = numbered(&base, &extension, *number);
            if taken.insert(short) {
                return (short, false);
            }
        }
    };
    let places = found.into_iter().zip(names);
    places
        .map(|(place, name)| place.unwrap_or_else(|| alias(name)))
        .collect()
}

/// A name of upper-case letters, digits and what else a short name may hold, if it is one.
fn as_short(name: &str) -> Option<Short> {
    let (base, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let fits = (1..=BASE).contains(&base.len()) && extension.len() <= 3;
    let plain = |text: &str| text.bytes().all(is_short_char);
    let dot = name.contains('.') != extension.is_empty();
    (fits && dot && plain(base) && plain(extension)).then(|| join(base, extension))
}

fn is_short_char(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"!#$%&'()-@^_`{}~".contains(&byte)
}

fn join(base: &str, extension: &str) -> Short {
    let mut short = [b' '; 11];
    short[..base.len()].copy_from_slice(base.as_bytes());
    short[BASE..BASE + extension.len()].copy_from_slice(extension.as_bytes());
    short
}

/// What an alias is made from: upper case, without blanks and leading dots, `_` for what a
/// short name has no character for.
fn stem(name: &str) -> (String, String) {
    let name = name.trim_start_matches(['.', ' ']);
    let (base, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let plain = |text: &str, most: usize| -> String {
        let kept = text.chars().filter(|c| !matches!(c, ' ' | '.'));
        let known = kept.map(|c| match u8::try_from(c.to_ascii_uppercase()) {
            Ok(byte) if is_short_char(byte) => char::from(byte),
            _ => '_',
        });
        known.take(most).collect()
    };
    (plain(base, BASE), plain(extension, 3))
}

fn numbered(base: &str, extension: &str, number: u32) -> Short {
    let tail = format!("~{number}");
    let kept = base.len().min(BASE.saturating_sub(tail.len()));
    let mut base = format!("{}{tail}", &base[..kept]);
    base.truncate(BASE);
    join(&base, extension)
}

/// How many entries a name takes: its long ones and the short one.
pub fn entries(name: &str, is_short: bool) -> u64 {
    if is_short {
        return 1;
    }
    1 + (name.encode_utf16().count() as u64).div_ceil(PER_ENTRY as u64)
}

/// The long entries of a name whose alias is `short`, as they stand before it.
pub fn long_entries(name: &str, short: &Short) -> Vec<[u8; 32]> {
    let mut units: Vec<u16> = name.encode_utf16().collect();
    if !units.len().is_multiple_of(PER_ENTRY) {
        units.push(0);
        units.resize(units.len().next_multiple_of(PER_ENTRY), 0xffff);
    }
    let pieces: Vec<_> = units.chunks_exact(PER_ENTRY).collect();
    let numbered = (1..=pieces.len() as u8).zip(&pieces).rev();
    let entries = numbered.map(|(number, piece)| {
        let mut entry = [0; 32];
        let is_last = usize::from(number) == pieces.len();
        entry[0] = if is_last { number | LAST_LONG } else { number };
        entry[11] = ATTR_LONG_NAME;
        entry[CHECKSUM_AT] = checksum(short);
        for (at, unit) in UNITS_AT.into_iter().zip(*piece) {
            entry[at..at + 2].copy_from_slice(&unit.to_le_bytes());
        }
        entry
    });
    entries.collect()
}

/// By which a long name knows its short one (the specification's ChkSum).
fn checksum(short: &Short) -> u8 {
    short
        .iter()
        .fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shorts(names: &[&str]) -> Vec<String> {
        let found = short_names(names).into_iter();
        found
            .map(|(short, own)| {
                let text = String::from_utf8(short.to_vec()).unwrap();
                format!("{text}{}", if own { "" } else { "+" })
            })
            .collect()
    }

    #[test]
    fn aliases_are_short_and_differ() {
        let found = shorts(&[
            "BOOTX64.EFI",
            "loader.conf",
            "EFI",
            "linux.efi",
            "a b.c.d",
            ".x",
        ]);
        let expected = [
            "BOOTX64 EFI",
            "LOADER~1CON+",
            "EFI        ",
            "LINUX   EFI+",
            "ABC~1   D  +",
            "X~1        +",
        ];
        assert_eq!(found, expected);
        assert_eq!(
            shorts(&["größe.txt", "日本"]),
            ["GR__E~1 TXT+", "__~1       +"]
        );
    }

    #[test]
    fn equal_stems_are_numbered_past_names_that_exist() {
        let names = [
            "longname1.txt",
            "longname2.txt",
            "LONGNA~1.TXT",
            "longna~3.txt",
            "longname9.txt",
        ];
        let expected = [
            "LONGNA~2TXT+",
            "LONGNA~4TXT+",
            "LONGNA~1TXT",
            "LONGNA~3TXT+",
            "LONGNA~5TXT+",
        ];
        assert_eq!(shorts(&names), expected);
    }

    #[test]
    fn what_readers_would_not_find_is_refused() {
        for name in [
            "", ".", "..", "a/b", "a:b", "a\nb", "a.", "a ", "a*", "a\\b",
        ] {
            assert!(refusal(name).is_some(), "{name:?}");
        }
        for name in [
            " a",
            ".a",
            "a b",
            "a.b.c",
            "+,;=[]",
            "ü",
            "a~1",
            &"x".repeat(255),
        ] {
            assert!(refusal(name).is_none(), "{name:?}");
        }
        assert!(refusal(&"x".repeat(256)).is_some());
        assert!(refusal(&"𝄞".repeat(128)).is_some());
    }

    #[test]
    fn long_entries_stand_last_part_first() {
        let short = short_names(&["a name of 25 characters x"])[0].0;
        let entries = long_entries("a name of 25 characters x", &short);
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[0][0], entries[1][0]), (0x42, 1));
        assert_eq!(entries[1][1..5], [b'a', 0, b' ', 0]);
        // Of 25 characters the second entry has 12, then their end.
        assert_eq!(entries[0][28..32], [b'x', 0, 0, 0]);
        assert_eq!(long_entries(&"y".repeat(13), &short).len(), 1);
        assert_eq!(super::entries(&"y".repeat(14), false), 3);
        // As Linux computes it (fs/fat/fat.h, fat_checksum).
        assert_eq!(checksum(b"LINUX   EFI"), {
            let mut sum = 0u8;
            for byte in b"LINUX   EFI" {
                sum = ((sum & 1) << 7).wrapping_add(sum >> 1).wrapping_add(*byte);
            }
            sum
        });
    }

    proptest! {
        #[test]
        fn short_names_are_unique_and_legal(names in proptest::collection::btree_map("[a-cA-C~. 1ü]{1,12}", Just(()), 0..60)) {
            let mut folds = BTreeSet::new();
            let names: Vec<&str> = names.keys().map(String::as_str)
                .filter(|n| refusal(n).is_none() && folds.insert(folded(n))).collect();
            let shorts: BTreeSet<Short> = short_names(&names).into_iter().map(|(s, _)| s).collect();
            prop_assert_eq!(shorts.len(), names.len());
            for short in shorts {
                prop_assert!(short[0] != b' ' && short.iter().all(|b| *b == b' ' || is_short_char(*b)));
            }
        }
    }
}
