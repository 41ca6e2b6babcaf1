//! Compression of what goes into the initramfs, and decompression of what trees hold.
//!
//! zstd's bytes are stable only within one version of the library: it is linked in and
//! pinned, so that every host gives the same.

mod stream;

pub use stream::{Packing, reader};

use std::io::{Read, Write};

/// Level for all that is compressed once and read at every boot.
const LEVEL: i32 = 19;
/// Length of the dictionary of modules: 1.1 of 7.3 MB are saved on Debian 12's kernel, for
/// 90 KB of dictionary. Half of it saves 0.1 MB less.
const DICTIONARY: usize = 256 << 10;
/// How much of each file is looked at, as zstd(1) itself does: with whole files the trainer
/// settles for a dictionary that saves a fifth of that.
const SAMPLE: usize = 128 << 10;
/// The largest thing a tree may hold compressed; a bound against bombs.
const MAX_UNPACKED: u64 = 1 << 30;

/// One zstd frame with the content's size in its header, without checksum.
pub fn zstd(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(zstd_safe::compress_bound(bytes.len()));
    zstd_safe::CCtx::create()
        .compress(&mut out, bytes, LEVEL)
        .map_err(|code| zstd_safe::get_error_name(code).to_owned())?;
    Ok(out)
}

/// What `samples` have in common, for [`zstd_with`]; none when they are too few or too
/// small to have anything. The same samples in the same order give the same bytes.
pub fn train(samples: &[&[u8]]) -> Option<Vec<u8>> {
    let samples: Vec<&[u8]> = samples.iter().map(|s| &s[..s.len().min(SAMPLE)]).collect();
    let sizes: Vec<usize> = samples.iter().map(|s| s.len()).collect();
    let mut dictionary = Vec::with_capacity(DICTIONARY);
    zstd_safe::train_from_buffer(&mut dictionary, &samples.concat(), &sizes).ok()?;
    Some(dictionary)
}

/// Compresses as [`zstd`] does, against a dictionary.
pub fn zstd_with(dictionary: &zstd_safe::CDict<'_>, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(zstd_safe::compress_bound(bytes.len()));
    zstd_safe::CCtx::create()
        .compress_using_cdict(&mut out, bytes, dictionary)
        .map_err(|code| zstd_safe::get_error_name(code).to_owned())?;
    Ok(out)
}

/// A dictionary made ready for many files.
pub fn ready(dictionary: &[u8]) -> zstd_safe::CDict<'_> {
    zstd_safe::CDict::create(dictionary, LEVEL)
}

/// One gzip member without name and time.
pub fn gzip(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut encoder = flate2::GzBuilder::new().write(Vec::new(), flate2::Compression::best());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.map_err(|e| e.to_string())
}

/// A file's name without the suffix of its compression, and its contents.
pub fn unpack(name: &str, bytes: Vec<u8>) -> Result<(&str, Vec<u8>), String> {
    match name.rsplit_once('.') {
        Some((base, "xz")) => Ok((base, unpack_xz(&bytes)?)),
        Some((base, "zst")) => Ok((base, unpack_zstd(&bytes)?)),
        Some((base, "gz")) => Ok((
            base,
            read_all(flate2::read::MultiGzDecoder::new(&bytes[..]))?,
        )),
        _ => Ok((name, bytes)),
    }
}

fn unpack_xz(bytes: &[u8]) -> Result<Vec<u8>, String> {
    read_all(liblzma::read::XzDecoder::new_multi_decoder(bytes))
}

fn read_all(reader: impl Read) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    match reader.take(MAX_UNPACKED).read_to_end(&mut out) {
        Ok(_) => Ok(out),
        Err(e) => Err(e.to_string()),
    }
}

/// All frames, whether or not they say how long they are.
fn unpack_zstd(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut context = zstd_safe::DCtx::create();
    let mut input = zstd_safe::InBuffer::around(bytes);
    let mut out = Vec::new();
    let mut chunk = vec![0; 128 << 10];
    loop {
        let mut output = zstd_safe::OutBuffer::around(&mut chunk[..]);
        let hint = context
            .decompress_stream(&mut output, &mut input)
            .map_err(|code| zstd_safe::get_error_name(code).to_owned())?;
        let n = output.pos();
        out.extend_from_slice(&chunk[..n]);
        let ended = input.pos() == bytes.len() && n < chunk.len();
        if ended && hint == 0 {
            return Ok(out);
        }
        if ended || out.len() as u64 > MAX_UNPACKED {
            return Err("it is cut short, or too large".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        (0..400_000u32)
            .flat_map(|n| (n / 7).to_le_bytes())
            .collect()
    }

    #[test]
    fn each_compression_of_a_tree_is_undone() {
        let mut xz = Vec::new();
        liblzma::read::XzEncoder::new(&sample()[..], 1)
            .read_to_end(&mut xz)
            .unwrap();
        for (name, packed) in [
            ("x.ko.zst", zstd(&sample()).unwrap()),
            ("x.ko.gz", gzip(&sample()).unwrap()),
            ("x.ko.xz", xz),
            ("x.ko", sample()),
        ] {
            let (base, bytes) = unpack(name, packed).unwrap();
            assert_eq!(base, "x.ko");
            assert_eq!(bytes, sample(), "{name}");
        }
    }

    #[test]
    fn cut_files_are_noticed() {
        let packed = zstd(&sample()).unwrap();
        assert!(unpack("x.ko.zst", packed[..packed.len() - 5].to_vec()).is_err());
        assert!(unpack("x.ko.xz", vec![1, 2, 3]).is_err());
        assert!(unpack("x.ko.gz", gzip(&sample()).unwrap()[..100].to_vec()).is_err());
    }

    #[test]
    fn frames_say_how_long_their_content_is() {
        let packed = zstd(&sample()).unwrap();
        assert_eq!(
            zstd_safe::get_frame_content_size(&packed).unwrap(),
            Some(sample().len() as u64)
        );
    }
}
