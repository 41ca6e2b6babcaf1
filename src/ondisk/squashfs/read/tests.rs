use super::super::directory::{self, Entry};
use super::super::inode::{Body, Head, Type, encode};
use super::super::metadata::{Place, Stream, indexed};
use super::super::write::{self, block_entry, fragment_entry};
use super::super::xattr::Table;
use super::*;
use proptest::prelude::*;
use std::convert::Infallible;

fn raw(_: &[u8]) -> Result<Option<Vec<u8>>, Infallible> {
    Ok(None)
}

fn none(_: Compressor, _: &[u8], _: usize) -> Option<Vec<u8>> {
    None
}

/// An image that nothing packed, at byte 100: a file of a block and a fragment with an
/// attribute, and a link.
fn image() -> Vec<u8> {
    let mut xattrs = Table::default();
    let set: [(&[u8], &[u8]); 2] = [(b"user.a", b"long enough"), (b"trusted.b", b"long enough")];
    let set = xattrs.add(set.into_iter(), &mut raw).unwrap();
    let head = |number, xattrs| Head {
        mode: 0o640,
        uid: 0,
        gid: 1,
        mtime: 1000 + number,
        number,
        links: 1,
        xattrs,
    };
    let mut image = vec![0; 96];
    image.extend([7; 4096]);
    image.extend(b"..tail");
    let file = Body::File {
        start: 96,
        size: 4100,
        holes: 0,
        fragment: Some((0, 2)),
        blocks: &[block_entry(4096, false)],
    };
    let mut inodes = Stream::default();
    let mut entries = Vec::new();
    let bodies = [(&b"f"[..], file, set), (b"l", Body::Symlink(b"f"), None)];
    for (number, (name, body, set)) in (1..).zip(bodies) {
        let place = inodes.place();
        entries.push(Entry {
            name,
            place,
            number,
            kind: body.kind(),
        });
        inodes
            .push(&encode(&head(number, set), &body), &mut raw)
            .unwrap();
    }
    let listing = directory::encode(&entries).bytes;
    let root = inodes.place().reference();
    let body = Body::Directory {
        listing: Place::default(),
        length: listing.len() as u32,
        parent: 4,
        index: &[],
    };
    assert_eq!(body.kind(), Type::Directory);
    inodes
        .push(&encode(&head(3, None), &body), &mut raw)
        .unwrap();
    let inode_table = image.len() as u64;
    image.extend(inodes.finish(&mut raw).unwrap().0);
    let directory_table = image.len() as u64;
    let mut names = Stream::default();
    names.push(&listing, &mut raw).unwrap();
    image.extend(names.finish(&mut raw).unwrap().0);
    let mut add = |items: &[u8]| {
        let table = indexed(items, image.len() as u64, &mut raw).unwrap();
        image.extend(table.bytes);
        table.index
    };
    let fragment_table = add(&fragment_entry(96 + 4096, block_entry(6, false)));
    let ids: Vec<u8> = [5u32, 70_000]
        .iter()
        .flat_map(|id| id.to_le_bytes())
        .collect();
    let id_table = add(&ids);
    let stored = xattrs
        .finish(image.len() as u64, &mut raw)
        .unwrap()
        .unwrap();
    image.extend(stored.bytes);
    let superblock = write::Superblock {
        inodes: 3,
        time: 2000,
        block_size: 4096,
        fragments: 1,
        compressor: Compressor::Zstd,
        has_options: false,
        ids: 2,
        root,
        bytes_used: image.len() as u64,
        id_table,
        xattr_table: stored.header,
        inode_table,
        directory_table,
        fragment_table,
        export_table: NO_TABLE,
    };
    image[..96].copy_from_slice(&superblock.encode());
    [vec![0; 100], image].concat()
}

#[test]
fn what_was_written_is_read_again() {
    let image = image();
    let files = read(&image, 100, &none).unwrap();
    let paths: Vec<_> = files.nodes.keys().map(|path| lossy(path)).collect();
    assert_eq!(paths, ["/", "/f", "/l"]);
    let node = &files.nodes[&b"/f"[..]];
    assert_eq!(
        (node.mode, node.uid, node.gid, node.mtime),
        (0o640, 5, 70_000, 1001)
    );
    let value = b"long enough".to_vec();
    let wanted = [
        (b"user.a".to_vec(), value.clone()),
        (b"trusted.b".to_vec(), value),
    ];
    assert_eq!(node.xattrs, wanted);
    let piece = |number| files.piece(&node.contents, number).unwrap();
    assert_eq!(piece(0), Some(vec![7; 4096]));
    assert_eq!((piece(1).as_deref(), piece(2)), (Some(&b"tail"[..]), None));
    assert_eq!(files.nodes[&b"/l"[..]].target, b"f");
}

proptest! {
    #[test]
    fn no_bytes_make_a_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        length in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut image = image();
        // The data is dull.
        let places: Vec<usize> = (100..196).chain(196 + 4096..image.len()).collect();
        for (index, value) in changes {
            image[places[index.index(places.len())]] = value;
        }
        if is_cut {
            image.truncate(length.index(image.len()));
        }
        if let Ok(files) = read(&image, 100, &none) {
            for node in files.nodes.values() {
                for number in 0..3 {
                    let _ = files.piece(&node.contents, number);
                }
            }
        }
    }
}
