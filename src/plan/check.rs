//! What the exit status of a file system's check means: fsck(8), e2fsck(8), fsck.f2fs(8).

/// What is known after a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// No errors.
    Clean,
    /// Errors, all corrected.
    Repaired,
    /// Errors that it left, or it could not run: the reason.
    Failed(String),
    /// There was nothing to run: the reason.
    Skipped(String),
}

impl std::fmt::Display for Checked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Checked::Clean => f.write_str("clean"),
            Checked::Repaired => f.write_str("repaired"),
            Checked::Failed(why) => write!(f, "failed: {why}"),
            Checked::Skipped(why) => write!(f, "not checked: {why}"),
        }
    }
}

/// How a program of the image ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
    /// It was ended after so many seconds.
    TimedOut(u64),
}

const CORRECTED: i32 = 1;
/// "The system should be rebooted", of a file system in use; this one is not mounted yet.
const REBOOT: i32 = 2;
const UNCORRECTED: i32 = 4;

/// The meaning of an end of `fsck.TYPE -a`.
pub fn decide_checked(program: &str, ended: &Ended) -> Checked {
    match ended {
        Ended::Status(0) => Checked::Clean,
        Ended::Status(status) if status & !(CORRECTED | REBOOT) == 0 => Checked::Repaired,
        Ended::Status(status) if status & UNCORRECTED != 0 => Checked::Failed(format!(
            "{program} found errors that it does not correct unasked"
        )),
        Ended::Status(status) => Checked::Failed(format!("{program} ended with status {status}")),
        Ended::Signal(signal) => Checked::Failed(format!("{program} was ended by signal {signal}")),
        // A large disk is not a damaged one.
        Ended::TimedOut(seconds) => {
            Checked::Skipped(format!("{program} was not done after {seconds} s"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_of_fscks_status_are_told_apart() {
        let status = |n| decide_checked("fsck.ext4", &Ended::Status(n));
        assert_eq!(status(0), Checked::Clean);
        for corrected in [1, 2, 3] {
            assert_eq!(status(corrected), Checked::Repaired, "{corrected}");
        }
        for left in [4, 5, 8, 12, 16, 32, 128] {
            assert!(matches!(status(left), Checked::Failed(_)), "{left}");
        }
        let slow = decide_checked("fsck.ext4", &Ended::TimedOut(90));
        assert_eq!(
            slow.to_string(),
            "not checked: fsck.ext4 was not done after 90 s"
        );
    }
}
