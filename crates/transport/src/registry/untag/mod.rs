//! Deleting a tag and nothing else: what it led to stays, and every other tag of it.
//!
//! Asked to delete a tag, some registries delete the tag; some delete the manifest that it leads
//! to, with all its tags and perhaps its blobs, so that it cannot even be put back; some refuse.
//! Which of them one is shows only once it has deleted something. So a tag is deleted as it is only
//! where this registry was seen to delete tags only. Any other tag is first moved to a placeholder,
//! an image of nothing, and that is deleted. Where tags cannot be moved, one is deleted as it is if
//! no other tag leads to its image, and stays if that is not known.

mod others;
mod placeholder;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use skopeo_image::{Digest, RawManifest};
use skopeo_registry::Repository;
use tracing::debug;

use super::{DockerName, digest_of, place, raw, without_context};
use crate::registry::{DeletionError, DockerError};
use crate::{ContentError, Error, FormatError, Options};

pub(crate) use others::siblings;

use others::{Others, others};
use placeholder::{Replaced, replace};

/// The most tags of a repository that are looked at where there can be no placeholder.
const MOST_WATCHED: usize = 10_000;

/// How a tag was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untagged {
    /// The registry can.
    ByTag,
    /// It was moved to a manifest made for that, which was deleted.
    ByPlaceholder,
}

/// What a registry does that is asked to delete a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Habit {
    /// The tag goes, and nothing else.
    TagOnly,
    /// What it leads to goes, with every tag of it.
    TakesImage,
    /// It refuses.
    Refuses,
}

/// What was seen of registries, by repository.
#[derive(Debug, Default)]
pub(super) struct Habits(Mutex<HashMap<String, Habit>>);

impl Habits {
    fn of(&self, repository: &str) -> Option<Habit> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(repository).copied()
    }

    fn learn(&self, repository: &str, habit: Option<Habit>) {
        let Some(habit) = habit else { return };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(repository.to_owned(), habit);
    }
}

/// Deletes a tag. If `expected` is given, only if it leads there.
pub(crate) async fn untag(
    name: &DockerName,
    options: &Options,
    expected: Option<&Digest>,
) -> Result<Untagged, Error> {
    let tag = name.tag().ok_or(DeletionError::NoTagToDelete)?;
    let expected = expected.or_else(|| name.reference().digest.as_ref());
    let repository = place(name, options).await?;
    let (habits, key) = (options.connections.habits(), name.reference().name.to_string());
    let habit = habits.of(&key);
    options.connections.ledger().forget_tags(&name.reference().name);
    let deletion = Deletion::read(&repository, tag, name.whole().to_string()).await?;
    if expected.is_some_and(|expected| *expected != deletion.digest) {
        return Err(DeletionError::TagMoved(deletion.text).into());
    }
    let (how, seen) = match habit {
        Some(Habit::TagOnly) => deletion.directly().await?,
        habit => deletion.moved_away(habit).await?,
    };
    habits.learn(&key, seen.or(habit));
    deletion.check(how).await
}

/// A tag that is to go.
struct Deletion<'a> {
    repository: &'a Repository,
    tag: &'a str,
    /// Its whole name.
    text: String,
    manifest: RawManifest,
    digest: Digest,
}

impl<'a> Deletion<'a> {
    async fn read(repository: &'a Repository, tag: &'a str, text: String) -> Result<Self, Error> {
        let fetched = match repository.manifest(tag).await {
            Err(error) if error.status() == Some(404) => {
                return Err(DeletionError::NothingToDelete(text).into());
            }
            fetched => fetched.map_err(|error| deleting(&text, error))?,
        };
        let manifest = raw(fetched.manifest);
        let digest = manifest.digest()?;
        Ok(Self { repository, tag, text, manifest, digest })
    }

    /// Deletes the tag as it is.
    async fn directly(&self) -> Result<(Untagged, Option<Habit>), Error> {
        let deleted = self.repository.delete_tag(self.tag).await;
        if let Err(error) = &deleted
            && cannot(error)
            && !is_gone(self.repository, self.tag).await
        {
            debug!("deleting tag {}: {error}; using a placeholder", self.text);
            return match self.replaced(Some(Habit::Refuses)).await? {
                Replaced::Gone(seen) => Ok((Untagged::ByPlaceholder, seen)),
                Replaced::NotMoved(refused) => {
                    debug!("{}", crate::chain(&refused));
                    Err(deleted.map_or_else(|error| deleting(&self.text, error), |()| refused))
                }
            };
        }
        // Whatever was answered: it may have been done.
        let took = self.give_back().await?;
        match deleted {
            Ok(()) => {
                let seen = if took { Habit::TakesImage } else { Habit::TagOnly };
                Ok((Untagged::ByTag, Some(seen)))
            }
            Err(_) if is_gone(self.repository, self.tag).await => Ok((Untagged::ByTag, None)),
            Err(error) => Err(deleting(&self.text, error)),
        }
    }

    /// Moves the tag away from its image and deletes it then; where it cannot be moved, it is
    /// deleted as it is, if the image has no other tag.
    async fn moved_away(&self, habit: Option<Habit>) -> Result<(Untagged, Option<Habit>), Error> {
        let refused = match self.replaced(habit).await? {
            Replaced::Gone(seen) => {
                let how = match seen {
                    Some(Habit::TagOnly) => Untagged::ByTag,
                    _ => Untagged::ByPlaceholder,
                };
                return Ok((how, seen));
            }
            Replaced::NotMoved(error) => crate::chain(&error),
        };
        debug!("moving tag {} to a placeholder: {refused}", self.text);
        let why = match others(self.repository, self.tag, &self.digest, MOST_WATCHED).await {
            Others::Known(tags) if tags.is_empty() => return self.directly().await,
            Others::Known(tags) => format!("it also has the tags {}", tags.join(", ")),
            Others::TooMany(tags) => format!("there are {tags} other tags to check"),
            Others::Unclear(why) => format!("its other tags are not known: {why}"),
        };
        Err(DeletionError::WouldTake { reference: self.text.clone(), why, refused }.into())
    }

    async fn replaced(&self, habit: Option<Habit>) -> Result<Replaced, Error> {
        replace(self.repository, self.tag, &self.manifest, habit).await.map_err(|error| match error
        {
            Error::Format(FormatError::Docker(DockerError::Request(error))) => {
                deleting(&self.text, error)
            }
            error => error,
        })
    }

    /// Puts the image back if it went although only a tag was to go: a list may need it. Gives back
    /// whether it did.
    async fn give_back(&self) -> Result<bool, Error> {
        let name = self.digest.as_str();
        let failed =
            |error| DeletionError::GivingBack { name: name.to_owned(), source: Box::new(error) };
        match self.repository.head_manifest(name).await {
            Ok(_) => Ok(false),
            Err(error) if error.status() == Some(404) => {
                debug!("{name} was deleted together with the tag and is restored");
                self.repository.put_manifest(name, &self.manifest).await.map_err(failed)?;
                Ok(true)
            }
            Err(error) => Err(failed(error).into()),
        }
    }

    /// Looks whether the tag is gone and its image is there.
    async fn check(&self, how: Untagged) -> Result<Untagged, Error> {
        if how == Untagged::ByPlaceholder {
            self.give_back().await?;
        }
        match digest_of(self.repository, self.tag).await {
            Err(Error::Format(FormatError::Docker(DockerError::Request(error))))
                if error.status() == Some(404) =>
            {
                Ok(how)
            }
            // Somebody else's.
            Ok(now) if now != self.digest => Ok(how),
            Ok(_) => Err(DeletionError::TagStays(self.text.clone()).into()),
            Err(Error::Format(FormatError::Docker(DockerError::Request(error)))) => {
                Err(deleting(&self.text, error))
            }
            Err(error) => Err(error),
        }
    }
}

/// Gives a tag back to an image that is there by its digest still. Gives back whether the tag was
/// missing.
pub(crate) async fn retag(
    name: &DockerName,
    options: &Options,
    digest: &Digest,
) -> Result<bool, Error> {
    let tag = name.tag().ok_or(DeletionError::NoTagToDelete)?;
    let repository = place(name, options).await?;
    match repository.head_manifest(tag).await {
        Ok(_) => return Ok(false),
        Err(error) if error.status() == Some(404) => {}
        Err(error) => return Err(error.into()),
    }
    let manifest = raw(repository.manifest(digest.as_str()).await?.manifest);
    if Digest::of(digest.algorithm(), &manifest.bytes) != *digest && manifest.digest()? != *digest {
        return Err(ContentError::ManifestMismatch(digest.clone()).into());
    }
    let failed =
        |error| DeletionError::GivingBack { name: tag.to_owned(), source: Box::new(error) };
    repository.put_manifest(tag, &manifest).await.map_err(failed)?;
    Ok(true)
}

/// Whether a registry says that it deletes no tags. It has just been seen to have this one.
fn cannot(error: &skopeo_registry::Error) -> bool {
    matches!(error.status(), Some(400 | 404 | 405 | 501))
}

/// Whether a tag is known not to be there.
async fn is_gone(repository: &Repository, tag: &str) -> bool {
    let head = repository.head_manifest(tag).await;
    head.is_err_and(|error| error.status() == Some(404))
}

fn deleting(text: &str, source: skopeo_registry::Error) -> Error {
    let source = Box::new(without_context(source));
    DeletionError::Deleting { reference: text.to_owned(), source }.into()
}
