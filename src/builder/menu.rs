//! The words on the kernel's command line, and the menu that offers them.
//!
//! Contract: the Boot Loader Specification, type 1 entries, as systemd-boot reads them. An
//! entry's options replace the words built into the kernel image as a whole.

use super::{Error, Result};
use crate::layout::UKI_PATH;
use crate::units::Label;

/// The kernel's limit (`COMMAND_LINE_SIZE` of x86) without its NUL.
const MAX_WORDS: usize = 2047;
/// Seconds until the menu starts its first entry.
pub const TIMEOUT: u32 = 5;

/// An entry of the menu.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct MenuEntry {
    /// File name below `loader/entries`, without suffix.
    pub name: String,
    /// What the menu shows.
    pub title: String,
    /// All kernel words.
    pub words: String,
}

/// The entries of a medium; the first starts by itself.
pub fn entries(label: &Label, append: Option<&str>, system: &str) -> Result<Vec<MenuEntry>> {
    let words = words(label, append)?;
    let without = format!("{words} liveroot.overlay=off");
    check_length(&without)?;
    Ok(vec![
        MenuEntry {
            name: "liveroot-1-start".into(),
            title: format!("Start {system}"),
            words,
        },
        MenuEntry {
            name: "liveroot-2-unsaved".into(),
            title: format!("Start {system} without saved changes"),
            words: without,
        },
    ])
}

/// Words that find the medium by its label. A label with a space is quoted with its name,
/// as the kernel's own parser and dracut read it.
fn words(label: &Label, append: Option<&str>) -> Result<String> {
    let root = format!("root=live:LABEL={label}");
    let root = if root.contains(' ') {
        format!("\"{root}\"")
    } else {
        root
    };
    let mut words = format!("{root} rd.live.image");
    if let Some(more) = append.map(str::trim).filter(|more| !more.is_empty()) {
        check_append(more)?;
        words.push(' ');
        words.push_str(more);
    }
    Ok(words)
}

fn check_append(more: &str) -> Result<()> {
    let refuse = |finding: String, remedy: &str| Err(Error::input("--append", finding, remedy));
    if let Some(bad) = more.chars().find(|c| !(' '..='~').contains(c)) {
        return refuse(
            format!("it has the character {bad:?}"),
            "use printable ASCII, all in one line",
        );
    }
    if more.matches('"').count() % 2 == 1 {
        return refuse(
            "it has a double quote without its partner".into(),
            "close it",
        );
    }
    Ok(())
}

fn check_length(words: &str) -> Result<()> {
    if words.len() <= MAX_WORDS {
        return Ok(());
    }
    Err(Error::input(
        "--append",
        format!(
            "the kernel's words take {} bytes, and it reads {MAX_WORDS}",
            words.len()
        ),
        "leave some out",
    ))
}

/// The menu's files: path in the ESP, and text.
pub fn files(entries: &[MenuEntry]) -> Vec<(String, String)> {
    let mut files = Vec::new();
    if let Some(first) = entries.first() {
        let text = format!(
            "timeout {TIMEOUT}\ndefault {}.conf\neditor yes\n",
            first.name
        );
        files.push(("loader/loader.conf".to_owned(), text));
    }
    for entry in entries {
        let text = format!(
            "title {}\nsort-key {}\nefi /{UKI_PATH}\noptions {}\n",
            entry.title, entry.name, entry.words
        );
        files.push((format!("loader/entries/{}.conf", entry.name), text));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_find_the_medium_by_its_label() {
        let plain = entries(&Label::new("LIVE"), Some(" console=ttyS0 "), "X").unwrap();
        assert_eq!(
            plain[0].words,
            "root=live:LABEL=LIVE rd.live.image console=ttyS0"
        );
        assert_eq!(
            plain[1].words,
            format!("{} liveroot.overlay=off", plain[0].words)
        );
        let spaced = entries(&Label::new("My Label"), None, "X").unwrap();
        assert_eq!(
            spaced[0].words,
            "\"root=live:LABEL=My Label\" rd.live.image"
        );
    }

    #[test]
    fn words_that_would_break_the_menu_are_refused() {
        for bad in ["a\nb", "tür=1", "x=\"y", &"w ".repeat(1100)] {
            assert!(
                entries(&Label::new("L"), Some(bad), "X").is_err(),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn the_first_entry_is_the_default_and_all_can_be_edited() {
        let files = files(&entries(&Label::new("L"), None, "Debian").unwrap());
        assert_eq!(
            files[0].1,
            "timeout 5\ndefault liveroot-1-start.conf\neditor yes\n"
        );
        assert_eq!(files[1].0, "loader/entries/liveroot-1-start.conf");
        assert!(files[1].1.contains("title Start Debian\n"));
        assert!(files[1].1.contains("efi /EFI/liveroot/linux.efi\n"));
    }
}
