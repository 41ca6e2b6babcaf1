//! Loop devices, by LOOP_CONFIGURE (Linux 5.8).
//!
//! Contract: `include/uapi/linux/loop.h`, loop(4). Every device of ours is read-only and
//! AUTOCLEAR: it goes with its last user, so nothing has to remember to detach it.

use super::{Error, compat};
use linux_raw_sys::loop_device::{
    LO_FLAGS_AUTOCLEAR, LO_FLAGS_READ_ONLY, LOOP_CLR_FD, LOOP_CONFIGURE, LOOP_CTL_GET_FREE,
    loop_config, loop_info64,
};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// An attached loop device; kept open until something is mounted from it, for AUTOCLEAR
/// detaches it at the last close.
#[derive(Debug)]
pub struct LoopDevice {
    /// `/dev/loopN`.
    pub path: PathBuf,
    /// Held so that the device stays attached.
    pub device: File,
}

/// Others may take the free device between our asking and our taking it.
const TRIES: usize = 16;

/// What is behind EINVAL: those kernels want a `write_iter` of the file even for reading only;
/// commit 355341e4359b mended it.
const REFUSES: &str = "EINVAL; Linux 6.12.29 to 6.15 refuse a loop over a file of iso9660 or \
    squashfs: another kernel helps";

/// Attaches `backing` read-only to a free loop device below `dev`.
///
/// `label` is what losetup(8) shows as the name; the kernel keeps 63 bytes of it.
pub fn attach_read_only(dev: &Path, backing: &File, label: &Path) -> Result<LoopDevice, Error> {
    let control_path = dev.join("loop-control");
    let control = File::options()
        .read(true)
        .write(true)
        .open(&control_path)
        .map_err(|e| Error::io("opening", control_path.display(), &e))?;
    let mut last = 0;
    for _ in 0..TRIES {
        // SAFETY: LOOP_CTL_GET_FREE takes no argument; the descriptor is open.
        let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE as _) };
        if number < 0 {
            return Err(Error::new(
                "asking for a free loop device of",
                control_path.display(),
                errno(),
            ));
        }
        let path = dev.join(format!("loop{number}"));
        let device = File::options()
            .read(true)
            .open(&path)
            .map_err(|e| Error::io("opening", path.display(), &e))?;
        match configure(&device, backing, label) {
            Ok(()) => return Ok(LoopDevice { path, device }),
            Err(libc::EBUSY) => last = libc::EBUSY,
            Err(e) => {
                let error = Error::new(
                    format!("attaching {} to", label.display()),
                    path.display(),
                    e,
                );
                let kernel = (e == libc::EINVAL).then(|| REFUSES.to_owned());
                return Err(Error { kernel, ..error });
            }
        }
    }
    Err(Error::new(
        "attaching a loop device for",
        label.display(),
        last,
    ))
}

fn configure(device: &File, backing: &File, label: &Path) -> Result<(), i32> {
    // SAFETY: loop_config is a plain C structure of integers and arrays: all zero is valid.
    let mut config: loop_config = unsafe { std::mem::zeroed() };
    config.fd = backing.as_raw_fd() as u32;
    config.info.lo_flags = LO_FLAGS_READ_ONLY as u32 | LO_FLAGS_AUTOCLEAR as u32;
    name(&mut config.info, label);
    // SAFETY: the kernel reads `loop_config` (304 bytes) at this address; both files are open.
    let answer = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE as _, &config) };
    match answer {
        0 => Ok(()),
        _ => match errno() {
            libc::EINVAL | libc::ENOTTY => compat::loop_set_fd(device, backing, &config.info),
            e => Err(e),
        },
    }
}

fn name(info: &mut loop_info64, label: &Path) {
    let bytes = label.as_os_str().as_encoded_bytes();
    let n = bytes.len().min(info.lo_file_name.len() - 1);
    info.lo_file_name[..n].copy_from_slice(&bytes[..n]);
}

/// The file behind an attached loop device, `loopN`, as its opener named it; none when it is
/// free.
pub fn backing(sys: &Path, name: &str) -> Option<PathBuf> {
    let file = sys.join("block").join(name).join("loop/backing_file");
    let text = std::fs::read_to_string(file).ok()?;
    Some(PathBuf::from(text.trim_end_matches('\n')))
}

/// Detaches a loop device. One in use goes with its last user.
///
/// # Errors
/// The errno; ENXIO when it is free.
pub fn detach(node: &Path) -> Result<(), i32> {
    let device = File::open(node).map_err(|e| e.raw_os_error().unwrap_or(libc::EIO))?;
    // SAFETY: LOOP_CLR_FD takes no argument; the descriptor is open.
    match unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CLR_FD as _) } {
        0 => Ok(()),
        _ => Err(errno()),
    }
}

pub(super) fn errno() -> i32 {
    std::io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EIO)
}
