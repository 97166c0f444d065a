//! Signatures, and what lies beside them. Nobody here knows a secret key: what is accepted is what
//! was signed.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::Value;
use skopeo_image::{PolicyScope, RawManifest, Signature};
use skopeo_trust::openpgp::{self, Keyring};
use skopeo_trust::sign::{PrivateKey, cosign_key};
use skopeo_trust::{BundleClaims, Machine, Payload, Policy};

const KEY: &[u8] = include_bytes!("trusted/ed25519.pub");
const MESSAGE: &[u8] = include_bytes!("trusted/ed25519.sig");
const SIMPLE: &[u8] = include_bytes!("trusted/payload.json");
const COSIGN: &[u8] = include_bytes!("trusted/cosign-payload");

/// 2026-06-01, when all of it was good.
fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_780_272_000)
}

/// `m` and a message: it is refused, or holds what was signed. `k` and a keyring: it has the key of
/// a good message, or the message is refused.
pub(super) fn openpgp(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    if *kind == b'k' {
        let keyring = Keyring::read([data]);
        if let Ok(verified) = openpgp::verify(MESSAGE, &keyring, now()) {
            assert!(keyring.fingerprints().contains(&verified.primary));
        }
        return;
    }
    let _ = openpgp::read_unverified(data);
    if let Ok(verified) = openpgp::verify(data, &Keyring::read([KEY]), now()) {
        assert_eq!(verified.payload, SIMPLE);
    }
}

/// A payload is refused, or is of one form only and says the same in other words.
pub(super) fn payload(data: &[u8]) {
    let (simple, cosign) = (Payload::parse_simple(data), Payload::parse_cosign(data));
    assert!(simple.is_err() || cosign.is_err());
    let Ok(payload) = simple.or(cosign) else { return };
    let value: Value = serde_json::from_slice(data).expect("JSON");
    let critical = &value["critical"];
    assert_eq!(critical["identity"]["docker-reference"].as_str(), Some(&*payload.docker_reference));
    assert_eq!(critical["image"]["docker-manifest-digest"].as_str(), Some(payload.digest.as_str()));
}

/// `{"payload": TEXT, "annotations": {KEY: TEXT}}`: it is refused, or is the payload that was
/// signed.
pub(super) fn sigstore(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    let Some(payload) = value["payload"].as_str() else { return };
    let Some(annotations) = value["annotations"].as_object() else { return };
    let annotations: BTreeMap<String, String> = annotations
        .iter()
        .filter_map(|(key, text)| Some((key.clone(), text.as_str()?.to_owned())))
        .collect();
    let signature = Signature::Sigstore {
        mime_type: "application/vnd.dev.cosign.simplesigning.v1+json".to_owned(),
        payload: Bytes::from(payload.to_owned()),
        annotations,
    };
    let name = "example.com/app:1".to_owned();
    let scope = PolicyScope {
        name: name.clone(),
        transport: "docker",
        identity: name.clone(),
        namespaces: Vec::new(),
        reference: Some(name),
    };
    let manifest = RawManifest::new(None, Bytes::from_static(br#"{"schemaVersion":2}"#));
    for policy in &*POLICIES {
        let admitted = policy.admit(&scope, manifest.clone(), std::slice::from_ref(&signature));
        assert!(admitted.is_err() || payload.as_bytes() == COSIGN);
    }
}

/// A bundle is refused, or says what was signed.
pub(super) fn bundle(data: &[u8]) {
    let name = "example.com/app:1".to_owned();
    let scope = PolicyScope {
        name: name.clone(),
        transport: "docker",
        identity: name.clone(),
        namespaces: Vec::new(),
        reference: Some(name),
    };
    let manifest = RawManifest::new(None, Bytes::from_static(br#"{"schemaVersion":2}"#));
    let claims = BundleClaims::read(data, &manifest);
    let signature = Signature::Sigstore {
        mime_type: "application/vnd.dev.sigstore.bundle.v0.3+json".to_owned(),
        payload: Bytes::copy_from_slice(data),
        annotations: BTreeMap::new(),
    };
    for policy in &*BUNDLED {
        if policy.admit(&scope, manifest.clone(), std::slice::from_ref(&signature)).is_err() {
            continue;
        }
        assert_eq!(claims.as_ref().expect("a bundle").digest, manifest.digest().ok());
        let value: Value = serde_json::from_slice(data).expect("JSON");
        let payload = value["dsseEnvelope"]["payload"].as_str().expect("a payload");
        assert_eq!(STANDARD.decode(payload).expect("base64"), STATEMENT);
    }
}

const STATEMENT: &[u8] = include_bytes!("trusted/statement.json");

/// A key, a log, an authority for times: their owners signed one statement. Nobody has a certificate
/// of this Fulcio.
static BUNDLED: LazyLock<Vec<Policy>> = LazyLock::new(|| {
    let data = |file: &[u8]| STANDARD.encode(file);
    let key = data(include_bytes!("trusted/bundle.pub"));
    let root = data(include_bytes!("trusted/root.json"));
    let log = format!(r#""rekorPublicKeyData":"{root}""#);
    let stamps = format!(r#""timestampAuthorityData":"{root}""#);
    let signers = [
        format!(r#""keyData":"{key}","bundleIdentity":"subjectName""#),
        format!(r#""keyData":"{key}","bundleIdentity":"digestOnly",{log}"#),
        format!(r#""keyData":"{key}","bundleIdentity":"digestOnly",{log},{stamps}"#),
        format!(r#""keyData":"{key}","bundleIdentity":"digestOnly",{stamps}"#),
        format!(
            r#""fulcio":{{"caData":"{root}","oidcIssuer":"https://issuer.example.com","subjectEmail":"dev@example.com"}},"bundleIdentity":"digestOnly",{log}"#
        ),
    ];
    signers.iter().map(policy_of).collect()
});

/// `p` and a file of cosign's: it is refused, or has the key that was encrypted. `d` and PKCS#8: it
/// is refused, or signs.
pub(super) fn cosign_key(data: &[u8]) {
    match data.split_first() {
        Some((b'p', file)) => {
            if let Ok(key) = cosign_key::read(file, b"secret") {
                let public = include_str!("trusted/cosign.pub");
                assert_eq!(key.public_pem().expect("a key"), public);
            }
        }
        Some((_, der)) => {
            if let Ok(key) = PrivateKey::from_pkcs8(der) {
                let _ = key.public_pem();
                let _ = key.sign(b"message");
            }
        }
        None => {}
    }
}

/// A policy that asks for a signature of these.
fn policy_of(signers: &String) -> Policy {
    let text = format!(r#"{{"default":[{{"type":"sigstoreSigned",{signers}}}]}}"#);
    Policy::parse(text.as_bytes(), "policy.json").expect("a policy").on(Arc::new(Nowhere))
}

/// A key and a log, Fulcio and a log, an authority: their owners signed one payload.
static POLICIES: LazyLock<Vec<Policy>> = LazyLock::new(|| {
    let data = |file: &[u8]| STANDARD.encode(file);
    let (key, log) =
        (data(include_bytes!("trusted/signer.pub")), data(include_bytes!("trusted/log.pub")));
    let root = data(include_bytes!("trusted/root.pem"));
    let log = format!(r#""rekorPublicKeyData":"{log}""#);
    let signers = [
        format!(r#""keyData":"{key}",{log}"#),
        format!(
            r#""fulcio":{{"caData":"{root}","oidcIssuer":"https://issuer.example.com","subjectEmail":"dev@example.com"}},{log}"#
        ),
        format!(r#""pki":{{"caRootsData":"{root}","subjectEmail":"dev@example.com"}}"#),
    ];
    signers.iter().map(policy_of).collect()
});

/// A machine without files.
#[derive(Debug)]
struct Nowhere;

impl Machine for Nowhere {
    fn key_file(&self, path: &str) -> Result<Vec<u8>, String> {
        Err(format!("open {path}: no such file or directory"))
    }

    fn now(&self) -> SystemTime {
        now()
    }
}
