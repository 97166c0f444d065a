//! Several destinations as one: what is read once is written to all of them.
//!
//! A [`Tee`] is a [`Destination`] made of others, so that the pipeline knows nothing of it. The
//! slowest of them sets the pace of a blob; one that fails is left behind, and the others go on.
//! Only such destinations are joined as would be written to in the same way alone.

mod child;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::{self, BoxFuture};
use skopeo_blob::Blob;
use skopeo_image::{Digest, Manifest, RawManifest, Signature, Which};
use skopeo_transport::{
    Accepts, Destination, Error as TransportError, How, ImageName, PutManifestError, Referrer,
    Role, Source, Stored, Wish,
};
use skopeo_trust::Policy;
use tracing::debug;

use crate::error::sentence;
use crate::{Copied, Error, Request, Session, copy};

use child::{Child, End, Ends, Fate, Finish};

/// Copies what `source` names to all of the destinations, and says of each, in their order, what
/// became of it. What can be written to several of them alike is read once; where they differ (an
/// OCI layout beside a registry, a manifest that one of them refuses) it is read again. A failure
/// of one destination is that one's; a failure of the source is everybody's, and so shared.
pub async fn copy_to_all(
    session: &Session,
    source: &dyn Source,
    destinations: Vec<Box<dyn Destination>>,
    policy: &Policy,
    request: &Request,
) -> Vec<Result<Copied, Error>> {
    let mut results = Vec::with_capacity(destinations.len());
    let alone = |door| async {
        let copied: BoxFuture<'_, _> = Box::pin(copy(session, source, door, policy, request));
        copied.await
    };
    // Each signs under its own name, so that what is written differs.
    let apart = request.signing.is_asked() && request.signing.identity.is_none();
    let groups = match apart {
        true => destinations.into_iter().enumerate().map(|placed| vec![placed]).collect(),
        false => Tee::groups(destinations),
    };
    for group in groups {
        let group = match <[_; 1]>::try_from(group) {
            Ok([(at, door)]) => {
                results.push((at, alone(door).await));
                continue;
            }
            Err(group) => group,
        };
        let Some((tee, ends)) = Tee::new(group) else { continue };
        let copied: BoxFuture<'_, _> =
            Box::pin(copy(session, source, Box::new(tee), policy, request));
        let copied = copied.await.map_err(Arc::new);
        for (at, end) in ends.take() {
            let result = match (end, &copied) {
                (End::Failed(error), _) => Err(error),
                (End::Done(outcome), Ok(copied)) => Ok(Copied { outcome, ..copied.clone() }),
                (End::Open(door), Err(error)) if !is_own(error) => {
                    door.abandon().await;
                    Err(Error::Shared(Arc::clone(error)))
                }
                (End::Open(door), _) => alone(door).await,
                (End::Done(_), Err(error)) => Err(Error::Shared(Arc::clone(error))),
            };
            results.push((at, result));
        }
    }
    results.sort_unstable_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Whether a failure of several destinations together says nothing about one of them alone.
fn is_own(error: &Error) -> bool {
    match error {
        Error::SystemImage(source)
        | Error::OfList { source, .. }
        | Error::Replicating { source, .. }
        | Error::Referrer { source, .. } => is_own(source),
        Error::Plan(_) | Error::NoType { .. } | Error::NoListType { .. } => true,
        Error::Reuse { source, .. } | Error::WriteBlob { source, .. } => is_none_left(source),
        Error::WriteSignatures(source) | Error::FindReferrer(source) | Error::Commit(source) => {
            is_none_left(source)
        }
        Error::WriteManifest(source) => match &**source {
            PutManifestError::TypeRejected { .. } => true,
            PutManifestError::Other(source) => is_none_left(source),
        },
        _ => false,
    }
}

fn is_none_left(error: &TransportError) -> bool {
    matches!(error, TransportError::NoDestinationLeft)
}

/// Several destinations that take an image in the same form.
pub struct Tee {
    name: ImageName,
    accepts: Accepts,
    children: Vec<Child>,
    ends: Ends,
}

/// A destination with its place among those that the caller has.
type Placed = (usize, Box<dyn Destination>);

impl Tee {
    /// Sorts destinations into groups that can share a reading: in each group all would be written
    /// to in the same way alone. The numbers are their places in `destinations`.
    #[must_use]
    pub fn groups(destinations: Vec<Box<dyn Destination>>) -> Vec<Vec<Placed>> {
        let mut groups: Vec<Vec<Placed>> = Vec::new();
        for (at, door) in destinations.into_iter().enumerate() {
            let alike = |group: &[Placed]| {
                group.first().is_some_and(|(_, first)| are_alike(&**first, &*door))
            };
            match groups.iter_mut().find(|group| alike(group)) {
                Some(group) => group.push((at, door)),
                None => groups.push(vec![(at, door)]),
            }
        }
        groups
    }

    /// One of the [groups](Self::groups), and where what became of each is said in the end.
    fn new(group: Vec<Placed>) -> Option<(Self, Ends)> {
        let (_, first) = group.first()?;
        let mut accepts = first.accepts().clone();
        let concurrency = group.iter().map(|(_, door)| door.accepts().concurrency);
        accepts.concurrency = concurrency.min().unwrap_or(NonZeroUsize::MIN);
        let name = first.name().clone();
        let children = group.into_iter().map(|(at, door)| Child::new(at, door)).collect();
        let ends = Ends::default();
        Some((Self { name, accepts, children, ends: ends.clone() }, ends))
    }

    fn inside(&self) -> impl Iterator<Item = &Child> {
        self.children.iter().filter(|child| child.is_in())
    }

    fn require_any(&self) -> Result<(), TransportError> {
        self.inside().next().map(drop).ok_or(TransportError::NoDestinationLeft)
    }

    /// What all that are still in say to something; one that goes out meanwhile says nothing.
    async fn ask<'a, T: Send>(
        &'a self,
        question: impl Fn(&'a Child) -> BoxFuture<'a, T>,
    ) -> Result<Vec<(&'a Child, T)>, TransportError> {
        let asked: Vec<BoxFuture<'_, _>> = self
            .inside()
            .map(|child| {
                let answer = question(child);
                async move { Some((child, child.while_in(answer).await?)) }.boxed()
            })
            .collect();
        let said: Vec<_> = future::join_all(asked).await.into_iter().flatten().collect();
        if said.is_empty() { Err(TransportError::NoDestinationLeft) } else { Ok(said) }
    }

    /// Writes a manifest to all. One that does not take what another takes is copied to alone: it
    /// may take another type, and if not, it says why. Only what all refuse is refused.
    async fn put_alike<'a>(
        &'a self,
        put: impl Fn(&'a Child) -> BoxFuture<'a, Result<(), PutManifestError>>,
    ) -> Result<(), PutManifestError> {
        let mut said = self.ask(put).await?;
        let is_refusal = |(_, put): &(_, Result<_, _>)| {
            matches!(put, Err(PutManifestError::TypeRejected { .. }))
        };
        if said.iter().all(is_refusal) {
            return said.swap_remove(0).1;
        }
        for (child, put) in said {
            if let Err(error) = put {
                debug!("{} is copied to alone: {}", child.door.name(), sentence(&error));
                child.leave(Fate::Apart);
            }
        }
        Ok(self.require_any()?)
    }

    /// Marks those to which the manifest that gets the name need not be written, or must not.
    fn pass_over(&self, manifest: &RawManifest) -> Result<(), TransportError> {
        let digest = manifest.digest()?;
        for child in self.inside().filter(|child| child.is_present(&digest)) {
            child.leave(Fate::Unchanged);
        }
        if !manifest.media_type.is_schema1() {
            return Ok(());
        }
        let Manifest::Image(image) = manifest.parse()? else { return Ok(()) };
        for child in self.inside().filter(|child| child.embeds_another_name(&image)) {
            child.leave(Fate::Apart);
        }
        self.require_any()
    }

    /// The end of those that are in, by `finish`, and of those that are out, by their fate.
    async fn end(self, finish: Finish, top: Option<&RawManifest>) -> Result<(), TransportError> {
        let work: Vec<BoxFuture<'_, _>> = self
            .children
            .into_iter()
            .map(|child| async move { (child.at, child.end(finish, top).await) }.boxed())
            .collect();
        let ended = future::join_all(work).await;
        let is_done = ended.iter().any(|(_, end)| matches!(end, End::Done(_)));
        self.ends.0.lock().unwrap_or_else(PoisonError::into_inner).extend(ended);
        if is_done { Ok(()) } else { Err(TransportError::NoDestinationLeft) }
    }
}

impl fmt::Debug for Tee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.children.iter().map(|child| child.door.name())).finish()
    }
}

fn together(places: impl Iterator<Item = String>) -> Option<String> {
    let mut places: Vec<String> = places.collect();
    places.sort_unstable();
    places.dedup();
    (!places.is_empty()).then(|| places.join(" "))
}

/// Whether two destinations would be written to in the same way.
fn are_alike(one: &dyn Destination, other: &dyn Destination) -> bool {
    // The name that schema 1 embeds is looked at when there is such a manifest.
    let Accepts { manifests, layers, signatures, foreign_layers, digest, .. } = one.accepts();
    let accepts = other.accepts();
    *manifests == accepts.manifests
        && *layers == accepts.layers
        && signatures.is_ok() == accepts.signatures.is_ok()
        && *foreign_layers == accepts.foreign_layers
        && *digest == accepts.digest
        && one.keeps_referrers().is_ok() == other.keeps_referrers().is_ok()
}

#[async_trait]
impl Destination for Tee {
    fn name(&self) -> &ImageName {
        &self.name
    }

    fn accepts(&self) -> &Accepts {
        &self.accepts
    }

    /// What all of them have.
    async fn present(&self) -> Result<Option<Digest>, TransportError> {
        let mut all: Option<Option<Digest>> = None;
        for (child, present) in self.ask(|child| child.door.present()).await? {
            let present = present.unwrap_or_else(|error| {
                debug!("asking what is at {}: {error}", child.door.name());
                None
            });
            child.present.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&present);
            all = match all {
                None => Some(present),
                Some(before) => Some(before.filter(|before| present.as_ref() == Some(before))),
            };
        }
        Ok(all.flatten())
    }

    async fn begin(&self) -> Result<(), TransportError> {
        for (child, begun) in self.ask(|child| child.door.begin()).await? {
            if let Err(error) = begun {
                child.lose(error, Error::Begin);
            }
        }
        self.require_any()
    }

    /// Asks all; those that lack the blob are sent it by [`put_blob`](Self::put_blob).
    async fn reuse(&self, wish: &Wish<'_>) -> Result<Option<Stored>, TransportError> {
        let digest = &wish.blob.digest;
        let mut found: Option<Stored> = None;
        let mut all = true;
        for (child, stored) in self.ask(|child| child.door.reuse(wish)).await? {
            match stored {
                Ok(Some(stored)) if stored.digest == *digest => {
                    child.hold(digest, stored.size);
                    // What had to be mounted anywhere was no mere presence.
                    let mounted = found.as_ref().is_some_and(|before| before.how != How::Present);
                    let how = if mounted { How::Mounted } else { stored.how };
                    found = Some(Stored { how, ..stored });
                }
                Ok(_) => all = false,
                Err(error) => child.lose(error, |source| {
                    let digest = digest.clone();
                    Error::Reuse { digest, source }
                }),
            }
        }
        self.require_any()?;
        Ok(found.filter(|_| all))
    }

    /// All pools together, so that what one copy brings to all of them is not begun by another.
    fn pool(&self) -> Option<String> {
        together(self.children.iter().filter_map(|child| child.door.pool()))
    }

    fn room(&self) -> Option<String> {
        together(self.children.iter().filter_map(|child| child.door.room()))
    }

    fn is_remote(&self) -> bool {
        self.children.iter().any(|child| child.door.is_remote())
    }

    async fn put_blob(&self, blob: Blob, role: Role) -> Result<Stored, TransportError> {
        let digest = blob.digest().cloned();
        let held = |child: &Child| digest.as_ref().and_then(|digest| child.holds(digest));
        let lacking: Vec<&Child> = self.inside().filter(|child| held(child).is_none()).collect();
        let (blobs, pump) = skopeo_blob::split(blob, lacking.len());
        let sent: Vec<BoxFuture<'_, Option<(&Child, Result<Stored, TransportError>)>>> = lacking
            .into_iter()
            .zip(blobs)
            .map(|(child, blob)| {
                let put = child.door.put_blob(blob, role);
                let put = async move { Some((child, child.while_in(put).await?)) };
                put.boxed()
            })
            .collect();
        let (sent, broken) = pump.feed(future::join_all(sent)).await;
        if let Some(broken) = broken {
            // Nobody's fault here. All that lack it get it the next time.
            return Err(broken.into());
        }
        let mut expected = digest.clone();
        let mut moved = None;
        for (child, sent) in sent.into_iter().flatten() {
            match sent {
                Ok(stored) => {
                    let expected = expected.get_or_insert_with(|| stored.digest.clone());
                    if *expected == stored.digest {
                        child.hold(&stored.digest, stored.size);
                        moved = Some(stored);
                    } else {
                        let expected = expected.clone();
                        let stored = stored.digest;
                        child.leave(Fate::Failed(Error::Stored { expected, stored }));
                    }
                }
                Err(error) => child.lose(error, |source| Error::WriteBlob { tried: 1, source }),
            }
        }
        let elsewhere = || {
            let size = self.inside().find_map(held)?;
            Some(Stored { digest: digest.clone()?, size, how: How::Present })
        };
        moved
            .filter(|_| self.inside().next().is_some())
            .or_else(elsewhere)
            .ok_or(TransportError::NoDestinationLeft)
    }

    async fn put_manifest(
        &self,
        manifest: &RawManifest,
        which: &Which,
    ) -> Result<(), PutManifestError> {
        if *which == Which::Top {
            self.pass_over(manifest)?;
        }
        self.put_alike(|child| {
            if *which == Which::Top && child.is_unchanged() {
                return Box::pin(async { Ok(()) });
            }
            child.door.put_manifest(manifest, which)
        })
        .await
    }

    async fn put_signatures(
        &self,
        signatures: &[Signature],
        which: &Which,
    ) -> Result<(), TransportError> {
        let unchanged = self.inside().filter(|child| child.is_unchanged() && *which == Which::Top);
        for child in unchanged {
            // They are stored beside a manifest that has been put.
            child.leave(Fate::Apart);
        }
        for (child, put) in self.ask(|child| child.door.put_signatures(signatures, which)).await? {
            if let Err(error) = put {
                child.leave(Fate::Failed(Error::WriteSignatures(error.into())));
            }
        }
        self.require_any()
    }

    fn keeps_referrers(&self) -> Result<(), &'static str> {
        self.children.first().map_or(Ok(()), |first| first.door.keeps_referrers())
    }

    async fn has_referrer(
        &self,
        subject: &Digest,
        referrer: &Referrer,
    ) -> Result<bool, TransportError> {
        let mut all = true;
        for (child, has) in self.ask(|child| child.door.has_referrer(subject, referrer)).await? {
            match has {
                Ok(has) => all &= has,
                Err(error) => child.lose(error, Error::FindReferrer),
            }
        }
        self.require_any()?;
        Ok(all)
    }

    async fn put_referrer(
        &self,
        subject: &Digest,
        referrer: &Referrer,
        manifest: &RawManifest,
    ) -> Result<(), PutManifestError> {
        self.put_alike(|child| child.door.put_referrer(subject, referrer, manifest)).await
    }

    /// What all of them have.
    async fn has_origin(&self, list: &RawManifest) -> Result<bool, TransportError> {
        let all = self.ask(|child| child.door.has_origin(list)).await?;
        Ok(all.into_iter().all(|(_, has)| has.unwrap_or(false)))
    }

    fn tell_origin(&self, list: &RawManifest) {
        for child in self.inside() {
            child.door.tell_origin(list);
        }
    }

    /// Goes well if it does for any.
    async fn commit(self: Box<Self>, top: &RawManifest) -> Result<(), TransportError> {
        self.end(Finish::Commit, Some(top)).await
    }

    async fn commit_referrers(self: Box<Self>) -> Result<(), TransportError> {
        self.end(Finish::CommitReferrers, None).await
    }

    async fn abandon(self: Box<Self>) {
        // Those that are in are given back: whose failure it is, is not known here.
        let _ = self.end(Finish::Leave, None).await;
    }
}
