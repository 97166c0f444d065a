//! What `--dry-run --output json` writes, and `--plan` reads: names, digests, and the flags that
//! decide what is done. Credentials are none of these.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};
use skopeo_copy::{Amount, Change, Lists, Others, Price, Request};
use skopeo_image::{Digest, Platform};
use skopeo_sync::destination::Place;
use skopeo_transport::{ImageName, Options};
use tracing::info;

use super::goals::{Image, Places, require_apart};
use super::lowered::{self, Lowered};
use super::mirror::{Deletion, Deletions, Mirroring};
use super::within;
use crate::args::value::{Value, Values};
use crate::go;

/// The longest plan that is read, in bytes: some hundred thousand images.
const LONGEST: usize = 512 << 20;

/// The longest part of it that is about all images, and about one, in bytes.
const LONGEST_HEAD: usize = 16 << 20;
const LONGEST_RESULT: usize = 64 << 10;

/// The flags that a plan keeps, unless `--plan` comes with others. Names, places and platforms are
/// in the plan itself.
const KEPT: [&str; 14] = [
    "dest-cert-dir",
    "dest-compress",
    "dest-tls-verify",
    "format",
    "overwrite",
    "preserve-digests",
    "remove-list-signatures",
    "remove-signatures",
    "sign-by",
    "sign-by-sigstore",
    "sign-by-sigstore-private-key",
    "sign-passphrase-file",
    "src-cert-dir",
    "src-tls-verify",
];

/// What the images of a plan have in common.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Where it all goes.
    pub(crate) places: Vec<Destination>,
    /// The platforms that serve, best first.
    pub(crate) platforms: Vec<Platform>,
    /// Flags by their names.
    pub(crate) flags: Map<String, Json>,
    /// The sum of what it takes.
    #[serde(default)]
    pub(crate) sum: Sum,
    /// How deletions were judged; none if there was no `--delete`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delete: Option<Mirroring>,
}

/// A place that images go to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Destination {
    pub(crate) place: String,
    #[serde(flatten)]
    pub(crate) access: Access,
}

/// How a registry is reached, where that is not as the flags say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Access {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tls_verify: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cert_dir: Option<PathBuf>,
}

/// What many images take together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sum {
    pub(crate) new: u64,
    pub(crate) changed: u64,
    pub(crate) unchanged: u64,
    /// Images that are deleted.
    #[serde(default)]
    pub(crate) delete: u64,
    pub(crate) fetch: Blobs,
    pub(crate) send: Blobs,
    pub(crate) mount: Blobs,
    pub(crate) present: Blobs,
    pub(crate) requests: u64,
}

/// Some blobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Blobs {
    pub(crate) blobs: u64,
    pub(crate) bytes: u64,
}

/// One image of a plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Planned {
    /// `new`, `changed`, or `unchanged`.
    pub(crate) outcome: String,
    pub(crate) source: String,
    pub(crate) destination: String,
    /// Of what the source's name leads to; none if nobody had to be asked.
    pub(crate) source_digest: Option<Digest>,
    /// Of what the destination's name leads to now, where that is known.
    pub(crate) destination_digest: Option<Digest>,
    #[serde(default)]
    pub(crate) fetch: Blobs,
    #[serde(default)]
    pub(crate) send: Blobs,
    #[serde(default)]
    pub(crate) mount: Blobs,
    #[serde(default)]
    pub(crate) present: Blobs,
    #[serde(default)]
    pub(crate) requests: u64,
    /// Whether all sizes are known before.
    #[serde(default)]
    pub(crate) exact: bool,
    /// The place that the destination is in.
    pub(crate) place: String,
    /// What of a list: `system`, `all`, or platforms.
    pub(crate) lists: String,
    /// How the source is reached.
    #[serde(flatten)]
    pub(crate) access: Access,
}

impl Access {
    /// What `options` say of it that the flags do not.
    pub(super) fn new(options: &Options, flagged: &Options) -> Self {
        let (own, flagged) = (&options.registry, &flagged.registry);
        let verify = own.tls_verify.filter(|it| flagged.tls_verify != Some(*it));
        let folder = own.cert_dir.clone().filter(|it| flagged.cert_dir.as_ref() != Some(it));
        Self { tls_verify: verify, cert_dir: folder }
    }

    /// Notes what it lowers for a side, `src` or `dest`.
    pub(super) fn check(&self, lowered: &mut Lowered, given: &Values, side: &str, of: &str) {
        lowered.tls(self.tls_verify, given, &format!("{side}-tls-verify"), of);
        let folder = self.cert_dir.as_ref().map(|folder| folder.to_string_lossy());
        let of = format!("certificates for {of}");
        lowered.path(folder.as_deref(), given, &format!("{side}-cert-dir"), of);
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
        Self { blobs: amount.blobs, bytes: amount.bytes }
    }
}

impl Blobs {
    fn add(&mut self, other: Self) {
        self.blobs = self.blobs.saturating_add(other.blobs);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

impl Sum {
    pub(super) fn add(&mut self, planned: &Planned) {
        match planned.outcome.as_str() {
            "new" => self.new += 1,
            "changed" => self.changed += 1,
            _ => self.unchanged += 1,
        }
        self.fetch.add(planned.fetch);
        self.send.add(planned.send);
        self.mount.add(planned.mount);
        self.present.add(planned.present);
        self.requests = self.requests.saturating_add(planned.requests);
    }
}

impl Planned {
    /// An image and its price; without one nobody has to be asked. `flagged` is how registries are
    /// reached if nothing else is said.
    pub(super) fn new(image: &Image, price: Option<&Price>, flagged: &Options) -> Self {
        let amount = |of: fn(&Price) -> Amount| price.map(of).map(Blobs::from).unwrap_or_default();
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
    /// What the flags of this run say. `flagged` is how places are reached if nothing else is said.
    pub(super) fn new(
        flags: &Values,
        platforms: &[Platform],
        places: &Places,
        flagged: &Options,
    ) -> Self {
        let places = places.all().map(|(place, options)| Destination {
            place: place.to_string(),
            access: Access::new(options, flagged),
        });
        let (places, platforms) = (places.collect(), platforms.to_vec());
        Self { places, platforms, flags: Self::kept(flags), sum: Sum::default(), delete: None }
    }

    fn kept(flags: &Values) -> Map<String, Json> {
        let kept = KEPT.iter().filter_map(|name| {
            let value = match (flags.maybe_switch(name), flags.maybe_text(name)) {
                (Some(on), _) => Json::Bool(on),
                (None, Some(text)) => Json::String(text.to_owned()),
                (None, None) => return None,
            };
            Some(((*name).to_owned(), value))
        });
        kept.collect()
    }

    /// Says what is taken from the plan.
    pub(super) fn say(&self, path: &Path) {
        let flags = self.flags.iter().map(|(name, value)| match value {
            Json::String(text) => format!(" --{name}={}", go::quote(text)),
            value => format!(" --{name}={value}"),
        });
        let flags: String = flags.collect();
        let places: Vec<&str> = self.places.iter().map(|it| it.place.as_str()).collect();
        info!(
            "As planned in {}, images go to {}{}{flags}",
            go::quote(&path.to_string_lossy()),
            places.join(", "),
            if flags.is_empty() { "" } else { ", with" },
        );
    }

    /// The flags of this run, and those of the plan where this run has none.
    ///
    /// # Errors
    /// If the plan has a flag that is none of a plan's.
    pub(super) fn flags(&self, given: &Values) -> Result<Values> {
        let mut flags = given.clone();
        for (name, value) in &self.flags {
            let value = match value {
                _ if !KEPT.contains(&name.as_str()) => {
                    bail!("a plan says nothing of --{}", name.escape_default())
                }
                Json::Bool(on) => Value::Switch(*on),
                Json::String(text) => Value::Text(text.clone()),
                _ => bail!("--{name} has a value of another kind"),
            };
            if !flags.has(name) {
                flags.set(name, value);
            }
        }
        Ok(flags)
    }
}

/// A plan that was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) plan: Plan,
    images: Vec<Planned>,
    deletions: Vec<Deletion>,
}

/// The document, as far as a plan is in it.
#[derive(Deserialize)]
struct Document<'a> {
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
    deletions: Vec<Deletion>,
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

/// Reads one result after the other, so that what is none takes no memory.
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

/// Reads what a dry run has written.
///
/// # Errors
/// If it cannot be read, or is no whole plan.
pub(super) fn read(path: &Path) -> Result<Read> {
    let file = go::quote(&path.to_string_lossy());
    let text = go::read_at_most(path, LONGEST).with_context(|| format!("reading plan {file}"))?;
    parse(&text).with_context(|| format!("reading plan {file}"))
}

fn parse(text: &[u8]) -> Result<Read> {
    let text = std::str::from_utf8(text).context("it is no UTF-8")?;
    let document: Document<'_> = serde_json::from_str(text)?;
    let Document { version, command, ok, plan, results } = document;
    if version != crate::report::VERSION || command != "sync" {
        bail!("it is no plan of this version");
    }
    let Some(plan) = plan else {
        bail!("there is no plan in it: --dry-run --output json writes one")
    };
    if plan.get().len() > LONGEST_HEAD {
        bail!("what it says of all images is longer than {} MiB", LONGEST_HEAD >> 20);
    }
    let plan: Plan = serde_json::from_str(plan.get())?;
    if !ok {
        bail!("it is of a dry run that failed");
    }
    let Results { images, deletions } = results;
    if !deletions.is_empty() && plan.delete.is_none() {
        bail!("it deletes images, and does not say how these were chosen");
    }
    Ok(Read { plan, images, deletions })
}

impl Read {
    /// Refuses what the plan lowers of what the command line asks for, unless that says so too.
    ///
    /// # Errors
    /// If there is something.
    pub(super) fn check(&self, path: &Path, given: &Values) -> Result<()> {
        let mut lowered = Lowered::new("plan", path);
        for (side, all) in [("src", "all sources"), ("dest", "all destinations")] {
            let flag = |name: &str| format!("{side}-{name}");
            let switch = self.plan.flags.get(&flag("tls-verify")).and_then(Json::as_bool);
            if !given.has(&flag("tls-verify")) {
                lowered.tls(switch, given, &flag("tls-verify"), all);
            }
            let folder = self.plan.flags.get(&flag("cert-dir")).and_then(Json::as_str);
            if !given.has(&flag("cert-dir")) {
                lowered.path(folder, given, &flag("cert-dir"), "certificates");
            }
        }
        let said = |flag: &str| self.plan.flags.get(flag).and_then(Json::as_str);
        lowered.signing(said, given);
        for place in &self.plan.places {
            place.access.check(&mut lowered, given, "dest", &place.place);
        }
        for image in self.images.iter().filter(|image| image.access != Access::default()) {
            image.access.check(&mut lowered, given, "src", &registry(&image.source));
        }
        lowered.check(given)
    }

    /// What the plan deletes.
    ///
    /// # Errors
    /// If that is also what it writes.
    pub(super) fn deletions(&self, images: &[Image]) -> Result<Deletions> {
        Deletions::new(self.deletions.clone(), images)
    }

    /// The places of the plan.
    ///
    /// # Errors
    /// If one is none.
    pub(super) fn places(&self) -> Result<Vec<Place>> {
        Ok(self.plan.places.iter().map(|it| it.place.parse()).collect::<Result<_, _>>()?)
    }

    /// What it takes to write to a place.
    pub(super) fn reaching(&self, options: &Options, place: &Place) -> Options {
        let place = place.to_string();
        let found = self.plan.places.iter().find(|it| it.place == place);
        found.map_or_else(|| options.clone(), |it| it.access.over(options))
    }

    /// The images of the plan, each to be what it was unless they may have `moved`.
    ///
    /// # Errors
    /// If a name is none, or two images have the same.
    pub(super) fn images(
        &self,
        options: &Arc<Options>,
        request: &Request,
        places: &Places,
        moved: bool,
    ) -> Result<Vec<Image>> {
        let of = self.images.len();
        let mut images: Vec<Image> = Vec::with_capacity(of);
        for (at, planned) in self.images.iter().enumerate() {
            let place: Place = planned.place.parse()?;
            if places.options(&place).is_none() {
                bail!("{place} is none of the places of the plan");
            }
            let from = ImageName::parse(&planned.source)?;
            let Some(to) = within::name(&place, &**places.get(&place), &planned.destination) else {
                let to = &planned.destination;
                bail!("{} is not in {place}, where the plan says that it is", to.escape_debug());
            };
            // An image on its way to several places is read once.
            let before = (at > 0).then(|| (&self.images[at - 1], &images[at - 1]));
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
            images.push(Image {
                from,
                options,
                to,
                collection: places.get(&place).clone(),
                place,
                request,
                at: at + 1,
                of,
                settled: false,
            });
        }
        lowered::check_sources(images.iter().map(|image| &image.from), options)?;
        require_apart(&images)?;
        Ok(images)
    }
}

/// The registry of a source, or the whole name of another.
fn registry(source: &str) -> String {
    match ImageName::parse(source) {
        Ok(name) => name
            .docker_reference()
            .map_or_else(|| source.to_owned(), |it| it.name.domain().to_owned()),
        Err(_) => source.to_owned(),
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
                "it is no plan of this version",
            ),
            (
                format!(r#"{{"version":1,"command":"copy","ok":true,{plan},"results":[]}}"#),
                "it is no plan of this version",
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
            let error = parse(text.as_bytes()).err().map(|error| error.to_string());
            assert_eq!(error.unwrap_or_default(), sentence, "{text}");
        }
    }

    #[test]
    fn the_flags_of_a_plan_give_way_and_have_no_secrets() {
        let mut given = Values::default();
        given.set("preserve-digests", Value::Switch(true));
        given.set("dest-creds", Value::Text("u:secret".to_owned()));
        given.set("format", Value::Text("oci".to_owned()));
        let (places, platforms) = (Vec::new(), Vec::new());
        let flags = Plan::kept(&given);
        let plan = Plan { places, platforms, flags, sum: Sum::default(), delete: None };
        assert!(!serde_json::to_string(&plan).unwrap().contains("secret"));
        let mut now = Values::default();
        now.set("preserve-digests", Value::Switch(false));
        let flags = plan.flags(&now).unwrap();
        assert_eq!((flags.switch("preserve-digests"), flags.text("format")), (false, Some("oci")));
        let mut other = plan;
        other.flags.insert("dest-creds".to_owned(), Json::from("u:p"));
        assert!(other.flags(&now).is_err());
    }
}
