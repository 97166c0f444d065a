//! What a copy will do, decided from manifest, destination and request, before a byte moves.
//!
//! The [`Decision`] is one value for all who want to know: `execute` carries it out, `estimate` says
//! what that would take. What is in an index, and which referrers an image has, is decided when it
//! comes to them; `visit` leads through.

mod image;
mod index;
mod present;
mod referrers;

use futures_util::future;
use skopeo_image::{Digest, RawManifest, Which};

use crate::admit;
use crate::job::Job;
use crate::plan::{IndexError, PlanError, Scope};
use crate::request::{Lists, SourceSignatures};
use crate::{Error, SourceError, sign};

pub(crate) use image::{ImageDecision, decide_image};
pub(crate) use index::{Entry, IndexDecision, admit_index, decide_entry, read_entry};
pub(crate) use present::{may_be_same, under_the_name};
pub(crate) use referrers::{ReferrerDecision, are_copied, decide_referrer, links_of, referrers_of};

/// What a copy will do.
#[derive(Debug)]
pub(crate) enum Decision {
    /// The destination has the very image: nothing, but for its referrers.
    Present {
        /// The digest that the destination's name leads to.
        digest: Digest,
        /// The manifest, if it had to be read.
        manifest: Option<RawManifest>,
    },
    /// Write one image: the source's, or one that was chosen from its index.
    Image(Box<ImageDecision>),
    /// Write an index, and what is wanted of what it names.
    Index(Box<IndexDecision>),
}

/// Where the manifest of an image or an index is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// Under the destination's name.
    Top,
    /// As an instance of an index. The digest is that at the source.
    InIndex(Digest),
}

impl Position {
    /// Returns where a manifest of that digest goes.
    pub(crate) fn which(&self, digest: &Digest) -> Which {
        match self {
            Self::Top => Which::Top,
            Self::InIndex(_) => Which::Instance(digest.clone()),
        }
    }
}

/// A decision, and what was asked of the destination for it.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) decision: Decision,
    /// The digest of what the source's name leads to: of the index, where one image is chosen.
    pub(crate) source: Digest,
    /// What the destination's name leads to, if that could have been enough.
    pub(crate) present: Option<Digest>,
}

/// Returns an error if what is asked cannot be had from the destination, whatever the image is.
pub(crate) fn require_possible(job: &Job<'_>) -> Result<(), Error> {
    referrers::require_place(job)?;
    sign::require_signable(job)
}

/// Decides what to do with what the source's name leads to.
///
/// # Errors
/// Those of a copy, as far as they show before bytes move.
pub(crate) async fn decide(job: &Job<'_>) -> Result<Decided, Error> {
    let (present, top) = match job.request.lists {
        _ if job.request.heads_first => {
            let (present, head) = future::join(present::present(job), job.source.head()).await;
            if let Ok(Some(head)) = &head {
                require_expected(job, &head.digest)?;
            }
            if let (Some(digest), Ok(Some(head))) = (&present, &head)
                && present::is_same(job, digest, head)
                && present::is_up_to_date(job, &Which::Top).await?
            {
                return Ok(Decided::present(digest.clone()));
            }
            let head = head.ok().flatten();
            (present, top_of(job, head.as_ref().map(|head| &head.digest)).await)
        }
        // Only the manifest tells which of its instances are wanted. Neither question needs the
        // other's answer.
        Lists::System | Lists::Platforms { .. } => {
            future::join(present::present(job), top_of(job, None)).await
        }
        Lists::All | Lists::IndexOnly => {
            let present = present::present(job).await;
            if let Some(digest) = present.clone().filter(|_| present::is_trusted_unsigned(job))
                && let Ok(Some(head)) = job.source.head().await
                && head.digest == digest
                && present::is_up_to_date(job, &Which::Top).await?
            {
                return Ok(Decided::present(digest));
            }
            (present, top_of(job, None).await)
        }
    };
    let top = top?;
    let source = admit::digest_of(job, top)?;
    let decision = decide_top(job, top, present.as_ref()).await?;
    Ok(Decided { decision, source, present })
}

impl Decided {
    fn present(digest: Digest) -> Self {
        let decision = Decision::Present { digest: digest.clone(), manifest: None };
        Self { decision, source: digest.clone(), present: Some(digest) }
    }
}

async fn decide_top(
    job: &Job<'_>,
    top: &RawManifest,
    present: Option<&Digest>,
) -> Result<Decision, Error> {
    let is_index = top.media_type.is_index();
    if !is_index || job.request.lists == Lists::System {
        require_single(job)?;
    }
    match job.request.lists {
        _ if !is_index => decide_single(job, top, present).await,
        Lists::System => decide_chosen(job, top, present).await,
        Lists::All | Lists::IndexOnly => {
            if let Some(there) = present::if_present(job, present, top, &Which::Top).await? {
                return Ok(there);
            }
            let list =
                index::decide_index(job, top.clone(), Which::Top, Scope::Top, Position::Top, 0);
            Ok(Decision::Index(Box::new(list.await?)))
        }
        Lists::Platforms { .. } => {
            let list =
                index::decide_index(job, top.clone(), Which::Top, Scope::Top, Position::Top, 0);
            let list = list.await?;
            match index::if_present(job, &list, present).await? {
                Some(there) => Ok(there),
                None => Ok(Decision::Index(Box::new(list))),
            }
        }
    }
}

/// Decides about the one image that the source's name leads to.
async fn decide_single(
    job: &Job<'_>,
    top: &RawManifest,
    present: Option<&Digest>,
) -> Result<Decision, Error> {
    if let Some(there) = present::if_present(job, present, top, &Which::Top).await? {
        return Ok(there);
    }
    if let Some(there) = present::if_equal(job, top, &Which::Top).await? {
        return Ok(there);
    }
    let image = decide_image(job, job.request, top.clone(), Which::Top, Position::Top).await?;
    Ok(Decision::Image(Box::new(image)))
}

/// Decides about the instance of an index that serves best.
async fn decide_chosen(
    job: &Job<'_>,
    top: &RawManifest,
    present: Option<&Digest>,
) -> Result<Decision, Error> {
    let mut known = present.filter(|_| present::is_trusted_unsigned(job));
    if known.is_some() && !present::has_origin(job, top).await {
        known = None;
    }
    let (digest, manifest) = match index::choose(job, top, known).await? {
        index::Chosen::Image(digest, manifest) => (digest, manifest),
        index::Chosen::Present(digest) => {
            let which = Which::Instance(digest.clone());
            if !present::has_signatures(job, &which).await? {
                return Ok(Decision::Present { digest, manifest: None });
            }
            (digest, admit::fetch(job, &which).await?)
        }
    };
    referrers::say_of_index(job, top).await?;
    let which = Which::Instance(digest);
    if let Some(there) = present::if_equal(job, &manifest, &which).await? {
        return Ok(there);
    }
    let image = decide_image(job, job.request, manifest, which, Position::Top).await;
    let mut image = image.map_err(|error| Error::SystemImage(Box::new(error)))?;
    image.chosen_from = Some(top.clone());
    Ok(Decision::Image(Box::new(image)))
}

/// Refuses what makes no sense where no list is written.
fn require_single(job: &Job<'_>) -> Result<(), PlanError> {
    if let Some(added) = job.request.added.first() {
        return Err(PlanError::Index(IndexError::NothingToAddTo(added.format)));
    }
    if job.request.signatures == SourceSignatures::RemoveOfIndexes {
        return Err(PlanError::Index(IndexError::NoIndexSignatures));
    }
    Ok(())
}

/// Returns the manifest that the source's name leads to; the source may have said which digest it
/// has.
async fn top_of<'a>(job: &'a Job<'_>, head: Option<&Digest>) -> Result<&'a RawManifest, Error> {
    let known = head.and_then(|digest| job.session.indexes().get(digest));
    let manifest = match known {
        Some(list) => list,
        None => admit::fetch(job, &Which::Top).await?,
    };
    let found = admit::digest_of(job, &manifest)?;
    require_expected(job, &found)?;
    Ok(job.top.get_or_init(|| manifest))
}

/// Refuses what is not what was expected.
fn require_expected(job: &Job<'_>, found: &Digest) -> Result<(), Error> {
    match &job.request.expected {
        // By another algorithm it says nothing.
        Some(expected) if expected.algorithm() == found.algorithm() && expected != found => {
            Err(Error::Source(SourceError::Moved {
                name: job.source.name().to_string(),
                expected: expected.clone(),
                found: found.clone(),
            }))
        }
        _ => Ok(()),
    }
}
