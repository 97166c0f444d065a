//! Browsers: which names the server answers to, and whose pages may change something.
//!
//! A browser on this machine reaches what listens on loopback, and may be sent there by any page.
//! A page of another site must not push (its requests carry `Origin` or `Sec-Fetch-Site`), and a
//! name that leads here only since a moment ago must not make a page one of ours (DNS rebinding).

use std::net::IpAddr;

use http::header::{self, HeaderMap};
use http::{Method, Request};

use crate::error::{ApiError, Code};

/// Where a listener listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Local {
    /// Whether only this machine can reach it.
    pub(crate) loopback: bool,
    /// The name that it was told to listen on, if it was a name.
    pub(crate) name: Option<String>,
}

/// The names that a server answers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// All. For tests.
    Any,
    /// On loopback: addresses, names without a dot, `localhost` and what is below it, the names of
    /// the host that containers know, and these. Elsewhere: all, or only these if there are any.
    /// Pages of these may push, too.
    Known(Vec<String>),
}

impl Default for Hosts {
    fn default() -> Self {
        Self::Known(Vec::new())
    }
}

impl Hosts {
    /// Refuses what a page of another site asks for.
    pub(crate) fn admit<B>(&self, local: &Local, request: &Request<B>) -> Result<(), ApiError> {
        let Self::Known(known) = self else { return Ok(()) };
        let headers = request.headers();
        let authority = match request.uri().authority() {
            Some(authority) => Some(authority.as_str()),
            None => text(headers, header::HOST)?,
        };
        if let Some(authority) = authority
            && !answers_to(known, local, host(authority))
        {
            let why = format!(
                "this server does not answer to {}; use --allowed-host to allow it",
                host(authority)
            );
            return Err(ApiError::new(Code::Denied, why));
        }
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            return Ok(());
        }
        let refused =
            || ApiError::new(Code::Denied, "a page of another site must not change anything");
        match text(headers, header::ORIGIN)? {
            Some(origin) if is_same(origin, authority) => Ok(()),
            Some(origin) => {
                let site = origin.split_once("://").map(|(_, authority)| host(authority));
                let is_known = site.is_some_and(|site| contains(known, site));
                is_known.then_some(()).ok_or_else(refused)
            }
            None => match text(headers, header::HeaderName::from_static("sec-fetch-site"))? {
                Some("cross-site" | "same-site") => Err(refused()),
                _ => Ok(()),
            },
        }
    }
}

/// A header that must not be there twice, nor be anything but text.
fn text(headers: &HeaderMap, name: header::HeaderName) -> Result<Option<&str>, ApiError> {
    let mut values = headers.get_all(&name).iter();
    let wrong = || ApiError::new(Code::Denied, format!("{name} is not one text"));
    let value = values.next().map(|value| value.to_str().map_err(|_| wrong())).transpose()?;
    if values.next().is_some() { Err(wrong()) } else { Ok(value.map(str::trim)) }
}

/// The host of `host:port`, without the brackets of an IPv6 address and a last dot.
fn host(authority: &str) -> &str {
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host.strip_suffix('.').unwrap_or(host)
}

fn answers_to(known: &[String], local: &Local, host: &str) -> bool {
    if contains(known, host) {
        return true;
    }
    if !local.loopback {
        return known.is_empty();
    }
    let host = host.to_ascii_lowercase();
    // Nobody can give a name without a dot, an address or a name below these an address of their
    // choice.
    host.parse::<IpAddr>().is_ok()
        || !host.contains('.')
        || host.ends_with(".localhost")
        || ["host.docker.internal", "host.containers.internal"].contains(&host.as_str())
        || local.name.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(&host))
}

fn contains(known: &[String], wanted: &str) -> bool {
    known.iter().any(|name| host(name).eq_ignore_ascii_case(wanted))
}

/// Whether a page's origin is the server that it asks. The scheme may be that of a proxy before us.
fn is_same(origin: &str, authority: Option<&str>) -> bool {
    let (Some((scheme, site)), Some(authority)) = (origin.split_once("://"), authority) else {
        return false;
    };
    let default = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let plain = |text: &str| text.strip_suffix(default).unwrap_or(text).to_ascii_lowercase();
    !site.is_empty() && plain(site) == plain(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(local: &Local, known: &[&str], method: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().method(method).uri("/v2/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let known = Hosts::Known(known.iter().map(|&name| name.to_owned()).collect());
        known.admit(local, &request.body(()).unwrap()).is_ok()
    }

    #[test]
    fn names_on_loopback() {
        let local = Local { loopback: true, name: Some("registry.test".into()) };
        for (host, known, answered) in [
            ("127.0.0.1:5000", &[][..], true),
            ("127.0.0.1", &[], true),
            ("[::1]:5000", &[], true),
            ("10.0.0.1:5000", &[], true), // no name, so nobody's to change
            ("localhost:5000", &[], true),
            ("LOCALHOST.:80", &[], true),
            ("a.localhost", &[], true),
            ("x", &[], true),
            ("registry:5000", &[], true),
            ("host.docker.internal:5000", &[], true),
            ("registry.test:5000", &[], true), // what it listens on
            ("evil.example", &[], false),
            ("evil.example:5000", &[], false),
            ("evil.example.:5000", &[], false),
            ("localhost.evil.example", &[], false),
            ("127.0.0.1.evil.example", &[], false),
            ("127.0.0.1.nip.io", &[], false),
            ("evillocalhost.example", &[], false),
            ("user@evil.example", &[], false),
            ("localhost@evil.example", &[], false),
            ("my.example:5000", &["my.example"], true),
            ("MY.example", &["my.example:5000"], true),
            ("not.my.example", &["my.example"], false),
            ("localhost", &["my.example"], true),
        ] {
            assert_eq!(asked(&local, known, "GET", &[("host", host)]), answered, "{host}");
        }
        assert!(asked(&local, &[], "GET", &[]), "HTTP/1.0 has no host");
        assert!(!asked(&local, &[], "GET", &[("host", "localhost"), ("host", "evil.example")]));
    }

    #[test]
    fn names_elsewhere() {
        let local = Local::default();
        for (host, known, answered) in [
            ("registry.example", &[][..], true),
            ("registry.example", &["registry.example"], true),
            ("other.example", &["registry.example"], false),
            ("10.0.0.1", &["registry.example"], false),
        ] {
            assert_eq!(asked(&local, known, "GET", &[("host", host)]), answered, "{host}");
        }
    }

    #[test]
    fn pages_of_other_sites_change_nothing() {
        let local = Local { loopback: true, name: None };
        let host = ("host", "localhost:5000");
        for (method, headers, known, allowed) in [
            ("POST", &[][..], &[][..], true),
            ("POST", &[("origin", "http://localhost:5000")], &[], true),
            ("POST", &[("origin", "https://localhost:5000")], &[], true),
            ("POST", &[("origin", "http://localhost:3000")], &[], false),
            ("POST", &[("origin", "http://localhost")], &[], false),
            ("POST", &[("origin", "http://evil.example")], &[], false),
            ("PUT", &[("origin", "null")], &[], false),
            ("PATCH", &[("origin", "")], &[], false),
            ("DELETE", &[("origin", "file://")], &[], false),
            ("OPTIONS", &[("origin", "http://evil.example")], &[], false),
            ("GET", &[("origin", "http://evil.example")], &[], true),
            ("HEAD", &[("sec-fetch-site", "cross-site")], &[], true),
            ("POST", &[("sec-fetch-site", "cross-site")], &[], false),
            ("DELETE", &[("sec-fetch-site", "same-site")], &[], false),
            ("POST", &[("sec-fetch-site", "same-origin")], &[], true),
            ("POST", &[("sec-fetch-site", "none")], &[], true),
            ("POST", &[("origin", "https://ui.example")], &["ui.example"], true),
            (
                "POST",
                &[("origin", "http://localhost:5000"), ("origin", "http://evil.example")],
                &[],
                false,
            ),
        ] {
            let headers = [&[host], headers].concat();
            let seen = asked(&local, known, method, &headers);
            assert_eq!(seen, allowed, "{method} {headers:?}");
        }
        let plain = [("host", "localhost"), ("origin", "http://localhost:80")];
        assert!(asked(&local, &[], "POST", &plain));
    }
}
