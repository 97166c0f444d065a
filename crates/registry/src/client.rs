//! One registry, as one identity sees it.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use http::Method;
use url::Url;

use crate::call::Call;
use crate::connections::Connections;
use crate::error::Error;
use crate::options::{ClientOptions, ProxyRules, Timeouts, TlsOptions};
use crate::pace::Pace;
use crate::shared::Shared;
use crate::tls;
use crate::token::Tokens;

/// One registry as one identity sees it: its connections, its tokens, what is known of it.
///
/// Cheap to clone; all clones are one. Meant to live as long as the process.
#[derive(Clone)]
pub struct Client(pub(crate) Arc<Shared>);

impl Client {
    /// Returns a client; no connection is made yet.
    ///
    /// # Errors
    /// TLS options that are of no use, or a host that is none.
    pub fn new(options: ClientOptions) -> Result<Self, Error> {
        let server = match options.host.as_str() {
            "docker.io" => "registry-1.docker.io",
            host => host,
        }
        .to_owned();
        let is_host = Url::parse(&format!("https://{server}/v2/")).is_ok_and(|url| {
            url.path() == "/v2/" && url.query().is_none() && url.username().is_empty()
        });
        if !is_host {
            return Err(Error::Protocol(format!("invalid registry host {server:?}")));
        }
        let (tls, trust) = tls::config(&options.tls, options.insecure)?;
        let mut http1 = tls.clone();
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        let make = |tls| connections(tls, options.proxy.clone(), &options.timeouts);
        let connections = Connections::new(build(make(tls))?, build(make(http1).http1_only())?);
        let pace = Pace::new(&options.host, &options.pace, options.retry.longest_wait);
        Ok(Self(Arc::new(Shared {
            options,
            server,
            connections,
            trust,
            tokens: Tokens::default(),
            pace,
            requests: AtomicU64::new(0),
            warned: Mutex::default(),
            first: tokio::sync::Mutex::new(()),
            known: Mutex::default(),
        })))
    }

    /// Asks whether the credentials are good: what `login` does.
    ///
    /// # Errors
    /// [`Error::BadCredentials`] if they are not; anything else if that could not be found out.
    pub async fn check_login(&self) -> Result<(), Error> {
        let response = self.0.send(&Call::new(Method::GET, "/v2/").scopes(Vec::new())).await?;
        match response.status().as_u16() {
            200 => self.0.done(response).await.map(drop),
            401 => {
                let source = Box::new(self.0.refusal(response).await);
                Err(Error::BadCredentials { source })
            }
            _ => Err(self.0.refusal(response).await),
        }
    }

    /// Returns whether the registry has said so far that it keeps signatures itself.
    #[must_use]
    pub fn keeps_signatures(&self) -> bool {
        self.0.known().keeps_signatures
    }

    /// Returns the host as the options gave it.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.0.options.host
    }

    /// Returns how many requests have been sent, those to token servers and after redirects
    /// included.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.0.requests.load(Ordering::Relaxed)
    }
}

/// Connections as those of a [`Client`] are made, for who speaks something else than the
/// distribution protocol over them; to a socket, where one is given.
///
/// # Errors
/// TLS options that are of no use.
pub fn http_client(
    tls: &TlsOptions,
    insecure: bool,
    proxy: ProxyRules,
    timeouts: &Timeouts,
    socket: Option<&Path>,
) -> Result<reqwest::Client, Error> {
    let (tls, _) = tls::config(tls, insecure)?;
    let builder = connections(tls, proxy, timeouts);
    #[cfg(unix)]
    let builder = match socket {
        Some(path) => builder.unix_socket(path),
        None => builder,
    };
    #[cfg(not(unix))]
    if let Some(path) = socket {
        let path = path.display();
        return Err(Error::Protocol(format!(
            "{path}: there are no sockets of files on this system"
        )));
    }
    build(builder)
}

fn connections(
    tls: rustls::ClientConfig,
    proxy: ProxyRules,
    timeouts: &Timeouts,
) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .proxy(reqwest::Proxy::custom(move |url| proxy.proxy_for(url).cloned()))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(timeouts.connect)
        .tcp_keepalive(std::time::Duration::from_secs(30))
        // Some windows for six layers at once over a line with a long way.
        .http2_initial_stream_window_size(2 * 1024 * 1024)
        .http2_initial_connection_window_size(8 * 1024 * 1024)
}

fn build(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, Error> {
    builder.build().map_err(|error| Error::Protocol(format!("preparing connections: {error:?}")))
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("host", &self.0.options.host).finish_non_exhaustive()
    }
}
