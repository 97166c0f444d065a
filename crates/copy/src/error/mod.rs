//! What can go wrong when an image is copied: one enum for each stage, in the original's words where
//! it has any.

mod blob;
mod referrers;
mod source;
mod write;

use std::error::Error as StdError;

use skopeo_image::{Classify, ConvertError, ErrorClass};
use skopeo_transport::Error as TransportError;
use skopeo_trust::sign::SignError;
use skopeo_trust::{PolicyError, Rejected};

use crate::plan::PlanError;

pub use blob::BlobError;
pub use referrers::ReferrersError;
pub use source::SourceError;
pub use write::WriteError;

pub(crate) use blob::Side;

/// Why an image was not copied. The destination's name leads to nothing new then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The image could not be read from the source, or may not be copied.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The image cannot be copied as was asked.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A blob could not be copied.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The image could not be written to the destination.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The image's referrers could not be copied.
    #[error(transparent)]
    Referrers(#[from] ReferrersError),
    /// The instance chosen for the system could not be copied.
    #[error("copying system image from manifest list")]
    SystemImage(#[source] Box<Self>),
    /// An instance of an index could not be copied.
    #[error("copying image {at}/{of} from manifest list")]
    OfIndex {
        /// Which one, counted from 1.
        at: usize,
        /// Of how many.
        of: usize,
        /// Why.
        #[source]
        source: Box<Self>,
    },
    /// An instance of an index could not be copied once more with another compression.
    #[error("replicating image {at}/{of} from manifest list")]
    Replicating {
        /// Which one, counted from 1, with those that are copied.
        at: usize,
        /// Of how many.
        of: usize,
        /// Why.
        #[source]
        source: Box<Self>,
    },
    /// Several copies failed together.
    #[error(transparent)]
    Shared(std::sync::Arc<Self>),
}

impl Error {
    /// Returns whether the source has no such image.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Source(error) => error.is_not_found(),
            Self::SystemImage(source)
            | Self::OfIndex { source, .. }
            | Self::Replicating { source, .. } => source.is_not_found(),
            Self::Shared(error) => error.is_not_found(),
            Self::Plan(_) | Self::Blob(_) | Self::Write(_) | Self::Referrers(_) => false,
        }
    }

    /// Returns whether the same copy may succeed if it is tried again.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Source(error) => error.transport().is_some_and(TransportError::is_transient),
            Self::Plan(_) => false,
            Self::Blob(error) => error.is_transient(),
            Self::Write(error) => error.is_transient(),
            Self::Referrers(error) => error.is_transient(),
            Self::SystemImage(source)
            | Self::OfIndex { source, .. }
            | Self::Replicating { source, .. } => source.is_transient(),
            Self::Shared(error) => error.is_transient(),
        }
    }

    /// Returns what a source said of a blob, or a destination that could not read it.
    pub(crate) fn of_blob(
        digest: &skopeo_image::Digest,
        source: TransportError,
        side: Side,
    ) -> Self {
        BlobError::new(digest, source, side).into()
    }

    /// Returns whether a blob has been tried as often as it may be; false for all other errors.
    pub(crate) fn is_spent(&self) -> bool {
        matches!(self, Self::Blob(error) if error.is_spent())
    }

    /// Returns the same, with how often a blob was tried.
    pub(crate) fn after(self, times: u32) -> Self {
        match self {
            Self::Blob(error) => Self::Blob(error.after(times)),
            other => other,
        }
    }
}

impl From<ConvertError> for Error {
    fn from(error: ConvertError) -> Self {
        WriteError::from(error).into()
    }
}

impl Classify for Error {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Source(error) => error.class(),
            Self::Plan(error) => error.class(),
            Self::Blob(error) => error.class(),
            Self::Write(error) => error.class(),
            Self::Referrers(error) => error.class(),
            Self::SystemImage(source)
            | Self::OfIndex { source, .. }
            | Self::Replicating { source, .. } => source.class(),
            Self::Shared(error) => error.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Source(error) => error.hint(),
            Self::Plan(error) => error.hint(),
            Self::Blob(error) => error.hint(),
            Self::Write(error) => error.hint(),
            Self::Referrers(error) => error.hint(),
            Self::SystemImage(source)
            | Self::OfIndex { source, .. }
            | Self::Replicating { source, .. } => source.hint(),
            Self::Shared(error) => error.hint(),
        }
    }
}

/// Returns an error as one that says its class, if this crate or one below it has made it.
#[must_use]
pub fn classified<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a dyn Classify> {
    skopeo_image::classified!(
        error;
        Error, PlanError, PolicyError, SignError, Rejected;
        skopeo_transport::classified
    )
}

/// Returns whether one error in a chain of causes says that the same step may go well in a moment.
#[must_use]
pub fn is_transient(error: &(dyn StdError + 'static)) -> bool {
    error.downcast_ref::<Error>().is_some_and(Error::is_transient)
        || skopeo_transport::is_transient(error)
}

/// Returns an error and all its causes as one sentence.
#[must_use]
pub fn sentence(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
