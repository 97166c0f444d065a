//! Merkle trees (RFC 6962), calculated anew each time.

use aws_lc_rs::digest::{SHA256, digest};

pub(crate) fn sha256(parts: &[&[u8]]) -> Vec<u8> {
    digest(&SHA256, &parts.concat()).as_ref().to_vec()
}

/// Returns the hash of a tree with these leaves, at least one.
#[must_use]
pub fn root(leaves: &[Vec<u8>]) -> Vec<u8> {
    if let [leaf] = leaves {
        return sha256(&[&[0], leaf]);
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    sha256(&[&[1], &root(left), &root(right)])
}

/// Returns the hashes that prove that a leaf is in the tree, the lowest first.
#[must_use]
pub fn path(leaves: &[Vec<u8>], at: usize) -> Vec<Vec<u8>> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let half = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(half);
    let (mut path, other) =
        if at < half { (path(left, at), right) } else { (path(right, at - half), left) };
    path.push(root(other));
    path
}
