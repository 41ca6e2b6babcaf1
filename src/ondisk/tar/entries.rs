//! One entry after the other, each with the extended headers in front of it.

use super::header::Header;
use super::pax::Extended;
use super::sparse;
use super::{BLOCK, Entry, EntryKind, Malformed, PATH_LIMIT, Piece, Result, Why, says};
use crate::ondisk::{ByteSource, ReadError};
use std::fmt;
use std::sync::Arc;

/// All extended headers of one entry, in bytes: attributes of 64 KiB each, maps of holes.
const EXTENDED_LIMIT: u64 = 32 << 20;
/// All global headers of an archive, in bytes: they are copied for each entry that has an
/// extended header too.
const GLOBAL_LIMIT: u64 = 16 << 10;
/// The largest file in bytes, 16 TiB: what ext4 can hold.
const FILE_LIMIT: u64 = 16 << 40;

/// The entries of an archive, from its first byte on. After an error there are no more.
#[derive(Clone)]
pub struct Entries<'a> {
    source: &'a dyn ByteSource,
    at: u64,
    /// Shared with each entry that has no extended header of its own.
    global: Arc<Extended>,
    /// How much of [`GLOBAL_LIMIT`] is used.
    global_length: u64,
    ended: bool,
}

impl fmt::Debug for Entries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("at", &self.at).finish()
    }
}

impl<'a> Entries<'a> {
    /// Of an archive.
    pub fn new(source: &'a dyn ByteSource) -> Entries<'a> {
        Entries {
            source,
            at: 0,
            global: Arc::default(),
            global_length: 0,
            ended: false,
        }
    }

    /// Where the next header is expected.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// The next entry with all headers in front of it.
    fn read_entry(&mut self) -> Result<Option<Entry>> {
        let mut own = Arc::clone(&self.global);
        let (mut long_name, mut long_link) = (None, None);
        let (mut is_alone, mut left) = (true, EXTENDED_LIMIT);
        loop {
            let at = self.at;
            let block = self.block(at)?;
            if block.iter().all(|byte| *byte == 0) {
                return match is_alone {
                    true => self.check_end(at).map(|()| None),
                    false => says(at, "the archive ends behind an extended header"),
                };
            }
            let header = Header::parse(&block, at)?;
            let data = at + BLOCK;
            let mut text = || self.extended(&header, data, &mut left);
            match header.kind {
                b'x' | b'X' => Arc::make_mut(&mut own).read(&text()?, data)?,
                b'g' => {
                    let text = text()?;
                    self.global_length += header.size;
                    if self.global_length > GLOBAL_LIMIT {
                        return says(at, "the global headers are too long");
                    }
                    let is_shared = Arc::ptr_eq(&self.global, &own);
                    Arc::make_mut(&mut self.global).read(&text, data)?;
                    match is_shared {
                        true => own = Arc::clone(&self.global),
                        false => Arc::make_mut(&mut own).read(&text, data)?,
                    }
                }
                b'L' => long_name = Some(up_to_nul(text()?)),
                b'K' => long_link = Some(up_to_nul(text()?)),
                // The volume's name, no file.
                b'V' => self.at = data,
                _ => {
                    let entry = self.entry(&header, &block, &own, long_name, long_link);
                    return entry.map(Some);
                }
            }
            is_alone = matches!(header.kind, b'g' | b'V') && is_alone;
        }
    }

    fn block(&self, at: u64) -> Result<[u8; BLOCK as usize]> {
        let mut block = [0; BLOCK as usize];
        self.read(at, &mut block)?;
        Ok(block)
    }

    fn read(&self, at: u64, buf: &mut [u8]) -> Result<()> {
        let why = match self.source.read_at(at, buf) {
            Ok(()) => return Ok(()),
            Err(ReadError::PastEnd) => Why::CutShort,
            Err(ReadError::Io(errno)) => Why::Io(errno),
        };
        let path = None;
        Err(Malformed { at, path, why })
    }

    /// Refuses what would be lost silently: a second archive behind the end of the first.
    fn check_end(&mut self, end: u64) -> Result<()> {
        let mut buf = vec![0; 64 << 10];
        let mut at = end;
        while at < self.source.len() {
            let left = self.source.len() - at;
            let most = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let part = &mut buf[..most];
            self.read(at, part)?;
            if let Some(n) = part.iter().position(|byte| *byte != 0) {
                return says(
                    at + n as u64,
                    format!("something stands behind the archive's end at byte {end}"),
                );
            }
            at += most as u64;
        }
        Ok(())
    }

    /// Text of an extended header, for which so many bytes are `left`; the next header is
    /// behind it.
    fn extended(&mut self, header: &Header, data: u64, left: &mut u64) -> Result<Vec<u8>> {
        let Some(rest) = left.checked_sub(header.size) else {
            let text = format!("extended headers of {} bytes are too long", header.size);
            return says(self.at, text);
        };
        *left = rest;
        self.at = self.behind(data, header.size)?;
        let mut text = vec![0; header.size as usize];
        self.read(data, &mut text)?;
        Ok(text)
    }

    /// The block behind data, which must all be there.
    fn behind(&self, data: u64, size: u64) -> Result<u64> {
        let end = data
            .checked_add(size)
            .filter(|end| *end <= self.source.len());
        match end.and_then(|end| end.checked_next_multiple_of(BLOCK)) {
            Some(end) => Ok(end),
            None => Err(Malformed {
                at: data,
                path: None,
                why: Why::CutShort,
            }),
        }
    }

    fn entry(
        &mut self,
        header: &Header,
        block: &[u8; BLOCK as usize],
        extended: &Extended,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Entry> {
        let at = self.at;
        let path = extended.sparse.name.clone().or(extended.path.clone());
        let path = path.or(long_name).unwrap_or_else(|| header.path.clone());
        let named = |mut error: Malformed| {
            error.path.get_or_insert_with(|| path.clone());
            error
        };
        let target = extended.link.clone().or(long_link);
        let target = target.unwrap_or_else(|| header.link.clone());
        let length = extended.size.unwrap_or(header.size);
        for (what, text) in [("name", &path), ("link's target", &target)] {
            if text.len() > PATH_LIMIT || text.contains(&0) {
                let mut short = path.clone();
                short.truncate(100);
                return Err(Malformed {
                    at,
                    path: Some(short),
                    why: Why::Says(match text.contains(&0) {
                        true => format!("its {what} has a NUL in it"),
                        false => format!("its {what} has {} bytes: too long", text.len()),
                    }),
                });
            }
        }
        let kind = self.kind(header, block, extended, &path, target, length);
        Ok(Entry {
            at,
            kind: kind.map_err(named)?,
            mode: header.mode,
            uid: extended.uid.unwrap_or(header.uid),
            gid: extended.gid.unwrap_or(header.gid),
            mtime: extended.mtime.unwrap_or(header.mtime),
            xattrs: extended.xattrs.clone(),
            acls: extended.acls,
            path,
        })
    }

    /// What it is; the next header is behind its data.
    fn kind(
        &mut self,
        header: &Header,
        block: &[u8; BLOCK as usize],
        extended: &Extended,
        path: &[u8],
        target: Vec<u8>,
        length: u64,
    ) -> Result<EntryKind> {
        let at = self.at;
        let data = at + BLOCK;
        // Old archives give a hard link its file's length, and no data (GNU tar's reading).
        let held = if header.kind == b'1' { 0 } else { length };
        let is_file = matches!(header.kind, 0 | b'0' | b'7' | b'S' | b'D');
        if !is_file && held > 0 {
            return says(at, format!("it is no file, and has {held} bytes of data"));
        }
        let kind = match header.kind {
            // Before POSIX, a slash at the end made a directory.
            0 | b'0' if path.ends_with(b"/") && length == 0 => EntryKind::Directory,
            0 | b'0' | b'7' | b'S' => {
                let (size, pieces, data) = match header.kind {
                    b'S' => self.old_sparse(block, length)?,
                    _ if extended.sparse.is_some() => self.pax_sparse(extended, length)?,
                    _ => (length, sparse::whole(data, length), data),
                };
                if size > FILE_LIMIT {
                    return says(at, format!("a file of {size} bytes is too large"));
                }
                self.at = self.behind(data, length)?;
                return Ok(EntryKind::File { size, pieces });
            }
            b'1' => EntryKind::HardLink { target },
            b'2' => EntryKind::Symlink { target },
            b'3' => EntryKind::Char(header.major, header.minor),
            b'4' => EntryKind::Block(header.major, header.minor),
            b'5' | b'D' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            b'M' => return says(at, "it is the rest of a file in another archive"),
            other => {
                let shown = (other as char).escape_default();
                return says(at, format!("its kind, '{shown}', is not known"));
            }
        };
        self.at = self.behind(data, held)?;
        Ok(kind)
    }

    /// GNU tar's first form: the map is in the header and in blocks behind it, which the
    /// length does not count. Gives the file's size, its pieces, and where they begin.
    fn old_sparse(&self, block: &[u8], length: u64) -> Result<(u64, Vec<Piece>, u64)> {
        let mut map = sparse::OldMap::start(block, self.at)?;
        let mut data = self.at + BLOCK;
        while map.goes_on() {
            map.more(&self.block(data)?, data)?;
            data += BLOCK;
        }
        let size = map.size;
        let pieces = sparse::place(&map.extents, size, data, length, self.at)?;
        Ok((size, pieces, data))
    }

    /// The same of the three forms in extended headers; the length counts the map.
    fn pax_sparse(&self, extended: &Extended, length: u64) -> Result<(u64, Vec<Piece>, u64)> {
        let (at, mut data) = (self.at, self.at + BLOCK);
        let sparse = &extended.sparse;
        let Some(size) = sparse.size else {
            return says(at, "it is sparse, and its size is not said");
        };
        let mut extents = sparse.extents.clone();
        let mut held = length;
        if sparse.map_in_data {
            // Never read more than there is, whatever the length says.
            self.behind(data, length)?;
            let text = |offset: u64, buf: &mut [u8]| self.read(data + offset, buf);
            let (found, map_length) = sparse::read_map(&text, length, data)?;
            (extents, held) = (found, length - map_length);
            data += map_length;
        }
        let pieces = sparse::place(&extents, size, data, held, at)?;
        Ok((size, pieces, at + BLOCK))
    }
}

/// A long name of GNU tar's ends with a NUL.
fn up_to_nul(mut text: Vec<u8>) -> Vec<u8> {
    let end = text.iter().position(|byte| *byte == 0);
    text.truncate(end.unwrap_or(text.len()));
    text
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Result<Entry>> {
        if self.ended {
            return None;
        }
        let entry = self.read_entry().transpose();
        self.ended = !matches!(entry, Some(Ok(_)));
        entry
    }
}
