//! What a medium holds, as plain values: offsets and lengths in bytes, unless named otherwise.

use crate::ondisk::fatfs::FatType;
use serde::Serialize;
use std::ops::Range;

/// All of it.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Facts {
    /// Length of the file or device.
    pub length: u64,
    pub mbr: Option<Mbr>,
    pub gpt: Gpt,
    /// Of both sets, that of the disc and that of partition 1.
    pub descriptors: Vec<Volume>,
    pub eltorito: Option<ElTorito>,
    /// FAT file systems that a table or El Torito names.
    pub fats: Vec<Fat>,
    pub iso: Iso,
    pub payloads: Vec<Payload>,
    pub isomd5: Option<Isomd5>,
    /// `LiveOS/liveroot.json`, if it is ours.
    pub manifest: Option<Manifest>,
}

/// The master boot record; sectors of 512 bytes.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Mbr {
    /// Whether it ends in 55 AA.
    pub signed: bool,
    pub code: Code,
    pub protective: bool,
    pub entries: Vec<MbrEntry>,
}

/// What a BIOS would run from a stick.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// Zeros.
    #[default]
    None,
    /// isolinux's isohdpfx, and whether what it loads is isolinux.
    Isolinux {
        /// Sector of 512 bytes.
        target: u64,
        /// Whether the mark stands there.
        found: bool,
    },
    /// GRUB's boot_hybrid, and whether anything lies where it loads from.
    Grub {
        /// Sector of 512 bytes.
        target: u64,
        /// Whether it is on the medium and not all zeros.
        found: bool,
    },
    /// Syslinux's: it starts the active partition.
    Syslinux,
    /// Another.
    Unknown,
}

/// One entry; sectors of 512 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct MbrEntry {
    pub number: u8,
    pub active: bool,
    pub kind: u8,
    pub start: u32,
    pub length: u32,
}

/// Both copies.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Gpt {
    pub sector_size: u32,
    pub primary: Option<GptCopy>,
    /// Found where the primary says, or in the last sector.
    pub backup: Option<GptCopy>,
    /// Where it should be: the last sector.
    pub last_lba: u64,
}

/// One copy; sectors of [`Gpt::sector_size`].
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct GptCopy {
    pub lba: u64,
    pub header_holds: bool,
    pub entries_hold: bool,
    pub holds: bool,
    pub alternate_lba: u64,
    pub usable: (u64, u64),
    pub disk: String,
    pub entries_lba: u64,
    pub entry_count: u32,
    pub partitions: Vec<GptEntry>,
}

/// A partition, last sector included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct GptEntry {
    pub number: u32,
    pub kind: String,
    pub first: u64,
    pub last: u64,
    pub name: String,
}

/// A volume descriptor; sectors of 2,048 bytes.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Volume {
    pub kind: String,
    pub lba: u64,
    pub label: String,
    pub sectors: u32,
}

/// The boot catalogue of a disc.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct ElTorito {
    pub catalogue: u64,
    /// Whether the validation entry's sum and mark hold.
    pub valid: bool,
    pub entries: Vec<BootEntry>,
}

/// One entry.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct BootEntry {
    /// 0 BIOS, 0xef UEFI.
    pub platform: u8,
    pub default: bool,
    pub bootable: bool,
    /// 0 no emulation.
    pub media: u8,
    /// Sectors of 512 bytes that it claims.
    pub count: u16,
    /// Where its image begins.
    pub offset: u64,
    /// Length of the image, where it tells (FAT), or the file has that start.
    pub real_length: Option<u64>,
    /// Whether it lies on the medium and is not all zeros at its start.
    pub has_code: bool,
    /// Whether isolinux's mark stands in it.
    pub isolinux: bool,
}

/// A FAT that firmware may look into.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Fat {
    pub offset: u64,
    /// As its boot sector says.
    pub length: u64,
    pub header: Option<FatType>,
    pub counted: Option<FatType>,
    pub clusters: u64,
    pub cluster: u64,
    pub label: Option<String>,
    pub files: Vec<FatFile>,
    pub loader: Option<Loader>,
    /// Whether both copies of the table are equal.
    pub tables_equal: bool,
}

/// A file in it.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct FatFile {
    pub path: String,
    pub length: u64,
    /// End of its last byte, from the start of the FAT.
    pub end: u64,
}

/// `EFI/BOOT/BOOTX64.EFI`.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Loader {
    pub path: String,
    /// PE machine; 0 if it is no PE image.
    pub machine: u16,
    /// As [`FatFile::end`].
    pub end: u64,
}

/// The tree of ISO 9660.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Iso {
    /// Whether there is a primary descriptor.
    pub present: bool,
    pub label: String,
    /// Length that the primary descriptor claims.
    pub claimed: u64,
    pub files: usize,
    pub symlinks: usize,
    /// The longest file.
    pub longest: u64,
    pub longest_path: String,
    /// Plain EFI files below EFI/BOOT.
    pub efi_boot: Vec<String>,
    pub loopback_cfg: Option<String>,
    /// Whether it uses `iso_path`.
    pub loopback_has_iso_path: bool,
    /// Kernels, initramfs files, unified kernel images, configurations.
    pub boot_files: Vec<BootFile>,
    /// Configurations that find the medium by its label.
    pub by_label: Vec<String>,
}

/// A file that takes part in starting.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct BootFile {
    pub path: String,
    pub offset: u64,
    pub length: u64,
    /// Of a unified kernel image.
    pub sections: Vec<(String, u64)>,
}

/// A root image.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Payload {
    pub path: String,
    pub offset: u64,
    /// Length of the file.
    pub length: u64,
    pub kind: String,
    pub compressor: Option<String>,
    pub block_size: Option<u32>,
    /// Bytes that the superblock claims.
    pub used: Option<u64>,
    pub verity: Option<Verity>,
}

/// The hash tree behind a payload.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Verity {
    /// From the start of the payload.
    pub offset: u64,
    pub data_blocks: u64,
    pub data_block: u64,
    /// Superblock and tree.
    pub length: u64,
}

/// What implantisomd5(1) left.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Isomd5 {
    /// Bytes from the start that it covers.
    pub length: u64,
    pub fragments: bool,
    /// The `RHLISOSTATUS` field.
    pub supported: bool,
}

/// Ours.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Manifest {
    pub id: String,
    pub size: u64,
    pub label: String,
    pub root_hash: Option<String>,
    pub parts: usize,
    pub sealed: bool,
}

impl Facts {
    /// The FAT that begins there.
    pub fn fat_at(&self, offset: u64) -> Option<&Fat> {
        self.fats.iter().find(|fat| fat.offset == offset)
    }
}

/// Whether two ranges share a byte.
pub fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}
