//! Invariant: what was implanted can be compared with any bytes, and covers some.

#![no_main]

use libfuzzer_sys::fuzz_target;
use liveroot::ondisk::isomd5::{CHUNK, Comparison, parse};

fuzz_target!(|data: &[u8]| {
    // The input is the primary volume descriptor.
    let Some(implanted) = parse(data) else { return };
    assert!(implanted.length > 0);
    let mut comparison = Comparison::new(implanted);
    let _ = comparison.feed(&mut vec![1; 2 * CHUNK + 1]);
    let _ = comparison.finish();
});
