//! The other end of a connection: who it is, and whether it moves.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::memory::Use;
use crate::origin::Local;
use crate::progress::Flow;

/// A connection, as the requests on it and the listener see it.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Where it comes from.
    pub(crate) address: SocketAddr,
    /// Where it came to.
    pub(crate) local: Arc<Local>,
    /// Bytes read from and written to the socket.
    pub(crate) passed: AtomicU64,
    /// Whether several requests share it, so that what passed says nothing of one of them.
    shared: AtomicBool,
    requests: AtomicUsize,
    idle_since: Mutex<Instant>,
    flows: Mutex<Vec<Weak<Flow>>>,
    cut: Notify,
}

/// What the listener thinks of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Judgement {
    /// For how long it has had no request.
    pub(crate) idle: Option<Duration>,
    /// For how long an answer has moved too slowly.
    pub(crate) answer: Duration,
    /// For how long a request's body has moved too slowly.
    pub(crate) request: Duration,
    /// For how long it has held memory of some kind without being brisk.
    pub(crate) holds: Holds,
}

/// For how long memory of each kind has been held without being brisk.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Holds {
    answers: Duration,
    manifests: Duration,
    uploads: Duration,
}

impl Holds {
    /// That of this kind.
    pub(crate) fn of(&self, kind: Use) -> Duration {
        match kind {
            Use::Answer => self.answers,
            Use::Manifest => self.manifests,
            Use::Upload => self.uploads,
        }
    }

    /// The longest of them.
    pub(crate) fn longest(&self) -> Duration {
        self.answers.max(self.manifests).max(self.uploads)
    }

    fn add(&mut self, kind: Use, held: Duration) {
        let most = match kind {
            Use::Answer => &mut self.answers,
            Use::Manifest => &mut self.manifests,
            Use::Upload => &mut self.uploads,
        };
        *most = held.max(*most);
    }
}

/// A request that is being answered; ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Asking(Arc<Peer>);

impl Peer {
    pub(crate) fn new(address: SocketAddr, local: Arc<Local>) -> Arc<Self> {
        Arc::new(Self {
            address,
            local,
            passed: AtomicU64::new(0),
            shared: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
            idle_since: Mutex::new(Instant::now()),
            flows: Mutex::default(),
            cut: Notify::new(),
        })
    }

    /// Where it comes from, IPv4 as such.
    pub(crate) fn client(&self) -> SocketAddr {
        SocketAddr::new(self.address.ip().to_canonical(), self.address.port())
    }

    /// A request begins. HTTP/2's share the connection.
    pub(crate) fn ask(self: &Arc<Self>, shared: bool) -> Asking {
        self.shared.fetch_or(shared, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        Asking(self.clone())
    }

    /// How many requests are being answered.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Whether requests share the connection.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared.load(Ordering::Relaxed)
    }

    /// A body that is to be judged for as long as somebody has it.
    pub(crate) fn flow(&self, kind: Use) -> Arc<Flow> {
        let flow = Arc::new(Flow::new(kind));
        let mut flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        flows.retain(|flow| flow.strong_count() > 0);
        flows.push(Arc::downgrade(&flow));
        flow
    }

    /// Looks at all that is on its way.
    pub(crate) fn judge(&self, now: Instant) -> Judgement {
        let mut judgement = Judgement::default();
        if self.requests() == 0 {
            let since = *self.idle_since.lock().unwrap_or_else(PoisonError::into_inner);
            judgement.idle = Some(now.saturating_duration_since(since));
        }
        let mut owed = 0;
        let moved = (!self.is_shared()).then(|| self.passed.load(Ordering::Relaxed));
        let mut flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        flows.retain(|flow| {
            let Some(flow) = flow.upgrade() else { return false };
            owed = flow.owed().saturating_add(owed);
            let [slow, not_brisk] = flow.slow_for(moved, now);
            let whole = match flow.kind() {
                Use::Answer => &mut judgement.answer,
                Use::Manifest | Use::Upload => &mut judgement.request,
            };
            *whole = slow.max(*whole);
            judgement.holds.add(flow.kind(), not_brisk);
            true
        });
        // The last of an answer is still on its way when its request has ended for us.
        judgement.idle = judgement.idle.filter(|_| owed == 0);
        judgement
    }

    /// Ends the connection.
    pub(crate) fn cut(&self) {
        self.cut.notify_one();
    }

    /// Waits until it is to be ended.
    pub(crate) async fn is_cut(&self) {
        self.cut.notified().await;
    }
}

impl Asking {
    /// Whose request it is.
    pub(crate) fn peer(&self) -> &Arc<Peer> {
        &self.0
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if self.0.requests.fetch_sub(1, Ordering::Relaxed) == 1 {
            *self.0.idle_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
    }
}
