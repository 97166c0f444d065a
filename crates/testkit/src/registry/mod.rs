//! The server in process, strict, on a port of its own, with faults around it.

mod builder;
mod counted;
mod fault;
mod handler;
mod kept;
mod lie;
mod lying;
mod openshift;
pub mod real;
mod seen;
mod signer;
mod token;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, Response};
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use skopeo_server::{Access, Body, Durability, Hosts, Htpasswd, Limits, ServerOptions, Tls};
use tokio::sync::oneshot;

use crate::certificate::Certificate;
use crate::rest::{BLOCKING, Rest, rest};
use skopeo_image::{Digest, RawManifest};

pub use builder::Builder;
pub use fault::{Fault, On};
pub use seen::SeenRequest;
pub use token::TokenAuth;

use handler::{Front, ObjectStore, Shared};
use token::Realm;

/// A registry for one test. It listens when it is there, and ends with this value.
#[derive(Debug)]
pub struct Registry {
    shared: Arc<Shared>,
    address: SocketAddr,
    certificate: Option<Certificate>,
    setup: Setup,
    running: Option<Running>,
    _folder: Option<tempfile::TempDir>,
}

/// What it takes to open the folder, once more after a restart.
#[derive(Debug)]
struct Setup {
    root: PathBuf,
    read_only: bool,
    users: Vec<(String, String)>,
}

/// The thread that serves.
#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    rest: Rest,
    thread: JoinHandle<()>,
}

impl Registry {
    /// Starts a registry over plain HTTP for everybody, in which nothing goes wrong.
    #[must_use]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// Returns a builder of any other registry.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Returns `127.0.0.1:port`.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Returns where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns `docker://127.0.0.1:port/image`.
    #[must_use]
    pub fn docker(&self, image: &str) -> String {
        format!("docker://{}/{image}", self.address)
    }

    /// Returns `http://127.0.0.1:port` and the path, or `https`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.shared.scheme, self.address)
    }

    /// Returns the folder it serves, as it lies there when nothing is in work: waits for requests,
    /// and for what is cleaned up after clients that went. Each repository is an OCI layout below
    /// it.
    ///
    /// # Panics
    /// If something is in work for ever.
    #[must_use]
    #[track_caller]
    pub fn root(&self) -> &Path {
        let rests = self.running.as_ref().is_none_or(|running| running.rest.wait());
        assert!(rests, "requests are still in work: {:#?}", self.lines());
        self.place()
    }

    /// Returns where the folder is that it serves, without a wait. What lies in it may change at
    /// any moment, also after all clients have ended: who reads it takes [`Registry::root`].
    #[must_use]
    pub fn place(&self) -> &Path {
        &self.setup.root
    }

    /// Returns the certificate to trust, PEM.
    ///
    /// # Panics
    /// If it has none.
    #[must_use]
    pub fn ca(&self) -> &str {
        &self.certificate.as_ref().expect("the registry was built with tls()").ca
    }

    /// Returns all requests so far, in the order in which they came.
    #[must_use]
    pub fn requests(&self) -> Vec<SeenRequest> {
        let seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().map(|record| record.seen()).collect()
    }

    /// Returns how many requests there were about these places.
    #[must_use]
    pub fn count(&self, on: &On) -> usize {
        let meant =
            |seen: &SeenRequest| on.matches(&seen.method.parse().unwrap_or_default(), &seen.target);
        self.requests().iter().filter(|seen| meant(seen)).count()
    }

    /// Returns the requests so far, as lines `GET /v2/`: what a failing assertion should show.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.requests().iter().map(SeenRequest::line).collect()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// From now on this goes wrong, too.
    pub fn fault(&self, fault: Fault) {
        self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    /// From now on nothing goes wrong.
    pub fn mend(&self) {
        self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Ends it: connections break, nobody listens. What it holds, and what it was asked, stays.
    pub fn stop(&mut self) {
        if let Some(Running { stop, thread, .. }) = self.running.take() {
            let _ = stop.send(());
            let _ = thread.join();
        }
    }

    /// Starts it again where it was, as a new process would: uploads that were open are found in
    /// the folder or not at all.
    ///
    /// # Panics
    /// If somebody else listens there by now.
    pub fn restart(&mut self) {
        self.stop();
        let port = self.shared.object_store.rsplit(':').next().and_then(|port| port.parse().ok());
        let store = SocketAddr::from(([127, 0, 0, 1], port.expect("a port")));
        *self.shared.registry.lock().unwrap_or_else(PoisonError::into_inner) = self.setup.open();
        let tls = self.certificate.as_ref().map(Certificate::tls);
        self.running =
            Some(Running::start(self.shared.clone(), bind(self.address), bind(store), tls));
    }

    /// Puts a blob into it, past recording and faults.
    pub(crate) fn put_blob(&self, repository: &str, digest: &Digest, bytes: Bytes) {
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        self.put("POST", &path, "application/octet-stream", bytes);
    }

    /// Puts a manifest into it, past recording and faults.
    pub(crate) fn put_manifest(&self, repository: &str, reference: &str, manifest: &RawManifest) {
        let path = format!("/v2/{repository}/manifests/{reference}");
        self.put("PUT", &path, manifest.media_type.as_str(), manifest.bytes.clone());
    }

    fn put(&self, method: &str, path: &str, content_type: &str, bytes: Bytes) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(CONTENT_TYPE, content_type)
            .body(Full::new(bytes))
            .expect("a request of our own");
        let direct = self.shared.direct.clone();
        // A thread of its own, as the test may itself be inside a runtime.
        let answer = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(direct.respond(request)).status()
        });
        let status = answer.join().expect("an answer");
        assert!(status.is_success(), "{method} {path}: {status}");
    }

    /// Returns how many tokens the realm has given out.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.shared.realm.as_ref().map_or(0, Realm::count)
    }

    /// Makes all tokens given out so far worthless, as if they had expired.
    pub fn revoke_tokens(&self) {
        if let Some(realm) = &self.shared.realm {
            realm.revoke();
        }
    }
}

impl Setup {
    /// Without any access control.
    fn options(&self) -> ServerOptions {
        let mut options = ServerOptions::new(&self.root);
        options.durability = Durability::Kill;
        // Tests give it any name, by proxies and mirrors.
        options.hosts = Hosts::Any;
        options
    }

    fn open(&self) -> skopeo_server::Registry {
        let mut options = self.options();
        options.read_only = self.read_only;
        if !self.users.is_empty() {
            options.access = Access::Basic(htpasswd(&self.users));
        }
        skopeo_server::Registry::open(options).expect("a folder to serve")
    }
}

impl Running {
    fn start(
        shared: Arc<Shared>,
        front: TcpListener,
        store: TcpListener,
        tls: Option<Tls>,
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (rest, observer) = rest();
        let thread = std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.max_blocking_threads(BLOCKING);
            let runtime = runtime.enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let working = shared.working.clone();
                let store = serve(store, tls.clone(), ObjectStore(shared.clone()));
                let front = serve(front, tls, Front(shared));
                tokio::select! {
                    _ = stopped => {}
                    () = observer.tell(&working) => {}
                }
                drop((store, front));
            });
            // Ends all requests, and waits for those threads that write just now.
            drop(runtime);
        });
        Self { stop, rest, thread }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A listener there; connections are taken from now on.
fn bind(address: SocketAddr) -> TcpListener {
    let listener = TcpListener::bind(address).expect("a port");
    listener.set_nonblocking(true).expect("a listener that waits for nobody");
    listener
}

fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    handler: impl skopeo_server::Handler,
) -> skopeo_server::Serving {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    skopeo_server::serve(listener, tls, Limits::default(), handler).expect("a listener")
}

/// Users with hashes that cost next to nothing.
pub(crate) fn htpasswd_text(users: &[(String, String)]) -> String {
    let line = |(user, password): &(String, String)| {
        let hash = bcrypt::hash(password, 4).expect("a hash").replacen("$2b$", "$2y$", 1);
        format!("{user}:{hash}\n")
    };
    users.iter().map(line).collect()
}

fn htpasswd(users: &[(String, String)]) -> Htpasswd {
    Htpasswd::parse(&htpasswd_text(users)).expect("lines of our own")
}

fn json_response(status: u16, document: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::of_bytes(document.to_string()));
    *response.status_mut() = http::StatusCode::from_u16(status).expect("a status");
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, "application/json".parse().expect("a value"));
    headers.insert("docker-distribution-api-version", "registry/2.0".parse().expect("a value"));
    response
}

/// All values of a key in a query or form, decoded.
fn query_all(form: &str, key: &str) -> Vec<String> {
    let pairs = form.split('&').filter_map(|pair| pair.split_once('='));
    let decode =
        |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    pairs.filter(|(name, _)| *name == key).map(|(_, value)| decode(value)).collect()
}
