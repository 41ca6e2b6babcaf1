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
    /// Ours to find.
    Ours(Awaited),
}

/// What dracut's initqueue may have to make before we look. Paths are free of what a shell would
/// take for more inside of single quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Nothing, or what has no plain name.
    Nothing,
    /// Nothing: the kernel makes this node.
    Kernels(String),
    /// A node that the kernel does not name so: only a job of the queue, or a rule, makes it.
    Node(String),
    /// A link of udev, to a device of any kind.
    Link(String),
}

/// Reads `root=`, the last one, and `rd.live.image`. `bare_urls`: livenet takes `root=http://`
/// without `live:` in front, as since dracut 110.
pub fn decide_claim(said: &[Said], bare_urls: bool) -> Claim {
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
    let is_net =
        |place: &[u8]| place.starts_with(b"nfs") || place.windows(3).any(|part| part == b"://");
    let place = match root.strip_prefix(b"live:") {
        Some(place) if is_net(place) => return Claim::Fetched,
        Some(place) => place,
        None if is_web && bare_urls => return Claim::Fetched,
        // dracut's nfs mounts that root itself, with `rd.live.image` too (its test 60).
        None if !live || is_net(root) || root == b"/dev/nfs" => return Claim::Foreign,
        None => root,
    };
    match DeviceSpec::parse(place) {
        Some(spec) => Claim::Ours(decide_awaited(&spec)),
        // With `live:` it is meant for us, and the page says what is wrong with it.
        None if root.starts_with(b"live:") || place.starts_with(b"/") => {
            Claim::Ours(Awaited::Nothing)
        }
        None => Claim::Foreign,
    }
}

fn decide_awaited(spec: &DeviceSpec) -> Awaited {
    let link =
        |kind: &str, name: &[u8]| Awaited::Link(format!("/dev/disk/by-{kind}/{}", encode(name)));
    match spec {
        DeviceSpec::Label(label) => link("label", &label.0),
        DeviceSpec::PartLabel(label) => link("partlabel", &label.0),
        DeviceSpec::Uuid(uuid) => link("uuid", uuid.as_bytes()),
        DeviceSpec::PartUuid(uuid) => link("partuuid", uuid.as_bytes()),
        DeviceSpec::Node(node) if is_kernels(node) => Awaited::Kernels(format!("/dev/{node}")),
        DeviceSpec::Node(node) if !is_plain(node) => Awaited::Nothing,
        DeviceSpec::Node(node) if node.starts_with("disk/") => {
            Awaited::Link(format!("/dev/{node}"))
        }
        DeviceSpec::Node(node) => Awaited::Node(format!("/dev/{node}")),
        DeviceSpec::Path(_) => Awaited::Nothing,
    }
}

/// Whether the kernel itself makes a node of this name, so that the agent waits for it: those of
/// disks and partitions (`Documentation/admin-guide/devices.txt`), and udev's `cdrom`.
fn is_kernels(node: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let after = |kinds: &[&str], rest: &dyn Fn(&str) -> bool| {
        kinds
            .iter()
            .any(|kind| node.strip_prefix(kind).is_some_and(rest))
    };
    // `sda`, `sdaa12`.
    let lettered = |rest: &str| {
        let disk = rest.trim_end_matches(|c: char| c.is_ascii_digit());
        !disk.is_empty() && disk.bytes().all(|b| b.is_ascii_lowercase())
    };
    // `loop0`, `nvme0n1p2`, `mmcblk0boot1`, `pmem0.1s`: numbers with letters and dots between.
    let numbered = |rest: &str| {
        rest.starts_with(|c: char| c.is_ascii_digit())
            && rest
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'z' | b'.'))
    };
    after(&["sd", "hd", "vd", "xvd", "ub", "dasd"], &lettered)
        || after(&["nvme", "mmcblk", "pmem", "loop"], &numbered)
        || after(&["sr", "scd"], &digits)
        || node == "cdrom"
}

/// As udev writes a label into the name of a link (systemd's `encode_devnode_name`).
fn encode(name: &[u8]) -> String {
    let mut text = String::new();
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\0'..='\x7f' if !c.is_ascii_alphanumeric() && !"#+-.:=@_".contains(c) => {
                    text += &format!("\\x{:02x}", u32::from(c));
                }
                _ => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            text += &format!("\\x{byte:02x}");
        }
    }
    text
}

/// Whether a shell takes it for what it is, with quotes and without.
pub fn is_plain(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"/-_.+:@=,".contains(&b))
        && !text.split('/').any(|part| part == "..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::said::split;

    fn claim(line: &str) -> Claim {
        decide_claim(&split(line.as_bytes()), true)
    }

    fn node(path: &str) -> Claim {
        Claim::Ours(Awaited::Node(path.to_owned()))
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
            assert!(matches!(claim(root), Claim::Ours(_)), "{root}");
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
            "root=nfs:server:/x rd.live.image",
            // dracut's test 60.
            "root=nfs4:10.0.2.2:/x rd.live.image rd.overlay",
            "root=/dev/nfs rd.live.image",
            "root=ftp://s/x rd.live.image",
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
        ] {
            assert_eq!(claim(root), Claim::Fetched, "{root}");
        }
        // livenet before 110 leaves it, and nobody would come.
        for root in ["root=https://s/x", "root=http://s/x rd.live.image"] {
            let said = split(root.as_bytes());
            assert_eq!(decide_claim(&said, false), Claim::Foreign, "{root}");
        }
    }

    #[test]
    fn nodes_that_dracuts_jobs_make_are_waited_for_in_its_queue() {
        for path in [
            "/dev/ventoy",
            "/dev/mapper/vg-live",
            "/dev/vg/live",
            "/dev/md127",
            // Volume groups whose names begin as those of disks do.
            "/dev/ubuntu-vg/x",
            "/dev/sdata/live",
            "/dev/hdd-vg/x",
            "/dev/sd-live",
            "/dev/srv",
        ] {
            assert_eq!(claim(&format!("root=live:{path}")), node(path), "{path}");
        }
        for path in ["/dev/x;reboot", "/dev/../etc/x", "/dev/a$b"] {
            let found = claim(&format!("root=live:{path}"));
            assert_eq!(found, Claim::Ours(Awaited::Nothing), "{path}");
        }
        for path in [
            "/dev/sda",
            "/dev/xvdab12",
            "/dev/sr0",
            "/dev/nvme0n1p2",
            "/dev/mmcblk0p1",
            "/dev/loop0",
            "/dev/cdrom",
        ] {
            let found = claim(&format!("root=live:{path}"));
            let want = Claim::Ours(Awaited::Kernels(path.to_owned()));
            assert_eq!(found, want, "{path}");
        }
    }

    #[test]
    fn links_are_named_as_udev_names_them() {
        for (root, link) in [
            ("live:LABEL=A#b", "by-label/A#b"),
            ("live:CDLABEL='$(x)/", r"by-label/\x27\x24\x28x\x29\x2f"),
            (r"live:LABEL=A\x20b", r"by-label/A\x20b"),
            ("live:LABEL=\u{fc}", "by-label/\u{fc}"),
            ("live:UUID=2026-01", "by-uuid/2026-01"),
            ("live:/dev/disk/by-id/usb-x", "by-id/usb-x"),
        ] {
            let want = Claim::Ours(Awaited::Link(format!("/dev/disk/{link}")));
            assert_eq!(claim(&format!("root={root}")), want, "{root}");
        }
    }
}
