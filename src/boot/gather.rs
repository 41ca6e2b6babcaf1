//! Facts of this boot that are files: words, manifest, block devices.

use super::machine::Machine;
use super::report::Report;
use crate::layout::{IMAGE_JSON, ImageManifest, MANIFEST_SCHEMA};
use crate::plan::medium::Device;
use crate::request::said::{self, Said};
use crate::sys::block;

/// The kernel's words.
pub fn words(machine: &Machine) -> Vec<Said> {
    // Without /proc there are no words, and the label in the manifest is what remains.
    said::split(&std::fs::read(machine.proc.join("cmdline")).unwrap_or_default())
}

/// Words that may be parameters of modules: `module.parameter=value`, or without a value.
pub fn parameters(words: &[Said]) -> Vec<(String, Option<String>)> {
    words
        .iter()
        .filter(|w| w.key.contains(&b'.'))
        .map(|w| {
            (
                String::from_utf8_lossy(&w.key).into_owned(),
                w.value.as_ref().map(|_| w.text()),
            )
        })
        .collect()
}

/// The manifest of the image that this initramfs was made for. A foreign initramfs has
/// none; one that can't be read is reported and counts as none.
pub fn manifest(machine: &Machine, report: &mut Report) -> Option<ImageManifest> {
    let text = std::fs::read(machine.root.join(IMAGE_JSON)).ok()?;
    match parse_manifest(&text) {
        Ok(manifest) => Some(manifest),
        Err(why) => {
            report.warn(format!(
                "{IMAGE_JSON} of the initramfs: {why}; any image is taken"
            ));
            None
        }
    }
}

/// Reads a manifest of a schema that is known here.
pub fn parse_manifest(text: &[u8]) -> Result<ImageManifest, String> {
    let manifest: ImageManifest = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    match manifest.schema {
        MANIFEST_SCHEMA => Ok(manifest),
        other => Err(format!("schema {other}, known here is {MANIFEST_SCHEMA}")),
    }
}

/// One block device as the search sees it; none when it has gone, or is not one that a
/// medium can be on (memory; loop devices, which are ours; a path of NVMe multipath).
pub fn device(machine: &Machine, name: &str) -> Option<Device> {
    if ["loop", "ram", "zram", "fd"]
        .iter()
        .any(|kind| is_numbered(name, kind))
    {
        return None;
    }
    let facts = block::read_facts(&machine.sys, name).filter(|f| !f.hidden)?;
    // Of a fixed disk without a size there is nothing to expect; of a card reader there is.
    (facts.size.0 > 0 || facts.optical || facts.removable).then_some(Device {
        name: facts.name,
        size: facts.size,
        parent: facts.parent,
        partitions: facts.partitions,
        optical: facts.optical,
        model: facts.model,
        host: None,
    })
}

/// Every MODALIAS on the buses that `serves`. CPU features are left out: what they call for
/// is cryptography that nobody asked for yet.
pub fn modaliases(machine: &Machine, serves: impl Fn(&str) -> bool) -> Vec<String> {
    let below = |dir: std::path::PathBuf| {
        std::fs::read_dir(dir)
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path())
    };
    let served = |bus: &std::path::PathBuf| {
        let name = bus.file_name().unwrap_or_default().to_string_lossy();
        name != "cpu" && serves(&name)
    };
    let mut found = Vec::new();
    for bus in below(machine.sys.join("bus")).filter(served) {
        for device in below(bus.join("devices")) {
            if let Ok(alias) = std::fs::read_to_string(device.join("modalias")) {
                found.push(alias.trim().to_owned());
            }
        }
    }
    // Hosts of storage first, otherwise sorted: boots of one machine are alike.
    let host = |alias: &String| alias.starts_with("virtio:") || alias.starts_with("pci:");
    found.sort_by_key(|alias| (!host(alias), alias.clone()));
    found.dedup();
    found
}

/// USB interfaces that are there: path below sysfs, and MODALIAS.
pub fn usb_interfaces(machine: &Machine) -> Vec<(String, String)> {
    let devices = std::fs::read_dir(machine.sys.join("bus/usb/devices"));
    let interface = |entry: std::fs::DirEntry| {
        let alias = std::fs::read_to_string(entry.path().join("modalias")).ok()?;
        Some((below_sys(machine, &entry.path())?, alias.trim().to_owned()))
    };
    devices
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(interface)
        .collect()
}

/// Paths of all block devices below sysfs.
pub fn block_paths(machine: &Machine) -> Vec<String> {
    let class = machine.sys.join("class/block");
    let names = block::list(&machine.sys);
    let paths = names.iter().map(|name| class.join(name));
    paths.filter_map(|path| below_sys(machine, &path)).collect()
}

/// Where a link of sysfs leads, as a uevent writes it.
fn below_sys(machine: &Machine, link: &std::path::Path) -> Option<String> {
    let path = link.canonicalize().ok()?;
    let path = path.strip_prefix(&machine.sys).ok()?;
    Some(format!("/{}", path.display()))
}

/// `loop3` and `loop3p1` are numbered loops, `loopy` is not.
fn is_numbered(name: &str, kind: &str) -> bool {
    name.strip_prefix(kind)
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_of_another_schema_is_refused_by_number() {
        let text = |schema: u32| {
            format!(
                r#"{{"schema":{schema},"id":"{}","size":1,"label":"X"}}"#,
                "ab".repeat(32)
            )
        };
        assert_eq!(parse_manifest(text(1).as_bytes()).unwrap().label, "X");
        assert!(
            parse_manifest(text(2).as_bytes())
                .unwrap_err()
                .contains("schema 2")
        );
        assert!(parse_manifest(b"{").is_err());
    }

    #[test]
    fn a_manifest_may_name_a_hash_tree_and_things_of_later_releases() {
        let digits = "ab".repeat(32);
        let text = format!(
            r#"{{"schema":1,"id":"{digits}","size":1,"label":"X","later":[1],"verity":{{"root_hash":"{digits}","salt":"{digits}","data_blocks":7,"hash_offset":28672,"later":1}}}}"#
        );
        let verity = parse_manifest(text.as_bytes()).unwrap().verity.unwrap();
        assert_eq!((verity.data_blocks, verity.hash_offset), (7, 28_672));
        assert_eq!(verity.root_hash.to_string(), digits);
        assert!(parse_manifest(text.replace("ababab", "xx").as_bytes()).is_err());
    }

    #[test]
    fn memory_devices_are_no_media() {
        assert!(is_numbered("loop0", "loop") && is_numbered("zram0", "zram"));
        assert!(!is_numbered("sda", "loop") && !is_numbered("loopy", "loop"));
    }

    #[test]
    fn dotted_words_may_be_parameters() {
        let words = said::split(b"usbcore.autosuspend=-1 quiet usbcore.nousb root=live:LABEL=a.b");
        let want = [
            ("usbcore.autosuspend".to_owned(), Some("-1".to_owned())),
            ("usbcore.nousb".to_owned(), None),
        ];
        assert_eq!(parameters(&words), want);
    }
}
