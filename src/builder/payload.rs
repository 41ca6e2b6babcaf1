//! The payload: the tree as one squashfs, written straight to its place on the medium, its id,
//! and its hash tree behind it.

use super::options::SquashfsTool;
use super::source::{Kind, Listing};
use super::squashfs::{self, Sort, Written, mksquashfs};
use super::tool::Tools;
use super::{Error, Options, Result, Tree, manifest, verity};
use crate::layout::VerityManifest;
use crate::units::ImageId;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A payload on its medium.
#[derive(Clone, Debug)]
pub struct Payload {
    /// SHA-256 of the squashfs.
    pub id: ImageId,
    /// Length of the squashfs, bytes.
    pub size: u64,
    /// Its hash tree.
    pub verity: VerityManifest,
    /// Length of both together, bytes.
    pub length: u64,
    /// What our writer has to tell; none of mksquashfs's.
    pub written: Option<Written>,
}

/// Bytes of an inode and its listing with all tables, at most; names and attributes come on top.
const PER_INODE: u64 = 1024;

/// Bytes that a payload of this listing takes at most, its hash tree with it: a bound, not a
/// guess. Blocks that packing does not make less are stored as they are.
pub fn most(listing: &Listing) -> u64 {
    let inodes = listing.inodes.iter().map(|inode| {
        let contents = match &inode.kind {
            // Each block's length takes four bytes, of blocks of 4 KiB or more.
            Kind::File { size } => size.saturating_add(size / 1024),
            Kind::Symlink { target } => target.len() as u64,
            _ => 0,
        };
        let xattrs = inode.xattrs.iter();
        let xattrs = xattrs.map(|x| (x.name.len() + x.value.len()) as u64 + 16);
        contents.saturating_add(PER_INODE + xattrs.sum::<u64>())
    });
    let names = listing.names.iter().map(|name| name.path.len() as u64 + 64);
    let all = inodes.chain(names).fold(1 << 20, u64::saturating_add);
    all.saturating_add(all / 64)
}

/// Packs the tree into `image`, its first byte at `offset`. `path` is the image's, for messages.
///
/// # Errors
/// What cannot be read or stored; no space; a signal.
pub fn write(
    tools: &Tools<'_>,
    tree: &Tree,
    options: &Options,
    sort: Option<&Sort>,
    (image, path): (&File, &Path),
    offset: u64,
) -> Result<Payload> {
    let watch = tools.watch;
    watch.phase("payload");
    let (size, written) = match options.payload.tool {
        SquashfsTool::Own => {
            let how = &options.payload;
            let how = how.squashfs(options.owners, tools.epoch, sort.cloned());
            let written = squashfs::write(tree.source(), &how, image, offset, watch)?;
            (written.length.0, Some(written))
        }
        SquashfsTool::Mksquashfs => {
            let file = tools.scratch.join("squashfs.img");
            let size = mksquashfs::write(tools, tree, &options.payload, options.owners, &file)?;
            copy(&file, image, path, offset)?;
            let _ = std::fs::remove_file(&file);
            (size.0, None)
        }
    };
    watch.phase("image id");
    let id = ImageId::from_digest(&manifest::digest_range(
        image,
        path,
        offset..offset + size,
        watch,
    )?);
    watch.phase("hash tree");
    let verity = verity::append(image, path, offset, size, &id, watch)?;
    Ok(Payload {
        id,
        size,
        verity,
        length: verity::length_with_tree(size)?,
        written,
    })
}

fn copy(from: &Path, image: &File, path: &Path, mut at: u64) -> Result<()> {
    use std::io::Read;
    let mut file = File::open(from).map_err(Error::system("opening", from))?;
    let mut piece = vec![0; 1 << 20];
    loop {
        match file
            .read(&mut piece)
            .map_err(Error::system("reading", from))?
        {
            0 => return Ok(()),
            n => {
                let written = image.write_all_at(&piece[..n], at);
                written.map_err(Error::system("writing", path))?;
                at += n as u64;
            }
        }
    }
}

/// What the table of sizes says of it.
pub fn count(payload: &Payload, sizes: &mut super::Sizes) {
    if let Some(written) = &payload.written {
        sizes.count(written);
    }
    sizes.payload = payload.length;
    sizes.verity = payload.length - payload.size;
}
