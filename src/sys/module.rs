//! Kernel modules: finit_module(2), init_module(2).

use super::Error;
use std::ffi::CString;
use std::fs::File;
use std::path::Path;

/// What became of an insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is in now.
    Loaded,
    /// It was in before.
    Already,
    /// Its hardware or feature is not there (ENODEV), as is normal for many drivers.
    NoDevice,
}

/// Inserts the uncompressed module file at `path`.
pub fn insert_file(path: &Path, parameters: &str) -> Result<Inserted, Error> {
    let file = File::open(path).map_err(|e| Error::io("opening", path.display(), &e))?;
    let words = c_string(path, parameters)?;
    let flags = nix::kmod::ModuleInitFlags::empty();
    verdict(path, nix::kmod::finit_module(&file, &words, flags))
}

/// `include/uapi/linux/module.h`, since Linux 5.17.
const MODULE_INIT_COMPRESSED_FILE: libc::c_uint = 4;

/// Inserts the module file at `path`, which the kernel unpacks (CONFIG_MODULE_DECOMPRESS). None
/// when this kernel can't, or not this kind.
pub fn insert_packed_file(path: &Path, parameters: &str) -> Result<Option<Inserted>, Error> {
    let file = File::open(path).map_err(|e| Error::io("opening", path.display(), &e))?;
    let words = c_string(path, parameters)?;
    let flags = nix::kmod::ModuleInitFlags::from_bits_retain(MODULE_INIT_COMPRESSED_FILE);
    match nix::kmod::finit_module(&file, &words, flags) {
        // An unknown flag or kind; no unpacking in this kernel.
        Err(nix::Error::EINVAL | nix::Error::EOPNOTSUPP) => Ok(None),
        answer => verdict(path, answer).map(Some),
    }
}

/// Inserts a module whose bytes were unpacked from `path`.
pub fn insert_image(path: &Path, image: &[u8], parameters: &str) -> Result<Inserted, Error> {
    let words = c_string(path, parameters)?;
    verdict(path, nix::kmod::init_module(image, &words))
}

fn c_string(path: &Path, parameters: &str) -> Result<CString, Error> {
    CString::new(parameters)
        .map_err(|_| Error::new("reading the parameters of", path.display(), libc::EINVAL))
}

fn verdict(path: &Path, answer: nix::Result<()>) -> Result<Inserted, Error> {
    match answer {
        Ok(()) => Ok(Inserted::Loaded),
        Err(nix::Error::EEXIST) => Ok(Inserted::Already),
        Err(nix::Error::ENODEV) => Ok(Inserted::NoDevice),
        Err(e) => Err(Error::new("loading module", path.display(), e as i32)),
    }
}
