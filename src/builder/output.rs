//! What a finished build says about itself: one JSON object, or a table for people.

use super::budget::{self, Fit};
use super::initramfs::Parts;
use super::menu::MenuEntry;
use super::{Scope, squashfs};
use crate::units::ImageId;
use std::path::{Path, PathBuf};

/// Version of [`Outcome`].
pub const SCHEMA: u32 = 2;

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
    /// How the payload was packed.
    pub squashfs: Packing,
    /// Root hash of the payload's dm-verity tree, in hex; none without one.
    pub root_hash: Option<String>,
    /// What is there for BIOS; none when the medium starts by UEFI alone.
    pub bios: Option<Bios>,
    /// Files whose contents are stored with another's.
    pub duplicates: Duplicates,
    /// Bytes of the payload that packing would not have made less, stored as they are.
    pub raw: u64,
    /// The root and its directories of two levels, sorted by path.
    pub directories: Vec<DirectoryShare>,
}

/// How a payload was packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Packing {
    /// `liveroot` or `mksquashfs`.
    pub tool: &'static str,
    /// `zstd`, `gzip`, `xz` or `lz4`.
    pub compressor: &'static str,
    /// Its level, where it has any.
    pub level: Option<i32>,
    /// Length of a block.
    pub block_size: u32,
}

/// Start by BIOS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Bios {
    /// Bytes of isolinux and its menu.
    pub bytes: u64,
}

/// Files that have the contents of another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Duplicates {
    /// How many, the first of each not counted.
    pub files: usize,
    /// Their bytes in the tree.
    pub bytes: u64,
}

/// What a directory takes in the payload.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DirectoryShare {
    /// Path, `/` before it.
    pub path: String,
    /// Stored bytes of all files in and below it.
    pub stored: u64,
}

impl From<&squashfs::Share> for DirectoryShare {
    fn from(share: &squashfs::Share) -> DirectoryShare {
        DirectoryShare {
            path: format!("/{}", String::from_utf8_lossy(&share.path)),
            stored: share.stored.0,
        }
    }
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
    /// The payload: squashfs with its padding, and the dm-verity tree.
    pub payload: u64,
    /// In it, blocks that belong to one file.
    pub payload_data: u64,
    /// In it, blocks that small files share.
    pub payload_fragments: u64,
    /// In it, all tables and the padding.
    pub payload_tables: u64,
    /// In it, dm-verity's superblock and tree.
    pub verity: u64,
    /// The kernel image.
    pub kernel: u64,
    /// The initramfs with its last segment.
    pub initramfs: u64,
    /// Kernel, initramfs and words in one.
    pub uki: u64,
    /// All files of the ISO's own tree but the payload, bytes that two share once.
    pub files: u64,
    /// The EFI system partition.
    pub esp: u64,
    /// What is left of the ISO: tables, directories, padding; [`Sizes::rest`].
    pub structures: u64,
    /// The ISO.
    pub iso: u64,
}

impl Sizes {
    /// What is neither payload nor ESP nor another file.
    pub fn rest(&self) -> u64 {
        let parts = self.payload + self.files.max(self.uki) + self.esp;
        self.iso.saturating_sub(parts)
    }

    /// What a squashfs of ours took, and its length without verity.
    pub fn count(&mut self, written: &squashfs::Written) {
        self.tree = written.unpacked.0;
        self.payload_data = written.data.0;
        self.payload_fragments = written.fragments.0;
        let blocks = written.data.0 + written.fragments.0;
        self.payload_tables = written.length.0.saturating_sub(blocks);
    }
}

/// JSON is UTF-8, paths are bytes: better a path with a mark in it than no object.
fn lossy<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

impl Outcome {
    /// What is said to people: bytes by part, the largest directories, what it fits on.
    pub fn table(&self) -> String {
        budget::table(self)
    }

    /// All of it as one JSON object.
    ///
    /// # Errors
    /// None that is known: all its keys are text.
    pub fn json(&self) -> serde_json::Result<String> {
        #[derive(serde::Serialize)]
        struct Told<'a> {
            #[serde(flatten)]
            outcome: &'a Outcome,
            fits: Vec<Fit>,
        }
        serde_json::to_string(&Told {
            outcome: self,
            fits: budget::fits(self),
        })
    }
}

/// A medium of 800 MB, for tests.
#[cfg(test)]
pub fn sample() -> Outcome {
    let mut sizes = Sizes {
        tree: 2 << 30,
        payload: 700 << 20,
        payload_data: 600 << 20,
        payload_fragments: 80 << 20,
        payload_tables: 14 << 20,
        verity: 6 << 20,
        kernel: 8 << 20,
        initramfs: 18 << 20,
        uki: 27 << 20,
        files: 28 << 20,
        esp: 30 << 20,
        structures: 0,
        iso: 760 << 20,
    };
    sizes.structures = sizes.rest();
    Outcome {
        schema: SCHEMA,
        liveroot: crate::layout::VERSION,
        output: "live.iso".into(),
        label: "TEST-1".into(),
        image_id: ImageId::from_digest(&[0xab; 32]),
        kernel: KernelOutcome {
            release: "6.1.0".into(),
            file: "boot/vmlinuz".into(),
        },
        words: String::new(),
        entries: Vec::new(),
        drivers: Scope::Boot,
        epoch: 1_700_000_000,
        payload_offset: 30 << 20,
        sizes,
        initramfs: Parts::default(),
        squashfs: Packing::default(),
        root_hash: Some("cd".repeat(32)),
        bios: None,
        duplicates: Duplicates::default(),
        raw: 0,
        directories: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_object_has_all_of_a_result() {
        let share = squashfs::Share {
            path: b"usr/\xff".to_vec(),
            stored: crate::units::Bytes(5),
        };
        let outcome = Outcome {
            directories: vec![DirectoryShare::from(&share)],
            ..sample()
        };
        let json: serde_json::Value = serde_json::from_str(&outcome.json().unwrap()).unwrap();
        assert_eq!(json["schema"], 2);
        assert_eq!(json["directories"][0]["path"], "/usr/\u{fffd}");
        assert_eq!(json["sizes"]["structures"], 2 << 20);
        assert_eq!(json["fits"][0]["on"], "cd");
        assert_eq!(json["fits"][0]["fits"], false);
        assert_eq!(json["bios"], serde_json::Value::Null);
    }
}
