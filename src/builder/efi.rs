//! systemd's EFI programs: the stub of the unified kernel image, and the menu.

use super::{Error, Result, Tree};
use std::path::Path;

/// Where systemd installs its EFI programs, in trees and on hosts.
const EFI_DIR: &str = "usr/lib/systemd/boot/efi";

/// The menu program.
pub const SYSTEMD_BOOT: &str = "systemd-bootx64.efi";
const STUB: &str = "linuxx64.efi.stub";

/// Finds one of systemd's EFI programs in the tree, else on the host.
pub fn find_efi(tree: &Tree, name: &str) -> Result<EfiProgram> {
    let path = format!("{EFI_DIR}/{name}");
    if let Some(bytes) = tree.read(&path)? {
        let from = tree.describe(&path);
        return Ok(EfiProgram { from, bytes });
    }
    let host = Path::new("/").join(path);
    if !host.is_file() {
        return Err(Error::input(
            host.display(),
            "it is neither in the tree nor on this machine",
            "install it in either: systemd-boot-efi (Debian), systemd-boot-unsigned (Fedora)",
        ));
    }
    Ok(EfiProgram {
        bytes: std::fs::read(&host).map_err(Error::system("reading", &host))?,
        from: host.display().to_string(),
    })
}

/// A program for UEFI.
#[derive(Clone, Debug)]
pub struct EfiProgram {
    /// Where it came from, for people.
    pub from: String,
    /// The program.
    pub bytes: Vec<u8>,
}

/// The stub of this build.
pub fn find_stub(tree: &Tree) -> Result<EfiProgram> {
    find_efi(tree, STUB)
}
