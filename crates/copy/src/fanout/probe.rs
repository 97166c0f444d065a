//! What several destinations at once answer.

use std::sync::PoisonError;

use async_trait::async_trait;
use skopeo_image::{Descriptor, Digest, ImageManifest, MediaType, RawManifest};
use skopeo_transport::{
    Accepts, Error as TransportError, ImageName, Probe, PutManifestError, Referrer, Role,
};
use tracing::debug;

use super::Fanout;
use crate::{Error, ReferrersError, WriteError};

/// What each of them has, once.
fn together(places: impl Iterator<Item = String>) -> Option<String> {
    let mut places: Vec<String> = places.collect();
    places.sort_unstable();
    places.dedup();
    (!places.is_empty()).then(|| places.join(" "))
}

#[async_trait]
impl Probe for Fanout {
    fn name(&self) -> &ImageName {
        &self.name
    }

    fn accepts(&self) -> &Accepts {
        &self.accepts
    }

    /// What all of them have.
    async fn present(&self) -> Result<Option<Digest>, TransportError> {
        let mut all: Option<Option<Digest>> = None;
        for (child, present) in self.ask(|child| child.destination.present()).await? {
            let present = present.unwrap_or_else(|error| {
                debug!("asking what is at {}: {error}", child.destination.name());
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

    /// All pools together, so that what one copy brings to all of them is not begun by another.
    fn pool(&self) -> Option<String> {
        together(self.children.iter().filter_map(|child| child.destination.pool()))
    }

    fn shares(&self, role: Role) -> bool {
        self.children.iter().all(|child| child.destination.shares(role))
    }

    fn room(&self) -> Option<String> {
        together(self.children.iter().filter_map(|child| child.destination.room()))
    }

    fn is_remote(&self) -> bool {
        self.children.iter().any(|child| child.destination.is_remote())
    }

    /// What one of them takes; the others are copied to alone.
    fn keeps_manifest(&self, media_type: &MediaType) -> Result<(), PutManifestError> {
        let mut kept = self.children.iter().map(|it| it.destination.keeps_manifest(media_type));
        let first = kept.next().unwrap_or(Ok(()));
        if kept.any(|kept| kept.is_ok()) { Ok(()) } else { first }
    }

    /// What one of them takes; the others are out, since their layers would be refused.
    fn keeps_layers(
        &self,
        image: &ImageManifest,
        layers: &[Descriptor],
    ) -> Result<(), TransportError> {
        for child in self.inside() {
            if let Err(error) = child.destination.keeps_layers(image, layers) {
                child.lose(error, |it| Error::Write(WriteError::Begin(it)));
            }
        }
        self.require_any()
    }

    fn keeps_referrers(&self) -> Result<(), &'static str> {
        self.children.iter().try_for_each(|child| child.destination.keeps_referrers())
    }

    async fn has_referrer(
        &self,
        subject: &Digest,
        referrer: &Referrer,
    ) -> Result<bool, TransportError> {
        let mut all = true;
        for (child, has) in
            self.ask(|child| child.destination.has_referrer(subject, referrer)).await?
        {
            match has {
                Ok(has) => all &= has,
                Err(error) => child.lose(error, |it| Error::Referrers(ReferrersError::Find(it))),
            }
        }
        self.require_any()?;
        Ok(all)
    }

    /// What all of them have.
    async fn has_origin(&self, index: &RawManifest) -> Result<bool, TransportError> {
        let all = self.ask(|child| child.destination.has_origin(index)).await?;
        Ok(all.into_iter().all(|(_, has)| has.unwrap_or(false)))
    }
}
