//! Makes a block device refuse writes while somebody looks at it: BLKROSET
//! (`include/uapi/linux/fs.h`). That of a disk holds for its partitions too.

use super::Error;
use super::loopdev::errno;
use linux_raw_sys::ioctl::{BLKROGET, BLKROSET};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A device with a barrier.
struct Raised {
    /// `st_rdev`.
    number: u64,
    /// So many want it.
    holders: usize,
    /// Whether it took no writes before.
    before: bool,
}

/// The flag is the kernel's, one for each device: so its holders are counted for the whole
/// process, which may look at one device in several threads.
static RAISED: Mutex<Vec<Raised>> = Mutex::new(Vec::new());

fn raised() -> MutexGuard<'static, Vec<Raised>> {
    RAISED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a device refuse writes while it lives. The last one on a device puts back what was
/// before the first.
#[derive(Debug)]
pub struct WriteBarrier {
    device: File,
    number: u64,
}

impl WriteBarrier {
    /// Raises it on the device behind a node.
    ///
    /// # Errors
    /// The device can't be opened, or somebody else has it, or a partition of it, mounted for
    /// writing: EBUSY.
    pub fn raise(node: &Path) -> Result<Self, Error> {
        let doing = "making read-only for a look";
        let fail = |e| Error::new(doing, node.display(), e);
        let io = |e: std::io::Error| Error::io(doing, node.display(), &e);
        let device = File::open(node).map_err(io)?;
        let number = device.metadata().map_err(io)?.rdev();
        let mut raised = raised();
        let held = raised.iter_mut().find(|r| r.number == number);
        if held.is_none() {
            // What the kernel does not tell is as it was before this question.
            let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
            if is_written(&mounts, &numbers(number), &node.to_string_lossy()) {
                let kernel = Some("it is mounted for writing".to_owned());
                return Err(Error {
                    kernel,
                    ..fail(libc::EBUSY)
                });
            }
        }
        let before = read_only(&device).map_err(fail)?;
        set_read_only(&device, true).map_err(fail)?;
        match held {
            Some(held) => held.holders += 1,
            None => raised.push(Raised {
                number,
                holders: 1,
                before,
            }),
        }
        Ok(WriteBarrier { device, number })
    }

    /// Leaves it raised for good.
    pub fn keep(self) {
        // As if it had been so before: nobody takes it down, and it is forgotten with the last
        // holder, for its number may become another device's.
        if let Some(held) = raised().iter_mut().find(|r| r.number == self.number) {
            held.before = true;
        }
    }
}

impl Drop for WriteBarrier {
    fn drop(&mut self) {
        let mut raised = raised();
        let at = raised.iter().position(|r| r.number == self.number);
        let Some(at) = at else {
            return;
        };
        raised[at].holders -= 1;
        if raised[at].holders == 0 && !raised.swap_remove(at).before {
            // A device that refuses this has gone.
            let _ = set_read_only(&self.device, false);
        }
    }
}

/// The numbers, `MAJOR:MINOR`, of a device and of its partitions.
fn numbers(number: u64) -> Vec<String> {
    let own = format!(
        "{}:{}",
        rustix::fs::major(number),
        rustix::fs::minor(number)
    );
    let inside = std::fs::read_dir(Path::new("/sys/dev/block").join(&own));
    let partitions = inside.into_iter().flatten().flatten().filter_map(|entry| {
        let dir = entry.path();
        let number = std::fs::read_to_string(dir.join("dev")).ok()?;
        dir.join("partition")
            .exists()
            .then(|| number.trim().to_owned())
    });
    partitions.chain([own.clone()]).collect()
}

/// Whether mountinfo (proc(5)) has a file system that takes writes on one of the devices. btrfs
/// has numbers of its own, and names its node.
fn is_written(mountinfo: &str, numbers: &[String], node: &str) -> bool {
    mountinfo.lines().any(|line| {
        let mut back = line.rsplit(' ');
        let writes = back.next().is_some_and(|o| o.split(',').any(|o| o == "rw"));
        let named = back.next() == Some(node);
        let number = line.split(' ').nth(2).unwrap_or_default();
        writes && (named || numbers.iter().any(|n| n == number))
    })
}

/// Whether the device takes no writes: a write-protected stick. Of one that can't be opened
/// the mount will tell.
pub fn is_read_only(node: &Path) -> bool {
    File::open(node).is_ok_and(|device| read_only(&device).is_ok_and(|set| set))
}

fn read_only(device: &File) -> Result<bool, i32> {
    let mut set: libc::c_int = 0;
    // SAFETY: BLKROGET writes one int at this address; the descriptor is open.
    match unsafe { libc::ioctl(device.as_raw_fd(), BLKROGET as _, &mut set) } {
        0 => Ok(set != 0),
        _ => Err(errno()),
    }
}

fn set_read_only(device: &File, read_only: bool) -> Result<(), i32> {
    let value = libc::c_int::from(read_only);
    // SAFETY: BLKROSET reads one int at this address; the descriptor is open.
    match unsafe { libc::ioctl(device.as_raw_fd(), BLKROSET as _, &value) } {
        0 => Ok(()),
        _ => Err(errno()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_written_to_when_it_or_a_partition_of_it_is_mounted_so() {
        let mounts = "\
            20 1 8:1 / /a rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=continue\n\
            21 1 8:17 / /b rw,relatime - vfat /dev/sdb1 ro,fmask=0022\n\
            22 1 0:40 / /c ro - btrfs /dev/sdc rw,space_cache=v2\n";
        let written = |numbers: &[&str], node: &str| {
            let numbers: Vec<String> = numbers.iter().map(|n| (*n).to_owned()).collect();
            is_written(mounts, &numbers, node)
        };
        assert!(written(&["8:1"], "/dev/disk/by-label/x"));
        assert!(written(&["8:2", "8:1", "8:0"], "/dev/sda"));
        assert!(!written(&["8:17", "8:16"], "/dev/sdb"));
        assert!(written(&["8:32"], "/dev/sdc"));
        assert!(!written(&["8:33"], "/dev/sdd"));
    }
}
