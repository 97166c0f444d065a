//! Requests that were not answered: why, in words that users and scripts know from Go.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use skopeo_image::{Classify, ErrorClass};
use url::Url;

use crate::tls;

/// Why a request was not answered, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct WireError {
    kind: Kind,
    connecting: bool,
    text: String,
    // Boxed, since errors travel in every result.
    hint: Option<Box<str>>,
    /// The registry that was asked.
    host: Option<Box<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// There is no such host.
    Name,
    /// The certificate is not trusted, or TLS went wrong otherwise.
    Tls,
    /// Refused, reset, cut: may be better next time.
    Broken,
    /// Nothing came for too long: may be better next time.
    Slow,
    /// The request itself was wrong.
    Request,
}

impl WireError {
    /// Returns what `reqwest` has to say about a request to `url`, which for a socket is
    /// `unix:///PATH`.
    #[must_use]
    pub fn new(error: &reqwest::Error, url: &Url, searched: &[PathBuf]) -> Self {
        Self::via(error, url, None, searched)
    }

    /// The same of a request that was to go through a proxy.
    pub(crate) fn via(
        error: &reqwest::Error,
        url: &Url,
        proxy: Option<&Url>,
        searched: &[PathBuf],
    ) -> Self {
        let made = Self::made(error, url, proxy, searched);
        match proxy {
            Some(proxy) if made.text.starts_with(PROXY) => {
                let host = url.host_str().unwrap_or_default();
                let hint = format!(
                    "{host} is reached through the proxy {} of the environment (HTTP_PROXY, HTTPS_PROXY); with NO_PROXY={host} it is reached directly",
                    address(proxy)
                );
                Self { hint: Some(hint.into()), ..made }
            }
            None if made.hint.is_none() && url.has_host() => {
                let hint = made.reason(&address(url));
                Self { hint: hint.map(Into::into), ..made }
            }
            _ => made,
        }
    }

    /// What may be the reason that a host is not reached.
    fn reason(&self, server: &str) -> Option<String> {
        Some(match self.kind {
            Kind::Name => {
                "check the name of the host, and whether this machine can resolve names".to_owned()
            }
            Kind::Broken if self.connecting && self.text.ends_with("connection refused") => {
                format!("nothing listens at {server}: check its name and port, and whether it runs")
            }
            Kind::Broken if self.connecting && self.text.contains("unreachable") => {
                format!("this machine has no route to {server}: it may be in another network")
            }
            Kind::Slow if self.connecting => format!(
                "{server} does not answer: there may be a firewall, or a proxy is needed (HTTPS_PROXY)"
            ),
            _ => return None,
        })
    }

    fn made(error: &reqwest::Error, url: &Url, proxy: Option<&Url>, searched: &[PathBuf]) -> Self {
        let connecting = error.is_connect();
        let chain: Vec<&(dyn StdError + 'static)> =
            std::iter::successors(error.source(), |error| inner(*error)).collect();
        let dialed = proxy.unwrap_or(url);
        let dial = match proxy {
            Some(proxy) => format!("{PROXY}: {}", dial(proxy)),
            None => dial(url),
        };
        for cause in &chain {
            if let Some(error) = cause.downcast_ref::<rustls::Error>() {
                return Self::tls(error, url, searched);
            }
        }
        if connecting && chain.iter().any(|cause| cause.to_string() == "dns error") {
            let said = chain.last().map(ToString::to_string).unwrap_or_default();
            let unknown = said.contains("not known") || said.contains("No address associated");
            let reason = if unknown { "no such host" } else { said.as_str() };
            let host = dialed.host_str().unwrap_or_default();
            let through = if proxy.is_some() { format!("{PROXY}: ") } else { String::new() };
            let text = format!("{through}dial tcp: lookup {host}: {reason}");
            return Self::of(Kind::Name, true, text);
        }
        if let Some(said) = chain.iter().find_map(|cause| tunnel(&cause.to_string())) {
            return Self::of(Kind::Broken, connecting, format!("{PROXY}: {said}"));
        }
        if error.is_timeout() || chain.iter().any(|cause| is_timeout(*cause)) {
            let text =
                if connecting { format!("{dial}: i/o timeout") } else { "i/o timeout".to_owned() };
            return Self::of(Kind::Slow, connecting, text);
        }
        for cause in &chain {
            let Some(error) = cause.downcast_ref::<io::Error>() else { continue };
            let said = lower_first(&plain(error));
            let text = match error.kind() {
                _ if said == "tls handshake eof" => "EOF".to_owned(),
                io::ErrorKind::UnexpectedEof => "unexpected EOF".to_owned(),
                _ if connecting && error.raw_os_error().is_some() => {
                    format!("{dial}: connect: {said}")
                }
                _ => said,
            };
            return Self::of(Kind::Broken, connecting, text);
        }
        let said = chain.last().map_or_else(|| error.to_string(), ToString::to_string);
        let text = if said.contains("before message") || said.contains("unexpected EOF") {
            "unexpected EOF".to_owned()
        } else {
            said
        };
        let kind = if error.is_builder() { Kind::Request } else { Kind::Broken };
        Self::of(kind, connecting, text)
    }

    /// Nothing came for so long.
    pub(crate) fn silent(duration: Duration) -> Self {
        Self::of(Kind::Slow, false, format!("nothing received for {} s", duration.as_secs_f32()))
    }

    /// The answer ended before it was complete.
    pub(crate) fn cut() -> Self {
        Self::of(Kind::Broken, false, "unexpected EOF".to_owned())
    }

    /// A request that must not be sent as it is.
    pub(crate) fn bad_request(text: String) -> Self {
        Self::of(Kind::Request, false, text)
    }

    /// Whether no connection came about.
    pub(crate) fn is_connect(&self) -> bool {
        self.connecting
    }

    /// Whether nothing came for too long.
    pub(crate) fn is_silence(&self) -> bool {
        self.kind == Kind::Slow
    }

    /// Returns whether it may go well some time later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, Kind::Broken | Kind::Slow)
    }

    /// The same, which may go well the next time.
    pub(crate) fn transient(self) -> Self {
        Self { kind: Kind::Broken, ..self }
    }

    /// The same, of a registry that is named like this.
    pub(crate) fn of_host(self, host: &str) -> Self {
        Self { host: Some(host.into()), ..self }
    }

    /// The registry that was asked, as it is named.
    pub(crate) fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    fn of(kind: Kind, connecting: bool, text: String) -> Self {
        Self { kind, connecting, text, hint: None, host: None }
    }

    fn tls(error: &rustls::Error, url: &Url, searched: &[PathBuf]) -> Self {
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_matches(['[', ']']);
        let (text, hint) = tls::told(error, &address(url), host, searched);
        Self { hint: hint.map(Into::into), ..Self::of(Kind::Tls, true, text) }
    }
}

impl Classify for WireError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        Some(match self.kind {
            Kind::Name | Kind::Broken => ErrorClass::Network,
            Kind::Slow => ErrorClass::Timeout,
            Kind::Tls => ErrorClass::Tls,
            Kind::Request => ErrorClass::InvalidInput,
        })
    }

    fn hint(&self) -> Option<String> {
        self.hint.as_deref().map(str::to_owned)
    }
}

/// How Go begins what is wrong with a proxy.
const PROXY: &str = "proxyconnect tcp";

/// Why a proxy does not pass a connection on, in its own words.
fn tunnel(said: &str) -> Option<&'static str> {
    Some(match said.strip_prefix("tunnel error: ")? {
        "proxy authorization required" => "Proxy Authentication Required",
        "unexpected end of file" => "unexpected EOF",
        "unsuccessful" => "the proxy refuses the connection",
        _ => return None,
    })
}

/// The next cause, also where an `io::Error` hides it.
pub(crate) fn inner<'a>(
    error: &'a (dyn StdError + 'static),
) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(hidden) => Some(hidden),
        None => error.source(),
    }
}

fn is_timeout(error: &(dyn StdError + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::TimedOut)
}

/// What Go calls the beginning of a connection.
fn dial(url: &Url) -> String {
    match url.scheme() {
        "unix" => format!("dial unix {}", url.path()),
        _ => format!("dial tcp {}", address(url)),
    }
}

/// `host:port`.
fn address(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port_or_known_default() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// An I/O error without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}
