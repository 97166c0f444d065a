//! What a log has to have of a signature that is in a bundle: the entry's body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::bundle::{Certificate, Entry};
use super::wire::Bytes;
use super::{hash, pem};
use crate::hex::Hex;

/// What the log has to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signed<'a> {
    /// The bytes that were signed.
    pub(super) message: &'a [u8],
    /// What is in the envelope that was signed, if there is one.
    pub(super) payload: Option<&'a [u8]>,
    pub(super) signature: &'a [u8],
    /// The signer's key or certificate.
    pub(super) signer: &'a [u8],
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body<T> {
    kind: String,
    api_version: String,
    spec: T,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HashedRekord {
    data: Data,
    signature: Signature,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    hash: Hash,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hash {
    algorithm: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Signature {
    content: Bytes,
    public_key: Key,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    content: Bytes,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Dsse {
    #[serde(rename = "envelopeHash")]
    _envelope_hash: Hash,
    payload_hash: Hash,
    signatures: Vec<DsseSignature>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DsseSignature {
    signature: Bytes,
    verifier: Bytes,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Intoto {
    content: IntotoContent,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct IntotoContent {
    envelope: IntotoEnvelope,
    #[serde(rename = "hash")]
    _hash: Hash,
    payload_hash: Hash,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct IntotoEnvelope {
    #[serde(rename = "payloadType")]
    _payload_type: String,
    signatures: Vec<IntotoSignature>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct IntotoSignature {
    public_key: Bytes,
    sig: Bytes,
    #[serde(default, rename = "keyid")]
    _keyid: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HashedRekord2 {
    #[serde(rename = "hashedRekordV002")]
    record: HashedRekordV2,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HashedRekordV2 {
    data: Hash2,
    signature: Signature2,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hash2 {
    algorithm: String,
    digest: Bytes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature2 {
    content: Bytes,
    verifier: Verifier,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Verifier {
    #[serde(rename = "keyDetails")]
    _key_details: String,
    #[serde(default)]
    public_key: Option<Certificate>,
    #[serde(default)]
    x509_certificate: Option<Certificate>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dsse2 {
    #[serde(rename = "dsseV002")]
    record: DsseV2,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DsseV2 {
    payload_hash: Hash2,
    signatures: Vec<Signature2>,
}

/// Refuses an entry of anything else.
pub(super) fn matches(entry: &Entry, signed: Signed<'_>) -> Result<(), String> {
    let body = &entry.canonicalized_body.0;
    let (kind, version) = (&*entry.kind_version.kind, &*entry.kind_version.version);
    match (kind, version, signed.payload) {
        ("hashedrekord", "0.0.1", _) => {
            let found: HashedRekord = spec(body, kind, version)?;
            signed.message_is(&found.data.hash)?;
            signed.is_by(&found.signature.content.0, pem_of(&found.signature.public_key.content)?)
        }
        ("dsse", "0.0.1", Some(payload)) => {
            let found: Dsse = spec(body, kind, version)?;
            same(payload, &found.payload_hash.algorithm, &unhex(&found.payload_hash.value)?)?;
            let [one] = found.signatures.as_slice() else { return Err(other("signature")) };
            signed.is_by(&one.signature.0, pem_of(&one.verifier)?)
        }
        ("intoto", "0.0.2", Some(payload)) => {
            let Intoto { content } = spec(body, kind, version)?;
            let hash = &content.payload_hash;
            same(payload, &hash.algorithm, &unhex(&hash.value)?)?;
            let [one] = content.envelope.signatures.as_slice() else {
                return Err(other("signature"));
            };
            // It is base64 of what the envelope has, and that is base64.
            let signature = STANDARD.decode(&one.sig.0).map_err(|_| other("signature"))?;
            signed.is_by(&signature, pem_of(&one.public_key)?)
        }
        ("hashedrekord", "0.0.2", _) => {
            let HashedRekord2 { record } = spec(body, kind, version)?;
            same(signed.message, &record.data.algorithm, &record.data.digest.0)?;
            signed.is_by(&record.signature.content.0, record.signature.verifier.bytes()?)
        }
        ("dsse", "0.0.2", Some(payload)) => {
            let Dsse2 { record } = spec(body, kind, version)?;
            same(payload, &record.payload_hash.algorithm, &record.payload_hash.digest.0)?;
            let Ok([one]) = <[Signature2; 1]>::try_from(record.signatures) else {
                return Err(other("signature"));
            };
            signed.is_by(&one.content.0, one.verifier.bytes()?)
        }
        _ => Err(format!("the log's entry is of type {kind} {version}")),
    }
}

impl Signed<'_> {
    fn message_is(&self, hash: &Hash) -> Result<(), String> {
        same(self.message, &hash.algorithm, &unhex(&hash.value)?)
    }

    fn is_by(&self, signature: &[u8], signer: Vec<u8>) -> Result<(), String> {
        if signature != self.signature {
            return Err(other("signature"));
        }
        if signer != self.signer {
            return Err(other("key or certificate"));
        }
        Ok(())
    }
}

impl Verifier {
    fn bytes(self) -> Result<Vec<u8>, String> {
        match (self.public_key, self.x509_certificate) {
            (Some(one), None) | (None, Some(one)) => Ok(one.raw_bytes.0),
            _ => Err(other("key or certificate")),
        }
    }
}

fn spec<T: DeserializeOwned>(body: &[u8], kind: &str, version: &str) -> Result<T, String> {
    let body: Body<T> =
        serde_json::from_slice(body).map_err(|error| format!("the log's entry: {error}"))?;
    if body.kind != kind || body.api_version != version {
        return Err(other("kind"));
    }
    Ok(body.spec)
}

fn same(bytes: &[u8], algorithm: &str, logged: &[u8]) -> Result<(), String> {
    match hash::by_name(algorithm, bytes) {
        Some(hash) if hash == logged => Ok(()),
        Some(_) => Err(other("content")),
        None => Err(format!("the log's entry uses the hash {algorithm:?}")),
    }
}

/// The one block of PEM that a log has a key or certificate in.
fn pem_of(text: &Bytes) -> Result<Vec<u8>, String> {
    let text = std::str::from_utf8(&text.0).map_err(|_| other("key or certificate"))?;
    match pem::first(text) {
        Some((block, "")) => Ok(block.bytes),
        _ => Err(other("key or certificate")),
    }
}

fn unhex(text: &str) -> Result<Vec<u8>, String> {
    text.parse().map(|Hex(bytes)| bytes).map_err(|()| other("content"))
}

fn other(what: &str) -> String {
    format!("the log's entry has another {what}")
}
