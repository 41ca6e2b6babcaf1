//! `--squashfs-tool mksquashfs`: the payload as squashfs-tools write it, a second opinion.
//!
//! mksquashfs sorts by itself, whatever the number of processors, and clamps times to
//! SOURCE_DATE_EPOCH; it pads to 4 KiB, without which the kernel refuses a loop mount.

use super::super::tool::{MKSQUASHFS, Tools, args};
use super::super::{Error, Result, Tree};
use crate::units::Bytes;
use std::path::{Path, PathBuf};

/// Compression level: 37 times the time of level 3 saves a tenth.
const LEVEL: &str = "15";
/// Larger blocks compress hardly better and make small reads slow.
const BLOCK: &str = "128K";

/// Writes the payload and gives its length.
pub fn write(tools: &Tools<'_>, tree: &Tree, left_out: &[PathBuf], to: &Path) -> Result<Bytes> {
    let mut words = args([
        &tree.root(),
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
    if !left_out.is_empty() {
        words.push("-e".into());
        words.extend(
            left_out
                .iter()
                .map(|path| tree.root().join(path).into_os_string()),
        );
    }
    tools.run(MKSQUASHFS, "packing the tree", &words)?;
    let len = std::fs::metadata(to)
        .map_err(Error::system("looking at", to))?
        .len();
    Ok(Bytes(len))
}
