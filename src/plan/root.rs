//! How the root is stacked.

/// Options of the root overlay beside its directories, pinned so that module parameters of
/// a distribution's kernel decide nothing (`Documentation/filesystems/overlayfs.rst`).
///
/// `redirect_dir=on`: directories of the image can be renamed, as dnf and semodule do.
/// `metacopy=off`: a changed mode copies the file up whole, so that the upper stands alone.
/// `index=off`, `nfs_export=off`: an index would tie the upper to one copy of the image.
/// `xino=off`: inode numbers are those of the layers on every kernel.
pub const OVERLAY_OPTIONS: [(&str, &str); 5] = [
    ("redirect_dir", "on"),
    ("metacopy", "off"),
    ("index", "off"),
    ("nfs_export", "off"),
    ("xino", "off"),
];

/// A layer's path as `lowerdir=` takes it: a colon parts layers there, and a backslash takes
/// a meaning away (`fs/overlayfs/params.c`).
pub fn escape_layer(path: &str) -> String {
    path.replace('\\', "\\\\").replace(':', "\\:")
}

/// What the root directory of the upper must look like: it becomes that of the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootAttributes {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// The upper's root directory looks like the image's; an image whose root others may not
/// enter (a common slip of builders: 0700) would lock every user out, so it is opened.
pub fn decide_root_attributes(image: RootAttributes) -> RootAttributes {
    RootAttributes {
        mode: (image.mode & 0o7777) | 0o555,
        ..image
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_root_is_opened_for_users() {
        let image = RootAttributes {
            mode: 0o40700,
            uid: 0,
            gid: 0,
        };
        assert_eq!(decide_root_attributes(image).mode, 0o755);
        let open = RootAttributes {
            mode: 0o40755,
            uid: 5,
            gid: 6,
        };
        assert_eq!(
            decide_root_attributes(open),
            RootAttributes {
                mode: 0o755,
                uid: 5,
                gid: 6
            }
        );
    }
}
