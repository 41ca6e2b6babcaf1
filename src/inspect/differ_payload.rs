//! Two squashfs images, and which files of them differ in what.
//!
//! The tables of both are read; contents only where nothing else of a file differs, and
//! unpacked only where they are stored otherwise. What cannot be read has no files to name.

use crate::ondisk::ByteSource;
use crate::ondisk::squashfs::Compressor;
use crate::ondisk::squashfs::read::{Files, Node, read};
use crate::units::shown;
use std::collections::{BTreeSet, HashSet};
use std::io::Read;

/// Differing files that are looked for at all, and by their contents.
const MOST: (usize, usize) = (10_000, 12);
/// What unpacking an xz stream may take, bytes.
const XZ_MEMORY: u64 = 64 << 20;

/// A file, what of it differs, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Differs {
    path: String,
    field: &'static str,
    /// Its value in ours.
    pub(super) ours: String,
    /// Its value in the other.
    pub(super) other: String,
    /// How little it says about the cause.
    rank: u8,
}

impl Differs {
    /// `/etc/passwd: mode`.
    pub(super) fn name(&self) -> String {
        match self.field {
            "" => self.path.clone(),
            field => format!("{}: {field}", self.path),
        }
    }
}

/// The files that differ, those first that say most about the cause; none when it was to be
/// given up.
pub(super) fn differ(
    (ours, at): (&dyn ByteSource, u64),
    (other, other_at): (&dyn ByteSource, u64),
    go_on: &mut dyn FnMut(u64, u64) -> bool,
) -> Option<Vec<Differs>> {
    let (Ok(ours), Ok(other)) = (read(ours, at, &unpack), read(other, other_at, &unpack)) else {
        return Some(Vec::new());
    };
    let (mut found, mut alike) = (Vec::new(), Vec::new());
    let paths: BTreeSet<_> = ours.nodes.keys().chain(other.nodes.keys()).collect();
    for path in paths {
        let pair = (ours.nodes.get(path), other.nodes.get(path));
        let (field, here, there, rank) = match pair {
            (Some(here), Some(there)) => {
                // A file whose date alone differs may have other contents, which say more.
                let differing = field(here, there);
                if differing.as_ref().is_none_or(|one| one.3 >= DATE) {
                    alike.push((path, here, there));
                }
                match differing {
                    None => continue,
                    Some(differing) => differing,
                }
            }
            (here, there) => ("", presence(here), presence(there), 0),
        };
        if found.len() < MOST.0 {
            found.push(Differs {
                path: shown(&String::from_utf8_lossy(path)),
                field,
                ours: here,
                other: there,
                rank,
            });
        }
    }
    let mut contents = Comparison {
        files: (&ours, &other),
        seen: HashSet::new(),
        found: 0,
    };
    for (number, (path, here, there)) in alike.iter().enumerate() {
        if contents.found >= MOST.1 {
            break;
        }
        if !go_on(number as u64, alike.len() as u64) {
            return None;
        }
        if let Some((at, here, there)) = contents.first_byte(here, there) {
            found.push(Differs {
                path: shown(&String::from_utf8_lossy(path)),
                field: "contents",
                ours: format!("{here} at byte {at}"),
                other: there,
                rank: 1,
            });
        }
    }
    found.sort_by(|a, b| (a.rank, &a.path).cmp(&(b.rank, &b.path)));
    Some(found)
}

/// The rank of a date, and, one more, of a directory's, which follows from what was put there.
const DATE: u8 = 4;

fn presence(node: Option<&Node>) -> String {
    match node {
        Some(_) => "present".into(),
        None => "absent".into(),
    }
}

type Field = (&'static str, String, String, u8);

/// The first of a file's fields that differs, with its rank.
fn field(here: &Node, there: &Node) -> Option<Field> {
    let number = |name, a: u64, b: u64, rank| (name, a.to_string(), b.to_string(), rank);
    let xattrs = |node: &Node| {
        let mut xattrs: Vec<String> = node.xattrs.iter().map(attribute).collect();
        xattrs.sort();
        format!("[{}]", xattrs.join(", "))
    };
    let target = |node: &Node| format!("\"{}\"", shown(&String::from_utf8_lossy(&node.target)));
    let mode = |node: &Node| format!("{:04o}", node.mode);
    let is_directory = here.kind == 1;
    let (a, b) = (here, there);
    let fields = [
        ("kind", kind(a), kind(b), 0),
        number("size", a.contents.size, b.contents.size, 1),
        ("link target", target(a), target(b), 1),
        number("device", a.device.into(), b.device.into(), 1),
        ("mode", mode(a), mode(b), 2),
        number("uid", a.uid.into(), b.uid.into(), 2),
        number("gid", a.gid.into(), b.gid.into(), 2),
        ("xattrs", xattrs(a), xattrs(b), 3),
        number(
            "mtime",
            a.mtime.into(),
            b.mtime.into(),
            DATE + u8::from(is_directory),
        ),
    ];
    fields.into_iter().find(|(_, here, there, _)| here != there)
}

fn kind(node: &Node) -> String {
    match node.kind {
        1 => "directory",
        2 => "file",
        3 => "symbolic link",
        4 => "block device",
        5 => "character device",
        6 => "pipe",
        _ => "socket",
    }
    .into()
}

/// `user.x="text"`, the value in hexadecimal digits where it is no text.
fn attribute((name, value): &(Vec<u8>, Vec<u8>)) -> String {
    let is_text = value.iter().all(|byte| (b' '..=b'~').contains(byte));
    let value = match is_text {
        true => format!("\"{}\"", String::from_utf8_lossy(value)),
        false => value.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    format!("{}={value}", shown(&String::from_utf8_lossy(name)))
}

struct Comparison<'a> {
    files: (&'a Files<'a>, &'a Files<'a>),
    /// Names of one file are read once.
    seen: HashSet<(u32, u32)>,
    found: usize,
}

impl Comparison<'_> {
    /// The first byte of two files of one length that differs, and its values.
    fn first_byte(&mut self, here: &Node, there: &Node) -> Option<(u64, String, String)> {
        if here.kind != 2 || !self.seen.insert((here.number, there.number)) {
            return None;
        }
        let (ours, other) = self.files;
        // Of images with blocks of unlike length no block has its like.
        if ours.block_size() != other.block_size() {
            return None;
        }
        let blocks = here.contents.size.div_ceil(ours.block_size());
        for number in 0..usize::try_from(blocks).ok()? {
            if ours.same_stored(&here.contents, (other, &there.contents), number) {
                continue;
            }
            let a = ours.piece(&here.contents, number);
            let b = other.piece(&there.contents, number);
            let differs = match (a, b) {
                (Ok(Some(a)), Ok(Some(b))) => {
                    let within = a.iter().zip(&b).position(|(a, b)| a != b);
                    let byte = |bytes: &[u8], at: usize| format!("0x{:02x}", bytes[at]);
                    within.map(|at| (at, byte(&a, at), byte(&b, at)))
                }
                (Err(a), Err(b)) => Some((0, a, b)),
                (Err(a), _) => Some((0, a, "whole".into())),
                (_, Err(b)) => Some((0, "whole".into(), b)),
                _ => None,
            };
            if let Some((at, a, b)) = differs {
                self.found += 1;
                return Some((number as u64 * ours.block_size() + at as u64, a, b));
            }
        }
        None
    }
}

fn unpack(how: Compressor, bytes: &[u8], most: usize) -> Option<Vec<u8>> {
    let all = |reader: &mut dyn Read| {
        let mut out = Vec::new();
        reader.take(most as u64 + 1).read_to_end(&mut out).ok()?;
        Some(out)
    };
    let out = match how {
        Compressor::Zstd => {
            let mut out = Vec::with_capacity(most);
            zstd_safe::decompress(&mut out, bytes).ok()?;
            out
        }
        Compressor::Zlib => all(&mut flate2::read::ZlibDecoder::new(bytes))?,
        Compressor::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, 0).ok()?;
            all(&mut liblzma::read::XzDecoder::new_stream(bytes, stream))?
        }
        Compressor::Lz4 => lz4_flex::block::decompress(bytes, most).ok()?,
        Compressor::Lzma | Compressor::Lzo | Compressor::Other(_) => return None,
    };
    (out.len() <= most).then_some(out)
}
