//! What a manifest needs: the blobs that must be there for it to be whole, and that nobody may
//! delete while it is.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use skopeo_image::manifest::guess;
use skopeo_image::{Digest, MediaType, go_json};
use skopeo_registry::referrers_tag;

use super::blob_store::BlobStore;
use super::index::{Target, is_manifest};
use crate::files::MAX_MANIFEST;
use crate::invalid_file::InvalidFile;
use crate::{ContentError, Error};

/// The digests reached so far, and what is known of each.
#[derive(Debug, Default)]
pub(super) struct Reach {
    blobs: BTreeMap<Digest, Expected>,
    /// Whether a manifest on the way was not what its digest says.
    broken: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Expected {
    size: Option<u64>,
    /// A layer whose bytes may lie elsewhere.
    foreign: bool,
}

/// What any kind of manifest names, whatever its kind.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Named {
    manifests: Option<Vec<Link>>,
    config: Option<Link>,
    layers: Option<Vec<Link>>,
    fs_layers: Option<Vec<Schema1Link>>,
}

#[derive(Deserialize)]
struct Link {
    #[serde(rename = "mediaType", default)]
    media_type: MediaType,
    digest: Digest,
    #[serde(default, deserialize_with = "go_json::size")]
    size: Option<u64>,
    #[serde(default)]
    urls: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Schema1Link {
    blob_sum: Digest,
}

/// Whether what a list names by an unknown type is no manifest by its contents either.
fn is_blob(place: &dyn BlobStore, digest: &Digest) -> Result<bool, Error> {
    Ok(match place.size(digest) {
        Some(size) if size > MAX_MANIFEST => true,
        _ => guess(&place.manifest(digest)?).is_none(),
    })
}

impl Reach {
    /// Adds a manifest and all that it names. Instances that are not there are taken as they
    /// are: a sparse list is no broken one.
    pub(super) fn follow(&mut self, place: &dyn BlobStore, top: Target) -> Result<(), Error> {
        let mut waiting = vec![(top.clone(), None)];
        while let Some((target, size)) = waiting.pop() {
            let known = Expected { size, foreign: false };
            if self.blobs.insert(target.digest.clone(), known).is_some() {
                continue;
            }
            let is_known = is_manifest(&target.media_type);
            // What is not there is not followed, nor is a blob that a list names.
            if !place.has(&target.digest)
                || (!is_known && target != top && is_blob(place, &target.digest)?)
            {
                continue;
            }
            let bytes = place.manifest(&target.digest)?;
            self.broken |= Digest::of(target.digest.algorithm(), &bytes) != target.digest;
            if !is_known && target == top {
                return Err(ContentError::UnknownEntry(target.media_type.to_string()).into());
            }
            let named: Named = go_json::from_slice(&bytes).map_err(|source| InvalidFile::Json {
                path: place.locate(&target.digest),
                source,
            })?;
            for link in named.manifests.into_iter().flatten() {
                let Link { media_type, digest, size, .. } = link;
                if media_type.is_blob() {
                    self.blobs.insert(digest, Expected { size, foreign: false });
                } else {
                    waiting.push((Target { media_type, digest }, size));
                }
            }
            for link in named.config.into_iter().chain(named.layers.into_iter().flatten()) {
                let foreign = link.urls.is_some_and(|urls| !urls.is_empty());
                self.blobs.insert(link.digest, Expected { size: link.size, foreign });
            }
            for link in named.fs_layers.into_iter().flatten() {
                self.blobs.insert(link.blob_sum, Expected::default());
            }
        }
        Ok(())
    }

    pub(super) fn contains(&self, digest: &Digest) -> bool {
        self.blobs.contains_key(digest)
    }

    pub(super) fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.blobs.keys()
    }

    /// Returns the names under which the indexes of the referrers of any of it would be.
    pub(super) fn tags(&self) -> BTreeSet<String> {
        self.blobs.keys().map(referrers_tag).collect()
    }

    /// Whether every blob is there in its right length, but for layers that lie elsewhere, and all
    /// manifests are what their digests say.
    pub(super) fn is_whole(&self, place: &dyn BlobStore) -> bool {
        !self.broken
            && self.blobs.iter().all(|(digest, expected)| match place.kept_size(digest) {
                Some(size) => expected.size.is_none_or(|wanted| wanted == size),
                None => expected.foreign,
            })
    }
}
