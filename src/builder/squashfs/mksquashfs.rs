//! `--squashfs-tool mksquashfs`: the payload as squashfs-tools write it, a second opinion.
//!
//! mksquashfs sorts by itself, whatever the number of processors, and clamps times to
//! SOURCE_DATE_EPOCH; it pads to 4 KiB, without which the kernel refuses a loop mount.

use super::super::options::Payload;
use super::super::source::Owners;
use super::super::tool::{MKSQUASHFS, Tools, args};
use super::super::{Error, Result, Tree};
use super::Compressor;
use crate::units::Bytes;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Writes the payload and gives its length.
///
/// # Errors
/// An archive, which mksquashfs does not read; what mksquashfs refuses.
pub fn write(
    tools: &Tools<'_>,
    tree: &Tree,
    how: &Payload,
    owners: Owners,
    to: &Path,
) -> Result<Bytes> {
    let Some(root) = tree.host_root() else {
        return Err(Error::input(
            tree.name(),
            "mksquashfs reads directories, and no archives",
            "leave out --squashfs-tool, or unpack it, as root, and name the directory",
        ));
    };
    let block = how.block_size.to_string();
    let mut words = args([
        &root,
        &to,
        &"-noappend",
        &"-exit-on-error",
        &"-progress",
        &"-b",
        &block,
    ]);
    words.extend(compressor(how.compressor).into_iter().map(OsString::from));
    if let Some(sort) = &how.sort {
        words.extend(["-sort".into(), sort.clone().into_os_string()]);
    }
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

/// Its words for a compressor.
fn compressor(how: Compressor) -> Vec<String> {
    let words = |name: &str, more: &[String]| {
        let mut words = vec!["-comp".to_owned(), name.to_owned()];
        words.extend_from_slice(more);
        words
    };
    let level = |level: i32| ["-Xcompression-level".to_owned(), level.to_string()];
    match how {
        Compressor::Zstd { level: n } => words("zstd", &level(n)),
        Compressor::Gzip { level: n } => words("gzip", &level(n.min(9))),
        Compressor::Xz { x86: false } => words("xz", &[]),
        Compressor::Xz { x86: true } => words("xz", &["-Xbcj".to_owned(), "x86".to_owned()]),
        Compressor::Lz4 => words("lz4", &[]),
    }
}
