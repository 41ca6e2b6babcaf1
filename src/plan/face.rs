//! Which face the agent shows.

/// What the program was called to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// PID 1 of an initramfs.
    Init,
    /// `--help`.
    Help,
    /// `--version`.
    Version,
    /// Anything else: wrong use, said so.
    Misuse,
}

/// A pure function of pid and arguments (without the program's name). The kernel hands its
/// unknown words to PID 1 as arguments, so they say nothing there.
pub fn decide_face(first_process: bool, arguments: &[String]) -> Face {
    if first_process {
        return Face::Init;
    }
    match arguments.first().map(String::as_str) {
        Some("--help" | "-h") => Face::Help,
        Some("--version" | "-V") => Face::Version,
        _ => Face::Misuse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pid_1_is_init_whatever_the_kernel_hands_on() {
        assert_eq!(decide_face(true, &["--help".to_owned()]), Face::Init);
        assert_eq!(decide_face(false, &["--help".to_owned()]), Face::Help);
        assert_eq!(decide_face(false, &["-V".to_owned()]), Face::Version);
        assert_eq!(decide_face(false, &[]), Face::Misuse);
    }
}
