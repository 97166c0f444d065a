//! `--tls-details`: which TLS versions, cipher suites and groups may be used.

use std::path::Path;

use serde::Deserialize;

use crate::{Error, paths};

/// What containers-tls-details.yaml says. Absent means: as the program sees fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsDetails {
    /// The lowest version that is spoken.
    pub min_version: Option<TlsVersion>,
    /// The only cipher suites that are used, by their IANA names. An empty list allows none.
    pub cipher_suites: Option<Vec<String>>,
    /// The only groups that are used, by their IANA names. An empty list allows none.
    pub named_groups: Option<Vec<String>>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// 1.0
    V1_0,
    /// 1.1
    V1_1,
    /// 1.2
    V1_2,
    /// 1.3
    V1_3,
}

impl TlsDetails {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// The file is missing, has unknown keys, or names what nobody knows.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let bytes = paths::read(path).map_err(|error| error.during(format!("reading {path:?}")))?;
        let raw: Raw = std::str::from_utf8(&bytes)
            .map_err(|error| error.to_string())
            .and_then(|text| serde_saphyr::from_str(text).map_err(|error| error.to_string()))
            .map_err(|reason| Error::Invalid(format!("parsing {path:?}: {reason}")))?;
        raw.check().map_err(|reason| {
            Error::Invalid(reason).during(format!("parsing TLS details {path:?}"))
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Raw {
    min_version: Option<String>,
    cipher_suites: Option<Vec<String>>,
    named_groups: Option<Vec<String>>,
}

impl Raw {
    fn check(self) -> Result<TlsDetails, String> {
        let min_version = match self.min_version.as_deref().unwrap_or_default() {
            "" => None,
            "1.0" => Some(TlsVersion::V1_0),
            "1.1" => Some(TlsVersion::V1_1),
            "1.2" => Some(TlsVersion::V1_2),
            "1.3" => Some(TlsVersion::V1_3),
            other => return Err(format!("unrecognized TLS minimum version {other:?}")),
        };
        let unknown = |names: &Option<Vec<String>>, known: &[&str]| {
            names.iter().flatten().find(|name| !known.contains(&name.as_str())).cloned()
        };
        if let Some(name) = unknown(&self.cipher_suites, CIPHER_SUITES) {
            return Err(format!("unrecognized TLS cipher suite {name:?}"));
        }
        if let Some(name) = unknown(&self.named_groups, NAMED_GROUPS) {
            return Err(format!("unrecognized TLS named group {name:?}"));
        }
        Ok(TlsDetails {
            min_version,
            cipher_suites: self.cipher_suites,
            named_groups: self.named_groups,
        })
    }
}

/// The groups that may be named.
const NAMED_GROUPS: &[&str] = &["secp256r1", "secp384r1", "secp521r1", "x25519", "X25519MLKEM768"];

/// The suites that may be named: those that Go knows, weak ones included. Whether one can be used
/// is for the TLS library to say.
const CIPHER_SUITES: &[&str] = &[
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
];
