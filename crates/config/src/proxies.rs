//! The proxies of the environment, by Go's rules.

use std::fmt;

use tracing::warn;
use url::Url;

use crate::{Environment, env};

/// Which proxies to use.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http://` URLs.
    pub http: Option<Url>,
    /// For `https://` URLs.
    pub https: Option<Url>,
    /// Hosts that are reached directly, as written: names, domains, networks, separated by commas.
    pub no_proxy: Option<String>,
}

/// Without the passwords that may stand in the URLs.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = |url: &Option<Url>| url.as_ref()?.host_str().map(str::to_owned);
        f.debug_struct("Proxies")
            .field("http", &host(&self.http))
            .field("https", &host(&self.https))
            .field("no_proxy", &self.no_proxy)
            .finish()
    }
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
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let parsed = Url::parse(&text).ok().filter(known).filter(Url::has_host);
    if parsed.is_none() {
        // Not shown: it may hold a password.
        warn!("ignoring a proxy that is not a URL");
    }
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> String {
        let environment = Environment::fixed(vars.iter().copied(), "/home", 0, "/");
        let found = Proxies::read(&environment);
        let url = |url: Option<Url>| url.map(String::from).unwrap_or_default();
        let no = found.no_proxy.unwrap_or_default();
        format!("{}|{}|{no}", url(found.http), url(found.https))
    }

    #[test]
    fn passwords_do_not_print() {
        let vars = [("HTTP_PROXY", "http://u:hush@a:1"), ("HTTPS_PROXY", "u:hush@b")];
        let proxies = Proxies::read(&Environment::fixed(vars, "/home", 0, "/"));
        let text = r#"Proxies { http: Some("a"), https: Some("b"), no_proxy: None }"#;
        assert_eq!(format!("{proxies:?}"), text);
    }

    #[test]
    fn variables_in_capitals_come_first() {
        for (vars, expected) in [
            (&[][..], "||"),
            (&[("HTTP_PROXY", "http://a:1"), ("http_proxy", "http://b:1")], "http://a:1/||"),
            (&[("http_proxy", "b:3128")], "http://b:3128/||"),
            (&[("HTTPS_PROXY", ""), ("https_proxy", "https://u:p@b")], "|https://u:p@b/|"),
            (&[("HTTPS_PROXY", "socks5://b:1080")], "|socks5://b:1080|"),
            (&[("HTTPS_PROXY", "b")], "|http://b/|"),
            (&[("HTTPS_PROXY", "http://")], "||"),
            (&[("HTTPS_PROXY", "ftp://b")], "||"),
            (&[("HTTPS_PROXY", "localhost:3128")], "|http://localhost:3128/|"), // not a scheme
            (&[("no_proxy", "a,.b:80, 10.0.0.0/8")], "||a,.b:80, 10.0.0.0/8"),
            (&[("ALL_PROXY", "http://a")], "||"),
            (&[("HTTP_PROXY", "a"), ("REQUEST_METHOD", "GET")], "||"), // set by whoever asks
            (&[("http_proxy", "a"), ("REQUEST_METHOD", "GET")], "http://a/||"),
        ] {
            assert_eq!(read(vars), expected, "{vars:?}");
        }
    }
}
