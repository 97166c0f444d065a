//! Several destinations as one: what is read once is written to all of them.
//!
//! A [`Fanout`] is a [`Destination`] made of others, so that the pipeline knows nothing of it. The
//! slowest of them sets the pace of a blob; one that fails is left behind, and the others go on.
//! Only such destinations are joined as would be written to in the same way alone: those that want an
//! image in the same form, and those where it can stay what it is. Where it turns out that it does
//! not, the latter leave.

mod all;
mod child;
mod forms;
mod probe;
mod reading;

use std::fmt;
use std::sync::PoisonError;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::{self, BoxFuture};
use skopeo_blob::Blob;
use skopeo_image::{Digest, Manifest, RawManifest, Signature, Which};
use skopeo_transport::{
    Accepts, CommitError, Destination, Error as TransportError, How, ImageName, PutManifestError,
    Referrer, Role, Stored, Wish,
};
use tracing::debug;

use crate::error::sentence;
use crate::{BlobError, Error, WriteError};

pub use all::copy_to_all;

use child::{Child, End, Ends, Fate, Finish};
use forms::{are_alike, common, has_foreign_layers, take_alike};
use reading::ReadManifests;

/// Several destinations that take an image in the same form, or as it is.
pub struct Fanout {
    name: ImageName,
    /// What all of them accept.
    accepts: Accepts,
    seen: ReadManifests,
    children: Vec<Child>,
    ends: Ends,
}

/// A destination with its place among those that the caller has.
type Placed = (usize, Box<dyn Destination>);

impl Fanout {
    /// Sorts destinations into groups that can share a reading whatever the image is: in each group
    /// all would be written to in the same way alone. The numbers are what the caller knows them by.
    #[must_use]
    pub fn groups(destinations: impl IntoIterator<Item = Placed>) -> Vec<Vec<Placed>> {
        let mut groups: Vec<Vec<Placed>> = Vec::new();
        for (at, destination) in destinations {
            let alike = |group: &[Placed]| {
                group.first().is_some_and(|(_, first)| are_alike(&**first, &*destination))
            };
            match groups.iter_mut().find(|group| alike(group)) {
                Some(group) => group.push((at, destination)),
                None => groups.push(vec![(at, destination)]),
            }
        }
        groups
    }

    /// Sorts destinations into groups that can share the reading of an image that stays what it is.
    #[must_use]
    pub fn unchanged_groups(destinations: impl IntoIterator<Item = Placed>) -> Vec<Vec<Placed>> {
        let mut groups: Vec<(Accepts, Vec<Placed>)> = Vec::new();
        for (at, destination) in destinations {
            let found = groups.iter_mut().find_map(|(accepts, group)| {
                Some((common(accepts, destination.accepts())?, accepts, group))
            });
            match found {
                Some((common, accepts, group)) => {
                    *accepts = common;
                    group.push((at, destination));
                }
                None => groups.push((destination.accepts().clone(), vec![(at, destination)])),
            }
        }
        groups.into_iter().map(|(_, group)| group).collect()
    }

    /// One of the [groups](Self::groups) or [unchanged_groups](Self::unchanged_groups), and where what became of each
    /// is said in the end.
    fn new(group: Vec<Placed>, seen: ReadManifests) -> Option<(Self, Ends)> {
        let (_, first) = group.first()?;
        let name = first.name().clone();
        let mut accepts = first.accepts().clone();
        for (_, destination) in &group {
            accepts = common(&accepts, destination.accepts()).unwrap_or(accepts);
        }
        let children = group.into_iter().map(|(at, destination)| {
            let alike = take_alike(&accepts, destination.accepts());
            Child::new(at, destination, alike)
        });
        let children = children.collect();
        let ends = Ends::default();
        Some((Self { name, accepts, seen, children, ends: ends.clone() }, ends))
    }

    /// Whether some of them would be written to in another way alone, if the image changes.
    fn is_mixed(&self) -> bool {
        self.children.iter().any(|child| !child.is_alike())
    }

    fn inside(&self) -> impl Iterator<Item = &Child> {
        self.children.iter().filter(|child| child.is_in())
    }

    fn require_any(&self) -> Result<(), TransportError> {
        self.inside().next().map(drop).ok_or_else(|| CommitError::NoDestinationLeft.into())
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
        if said.is_empty() { Err(CommitError::NoDestinationLeft.into()) } else { Ok(said) }
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
                debug!("{} is copied to alone: {}", child.destination.name(), sentence(&error));
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
        if is_done { Ok(()) } else { Err(CommitError::NoDestinationLeft.into()) }
    }
}

impl fmt::Debug for Fanout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.children.iter().map(|child| child.destination.name())).finish()
    }
}

#[async_trait]
impl Destination for Fanout {
    async fn begin(&self) -> Result<(), TransportError> {
        for (child, begun) in self.ask(|child| child.destination.begin()).await? {
            if let Err(error) = begun {
                child.lose(error, |it| Error::Write(WriteError::Begin(it)));
            }
        }
        self.require_any()
    }

    /// Asks all; those that lack the blob are sent it by [`put_blob`](Self::put_blob).
    async fn reuse(&self, wish: &Wish<'_>) -> Result<Option<Stored>, TransportError> {
        let digest = &wish.blob.digest;
        let mut found: Option<Stored> = None;
        let mut all = true;
        for (child, stored) in self.ask(|child| child.destination.reuse(wish)).await? {
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
                    Error::Blob(BlobError::Reuse { digest, source })
                }),
            }
        }
        self.require_any()?;
        Ok(found.filter(|_| all))
    }

    async fn put_blob(&self, blob: Blob, role: Role) -> Result<Stored, TransportError> {
        let digest = blob.digest().cloned();
        if digest.is_none() {
            // It is packed otherwise on its way.
            self.inside().for_each(Child::see_change);
            self.require_any()?;
        }
        let held = |child: &Child| digest.as_ref().and_then(|digest| child.holds(digest));
        let lacking: Vec<&Child> = self.inside().filter(|child| held(child).is_none()).collect();
        let (blobs, pump) = skopeo_blob::split(blob, lacking.len());
        let sent: Vec<BoxFuture<'_, Option<(&Child, Result<Stored, TransportError>)>>> = lacking
            .into_iter()
            .zip(blobs)
            .map(|(child, blob)| {
                let put = child.destination.put_blob(blob, role);
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
                        child.leave(Fate::Failed(Error::Blob(BlobError::StoredAs {
                            expected,
                            stored,
                        })));
                    }
                }
                Err(error) => {
                    child.lose(error, |source| Error::Blob(BlobError::Write { tried: 1, source }));
                }
            }
        }
        let elsewhere = || {
            let size = self.inside().find_map(held)?;
            Some(Stored { digest: digest.clone()?, size, how: How::Present })
        };
        moved
            .filter(|_| self.inside().next().is_some())
            .or_else(elsewhere)
            .ok_or_else(|| CommitError::NoDestinationLeft.into())
    }

    async fn put_manifest(
        &self,
        manifest: &RawManifest,
        which: &Which,
    ) -> Result<(), PutManifestError> {
        if self.is_mixed() && (!self.seen.has(manifest) || has_foreign_layers(manifest)) {
            self.inside().for_each(Child::see_change);
            self.require_any()?;
        }
        if *which == Which::Top {
            self.pass_over(manifest)?;
        }
        self.put_alike(|child| {
            if *which == Which::Top && child.is_unchanged() {
                return Box::pin(async { Ok(()) });
            }
            child.destination.put_manifest(manifest, which)
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
        for (child, put) in
            self.ask(|child| child.destination.put_signatures(signatures, which)).await?
        {
            if let Err(error) = put {
                child.leave(Fate::Failed(Error::Write(WriteError::Signatures(error.into()))));
            }
        }
        self.require_any()
    }

    async fn put_referrer(
        &self,
        subject: &Digest,
        referrer: &Referrer,
        manifest: &RawManifest,
    ) -> Result<(), PutManifestError> {
        self.put_alike(|child| child.destination.put_referrer(subject, referrer, manifest)).await
    }

    fn set_origin(&self, index: &RawManifest) {
        for child in self.inside() {
            child.destination.set_origin(index);
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
