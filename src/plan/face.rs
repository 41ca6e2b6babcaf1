//! Which face the agent shows.

/// What the program was called to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// PID 1 of an initramfs.
    Init,
    /// A step of dracut's initramfs.
    Dracut,
    /// Says whether `root=` is a live root, for a hook of dracut's.
    Claim,
    /// A generator of systemd's in dracut's initramfs.
    Generator,
    /// Takes the stack apart and ends the machine.
    Shutdown,
    /// Warns when what takes the writes fills.
    Watch,
    /// `liveroot status` and its like, where the image has no `liveroot` of its own.
    Command,
    /// `--help`.
    Help,
    /// `--version`.
    Version,
    /// Anything else: wrong use, said so.
    Misuse,
}

/// A pure function of pid, the name it was called by, and its arguments; with the arguments
/// that are left for that face. The kernel hands its unknown words to PID 1 as arguments,
/// so they say nothing there; systemd-shutdown(8) executes PID 1 anew as `/shutdown`.
pub fn decide_face<'a>(
    first_process: bool,
    program: &str,
    arguments: &'a [String],
) -> (Face, &'a [String]) {
    let name = program.rsplit('/').next().unwrap_or_default();
    if first_process {
        let face = if name == "shutdown" {
            Face::Shutdown
        } else {
            Face::Init
        };
        return (face, arguments);
    }
    let (first, rest) = match arguments.split_first() {
        Some((first, rest)) => (first.as_str(), rest),
        None => ("", arguments),
    };
    match (name, first) {
        ("liveroot", _) => (Face::Command, arguments),
        (_, "--help" | "-h") => (Face::Help, rest),
        (_, "--version" | "-V") => (Face::Version, rest),
        ("shutdown", _) => (Face::Shutdown, arguments),
        (_, "shutdown") => (Face::Shutdown, rest),
        (_, "dracut") => (Face::Dracut, rest),
        (_, "claim") => (Face::Claim, rest),
        (_, "generator") => (Face::Generator, rest),
        (_, "watch") => (Face::Watch, rest),
        (_, "status" | "sessions") => (Face::Command, arguments),
        _ => (Face::Misuse, rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(first: bool, program: &str, words: &[&str]) -> (Face, Vec<String>) {
        let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        let (face, rest) = decide_face(first, program, &words);
        (face, rest.to_vec())
    }

    #[test]
    fn pid_1_is_init_whatever_the_kernel_hands_on() {
        for word in ["--help", "shutdown", "watch"] {
            assert_eq!(face(true, "/init", &[word]).0, Face::Init);
        }
        assert_eq!(face(false, "liveroot-init", &["--help"]).0, Face::Help);
        assert_eq!(face(false, "liveroot-init", &["-V"]).0, Face::Version);
        assert_eq!(face(false, "liveroot-init", &[]).0, Face::Misuse);
    }

    #[test]
    fn systemd_executes_pid_1_anew_as_shutdown() {
        let (found, rest) = face(true, "/shutdown", &["reboot", "--timeout", "90s"]);
        assert_eq!((found, rest[0].as_str()), (Face::Shutdown, "reboot"));
    }

    #[test]
    fn the_name_or_the_first_word_chooses() {
        let halt = vec!["halt".to_owned()];
        let path = "/run/initramfs/shutdown";
        assert_eq!(face(false, path, &["halt"]), (Face::Shutdown, halt.clone()));
        assert_eq!(
            face(false, "x", &["shutdown", "halt"]),
            (Face::Shutdown, halt)
        );
        assert_eq!(face(false, path, &["--help"]).0, Face::Help);
        assert_eq!(face(false, "x", &["watch"]), (Face::Watch, vec![]));
        assert_eq!(
            face(false, "/run/liveroot/bin/liveroot", &[]).0,
            Face::Command
        );
        assert_eq!(face(false, "x", &["dracut"]), (Face::Dracut, vec![]));
        let given = face(false, "x", &["dracut", "/tmp/a.img"]);
        assert_eq!(given, (Face::Dracut, vec!["/tmp/a.img".to_owned()]));
        assert_eq!(face(false, "x", &["claim"]).0, Face::Claim);
        let dirs = ["generator", "/n", "/e", "/l"];
        assert_eq!(face(false, "x", &dirs).1, ["/n", "/e", "/l"]);
        assert_eq!(face(true, "/init", &["dracut"]).0, Face::Init);
        assert_eq!(face(false, "x", &["status"]).0, Face::Command);
    }
}
