//! `--sort FILE`: which files stand first in the image, in the form that mksquashfs(1) reads.
//!
//! A line has a path and a priority from -32768 to 32767; the highest come first, what is not
//! named has 0, and a directory's priority is that of all in it that is not named itself. A
//! backslash takes the next byte as it is, `#` begins a comment. Unlike mksquashfs, which
//! reverses it, the tree's order stays among equals, and all paths start at the tree's root.

use super::super::source::shown;
use super::super::{Error, Result};
use std::collections::HashMap;

/// Priorities of paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sort {
    priorities: HashMap<Vec<u8>, i16>,
}

impl Sort {
    /// Reads a sort file's text; `on` names it in messages.
    ///
    /// # Errors
    /// The first line that is not a path and a priority.
    pub fn parse(on: &str, text: &[u8]) -> Result<Sort> {
        let mut priorities = HashMap::new();
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii_start();
            if line.first() == Some(&b'#') {
                continue;
            }
            let (path, rest) = split_path(line);
            if path.is_empty() {
                continue;
            }
            let rest = std::str::from_utf8(rest.trim_ascii()).ok();
            let Some(priority) = rest.and_then(|text| text.parse().ok()) else {
                let is_number = rest.is_some_and(|text| text.parse::<i128>().is_ok());
                let finding = match is_number {
                    true => format!(
                        "the priority of {} is not from -32768 to 32767",
                        shown(&path)
                    ),
                    false => format!("no priority stands behind {}", shown(&path)),
                };
                return Err(Error::input(
                    format_args!("{on}, line {}", number + 1),
                    finding,
                    "write a path, a space and a number from -32768 to 32767",
                ));
            };
            priorities.insert(normal(&path).to_vec(), priority);
        }
        Ok(Sort { priorities })
    }

    /// The priority that a line gives to a path.
    pub fn of(&self, path: &[u8]) -> Option<i16> {
        self.priorities.get(path).copied()
    }

    /// All paths, sorted.
    pub fn paths(&self) -> Vec<&[u8]> {
        let mut paths: Vec<&[u8]> = self.priorities.keys().map(Vec::as_slice).collect();
        paths.sort_unstable();
        paths
    }
}

/// The path without backslashes, and what stands behind it.
fn split_path(line: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut path = Vec::new();
    let mut at = 0;
    while let Some(byte) = line.get(at).filter(|byte| !byte.is_ascii_whitespace()) {
        let escaped = (*byte == b'\\').then(|| line.get(at + 1)).flatten();
        match (escaped, byte) {
            (Some(escaped), _) => {
                path.push(*escaped);
                at += 2;
            }
            (None, b'\\') => at += 1,
            (None, _) => {
                path.push(*byte);
                at += 1;
            }
        }
    }
    (path, &line[at..])
}

/// As the listing spells it.
fn normal(mut path: &[u8]) -> &[u8] {
    path = path.strip_suffix(b"/*").unwrap_or(path);
    path = path
        .strip_prefix(b".")
        .filter(|rest| rest.first().is_none_or(|b| *b == b'/'))
        .unwrap_or(path);
    while let Some(rest) = path.strip_prefix(b"/") {
        path = rest;
    }
    while let Some(rest) = path.strip_suffix(b"/") {
        path = rest;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_path_and_a_priority() {
        let text = b"usr/bin/bash 10\n# a comment\n\n  ./etc/* -5 \n/a\\ b\\\\c\t32767\nusr/ 1";
        let sort = Sort::parse("sort", text).unwrap();
        assert_eq!(sort.of(b"usr/bin/bash"), Some(10));
        assert_eq!(sort.of(b"etc"), Some(-5));
        assert_eq!(sort.of(b"a b\\c"), Some(32767));
        assert_eq!(sort.of(b"usr"), Some(1));
        assert_eq!(sort.paths().len(), 4);
    }

    #[test]
    fn a_line_without_a_number_in_range_is_named() {
        for line in ["etc", "etc x", "etc 1 2", "etc 32768", "etc -32769"] {
            let text = format!("usr 1\n{line}\n");
            let error = Sort::parse("my.sort", text.as_bytes()).unwrap_err();
            let said = error.to_string();
            assert!(said.starts_with("my.sort, line 2: "), "{said}");
            let is_range = said.contains("of etc is not from -32768 to 32767");
            assert_eq!(
                is_range,
                line.ends_with(char::is_numeric) && line.contains('3'),
                "{said}"
            );
        }
    }
}
