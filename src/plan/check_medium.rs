//! What is read through for `rd.live.check`, and when somebody has had enough.

use crate::ondisk::FsKind;
use std::time::Duration;

/// The device whose bytes the checksum covers: of a partition of a disk that is an ISO the
/// disk, as with dmsquash-live.
pub fn decide_checked<'a>(
    device: &'a str,
    disk: Option<&'a str>,
    on_disk: Option<FsKind>,
) -> &'a str {
    match (disk, on_disk) {
        (Some(disk), Some(FsKind::Iso9660 | FsKind::Udf)) => disk,
        _ => device,
    }
}

/// Behind Esc, the other bytes of a cursor key: they come at once, or it was Esc alone. The
/// slowest serial line that anybody uses takes 1 ms for a byte.
const ESCAPE: Duration = Duration::from_millis(50);

/// Tells Esc from the keys that begin with it. Times are those since the kernel's start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Escape(Option<Duration>);

impl Escape {
    /// A byte was typed.
    pub fn take(&mut self, key: u8, now: Duration) {
        self.0 = (key == 0x1b).then_some(now);
    }

    /// How long until it counts, if it is pressed; zero when it does.
    pub fn counts_in(&self, now: Duration) -> Option<Duration> {
        self.0.map(|pressed| (pressed + ESCAPE).saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_is_checked_if_it_is_an_iso() {
        let iso = Some(FsKind::Iso9660);
        assert_eq!(decide_checked("sda1", Some("sda"), iso), "sda");
        assert_eq!(
            decide_checked("sda1", Some("sda"), Some(FsKind::Ext)),
            "sda1"
        );
        assert_eq!(decide_checked("sda1", Some("sda"), None), "sda1");
        assert_eq!(decide_checked("sr0", None, None), "sr0");
    }

    #[test]
    fn a_cursor_key_is_no_escape() {
        let at = Duration::from_millis;
        let mut escape = Escape::default();
        assert_eq!(escape.counts_in(at(0)), None);
        escape.take(0x1b, at(100));
        assert_eq!(escape.counts_in(at(110)), Some(at(40)));
        assert_eq!(escape.counts_in(at(200)), Some(at(0)));
        escape.take(b'[', at(101));
        assert_eq!(escape.counts_in(at(200)), None);
    }
}
