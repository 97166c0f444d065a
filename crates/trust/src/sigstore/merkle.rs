//! Trees of hashes, as logs have them (RFC 6962, RFC 9162).

use aws_lc_rs::digest::{Context, SHA256};

/// A hash of such a tree.
pub(super) type Hash = [u8; 32];

/// The root of a tree of `size` leaves in which the leaf at `index` (counted from 0) hangs on this
/// path; `None` if there can be no such path (RFC 9162, 2.1.3.2).
pub(super) fn root(leaf: &[u8], index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    let mut last = size.checked_sub(1).filter(|last| index <= *last)?;
    let mut at = index;
    let mut root = hash(0, &[leaf])?;
    for sibling in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            root = hash(1, &[sibling, &root])?;
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            root = hash(1, &[&root, sibling])?;
        }
        at >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(root)
}

/// Leaves begin with 0 and nodes with 1, so that none can be taken for the other.
fn hash(kind: u8, parts: &[&[u8]]) -> Option<Hash> {
    let mut context = Context::new(&SHA256);
    context.update(&[kind]);
    for part in parts {
        context.update(part);
    }
    context.finish().as_ref().try_into().ok()
}

#[cfg(test)]
mod tests {
    use skopeo_testkit::merkle;

    use super::*;

    fn tree(leaves: &[Vec<u8>]) -> Hash {
        merkle::root(leaves).try_into().unwrap()
    }

    fn path(leaves: &[Vec<u8>], at: usize) -> Vec<Hash> {
        merkle::path(leaves, at).into_iter().map(|hash| hash.try_into().unwrap()).collect()
    }

    #[test]
    fn every_leaf_of_every_tree_is_found_and_nothing_else() {
        let all: Vec<Vec<u8>> = (0..40_u8).map(|it| vec![it; usize::from(it)]).collect();
        for size in 1..=all.len() {
            let leaves = &all[..size];
            let (whole, count) = (tree(leaves), size as u64);
            for at in 0..size {
                let path = path(leaves, at);
                let found = |index, count, path: &[Hash]| root(&leaves[at], index, count, path);
                assert_eq!(found(at as u64, count, &path), Some(whole), "{at} of {size}");
                for other in (0..size + 2).filter(|other| *other != at) {
                    assert_ne!(found(other as u64, count, &path), Some(whole), "{at} {other}");
                }
                assert_ne!(root(b"other", at as u64, count, &path), Some(whole));
                let longer = [path.as_slice(), &[whole]].concat();
                assert_ne!(found(at as u64, count, &longer), Some(whole));
                if let Some((_, shorter)) = path.split_last() {
                    assert_ne!(found(at as u64, count, shorter), Some(whole));
                }
            }
        }
        assert_eq!(root(b"", 0, 0, &[]), None);
        assert_eq!(root(b"", u64::MAX, u64::MAX, &[[0; 32]; 64]), None);
    }

    #[test]
    fn the_tree_is_that_of_the_standard() {
        // RFC 6962's test vectors, as certificate transparency publishes them.
        let leaf = [0x00_u8];
        let hex: String =
            tree(&[Vec::new(), leaf.to_vec()]).iter().map(|it| format!("{it:02x}")).collect();
        assert_eq!(hex, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125");
    }
}
