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
        if self.bare && (self.partitions.len() != 1 || self.medium.is_some()) {
            fail!("a bare disk is one file system and no medium");
        }
        Ok(())
    }
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
    /// Text of files by path; one that ends in `/` is a directory. `{ID}`, `{LABEL}` and
    /// `{UUID}` stand for those of the medium called `live`.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// What is broken in it.
    #[serde(default)]
    pub damage: Damage,
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
}

/// What is broken in an ext4.
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
}
