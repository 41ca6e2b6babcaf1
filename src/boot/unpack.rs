//! Unpacks modules that `liveroot build` compressed one by one.

use crate::layout::MODULE_DICTIONARY;
use std::path::Path;
use zstd_safe::{DCtx, DDict};

/// What the modules were compressed against.
pub struct Dictionary(DDict<'static>);

impl std::fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dictionary")
    }
}

impl Dictionary {
    /// Reads it from the directory of a kernel's modules; none is normal, as dracut makes none.
    pub fn read(dir: &Path) -> Option<Self> {
        let bytes = std::fs::read(dir.join(MODULE_DICTIONARY)).ok()?;
        DDict::try_create(&bytes).map(Dictionary)
    }
}

/// One zstd frame that states its content's size, against the initramfs's dictionary if
/// there is one; 64 MiB is far above any module.
pub fn unpack(packed: &[u8], dictionary: Option<&Dictionary>) -> Option<Vec<u8>> {
    let size = zstd_safe::get_frame_content_size(packed).ok()??;
    let size = usize::try_from(size).ok().filter(|n| *n <= 64 << 20)?;
    let mut image = Vec::with_capacity(size);
    let mut context = DCtx::try_create()?;
    match dictionary {
        Some(dictionary) => context
            .decompress_using_ddict(&mut image, packed, &dictionary.0)
            .ok()?,
        None => context.decompress(&mut image, packed).ok()?,
    };
    Some(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_module_is_unpacked_whole_and_garbage_is_not() {
        let module = vec![7u8; 100_000];
        let mut packed = Vec::with_capacity(200_000);
        zstd_safe::compress(&mut packed, &module, 3).unwrap();
        assert_eq!(unpack(&packed, None), Some(module));
        assert_eq!(unpack(&packed[..packed.len() - 4], None), None);
        assert_eq!(unpack(b"\x7fELF", None), None);
    }
    #[test]
    fn a_module_packed_against_a_dictionary_needs_it() {
        let samples: Vec<Vec<u8>> = (0..200u32)
            .map(|n| {
                format!("license=GPL depends= vermagic=6.1 name=m{n} ")
                    .repeat(20)
                    .into()
            })
            .collect();
        let sizes: Vec<usize> = samples.iter().map(Vec::len).collect();
        let mut dictionary = Vec::with_capacity(10_000);
        zstd_safe::train_from_buffer(&mut dictionary, &samples.concat(), &sizes).unwrap();
        let mut packed = Vec::with_capacity(10_000);
        let ready = zstd_safe::CDict::create(&dictionary, 19);
        let mut context = zstd_safe::CCtx::create();
        context
            .compress_using_cdict(&mut packed, &samples[7], &ready)
            .unwrap();
        let dictionary = Dictionary(DDict::try_create(&dictionary).unwrap());
        assert_eq!(
            unpack(&packed, Some(&dictionary)).as_ref(),
            Some(&samples[7])
        );
        assert_eq!(unpack(&packed, None), None);
    }
}
