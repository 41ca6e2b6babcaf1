//! What a listing says before anything is written: what cannot be read, how much there is,
//! and the date that stands for "now".

use super::source::{Kind, Source, shown};
use super::{Error, Result};

/// First second of 1980, where FAT's dates begin.
const FAT_START: u64 = 315_532_800;
/// First second of 2100, so that every date fits each format.
const LATEST: u64 = 4_102_444_800;
/// How many unreadable files a message names.
const NAMED: usize = 5;

/// What a tree holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Bytes of all regular files; a file with two names counts once.
    pub bytes: u64,
    /// The newest modification time below the root, seconds since 1970.
    pub newest: u64,
}

/// Looks through a listing; fails when something in it cannot be read.
pub fn survey(source: &dyn Source) -> Result<Survey> {
    refuse_unreadable(source)?;
    let inodes = &source.listing().inodes;
    let size = |kind: &Kind| match kind {
        Kind::File { size } => *size,
        _ => 0,
    };
    let newest = inodes.iter().skip(1).map(|inode| inode.mtime).max();
    Ok(Survey {
        bytes: inodes.iter().map(|inode| size(&inode.kind)).sum(),
        newest: u64::try_from(newest.unwrap_or(0)).unwrap_or(0),
    })
}

/// An image without them would be another system.
fn refuse_unreadable(source: &dyn Source) -> Result<()> {
    let all = source.unreadable();
    let Some(first) = all.first() else {
        return Ok(());
    };
    let path = |inode: &usize| {
        let names = &source.listing().names;
        let name = names.iter().find(|name| name.inode == *inode);
        format!("/{}", shown(name.map_or(b"", |name| &name.path)))
    };
    let more: Vec<String> = all.iter().skip(1).take(NAMED - 1).map(path).collect();
    let finding = match (all.len(), more.is_empty()) {
        (_, true) => "it cannot be read".to_owned(),
        (n, _) if n > NAMED => format!(
            "it cannot be read, nor {} and {} more",
            more.join(", "),
            n - NAMED
        ),
        _ => format!("it cannot be read, nor {}", more.join(", ")),
    };
    Err(Error::input(
        source.describe(*first),
        finding,
        "build as the user who owns the tree, usually root",
    ))
}

/// The date of everything written: SOURCE_DATE_EPOCH where it is set
/// (reproducible-builds.org), else the newest date in the tree.
pub fn epoch(from_environment: Option<&str>, newest: u64) -> Result<u64> {
    let Some(text) = from_environment else {
        return Ok(newest.clamp(FAT_START, LATEST));
    };
    match text.parse::<u64>() {
        Ok(epoch) => Ok(epoch.clamp(FAT_START, LATEST)),
        Err(_) => Err(Error::input(
            "SOURCE_DATE_EPOCH",
            format!("{text:?} is no number of seconds since 1970"),
            "unset it, or set it as `date +%s` prints it",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_is_what_the_environment_says_else_the_newest_file() {
        assert_eq!(epoch(Some("1700000000"), 5).unwrap(), 1_700_000_000);
        assert_eq!(epoch(None, 1_600_000_000).unwrap(), 1_600_000_000);
        assert_eq!(epoch(None, 0).unwrap(), FAT_START);
        assert!(epoch(Some("yesterday"), 0).is_err());
    }
}
