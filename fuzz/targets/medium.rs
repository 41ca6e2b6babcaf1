//! Invariant: any bytes taken for a medium are inspected and verified to an end.

#![no_main]

mod bytes;
#[path = "../../tests/inspect/invariants.rs"]
mod invariants;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| invariants::check(&bytes::Bytes(data)));
