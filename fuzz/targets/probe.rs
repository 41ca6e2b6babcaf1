//! Invariant: any bytes get an answer; a device in memory never fails to read.

#![no_main]

mod bytes;

use libfuzzer_sys::fuzz_target;
use liveroot::ondisk::probe::probe_filesystem;
use liveroot::ondisk::{mbr, squashfs};

fuzz_target!(|data: &[u8]| {
    let source = bytes::Bytes(data);
    assert!(probe_filesystem(&source).is_ok());
    assert!(mbr::read_table(&source, 512).is_ok());
    assert!(squashfs::read_superblock(&source).is_ok());
});
