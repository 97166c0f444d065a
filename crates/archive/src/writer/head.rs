//! What stands before and behind the bytes of a member.

use std::io;

use skopeo_image::number::wide;

use super::Entry;
use crate::error::TarWriteError;
use crate::ustar::{self, UstarKind};

/// A member that is about to be written: what precedes its bytes, and how far all of it reaches.
pub(super) struct Head {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    /// The length of these bytes.
    pub(super) space: u64,
    /// The length of those that follow.
    pub(super) size: u64,
    /// All together, with what fills the last block.
    pub(super) len: u64,
}

impl Head {
    pub(super) fn new(name: String, size: u64, mode: u64) -> Result<Self, TarWriteError> {
        let bytes = ustar::encode(&name, UstarKind::File(size), mode);
        let space = wide(bytes.len());
        let len = ustar::padded(size).and_then(|body| body.checked_add(space));
        let len = len.ok_or_else(too_large)?;
        Ok(Self { name, bytes, space, size, len })
    }

    /// What fills the last block.
    pub(super) fn fill(&self) -> Vec<u8> {
        let fill = self.len.saturating_sub(self.space).saturating_sub(self.size);
        vec![0; usize::try_from(fill).unwrap_or_default()]
    }
}

/// Small members as they stand in a tar.
pub(super) fn encode(entries: &[Entry], mode: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        match entry {
            Entry::File { name, bytes: content } => {
                bytes.extend(ustar::encode(name, UstarKind::File(wide(content.len())), mode));
                bytes.extend_from_slice(content);
                bytes.resize(bytes.len().next_multiple_of(512), 0);
            }
            Entry::Folder { name } => bytes.extend(ustar::encode(name, UstarKind::Folder, mode)),
            Entry::Link { name, target } => {
                bytes.extend(ustar::encode(name, UstarKind::Link(target), mode));
            }
        }
    }
    bytes
}

pub(super) fn too_large() -> io::Error {
    io::ErrorKind::FileTooLarge.into()
}
