//! From what was said to what is meant.

use super::said::Said;
use super::upper::read_upper;
use super::words::{self, Support};
use super::{Copy, DeviceSpec, Host, Place, Request};
use crate::layout;
use crate::units::Bytes;
use std::time::Duration;

/// Reads the words into a request. Never fails: what can't be followed is a notice, and
/// what makes the boot impossible is [`Request::refusal`].
pub fn decide_request(said: &[Said]) -> Request {
    let mut request = decide_request_with_udev(said);
    if let Some(DeviceSpec::Node(link)) = request.medium.take_if(|spec| is_udevs(spec)) {
        request.refusal = Some(format!(
            "root= with /dev/{link}: udev makes this link, and there is no udev here: \
             use LABEL=, UUID=, PARTUUID= or the kernel's own name (/dev/sda1)"
        ));
    }
    if let Place::Named(spec, _) = &request.upper.place
        && is_udevs(spec)
    {
        request.upper.place = Place::Refused(format!(
            "rd.overlay={spec}: udev makes this link, and there is no udev here: use LABEL=, \
             UUID=, PARTUUID= or the kernel's own name (/dev/sda3)"
        ));
    }
    request
}

/// A link of udev's, of those that its database alone knows.
fn is_udevs(spec: &DeviceSpec) -> bool {
    matches!(spec, DeviceSpec::Node(link) if link.starts_with("disk/by-") || link == "cdrom")
}

/// The same where udev makes its links.
pub fn decide_request_with_udev(said: &[Said]) -> Request {
    let mut notices = Vec::new();
    let words = Words(said);
    let (misspelt, replaced) = read_strangers(said, &mut notices);

    let live = words.is_on("rd.live.image", false);
    let (medium, refusal) = match words.last("root") {
        None => (None, None),
        Some(word) => read_root(word, live),
    };
    let request = Request {
        medium,
        live_dir: read_path(&words, "rd.live.dir", layout::LIVE_DIR, &mut notices),
        squashimg: read_path(
            &words,
            "rd.live.squashimg",
            layout::SQUASHFS_IMG,
            &mut notices,
        ),
        iso: read_iso(&words, &mut notices),
        copy: read_copy(&words),
        min_memory: read_min_memory(&words, &mut notices),
        check: words.is_on("rd.live.check", false),
        upper: read_upper(&words, &mut notices),
        eject: words.is_on("liveroot.eject", false),
        init: words.text("init").filter(|t| !t.is_empty()),
        shell: words.is_on("rd.shell", true),
        retry: read_seconds(&words, "rd.retry", &mut notices).unwrap_or(Duration::from_secs(180)),
        timeout: read_seconds(&words, "rd.timeout", &mut notices).filter(|t| !t.is_zero()),
        blacklist: words
            .all("modprobe.blacklist")
            .flat_map(|w| {
                w.text()
                    .split(',')
                    .map(|n| n.replace('-', "_"))
                    .collect::<Vec<_>>()
            })
            .filter(|n| !n.is_empty())
            .collect(),
        misspelt,
        replaced,
        notices: Vec::new(),
        refusal,
        host: Host::Own,
    };
    if words.mode_is_rw() {
        notices.push("rw: the medium stays read-only; the root overlay is writable anyway".into());
    }
    Request { notices, ..request }
}

/// The words, asked by the name in the table.
pub(super) struct Words<'a>(&'a [Said]);

impl<'a> Words<'a> {
    /// Every occurrence, in any spelling of the word.
    pub(super) fn all(&self, name: &'static str) -> impl Iterator<Item = &'a Said> {
        self.0
            .iter()
            .filter(move |w| words::find(&w.key).is_some_and(|entry| entry.name == name))
    }

    /// The last one counts, as in dracut's getarg.
    fn last(&self, name: &'static str) -> Option<&'a Said> {
        self.all(name).last()
    }

    pub(super) fn text(&self, name: &'static str) -> Option<String> {
        self.last(name)
            .filter(|w| w.value.is_some())
            .map(Said::text)
    }

    /// dracut's getargbool: false only for the values `0`, `no`, `off`.
    pub(super) fn is_on(&self, name: &'static str, default: bool) -> bool {
        match self.last(name) {
            None => default,
            Some(word) => !matches!(word.value.as_deref(), Some(b"0" | b"no" | b"off")),
        }
    }

    /// The last of the bare words `ro` and `rw` counts.
    fn mode_is_rw(&self) -> bool {
        let last = self
            .0
            .iter()
            .rfind(|w| w.value.is_none() && (w.key == b"ro" || w.key == b"rw"));
        last.is_some_and(|w| w.key == b"rw")
    }
}

/// Misspelt words of ours with their nearest match; those of what is not used here; and, into
/// `notices`, strangers of our families.
fn read_strangers(said: &[Said], notices: &mut Vec<String>) -> (Vec<String>, Vec<String>) {
    let (mut misspelt, mut replaced) = (Vec::new(), Vec::new());
    for word in said {
        let key = String::from_utf8_lossy(&word.key);
        match words::find(&word.key) {
            Some(entry) => {
                if let Support::Instead(what) = entry.support {
                    replaced.push(format!("{key}: not used here: {what}"));
                }
            }
            None => match words::nearest(&key) {
                Some((name, true)) => misspelt.push(format!(
                    "{key}: unknown word, ignored; did you mean {name}?"
                )),
                Some((_, false)) => notices.push(format!("{key}: unknown word, ignored")),
                None => {}
            },
        }
    }
    (misspelt, replaced)
}

/// `root=`: with `live:` in front, or without it when `rd.live.image` is there.
fn read_root(word: &Said, live: bool) -> (Option<DeviceSpec>, Option<String>) {
    let value = word.value.as_deref().unwrap_or_default();
    let shown = String::from_utf8_lossy(value);
    let Some(device) = value.strip_prefix(b"live:").or(live.then_some(value)) else {
        let why =
            format!("root={shown} is no live medium: write root=live:…, or add rd.live.image");
        return (None, Some(why));
    };
    let spec = DeviceSpec::parse_file(device).or_else(|| DeviceSpec::parse(device));
    match spec {
        Some(spec) => (Some(spec), None),
        None if device.is_empty() => (None, Some("root= names no device".to_owned())),
        None => {
            let why = format!(
                "root={shown}: not a form that is known here (LABEL=, CDLABEL=, UUID=, PARTUUID=, PARTLABEL=, /dev/…, a file of the initramfs that ends in .iso, .img, .squashfs, .sqfs or .erofs)"
            );
            (None, Some(why))
        }
    }
}

/// A relative path on the medium, without slashes around; `..` is refused.
fn read_path(
    words: &Words<'_>,
    name: &'static str,
    default: &str,
    notices: &mut Vec<String>,
) -> String {
    let Some(text) = words.text(name) else {
        return default.to_owned();
    };
    let path = text.trim_matches('/');
    if path.split('/').any(|part| part == "..") {
        let instead = match default {
            "" => "ignored".to_owned(),
            default => format!("{default} is used"),
        };
        notices.push(format!("{name}={text}: `..` is not followed; {instead}"));
        return default.to_owned();
    }
    // `rd.live.dir=/` is the root of the medium; a file needs a name.
    if path.is_empty() && name == "rd.live.squashimg" {
        return default.to_owned();
    }
    path.to_owned()
}

/// `iso-scan/filename=`: dracut joins it to the root of each disk, with or without a slash.
fn read_iso(words: &Words<'_>, notices: &mut Vec<String>) -> Option<String> {
    let path = read_path(words, "iso-scan/filename", "", notices);
    (!path.is_empty()).then_some(path)
}

/// With both words the inner image is what is copied: the outer one is not read any more.
fn read_copy(words: &Words<'_>) -> Copy {
    match words.is_on("rd.writable.fsimg", false) {
        true => Copy::Inner,
        false if words.is_on("rd.live.ram", false) => Copy::Image,
        false => Copy::Nothing,
    }
}

/// dracut's default of `rd.minmem`.
const MIN_MEMORY: Bytes = Bytes::mib(1024);

fn read_min_memory(words: &Words<'_>, notices: &mut Vec<String>) -> Bytes {
    let Some(text) = words.text("rd.minmem") else {
        return MIN_MEMORY;
    };
    match text.parse::<u32>() {
        Ok(n) => Bytes::mib(n.into()),
        Err(_) => {
            notices.push(format!("rd.minmem={text}: not a number of MiB, ignored"));
            MIN_MEMORY
        }
    }
}

fn read_seconds(
    words: &Words<'_>,
    name: &'static str,
    notices: &mut Vec<String>,
) -> Option<Duration> {
    let text = words.text(name)?;
    match text.parse::<u32>() {
        // dracut's spelling of no limit since 110.
        _ if name == "rd.timeout" && text == "infinity" => Some(Duration::ZERO),
        Ok(n) => Some(Duration::from_secs(n.into())),
        Err(_) => {
            notices.push(format!("{name}={text}: not a number of seconds, ignored"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::TmpfsSize;
    use crate::request::said::split;
    use crate::request::upper::{Directory, OnChange};
    use crate::units::Label;

    fn request(line: &str) -> Request {
        decide_request(&split(line.as_bytes()))
    }

    fn label(text: &str) -> Option<DeviceSpec> {
        Some(DeviceSpec::Label(Label::new(text)))
    }

    #[test]
    fn dracut_is_kept_waiting_for_no_longer_than_its_words_say() {
        let seconds = Duration::from_secs;
        let ends = |line, now| request(line).in_dracut(seconds(now), None).ends_at();
        let after = |line, now, since| {
            let request = request(line).in_dracut(seconds(now), Some(seconds(since)));
            request.ends_at()
        };
        assert_eq!(after("rd.retry=180", 30, 5), Some(seconds(185)));
        assert_eq!(after("rd.retry=180", 200, 5), Some(seconds(210)));
        assert_eq!(after("rd.retry=3", 200, 5), Some(seconds(203)));
        assert_eq!(ends("", 9), Some(Duration::from_secs(189)));
        assert_eq!(ends("rd.retry=20", 9), Some(Duration::from_secs(29)));
        assert_eq!(
            ends("rd.retry=20 rd.timeout=5", 9),
            Some(Duration::from_secs(14))
        );
        assert_eq!(
            ends("rd.timeout=0 rd.retry=1", 0),
            Some(Duration::from_secs(1))
        );
        assert_eq!(request("rd.retry=20").ends_at(), None);
        assert!(request("rd.retry=20 rd.shell=0").ends_at().is_some());
    }

    #[test]
    fn root_is_read_with_and_without_live() {
        assert_eq!(request("root=live:LABEL=X").medium, label("X"));
        assert_eq!(request("root=LABEL=X rd.live.image").medium, label("X"));
        assert_eq!(
            request("\"root=live:CDLABEL=A B\" quiet").medium,
            label("A B")
        );
        let file = Some(DeviceSpec::Path("/a.img".into()));
        assert_eq!(request("root=live:/a.img").medium, file);
        assert_eq!(request("root=/a.img rd.live.image").medium, file);
        assert!(request("root=live:/a.tar").refusal.is_some());
        assert!(request("root=LABEL=X").refusal.is_some());
        assert!(request("root=live:http://x/y").refusal.is_some());
        assert!(request("root=").refusal.is_some());
        let by_id = request("root=live:/dev/disk/by-id/usb-x").refusal.unwrap();
        assert!(by_id.contains("there is no udev"), "{by_id}");
        let line = b"root=live:/dev/disk/by-id/usb-x rd.overlay=/dev/disk/by-id/y";
        assert!(matches!(
            decide_request(&split(line)).upper.place,
            Place::Refused(_)
        ));
        let in_dracut = decide_request_with_udev(&split(line));
        assert_eq!(in_dracut.refusal, None, "dracut has udev");
        assert_eq!(in_dracut.nodes(), ["disk/by-id/usb-x", "disk/by-id/y"]);
    }

    #[test]
    fn the_last_of_two_counts_in_either_spelling() {
        let r = request("rd.live.dir=a live_dir=/b/ rd.shell=0 rd.shell");
        assert_eq!(r.live_dir, "b");
        assert!(r.shell);
        assert!(!request("rd.shell rd.shell=off").shell);
        assert!(request("rd.shell=false").shell);
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let r = request("");
        assert_eq!(
            (r.live_dir.as_str(), r.squashimg.as_str()),
            ("LiveOS", "squashfs.img")
        );
        assert_eq!(r.retry, Duration::from_secs(180));
        assert_eq!(r.timeout, None);
        assert_eq!(r.upper.memory, TmpfsSize::default());
        assert_eq!(
            (r.upper.place, r.upper.on_change),
            (Place::Ours, OnChange::Ask)
        );
        assert!(r.upper.may_ask && !r.upper.required);
        assert!(r.shell && r.notices.is_empty() && r.refusal.is_none() && r.medium.is_none());
    }

    #[test]
    fn the_upper_takes_old_and_new_sizes() {
        let size = |line: &str| request(line).upper.memory.to_string();
        assert_eq!(size("rd.live.overlay.size=512"), "size=512m");
        assert_eq!(
            size("rd.overlay=tmpfs:size=1g,nr_inodes=5k"),
            "size=1g,nr_inodes=5k"
        );
        assert_eq!(size("rd.live.overlay.size=512 rd.overlay=1"), "size=512m");
        assert_eq!(size("rd.live.overlay.size=lots"), "size=50%");
        let both = "rd.live.overlay.size=512 rd.overlay=tmpfs:nr_inodes=5k";
        assert_eq!(size(both), "size=512m,nr_inodes=5k");
    }

    #[test]
    fn saved_changes_are_named_in_dracuts_forms() {
        let place = |line: &str| request(line).upper.place;
        let at = |directory| Place::Named(DeviceSpec::Label(Label::new("keep")), directory);
        assert_eq!(place("rd.live.overlay=LABEL=keep"), at(Directory::Auto));
        assert_eq!(place("rd.overlay=LABEL=keep:auto"), at(Directory::Auto));
        let given = at(Directory::Given("a/b".into()));
        assert_eq!(place("rd.overlay=LABEL=keep:/a/b"), given);
        assert_eq!(place("overlay=LABEL=keep:a/b/"), given);
        let node = DeviceSpec::Node("sdb1".into());
        assert_eq!(
            place("rd.overlay=/dev/sdb1"),
            Place::Named(node, Directory::Auto)
        );
        for off in [
            "rd.live.overlay=none",
            "rd.overlay=NONE",
            "rd.overlay=LABEL=keep liveroot.overlay=off",
            "rd.overlay=tmpfs",
        ] {
            assert_eq!(place(off), Place::Memory, "{off}");
        }
        assert_eq!(place("rd.overlay"), Place::Ours);
        assert_eq!(
            place("rd.live.overlay=LABEL=keep rd.overlay=1"),
            at(Directory::Auto)
        );
        for bad in [
            "rd.overlay=LABEL=keep:/a/../b",
            "rd.overlay=LABEL=keep:/",
            "rd.overlay=keep",
        ] {
            assert!(matches!(place(bad), Place::Refused(_)), "{bad}");
        }
    }

    #[test]
    fn the_modes_of_saved_changes_are_read() {
        let upper = |line: &str| request(line).upper;
        assert!(upper("rd.overlay.readonly").readonly && upper("readonly_overlay").readonly);
        assert!(upper("rd.live.overlay.reset").reset && !upper("rd.overlay.reset=0").reset);
        assert!(upper("liveroot.overlay=require").required);
        assert!(!upper("liveroot.overlay=require rd.overlay=none").required);
        assert!(!upper("rd.live.overlay.nouserconfirmprompt").may_ask);
        assert!(!upper("rd.shell=0").may_ask);
        assert_eq!(upper("liveroot.onchange=keep").on_change, OnChange::Keep);
        let odd = request("liveroot.onchange=maybe liveroot.overlay=perhaps");
        assert_eq!(odd.notices.len(), 2);
        assert!(request("liveroot.eject").eject);
    }

    #[test]
    fn misspelt_and_idle_words_are_reported_and_nothing_else() {
        let r = request(
            "rd.live.sqashimg=x rd.live.overlay.thin rd.live.zzzzzzzzzz console=ttyS0 foo=bar",
        );
        let all = [&r.misspelt, &r.replaced, &r.notices];
        assert!(all.iter().all(|said| said.len() == 1), "{all:?}");
        assert!(r.misspelt[0].contains("did you mean rd.live.squashimg"));
        assert!(r.replaced[0].contains("overlayfs"));
        assert!(r.notices[0].contains("unknown word"));
        let debug = request("rd.live.debug=1");
        assert!(
            [debug.misspelt, debug.replaced, debug.notices]
                .concat()
                .is_empty()
        );
    }

    #[test]
    fn a_check_can_be_switched_off_again() {
        assert!(request("rd.live.check").check && request("check=1").check);
        for off in [
            "",
            "rd.live.check=0",
            "rd.live.check rd.live.check=no",
            "check=off",
        ] {
            assert!(!request(off).check, "{off}");
        }
    }

    #[test]
    fn a_path_does_not_leave_the_medium() {
        let r = request("rd.live.dir=../../etc rd.live.squashimg=sub/x.img");
        assert_eq!(r.live_dir, "LiveOS");
        assert_eq!(r.squashimg, "sub/x.img");
        assert_eq!(request("rd.live.dir=/").live_dir, "");
    }

    #[test]
    fn the_iso_file_is_below_the_root_of_its_disk_with_or_without_a_slash() {
        let iso = |line: &str| request(line).iso;
        assert_eq!(iso("iso-scan/filename=/a/b.iso"), Some("a/b.iso".into()));
        assert_eq!(iso("iso-scan/filename=linux.iso"), Some("linux.iso".into()));
        assert_eq!(
            iso("iso-scan/filename=a.iso iso-scan/filename=b.iso"),
            Some("b.iso".into())
        );
        for none in ["", "iso-scan/filename", "iso-scan/filename=/"] {
            assert_eq!(iso(none), None, "{none}");
        }
        let outside = request("iso-scan/filename=../b.iso");
        assert_eq!((outside.iso, outside.notices.len()), (None, 1));
    }

    #[test]
    fn what_is_copied_to_memory_is_the_image_or_what_is_inside() {
        let copy = |line: &str| request(line).copy;
        assert_eq!(copy(""), Copy::Nothing);
        assert_eq!(copy("rd.live.ram=0"), Copy::Nothing);
        assert_eq!(copy("rd.live.ram"), Copy::Image);
        assert_eq!(copy("live_ram=1"), Copy::Image);
        assert_eq!(copy("rd.writable.fsimg"), Copy::Inner);
        assert_eq!(copy("rd.live.ram writable_fsimg=1"), Copy::Inner);
        let least = |line: &str| request(line).min_memory;
        assert_eq!(least(""), Bytes::mib(1024));
        assert_eq!(least("rd.minmem=64"), Bytes::mib(64));
        let odd = request("rd.minmem=much");
        assert_eq!((odd.min_memory, odd.notices.len()), (Bytes::mib(1024), 1));
    }

    #[test]
    fn numbers_that_are_none_are_ignored_aloud() {
        assert_eq!(request("rd.timeout=5 rd.timeout=infinity").timeout, None);
        let r = request("rd.retry=soon rd.timeout=0");
        assert_eq!((r.retry, r.timeout), (Duration::from_secs(180), None));
        assert_eq!(r.notices.len(), 1);
    }
}
