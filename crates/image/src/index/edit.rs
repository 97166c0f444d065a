//! Changes of a list.

use std::collections::{BTreeSet, HashMap};

use super::{ImageIndex, REFERENCE_DIGEST, ZSTD, is_zstd, needs_zstd};
use crate::manifest::oci::OciDescriptor;
use crate::manifest::{docker, oci};
use crate::{Compression, Descriptor, Digest, ManifestError, MediaType, Platform};

/// What became of one instance when it was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceEdit {
    /// Which instance: the first with this digest.
    pub old: Digest,
    /// Its new digest.
    pub digest: Digest,
    /// Its new size in bytes.
    pub size: u64,
    /// Its new type.
    pub media_type: MediaType,
    /// How its layers are packed now, as far as it may be noted: zstd is, if the list may change.
    pub compressions: Vec<Compression>,
}

/// An instance that is to come into a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceAddition {
    /// The first instance with this digest: the new one is for its platform, and takes over its
    /// annotations.
    pub like: Digest,
    /// The new instance's digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Its type.
    pub media_type: MediaType,
    /// How its layers are packed: zstd is noted.
    pub compressions: Vec<Compression>,
}

impl ImageIndex {
    /// Notes what became of instances.
    ///
    /// # Errors
    /// If an edit is of an instance that is not here; those before it are done.
    pub fn replace(&mut self, edits: &[InstanceEdit]) -> Result<(), ManifestError> {
        for edit in edits {
            let (blob, notes_zstd) = match self {
                Self::Oci(index) => {
                    let mut blobs = index.manifests.iter_mut().map(|entry| &mut entry.blob);
                    (blobs.find(|blob| blob.digest == edit.old), true)
                }
                Self::Docker(list) => {
                    let mut blobs = list.manifests.iter_mut().map(|entry| &mut entry.manifest);
                    (blobs.find(|blob| blob.digest == edit.old), false)
                }
            };
            let blob = blob.ok_or_else(|| ManifestError::InstanceNotFound(edit.old.clone()))?;
            blob.digest = edit.digest.clone();
            blob.size = Some(edit.size);
            blob.media_type = edit.media_type.clone();
            if notes_zstd && edit.compressions.iter().any(|it| needs_zstd(*it)) {
                blob.annotations.insert(ZSTD.to_owned(), "true".to_owned());
            }
        }
        self.follow_attested(edits);
        Ok(())
    }

    /// What attests an instance names it by its digest.
    fn follow_attested(&mut self, edits: &[InstanceEdit]) {
        let Self::Oci(index) = self else { return };
        let now: HashMap<&str, &Digest> =
            edits.iter().map(|edit| (edit.old.as_str(), &edit.digest)).collect();
        for entry in &mut index.manifests {
            if let Some(named) = entry.blob.annotations.get_mut(REFERENCE_DIGEST)
                && let Some(digest) = now.get(named.as_str())
            {
                *named = digest.to_string();
            }
        }
    }

    /// Adds instances. Those that need zstd go behind all that do not: old clients take the first
    /// that is for their platform.
    ///
    /// Docker's list has no word for zstd: convert it before.
    ///
    /// # Errors
    /// If one is to be like an instance that is not here; those before it are added.
    pub fn add(&mut self, additions: &[InstanceAddition]) -> Result<(), ManifestError> {
        let missing = |like: &Digest| ManifestError::InstanceNotFound(like.clone());
        for addition in additions {
            let blob = |annotations| Descriptor {
                annotations,
                ..Descriptor::new(
                    addition.media_type.clone(),
                    addition.digest.clone(),
                    Some(addition.size),
                )
            };
            match self {
                Self::Oci(index) => {
                    let mut entries = index.manifests.iter();
                    let like = entries.find(|entry| entry.blob.digest == addition.like);
                    let like = like.ok_or_else(|| missing(&addition.like))?;
                    let mut annotations = like.blob.annotations.clone();
                    if addition.compressions.iter().any(|it| needs_zstd(*it)) {
                        annotations.insert(ZSTD.to_owned(), "true".to_owned());
                    } else {
                        annotations.remove(ZSTD);
                    }
                    let entry = OciDescriptor {
                        platform: like.platform.clone(),
                        artifact_type: like.artifact_type.clone(),
                        ..blob(annotations).into()
                    };
                    index.manifests.push(entry);
                }
                Self::Docker(list) => {
                    let mut entries = list.manifests.iter();
                    let like = entries.find(|entry| entry.manifest.digest == addition.like);
                    let platform = like.ok_or_else(|| missing(&addition.like))?.platform.clone();
                    let manifest = blob(Default::default());
                    list.manifests.push(docker::ListEntry { manifest, platform });
                }
            }
        }
        if let (Self::Oci(index), false) = (self, additions.is_empty()) {
            index.manifests.sort_by_key(|entry| is_zstd(&entry.blob));
        }
        Ok(())
    }

    /// Drops all instances but those at these positions, counted from 0.
    pub fn retain(&mut self, positions: &BTreeSet<usize>) {
        let mut places = 0..;
        let mut kept = || places.next().is_some_and(|at| positions.contains(&at));
        match self {
            Self::Oci(index) => index.manifests.retain(|_| kept()),
            Self::Docker(list) => list.manifests.retain(|_| kept()),
        }
    }

    /// Returns the same list as another kind. An index may have instances without a platform;
    /// Docker's list may not, so they are said to be for `host`.
    ///
    /// # Errors
    /// If `to` is no type of a list.
    pub fn convert(&self, to: &MediaType, host: &Platform) -> Result<Self, ManifestError> {
        if *to == MediaType::OCI_INDEX {
            return Ok(match self {
                Self::Oci(_) => self.clone(),
                Self::Docker(list) => {
                    Self::Oci(oci::Index::new(list.manifests.iter().map(oci_entry).collect()))
                }
            });
        }
        if *to == MediaType::DOCKER_LIST {
            return Ok(match self {
                Self::Docker(_) => self.clone(),
                Self::Oci(index) => Self::Docker(docker::List::new(
                    index.manifests.iter().map(|entry| docker_entry(entry, host)).collect(),
                )),
            });
        }
        Err(ManifestError::NotAnIndex(to.to_string()))
    }
}

fn oci_entry(entry: &docker::ListEntry) -> OciDescriptor {
    let platform = Platform { features: Vec::new(), ..entry.platform.clone() };
    OciDescriptor { platform: Some(platform), ..entry.manifest.clone().into() }
}

fn docker_entry(entry: &OciDescriptor, host: &Platform) -> docker::ListEntry {
    let platform =
        entry.platform.clone().unwrap_or_else(|| Platform::new(&host.os, &host.architecture, ""));
    let manifest = Descriptor { annotations: Default::default(), ..entry.blob.clone() };
    docker::ListEntry { manifest, platform }
}
