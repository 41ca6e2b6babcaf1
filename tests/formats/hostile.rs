//! Bytes that nobody meant: every parser returns, soon, whatever they say.

use crate::{Image, blkid, images, partition_lines, partx, skip};
use liveroot::ondisk::checksum::crc32;
use liveroot::ondisk::probe::probe_filesystem;
use liveroot::ondisk::table::{Copies, TableKind, read_table};
use liveroot::ondisk::{ByteSource, FsKind, ReadError, gpt, mbr, squashfs};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::cell::Cell;
use std::fs;

/// A source in memory.
#[derive(Debug)]
pub struct Bytes(pub Vec<u8>);

impl ByteSource for Bytes {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        self.0.read_at(offset, buf)
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

/// Some bytes of a source changed, its reads counted.
struct Patched<'a> {
    below: &'a dyn ByteSource,
    patches: Vec<(u64, u8)>,
    length: u64,
    reads: Cell<usize>,
}

impl<'a> Patched<'a> {
    fn new(below: &'a dyn ByteSource, patches: Vec<(u64, u8)>) -> Self {
        Patched {
            below,
            patches,
            length: below.len(),
            reads: Cell::new(0),
        }
    }
}

impl ByteSource for Patched<'_> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        self.reads.set(self.reads.get() + 1);
        assert!(
            offset + buf.len() as u64 <= self.length,
            "a read past the end is asked for"
        );
        self.below.read_at(offset, buf)?;
        for (at, byte) in &self.patches {
            let place = at
                .checked_sub(offset)
                .and_then(|at| buf.get_mut(at as usize));
            if let Some(place) = place {
                *place = *byte;
            }
        }
        Ok(())
    }

    fn len(&self) -> u64 {
        self.length
    }
}

/// More than the longest chain that any parser follows.
const MOST_READS: usize = 100;

fn all_parsers_return(source: &Patched<'_>) {
    let reads = |what: &str| {
        assert!(
            source.reads.replace(0) <= MOST_READS,
            "{what} reads without end"
        );
    };
    let _ = probe_filesystem(source);
    reads("probe");
    for sector_size in [512, 4096, 0, 3] {
        let _ = gpt::read_table(source, sector_size);
        let _ = mbr::read_table(source, sector_size);
    }
    reads("tables");
    let _ = squashfs::read_superblock(source);
}

/// The same cases in every run: the search for new ones is `fuzz/`.
fn runner(cases: u32) -> TestRunner {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

#[test]
fn arbitrary_bytes_never_stop_a_parser() {
    let bytes = proptest::collection::vec(any::<u8>(), 0..100_000);
    let run = runner(48).run(&bytes, |bytes| {
        let bytes = Bytes(bytes);
        all_parsers_return(&Patched::new(&bytes, Vec::new()));
        Ok(())
    });
    run.unwrap();
}

#[test]
fn damaged_superblocks_never_stop_a_parser() {
    // Where superblocks, directories, anchors and tables begin.
    const PLACES: [u64; 12] = [
        0,
        440,
        512,
        1024,
        1 << 12,
        16 << 10,
        32 << 10,
        34 << 10,
        36 << 10,
        64 << 10,
        1 << 17,
        1 << 19,
    ];
    let patch = (
        0..PLACES.len(),
        0u64..600,
        prop_oneof![Just(0), Just(0xff), any::<u8>()],
    );
    let patch = patch.prop_map(|(place, offset, byte)| (PLACES[place] + offset, byte));
    let patches = proptest::collection::vec(patch, 1..24);
    let cut = prop_oneof![3 => Just(u64::MAX), 1 => 0u64..200_000];
    for (case, image) in images() {
        let image = Image::open(image);
        let run = runner(24).run(&(patches.clone(), cut.clone()), |(patches, cut)| {
            let mut source = Patched::new(&image, patches);
            source.length = source.length.min(cut);
            all_parsers_return(&source);
            Ok(())
        });
        run.unwrap_or_else(|failure| panic!("{}: {failure}", case.name));
    }
}

/// A device that fails at one place.
struct Failing<'a>(&'a dyn ByteSource, std::ops::Range<u64>);

impl ByteSource for Failing<'_> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        if offset < self.1.end && self.1.start < offset + buf.len() as u64 {
            return Err(ReadError::Io(5));
        }
        self.0.read_at(offset, buf)
    }

    fn len(&self) -> u64 {
        self.0.len()
    }
}

#[test]
fn a_device_that_fails_is_an_error_and_not_an_absence() {
    let empty = Bytes(vec![0; 1 << 20]);
    assert_eq!(
        probe_filesystem(&Failing(&empty, 0..512)),
        Err(ReadError::Io(5))
    );
    assert_eq!(
        read_table(&Failing(&empty, 0..512), 512),
        Err(ReadError::Io(5))
    );
    // But nobody needs the end of a disc, whose length may be a guess.
    assert_eq!(
        probe_filesystem(&Failing(&empty, 1 << 19..1 << 20)),
        Ok(None)
    );
}

/// A GPT with checksums that hold, whatever it says.
fn gpt_disk(sector: usize, entries: &[[u8; 128]]) -> Vec<u8> {
    let mut disk = vec![0; 64 * sector.max(1024)];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk[450] = 0xee;
    disk[454] = 1;
    disk[458] = 63;
    for (place, entry) in disk[2 * sector..].chunks_exact_mut(128).zip(entries) {
        place.copy_from_slice(entry);
    }
    let sum = !crc32(!0, &disk[2 * sector..][..entries.len() * 128]);
    let header = &mut disk[sector..2 * sector];
    header[..8].copy_from_slice(b"EFI PART");
    header[8..12].copy_from_slice(&[0, 0, 1, 0]);
    header[12] = 92;
    header[24] = 1;
    header[32] = 63;
    header[40] = 10;
    header[48] = 60;
    header[56..72].copy_from_slice(&[0x11; 16]);
    header[72] = 2;
    header[80..84].copy_from_slice(&(entries.len() as u32).to_le_bytes());
    header[84] = 128;
    header[88..92].copy_from_slice(&sum.to_le_bytes());
    let sum = !crc32(!0, &header[..92]);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
    disk
}

fn gpt_entry(first: u64, last: u64, name: &str) -> [u8; 128] {
    let mut entry = [0xab; 128];
    entry[32..40].copy_from_slice(&first.to_le_bytes());
    entry[40..48].copy_from_slice(&last.to_le_bytes());
    entry[48..].fill(0);
    for (place, unit) in entry[56..].chunks_exact_mut(2).zip(name.encode_utf16()) {
        place.copy_from_slice(&unit.to_le_bytes());
    }
    entry
}

#[test]
fn sectors_of_4096_bytes_are_counted_as_eight() {
    let entries = [
        gpt_entry(10, 19, "one"),
        [0; 128],
        gpt_entry(20, 60, "three"),
    ];
    let disk = gpt_disk(4096, &entries);
    let table = read_table(&Bytes(disk.clone()), 4096).unwrap().unwrap();
    assert_eq!(table.kind, TableKind::Gpt(Copies::Primary));
    let three = &table.partitions[1];
    assert_eq!((three.number, three.start.0, three.length.0), (3, 160, 328));
    assert_eq!(read_table(&Bytes(disk.clone()), 512), Ok(None));

    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, &disk).unwrap();
    if crate::find_tool("partx").is_none() {
        return skip("partx of 4,096-byte sectors", "partx is not installed");
    }
    assert_eq!(partition_lines(&table), partx(file.path(), "4096"));
}

#[test]
fn entries_behind_the_disk_or_upside_down_are_no_partitions() {
    let entries = [
        gpt_entry(10, 19, "good"),
        gpt_entry(30, 20, "upside down"),
        gpt_entry(30, 1 << 40, "behind"),
        gpt_entry(u64::MAX, u64::MAX, "far"),
    ];
    let table = read_table(&Bytes(gpt_disk(512, &entries)), 512)
        .unwrap()
        .unwrap();
    assert_eq!(table.partitions.len(), 1);
}

#[test]
fn a_table_with_true_sums_and_wild_entries_is_read() {
    let wild = proptest::collection::vec(any::<[u8; 32]>(), 1..9);
    let run = runner(64).run(&wild, |wild| {
        let entries: Vec<[u8; 128]> = wild
            .iter()
            .map(|w| std::array::from_fn(|i| w[i % 32]))
            .collect();
        let table = gpt::read_table(&Bytes(gpt_disk(512, &entries)), 512);
        prop_assert!(matches!(table, Ok(Some(_))));
        Ok(())
    });
    run.unwrap();
}

#[test]
fn a_chain_of_logical_partitions_that_bites_its_tail_ends() {
    for link in [0, 16] {
        let mut disk = vec![0; 1 << 20];
        for at in [0, 64 * 512, 80 * 512] {
            disk[at + 510..at + 512].copy_from_slice(&[0x55, 0xaa]);
        }
        let mut slot = |at: usize, kind: u8, start: u32, length: u32| {
            disk[at + 4] = kind;
            disk[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
            disk[at + 12..at + 16].copy_from_slice(&length.to_le_bytes());
        };
        slot(446, 5, 64, 1000);
        slot(64 * 512 + 446, 0x83, 1, 4);
        slot(64 * 512 + 462, 5, 16, 10);
        slot(80 * 512 + 446, 0x83, 1, 4);
        slot(80 * 512 + 462, 5, link, 10);
        let disk = Bytes(disk);
        let source = Patched::new(&disk, Vec::new());
        let table = mbr::read_table(&source, 512).unwrap().unwrap();
        let numbers: Vec<u32> = table.partitions.iter().map(|p| p.number).collect();
        assert_eq!(numbers, [1, 5, 6]);
        assert!(source.reads.get() <= 3);
    }
}

#[test]
fn a_file_that_merely_holds_the_magic_of_a_disc_is_none() {
    let mut disk = vec![0; 64 << 10];
    let pvd = &mut disk[32768..];
    pvd[..7].copy_from_slice(b"\x01CD001\x01");
    pvd[80..88].copy_from_slice(&[9, 0, 0, 0, 0, 0, 0, 9]);
    pvd[128..132].copy_from_slice(&[0, 8, 8, 0]);
    let kind = |disk: &[u8]| {
        let facts = probe_filesystem(&Bytes(disk.to_vec())).unwrap();
        facts.map(|facts| facts.kind)
    };
    assert_eq!(kind(&disk), Some(FsKind::Iso9660));
    for at in [80, 87, 128, 131, 1, 0] {
        let mut disk = disk.clone();
        disk[32768 + at] ^= 4;
        assert_eq!(kind(&disk), None, "byte {at}");
    }
}

/// What has no tool that works on a plain file: facts of ours, confirmed by blkid.
fn agrees_with_blkid(disk: Vec<u8>, kind: FsKind, name: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, &disk).unwrap();
    let facts = probe_filesystem(&Bytes(disk)).unwrap().unwrap();
    assert_eq!(facts.kind, kind);
    assert!(!facts.kind.holds_files());
    if crate::find_tool("blkid").is_none() {
        return skip(name, "blkid is not installed");
    }
    assert_eq!(blkid(file.path(), "TYPE"), name);
    assert_eq!(blkid(file.path(), "UUID"), facts.uuid.unwrap_or_default());
    let label = facts.label.map(|label| label.to_string());
    assert_eq!(blkid(file.path(), "LABEL"), label.unwrap_or_default());
}

#[test]
fn a_physical_volume_of_lvm_is_named() {
    let mut disk = vec![0; 2 << 20];
    let label = &mut disk[512..1024];
    label[..8].copy_from_slice(b"LABELONE");
    label[8] = 1;
    label[20] = 32;
    label[24..32].copy_from_slice(b"LVM2 001");
    label[32..64].copy_from_slice(b"abcdefghijklmnopqrstuvwxyzABCDEF");
    let sum = crc32(0xf597_a6cf, &label[20..]);
    label[16..20].copy_from_slice(&sum.to_le_bytes());
    agrees_with_blkid(disk, FsKind::Lvm2, "LVM2_member");
}

#[test]
fn members_of_a_raid_are_named_wherever_their_superblock_lies() {
    let length = 2u64 << 20;
    for at in [0, 4096, length - 8192] {
        let mut disk = vec![0; length as usize];
        if at > 4096 {
            // An ext2 in front of it: one of two mirrors.
            let ext = &mut disk[1024..];
            (ext[0], ext[0x20]) = (1, 1);
            ext[0x38..0x3a].copy_from_slice(&[0x53, 0xef]);
        }
        let sb = &mut disk[at as usize..][..256];
        sb[..4].copy_from_slice(&0xa92b_4efc_u32.to_le_bytes());
        sb[4] = 1;
        sb[16..32].copy_from_slice(b"0123456789abcdef");
        sb[32..40].copy_from_slice(b"host:liv");
        sb[144..152].copy_from_slice(&(at / 512).to_le_bytes());
        let words = sb
            .chunks_exact(4)
            .map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]]));
        let sum: u64 = words.map(u64::from).sum();
        let sum = ((sum >> 32) + sum) as u32;
        sb[216..220].copy_from_slice(&sum.to_le_bytes());
        agrees_with_blkid(disk, FsKind::MdRaid, "linux_raid_member");
    }
    let mut disk = vec![0; length as usize];
    let sb = &mut disk[length as usize - 65536..];
    sb[..4].copy_from_slice(&0xa92b_4efc_u32.to_le_bytes());
    sb[8] = 90;
    sb[20..24].copy_from_slice(&[1, 2, 3, 4]);
    sb[52..64].copy_from_slice(b"abcdefghijkl");
    sb[32..36].copy_from_slice(&1024u32.to_le_bytes());
    agrees_with_blkid(disk, FsKind::MdRaid, "linux_raid_member");
}
