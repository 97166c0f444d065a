//! `--retry-failed`: the images of a report that are not where they should be, once more.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::Value as Json;
use skopeo_copy::{Lists, Others, Request};
use skopeo_sync::destination::Place;
use skopeo_transport::{ImageName, Options};
use tracing::{info, warn};

use super::goals::{Image, Places, is_same};
use super::input::Input;
use super::lowered::{self, Lowered};
use super::outcome::Entry;
use super::plan::Access;
use super::record::{Document, RECORDED};
use super::within;
use crate::args::value::Values;
use crate::args::{self, recorded};
use crate::exit::UsageError;
use crate::go;

/// A run that is to be ended.
#[derive(Debug)]
pub(super) struct Again {
    path: PathBuf,
    report: Document,
}

impl Again {
    /// # Errors
    /// If the report cannot be read, or something else is asked for beside it.
    pub(super) fn new(path: &Path, arguments: &[String]) -> Result<Self> {
        if !arguments.is_empty() {
            return Err(UsageError("No arguments expected with --retry-failed").into());
        }
        Ok(Self { path: path.to_owned(), report: Document::read(path)? })
    }

    /// What was given then, and now. What is given now counts.
    ///
    /// # Errors
    /// If the report has what no report has.
    pub(super) fn flags(&self, flags: &Values) -> Result<Values> {
        let tree = args::tree(None);
        let sync = tree.find("sync").context("there is no sync")?;
        let all = recorded::recall(flags, &self.report.options, RECORDED, sync);
        all.with_context(|| self.file())
    }

    /// Refuses what the report lowers of what the command line asks for, unless that says so too, and
    /// says what is taken from the report.
    ///
    /// # Errors
    /// If there is something.
    pub(super) fn check(&self, given: &Values) -> Result<()> {
        let mut lowered = Lowered::new("report", &self.path);
        let recorded = &self.report.options;
        for side in ["", "src-", "dest-"] {
            let flag = format!("{side}tls-verify");
            let verify = recorded.get(&flag).and_then(Json::as_bool);
            if !given.has(&flag) {
                lowered.tls(verify, given, &flag, "its registries");
            }
            for (name, of) in [("authfile", "credentials"), ("cert-dir", "certificates")] {
                let flag = format!("{side}{name}");
                let path = recorded.get(&flag).and_then(Json::as_str);
                if !given.has(&flag) {
                    lowered.path(path, given, &flag, of);
                }
            }
        }
        lowered.signing(|flag| recorded.get(flag).and_then(Json::as_str), given);
        lowered.check(given)?;
        let flags = recorded.iter().map(|(name, value)| format!(" --{name}={value}"));
        info!(
            "Again, as {} says: sync{} {}",
            self.file(),
            flags.collect::<String>(),
            self.report.arguments.join(" ")
        );
        Ok(())
    }

    /// Refuses what a file of `--src yaml` lowers of what the command line asks for: only the report
    /// names that file. `flags` are those of [`flags`](Self::flags).
    ///
    /// # Errors
    /// If there is something.
    pub(super) fn check_input(
        &self,
        flags: &Values,
        input: &Input,
        source: &Arc<Options>,
        destination: &Options,
    ) -> Result<()> {
        let missing = || self.report.images.iter().filter(|image| image.outcome.is_missing());
        let sources = missing().filter_map(|image| ImageName::parse(image.source.as_ref()?).ok());
        let hosts: BTreeSet<String> = sources.map(|from| host(&from)).collect();
        let places: BTreeSet<&str> = missing().map(|image| image.place.as_str()).collect();
        let file = self.report.arguments.first().map_or("", String::as_str);
        let mut lowered = Lowered::new("the report's file", Path::new(file));
        for host in &hosts {
            let access = Access::new(&input.reading(source, host), source);
            access.check(&mut lowered, flags, "src", host);
            lowered.variables(input.variables(host), host);
        }
        for place in places.into_iter().filter_map(|place| place.parse::<Place>().ok()) {
            let access = Access::new(&input.reaching(destination, &place), destination);
            access.check(&mut lowered, flags, "dest", &place.to_string());
            let host = place.registry().unwrap_or_default();
            lowered.variables(input.variables(&host), &host);
        }
        lowered.check(flags)
    }

    /// SOURCE and DESTINATION of then.
    pub(super) fn arguments(&self) -> &[String] {
        &self.report.arguments
    }

    /// The images, and the places that they go to.
    ///
    /// # Errors
    /// If the report names what cannot be, or nothing is known of what failed.
    pub(super) async fn images(
        &self,
        input: &Input,
        source: &Arc<Options>,
        destination: &Options,
        request: &Arc<Request>,
    ) -> Result<(Places, Vec<Image>)> {
        let meant: Vec<&Entry> =
            self.report.images.iter().filter(|image| image.outcome.is_missing()).collect();
        if meant.is_empty() {
            match &self.report.error {
                Some(error) if self.report.unlisted.is_empty() && !self.report.ok => bail!(
                    "{} names no image that failed: the run ended before images were known: {}",
                    self.file(),
                    error["message"].as_str().unwrap_or_default()
                ),
                _ => info!("No image of {} failed", self.file()),
            }
        }
        let places = meant.iter().map(|image| image.place.parse::<Place>());
        let places: Vec<Place> = places.collect::<Result<_, _>>().with_context(|| self.file())?;
        let known = input.places();
        if let Some(other) = places.iter().find(|place| known.iter().all(|it| !is_same(it, place)))
        {
            bail!("{} names {other}, which is no place of the run that it is of", self.file());
        }
        let opened =
            Places::open(places.iter(), |place| input.reaching(destination, place)).await?;
        let mut options: HashMap<String, Arc<Options>> = HashMap::new();
        let (mut images, of) = (Vec::new(), meant.len());
        for (image, place) in meant.into_iter().zip(places) {
            let Some(from) = &image.source else {
                warn!("Deleting {} is not tried again", image.destination);
                continue;
            };
            let from = ImageName::parse(from).with_context(|| self.file())?;
            let to = &image.destination;
            let Some(to) = within::name(&place, &**opened.get(&place), to) else {
                let to = to.escape_debug();
                bail!("{}: {to} is not in {place}, where it says that it is", self.file());
            };
            let host = host(&from);
            let options =
                options.entry(host.clone()).or_insert_with(|| input.reading(source, &host));
            images.push(Image {
                from,
                options: options.clone(),
                to,
                collection: opened.get(&place).clone(),
                place,
                request: Arc::new(Request {
                    lists: self.lists(&image.platforms)?,
                    ..(**request).clone()
                }),
                at: images.len() + 1,
                of,
                settled: false,
            });
        }
        let sources = images.iter().map(|image| &image.from);
        lowered::check_sources(sources, source).with_context(|| self.file())?;
        Ok((opened, images))
    }

    /// The sources that could not be listed then: what is in them is not known.
    ///
    /// # Errors
    /// If there were some.
    pub(super) fn check_unlisted(&self) -> Result<()> {
        let Some(first) = self.report.unlisted.first() else { return Ok(()) };
        Err(anyhow!(
            "{} sources of {} could not be listed, such as {}: only the whole sync finds out what is in them",
            self.report.unlisted.len(),
            self.file(),
            first.source
        ))
    }

    fn lists(&self, platforms: &[String]) -> Result<Lists> {
        let words: Vec<&str> = platforms.iter().map(String::as_str).collect();
        Ok(match words[..] {
            ["all"] => Lists::All,
            [] | ["system"] => Lists::System,
            _ => {
                let wanted = words.iter().map(|word| word.parse()).collect::<Result<_, _>>();
                Lists::Platforms {
                    wanted: wanted.with_context(|| self.file())?,
                    others: Others::Remove,
                }
            }
        })
    }

    fn file(&self) -> String {
        go::quote(&self.path.to_string_lossy())
    }
}

/// The host of a registry that an image is in; empty for other places.
fn host(name: &ImageName) -> String {
    let name = name.to_string();
    let reference = name.strip_prefix("docker://").map(skopeo_image::Reference::parse_normalized);
    match reference {
        Some(Ok(reference)) => reference.name.domain().to_owned(),
        _ => String::new(),
    }
}
