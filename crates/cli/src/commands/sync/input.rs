//! What was named as the source.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use skopeo_copy::Request;
use skopeo_sync::config::{SyncFile, v1, v2};
use skopeo_sync::destination::{Goal, Place};
use skopeo_transport::Options;

use super::goals::Aim;
use super::pairs::{self, Pairs};
use super::source::{Finding, Search, SourceKind, Tags, Wanted, What};
use super::{catalog, file, source};
use crate::args::sync::Sync;
use crate::exit::UsageError;
use crate::go;

/// What was named as the source, with what is known of it before anybody is asked.
pub(super) enum Input {
    /// A source of which there is one, and the places for its images.
    One { kind: SourceKind, source: String, places: Vec<Place> },
    /// A file of version 1, and the places for its images.
    Registries { file: v1::SourceFile, places: Vec<Place> },
    /// A file of version 2, and the places for images that it has none for.
    Pairs { file: v2::File, path: PathBuf, places: Vec<Place> },
}

impl Input {
    /// # Errors
    /// If a file cannot be read or makes no sense, or flags say what cannot be meant with it.
    pub(super) fn new(
        kind: SourceKind,
        source: &str,
        places: Vec<Place>,
        sync: &Sync,
    ) -> Result<Self> {
        let missing = || UsageError("Exactly two arguments expected");
        match kind {
            SourceKind::Yaml => match (file::read(source.as_ref())?, places) {
                (SyncFile::V2(_), _) if sync.names || sync.chooses => bail!(
                    "{} is of version 2, and says itself how images are chosen and named",
                    go::quote(source)
                ),
                (SyncFile::V2(file), places) => {
                    Ok(Self::Pairs { file, path: PathBuf::from(source), places })
                }
                (SyncFile::V1(_), places) if places.is_empty() => Err(missing().into()),
                (SyncFile::V1(file), places) => Ok(Self::Registries { file, places }),
            },
            _ if places.is_empty() => Err(missing().into()),
            kind => Ok(Self::One { kind, source: source.to_owned(), places }),
        }
    }

    /// Refuses credentials that nobody could tell whom they are for.
    ///
    /// # Errors
    /// If there are some.
    pub(super) fn check(&self, source: &Options, destination: &Options) -> Result<()> {
        let given = |options: &Options| {
            options.registry.credentials.is_some() || options.registry.registry_token.is_some()
        };
        let places = match self {
            Self::Pairs { places, .. }
                if given(source) || places.is_empty() && given(destination) =>
            {
                bail!(
                    "a file of version 2 names several registries, and has the credentials for them itself"
                )
            }
            Self::One { places, .. }
            | Self::Registries { places, .. }
            | Self::Pairs { places, .. } => places,
        };
        let registries: HashSet<_> = places.iter().filter_map(Place::registry).collect();
        if registries.len() > 1 && given(destination) {
            bail!(
                "the images go to several registries, and the credentials are for one: log in to all of them"
            );
        }
        Ok(())
    }

    /// Finds all the images that are meant.
    ///
    /// # Errors
    /// If a source cannot be read, and the others are not to be read all the same.
    pub(super) async fn find(
        &self,
        search: &Search<'_>,
        sync: &Sync,
        options: &Arc<Options>,
        request: &Arc<Request>,
    ) -> Result<Finding> {
        let aim = |places: &[Place]| {
            let naming = &sync.naming;
            let goals = places.iter().cloned().map(|place| Goal { place, naming: naming.clone() });
            Arc::new(Aim { goals: goals.collect(), request: request.clone() })
        };
        let (wanted, failed) = match self {
            Self::One { kind: SourceKind::Registry, source, places } => {
                let matching = sync.repositories.as_deref();
                let listed = catalog::repositories(source, matching, options, search);
                let (repositories, failed) = listed.await?;
                if repositories.is_empty() {
                    bail!("No images to sync found in {}", go::quote(source));
                }
                let (aim, choice) = (aim(places), Arc::new(sync.choice.clone()));
                let wanted = repositories.into_iter().map(|repository| Wanted {
                    what: What::Repository(repository, Tags::Listed(choice.clone())),
                    options: options.clone(),
                    aim: aim.clone(),
                });
                (wanted.collect(), failed)
            }
            Self::One { kind, source, places } => {
                let what = match kind {
                    SourceKind::Held(kind) => {
                        let place = Place { kind: *kind, place: source.clone() };
                        What::Place(place, Arc::new(sync.choice.clone()))
                    }
                    _ => source::named(source, &Arc::new(sync.choice.clone()))?,
                };
                if sync.chooses && matches!(what, What::Repository(_, Tags::Named(_))) {
                    bail!("{} is one image, and there is nothing to choose", go::quote(source));
                }
                let wanted = Wanted { what, options: options.clone(), aim: aim(places) };
                return search.one(wanted, source).await;
            }
            Self::Registries { file, places } => {
                file::wanted(file, options, &sync.choice, &aim(places))?
            }
            Self::Pairs { file, path, places } => {
                let pairs = Pairs {
                    file,
                    path,
                    places,
                    options: options.clone(),
                    request: request.clone(),
                    search,
                };
                pairs.wanted().await?
            }
        };
        let mut finding = search.all(wanted).await?;
        finding.failed += failed;
        finding.unnamed = failed;
        Ok(finding)
    }

    /// All places that images go to.
    pub(super) fn places(&self) -> Vec<&Place> {
        match self {
            Self::One { places, .. } | Self::Registries { places, .. } => places.iter().collect(),
            Self::Pairs { file, places, .. } => {
                let goals = file.entries.iter().flat_map(|entry| &entry.goals);
                places.iter().chain(goals.map(|goal| &goal.place)).collect()
            }
        }
    }

    /// What it takes to read from a host.
    pub(super) fn reading(&self, options: &Arc<Options>, host: &str) -> Arc<Options> {
        match self {
            Self::One { .. } => options.clone(),
            Self::Registries { file, .. } => Arc::new(file::reaching(file, options, host)),
            Self::Pairs { file, .. } => Arc::new(pairs::reaching(file, options, host)),
        }
    }

    /// The variables of the environment that a file takes credentials for a host from.
    pub(super) fn variables(&self, host: &str) -> impl Iterator<Item = &str> {
        let registries = match self {
            Self::Pairs { file, .. } => &file.registries.0[..],
            Self::One { .. } | Self::Registries { .. } => &[],
        };
        let of_host = registries.iter().filter(move |(known, _)| known == host);
        of_host.flat_map(|(_, access)| access.variables.iter().map(String::as_str))
    }

    /// What it takes to write to a place.
    pub(super) fn reaching(&self, options: &Options, place: &Place) -> Options {
        match self {
            Self::Pairs { file, places, .. } => {
                pairs::destination_options(file, options, place, places)
            }
            _ => options.clone(),
        }
    }
}
