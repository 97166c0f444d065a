//! The referrers of an image: signatures, attestations, lists of parts, whatever refers to it.

use std::collections::BTreeSet;
use std::fmt;

use skopeo_image::manifest::oci::OciDescriptor;
use skopeo_image::{Descriptor, Digest, Links, RawManifest};

use crate::{CommitError, Error};

/// A manifest that refers to another one, as the source lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrer {
    /// Its manifest.
    pub blob: Descriptor,
    /// What kind of artifact it is; empty where the list does not say.
    pub artifact_type: String,
    /// Where it was found.
    pub found: FoundBy,
}

/// Where a referrer was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundBy {
    /// The registry lists it.
    Api,
    /// It is in the index, or for who just glances is the index, under the tag that stands in for a
    /// registry's API: `sha256-HEX`.
    FallbackTag,
    /// It is under a tag that cosign makes of the digest.
    CosignTag(CosignTag),
    /// It is in the layout: in an index under the name that would be the fall-back tag, or it says
    /// its subject itself.
    Layout,
}

/// The tags that cosign makes of an image's digest: `sha256-HEX.sig` and the like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CosignTag {
    /// Signatures.
    Signatures,
    /// Attestations.
    Attestations,
    /// Lists of parts.
    Sboms,
}

/// How closely referrers of a manifest are searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferrerSearch {
    /// All of them.
    All,
    /// Those that are listed, and not what is under cosign's tags.
    Listed,
    /// Whether there is any, with as few requests as possible: a list under a tag may be given
    /// instead of what it lists.
    Any,
}

impl Referrer {
    /// One that is in a list.
    pub(crate) fn listed(descriptor: OciDescriptor, found: FoundBy) -> Self {
        let OciDescriptor { blob, artifact_type, .. } = descriptor;
        Self { blob, artifact_type, found }
    }

    /// One that is under a tag, of whatever kind.
    pub(crate) fn tagged(blob: Descriptor, found: FoundBy) -> Self {
        Self { blob, artifact_type: String::new(), found }
    }
}

impl FoundBy {
    /// Returns the tag that leads to it, for what has one of its own.
    #[must_use]
    pub fn tag(self, subject: &Digest) -> Option<String> {
        match self {
            Self::CosignTag(tag) => Some(tag.of(subject)),
            Self::Api | Self::FallbackTag | Self::Layout => None,
        }
    }
}

impl CosignTag {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Signatures, Self::Attestations, Self::Sboms];

    /// Returns what stands at its end.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Signatures => ".sig",
            Self::Attestations => ".att",
            Self::Sboms => ".sbom",
        }
    }

    /// Returns the tag for the image of that digest.
    #[must_use]
    pub fn of(self, subject: &Digest) -> String {
        format!("{}-{}{}", subject.algorithm(), subject.hex(), self.suffix())
    }
}

/// Whether what is to come may take the place of what is under one of cosign's tags: it has all
/// that is there. `false` if what is there has all of it already.
pub(crate) fn replaces(new: &Links, there: &RawManifest, tag: &str) -> Result<bool, Error> {
    let layers = |links: &Links| -> BTreeSet<Digest> {
        let config = usize::from(!links.blobs.is_empty());
        links.blobs.iter().skip(config).map(|blob| blob.digest.clone()).collect()
    };
    // What is no manifest that we know is not ours to throw away, either.
    let there = layers(&Links::parse(there)?);
    let new = layers(new);
    if there.is_subset(&new) {
        Ok(true)
    } else if new.is_subset(&there) {
        Ok(false)
    } else {
        Err(CommitError::WouldLose(tag.to_owned()).into())
    }
}

impl fmt::Display for FoundBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Api => "api",
            Self::FallbackTag => "fallback-tag",
            Self::CosignTag(_) => "cosign-tag",
            Self::Layout => "layout",
        })
    }
}
