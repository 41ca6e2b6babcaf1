//! The machine as a value: where its parts are found. A test gives a directory.

use std::path::PathBuf;

/// Roots of the kernel's trees, and the places that a boot leaves behind.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The root of the initramfs.
    pub root: PathBuf,
    /// procfs.
    pub proc: PathBuf,
    /// sysfs.
    pub sys: PathBuf,
    /// devtmpfs.
    pub dev: PathBuf,
    /// tmpfs, handed over to the live system.
    pub run: PathBuf,
    /// Where the new root is mounted before it becomes `/`.
    pub sysroot: PathBuf,
}

impl Machine {
    /// The one we run on.
    pub fn running() -> Self {
        Machine::below("/".into())
    }

    /// One whose trees all lie below a directory.
    pub fn below(root: PathBuf) -> Self {
        Machine {
            proc: root.join("proc"),
            sys: root.join("sys"),
            dev: root.join("dev"),
            run: root.join("run"),
            sysroot: root.join("sysroot"),
            root,
        }
    }

    /// The medium's mount: anaconda protects the disk that is mounted exactly there.
    pub fn live(&self) -> PathBuf {
        self.run.join("initramfs/live")
    }

    /// The mount of the disk that holds the ISO file, as dracut's iso-scan names it.
    pub fn isoscan(&self) -> PathBuf {
        self.run.join("initramfs/isoscan")
    }

    /// The image's mount, from a block device: installers mount that device again.
    pub fn rootfsbase(&self) -> PathBuf {
        self.run.join("rootfsbase")
    }

    /// The packed image around the root's, where there is one.
    pub fn squashfs(&self) -> PathBuf {
        self.run.join("initramfs/squashfs")
    }

    /// The partition of saved changes, as dmsquash-live names it.
    pub fn saved(&self) -> PathBuf {
        self.run.join("initramfs/overlayfs")
    }

    /// The tmpfs of writes to memory, as dracut has named it since 110.
    pub fn overlay(&self) -> PathBuf {
        self.run.join("initramfs/overlay")
    }
}
