//! A registry on a port of its own, which tells what it was asked.

use std::sync::{Arc, Mutex};

use http::{Request, Response};
use hyper::body::Incoming;
use skopeo_server::{Body, Handler, Registry, ServerOptions, Serving};

/// A registry that is being served.
#[derive(Debug)]
pub(crate) struct Served {
    serving: Serving,
    asked: Arc<Mutex<Vec<String>>>,
    shown: Arc<Mutex<Vec<String>>>,
    _folder: tempfile::TempDir,
}

#[derive(Clone)]
struct Recorder {
    registry: Registry,
    asked: Arc<Mutex<Vec<String>>>,
    shown: Arc<Mutex<Vec<String>>>,
}

impl Served {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::open(ServerOptions::new(folder.path())).unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let shown = Arc::<Mutex<Vec<String>>>::default();
        let recorder = Recorder { registry, asked: asked.clone(), shown: shown.clone() };
        let listener = skopeo_server::bind("127.0.0.1:0").await.unwrap();
        let limits = skopeo_server::Limits::default();
        let serving = skopeo_server::serve(listener, None, limits, recorder).unwrap();
        Self { serving, asked, shown, _folder: folder }
    }

    pub(crate) fn host(&self) -> String {
        self.serving.address().to_string()
    }

    /// What was asked since the last time, as `METHOD /path`.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// Which `Authorization` headers it has been shown.
    pub(crate) fn shown(&self) -> Vec<String> {
        self.shown.lock().unwrap().clone()
    }
}

impl Handler for Recorder {
    async fn answer(&self, request: Request<Incoming>) -> std::io::Result<Response<Body>> {
        let line = format!("{} {}", request.method(), request.uri().path());
        self.asked.lock().unwrap().push(line);
        if let Some(shown) = request.headers().get(http::header::AUTHORIZATION) {
            self.shown.lock().unwrap().push(shown.to_str().unwrap().to_owned());
        }
        Ok(self.registry.respond(request).await)
    }
}
