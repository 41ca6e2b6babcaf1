//! Names, marks and versions that agent and builder share, and that stand nowhere else.

#![forbid(unsafe_code)]

use crate::units::ImageId;

/// Version of this package; agent and builder of one image are of one version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Stands in every agent, so that `build` can refuse one of another version:
/// this prefix, the version, a newline.
pub const AGENT_MARK: &str = concat!("liveroot-init mark ", env!("CARGO_PKG_VERSION"), "\n");

/// [`AGENT_MARK`] without the version.
pub const AGENT_MARK_PREFIX: &str = "liveroot-init mark ";

/// Directory of the image on the medium (`rd.live.dir`).
pub const LIVE_DIR: &str = "LiveOS";

/// Payload below [`LIVE_DIR`] (`rd.live.squashimg`).
pub const SQUASHFS_IMG: &str = "squashfs.img";

/// The image's manifest on the medium, below [`LIVE_DIR`]; the same text as [`IMAGE_JSON`].
pub const MEDIUM_JSON: &str = "liveroot.json";

/// The image's manifest in the initramfs: a cpio segment of its own, the last one.
pub const IMAGE_JSON: &str = "liveroot/image.json";

/// What all modules of an initramfs have in common: the zstd dictionary that each was
/// compressed with, beside modules.dep.
pub const MODULE_DICTIONARY: &str = "modules.zdict";

/// Where the UKI lies in the ESP and in the ISO's own tree. Outside `EFI/Linux`, or
/// systemd-boot's menu shows it twice.
pub const UKI_PATH: &str = "EFI/liveroot/linux.efi";

/// Source of the root overlay in `/proc/mounts`; scripts detect live systems by it.
pub const OVERLAY_SOURCE: &str = "LiveOS_rootfs";

/// Alignment of the payload on the medium, bytes.
pub const PAYLOAD_ALIGN: u64 = 1 << 20;

/// What `liveroot/image.json` and `LiveOS/liveroot.json` hold.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ImageManifest {
    /// Version of this structure, now 1.
    pub schema: u32,
    /// SHA-256 of the payload file.
    pub id: ImageId,
    /// Length of the payload file, bytes.
    pub size: u64,
    /// Volume label of the medium.
    pub label: String,
}

/// The schema that this version writes and reads.
pub const MANIFEST_SCHEMA: u32 = 1;
