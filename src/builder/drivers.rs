//! Which drivers a boot medium can need, said in the kernel's own terms: its source
//! folders, its devices' MODALIAS, the names it asks for itself. No list of modules: such
//! a list is stale next year.

use super::{Error, Result};
use crate::ondisk::kmod::{ModuleIndex, Resolved, normal};
use std::collections::BTreeSet;

/// How many drivers go in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// What a stick, a disc or a disk of a usual or virtual machine needs.
    Boot,
    /// Server adapters too: SAS, Fibre Channel, RAID, FireWire, UFS.
    All,
}

/// How a rule names modules.
#[derive(Clone, Copy, Debug)]
enum Pick {
    /// All below this folder of `kernel/` with an alias on one of these buses (prefixes);
    /// without buses, all. What has no alias is a library and comes as a dependency.
    Folder(&'static str, &'static [&'static str]),
    /// What a device of this MODALIAS, or the kernel asking for this name, would load.
    Name(&'static str),
}
use Pick::{Folder, Name};

/// How much a rule's modules are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// No live system boots without.
    Essential,
    Wanted,
    /// Wanted unless it drags in a whole subsystem, see [`TOO_DEAR`].
    Cheap,
    /// The same, and worth nothing unless I2C keyboards came in before.
    I2cKeyboard,
    OnlyAll,
}
use Need::{Cheap, Essential, I2cKeyboard, OnlyAll, Wanted};

/// The table. Device ids are from the buses' own registries; a class code
/// (`bc…sc…`) stands wherever the driver binds by class.
#[rustfmt::skip]
const RULES: &[(Need, Pick, &str)] = &[
    // What every live boot stacks.
    (Essential, Name("devname:loop-control"), "the payload is a file"),
    (Essential, Name("fs-squashfs"), "the payload"),
    (Essential, Name("fs-overlay"), "the root"),
    (Essential, Name("fs-iso9660"), "the medium"),
    (Wanted, Name("fs-erofs"), "payloads of other builders"),
    (Wanted, Name("devname:mapper/control"), "verity and encryption"),
    (Wanted, Name("dm-verity"), "payloads checked on each read"),
    (Wanted, Name("dm-crypt"), "encrypted persistence"),
    (Wanted, Name("zram"), "compressed memory as the upper"),
    // File systems a medium or its persistence can have.
    (Wanted, Name("fs-udf"), "discs"),
    (Wanted, Name("fs-vfat"), "sticks, ESPs"),
    (Wanted, Name("fs-exfat"), "large sticks"),
    (Wanted, Name("fs-ntfs3"), "disks of Windows"),
    (Wanted, Name("fs-ntfs"), "disks of Windows (7.x, where ntfs3 is gone)"),
    (Wanted, Name("fs-ext4"), "disks, persistence"),
    (Wanted, Name("fs-xfs"), "disks, persistence"),
    (Wanted, Name("fs-btrfs"), "disks, persistence"),
    (Wanted, Name("fs-f2fs"), "sticks, persistence"),
    (Wanted, Name("nls_cp437"), "vfat's default code page"),
    (Wanted, Name("nls_iso8859-1"), "vfat's default character set"),
    (Wanted, Name("nls_ascii"), "vfat's default character set on Debian"),
    (Wanted, Name("nls_utf8"), "names on discs and FAT"),
    // What those ask the crypto layer for by name, without a symbol that modules.dep sees.
    (Wanted, Name("crypto-crc32c"), "ext4, xfs, btrfs, f2fs"),
    (Wanted, Name("crypto-crc32"), "f2fs"),
    (Wanted, Name("crypto-sha256"), "dm-verity, btrfs"),
    (Wanted, Name("crypto-xxhash64"), "btrfs"),
    (Wanted, Name("crypto-blake2b-256"), "btrfs"),
    (Wanted, Name("crypto-aes"), "dm-crypt"),
    (Wanted, Name("crypto-xts"), "dm-crypt's default since LUKS1"),
    (Wanted, Name("crypto-ecb"), "beneath xts"),
    (Wanted, Name("crypto-cbc"), "dm-crypt of old"),
    (Wanted, Name("crypto-essiv"), "dm-crypt of old"),
    (Wanted, Name("crypto-lzo-rle"), "zram's default"),
    (Wanted, Name("crypto-lz4"), "zram"),
    (Wanted, Name("crypto-zstd"), "zram"),
    // USB.
    (Wanted, Folder("drivers/usb/host", &["pci:", "platform:", "acpi"]), "hosts: xhci, ehci, ohci, uhci"),
    (Wanted, Folder("drivers/usb/dwc3", &["pci:", "acpi"]), "hosts of tablets and some laptops"),
    (Wanted, Folder("drivers/usb/cdns3", &["pci:"]), "hosts"),
    (Wanted, Folder("drivers/usb/roles", &["platform:", "acpi"]), "host or device, switched by hand"),
    (Wanted, Folder("drivers/usb/storage", &[]), "sticks, uas, readers with protocols of their own"),
    (Wanted, Folder("drivers/misc/cardreader", &["pci:", "usb:"]), "SD readers"),
    // Disks and discs.
    (Wanted, Name("scsi:t-0x00"), "disks"),
    (Wanted, Name("scsi:t-0x05"), "CD and DVD"),
    (Wanted, Folder("drivers/ata", &["pci:", "acpi", "platform:", "pnp:"]), "AHCI, SATA, PATA"),
    (Wanted, Name("pci:v00000000d00000000sv00000000sd00000000bc01sc08i02"), "NVMe"),
    (Wanted, Folder("drivers/pci/controller", &["pci:", "vmbus:"]), "NVMe behind Intel VMD or Hyper-V"),
    (Wanted, Folder("drivers/mmc", &["mmc:", "pci:", "acpi", "platform:", "usb:"]), "SD and eMMC"),
    // Virtual machines.
    (Wanted, Name("pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00"), "virtio over PCI"),
    (Wanted, Name("acpi:LNRO0005:"), "virtio over MMIO"),
    (Wanted, Name("virtio:d00000002v00001AF4"), "virtio disk"),
    (Wanted, Name("virtio:d00000008v00001AF4"), "virtio SCSI"),
    (Wanted, Name("virtio:d00000003v00001AF4"), "virtio console"),
    (Wanted, Name("virtio:d00000012v00001AF4"), "virtio keyboard"),
    (Wanted, Folder("drivers/hv", &["acpi"]), "Hyper-V's bus"),
    (Wanted, Folder("drivers/scsi", &["vmbus:", "xen:"]), "Hyper-V, Xen"),
    (Wanted, Folder("drivers/input", &["vmbus:", "xen:"]), "keyboards of Hyper-V, Xen"),
    (Wanted, Folder("drivers/hid", &["vmbus:"]), "mouse of Hyper-V"),
    (Wanted, Name("xen:vbd"), "Xen disk"),
    (Wanted, Name("pci:v000015ADd000007C0sv000015ADsd000007C0bc01sc07i00"), "VMware pvscsi"),
    (Wanted, Name("pci:v00001000d00000030sv000015ADsd00001976bc01sc00i00"), "VMware's LSI parallel SCSI"),
    (Wanted, Name("pci:v00001000d00000054sv000015ADsd00001976bc01sc07i00"), "VMware's LSI SAS"),
    // Keyboard and screen, for the failure page and the shell.
    (Wanted, Name("hid:b0003g0001v00000000p00000000"), "USB keyboards"),
    (Wanted, Name("usb:v0000p0000d0000dc00dsc00dp00ic03isc01ip01in00"), "USB keyboards"),
    (Cheap, Folder("drivers/hid", &["hid:b0003"]), "keyboards that hid-generic leaves to their vendors' drivers"),
    (Wanted, Folder("drivers/input/serio", &["pnp:", "acpi", "platform:i8042"]), "PS/2 keyboards"),
    (Wanted, Name("serio:ty06pr00id00ex00"), "PS/2 keyboards"),
    (Cheap, Name("acpi:APP000D:"), "keyboards of MacBooks on SPI"),
    (Cheap, Name(I2C_HID), "keyboards of some laptops"),
    (I2cKeyboard, Folder("drivers/i2c/busses", &["acpi", "platform:i2c_designware"]), "their bus"),
    (I2cKeyboard, Folder("drivers/mfd", &["pci:v00008086"]), "their bus on Intel"),
    (I2cKeyboard, Folder("drivers/pinctrl", &["acpi"]), "their interrupts"),
    (Wanted, Name("platform:simple-framebuffer"), "the screen that firmware set up"),
    (Wanted, Name("platform:efi-framebuffer"), "the screen that firmware set up"),
    (Wanted, Name("platform:vesa-framebuffer"), "the screen that firmware set up"),
    // Servers and rarities: large, with firmware, and hardly ever where a stick is.
    (OnlyAll, Folder("drivers/scsi", &["pci:", "usb:", "eisa:", "pnp:"]), "SAS, Fibre Channel, RAID"),
    (OnlyAll, Folder("drivers/message", &["pci:"]), "LSI's older SAS and Fibre Channel"),
    (OnlyAll, Folder("drivers/block", &["pci:", "usb:"]), "RAID cards"),
    (OnlyAll, Folder("drivers/ufs", &["pci:", "acpi"]), "UFS"),
    (OnlyAll, Folder("drivers/memstick", &["pci:", "platform:", "memstick:"]), "Memory Stick"),
    (OnlyAll, Folder("drivers/firewire", &["pci:", "ieee1394:"]), "FireWire disks"),
    (OnlyAll, Folder("drivers/thunderbolt", &["pci:", "tbsvc:"]), "disks behind docks"),
    (OnlyAll, Folder("drivers/ata", &[]), "PCMCIA"),
];

/// The ACPI name of HID over I2C.
const I2C_HID: &str = "acpi:PNP0C50:";

/// Folders that no keyboard is worth: a HID driver that needs one is for a sensor, a
/// display, a touchpad or an adapter, or costs more than all others together (i2c-hid needs
/// all of DRM since 6.12).
const TOO_DEAR: [&str; 7] = [
    "kernel/drivers/gpu/",
    "kernel/drivers/iio/",
    "kernel/drivers/media/",
    "kernel/drivers/hwmon/",
    "kernel/drivers/gpio/",
    "kernel/drivers/input/rmi4/",
    "kernel/sound/",
];
/// The largest HID driver is for pens only.
const PENS: &str = "wacom";

/// The chosen modules' names with all they depend on, softly and weakly too.
pub fn choose(index: &ModuleIndex, scope: Scope, release: &str) -> Result<BTreeSet<String>> {
    let mut chosen = BTreeSet::new();
    for (need, pick, why) in RULES {
        let skipped = match need {
            OnlyAll => scope == Scope::Boot,
            I2cKeyboard => !has_i2c_keyboards(index, &chosen),
            Essential | Wanted | Cheap => false,
        };
        if skipped {
            continue;
        }
        let mut picked = match pick {
            Folder(folder, buses) => in_folder(index, folder, buses),
            Name(name) => match index.resolve(name) {
                Resolved::Modules(names) => names,
                Resolved::Nothing if *need == Essential => return Err(lacks(release, name, why)),
                Resolved::Builtin | Resolved::Nothing => Vec::new(),
            },
        };
        if matches!(need, Cheap | I2cKeyboard) && scope == Scope::Boot {
            picked.retain(|name| is_cheap(index, name));
        }
        chosen.extend(picked);
    }
    Ok(with_dependencies(index, chosen))
}

fn lacks(release: &str, name: &str, why: &str) -> Error {
    Error::input(
        format!("kernel {release}"),
        format!("it has no {name} ({why}), neither built in nor as a module"),
        "use a kernel with loop devices, squashfs, overlayfs and ISO 9660, as all distributions' have",
    )
}

/// Whether the driver of HID over I2C is built in, or was chosen.
fn has_i2c_keyboards(index: &ModuleIndex, chosen: &BTreeSet<String>) -> bool {
    match index.resolve(I2C_HID) {
        Resolved::Modules(names) => names.iter().any(|name| chosen.contains(name)),
        Resolved::Builtin => true,
        Resolved::Nothing => false,
    }
}

fn is_cheap(index: &ModuleIndex, name: &str) -> bool {
    let dear = |needed: &String| {
        let path = index
            .modules()
            .get(needed)
            .map(|m| m.path.as_str())
            .unwrap_or_default();
        TOO_DEAR.iter().any(|folder| path.starts_with(folder))
    };
    let needs = index
        .modules()
        .get(name)
        .map(|m| m.needs.as_slice())
        .unwrap_or_default();
    name != PENS && !needs.iter().any(dear)
}

fn in_folder(index: &ModuleIndex, folder: &str, buses: &[&str]) -> Vec<String> {
    let prefix = format!("kernel/{folder}/");
    let buses: Vec<String> = buses.iter().map(|bus| normal(bus)).collect();
    let on_bus: BTreeSet<&str> = index
        .aliases()
        .iter()
        .filter(|(alias, _)| buses.iter().any(|bus| alias.starts_with(bus)))
        .map(|(_, module)| module.as_str())
        .collect();
    let below = index
        .modules()
        .iter()
        .filter(|(_, module)| module.path.starts_with(&prefix));
    let fits = below.filter(|(name, _)| buses.is_empty() || on_bus.contains(name.as_str()));
    fits.map(|(name, _)| name.clone()).collect()
}

/// Adds dependencies until nothing is missing.
fn with_dependencies(index: &ModuleIndex, roots: BTreeSet<String>) -> BTreeSet<String> {
    let mut chosen = BTreeSet::new();
    let mut todo: Vec<String> = roots.into_iter().collect();
    while let Some(name) = todo.pop() {
        let Some(module) = index.modules().get(&name) else {
            continue;
        };
        if !chosen.insert(name.clone()) {
            continue;
        }
        todo.extend(module.needs.iter().cloned());
        for hint in index.hints(&name) {
            if let Resolved::Modules(names) = index.resolve(hint) {
                todo.extend(names);
            }
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> ModuleIndex {
        let mut index = ModuleIndex::default();
        index.read_dep(
            "kernel/drivers/block/loop.ko:\nkernel/fs/squashfs/squashfs.ko:\nkernel/fs/overlayfs/overlay.ko:\n\
             kernel/fs/isofs/isofs.ko: kernel/drivers/cdrom/cdrom.ko\nkernel/drivers/cdrom/cdrom.ko:\n\
             kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko\nkernel/fs/jbd2/jbd2.ko:\n\
             kernel/crypto/crc32c_generic.ko:\nkernel/drivers/ata/ahci.ko: kernel/drivers/ata/libahci.ko\n\
             kernel/drivers/ata/libahci.ko:\nkernel/drivers/ata/pata_pcmcia.ko:\nkernel/drivers/net/e1000.ko:\n\
             kernel/drivers/scsi/mpt3sas/mpt3sas.ko:\nkernel/drivers/hid/hid-apple.ko:\n\
             kernel/drivers/hid/hid-picolcd.ko: kernel/drivers/media/rc/rc-core.ko\nkernel/drivers/media/rc/rc-core.ko:\n\
             kernel/drivers/hid/i2c-hid/i2c-hid-acpi.ko: kernel/drivers/gpu/drm/drm.ko\nkernel/drivers/gpu/drm/drm.ko:\n\
             kernel/drivers/pinctrl/intel/pinctrl-x.ko:\n",
        );
        index.read_alias(
            "alias devname:loop-control loop\nalias fs-squashfs squashfs\nalias fs-overlay overlay\nalias fs-iso9660 isofs\n\
             alias fs-ext4 ext4\nalias crypto-crc32c crc32c_generic\nalias pci:v*d*sv*sd*bc01sc06i01* ahci\n\
             alias pcmcia:m*c*f04* pata_pcmcia\nalias pci:v00008086d* e1000\nalias pci:v00001000d00000097sv* mpt3sas\n\
             alias hid:b0003g*v000005ACp* hid_apple\nalias hid:b0003g*v000004D8p0000C002 hid_picolcd\n\
             alias acpi*:PNP0C50:* i2c_hid_acpi\nalias acpi*:INTC1:* pinctrl_x\n",
        );
        index.read_hints("softdep ext4 pre: crypto-crc32c\n");
        index
    }

    fn chosen(scope: Scope) -> BTreeSet<String> {
        choose(&index(), scope, "1.2.3").unwrap()
    }

    #[test]
    fn boot_drivers_come_with_hard_and_soft_dependencies() {
        let chosen = chosen(Scope::Boot);
        for name in [
            "loop",
            "squashfs",
            "ext4",
            "jbd2",
            "crc32c_generic",
            "ahci",
            "libahci",
            "cdrom",
            "hid_apple",
        ] {
            assert!(chosen.contains(name), "{name} is missing from {chosen:?}");
        }
    }

    #[test]
    fn what_no_boot_medium_needs_stays_out() {
        let chosen = chosen(Scope::Boot);
        for name in [
            "e1000",
            "mpt3sas",
            "pata_pcmcia",
            "hid_picolcd",
            "rc_core",
            "i2c_hid_acpi",
            "drm",
            "pinctrl_x",
        ] {
            assert!(!chosen.contains(name), "{name} is in {chosen:?}");
        }
    }

    #[test]
    fn server_adapters_come_with_all_drivers() {
        assert!(chosen(Scope::All).contains("mpt3sas"));
        assert!(!chosen(Scope::All).contains("e1000"));
    }

    #[test]
    fn a_kernel_without_squashfs_is_refused() {
        let mut index = ModuleIndex::default();
        index.read_builtin("kernel/drivers/block/loop.ko\n");
        index.read_builtin_modinfo(b"loop.alias=devname:loop-control\0");
        let text = choose(&index, Scope::Boot, "1.2.3")
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("fs-squashfs") && text.contains("1.2.3"),
            "{text}"
        );
    }
}
