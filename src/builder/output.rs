//! What a finished build says about itself: one JSON object, or a table for people.

use super::Scope;
use super::initramfs::Parts;
use super::menu::MenuEntry;
use crate::units::{Bytes, ImageId};
use std::path::{Path, PathBuf};

/// Version of [`Outcome`].
pub const SCHEMA: u32 = 1;

/// A finished medium. All sizes are in bytes.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Outcome {
    /// Version of this structure.
    pub schema: u32,
    /// Version of the builder.
    pub liveroot: &'static str,
    /// The ISO.
    #[serde(serialize_with = "lossy")]
    pub output: PathBuf,
    /// Volume label.
    pub label: String,
    /// SHA-256 of the payload.
    pub image_id: ImageId,
    /// The kernel.
    pub kernel: KernelOutcome,
    /// Words built into the kernel image; the first entry's.
    pub words: String,
    /// The menu.
    pub entries: Vec<MenuEntry>,
    /// Which drivers went in.
    pub drivers: Scope,
    /// Seconds since 1970 that all dates are.
    pub epoch: u64,
    /// Offset of the payload in the ISO.
    pub payload_offset: u64,
    /// Lengths.
    pub sizes: Sizes,
    /// What the initramfs is made of.
    pub initramfs: Parts,
}

/// The kernel of a finished medium.
#[derive(Clone, Debug, serde::Serialize)]
pub struct KernelOutcome {
    /// As `uname -r` says.
    pub release: String,
    /// The image that was used.
    #[serde(serialize_with = "lossy")]
    pub file: PathBuf,
}

/// Lengths of all that was made, bytes.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Sizes {
    /// Files of the tree.
    pub tree: u64,
    /// The squashfs.
    pub payload: u64,
    /// The kernel image.
    pub kernel: u64,
    /// The initramfs with its last segment.
    pub initramfs: u64,
    /// Kernel, initramfs and words in one.
    pub uki: u64,
    /// The EFI system partition.
    pub esp: u64,
    /// The ISO.
    pub iso: u64,
}

/// JSON is UTF-8, paths are bytes: better a path with a mark in it than no object.
fn lossy<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

impl Outcome {
    /// The table of sizes.
    pub fn table(&self) -> String {
        let (sizes, parts) = (&self.sizes, &self.initramfs);
        let mut rows: Vec<(String, u64, String)> = vec![
            (
                "payload".into(),
                sizes.payload,
                format!(
                    "{} of files, image {}",
                    Bytes(sizes.tree),
                    self.image_id.short()
                ),
            ),
            ("kernel".into(), sizes.kernel, self.kernel.release.clone()),
            ("initramfs".into(), sizes.initramfs, String::new()),
        ];
        if parts.foreign > 0 {
            rows.push(("  foreign".into(), parts.foreign, "as it was given".into()));
        } else {
            let firmware = format!(
                "{} files; {} that drivers mention are not in the tree",
                parts.firmware_count, parts.firmware_missing
            );
            rows.push(("  agent".into(), parts.agent, "compressed alone".into()));
            rows.push((
                "  modules".into(),
                parts.modules,
                format!("{} modules", parts.module_count),
            ));
            rows.push(("  firmware".into(), parts.firmware, firmware));
            rows.push(("  indexes".into(), parts.indexes, String::new()));
            rows.push(("  microcode".into(), parts.microcode, String::new()));
        }
        rows.push((
            "ESP".into(),
            sizes.esp,
            format!("with the kernel image, {}", Bytes(sizes.uki)),
        ));
        rows.push(("ISO".into(), sizes.iso, self.output.display().to_string()));
        let line = |(name, size, remark): (String, u64, String)| {
            format!(
                "{name:<12} {:>10} {size:>13}  {remark}",
                Bytes(size).to_string()
            )
            .trim_end()
            .to_owned()
                + "\n"
        };
        rows.into_iter().map(line).collect()
    }
}
