//! What firmware starts: kernel, words and initramfs in one image under a menu, in the EFI
//! system partition and in the ISO's own tree; isolinux for a BIOS, and GRUB's loopback.cfg.
//!
//! All lengths are known before the payload is packed: of the image's identity, which the
//! initramfs ends with, the bytes come later and their number does not change.

use super::bios::{self, Bios, Found};
use super::initramfs::Initramfs;
use super::medium::{MediumFile, Place};
use super::unified::{Contents, Unified};
use super::volume::{self, EspLimit};
use super::{Error, Input, Options, Result, Tree, Watch, loopback, menu};
use crate::layout::{BOOT_INITRAMFS, BOOT_KERNEL, UKI_PATH};
use crate::ondisk::fat::write::Geometry;
use crate::units::Bytes;
use std::path::Path;

/// Where firmware looks when nobody told it (UEFI 2.11, 3.5.1.1).
const FALLBACK: &str = "EFI/BOOT/BOOTX64.EFI";

/// What firmware starts, but for the unified kernel image, whose parts these are.
#[derive(Debug)]
pub struct Boot<'a> {
    input: &'a Input,
    osrel: Vec<u8>,
    words: String,
    epoch: u64,
    /// Small files of the ESP: path, and bytes.
    pub esp: Vec<(String, Vec<u8>)>,
    /// Small files that are on the ISO alone; isolinux first, if there is one.
    pub iso: Vec<(String, Vec<u8>)>,
    /// isolinux, when the medium starts by BIOS.
    pub bios: Option<Bios>,
}

impl<'a> Boot<'a> {
    /// Gathers it, from the tree and from the host.
    ///
    /// # Errors
    /// When a file can't be read, or BIOS is required and isolinux is nowhere.
    pub fn gather(
        tree: &Tree,
        input: &'a Input,
        options: &Options,
        epoch: u64,
        watch: &dyn Watch,
    ) -> Result<Boot<'a>> {
        let osrel = match tree.read("etc/os-release")? {
            Some(text) => Some(text),
            None => tree.read("usr/lib/os-release")?,
        };
        let is_required = options.bios == bios::Choice::Require;
        let host = |path: &str| lenient(read_host(&Path::new("/").join(path)), is_required, watch);
        let bios = match bios::find(options.bios, &|path| tree.read(path), &host)? {
            Found::Files(bios) => Some(bios),
            Found::Without(why) => {
                if let Some(why) = why {
                    watch.warn(&why);
                }
                None
            }
        };
        let mut esp = vec![(FALLBACK.to_owned(), input.systemd_boot.bytes.clone())];
        let menu = menu::files(&input.entries).into_iter();
        esp.extend(menu.map(|(path, text)| (path, text.into_bytes())));
        let mut iso = bios
            .as_ref()
            .map_or_else(Vec::new, |bios| bios.files(&input.entries));
        let loopback = loopback::text(&input.entries).into_bytes();
        iso.push((loopback::PATH.to_owned(), loopback));
        let first = input.entries.first();
        Ok(Boot {
            input,
            osrel: osrel.unwrap_or_else(|| b"ID=linux\nPRETTY_NAME=Linux\n".to_vec()),
            words: first.map(|entry| entry.words.clone()).unwrap_or_default(),
            epoch,
            esp,
            iso,
            bios,
        })
    }

    /// The unified kernel image with this initramfs.
    ///
    /// # Errors
    /// When systemd's stub takes no sections.
    pub fn unified<'b>(&'b self, initramfs: &'b [u8]) -> Result<Unified<'b>> {
        let contents = Contents {
            osrel: &self.osrel,
            uname: self.input.kernel.release.as_bytes(),
            cmdline: self.words.as_bytes(),
            initrd: initramfs,
            linux: &self.input.kernel.image,
        };
        let stub = &self.input.stub;
        Unified::new(&stub.bytes, &stub.from, &contents, self.epoch)
    }

    /// Files of the ESP and their lengths.
    pub fn esp_files(&self, unified: &Unified<'_>) -> Vec<(String, u64)> {
        let small = self.esp.iter();
        let mut files: Vec<_> = small
            .map(|(path, bytes)| (path.clone(), bytes.len() as u64))
            .collect();
        files.push((UKI_PATH.to_owned(), unified.len()));
        files
    }

    /// The ESP's geometry, or why there can be none: before the payload is packed, which takes
    /// the most time.
    ///
    /// # Errors
    /// When its files are too large for a disc's boot entry, and nobody asked for more.
    pub fn geometry(
        &self,
        unified: &Unified<'_>,
        initramfs: &Initramfs,
        large: bool,
    ) -> Result<Geometry> {
        let limit = match large {
            true => EspLimit::Large,
            false => EspLimit::Countable,
        };
        let parts = parts(self.input, initramfs);
        volume::geometry(&self.esp_files(unified), limit, &parts)
    }

    /// Files of the ISO's own tree, but the manifest and the payload, in the order in which they
    /// lie. Kernel and initramfs for isolinux and GRUB are pieces of the unified image.
    ///
    /// # Errors
    /// None that is known.
    pub fn medium_files(&self, unified: &Unified<'_>) -> Result<Vec<MediumFile>> {
        let mut files: Vec<_> = bios::own(&self.esp).chain(bios::own(&self.iso)).collect();
        let own = |path: &str, length| MediumFile {
            path: path.to_owned(),
            place: Place::Own { length },
        };
        files.push(own(UKI_PATH, unified.len()));
        for (path, section) in [(BOOT_KERNEL, ".linux"), (BOOT_INITRAMFS, ".initrd")] {
            let (offset, length) = unified.section(section).ok_or_else(|| {
                Error::input(
                    UKI_PATH,
                    format!("it has no {section}"),
                    "report this as a defect",
                )
            })?;
            let place = Place::Within {
                file: UKI_PATH.to_owned(),
                offset,
                length,
            };
            files.push(MediumFile {
                path: path.to_owned(),
                place,
            });
        }
        Ok(files)
    }
}

fn read_host(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::system("reading", path)(e)),
    }
}

/// What lies on the host is no part of the input: where nobody requires it, what cannot be read
/// is absent, with a warning.
fn lenient(
    read: Result<Option<Vec<u8>>>,
    is_required: bool,
    watch: &dyn Watch,
) -> Result<Option<Vec<u8>>> {
    match read {
        Err(error) if !is_required => {
            watch.warn(&format!("{error}: no start by BIOS with it"));
            Ok(None)
        }
        read => read,
    }
}

/// How many microcode files a message names.
const NAMED: usize = 5;

/// What makes an ESP large, for the message; what belongs to a part is indented below it.
fn parts(input: &Input, initramfs: &Initramfs) -> Vec<(String, Bytes)> {
    let microcode = initramfs.parts.microcode;
    let mut parts = vec![
        ("kernel".to_owned(), Bytes(input.kernel.image.len() as u64)),
        (
            "initramfs".to_owned(),
            Bytes(initramfs.size().0 - microcode),
        ),
        ("microcode".to_owned(), Bytes(microcode)),
    ];
    let files = initramfs.microcode.iter().take(NAMED);
    parts.extend(files.map(|(path, size)| (format!("  {path}"), *size)));
    let menu = Bytes(input.systemd_boot.bytes.len() as u64);
    parts.push(("systemd-boot".to_owned(), menu));
    parts
}

#[cfg(test)]
mod tests {
    use super::super::watch::Silent;
    use super::*;

    #[test]
    fn what_the_host_does_not_let_us_read_is_an_error_only_when_required() {
        // A directory: EISDIR, for root too.
        let read = || read_host(Path::new("/usr"));
        assert_eq!(lenient(read(), false, &Silent).unwrap(), None);
        assert!(lenient(read(), true, &Silent).is_err());
    }
}
