//! Getting at an archive's bytes: where they lie, or unpacked into a file without a name.

use super::Archive;
use super::patient::Patient;
use crate::builder::compress::{Packing, reader};
use crate::builder::error::free_space;
use crate::builder::{Error, Result, Watch, watch};
use crate::ondisk::tar::{BLOCK, is_header};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::path::Path;

/// What is read at once.
const CHUNK: usize = 256 << 10;

/// Opens an archive; `-` is standard input.
pub fn open(path: &Path, scratch: &Path, watch: &dyn Watch) -> Result<Archive> {
    let is_stdin = path == Path::new("-");
    let name = match is_stdin {
        true => "standard input".to_owned(),
        false => path.display().to_string(),
    };
    let opened = match is_stdin {
        true => std::io::stdin()
            .as_fd()
            .try_clone_to_owned()
            .map(File::from),
        false => File::open(path),
    };
    let mut file = opened.map_err(|cause| {
        Error::input(
            &name,
            format!("it cannot be opened: {cause}"),
            "name a tar archive",
        )
    })?;
    // Another program may have read a part of what stands there already.
    let in_place = file.metadata().is_ok_and(|meta| meta.is_file())
        && file.stream_position().is_ok_and(|at| at == 0);
    let mut file = Patient::new(file, watch);
    let mut head = Vec::new();
    (&mut file)
        .take(BLOCK)
        .read_to_end(&mut head)
        .map_err(|cause| broken(&name, 0, cause))?;
    let packing = judge(&head, &name)?;
    if in_place && packing == Packing::None {
        return Archive::new(file.into_file(), name);
    }
    let whole = std::io::Cursor::new(head).chain(file);
    let source = reader(whole, packing).map_err(|cause| broken(&name, 0, cause))?;
    let spool = unpack(source, &name, scratch, watch)?;
    Archive::new(spool, name)
}

/// What the first bytes are; refuses what is no archive.
fn judge(head: &[u8], name: &str) -> Result<Packing> {
    if let Some(packing) = Packing::of(head) {
        return Ok(packing);
    }
    let refuse = |finding: &str, remedy: &str| Err(Error::input(name, finding, remedy));
    let known = "give it plain, or compressed by gzip, xz or zstd";
    if head.is_empty() {
        return refuse("it is empty", "name a tar archive");
    }
    if head.starts_with(b"BZh") {
        return refuse("it is compressed by bzip2", known);
    }
    if head.starts_with(&[0x04, 0x22, 0x4d, 0x18]) {
        return refuse("it is compressed by lz4", known);
    }
    match head.first_chunk::<{ BLOCK as usize }>() {
        Some(block) if is_header(block) || block.iter().all(|b| *b == 0) => Ok(Packing::None),
        Some(_) => refuse(
            "it is no tar archive: its first block is no header (at byte 0)",
            "name the root directory of a distribution, or a tar archive of one",
        ),
        None => refuse(
            "it is no tar archive, or cut short: none has less than 512 bytes",
            known,
        ),
    }
}

/// Unpacks into a file that has no name: it is gone when the build is, however that ends. A
/// little can unpack to very much, so free space and signals are looked at for each chunk.
fn unpack(mut source: impl Read, name: &str, scratch: &Path, watch: &dyn Watch) -> Result<File> {
    let path = scratch.join("tar");
    let system = |doing| Error::system(doing, &path);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let spool =
        rustix::fs::open(&path, flags, mode).map_err(|errno| system("making")(errno.into()))?;
    let mut spool = File::from(spool);
    std::fs::remove_file(&path).map_err(system("removing"))?;
    let mut buf = vec![0; CHUNK];
    let mut length = 0_u64;
    loop {
        let n = match source.read(&mut buf) {
            Ok(0) => break,
            Ok(n) => n,
            Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(cause) => return Err(broken(name, length, cause)),
        };
        watch::check(watch)?;
        // Before the disk is full for all others; some file systems do not tell.
        if free_space(scratch).is_some_and(|free| free.0 < n as u64) {
            return Err(Error::no_space(scratch, None));
        }
        spool.write_all(&buf[..n]).map_err(system("writing"))?;
        length += n as u64;
    }
    spool.seek(SeekFrom::Start(0)).map_err(system("reading"))?;
    Ok(spool)
}

fn broken(name: &str, at: u64, cause: std::io::Error) -> Error {
    let cause = match cause.downcast::<Error>() {
        Ok(given_up) => return given_up,
        Err(cause) => cause,
    };
    Error::input(
        format!("{name} (at byte {at} of what it unpacks to)"),
        format!("it cannot be read on: {cause}"),
        "copy or download it again, or make it anew",
    )
}
