//! How a bench's figures are shown: a table for people, one JSON object a line for programs.

use serde::Serialize;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Ours beside one peer.
#[derive(Clone, Debug)]
pub struct Row {
    /// What the medium hangs on.
    pub case: &'static str,
    /// The peer's name.
    pub peer: &'static str,
    /// Seconds of ours.
    pub ours: f64,
    /// Seconds of the peer.
    pub peer_value: f64,
    /// Our initramfs.
    pub ours_bytes: u64,
    /// The peer's.
    pub peer_bytes: u64,
}

impl Row {
    fn ratio(&self) -> f64 {
        (self.ours / self.peer_value * 1000.0).round() / 1000.0
    }
}

/// A line of `--json`; each bench prints such.
#[derive(Serialize)]
#[allow(missing_docs)]
pub struct Line<'a> {
    pub bench: &'a str,
    pub case: &'a str,
    pub ours: f64,
    pub peer: &'a str,
    pub peer_value: f64,
    pub unit: &'a str,
    pub ratio: f64,
}

/// Prints them.
pub fn print(bench: &str, rows: &[Row], form: Form, note: &str) {
    match form {
        Form::Json => {
            for line in lines(bench, rows) {
                println!("{line}");
            }
        }
        Form::Table => {
            println!("\n{bench}: guest seconds, {note}");
            println!(
                "{:<8} {:<10} {:>8} {:>8} {:>7} {:>16} {:>16}",
                "case", "peer", "ours", "peer", "ratio", "our initramfs", "peer's initramfs"
            );
            for row in rows {
                println!(
                    "{:<8} {:<10} {:>8.2} {:>8.2} {:>7.2} {:>16} {:>16}",
                    row.case,
                    row.peer,
                    row.ours,
                    row.peer_value,
                    row.ratio(),
                    row.ours_bytes,
                    row.peer_bytes
                );
            }
        }
    }
}

/// Seconds of each row; then the initramfs's bytes.
fn lines(bench: &str, rows: &[Row]) -> Vec<String> {
    let seconds = rows.iter().map(|row| Line {
        bench,
        case: row.case,
        ours: row.ours,
        peer: row.peer,
        peer_value: row.peer_value,
        unit: "s",
        ratio: row.ratio(),
    });
    let bytes = rows.iter().map(|row| Line {
        bench: "stage-initramfs",
        case: row.case,
        ours: row.ours_bytes as f64,
        peer: row.peer,
        peer_value: row.peer_bytes as f64,
        unit: "bytes",
        ratio: (row.ours_bytes as f64 / row.peer_bytes as f64 * 1000.0).round() / 1000.0,
    });
    seconds
        .chain(bytes)
        .filter_map(|line| serde_json::to_string(&line).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_line_has_the_agreed_fields_and_ratio_is_ours_by_the_peers() {
        let row = Row {
            case: "cd",
            peer: "bare",
            ours: 3.0,
            peer_value: 2.0,
            ours_bytes: 8,
            peer_bytes: 2,
        };
        assert_eq!(
            lines("stage", &[row])[0],
            r#"{"bench":"stage","case":"cd","ours":3.0,"peer":"bare","peer_value":2.0,"unit":"s","ratio":1.5}"#
        );
    }
}
