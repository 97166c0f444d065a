//! `oci-archive:`: a layout in a tar.
//!
//! It is read where it lies, through the index of the tar, and written in one pass: blobs as they
//! come, `index.json` and `oci-layout` last. The file that is there is replaced when the new one is
//! whole; but the images in it stay, unless another one gets the reference.

mod destination;
mod existing;
mod many;
mod packing;
mod source;

use std::fmt;
use std::path::Path;

use skopeo_image::{Digest, PolicyScope};

use super::name::Wanted;
use super::{LayoutName, LayoutNameError};
use crate::named::Name;

pub(crate) use destination::{create, look};
pub(crate) use many::{ManyPacked, held};
pub(crate) use source::{PackedLayout, names, open};

/// The name of an image in a layout in a tar, or of a place for one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ArchiveName(LayoutName);

impl ArchiveName {
    /// Parses what stands behind the colon: a path up to the next colon, then a reference.
    pub(crate) fn parse(details: &str) -> Result<Self, LayoutNameError> {
        LayoutName::parse(details).map(Self)
    }

    /// The name of one of several images that a file has, or will have.
    pub(crate) fn within(place: &str, label: &str) -> Result<Self, LayoutNameError> {
        LayoutName::within(place, label).map(Self)
    }

    /// Returns the file, as the user named it.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The absolute path of the file, without links where it has one.
    fn resolved(&self) -> &Path {
        Path::new(&self.0.resolved)
    }

    fn wanted(&self) -> &Wanted {
        &self.0.wanted
    }
}

impl Name for ArchiveName {
    fn transport(&self) -> &'static str {
        "oci-archive"
    }

    fn policy_scope(&self) -> PolicyScope {
        PolicyScope { transport: self.transport(), ..self.0.policy_scope() }
    }

    fn file(&self) -> Option<&Path> {
        Some(self.path())
    }
}

impl fmt::Display for ArchiveName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The member that names the images.
const INDEX: &str = "index.json";

/// The member that holds a blob.
fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
}
