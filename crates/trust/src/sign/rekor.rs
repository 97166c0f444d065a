//! Rekor, the transparency log: what is sent to it, and what is kept of its answer.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use skopeo_image::{Digest, go_json};

use crate::hex::Hex;

/// The versions of the service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// A log that promises entries and says when it took them in.
    #[default]
    V1,
    /// A log in tiles, which only proves that it has an entry.
    V2,
}

impl Version {
    /// Returns where entries are made, below the address of a log.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::V1 => "api/v1/log/entries",
            Self::V2 => "api/v2/log/entries",
        }
    }
}

/// Why an answer of a log is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RekorError {
    /// Not the JSON of an entry.
    #[error("parsing the answer of Rekor")]
    Json(#[from] serde_json::Error),
    /// Not one entry.
    #[error("expected 1 Rekor entry, got {0}")]
    Count(usize),
    /// An entry without what proves it.
    #[error("Rekor entry has no signed entry timestamp")]
    NoTimestamp,
    /// An entry without the proof that it is in the log.
    #[error("Rekor entry has no inclusion proof")]
    NoProof,
    /// A proof that does not lead from the entry to the checkpoint.
    #[error("Rekor answered with a proof that proves nothing")]
    BadProof,
    /// The log has the very signature, and proves each only to who brings it.
    #[error(
        "Rekor has this signature already, and gives its proof only once; a key of ECDSA on P-256 \
         makes another signature each time"
    )]
    Known,
    /// A signature that is no bundle has no place for the proof.
    #[error("only a bundle has a place for the proofs of Rekor version 2")]
    NoPlace,
    /// An entry of something else than was sent.
    #[error("Rekor answered with an entry for other data")]
    Other,
}

/// Returns the body of the request that a signature be logged: of a payload, by the key or
/// certificate in that PEM.
///
/// # Errors
/// None that come about.
pub fn entry(payload: &[u8], signature: &[u8], pem: &str) -> Result<Vec<u8>, RekorError> {
    let entry = Entry {
        api_version: "0.0.1",
        kind: "hashedrekord",
        spec: Spec {
            data: Data {
                hash: Hash { algorithm: "sha256", value: Digest::sha256(payload).hex().to_owned() },
            },
            signature: Signed {
                content: STANDARD.encode(signature),
                public_key: Key { content: STANDARD.encode(pem) },
            },
        },
    };
    Ok(go_json::to_vec(&entry)?)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    api_version: &'static str,
    kind: &'static str,
    spec: Spec,
}

#[derive(Serialize)]
struct Spec {
    data: Data,
    signature: Signed,
}

#[derive(Serialize)]
struct Data {
    hash: Hash,
}

#[derive(Serialize)]
struct Hash {
    algorithm: &'static str,
    value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Signed {
    content: String,
    public_key: Key,
}

#[derive(Serialize)]
struct Key {
    content: String,
}

/// An entry as the log gives it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Logged {
    body: String,
    integrated_time: i64,
    log_index: i64,
    #[serde(rename = "logID")]
    log_id: String,
    verification: Option<Verification>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verification {
    signed_entry_timestamp: Option<String>,
    inclusion_proof: Option<Proof>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Proof {
    log_index: i64,
    root_hash: String,
    tree_size: i64,
    hashes: Vec<String>,
    checkpoint: String,
}

/// What is stored beside a signature; members in the order in which the original has them.
#[derive(Serialize)]
struct Bundle {
    #[serde(rename = "Payload")]
    payload: Payload,
    #[serde(rename = "SignedEntryTimestamp")]
    signed_entry_timestamp: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    body: String,
    integrated_time: i64,
    #[serde(rename = "logID")]
    log_id: String,
    log_index: i64,
}

/// What an entry of the log says that matters here.
#[derive(Deserialize)]
struct Body {
    spec: BodySpec,
}

#[derive(Deserialize)]
struct BodySpec {
    data: BodyData,
    signature: BodySignature,
}

#[derive(Deserialize)]
struct BodyData {
    hash: BodyHash,
}

#[derive(Deserialize)]
struct BodyHash {
    value: String,
}

#[derive(Deserialize)]
struct BodySignature {
    content: String,
}

/// Returns what is stored beside a signature of the log's answer, as text.
///
/// Whether the log signed it is for whoever verifies the signature; that it is about this very
/// signature is looked at, as it would be of no use else.
///
/// # Errors
/// If it is not one whole entry of that signature.
pub fn bundle(answer: &[u8], payload: &[u8], signature: &[u8]) -> Result<String, RekorError> {
    let logged = logged(answer)?;
    let timestamp = logged.verification.and_then(|it| it.signed_entry_timestamp);
    let signed_entry_timestamp = timestamp.ok_or(RekorError::NoTimestamp)?;
    let body = STANDARD.decode(&logged.body).map_err(|_| RekorError::Other)?;
    let body: Body = serde_json::from_slice(&body).map_err(|_| RekorError::Other)?;
    let BodySpec { data, signature: logged_signature } = body.spec;
    if data.hash.value != Digest::sha256(payload).hex()
        || logged_signature.content != STANDARD.encode(signature)
    {
        return Err(RekorError::Other);
    }
    let Logged { body, integrated_time, log_index, log_id, .. } = logged;
    let payload = Payload { body, integrated_time, log_id, log_index };
    let json = go_json::to_vec(&Bundle { payload, signed_entry_timestamp })?;
    Ok(String::from_utf8_lossy(&json).into_owned())
}

/// The one entry that an answer is.
fn logged(answer: &[u8]) -> Result<Logged, RekorError> {
    let entries: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(answer)?;
    let count = entries.len();
    let mut all = entries.into_values();
    match (all.next(), all.next()) {
        (Some(entry), None) => Ok(serde_json::from_str(entry.get())?),
        _ => Err(RekorError::Count(count)),
    }
}

/// Returns the body of the request that an envelope be logged, which the key or certificate in that
/// PEM has signed.
///
/// # Errors
/// None that come about.
pub fn envelope_entry(envelope: &str, pem: &str) -> Result<Vec<u8>, RekorError> {
    let content = json!({"envelope": envelope, "verifiers": [STANDARD.encode(pem)]});
    let spec = json!({"proposedContent": content});
    Ok(serde_json::to_vec(&json!({"apiVersion": "0.0.1", "kind": "dsse", "spec": spec}))?)
}

/// What a bundle has of the log's answer.
///
/// # Errors
/// If it is not one whole entry of that signature.
pub(super) fn bundle_entry(
    answer: &[u8],
    payload: &[u8],
    signature: &[u8],
) -> Result<Value, RekorError> {
    let logged = logged(answer)?;
    let other = || RekorError::Other;
    let body = STANDARD.decode(&logged.body).map_err(|_| other())?;
    let body: Value = serde_json::from_slice(&body).map_err(|_| other())?;
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
    let is_it = text("/spec/payloadHash/value") == Some(Digest::sha256(payload).hex())
        && text("/spec/signatures/0/signature") == Some(&STANDARD.encode(signature));
    let (Some(kind), Some(version), true) = (text("/kind"), text("/apiVersion"), is_it) else {
        return Err(other());
    };
    let verification = logged.verification;
    let (promise, proof) = match verification {
        Some(Verification {
            signed_entry_timestamp: Some(promise),
            inclusion_proof: Some(proof),
        }) => (promise, proof),
        Some(Verification { signed_entry_timestamp: None, .. }) | None => {
            return Err(RekorError::NoTimestamp);
        }
        Some(_) => return Err(RekorError::NoProof),
    };
    let base64 = |hex: &str| {
        let bytes = hex.parse::<Hex>();
        bytes.map(|Hex(bytes)| STANDARD.encode(bytes)).map_err(|()| other())
    };
    let hashes: Vec<String> = proof.hashes.iter().map(|it| base64(it)).collect::<Result<_, _>>()?;
    Ok(json!({
        "logIndex": logged.log_index.to_string(),
        "logId": {"keyId": base64(&logged.log_id)?},
        "kindVersion": {"kind": kind, "version": version},
        "integratedTime": logged.integrated_time.to_string(),
        "inclusionPromise": {"signedEntryTimestamp": promise},
        "inclusionProof": {
            "logIndex": proof.log_index.to_string(),
            "rootHash": base64(&proof.root_hash)?,
            "treeSize": proof.tree_size.to_string(),
            "hashes": hashes,
            "checkpoint": {"envelope": proof.checkpoint},
        },
        "canonicalizedBody": logged.body,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(payload: &[u8], signature: &[u8]) -> Value {
        let body = entry(payload, signature, "PEM").unwrap();
        json!({
            "body": STANDARD.encode(body),
            "integratedTime": 7,
            "logID": "c0ffee",
            "logIndex": 3,
            "verification": {"signedEntryTimestamp": "U0VU", "inclusionProof": {}},
        })
    }

    #[test]
    fn entries_are_asked_for_and_kept_as_by_the_original() {
        let sent = String::from_utf8(entry(b"", b"sig", "PEM").unwrap()).unwrap();
        let hash = Digest::sha256(b"").hex().to_owned();
        assert_eq!(
            sent,
            format!(
                r#"{{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{{"data":{{"hash":{{"algorithm":"sha256","value":"{hash}"}}}},"signature":{{"content":"c2ln","publicKey":{{"content":"UEVN"}}}}}}}}"#
            )
        );
        let body = STANDARD.encode(&sent);
        let entries = json!({"uuid": answer(b"", b"sig")}).to_string();
        assert_eq!(
            bundle(entries.as_bytes(), b"", b"sig").unwrap(),
            format!(
                r#"{{"Payload":{{"body":"{body}","integratedTime":7,"logID":"c0ffee","logIndex":3}},"SignedEntryTimestamp":"U0VU"}}"#
            )
        );
    }

    #[test]
    fn answers_of_no_use_are_refused() {
        let one = answer(b"payload", b"sig");
        let mut bare = one.clone();
        bare["verification"] = json!(null);
        for (answer, sentence) in [
            (json!({}), "expected 1 Rekor entry, got 0"),
            (json!({"a": one, "b": one}), "expected 1 Rekor entry, got 2"),
            (json!({"a": bare}), "Rekor entry has no signed entry timestamp"),
            (json!({"a": answer(b"other", b"sig")}), "Rekor answered with an entry for other data"),
            (json!({"a": answer(b"payload", b"x")}), "Rekor answered with an entry for other data"),
            (json!([]), "parsing the answer of Rekor"),
            (json!({"a": {}}), "parsing the answer of Rekor"),
        ] {
            let refused = bundle(answer.to_string().as_bytes(), b"payload", b"sig");
            assert_eq!(refused.unwrap_err().to_string(), sentence, "{answer}");
        }
    }
}
