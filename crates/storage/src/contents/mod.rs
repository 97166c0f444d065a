//! What is in a layer: a tar becomes files, and files become the same tar again.
//!
//! Beside the files of a layer lies its recipe ("tar-split"): all bytes of the tar that are not the
//! contents of files, and which file's contents come between them.

mod apply;
mod copy;
mod dress;
mod error;
mod export;
mod owner;
mod path;
mod place;
mod reader;
mod recipe;
mod remove;
mod seen;
mod stream;
mod trail;

use std::collections::BTreeSet;

use skopeo_image::Digest;

pub use apply::apply;
pub use copy::copy_tree;
pub use error::{Error, Result};
pub use export::export;
pub(crate) use remove::remove_tree;

/// How a tar becomes files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Apply<'a> {
    /// What becomes of whiteouts.
    pub whiteouts: Whiteouts,
    /// Whether the process is root in a user namespace only: devices are left out, and attributes
    /// of overlay are `user.overlay.*`.
    pub rootless: bool,
    /// Whether files may keep the user's id where theirs cannot be given.
    pub ignore_chown_errors: bool,
    /// The mode that all files get; the true one goes into an attribute.
    pub force_mask: Option<u32>,
    /// Which users of the layer are which of the host; all as they are if empty.
    pub uid_map: &'a [IdRange],
    /// Which groups of the layer are which of the host; all as they are if empty.
    pub gid_map: &'a [IdRange],
}

/// Ids in a layer, and what they are on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// The first id in the layer.
    pub container: u32,
    /// Its id on the host.
    pub host: u32,
    /// How many.
    pub size: u32,
}

/// What becomes of the entries of a tar that say that a file of a layer below is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whiteouts {
    /// Devices 0/0 and attributes, as the kernel's overlay has them.
    Overlay,
    /// Files named as in the tar, as fuse-overlayfs has them too.
    Files,
    /// The file is removed: the folder has what the layers below left.
    Remove,
}

/// What was in a tar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The digest of the whole stream.
    pub diff_digest: Digest,
    /// Its length in bytes.
    pub diff_size: u64,
    /// The users of its entries, as the tar has them; whiteouts do not count.
    pub uids: BTreeSet<u32>,
    /// Their groups.
    pub gids: BTreeSet<u32>,
}
