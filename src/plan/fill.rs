//! How full what takes the writes is, when to say so, and when to look again.

use crate::units::Bytes;
use std::time::Duration;

/// What a file system has, as statvfs(3) tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Bytes that it can hold, without what is kept for root.
    pub total: u64,
    /// Bytes of them that are free.
    pub free: u64,
    /// Files that it can hold; 0 where it knows no such limit.
    pub files: u64,
    /// Files of them that are free.
    pub files_free: u64,
}

impl Room {
    /// Whether bytes or files are nearer to their end, and their fill in per cent.
    pub fn fill(&self) -> (Kind, u8) {
        let bytes = percent(self.total, self.free);
        let files = percent(self.files, self.files_free);
        if files > bytes {
            (Kind::Files, files)
        } else {
            (Kind::Bytes, bytes)
        }
    }
}

/// What runs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Room.
    Bytes,
    /// Inodes.
    Files,
}

/// Rounded down; 0 of nothing.
fn percent(total: u64, free: u64) -> u8 {
    let used = u128::from(total.saturating_sub(free));
    let percent = (used * 100).checked_div(u128::from(total)).unwrap_or(0);
    u8::try_from(percent).unwrap_or(100)
}

/// At which per cent users are warned.
pub const LEVELS: [u8; 3] = [80, 90, 95];

/// A level counts again when the fill was so many points below it.
const REARM: u8 = 5;

/// Which levels were told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told(Option<u8>);

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Nothing,
    /// A level is reached that was not told yet.
    Warn,
    /// All is well again.
    Relieve,
}

impl Told {
    /// One look. Each level is told once, the highest reached only.
    pub fn step(&mut self, percent: u8) -> Step {
        let before = self.0;
        let highest = |reached: &dyn Fn(u8) -> bool| LEVELS.into_iter().rfind(|l| reached(*l));
        let still = highest(&|level| before >= Some(level) && percent + REARM >= level);
        let reached = highest(&|level| percent >= level);
        self.0 = still.max(reached);
        if reached > still {
            Step::Warn
        } else if before.is_some() && self.0.is_none() {
            Step::Relieve
        } else {
            Step::Nothing
        }
    }
}

/// No event of the kernel's tells that a file system fills, so it is looked at again no
/// later than a fast writer needs to the next level that was not told.
pub fn decide_next_look(room: &Room, told: Told, in_memory: bool) -> Duration {
    /// Bytes a second: of a fast stick or disk, and of memory that is written anew.
    const DISK: u64 = 200_000_000;
    const MEMORY: u64 = 2_000_000_000;
    /// Files that one program makes in a second.
    const FILES: u64 = 20_000;
    const LONGEST: u64 = 60;
    let level = LEVELS.into_iter().find(|level| told.0 < Some(*level));
    let seconds = level.map_or(LONGEST, |level| {
        let bytes = distance(room.total, room.free, level) / if in_memory { MEMORY } else { DISK };
        match room.files {
            0 => bytes,
            files => bytes.min(distance(files, room.files_free, level) / FILES),
        }
    });
    Duration::from_secs(seconds.clamp(1, LONGEST))
}

/// How much can be added before so many per cent are in use.
fn distance(total: u64, free: u64, level: u8) -> u64 {
    let left = u128::from(total) * u128::from(100 - level) / 100;
    free.saturating_sub(u64::try_from(left).unwrap_or(u64::MAX))
}

/// What users are told.
pub fn warning(room: &Room, device: &str, in_memory: bool) -> String {
    let (kind, percent) = room.fill();
    let what = match in_memory {
        true => "the memory that takes the changes of this live system".to_owned(),
        false => format!("{device}, which takes the changes of this live system,"),
    };
    let left = match kind {
        Kind::Bytes => format!("is {percent} % full, {} are left", Bytes(room.free)),
        Kind::Files => format!(
            "has {percent} % of its files in use, {} are left",
            room.files_free
        ),
    };
    format!(
        "{what} {left}. Delete files of yours (those that came with the image free nothing): \
         at 100 % nothing more can be saved and programs fail with \"No space left on device\"."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_is_told_once_until_the_fill_falls_five_points_below_it() {
        let mut told = Told::default();
        let steps = [
            (79, Step::Nothing),
            (80, Step::Warn),
            (85, Step::Nothing),
            (90, Step::Warn),
            (86, Step::Nothing),
            (90, Step::Nothing),
            (84, Step::Nothing),
            (90, Step::Warn),
            (99, Step::Warn),
            (76, Step::Nothing),
            (80, Step::Nothing),
            (74, Step::Relieve),
            (10, Step::Nothing),
            (100, Step::Warn),
            (100, Step::Nothing),
            (0, Step::Relieve),
        ];
        for (n, (percent, expected)) in steps.into_iter().enumerate() {
            assert_eq!(told.step(percent), expected, "step {n}, {percent} %");
        }
    }

    #[test]
    fn what_is_nearer_to_its_end_counts() {
        let room = Room {
            total: 1000,
            free: 500,
            files: 100,
            files_free: 9,
        };
        assert_eq!(room.fill(), (Kind::Files, 91));
        // btrfs knows no limit of files.
        let unlimited = Room {
            files: 0,
            files_free: 0,
            ..room
        };
        assert_eq!(unlimited.fill(), (Kind::Bytes, 50));
        assert_eq!(Room::default().fill(), (Kind::Bytes, 0));
        let full = Room {
            free: 0,
            ..unlimited
        };
        assert_eq!(full.fill(), (Kind::Bytes, 100));
    }

    #[test]
    fn it_looks_again_before_a_fast_writer_reaches_the_next_level() {
        const GB: u64 = 1_000_000_000;
        let at = |free: u64, files_free: u64, told: Option<u8>, in_memory| {
            let room = Room {
                total: 100 * GB,
                free,
                files: 1_000_000,
                files_free,
            };
            decide_next_look(&room, Told(told), in_memory).as_secs()
        };
        let disk = |free, files_free, told| at(free, files_free, told, false);
        assert_eq!(disk(100 * GB, 1_000_000, None), 40, "800,000 files");
        assert_eq!(disk(22 * GB, 1_000_000, None), 10, "2 GB to 80 %");
        assert_eq!(disk(20 * GB, 1_000_000, None), 1);
        assert_eq!(disk(18 * GB, 1_000_000, Some(80)), 40, "8 GB to 90 %");
        assert_eq!(disk(0, 1_000_000, Some(95)), 60, "all is told");
        assert_eq!(at(22 * GB, 1_000_000, None, true), 1, "memory fills sooner");
        assert_eq!(at(60 * GB, 1_000_000, None, true), 20);
        let unlimited = Room {
            total: 1 << 60,
            free: 1 << 60,
            ..Room::default()
        };
        let next = decide_next_look(&unlimited, Told::default(), false);
        assert_eq!(next.as_secs(), 60);
    }

    #[test]
    fn the_warning_names_what_is_full_and_what_to_do() {
        let room = Room {
            total: 100 << 20,
            free: 9 << 20,
            files: 0,
            files_free: 0,
        };
        let text = warning(&room, "/dev/sda3", false);
        assert!(text.starts_with("/dev/sda3, which"), "{text}");
        assert!(text.contains("91 % full, 9.0 MiB are left"), "{text}");
        assert!(text.contains("Delete files"), "{text}");
        assert!(warning(&room, "tmpfs", true).starts_with("the memory"));
    }
}
