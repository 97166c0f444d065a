//! What we sign, we believe: keys, certificates and a log, in both forms.

use std::error::Error;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
};
use serde_json::{Value, json};
use skopeo_image::{Digest, Reference, Signature, SignatureKind};
use skopeo_testkit::{LogFault, LogKey, TileLog};
use skopeo_trust::sign::fulcio::Certificate;
use skopeo_trust::sign::rekor::Version;
use skopeo_trust::sign::{
    Format, Log, PrivateKey, SignError, Signer as _, Sigstore, TimeAuthority,
};

use crate::bundling::{BOTH, Stamper, entry};
use crate::world::*;

const NAME: &str = "example.com/app:1";

/// What is ready at once, as all is here.
fn now<T>(future: impl Future<Output = T>) -> T {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("nothing here waits"),
    }
}

/// A log that takes what it gets, as Rekor does.
#[derive(Debug)]
struct Rekor {
    pair: Arc<Pair>,
    /// What it leaves out of its answers.
    without: Option<&'static str>,
}

#[async_trait::async_trait]
impl Log for Rekor {
    fn version(&self) -> Version {
        Version::V1
    }

    async fn upload(
        &self,
        entry: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Box<dyn Error + Send + Sync>> {
        let sent: Value = serde_json::from_slice(&entry)?;
        Ok(Some(self.answer(&sent).to_string().into_bytes()))
    }
}

/// A log in tiles.
#[derive(Debug)]
struct Tiles(TileLog);

#[async_trait::async_trait]
impl Log for Tiles {
    fn version(&self) -> Version {
        Version::V2
    }

    async fn upload(
        &self,
        entry: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Box<dyn Error + Send + Sync>> {
        match self.0.post(&serde_json::from_slice(&entry)?) {
            Some((201, entry)) => Ok(Some(entry.to_string().into_bytes())),
            Some((409, _)) => Ok(None),
            other => Err(format!("{other:?}").into()),
        }
    }
}

fn unbase64(text: &Value) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text.as_str().unwrap()).unwrap()
}

fn hex(text: &Value) -> String {
    unbase64(text).iter().map(|it| format!("{it:02x}")).collect()
}

impl Rekor {
    fn answer(&self, sent: &Value) -> Value {
        let body = match sent["kind"].as_str().unwrap() {
            "dsse" => {
                let content = &sent["spec"]["proposedContent"];
                let envelope: Value =
                    serde_json::from_str(content["envelope"].as_str().unwrap()).unwrap();
                let hash = Digest::sha256(&unbase64(&envelope["payload"]));
                let whole = Digest::sha256(content["envelope"].as_str().unwrap().as_bytes());
                json!({"apiVersion": "0.0.1", "kind": "dsse", "spec": {
                    "envelopeHash": {"algorithm": "sha256", "value": whole.hex()},
                    "payloadHash": {"algorithm": "sha256", "value": hash.hex()},
                    "signatures": [{
                        "signature": envelope["signatures"][0]["sig"],
                        "verifier": content["verifiers"][0],
                    }],
                }})
            }
            _ => sent.clone(),
        };
        let made = entry(&self.pair, &body.to_string(), BOTH);
        let proof = &made["inclusionProof"];
        let number = |text: &Value| text.as_str().unwrap().parse::<u64>().unwrap();
        let mut verification = json!({
            "signedEntryTimestamp": made["inclusionPromise"]["signedEntryTimestamp"],
            "inclusionProof": {
                "logIndex": number(&proof["logIndex"]),
                "treeSize": number(&proof["treeSize"]),
                "rootHash": hex(&proof["rootHash"]),
                "hashes": proof["hashes"].as_array().unwrap().iter().map(hex).collect::<Vec<_>>(),
                "checkpoint": proof["checkpoint"]["envelope"],
            },
        });
        if let Some(name) = self.without {
            verification.as_object_mut().unwrap().remove(name);
        }
        json!({"uuid": {
            "body": made["canonicalizedBody"],
            "integratedTime": NOON,
            "logID": hex(&made["logId"]["keyId"]),
            "logIndex": number(&made["logIndex"]),
            "verification": verification,
        }})
    }
}

/// An authority for times that stamps what it is asked about, or something else.
#[derive(Debug)]
struct Times {
    stamper: Stamper,
    of: Option<&'static [u8]>,
}

#[async_trait::async_trait]
impl TimeAuthority for Times {
    async fn stamp(&self, query: Vec<u8>) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
        // The hash is before the wish for the certificate.
        let hash = &query[query.len() - 35..query.len() - 3];
        Ok(match self.of {
            None => self.stamper.stamp_hash(hash, "20260501120000Z"),
            Some(b"") => b"no time".to_vec(),
            Some(other) => self.stamper.stamp(other, "20260501120000Z"),
        })
    }
}

fn stamper(authority: &Authority) -> Stamper {
    Stamper(authority.certify(|it| {
        it.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::TimeStamping];
    }))
}

fn signed(signer: &Sigstore) -> Result<Signature, SignError> {
    now(signer.sign(&manifest(), &Reference::parse_normalized(NAME).unwrap()))
}

fn requirement(more: &str) -> String {
    format!(r#"{{"type":"sigstoreSigned","bundleIdentity":"subjectName",{more}}}"#)
}

#[test]
fn keys_of_all_kinds() {
    let pkcs8 = |pair: EcdsaKeyPair| pair.to_pkcs8v1().unwrap().as_ref().to_vec();
    let ecdsa = |algorithm| pkcs8(EcdsaKeyPair::generate(algorithm).unwrap());
    let rsa = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let rsa: aws_lc_rs::encoding::Pkcs8V1Der<'_> = rsa.as_der().unwrap();
    let log = Arc::new(Pair::new());
    for der in [
        PrivateKey::generate().unwrap().1.to_vec(),
        ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
        ecdsa(&ECDSA_P521_SHA256_ASN1_SIGNING),
        Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap().as_ref().to_vec(),
        rsa.as_ref().to_vec(),
    ] {
        let key = || PrivateKey::from_pkcs8(&der).unwrap();
        let public = key().public_pem().unwrap();
        let files = [("key", public.into_bytes()), ("log", log.pem().into_bytes())];
        for format in [Format::Attachment, Format::Bundle] {
            for (logged, more) in [
                (false, r#""keyPath":"key""#),
                (true, r#""keyPath":"key","rekorPublicKeyPath":"log""#),
            ] {
                let mut signer = Sigstore::new(key()).in_format(format);
                if logged {
                    signer = signer.logged(Arc::new(Rekor { pair: log.clone(), without: None }));
                }
                let signature = signed(&signer).unwrap();
                assert_eq!(signature.kind(), signer.kind());
                let policy = policy(&requirement(more), &files);
                assert_eq!(
                    outcome(&policy, NAME, &[signature]),
                    "ok",
                    "{key:?} {format:?} {more}",
                    key = key()
                );
            }
        }
    }
}

#[test]
fn certificates() {
    let (root, log) = (Authority::root("root"), Arc::new(Pair::new()));
    let key = rcgen::KeyPair::generate().unwrap();
    let certified = root.certify_key(&key);
    let key = PrivateKey::from_pkcs8(&key.serialize_der()).unwrap();
    let signer = Sigstore::new(key)
        .certified(Certificate { leaf: certified, chain: root.pem() })
        .in_format(Format::Bundle)
        .logged(Arc::new(Rekor { pair: log.clone(), without: None }));
    let files = [("root", root.pem().into_bytes()), ("log", log.pem().into_bytes())];
    let policy = policy(
        &requirement(
            r#""fulcio":{"caPath":"root","oidcIssuer":"https://issuer.example.com","subjectEmail":"dev@example.com"},"rekorPublicKeyPath":"log""#,
        ),
        &files,
    );
    let signature = signed(&signer).unwrap();
    assert_eq!(signature.kind(), SignatureKind::Bundle);
    assert_eq!(outcome(&policy, NAME, &[signature]), "ok");
}

/// PKCS#8 of a key that newer logs take, and of one that they do not.
fn rsa() -> Vec<u8> {
    let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
    der.as_ref().to_vec()
}

fn edwards() -> Vec<u8> {
    Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap().as_ref().to_vec()
}

#[test]
fn keys_of_most_kinds_in_tiles() {
    let ecdsa = |algorithm| {
        EcdsaKeyPair::generate(algorithm).unwrap().to_pkcs8v1().unwrap().as_ref().to_vec()
    };
    let log = TileLog::start(LogKey::ed25519());
    for der in [
        PrivateKey::generate().unwrap().1.to_vec(),
        ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
        ecdsa(&ECDSA_P521_SHA256_ASN1_SIGNING),
        rsa(),
    ] {
        let key = PrivateKey::from_pkcs8(&der).unwrap();
        let files = [
            ("key", key.public_pem().unwrap().into_bytes()),
            ("log", crate::tiled::root_of(&[log.trusted("2026-01-01T00:00:00Z")])),
        ];
        let kind = format!("{key:?}");
        let tiles = Arc::new(Tiles(log.clone()));
        let signer = Sigstore::new(key).in_format(Format::Bundle).logged(tiles);
        now(signer.prepare()).unwrap();
        let policy = policy(&requirement(r#""keyPath":"key","rekorPublicKeyPath":"log""#), &files);
        assert_eq!(outcome(&policy, NAME, &[signed(&signer).unwrap()]), "ok", "{kind}");
    }
    for (der, format, sentence) in [
        (
            edwards(),
            Format::Bundle,
            "Rekor version 2 takes no signatures by a key of this kind: Ed25519",
        ),
        (rsa(), Format::Attachment, "only a bundle has a place for the proofs of Rekor version 2"),
    ] {
        let key = PrivateKey::from_pkcs8(&der).unwrap();
        let signer = Sigstore::new(key).in_format(format).logged(Arc::new(Tiles(log.clone())));
        // Before anything is copied.
        assert_eq!(now(signer.prepare()).unwrap_err().to_string(), sentence);
        assert_eq!(signed(&signer).unwrap_err().to_string(), sentence);
    }
    assert_eq!(log.requests().len(), 4);
}

#[test]
fn answers_of_tiles_are_looked_at() {
    let new = || PrivateKey::generate().unwrap().0;
    for (faults, key, sentence) in [
        (vec![LogFault::Other], new(), Some("Rekor answered with an entry for other data")),
        (
            vec![LogFault::Without("inclusionProof")],
            new(),
            Some("Rekor entry has no inclusion proof"),
        ),
        (vec![LogFault::Without("canonicalizedBody")], new(), Some("parsing the answer of Rekor")),
        (vec![LogFault::Astray], new(), Some("Rekor answered with a proof that proves nothing")),
        // It took what was sent before, and nobody heard of it.
        (vec![LogFault::Status(409)], new(), None),
        (
            vec![LogFault::Status(409), LogFault::Status(409)],
            new(),
            Some(
                "Rekor has this signature already, and gives its proof only once; a key of ECDSA on P-256 makes another signature each time",
            ),
        ),
    ] {
        let log = TileLog::start(LogKey::ecdsa());
        faults.into_iter().for_each(|fault| log.fault(fault));
        let signer = Sigstore::new(key).in_format(Format::Bundle).logged(Arc::new(Tiles(log)));
        let refused = signed(&signer).err().map(|error| error.to_string());
        assert_eq!(refused.as_deref(), sentence);
    }
    // RSA makes the same signature each time.
    let log = TileLog::start(LogKey::ecdsa());
    let key = PrivateKey::from_pkcs8(&rsa()).unwrap();
    let signer = Sigstore::new(key).in_format(Format::Bundle).logged(Arc::new(Tiles(log)));
    signed(&signer).unwrap();
    assert!(signed(&signer).unwrap_err().to_string().contains("has this signature already"));
}

#[test]
fn answers_of_no_use_are_refused() {
    for (without, sentence) in [
        ("signedEntryTimestamp", "Rekor entry has no signed entry timestamp"),
        ("inclusionProof", "Rekor entry has no inclusion proof"),
    ] {
        let log = Rekor { pair: Arc::new(Pair::new()), without: Some(without) };
        let (key, _) = PrivateKey::generate().unwrap();
        let signer = Sigstore::new(key).in_format(Format::Bundle).logged(Arc::new(log));
        assert_eq!(signed(&signer).unwrap_err().to_string(), sentence);
    }
}

#[test]
fn times_are_in_the_bundle() {
    let authority = Authority::root("stamping");
    for (logged, more) in [(false, ""), (true, r#","rekorPublicKeyPath":"log""#)] {
        let log = Arc::new(Pair::new());
        let (key, _) = PrivateKey::generate().unwrap();
        let files = [
            ("key", key.public_pem().unwrap().into_bytes()),
            ("log", log.pem().into_bytes()),
            ("stamps", authority.pem().into_bytes()),
        ];
        let times = Times { stamper: stamper(&authority), of: None };
        let mut signer = Sigstore::new(key).in_format(Format::Bundle).stamped(Arc::new(times));
        if logged {
            signer = signer.logged(Arc::new(Rekor { pair: log, without: None }));
        }
        let asked = format!(r#""keyPath":"key","timestampAuthorityPath":"stamps"{more}"#);
        let policy = policy(&requirement(&asked), &files);
        assert_eq!(outcome(&policy, NAME, &[signed(&signer).unwrap()]), "ok", "{more}");
    }
    for (of, sentence) in [
        (&b"something else"[..], "the authority for times answered with that of something else"),
        (b"", "the authority for times answered with none"),
    ] {
        let (key, _) = PrivateKey::generate().unwrap();
        let times = Times { stamper: stamper(&authority), of: Some(of) };
        let signer = Sigstore::new(key).in_format(Format::Bundle).stamped(Arc::new(times));
        assert_eq!(signed(&signer).unwrap_err().to_string(), sentence);
    }
}
