//! The fields of a medium's structures, by name, for people: what differs is told by them.
//!
//! ECMA-119 4th edition (8.4, 9.1), El Torito 1.0 (2.1 to 2.4), UEFI 2.11 (5.3), Microsoft's FAT
//! 1.03 (page 23), `include/linux/squashfs_fs.h`, cpio(5). Pure; whatever the bytes are, there is
//! no panic, and what cannot be read has no fields.

use crate::ondisk::cpio;
use crate::units::shown;

/// A field as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// What it is, with the entry that it belongs to: `boot.cat: recorded`.
    pub name: String,
    /// Its first byte in the structure.
    pub at: usize,
    /// Its value as people read it.
    pub value: String,
    /// Whether it follows from something else: an address, a checksum, an id.
    pub derived: bool,
}

#[derive(Clone, Copy)]
enum Form {
    /// Little-endian.
    Number,
    Text,
    Hex,
    /// ECMA-119, 9.1.5.
    Date,
}

/// Name, first byte, length, form, and whether it follows from something else.
type Row = (&'static str, usize, usize, Form, bool);

use Form::{Date, Hex, Number, Text};

const DESCRIPTOR: [Row; 16] = [
    ("type", 0, 7, Hex, false),
    ("system id", 8, 32, Text, false),
    ("volume id", 40, 32, Text, false),
    ("escape sequences", 88, 32, Hex, false),
    ("volume set id", 190, 128, Text, false),
    ("publisher", 318, 128, Text, false),
    ("preparer", 446, 128, Text, false),
    ("application", 574, 128, Text, false),
    ("created", 813, 17, Text, false),
    ("modified", 830, 17, Text, false),
    ("expires", 847, 17, Text, false),
    ("effective", 864, 17, Text, false),
    ("length in sectors", 80, 4, Number, true),
    ("path tables", 132, 24, Hex, true),
    ("root directory", 156, 34, Hex, true),
    ("implanted checksum", 883, 512, Text, true),
];

const RECORD: [Row; 4] = [
    ("recorded", 18, 7, Date, false),
    ("flags", 25, 1, Hex, false),
    ("length", 10, 4, Number, true),
    ("sector", 2, 4, Number, true),
];

const CATALOGUE: [Row; 6] = [
    ("platform", 1, 1, Hex, false),
    ("id", 4, 24, Text, false),
    ("indicator", 32, 1, Hex, false),
    ("medium", 33, 1, Hex, false),
    ("count of sectors", 38, 2, Number, true),
    ("sector", 40, 4, Number, true),
];

const GPT_HEADER: [Row; 10] = [
    ("revision", 8, 4, Hex, false),
    ("count of entries", 80, 4, Number, false),
    ("size of an entry", 84, 4, Number, false),
    ("disk id", 56, 16, Hex, true),
    ("first usable sector", 40, 8, Number, true),
    ("last usable sector", 48, 8, Number, true),
    ("other copy", 32, 8, Number, true),
    ("entries", 72, 8, Number, true),
    ("checksum of entries", 88, 4, Hex, true),
    ("checksum", 16, 4, Hex, true),
];

const GPT_ENTRY: [Row; 6] = [
    ("type", 0, 16, Hex, false),
    ("name", 56, 72, Text, false),
    ("attributes", 48, 8, Hex, false),
    ("id", 16, 16, Hex, true),
    ("first sector", 32, 8, Number, true),
    ("last sector", 40, 8, Number, true),
];

const DIRENT: [Row; 7] = [
    ("attributes", 11, 1, Hex, false),
    ("created", 13, 5, Hex, false),
    ("accessed", 18, 2, Hex, false),
    ("modified", 22, 4, Hex, false),
    ("length", 28, 4, Number, true),
    ("first cluster", 26, 2, Number, true),
    ("first cluster, high", 20, 2, Number, true),
];

const BOOT_SECTOR: [Row; 6] = [
    ("name of the tool", 3, 8, Text, false),
    ("sectors in a cluster", 13, 1, Number, false),
    ("entries of the root", 17, 2, Number, false),
    ("volume label, FAT16", 43, 11, Text, false),
    ("volume id, FAT16", 39, 4, Hex, true),
    ("volume id, FAT32", 67, 4, Hex, true),
];

const SUPERBLOCK: [Row; 13] = [
    ("compressor", 20, 2, Number, false),
    ("size of a block", 12, 4, Number, false),
    ("flags", 24, 2, Hex, false),
    ("made", 8, 4, Number, false),
    ("count of inodes", 4, 4, Number, false),
    ("count of owners", 26, 2, Number, false),
    ("count of fragments", 16, 4, Number, false),
    ("compressor's options", 96, 10, Hex, false),
    ("root inode", 32, 8, Hex, true),
    ("length", 40, 8, Number, true),
    ("inodes at", 64, 8, Number, true),
    ("names at", 72, 8, Number, true),
    ("attributes at", 56, 8, Number, true),
];

/// The fields of a structure of this name, in the order in which they tell a cause.
pub fn fields(structure: &str, bytes: &[u8]) -> Vec<Field> {
    let is = |word: &str| structure.contains(word);
    match structure {
        _ if is("squashfs.img") => table(&SUPERBLOCK, "", bytes, 0),
        _ if is(".initrd") => members(bytes),
        _ if structure.starts_with("ESP: directory") => dirents(bytes),
        _ if is("boot sector") => table(&BOOT_SECTOR, "", bytes, 0),
        _ if structure.starts_with("directory ") => records(bytes),
        _ if is("volume descriptor") => table(&DESCRIPTOR, "", bytes, 0),
        _ if is("catalogue") => table(&CATALOGUE, "", bytes, 0),
        _ if is("GPT") && is("header") => table(&GPT_HEADER, "", bytes, 0),
        _ if is("GPT") && is("entries") => partitions(bytes),
        _ => Vec::new(),
    }
}

fn table(rows: &[Row], owner: &str, bytes: &[u8], start: usize) -> Vec<Field> {
    let field = |(name, at, length, form, derived): &Row| {
        let at = start.checked_add(*at)?;
        let bytes = bytes.get(at..at.checked_add(*length)?)?;
        Some(Field {
            name: format!("{owner}{name}"),
            at,
            value: value(*form, bytes),
            derived: *derived,
        })
    };
    rows.iter().filter_map(field).collect()
}

fn value(form: Form, bytes: &[u8]) -> String {
    match (form, bytes) {
        (Number, _) => {
            let number = bytes
                .iter()
                .rev()
                .fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
            number.to_string()
        }
        (Text, _) => {
            let end = bytes.iter().rposition(|byte| !matches!(byte, 0 | b' '));
            let text: Vec<u8> = bytes[..end.map_or(0, |end| end + 1)].to_vec();
            // GPT's names are UTF-16.
            let text: Vec<u8> = text.into_iter().filter(|byte| *byte != 0).collect();
            format!("\"{}\"", shown(&String::from_utf8_lossy(&text)))
        }
        (Date, [year, month, day, hour, minute, second, zone]) => format!(
            "{}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} ({:+} quarters of an hour)",
            1900 + u32::from(*year),
            *zone as i8
        ),
        _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// Records of a directory; none crosses a sector.
fn records(bytes: &[u8]) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut at = 0;
    while let Some(&length) = bytes.get(at) {
        let length = usize::from(length);
        if length < 34 {
            at = (at / 2048 + 1) * 2048;
            continue;
        }
        let Some(record) = bytes.get(at..at + length) else {
            break;
        };
        let name_end = (33 + usize::from(record[32])).min(length);
        let name = match &record[33..name_end] {
            [0] => ".".to_owned(),
            [1] => "..".to_owned(),
            name => String::from_utf8_lossy(name).into_owned(),
        };
        let owner = format!("{}: ", shown(&name.replace('\0', "")));
        fields.extend(table(&RECORD, &owner, bytes, at));
        fields.push(Field {
            name: format!("{owner}system use (Rock Ridge)"),
            at: at + name_end,
            value: value(Hex, &record[name_end..]),
            derived: false,
        });
        at += length;
    }
    fields
}

fn partitions(bytes: &[u8]) -> Vec<Field> {
    let used = |number: &usize| {
        bytes
            .get(number * 128..(number + 1) * 128)
            .is_some_and(|entry| entry[..16] != [0; 16])
    };
    let numbers = (0..bytes.len() / 128).filter(used);
    let entry = |number| {
        table(
            &GPT_ENTRY,
            &format!("partition {}: ", number + 1),
            bytes,
            number * 128,
        )
    };
    numbers.flat_map(entry).collect()
}

/// Short entries of a FAT directory; long names are among them.
fn dirents(bytes: &[u8]) -> Vec<Field> {
    let mut fields = Vec::new();
    for (number, entry) in bytes.chunks_exact(32).enumerate() {
        match entry[0] {
            0 => break,
            0xe5 => continue,
            _ => {}
        }
        let at = number * 32;
        if entry[11] == 0x0f {
            fields.push(Field {
                name: format!("entry {number}, part of a long name"),
                at,
                value: value(Hex, entry),
                derived: false,
            });
            continue;
        }
        let name = value(Text, &entry[..11]);
        fields.extend(table(&DIRENT, &format!("{name}: "), bytes, at));
    }
    fields
}

/// Members of the archives in front of an initramfs; what is compressed behind them is compared
/// as bytes.
fn members(bytes: &[u8]) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut at = 0;
    let mut archive = 0;
    while let Some(skipped) = bytes[at..].iter().position(|byte| *byte != 0) {
        at += skipped;
        let Ok((entries, length)) = cpio::read(&bytes[at..]) else {
            break;
        };
        archive += 1;
        for entry in entries {
            let start = (entry.data.as_ptr() as usize).saturating_sub(bytes.as_ptr() as usize);
            let digest = crate::ondisk::checksum::crc32(0, entry.data);
            fields.push(Field {
                name: format!("archive {archive}, {}", shown(&entry.name)),
                at: start,
                value: format!("{} bytes, CRC-32 {digest:08x}", entry.data.len()),
                derived: entry.name.ends_with("image.json"),
            });
        }
        at += length.max(1);
        if at >= bytes.len() {
            break;
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_record_has_its_name_and_date() {
        let mut bytes = vec![0; 2048];
        bytes[0] = 38;
        bytes[18..25].copy_from_slice(&[126, 11, 24, 18, 6, 0, 4]);
        bytes[32] = 4;
        bytes[33..37].copy_from_slice(b"BOOT");
        let fields = fields("directory /", &bytes);
        assert_eq!(fields[0].name, "BOOT: recorded");
        assert_eq!(
            fields[0].value,
            "2026-11-24 18:06:00 (+4 quarters of an hour)"
        );
    }

    #[test]
    fn members_of_archives_are_told_by_their_names() {
        let mut archive = cpio::Archive::new();
        archive.file("init", 0o755, b"x".to_vec());
        let fields = fields("/linux.efi: .initrd", &archive.to_bytes().unwrap());
        let init = fields.iter().find(|field| field.name == "archive 1, init");
        assert!(
            init.is_some_and(|init| init.value.starts_with("1 bytes, ")),
            "{fields:?}"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..5000),
            name in prop::sample::select(vec![
                "/LiveOS/squashfs.img", "x: .initrd", "ESP: directory /", "ESP: boot sector",
                "directory /", "Joliet volume descriptor", "El Torito catalogue", "GPT header",
                "GPT backup entries",
            ]),
        ) {
            for field in fields(name, &bytes) {
                prop_assert!(field.at < bytes.len().max(1));
            }
        }
    }
}
