//! The images of a record that are not where they should be, once more.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use skopeo_copy::{Lists, Others, Request};
use skopeo_transport::{ImageName, Options};
use tracing::{info, warn};

use crate::destination::Target;
use crate::discover::Input;
use crate::report::{Entry, Record};
use crate::sources::check_sources;
use crate::task::{SyncTask, Targets, TaskId, is_same, number};
use crate::transports::Transports;
use crate::{Context as _, Error, Result, within};

/// A run that is to be ended.
#[derive(Debug)]
pub struct Resume {
    /// What has come of it so far.
    pub record: Record,
    /// What the record is called in errors.
    pub file: String,
    /// What was named as its source, and where its images go.
    pub input: Input,
}

impl Resume {
    /// The hosts of registries that it reads from; empty for other places.
    pub(crate) fn hosts(&self) -> BTreeSet<String> {
        let sources = self.missing().filter_map(|image| image.source.as_ref());
        sources.filter_map(|source| Some(host(&ImageName::parse(source).ok()?))).collect()
    }

    /// The places that it writes to, by name.
    pub(crate) fn places(&self) -> BTreeSet<&str> {
        self.missing().map(|image| image.place.as_str()).collect()
    }

    /// The images that are not where they should be.
    fn missing(&self) -> impl Iterator<Item = &Entry> {
        self.record.images.iter().filter(|image| image.outcome.is_missing())
    }

    /// The images, and the places that they go to.
    ///
    /// # Errors
    /// If the report names what cannot be, or nothing is known of what failed.
    pub(crate) async fn tasks(
        &self,
        source: &Arc<Options>,
        destination: &Options,
        request: &Request,
        transports: &dyn Transports,
    ) -> Result<(Targets, Vec<SyncTask>)> {
        let input = &self.input;
        let meant: Vec<&Entry> = self.missing().collect();
        if meant.is_empty() {
            match &self.record.error {
                Some(error) if self.record.unlisted.is_empty() && !self.record.ok => {
                    let why = error["message"].as_str().unwrap_or_default();
                    return Err(Error::refused(format!(
                        "{} names no image that failed: the run ended before images were known: \
                         {why}",
                        self.file
                    )));
                }
                _ => info!("No image of {} failed", self.file),
            }
        }
        let places = meant.iter().map(|image| image.place.parse::<Target>());
        let places: Vec<Target> =
            places.collect::<Result<_, _>>().with_context(|| self.file.clone())?;
        let known = input.places();
        if let Some(other) = places.iter().find(|place| known.iter().all(|it| !is_same(it, place)))
        {
            return Err(Error::refused(format!(
                "{} names {other}, which is no place of the run that it is of",
                self.file
            )));
        }
        let opened =
            Targets::open(places.iter(), |place| input.reaching(destination, place), transports)
                .await?;
        let mut options: HashMap<String, Arc<Options>> = HashMap::new();
        let (mut images, of): (Vec<SyncTask>, _) = (Vec::new(), meant.len());
        for (image, place) in meant.into_iter().zip(places) {
            let Some(from) = &image.source else {
                warn!("Deleting {} is not tried again", image.destination);
                continue;
            };
            let from = ImageName::parse(from).with_context(|| self.file.clone())?;
            let to = &image.destination;
            let Some(to) = within::name(&place, &**opened.get(&place), to) else {
                let to = to.escape_debug();
                return Err(Error::refused(format!(
                    "{}: {to} is not in {place}, where it says that it is",
                    self.file
                )));
            };
            let host = host(&from);
            let options =
                options.entry(host.clone()).or_insert_with(|| input.reading(source, &host));
            let mut request = request.clone();
            request.lists = self.lists(&image.platforms)?;
            images.push(SyncTask {
                id: TaskId::default(),
                from,
                options: options.clone(),
                to,
                collection: opened.get(&place).clone(),
                place,
                request: Arc::new(request),
                at: images.len().saturating_add(1),
                of,
                unchanged: false,
            });
        }
        let sources = images.iter().map(|image| &image.from);
        check_sources(sources, source).with_context(|| self.file.clone())?;
        number(&mut images);
        Ok((opened, images))
    }

    /// The sources that could not be listed then: what is in them is not known.
    ///
    /// # Errors
    /// If there were some.
    pub(crate) fn check_unlisted(&self) -> Result<()> {
        let Some(first) = self.record.unlisted.first() else { return Ok(()) };
        Err(Error::refused(format!(
            "{} sources of {} could not be listed, such as {}: only the whole sync finds out what \
             is in them",
            self.record.unlisted.len(),
            self.file,
            first.source
        )))
    }

    fn lists(&self, platforms: &[String]) -> Result<Lists> {
        let words: Vec<&str> = platforms.iter().map(String::as_str).collect();
        Ok(match words[..] {
            ["all"] => Lists::All,
            [] | ["system"] => Lists::System,
            _ => {
                let wanted = words.iter().map(|word| word.parse()).collect::<Result<_, _>>();
                Lists::Platforms {
                    wanted: wanted.with_context(|| self.file.clone())?,
                    others: Others::Remove,
                }
            }
        })
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
