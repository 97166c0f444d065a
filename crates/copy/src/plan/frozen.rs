//! Why nothing may change.

use std::fmt;

use skopeo_transport::Accepts;

use crate::request::Digests;

/// Why a manifest may not change. Prints as the sentence that users know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frozen {
    /// Somebody signed it.
    Signed,
    /// Somebody signed the list.
    ListSigned,
    /// The destination's name says which digest it must have.
    DestinationDigest,
    /// The user said so.
    PreserveDigests,
}

/// What the manifest is, for the words of the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Image,
    List,
}

/// The reason that is told, the last of those there are.
pub(super) fn frozen(
    subject: Subject,
    signatures: usize,
    accepts: &Accepts,
    digests: Digests,
) -> Option<Frozen> {
    if digests == Digests::Preserve {
        Some(Frozen::PreserveDigests)
    } else if accepts.digest.is_some() {
        Some(Frozen::DestinationDigest)
    } else if signatures == 0 {
        None
    } else {
        Some(match subject {
            Subject::Image => Frozen::Signed,
            Subject::List => Frozen::ListSigned,
        })
    }
}

impl fmt::Display for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signed => "Would invalidate signatures",
            Self::ListSigned => {
                "Would invalidate signatures; consider removing them from the multi-platform list"
            }
            Self::DestinationDigest => "Destination specifies a digest",
            Self::PreserveDigests => "Instructed to preserve digests",
        })
    }
}
