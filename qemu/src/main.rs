//! The machine under test.
fn main() {}
