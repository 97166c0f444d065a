//! What went wrong with TLS, in the words of Go's crypto/tls, and what to do about it.

use std::fmt::Write as _;
use std::path::PathBuf;

use rustls::{CertificateError, Error, InvalidMessage, OtherError, PeerIncompatible};

use skopeo_x509::Refused;

use super::hint::hint;

/// The sentence, and a hint where there is one. `server` is `host:port`; `searched` are the folders
/// in which certificates were looked for.
pub(crate) fn told(
    error: &Error,
    server: &str,
    host: &str,
    searched: &[PathBuf],
) -> (String, Option<String>) {
    match error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(why))) => {
            let folders = (!searched.is_empty()).then(|| folders(searched));
            match why.downcast_ref::<Refused>() {
                Some(why) => (
                    format!("tls: failed to verify certificate: x509: {why}"),
                    Some(hint(why, server, host, folders.as_deref())),
                ),
                None => (format!("tls: failed to verify certificate: {why}"), None),
            }
        }
        Error::InvalidCertificate(CertificateError::BadSignature) => {
            ("tls: invalid signature by the server certificate".to_owned(), None)
        }
        Error::InvalidCertificate(_) => {
            ("tls: failed to verify certificate: it cannot be read".to_owned(), None)
        }
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => (
            "http: server gave HTTP response to HTTPS client".to_owned(),
            Some("--tls-verify=false allows http".to_owned()),
        ),
        Error::InvalidMessage(why) => {
            (format!("tls: invalid message: {}", spaced(&format!("{why:?}"))), None)
        }
        Error::AlertReceived(alert) => {
            let code = u8::from(*alert);
            (format!("remote error: tls: {}", alert_text(code)), alert_hint(code, server, searched))
        }
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => (
            "tls: server selected unsupported protocol version".to_owned(),
            alert_hint(PROTOCOL_VERSION, server, searched),
        ),
        Error::PeerIncompatible(why) => (
            format!("tls: no common protocol with the server: {}", spaced(&format!("{why:?}"))),
            None,
        ),
        Error::PeerMisbehaved(why) => {
            let why = spaced(&format!("{why:?}"));
            (format!("tls: the server violates the protocol: {why}"), None)
        }
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            ("tls: received unexpected handshake message".to_owned(), None)
        }
        Error::NoCertificatesPresented => {
            ("tls: received empty certificates message".to_owned(), None)
        }
        Error::DecryptError => ("tls: bad record MAC".to_owned(), None),
        other => (format!("tls: {other}"), None),
    }
}

const PROTOCOL_VERSION: u8 = 70;

/// What Go calls an alert.
fn alert_text(code: u8) -> String {
    let text = match code {
        0 => "close notify",
        10 => "unexpected message",
        20 => "bad record MAC",
        21 => "decryption failed",
        22 => "record overflow",
        30 => "decompression failure",
        40 => "handshake failure",
        42 => "bad certificate",
        43 => "unsupported certificate",
        44 => "revoked certificate",
        45 => "expired certificate",
        46 => "unknown certificate",
        47 => "illegal parameter",
        48 => "unknown certificate authority",
        49 => "access denied",
        50 => "error decoding message",
        51 => "error decrypting message",
        60 => "export restriction",
        PROTOCOL_VERSION => "protocol version not supported",
        71 => "insufficient security level",
        80 => "internal error",
        86 => "inappropriate fallback",
        90 => "user canceled",
        100 => "no renegotiation",
        109 => "missing extension",
        110 => "unsupported extension",
        111 => "certificate unobtainable",
        112 => "unrecognized name",
        113 => "bad certificate status response",
        114 => "bad certificate hash value",
        115 => "unknown PSK identity",
        116 => "certificate required",
        120 => "no application protocol",
        121 => "encrypted client hello required",
        code => return format!("alert({code})"),
    };
    text.to_owned()
}

fn alert_hint(code: u8, server: &str, searched: &[PathBuf]) -> Option<String> {
    let mut hint = match code {
        42 | 43 | 46 | 48 | 49 | 51 => {
            format!("{server} does not accept the client certificate, or there is none")
        }
        44 => format!("{server} says that the client certificate was revoked"),
        45 => format!("{server} says that the client certificate has expired"),
        116 => format!("{server} requires a client certificate"),
        PROTOCOL_VERSION => {
            return Some(format!(
                "{server} supports none of the TLS versions of this program: 1.2 and 1.3, unless --tls-details says otherwise"
            ));
        }
        40 | 71 => {
            return Some(format!(
                "{server} accepts none of the ciphers of this program, or requires a client certificate; check the ciphers in --tls-details"
            ));
        }
        112 => return Some(format!("{server} is configured for other names only")),
        _ => return None,
    };
    if !searched.is_empty() {
        let _ = write!(hint, "; put it as client.cert and client.key into {}", folders(searched));
    }
    Some(hint)
}

fn folders(searched: &[PathBuf]) -> String {
    let shown: Vec<_> = searched.iter().map(|path| path.display().to_string()).collect();
    shown.join(" or ")
}

/// `NoCipherSuitesInCommon` as `no cipher suites in common`.
fn spaced(name: &str) -> String {
    let name = name.split('(').next().unwrap_or_default();
    let mut text = String::new();
    let mut before = ' ';
    for c in name.chars() {
        if c.is_uppercase() && before.is_lowercase() {
            text.push(' ');
        }
        before = c;
        text.extend(c.to_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::AlertDescription;

    use super::*;

    #[test]
    fn alerts_are_those_of_go() {
        for (code, text) in [
            (20, "bad record MAC"),
            (44, "revoked certificate"),
            (45, "expired certificate"),
            (46, "unknown certificate"),
            (48, "unknown certificate authority"),
            (50, "error decoding message"),
            (51, "error decrypting message"),
            (70, "protocol version not supported"),
            (71, "insufficient security level"),
            (112, "unrecognized name"),
            (115, "unknown PSK identity"),
            (200, "alert(200)"),
        ] {
            let error = Error::AlertReceived(AlertDescription::from(code));
            let (said, _) = told(&error, "r.example:443", "r.example", &[]);
            assert_eq!(said, format!("remote error: tls: {text}"));
        }
    }

    #[test]
    fn hints_fit_the_cause() {
        let folders = [PathBuf::from("/etc/containers/certs.d/r.example")];
        let refused = |why: Refused| {
            let other = CertificateError::Other(OtherError(Arc::new(why)));
            let (_, hint) = told(&other.into(), "r.example:443", "r.example", &folders);
            hint.unwrap()
        };
        let until = "2020-01-01T00:00:00Z".to_owned();
        let now = "2026-01-01T00:00:00Z".to_owned();
        let hint = refused(Refused::Expired { now, until });
        assert!(hint.contains("valid until 2020-01-01T00:00:00Z; this machine's clock says 2026"));
        assert!(!hint.contains("trusted") && !hint.contains("ca.crt"), "{hint}");
        let names = vec!["a.example".to_owned()];
        let hint = refused(Refused::Name { sentence: String::new(), names });
        assert!(hint.contains("is for a.example, not for r.example"), "{hint}");
        let hint = refused(Refused::UnknownAuthority { because: None });
        assert!(hint.contains("ca.crt into /etc/containers/certs.d/r.example"), "{hint}");
        let alert = |code: u8| {
            let error = Error::AlertReceived(AlertDescription::from(code));
            told(&error, "r.example:443", "r.example", &folders).1
        };
        assert!(alert(116).unwrap().contains("client.cert"));
        assert!(alert(45).unwrap().contains("expired"));
        assert!(!alert(70).unwrap().contains("client.cert"));
        assert_eq!(alert(80), None);
    }

    #[test]
    fn no_error_shows_the_name_of_a_type() {
        for error in [
            Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
            Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13),
            Error::PeerMisbehaved(rustls::PeerMisbehaved::SelectedUnofferedCipherSuite),
            Error::InvalidMessage(InvalidMessage::MessageTooShort),
            Error::InvalidCertificate(CertificateError::UnhandledCriticalExtension),
        ] {
            let (said, _) = told(&error, "r", "r", &[]);
            let inside = said.char_indices().any(|(at, c)| {
                c.is_uppercase() && at > 0 && said.as_bytes()[at - 1].is_ascii_lowercase()
            });
            assert!(!inside && !said.contains('('), "{said}");
        }
    }
}
