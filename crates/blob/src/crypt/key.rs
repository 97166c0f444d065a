//! Keys in all forms that the original takes, and some more: DER, PEM, JWK; public keys (SPKI), private
//! keys (PKCS#8, PKCS#1, SEC 1; encrypted as PKCS#8 or in OpenSSL's old way), certificates.

use aws_lc_rs::agreement;
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, PrivateDecryptingKey,
    PublicEncryptingKey,
};
use skopeo_image::Secret;
use zeroize::Zeroizing;

use super::der::{
    BIT_STRING, CONTEXT_0, INTEGER, NULL, OCTET_STRING, OID, Reader, SEQUENCE, element,
};
use super::{KeyError, jwk, locked};

const RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
const EC: &[u8] = b"\x2a\x86\x48\xce\x3d\x02\x01";

/// A key that a layer's key is encrypted with.
#[derive(Clone, Debug)]
pub(super) enum Public {
    Rsa { key: PublicEncryptingKey, oaep: Oaep },
    Ec { curve: Curve, point: Vec<u8>, wrap: KeyWrapLength },
}

/// A key that opens what was encrypted with its public half.
#[derive(Debug)]
pub(super) enum Private {
    Rsa(PrivateDecryptingKey),
    Ec(Curve, agreement::PrivateKey),
}

/// The hash of RSA-OAEP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Oaep {
    Sha1,
    Sha256,
}

impl Oaep {
    pub(super) fn algorithm(self) -> &'static OaepAlgorithm {
        match self {
            Self::Sha1 => &OAEP_SHA1_MGF1SHA1,
            Self::Sha256 => &OAEP_SHA256_MGF1SHA256,
        }
    }
}

/// How long the key is that wraps the key: AES-128 or AES-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyWrapLength {
    A128,
    A256,
}

/// A NIST curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    fn oid(self) -> &'static [u8] {
        match self {
            Self::P256 => b"\x2a\x86\x48\xce\x3d\x03\x01\x07",
            Self::P384 => b"\x2b\x81\x04\x00\x22",
            Self::P521 => b"\x2b\x81\x04\x00\x23",
        }
    }

    fn of_oid(oid: &[u8]) -> Result<Self, KeyError> {
        let curve = Self::ALL.into_iter().find(|curve| curve.oid() == oid);
        curve.ok_or_else(|| {
            KeyError::Unsupported("an elliptic curve that is not P-256, P-384 or P-521".to_owned())
        })
    }

    /// As in a JWK.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    pub(super) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|curve| curve.name() == name)
    }

    /// The length of a coordinate, in bytes.
    pub(super) fn length(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    pub(super) fn algorithm(self) -> &'static agreement::Algorithm {
        match self {
            Self::P256 => &agreement::ECDH_P256,
            Self::P384 => &agreement::ECDH_P384,
            Self::P521 => &agreement::ECDH_P521,
        }
    }

    /// A point as `agreement` takes it, if it is one of this curve.
    pub(super) fn checked_point(self, point: Vec<u8>) -> Option<Vec<u8>> {
        let peer = agreement::UnparsedPublicKey::new(self.algorithm(), &point);
        let is_point = point.len() == self.length().saturating_mul(2).saturating_add(1)
            && point.first() == Some(&4)
            && agreement::ParsedPublicKey::try_from(&peer).is_ok();
        is_point.then_some(point)
    }
}

/// What a certificate tells of the key in it.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    /// The issuer's name, as DER.
    pub(super) issuer: Vec<u8>,
    /// The serial number, as DER.
    pub(super) serial: Vec<u8>,
    pub(super) key: Option<PublicEncryptingKey>,
}

/// The public key in a file: SPKI in DER or PEM, or a JWK.
pub(super) fn public(file: &[u8]) -> Result<Public, KeyError> {
    if let Some(key) = spki(file)? {
        return Ok(key);
    }
    if let Some(pem) = first_pem(file) {
        return spki(pem.contents())?.ok_or(KeyError::NotPublicKey);
    }
    jwk::public(file)
}

/// The private key in a file; `None` if there is none.
pub(super) fn private(file: &[u8], password: Option<&Secret>) -> Result<Option<Private>, KeyError> {
    if let Some(key) = private_der(file, password)? {
        return Ok(Some(key));
    }
    let Some(pem) = private_pem(file) else { return jwk::private(file) };
    let contents = Zeroizing::new(pem.contents().to_vec());
    let plain = match pem.headers().get("DEK-Info") {
        None => contents,
        Some(info) => {
            let password = password.ok_or(KeyError::MissingPassword)?;
            locked::open_pem(&contents, info, password)?
        }
    };
    private_der(&plain, password)
}

/// The certificate in a file, DER or PEM.
pub(super) fn certificate(file: &[u8]) -> Result<Certificate, KeyError> {
    if let Some(found) = certificate_der(file) {
        return Ok(found);
    }
    first_pem(file).and_then(|pem| certificate_der(pem.contents())).ok_or(KeyError::NotCertificate)
}

fn first_pem(file: &[u8]) -> Option<pem::Pem> {
    pem::parse(file).ok()
}

/// The first block that could be a private key: `openssl ecparam -genkey` writes another before.
fn private_pem(file: &[u8]) -> Option<pem::Pem> {
    let blocks = pem::parse_many(file).ok()?;
    blocks.into_iter().find(|block| block.tag().ends_with("PRIVATE KEY"))
}

/// `SubjectPublicKeyInfo` (RFC 5280, 4.1); `None` if it is none.
fn spki(der: &[u8]) -> Result<Option<Public>, KeyError> {
    let parse = || {
        let whole = Reader(der).expect(SEQUENCE)?;
        let mut parts = whole.reader();
        let mut algorithm = parts.expect(SEQUENCE)?.reader();
        let oid = algorithm.expect(OID)?.value;
        let bits = parts.expect(BIT_STRING)?.value;
        let (&unused, key) = bits.split_first()?;
        (unused == 0).then_some((whole.whole, oid, algorithm, key))
    };
    let Some((whole, oid, mut parameters, key)) = parse() else { return Ok(None) };
    match oid {
        RSA => Ok(Some(Public::Rsa { key: rsa_public(whole)?, oaep: Oaep::Sha1 })),
        EC => {
            let curve = parameters.expect(OID).ok_or(KeyError::NotPublicKey)?;
            let curve = Curve::of_oid(curve.value)?;
            let point = curve.checked_point(key.to_vec()).ok_or(KeyError::NotPublicKey)?;
            Ok(Some(Public::Ec { curve, point, wrap: KeyWrapLength::A256 }))
        }
        _ => Err(KeyError::Unsupported("neither RSA nor of an elliptic curve".to_owned())),
    }
}

/// An RSA key from its SPKI.
pub(super) fn rsa_public(spki: &[u8]) -> Result<PublicEncryptingKey, KeyError> {
    PublicEncryptingKey::from_der(spki).map_err(|_| unsupported_rsa())
}

/// The SPKI of an RSA key.
pub(super) fn rsa_spki(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let key = element(SEQUENCE, &[modulus, exponent]);
    element(SEQUENCE, &[&rsa_algorithm(), &element(BIT_STRING, &[&[0], &key])])
}

fn rsa_algorithm() -> Vec<u8> {
    element(SEQUENCE, &[&element(OID, &[RSA]), NULL])
}

/// An RSA key from its PKCS#1.
pub(super) fn rsa_private(pkcs1: &[u8]) -> Result<Private, KeyError> {
    let version = element(INTEGER, &[&[0]]);
    let key = element(OCTET_STRING, &[pkcs1]);
    let pkcs8 = Zeroizing::new(element(SEQUENCE, &[&version, &rsa_algorithm(), &key]));
    rsa_pkcs8(&pkcs8)
}

fn rsa_pkcs8(pkcs8: &[u8]) -> Result<Private, KeyError> {
    PrivateDecryptingKey::from_pkcs8(pkcs8).map(Private::Rsa).map_err(|_| unsupported_rsa())
}

fn unsupported_rsa() -> KeyError {
    KeyError::Unsupported("an RSA key that is damaged or has not 2048 to 8192 bits".to_owned())
}

fn ec_private(curve: Curve, der: &[u8]) -> Result<Private, KeyError> {
    agreement::PrivateKey::from_private_key_der(curve.algorithm(), der)
        .map(|key| Private::Ec(curve, key))
        .map_err(|_| KeyError::Unsupported(format!("a damaged key of {}", curve.name())))
}

/// A private key in any DER form; `None` if it is none.
fn private_der(der: &[u8], password: Option<&Secret>) -> Result<Option<Private>, KeyError> {
    let parse = || {
        let whole = Reader(der).expect(SEQUENCE)?;
        let mut parts = whole.reader();
        Some((whole, parts.next()?, parts.next()?, parts))
    };
    let Some((whole, first, second, mut parts)) = parse() else { return Ok(None) };
    match (first.tag, second.tag) {
        // PKCS#8 (RFC 5208)
        (INTEGER, SEQUENCE) => {
            let mut algorithm = second.reader();
            match algorithm.expect(OID).map(|oid| oid.value) {
                Some(RSA) => rsa_pkcs8(whole.whole).map(Some),
                Some(EC) => {
                    let Some(curve) = algorithm.expect(OID) else { return Ok(None) };
                    ec_private(Curve::of_oid(curve.value)?, whole.whole).map(Some)
                }
                Some(_) => {
                    Err(KeyError::Unsupported("neither RSA nor of an elliptic curve".to_owned()))
                }
                None => Ok(None),
            }
        }
        // PKCS#1 (RFC 8017, A.1.2)
        (INTEGER, INTEGER) => rsa_private(whole.whole).map(Some),
        // SEC 1 (RFC 5915)
        (INTEGER, OCTET_STRING) => {
            let curve = parts.expect(CONTEXT_0).and_then(|curve| curve.reader().expect(OID));
            let Some(curve) = curve else { return Ok(None) };
            ec_private(Curve::of_oid(curve.value)?, whole.whole).map(Some)
        }
        // EncryptedPrivateKeyInfo (RFC 5208)
        (SEQUENCE, OCTET_STRING) => {
            let password = password.ok_or(KeyError::MissingPassword)?;
            let plain = locked::open_pkcs8(first, second.value, password)?;
            // Nothing in it is encrypted again.
            match Reader(&plain).expect(SEQUENCE).and_then(|it| it.reader().next()) {
                Some(first) if first.tag == INTEGER => private_der(&plain, None),
                _ => Err(KeyError::WrongPassword),
            }
        }
        _ => Ok(None),
    }
}

/// A certificate (RFC 5280, 4.1) as far as it is needed.
fn certificate_der(der: &[u8]) -> Option<Certificate> {
    let mut signed = Reader(der).expect(SEQUENCE)?.reader();
    let mut parts = signed.expect(SEQUENCE)?.reader();
    // A certificate is a signed thing: the signature's algorithm and the signature follow.
    signed.expect(SEQUENCE)?;
    signed.expect(BIT_STRING)?;
    parts.optional(CONTEXT_0);
    let serial = parts.expect(INTEGER)?.whole.to_vec();
    parts.expect(SEQUENCE)?;
    let issuer = parts.expect(SEQUENCE)?.whole.to_vec();
    parts.expect(SEQUENCE)?;
    parts.expect(SEQUENCE)?;
    let spki = parts.expect(SEQUENCE)?.whole;
    Some(Certificate { issuer, serial, key: PublicEncryptingKey::from_der(spki).ok() })
}
