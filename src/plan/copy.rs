//! An image that is copied to memory: whether it may be, where the copy lies, and what people
//! see of it.

use crate::request::Copy;
use crate::units::Bytes;

/// The machine's memory, as /proc/meminfo has it, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// MemTotal: all that the kernel manages.
    pub total: u64,
    /// MemAvailable: what can be had without swap.
    pub available: u64,
}

/// Reads /proc/meminfo, proc(5); what it does not say is 0.
pub fn parse_memory(text: &str) -> Memory {
    let kib = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        let digits = line.and_then(|rest| rest.split_whitespace().next());
        digits.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
    };
    let bytes = |key: &str| kib(key).saturating_mul(1024);
    Memory {
        total: bytes("MemTotal:"),
        available: bytes("MemAvailable:"),
    }
}

/// What must be left of available memory besides the copy: the live system's init has to
/// start before it can make room for itself.
const RESERVE: u64 = 64 << 20;

/// Whether an image of `size` bytes may be copied: dracut's rule, that the machine's memory less
/// the image is no less than `rd.minmem`, and that it fits into what is available now. If not,
/// what is short, as people read it.
pub fn decide_copy(size: u64, memory: Memory, least: Bytes) -> Result<(), String> {
    let needed = size.saturating_add(least.0);
    if memory.total < needed {
        return Err(format!(
            "this machine has {} of memory; the image takes {}, and rd.minmem={} MiB must stay: {} \
             are short",
            Bytes(memory.total),
            Bytes(size),
            least.0 >> 20,
            Bytes(needed - memory.total)
        ));
    }
    let needed = size.saturating_add(RESERVE);
    if memory.available < needed {
        return Err(format!(
            "{} of memory are available; the image takes {}, and {} must stay: {} are short",
            Bytes(memory.available),
            Bytes(size),
            Bytes(RESERVE),
            Bytes(needed - memory.available)
        ));
    }
    Ok(())
}

/// Where a copy lies, below /run/initramfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Directory where its memory is mounted.
    pub dir: &'static str,
    /// The file in it.
    pub name: &'static str,
    /// The name that dracut's users know, a link to the file, where it is another one.
    pub link: Option<&'static str>,
}

/// By dracut's names: `squashed.img` is what is packed, `rootfs.img` what is not, and
/// `fsimg/rootfs.img` what `rd.writable.fsimg` asks for.
pub fn decide_place(packed: bool, copy: Copy) -> Place {
    match (copy, packed) {
        (Copy::Inner, false) => Place {
            dir: "fsimg",
            name: "rootfs.img",
            link: None,
        },
        (_, false) => Place {
            dir: "ram",
            name: "rootfs.img",
            link: Some("rootfs.img"),
        },
        (_, true) => Place {
            dir: "ram",
            name: "squashed.img",
            link: Some("squashed.img"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn memory(total: u64, available: u64) -> Memory {
        Memory {
            total: total * MIB,
            available: available * MIB,
        }
    }

    #[test]
    fn meminfo_is_read_in_bytes_and_what_is_missing_is_none() {
        let text = "MemTotal:        2048 kB\nMemFree: 7 kB\nMemAvailable:    1024 kB\n";
        let read = Memory {
            total: 2 * MIB,
            available: MIB,
        };
        assert_eq!(parse_memory(text), read);
        assert_eq!(parse_memory("MemTotal: lots\n"), Memory::default());
    }

    #[test]
    fn the_machines_memory_less_the_image_is_no_less_than_minmem() {
        let least = Bytes::mib(1024);
        assert_eq!(decide_copy(976 * MIB, memory(2000, 1900), least), Ok(()));
        let why = decide_copy(977 * MIB, memory(2000, 1900), least).unwrap_err();
        for part in [
            "2.0 GiB",
            "977.0 MiB",
            "rd.minmem=1024 MiB",
            "1.0 MiB are short",
        ] {
            assert!(why.contains(part), "{part} in {why}");
        }
        assert_eq!(
            decide_copy(977 * MIB, memory(2000, 1900), Bytes::mib(64)),
            Ok(())
        );
    }

    #[test]
    fn what_is_in_use_already_is_not_there_for_a_copy() {
        let least = Bytes::mib(0);
        assert_eq!(decide_copy(100 * MIB, memory(2000, 164), least), Ok(()));
        let why = decide_copy(100 * MIB, memory(2000, 163), least).unwrap_err();
        assert!(why.contains("163.0 MiB of memory are available"), "{why}");
        assert!(why.contains("1.0 MiB are short"), "{why}");
        assert!(decide_copy(u64::MAX, memory(2000, 2000), least).is_err());
    }

    #[test]
    fn copies_lie_where_dracuts_users_look() {
        let place = |packed, copy| {
            let place = decide_place(packed, copy);
            (place.dir, place.name, place.link)
        };
        let squashed = ("ram", "squashed.img", Some("squashed.img"));
        assert_eq!(place(true, Copy::Image), squashed);
        assert_eq!(place(true, Copy::Inner), squashed);
        assert_eq!(
            place(false, Copy::Image),
            ("ram", "rootfs.img", Some("rootfs.img"))
        );
        assert_eq!(place(false, Copy::Inner), ("fsimg", "rootfs.img", None));
    }
}
