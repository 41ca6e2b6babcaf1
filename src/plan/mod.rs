//! Facts, events, verdicts, decisions. Pure: time is an input, nothing is opened.
#![forbid(unsafe_code)]

pub mod announced;
pub mod check;
pub mod check_medium;
pub mod copy;
pub mod end;
pub mod face;
pub mod fill;
pub mod generator;
pub mod image;
pub mod init;
pub mod medium;
pub mod modules;
pub mod mounts;
pub mod process;
pub mod progress;
pub mod root;
pub mod search;
pub mod session;
pub mod spot;
pub mod story;
pub mod upper;
