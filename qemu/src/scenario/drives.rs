//! The part of a scenario that tells what is in the machine: media, drives, partitions.

use crate::fail;
use crate::machine::drive::Bus;
use crate::trouble::Result;
use serde::Deserialize;
use std::collections::BTreeMap;

/// How a medium is made.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Content {
    /// Volume label.
    #[serde(default = "default_label")]
    pub label: String,
    /// Words added by `build --append`.
    #[serde(default)]
    pub append: String,
    /// Kernel of its tree, if it is another than the scenario's: another image.
    pub kernel: Option<String>,
    /// A foreign ISO that has the label, but no image.
    #[serde(default)]
    pub label_only: bool,
    /// The tree it is made of.
    #[serde(default)]
    pub tree: TreeKind,
    /// Whether implantisomd5 leaves its checksum in it.
    #[serde(default)]
    pub implant: bool,
    /// Offset of a byte that is changed afterwards.
    pub spoil: Option<u64>,
}

/// A tree of `trees.rs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TreeKind {
    /// Busybox and the marker init.
    #[default]
    Marker,
    /// Debian 12 with systemd; its kernel is its own.
    Debian,
}

impl Default for Content {
    fn default() -> Self {
        Content {
            label: default_label(),
            append: String::new(),
            kernel: None,
            label_only: false,
            tree: TreeKind::default(),
            implant: false,
            spoil: None,
        }
    }
}

fn default_label() -> String {
    "LIVEROOT".into()
}

/// A drive of the machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DriveSpec {
    /// Where it hangs; also its id unless that is given.
    pub bus: Bus,
    /// Its id.
    pub id: Option<String>,
    /// The medium in it.
    pub medium: Option<String>,
    /// Plugged by a step.
    #[serde(default)]
    pub absent: bool,
    /// Whether the guest is refused to write to it.
    #[serde(default)]
    pub read_only: bool,
    /// MiB, if it is larger than its medium or has none.
    pub size: Option<u64>,
    /// What it says its serial number is: udev makes links of it.
    pub serial: Option<String>,
    /// Whether a boot may change all of it: its table too.
    #[serde(default)]
    pub written: bool,
    /// Kind of the table, if it has no medium.
    #[serde(default)]
    pub table: Table,
    /// Whether its one "partition" is the whole disk.
    #[serde(default)]
    pub bare: bool,
    /// Partitions, behind those of the medium.
    #[serde(default, rename = "partition")]
    pub partitions: Vec<PartitionSpec>,
}

impl DriveSpec {
    /// Whether what it says goes together.
    pub fn check(&self) -> Result<()> {
        if !self.partitions.is_empty() && self.size.is_none() {
            fail!("partitions need a `size` of the drive");
        }
        if self.size.is_some() && !self.bus.is_disk() {
            fail!("a disc has no `size`");
        }
        if self.table == Table::Mbr && self.medium.is_some() {
            fail!("a medium brings its own table");
        }
        self.partitions.iter().try_for_each(PartitionSpec::check)?;
        if self.bare && (self.partitions.len() != 1 || self.medium.is_some()) {
            fail!("a bare disk is one file system and no medium");
        }
        Ok(())
    }
}

/// A partition table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Table {
    #[default]
    Gpt,
    Mbr,
}

/// A partition and what is on it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PartitionSpec {
    /// GPT type: `upper`, `home`, `linux` or a GUID.
    #[serde(rename = "type", default = "default_type")]
    pub kind: String,
    /// MiB.
    pub size: u64,
    /// Its file system.
    pub fs: FileSystem,
    /// Label of the file system.
    pub label: Option<String>,
    /// UUID of the file system (for vfat the eight digits of its serial number).
    pub fs_uuid: Option<String>,
    /// Name of the partition.
    pub name: Option<String>,
    /// UUID of the partition.
    pub uuid: Option<String>,
    /// Inodes of an ext4.
    pub inodes: Option<u32>,
    /// What the file system holds besides `files`.
    #[serde(default)]
    pub content: Holds,
    /// The root of a live system, in this form.
    pub root: Option<RootForm>,
    /// Path of its file, if it is one; otherwise where builders put it.
    pub at: Option<String>,
    /// Text of files by path; one that ends in `/` is a directory. `{ID}`, `{LABEL}` and
    /// `{UUID}` stand for those of the medium called `live`.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// What is broken in it.
    #[serde(default)]
    pub damage: Damage,
}

impl PartitionSpec {
    fn check(&self) -> Result<()> {
        let is_image = self.fs == FileSystem::Image;
        match self.root {
            None if is_image => fail!("which form of the root is the image?"),
            Some(RootForm::Tree | RootForm::Iso) if is_image => fail!("an image is a file system"),
            Some(form) if self.at.is_some() && (is_image || form == RootForm::Tree) => {
                fail!("{form:?} is no file here, so `at` is nowhere")
            }
            None if self.at.is_some() => fail!("what is `at` that path?"),
            _ => Ok(()),
        }
    }
}

fn default_type() -> String {
    "linux".into()
}

/// A file system that the tests make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum FileSystem {
    None,
    Ext4,
    Xfs,
    Btrfs,
    F2fs,
    Vfat,
    Exfat,
    /// None around it: it is the image that `root` names.
    Image,
}

/// A form in which media hold a root: that of the marker tree, without a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RootForm {
    /// An image of it.
    Squashfs,
    /// An image of it.
    Erofs,
    /// An image of it, uncompressed and with a journal.
    Ext4,
    /// A squashfs with `LiveOS/rootfs.img` in it, an ext4.
    NestedExt4,
    /// The same with an XFS.
    NestedXfs,
    /// The same with a btrfs.
    NestedBtrfs,
    /// No image: its files lie in the file system.
    Tree,
    /// The ISO of the medium `live`.
    Iso,
}

impl RootForm {
    /// As scenarios write it; in the cache.
    pub fn name(self) -> &'static str {
        match self {
            RootForm::Squashfs => "squashfs",
            RootForm::Erofs => "erofs",
            RootForm::Ext4 => "ext4",
            RootForm::NestedExt4 => "nested-ext4",
            RootForm::NestedXfs => "nested-xfs",
            RootForm::NestedBtrfs => "nested-btrfs",
            RootForm::Tree => "tree",
            RootForm::Iso => "iso",
        }
    }

    /// Where builders put its file.
    pub fn usual_path(self) -> &'static str {
        match self {
            RootForm::Ext4 => "LiveOS/rootfs.img",
            RootForm::Iso => "linux.iso",
            _ => "LiveOS/squashfs.img",
        }
    }
}

/// Prepared content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holds {
    /// Nothing.
    #[default]
    Nothing,
    /// A closed session of the image of `live`; it left the file `/srv/left-before`.
    Session,
    /// The same of an image that nobody has.
    ForeignSession,
    /// What dracut's overlayfs mode leaves: `look` finds it changed.
    Dracut,
    /// A file of dracut's device-mapper snapshots where dracut looks for it.
    CowFile,
    /// GRUB where UEFI looks for it: it shows the menu of the ISO file `/isos/linux.iso` that
    /// lies on any other partition.
    Grub,
}

/// What is broken in an ext4; a journal to replay in an XFS too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Damage {
    /// Nothing.
    #[default]
    None,
    /// The superblock says that errors were met; there are none.
    State,
    /// A count that `e2fsck -p` mends.
    Small,
    /// What `e2fsck -p` leaves to a person.
    Grave,
    /// Nothing, but that its journal has to be replayed.
    Journal,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_a_file_at_a_path_or_the_partition_itself() {
        let check = |more: &str| {
            let text = format!("bus = 'usb'\nsize = 9\n[[partition]]\nsize = 8\n{more}\n");
            toml::from_str::<DriveSpec>(&text).unwrap().check()
        };
        assert!(check("fs = 'ext4'\nroot = 'squashfs'\nat = 'LiveOS/rootfs.img'").is_ok());
        assert!(check("fs = 'image'\nroot = 'erofs'").is_ok());
        assert!(check("fs = 'image'").is_err());
        assert!(check("fs = 'image'\nroot = 'iso'").is_err());
        assert!(check("fs = 'image'\nroot = 'erofs'\nat = 'x'").is_err());
        assert!(check("fs = 'ext4'\nroot = 'tree'\nat = 'x'").is_err());
        assert!(check("fs = 'ext4'\nat = 'x'").is_err());
    }
}
