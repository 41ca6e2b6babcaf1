//! What a name is called in the primary tree and in Joliet's.
//!
//! ECMA-119 7.5 and 7.6 at level 2 and up: letters, digits and `_`, 30 in all but for the dot.
//! Joliet 1.0: UCS-2 without the characters that Windows forbids, 103 units as all readers take
//! them (mkisofs' `-joliet-long`), no version number. Names that come out the same get numbers.

use super::tree::Node;
use std::collections::{BTreeMap, BTreeSet};

/// Which of the two trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// ISO 9660 with Rock Ridge.
    Primary,
    /// Joliet.
    Joliet,
}

/// The identifiers of one flavour.
#[derive(Clone, Debug)]
pub struct Names {
    /// Of each node: its bytes in a directory record.
    pub ids: Vec<Vec<u8>>,
    /// Of each node: what is in it, in the order of its records.
    pub children: Vec<Vec<usize>>,
    /// The directories, in the order of the path table (ECMA-119 6.9.1): level by level, within
    /// one by their parents, then by identifier.
    pub directories: Vec<usize>,
}

/// A name in units of its alphabet: before and behind its last dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Id {
    stem: Vec<u16>,
    extension: Option<Vec<u16>>,
}

const DOT: u16 = b'.' as u16;
const UNDERSCORE: u16 = b'_' as u16;

/// Identifiers for all nodes; Joliet has no links.
pub fn names(nodes: &[Node], flavour: Flavour) -> Names {
    let mut below = vec![Vec::new(); nodes.len()];
    for (number, node) in nodes.iter().enumerate().skip(1) {
        let is_link = matches!(node.kind, super::tree::Kind::Symlink(_));
        if flavour == Flavour::Primary || !is_link {
            below[node.parent].push(number);
        }
    }
    let mut ids = vec![Vec::new(); nodes.len()];
    let mut children = Vec::with_capacity(nodes.len());
    for mut list in below {
        list.sort_by(|a, b| nodes[*a].name.cmp(&nodes[*b].name));
        let mut named = told_apart(nodes, &list, flavour);
        named.sort();
        for (id, number) in &named {
            ids[*number] = bytes(id, nodes[*number].is_directory(), flavour);
        }
        children.push(
            named
                .into_iter()
                .map(|(_, number)| number)
                .collect::<Vec<_>>(),
        );
    }
    let mut directories = vec![0];
    let mut at = 0;
    while let Some(&directory) = directories.get(at) {
        let inner = children[directory].iter().copied();
        directories.extend(inner.filter(|child| nodes[*child].is_directory()));
        at += 1;
    }
    Names {
        ids,
        children,
        directories,
    }
}

/// The most units of a whole name.
fn most(flavour: Flavour) -> usize {
    match flavour {
        Flavour::Primary => 30,
        Flavour::Joliet => 103,
    }
}

fn told_apart(nodes: &[Node], list: &[usize], flavour: Flavour) -> Vec<(Id, usize)> {
    let mut used = BTreeSet::new();
    let mut next: BTreeMap<Id, u64> = BTreeMap::new();
    let mut named = Vec::with_capacity(list.len());
    for &number in list {
        let wanted = id(&nodes[number], flavour);
        let mut id = wanted.clone();
        while !used.insert(id.clone()) {
            let count = next.entry(wanted.clone()).or_insert(0);
            id = numbered(&wanted, *count, most(flavour));
            *count += 1;
        }
        named.push((id, number));
    }
    named
}

fn numbered(id: &Id, count: u64, most: usize) -> Id {
    let digits: Vec<u16> = count.to_string().bytes().map(u16::from).collect();
    let room = most - id.extension.as_ref().map_or(0, |e| e.len() + 1) - digits.len();
    let kept = id.stem.iter().take(room);
    Id {
        stem: kept.chain(&digits).copied().collect(),
        extension: id.extension.clone(),
    }
}

/// An extension longer than this is cut: there must be room for numbers before it.
const LONGEST_EXTENSION: usize = 8;

fn id(node: &Node, flavour: Flavour) -> Id {
    let units: Vec<u16> = match flavour {
        Flavour::Primary => node.name.iter().map(|b| d_character(*b)).collect(),
        Flavour::Joliet => {
            let text = String::from_utf8_lossy(&node.name);
            text.chars().map(joliet_character).collect()
        }
    };
    let whole_in_one = flavour == Flavour::Primary && node.is_directory();
    let dot = units.iter().rposition(|u| *u == DOT).filter(|at| *at > 0);
    let (stem, extension) = match dot {
        Some(at) if !whole_in_one => (&units[..at], Some(&units[at + 1..])),
        _ => (&units[..], None),
    };
    // In Joliet a long tail behind a dot is no extension but a part of the name.
    let (stem, extension) = match extension {
        Some(e) if flavour == Flavour::Joliet && e.len() > LONGEST_EXTENSION => (&units[..], None),
        other => (stem, other.map(|e| &e[..e.len().min(LONGEST_EXTENSION)])),
    };
    let room = most(flavour) - extension.map_or(0, |e| e.len() + 1);
    let mut stem = stem[..stem.len().min(room)].to_vec();
    if flavour == Flavour::Primary {
        // One dot at most.
        for unit in stem.iter_mut().filter(|unit| **unit == DOT) {
            *unit = UNDERSCORE;
        }
    }
    Id {
        stem,
        extension: extension.map(<[u16]>::to_vec),
    }
}

/// ECMA-119 7.4.1, and the dot.
fn d_character(byte: u8) -> u16 {
    u16::from(match byte.to_ascii_uppercase() {
        byte @ (b'A'..=b'Z' | b'0'..=b'9' | b'.') => byte,
        _ => b'_',
    })
}

/// Joliet 1.0, "Allowed Characters"; UCS-2 has no pairs.
fn joliet_character(c: char) -> u16 {
    let forbidden = c.is_control() || matches!(c, '*' | '/' | ':' | ';' | '?' | '\\');
    let unit = u16::try_from(u32::from(c)).unwrap_or(UNDERSCORE);
    if forbidden { UNDERSCORE } else { unit }
}

fn bytes(id: &Id, is_directory: bool, flavour: Flavour) -> Vec<u8> {
    let mut units = id.stem.clone();
    match (&id.extension, flavour) {
        (Some(extension), _) => {
            units.push(DOT);
            units.extend(extension);
        }
        (None, Flavour::Primary) if !is_directory => units.push(DOT),
        _ => {}
    }
    match flavour {
        Flavour::Primary => {
            if !is_directory {
                units.extend(b";1".map(u16::from));
            }
            // All are ASCII.
            units.into_iter().map(|unit| unit as u8).collect()
        }
        Flavour::Joliet => units.into_iter().flat_map(u16::to_be_bytes).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::{Entry, What, nodes};
    use super::*;

    fn primary(paths: &[&str]) -> Vec<String> {
        let entry = |path: &&str| Entry {
            path: path.as_bytes().to_vec(),
            what: What::File { most: 0 },
        };
        let nodes = nodes(&paths.iter().map(entry).collect::<Vec<_>>()).unwrap();
        let names = names(&nodes, Flavour::Primary);
        let listed = names.children[0].iter().map(|n| names.ids[*n].clone());
        listed.map(|id| String::from_utf8(id).unwrap()).collect()
    }

    #[test]
    fn names_become_capitals_with_one_dot_and_a_version() {
        let found = primary(&["bootx64.efi", "a.b.c", ".hidden", "vmlinuz", "EFI.d/x"]);
        assert_eq!(
            found,
            [
                "A_B.C;1",
                "BOOTX64.EFI;1",
                "EFI_D",
                "VMLINUZ.;1",
                "_HIDDEN.;1"
            ]
        );
    }

    #[test]
    fn names_that_come_out_the_same_are_told_apart() {
        let long = "x".repeat(40);
        let found = primary(&["a", "A", &format!("{long}1.txt"), &format!("{long}2.txt")]);
        let cut = |stem: usize, number: &str| format!("{}{number}.TXT;1", "X".repeat(stem));
        assert_eq!(
            found,
            ["A.;1", "A0.;1", &cut(25, "0"), &cut(26, "")].map(str::to_owned)
        );
    }
}
