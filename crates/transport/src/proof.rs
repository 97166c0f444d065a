//! What is known of files that have the names of blobs.
//!
//! A file says what it holds by its name only, and whoever could write to the folder could write
//! anything. So before an image that did not bring a blob itself is given a name, the blob is
//! hashed, once in a run, and what this run has written is known to be right.
//! docs/decisions/reuse.md says what of that is believed when.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use skopeo_archive::Stamp;
use skopeo_image::{Digest, Hasher};
use skopeo_system::Opening as _;

/// How many files are remembered: some 30 MiB. Those beyond are hashed again.
const MOST: usize = 1 << 17;

/// How much is read at once, in bytes.
const PIECE: usize = 256 * 1024;

/// What a run knows of the blobs in a place.
#[derive(Debug, Default)]
pub(crate) struct Proofs(Mutex<HashMap<Digest, Proof>>);

/// What the file was when its bytes were those of the digest. Locked while that is found out, so
/// that of many images that need a blob one reads it.
pub(crate) type Proof = Arc<Mutex<Option<Stamp>>>;

impl Proofs {
    /// Remembers that this run has written a file, and has verified what it wrote.
    pub(crate) fn wrote(&self, digest: &Digest, path: &Path) {
        let stamp = Stamp::of_file(path);
        self.with(digest, |proven| *proven = stamp);
    }

    /// Whether a regular file holds the blob. Blocks, and reads all of it unless it is known to be
    /// what it was.
    pub(crate) fn holds(&self, digest: &Digest, path: &Path) -> bool {
        self.with(digest, |proven| is_proven(proven, digest, path))
    }

    /// Lets `work` look at, or change, what is known of a blob, and nobody else meanwhile.
    pub(crate) fn with<T>(&self, digest: &Digest, work: impl FnOnce(&mut Option<Stamp>) -> T) -> T {
        let proof = self.proof(digest);
        let mut proven = proof.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut proven)
    }

    fn proof(&self, digest: &Digest) -> Proof {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(proof) = all.get(digest) {
            return proof.clone();
        }
        let proof = Proof::default();
        if all.len() < MOST {
            all.insert(digest.clone(), proof.clone());
        }
        proof
    }
}

/// Whether the file is the one that is known to be right, or is found to be right.
pub(crate) fn is_proven(proven: &mut Option<Stamp>, digest: &Digest, path: &Path) -> bool {
    if proven.is_some() && *proven == Stamp::of_file(path) {
        return true;
    }
    let found = prove(digest, path);
    if found.is_some() {
        *proven = found;
    }
    found.is_some()
}

/// Reads a file, no link, and gives what it was if it holds what its name says.
fn prove(digest: &Digest, path: &Path) -> Option<Stamp> {
    let mut options = fs_err::OpenOptions::new();
    options.read(true).options_mut().no_link(false);
    let mut file = options.open(path).ok()?;
    let before = Stamp::of(&file.metadata().ok().filter(std::fs::Metadata::is_file)?);
    let mut hasher = Hasher::new(digest.algorithm());
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => hasher.update(piece.get(..read)?),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    let is_right = hasher.finish() == *digest;
    // What was written to meanwhile has not been read.
    (is_right && Stamp::of_file(path) == Some(before)).then_some(before)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn what_was_written_to_is_not_believed_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blob");
        let digest = Digest::sha256(b"right");
        let proofs = Proofs::default();
        fs_err::write(&path, "right").unwrap();
        assert!(proofs.holds(&digest, &path) && proofs.holds(&digest, &path));
        // As long, and as old.
        let time = fs_err::metadata(&path).unwrap().modified().unwrap();
        fs_err::write(&path, "wrong").unwrap();
        set_modified(&path, time);
        assert!(!proofs.holds(&digest, &path));
        fs_err::write(&path, "right").unwrap();
        assert!(proofs.holds(&digest, &path));
        let link = folder.path().join("link");
        fs_err::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(!Proofs::default().holds(&digest, &link));
        assert!(!Proofs::default().holds(&digest, folder.path()));
    }

    fn set_modified(path: &Path, time: SystemTime) {
        let file = fs_err::OpenOptions::new().write(true).open(path).unwrap();
        file.file().set_modified(time).unwrap();
    }
}
