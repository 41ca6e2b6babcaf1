//! Invariant: a label has no padding; a UUID has the shape of a date.

#![no_main]

use libfuzzer_sys::fuzz_target;
use liveroot::ondisk::iso9660::probe;

fuzz_target!(|data: &[u8]| {
    // The system area says nothing: the input is what lies behind it.
    let mut head = vec![0; 32768];
    head.extend_from_slice(data);
    let Some(facts) = probe(&head) else { return };
    if let Some(label) = facts.label {
        assert!(!label.0.is_empty() && !label.0.ends_with(b" ") && !label.0.contains(&0));
    }
    if let Some(uuid) = facts.uuid {
        assert_eq!(uuid.len(), 22);
    }
});
