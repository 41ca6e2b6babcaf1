//! The kernel's uevents: netlink family KOBJECT_UEVENT, group 1.
//!
//! A record is `ACTION@DEVPATH`, NUL, then `KEY=VALUE` parts, NUL each
//! (`lib/kobject_uevent.c`). udevd repeats each on group 2, when its links are made, with a
//! head of its own (`sd-device/device-monitor.c`).

use super::Error;
use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, setsockopt,
    socket, sockopt,
};
use std::os::fd::{AsRawFd, OwnedFd};

/// What the kernel says of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uevent {
    /// `add`, `change`, `remove`, …
    pub action: String,
    /// DEVPATH: below /sys.
    pub devpath: String,
    /// SUBSYSTEM.
    pub subsystem: String,
    /// DEVNAME, without `/dev/`.
    pub devname: Option<String>,
    /// MODALIAS: what a driver's aliases are matched with.
    pub modalias: Option<String>,
    /// udevd's repeat: its links are there now.
    pub repeated: bool,
}

/// What a receive gave.
#[derive(Debug)]
pub enum Received {
    /// One event.
    Event(Uevent),
    /// The kernel's queue overflowed (ENOBUFS): events were lost, sysfs must be walked again.
    Lost,
    /// A record that was not from the kernel, or was no uevent.
    Foreign,
}

/// The socket. Opened before sysfs is walked, so that nothing falls between the two.
#[derive(Debug)]
pub struct UeventSocket(OwnedFd);

/// Who is listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sources {
    /// The kernel.
    Kernel,
    /// udevd too.
    KernelAndUdev,
}

/// The kernel's group of multicast, and udevd's.
const GROUP_KERNEL: u32 = 1;
const GROUP_UDEV: u32 = 2;

/// Room for the burst of a machine with many disks.
const RECEIVE_BUFFER: usize = 8 << 20;

impl UeventSocket {
    /// Opens and binds it.
    pub fn open(sources: Sources) -> Result<Self, Error> {
        let fail = |e: nix::Error| Error::new("opening", "the uevent socket", e as i32);
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkKObjectUEvent,
        )
        .map_err(fail)?;
        // Only root may force it; the default buffer serves too.
        let _ = setsockopt(&fd, sockopt::RcvBufForce, &RECEIVE_BUFFER);
        let groups = match sources {
            Sources::Kernel => GROUP_KERNEL,
            Sources::KernelAndUdev => GROUP_KERNEL | GROUP_UDEV,
        };
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups)).map_err(fail)?;
        Ok(UeventSocket(fd))
    }

    /// Waits for the next record.
    pub fn receive(&self) -> Result<Received, Error> {
        let mut buffer = [0u8; 8192];
        let (n, from) = match recvfrom::<NetlinkAddr>(self.0.as_raw_fd(), &mut buffer) {
            Ok(got) => got,
            Err(nix::Error::ENOBUFS) => return Ok(Received::Lost),
            Err(nix::Error::EINTR) => return Ok(Received::Foreign),
            Err(e) => return Err(Error::new("reading", "the uevent socket", e as i32)),
        };
        // Only root may send to a group (`af_netlink.c`).
        let event = match from.is_some_and(|a| a.pid() != 0) {
            true => parse_repeated(&buffer[..n]),
            false => parse(&buffer[..n]),
        };
        Ok(event.map_or(Received::Foreign, Received::Event))
    }
}

/// Reads one record.
pub fn parse(record: &[u8]) -> Option<Uevent> {
    let mut parts = record.split(|b| *b == 0);
    let head = std::str::from_utf8(parts.next()?).ok()?;
    let (action, devpath) = head.split_once('@')?;
    let mut event = read_parts(parts);
    event.action = action.to_owned();
    event.devpath = devpath.to_owned();
    Some(event)
}

/// Reads one of udevd's: `libudev`, NUL, the number 0xfeedcafe in network order, then in the
/// machine's order the length of the head, and offset and length of the parts.
pub fn parse_repeated(record: &[u8]) -> Option<Uevent> {
    let number = |at: usize| record.get(at..at + 4)?.try_into().ok();
    let magic = number(8).map(u32::from_be_bytes)?;
    if !record.starts_with(b"libudev\0") || magic != 0xfeed_cafe {
        return None;
    }
    let [start, length] = [16, 20].map(|at| number(at).map(u32::from_ne_bytes));
    let start = usize::try_from(start?).ok()?;
    let end = start.checked_add(usize::try_from(length?).ok()?)?;
    let mut event = read_parts(record.get(start..end)?.split(|b| *b == 0));
    event.devname = event
        .devname
        .map(|n| n.trim_start_matches("/dev/").to_owned());
    event.repeated = true;
    Some(event)
}

fn read_parts<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Uevent {
    let mut event = Uevent::default();
    for part in parts {
        let Some((key, value)) = std::str::from_utf8(part)
            .ok()
            .and_then(|p| p.split_once('='))
        else {
            continue;
        };
        match key {
            "ACTION" => event.action = value.to_owned(),
            "DEVPATH" => event.devpath = value.to_owned(),
            "SUBSYSTEM" => event.subsystem = value.to_owned(),
            "DEVNAME" => event.devname = Some(value.to_owned()),
            "MODALIAS" => event.modalias = Some(value.to_owned()),
            _ => {}
        }
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_event_gives_its_name() {
        let e =
            parse(b"add@/devices/x/block/sda\0ACTION=add\0SUBSYSTEM=block\0DEVNAME=sda\0").unwrap();
        assert_eq!((e.action.as_str(), e.subsystem.as_str()), ("add", "block"));
        assert_eq!(e.devname.as_deref(), Some("sda"));
    }

    #[test]
    fn udevds_repeat_is_read_and_a_short_or_strange_one_is_not() {
        let parts =
            b"ACTION=add\0DEVPATH=/devices/x/block/sda\0SUBSYSTEM=block\0DEVNAME=/dev/sda\0";
        let mut record = b"libudev\0\xfe\xed\xca\xfe".to_vec();
        for number in [40u32, 40, u32::try_from(parts.len()).unwrap(), 0, 0, 0, 0] {
            record.extend(number.to_ne_bytes());
        }
        record.extend(parts);
        let event = parse_repeated(&record).unwrap();
        assert_eq!((&*event.action, &*event.subsystem), ("add", "block"));
        assert_eq!(event.devname.as_deref(), Some("sda"));
        assert!(event.repeated && !parse(b"add@/x\0").unwrap().repeated);
        for end in 0..record.len() {
            assert_eq!(parse_repeated(&record[..end]), None, "{end}");
        }
        record[8] = 0;
        assert_eq!(parse_repeated(&record), None);
    }

    #[test]
    fn udevds_repeats_and_garbage_are_no_events() {
        assert_eq!(parse(b"libudev\0\xfe\xed"), None);
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"\xff@\xff\0"), None);
    }
}
