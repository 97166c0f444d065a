//! What a plan says of its images.

use serde::{Deserialize, Serialize};
use skopeo_copy::{Amount, Change, ImageEstimate};
use skopeo_image::{Digest, Platform};
use skopeo_transport::{ImageName, Options};

use super::access::{Access, lists_as_text};
use super::deletions::Mirroring;
use crate::report::Recorded;
use crate::task::{SyncTask, Targets};

/// What the images of a plan have in common.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Where it all goes.
    pub places: Vec<Destination>,
    /// The platforms that serve, best first.
    pub platforms: Vec<Platform>,
    /// What else was asked for, in the words of who asked: nothing here reads it.
    pub flags: Recorded,
    /// The sum of what it takes.
    #[serde(default)]
    pub sum: Sum,
    /// How deletions were evaluated; none if there was no `--delete`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete: Option<Mirroring>,
}

/// A place that images go to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Destination {
    /// Its name.
    pub place: String,
    /// How it is reached.
    #[serde(flatten)]
    pub access: Access,
}

/// What many images take together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// Images that the destination does not have.
    pub new: u64,
    /// Images that are others at the destination.
    pub changed: u64,
    /// Images that the destination has.
    pub unchanged: u64,
    /// Images that are deleted.
    #[serde(default)]
    pub delete: u64,
    /// What is fetched from the sources.
    pub fetch: Blobs,
    /// What is sent to the destinations.
    pub send: Blobs,
    /// What comes from other repositories of the destination.
    pub mount: Blobs,
    /// What is at the destinations.
    pub present: Blobs,
    /// How many manifests are written.
    #[serde(default)]
    pub manifests: u64,
    /// How many requests that takes.
    pub requests: u64,
}

/// Some blobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blobs {
    /// How many.
    pub blobs: u64,
    /// How many bytes they have together, as far as that is known.
    pub bytes: u64,
    /// Of how many of them no length is known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unknown: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// One image of a plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Planned {
    /// `new`, `changed`, or `unchanged`.
    pub outcome: String,
    /// The source's name.
    pub source: String,
    /// The destination's name.
    pub destination: String,
    /// Of what the source's name leads to; none if nobody had to be asked.
    pub source_digest: Option<Digest>,
    /// Of what the destination's name leads to now, where that is known.
    pub destination_digest: Option<Digest>,
    /// What is fetched from the source.
    #[serde(default)]
    pub fetch: Blobs,
    /// What is sent to the destination.
    #[serde(default)]
    pub send: Blobs,
    /// What comes from other repositories of the destination.
    #[serde(default)]
    pub mount: Blobs,
    /// What is at the destination.
    #[serde(default)]
    pub present: Blobs,
    /// How many manifests are written.
    #[serde(default)]
    pub manifests: u64,
    /// How many requests that takes.
    #[serde(default)]
    pub requests: u64,
    /// Whether all sizes are known before.
    #[serde(default)]
    pub exact: bool,
    /// The place that the destination is in.
    pub place: String,
    /// What of a list: `system`, `all`, or platforms.
    pub lists: String,
    /// How the source is reached.
    #[serde(flatten)]
    pub access: Access,
}

/// What a dry run has found out.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Estimate {
    /// What the images have in common, and what they take together.
    pub plan: Plan,
    /// What each of them takes.
    pub images: Vec<Planned>,
    /// What would be deleted; `None` if nothing may be.
    pub deleted: Option<Vec<ImageName>>,
}

impl From<Amount> for Blobs {
    fn from(amount: Amount) -> Self {
        Self { blobs: amount.blobs, bytes: amount.bytes, unknown: amount.unknown }
    }
}

impl Blobs {
    fn add(&mut self, other: Self) {
        self.blobs = self.blobs.saturating_add(other.blobs);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.unknown = self.unknown.saturating_add(other.unknown);
    }
}

impl Sum {
    pub(crate) fn add(&mut self, planned: &Planned) {
        let counted = match planned.outcome.as_str() {
            "new" => &mut self.new,
            "changed" => &mut self.changed,
            _ => &mut self.unchanged,
        };
        *counted = counted.saturating_add(1);
        self.fetch.add(planned.fetch);
        self.send.add(planned.send);
        self.mount.add(planned.mount);
        self.present.add(planned.present);
        self.manifests = self.manifests.saturating_add(planned.manifests);
        self.requests = self.requests.saturating_add(planned.requests);
    }
}

impl Planned {
    /// An image and its price; without one nobody has to be asked. `flagged` is how registries are
    /// reached if nothing else is said.
    pub(crate) fn new(image: &SyncTask, price: Option<&ImageEstimate>, flagged: &Options) -> Self {
        let amount =
            |of: fn(&ImageEstimate) -> Amount| price.map(of).map(Blobs::from).unwrap_or_default();
        Self {
            outcome: match price.map(|price| price.change) {
                Some(Change::New) => "new",
                Some(Change::Changed) => "changed",
                Some(Change::Unchanged) | None => "unchanged",
            }
            .to_owned(),
            source: image.from.to_string(),
            destination: image.to.to_string(),
            source_digest: price.map(|price| price.source.clone()),
            destination_digest: price.and_then(|price| price.destination.clone()),
            fetch: amount(|price| price.fetch),
            send: amount(|price| price.send),
            mount: amount(|price| price.mount),
            present: amount(|price| price.present),
            manifests: price.map_or(0, |price| price.manifests),
            requests: price.map_or(0, |price| price.requests),
            exact: price.is_none_or(|price| price.exact),
            place: image.place.to_string(),
            lists: lists_as_text(&image.request.lists),
            access: Access::new(&image.options, flagged),
        }
    }
}

impl Planned {
    /// Whether it is the same image on its way to another place.
    pub(super) fn is_read_with(&self, other: &Self) -> bool {
        (&self.source, &self.source_digest, &self.lists, &self.access)
            == (&other.source, &other.source_digest, &other.lists, &other.access)
    }
}

impl Plan {
    /// What was asked of this run. `flagged` is how places are reached if nothing else is said.
    pub(crate) fn new(
        flags: Recorded,
        platforms: &[Platform],
        places: &Targets,
        flagged: &Options,
    ) -> Self {
        let places = places.all().map(|(place, options)| Destination {
            place: place.to_string(),
            access: Access::new(options, flagged),
        });
        let (places, platforms) = (places.collect(), platforms.to_vec());
        Self { places, platforms, flags, sum: Sum::default(), delete: None }
    }
}
