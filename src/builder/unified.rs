//! The unified kernel image: systemd's stub with kernel, words and initramfs as sections.
//!
//! Contract: the UKI specification and systemd-stub(7). Sections may not overlap in memory, so
//! their addresses follow from the lengths. The kernel stands last, as ukify puts it: it is
//! unpacked in place and grows. The image is never a file of its own: it is written to its
//! places on the medium, in the ISO's tree and in the EFI system partition.

use super::{Error, Result};
use crate::ondisk::pe::write::{PeError, UkiPlan, plan};
use crate::ondisk::pe::{MACHINE_AMD64, PeLayout, WordSum};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What is added to the stub.
#[derive(Clone, Copy, Debug)]
pub struct Contents<'a> {
    /// os-release of the system.
    pub osrel: &'a [u8],
    /// The kernel's release.
    pub uname: &'a [u8],
    /// The kernel's words.
    pub cmdline: &'a [u8],
    /// The initramfs.
    pub initrd: &'a [u8],
    /// The kernel.
    pub linux: &'a [u8],
}

/// Names of the sections, in the order of [`Contents`].
const SECTIONS: [&str; 5] = [".osrel", ".uname", ".cmdline", ".initrd", ".linux"];

/// A unified kernel image, ready to be written.
#[derive(Clone, Debug)]
pub struct Unified<'a> {
    plan: UkiPlan,
    contents: [&'a [u8]; 5],
}

impl<'a> Unified<'a> {
    /// Of the stub, which is called `name` in messages, dated `epoch` (seconds since 1970; of
    /// dates behind 2106 the field keeps the lower 32 bits).
    ///
    /// # Errors
    /// When the stub is no EFI program for x86-64 that takes sections.
    pub fn new(stub: &[u8], name: &str, contents: &Contents<'a>, epoch: u64) -> Result<Self> {
        let is_ours = PeLayout::parse(stub).is_some_and(|pe| pe.machine == MACHINE_AMD64);
        if !is_ours {
            return Err(Error::input(
                name,
                "it is no EFI program for x86-64",
                "reinstall systemd's EFI programs",
            ));
        }
        let contents = [
            contents.osrel,
            contents.uname,
            contents.cmdline,
            contents.initrd,
            contents.linux,
        ];
        let lengths = contents.map(|bytes| bytes.len() as u64);
        let sections: Vec<_> = SECTIONS.into_iter().zip(lengths).collect();
        let mut plan = plan(stub, &sections, epoch as u32).map_err(|e| refused(name, &e))?;
        plan.seal(&contents.map(|bytes| {
            let mut sum = WordSum::default();
            sum.feed(bytes);
            sum
        }));
        Ok(Unified { plan, contents })
    }

    /// Its length, bytes.
    pub fn len(&self) -> u64 {
        self.plan.len
    }

    /// Never: a stub is in it.
    pub fn is_empty(&self) -> bool {
        self.plan.len == 0
    }

    /// Offset and length of a section's contents, `.linux` for one, bytes. All but the first
    /// begin at a multiple of 2,048.
    pub fn section(&self, name: &str) -> Option<(u64, u64)> {
        let piece = self.plan.pieces.iter().find(|piece| piece.name == name)?;
        Some((piece.offset, piece.len))
    }

    /// All bytes that are not zero, from the first on: offset, and bytes.
    fn pieces(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let sections = self.plan.pieces.iter().zip(self.contents);
        let header = std::iter::once((0, self.plan.header.as_slice()));
        header.chain(sections.map(|(piece, bytes)| (piece.offset, bytes)))
    }

    /// Its SHA-256.
    pub fn digest(&self) -> [u8; 32] {
        const ZEROS: [u8; 4096] = [0; 4096];
        let mut hash = Sha256::new();
        let mut at = 0;
        let pad = |hash: &mut Sha256, mut length: u64| {
            while length > 0 {
                let n = length.min(ZEROS.len() as u64);
                hash.update(&ZEROS[..n as usize]);
                length -= n;
            }
        };
        for (offset, bytes) in self.pieces() {
            pad(&mut hash, offset - at);
            hash.update(bytes);
            at = offset + bytes.len() as u64;
        }
        pad(&mut hash, self.len() - at);
        hash.finalize().into()
    }

    /// Writes it to `at` in a file that has zeros there. `path` is for messages.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn write_at(&self, file: &File, at: u64, path: &Path) -> Result<()> {
        for (offset, bytes) in self.pieces() {
            file.write_all_at(bytes, at + offset)
                .map_err(Error::system("writing", path))?;
        }
        Ok(())
    }
}

fn refused(name: &str, error: &PeError) -> Error {
    let remedy = match error {
        PeError::Signed => "use the stub that is not signed, and sign the finished image",
        PeError::TooLarge(_) => "make kernel or initramfs smaller",
        PeError::NoRoom(..) => "use the stub of another release of systemd (250 or newer)",
        _ => "reinstall systemd's EFI programs",
    };
    Error::input(name, error.to_string(), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_stub_is_refused_by_its_name() {
        let nothing = Contents {
            osrel: b"",
            uname: b"",
            cmdline: b"",
            initrd: b"",
            linux: b"",
        };
        for stub in [&b""[..], b"MZ", &[0; 4096]] {
            let error = Unified::new(stub, "/x.stub", &nothing, 0).unwrap_err();
            assert!(
                error.to_string().starts_with("/x.stub: it is no EFI"),
                "{error}"
            );
        }
    }
}
