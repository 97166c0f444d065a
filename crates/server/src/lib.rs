//! A registry over a folder or a bucket: the distribution API 1.1, served from OCI layouts.
//!
//! The folder is itself an OCI layout, or holds one for each repository, at the repository's path.
//! There is no other state: what `oci:` wrote is served as it lies there, and what is pushed can be
//! read with `oci:`. Knows nothing of clients, commands or policy, and prints nothing.
//!
//! [`Registry::open`] a folder, [`Registry::listen`] on an address. What goes around a registry (a
//! test's faults, say) implements [`Handler`] and calls [`Registry::respond`].
//!
//! - `listen`: connections, and who must leave; `memory`, `progress`, `peer`: by what that is decided
//! - `answer`: what is done to every request and answer: `origin`, `access`, `log`, headers
//! - `routes`: paths and methods, and who answers
//! - `blobs`, `uploads`, `manifests`, `listing`: the answers
//! - `store`: the folder, or the bucket
//!
//! # Example
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use skopeo_server::{Registry, ServerOptions};
//!
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let registry = Registry::open(ServerOptions::new(folder))?;
//! let serving = registry.listen("127.0.0.1:0").await?;
//! println!("http://{}/v2/", serving.address());
//! # assert!(serving.address().ip().is_loopback());
//! serving.stop().await;
//! # Ok(())
//! # }
//! ```

// What clients send, and what lies in the folder, must not end the program.
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

mod access;
mod answer;
mod blobs;
mod body;
mod content;
mod error;
mod listen;
mod listing;
mod log;
mod manifests;
mod memory;
mod name;
mod origin;
mod peer;
mod progress;
mod receive;
mod refusal;
mod response;
mod routes;
mod store;
mod uploads;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;

pub use access::{Access, Htpasswd};
pub use body::{Body, BoxError};
pub use content::Content;
pub use error::Error;
pub use listen::{Handler, Limits, Serving, Tls, bind, serve};
pub use log::{AccessLog, AccessRecord};
pub use memory::Memory;
pub use origin::Hosts;
pub use store::{Contents, NotServed, StorageLimits};

use store::Store;

/// How many manifests and lists are read at once, each on a thread of its own; more wait.
const READERS: usize = 8;

/// How many lists of referrers are made at once.
const REFERRING: usize = 2;

/// How a registry is to be.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerOptions {
    /// The folder.
    pub root: PathBuf,
    /// Whether it is made if it is missing.
    pub create: bool,
    /// What is served instead of layouts in the folder: it lies there and is not written to.
    pub content: Option<Arc<dyn Content>>,
    /// The layout in a bucket that is served instead of the folder.
    pub bucket: Option<BucketOptions>,
    /// Whether everything that would change the folder is refused.
    pub read_only: bool,
    /// Who may use it.
    pub access: Access,
    /// The certificate to serve HTTPS with; plain HTTP without.
    pub tls: Option<Tls>,
    /// Which names it answers to.
    pub hosts: Hosts,
    /// Who is told of each request.
    pub log: Option<Arc<dyn AccessLog>>,
    /// What keeps it from being held for ever, or from growing.
    pub limits: Limits,
    /// How much is stored, and how long is waited for.
    pub storage: StorageLimits,
    /// What is survived by all that a client has been told is stored.
    pub durability: Durability,
}

/// A layout in a bucket that is served.
#[derive(Clone, Debug)]
pub struct BucketOptions {
    /// The place in an object store.
    pub store: skopeo_objects::Store,
    /// How many bytes of uploads may be in memory until the store has them. At least 16 MiB are
    /// taken.
    pub upload_memory: usize,
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
    /// Returns options under which everybody may read and write, by plain HTTP. The folder is made
    /// if it is missing.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            create: true,
            content: None,
            bucket: None,
            read_only: false,
            access: Access::Anonymous,
            tls: None,
            hosts: Hosts::default(),
            log: None,
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
    store: Arc<Store>,
    read_only: bool,
    access: Access,
    tls: Option<Tls>,
    hosts: Hosts,
    log: Option<Arc<dyn AccessLog>>,
    limits: Limits,
    /// How many requests are being answered.
    requests: log::Counter,
    /// Whose turn it is to read something whole.
    reading: Arc<Semaphore>,
    /// Whose turn it is to list referrers, which takes more memory than other lists.
    referring: Arc<Semaphore>,
}

impl Registry {
    /// Opens the folder, or the bucket. The latter waits for answers: not for the network's thread.
    ///
    /// # Errors
    ///
    /// If it can neither be opened nor made.
    pub fn open(options: ServerOptions) -> Result<Self, Error> {
        let ServerOptions {
            root,
            create,
            content,
            bucket,
            access,
            tls,
            hosts,
            log,
            limits,
            storage,
            durability,
            ..
        } = options;
        let read_only = options.read_only || content.is_some();
        if create && content.is_none() && bucket.is_none() {
            fs_err::create_dir_all(&root)?;
        }
        let bucket = bucket.map(|bucket| (bucket, create));
        let store = Store::open(&root, content, bucket, durability, storage, &limits.memory)?;
        let store = Arc::new(store);
        Ok(Self(Arc::new(Inner {
            store,
            read_only,
            access,
            tls,
            hosts,
            log,
            limits,
            requests: log::Counter::default(),
            reading: Arc::new(Semaphore::new(READERS)),
            referring: Arc::new(Semaphore::new(REFERRING)),
        })))
    }

    /// Waits until what clients have given up has been given up at an object store, too.
    pub async fn settle(&self) {
        self.0.store.settle().await;
    }

    /// Returns what there is to serve. Looks at every layout: not for the network's thread.
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
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let name = Some(host.to_owned()).filter(|host| host.parse::<std::net::IpAddr>().is_err());
        listen::serve_as(name, bind(address).await?, tls, limits, self.clone())
    }
}
