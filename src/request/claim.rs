//! Whether `root=` is a live root, and who brings it: the one rule of the module of dracut, for
//! its hook at `cmdline` and for its generator.
//!
//! The forms are those of dracut's parse-dmsquash-live.sh and parse-livenet.sh (059 to 112).

use super::DeviceSpec;
use super::said::Said;
use super::words;

/// Whose a root is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// No live root.
    Foreign,
    /// A URL: dracut's livenet fetches it, and calls /sbin/dmsquash-live-root with the file.
    Fetched,
    /// Ours to find. The node, when only a job of dracut's initqueue may make it.
    Ours(Option<String>),
}

/// Names that the kernel gives to disks and partitions (`Documentation/admin-guide/devices.txt`),
/// and udev's links to such: the agent waits for these itself.
const SELF_MADE: [&str; 14] = [
    "sd", "hd", "vd", "xvd", "sr", "scd", "nvme", "mmcblk", "pmem", "ub", "dasd", "loop", "cdrom",
    "disk/",
];

/// Reads `root=`, the last one, and `rd.live.image`.
pub fn decide_claim(said: &[Said]) -> Claim {
    let last = |name: &str| {
        said.iter()
            .rfind(|w| words::find(&w.key).is_some_and(|entry| entry.name == name))
    };
    let Some(root) = last("root").and_then(|w| w.value.as_deref()) else {
        return Claim::Foreign;
    };
    // dracut's getargbool: false only for these.
    let live = last("rd.live.image")
        .is_some_and(|w| !matches!(w.value.as_deref(), Some(b"0" | b"no" | b"off")));
    let is_web = root.starts_with(b"http://") || root.starts_with(b"https://");
    let place = match root.strip_prefix(b"live:") {
        Some(place) => place,
        None if is_web => return Claim::Fetched,
        None if live => root,
        None => return Claim::Foreign,
    };
    if place.starts_with(b"nfs") || place.windows(3).any(|part| part == b"://") {
        return Claim::Fetched;
    }
    match DeviceSpec::parse(place) {
        Some(DeviceSpec::Node(node)) if !SELF_MADE.iter().any(|kind| node.starts_with(kind)) => {
            Claim::Ours(Some(format!("/dev/{node}")).filter(|path| is_plain(path)))
        }
        Some(_) => Claim::Ours(None),
        // With `live:` it is meant for us, and the page says what is wrong with it.
        None if root.starts_with(b"live:") || place.starts_with(b"/") => Claim::Ours(None),
        None => Claim::Foreign,
    }
}

/// Whether a shell takes it for what it is.
fn is_plain(path: &str) -> bool {
    path.bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"/-_.+:@".contains(&b))
        && !path.split('/').any(|part| part == "..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::said::split;

    fn claim(line: &str) -> Claim {
        decide_claim(&split(line.as_bytes()))
    }

    #[test]
    fn live_roots_are_ours_in_both_spellings() {
        for root in [
            "root=live:LABEL=X",
            "root=live:CDLABEL=a",
            "root=LABEL=X rd.live.image",
            "root=/dev/sda1 liveimg",
            "root=live:/dev/disk/by-id/usb-x",
            "root=live:/run/x.iso",
            "root=/x.img rd.live.image",
            "root=live:nonsense",
            "root=live:",
            "root=/dev/sda2 root=live:UUID=1",
        ] {
            assert_eq!(claim(root), Claim::Ours(None), "{root}");
        }
    }

    #[test]
    fn other_roots_are_not() {
        for root in [
            "",
            "root=LABEL=X",
            "root=LABEL=X rd.live.image=0",
            "root=/dev/sda2",
            "root=live:LABEL=X root=/dev/sda2",
            "root=anaconda-disk:x rd.live.image",
            "root=nfs:server:/x",
            "rd.live.image",
        ] {
            assert_eq!(claim(root), Claim::Foreign, "{root}");
        }
    }

    #[test]
    fn what_is_fetched_is_livenets() {
        for root in [
            "root=live:http://10.0.2.2/x.iso",
            "root=live:nfs:server:/x",
            "root=live:tftp://s/x",
            "root=https://s/x",
            "root=ftp://s/x rd.live.image",
        ] {
            assert_eq!(claim(root), Claim::Fetched, "{root}");
        }
    }

    #[test]
    fn nodes_that_dracuts_jobs_make_are_waited_for_in_its_queue() {
        for node in [
            "/dev/ventoy",
            "/dev/mapper/vg-live",
            "/dev/vg/live",
            "/dev/md127",
        ] {
            let line = format!("root=live:{node}");
            assert_eq!(claim(&line), Claim::Ours(Some(node.to_owned())), "{node}");
        }
        for node in ["/dev/x;reboot", "/dev/../etc/x", "/dev/a$b"] {
            assert_eq!(
                claim(&format!("root=live:{node}")),
                Claim::Ours(None),
                "{node}"
            );
        }
    }
}
