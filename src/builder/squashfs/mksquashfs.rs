//! `--squashfs-tool mksquashfs`: the payload as squashfs-tools write it, a second opinion.
//!
//! mksquashfs sorts by itself, whatever the number of processors, and clamps times to
//! SOURCE_DATE_EPOCH; it pads to 4 KiB, without which the kernel refuses a loop mount.

use super::super::source::Owners;
use super::super::tool::{MKSQUASHFS, Tools, args};
use super::super::{Error, Result, Tree};
use crate::units::Bytes;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Compression level: 37 times the time of level 3 saves a tenth.
const LEVEL: &str = "15";
/// Larger blocks compress hardly better and make small reads slow.
const BLOCK: &str = "128K";

/// Writes the payload and gives its length.
pub fn write(tools: &Tools<'_>, tree: &Tree, owners: Owners, to: &Path) -> Result<Bytes> {
    let Some(root) = tree.host_root() else {
        return Err(not_yet(tree));
    };
    let mut words = args([
        &root,
        &to,
        &"-noappend",
        &"-exit-on-error",
        &"-progress",
        &"-comp",
        &"zstd",
        &"-Xcompression-level",
        &LEVEL,
        &"-b",
        &BLOCK,
    ]);
    if owners == Owners::Root {
        words.push("-all-root".into());
    }
    let left_out: Vec<_> = tree.left_out().map(OsStr::from_bytes).collect();
    if !left_out.is_empty() {
        words.push("-e".into());
        words.extend(left_out.iter().map(|path| root.join(path).into_os_string()));
    }
    tools.run(MKSQUASHFS, "packing the tree", &words)?;
    let len = std::fs::metadata(to)
        .map_err(Error::system("looking at", to))?
        .len();
    Ok(Bytes(len))
}

/// mksquashfs reads directories alone.
pub fn not_yet(tree: &Tree) -> Error {
    Error::input(
        tree.name(),
        "an archive cannot be packed yet, as long as mksquashfs packs",
        "unpack it, as root, and name the directory",
    )
}
