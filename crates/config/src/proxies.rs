//! The proxies of the environment, by Go's rules.

use tracing::warn;
use url::Url;

use crate::{Environment, env};

/// Which proxies to use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http://` URLs.
    pub http: Option<Url>,
    /// For `https://` URLs.
    pub https: Option<Url>,
    /// Hosts that are reached directly, as written: names, domains, networks, separated by commas.
    pub no_proxy: Option<String>,
}

impl Proxies {
    /// Reads `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, in capitals first, then in lower case.
    #[must_use]
    pub fn read(environment: &Environment) -> Self {
        let either =
            |name: &str| environment.text(name).or_else(|| environment.text(&name.to_lowercase()));
        // A web server hands a request's `Proxy` header to CGI programs as HTTP_PROXY, so there the
        // sender would choose the proxy. The name in lower case cannot come from a header.
        let http = if environment.var(env::REQUEST_METHOD).is_some() {
            environment.text(&env::HTTP_PROXY.to_lowercase())
        } else {
            either(env::HTTP_PROXY)
        };
        Self {
            http: http.and_then(|text| parse(&text)),
            https: either(env::HTTPS_PROXY).and_then(|text| parse(&text)),
            no_proxy: either(env::NO_PROXY),
        }
    }
}

/// A URL, or `host:port` of an http proxy. What is neither is not used.
fn parse(text: &str) -> Option<Url> {
    let text = text.trim();
    let known = |url: &Url| matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h");
    let parsed = Url::parse(text).ok().filter(known).filter(Url::has_host);
    let parsed = parsed.or_else(|| Url::parse(&format!("http://{text}")).ok());
    if parsed.is_none() {
        // Not shown: it may hold a password.
        warn!("ignoring a proxy that is no URL");
    }
    parsed
}
