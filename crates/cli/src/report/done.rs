//! What was done to one thing.

use serde::Serialize;
use skopeo_copy::Outcome;
use skopeo_image::Digest;
use skopeo_sync::plan::Planned;

use crate::progress::outcome_of;

/// What was done to one thing, and how it ended.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum Done {
    /// `copy`, and each image of a `sync`.
    Copy(Box<Copy>),
    /// `delete`, each tag.
    Delete(Deleted),
    /// `sync --dry-run`, each image.
    Plan(Box<Planned>),
    /// `login`.
    Login { registry: String, username: String, stored_in: Option<String> },
    /// `logout`; no registry means all.
    Logout { registry: Option<String> },
}

impl Done {
    /// The same if nobody can see it, since what it is in has got no name.
    pub(super) fn unpublished(&self) -> Self {
        match self {
            Self::Copy(copy) if copy.outcome == outcome_of(Outcome::Written) => {
                let outcome = "failed";
                let copy = Copy { outcome, digest: None, media_type: None, ..(**copy).clone() };
                Self::Copy(Box::new(copy))
            }
            _ => self.clone(),
        }
    }
}

/// One image, copied or not.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Copy {
    /// `copied`, `present`, or `failed`.
    pub(crate) outcome: &'static str,
    pub(crate) source: String,
    pub(crate) destination: String,
    /// Of what the source's name leads to.
    pub(crate) source_digest: Option<Digest>,
    /// Of what the destination's name leads to now.
    pub(crate) digest: Option<Digest>,
    pub(crate) media_type: Option<String>,
    pub(crate) seconds: f64,
    pub(crate) bytes: Bytes,
    /// Each manifest that was written, lists included.
    pub(crate) images: Vec<Image>,
    /// Each blob once.
    pub(crate) blobs: Vec<Blob>,
    /// Their referrers that were written.
    pub(crate) referrers: Vec<Referrer>,
    /// Their referrers that were left behind, as far as a single question showed.
    pub(crate) left_behind: Vec<Referrer>,
}

/// A referrer of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Referrer {
    pub(crate) digest: Digest,
    /// The manifest that it refers to.
    pub(crate) subject: Digest,
    /// Where somebody says it.
    pub(crate) artifact_type: Option<String>,
}

/// What has moved, and what has not.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Bytes {
    /// From the source, all attempts together.
    pub(crate) read: u64,
    /// To the destination.
    pub(crate) written: u64,
    /// Were there.
    pub(crate) reused: u64,
    /// Came from another repository of the registry.
    pub(crate) mounted: u64,
    /// Came from another image in the same folder.
    pub(crate) linked: u64,
}

/// A manifest that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Image {
    pub(crate) source_digest: Digest,
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
}

/// A blob that came to the destination, or should have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Blob {
    /// At the source.
    pub(crate) digest: Digest,
    /// `layer` or `config`.
    pub(crate) kind: &'static str,
    /// At the source, where the manifest says it.
    pub(crate) size: Option<u64>,
    /// `copied`, `reused`, `mounted`, `linked`, or `unfinished`.
    pub(crate) outcome: &'static str,
    /// At the destination.
    pub(crate) stored_digest: Option<Digest>,
    pub(crate) stored_size: Option<u64>,
    /// How often it was tried.
    pub(crate) attempts: u32,
}

/// A tag or image that was deleted, or was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Deleted {
    /// `deleted`, `would-delete`, `kept`, or `failed`.
    pub(crate) outcome: &'static str,
    pub(crate) image: String,
    pub(crate) digest: Option<Digest>,
    /// `manifest`, `tag`, or `placeholder`: what was, or would be, deleted to that end.
    pub(crate) method: Option<&'static str>,
    /// The tags of the same digest that go, or would go, with it.
    pub(crate) with: Vec<String>,
    /// Why it was kept, or failed.
    pub(crate) reason: Option<String>,
    /// Of a `sync`, the place that it is, or was, in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<String>,
}
