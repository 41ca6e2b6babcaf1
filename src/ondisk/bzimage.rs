//! The x86 kernel image: its release, and whether firmware can start it.
//!
//! Contract: `Documentation/arch/x86/boot.rst` of the kernel (setup header).
#![forbid(unsafe_code)]

/// What a kernel image says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelFacts {
    /// The release, as `uname -r` will say.
    pub release: String,
    /// Whether it is an EFI application too (`CONFIG_EFI_STUB`), which a UKI demands.
    pub efi_stub: bool,
}

impl KernelFacts {
    /// Reads the setup header; none when the bytes are no bzImage.
    pub fn parse(bytes: &[u8]) -> Option<KernelFacts> {
        if bytes.get(0x202..0x206)? != b"HdrS" {
            return None;
        }
        let pointer = u16::from_le_bytes(bytes.get(0x20e..0x210)?.try_into().ok()?);
        let text = bytes.get(0x200 + usize::from(pointer)..)?;
        let text = &text[..text.len().min(256)];
        let release = text.split(|b| *b == 0 || *b == b' ').next()?;
        let release = std::str::from_utf8(release).ok()?;
        if pointer == 0 || release.is_empty() || release.contains('/') {
            return None;
        }
        Some(KernelFacts {
            release: release.to_owned(),
            efi_stub: bytes.starts_with(b"MZ"),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The head of a kernel image of that release.
    pub(crate) fn sample(release: &str) -> Vec<u8> {
        let mut image = vec![0; 0x400];
        image[..2].copy_from_slice(b"MZ");
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x100u16.to_le_bytes());
        let text = format!("{release} (builder@host) #1 SMP");
        image[0x300..0x300 + text.len()].copy_from_slice(text.as_bytes());
        image
    }

    #[test]
    fn the_release_is_the_first_word_of_the_version_text() {
        let facts = KernelFacts::parse(&sample("6.1.0-56-amd64")).unwrap();
        assert_eq!(facts.release, "6.1.0-56-amd64");
        assert!(facts.efi_stub);
    }

    #[test]
    fn other_files_are_no_kernel() {
        assert_eq!(KernelFacts::parse(b"MZ"), None);
        assert_eq!(KernelFacts::parse(&[0; 0x400]), None);
        assert_eq!(KernelFacts::parse(&sample("../etc")), None);
    }
}
