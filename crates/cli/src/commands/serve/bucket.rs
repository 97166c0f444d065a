//! A layout in a bucket, served as it is by and by: nothing of it is on this machine.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, Result};
use http::{Request, Response};
use hyper::body::Incoming;
use skopeo_server::{Body, Handler, Registry, ServerOptions, Serving};
use skopeo_transport::{CollectionKind, Options};
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::{info, warn};

use super::images::Images;
use crate::app::App;

/// How often the index is looked at. It is read when what is known of it is a minute old.
const PAUSE: Duration = Duration::from_secs(30);

/// The registry of what was in the bucket when it was last looked at.
#[derive(Clone, Debug)]
pub(super) struct Live(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    url: String,
    images: Options,
    server: ServerOptions,
    current: RwLock<(Registry, Arc<Images>)>,
}

impl Live {
    /// Reads what is in the bucket.
    ///
    /// # Errors
    /// If it cannot be read, or holds no layout.
    pub(super) async fn open(app: &App, url: &str, mut server: ServerOptions) -> Result<Self> {
        // Nothing lies in a folder here, and none is looked into.
        server.root = PathBuf::from("/");
        server.read_only = true;
        server.storage.max_storage = None;
        let images = app.plain_options();
        let read = read(url, &images).await?;
        let registry = registry(&server, &read).await?;
        let current = RwLock::new((registry, read));
        Ok(Self(Arc::new(Inner { url: url.to_owned(), images, server, current })))
    }

    /// Listens on an address.
    ///
    /// # Errors
    /// If that cannot be.
    pub(super) async fn listen(&self, address: &str) -> Result<Serving> {
        let (tls, limits) = (self.0.server.tls.clone(), self.0.server.limits.clone());
        let listener = skopeo_server::bind(address).await?;
        Ok(skopeo_server::serve(listener, tls, limits, self.clone())?)
    }

    /// The registry as it is now.
    pub(super) fn registry(&self) -> Registry {
        self.0.current.read().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Looks again and again whether others have written to the bucket, until it is aborted.
    pub(super) fn keep_fresh(&self) -> JoinHandle<()> {
        let live = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(PAUSE).await;
                if let Err(error) = live.refresh().await {
                    warn!("Looking at {}: {error:#}; what was there before is served", live.0.url);
                }
            }
        })
    }

    async fn refresh(&self) -> Result<()> {
        let read = read(&self.0.url, &self.0.images).await?;
        let is_same = {
            let current = self.0.current.read().unwrap_or_else(PoisonError::into_inner);
            current.1.is_same(&read)
        };
        if !is_same {
            let registry = registry(&self.0.server, &read).await?;
            let mut current = self.0.current.write().unwrap_or_else(PoisonError::into_inner);
            *current = (registry, read);
            info!("Others have written to {}", self.0.url);
        }
        Ok(())
    }
}

async fn read(url: &str, options: &Options) -> Result<Arc<Images>> {
    let images = Images::read(&[CollectionKind::Oci], url, options.clone()).await;
    images.map(Arc::new).with_context(|| format!("serving {url}"))
}

async fn registry(server: &ServerOptions, images: &Arc<Images>) -> Result<Registry> {
    let mut options = server.clone();
    options.content = Some(images.clone());
    Ok(spawn_blocking(move || Registry::open(options)).await??)
}

impl Handler for Live {
    async fn answer(&self, request: Request<Incoming>) -> io::Result<Response<Body>> {
        Ok(self.registry().respond(request).await)
    }
}
