//! What all clones of a client share: its connections, its tokens, what is known of the registry.

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, HeaderName};

use crate::challenge::Challenge;
use crate::connections::Connections;
use crate::options::{ClientOptions, Credentials};
use crate::pace::Pace;
use crate::tls;
use crate::token::Tokens;

/// What all clones of a client share.
pub(crate) struct Shared {
    pub(crate) options: ClientOptions,
    /// Where requests go: `host[:port]`, which differs from the name for Docker Hub.
    pub(crate) server: String,
    pub(crate) connections: Connections,
    pub(crate) trust: tls::Trust,
    pub(crate) tokens: Tokens,
    pub(crate) pace: Arc<Pace>,
    pub(crate) requests: AtomicU64,
    pub(crate) warned: Mutex<HashSet<String>>,
    /// Held by the first request of all, so that the others know what it has learnt.
    pub(crate) first: tokio::sync::Mutex<()>,
    pub(crate) known: Mutex<Known>,
}

/// What answers have told about the registry.
#[derive(Clone, Default)]
pub(crate) struct Known {
    /// `https`, or `http` where that is allowed and https did not answer.
    pub(crate) scheme: Option<&'static str>,
    /// What it wants to see; empty as long as nothing was refused.
    pub(crate) challenges: Arc<[Challenge]>,
    /// Whether `/v2/` was asked for them.
    pub(crate) pinged: bool,
    /// Whether it has shown that it is a registry.
    pub(crate) is_registry: bool,
    /// Whether it has shown that it keeps signatures itself.
    pub(crate) keeps_signatures: bool,
    /// Whether it has sent us elsewhere for a blob.
    pub(crate) redirects_blobs: bool,
    /// Whether its tokens are good for so few requests that each gets its own.
    pub(crate) spends_tokens: bool,
}

/// By which a registry says that it keeps signatures itself: OpenShift's.
const KEEPS_SIGNATURES: HeaderName = HeaderName::from_static("x-registry-supports-signatures");

impl Known {
    /// Takes in what the headers of any answer of the registry say.
    pub(crate) fn learn(&mut self, headers: &HeaderMap) {
        self.keeps_signatures |=
            headers.get(KEEPS_SIGNATURES).is_some_and(|value| value.as_bytes() == b"1");
    }
}

impl Shared {
    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_anonymous(&self) -> bool {
        matches!(self.options.credentials, Credentials::Anonymous)
    }
}
