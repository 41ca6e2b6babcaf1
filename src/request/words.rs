//! The one table of kernel words: parser, "did you mean", manual and tests read it.
//!
//! Meanings are dracut's (dracut.cmdline(7)) where a word is dracut's.

/// Whether this version does something for a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// Acted on.
    Acted,
    /// What it asks for is what this version always does, or the kernel's own doing.
    Idle,
    /// Of what is not used here; what happens instead is said, and this says it.
    Instead(&'static str),
}

/// What follows the `=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// dracut's boolean: bare is true; `0`, `no`, `off` are false; all else is true.
    Bool,
    /// Text of a form that the one-line text names.
    Text,
    /// A whole number of the unit that the one-line text names.
    Number,
}

/// Whose word it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// The kernel's or init's own.
    Kernel,
    /// dracut's.
    Dracut,
    /// Ours.
    Liveroot,
}

/// One word.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    /// Its spelling; `-` and `_` differ, as in dracut.
    pub name: &'static str,
    /// Older spellings of the same.
    pub aliases: &'static [&'static str],
    /// Whose it is.
    pub family: Family,
    /// Kind of value.
    pub value: Value,
    /// What holds without it.
    pub default: &'static str,
    /// Whether this version acts on it.
    pub support: Support,
    /// One line for people.
    pub text: &'static str,
}

const fn word(
    name: &'static str,
    family: Family,
    value: Value,
    default: &'static str,
    support: Support,
    text: &'static str,
) -> Word {
    Word {
        name,
        aliases: &[],
        family,
        value,
        default,
        support,
        text,
    }
}

impl Word {
    const fn also(mut self, aliases: &'static [&'static str]) -> Word {
        self.aliases = aliases;
        self
    }
}

use Family::{Dracut, Kernel, Liveroot};
use Support::{Acted, Idle, Instead};
use Value::{Bool, Number, Text};

/// Every word that is read; a line each, so that it reads as the table that it is.
#[rustfmt::skip]
pub const WORDS: &[Word] = &[
    word("root", Kernel, Text, "the label in image.json", Acted, "the medium: live:DEVICE, or DEVICE with rd.live.image; DEVICE is LABEL=, CDLABEL=, UUID=, PARTUUID=, PARTLABEL=, /dev/… or the path of a file in the initramfs that ends in .iso, .img, .squashfs, .sqfs or .erofs"),
    word("init", Kernel, Text, "/sbin/init, /etc/init, /bin/init, /bin/sh", Acted, "program of the image that becomes PID 1"),
    word("ro", Kernel, Bool, "ro", Acted, "mount the medium read-only (the root overlay is always writable)"),
    word("rw", Kernel, Bool, "ro", Acted, "as ro: a medium is never mounted writable; said in the report"),
    word("rootflags", Kernel, Text, "none", Instead("the overlay has its own mount options, as with dracut since 109"), "mount options of the root"),
    word("quiet", Kernel, Bool, "off", Idle, "only warnings on the console; the kernel's own log level does it"),
    word("modprobe.blacklist", Kernel, Text, "none", Acted, "modules, parted by commas, that are not loaded for a device").also(&["rd.driver.blacklist", "module_blacklist"]),
    word("rd.live.image", Dracut, Bool, "off", Acted, "root= names a live medium even without live: in front").also(&["liveimg"]),
    word("rd.live.dir", Dracut, Text, "LiveOS", Acted, "directory of the image on the medium").also(&["live_dir"]),
    word("rd.live.squashimg", Dracut, Text, "squashfs.img", Acted, "file name of the image in that directory: squashfs or erofs, with the root or LiveOS/rootfs.img in it, or ext4, xfs or btrfs; where it is not there, rootfs.img"),
    word("rd.live.overlay.size", Dracut, Number, "half of memory", Acted, "size of the tmpfs that takes the writes, MiB").also(&["overlay_size"]),
    word("rd.overlay", Dracut, Text, "a partition of our type, if there is one", Acted, "where writes go: DEVICE[:DIRECTORY|:auto] (LABEL=, UUID=, PARTUUID=, PARTLABEL=, /dev/…) keeps them, none or tmpfs:size=…,nr_inodes=…,nr_blocks=… does not").also(&["rd.live.overlay", "overlay"]),
    word("rd.shell", Dracut, Bool, "1", Acted, "0: power off rd.retry seconds after the start when no medium is found"),
    word("rd.retry", Dracut, Number, "180", Acted, "seconds until that power-off"),
    word("rd.timeout", Dracut, Number, "0 or infinity (no limit)", Acted, "seconds after which the failure page is shown at the latest; in dracut also the end of the search, there 0 and infinity leave rd.retry"),
    word("rd.live.ram", Dracut, Bool, "off", Acted, "copy the image to memory and release the medium").also(&["live_ram"]),
    word("rd.live.check", Dracut, Bool, "off", Acted, "read the whole medium first and compare it with the checksum that implantisomd5 left in it; Esc skips that").also(&["check"]),
    word("rd.live.overlay.overlayfs", Dracut, Bool, "on", Idle, "overlayfs is what is always used"),
    word("rd.live.overlay.readonly", Dracut, Bool, "off", Acted, "show the saved changes and leave them as they are; writes go to memory").also(&["rd.overlay.readonly", "readonly_overlay"]),
    word("rd.live.overlay.reset", Dracut, Bool, "off", Acted, "throw the saved changes away and begin anew, without a question").also(&["rd.overlay.reset", "reset_overlay"]),
    word("rd.live.overlay.thin", Dracut, Bool, "off", Instead("no device-mapper snapshot is made; writes go to an overlayfs, which takes back what is deleted"), "a thin device-mapper snapshot"),
    word("rd.live.overlay.cowfs", Dracut, Text, "ext4", Instead("liveroot makes no partition at boot; one that is there may be ext4, xfs, btrfs or f2fs"), "file system of a new overlay partition"),
    word("rd.overlay.crypt", Dracut, Text, "none", Instead("no device is formatted or unlocked at boot; writes go where rd.overlay says, else to memory"), "an encrypted overlay that is made at boot"),
    word("rd.live.overlay.nouserconfirmprompt", Dracut, Bool, "off", Acted, "do not ask when saved changes are missing; start without them"),
    word("rd.writable.fsimg", Dracut, Bool, "off", Acted, "copy the file system image inside (LiveOS/rootfs.img) to memory and release the medium; the root overlay stands in for dracut's device-mapper mapping").also(&["writable_fsimg"]),
    word("rd.minmem", Dracut, Number, "1024", Acted, "MiB of the machine's memory that an image copied there must leave; with less the medium is used"),
    word("rd.live.debug", Dracut, Bool, "off", Idle, "the agent's log; it is in the kernel's log with or without this word"),
    word("iso-scan/filename", Dracut, Text, "none", Acted, "an ISO file on any disk, as a path there, that holds the medium"),
    word("liveroot.overlay", Liveroot, Text, "on", Acted, "off: start without saved changes, writes go to memory; require: rather stop on a page than start without them"),
    word("liveroot.onchange", Liveroot, Text, "ask", Acted, "saved changes of another image: fresh puts them aside, keep uses them, ask asks for 10 seconds and then takes fresh"),
    word("liveroot.eject", Liveroot, Bool, "off", Acted, "eject the disc at the end"),
];

/// Prefixes of families that are ours to explain: an unknown word below one of them is
/// reported with its nearest match.
const FAMILIES: [&str; 5] = [
    "rd.live.",
    "rd.overlay",
    "liveroot.",
    "rd.writable.",
    "iso-scan/",
];

/// The entry of `key`, by its name or an older spelling.
pub fn find(key: &[u8]) -> Option<&'static Word> {
    let is = |name: &&str| name.as_bytes() == key;
    WORDS
        .iter()
        .find(|w| is(&w.name) || w.aliases.iter().any(is))
}

/// Whether `key`, unknown, looks like one of the words in the table: it is of a family of
/// ours, or a slip away from one of them that has a family.
pub fn nearest(key: &str) -> Option<(&'static str, bool)> {
    let in_family = FAMILIES.iter().any(|f| key.starts_with(f));
    let names = WORDS
        .iter()
        .flat_map(|w| std::iter::once(w.name).chain(w.aliases.iter().copied()));
    let best = names
        .filter(|name| name.contains('.') || FAMILIES.iter().any(|f| name.starts_with(f)))
        .map(|name| (distance(key, name), name))
        .min()?;
    let close = best.0 <= 2 || best.0 * 3 <= key.len();
    if in_family {
        Some((best.1, close))
    } else {
        // Foreign words are nobody's business unless they are nearly ours.
        (best.0 <= 2 && key.len() > 5).then_some((best.1, true))
    }
}

/// Edits (insert, delete, replace, swap neighbours) between two words.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let width = b.len() + 1;
    let mut rows = vec![0usize; (a.len() + 1) * width];
    for i in 0..=a.len() {
        for j in 0..width {
            let at = |i: usize, j: usize| rows[i * width + j];
            let cost = if i == 0 || j == 0 {
                i + j
            } else {
                let differs = usize::from(a[i - 1] != b[j - 1]);
                let mut least = (at(i - 1, j) + 1)
                    .min(at(i, j - 1) + 1)
                    .min(at(i - 1, j - 1) + differs);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(at(i - 2, j - 2) + 1);
                }
                least
            };
            rows[i * width + j] = cost;
        }
    }
    rows[a.len() * width + b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_spelling_stands_twice() {
        let mut seen = HashSet::new();
        for w in WORDS {
            assert!(seen.insert(w.name), "{}", w.name);
            assert!(w.aliases.iter().all(|a| seen.insert(a)), "{:?}", w.aliases);
            assert!(!w.text.is_empty() && !w.default.is_empty());
        }
    }

    #[test]
    fn every_word_that_is_acted_on_is_read_somewhere() {
        let readers = concat!(include_str!("meant.rs"), include_str!("upper.rs"));
        for w in WORDS.iter().filter(|w| w.support == Support::Acted) {
            let read = readers.contains(&format!("\"{}\"", w.name))
                || readers.contains(&format!("b\"{}\"", w.name));
            assert!(read, "{} is Acted, and meant.rs does not read it", w.name);
        }
    }

    #[test]
    fn a_misspelt_word_of_ours_finds_its_neighbour() {
        assert_eq!(
            nearest("rd.live.sqashimg"),
            Some(("rd.live.squashimg", true))
        );
        assert_eq!(
            nearest("rd.live.overlay.sise"),
            Some(("rd.live.overlay.size", true))
        );
        assert_eq!(nearest("rd.liev.image"), Some(("rd.live.image", true)));
        assert_eq!(nearest("rd.shel"), Some(("rd.shell", true)));
        assert_eq!(nearest("rd.retyr"), Some(("rd.retry", true)));
        assert_eq!(nearest("rd.timout"), Some(("rd.timeout", true)));
        assert_eq!(
            nearest("liveroot.overlya"),
            Some(("liveroot.overlay", true))
        );
    }

    #[test]
    fn foreign_words_are_left_alone() {
        for foreign in [
            "console",
            "splash",
            "systemd.unit",
            "rd.luks.uuid",
            "rd.break",
            "rd.debug",
            "rd.info",
            "rd.emergency",
            "net.ifnames",
            "a",
        ] {
            assert_eq!(nearest(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn an_older_spelling_finds_the_same_word() {
        assert_eq!(find(b"live_dir").unwrap().name, "rd.live.dir");
        assert!(find(b"rd.live.Dir").is_none());
    }
}
