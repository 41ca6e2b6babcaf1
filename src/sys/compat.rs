//! What older kernels lack, in one place; the modern call comes first, its substitute here.

use super::loopdev::errno;
use linux_raw_sys::loop_device::{LOOP_CLR_FD, LOOP_SET_FD, LOOP_SET_STATUS64, loop_info64};
use std::fs::File;
use std::os::fd::AsRawFd;

/// Before Linux 5.8 there is no LOOP_CONFIGURE: two calls, undone when the second fails.
pub(super) fn loop_set_fd(device: &File, backing: &File, info: &loop_info64) -> Result<(), i32> {
    // SAFETY: LOOP_SET_FD takes a descriptor as its argument; both files are open.
    if unsafe { libc::ioctl(device.as_raw_fd(), LOOP_SET_FD as _, backing.as_raw_fd()) } != 0 {
        return Err(errno());
    }
    // SAFETY: the kernel reads a loop_info64 at this address.
    if unsafe { libc::ioctl(device.as_raw_fd(), LOOP_SET_STATUS64 as _, info) } != 0 {
        let failed = errno();
        // SAFETY: LOOP_CLR_FD takes no argument.
        unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CLR_FD as _) };
        return Err(failed);
    }
    Ok(())
}
