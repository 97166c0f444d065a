//! `trusted_root.json`: whom a deployment of sigstore trusts, and since when.
//!
//! It may be named where a policy names keys of logs, certificates of Fulcio, or those of a
//! time-stamping authority: what it has of that kind is what is trusted then.

use serde::Deserialize;

use super::bundle::Chain;
use super::certificate::Authority;
use super::public_key::PublicKey;
use super::rekor::Log;
use super::validity::Validity;
use super::wire::Bytes;

const MEDIA_TYPES: [&str; 3] = [
    "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    "application/vnd.dev.sigstore.trustedroot.v0.1+json",
    "application/vnd.dev.sigstore.trustedroot.v0.2+json",
];

/// What there is in such a file.
#[derive(Debug)]
pub(super) struct TrustedRoot {
    pub(super) logs: Vec<Log>,
    pub(super) fulcio: Vec<Authority>,
    pub(super) stamps: Vec<Authority>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wire {
    media_type: String,
    #[serde(default)]
    tlogs: Vec<WireLog>,
    #[serde(default)]
    certificate_authorities: Vec<WireAuthority>,
    /// Logs of certificates: nobody here asks them.
    #[serde(default, rename = "ctlogs")]
    _ctlogs: Vec<serde_json::Value>,
    #[serde(default)]
    timestamp_authorities: Vec<WireAuthority>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireLog {
    #[serde(default)]
    base_url: String,
    hash_algorithm: String,
    public_key: WireKey,
    #[serde(default)]
    log_id: Option<WireId>,
    #[serde(default)]
    checkpoint_key_id: Option<WireId>,
    #[serde(default, rename = "operator")]
    _operator: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireId {
    key_id: Bytes,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireKey {
    raw_bytes: Bytes,
    key_details: String,
    #[serde(default)]
    valid_for: Option<WireTime>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireTime {
    #[serde(default)]
    start: Option<String>,
    #[serde(default)]
    end: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireAuthority {
    #[serde(default, rename = "subject")]
    _subject: Option<serde_json::Value>,
    #[serde(default, rename = "uri")]
    _uri: Option<String>,
    cert_chain: Chain,
    #[serde(default)]
    valid_for: Option<WireTime>,
    #[serde(default, rename = "operator")]
    _operator: Option<String>,
}

impl TrustedRoot {
    /// Reads a file, if it is JSON: everything else that a policy names is PEM.
    pub(super) fn read(file: &[u8]) -> Option<Result<Self, String>> {
        let first = file.iter().find(|byte| !byte.is_ascii_whitespace());
        let parsed =
            || Self::parse(file).map_err(|error| format!("parsing a trusted root: {error}"));
        (first == Some(&b'{')).then(parsed)
    }

    fn parse(file: &[u8]) -> Result<Self, String> {
        let wire: Wire = serde_json::from_slice(file).map_err(|error| error.to_string())?;
        if !MEDIA_TYPES.contains(&wire.media_type.as_str()) {
            return Err(format!("its media type is {:?}", wire.media_type));
        }
        let mut logs = Vec::new();
        for log in wire.tlogs {
            let valid = validity(log.public_key.valid_for.as_ref())?;
            // Others may be read by newer programs: what they have logged does not count here.
            let Some(key) = key(&log.public_key.key_details, &log.public_key.raw_bytes.0) else {
                continue;
            };
            if log.hash_algorithm != "SHA2_256" {
                continue;
            }
            let id = |it: WireId| it.key_id.0;
            logs.push(Log {
                key,
                id: log.log_id.map(id),
                checkpoint_id: log.checkpoint_key_id.map(id),
                origins: origins(&log.base_url),
                valid,
            });
        }
        Ok(Self {
            logs,
            fulcio: authorities(wire.certificate_authorities)?,
            stamps: authorities(wire.timestamp_authorities)?,
        })
    }
}

fn authorities(all: Vec<WireAuthority>) -> Result<Vec<Authority>, String> {
    let authority = |it: WireAuthority| {
        let chain = it.cert_chain.certificates.into_iter().map(|it| it.raw_bytes.0).collect();
        let valid = validity(it.valid_for.as_ref())?;
        Authority::of_chain(chain, valid)
            .ok_or_else(|| "an authority has no certificate".to_owned())
    };
    all.into_iter().map(authority).collect()
}

/// What the checkpoints of the log at an address begin with: the address without its scheme, or its
/// host alone.
fn origins(url: &str) -> Vec<String> {
    let bare = url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/');
    let host = bare.split('/').next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(address) => address.split(']').next(),
        None => host.split(':').next(),
    };
    let mut origins: Vec<String> =
        [Some(bare), host].into_iter().flatten().map(str::to_owned).collect();
    origins.retain(|it| !it.is_empty());
    origins.dedup();
    origins
}

fn validity(time: Option<&WireTime>) -> Result<Validity, String> {
    time.map_or_else(
        || Ok(Validity::default()),
        |time| Validity::parse(time.start.as_deref(), time.end.as_deref()),
    )
}

/// A log's key, if it is of a kind that logs sign with.
fn key(details: &str, bytes: &[u8]) -> Option<PublicKey> {
    let key = PublicKey::from_der(bytes).ok()?;
    let fits = match details {
        "PKIX_ECDSA_P256_SHA_256" => key.is_ecdsa(),
        "PKIX_ED25519" => key.ed25519().is_some(),
        _ => false,
    };
    fits.then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_begin_with_an_address_or_its_host() {
        for (url, expected) in [
            ("", &[][..]),
            ("https://log.example.com", &["log.example.com"]),
            ("https://log.example.com/", &["log.example.com"]),
            ("log.example.com", &["log.example.com"]),
            ("http://127.0.0.1:3000", &["127.0.0.1:3000", "127.0.0.1"]),
            ("https://[::1]:3000/a/b/", &["[::1]:3000/a/b", "::1"]),
        ] {
            assert_eq!(origins(url), expected, "{url}");
        }
    }
}
