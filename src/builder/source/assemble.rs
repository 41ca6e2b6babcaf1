//! A [`Listing`] from names in any order: sorted, each inode where its first name stands.

use super::{Inode, Listing, Name, compare};

/// Names with the places of their inodes in a table of drafts.
pub type Names = Vec<(Vec<u8>, usize)>;

/// Makes the listing. The second value says for each of its inodes which draft it was;
/// drafts without a name are gone.
pub fn assemble(mut names: Names, drafts: Vec<Inode>) -> (Listing, Vec<usize>) {
    names.sort_by(|(a, _), (b, _)| compare(a, b));
    let mut drafts: Vec<Option<Inode>> = drafts.into_iter().map(Some).collect();
    let mut places = vec![usize::MAX; drafts.len()];
    let mut order = Vec::new();
    let mut listing = Listing::default();
    for (path, draft) in names {
        if let Some(inode) = drafts[draft].take() {
            places[draft] = listing.inodes.len();
            listing.inodes.push(inode);
            order.push(draft);
        }
        let inode = places[draft];
        listing.names.push(Name { path, inode });
    }
    (listing, order)
}

/// For each inode its first name's place in [`Listing::names`].
pub fn first_names(listing: &Listing) -> Vec<usize> {
    let mut first = vec![usize::MAX; listing.inodes.len()];
    for (n, name) in listing.names.iter().enumerate().rev() {
        first[name.inode] = n;
    }
    first
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    #[test]
    fn inodes_stand_in_the_order_of_their_first_names_and_nameless_ones_go() {
        let inode = |uid| Inode {
            kind: Kind::Fifo,
            mode: 0,
            uid,
            gid: 0,
            mtime: 0,
            xattrs: Vec::new(),
        };
        let names = vec![
            (b"z".to_vec(), 0),
            (b"b".to_vec(), 2),
            (b"c".to_vec(), 0),
            (b"".to_vec(), 3),
        ];
        let (listing, order) = assemble(names, (0..4).map(inode).collect());
        assert_eq!(order, [3, 2, 0]);
        let uids: Vec<u32> = listing.inodes.iter().map(|i| i.uid).collect();
        assert_eq!(uids, [3, 2, 0]);
        let inodes: Vec<usize> = listing.names.iter().map(|n| n.inode).collect();
        assert_eq!(inodes, [0, 1, 2, 2]);
        assert_eq!(first_names(&listing), [0, 1, 2]);
    }
}
