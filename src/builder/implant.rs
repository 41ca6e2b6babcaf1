//! The last step: the checksum that `rd.live.check` and checkisomd5(1) compare with.

use super::{Error, Result, Watch, watch};
use crate::ondisk::isomd5::write::{AT, DESCRIPTOR_AT, Implant};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes that are read at a time: whole chunks of the sum.
const PIECE: usize = 1 << 20;

/// Reads the finished image once and writes the checksum into it; whether it did: an image
/// under 672 KiB gets none. `path` is for messages.
///
/// # Errors
/// When the file can't be read or written, or is shorter than it says.
pub fn implant(image: &File, path: &Path, watch: &dyn Watch) -> Result<bool> {
    let (at, length) = DESCRIPTOR_AT;
    let mut descriptor = vec![0; length];
    let read = |buf: &mut [u8], at| {
        image
            .read_exact_at(buf, at)
            .map_err(Error::system("reading", path))
    };
    read(&mut descriptor, at)?;
    let Some(mut implant) = Implant::new(&descriptor) else {
        return Ok(false);
    };
    let mut piece = vec![0; PIECE];
    let mut done = 0;
    while done < implant.length() {
        watch::check(watch)?;
        let length = (implant.length() - done).min(PIECE as u64);
        let bytes = &mut piece[..length as usize];
        read(bytes, done)?;
        implant.feed(bytes);
        done += length;
        watch.progress(done, implant.length());
    }
    let Some(text) = implant.finish() else {
        return Ok(false);
    };
    image
        .write_all_at(&text, AT)
        .map_err(Error::system("writing", path))?;
    Ok(true)
}
