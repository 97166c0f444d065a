//! What a log in tiles, Rekor's second version, answers to whoever had a signature logged.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::bundle::Entry;
use super::inclusion;
use super::record::{self, Signed};

/// Why such an answer is of no use.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// It is no entry of a log.
    Json(serde_json::Error),
    /// It is an entry of something else, or of another log.
    Other,
    /// There is no proof that the entry is in the log.
    Unproven,
    /// The proof proves nothing.
    Astray,
}

/// What a bundle has of the answer. Whether the log signed it is for whoever verifies the bundle.
pub(crate) fn bundle_entry(
    answer: &[u8],
    message: &[u8],
    signature: &[u8],
    signer: &[u8],
) -> Result<Value, Unusable> {
    let entry: Entry = serde_json::from_slice(answer).map_err(Unusable::Json)?;
    let signed = Signed { message, payload: None, signature, signer };
    if !entry.is_tiled() || record::matches(&entry, signed).is_err() {
        return Err(Unusable::Other);
    }
    let proof = entry.inclusion_proof.as_ref().ok_or(Unusable::Unproven)?;
    if !inclusion::leads_anywhere(&entry, proof) {
        return Err(Unusable::Astray);
    }
    let base64 = |bytes: &[u8]| STANDARD.encode(bytes);
    let hashes: Vec<String> = proof.hashes.iter().map(|it| base64(&it.0)).collect();
    Ok(json!({
        "logIndex": entry.log_index,
        "logId": {"keyId": base64(&entry.log_id.key_id.0)},
        "kindVersion": {"kind": entry.kind_version.kind, "version": entry.kind_version.version},
        "inclusionProof": {
            "logIndex": entry.log_index,
            "rootHash": base64(&proof.root_hash.0),
            "treeSize": proof.tree_size,
            "hashes": hashes,
            "checkpoint": {"envelope": proof.checkpoint.envelope},
        },
        "canonicalizedBody": base64(&entry.canonicalized_body.0),
    }))
}
