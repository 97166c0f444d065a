//! What a run would do, kept for another run: names, digests, and what was asked for. Credentials
//! are none of these.

mod deletions;
mod table;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use skopeo_copy::{Amount, Change, ImageEstimate, Lists, Others, Request};
use skopeo_image::{Digest, Platform};
use skopeo_transport::{ImageName, Options};

use crate::destination::Target;
use crate::report::Recorded;
use crate::sources::check_sources;
use crate::task::{SyncTask, Targets, TaskId, number, require_apart};
use crate::{Context as _, Error, Result, within};

pub(crate) use deletions::{Around, Deletions, Repository};
pub use deletions::{Mirroring, PlannedDeletion};

/// The version of the document that a plan is in: grows if a field changes its meaning or goes.
pub const VERSION: u32 = 1;

/// The longest part of a plan that is about all images, and about one, in bytes.
const LONGEST_HEAD: usize = 16 << 20;
const LONGEST_RESULT: usize = 64 << 10;

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

/// How a registry is reached, where that is not as the flags say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Whether its certificate is verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_verify: Option<bool>,
    /// The folder with its certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_dir: Option<PathBuf>,
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

impl Access {
    /// Returns what `options` say of it that `flagged` do not.
    #[must_use]
    pub fn new(options: &Options, flagged: &Options) -> Self {
        let (own, flagged) = (&options.registry, &flagged.registry);
        let verify = own.tls_verify.filter(|it| flagged.tls_verify != Some(*it));
        let folder = own.cert_dir.clone().filter(|it| flagged.cert_dir.as_ref() != Some(it));
        Self { tls_verify: verify, cert_dir: folder }
    }

    fn over(&self, options: &Options) -> Options {
        let mut options = options.clone();
        options.registry.tls_verify = self.tls_verify.or(options.registry.tls_verify);
        if let Some(folder) = &self.cert_dir {
            options.registry.cert_dir = Some(folder.clone());
        }
        options
    }
}

/// What is asked of a list, in one word or as platforms.
fn lists_as_text(lists: &Lists) -> String {
    match lists {
        Lists::System => "system".to_owned(),
        Lists::All => "all".to_owned(),
        Lists::IndexOnly => "index-only".to_owned(),
        Lists::Platforms { wanted, .. } => {
            wanted.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        }
    }
}

fn lists_of_text(text: &str) -> Result<Lists> {
    Ok(match text {
        "system" => Lists::System,
        "all" => Lists::All,
        "index-only" => Lists::IndexOnly,
        platforms => {
            let wanted = platforms.split(',').map(str::parse).collect::<Result<_, _>>()?;
            Lists::Platforms { wanted, others: Others::Remove }
        }
    })
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
    fn is_read_with(&self, other: &Self) -> bool {
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

/// A plan that was read.
#[derive(Debug)]
pub struct PlanFile {
    plan: Plan,
    images: Vec<Planned>,
    deletions: Vec<PlannedDeletion>,
}

/// The document, as far as a plan is in it.
#[derive(Deserialize)]
struct PlanDocument<'a> {
    version: u32,
    command: String,
    ok: bool,
    #[serde(borrow)]
    plan: Option<&'a RawValue>,
    results: Results,
}

/// The results that are part of a plan.
#[derive(Default)]
struct Results {
    images: Vec<Planned>,
    deletions: Vec<PlannedDeletion>,
}

/// What a result is.
#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    outcome: String,
}

impl<'de> Deserialize<'de> for Results {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Reading)
    }
}

/// Reads one result after the other, so that other values take no memory.
struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Results;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of results")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Results, A::Error> {
        fn read<'de, T: Deserialize<'de>, E: de::Error>(text: &'de str) -> Result<T, E> {
            serde_json::from_str(text).map_err(E::custom)
        }
        let mut results = Results::default();
        while let Some(one) = list.next_element::<&'de RawValue>()? {
            if one.get().len() > LONGEST_RESULT {
                let most = LONGEST_RESULT >> 10;
                return Err(de::Error::custom(format!("a result is longer than {most} KiB")));
            }
            let Kind { kind, outcome } = read(one.get())?;
            match (kind.as_str(), outcome.as_str()) {
                ("plan", _) => results.images.push(read(one.get())?),
                ("delete", "would-delete") => results.deletions.push(read(one.get())?),
                _ => {}
            }
        }
        Ok(results)
    }
}

impl PlanFile {
    /// The longest plan that is worth reading, in bytes: some hundred thousand images.
    pub const LONGEST: usize = 512 << 20;

    /// Reads what a dry run has written.
    ///
    /// # Errors
    /// If it is no whole plan.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(text).context("it is not UTF-8")?;
        let document: PlanDocument<'_> = serde_json::from_str(text)?;
        let PlanDocument { version, command, ok, plan, results } = document;
        if version != VERSION || command != "sync" {
            return Err(Error::refused("it is not a plan of this version"));
        }
        let Some(plan) = plan else {
            let sentence = "there is no plan in it: --dry-run --output json writes one";
            return Err(Error::refused(sentence));
        };
        if plan.get().len() > LONGEST_HEAD {
            let most = LONGEST_HEAD >> 20;
            return Err(Error::refused(format!(
                "the part about all images is longer than {most} MiB"
            )));
        }
        let plan: Plan = serde_json::from_str(plan.get())?;
        if !ok {
            return Err(Error::refused("it is of a dry run that failed"));
        }
        let Results { images, deletions } = results;
        if !deletions.is_empty() && plan.delete.is_none() {
            return Err(Error::refused("it deletes images, but does not say how they were chosen"));
        }
        Ok(Self { plan, images, deletions })
    }

    /// What its images have in common.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Its images.
    #[must_use]
    pub fn images(&self) -> &[Planned] {
        &self.images
    }

    /// What the plan deletes.
    ///
    /// # Errors
    /// If that is also what it writes.
    pub(crate) fn deletions(&self, images: &[SyncTask]) -> Result<Deletions> {
        Deletions::new(self.deletions.clone(), images)
    }

    /// The places of the plan.
    ///
    /// # Errors
    /// If one is not a valid platform.
    pub(crate) fn places(&self) -> Result<Vec<Target>> {
        Ok(self.plan.places.iter().map(|it| it.place.parse()).collect::<Result<_, _>>()?)
    }

    /// What it takes to write to a place.
    pub(crate) fn reaching(&self, options: &Options, place: &Target) -> Options {
        let place = place.to_string();
        let found = self.plan.places.iter().find(|it| it.place == place);
        found.map_or_else(|| options.clone(), |it| it.access.over(options))
    }

    /// The images of the plan, each to be what it was unless they may have `moved`.
    ///
    /// # Errors
    /// If a name is not valid, or two images have the same.
    pub(crate) fn tasks(
        &self,
        options: &Arc<Options>,
        request: &Request,
        places: &Targets,
        moved: bool,
    ) -> Result<Vec<SyncTask>> {
        let of = self.images.len();
        let mut images: Vec<SyncTask> = Vec::with_capacity(of);
        for (at, planned) in self.images.iter().enumerate() {
            let place: Target = planned.place.parse()?;
            if places.options(&place).is_none() {
                return Err(Error::refused(format!(
                    "{place} is not one of the places of the plan"
                )));
            }
            let from = ImageName::parse(&planned.source)?;
            let Some(to) = within::name(&place, &**places.get(&place), &planned.destination) else {
                let to = &planned.destination;
                let to = to.escape_debug();
                return Err(Error::refused(format!(
                    "{to} is not in {place}, where the plan says that it is"
                )));
            };
            // An image on its way to several places is read once.
            let before = at.checked_sub(1).and_then(|at| self.images.get(at)).zip(images.last());
            let (options, request) = match before {
                Some((before, image)) if before.is_read_with(planned) => {
                    (image.options.clone(), image.request.clone())
                }
                _ => {
                    let options = match planned.access == Access::default() {
                        true => options.clone(),
                        false => Arc::new(planned.access.over(options)),
                    };
                    let expected = planned.source_digest.clone().filter(|_| !moved);
                    let lists = lists_of_text(&planned.lists)?;
                    (options, Arc::new(Request { expected, lists, ..request.clone() }))
                }
            };
            images.push(SyncTask {
                id: TaskId::default(),
                from,
                options,
                to,
                collection: places.get(&place).clone(),
                place,
                request,
                at: at.saturating_add(1),
                of,
                unchanged: false,
            });
        }
        check_sources(images.iter().map(|image| &image.from), options)?;
        require_apart(&images)?;
        number(&mut images);
        Ok(images)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_plans_are_taken() {
        let plan = r#""plan":{"places":[],"platforms":[],"flags":{"format":"oci"}}"#;
        for (text, sentence) in [
            (format!(r#"{{"version":1,"command":"sync","ok":true,{plan},"results":[]}}"#), ""),
            (
                format!(r#"{{"version":2,"command":"sync","ok":true,{plan},"results":[]}}"#),
                "it is not a plan of this version",
            ),
            (
                format!(r#"{{"version":1,"command":"copy","ok":true,{plan},"results":[]}}"#),
                "it is not a plan of this version",
            ),
            (
                format!(r#"{{"version":1,"command":"sync","ok":false,{plan},"results":[]}}"#),
                "it is of a dry run that failed",
            ),
            (
                r#"{"version":1,"command":"sync","ok":true,"results":[]}"#.to_owned(),
                "there is no plan in it: --dry-run --output json writes one",
            ),
        ] {
            let error = PlanFile::parse(text.as_bytes()).err().map(|error| error.to_string());
            assert_eq!(error.unwrap_or_default(), sentence, "{text}");
        }
    }
}
