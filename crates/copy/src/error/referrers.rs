//! What can go wrong with the referrers of an image.

use skopeo_image::{Classify, Digest, ErrorClass};
use skopeo_transport::Error as TransportError;

use super::Error;

/// Why the referrers of an image were not copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReferrersError {
    /// Images at the destination cannot have referrers.
    #[error("copying referrers to {destination}: {reason}")]
    Unsupported {
        /// The destination as the user named it.
        destination: String,
        /// What it says.
        reason: &'static str,
    },
    /// The referrers of an image could not be listed.
    #[error("looking for what is to be copied with the image")]
    List(#[source] Box<TransportError>),
    /// The destination did not say whether it has a referrer.
    #[error("looking for it at the destination")]
    Find(#[source] Box<TransportError>),
    /// A referrer could not be copied.
    #[error("copying referrer {digest} of {subject}")]
    Copy {
        /// Its manifest.
        digest: Digest,
        /// The manifest that it refers to.
        subject: Digest,
        /// Why.
        #[source]
        source: Box<Error>,
    },
    /// An image has more referrers than the limit.
    #[error("the image has more than {0} referrers")]
    TooMany(usize),
    /// Referrers have referrers, and so on, in more steps than the limit.
    #[error("reading referrers of {0}: nested too deeply")]
    TooDeep(Digest),
}

impl ReferrersError {
    /// Returns whether trying again may help.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::List(source) | Self::Find(source) => source.is_transient(),
            Self::Copy { source, .. } => source.is_transient(),
            Self::Unsupported { .. } | Self::TooMany(_) | Self::TooDeep(_) => false,
        }
    }
}

impl Classify for ReferrersError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Unsupported { .. } => Some(ErrorClass::Unsupported),
            Self::List(source) | Self::Find(source) => source.class(),
            Self::Copy { source, .. } => source.class(),
            Self::TooMany(_) | Self::TooDeep(_) => Some(ErrorClass::InvalidImage),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::List(source) | Self::Find(source) => source.hint(),
            Self::Copy { source, .. } => source.hint(),
            Self::Unsupported { .. } | Self::TooMany(_) | Self::TooDeep(_) => None,
        }
    }
}
