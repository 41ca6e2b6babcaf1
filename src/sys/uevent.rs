//! The kernel's uevents: netlink family KOBJECT_UEVENT, group 1.
//!
//! A record is `ACTION@DEVPATH`, NUL, then `KEY=VALUE` parts, NUL each
//! (`lib/kobject_uevent.c`). udevd repeats them on group 2; we listen to the kernel only.

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

/// Room for the burst of a machine with many disks.
const RECEIVE_BUFFER: usize = 8 << 20;

impl UeventSocket {
    /// Opens and binds it.
    pub fn open() -> Result<Self, Error> {
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
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 1)).map_err(fail)?;
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
        if from.is_some_and(|a| a.pid() != 0) {
            return Ok(Received::Foreign);
        }
        Ok(parse(&buffer[..n]).map_or(Received::Foreign, Received::Event))
    }
}

/// Reads one record.
pub fn parse(record: &[u8]) -> Option<Uevent> {
    let mut parts = record.split(|b| *b == 0);
    let head = std::str::from_utf8(parts.next()?).ok()?;
    let (action, devpath) = head.split_once('@')?;
    let mut event = Uevent {
        action: action.to_owned(),
        devpath: devpath.to_owned(),
        ..Uevent::default()
    };
    for part in parts {
        let Some((key, value)) = std::str::from_utf8(part)
            .ok()
            .and_then(|p| p.split_once('='))
        else {
            continue;
        };
        match key {
            "SUBSYSTEM" => event.subsystem = value.to_owned(),
            "DEVNAME" => event.devname = Some(value.to_owned()),
            "MODALIAS" => event.modalias = Some(value.to_owned()),
            _ => {}
        }
    }
    Some(event)
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
    fn udevds_repeats_and_garbage_are_no_events() {
        assert_eq!(parse(b"libudev\0\xfe\xed"), None);
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"\xff@\xff\0"), None);
    }
}
