//! Carrying out what was decided.

use std::time::Duration;

use futures_util::future::{self, Either};
use skopeo_image::{Descriptor, Digest, Links, MediaType, RawManifest, Which};
use skopeo_transport::{Destination, Referrer, ReferrerSearch, Source};
use skopeo_trust::Policy;
use tracing::debug;

use crate::assemble::Written;
use crate::decide::{self, Decided, Decision, ImageDecision, IndexDecision};
use crate::event::{BlobKind, NotCopied};
use crate::item::Item;
use crate::job::{Execution, Job};
use crate::request::Request;
use crate::selection::Referrers;
use crate::session::Session;
use crate::visit::{self, Visitor};
use crate::{
    Error, Event, ImageEvent, IndexEvent, ReferrersEvent, WriteError, admit, commit, plan, transfer,
};

/// How long a copy that is done waits for the answer whether something was left behind.
const LEFT_BEHIND: Duration = Duration::from_millis(500);

/// What a copy did.
#[derive(Clone, Debug)]
pub struct Copied {
    /// The digest of the manifest that the source's name leads to: of the index, where one image
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
    let copied = {
        let job = Job::new(session, source, &*destination, policy, request);
        execute(Execution { job: &job, destination: &*destination }).await
    };
    let committed = match &copied {
        Ok(Copied { outcome: Outcome::Written, manifest: Some(manifest), .. }) => {
            destination.commit(manifest).await
        }
        Ok(copied) => {
            session
                .emit(Event::Image(ImageEvent::AlreadyPresent { digest: copied.digest.clone() }));
            destination.commit_referrers().await
        }
        Err(_) => {
            destination.abandon().await;
            Ok(())
        }
    };
    committed.map_err(|error| Error::Write(WriteError::Commit(error.into())))?;
    copied
}

/// Does all but the last step: nothing has a name yet.
async fn execute(run: Execution<'_>) -> Result<Copied, Error> {
    let job = run.job;
    decide::require_possible(job)?;
    job.prepare_signers().await?;
    let Decided { decision, source, .. } = decide::decide(job).await?;
    let written = match decision {
        Decision::Present { digest, manifest } => {
            visit::present(&run, &digest).await?;
            return Ok(Copied { source, digest, manifest, outcome: Outcome::Present });
        }
        Decision::Image(image) => {
            let chosen_from = image.chosen_from.clone();
            let written = beside(job, run.image(*image)).await;
            match chosen_from {
                None => written?,
                Some(index) => {
                    let written = written.map_err(|it| Error::SystemImage(Box::new(it)))?;
                    tell_of_choice(run, &index);
                    written
                }
            }
        }
        Decision::Index(index) => beside(job, visit::index(&run, *index)).await?,
    };
    let Written { manifest, digest, .. } = written;
    Ok(Copied { source, digest, manifest: Some(manifest), outcome: Outcome::Written })
}

/// Tells that one image of an index was copied.
fn tell_of_choice(run: Execution<'_>, index: &RawManifest) {
    run.destination.set_origin(index);
    let listed = plan::platforms(index);
    if listed > 1 {
        let accepted = &run.destination.accepts().manifests;
        let takes_lists = accepted.is_empty() || accepted.iter().any(MediaType::is_index);
        run.job.session.emit(Event::Index(IndexEvent::OneOfPlatforms { listed, takes_lists }));
    }
}

impl Visitor for Execution<'_> {
    type Written = Written;

    fn job(&self) -> &Job<'_> {
        self.job
    }

    async fn image(&self, image: ImageDecision) -> Result<Written, Error> {
        let (plan, config) = (&image.plan, image.config.as_ref());
        let referrers = visit::referrers(self, &image.digest, image.referrers.clone());
        let transferred = transfer::transfer(*self, plan, config);
        let (transferred, ()) = future::try_join(transferred, referrers).await?;
        let written = commit::write_image(*self, &image, transferred).await?;
        commit::emit_done(self.job, image.digest, &written);
        Ok(written)
    }

    async fn index(
        &self,
        index: &IndexDecision,
        entries: Vec<(usize, Written)>,
    ) -> Result<Written, Error> {
        let written = commit::write_index(*self, index, &entries).await?;
        if !index.plan.left_out.is_empty() {
            self.job.session.emit(Event::Index(IndexEvent::Narrowed {
                from: admit::digest_of(self.job, &index.manifest)?,
                to: written.digest.clone(),
                left_out: index.plan.left_out.clone(),
                removed: index.plan.kept.is_some(),
            }));
        }
        commit::emit_done(self.job, index.digest.clone(), &written);
        Ok(written)
    }

    async fn blob(&self, blob: &Descriptor, kind: BlobKind) -> Result<(), Error> {
        transfer::begin(*self).await?;
        transfer::emit_started(self.job, &blob.digest, blob.size, kind);
        self.transfer(&Item::config(blob)).await.map(drop)
    }

    async fn linked(&self, manifest: &RawManifest, which: &Which) -> Result<(), Error> {
        let put = self.destination.put_manifest(manifest, which).await;
        put.map_err(|error| Error::Write(WriteError::Manifest(error.into())))
    }

    async fn referrer(
        &self,
        subject: &Digest,
        referrer: &Referrer,
        manifest: &RawManifest,
        links: &Links,
    ) -> Result<(), Error> {
        let put = self.destination.put_referrer(subject, referrer, manifest).await;
        put.map_err(|error| Error::Write(WriteError::Manifest(error.into())))?;
        self.job.session.emit(Event::Referrers(ReferrersEvent::Done {
            digest: referrer.blob.digest.clone(),
            subject: subject.clone(),
            artifact_type: links.artifact_type.clone(),
        }));
        Ok(())
    }
}

/// Does `work`, and asks at the same time whether the image has referrers that are left behind, if
/// that is to be mentioned. The copy does not depend on the answer, and does not wait for it.
async fn beside<T>(
    job: &Job<'_>,
    work: impl Future<Output = Result<T, Error>> + Send,
) -> Result<T, Error> {
    if job.request.referrers != Referrers::Mention {
        return work.await;
    }
    let top = job.top.get().and_then(|top| top.digest().ok());
    let Some(digest) = top else { return work.await };
    let asked = job.source.referrers(&digest, ReferrerSearch::Any);
    let (done, found) = match future::select(Box::pin(work), asked).await {
        Either::Left((done, asked)) => {
            let waited = tokio::time::timeout(LEFT_BEHIND, asked);
            let found = if done.is_ok() { waited.await.ok() } else { None };
            (done, found)
        }
        Either::Right((found, work)) => (work.await, Some(found)),
    };
    match found {
        Some(Ok(Some(found))) if done.is_ok() && !found.is_empty() => {
            job.session.emit(Event::Referrers(ReferrersEvent::NotCopied {
                digest,
                found,
                why: NotCopied::NotAsked,
            }));
        }
        Some(Err(error)) => debug!("asking for referrers of {digest}: {error}"),
        _ => {}
    }
    done
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
