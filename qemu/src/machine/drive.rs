//! Drives of a machine, and how they are plugged while it runs.
//!
//! `-blockdev` nodes throughout: they outlive the device they were plugged with.

use super::Line;
use super::qmp::Qmp;
use crate::trouble::Result;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// What a drive is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bus {
    /// SATA CD.
    Cd,
    /// A stick on a USB 3 host.
    Usb,
    /// virtio-blk.
    Virtio,
    /// NVMe.
    Nvme,
    /// SATA disk.
    Sata,
    /// virtio-scsi disk.
    Scsi,
    /// A stick that speaks UAS.
    Uas,
    /// A CD drive behind USB.
    UsbCd,
    /// An SD card.
    Sd,
}

impl Bus {
    /// Whether what hangs there is a disk, which Linux could write to.
    pub fn is_disk(self) -> bool {
        !matches!(self, Bus::Cd | Bus::UsbCd)
    }
}

/// One drive.
#[derive(Clone, Debug)]
pub struct Drive {
    /// Its id in QEMU; letters and digits.
    pub id: String,
    /// Where it hangs.
    pub bus: Bus,
    /// What is in it; nothing only for [`Bus::Cd`].
    pub file: Option<PathBuf>,
    /// Whether it is there from the start.
    pub present: bool,
    /// Whether the guest may write to it.
    pub writable: bool,
    /// Its serial number, as it tells it; QEMU's own or none.
    pub serial: Option<String>,
}

impl Drive {
    /// A read-only drive that is there from the start.
    pub fn new(id: &str, bus: Bus, file: PathBuf) -> Drive {
        Drive {
            id: id.to_owned(),
            bus,
            file: Some(file),
            present: true,
            writable: false,
            serial: None,
        }
    }

    fn node(&self) -> String {
        format!("n-{}", self.id)
    }

    fn hub(&self) -> String {
        format!("hub-{}", self.id)
    }

    /// Host controller, node and, if present, the device.
    pub(super) fn arguments(&self, line: &mut Line) {
        let hub = self.hub();
        match self.bus {
            Bus::Usb => line.add(&["-device", &format!("qemu-xhci,id={hub}")]),
            Bus::Uas => line
                .add(&["-device", &format!("qemu-xhci,id={hub}x")])
                .add(&["-device", &format!("usb-uas,id={hub},bus={hub}x.0")]),
            Bus::UsbCd => line
                .add(&["-device", &format!("qemu-xhci,id={hub}x")])
                .add(&["-device", &format!("usb-bot,id={hub},bus={hub}x.0")]),
            Bus::Scsi => line.add(&["-device", &format!("virtio-scsi-pci,id={hub}")]),
            Bus::Sd => line.add(&["-device", &format!("sdhci-pci,id={hub}")]),
            Bus::Cd | Bus::Virtio | Bus::Nvme | Bus::Sata => line,
        };
        if let Some(file) = &self.file {
            let node = json!({
                "driver": "raw", "node-name": self.node(), "read-only": !self.writable,
                "file": {"driver": "file", "filename": file.to_string_lossy(), "read-only": !self.writable},
            });
            line.add(&["-blockdev", &node.to_string()]);
        }
        if self.present {
            line.add(&["-device", &self.device().to_string()]);
        }
    }

    /// The device as QMP and `-device` take it.
    fn device(&self) -> Value {
        let bus = format!("{}.0", self.hub());
        let mut device = match self.bus {
            Bus::Cd => json!({"driver": "ide-cd"}),
            Bus::Sata => json!({"driver": "ide-hd"}),
            Bus::Usb => json!({"driver": "usb-storage", "bus": bus, "removable": true}),
            Bus::Virtio => json!({"driver": "virtio-blk-pci"}),
            Bus::Nvme => json!({"driver": "nvme", "serial": self.id}),
            Bus::Scsi | Bus::Uas => json!({"driver": "scsi-hd", "bus": bus}),
            Bus::UsbCd => json!({"driver": "scsi-cd", "bus": bus}),
            Bus::Sd => json!({"driver": "sd-card"}),
        };
        device["id"] = json!(self.id);
        if let Some(serial) = &self.serial {
            device["serial"] = json!(serial);
        }
        if self.file.is_some() {
            device["drive"] = json!(self.node());
        }
        device
    }

    /// Plugs it in.
    pub fn plug(&self, qmp: &mut Qmp) -> Result<()> {
        qmp.execute("device_add", self.device()).map(drop)
    }

    /// Pulls it out, and waits until it is out.
    pub fn pull(&self, qmp: &mut Qmp, within: Duration) -> Result<()> {
        qmp.execute("device_del", json!({"id": self.id}))?;
        qmp.wait_event("DEVICE_DELETED", within, |data| data["device"] == self.id)
    }

    /// Puts a disc into it.
    pub fn insert(&self, qmp: &mut Qmp, file: &std::path::Path) -> Result<()> {
        let arguments = json!({"id": self.id, "filename": file.to_string_lossy(), "format": "raw", "read-only-mode": "read-only"});
        qmp.execute("blockdev-change-medium", arguments).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_stick_has_its_port_and_its_node_but_no_device() {
        let drive = Drive {
            present: false,
            ..Drive::new("s", Bus::Usb, "/a,b".into())
        };
        let mut line = Line(Vec::new());
        drive.arguments(&mut line);
        let words: Vec<_> = line
            .0
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        assert_eq!(words[..2], ["-device", "qemu-xhci,id=hub-s"]);
        assert!(
            words[3].contains("\"/a,b\""),
            "JSON takes any name: {words:?}"
        );
        assert_eq!(words.len(), 4);
    }
}
