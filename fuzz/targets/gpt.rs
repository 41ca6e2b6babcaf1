//! Invariant: partitions lie on the disk, whatever a table with true sums says.

#![no_main]

mod bytes;

use libfuzzer_sys::fuzz_target;
use liveroot::ondisk::checksum::crc32;
use liveroot::ondisk::gpt::read_table;

fuzz_target!(|data: &[u8]| {
    let mut disk = data.to_vec();
    repair_sums(&mut disk);
    let Ok(Some(table)) = read_table(&bytes::Bytes(&disk), 512) else { return };
    for partition in table.partitions {
        assert!(partition.start.0 + partition.length.0 <= disk.len() as u64 / 512);
    }
});

/// Without this the fuzzer would have to guess two checksums.
fn repair_sums(disk: &mut [u8]) {
    if disk.len() < 1024 {
        return;
    }
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk[450] = 0xee;
    disk[454..458].copy_from_slice(&1u32.to_le_bytes());
    let word = |at: usize| u32::from_le_bytes([disk[at], disk[at + 1], disk[at + 2], disk[at + 3]]);
    let (first, count) = (word(512 + 72) as usize, word(512 + 80) as usize);
    let entries = disk.get(first.saturating_mul(512)..).and_then(|e| e.get(..count.checked_mul(128)?));
    let sum = entries.filter(|e| e.len() <= 1 << 17).map_or(0, |e| !crc32(!0, e));
    disk[512 + 88..512 + 92].copy_from_slice(&sum.to_le_bytes());
    disk[512 + 12..512 + 16].copy_from_slice(&92u32.to_le_bytes());
    disk[512 + 16..512 + 20].fill(0);
    let sum = !crc32(!0, &disk[512..512 + 92]);
    disk[512 + 16..512 + 20].copy_from_slice(&sum.to_le_bytes());
}
