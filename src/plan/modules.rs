//! Which modules serve an alias, and in which order they go in.
//!
//! Reads the text files of depmod(8): `modules.dep`, `modules.alias`, `modules.softdep`.
//! In names and aliases `-` and `_` are the same.

use crate::ondisk::glob;
use crate::ondisk::kmod::{name_of_path, normal};
use std::collections::HashMap;
use std::ops::Range;

/// Place of a module in its [`ModuleIndex`].
pub type ModuleId = usize;

/// One module of the initramfs.
#[derive(Debug)]
pub struct Module {
    /// With `_` for `-`.
    pub name: String,
    /// As modules.dep writes it: relative to the directory of the kernel release, or absolute.
    pub path: String,
    needs: Vec<ModuleId>,
    wants: Vec<String>,
}

/// In which order modules are loaded that are called for at the same time; the lowest
/// first. Insertions are work for a CPU, and what they start is mostly waiting: so what is
/// waited for longest goes in early, and what only stacks goes in while it is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Buses and devices that answer at once (virtio, NVMe, cards), and the drivers of
    /// devices that were found on a slow bus.
    Quick,
    /// USB hosts: a stick is there 0.3 to 3 s after them.
    UsbHost,
    /// Other hosts of storage: a SATA link resets for 0.3 s and more.
    Host,
    /// File systems and the loop device.
    Stack,
    /// What will be asked for when a disk appears on a slow bus.
    Ahead,
    /// Keyboards and screens, for people at the failure page: not before it is shown.
    Page,
}

/// The modules of an initramfs and how they are found.
#[derive(Debug, Default)]
pub struct ModuleIndex {
    modules: Vec<Module>,
    by_name: HashMap<String, ModuleId>,
    /// modules.alias as it was read; patterns are ranges of it. Three thousand lines are
    /// read before the first driver goes in: each allocation would be felt.
    text: String,
    /// Patterns by what stands before their first colon (`pci`), nothing for `fs-ext4`.
    buckets: Vec<(String, Vec<Alias>)>,
}

/// A pattern, by its place in the text, and whose it is.
type Alias = (Range<usize>, ModuleId);

impl ModuleIndex {
    /// Reads the three files. Lines that make no sense are passed over, names that are not
    /// in `dep` are built into the kernel or not in this initramfs.
    pub fn parse(dep: &str, alias: String, softdep: &str) -> Self {
        let mut index = ModuleIndex::default();
        index.read_dep(dep);
        index.read_alias(&alias);
        index.text = alias;
        softdep.lines().for_each(|line| index.read_softdep(line));
        index
    }

    fn read_dep(&mut self, dep: &str) {
        let lines: Vec<(&str, &str)> = dep.lines().filter_map(|l| l.split_once(':')).collect();
        for (path, _) in &lines {
            let name = name_of_path(path);
            self.by_name.insert(name.clone(), self.modules.len());
            let path = (*path).to_owned();
            self.modules.push(Module {
                name,
                path,
                needs: Vec::new(),
                wants: Vec::new(),
            });
        }
        for (id, (_, needs)) in lines.iter().enumerate() {
            let find = |path: &str| self.by_name.get(&name_of_path(path)).copied();
            self.modules[id].needs = needs.split(' ').filter_map(find).collect();
        }
    }

    /// `alias PATTERN NAME`. Lines of one module follow one another, and those of one bus.
    fn read_alias(&mut self, text: &str) {
        let mut at = 0;
        let mut last: (&str, Option<ModuleId>) = ("", None);
        let mut place = usize::MAX;
        for line in text.split('\n') {
            let (start, end) = (at, at + line.len());
            at = end + 1;
            let Some(rest) = line.strip_prefix("alias ") else {
                continue;
            };
            let Some((pattern, name)) = rest.rsplit_once(' ') else {
                continue;
            };
            if name != last.0 {
                last = (name, self.by_name.get(&normal(name)).copied());
            }
            let Some(id) = last.1 else { continue };
            let bus = bus_of(pattern);
            if self
                .buckets
                .get(place)
                .is_none_or(|(known, _)| known != bus)
            {
                place = self.bucket(bus);
            }
            let range = start + "alias ".len()..end - name.len() - 1;
            self.buckets[place].1.push((range, id));
        }
    }

    fn bucket(&mut self, bus: &str) -> usize {
        self.buckets
            .iter()
            .position(|(known, _)| known == bus)
            .unwrap_or_else(|| {
                self.buckets.push((bus.to_owned(), Vec::new()));
                self.buckets.len() - 1
            })
    }

    /// Whether any alias is of `bus`, as sysfs names buses.
    pub fn knows_bus(&self, bus: &str) -> bool {
        self.buckets.iter().any(|(known, _)| known.starts_with(bus))
    }

    /// `softdep NAME pre: A B post: C`: A and B go in first; C and later are not waited for.
    fn read_softdep(&mut self, line: &str) {
        let mut fields = line.split_whitespace();
        let (Some("softdep"), Some(name)) = (fields.next(), fields.next()) else {
            return;
        };
        let Some(id) = self.by_name.get(&normal(name)).copied() else {
            return;
        };
        let pre = fields
            .skip_while(|f| *f != "pre:")
            .skip(1)
            .take_while(|f| !f.ends_with(':'));
        self.modules[id].wants.extend(pre.map(normal));
    }

    /// The module `id`.
    pub fn get(&self, id: ModuleId) -> Option<&Module> {
        self.modules.get(id)
    }

    /// How many modules there are.
    pub fn len(&self) -> usize {
        self.modules.len()
    }

    /// Whether there are none (a kernel with everything built in).
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty()
    }

    /// The modules that `alias` (a MODALIAS, or a module's own name) calls for; none is
    /// normal: built in, or not for a boot medium.
    pub fn find(&self, alias: &str) -> Vec<ModuleId> {
        if let Some(id) = self.by_name.get(&normal(alias)) {
            return vec![*id];
        }
        let bus = bus_of(alias);
        let mut found: Vec<ModuleId> = Vec::new();
        for (range, id) in self
            .buckets
            .iter()
            .filter(|(b, _)| b == bus)
            .flat_map(|(_, all)| all)
        {
            let pattern = self.text.as_bytes().get(range.clone()).unwrap_or_default();
            if !found.contains(id) && glob::matches(pattern, alias.as_bytes()) {
                found.push(*id);
            }
        }
        found
    }

    /// `id` and all it depends on, softly or not, in the order of insertion: `id` last.
    pub fn order(&self, id: ModuleId) -> Vec<ModuleId> {
        let mut order = Vec::new();
        self.visit(id, &mut order, &mut Vec::new());
        order
    }

    fn visit(&self, id: ModuleId, order: &mut Vec<ModuleId>, open: &mut Vec<ModuleId>) {
        // A circle (softdeps may make one) is cut where it closes.
        if order.contains(&id) || open.contains(&id) {
            return;
        }
        let Some(module) = self.modules.get(id) else {
            return;
        };
        open.push(id);
        for want in &module.wants {
            for soft in self.find(want) {
                self.visit(soft, order, open);
            }
        }
        // depmod lists the deepest dependency last.
        for need in module.needs.iter().rev() {
            self.visit(*need, order, open);
        }
        open.pop();
        order.push(id);
    }

    /// When the module `id` is loaded for `alias`.
    pub fn rank(&self, id: ModuleId, alias: &str) -> Rank {
        const PAGE: [&str; 4] = [
            "/drivers/hid/",
            "/drivers/input/",
            "/drivers/gpu/",
            "/drivers/video/",
        ];
        let path = self.modules.get(id).map_or("", |m| m.path.as_str());
        let in_dir = |dir: &str| path.contains(dir);
        if PAGE.iter().any(|dir| in_dir(dir)) || path.contains("keyboard.ko") {
            Rank::Page
        } else if alias.starts_with("fs-") || !alias.contains(':') {
            Rank::Stack
        } else if in_dir("/usb/") && !alias.starts_with("usb:") {
            Rank::UsbHost
        } else if in_dir("/virtio/") || in_dir("/nvme/") || in_dir("/mmc/") || !is_host(alias) {
            Rank::Quick
        } else {
            Rank::Host
        }
    }
}

/// Whether an alias is of a controller, and not of a device on a bus that it opened.
fn is_host(alias: &str) -> bool {
    ["pci:", "acpi", "platform:", "of:", "pnp:"]
        .iter()
        .any(|bus| alias.starts_with(bus))
}

/// What stands before the first colon, up to a wildcard: depmod writes `acpi*:VMBUS:*` for a
/// device that says `acpi:VMBUS:`. Nothing for what has no bus, such as `fs-ext4`.
fn bus_of(alias: &str) -> &str {
    let bus = alias.split_once(':').map_or("", |(bus, _)| bus);
    bus.split(['*', '?', '[']).next().unwrap_or(bus)
}

/// Parameters for `name` from the kernel's words (`usbcore.autosuspend=-1`, or bare), as
/// modprobe(8) hands them on: the kernel itself gives them to what is built in only.
pub fn decide_parameters(name: &str, words: &[(String, Option<String>)]) -> String {
    let mine = words.iter().filter_map(|(key, value)| {
        let (module, parameter) = key.split_once('.')?;
        (normal(module) == name).then(|| match value {
            None => parameter.to_owned(),
            Some(value) if value.contains(char::is_whitespace) => {
                format!("{parameter}=\"{value}\"")
            }
            Some(value) => format!("{parameter}={value}"),
        })
    });
    // Probing in a thread of the kernel's lets us load the next module while a SATA link
    // resets; without it an insertion also waits for everybody else's probing (since 5.17).
    std::iter::once("async_probe=1".to_owned())
        .chain(mine)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "\
kernel/fs/ext4/ext4.ko.zst: kernel/fs/jbd2/jbd2.ko.zst kernel/fs/mbcache.ko.zst kernel/lib/crc16.ko.zst
kernel/fs/jbd2/jbd2.ko.zst:
kernel/fs/mbcache.ko.zst:
kernel/lib/crc16.ko.zst:
kernel/arch/x86/crypto/crc32c-intel.ko.zst:
kernel/crypto/crc32c_generic.ko.zst:
kernel/drivers/ata/ahci.ko.zst: kernel/drivers/ata/libahci.ko.zst kernel/drivers/ata/libata.ko.zst
kernel/drivers/ata/libahci.ko.zst: kernel/drivers/ata/libata.ko.zst
kernel/drivers/ata/libata.ko.zst:
kernel/drivers/hid/usbhid/usbhid.ko.zst:
";
    const ALIAS: &str = "\
alias crypto-crc32c crc32c_intel
alias crypto-crc32c crc32c_generic
alias pci:v*d*sv*sd*bc01sc06i01* ahci
alias fs-ext4 ext4
alias pci:v00001234* gone
alias acpi*:80860F14:* ahci
";
    const SOFTDEP: &str =
        "softdep ext4 pre: crypto-crc32c post: ahci\nsoftdep jbd2 pre: crypto-crc32c\n";

    fn names(index: &ModuleIndex, ids: &[ModuleId]) -> Vec<String> {
        ids.iter()
            .map(|id| index.get(*id).unwrap().name.clone())
            .collect()
    }

    #[test]
    fn dependencies_and_soft_dependencies_come_first() {
        let index = ModuleIndex::parse(DEP, ALIAS.to_owned(), SOFTDEP);
        let ext4 = index.find("ext4");
        let order = names(&index, &index.order(ext4[0]));
        assert_eq!(
            order,
            [
                "crc32c_intel",
                "crc32c_generic",
                "crc16",
                "mbcache",
                "jbd2",
                "ext4"
            ]
        );
        assert_eq!(index.find("fs-ext4"), ext4);
    }

    #[test]
    fn a_modalias_finds_its_driver_once() {
        let index = ModuleIndex::parse(DEP, ALIAS.to_owned(), SOFTDEP);
        let found = index.find("pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01");
        assert_eq!(names(&index, &found), ["ahci"]);
        assert_eq!(
            names(&index, &index.order(found[0])),
            ["libata", "libahci", "ahci"]
        );
        assert!(index.find("pci:v00001234").is_empty() && index.find("").is_empty());
        let by_acpi = index.find("acpi:80860F14:PNP0D40:");
        assert_eq!(
            names(&index, &by_acpi),
            ["ahci"],
            "depmod writes acpi*: for acpi:"
        );
        assert!(index.knows_bus("acpi") && !index.knows_bus("virtio"));
    }

    #[test]
    fn a_circle_of_soft_dependencies_ends() {
        let index = ModuleIndex::parse(
            "a.ko:\nb.ko:\n",
            String::new(),
            "softdep a pre: b\nsoftdep b pre: a\n",
        );
        assert_eq!(names(&index, &index.order(0)), ["b", "a"]);
    }

    #[test]
    fn slow_buses_go_first_and_what_stacks_follows() {
        let dep = "kernel/drivers/hid/usbhid/usbhid.ko:\nkernel/drivers/ata/ahci.ko:\n\
                   kernel/drivers/usb/host/xhci-pci.ko:\nkernel/drivers/usb/storage/uas.ko:\n\
                   kernel/fs/isofs/isofs.ko:\nkernel/drivers/virtio/virtio_pci.ko:\n\
                   kernel/drivers/input/serio/hyperv-keyboard.ko:\n";
        let index = ModuleIndex::parse(dep, String::new(), "");
        let rank = |name: &str, alias: &str| index.rank(index.find(name)[0], alias);
        assert_eq!(rank("virtio_pci", "pci:v1"), Rank::Quick);
        assert_eq!(rank("uas", "usb:v1"), Rank::Quick);
        assert_eq!(rank("xhci-pci", "pci:v1"), Rank::UsbHost);
        assert_eq!(rank("ahci", "pci:v1"), Rank::Host);
        assert_eq!(rank("isofs", "fs-iso9660"), Rank::Stack);
        assert_eq!(rank("usbhid", "usb:v1"), Rank::Page);
        assert_eq!(rank("hyperv-keyboard", "vmbus:1"), Rank::Page);
        assert!(
            Rank::Quick < Rank::UsbHost && Rank::UsbHost < Rank::Host && Rank::Host < Rank::Stack
        );
    }

    #[test]
    fn words_of_the_kernel_become_parameters() {
        let words = [
            ("usb-storage.delay_use".into(), Some("3".into())),
            ("usbcore.x".into(), Some("a b".into())),
            ("usbcore.nousb".into(), None),
        ];
        assert_eq!(
            decide_parameters("usb_storage", &words),
            "async_probe=1 delay_use=3"
        );
        assert_eq!(
            decide_parameters("usbcore", &words),
            "async_probe=1 x=\"a b\" nousb"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_panic(dep in "[a-z./: \n-]{0,200}", soft in "[a-z: \n-]{0,100}") {
            let index = ModuleIndex::parse(&dep, "alias a* b\n".to_owned(), &soft);
            for id in 0..index.len() {
                index.order(id);
            }
        }
    }
}
