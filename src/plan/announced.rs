//! Disks that have announced themselves and are not there yet.
//!
//! The interface of a USB stick appears a second before its disk (`delay_use` of
//! usb-storage); whoever looks for a disk in between would say that there is none.

use std::time::Duration;

/// An interface without a disk after this time has none: an empty slot, a phone.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// Interfaces of mass storage whose disk has not come.
#[derive(Debug, Default)]
pub struct Announced(Vec<(String, Duration)>);

impl Announced {
    /// Takes in one uevent: its action, its path below /sys and its MODALIAS.
    pub fn take(&mut self, now: Duration, action: &str, path: &str, modalias: Option<&str>) {
        // Class 8 is mass storage (USB mass storage class overview, 1.4).
        let is_storage = |alias: &str| alias.starts_with("usb:") && alias.contains("ic08");
        match action {
            "add" if modalias.is_some_and(is_storage) => self.0.push((path.to_owned(), now)),
            // The disk lies below its interface.
            "add" if path.contains("/block/") => self.0.retain(|(i, _)| !is_below(path, i)),
            "remove" => self.0.retain(|(interface, _)| interface != path),
            _ => {}
        }
    }

    /// Until when something announced may still come; none when all is there.
    pub fn awaited(&self, now: Duration) -> Option<Duration> {
        let ends = self.0.iter().map(|(_, since)| *since + PATIENCE);
        ends.filter(|end| *end > now).max()
    }
}

fn is_below(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir)
        .is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STICK: &str = "/devices/pci0000:00/usb1/1-1/1-1:1.0";
    const ALIAS: Option<&str> = Some("usb:v46F4p0001d0000dc00dsc00dp00ic08isc06ip50in00");

    #[test]
    fn a_stick_is_awaited_until_its_disk_is_there() {
        let second = Duration::from_secs(1);
        let mut announced = Announced::default();
        announced.take(second, "add", STICK, ALIAS);
        announced.take(
            second,
            "add",
            &format!("{STICK}1"),
            Some("usb:v1p1d0dc00dsc00dp00ic03"),
        );
        assert_eq!(announced.awaited(second), Some(second + PATIENCE));
        assert_eq!(announced.awaited(second + PATIENCE), None);
        let disk = format!("{STICK}/host2/target2:0:0/2:0:0:0/block/sda");
        announced.take(second, "add", &disk, None);
        assert_eq!(announced.awaited(second), None);
        announced.take(second, "add", STICK, ALIAS);
        announced.take(second, "remove", STICK, ALIAS);
        assert_eq!(announced.awaited(second), None);
    }
}
