//! The agent in the initramfs.
fn main() {}
