//! Decompression of a stream of any length, in bounded memory.

use std::io::{self, Read};

/// What a stream is compressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Nothing that is known here.
    None,
    /// RFC 1952.
    Gzip,
    /// The .xz format, 1.2.
    Xz,
    /// RFC 8878.
    Zstd,
}

/// What xz may take: `xz -9` needs 65 MiB.
const XZ_MEMORY: u64 = 256 << 20;

impl Packing {
    /// By a stream's first bytes; none when they are of another kind.
    pub fn of(head: &[u8]) -> Option<Packing> {
        // A skippable frame, in which pzstd(1) keeps lengths.
        let is_skippable = head.get(1..4) == Some(&[0x2a, 0x4d, 0x18])
            && head.first().is_some_and(|byte| byte & 0xf0 == 0x50);
        match head {
            [0x1f, 0x8b, ..] => Some(Packing::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Packing::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Packing::Zstd),
            _ if is_skippable => Some(Packing::Zstd),
            _ => None,
        }
    }
}

/// What a stream unpacks to, all its members or frames. A stream that is cut short is an error.
pub fn reader<'a>(stream: impl Read + 'a, packing: Packing) -> io::Result<Box<dyn Read + 'a>> {
    let stream = io::BufReader::with_capacity(128 << 10, stream);
    Ok(match packing {
        Packing::None => Box::new(stream),
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(stream)),
        Packing::Xz => {
            let flags = liblzma::stream::CONCATENATED;
            let decoder = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, flags)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(stream, decoder))
        }
        Packing::Zstd => Box::new(Zstd {
            stream,
            context: zstd_safe::DCtx::create(),
            is_within: false,
        }),
    })
}

struct Zstd<R> {
    stream: R,
    context: zstd_safe::DCtx<'static>,
    /// Whether a frame was begun and not ended.
    is_within: bool,
}

impl<R: io::BufRead> Read for Zstd<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            let bytes = self.stream.fill_buf()?;
            let at_end = bytes.is_empty();
            if at_end && !self.is_within {
                return Ok(0);
            }
            let mut input = zstd_safe::InBuffer::around(bytes);
            let mut output = zstd_safe::OutBuffer::around(&mut *buf);
            let hint = self.context.decompress_stream(&mut output, &mut input);
            let hint = hint.map_err(|code| io::Error::other(zstd_safe::get_error_name(code)))?;
            let (used, n) = (input.pos(), output.pos());
            self.stream.consume(used);
            self.is_within = hint != 0;
            match n {
                0 if at_end => return Err(io::ErrorKind::UnexpectedEof.into()),
                0 => {}
                n => return Ok(n),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn sample() -> Vec<u8> {
        (0..400_000_u32)
            .flat_map(|n| (n / 7).to_le_bytes())
            .collect()
    }

    fn packed() -> [(Packing, Vec<u8>); 3] {
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(&sample()).unwrap();
        [
            (Packing::Gzip, super::super::gzip(&sample()).unwrap()),
            (Packing::Xz, xz.finish().unwrap()),
            (Packing::Zstd, super::super::zstd(&sample()).unwrap()),
        ]
    }

    #[test]
    fn streams_of_several_members_are_unpacked_by_what_they_begin_with() {
        for (packing, bytes) in packed() {
            assert_eq!(Packing::of(&bytes), Some(packing));
            let two = [&bytes[..], &bytes].concat();
            let mut out = Vec::new();
            let mut reader = reader(&two[..], packing).unwrap();
            reader.read_to_end(&mut out).unwrap();
            assert_eq!(out.len(), 2 * sample().len(), "{packing:?}");
            assert!(out[..sample().len()] == sample());
        }
        assert_eq!(Packing::of(b"ustar"), None);
    }

    #[test]
    fn a_stream_cut_anywhere_is_an_error() {
        for (packing, bytes) in packed() {
            for cut in [20, bytes.len() / 2, bytes.len() - 1] {
                let mut reader = reader(&bytes[..cut], packing).unwrap();
                let result = reader.read_to_end(&mut Vec::new());
                assert!(result.is_err(), "{packing:?} cut at {cut}");
            }
        }
    }
}
