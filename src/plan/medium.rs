//! Facts of a device, and whether they are those of the medium that is wanted.

use super::image::is_packed;
use crate::ondisk::{FsFacts, FsKind};
use crate::request::DeviceSpec;
use crate::units::{ImageId, Label, Sectors};

/// A block device, by what the kernel says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Kernel name.
    pub name: String,
    /// Length.
    pub size: Sectors,
    /// The disk, when this is a partition, or a file on a disk.
    pub parent: Option<String>,
    /// The partitions, when this is a disk.
    pub partitions: Vec<String>,
    /// A CD, DVD or BD drive.
    pub optical: bool,
    /// Vendor and model.
    pub model: String,
    /// Of a loop device over an ISO file: the device that holds the file. Its disk is
    /// [`Device::parent`].
    pub host: Option<String>,
}

impl Device {
    /// One of which nothing but the name is known.
    pub fn named(name: &str) -> Self {
        Device {
            name: name.to_owned(),
            size: Sectors(0),
            parent: None,
            partitions: Vec::new(),
            optical: false,
            model: String::new(),
            host: None,
        }
    }

    /// Name of the disk that it is, or is on.
    pub fn disk(&self) -> &str {
        self.parent.as_deref().unwrap_or(&self.name)
    }
}

/// What reading a device gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It answered.
    Facts(Facts),
    /// A drive without a disc, a reader without a card.
    Empty,
    /// A drive that is still looking at its disc.
    Settling,
    /// It can't be read; the system's words.
    Unreadable(String),
}

/// What a device that answered holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its file system, if one was recognised.
    pub fs: Option<FsFacts>,
    /// Of the partition table of its disk; read only when the words ask for it.
    pub part_uuid: Option<String>,
    /// Likewise.
    pub part_label: Option<Label>,
    /// Likewise: GPT's type, lower case.
    pub part_type: Option<String>,
    /// Nodes that the words name and that lead to it: links of udev, and what others made.
    pub nodes: Vec<String>,
    /// Why its content can't be read, if it can't.
    pub unreadable: Option<String>,
}

/// What is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// By the words, else the label in `image.json`; none: any medium with the image's id.
    pub spec: Option<DeviceSpec>,
    /// Whether the words said it. Another image than the initramfs's own is taken only from
    /// a medium that they name.
    pub named: bool,
    /// The image that belongs to this initramfs, if it says so.
    pub id: Option<ImageId>,
    /// Path of the image on the medium.
    pub image_path: String,
    /// `iso-scan/filename`: the medium is in this file, on any disk.
    pub iso: Option<String>,
}

/// A medium whose image was looked at and found whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The id that the medium claims, if it does.
    pub id: Option<ImageId>,
    /// Length of the image, bytes; 0 of a plain tree, which has none.
    pub size: u64,
    /// The init that will be executed, as it was looked up.
    pub init: String,
}

impl Found {
    /// Whether the medium's own file system is the root.
    pub fn is_tree(&self) -> bool {
        self.size == 0
    }
}

/// File systems that can hold an image, of those that this version mounts.
pub fn can_hold_image(kind: FsKind) -> bool {
    use FsKind::*;
    matches!(
        kind,
        Iso9660 | Udf | Vfat | Exfat | Ext | Xfs | Btrfs | F2fs | Ntfs
    )
}

/// Whether the facts are those that the words name; if not, why not, as people read it.
pub fn decide_match(wanted: &Wanted, device: &Device, facts: &Facts) -> Result<(), String> {
    // A disk with the ISO file may have any name, and the file is one by its own path.
    if wanted.iso.is_none() {
        decide_name(wanted, device, facts)?;
    }
    match facts.fs.as_ref().map(|f| f.kind) {
        None => Err("no file system that is known here".to_owned()),
        Some(kind) if can_hold_image(kind) => Ok(()),
        Some(kind) if is_packed(kind) && wanted.named => Ok(()),
        Some(kind) if is_packed(kind) => Err(format!(
            "a bare {} image, taken only when the words name it",
            kind.name()
        )),
        Some(kind) => Err(format!("{}, which can't hold a live image", kind.name())),
    }
}

/// Whether the device is the one that `root=` names; without that word each is.
pub fn decide_name(wanted: &Wanted, device: &Device, facts: &Facts) -> Result<(), String> {
    let named = wanted.spec.as_ref();
    named.map_or(Ok(()), |spec| match_name(spec, device, facts))
}

/// Whether the device has the name that the words give; if not, what it has.
pub fn match_name(spec: &DeviceSpec, device: &Device, facts: &Facts) -> Result<(), String> {
    let fs = facts.fs.as_ref();
    let shown = |value: Option<String>| value.map_or("none".to_owned(), |v| format!("{v:?}"));
    let same = |what: &str, has: Option<String>, want: String, equal: bool| match equal {
        true => Ok(()),
        false => Err(format!("{what} {}, wanted {want:?}", shown(has))),
    };
    match spec {
        DeviceSpec::Label(want) => {
            let has = fs.and_then(|f| f.label.as_ref());
            same(
                "label",
                has.map(Label::to_string),
                want.to_string(),
                has == Some(want),
            )
        }
        DeviceSpec::Uuid(want) => {
            let has = fs.and_then(|f| f.uuid.clone());
            let equal = has.as_ref().is_some_and(|u| u.eq_ignore_ascii_case(want));
            same("UUID", has, want.clone(), equal)
        }
        DeviceSpec::PartUuid(want) => {
            let has = facts.part_uuid.clone();
            let equal = has.as_ref().is_some_and(|u| u.eq_ignore_ascii_case(want));
            same("partition UUID", has, want.clone(), equal)
        }
        DeviceSpec::PartLabel(want) => {
            let has = facts.part_label.as_ref();
            same(
                "partition label",
                has.map(Label::to_string),
                want.to_string(),
                has == Some(want),
            )
        }
        DeviceSpec::Path(path) => Err(format!("not {path}")),
        DeviceSpec::Node(want) => same(
            "node",
            Some(device.name.clone()),
            want.clone(),
            *want == device.name || facts.nodes.contains(want),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str) -> Device {
        Device {
            name: name.to_owned(),
            size: Sectors(1000),
            parent: None,
            partitions: vec![],
            optical: false,
            model: String::new(),
            host: None,
        }
    }

    fn facts(kind: FsKind, label: &str, uuid: &str) -> Facts {
        let fs = FsFacts {
            kind,
            label: Some(Label::new(label)),
            uuid: Some(uuid.to_owned()),
            size: None,
        };
        Facts {
            fs: Some(fs),
            part_uuid: Some("AB-01".into()),
            part_label: None,
            ..Facts::default()
        }
    }

    fn wanted(spec: &str) -> Wanted {
        Wanted {
            spec: DeviceSpec::parse(spec.as_bytes()),
            ..Wanted::default()
        }
    }

    #[test]
    fn each_form_matches_its_own_fact() {
        let f = facts(FsKind::Iso9660, "X", "2026-01-AB");
        for spec in ["LABEL=X", "UUID=2026-01-ab", "PARTUUID=ab-01", "/dev/sda1"] {
            assert_eq!(
                decide_match(&wanted(spec), &device("sda1"), &f),
                Ok(()),
                "{spec}"
            );
        }
        for spec in ["LABEL=x", "UUID=2026-01", "PARTLABEL=X", "/dev/sda"] {
            assert!(
                decide_match(&wanted(spec), &device("sda1"), &f).is_err(),
                "{spec}"
            );
        }
    }

    #[test]
    fn a_node_is_also_what_a_link_leads_to() {
        let mut f = facts(FsKind::Iso9660, "X", "1");
        let want = wanted("/dev/disk/by-id/usb-x");
        assert!(decide_match(&want, &device("sda1"), &f).is_err());
        f.nodes = vec!["disk/by-id/usb-x".into()];
        assert_eq!(decide_match(&want, &device("sda1"), &f), Ok(()));
        assert!(decide_match(&wanted("/dev/disk/by-id/usb"), &device("sda1"), &f).is_err());
    }

    #[test]
    fn a_refusal_shows_what_was_seen_and_what_was_wanted() {
        let f = facts(FsKind::Vfat, "EFI", "1");
        let why = decide_match(&wanted("LABEL=LIVE"), &device("sda2"), &f);
        assert_eq!(why, Err("label \"EFI\", wanted \"LIVE\"".to_owned()));
        let empty = decide_match(&wanted("LABEL=LIVE"), &device("sda2"), &Facts::default());
        assert_eq!(empty, Err("label none, wanted \"LIVE\"".to_owned()));
    }

    #[test]
    fn a_label_on_what_holds_no_files_is_refused() {
        for kind in [FsKind::Swap, FsKind::Luks, FsKind::Squashfs] {
            let f = facts(kind, "X", "1");
            assert!(decide_match(&wanted("LABEL=X"), &device("sda"), &f).is_err());
        }
    }
}
