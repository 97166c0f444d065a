//! What a store is opened with.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use skopeo_image::Secret;

/// What is said about a store and who asks it: names, as the variables of the environment are
/// called in which the cloud's own tools look for it, in lower case, and values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings(Vec<(String, Secret)>);

impl Settings {
    /// Returns settings that say nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says it, in the place of what was said of this name before.
    pub fn set(&mut self, name: &str, value: impl Into<Secret>) {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), value.into()));
    }

    /// Returns what is said of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.reveal()).filter(|value| !value.is_empty())
    }

    /// All that is said.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.reveal()))
    }
}

/// Names without values, which may be secrets.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// Who asks S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The name of the key.
    pub id: String,
    /// The key.
    pub secret: Secret,
    /// What has to be sent with it.
    pub token: Option<Secret>,
    /// How long it counts; for ever if nothing is said.
    pub expires: Option<SystemTime>,
}

/// What says who asks S3, as often as that has to be known anew.
#[derive(Clone)]
pub struct Credentials(Arc<Say>);

type Say = dyn Fn() -> Result<Keys, String> + Send + Sync;

impl Credentials {
    /// Returns keys that `say` gives. It is called on a thread that may wait; its error is a
    /// sentence for users.
    pub fn new(say: impl Fn() -> Result<Keys, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(say))
    }

    pub(crate) fn say(&self) -> Result<Keys, String> {
        (self.0)()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// How a store is asked.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Who asks, and where.
    pub settings: Settings,
    /// Who asks S3, where that is not among the settings.
    pub credentials: Option<Credentials>,
    /// Connections to the store.
    pub http: reqwest::Client,
    /// Connections to what tells a machine in a cloud who it is: no proxies, and nobody waits long
    /// for what is not there.
    pub metadata: reqwest::Client,
    /// How long a connection may be silent.
    pub idle: Duration,
    /// The `User-Agent`.
    pub user_agent: String,
    /// How often a request is sent again that a store cannot answer now.
    pub retries: usize,
    /// How long a lock may go without a word of who holds it before it is taken for left over.
    pub dead_after: Duration,
}
