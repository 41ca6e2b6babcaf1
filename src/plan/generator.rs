//! What the generator gives to systemd in dracut's initramfs (systemd.generator(7)).
//!
//! The root is mounted by the step in dracut-pre-mount.service, so systemd finds the unit active
//! and starts nothing. When the step failed and nobody repaired it, systemd tries the mount, it
//! fails at once, and with it initrd-root-fs.target: no wait for a device that never comes.

use super::root::OVERLAY_OPTIONS;
use crate::layout::OVERLAY_SOURCE;
use crate::request::DeviceSpec;
use crate::request::claim::Claim;

/// A file, or with a target a link, below the directory of early units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Below the directory.
    pub path: String,
    /// Content of the file, or target of the link.
    pub content: Content,
}

/// As it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A file with this text.
    Text(String),
    /// A link to this.
    Link(&'static str),
}

/// All that is to be made; nothing for other roots. `legacy` is the device of `root=` without
/// `live:` in front, which systemd's and dracut's own generators take for the root.
pub fn decide_units(claim: &Claim, readonly: bool, legacy: Option<&DeviceSpec>) -> Vec<Made> {
    if *claim == Claim::Foreign {
        return Vec::new();
    }
    let link = |target: &str| Made {
        path: format!("{target}.requires/sysroot.mount"),
        content: Content::Link("../sysroot.mount"),
    };
    let mut made = vec![
        Made {
            path: "sysroot.mount".to_owned(),
            content: Content::Text(sysroot_mount(readonly)),
        },
        link("initrd-root-fs.target"),
        link("initrd-usr-fs.target"),
    ];
    if let Some(device) = legacy.and_then(by_link) {
        // systemd-fstab-generator's, so that no target needs the link of udev: the same name in
        // an earlier directory takes its place.
        made.push(Made {
            path: "initrd-root-device.target.d/50-root-device.conf".to_owned(),
            content: Content::Text(String::new()),
        });
        // dracut-rootfs-generator's, which waits for that link without a limit.
        made.push(Made {
            path: format!("initrd.target.wants/{}.device", escape(&device)),
            content: Content::Link("/dev/null"),
        });
    }
    made
}

fn sysroot_mount(readonly: bool) -> String {
    let lower = match readonly {
        true => "/run/overlayfs-r:/run/rootfsbase",
        false => "/run/rootfsbase",
    };
    let mut options = format!("lowerdir={lower},upperdir=/run/overlayfs,workdir=/run/ovlwork");
    for (key, value) in OVERLAY_OPTIONS {
        options += &format!(",{key}={value}");
    }
    format!(
        "# Written by liveroot-init generator.
[Unit]
Description=live root: why it is missing says /run/liveroot/report.json
Documentation=man:liveroot-init(8)
After=dracut-pre-mount.service
Before=initrd-root-fs.target

[Mount]
What={OVERLAY_SOURCE}
Where=/sysroot
Type=overlay
Options={options}
"
    )
}

/// The path that dracut's label_uuid_to_dev makes of it (`dracut-lib.sh`).
fn by_link(spec: &DeviceSpec) -> Option<String> {
    let encode = |label: &crate::units::Label| {
        label
            .to_string()
            .replace('/', "\\x2f")
            .replace(' ', "\\x20")
    };
    Some(match spec {
        DeviceSpec::Label(label) => format!("dev/disk/by-label/{}", encode(label)),
        DeviceSpec::Uuid(uuid) => format!("dev/disk/by-uuid/{uuid}"),
        DeviceSpec::PartUuid(uuid) => format!("dev/disk/by-partuuid/{uuid}"),
        DeviceSpec::PartLabel(label) => format!("dev/disk/by-partlabel/{}", encode(label)),
        DeviceSpec::Node(node) => format!("dev/{node}"),
        // A file of the initramfs: nobody waits for a link to it.
        DeviceSpec::Path(_) => return None,
    })
}

/// A path as the name of a unit, systemd-escape(1).
fn escape(path: &str) -> String {
    let mut name = String::new();
    for byte in path.bytes() {
        match byte {
            b'/' => name.push('-'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b':' | b'_' | b'.' => {
                name.push(char::from(byte));
            }
            _ => name += &format!("\\x{byte:02x}"),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::claim::Awaited;

    fn paths(claim: &Claim, legacy: Option<&DeviceSpec>) -> Vec<String> {
        let made = decide_units(claim, false, legacy);
        made.into_iter().map(|m| m.path).collect()
    }

    #[test]
    fn a_live_root_gets_its_mount_and_both_links_and_others_nothing() {
        let want = [
            "sysroot.mount",
            "initrd-root-fs.target.requires/sysroot.mount",
            "initrd-usr-fs.target.requires/sysroot.mount",
        ];
        assert_eq!(paths(&Claim::Ours(Awaited::Nothing), None), want);
        assert_eq!(paths(&Claim::Fetched, None), want);
        assert!(paths(&Claim::Foreign, None).is_empty());
    }

    #[test]
    fn the_unit_is_the_mount_that_the_step_makes_and_waits_for_no_device() {
        let unit = sysroot_mount(false);
        for line in [
            "What=LiveOS_rootfs\n",
            "Type=overlay\n",
            "Where=/sysroot\n",
            "Options=lowerdir=/run/rootfsbase,upperdir=/run/overlayfs,workdir=/run/ovlwork,redirect_dir=on",
            "After=dracut-pre-mount.service\n",
        ] {
            assert!(unit.contains(line), "{line} in {unit}");
        }
        assert!(!unit.contains("/dev/") && !unit.contains(".device"));
        assert!(sysroot_mount(true).contains("lowerdir=/run/overlayfs-r:/run/rootfsbase,"));
    }

    #[test]
    fn the_older_form_waits_for_no_link_of_udev() {
        let spec = DeviceSpec::parse(b"LABEL=A b-c");
        let made = paths(&Claim::Ours(Awaited::Nothing), spec.as_ref());
        let masked = r"initrd.target.wants/dev-disk-by\x2dlabel-A\x5cx20b\x2dc.device".to_owned();
        assert_eq!(
            made[3..],
            [
                "initrd-root-device.target.d/50-root-device.conf".to_owned(),
                masked
            ]
        );
    }
}
