//! A store that speaks S3, in memory and on a port of its own, stricter than most, with faults.

mod answers;
mod state;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use skopeo_server::{Body, Handler, Limits};
use tokio::sync::oneshot;

use state::State;

/// The key that its clients need.
pub const KEY_ID: &str = "AKIDTEST";

/// What they sign with, and must not show.
pub const SECRET: &str = "hush-hush-secret";

/// The bucket that is there.
pub const BUCKET: &str = "bucket";

/// Whether a store looks at the conditions of a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conditions {
    /// It does.
    #[default]
    Known,
    /// It writes whatever they say.
    Ignored,
    /// It says that it does not know them.
    Refused,
}

/// What goes wrong with a request, and how often.
#[derive(Clone, Debug)]
pub struct S3Fault {
    /// The request's method, and a part of its path with its query.
    method: &'static str,
    part: String,
    goes: Goes,
    after: usize,
    times: usize,
}

#[derive(Clone, Copy, Debug)]
enum Goes {
    /// It is answered so, and not done.
    Status(u16),
    /// The body of the answer ends after so many bytes.
    Cut(usize),
    /// It is done, but nobody is told.
    Unanswered,
}

impl S3Fault {
    /// Answers with a status, and does not do what was asked.
    #[must_use]
    pub fn status(method: &'static str, part: &str, status: u16) -> Self {
        Self { method, part: part.to_owned(), goes: Goes::Status(status), after: 0, times: 1 }
    }

    /// Breaks the connection after so many bytes of the answer's body.
    #[must_use]
    pub fn cut(method: &'static str, part: &str, bytes: usize) -> Self {
        Self { goes: Goes::Cut(bytes), ..Self::status(method, part, 0) }
    }

    /// Does what was asked, and breaks the connection.
    #[must_use]
    pub fn unanswered(method: &'static str, part: &str) -> Self {
        Self { goes: Goes::Unanswered, ..Self::status(method, part, 0) }
    }

    /// Returns how often it goes wrong; once otherwise.
    #[must_use]
    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    /// Returns how many such requests go well before.
    #[must_use]
    pub fn after(self, after: usize) -> Self {
        Self { after, ..self }
    }
}

/// A request, and the status of its answer; 0 if there was none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `GET`, `PUT`, ...
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The status.
    pub status: u16,
}

/// A store for one test. It listens when it is there, and ends with this value.
#[derive(Debug)]
pub struct S3 {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    asked: Mutex<Vec<Asked>>,
    faults: Mutex<Vec<S3Fault>>,
    /// How long each answer takes.
    pause: Duration,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl S3 {
    /// Returns a store that knows conditions.
    #[must_use]
    pub fn start() -> Self {
        Self::with(Conditions::Known, Duration::ZERO)
    }

    /// Returns a store that speaks as Google's does where S3 is spoken otherwise.
    #[must_use]
    pub fn google() -> Self {
        let store = Self::start();
        lock(&store.shared.state).google = true;
        store
    }

    /// Returns a store that does so with conditions, each answer of which takes a while.
    ///
    /// # Panics
    /// If there is no port.
    #[must_use]
    pub fn with(conditions: Conditions, pause: Duration) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(conditions)),
            asked: Mutex::default(),
            faults: Mutex::default(),
            pause,
        });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a listener that waits for nobody");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let handler = Door(shared.clone());
        let thread = std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let limits = Limits::default();
                let serving = skopeo_server::serve(listener, None, limits, handler);
                let _serving = serving.expect("a server");
                let _ = stopped.await;
            });
            runtime.shutdown_background();
        });
        Self { shared, address, stop: Some(stop), thread: Some(thread) }
    }

    /// Returns its address: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the variables that lead a program to it.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        if lock(&self.shared.state).google {
            return vec![("STORAGE_EMULATOR_HOST", self.endpoint())];
        }
        vec![
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_ACCESS_KEY_ID", KEY_ID.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ]
    }

    /// Lets requests go wrong from now on.
    pub fn fault(&self, fault: S3Fault) {
        lock(&self.shared.faults).push(fault);
    }

    /// Returns the requests so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.shared.asked).clone()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        lock(&self.shared.asked).clear();
    }

    /// Returns the keys of all objects, sorted.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        lock(&self.shared.state).keys()
    }

    /// Returns the bytes of an object.
    #[must_use]
    pub fn object(&self, key: &str) -> Option<Bytes> {
        lock(&self.shared.state).bytes(key)
    }

    /// Writes an object from outside.
    pub fn write(&self, key: &str, bytes: impl Into<Bytes>) {
        lock(&self.shared.state).write(key, bytes.into());
    }

    /// Removes an object from outside.
    pub fn remove(&self, key: &str) {
        lock(&self.shared.state).remove(key);
    }

    /// Makes all objects and uploads older than they are.
    pub fn age(&self, by: Duration) {
        lock(&self.shared.state).age(by);
    }

    /// Begins an upload that nobody will end.
    pub fn begin_upload(&self, key: &str) {
        lock(&self.shared.state).begin(key);
    }

    /// Returns how many uploads have been begun and not ended.
    #[must_use]
    pub fn uploads(&self) -> usize {
        lock(&self.shared.state).uploads()
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Clone)]
struct Door(Arc<Shared>);

impl Door {
    /// What goes wrong with this request, if anything does.
    fn fault(&self, method: &str, target: &str) -> Option<Goes> {
        let mut faults = lock(&self.0.faults);
        let meant = |fault: &&mut S3Fault| {
            fault.method == method && target.contains(&fault.part) && fault.times > 0
        };
        let fault = faults.iter_mut().find(meant)?;
        if fault.after > 0 {
            fault.after -= 1;
            return None;
        }
        fault.times -= 1;
        Some(fault.goes)
    }
}

impl Handler for Door {
    async fn answer(&self, request: Request<Incoming>) -> io::Result<Response<Body>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        tokio::time::sleep(self.0.pause).await;
        let method = parts.method.to_string();
        let target = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        let goes = self.fault(&method, &target);
        let tell = |status| {
            let asked = Asked { method: method.clone(), target: target.clone(), status };
            lock(&self.0.asked).push(asked);
        };
        if let Some(Goes::Status(status)) = goes {
            tell(status);
            let code = StatusCode::from_u16(status).expect("a status");
            let text = "<Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>";
            let answer = Response::builder().status(code).body(Body::of_bytes(text));
            return answer.map_err(io::Error::other);
        }
        let (status, headers, bytes) = lock(&self.0.state).answer(&parts, &body);
        if let Some(Goes::Unanswered) = goes {
            tell(0);
            return Err(io::Error::other("nobody is told"));
        }
        tell(status);
        let mut answer = Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(name, value);
        }
        let body = match goes {
            Some(Goes::Cut(length)) => {
                let whole = bytes.len();
                answer = answer.header("content-length", whole);
                let pieces = [
                    Ok(http_body::Frame::data(bytes.slice(..length.min(whole)))),
                    Err(io::Error::other("cut")),
                ];
                Body::of_body(StreamBody::new(futures_util::stream::iter(pieces)))
            }
            _ if parts.method == http::Method::HEAD => Body::empty(),
            _ => Body::of_bytes(bytes),
        };
        answer.body(body).map_err(io::Error::other)
    }
}
