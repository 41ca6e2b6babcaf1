//! Device-mapper devices: which there are, and their removal.
//!
//! Contract: `include/uapi/linux/dm-ioctl.h`.

use super::loopdev::errno;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

/// `struct dm_ioctl`, 312 bytes; nobody wraps it.
#[repr(C)]
struct DmIoctl {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,
    event_nr: u32,
    padding: u32,
    dev: u64,
    name: [u8; 128],
    uuid: [u8; 129],
    data: [u8; 7],
}

/// `_IOWR(0xfd, 4, struct dm_ioctl)`.
const DM_DEV_REMOVE: libc::c_ulong = 0xc138_fd04;

/// Removes a device, `dm-N`; its own users must have gone.
///
/// # Errors
/// The errno; EBUSY when it is in use.
pub fn remove(sys: &Path, dev: &Path, name: &str) -> Result<(), i32> {
    let number = std::fs::read_to_string(sys.join("block").join(name).join("dev"));
    let number = number.map_err(|e| e.raw_os_error().unwrap_or(libc::EIO))?;
    let (major, minor) = number.trim().split_once(':').ok_or(libc::EINVAL)?;
    let parse = |text: &str| text.parse::<u32>().map_err(|_| libc::EINVAL);
    let control = File::options()
        .read(true)
        .write(true)
        .open(dev.join("mapper/control"))
        .map_err(|e| e.raw_os_error().unwrap_or(libc::EIO))?;
    // SAFETY: a plain C structure of integers and arrays: all zero is valid.
    let mut call: DmIoctl = unsafe { std::mem::zeroed() };
    call.version = [4, 0, 0];
    call.data_size = std::mem::size_of::<DmIoctl>() as u32;
    // The kernel reads it by huge_decode_dev(), which is makedev(3)'s layout below 2^32.
    call.dev = libc::makedev(parse(major)?, parse(minor)?);
    // SAFETY: the kernel reads and writes a dm_ioctl (312 bytes) at this address.
    match unsafe { libc::ioctl(control.as_raw_fd(), DM_DEV_REMOVE, &mut call) } {
        0 => Ok(()),
        _ => Err(errno()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_structure_has_the_kernels_size() {
        assert_eq!(std::mem::size_of::<super::DmIoctl>(), 312);
    }
}
