//! One of the destinations of a fanout: whether it is still in, and what became of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use skopeo_image::{Digest, ImageManifest, RawManifest, Reference};
use skopeo_transport::{Destination, Error as TransportError};
use tokio::sync::watch;
use tracing::debug;

use crate::error::sentence;
use crate::{Error, Outcome, WriteError};

/// One of the destinations.
pub(super) struct Child {
    pub(super) at: usize,
    pub(super) destination: Box<dyn Destination>,
    /// Whether it would be written to in the same way alone, whatever the image is; otherwise only
    /// if the image stays what it is.
    alike: bool,
    pub(super) fate: watch::Sender<Fate>,
    /// The blobs that are known to be there, with their lengths in bytes.
    pub(super) held: Mutex<HashMap<Digest, u64>>,
    /// What its name leads to.
    pub(super) present: Mutex<Option<Digest>>,
}

pub(super) enum Fate {
    In,
    /// The image is there under its name already; nothing is written.
    Unchanged,
    /// What it wants is not what the others want, or it may do better the next time: it is
    /// copied to alone, when the others are done.
    Apart,
    /// The image takes another form there, in which others may want it too.
    Otherwise,
    Failed(Error),
}

/// What becomes of a destination that is still in.
#[derive(Clone, Copy)]
pub(super) enum Finish {
    Commit,
    CommitReferrers,
    Leave,
}

/// What became of a destination.
pub(super) enum End {
    Done(Outcome),
    Failed(Error),
    /// Neither ended nor failed.
    Open(Box<dyn Destination>),
    /// The same, and the image takes another form there.
    Otherwise(Box<dyn Destination>),
}

/// What became of all destinations of a [`Fanout`], once that has ended.
#[derive(Clone, Default)]
pub(super) struct Ends(pub(super) Arc<Mutex<Vec<(usize, End)>>>);

impl Ends {
    pub(super) fn take(self) -> Vec<(usize, End)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Child {
    pub(super) fn new(at: usize, destination: Box<dyn Destination>, alike: bool) -> Self {
        let fate = watch::Sender::new(Fate::In);
        Self { at, destination, alike, fate, held: Mutex::default(), present: Mutex::default() }
    }

    pub(super) fn is_alike(&self) -> bool {
        self.alike
    }

    /// Takes it out if what is written is not what was read, and it would be in another way alone.
    pub(super) fn see_change(&self) {
        if !self.alike {
            debug!("{} takes the image in another form", self.destination.name());
            self.leave(Fate::Otherwise);
        }
    }

    pub(super) fn is_in(&self) -> bool {
        matches!(*self.fate.borrow(), Fate::In | Fate::Unchanged)
    }

    pub(super) fn is_unchanged(&self) -> bool {
        matches!(*self.fate.borrow(), Fate::Unchanged)
    }

    /// Takes it out, with what else it is doing. Its first fate is its last.
    pub(super) fn leave(&self, fate: Fate) {
        if let Fate::Failed(error) = &fate {
            debug!("writing to {} no more: {}", self.destination.name(), sentence(error));
        }
        self.fate.send_if_modified(|now| {
            let is_first = matches!(now, Fate::In | Fate::Unchanged);
            if is_first {
                *now = fate;
            }
            is_first
        });
    }

    /// Takes it out for what went wrong with a blob. What another try may mend is for another
    /// copy: here the others would have to wait for it.
    pub(super) fn lose(
        &self,
        error: TransportError,
        failed: impl FnOnce(Box<TransportError>) -> Error,
    ) {
        if error.is_transient() && error.tried() <= 1 {
            debug!("{} is copied to alone: {error}", self.destination.name());
            self.leave(Fate::Apart);
        } else {
            self.leave(Fate::Failed(failed(error.into())));
        }
    }

    pub(super) async fn while_in<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut fate = self.fate.subscribe();
        let out = |fate: &Fate| !matches!(fate, Fate::In | Fate::Unchanged);
        tokio::select! {
            biased;
            _ = fate.wait_for(out) => None,
            done = work => Some(done),
        }
    }

    pub(super) fn hold(&self, digest: &Digest, size: u64) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(digest.clone(), size);
    }

    pub(super) fn holds(&self, digest: &Digest) -> Option<u64> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).get(digest).copied()
    }

    pub(super) fn is_present(&self, digest: &Digest) -> bool {
        let present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        present.as_ref() == Some(digest)
    }

    /// Whether schema 1 would have to carry another name for it.
    pub(super) fn embeds_another_name(&self, image: &ImageManifest) -> bool {
        let name = self.destination.accepts().embedded_name.as_deref();
        let name = name.and_then(|name| Reference::parse_normalized(name).ok());
        name.is_some_and(|name| image.embedded_name_conflicts(&name))
    }

    pub(super) async fn end(self, finish: Finish, top: Option<&RawManifest>) -> End {
        let is_unchanged = match self.fate.send_replace(Fate::In) {
            Fate::In => false,
            Fate::Unchanged => true,
            Fate::Apart => return End::Open(self.destination),
            Fate::Otherwise => return End::Otherwise(self.destination),
            Fate::Failed(error) => {
                self.destination.abandon().await;
                return End::Failed(error);
            }
        };
        let (ended, outcome) = match (finish, top) {
            (Finish::Leave, _) => return End::Open(self.destination),
            (Finish::Commit, Some(top)) if !is_unchanged => {
                (self.destination.commit(top).await, Outcome::Written)
            }
            _ => (self.destination.commit_referrers().await, Outcome::Present),
        };
        match ended {
            Ok(()) => End::Done(outcome),
            Err(error) => End::Failed(Error::Write(WriteError::Commit(error.into()))),
        }
    }
}
