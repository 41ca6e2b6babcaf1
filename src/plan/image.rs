//! How a root file system can lie in what was found, and which of it counts: the layouts that
//! dmsquash-live boots, in its order (dmsquash-live-root.sh of dracut).

use crate::layout::LIVE_DIR;
use crate::ondisk::{FsFacts, FsKind};
use crate::units::Bytes;

/// How the root file system lies in what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A squashfs or erofs image, or device, with the root tree in it.
    Flat,
    /// One with a file system image in it, which holds the root tree.
    Nested,
    /// A file system image that takes no squashfs around it.
    Bare,
    /// The medium's own file system is the root.
    Tree,
}

impl Layout {
    /// As the report has it.
    pub const fn name(self) -> &'static str {
        match self {
            Layout::Flat => "flat",
            Layout::Nested => "nested",
            Layout::Bare => "bare",
            Layout::Tree => "tree",
        }
    }
}

/// A file system image without a squashfs around it; dracut up to 109 knew the second name.
const ROOTFS: [&str; 2] = ["rootfs.img", "ext3fs.img"];

/// Read-only image formats: they hold a root tree or another image.
pub const fn is_packed(fs: FsKind) -> bool {
    matches!(fs, FsKind::Squashfs | FsKind::Erofs)
}

/// Where an image may lie on a file system, in the order in which they count. Inside a packed
/// image `rd.live.dir` says nothing.
pub fn decide_paths(fs: FsKind, live_dir: &str, image_path: &str) -> Vec<String> {
    let mut paths = Vec::new();
    let dir = match is_packed(fs) {
        true => LIVE_DIR,
        false => {
            paths.push(image_path.to_owned());
            live_dir
        }
    };
    for name in ROOTFS {
        let path = format!("{dir}/{name}");
        let path = path.trim_start_matches('/').to_owned();
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

/// Why a file that holds no file system is no image: what packs it, if something does.
pub fn describe_no_image(path: &str, packed: Option<&str>, size: Bytes) -> String {
    match packed {
        Some(kind) => format!("{path} is a packed archive ({kind}), which is not unpacked here"),
        None => format!("{path} ({size}) is no file system image"),
    }
}

/// What an image is: by its own superblock, and when it is as long as that says. The reason,
/// if it is none.
pub fn decide_kind(path: &str, fs: Option<&FsFacts>, size: Bytes) -> Result<FsKind, String> {
    let Some(fs) = fs else {
        return Err(describe_no_image(path, None, size));
    };
    match (fs.kind, fs.size) {
        (FsKind::Squashfs | FsKind::Erofs | FsKind::Ext | FsKind::Xfs | FsKind::Btrfs, claimed) => {
            match claimed {
                Some(claimed) if claimed > size => Err(format!(
                    "{path} is cut short: {size} are there, its {} has {claimed}",
                    fs.kind
                )),
                _ => Ok(fs.kind),
            }
        }
        (other, _) => Err(format!(
            "{path} is {other}, not squashfs, erofs, ext4, xfs or btrfs"
        )),
    }
}

/// Whether a file that the words name is a medium of its own: an ISO, by its name as dracut
/// takes it, or by what is in it.
pub fn is_medium(path: &str, fs: FsKind) -> bool {
    let named = path
        .get(path.len().saturating_sub(4)..)
        .is_some_and(|end| end.eq_ignore_ascii_case(".iso"));
    !is_packed(fs) && (named || matches!(fs, FsKind::Iso9660 | FsKind::Udf))
}

/// Whether the medium's own file system can be the root: only when the words name it, and not
/// one without owners and links, which overlayfs does not take.
pub fn may_be_root(named: bool, fs: FsKind) -> bool {
    use FsKind::{Btrfs, Ext, F2fs, Iso9660, Udf, Xfs};
    named && (is_packed(fs) || matches!(fs, Ext | Xfs | Btrfs | F2fs | Iso9660 | Udf))
}

/// Why there is nothing on a medium: what was looked for. The name that dracut gave up is left
/// out.
pub fn describe_absent(paths: &[String], tree: bool) -> String {
    let said: Vec<String> = paths
        .iter()
        .filter(|p| !p.ends_with(ROOTFS[1]))
        .map(|p| format!("no {p}"))
        .collect();
    match tree {
        true => format!("{}, and no init in a plain tree", said.join(", ")),
        false => said.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(kind: FsKind, size: Option<u64>) -> FsFacts {
        FsFacts {
            kind,
            label: None,
            uuid: None,
            size: size.map(Bytes),
        }
    }

    #[test]
    fn the_packed_image_comes_first_then_the_bare_one() {
        let paths = decide_paths(FsKind::Iso9660, "live", "live/filesystem.squashfs");
        let expected = [
            "live/filesystem.squashfs",
            "live/rootfs.img",
            "live/ext3fs.img",
        ];
        assert_eq!(paths, expected);
        let at_the_root = decide_paths(FsKind::Ext, "", "rootfs.img");
        assert_eq!(at_the_root, ["rootfs.img", "ext3fs.img"]);
    }

    #[test]
    fn inside_a_packed_image_the_words_say_nothing() {
        for fs in [FsKind::Squashfs, FsKind::Erofs] {
            let paths = decide_paths(fs, "live", "live/x.img");
            assert_eq!(paths, ["LiveOS/rootfs.img", "LiveOS/ext3fs.img"]);
        }
    }

    #[test]
    fn an_image_is_what_its_superblock_says_and_as_long() {
        use FsKind::{Btrfs, Erofs, Ext, Squashfs, Xfs};
        let kind = |fs: Option<FsFacts>| decide_kind("a.img", fs.as_ref(), Bytes(4096));
        for fs in [Squashfs, Erofs, Ext, Xfs, Btrfs] {
            assert_eq!(kind(Some(facts(fs, Some(4096)))), Ok(fs));
            // A hash tree stands behind.
            assert_eq!(kind(Some(facts(fs, Some(2048)))), Ok(fs));
            let short = kind(Some(facts(fs, Some(4097)))).unwrap_err();
            assert!(short.contains("cut short") && short.contains(fs.name()));
        }
        assert_eq!(kind(Some(facts(Ext, None))), Ok(Ext));
        let other = kind(Some(facts(FsKind::Luks, Some(1)))).unwrap_err();
        assert_eq!(
            other,
            "a.img is LUKS, not squashfs, erofs, ext4, xfs or btrfs"
        );
        assert!(kind(None).unwrap_err().contains("is no file system image"));
    }

    #[test]
    fn a_medium_is_the_root_only_when_it_is_named_and_can_be() {
        assert!(may_be_root(true, FsKind::Ext) && may_be_root(true, FsKind::Squashfs));
        assert!(!may_be_root(false, FsKind::Ext));
        for fs in [FsKind::Vfat, FsKind::Exfat, FsKind::Ntfs] {
            assert!(!may_be_root(true, fs));
        }
    }

    #[test]
    fn an_iso_file_is_a_medium_by_name_or_content() {
        assert!(is_medium("/a.ISO", FsKind::Ext) && is_medium("/tmp/x", FsKind::Iso9660));
        assert!(!is_medium("/a.img", FsKind::Ext) && !is_medium("/a.iso", FsKind::Squashfs));
        assert!(!is_medium("ü", FsKind::Ext));
    }

    #[test]
    fn what_is_missing_is_named() {
        let paths = decide_paths(FsKind::Ext, "LiveOS", "LiveOS/squashfs.img");
        let said = describe_absent(&paths, false);
        assert_eq!(said, "no LiveOS/squashfs.img, no LiveOS/rootfs.img");
        let said = describe_absent(&paths, true);
        assert_eq!(
            said,
            "no LiveOS/squashfs.img, no LiveOS/rootfs.img, and no init in a plain tree"
        );
    }
}
