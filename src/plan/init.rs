//! What is executed at the end.

/// Where the kernel itself looks for an init (`init/main.c`).
pub const USUAL_INITS: [&str; 4] = ["/sbin/init", "/etc/init", "/bin/init", "/bin/sh"];

/// The places to try, in order: `init=` alone when it was said.
pub fn decide_inits(said: Option<&str>) -> Vec<String> {
    match said {
        Some(path) => vec![path.to_owned()],
        None => USUAL_INITS.iter().map(|p| (*p).to_owned()).collect(),
    }
}

/// Whether the init, by the path that its links lead to, is systemd: then it is told when
/// the initramfs stage began. In doubt it is not.
pub fn is_systemd(resolved: &str) -> bool {
    matches!(
        resolved.trim_start_matches('/'),
        "usr/lib/systemd/systemd" | "lib/systemd/systemd"
    )
}

/// systemd's serialised state with the initrd time stamp alone, microseconds of wall clock
/// and of CLOCK_MONOTONIC (`src/core/manager-serialize.c`); the empty line ends the
/// manager's own part.
pub fn systemd_state(wall_us: u128, monotonic_us: u128) -> String {
    format!("initrd-timestamp={wall_us} {monotonic_us}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_systemd_itself_is_taken_for_systemd() {
        assert!(is_systemd("/usr/lib/systemd/systemd") && is_systemd("/lib/systemd/systemd"));
        for other in [
            "/bin/busybox",
            "/sbin/marker-init",
            "/usr/lib/systemd/systemd-executor",
            "",
        ] {
            assert!(!is_systemd(other));
        }
    }

    #[test]
    fn init_alone_is_tried_when_it_was_said() {
        assert_eq!(decide_inits(Some("/x")), ["/x"]);
        assert_eq!(decide_inits(None).len(), 4);
    }
}
