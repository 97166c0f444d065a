//! What a file of version 2 says: mappings of what to copy and where to.

use std::sync::Arc;

use skopeo_copy::{Lists, Others, Request};
use skopeo_image::go::quote;
use skopeo_image::{ErrorClass, Reference};
use skopeo_transport::{CollectionKind, Options, join};

use super::catalog;
use super::search::Search;
use super::v1::{reached, reference};
use crate::config::v2::{Access, Entry, File, From, Platforms, Tags as Asked};
use crate::destination::{NamedTarget, Target};
use crate::found::{CopySpec, TagSet, Wanted, What};
use crate::select::Choice;
use crate::{Error, Result};

/// What a file says, with what the command line says about all of it.
pub(crate) struct Mappings<'a> {
    pub(crate) file: &'a File,
    /// As the file is called in errors.
    pub(crate) name: &'a str,
    /// The places on the command line.
    pub(crate) places: &'a [Target],
    pub(crate) options: Arc<Options>,
    pub(crate) request: Arc<Request>,
    pub(crate) search: &'a Search<'a>,
}

impl Mappings<'_> {
    /// What is to be copied, and how many of the names of a registry's repositories are none.
    ///
    /// # Errors
    /// If an entry does not say enough, or a registry does not tell its repositories.
    pub(crate) async fn wanted(&self) -> Result<(Vec<Wanted>, usize)> {
        let (mut wanted, mut failed) = (Vec::new(), 0_usize);
        // What is wrong with a later entry is known before anybody is asked anything.
        let aims = self.file.entries.iter().map(|entry| self.spec(entry));
        let aims: Vec<Arc<CopySpec>> =
            aims.map(|spec| spec.map(Arc::new)).collect::<Result<_>>()?;
        for (entry, spec) in self.file.entries.iter().zip(&aims) {
            let options = Arc::new(self.source_options(&entry.from));
            let mut add = |what| {
                wanted.push(Wanted { what, options: options.clone(), spec: spec.clone() });
            };
            match &entry.from {
                From::Held(place) => {
                    let choice = match &entry.tags {
                        Asked::Chosen(choice) => choice.clone(),
                        Asked::These(_) => Choice::default(),
                    };
                    add(What::Collection(place.clone(), Arc::new(choice)));
                }
                From::Image(image) => {
                    let tags = TagSet::Named(vec![image.clone()]);
                    add(What::Repository(Reference::from(image.name.clone()), tags));
                }
                From::Repository(repository) => {
                    add(What::Repository(repository.clone(), tags(repository, &entry.tags)));
                }
                From::Registry { host, repositories } => {
                    let matching = repositories.as_deref();
                    let listed = catalog::repositories(host, matching, &options, self.search);
                    let (repositories, none) = listed.await?;
                    failed = failed.saturating_add(none);
                    for repository in repositories {
                        let tags = tags(&repository, &entry.tags);
                        add(What::Repository(repository, tags));
                    }
                }
            }
        }
        Ok((wanted, failed))
    }

    fn spec(&self, entry: &Entry) -> Result<CopySpec> {
        let mut targets = entry.targets.clone();
        if targets.is_empty() {
            let places = self.places.iter().cloned();
            targets.extend(places.map(|place| NamedTarget { place, naming: entry.naming.clone() }));
        }
        let wrong = |what: &str| {
            let file = quote(self.name);
            let sentence = format!("{file}: line {}: {}: {what}", entry.line, entry.key);
            Err(Error::classed(ErrorClass::InvalidInput, sentence))
        };
        if targets.is_empty() {
            return wrong("neither to nor into says where to, nor does the command line");
        }
        let folder = |place: &Target| place.kind == CollectionKind::Dir;
        if matches!(&entry.from, From::Held(place) if folder(place))
            && targets.iter().any(|target| folder(&target.place))
        {
            return wrong("sync from 'dir' to 'dir' not implemented, consider using rsync instead");
        }
        let mut request = self.request.clone();
        if let Some(platforms) = &entry.platforms {
            Arc::make_mut(&mut request).lists = match platforms {
                Platforms::System => Lists::System,
                Platforms::All => Lists::All,
                Platforms::These(wanted) => {
                    Lists::Platforms { wanted: wanted.clone(), others: Others::Remove }
                }
            };
        }
        Ok(CopySpec { targets, request })
    }

    fn source_options(&self, from: &From) -> Options {
        match from {
            From::Repository(reference) | From::Image(reference) => {
                reaching(self.file, &self.options, reference.name.domain())
            }
            From::Registry { host, .. } => reaching(self.file, &self.options, host),
            From::Held(_) => (*self.options).clone(),
        }
    }
}

/// What it takes to write to a place. What the command line says of credentials is for the places
/// that are named there.
pub(crate) fn destination_options(
    file: &File,
    options: &Options,
    place: &Target,
    named: &[Target],
) -> Options {
    let mut options = options.clone();
    if !named.contains(place) {
        options.registry.credentials = None;
        options.registry.registry_token = None;
    }
    match Reference::parse_normalized(&join(&place.place, "x")) {
        Ok(reference) if place.kind == CollectionKind::Docker => {
            reaching(file, &options, reference.name.domain())
        }
        _ => options,
    }
}

/// The options with what the file says of a host.
pub(crate) fn reaching(file: &File, options: &Options, host: &str) -> Options {
    match file.registries.0.iter().find(|(known, _)| known == host) {
        Some((_, Access { credentials, tls_verify, cert_dir, .. })) => {
            reached(options, credentials, *tls_verify, cert_dir.as_deref())
        }
        None => options.clone(),
    }
}

fn tags(repository: &Reference, asked: &Asked) -> TagSet {
    match asked {
        Asked::These(tags) => {
            TagSet::Named(tags.iter().filter_map(|tag| reference(repository, tag)).collect())
        }
        Asked::Chosen(choice) => TagSet::Listed(Arc::new(choice.clone())),
    }
}
