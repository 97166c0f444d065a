//! Requests that were not answered: why, in words that users and scripts know from Go.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustls::CertificateError;
use skopeo_image::ErrorClass;
use url::Url;

/// Why a request was not answered, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct WireError {
    kind: Kind,
    connecting: bool,
    text: String,
    hint: Option<String>,
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
    /// What `reqwest` has to say about a request to `url`, which for a socket is `unix:///PATH`.
    #[must_use]
    pub fn new(error: &reqwest::Error, url: &Url, searched: &[PathBuf]) -> Self {
        let connecting = error.is_connect();
        let chain: Vec<&(dyn StdError + 'static)> =
            std::iter::successors(error.source(), |error| inner(*error)).collect();
        let dial = dial(url);
        for cause in &chain {
            if let Some(error) = cause.downcast_ref::<rustls::Error>() {
                return Self::tls(error, url, searched);
            }
        }
        if connecting && chain.iter().any(|cause| cause.to_string() == "dns error") {
            let said = chain.last().map(ToString::to_string).unwrap_or_default();
            let unknown = said.contains("not known") || said.contains("No address associated");
            let reason = if unknown { "no such host" } else { said.as_str() };
            let host = url.host_str().unwrap_or_default();
            return Self::of(Kind::Name, true, format!("dial tcp: lookup {host}: {reason}"));
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

    /// Whether it may go well some time later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, Kind::Broken | Kind::Slow)
    }

    /// What kind of error it is.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self.kind {
            Kind::Name | Kind::Broken => ErrorClass::Network,
            Kind::Slow => ErrorClass::Timeout,
            Kind::Tls => ErrorClass::Tls,
            Kind::Request => ErrorClass::InvalidInput,
        }
    }

    /// What the user may do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    fn of(kind: Kind, connecting: bool, text: String) -> Self {
        Self { kind, connecting, text, hint: None }
    }

    fn tls(error: &rustls::Error, url: &Url, searched: &[PathBuf]) -> Self {
        let host = url.host_str().unwrap_or_default();
        let (text, hint) = match error {
            rustls::Error::InvalidCertificate(problem) => (
                format!("tls: failed to verify certificate: {}", certificate(problem, host)),
                Some(certificate_hint(problem, url, searched)),
            ),
            rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => (
                "http: server gave HTTP response to HTTPS client".to_owned(),
                Some("--tls-verify=false allows http".to_owned()),
            ),
            rustls::Error::AlertReceived(alert) => (
                format!("remote error: tls: {}", spaced(&format!("{alert:?}"))),
                (*alert == rustls::AlertDescription::CertificateRequired)
                    .then(|| client_hint(url, searched)),
            ),
            other => (format!("tls: {other}"), None),
        };
        Self { kind: Kind::Tls, connecting: true, text, hint }
    }
}

/// The next cause, also where an `io::Error` hides it.
fn inner<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
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

/// `UnknownCA` as `unknown CA`.
fn spaced(name: &str) -> String {
    let mut text = String::new();
    let mut before = ' ';
    for c in name.chars() {
        if c.is_uppercase() && before.is_lowercase() {
            text.push(' ');
        }
        before = c;
        text.push(c);
    }
    let words: Vec<String> = text
        .split(' ')
        .map(|w| if w.chars().all(char::is_uppercase) { w.to_owned() } else { w.to_lowercase() })
        .collect();
    words.join(" ")
}

/// In the words of Go's x509.
fn certificate(problem: &CertificateError, host: &str) -> String {
    match problem {
        CertificateError::UnknownIssuer => {
            "x509: certificate signed by unknown authority".to_owned()
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            "x509: certificate has expired or is not yet valid".to_owned()
        }
        CertificateError::NotValidForName => {
            format!("x509: certificate is not valid for {host}")
        }
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            format!("x509: certificate is not valid for any names, but wanted to match {host}")
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names: Vec<&str> = presented.iter().map(|name| bare_name(name)).collect();
            format!("x509: certificate is valid for {}, not {host}", names.join(", "))
        }
        other => format!("x509: {other}"),
    }
}

/// `DnsName("x")` as `x`.
fn bare_name(name: &str) -> &str {
    let quoted = name.split_once("(\"").and_then(|(_, rest)| rest.strip_suffix("\")"));
    let bare = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    quoted.or(bare).unwrap_or(name)
}

fn client_hint(url: &Url, searched: &[PathBuf]) -> String {
    let mut hint = format!("{} wants a client certificate", address(url));
    if !searched.is_empty() {
        let _ = write!(hint, "; put it as client.cert and client.key into {}", folders(searched));
    }
    hint
}

fn folders(searched: &[PathBuf]) -> String {
    let shown: Vec<_> = searched.iter().map(|path| path.display().to_string()).collect();
    shown.join(" or ")
}

fn certificate_hint(problem: &CertificateError, url: &Url, searched: &[PathBuf]) -> String {
    let mut hint = format!("the certificate of {} is not trusted", address(url));
    if matches!(problem, CertificateError::UnknownIssuer) && !searched.is_empty() {
        let folders = folders(searched);
        let _ = write!(hint, "; put the certificate of its authority as ca.crt into {folders}");
        hint.push_str(", or give --tls-verify=false to accept any certificate");
    } else {
        hint.push_str("; --tls-verify=false accepts any certificate");
    }
    hint
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::ServerName;

    use super::*;

    #[test]
    fn certificates_are_explained() {
        let url = Url::parse("https://r.example:5000/v2/").unwrap();
        let folders = [PathBuf::from("/etc/containers/certs.d/r.example:5000")];
        for (problem, text, hint) in [
            (
                CertificateError::UnknownIssuer,
                "x509: certificate signed by unknown authority",
                "/etc/containers/certs.d/r.example:5000, or give --tls-verify=false",
            ),
            (
                CertificateError::NotValidForNameContext {
                    expected: ServerName::try_from("r.example").unwrap(),
                    presented: vec!["DnsName(\"a\")".into(), "IpAddress(127.0.0.1)".into()],
                },
                "x509: certificate is valid for a, 127.0.0.1, not r.example",
                "--tls-verify=false",
            ),
            (
                CertificateError::Expired,
                "x509: certificate has expired or is not yet valid",
                "--tls-verify=false",
            ),
        ] {
            let error = WireError::tls(&rustls::Error::InvalidCertificate(problem), &url, &folders);
            assert_eq!(error.to_string(), format!("tls: failed to verify certificate: {text}"));
            let shown = error.hint().unwrap();
            assert!(shown.contains(hint) && shown.contains("r.example:5000"), "{shown}");
            assert!(!error.is_transient());
        }
    }

    #[test]
    fn alerts_are_words() {
        for (name, words) in
            [("UnknownCA", "unknown CA"), ("HandshakeFailure", "handshake failure")]
        {
            assert_eq!(spaced(name), words);
        }
    }
}
