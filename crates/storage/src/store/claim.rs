//! Who brings a layer, of all programs that want it at the same time.

use std::path::PathBuf;

use skopeo_image::Digest;

use super::Store;
use crate::error::Result;
use crate::lock::{Access, Held, LockFile};

/// The right to bring a layer, which one copy at a time has. It ends with this value, or with the
/// process.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    held: Option<Held>,
}

/// Who may bring a layer now.
#[derive(Debug)]
pub enum Claimed {
    /// We may.
    Now(Claim),
    /// Another copy of this process brings it.
    Here,
    /// Another process brings it.
    Elsewhere,
}

impl Store {
    /// Asks for the right to bring the layer that a blob becomes. Nothing keeps those from bringing
    /// it who do not ask: two programs then do the same work, and one result is kept.
    ///
    /// # Errors
    /// If the locks of layers cannot be used.
    pub fn claim(&self, blob: &Digest) -> Result<Claimed> {
        let path = self.0.places.locks().join(blob.as_str());
        let lock = LockFile::new(path.clone(), Access::ReadWrite);
        let Some(held) = lock.try_write()? else {
            return Ok(if lock.is_ours()? { Claimed::Here } else { Claimed::Elsewhere });
        };
        // Who had it may have removed the file before we locked it: then it is asked for again.
        if !held.is_at(&path) {
            return Ok(Claimed::Elsewhere);
        }
        held.touch()?;
        Ok(Claimed::Now(Claim { path, held: Some(held) }))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // It goes before it is unlocked: who locks it afterwards sees that it has no name.
        let _ = fs_err::remove_file(&self.path);
        self.held = None;
    }
}
