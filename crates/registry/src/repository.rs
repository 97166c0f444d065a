//! One repository of a registry.

use std::fmt;

use http::Method;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::call::Call;
use crate::client::Client;
use crate::shared::Shared;
use crate::token::Scope;

/// What may not stand in a path as it is.
const IN_PATH: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'?').add(b'`').add(b'%');

const IN_SEGMENT: &AsciiSet = &IN_PATH.add(b'/');

/// One repository of a registry. Cheap to clone.
#[derive(Clone)]
pub struct Repository {
    pub(crate) client: Client,
    pub(crate) path: String,
    writes: bool,
}

impl Client {
    /// Returns a repository by its path: `library/centos`.
    #[must_use]
    pub fn repository(&self, path: &str) -> Repository {
        Repository::new(self.clone(), path)
    }
}

impl Repository {
    pub(crate) fn new(client: Client, path: &str) -> Self {
        let path = utf8_percent_encode(path, IN_PATH).to_string();
        Self { client, path, writes: false }
    }

    /// Returns the same, for one who will write sooner or later: one token serves reading and
    /// writing.
    #[must_use]
    pub fn for_writing(self) -> Self {
        Self { writes: true, ..self }
    }

    /// Returns its registry.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Returns `host/path`, as in image names.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.client.host(), self.path)
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.client.0
    }

    pub(crate) fn to_read(&self) -> Vec<Scope> {
        vec![Scope::repository(&self.path, if self.writes { "pull,push" } else { "pull" })]
    }

    pub(crate) fn to_write(&self) -> Vec<Scope> {
        vec![Scope::repository(&self.path, "pull,push")]
    }

    /// Registries do not agree on what deleting is called, but "everything" is known to all.
    pub(crate) fn to_delete(&self) -> Vec<Scope> {
        vec![Scope::repository(&self.path, "*")]
    }

    /// A request about `what` below this repository.
    pub(crate) fn call(&self, method: Method, what: fmt::Arguments<'_>) -> Call<'static> {
        Call::new(method, format!("/v2/{}/{what}", self.path))
    }

    /// The part of a path that names a tag or digest.
    pub(crate) fn escaped(reference: &str) -> String {
        utf8_percent_encode(reference, IN_SEGMENT).to_string()
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Repository({})", self.name())
    }
}
