//! What was named as the source, and what else says which images are meant.

use std::collections::HashSet;
use std::sync::Arc;

use skopeo_copy::Request;
use skopeo_image::go::quote;
use skopeo_transport::{CollectionKind, Options};

use super::catalog;
use super::search::{self, Search};
use super::v1::{reaching as v1_reaching, wanted as v1_wanted};
use super::v2::{self as mappings, Mappings};
use crate::config::{v1, v2};
use crate::destination::{NamedTarget, Target};
use crate::found::{CopySpec, Finding, TagSet, Wanted, What};
use crate::lockfile::Lock;
use crate::naming::Naming;
use crate::select::Choice;
use crate::shard::Shard;
use crate::{Error, Result};

/// Which images are meant, and what they are called where they go.
#[derive(Debug)]
#[non_exhaustive]
pub struct Selection {
    /// Where they are.
    pub input: Input,
    /// What they are called where they go, unless a file says so itself.
    pub naming: Naming,
    /// Which tags are meant, unless a file says so itself.
    pub choice: Choice,
    /// Whether tags are to be chosen: then a single image as the source is an error.
    pub chooses: bool,
    /// Of a whole registry, the repositories in whose names this expression matches.
    pub repositories: Option<String>,
    /// The part of all repositories that is meant.
    pub shard: Option<Shard>,
    /// Which digests are meant, whatever the tags lead to now.
    pub locked: Option<Lock>,
}

impl Selection {
    /// Returns all images of this input, named as the original would.
    #[must_use]
    pub fn new(input: Input) -> Self {
        Self {
            input,
            naming: Naming::default(),
            choice: Choice::default(),
            chooses: false,
            repositories: None,
            shard: None,
            locked: None,
        }
    }
}

/// What a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceKind {
    /// A repository or an image of a registry.
    Docker,
    /// All repositories of a registry.
    Registry,
    /// A place that holds images, all of which are meant.
    Held(CollectionKind),
    /// A file that names repositories.
    Yaml,
}

impl SourceKind {
    /// Returns the kind of source that is called so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match (text, CollectionKind::parse(text)) {
            ("yaml", _) => Some(Self::Yaml),
            ("registry", _) => Some(Self::Registry),
            (_, Some(CollectionKind::Docker)) => Some(Self::Docker),
            (_, kind) => kind.map(Self::Held),
        }
    }
}

/// What was named as the source, with what is known of it before anybody is asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input {
    /// A source of which there is one, and the places for its images.
    One {
        /// What the source is.
        kind: SourceKind,
        /// Its name.
        source: String,
        /// Where its images go.
        places: Vec<Target>,
    },
    /// A file of version 1, and the places for its images.
    Registries {
        /// The file.
        file: v1::SourceFile,
        /// Where its images go.
        places: Vec<Target>,
    },
    /// A file of version 2, and the places for images that it has none for.
    Mappings {
        /// The file.
        file: v2::File,
        /// What the file is called in errors.
        name: String,
        /// Where images go that the file has no place for.
        places: Vec<Target>,
    },
}

impl Input {
    /// Refuses a copy from folder to folder, and credentials that could be for several registries.
    ///
    /// # Errors
    /// If that is asked for.
    pub fn check(&self, source: &Options, destination: &Options) -> Result<()> {
        if let Self::One { kind: SourceKind::Held(CollectionKind::Dir), places, .. } = self
            && places.iter().any(|place| place.kind == CollectionKind::Dir)
        {
            return Err(Error::refused(
                "sync from 'dir' to 'dir' not implemented, consider using rsync instead",
            ));
        }
        let given = |options: &Options| {
            options.registry.credentials.is_some() || options.registry.registry_token.is_some()
        };
        let places = match self {
            Self::Mappings { places, .. }
                if given(source) || places.is_empty() && given(destination) =>
            {
                return Err(Error::refused(
                    "a file of version 2 names several registries, and has the credentials for \
                     them itself",
                ));
            }
            Self::One { places, .. }
            | Self::Registries { places, .. }
            | Self::Mappings { places, .. } => places,
        };
        let registries: HashSet<_> = places.iter().filter_map(Target::registry).collect();
        if registries.len() > 1 && given(destination) {
            return Err(Error::refused(
                "the images go to several registries, and the credentials are for one: log in to \
                 all of them",
            ));
        }
        Ok(())
    }

    /// Finds all the images that are meant.
    ///
    /// # Errors
    /// If a source cannot be read, and the others are not to be read all the same.
    pub(crate) async fn find(
        &self,
        search: &Search<'_>,
        selection: &Selection,
        options: &Arc<Options>,
        request: &Arc<Request>,
    ) -> Result<Finding> {
        let spec = |places: &[Target]| {
            let naming = &selection.naming;
            let targets =
                places.iter().cloned().map(|place| NamedTarget { place, naming: naming.clone() });
            Arc::new(CopySpec { targets: targets.collect(), request: request.clone() })
        };
        let (wanted, failed) = match self {
            Self::One { kind: SourceKind::Registry, source, places } => {
                let matching = selection.repositories.as_deref();
                let listed = catalog::repositories(source, matching, options, search);
                let (repositories, failed) = listed.await?;
                if repositories.is_empty() {
                    let sentence = format!("No images to sync found in {}", quote(source));
                    return Err(Error::refused(sentence));
                }
                let (spec, choice) = (spec(places), Arc::new(selection.choice.clone()));
                let wanted = repositories.into_iter().map(|repository| Wanted {
                    what: What::Repository(repository, TagSet::Listed(choice.clone())),
                    options: options.clone(),
                    spec: spec.clone(),
                });
                (wanted.collect(), failed)
            }
            Self::One { kind, source, places } => {
                let what = match kind {
                    SourceKind::Held(kind) => {
                        let place = Target { kind: *kind, place: source.clone() };
                        What::Collection(place, Arc::new(selection.choice.clone()))
                    }
                    _ => search::named(source, &Arc::new(selection.choice.clone()))?,
                };
                if selection.chooses && matches!(what, What::Repository(_, TagSet::Named(_))) {
                    let source = quote(source);
                    return Err(Error::refused(format!(
                        "{source} is one image, and there is nothing to choose"
                    )));
                }
                let wanted = Wanted { what, options: options.clone(), spec: spec(places) };
                return search.one(wanted, source).await;
            }
            Self::Registries { file, places } => {
                v1_wanted(file, options, &selection.choice, &spec(places))?
            }
            Self::Mappings { file, name, places } => {
                let mappings = Mappings {
                    file,
                    name,
                    places,
                    options: options.clone(),
                    request: request.clone(),
                    search,
                };
                mappings.wanted().await?
            }
        };
        let mut finding = search.all(wanted).await?;
        finding.failed = finding.failed.saturating_add(failed);
        finding.unnamed = failed;
        Ok(finding)
    }

    /// All places that images go to.
    pub(crate) fn places(&self) -> Vec<&Target> {
        match self {
            Self::One { places, .. } | Self::Registries { places, .. } => places.iter().collect(),
            Self::Mappings { file, places, .. } => {
                let targets = file.entries.iter().flat_map(|entry| &entry.targets);
                places.iter().chain(targets.map(|target| &target.place)).collect()
            }
        }
    }

    /// Returns what it takes to read from a host.
    #[must_use]
    pub fn reading(&self, options: &Arc<Options>, host: &str) -> Arc<Options> {
        match self {
            Self::One { .. } => options.clone(),
            Self::Registries { file, .. } => Arc::new(v1_reaching(file, options, host)),
            Self::Mappings { file, .. } => Arc::new(mappings::reaching(file, options, host)),
        }
    }

    /// Returns the variables of the environment that a file takes credentials for a host from.
    pub fn variables(&self, host: &str) -> impl Iterator<Item = &str> {
        let registries = match self {
            Self::Mappings { file, .. } => &file.registries.0[..],
            Self::One { .. } | Self::Registries { .. } => &[],
        };
        let of_host = registries.iter().filter(move |(known, _)| known == host);
        of_host.flat_map(|(_, access)| access.variables.iter().map(String::as_str))
    }

    /// Returns what it takes to write to a place.
    #[must_use]
    pub fn reaching(&self, options: &Options, place: &Target) -> Options {
        match self {
            Self::Mappings { file, places, .. } => {
                mappings::destination_options(file, options, place, places)
            }
            _ => options.clone(),
        }
    }
}
