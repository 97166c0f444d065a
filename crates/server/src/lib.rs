//! A registry over a folder: the distribution API 1.1, served from OCI layouts.
//!
//! The folder is itself an OCI layout, or holds one for each repository, at the repository's path.
//! There is no other state: what `oci:` wrote is served as it lies there, and what is pushed can be
//! read with `oci:`. Knows nothing of clients, commands or policy, and prints nothing.
//!
//! [`Registry::open`] a folder, [`Registry::listen`] on an address. What goes around a registry (a
//! test's faults, say) implements [`Handler`] and calls [`Registry::respond`].
//!
//! - `routes`: paths and methods, and who answers; `access` before it, `listen` below it
//! - `blobs`, `uploads`, `manifests`, `listing`: the answers
//! - `store`: the folder

mod access;
mod blobs;
mod body;
mod content;
mod error;
mod listen;
mod listing;
mod manifests;
mod name;
mod routes;
mod store;
mod uploads;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

pub use access::{Access, Htpasswd};
pub use body::{Body, BoxError};
pub use content::Content;
pub use error::Error;
pub use listen::{Handler, Limits, Serving, Tls, bind, serve};
pub use store::{Contents, NotServed, StorageLimits};

use error::{ApiError, Code};
use routes::{RequestBody, Route};
use store::Store;

/// How many uploads are written at once, each on a thread of its own; more wait.
const RECEIVERS: usize = 128;

/// How much of a refused body is read, in bytes, so that the client sees the answer and not a
/// broken connection.
const DRAINED: usize = 1024 * 1024;

/// How a registry is to be.
#[derive(Debug)]
pub struct ServerOptions {
    /// The folder.
    pub root: PathBuf,
    /// Whether it is made if it is missing.
    pub create: bool,
    /// What is served instead of layouts in the folder: it lies there and is not written to.
    pub content: Option<Arc<dyn Content>>,
    /// Whether everything that would change the folder is refused.
    pub read_only: bool,
    /// Who may use it.
    pub access: Access,
    /// The certificate to serve HTTPS with; plain HTTP without.
    pub tls: Option<Tls>,
    /// What keeps it from being held for ever.
    pub limits: Limits,
    /// How much is stored, and how long is waited for.
    pub storage: StorageLimits,
    /// What is survived by all that a client has been told is stored.
    pub durability: Durability,
}

/// What stored things survive. Nothing is ever half there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The end of the machine: an answer waits for the disk.
    #[default]
    PowerLoss,
    /// The end of this process: an answer waits for nothing. For tests.
    Kill,
}

impl ServerOptions {
    /// Everybody may read and write, by plain HTTP. The folder is made if it is missing.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            create: true,
            content: None,
            read_only: false,
            access: Access::Anonymous,
            tls: None,
            limits: Limits::default(),
            storage: StorageLimits::default(),
            durability: Durability::default(),
        }
    }
}

/// A registry over a folder. Clones are the same registry.
#[derive(Clone, Debug)]
pub struct Registry(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    store: Store,
    read_only: bool,
    access: Access,
    tls: Option<Tls>,
    limits: Limits,
    receivers: Semaphore,
}

impl Registry {
    /// Opens the folder.
    ///
    /// # Errors
    ///
    /// If it can neither be opened nor made.
    pub fn open(options: ServerOptions) -> Result<Self, Error> {
        let ServerOptions {
            root, create, content, access, tls, limits, storage, durability, ..
        } = options;
        let read_only = options.read_only || content.is_some();
        if create && content.is_none() {
            fs_err::create_dir_all(&root)?;
        }
        let store = Store::open(&root, content, durability, storage)?;
        tracing::debug!("serving {}", store.root().display());
        let receivers = Semaphore::new(RECEIVERS);
        Ok(Self(Arc::new(Inner { store, read_only, access, tls, limits, receivers })))
    }

    /// What there is to serve. Looks at every layout: not for the network's thread.
    ///
    /// # Errors
    ///
    /// If the folder cannot be read.
    pub fn contents(&self) -> Result<Contents, Error> {
        Ok(self.0.store.contents()?)
    }

    /// Serves on `address` (`127.0.0.1:0` for any free port), on the current runtime.
    ///
    /// # Errors
    ///
    /// If the address cannot be listened on.
    pub async fn listen(&self, address: &str) -> Result<Serving, Error> {
        let (tls, limits) = (self.0.tls.clone(), self.0.limits.clone());
        if !self.0.read_only {
            store::keep_tidy(&self.0);
        }
        serve(bind(address).await?, tls, limits, self.clone())
    }

    /// Answers one request.
    pub async fn respond<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let begun = Instant::now();
        let (head, body) = request.into_parts();
        let mut body: RequestBody = body.map_err(Into::into).boxed_unsync();
        let (method, target) = (head.method.clone(), head.uri.clone());
        let mut response =
            match self.admit_and_dispatch(Request::from_parts(head, ()), &mut body).await {
                Ok(response) => response,
                Err(error) => {
                    let mut response = routes::error_response(&error);
                    if error.code == Code::Unauthorized
                        && let Some(challenge) = self.0.access.challenge()
                    {
                        routes::set(&mut response, header::WWW_AUTHENTICATE, challenge);
                    }
                    drain(&mut body).await;
                    response
                }
            };
        routes::set(&mut response, "docker-distribution-api-version", "registry/2.0");
        let (status, took) = (response.status().as_u16(), begun.elapsed());
        tracing::info!(target: "skopeo_server::access", "{method} {target} {status} {took:.1?}");
        response
    }

    async fn admit_and_dispatch(
        &self,
        request: Request<()>,
        body: &mut RequestBody,
    ) -> Result<Response<Body>, ApiError> {
        if self.0.access.challenge().is_some() {
            let (inner, headers) = (self.0.clone(), request.headers().clone());
            let admitted = spawn_blocking(move || inner.access.admits(&headers)).await;
            if !admitted.unwrap_or(false) {
                let path = request.uri().path();
                let detail = Route::parse(path).map(|route| route.access(request.method()));
                return Err(ApiError::new(Code::Unauthorized, detail.unwrap_or_default()));
            }
        }
        routes::dispatch(&self.0, request, body).await
    }
}

impl Handler for Registry {
    async fn answer(&self, request: Request<Incoming>) -> io::Result<Response<Body>> {
        Ok(self.respond(request).await)
    }
}

async fn drain(body: &mut RequestBody) {
    let mut read = 0;
    let rest = async {
        while read < DRAINED && !body.is_end_stream() {
            match body.frame().await {
                Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len),
                _ => break,
            }
        }
    };
    let _ = timeout(Duration::from_millis(500), rest).await;
}
