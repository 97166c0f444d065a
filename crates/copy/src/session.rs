//! What outlives one copy.

use std::fmt;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::Event;
use crate::known::Known;

/// What the copies of one run share: who watches, what was learnt, how much runs at once.
pub struct Session {
    pub(crate) events: Arc<dyn Fn(Event) + Send + Sync>,
    pub(crate) patience: Patience,
    pub(crate) known: Known,
    /// Layers that are compressed or unpacked at once: more than there are processors would only
    /// cost memory.
    pub(crate) codecs: Semaphore,
}

impl Session {
    /// A run whose events go to `events`, from the thread that polls the copy or one of its
    /// helpers. It must not block.
    #[must_use]
    pub fn new(events: Arc<dyn Fn(Event) + Send + Sync>) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            events,
            patience: Patience::default(),
            known: Known::default(),
            codecs: Semaphore::new(processors),
        }
    }

    /// The same with another patience.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    pub(crate) fn tell(&self, event: Event) {
        (self.events)(event);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("patience", &self.patience).finish_non_exhaustive()
    }
}

/// How often, and how far apart, a blob that breaks on its way is fetched and sent again. What can
/// be mended by one more request has been by then: this is for a whole blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How often in all; at least once.
    pub attempts: u32,
    /// Before the second attempt; each further pause is twice as long.
    pub first_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { attempts: 3, first_pause: Duration::from_secs(1) }
    }
}
