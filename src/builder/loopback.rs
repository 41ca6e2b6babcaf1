//! `boot/grub/loopback.cfg`: how a GRUB on another disk starts the image as a file.
//!
//! Contract: GRUB's wiki page "Loopback.cfg": `root` is the image, `iso_path` its path on the
//! disk that GRUB found it on. The agent finds it there by `iso-scan/filename=`.

use super::menu::MenuEntry;
use crate::layout::{BOOT_INITRAMFS, BOOT_KERNEL};

/// Where GRUB looks for it.
pub const PATH: &str = "boot/grub/loopback.cfg";

/// Its text.
pub fn text(entries: &[MenuEntry]) -> String {
    let mut text = String::new();
    for entry in entries {
        let words: Vec<String> = words(&entry.words).iter().map(|w| quoted(w)).collect();
        text.push_str(&format!(
            "menuentry {} {{\n  linux /{BOOT_KERNEL} {} iso-scan/filename=\"${{iso_path}}\"\n  initrd /{BOOT_INITRAMFS}\n}}\n",
            quoted(&entry.title),
            words.join(" ")
        ));
    }
    text
}

/// Words parted at spaces outside double quotes, which fall away: GRUB's `linux` puts a word
/// with a space into double quotes again.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut inside = false;
    for c in line.chars() {
        match c {
            '"' => inside = !inside,
            ' ' if !inside => words.push(String::new()),
            _ => {
                if let Some(word) = words.last_mut() {
                    word.push(c);
                }
            }
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// In single quotes, within which GRUB's script knows no other sign (GRUB manual, "Quoting").
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_the_kernel_as_they_were() {
        let entry = MenuEntry {
            name: "x".into(),
            title: "Start it's $X".into(),
            words: "\"root=live:LABEL=A B\" rd.live.image a=$b;c".into(),
        };
        let text = text(&[entry]);
        assert_eq!(
            text,
            "menuentry 'Start it'\\''s $X' {\n  linux /boot/vmlinuz 'root=live:LABEL=A B' \
             'rd.live.image' 'a=$b;c' iso-scan/filename=\"${iso_path}\"\n  initrd /boot/initramfs\n}\n"
        );
    }
}
