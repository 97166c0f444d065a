//! Deletions in a plan: exact digests, and what it takes to evaluate them again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use skopeo_image::Digest;
use skopeo_transport::ImageName;

use crate::task::SyncTask;
use crate::{Error, Result};

/// How deletions were evaluated, so that they can be once more.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Mirroring {
    /// `--max-delete`.
    pub max_delete: Option<String>,
    /// `--protect`.
    pub protect: Vec<String>,
    /// Of what something may be deleted.
    pub(crate) repositories: Vec<Repository>,
}

/// A repository at a destination, and how tags are named there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Repository {
    pub(crate) place: String,
    pub(crate) repository: String,
    pub(crate) tags: Vec<Around>,
}

/// What stands around the source's tags.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Around {
    pub(crate) before: String,
    pub(crate) after: String,
}

/// What a plan deletes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deletions(BTreeMap<String, Digest>);

/// One image that a plan deletes.
#[derive(Clone, Debug, Deserialize)]
pub struct PlannedDeletion {
    image: String,
    digest: Digest,
    #[expect(dead_code, reason = "a deletion without a place is of an older plan")]
    place: String,
}

impl Deletions {
    /// # Errors
    /// If the plan deletes what it writes.
    pub(crate) fn new(deletions: Vec<PlannedDeletion>, images: &[SyncTask]) -> Result<Self> {
        let all: BTreeMap<_, _> = deletions
            .into_iter()
            .map(|PlannedDeletion { image, digest, .. }| (image, digest))
            .collect();
        if let Some(both) = images.iter().find(|image| all.contains_key(&image.to.to_string())) {
            return Err(Error::refused(format!("{} is both written and deleted", both.to)));
        }
        Ok(Self(all))
    }

    /// The digest of the image that is to go under a name.
    pub(crate) fn digest(&self, name: &ImageName) -> Option<&Digest> {
        self.0.get(&name.to_string())
    }

    /// The names of all of them.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }
}
