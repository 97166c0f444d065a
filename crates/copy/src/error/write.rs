//! What can go wrong when manifests, signatures and names are written.

use skopeo_image::{Classify, ConvertError, ErrorClass, ManifestError};
use skopeo_transport::{Error as TransportError, PutManifestError};
use skopeo_trust::sign::SignError;

use crate::plan::Frozen;

/// Why a destination did not get an image whose blobs it has.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The destination could not be made ready for writing.
    #[error("preparing the destination")]
    Begin(#[source] Box<TransportError>),
    /// The manifest could not be converted as it had to be.
    #[error("creating an updated image manifest")]
    Convert(#[from] ConvertError),
    /// The manifest had to change, and must not. The plan should have shown that.
    #[error("Internal error: copy needs an updated manifest but that was known to be forbidden: {:?}", .0.to_string())]
    Frozen(Frozen),
    /// A manifest could not be written.
    #[error("writing manifest")]
    Manifest(#[source] Box<PutManifestError>),
    /// The destination took no type of manifest.
    #[error("Uploading manifest failed, attempted the following formats: {attempts}")]
    NoType {
        /// Each type with its error.
        attempts: String,
        /// Whether trying again may help.
        transient: bool,
        /// The class of the last of these errors.
        class: Option<ErrorClass>,
    },
    /// The index had to change, and must not.
    #[error("Manifest list was edited, but we cannot modify it: {:?}", .0.to_string())]
    IndexFrozen(Frozen),
    /// The index could not be changed.
    #[error("updating manifest list")]
    EditIndex(#[source] ManifestError),
    /// The destination took no type of index.
    #[error("Uploading manifest list failed, attempted the following formats: {attempts}")]
    NoIndexType {
        /// Each type with its error.
        attempts: String,
        /// Whether trying again may help.
        transient: bool,
        /// The class of the last of these errors.
        class: Option<ErrorClass>,
    },
    /// The name that the image is to be signed as is no name of an image.
    #[error("Sign identity must be a fully specified reference {0}")]
    SignIdentity(String),
    /// The destination has no name that signatures could give to the image.
    #[error("Cannot determine canonical Docker reference for destination {0}")]
    NoSignIdentity(String),
    /// A manifest could not be signed.
    #[error("creating signature{}", number.map(|it| format!(" {it}")).unwrap_or_default())]
    Sign {
        /// The number of the signer, counted from 1, if there are several.
        number: Option<usize>,
        /// Why.
        #[source]
        source: SignError,
    },
    /// The signatures could not be written.
    #[error("writing signatures")]
    Signatures(#[source] Box<TransportError>),
    /// The destination has all of the image, but could not give it its name.
    #[error("committing the finished image")]
    Commit(#[source] Box<TransportError>),
}

impl WriteError {
    /// Returns whether trying again may help.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Begin(source) | Self::Signatures(source) | Self::Commit(source) => {
                source.is_transient()
            }
            Self::Manifest(source) => {
                matches!(&**source, PutManifestError::Other(source) if source.is_transient())
            }
            Self::NoType { transient, .. } | Self::NoIndexType { transient, .. } => *transient,
            Self::Convert(_)
            | Self::Frozen(_)
            | Self::IndexFrozen(_)
            | Self::EditIndex(_)
            | Self::SignIdentity(_)
            | Self::NoSignIdentity(_)
            | Self::Sign { .. } => false,
        }
    }
}

impl Classify for WriteError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Begin(source) | Self::Signatures(source) | Self::Commit(source) => source.class(),
            Self::Manifest(error) => match &**error {
                PutManifestError::TypeRejected { .. } => Some(ErrorClass::Unsupported),
                PutManifestError::Other(error) => error.class(),
            },
            Self::NoType { class, .. } | Self::NoIndexType { class, .. } => *class,
            Self::Convert(_) | Self::Frozen(_) | Self::IndexFrozen(_) => {
                Some(ErrorClass::Unsupported)
            }
            Self::EditIndex(_) => Some(ErrorClass::InvalidImage),
            Self::SignIdentity(_) | Self::NoSignIdentity(_) => Some(ErrorClass::InvalidInput),
            Self::Sign { source, .. } => source.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Begin(source) | Self::Signatures(source) | Self::Commit(source) => source.hint(),
            Self::Manifest(source) => match &**source {
                PutManifestError::Other(source) => source.hint(),
                PutManifestError::TypeRejected { .. } => None,
            },
            Self::NoSignIdentity(_) => {
                Some("give the name of the image in its signatures with --sign-identity".to_owned())
            }
            Self::Convert(_)
            | Self::Frozen(_)
            | Self::NoType { .. }
            | Self::IndexFrozen(_)
            | Self::EditIndex(_)
            | Self::NoIndexType { .. }
            | Self::SignIdentity(_)
            | Self::Sign { .. } => None,
        }
    }
}
