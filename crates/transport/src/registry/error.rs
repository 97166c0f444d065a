//! What can go wrong with an image in a registry.

use skopeo_image::{Classify, ErrorClass};
use skopeo_registry::Error as RegistryError;

use crate::Error;

/// What can go wrong with an image in a registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DockerError {
    /// A registry refused, or was not reached.
    #[error(transparent)]
    Request(#[from] RegistryError),
    /// Credentials could not be looked up.
    #[error("getting username and password")]
    Credentials {
        /// Why.
        #[source]
        source: skopeo_config::Error,
    },
    /// Configuration left no place to read from.
    #[error("reading an image without any endpoint")]
    NoEndpoint,
    /// Neither the mirrors nor the place itself have the image.
    #[error("(Mirrors also failed: {mirrors}): {primary}")]
    AllEndpoints {
        /// What each mirror said, in brackets.
        mirrors: String,
        /// The place itself.
        primary: String,
        /// What it said.
        #[source]
        source: Box<Error>,
    },
    /// A name without tag and digest names nothing that could be read.
    #[error("reading images from docker: reference {0:?} without a tag or digest is not supported")]
    ReadingUntagged(String),
    /// A blob was not taken, but may be if it is put again.
    #[error(transparent)]
    UploadAgain(Box<RegistryError>),
    /// None of the addresses of a layer that lies elsewhere has it.
    #[error("failed fetching external blob from all urls: {0}")]
    ForeignBlob(String),
    /// Others write the list of referrers as often as we do.
    #[error(
        "adding to the list of referrers under tag {tag}: others changed it {tries} times in the meantime"
    )]
    ReferrersTag {
        /// The tag.
        tag: String,
        /// How often it was written.
        tries: u32,
    },
}

impl DockerError {
    /// Returns whether there is no such image.
    pub(crate) fn is_not_found(&self) -> bool {
        match self {
            Self::Request(error) => error.is_not_found(),
            Self::AllEndpoints { source, .. } => source.is_not_found(),
            _ => false,
        }
    }

    /// Returns whether the same call may do better in a moment.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Request(error) => error.is_transient(),
            Self::UploadAgain(_) | Self::ReferrersTag { .. } => true,
            Self::AllEndpoints { source, .. } => source.is_transient(),
            _ => false,
        }
    }

    /// Returns how often a request was sent that came to nothing.
    pub(crate) fn tried(&self) -> u32 {
        match self {
            Self::Request(error) => error.tried(),
            Self::UploadAgain(error) => error.tried(),
            Self::AllEndpoints { source, .. } => source.tried(),
            _ => 1,
        }
    }

    /// Returns what the registry has to do with it, if anything.
    pub(crate) fn registry(&self) -> Option<&RegistryError> {
        match self {
            Self::Request(error) => Some(error),
            Self::UploadAgain(error) => Some(error),
            Self::AllEndpoints { source, .. } => source.registry(),
            _ => None,
        }
    }
}

impl Classify for DockerError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        Some(match self {
            Self::Request(error) => return error.class(),
            Self::UploadAgain(error) => return error.class(),
            Self::AllEndpoints { source, .. } => return source.class(),
            Self::Credentials { source } => return source.class(),
            Self::ReadingUntagged(_) => ErrorClass::InvalidInput,
            Self::ReferrersTag { .. } => ErrorClass::Conflict,
            Self::NoEndpoint | Self::ForeignBlob(_) => return None,
        })
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Request(error) => error.hint(),
            Self::UploadAgain(error) => error.hint(),
            Self::AllEndpoints { source, .. } => source.hint(),
            _ => None,
        }
    }
}

/// Why an image, or a tag of one, was not deleted from a registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeletionError {
    /// Nor anything that could be deleted.
    #[error("Docker reference without a tag or digest cannot be deleted")]
    DeletingUntagged,
    /// A name by digest has no tag.
    #[error("a name without a tag has no tag to delete")]
    NoTagToDelete,
    /// A tag leads elsewhere than when it was looked at.
    #[error("deleting tag {0}: it was moved in the meantime")]
    TagMoved(String),
    /// Deleting a tag could take others with it.
    #[error(
        "deleting tag {reference}: the registry may delete its image with all its tags, and {why}; \
         and the tag cannot be moved away from it: {refused}"
    )]
    WouldTake {
        /// The name.
        reference: String,
        /// What could go.
        why: String,
        /// What the registry said to moving the tag.
        refused: String,
    },
    /// The registry said that it had deleted a tag.
    #[error("deleting tag {0}: the registry still has it")]
    TagStays(String),
    /// Deleting a tag took something else with it, or left the tag elsewhere, and that cannot be
    /// put right.
    #[error("restoring {name}, which the registry deleted")]
    GivingBack {
        /// A tag or digest.
        name: String,
        /// Why not.
        #[source]
        source: Box<RegistryError>,
    },
    /// What is to be deleted is not there.
    #[error(
        "Unable to delete {0}. Image may not exist or is not stored with a v2 Schema in a v2 \
         registry"
    )]
    NothingToDelete(String),
    /// A manifest could not be deleted.
    #[error("deleting {reference}")]
    Deleting {
        /// Its name.
        reference: String,
        /// Why.
        #[source]
        source: Box<RegistryError>,
    },
}

impl DeletionError {
    /// Returns what the registry said that refused, if one did.
    pub(crate) fn registry(&self) -> Option<&RegistryError> {
        if let Self::Deleting { source, .. } = self { Some(source) } else { None }
    }
}

impl Classify for DeletionError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        Some(match self {
            Self::DeletingUntagged | Self::NoTagToDelete => ErrorClass::InvalidInput,
            Self::NothingToDelete(_) => ErrorClass::NotFound,
            Self::TagMoved(_) | Self::WouldTake { .. } | Self::TagStays(_) => ErrorClass::Conflict,
            Self::Deleting { source, .. } | Self::GivingBack { source, .. } => {
                return source.class();
            }
        })
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NothingToDelete(name) => {
                let (repository, tag) = name.rsplit_once(':').unwrap_or((name, ""));
                let is_tag = !tag.is_empty() && !tag.contains('/') && !name.contains('@');
                is_tag.then(|| format!("`skopeo list-tags docker://{repository}` lists the tags"))
            }
            Self::Deleting { source, .. } => source.hint(),
            _ => None,
        }
    }
}
