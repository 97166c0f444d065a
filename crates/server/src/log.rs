//! What was asked and answered, told when an answer has ended.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::{Method, Uri};
use skopeo_image::number::wide;

use crate::peer::Asking;
use crate::progress::Flow;

/// The longest target that is told, in bytes.
const LONGEST_TARGET: usize = 1024;

/// The status of a request whose client went before it had an answer, as proxies have it.
const CLIENT_WENT: u16 = 499;

/// One request and its answer. What a client sent is as it came: whoever prints it must see to
/// control characters.
#[derive(Clone, Debug)]
pub struct AccessRecord {
    /// Where the request came from; none if it did not come over the network.
    pub client: Option<SocketAddr>,
    /// Who was let in, where somebody had to be.
    pub user: Option<String>,
    /// `GET`, `PUT`, ...
    pub method: String,
    /// Path and query, the first 1024 bytes of them.
    pub target: String,
    /// The answer's status; 499 if the client went before there was one.
    pub status: u16,
    /// Bytes of the request's body that came.
    pub received: u64,
    /// Bytes of the answer's body that were given out.
    pub sent: u64,
    /// From the request's head to the answer's end.
    pub took: Duration,
}

/// Who is told of each request.
pub trait AccessLog: fmt::Debug + Send + Sync {
    /// Is told of one. Called on the network's thread: must not wait.
    fn record(&self, record: &AccessRecord);
}

/// How many requests are being answered.
pub(crate) type Counter = Arc<AtomicUsize>;

/// A request on its way; tells of it when it is dropped.
pub(crate) struct Answered {
    record: AccessRecord,
    begun: Instant,
    received: Arc<Flow>,
    log: Option<Arc<dyn AccessLog>>,
    /// Where it counts, once it is one of those that are answered.
    admitted: Option<Counter>,
    _asking: Option<Asking>,
}

impl Answered {
    /// Begins with a request.
    pub(crate) fn begin(
        method: &Method,
        target: &Uri,
        received: Arc<Flow>,
        log: Option<Arc<dyn AccessLog>>,
        asking: Option<Asking>,
    ) -> Self {
        let mut shown = String::new();
        if log.is_some() {
            target.path_and_query().map_or("/", |target| target.as_str()).clone_into(&mut shown);
            shown.truncate(shown.floor_char_boundary(LONGEST_TARGET));
        }
        let record = AccessRecord {
            client: asking.as_ref().map(|asking| asking.peer().client()),
            user: None,
            method: method.to_string(),
            target: shown,
            status: CLIENT_WENT,
            received: 0,
            sent: 0,
            took: Duration::ZERO,
        };
        Self { record, begun: Instant::now(), received, log, admitted: None, _asking: asking }
    }

    /// From now on it is one of those that are answered.
    pub(crate) fn admit(&mut self, counter: &Counter) {
        counter.fetch_add(1, Ordering::Relaxed);
        self.admitted = Some(counter.clone());
    }

    /// Who asked.
    pub(crate) fn set_user(&mut self, user: Option<String>) {
        self.record.user = user;
    }

    /// With what it is answered.
    pub(crate) fn set_status(&mut self, status: u16) {
        self.record.status = status;
    }

    /// Bytes of the answer are given out.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.record.sent = self.record.sent.saturating_add(wide(bytes));
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        if let Some(counter) = &self.admitted {
            counter.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(log) = &self.log {
            self.record.received = self.received.moved();
            self.record.took = self.begun.elapsed();
            log.record(&self.record);
        }
    }
}
