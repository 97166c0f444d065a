//! What is asked of a run.

use std::num::NonZeroUsize;
use std::sync::Arc;

use skopeo_copy::{Request, Retry};
use skopeo_transport::Options;
use skopeo_trust::Policy;

use crate::cache::CacheFile;
use crate::discover::Selection;
use crate::immutable::Immutable;
use crate::plan::PlanFile;
use crate::prune::rules::Rules;
use crate::report::Recorded;
use crate::resume::Resume;

/// What is asked of a run.
#[derive(Debug)]
#[non_exhaustive]
pub struct SyncRequest {
    /// Which images are meant, and where they go.
    pub images: Images,
    /// What it takes to read them, unless a file says so itself.
    pub source: Arc<Options>,
    /// What it takes to write them, unless a file says so itself.
    pub destination: Options,
    /// Who may be believed.
    pub policy: Policy,
    /// What is asked of each copy.
    pub copy: Request,
    /// How the run goes about it.
    pub manner: Manner,
    /// What may be deleted at the destinations that the selection does not have; `None` is nothing.
    pub delete: Option<Rules>,
    /// Whether the digests that tags led to are wanted, so that the same can be copied again.
    pub pin: bool,
    /// Where to keep what was learnt, for the next run.
    pub cache: Option<CacheFile>,
    /// What a plan keeps of this request, in the words of who asks: nothing here reads it.
    pub recorded: Recorded,
}

/// Which images are meant.
#[derive(Debug)]
#[non_exhaustive]
pub enum Images {
    /// Those that a selection finds.
    Selected(Box<Selection>),
    /// Those of a plan.
    Planned {
        /// The plan.
        plan: Box<PlanFile>,
        /// Whether to go on where a source is another by now.
        allow_moved: bool,
    },
    /// Those of another run that are not where they should be.
    Failed(Box<Resume>),
}

/// How a run goes about it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Manner {
    /// Nothing is changed: it is only found out what would be.
    pub dry_run: bool,
    /// What fails does not stop the others.
    pub keep_going: bool,
    /// How often a step is tried again.
    pub retry: Retry,
    /// The tags that never move.
    pub immutable: Immutable,
    /// How many images are on their way at once; `None` leaves it to the number of processors.
    pub jobs: Option<NonZeroUsize>,
}

impl SyncRequest {
    /// Asks for these images, with nothing else that can be asked for.
    #[must_use]
    pub fn new(
        images: Images,
        source: Arc<Options>,
        destination: Options,
        policy: Policy,
        copy: Request,
    ) -> Self {
        Self {
            images,
            source,
            destination,
            policy,
            copy,
            manner: Manner::default(),
            delete: None,
            pin: false,
            cache: None,
            recorded: Recorded::new(),
        }
    }
}
