//! (skeleton)

#[allow(unsafe_code)]
pub mod interrupt;
