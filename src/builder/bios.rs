//! Start by BIOS: isolinux's files, of the tree or of the host, and its menu.
//!
//! syslinux 6, `doc/isolinux.txt`: isolinux.bin starts from a disc, isohdpfx.bin as master boot
//! record from a stick; both then read the volume. ldlinux.c32 is isolinux's other half,
//! menu.c32 with libutil.c32 its menu.

use super::medium::{MediumFile, Place};
use super::menu::{MenuEntry, TIMEOUT};
use super::{Error, Result};
use crate::layout::{BOOT_INITRAMFS, BOOT_KERNEL};
use crate::ondisk::isolinux;

/// Whether a medium is to start by BIOS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// When isolinux is there.
    #[default]
    Auto,
    /// Never.
    No,
    /// In any case.
    Require,
}

/// Where isolinux.bin and isohdpfx.bin are, and where the modules are: Debian and its like;
/// Fedora, openSUSE, Alpine and Gentoo; Arch.
const PLACES: [(&str, &str); 3] = [
    ("usr/lib/ISOLINUX", "usr/lib/syslinux/modules/bios"),
    ("usr/share/syslinux", "usr/share/syslinux"),
    ("usr/lib/syslinux/bios", "usr/lib/syslinux/bios"),
];
const PROGRAM: &str = "isolinux.bin";
const MBR: &str = "isohdpfx.bin";
const MODULE: &str = "ldlinux.c32";
/// The menu, and what it needs.
const MENU: [&str; 2] = ["menu.c32", "libutil.c32"];

/// Where isolinux lies on the medium: it looks for its menu beside itself.
const DIRECTORY: &str = "isolinux";

/// What gives the files.
const REMEDY: &str = "install isolinux and syslinux-common (Debian, Ubuntu), syslinux-nonlinux \
                      (Fedora) or syslinux (Arch, openSUSE, Alpine), in the tree or on this machine";

/// What was found of isolinux.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bios {
    /// Code of the master boot record.
    pub mbr_code: Vec<u8>,
    /// Names below [`DIRECTORY`], and contents; isolinux itself is the first.
    files: Vec<(String, Vec<u8>)>,
    has_menu: bool,
}

/// Reads a file below a root; none when there is none.
pub type Read<'a> = &'a dyn Fn(&str) -> Result<Option<Vec<u8>>>;

/// What [`find`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// All that is needed.
    Files(Bios),
    /// The medium will not start by BIOS; why, in one sentence, and what would change it.
    /// Nothing when that was asked for.
    Without(Option<String>),
}

/// Looks for isolinux in the tree, then on the host; never half here and half there, for both
/// halves must be of one release.
///
/// # Errors
/// When it is required and not there, and when a file can't be read.
pub fn find(choice: Choice, tree: Read<'_>, host: Read<'_>) -> Result<Found> {
    if choice == Choice::No {
        return Ok(Found::Without(None));
    }
    let mut missing = None;
    for read in [tree, host] {
        for place in PLACES {
            match at(place, read)? {
                Ok(bios) => return Ok(Found::Files(bios)),
                Err(path) => missing = missing.or(path),
            }
        }
    }
    let missing = missing.unwrap_or_else(|| format!("{}/{PROGRAM}", PLACES[0].0));
    let finding =
        format!("it is neither in the tree nor on this machine: no start by BIOS (/{missing})");
    match choice {
        Choice::Require => Err(Error::input("isolinux", finding, REMEDY)),
        _ => Ok(Found::Without(Some(format!(
            "isolinux: {finding}; {REMEDY}"
        )))),
    }
}

/// What is at one place; else the file that lacks where others are there.
fn at(place: (&str, &str), read: Read<'_>) -> Result<std::result::Result<Bios, Option<String>>> {
    let (programs, modules) = place;
    let Some(program) = read(&format!("{programs}/{PROGRAM}"))? else {
        return Ok(Err(None));
    };
    let path = format!("{programs}/{MBR}");
    let Some(mbr_code) = read(&path)?.filter(|code| code.len() == isolinux::MBR_CODE) else {
        return Ok(Err(Some(path)));
    };
    let path = format!("{modules}/{MODULE}");
    let Some(module) = read(&path)? else {
        return Ok(Err(Some(path)));
    };
    if !isolinux::is_hybrid(&program) {
        return Ok(Err(Some(format!("{programs}/{PROGRAM} of syslinux 6"))));
    }
    let mut files = vec![(PROGRAM.to_owned(), program), (MODULE.to_owned(), module)];
    let mut menu = Vec::new();
    for name in MENU {
        if let Some(bytes) = read(&format!("{modules}/{name}"))? {
            menu.push((name.to_owned(), bytes));
        }
    }
    let has_menu = menu.len() == MENU.len();
    if has_menu {
        files.extend(menu);
    }
    Ok(Ok(Bios {
        mbr_code,
        files,
        has_menu,
    }))
}

impl Bios {
    /// Path of isolinux on the medium.
    pub fn program() -> String {
        format!("{DIRECTORY}/{PROGRAM}")
    }

    /// All files for the medium: path, and contents. isolinux is the first, and lacks its boot
    /// info table until [`isolinux::put_boot_info`].
    pub fn files(&self, entries: &[MenuEntry]) -> Vec<(String, Vec<u8>)> {
        let files = self.files.iter();
        let mut files: Vec<(String, Vec<u8>)> = files
            .map(|(name, bytes)| (format!("{DIRECTORY}/{name}"), bytes.clone()))
            .collect();
        let menu = menu(entries, self.has_menu);
        files.push((format!("{DIRECTORY}/isolinux.cfg"), menu.into_bytes()));
        files
    }
}

/// The files as the layout takes them.
pub fn own(files: &[(String, Vec<u8>)]) -> impl Iterator<Item = MediumFile> + '_ {
    files.iter().map(|(path, bytes)| MediumFile {
        path: path.clone(),
        place: Place::Own {
            length: bytes.len() as u64,
        },
    })
}

/// isolinux's menu (syslinux's `doc/syslinux.txt` and `doc/menu.txt`); without menu.c32 a prompt
/// that says what can be typed.
fn menu(entries: &[MenuEntry], has_menu: bool) -> String {
    let mut text = String::new();
    if has_menu {
        text.push_str("UI menu.c32\nMENU TITLE Start\n");
    } else {
        text.push_str("PROMPT 1\n");
        for entry in entries {
            text.push_str(&format!("SAY {}: {}\n", entry.name, entry.title));
        }
    }
    // In tenths of a second.
    text.push_str(&format!("TIMEOUT {}\n", TIMEOUT * 10));
    if let Some(first) = entries.first() {
        text.push_str(&format!("DEFAULT {}\n", first.name));
    }
    for entry in entries {
        // A circumflex would make the next letter a key.
        let title = entry.title.replace('^', " ");
        text.push_str(&format!(
            "LABEL {}\n  MENU LABEL {title}\n  LINUX /{BOOT_KERNEL}\n  INITRD /{BOOT_INITRAMFS}\n  APPEND {}\n",
            entry.name, entry.words
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Label;

    /// A root in which these files are.
    fn root(paths: &[&str]) -> impl Fn(&str) -> Result<Option<Vec<u8>>> + use<> {
        let paths: Vec<String> = paths.iter().map(|p| (*p).to_owned()).collect();
        move |path| {
            let mut bytes = vec![0; 432];
            if path.ends_with(PROGRAM) {
                bytes[64..68].copy_from_slice(b"\xfb\xc0\x78\x70");
            }
            Ok(paths.iter().any(|p| p == path).then_some(bytes))
        }
    }

    const DEBIAN: [&str; 3] = [
        "usr/lib/ISOLINUX/isolinux.bin",
        "usr/lib/ISOLINUX/isohdpfx.bin",
        "usr/lib/syslinux/modules/bios/ldlinux.c32",
    ];

    #[test]
    fn both_halves_come_from_one_root() {
        let (tree, host) = (root(&DEBIAN[..2]), root(&DEBIAN[2..]));
        let Found::Without(Some(why)) = find(Choice::Auto, &tree, &host).unwrap() else {
            panic!("half here, half there");
        };
        assert!(
            why.contains(DEBIAN[2]) && why.contains("syslinux-common"),
            "{why}"
        );
        assert!(find(Choice::Require, &tree, &host).is_err());
        let all = root(&DEBIAN);
        assert!(matches!(
            find(Choice::Auto, &tree, &all),
            Ok(Found::Files(_))
        ));
        assert_eq!(find(Choice::No, &all, &all).unwrap(), Found::Without(None));
        let names = [
            "isolinux.bin",
            "isohdpfx.bin",
            "ldlinux.c32",
            "menu.c32",
            "libutil.c32",
        ];
        let paths = names.map(|name| format!("usr/share/syslinux/{name}"));
        let fedora = root(&paths.each_ref().map(String::as_str));
        let Found::Files(bios) = find(Choice::Require, &fedora, &tree).unwrap() else {
            panic!("not found");
        };
        assert!(bios.has_menu);
    }

    #[test]
    fn the_menu_starts_its_first_entry_and_passes_all_words() {
        let label = Label::new("A B");
        let entries = super::super::menu::entries(&label, Some("quiet"), "X^Y").unwrap();
        let text = menu(&entries, true);
        assert!(text.starts_with("UI menu.c32\n"), "{text}");
        assert!(
            text.contains("TIMEOUT 50\nDEFAULT liveroot-1-start\n"),
            "{text}"
        );
        assert!(
            text.contains("MENU LABEL Start X Y\n  LINUX /boot/vmlinuz\n"),
            "{text}"
        );
        assert!(
            text.contains("  APPEND \"root=live:LABEL=A B\" rd.live.image quiet\n"),
            "{text}"
        );
        assert!(menu(&entries, false).starts_with("PROMPT 1\nSAY liveroot-1-start: Start X^Y\n"));
    }
}
