//! Why an image gets no name, or a name does not go.

use skopeo_image::{Classify, Digest, ErrorClass};

/// Why an image gets no name, or a name does not go.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// A part of a copy was called for without what comes before it.
    #[error("committing an image without a manifest")]
    NothingToCommit,
    /// An image is another one than when it was looked at.
    #[error("deleting {0}: it was rewritten in the meantime, and stays")]
    Rewritten(String),
    /// The tag leads to something that has what the new one has not, and the reverse.
    #[error("writing tag {0}: the existing contents would be lost")]
    WouldLose(String),
    /// A blob was deleted between its reuse and the commit.
    #[error("committing the image: blob {0} was deleted in the meantime")]
    Vanished(Digest),
    /// Of several destinations that were written to at once, none is left; each has its own reason.
    #[error("writing to several destinations: all of them failed")]
    NoDestinationLeft,
}

impl CommitError {
    /// Returns whether the same call may do better in a moment.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Vanished(_))
    }
}

impl Classify for CommitError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Rewritten(_) | Self::WouldLose(_) | Self::Vanished(_) => {
                Some(ErrorClass::Conflict)
            }
            Self::NothingToCommit | Self::NoDestinationLeft => None,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = "the destination has signatures or attestations of its own; delete the tag there, \
                    or copy other types only";
        matches!(self, Self::WouldLose(_)).then(|| hint.to_owned())
    }
}
