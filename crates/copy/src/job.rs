//! What the steps of a copy know: its state, and no step.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Mutex, OnceLock};

use skopeo_image::{Digest, RawManifest};
use skopeo_transport::{Destination, Probe, Source};
use skopeo_trust::Policy;

use crate::plan::Surroundings;
use crate::request::Request;
use crate::scheduler::Scheduler;
use crate::session::Session;

/// One image, or one index, that is to be copied: what can be asked about it.
pub(crate) struct Job<'a> {
    pub(crate) session: &'a Session,
    pub(crate) source: &'a dyn Source,
    pub(crate) destination: &'a dyn Probe,
    pub(crate) policy: &'a Policy,
    pub(crate) request: &'a Request,
    pub(crate) scheduler: Scheduler,
    /// The manifest that the source's name leads to, once it was read.
    pub(crate) top: OnceLock<RawManifest>,
    /// How many lists were read.
    pub(crate) lists: AtomicUsize,
    /// How many manifests were asked of the source.
    pub(crate) manifests: AtomicU64,
    pub(crate) referrers: ReferrersSeen,
}

/// What a copy has seen of referrers.
#[derive(Debug, Default)]
pub(crate) struct ReferrersSeen {
    /// How many, repetitions and what was ignored included.
    pub(crate) count: AtomicUsize,
    /// Each once: its own referrers have been seen, too.
    pub(crate) digests: Mutex<HashSet<Digest>>,
}

/// A job that is being done: the door that it writes through.
#[derive(Clone, Copy)]
pub(crate) struct Execution<'a> {
    pub(crate) job: &'a Job<'a>,
    pub(crate) destination: &'a dyn Destination,
}

impl<'a> Job<'a> {
    pub(crate) fn new(
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
            policy,
            request,
            scheduler: session.scheduler(at_once),
            top: OnceLock::new(),
            lists: AtomicUsize::new(0),
            manifests: AtomicU64::new(0),
            referrers: ReferrersSeen::default(),
        }
    }

    /// Returns what a plan must know beside the image itself. The top manifest is read first of all.
    pub(crate) fn around<'b>(&'b self, request: &'b Request) -> Surroundings<'b> {
        Surroundings {
            top: self.top.get().expect("every copy begins with reading it"),
            destination: self.destination.name(),
            accepts: self.destination.accepts(),
            request,
            has_referrers: false,
            layers: None,
        }
    }
}
