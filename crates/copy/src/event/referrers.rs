//! Events of referrers.

use skopeo_image::Digest;
use skopeo_transport::{FoundBy, Referrer};

/// Something that happened with the referrers of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReferrersEvent {
    /// A referrer is being copied.
    Copying {
        /// Its manifest.
        digest: Digest,
        /// The manifest that it refers to.
        subject: Digest,
        /// What kind of artifact it is; may be empty.
        artifact_type: String,
    },
    /// A referrer has been written, whole.
    Done {
        /// Its manifest.
        digest: Digest,
        /// The manifest that it refers to.
        subject: Digest,
        /// What kind of artifact it is; may be empty.
        artifact_type: String,
    },
    /// A manifest of the source has referrers, and they were not copied.
    NotCopied {
        /// The manifest.
        digest: Digest,
        /// Its referrers, as far as a single question showed.
        found: Vec<Referrer>,
        /// Why.
        why: NotCopied,
    },
}

/// Why referrers were not copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotCopied {
    /// They were not asked for.
    NotAsked,
    /// They refer to an index that is not copied, or not as it is.
    OfIndex,
}

impl ReferrersEvent {
    pub(super) fn line(&self) -> Option<String> {
        match self {
            Self::Copying { digest, artifact_type, .. } if artifact_type.is_empty() => {
                Some(format!("Copying referrer {digest}"))
            }
            Self::Copying { digest, artifact_type, .. } => {
                Some(format!("Copying referrer {digest} ({artifact_type})"))
            }
            Self::Done { .. } | Self::NotCopied { .. } => None,
        }
    }

    pub(super) fn notice(&self) -> Option<String> {
        let Self::NotCopied { digest, found, why } = self else { return None };
        let indexes = found.iter().any(|it| it.found == FoundBy::FallbackTag && is_index(it));
        let listed = found.iter().filter(|it| it.found.tag(digest).is_none()).count();
        let tags = found.iter().filter_map(|it| match it.found {
            FoundBy::CosignTag(tag) => Some(tag.suffix()),
            _ => None,
        });
        let tags = tags.collect::<Vec<_>>().join(", ");
        let listed = match listed {
            0 => None,
            _ if indexes => Some("referrers".to_owned()),
            1 => Some("1 referrer".to_owned()),
            count => Some(format!("{count} referrers")),
        };
        let tags = (!tags.is_empty()).then(|| format!("cosign's {tags}"));
        let what = listed.into_iter().chain(tags).collect::<Vec<_>>().join(" and ");
        Some(match why {
            NotCopied::NotAsked => {
                format!("Not copied: {what} of {digest}; --referrers copies them too")
            }
            NotCopied::OfIndex => format!(
                "Not copied: {what} of the index {digest}, which is not copied as it is; --all \
                 copies it"
            ),
        })
    }
}

fn is_index(referrer: &Referrer) -> bool {
    referrer.artifact_type.is_empty() && referrer.blob.media_type.is_index()
}
