//! A machine whose files and time are made up, and signers who sign anything for it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use pgp::composed::{Deserializable as _, SignedSecretKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{
    LiteralData, PacketTrait as _, SignatureConfig, SignatureType, Subpacket, SubpacketData,
};
use pgp::types::{KeyDetails as _, Password, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
};
use skopeo_image::{Digest, PolicyScope, RawManifest, Signature};
use skopeo_trust::{Machine, Policy};

/// 2026-06-01, in seconds since 1970.
pub(crate) const NOW: u64 = 1_780_272_000;
/// Noon of 2026-05-01.
pub(crate) const NOON: u64 = 1_777_636_800;
pub(crate) const MANIFEST: &str = r#"{"schemaVersion":2}"#;
pub(crate) const PAYLOAD_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
pub(crate) const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
pub(crate) const PROMISE: &str = "dev.sigstore.cosign/bundle";
pub(crate) const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
pub(crate) const CHAIN: &str = "dev.sigstore.cosign/chain";

#[derive(Debug)]
pub(crate) struct World {
    files: BTreeMap<String, Vec<u8>>,
}

impl Machine for World {
    fn key_file(&self, path: &str) -> Result<Vec<u8>, String> {
        let missing = || format!("open {path}: no such file or directory");
        self.files.get(path).cloned().ok_or_else(missing)
    }

    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(NOW)
    }
}

/// A file that GnuPG made.
pub(crate) fn made(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/openpgp");
    fs_err::read(folder.join(name)).unwrap()
}

/// A policy with these default requirements, on a machine with these files.
pub(crate) fn policy(requirements: &str, files: &[(&str, Vec<u8>)]) -> Policy {
    let text = format!(r#"{{"default":[{requirements}]}}"#);
    let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect();
    Policy::parse(text.as_bytes(), "p.json").unwrap().on(Arc::new(World { files }))
}

pub(crate) fn manifest() -> RawManifest {
    RawManifest::new(None, Bytes::from_static(MANIFEST.as_bytes()))
}

pub(crate) fn digest() -> String {
    Digest::sha256(MANIFEST.as_bytes()).to_string()
}

/// How the user named the image: a docker reference in full, or a path.
pub(crate) fn scope(name: &str) -> PolicyScope {
    let is_path = name.starts_with('/');
    PolicyScope {
        name: if is_path { format!("dir:{name}") } else { format!("docker://{name}") },
        transport: if is_path { "dir" } else { "docker" },
        identity: name.to_owned(),
        namespaces: Vec::new(),
        reference: (!is_path).then(|| name.to_owned()),
    }
}

/// `ok`, or why the image is not accepted.
pub(crate) fn outcome(policy: &Policy, name: &str, signatures: &[Signature]) -> String {
    match policy.admit(&scope(name), manifest(), signatures) {
        Ok(_) => "ok".to_owned(),
        Err(rejected) => rejected.to_string(),
    }
}

/// The payload of a simple signature.
pub(crate) fn simple_payload(name: &str, digest: &str) -> String {
    format!(
        r#"{{"critical":{{"identity":{{"docker-reference":"{name}"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"atomic container signature"}},"optional":{{"creator":"atomic 1","timestamp":1777593600}}}}"#
    )
}

/// The payload of a sigstore signature.
pub(crate) fn cosign_payload(name: &str, digest: &str) -> String {
    simple_payload(name, digest)
        .replace("atomic container signature", "cosign container image signature")
}

/// Signs with the key `ed25519` that GnuPG made, at noon of 2026-05-01.
pub(crate) fn sign_simple(payload: &str) -> Bytes {
    let key = SignedSecretKey::from_bytes(made("ed25519.sec").as_slice()).unwrap().primary_key;
    let mut config =
        SignatureConfig::v4(SignatureType::Binary, key.algorithm(), HashAlgorithm::Sha512);
    let noon = Timestamp::from_secs(u32::try_from(NOON).unwrap());
    config.hashed_subpackets = vec![
        Subpacket::regular(SubpacketData::IssuerFingerprint(key.fingerprint())).unwrap(),
        Subpacket::critical(SubpacketData::SignatureCreationTime(noon)).unwrap(),
    ];
    config.unhashed_subpackets =
        vec![Subpacket::regular(SubpacketData::IssuerKeyId(key.legacy_key_id())).unwrap()];
    let signature = config.sign(&key, &Password::empty(), payload.as_bytes()).unwrap();
    let literal = LiteralData::from_bytes("", Bytes::from(payload.to_owned())).unwrap();
    let mut message = Vec::new();
    signature.to_writer_with_header(&mut message).unwrap();
    literal.to_writer_with_header(&mut message).unwrap();
    message.into()
}

/// A simple signature of a name for the manifest.
pub(crate) fn simple(name: &str) -> Signature {
    Signature::Simple(sign_simple(&simple_payload(name, &digest())))
}

/// A key on P-256.
#[derive(Debug)]
pub(crate) struct Pair(EcdsaKeyPair);

impl Pair {
    pub(crate) fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    pub(crate) fn from_pkcs8(der: &[u8]) -> Self {
        Self(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        pem("PUBLIC KEY", self.0.public_key().as_der().unwrap().as_ref())
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        self.0.public_key().as_der().unwrap().as_ref().to_vec()
    }

    pub(crate) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.0.sign(&SystemRandom::new(), bytes).unwrap().as_ref().to_vec()
    }
}

pub(crate) fn pem(label: &str, bytes: &[u8]) -> String {
    let body = STANDARD.encode(bytes);
    let lines: Vec<&str> =
        body.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A sigstore signature, its annotations given.
pub(crate) fn attached(payload: &str, annotations: &[(&str, String)]) -> Signature {
    Signature::Sigstore {
        mime_type: PAYLOAD_TYPE.to_owned(),
        payload: Bytes::from(payload.to_owned()),
        annotations: annotations
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect(),
    }
}

/// A sigstore signature by a key alone.
pub(crate) fn cosigned(pair: &Pair, name: &str) -> Signature {
    let payload = cosign_payload(name, &digest());
    attached(&payload, &[(SIGNATURE, base64(&pair.sign(payload.as_bytes())))])
}

/// The entry of a log about a signature.
pub(crate) fn body(signer: &str, signature: &[u8], payload: &str) -> String {
    let hash = Digest::sha256(payload.as_bytes());
    format!(
        r#"{{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{{"data":{{"hash":{{"algorithm":"sha256","value":"{}"}}}},"signature":{{"content":"{}","publicKey":{{"content":"{}"}}}}}}}}"#,
        hash.hex(),
        base64(signature),
        base64(signer.as_bytes())
    )
}

/// A log's promise about an entry, as cosign writes it.
pub(crate) fn promise(log: &Pair, body: &str, time: u64) -> String {
    let payload = format!(
        r#"{{"body":"{}","integratedTime":{time},"logID":"c0d23d6a","logIndex":7}}"#,
        base64(body.as_bytes())
    );
    let signature = base64(&log.sign(payload.as_bytes()));
    format!(r#"{{"SignedEntryTimestamp":"{signature}","Payload":{payload}}}"#)
}

/// An authority, and what it certifies.
#[derive(Debug)]
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
#[derive(Debug)]
pub(crate) struct Certified {
    pub(crate) pem: String,
    pub(crate) pair: Pair,
}

impl Authority {
    pub(crate) fn root(name: &str) -> Self {
        Self(
            CertifiedIssuer::self_signed(Self::parameters(name), KeyPair::generate().unwrap())
                .unwrap(),
        )
    }

    /// One below this one.
    pub(crate) fn below(&self, name: &str) -> Self {
        let parameters = Self::parameters(name);
        Self(CertifiedIssuer::signed_by(parameters, KeyPair::generate().unwrap(), &self.0).unwrap())
    }

    fn parameters(name: &str) -> CertificateParams {
        let mut parameters = parameters(name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2040, 1, 1);
        parameters
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        self.0.der().to_vec()
    }

    /// A signer's certificate for that key.
    pub(crate) fn certify_key(&self, key: &KeyPair) -> String {
        signer().signed_by(key, &self.0).unwrap().pem()
    }

    /// A signer's certificate, changed.
    pub(crate) fn certify(&self, change: impl Fn(&mut CertificateParams)) -> Certified {
        let mut parameters = signer();
        change(&mut parameters);
        let key = KeyPair::generate().unwrap();
        let pair = Pair::from_pkcs8(&key.serialize_der());
        Certified { pem: parameters.signed_by(&key, &self.0).unwrap().pem(), pair }
    }
}

impl Certified {
    pub(crate) fn der(&self) -> Vec<u8> {
        let der: rustls_pki_types::CertificateDer<'_> =
            rustls_pki_types::pem::PemObject::from_pem_slice(self.pem.as_bytes()).unwrap();
        der.to_vec()
    }
}

/// What Fulcio certifies: an address, for a day.
fn signer() -> CertificateParams {
    let mut parameters = parameters("");
    parameters.not_before = rcgen::date_time_ymd(2026, 5, 1);
    parameters.not_after = rcgen::date_time_ymd(2026, 5, 2);
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    parameters.subject_alt_names = vec![mail("dev@example.com")];
    parameters.custom_extensions = vec![issuer_1("https://issuer.example.com")];
    parameters
}

fn parameters(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.distinguished_name = DistinguishedName::new();
    if !name.is_empty() {
        parameters.distinguished_name.push(DnType::CommonName, name);
    }
    parameters
}

pub(crate) fn mail(address: &str) -> SanType {
    SanType::Rfc822Name(address.try_into().unwrap())
}

/// Fulcio's issuer, as bare text.
pub(crate) fn issuer_1(issuer: &str) -> CustomExtension {
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 57264, 1, 1], issuer.as_bytes().to_vec())
}

/// Fulcio's issuer, as a string of ASN.1.
pub(crate) fn issuer_2(issuer: &str) -> CustomExtension {
    let length = u8::try_from(issuer.len()).unwrap();
    let text = [&[0x0c, length], issuer.as_bytes()].concat();
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 57264, 1, 8], text)
}

/// A signature by someone with a certificate, and a log's promise of that time if there is a log.
pub(crate) fn certified(
    by: &Certified,
    chain: &str,
    log: Option<(&Pair, u64)>,
    name: &str,
) -> Signature {
    let payload = cosign_payload(name, &digest());
    let signature = by.pair.sign(payload.as_bytes());
    let mut annotations = vec![(SIGNATURE, base64(&signature)), (CERTIFICATE, by.pem.clone())];
    if !chain.is_empty() {
        annotations.push((CHAIN, chain.to_owned()));
    }
    if let Some((log, time)) = log {
        annotations.push((PROMISE, promise(log, &body(&by.pem, &signature, &payload), time)));
    }
    attached(&payload, &annotations)
}
