//! Keys in all forms that the original takes, and some more: DER, PEM, JWK; public keys (SPKI),
//! private keys (PKCS#8, PKCS#1, SEC 1; encrypted as PKCS#8 or in OpenSSL's old way), certificates.

use aws_lc_rs::rsa::PublicEncryptingKey;
use skopeo_image::Secret;
use zeroize::Zeroizing;

use super::der::{BIT_STRING, CONTEXT_0, INTEGER, OCTET_STRING, OID, Reader, SEQUENCE};
use super::key::{
    Certificate, Curve, EC, KeyWrapLength, Oaep, Private, Public, RSA, ec_private, rsa_pkcs8,
    rsa_private, rsa_public,
};
use super::{KeyError, jwk, locked};

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
        _ => Err(KeyError::Unsupported("neither an RSA key nor an elliptic curve key".to_owned())),
    }
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
                Some(_) => Err(KeyError::Unsupported(
                    "neither an RSA key nor an elliptic curve key".to_owned(),
                )),
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
