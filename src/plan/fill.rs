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
/// later than a fast writer needs for the rest.
pub fn decide_next_look(room: &Room) -> Duration {
    /// Bytes a second of a fast stick or disk.
    const BYTES: u64 = 200_000_000;
    /// Files that one program makes in a second.
    const FILES: u64 = 20_000;
    let files = match room.files {
        0 => u64::MAX,
        _ => room.files_free / FILES,
    };
    Duration::from_secs((room.free / BYTES).min(files).clamp(2, 60))
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
        "{what} {left}. Delete files that you do not need: at 100 % nothing more can be \
         saved and programs fail with \"No space left on device\"."
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
    fn the_less_is_left_the_sooner_it_looks_again() {
        let seconds = |free: u64, files_free: u64| {
            let room = Room {
                total: 1 << 40,
                free,
                files: 1 << 20,
                files_free,
            };
            decide_next_look(&room).as_secs()
        };
        assert_eq!(seconds(1 << 40, 1 << 20), 52);
        assert_eq!(seconds(1 << 40, 200_000), 10);
        assert_eq!(seconds(2_000_000_000, 1 << 20), 10);
        assert_eq!(seconds(0, 1 << 20), 2);
        let unlimited = Room {
            total: 1 << 40,
            free: 1 << 40,
            ..Room::default()
        };
        assert_eq!(decide_next_look(&unlimited).as_secs(), 60);
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
