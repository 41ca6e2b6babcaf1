//! Block devices: what sysfs says of them, and their bytes.
//!
//! Contract: `Documentation/ABI/stable/sysfs-block`, `include/uapi/linux/cdrom.h`.

use super::Error;
use super::loopdev::errno;
use crate::units::Sectors;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// What sysfs says of a device, without opening it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockFacts {
    /// Kernel name: `sda1`, `sr0`.
    pub name: String,
    /// Length in 512-byte sectors; of an empty CD drive it means nothing.
    pub size: Sectors,
    /// Number in the partition table; none for a whole disk.
    pub partition: Option<u32>,
    /// The disk that this is a partition of.
    pub parent: Option<String>,
    /// The partitions of this disk, by name.
    pub partitions: Vec<String>,
    /// The `removable` attribute. Many sticks say 0.
    pub removable: bool,
    /// Without a node in /dev: a path that NVMe multipath put together to another device.
    pub hidden: bool,
    /// A CD, DVD or BD drive.
    pub optical: bool,
    /// Vendor and model, as far as the device tells.
    pub model: String,
}

/// The names below `/sys/class/block`, sorted.
pub fn list(sys: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(sys.join("class/block")) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// Reads the facts of `name`; none when it has gone.
pub fn read_facts(sys: &Path, name: &str) -> Option<BlockFacts> {
    let link = sys.join("class/block").join(name);
    let dir = link.canonicalize().ok()?;
    let text = |file: &str| {
        let text = std::fs::read_to_string(dir.join(file)).ok()?;
        Some(text.trim().to_owned())
    };
    let partition = text("partition").and_then(|t| t.parse().ok());
    let parent = partition.and(dir.parent()?.file_name()?.to_str().map(str::to_owned));
    let mut partitions: Vec<String> = std::fs::read_dir(&dir)
        .ok()?
        .flatten()
        .filter(|e| e.path().join("partition").exists())
        .filter_map(|e| e.file_name().into_string().ok())
        .collect();
    partitions.sort();
    let model = [text("device/vendor"), text("device/model")];
    let model: Vec<String> = model
        .into_iter()
        .flatten()
        .filter(|t| !t.starts_with("0x"))
        .collect();
    Some(BlockFacts {
        name: name.to_owned(),
        size: Sectors(text("size").and_then(|t| t.parse().ok()).unwrap_or(0)),
        partition,
        parent,
        partitions,
        removable: text("removable").as_deref() == Some("1"),
        hidden: text("hidden").as_deref() == Some("1"),
        optical: name.starts_with("sr"),
        model: model.join(" "),
    })
}

/// Number of the device behind a node, `MAJOR:MINOR`; empty when it has gone.
pub fn number(sys: &Path, node: &str) -> String {
    let name = node.trim_start_matches("/dev/").replace('/', "!");
    let text = std::fs::read_to_string(sys.join("class/block").join(name).join("dev"));
    text.unwrap_or_default().trim().to_owned()
}

/// The kernel's name of the device with this number (`st_rdev`); none when it has gone.
pub fn name(sys: &Path, number: u64) -> Option<String> {
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let link = sys.join("dev/block").join(format!("{major}:{minor}"));
    let dir = link.canonicalize().ok()?;
    Some(dir.file_name()?.to_str()?.to_owned())
}

/// The node below `dev` of a kernel name; sysfs writes `/` as `!`.
pub fn node(dev: &Path, name: &str) -> std::path::PathBuf {
    dev.join(name.replace('!', "/"))
}

/// The same by the name that people and installers know: of a mapped device the one below
/// /dev/mapper, where it is there (dm/name in sysfs, Documentation/ABI/testing/sysfs-block-dm).
pub fn known_node(sys: &Path, dev: &Path, name: &str) -> std::path::PathBuf {
    let mapped = std::fs::read_to_string(sys.join("class/block").join(name).join("dm/name"));
    match mapped.map(|mapped| dev.join("mapper").join(mapped.trim())) {
        Ok(mapped) if mapped.exists() => mapped,
        _ => node(dev, name),
    }
}

/// Opens a device for reading.
pub fn open(node: &Path) -> Result<File, Error> {
    File::open(node).map_err(|e| Error::io("opening", node.display(), &e))
}

/// Fills `buf` from `offset` of an open device; false when it ends before.
pub fn read_exact_at(device: &File, offset: u64, buf: &mut [u8]) -> Result<bool, i32> {
    match device.read_exact_at(buf, offset) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e.raw_os_error().unwrap_or(libc::EIO)),
    }
}

/// Reads what it gets, up to the length of `buf`, from `offset` of an open device or file; 0 at
/// its end.
///
/// # Errors
/// The errno.
pub fn read_some_at(device: &File, offset: u64, buf: &mut [u8]) -> Result<usize, i32> {
    loop {
        match device.read_at(buf, offset) {
            Ok(n) => return Ok(n),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.raw_os_error().unwrap_or(libc::EIO)),
        }
    }
}

/// Bytes that a read past the page cache takes: the largest logical block of a disk.
const DIRECT: usize = 4096;

/// Reads the first block of a device, or of a file on one, from the device itself: not what the
/// kernel keeps of it.
///
/// # Errors
/// The device does not have it, or it has gone.
pub fn read_uncached(node: &Path) -> Result<(), Error> {
    let fail = |doing: &str, e: &std::io::Error| Error::io(doing, node.display(), e);
    let direct = File::options()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(node);
    let mut buffer = vec![0; 2 * DIRECT];
    let start = buffer.as_ptr().align_offset(DIRECT).min(DIRECT);
    let block = &mut buffer[start..start + DIRECT];
    let refused = |e: &std::io::Error| e.raw_os_error() == Some(libc::EINVAL);
    let read = match direct.and_then(|device| device.read_at(block, 0)) {
        // Not every file system can do it.
        Err(e) if refused(&e) => {
            let device = open(node)?;
            let _ = rustix::fs::fadvise(&device, 0, None, rustix::fs::Advice::DontNeed);
            device.read_at(block, 0)
        }
        read => read,
    };
    match read {
        Ok(0) => Err(Error::new("reading", node.display(), libc::ENXIO)),
        Ok(_) => Ok(()),
        Err(e) => Err(fail("reading", &e)),
    }
}

/// Length of an open device in bytes.
pub fn length(device: &File) -> u64 {
    use std::io::{Seek, SeekFrom};
    let mut device = device;
    device.seek(SeekFrom::End(0)).unwrap_or(0)
}

/// Whether a file system, device-mapper or RAID uses the device, be it without a place in the
/// tree: O_EXCL on a block device asks just that, open(2).
pub fn is_claimed(node: &Path) -> bool {
    let open = File::options()
        .read(true)
        .custom_flags(libc::O_EXCL)
        .open(node);
    open.is_err_and(|e| e.raw_os_error() == Some(libc::EBUSY))
}

/// Whether a disc lies in an optical drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disc {
    /// It can be read.
    Ready,
    /// There is none, or the tray is open.
    Absent,
    /// The drive is still looking.
    Settling,
}

/// `include/uapi/linux/cdrom.h`.
const CDROM_DRIVE_STATUS: libc::c_ulong = 0x5326;
const CDS_NO_INFO: libc::c_int = 0;
const CDS_DRIVE_NOT_READY: libc::c_int = 3;
const CDS_DISC_OK: libc::c_int = 4;

/// Asks an optical drive for its disc. Opened O_NONBLOCK: a plain open would pull an open
/// tray in, under the hand of the person who is about to put a disc there. The open makes
/// the kernel read the size anew; no uevent tells of an inserted disc.
pub fn disc(node: &Path) -> Result<Disc, Error> {
    let device = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(node)
        .map_err(|e| Error::io("opening", node.display(), &e))?;
    // SAFETY: CDROM_DRIVE_STATUS takes a number (the current slot); the descriptor is open.
    let status = unsafe { libc::ioctl(device.as_raw_fd(), CDROM_DRIVE_STATUS, libc::c_int::MAX) };
    Ok(match status {
        // A drive that does not answer the question may still be read.
        CDS_DISC_OK | CDS_NO_INFO | -1 => Disc::Ready,
        CDS_DRIVE_NOT_READY => Disc::Settling,
        _ => Disc::Absent,
    })
}

/// `include/uapi/linux/cdrom.h`.
const CDROM_LOCKDOOR: libc::c_ulong = 0x5329;
const CDROMEJECT: libc::c_ulong = 0x5309;

/// Opens the tray of an optical drive whose disc nobody uses.
///
/// # Errors
/// The errno; EBUSY when the disc is mounted.
pub fn eject(node: &Path) -> Result<(), i32> {
    let device = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(node)
        .map_err(|e| e.raw_os_error().unwrap_or(libc::EIO))?;
    // SAFETY: CDROM_LOCKDOOR takes a number, 0 to unlock; a drive without a lock refuses.
    unsafe { libc::ioctl(device.as_raw_fd(), CDROM_LOCKDOOR, 0) };
    // SAFETY: CDROMEJECT takes no argument; the descriptor is open.
    match unsafe { libc::ioctl(device.as_raw_fd(), CDROMEJECT) } {
        0 => Ok(()),
        _ => Err(errno()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_device_is_known_by_its_name_where_that_node_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let (sys, dev) = (dir.path().join("sys"), dir.path().join("dev"));
        std::fs::create_dir_all(sys.join("class/block/dm-0/dm")).unwrap();
        std::fs::create_dir_all(dev.join("mapper")).unwrap();
        std::fs::write(sys.join("class/block/dm-0/dm/name"), "ventoy\n").unwrap();
        assert_eq!(known_node(&sys, &dev, "dm-0"), dev.join("dm-0"));
        std::fs::write(dev.join("mapper/ventoy"), "").unwrap();
        assert_eq!(known_node(&sys, &dev, "dm-0"), dev.join("mapper/ventoy"));
        assert_eq!(known_node(&sys, &dev, "sda1"), dev.join("sda1"));
    }
}
