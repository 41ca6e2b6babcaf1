//! Reading media, ours and foreign: what is on them, whether they will start, whether they
//! are whole.
//!
//! [`inspect`] gathers facts (`gather/`), from which `predict/` and `findings.rs` decide
//! without reading anything more; [`verify::verify`] compares every byte with what covers it.
#![forbid(unsafe_code)]

pub mod differ;
mod differ_fields;
mod differ_payload;
pub mod draw;
pub mod facts;
mod findings;
mod gather;
pub mod medium;
mod predict;
mod show;
pub mod verify;
mod verify_foreign;
mod verify_sealed;

pub use findings::findings;
pub use gather::gather;
pub use predict::{Prediction, Verdict, Way, predict};
pub use show::text;

use facts::Facts;
use medium::Medium;
use std::path::Path;

/// Version of the JSON that `inspect` prints.
pub const SCHEMA: u32 = 1;

/// All that `liveroot inspect` says.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// Version of this structure, now 1.
    pub schema: u32,
    /// File or device, as it was named.
    pub medium: String,
    /// What is there.
    pub facts: Facts,
    /// Whether each way of starting will work.
    pub ways: Vec<Prediction>,
    /// What is wrong, other people's mistakes among it.
    pub findings: Vec<String>,
    /// What could not be read, with its offset; partial results are above.
    pub trouble: Vec<String>,
}

/// Reads a medium.
///
/// # Errors
/// A message when it can't be opened or is empty; what is damaged within is in the report.
pub fn inspect(path: &Path) -> Result<(Report, Vec<crate::layout::Span>), String> {
    let medium = Medium::open(path)?;
    let (facts, spans, trouble) = gather(&medium);
    let report = Report {
        schema: SCHEMA,
        medium: path.display().to_string(),
        ways: predict(&facts),
        findings: findings(&facts),
        facts,
        trouble,
    };
    Ok((report, spans))
}
