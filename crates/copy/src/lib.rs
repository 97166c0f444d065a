//! Moving images: one pipeline for every copy.
//!
//! Knows the doors of `transport`, the policy of `trust`, the steps of `blob`. Must not know which
//! transport a name belongs to, nor terminals: who watches gets [`Event`]s.
//!
//! [`copy`] is five calls, each in a file of its name:
//!
//! - `admit`: fetch the manifest, check its digest, ask the policy
//! - `plan`: decide everything that can be decided before a byte moves; pure
//! - `transfer`: bring the blobs, a few at a time, each once
//! - `assemble`: make the manifest to write; pure
//! - `commit`: config, manifest, signatures, and the name last
//!
//! `referrers` brings what hangs on an image, before the image gets its name.
//!
//! `single` strings them together for one image, `list` for many; `tee` reads once for several
//! destinations.
//!
//! # Example
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use skopeo_copy::{Request, Session, copy};
//! use skopeo_image::Platform;
//! use skopeo_transport::{Connections, ImageName, Options, create, open};
//! use skopeo_trust::Policy;
//!
//! # let folder = tempfile::tempdir()?;
//! # let environment = skopeo_config::Environment::fixed(
//! #     [("PATH", "/usr/bin")], folder.path().join("home"), 1000, folder.path(),
//! # );
//! # let config = skopeo_config::Config::with_environment(Default::default(), environment);
//! # let options = Options::new(std::sync::Arc::new(config), Connections::new());
//! # let layout = folder.path().join("layout");
//! # let image = skopeo_testkit::Image::new(1);
//! # image.write_oci(&layout, Some("busybox:1"));
//! # let layout = layout.display();
//! # let folder = folder.path().join("copy");
//! # let folder = folder.display();
//! let source = open(&ImageName::parse(&format!("oci:{layout}:busybox:1"))?, &options).await?;
//! let destination = create(&ImageName::parse(&format!("dir:{folder}"))?, &options).await?;
//! let session = Session::new(Arc::new(|event| println!("{event:?}")));
//! let request = Request::new(Platform::host());
//! let copied = copy(&session, &*source, destination, &Policy::insecure(), &request).await?;
//! assert_eq!(copied.digest, image.digest());
//! # Ok(())
//! # }
//! ```

// What others wrote must not end the program.
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

mod admit;
mod assemble;
mod commit;
mod error;
mod event;
mod known;
mod known_lists;
mod list;
pub mod plan;
mod price;
mod referrers;
mod request;
mod retry;
mod selection;
mod session;
mod sign;
mod single;
pub mod tee;
mod transfer;
mod turns;

#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::sync::atomic::AtomicUsize;

use skopeo_image::{Digest, MediaType, RawManifest, Which};
use skopeo_transport::{Destination, Head, LayerForm, Probe, Source};
use skopeo_trust::Policy;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tracing::debug;

pub use admit::read_signatures;
pub use error::{Error, classified, is_transient, sentence};
pub use event::{BlobKind, Event};
pub use known_lists::KnownLists;
pub use price::{Amount, Book, Change, Price, price};
pub use referrers::Left;
pub use request::{
    CompressTo, Digests, Encryption, Format, InvalidLevel, Lists, OtherFormats, Others, Request,
    SourceSignatures,
};
pub use retry::{Retry, retry};
pub use selection::{Referrers, Selection, UnknownKind};
pub use session::{Limits, Patience, Rates, Session};
pub use sign::Signing;

use commit::{Place, Written};
use plan::{PlanError, Surroundings};
use transfer::Once;

/// What a copy came to.
#[derive(Clone, Debug)]
pub struct Copied {
    /// The digest of the manifest that the source's name leads to: of the list, where one image
    /// was chosen from it.
    pub source: Digest,
    /// The digest of the manifest that the destination's name leads to now.
    pub digest: Digest,
    /// That manifest; `None` where it was there already and nobody had to read it.
    pub manifest: Option<RawManifest>,
    /// Whether anything had to be done.
    pub outcome: Outcome,
}

/// Whether a copy had to do anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The image was written.
    Written,
    /// The destination had the very image already.
    Present,
}

/// Copies what `source` names to `destination`, if `policy` lets it in.
///
/// Dropping the future stops the copy; nothing carries the destination's name then that did not
/// before.
///
/// # Errors
/// Whatever goes wrong first. The other work is stopped, and the destination asked to forget it.
pub async fn copy(
    session: &Session,
    source: &dyn Source,
    destination: Box<dyn Destination>,
    policy: &Policy,
    request: &Request,
) -> Result<Copied, Error> {
    let (result, top) = {
        let job = Job::new(session, source, &*destination, policy, request);
        let job = Job { writer: Some(&*destination), ..job };
        let result = job.run().await;
        (result, job.top.into_inner())
    };
    let named = |digest: &Digest| {
        let top = top.as_ref().and_then(|top| top.digest().ok());
        top.unwrap_or_else(|| digest.clone())
    };
    match result {
        Ok(End::Present { digest, manifest }) => {
            session.tell(Event::AlreadyPresent { digest: digest.clone() });
            destination.commit_referrers().await.map_err(|error| Error::Commit(error.into()))?;
            let source = named(&digest);
            Ok(Copied { source, digest, manifest, outcome: Outcome::Present })
        }
        Ok(End::Written(Written { manifest, digest, .. })) => {
            destination.commit(&manifest).await.map_err(|error| Error::Commit(error.into()))?;
            let source = named(&digest);
            let manifest = Some(manifest);
            Ok(Copied { source, digest, manifest, outcome: Outcome::Written })
        }
        Err(error) => {
            destination.abandon().await;
            Err(error)
        }
    }
}

/// How the work of a copy ended.
enum End {
    Written(Written),
    Present { digest: Digest, manifest: Option<RawManifest> },
}

/// One call of [`copy`]: what all its steps need.
struct Job<'a> {
    session: &'a Session,
    source: &'a dyn Source,
    destination: &'a dyn Probe,
    /// The same, where it is written to.
    writer: Option<&'a dyn Destination>,
    policy: &'a Policy,
    request: &'a Request,
    /// How many blobs, and how many images, are under way at once.
    at_once: usize,
    permits: Semaphore,
    /// What this image holds of the run's images under way, once its blobs move.
    slot: OnceCell<Option<OwnedSemaphorePermit>>,
    /// Questions for blobs in flight; they are small, and their answers decide what moves.
    checks: Semaphore,
    once: Once,
    /// What has been seen hanging on the image.
    seen: referrers::Seen,
    top: std::sync::OnceLock<RawManifest>,
    /// How many lists were read.
    lists: AtomicUsize,
}

impl<'a> Job<'a> {
    fn new(
        session: &'a Session,
        source: &'a dyn Source,
        destination: &'a dyn Probe,
        policy: &'a Policy,
        request: &'a Request,
    ) -> Self {
        let limits = [source.concurrency(), destination.accepts().concurrency, request.parallel];
        let at_once = limits.into_iter().map(NonZeroUsize::get).min().unwrap_or(1);
        Self {
            session,
            source,
            destination,
            writer: None,
            policy,
            request,
            at_once,
            permits: Semaphore::new(at_once),
            slot: OnceCell::new(),
            checks: Semaphore::new(at_once.saturating_mul(2)),
            once: Once::default(),
            seen: referrers::Seen::default(),
            top: std::sync::OnceLock::new(),
            lists: AtomicUsize::new(0),
        }
    }

    /// The door that is written through; what is only priced has none.
    fn writer(&self) -> &dyn Destination {
        self.writer.expect("nothing is written where it is only asked")
    }

    async fn run(&self) -> Result<End, Error> {
        referrers::require_place(self)?;
        self.require_signable()?;
        self.prepare_signers().await?;
        let end = self.run_image().await?;
        if let End::Present { digest, .. } = &end {
            referrers::complete(self, digest).await?;
        }
        Ok(end)
    }

    async fn run_image(&self) -> Result<End, Error> {
        let (present, top) = match self.request.lists {
            _ if self.request.heads_first => {
                let (present, head) =
                    futures_util::future::join(self.present(), self.source.head()).await;
                if let Ok(Some(head)) = &head {
                    self.require_expected(&head.digest)?;
                }
                if let (Some(digest), Ok(Some(head))) = (&present, &head)
                    && self.is_same(digest, head)
                    && self.is_trusted_unsigned()
                    && !self.has_signatures(&Which::Top).await?
                {
                    return Ok(End::Present { digest: digest.clone(), manifest: None });
                }
                let head = head.ok().flatten();
                (present, self.top_of(head.as_ref().map(|head| &head.digest)).await)
            }
            // Only the manifest tells which of its instances are wanted. Neither question needs
            // the other's answer.
            Lists::System | Lists::Platforms { .. } => {
                futures_util::future::join(self.present(), self.top()).await
            }
            Lists::All | Lists::IndexOnly => {
                let present = self.present().await;
                if let Some(digest) = present.clone().filter(|_| self.is_trusted_unsigned())
                    && let Ok(Some(head)) = self.source.head().await
                    && head.digest == digest
                    && !self.has_signatures(&Which::Top).await?
                {
                    return Ok(End::Present { digest, manifest: None });
                }
                (present, self.top().await)
            }
        };
        let top = top?;
        if !top.media_type.is_list() || self.request.lists == Lists::System {
            self.require_single()?;
        }
        if !top.media_type.is_list() {
            if let Some(end) = self.if_present(present.as_ref(), top, &Which::Top).await? {
                return Ok(end);
            }
            if let Some(end) = self.if_equal(top, &Which::Top).await? {
                return Ok(end);
            }
            let copied =
                single::copy_image(self, self.request, top.clone(), &Which::Top, &Place::Top);
            return Ok(End::Written(referrers::beside(self, top, copied).await?));
        }
        match self.request.lists {
            Lists::System => self.copy_chosen(top, present.as_ref()).await,
            Lists::All | Lists::IndexOnly => {
                match self.if_present(present.as_ref(), top, &Which::Top).await? {
                    Some(end) => Ok(end),
                    None => list::copy_top(self, top.clone(), None).await,
                }
            }
            Lists::Platforms { .. } => list::copy_top(self, top.clone(), present.as_ref()).await,
        }
    }

    /// Copies the instance of a list that serves best.
    async fn copy_chosen(
        &self,
        list: &RawManifest,
        present: Option<&Digest>,
    ) -> Result<End, Error> {
        let mut known = present.filter(|_| self.is_trusted_unsigned());
        if known.is_some() && !self.has_origin(list).await {
            known = None;
        }
        let (digest, manifest) = match list::choose(self, list, known).await? {
            list::Chosen::Image(digest, manifest) => (digest, manifest),
            list::Chosen::Present(digest) => {
                let which = Which::Instance(digest.clone());
                if !self.has_signatures(&which).await? {
                    return Ok(End::Present { digest, manifest: None });
                }
                (digest, admit::fetch(self, &which).await?)
            }
        };
        referrers::say_of_list(self, list).await?;
        let which = Which::Instance(digest);
        if let Some(end) = self.if_equal(&manifest, &which).await? {
            return Ok(end);
        }
        let copied = single::copy_image(self, self.request, manifest, &which, &Place::Top);
        let copied = referrers::beside(self, list, copied).await;
        let written = copied.map_err(|error| Error::SystemImage(Box::new(error)))?;
        self.writer().tell_origin(list);
        let listed = plan::platforms(list);
        if listed > 1 {
            let accepted = &self.destination.accepts().manifests;
            let takes_lists = accepted.is_empty() || accepted.iter().any(MediaType::is_list);
            self.session.tell(Event::OneOfPlatforms { listed, takes_lists });
        }
        Ok(End::Written(written))
    }

    /// Whether what the destination wants of the list, too, is there.
    async fn has_origin(&self, list: &RawManifest) -> bool {
        self.destination.has_origin(list).await.unwrap_or_else(|error| {
            debug!("asking what is at the destination: {error}");
            false
        })
    }

    /// Refuses what makes no sense where no list is written.
    fn require_single(&self) -> Result<(), PlanError> {
        if let Some(added) = self.request.added.first() {
            return Err(PlanError::NothingToAddTo(added.format));
        }
        if self.request.signatures == SourceSignatures::RemoveOfLists {
            return Err(PlanError::NoListSignatures);
        }
        Ok(())
    }

    /// The manifest that the source's name leads to.
    async fn top(&self) -> Result<&RawManifest, Error> {
        self.top_of(None).await
    }

    /// The same, where the source may have said which digest it has.
    async fn top_of(&self, head: Option<&Digest>) -> Result<&RawManifest, Error> {
        let known = head.and_then(|digest| self.session.lists().get(digest));
        let manifest = match known {
            Some(list) => list,
            None => admit::fetch(self, &Which::Top).await?,
        };
        let found = commit::digest_of(self, &manifest)?;
        self.require_expected(&found)?;
        Ok(self.top.get_or_init(|| manifest))
    }

    /// Refuses what is not what was expected.
    fn require_expected(&self, found: &Digest) -> Result<(), Error> {
        match &self.request.expected {
            // By another algorithm it says nothing.
            Some(expected) if expected.algorithm() == found.algorithm() && expected != found => {
                Err(Error::Moved {
                    name: self.source.name().to_string(),
                    expected: expected.clone(),
                    found: found.clone(),
                })
            }
            _ => Ok(()),
        }
    }

    /// What the destination's name leads to, if the same there could mean that nothing is to do.
    async fn present(&self) -> Option<Digest> {
        if !self.may_be_same() {
            return None;
        }
        self.there().await
    }

    /// Whether what is written can be what is read.
    fn may_be_same(&self) -> bool {
        !self.request.signing.is_asked()
            && self.request.format.is_none()
            && self.request.compression.is_none()
            && self.request.added.is_empty()
            && self.request.encryption.is_none()
            && self.destination.accepts().layers != LayerForm::Uncompressed
    }

    /// What the destination's name leads to, as far as that is cheap to know.
    async fn there(&self) -> Option<Digest> {
        self.destination.present().await.unwrap_or_else(|error| {
            debug!("asking what is at the destination: {error}");
            None
        })
    }

    /// Whether what the source's head says means that all of it is under that digest already.
    fn is_same(&self, present: &Digest, head: &Head) -> bool {
        let whole = match self.request.lists {
            Lists::All | Lists::IndexOnly => true,
            Lists::System => head.is_single(),
            // Only the manifest tells what a single image is for.
            Lists::Platforms { .. } => false,
        };
        whole && head.digest == *present
    }

    /// The end of a copy whose image is there already: only if the policy wants no signature, and
    /// there is none that might be missing there.
    async fn if_present(
        &self,
        present: Option<&Digest>,
        manifest: &RawManifest,
        which: &Which,
    ) -> Result<Option<End>, Error> {
        let Some(digest) = present else { return Ok(None) };
        let is_there = manifest.has_digest(digest).unwrap_or(false) && self.is_trusted_unsigned();
        if !is_there || self.has_signatures(which).await? {
            return Ok(None);
        }
        Ok(Some(End::Present { digest: digest.clone(), manifest: Some(manifest.clone()) }))
    }

    /// Waits until this image is one of those that may be under way at once.
    async fn begin(&self) {
        self.slot.get_or_init(|| self.session.image()).await;
    }

    /// The same where images have another form at the destination, with manifests of their own.
    async fn if_equal(&self, manifest: &RawManifest, which: &Which) -> Result<Option<End>, Error> {
        let may_be = !self.request.signing.is_asked()
            && self.request.format.is_none()
            && self.request.compression.is_none()
            && self.request.encryption.is_none()
            && self.is_trusted_unsigned();
        if !may_be {
            return Ok(None);
        }
        let equal = self.destination.equals(manifest).await.unwrap_or_else(|error| {
            debug!("asking what is at the destination: {error}");
            None
        });
        let Some(digest) = equal else { return Ok(None) };
        if self.has_signatures(which).await? {
            return Ok(None);
        }
        Ok(Some(End::Present { digest, manifest: None }))
    }

    fn is_trusted_unsigned(&self) -> bool {
        self.policy.accepts_unsigned(&self.source.name().policy_scope())
    }

    /// Whether there are signatures that are to be copied.
    async fn has_signatures(&self, which: &Which) -> Result<bool, Error> {
        if self.request.signatures == SourceSignatures::Remove {
            return Ok(false);
        }
        let signatures = self
            .source
            .signatures(which)
            .await
            .map_err(|error| Error::ReadSignatures(error.into()))?;
        Ok(!signatures.is_empty())
    }

    /// What a plan must know beside the image itself. The top manifest is read first of all.
    fn around<'b>(&'b self, request: &'b Request) -> Surroundings<'b> {
        Surroundings {
            top: self.top.get().expect("every copy begins with reading it"),
            destination: self.destination.name(),
            accepts: self.destination.accepts(),
            request,
            hanging: false,
            layers: None,
        }
    }
}

const _: () = {
    /// A copy may run on any thread: this compiles only if its future is `Send`.
    fn is_send(
        session: &Session,
        source: &dyn Source,
        destination: Box<dyn Destination>,
        policy: &Policy,
        request: &Request,
    ) {
        fn require_send(_: impl Send) {}
        require_send(copy(session, source, destination, policy, request));
    }
    let _ = is_send;
};
