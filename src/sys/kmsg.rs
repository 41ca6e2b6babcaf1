//! The kernel's log as the sink of the `log` crate.
//!
//! Contract: `Documentation/ABI/testing/dev-kmsg`. A write is one record, `<N>` in front is
//! facility * 8 + level, and records over 1,024 bytes are refused. The kernel keeps ten
//! records a descriptor in five seconds and drops the rest without a word, unless
//! `/proc/sys/kernel/printk_devkmsg` says `on`.

use log::{Level, LevelFilter, Log, Metadata, Record};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;

/// What one record may hold: 1,024 less the prefix and the newline.
const RECORD: usize = 1000;

/// Facility `daemon`, as syslog(3) numbers it.
const DAEMON: u8 = 3 << 3;

/// Writes records to an open /dev/kmsg, prefixed `liveroot: `.
#[derive(Debug)]
pub struct KmsgLog {
    sink: Mutex<Option<File>>,
}

impl KmsgLog {
    /// Opens `dev/kmsg`; without it (a kernel without printk) records go nowhere.
    pub fn open(dev: &Path) -> Self {
        let sink = File::options().write(true).open(dev.join("kmsg")).ok();
        KmsgLog {
            sink: Mutex::new(sink),
        }
    }

    /// Makes this the log of the process.
    pub fn install(self) {
        if log::set_boxed_logger(Box::new(self)).is_ok() {
            log::set_max_level(LevelFilter::Debug);
        }
    }
}

impl Log for KmsgLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("liveroot")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let text = record.args().to_string();
        let Ok(mut sink) = self.sink.lock() else {
            return;
        };
        if let Some(file) = sink.as_mut() {
            for line in text.lines() {
                // A log that cannot be written has nobody left to tell.
                let _ = file.write_all(&render(record.level(), line));
            }
        }
    }

    fn flush(&self) {}
}

/// One record: prefix, text cut at a character, newline.
fn render(level: Level, line: &str) -> Vec<u8> {
    let level = match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    };
    let mut end = line.len().min(RECORD);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    format!("<{}>liveroot: {}\n", DAEMON | level, &line[..end]).into_bytes()
}

/// Lifts the rate limit while it lives and puts the old value back. The file stays open:
/// /proc may have moved into the new root by then.
#[derive(Debug)]
pub struct RateLimitLifted {
    file: File,
    before: String,
}

impl RateLimitLifted {
    /// None when there is nothing to lift: `printk.devkmsg=` on the command line locks it.
    pub fn lift(proc: &Path) -> Option<Self> {
        let path = proc.join("sys/kernel/printk_devkmsg");
        let before = std::fs::read_to_string(&path).ok()?;
        let file = File::options().write(true).open(&path).ok()?;
        // Without the newline the kernel answers EINVAL.
        file.write_all_at(b"on\n", 0).ok()?;
        Some(RateLimitLifted { file, before })
    }
}

impl Drop for RateLimitLifted {
    fn drop(&mut self) {
        // Whoever comes next has the kernel's default at worst.
        let _ = self
            .file
            .write_all_at(format!("{}\n", self.before.trim()).as_bytes(), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_its_level_and_stays_below_the_kernels_limit() {
        assert_eq!(render(Level::Warn, "x"), b"<28>liveroot: x\n");
        assert_eq!(render(Level::Info, "x"), b"<30>liveroot: x\n");
        let long = "ä".repeat(900);
        assert!(render(Level::Error, &long).len() <= 1024);
    }
}
