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

impl TlsVersion {
    /// Returns the version as it is written: `1.2`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::V1_0, Self::V1_1, Self::V1_2, Self::V1_3]
            .into_iter()
            .find(|version| version.as_str() == text)
    }
}

impl TlsDetails {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// The file is missing, has unknown keys, or names what nobody knows.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let bytes = paths::read(path).map_err(|error| error.during(format!("reading {path:?}")))?;
        let raw: Option<Raw> = std::str::from_utf8(&bytes)
            .map_err(|error| error.to_string())
            .and_then(|text| serde_saphyr::from_str(text).map_err(|error| error.to_string()))
            .map_err(|reason| Error::Invalid(format!("parsing {path:?}: {reason}")))?;
        // A file that was cut off must not pass for one without wishes.
        let raw = raw.ok_or_else(|| Error::Invalid(format!("parsing {path:?}: EOF")))?;
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
            text => Some(
                TlsVersion::parse(text)
                    .ok_or_else(|| format!("unrecognized TLS minimum version {text:?}"))?,
            ),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Machine;

    fn load(text: &str) -> Result<TlsDetails, String> {
        let machine = Machine::new().file("t.yaml", text);
        TlsDetails::load(&machine.path("t.yaml")).map_err(|error| machine.plain(&error))
    }

    #[test]
    fn what_may_be_said() {
        let all = "minVersion: \"1.2\"\n\
                   cipherSuites: [TLS_AES_128_GCM_SHA256, TLS_RSA_WITH_RC4_128_SHA]\n\
                   namedGroups:\n- secp256r1\n- X25519MLKEM768\n";
        let found = load(all).unwrap();
        assert_eq!(found.min_version.map(TlsVersion::as_str), Some("1.2"));
        assert_eq!(found.cipher_suites.unwrap().len(), 2);
        assert_eq!(found.named_groups.unwrap(), ["secp256r1", "X25519MLKEM768"]);
        assert_eq!(load("{}").unwrap(), TlsDetails::default());
        assert_eq!(load("minVersion: 1.3").unwrap().min_version, Some(TlsVersion::V1_3));
        let empty = load("minVersion: ''\ncipherSuites: []\nnamedGroups: []").unwrap();
        assert_eq!(empty.min_version, None);
        assert_eq!(empty.cipher_suites, Some(Vec::new()));
        assert!(TlsVersion::V1_2 < TlsVersion::V1_3);
    }

    #[test]
    fn what_may_not() {
        for (text, expected) in [
            (
                "minVersion: 3",
                "parsing TLS details \"/t.yaml\": unrecognized TLS minimum version \"3\"",
            ),
            (
                "cipherSuites: [X]",
                "parsing TLS details \"/t.yaml\": unrecognized TLS cipher suite \"X\"",
            ),
            (
                "namedGroups: [X25519]",
                "parsing TLS details \"/t.yaml\": unrecognized TLS named group \"X25519\"",
            ),
        ] {
            assert_eq!(load(text).unwrap_err(), expected, "{text}");
        }
        for text in [
            "minVersion: {}",
            "cipherSuites: text",
            "unknown: true",
            "minVersion: 1\nminVersion: 1.2",
            "[",
            "",
        ] {
            let error = load(text).unwrap_err();
            assert!(error.starts_with("parsing \"/t.yaml\": "), "{text:?}: {error}");
        }
        let missing = TlsDetails::load(Path::new("/none.yaml")).unwrap_err().chain();
        let expected = "reading \"/none.yaml\": open /none.yaml: no such file or directory";
        assert_eq!(missing, expected);
    }
}
