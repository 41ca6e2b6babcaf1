//! Which volume labels a medium may have.
//!
//! An ISO 9660 volume id has 32 bytes padded with spaces (ECMA-119, 8.4.8). The label
//! must also survive quoting on the kernel's command line, where a double quote cannot be
//! escaped, and udev's encoding, where dracut escapes only slashes and spaces.

use super::{Error, Result};
use crate::units::Label;

/// Bytes of an ISO 9660 volume id.
const MAX: usize = 32;

/// Checks a label that the user chose.
pub fn check_label(text: &str) -> Result<Label> {
    let refuse = |finding: String, remedy: &str| Err(Error::input("--label", finding, remedy));
    if text.is_empty() {
        return refuse(
            "the label is empty".into(),
            "name the medium, or leave --label out",
        );
    }
    if text.len() > MAX {
        let finding = format!(
            "{text:?} has {} bytes, and a label has at most {MAX}",
            text.len()
        );
        return refuse(finding, "choose a shorter one");
    }
    let bad = text
        .chars()
        .find(|c| !(' '..='~').contains(c) || matches!(c, '"' | '\\'));
    if let Some(bad) = bad {
        let finding = format!("{text:?} has the character {bad:?}, which a label cannot hold");
        return refuse(
            finding,
            "use printable ASCII without double quotes and backslashes",
        );
    }
    if text.starts_with(' ') || text.ends_with(' ') {
        return refuse(
            format!("{text:?} starts or ends with a space, which is lost on the medium"),
            "choose one without",
        );
    }
    Ok(Label::new(text))
}

/// A label for a tree whose user chose none, from its os-release: `DEBIAN-12`. At most 11
/// upper-case characters, so that it survives a copy onto FAT.
pub fn default_label(id: Option<&str>, version: Option<&str>) -> Label {
    let text = [id, version]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("-");
    let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let text: String = text
        .to_ascii_uppercase()
        .chars()
        .filter(allowed)
        .take(11)
        .collect();
    let text = text.trim_matches(['-', '.']);
    Label::new(if text.is_empty() { "LIVEROOT" } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_with_spaces_and_hashes_are_taken() {
        for good in ["LIVE", "My Label", "a#b", &"x".repeat(32)] {
            assert_eq!(check_label(good).unwrap(), Label::new(good));
        }
    }

    #[test]
    fn labels_that_would_not_survive_are_refused() {
        for bad in [
            "",
            "a\"b",
            "a\\b",
            "a\tb",
            "Größe",
            " a",
            "a ",
            &"x".repeat(33),
        ] {
            assert!(check_label(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_default_label_is_the_distribution() {
        assert_eq!(
            default_label(Some("debian"), Some("12")),
            Label::new("DEBIAN-12")
        );
        assert_eq!(
            default_label(Some("opensuse-tumbleweed"), None),
            Label::new("OPENSUSE-TU")
        );
        assert_eq!(default_label(None, None), Label::new("LIVEROOT"));
    }
}
