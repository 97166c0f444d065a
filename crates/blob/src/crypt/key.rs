//! Keys of RSA and of elliptic curves, made of their parts.

use aws_lc_rs::agreement;
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, PrivateDecryptingKey,
    PublicEncryptingKey,
};
use zeroize::Zeroizing;

use super::KeyError;
use super::der::{BIT_STRING, INTEGER, NULL, OCTET_STRING, OID, SEQUENCE, element};

/// The object identifier of RSA.
pub(super) const RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
/// The object identifier of keys of elliptic curves.
pub(super) const EC: &[u8] = b"\x2a\x86\x48\xce\x3d\x02\x01";

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

    pub(super) fn of_oid(oid: &[u8]) -> Result<Self, KeyError> {
        let curve = Self::ALL.into_iter().find(|curve| curve.oid() == oid);
        curve.ok_or_else(|| {
            KeyError::Unsupported("an elliptic curve other than P-256, P-384 and P-521".to_owned())
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

/// An RSA key from its PKCS#8.
pub(super) fn rsa_pkcs8(pkcs8: &[u8]) -> Result<Private, KeyError> {
    PrivateDecryptingKey::from_pkcs8(pkcs8).map(Private::Rsa).map_err(|_| unsupported_rsa())
}

fn unsupported_rsa() -> KeyError {
    KeyError::Unsupported(
        "an RSA key that is damaged or does not have 2048 to 8192 bits".to_owned(),
    )
}

/// A key of an elliptic curve from its PKCS#8 or SEC 1.
pub(super) fn ec_private(curve: Curve, der: &[u8]) -> Result<Private, KeyError> {
    agreement::PrivateKey::from_private_key_der(curve.algorithm(), der)
        .map(|key| Private::Ec(curve, key))
        .map_err(|_| KeyError::Unsupported(format!("a damaged key of {}", curve.name())))
}
