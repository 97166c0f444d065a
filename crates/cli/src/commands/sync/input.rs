//! What was named as the source.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use skopeo_copy::Request;
use skopeo_copy::sync::file::{SyncFile, v1, v2};
use skopeo_copy::sync::place::{Goal, Place};
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
    /// A source of which there is one, and a place for its images.
    One { kind: SourceKind, source: String, place: Place },
    /// A file of version 1, and a place for its images.
    Registries { file: v1::SourceFile, place: Place },
    /// A file of version 2, and a place for images that it has none for.
    Pairs { file: v2::File, path: PathBuf, place: Option<Place> },
}

impl Input {
    /// # Errors
    /// If a file cannot be read or makes no sense, or flags say what cannot be meant with it.
    pub(super) fn new(
        kind: SourceKind,
        source: &str,
        place: Option<Place>,
        sync: &Sync,
    ) -> Result<Self> {
        let missing = || UsageError("Exactly two arguments expected");
        match kind {
            SourceKind::Yaml => match (file::read(source.as_ref())?, place) {
                (SyncFile::V2(_), _) if sync.names || sync.chooses => bail!(
                    "{} is of version 2, and says itself how images are chosen and named",
                    go::quote(source)
                ),
                (SyncFile::V2(file), place) => {
                    Ok(Self::Pairs { file, path: PathBuf::from(source), place })
                }
                (SyncFile::V1(file), Some(place)) => Ok(Self::Registries { file, place }),
                (SyncFile::V1(_), None) => Err(missing().into()),
            },
            SourceKind::Held(_) if sync.chooses => {
                bail!(
                    "--include, --exclude, --semver, --newest and --since choose among the tags of repositories"
                )
            }
            kind => {
                let place = place.ok_or_else(missing)?;
                Ok(Self::One { kind, source: source.to_owned(), place })
            }
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
        match self {
            Self::Pairs { place, .. } if given(source) || place.is_none() && given(destination) => {
                bail!(
                    "a file of version 2 names several registries, and has the credentials for them itself"
                )
            }
            _ => Ok(()),
        }
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
        let aim = |place: &Place| {
            let goals = vec![Goal { place: place.clone(), naming: sync.naming.clone() }];
            Arc::new(Aim { goals, request: request.clone() })
        };
        let (wanted, failed) = match self {
            Self::One { kind: SourceKind::Registry, source, place } => {
                let matching = sync.repositories.as_deref();
                let listed = catalog::repositories(source, matching, options, search.retry);
                let (repositories, failed) = listed.await?;
                if repositories.is_empty() {
                    bail!("No images to sync found in {}", go::quote(source));
                }
                let (aim, choice) = (aim(place), Arc::new(sync.choice.clone()));
                let wanted = repositories.into_iter().map(|repository| Wanted {
                    what: What::Repository(repository, Tags::Listed(choice.clone())),
                    options: options.clone(),
                    aim: aim.clone(),
                });
                (wanted.collect(), failed)
            }
            Self::One { kind, source, place } => {
                let what = match kind {
                    SourceKind::Held(kind) => {
                        What::Place(Place { kind: *kind, place: source.clone() })
                    }
                    _ => source::named(source, &Arc::new(sync.choice.clone()))?,
                };
                if sync.chooses && matches!(what, What::Repository(_, Tags::Named(_))) {
                    bail!("{} is one image, and there is nothing to choose", go::quote(source));
                }
                let wanted = Wanted { what, options: options.clone(), aim: aim(place) };
                return search.one(wanted, source).await;
            }
            Self::Registries { file, place } => {
                file::wanted(file, options, &sync.choice, &aim(place))?
            }
            Self::Pairs { file, path, place } => {
                let pairs = Pairs {
                    file,
                    path,
                    place: place.clone(),
                    options: options.clone(),
                    request: request.clone(),
                    retry: search.retry,
                };
                pairs.wanted().await?
            }
        };
        let mut finding = search.all(wanted).await?;
        finding.failed += failed;
        Ok(finding)
    }

    /// What it takes to write to a place.
    pub(super) fn reaching(&self, options: &Options, place: &Place) -> Options {
        match self {
            Self::Pairs { file, place: named, .. } => {
                pairs::destination_options(file, options, place, named.as_ref())
            }
            _ => options.clone(),
        }
    }
}
