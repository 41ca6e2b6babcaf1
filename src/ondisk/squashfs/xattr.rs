//! Extended attributes: sets of them, each stored once, and values stored once where that
//! is shorter (`include/linux/squashfs_fs.h`, struct squashfs_xattr_entry, squashfs_xattr_val,
//! squashfs_xattr_id, squashfs_xattr_id_table).

use super::metadata::{Pack, Stream, indexed};
use std::collections::HashMap;

/// The name spaces that the format has a number for; what is in no other can be stored.
const PREFIXES: [(&[u8], u16); 3] = [(b"user.", 0), (b"trusted.", 1), (b"security.", 2)];
/// In an entry's type: eight bytes stand for the value, its place (SQUASHFS_XATTR_VALUE_OOL).
const ELSEWHERE: u16 = 0x100;
/// Length of such a place.
const PLACE: usize = 8;
/// Longest name of an attribute and longest value that Linux takes (`linux/limits.h`,
/// XATTR_NAME_MAX and XATTR_SIZE_MAX).
pub const MOST_NAME: usize = 255;
/// See [`MOST_NAME`].
pub const MOST_VALUE: usize = 65_536;

/// The number of a name's prefix, and the rest of it; none for what can't be stored, such as
/// `system.posix_acl_access`.
pub fn split_name(name: &[u8]) -> Option<(u16, &[u8])> {
    PREFIXES
        .iter()
        .find_map(|(prefix, number)| Some((*number, name.strip_prefix(*prefix)?)))
}

/// All sets of an image.
#[derive(Debug, Default)]
pub struct Table {
    entries: Stream,
    ids: Vec<u8>,
    sets: HashMap<Vec<u8>, u32>,
    values: HashMap<Vec<u8>, u64>,
}

/// The table's bytes and what the superblock needs.
#[derive(Debug)]
pub struct Stored {
    /// Entries, sets, header, index.
    pub bytes: Vec<u8>,
    /// Place of the header in the image.
    pub header: u64,
}

impl Table {
    /// The number of a set of names and values: one that is there already, or a new one.
    /// Names without a known prefix are left out; an empty set has no number.
    ///
    /// # Errors
    /// What `pack` fails with.
    pub fn add<'a, E>(
        &mut self,
        set: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        pack: Pack<'_, E>,
    ) -> Result<Option<u32>, E> {
        let mut known = Vec::new();
        let mut key = Vec::new();
        let mut size = 0;
        for (name, value) in set {
            let Some((prefix, rest)) = split_name(name) else {
                continue;
            };
            known.push((prefix, rest, value));
            size += name.len() + 1 + value.len();
            push_entry(&mut key, prefix, rest);
            push_value(&mut key, value);
        }
        if known.is_empty() {
            return Ok(None);
        }
        let next = self.sets.len() as u32;
        if let Some(there) = self.sets.get(&key) {
            return Ok(Some(*there));
        }
        let start = self.entries.place().reference();
        for (prefix, rest, value) in &known {
            self.add_entry(*prefix, rest, value, pack)?;
        }
        self.ids.extend_from_slice(&start.to_le_bytes());
        self.ids
            .extend_from_slice(&(known.len() as u32).to_le_bytes());
        self.ids.extend_from_slice(&(size as u32).to_le_bytes());
        self.sets.insert(key, next);
        Ok(Some(next))
    }

    fn add_entry<E>(
        &mut self,
        prefix: u16,
        rest: &[u8],
        value: &[u8],
        pack: Pack<'_, E>,
    ) -> Result<(), E> {
        let there = self.values.get(value).filter(|_| value.len() > PLACE);
        let mut entry = Vec::new();
        match there {
            Some(place) => {
                push_entry(&mut entry, prefix | ELSEWHERE, rest);
                push_value(&mut entry, &place.to_le_bytes());
                self.entries.push(&entry, pack)
            }
            None => {
                push_entry(&mut entry, prefix, rest);
                self.entries.push(&entry, pack)?;
                let place = self.entries.place().reference();
                self.values.insert(value.to_vec(), place);
                entry.clear();
                push_value(&mut entry, value);
                self.entries.push(&entry, pack)
            }
        }
    }

    /// Lays the table down at byte `at` of the image; none when there is no set.
    ///
    /// # Errors
    /// What `pack` fails with.
    pub fn finish<E>(self, at: u64, pack: Pack<'_, E>) -> Result<Option<Stored>, E> {
        if self.ids.is_empty() {
            return Ok(None);
        }
        let count = self.sets.len() as u32;
        let (mut bytes, _) = self.entries.finish(pack)?;
        let sets = indexed(&self.ids, at + bytes.len() as u64, pack)?;
        // The header stands between the sets and their index.
        let blocks = (sets.index - at) as usize - bytes.len();
        bytes.extend_from_slice(&sets.bytes[..blocks]);
        bytes.extend_from_slice(&at.to_le_bytes());
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&sets.bytes[blocks..]);
        let header = sets.index;
        Ok(Some(Stored { bytes, header }))
    }
}

fn push_entry(out: &mut Vec<u8>, kind: u16, name: &[u8]) {
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&(name.len() as u16).to_le_bytes());
    out.extend_from_slice(name);
}

fn push_value(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ondisk::fields::{le32, le64};
    use std::convert::Infallible;

    fn raw(_: &[u8]) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(None)
    }

    fn add(table: &mut Table, set: &[(&[u8], &[u8])]) -> Option<u32> {
        table.add(set.iter().copied(), &mut raw).unwrap()
    }

    #[test]
    fn equal_sets_are_one_and_equal_long_values_too() {
        let mut table = Table::default();
        let label: &[u8] = b"system_u:object_r:usr_t:s0";
        assert_eq!(add(&mut table, &[(b"security.selinux", label)]), Some(0));
        assert_eq!(add(&mut table, &[(b"security.selinux", label)]), Some(0));
        assert_eq!(add(&mut table, &[(b"user.copy", label)]), Some(1));
        let stored = table.finish(1000, &mut raw).unwrap().unwrap();
        let first = 4 + 7 + 4 + label.len();
        let second = 2 + first;
        assert_eq!(stored.bytes[second..second + 2], 0x100u16.to_le_bytes());
        // The place is that of the first value.
        assert_eq!(le64(&stored.bytes, second + 4 + 4 + 4), 4 + 7);
        let header = (stored.header - 1000) as usize;
        assert_eq!(le64(&stored.bytes, header), 1000);
        assert_eq!(le32(&stored.bytes, header + 8), 2);
        assert_eq!(stored.bytes.len(), header + 16 + 8);
    }

    #[test]
    fn what_has_no_number_is_left_out() {
        let mut table = Table::default();
        let acl: (&[u8], &[u8]) = (b"system.posix_acl_access", b"x");
        assert_eq!(add(&mut table, &[acl]), None);
        assert!(table.finish(0, &mut raw).unwrap().is_none());
    }
}
