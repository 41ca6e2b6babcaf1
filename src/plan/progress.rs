//! How far long work is, as people read it.

use crate::units::Bytes;
use std::time::Duration;

/// Of work on bytes in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// What is done, at the beginning of a line.
    pub what: &'a str,
    /// Bytes that are done.
    pub done: u64,
    /// Bytes that there are.
    pub total: u64,
    /// Since it began.
    pub took: Duration,
}

impl Progress<'_> {
    /// Whole percent.
    pub fn percent(&self) -> u64 {
        let part = u128::from(self.done) * 100 / u128::from(self.total.max(1));
        u64::try_from(part).unwrap_or(100).min(100)
    }

    /// Bytes a second.
    pub fn rate(&self) -> Bytes {
        let rate = u128::from(self.done) * 1000 / self.took.as_millis().max(1);
        Bytes(u64::try_from(rate).unwrap_or(u64::MAX))
    }

    /// One line: what, how far, how fast, how long still.
    pub fn line(&self) -> String {
        let rate = self.rate();
        let left = self.total.saturating_sub(self.done).div_ceil(rate.0.max(1));
        let left = match left {
            _ if rate.0 == 0 => "no byte yet".to_owned(),
            0..=99 => format!("{left} s left"),
            more => format!("{} min left", more.div_ceil(60)),
        };
        let (what, percent, total) = (self.what, self.percent(), Bytes(self.total));
        format!("{what}: {percent} % of {total}, {rate}/s, {left}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn progress_is_one_line_with_rate_and_time_left() {
        let at = |done: u64, took: u64| Progress {
            what: "Copying to memory",
            done: done * MIB,
            total: 1000 * MIB,
            took: Duration::from_millis(took),
        };
        let line = at(250, 5000).line();
        let expected = "Copying to memory: 25 % of 1000.0 MiB, 50.0 MiB/s, 15 s left";
        assert_eq!(line, expected);
        assert!(at(10, 10_000).line().ends_with("1.0 MiB/s, 17 min left"));
        assert!(at(0, 3000).line().ends_with("0 B/s, no byte yet"));
        assert_eq!(at(1000, 1).percent(), 100);
        assert_eq!(at(0, 0).percent(), 0);
        assert!(at(999, 0).line().len() < 80);
    }
}
