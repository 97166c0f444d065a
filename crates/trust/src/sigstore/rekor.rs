//! What a transparency log promised: the signed entry timestamp (SET) that lies beside a signature.
//!
//! The promise is about one entry, so the entry has to be about this very signature, payload and
//! key or certificate: otherwise a promise about anything else would do.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use serde::Deserialize;
use skopeo_image::{Digest, go_json};

use super::checkpoint::key_id;
use super::pem;
use super::public_key::PublicKey;
use super::validity::Validity;
use crate::strict::{self, Fields};

/// What the log has to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    /// The signer's key or certificate, in PEM.
    pub(super) signer: &'a str,
    /// The signature, in base64.
    pub(super) signature: &'a str,
    /// What was signed.
    pub(super) payload: &'a [u8],
}

/// A transparency log that is believed.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) key: PublicKey,
    /// What it calls itself in entries, if that is known.
    pub(super) id: Option<Vec<u8>>,
    /// The same, of which the first bytes may do.
    pub(super) checkpoint_id: Option<Vec<u8>>,
    /// What its checkpoints may begin with, if that is known.
    pub(super) origins: Vec<String>,
    /// When its key was in use.
    pub(super) valid: Validity,
}

/// So much of an identifier of a key is in signatures of checkpoints.
const SHORT: usize = 4;

impl Log {
    /// One of which nothing is known but its key.
    pub(super) fn of(key: PublicKey) -> Self {
        let (id, checkpoint_id) = (None, None);
        Self { key, id, checkpoint_id, origins: Vec::new(), valid: Validity::default() }
    }

    /// Whether it may be what an entry calls its log. Nobody signed that name: it only tells which
    /// key to try.
    pub(super) fn may_be(&self, name: &[u8]) -> bool {
        if let Some(id) = &self.id {
            return id == name;
        }
        if let Some(id) = &self.checkpoint_id {
            return id == name || (id.len() == SHORT && name.starts_with(id));
        }
        self.name() == name || self.origins.iter().any(|it| key_id(&self.key, it) == name)
    }

    /// What it calls itself in promises.
    fn name(&self) -> Vec<u8> {
        let own = || digest(&SHA256, self.key.der()).as_ref().to_vec();
        self.id.clone().unwrap_or_else(own)
    }

    /// Whether it promised that. A log of which only the key is known may call itself anything, as
    /// in the original.
    fn promised(&self, taken: &Taken, timestamp: &[u8]) -> bool {
        let named = self.id.as_ref().is_none_or(|id| hex(id) == taken.log_id);
        named
            && self.valid.contains(taken.integrated_time)
            && self.key.verify_asn1(taken.canonical().as_bytes(), timestamp).is_ok()
    }
}

/// A promise as bundles have it: whether a log made it, and when.
pub(super) fn promised(log: &Log, body: &[u8], time: i64, index: i64, timestamp: &[u8]) -> bool {
    let exact = |number: i64| (0..EXACT).contains(&number);
    let taken = Taken {
        body: base64::engine::general_purpose::STANDARD.encode(body),
        integrated_time: time,
        log_id: hex(&log.name()),
        log_index: index,
    };
    exact(time) && exact(index) && log.promised(&taken, timestamp)
}

/// 2^53: below it, every whole number is a float of 64 bits.
const EXACT: i64 = 9_007_199_254_740_992;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Refuses a promise that none of the logs' keys signed, or that is about another entry. Gives when
/// the log took the entry in, in seconds since 1970.
pub(super) fn verify(logs: &[Log], promise: &str, entry: Entry<'_>) -> Result<i64, String> {
    let mut fields = Fields::parse(strict::document(promise.as_bytes())?)?;
    let timestamp = fields.take("SignedEntryTimestamp");
    let payload = fields.take("Payload");
    fields.finish()?;
    let missing = |key: &str| format!("Key {key:?} missing in a JSON object");
    let timestamp = strict::data(timestamp.ok_or_else(|| missing("SignedEntryTimestamp"))?)?;
    let timestamp = timestamp.unwrap_or_default();
    let payload = payload.ok_or_else(|| missing("Payload"))?;

    let unproven = || "cryptographic signature verification of Rekor SET failed".to_owned();
    // What is not exactly such a payload has another canonical form than any log signs.
    let taken = Taken::parse(payload.get()).ok_or_else(unproven)?;
    if !logs.iter().any(|log| log.promised(&taken, &timestamp)) {
        return Err(unproven());
    }
    let body = base64::engine::general_purpose::STANDARD
        .decode(&taken.body)
        .map_err(|error| format!("parsing Rekor SET payload: illegal base64 data: {error}"))?;
    let record = Record::parse(&body)?;
    record.matches(entry)?;
    Ok(taken.integrated_time)
}

/// The members of a log's promise.
#[derive(Debug)]
struct Taken {
    body: String,
    integrated_time: i64,
    log_id: String,
    log_index: i64,
}

impl Taken {
    fn parse(text: &str) -> Option<Self> {
        let mut fields = Fields::parse(strict::document(text.as_bytes()).ok()?).ok()?;
        let mut take = |key: &str| fields.take(key);
        let (body, log_id) = (take("body")?, take("logID")?);
        let (integrated_time, log_index) = (take("integratedTime")?, take("logIndex")?);
        fields.finish().ok()?;
        let text = |raw| strict::value::<String>(raw).ok().flatten();
        Some(Self {
            body: text(body)?,
            integrated_time: whole(integrated_time.get())?,
            log_id: text(log_id)?,
            log_index: whole(log_index.get())?,
        })
    }

    /// RFC 8785: members in the order of their names, nothing between.
    fn canonical(&self) -> String {
        let Self { body, integrated_time, log_id, log_index } = self;
        let text = |text: &str| serde_json::Value::from(text).to_string();
        format!(
            r#"{{"body":{},"integratedTime":{integrated_time},"logID":{},"logIndex":{log_index}}}"#,
            text(body),
            text(log_id)
        )
    }
}

/// A number as RFC 8785 sees it: a float of 64 bits, here without a fraction.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "no fraction, and below 2^53, so that it is exact"
)]
fn whole(text: &str) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number: f64 = serde_json::from_str(text).ok()?;
    (number.fract() == 0.0 && number.abs() < EXACT).then_some(number as i64)
}

/// The entry itself: `hashedrekord`, read as Go reads it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Record {
    kind: String,
    api_version: Option<String>,
    spec: Spec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    data: Option<Data>,
    signature: Option<Signed>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Data {
    hash: Option<Hash>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Hash {
    algorithm: Option<String>,
    value: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Signed {
    content: String,
    public_key: Option<Key>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Key {
    content: String,
}

impl Record {
    fn parse(body: &[u8]) -> Result<Self, String> {
        let broken = |error| format!("decoding the body of a Rekor SET payload: {error}");
        let record: Self = go_json::from_slice(body).map_err(|error| broken(error.to_string()))?;
        if record.kind != "hashedrekord" {
            return Err(broken(format!("invalid kind value: {:?}", record.kind)));
        }
        match record.api_version.as_deref() {
            Some("0.0.1") => Ok(record),
            Some(other) => {
                Err(format!("unsupported Rekor SET Payload hashedrekord version {other:?}"))
            }
            None => Err("missing Rekor SET Payload API version".to_owned()),
        }
    }

    /// Refuses an entry of another key or certificate, signature or payload.
    fn matches(&self, entry: Entry<'_>) -> Result<(), String> {
        let signed = required(self.spec.signature.as_ref(), "signature")?;
        let key = required(signed.public_key.as_ref(), "signature.publicKey")?;
        let key = String::from_utf8(decode(&key.content)?)
            .map_err(|_| "publicKey in Rekor SET is not in PEM format")?;
        let (known, behind) =
            pem::first(&key).ok_or("publicKey in Rekor SET is not in PEM format")?;
        if !behind.is_empty() {
            return Err("publicKey in Rekor SET has trailing data".to_owned());
        }
        let own = "public key or cert to be matched against publicKey in Rekor SET";
        let (wanted, behind) =
            pem::first(entry.signer).ok_or_else(|| format!("{own} is not in PEM format"))?;
        if !behind.is_empty() {
            return Err(format!("{own} has trailing data"));
        }
        if known.bytes != wanted.bytes {
            return Err("publicKey in Rekor SET does not match".to_owned());
        }

        let signature = decode(entry.signature)
            .map_err(|error| format!("decoding signature base64: {error}"))?;
        let logged = decode(&signed.content)?;
        if logged != signature {
            let shown = |bytes: &[u8]| format!("{:?}", bytes.escape_ascii().to_string());
            return Err(format!(
                "signature in Rekor SET does not match: {} vs. {}",
                shown(&logged),
                shown(&signature)
            ));
        }

        let data = required(self.spec.data.as_ref(), "data")?;
        let hash = required(data.hash.as_ref(), "data.hash")?;
        let algorithm = required(hash.algorithm.as_deref(), "data.hash.algorithm")?;
        if algorithm != "sha256" {
            return Err(format!("Unexpected \"data.hash.algorithm\" value {algorithm:?}"));
        }
        let value = required(hash.value.as_deref(), "data.hash.value")?;
        if Digest::sha256(entry.payload).hex().eq_ignore_ascii_case(value) {
            Ok(())
        } else {
            Err("payload in Rekor SET does not match".to_owned())
        }
    }
}

fn required<T>(field: Option<T>, name: &str) -> Result<T, String> {
    field.ok_or_else(|| format!("Missing {name:?} field in hashedrekord"))
}

fn decode(text: &str) -> Result<Vec<u8>, String> {
    let text = text.replace(['\r', '\n'], "");
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .map_err(|error| format!("illegal base64 data: {error}"))
}
