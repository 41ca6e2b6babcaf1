//! liveroot: what a Linux live system boots through.
//!
//! A live boot is one story and the modules follow it: kernel words become a
//! [`request::Request`], devices become candidates ([`plan`]), the accepted medium is
//! mounted and stacked ([`boot`]). Making media is the other story ([`builder`]).
//! Who may import whom is held by `tests/layers.rs`.

pub mod boot;
pub mod builder;
pub mod cli;
pub mod inspect;
pub mod layout;
pub mod ondisk;
pub mod plan;
pub mod request;
pub mod sys;
pub mod units;

// A release that came out dynamic boots nowhere: an initramfs holds no libraries.
#[cfg(all(not(debug_assertions), not(target_feature = "crt-static")))]
compile_error!(
    "liveroot must be linked statically: RUSTFLAGS in the environment replaces the flags of .cargo/config.toml; add `-C target-feature=+crt-static` to it and name a --target"
);
