//! How a registry is to be.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::certificate::Certificate;
use crate::rest::Working;

use super::fault::Fault;
use super::handler::Shared;
use super::kept::Kept;
use super::openshift::OpenShift;
use super::signer::Signer;
use super::token::{Realm, TokenAuth};
use super::{Registry, Running, Setup, bind};

/// How a registry is to be.
#[derive(Debug, Default)]
pub struct Builder {
    pub(super) root: Option<PathBuf>,
    pub(super) tls: bool,
    pub(super) read_only: bool,
    pub(super) users: Vec<(String, String)>,
    pub(super) tokens: Option<TokenAuth>,
    pub(super) signer: Option<Signer>,
    pub(super) faults: Vec<Fault>,
    pub(super) keeps_signatures: bool,
    pub(super) openshift: Option<String>,
}

impl Builder {
    /// Serves this folder instead of one of its own.
    #[must_use]
    pub fn root(mut self, folder: impl Into<PathBuf>) -> Self {
        self.root = Some(folder.into());
        self
    }

    /// Speaks HTTPS, with a certificate for 127.0.0.1 and localhost from an authority of its own.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Refuses everything that would change it.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Lets only this user in, by the Basic scheme. May be called more than once.
    #[must_use]
    pub fn htpasswd(mut self, user: &str, password: &str) -> Self {
        self.users.push((user.to_owned(), password.to_owned()));
        self
    }

    /// Lets requests in only with tokens, which its own realm at `/token` gives out.
    #[must_use]
    pub fn token_auth(mut self, auth: TokenAuth) -> Self {
        self.tokens = Some(auth);
        self
    }

    /// Signs its tokens, for a registry that trusts this key.
    pub(crate) fn signer(mut self, signer: Signer) -> Self {
        self.signer = Some(signer);
        self
    }

    /// Has this go wrong. May be called more than once; the first that fits a request happens to it.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Keeps signatures itself, as OpenShift's registry does.
    #[must_use]
    pub fn keeps_signatures(mut self) -> Self {
        self.keeps_signatures = true;
        self
    }

    /// Serves the API of `OpenShift` beside it, for clients with this token, or for all if it is
    /// empty: each repository is an image stream.
    #[must_use]
    pub fn openshift(mut self, token: &str) -> Self {
        self.openshift = Some(token.to_owned());
        self
    }

    /// Starts it, on a thread and a runtime of its own.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(self) -> Registry {
        let folder = self.root.is_none().then(|| tempfile::tempdir().expect("a temporary folder"));
        let root = self.root.unwrap_or_else(|| {
            folder.as_ref().map(|folder| folder.path().join("registry")).unwrap_or_default()
        });
        let certificate = self.tls.then(|| Certificate::new(&["localhost", "127.0.0.1"]));
        let tls = certificate.as_ref().map(Certificate::tls);
        let basic = !self.users.is_empty();
        let setup = Setup { root, read_only: self.read_only, users: self.users };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (front, store) = (bind(any), bind(any));
        let address = front.local_addr().expect("an address");
        let signer = self.signer;
        let shared = Arc::new(Shared {
            registry: setup.open().into(),
            direct: skopeo_server::Registry::open(setup.options()).expect("a folder to serve"),
            realm: self.tokens.map(|tokens| Realm::new(tokens, signer)),
            scheme: if tls.is_some() { "https" } else { "http" },
            faults: self.faults.into(),
            seen: Default::default(),
            // Another name than the registry's, so another host to clients.
            object_store: format!("localhost:{}", store.local_addr().expect("an address").port()),
            basic,
            kept: self.keeps_signatures.then(Kept::default),
            openshift: self.openshift.map(OpenShift::new),
            working: Working::default(),
        });
        let running = Some(Running::start(shared.clone(), front, store, tls));
        Registry { shared, address, certificate, setup, running, _folder: folder }
    }
}
