//! What is said about a phase: a line that fits a terminal, a line for a log, a last line.
//! Pure: time is an input.

use crate::units::Bytes;
use std::collections::VecDeque;
use std::time::Duration;

/// The rate is that of so much time: shorter ones jump with every large file.
const WINDOW: Duration = Duration::from_secs(20);
/// Samples are so far apart at least, so that their number is bounded.
const SAMPLE: Duration = Duration::from_millis(500);
/// Before that, a rate says more about the start than about the phase.
const SETTLED: Duration = Duration::from_secs(2);
/// A phase that took less is not worth a line of its own.
const LONG: Duration = Duration::from_secs(10);
/// Between a log's lines about one phase.
const LOG_STEP: Duration = Duration::from_secs(10);
/// A silent log looks like a hanging build to whoever waits for it.
const LOG_SILENCE: Duration = Duration::from_secs(300);
/// Widths of a bar that tells something; a longer one tells no more.
const BAR: std::ops::RangeInclusive<usize> = 10..=40;

/// How far a phase is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Amount {
    /// Nobody has said.
    Unknown,
    /// Of a hundred.
    Percent(u64),
    /// Bytes of so many.
    Bytes { done: u64, total: u64 },
}

/// A phase of a build and what is known about it.
#[derive(Clone, Debug)]
pub(super) struct Phase {
    name: String,
    began: Duration,
    amount: Amount,
    /// When so much was done; the oldest first.
    samples: VecDeque<(Duration, u64)>,
    /// When a log was last told, and at which tenth.
    logged: (Duration, u64),
}

impl Phase {
    /// A phase that begins now.
    pub(super) fn new(name: &str, now: Duration) -> Phase {
        Phase {
            name: name.to_owned(),
            began: now,
            amount: Amount::Unknown,
            samples: VecDeque::new(),
            logged: (now, 0),
        }
    }

    /// So many per cent are done.
    pub(super) fn percent(&mut self, percent: u8, now: Duration) {
        self.note(Amount::Percent(u64::from(percent.min(100))), now);
    }

    /// So many bytes are done.
    pub(super) fn bytes(&mut self, done: u64, total: u64, now: Duration) {
        let done = done.min(total);
        self.note(Amount::Bytes { done, total }, now);
    }

    fn note(&mut self, amount: Amount, now: Duration) {
        self.amount = amount;
        let (done, _) = self.extent();
        // A phase may have more than one part: each counts from its own start.
        if self
            .samples
            .back()
            .is_some_and(|(_, before)| *before > done)
        {
            self.samples.clear();
        }
        let is_due = |(last, _): &(Duration, u64)| now.saturating_sub(*last) >= SAMPLE;
        if self.samples.back().is_none_or(is_due) {
            self.samples.push_back((now, done));
        }
        while self.samples.len() > 2 && now.saturating_sub(self.samples[1].0) >= WINDOW {
            self.samples.pop_front();
        }
    }

    /// What is done, and of how much.
    fn extent(&self) -> (u64, u64) {
        match self.amount {
            Amount::Unknown => (0, 0),
            Amount::Percent(percent) => (percent, 100),
            Amount::Bytes { done, total } => (done, total),
        }
    }

    /// Per cent, rounded down: 100 is for what is done.
    fn percentage(&self) -> Option<u64> {
        match self.extent() {
            (_, 0) => None,
            (done, total) => Some((u128::from(done) * 100 / u128::from(total)) as u64),
        }
    }

    /// What is done in a second, in the unit of the amount, in thousandths.
    fn rate(&self, now: Duration) -> Option<u128> {
        let (since, before) = *self.samples.front()?;
        let took = now.saturating_sub(since);
        let done = u128::from(self.extent().0.saturating_sub(before));
        (took >= SETTLED && done > 0).then(|| done * 1_000_000 / took.as_millis())
    }

    fn time_left(&self, now: Duration) -> Option<Duration> {
        let (done, total) = self.extent();
        let seconds = u128::from(total - done) * 1000 / self.rate(now)?.max(1);
        Some(Duration::from_secs(u64::try_from(seconds).ok()?))
    }

    /// What is known beside the percentage, in the order of the line, each with its rank: the
    /// lowest stays longest when there is little room.
    fn remarks(&self, now: Duration) -> Vec<(u8, String)> {
        let mut remarks = Vec::new();
        if let Amount::Bytes { done, total } = self.amount {
            remarks.push((2, format!("{} of {}", Bytes(done), Bytes(total))));
            let rate = self.rate(now);
            remarks.extend(rate.map(|rate| (1, format!("{} MB/s", tenths(rate / 100_000_000)))));
        }
        let left = self.time_left(now);
        remarks.extend(left.map(|left| (0, format!("{} left", clock(left)))));
        remarks
    }

    /// The line of a terminal of `width` columns. It leaves the last column free, since some
    /// terminals go to the next line when that is written.
    pub(super) fn line(&self, now: Duration, width: usize) -> String {
        let room = width.saturating_sub(1);
        let Some(percentage) = self.percentage() else {
            return clip(format!("{} …", self.name), room);
        };
        let percentage = format!("{percentage:>3} %");
        let mut remarks = self.remarks(now);
        let taken = |remarks: &[(u8, String)]| -> usize {
            let remarks: usize = remarks.iter().map(|(_, text)| text.len() + 2).sum();
            self.name.chars().count() + 1 + percentage.len() + remarks
        };
        while taken(&remarks) > room && !remarks.is_empty() {
            let last = remarks.iter().map(|(rank, _)| *rank).max();
            remarks.retain(|(rank, _)| Some(*rank) != last);
        }
        // Brackets and a space.
        let bar = room.saturating_sub(taken(&remarks) + 3);
        let bar = match bar >= *BAR.start() {
            true => format!("{} ", self.bar(bar.min(*BAR.end()))),
            false => String::new(),
        };
        let mut line = format!("{} {bar}{percentage}", self.name);
        for (_, remark) in remarks {
            line += &format!("  {remark}");
        }
        clip(line, room)
    }

    fn bar(&self, width: usize) -> String {
        let (done, total) = self.extent();
        let full = (u128::from(done) * width as u128 / u128::from(total.max(1))) as usize;
        format!("[{:-<width$}]", "#".repeat(full.min(width)))
    }

    /// The line of a log, when one is due: at each tenth, but neither more often than every ten
    /// seconds nor, while there is progress, less often than every five minutes.
    pub(super) fn log_line(&mut self, now: Duration) -> Option<String> {
        let percentage = self.percentage()?;
        let silence = now.saturating_sub(self.logged.0);
        let is_next = percentage / 10 > self.logged.1 && silence >= LOG_STEP;
        if !(is_next || silence >= LOG_SILENCE) {
            return None;
        }
        self.logged = (now, percentage / 10);
        let mut line = format!("{}: {percentage} %", self.name);
        for (_, remark) in self.remarks(now) {
            line += &format!(", {remark}");
        }
        Some(line)
    }

    /// What is worth saying when the phase is over: how long it took, if it was long.
    pub(super) fn last_line(&self, now: Duration) -> Option<String> {
        let took = now.saturating_sub(self.began);
        if took < LONG {
            return None;
        }
        let mut line = format!("{}: {}", self.name, clock(took));
        if let Amount::Bytes { total, .. } = self.amount {
            // Bytes in a millisecond are thousands in a second: 100 of these are 0.1 MB/s.
            let rate = u128::from(total) / took.as_millis() / 100;
            line += &format!(", {} at {} MB/s", Bytes(total), tenths(rate));
        }
        Some(line)
    }
}

/// `9.4`; whole from ten on.
fn tenths(tenths: u128) -> String {
    match tenths {
        0..100 => format!("{}.{}", tenths / 10, tenths % 10),
        _ => (tenths / 10).to_string(),
    }
}

/// `1:02:03`, `4:05`.
fn clock(time: Duration) -> String {
    let (hours, minutes, seconds) = (
        time.as_secs() / 3600,
        time.as_secs() / 60 % 60,
        time.as_secs() % 60,
    );
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// At most `room` characters.
fn clip(text: String, room: usize) -> String {
    match text.chars().count() > room {
        true => text.chars().take(room).collect(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// 30 s at 10 MB/s of 1 GB.
    fn payload() -> Phase {
        let mut phase = Phase::new("payload", at(100));
        for second in 0..=30 {
            phase.bytes(second * 10_000_000, 1_000_000_000, at(100 + second));
        }
        phase
    }

    #[test]
    fn a_line_has_bar_amount_rate_and_time_left() {
        assert_eq!(
            payload().line(at(130), 100),
            "payload [###########----------------------------]  30 %  286.1 MiB of 953.7 MiB  10 MB/s  1:10 left"
        );
    }

    #[test]
    fn on_a_narrow_terminal_the_time_left_stays_longest() {
        let lines = [60, 40, 30, 20, 10].map(|width| payload().line(at(130), width));
        assert_eq!(
            lines,
            [
                "payload  30 %  286.1 MiB of 953.7 MiB  10 MB/s  1:10 left",
                "payload  30 %  10 MB/s  1:10 left",
                "payload  30 %  1:10 left",
                "payload  30 %",
                "payload  ",
            ]
        );
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let mut phase = payload();
        for second in 31..=60 {
            let done = 300_000_000 + (second - 30) * 1_000_000;
            phase.bytes(done, 1_000_000_000, at(100 + second));
        }
        let line = phase.line(at(160), 80);
        assert!(line.ends_with("1.0 MB/s  11:10 left"), "{line}");
    }

    #[test]
    fn what_nobody_has_measured_has_a_name_alone() {
        let mut phase = Phase::new("initramfs", at(0));
        assert_eq!(phase.line(at(50), 80), "initramfs …");
        phase.percent(50, at(50));
        let line = phase.line(at(50), 40);
        assert_eq!(line, "initramfs [##########-----------]  50 %");
        phase.bytes(0, 0, at(51));
        assert_eq!(phase.line(at(52), 80), "initramfs …");
    }

    #[test]
    fn percentages_have_a_time_left_and_no_rate() {
        let mut phase = Phase::new("ISO", at(0));
        phase.percent(0, at(0));
        phase.percent(40, at(4));
        let line = phase.line(at(4), 60);
        assert!(line.ends_with("40 %  0:06 left"), "{line}");
        assert!(!line.contains("MB/s"), "{line}");
    }

    #[test]
    fn a_second_part_of_a_phase_starts_anew() {
        let mut phase = payload();
        phase.bytes(0, 500, at(131));
        assert!(!phase.line(at(140), 80).contains("left"));
    }

    #[test]
    fn a_log_has_a_line_at_each_tenth_and_none_too_often() {
        let mut phase = Phase::new("payload", at(0));
        let mut lines = Vec::new();
        // An hour, then ten seconds for what is left.
        for second in 0..3600 {
            phase.bytes(second, 4500, at(second));
            lines.extend(phase.log_line(at(second)).map(|line| (second, line)));
        }
        for tick in 0..10 {
            phase.bytes(3600 + tick * 90, 4500, at(3600 + tick));
            lines.extend(
                phase
                    .log_line(at(3600 + tick))
                    .map(|line| (3600 + tick, line)),
            );
        }
        let seconds: Vec<u64> = lines.iter().map(|(second, _)| *second).collect();
        let gaps: Vec<u64> = seconds.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(
            gaps.iter().all(|gap| (10..=300).contains(gap)),
            "{seconds:?}"
        );
        assert!(lines.len() < 24, "{seconds:?}");
        assert!(lines[0].1.starts_with("payload: 6 %, "), "{}", lines[0].1);
        let mut short = Phase::new("ISO", at(0));
        short.percent(90, at(3));
        assert_eq!(short.log_line(at(3)), None);
    }

    #[test]
    fn only_a_long_phase_leaves_a_line() {
        assert_eq!(Phase::new("ISO", at(0)).last_line(at(9)), None);
        assert_eq!(
            Phase::new("ISO", at(0)).last_line(at(75)).as_deref(),
            Some("ISO: 1:15")
        );
        let line = payload().last_line(at(200));
        assert_eq!(line.as_deref(), Some("payload: 1:40, 953.7 MiB at 10 MB/s"));
    }

    #[test]
    fn times_have_hours_when_they_must() {
        assert_eq!(clock(at(7)), "0:07");
        assert_eq!(clock(at(3723)), "1:02:03");
    }

    proptest! {
        /// Whatever is said, and in whichever order: no panic, no line that is too long.
        #[test]
        fn no_line_is_wider_than_its_terminal(
            width in 0usize..200,
            name in "\\PC{0,30}",
            said in proptest::collection::vec((any::<u64>(), any::<u64>(), 0u64..1 << 40), 0..20),
        ) {
            let mut phase = Phase::new(&name, at(5));
            for (done, total, ms) in said {
                let now = Duration::from_millis(ms);
                phase.bytes(done, total, now);
                phase.log_line(now);
                phase.last_line(now);
                let line = phase.line(now, width);
                prop_assert!(line.chars().count() < width.max(1), "{line:?}");
            }
        }
    }
}
