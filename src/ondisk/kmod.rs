//! The text indexes that depmod(8) writes: modules.dep, .alias, .softdep, .weakdep,
//! .builtin and .builtin.modinfo.
//!
//! Contract: modules.dep(5), modprobe.d(5), and kmod's own matching: in names and
//! aliases a dash and an underscore are the same, except within brackets, and aliases
//! are fnmatch(3) patterns.
#![forbid(unsafe_code)]

use super::glob;
use std::collections::{BTreeMap, BTreeSet};

/// A module's file and what must be loaded before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Path below the modules directory, as modules.dep spells it.
    pub path: String,
    /// Names of all modules it needs, those loaded first standing last (modules.dep(5)).
    pub needs: Vec<String>,
}

/// All indexes of one kernel.
#[derive(Clone, Debug, Default)]
pub struct ModuleIndex {
    modules: BTreeMap<String, Module>,
    aliases: Vec<(String, String)>,
    hints: BTreeMap<String, Vec<String>>,
    builtin: BTreeSet<String>,
    builtin_aliases: Vec<String>,
}

/// What a name or device resolves to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// These modules, by their normalised names.
    Modules(Vec<String>),
    /// Nothing to load: it is part of the kernel.
    Builtin,
    /// This kernel has nothing of the kind.
    Nothing,
}

impl ModuleIndex {
    /// Reads modules.dep.
    pub fn read_dep(&mut self, text: &str) {
        for line in text.lines() {
            let Some((path, needs)) = line.split_once(':') else {
                continue;
            };
            let needs = needs.split_whitespace().map(name_of_path).collect();
            let module = Module {
                path: path.to_owned(),
                needs,
            };
            self.modules.insert(name_of_path(path), module);
        }
    }

    /// Reads modules.alias.
    pub fn read_alias(&mut self, text: &str) {
        for line in text.lines() {
            let mut words = line.split_whitespace();
            if let (Some("alias"), Some(alias), Some(module)) =
                (words.next(), words.next(), words.next())
            {
                self.aliases.push((normal(alias), normal(module)));
            }
        }
    }

    /// Reads modules.softdep or modules.weakdep: `softdep NAME pre: A B post: C`, where
    /// words before a mark count for nothing, and `weakdep NAME A B`.
    pub fn read_hints(&mut self, text: &str) {
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let mut counts = match words.next() {
                Some("softdep") => false,
                Some("weakdep") => true,
                _ => continue,
            };
            let Some(module) = words.next() else { continue };
            let hints = self.hints.entry(normal(module)).or_default();
            for word in words {
                match word {
                    "pre:" | "post:" => counts = true,
                    _ if counts => hints.push(normal(word)),
                    _ => {}
                }
            }
        }
    }

    /// Reads modules.builtin.
    pub fn read_builtin(&mut self, text: &str) {
        self.builtin.extend(text.lines().map(name_of_path));
    }

    /// Reads modules.builtin.modinfo: `NAME.KEY=VALUE`, each ended by a NUL.
    pub fn read_builtin_modinfo(&mut self, bytes: &[u8]) {
        let entries = bytes
            .split(|b| *b == 0)
            .filter_map(|e| std::str::from_utf8(e).ok());
        let aliases = entries.filter_map(|e| Some(e.split_once(".alias=")?.1));
        self.builtin_aliases.extend(aliases.map(normal));
    }

    /// All modules by normalised name.
    pub fn modules(&self) -> &BTreeMap<String, Module> {
        &self.modules
    }

    /// The aliases of all modules: normalised pattern and module name, in file order.
    pub fn aliases(&self) -> &[(String, String)] {
        &self.aliases
    }

    /// What soft and weak dependencies of a module ask for: names or aliases.
    pub fn hints(&self, module: &str) -> &[String] {
        self.hints.get(module).map_or(&[], Vec::as_slice)
    }

    /// What `modprobe NAME` would load: the module of that name, else all whose alias
    /// matches. A device's MODALIAS is such a name too.
    pub fn resolve(&self, name: &str) -> Resolved {
        let name = normal(name);
        if self.modules.contains_key(&name) {
            return Resolved::Modules(vec![name]);
        }
        let mut found: Vec<String> = Vec::new();
        for (pattern, module) in &self.aliases {
            let known = self.modules.contains_key(module) && !found.contains(module);
            if known && glob::matches(pattern.as_bytes(), name.as_bytes()) {
                found.push(module.clone());
            }
        }
        if !found.is_empty() {
            return Resolved::Modules(found);
        }
        let builtin = self.builtin.contains(&name)
            || self
                .builtin_aliases
                .iter()
                .any(|pattern| glob::matches(pattern.as_bytes(), name.as_bytes()));
        if builtin {
            Resolved::Builtin
        } else {
            Resolved::Nothing
        }
    }
}

/// The name in a module's path: base name without `.ko` and what follows it.
pub fn name_of_path(path: &str) -> String {
    let base = path.rsplit('/').next().unwrap_or(path);
    normal(base.split(".ko").next().unwrap_or(base))
}

/// A name or alias with underscores for dashes, except within brackets.
pub fn normal(name: &str) -> String {
    let mut within = false;
    let each = |c| {
        match c {
            '[' => within = true,
            ']' => within = false,
            _ => {}
        }
        if c == '-' && !within { '_' } else { c }
    };
    name.chars().map(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, name: &str) -> bool {
        glob::matches(pattern.as_bytes(), name.as_bytes())
    }

    fn index() -> ModuleIndex {
        let mut index = ModuleIndex::default();
        index.read_dep(
            "kernel/fs/ext4/ext4.ko.xz: kernel/fs/jbd2/jbd2.ko.xz\nkernel/fs/jbd2/jbd2.ko.xz:\n\
             kernel/drivers/nvme/host/nvme.ko:\nkernel/arch/x86/crypto/crc32c-intel.ko:\n",
        );
        index.read_alias(
            "# made by depmod\nalias fs-ext4 ext4\nalias pci:v*d*sv*sd*bc01sc08i02* nvme\n\
             alias crypto-crc32c crc32c_intel\nalias gone lost\n",
        );
        index.read_hints(
            "softdep ext4 pre: crypto-crc32c post: x\nsoftdep cifs gcm\nweakdep ext4 w\n",
        );
        index.read_builtin("kernel/drivers/virtio/virtio.ko\n");
        index.read_builtin_modinfo(b"squashfs.alias=fs-squashfs\0squashfs.license=GPL\0");
        index
    }

    fn modules(names: &[&str]) -> Resolved {
        Resolved::Modules(names.iter().map(|n| (*n).to_owned()).collect())
    }

    #[test]
    fn a_name_an_alias_and_a_device_resolve_to_their_modules() {
        assert_eq!(index().resolve("fs-ext4"), modules(&["ext4"]));
        assert_eq!(index().resolve("crc32c-intel"), modules(&["crc32c_intel"]));
        assert_eq!(index().resolve("crypto-crc32c"), modules(&["crc32c_intel"]));
        let nvme = "pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02";
        assert_eq!(index().resolve(nvme), modules(&["nvme"]));
    }

    #[test]
    fn builtin_parts_are_told_from_missing_ones() {
        assert_eq!(index().resolve("virtio"), Resolved::Builtin);
        assert_eq!(index().resolve("fs-squashfs"), Resolved::Builtin);
        assert_eq!(index().resolve("fs-xfs"), Resolved::Nothing);
        assert_eq!(
            index().resolve("gone"),
            Resolved::Nothing,
            "alias of a missing module"
        );
    }

    #[test]
    fn soft_dependencies_count_only_behind_a_mark() {
        assert_eq!(index().hints("ext4"), ["crypto_crc32c", "x", "w"]);
        assert!(index().hints("cifs").is_empty());
    }

    #[test]
    fn patterns_match_as_fnmatch_does() {
        for (pattern, name, want) in [
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("*a*b*", "xxayybzz", true),
            ("usb:v*p*ic03*", "usb:v046dp0001ic03isc01", true),
            ("d[0-9A-F]x", "dBx", true),
            ("d[0-9A-F]x", "dGx", false),
            ("d[!0-9]x", "dGx", true),
            ("a?c", "abc", true),
            ("abc", "abcd", false),
            ("", "", true),
            ("[", "a", false),
        ] {
            assert_eq!(matches(pattern, name), want, "{pattern} on {name}");
        }
    }

    #[test]
    fn dashes_within_brackets_stay() {
        assert_eq!(normal("snd-hda[0-9]-x"), "snd_hda[0-9]_x");
    }

    proptest! {
        #[test]
        fn any_pattern_ends_without_a_panic(pattern in r"[a-c*?\[\]!-]{0,12}", name in "[a-c-]{0,12}") {
            let _ = matches(&pattern, &name);
            let half = format!("*{}*", &name[..name.len() / 2]);
            prop_assert!(matches(&half, &name));
        }
    }
}
