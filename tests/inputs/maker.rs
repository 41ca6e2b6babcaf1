//! Archives by hand, right or wrong.

/// A header with its checksum, and what may be changed in it.
#[derive(Clone)]
pub struct Header(pub [u8; 512]);

impl Header {
    /// Of this kind and name, with a size.
    pub fn new(kind: u8, path: &[u8], size: u64) -> Header {
        let mut block = [0; 512];
        let length = path.len().min(100);
        block[..length].copy_from_slice(&path[..length]);
        block[257..265].copy_from_slice(b"ustar\x0000");
        block[156] = kind;
        let mut header = Header(block);
        for (at, width, value) in [
            (100, 8, 0o644),
            (108, 8, 0),
            (116, 8, 0),
            (136, 12, 1_000_000),
        ] {
            header = header.number(at, width, value);
        }
        header.number(124, 12, size)
    }

    /// An octal field.
    pub fn number(self, at: usize, width: usize, value: u64) -> Header {
        let text = format!("{value:0width$o}\0", width = width - 1);
        self.bytes(at, text.as_bytes())
    }

    /// Any field.
    pub fn bytes(mut self, at: usize, bytes: &[u8]) -> Header {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// The target of a link.
    pub fn link(self, target: &[u8]) -> Header {
        self.bytes(157, target)
    }

    /// With a checksum that fits.
    pub fn seal(mut self) -> [u8; 512] {
        seal(&mut self.0);
        self.0
    }
}

/// Makes a block's checksum fit.
pub fn seal(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u64 = block[..512].iter().map(|byte| u64::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// An archive in the making.
#[derive(Clone, Default)]
pub struct Maker(pub Vec<u8>);

impl Maker {
    pub fn header(mut self, header: Header) -> Maker {
        self.0.extend(header.seal());
        self
    }

    /// Data, filled up to whole blocks.
    pub fn data(mut self, bytes: &[u8]) -> Maker {
        self.0.extend(bytes);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub fn file(self, path: &str, bytes: &[u8]) -> Maker {
        self.header(Header::new(b'0', path.as_bytes(), bytes.len() as u64))
            .data(bytes)
    }

    pub fn dir(self, path: &str) -> Maker {
        self.header(Header::new(b'5', path.as_bytes(), 0))
    }

    pub fn link(self, path: &str, target: &str) -> Maker {
        self.header(Header::new(b'1', path.as_bytes(), 0).link(target.as_bytes()))
    }

    /// An extended header of these records.
    pub fn pax(self, records: &[(&str, &[u8])]) -> Maker {
        let text: Vec<u8> = records
            .iter()
            .flat_map(|(key, value)| record(key, value))
            .collect();
        self.raw_pax(&text)
    }

    pub fn raw_pax(self, text: &[u8]) -> Maker {
        self.header(Header::new(b'x', b"pax", text.len() as u64))
            .data(text)
    }

    /// With the two blocks of zeros at the end.
    pub fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

/// A record with its own length in front.
pub fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length += 1;
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}
