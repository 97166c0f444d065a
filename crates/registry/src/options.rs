//! What a [`Client`](crate::Client) is made of: everything is given in, nothing is read.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use skopeo_image::Secret;
use url::Url;

use crate::redact::redacted;

/// One registry as one identity sees it.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// `host[:port]` as in image names; `docker.io` is served by `registry-1.docker.io`.
    pub host: String,
    /// Who asks.
    pub credentials: Credentials,
    /// Certificates and ciphers.
    pub tls: TlsOptions,
    /// Accept any certificate, and http where https does not answer.
    pub insecure: bool,
    /// The whole `User-Agent` value.
    pub user_agent: String,
    /// Which requests go through a proxy.
    pub proxy: ProxyRules,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// What is tried again, and when.
    pub retry: RetryPolicy,
    /// How much is asked at once.
    pub pace: PaceOptions,
    /// Over how many connections a large blob is read.
    pub ranges: RangeOptions,
}

impl ClientOptions {
    /// Returns an anonymous, secure client of `host` with the usual limits.
    #[must_use]
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            credentials: Credentials::Anonymous,
            tls: TlsOptions::default(),
            insecure: false,
            user_agent: concat!("skopeo/", env!("CARGO_PKG_VERSION")).to_owned(),
            proxy: ProxyRules::default(),
            timeouts: Timeouts::default(),
            retry: RetryPolicy::default(),
            pace: PaceOptions::default(),
            ranges: RangeOptions::default(),
        }
    }
}

/// Who asks. Sent only to the registry and to the token server that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Nobody in particular.
    #[default]
    Anonymous,
    /// A name and a password, sent as such or exchanged for a token.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// An OAuth2 refresh token, exchanged for tokens.
    IdentityToken(Secret),
    /// A bearer token that is sent as it is.
    RegistryToken(Secret),
}

/// How TLS connections are made.
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    /// PEM files of certificates to trust in addition to the system's.
    pub extra_roots_pem: Vec<Vec<u8>>,
    /// Whether these are the only ones to trust, and the system's do not count.
    pub only_extra_roots: bool,
    /// Client certificates; the one that the server asks for is sent.
    pub client_pairs: Vec<ClientPair>,
    /// Versions, ciphers and groups.
    pub details: TlsDetails,
    /// Folders in which certificates were looked for; used in hints only.
    pub searched: Vec<PathBuf>,
}

/// A client certificate and its key.
#[derive(Clone)]
pub struct ClientPair {
    /// What errors call this pair: usually the path of the certificate.
    pub name: String,
    /// The certificate and its chain, in PEM.
    pub certificate_pem: Vec<u8>,
    /// The private key, in PEM.
    pub key_pem: Secret,
}

impl fmt::Debug for ClientPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientPair").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What `--tls-details` may say. Names are checked when the client is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsDetails {
    /// `1.0`, `1.1`, `1.2` or `1.3`. Below 1.2 nothing is spoken whatever this says.
    pub min_version: Option<String>,
    /// IANA names. Those this program does not implement are passed over.
    pub cipher_suites: Option<Vec<String>>,
    /// IANA names of key exchange groups, in order of preference.
    pub named_groups: Option<Vec<String>>,
}

/// Which requests go through a proxy, by the rules of Go's `ProxyFromEnvironment`.
#[derive(Clone, Default)]
pub struct ProxyRules {
    /// For http requests.
    pub http: Option<Url>,
    /// For https requests.
    pub https: Option<Url>,
    /// Hosts that are asked directly, as in `NO_PROXY`.
    pub no_proxy: String,
}

impl fmt::Debug for ProxyRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyRules")
            .field("http", &self.http.as_ref().map(redacted))
            .field("https", &self.https.as_ref().map(redacted))
            .field("no_proxy", &self.no_proxy)
            .finish()
    }
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, its name lookup and TLS included.
    pub connect: Duration,
    /// For the next byte, or for the answer to a question.
    pub idle: Duration,
    /// For the answer to a finished upload or manifest: registries may be moving it just then.
    pub commit: Duration,
}

impl Timeouts {
    /// The longest that a connection may take to make, whatever else is said.
    const CONNECT: Duration = Duration::from_secs(30);

    /// How much longer than others the answers may take for which a registry moves bytes.
    const COMMIT: u32 = 10;

    /// For a line that may be silent for `idle`; the others follow from it.
    #[must_use]
    pub fn of_idle(idle: Duration) -> Self {
        // More would not fit into the sums that are made of these.
        let idle = idle.min(Duration::from_secs(365 * 24 * 3600));
        Self { connect: idle.min(Self::CONNECT), idle, commit: idle.saturating_mul(Self::COMMIT) }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self::of_idle(Duration::from_secs(60))
    }
}

/// What is tried again, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often a request is sent at most, the first time included.
    pub tries: u32,
    /// The pause before the second try; it doubles from there, and up to a quarter is added.
    pub pause: Duration,
    /// The same after "too many requests" where the registry names no time.
    pub busy_pause: Duration,
    /// All pauses of one request together are not longer than this, whatever the registry says.
    pub longest_wait: Duration,
    /// A download that got this many bytes further has all its tries again.
    pub progress: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            tries: 5,
            pause: Duration::from_millis(300),
            busy_pause: Duration::from_secs(2),
            longest_wait: Duration::from_secs(60),
            progress: 1024 * 1024,
        }
    }
}

/// How much is asked of a registry at once, at most. What the registry itself says comes on top.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PaceOptions {
    /// How many requests may be in flight; `None` for as many as there are.
    pub in_flight: Option<NonZeroUsize>,
    /// How many requests are sent in a second; more than 0. `None` for as many as there are.
    pub per_second: Option<f64>,
}

/// How a large blob is read over several connections, each of which brings some ranges of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeOptions {
    /// How many connections one blob may have; with one, no ranges are asked for.
    pub connections: NonZeroUsize,
    /// Blobs of fewer bytes come over one connection.
    pub threshold: u64,
    /// The length of a range in bytes; one and a half as many as there are connections are in
    /// memory at most.
    pub length: u64,
}

impl Default for RangeOptions {
    fn default() -> Self {
        Self { connections: NonZeroUsize::MIN, threshold: 32 << 20, length: 8 << 20 }
    }
}
