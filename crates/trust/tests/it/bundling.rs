//! Bundles of sigstore, and a log and a time-stamping authority that say anything.

use aws_lc_rs::digest::{SHA256, digest as hash};
use bytes::Bytes;
use serde_json::{Value, json};
use skopeo_image::Signature;
use skopeo_testkit::merkle::{path, root};

use crate::world::*;

pub(crate) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
pub(crate) const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

fn sha256(bytes: &[u8]) -> Vec<u8> {
    hash(&SHA256, bytes).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

/// What cosign signs, about a digest, and a name if there is one.
pub(crate) fn statement(name: Option<&str>, digest: &str, predicate: &str) -> String {
    let (algorithm, hex) = digest.split_once(':').unwrap();
    let mut subject = json!({"digest": {algorithm: hex}});
    if let Some(name) = name {
        subject["name"] = json!(name);
    }
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [subject],
        "predicateType": predicate,
        "predicate": {},
    })
    .to_string()
}

pub(crate) fn pae(payload: &str) -> Vec<u8> {
    let kind = "application/vnd.in-toto+json";
    format!("DSSEv1 {} {kind} {} {payload}", kind.len(), payload.len()).into_bytes()
}

/// A bundle that is still to be put together.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) payload: String,
    pub(crate) signature: Vec<u8>,
    /// The member that says by whom it is.
    pub(crate) signer: Value,
    /// The signer's key or certificate, as logs have it.
    pub(crate) pem: String,
    pub(crate) entries: Vec<Value>,
    pub(crate) stamps: Vec<Vec<u8>>,
}

impl Parts {
    /// A statement signed by a key.
    pub(crate) fn by_key(pair: &Pair, payload: &str) -> Self {
        Self {
            payload: payload.to_owned(),
            signature: pair.sign(&pae(payload)),
            signer: json!({"publicKey": {"hint": base64(&sha256(&pair.der()))}}),
            pem: pair.pem(),
            entries: Vec::new(),
            stamps: Vec::new(),
        }
    }

    /// A statement signed by someone with a certificate.
    pub(crate) fn by(signer: &Certified, payload: &str) -> Self {
        Self {
            signer: json!({"certificate": {"rawBytes": base64(&signer.der())}}),
            pem: signer.pem.clone(),
            ..Self::by_key(&signer.pair, payload)
        }
    }

    /// What a log has of it.
    pub(crate) fn body(&self) -> String {
        json!({
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": {"algorithm": "sha256", "value": hex(&sha256(b"whatever"))},
                "payloadHash": {"algorithm": "sha256", "value": hex(&sha256(self.payload.as_bytes()))},
                "signatures": [{
                    "signature": base64(&self.signature),
                    "verifier": base64(self.pem.as_bytes()),
                }],
            },
        })
        .to_string()
    }

    /// The same, in a log.
    pub(crate) fn logged(mut self, log: &Pair, proof: Proof) -> Self {
        let entry = entry(log, &self.body(), proof);
        self.entries.push(entry);
        self
    }

    /// The same, with a time.
    pub(crate) fn stamped(mut self, by: &Stamper, time: &str) -> Self {
        self.stamps.push(by.stamp(&self.signature, time));
        self
    }

    pub(crate) fn value(&self) -> Value {
        let mut material = self.signer.clone();
        if !self.entries.is_empty() {
            material["tlogEntries"] = json!(self.entries);
        }
        if !self.stamps.is_empty() {
            let stamps: Vec<_> =
                self.stamps.iter().map(|it| json!({"signedTimestamp": base64(it)})).collect();
            material["timestampVerificationData"] = json!({"rfc3161Timestamps": stamps});
        }
        json!({
            "mediaType": BUNDLE,
            "verificationMaterial": material,
            "dsseEnvelope": {
                "payload": base64(self.payload.as_bytes()),
                "payloadType": "application/vnd.in-toto+json",
                "signatures": [{"sig": base64(&self.signature)}],
            },
        })
    }

    pub(crate) fn signature(&self) -> Signature {
        of_text(&self.value().to_string())
    }
}

/// A bundle as it lies beside an image.
pub(crate) fn of_text(text: &str) -> Signature {
    Signature::Sigstore {
        mime_type: BUNDLE.to_owned(),
        payload: Bytes::from(text.to_owned()),
        annotations: Default::default(),
    }
}

/// What a log says about an entry of its.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proof {
    /// The promise, and its time.
    pub(crate) promise: Option<u64>,
    /// The path in a tree of so many leaves.
    pub(crate) tree: Option<usize>,
}

pub(crate) const BOTH: Proof = Proof { promise: Some(NOON), tree: Some(11) };
pub(crate) const PROMISED: Proof = Proof { promise: Some(NOON), tree: None };
pub(crate) const INCLUDED: Proof = Proof { promise: None, tree: Some(11) };

pub(crate) fn entry(log: &Pair, body: &str, proof: Proof) -> Value {
    let parsed: Value = serde_json::from_str(body).unwrap_or_default();
    let id = sha256(&log.der());
    let mut entry = json!({
        "logIndex": "70",
        "logId": {"keyId": base64(&id)},
        "kindVersion": {"kind": parsed["kind"], "version": parsed["apiVersion"]},
        "canonicalizedBody": base64(body.as_bytes()),
    });
    if let Some(time) = proof.promise {
        let signed = format!(
            r#"{{"body":"{}","integratedTime":{time},"logID":"{}","logIndex":70}}"#,
            base64(body.as_bytes()),
            hex(&id)
        );
        entry["integratedTime"] = json!(time.to_string());
        entry["inclusionPromise"] =
            json!({"signedEntryTimestamp": base64(&log.sign(signed.as_bytes()))});
    }
    if let Some(size) = proof.tree {
        let mut leaves: Vec<Vec<u8>> =
            (0..size).map(|it| vec![u8::try_from(it).unwrap()]).collect();
        let at = size / 2;
        leaves[at] = body.as_bytes().to_vec();
        let (root, path) = (root(&leaves), path(&leaves, at));
        entry["inclusionProof"] = json!({
            "logIndex": at.to_string(),
            "rootHash": base64(&root),
            "treeSize": size.to_string(),
            "hashes": path.iter().map(|it| base64(it)).collect::<Vec<_>>(),
            "checkpoint": {"envelope": checkpoint(log, size, &root)},
        });
    }
    entry
}

pub(crate) fn checkpoint(log: &Pair, size: usize, root: &[u8]) -> String {
    let text = format!("log.example.com - 1\n{size}\n{}\n", base64(root));
    let id = sha256(&log.der());
    let signed = [&id[..4], &log.sign(text.as_bytes())].concat();
    let witness = [&[1, 2, 3, 4][..], b"something"].concat();
    format!(
        "{text}\n\u{2014} log.example.com {}\n\u{2014} witness {}\n",
        base64(&signed),
        base64(&witness)
    )
}

/// Whoever signs times (RFC 3161).
#[derive(Debug)]
pub(crate) struct Stamper(pub(crate) Certified);

impl Stamper {
    /// An answer about a signature, at a time such as `20260501120000Z`.
    pub(crate) fn stamp(&self, signature: &[u8], time: &str) -> Vec<u8> {
        self.stamp_changed(signature, time, |_| {})
    }

    /// The same about what has this hash, by SHA-256.
    pub(crate) fn stamp_hash(&self, hash: &[u8], time: &str) -> Vec<u8> {
        self.stamp_hash_changed(hash, time, |_| {})
    }

    /// The same, what is signed changed before.
    pub(crate) fn stamp_changed(
        &self,
        signature: &[u8],
        time: &str,
        change: impl Fn(&mut Vec<u8>),
    ) -> Vec<u8> {
        self.stamp_hash_changed(&sha256(signature), time, change)
    }

    fn stamp_hash_changed(
        &self,
        hash: &[u8],
        time: &str,
        change: impl Fn(&mut Vec<u8>),
    ) -> Vec<u8> {
        let sha256_ = tlv(0x30, &[&oid(&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1])]);
        let time_info = oid(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 1, 4]);
        let imprint = tlv(0x30, &[&sha256_, &tlv(4, &[hash])]);
        let number = tlv(2, &[&[1]]);
        let mut info = tlv(
            0x30,
            &[
                &number,
                &oid(&[0x2a, 3, 4]),
                &imprint,
                &tlv(2, &[&[7]]),
                &tlv(0x18, &[time.as_bytes()]),
            ],
        );
        change(&mut info);
        let attribute = |last: &[u8], value: Vec<u8>| {
            let name = [&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9], last].concat();
            tlv(0x30, &[&oid(&name), &tlv(0x31, &[&value])])
        };
        let certificate = self.0.der();
        let named = tlv(0x30, &[&tlv(0x30, &[&tlv(0x30, &[&tlv(4, &[&sha256(&certificate)])])])]);
        let attributes = [
            attribute(&[3], time_info.clone()),
            attribute(&[4], tlv(4, &[&sha256(&info)])),
            attribute(&[16, 2, 47], named),
        ]
        .concat();
        let signed = self.0.pair.sign(&tlv(0x31, &[&attributes]));
        let with_sha256 = oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]);
        let signer = tlv(
            0x30,
            &[
                &number,
                &tlv(0x30, &[]),
                &sha256_,
                &tlv(0xa0, &[&attributes]),
                &tlv(0x30, &[&with_sha256]),
                &tlv(4, &[&signed]),
            ],
        );
        let content = tlv(0x30, &[&time_info, &tlv(0xa0, &[&tlv(4, &[&info])])]);
        let data = tlv(
            0x30,
            &[
                &tlv(2, &[&[3]]),
                &tlv(0x31, &[&sha256_]),
                &content,
                &tlv(0xa0, &[&certificate]),
                &tlv(0x31, &[&signer]),
            ],
        );
        let signed_data = oid(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2]);
        let token = tlv(0x30, &[&signed_data, &tlv(0xa0, &[&data])]);
        tlv(0x30, &[&tlv(0x30, &[&tlv(2, &[&[0]])]), &token])
    }
}

fn oid(bytes: &[u8]) -> Vec<u8> {
    tlv(6, &[bytes])
}

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    let head = match body.len() {
        0..=0x7f => vec![tag, length[1]],
        _ => vec![tag, 0x82, length[0], length[1]],
    };
    [head, body].concat()
}

/// A trusted root of one log, one authority and one that stamps times.
pub(crate) fn trusted_root(log: &Pair, fulcio: &[Vec<u8>], stamps: &[Vec<u8>]) -> Value {
    let chain = |all: &[Vec<u8>]| {
        let all: Vec<_> = all.iter().map(|it| json!({"rawBytes": base64(it)})).collect();
        json!({
            "subject": {"organization": "example.com", "commonName": "x"},
            "uri": "https://example.com",
            "certChain": {"certificates": all},
            "validFor": {"start": "2026-01-01T00:00:00Z"},
        })
    };
    json!({
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": [{
            "baseUrl": "https://log.example.com",
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": base64(&log.der()),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": {"start": "2026-01-01T00:00:00Z"},
            },
            "logId": {"keyId": base64(&sha256(&log.der()))},
        }],
        "certificateAuthorities": [chain(fulcio)],
        "ctlogs": [],
        "timestampAuthorities": [chain(stamps)],
    })
}
