//! Bundles: a signature and all that proves it, in one document (sigstore's protobuf-specs).

use serde::Deserialize;

use super::wire::{Bytes, Number};

/// More entries of logs, or times, are in no bundle.
const MOST: usize = 32;

/// More than any path in a tree has: that would have 2^64 leaves.
const MAX_PATH: usize = 64;

/// What there is in a bundle, read strictly. Nothing of it is believed.
#[derive(Debug)]
pub(super) struct Bundle {
    pub(super) signer: Shown,
    pub(super) content: Content,
    pub(super) entries: Vec<Entry>,
    /// Answers of time-stamping authorities (RFC 3161).
    pub(super) stamps: Vec<Vec<u8>>,
}

/// Who is said to have signed.
#[derive(Debug)]
pub(super) enum Shown {
    /// The owner of a key that whoever verifies has; the hint which one is not looked at.
    Key,
    /// The owner of the first certificate. The others may be above it.
    Certificates(Vec<Vec<u8>>),
}

/// What is signed.
#[derive(Debug)]
pub(super) enum Content {
    /// The bytes of the manifest.
    Message(MessageSignature),
    /// A statement about it.
    Envelope(Envelope),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct MessageSignature {
    pub(super) message_digest: Option<MessageDigest>,
    pub(super) signature: Bytes,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct MessageDigest {
    pub(super) algorithm: String,
    pub(super) digest: Bytes,
}

/// A DSSE envelope.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Envelope {
    pub(super) payload: Bytes,
    pub(super) payload_type: String,
    pub(super) signatures: Vec<EnvelopeSignature>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct EnvelopeSignature {
    pub(super) sig: Bytes,
    /// A hint that nobody signed.
    #[serde(default, rename = "keyid")]
    _keyid: Option<String>,
}

/// What a log has of the signature.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Entry {
    #[serde(default)]
    pub(super) log_index: Number,
    pub(super) log_id: LogId,
    pub(super) kind_version: KindVersion,
    #[serde(default)]
    pub(super) integrated_time: Number,
    #[serde(default)]
    pub(super) inclusion_promise: Option<Promise>,
    #[serde(default)]
    pub(super) inclusion_proof: Option<Proof>,
    pub(super) canonicalized_body: Bytes,
}

impl Entry {
    /// Whether it is of a log in tiles, Rekor's second version: such a log promises nothing and
    /// knows no times, it only proves.
    pub(super) fn is_tiled(&self) -> bool {
        let KindVersion { kind, version } = &self.kind_version;
        version == "0.0.2" && (kind == "hashedrekord" || kind == "dsse")
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LogId {
    pub(super) key_id: Bytes,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct KindVersion {
    pub(super) kind: String,
    pub(super) version: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Promise {
    pub(super) signed_entry_timestamp: Bytes,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Proof {
    #[serde(default)]
    pub(super) log_index: Number,
    #[serde(default)]
    pub(super) root_hash: Bytes,
    #[serde(default)]
    pub(super) tree_size: Number,
    #[serde(default)]
    pub(super) hashes: Vec<Bytes>,
    pub(super) checkpoint: Note,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Note {
    pub(super) envelope: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wire {
    media_type: String,
    verification_material: Material,
    #[serde(default)]
    message_signature: Option<MessageSignature>,
    #[serde(default)]
    dsse_envelope: Option<Envelope>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Material {
    #[serde(default)]
    certificate: Option<Certificate>,
    #[serde(default)]
    public_key: Option<Hint>,
    #[serde(default)]
    x509_certificate_chain: Option<Chain>,
    #[serde(default)]
    tlog_entries: Option<Vec<Entry>>,
    #[serde(default)]
    timestamp_verification_data: Option<Stamps>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Certificate {
    pub(super) raw_bytes: Bytes,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hint {
    #[serde(default, rename = "hint")]
    _hint: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Chain {
    pub(super) certificates: Vec<Certificate>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stamps {
    #[serde(default)]
    rfc3161_timestamps: Option<Vec<Stamp>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stamp {
    signed_timestamp: Bytes,
}

impl Bundle {
    /// Reads one of the versions 0.1 to 0.3.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let wire: Wire = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let version = version(&wire.media_type)
            .ok_or_else(|| format!("its media type is {:?}", wire.media_type))?;
        let Material { certificate, public_key, x509_certificate_chain: chain, .. } =
            wire.verification_material;
        let signer = match (certificate, public_key, chain) {
            (Some(certificate), None, None) => Shown::Certificates(vec![certificate.raw_bytes.0]),
            (None, Some(_), None) => Shown::Key,
            (None, None, Some(chain)) if version < Version::V3 => Shown::Certificates(
                chain.certificates.into_iter().map(|it| it.raw_bytes.0).collect(),
            ),
            (None, None, Some(_)) => return Err("it must not have a chain".to_owned()),
            _ => return Err("it must have one key or certificate".to_owned()),
        };
        let content = match (wire.message_signature, wire.dsse_envelope) {
            (Some(message), None) => Content::Message(message),
            (None, Some(envelope)) => Content::Envelope(envelope),
            _ => return Err("it must have one signature or envelope".to_owned()),
        };
        let entries = wire.verification_material.tlog_entries.unwrap_or_default();
        let stamps = wire.verification_material.timestamp_verification_data;
        let stamps = stamps.and_then(|it| it.rfc3161_timestamps).unwrap_or_default();
        if entries.len() > MOST || stamps.len() > MOST {
            return Err(format!("it has more than {MOST} log entries or timestamps"));
        }
        let mut known: Vec<(&[u8], Number)> = Vec::new();
        for entry in &entries {
            let name = (entry.log_id.key_id.0.as_slice(), entry.log_index);
            if known.contains(&name) {
                return Err("it has a log entry twice".to_owned());
            }
            known.push(name);
            if entry.inclusion_proof.as_ref().is_some_and(|it| it.hashes.len() > MAX_PATH) {
                return Err("the path in the log's tree is too long".to_owned());
            }
        }
        let stamps = stamps.into_iter().map(|it| it.signed_timestamp.0).collect();
        Ok(Self { signer, content, entries, stamps })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Version {
    V1,
    V2,
    V3,
}

fn version(media_type: &str) -> Option<Version> {
    Some(match media_type {
        "application/vnd.dev.sigstore.bundle+json;version=0.1"
        | "application/vnd.dev.sigstore.bundle.v0.1+json" => Version::V1,
        "application/vnd.dev.sigstore.bundle+json;version=0.2"
        | "application/vnd.dev.sigstore.bundle.v0.2+json" => Version::V2,
        "application/vnd.dev.sigstore.bundle+json;version=0.3"
        | "application/vnd.dev.sigstore.bundle.v0.3+json" => Version::V3,
        _ => return None,
    })
}
