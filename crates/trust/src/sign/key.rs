//! Private keys, and what they sign.

use std::fmt;

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P521_SHA256_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use p384::ecdsa::signature::hazmat::PrehashSigner as _;
use p384::pkcs8::{DecodePrivateKey as _, EncodePublicKey as _};
use zeroize::Zeroizing;

use super::key_error::KeyError;

/// A private key. What it signs is hashed with SHA-256, whatever its size, as sigstore does it
/// beside images.
pub struct PrivateKey(KeyKind);

enum KeyKind {
    P256(EcdsaKeyPair),
    /// The same key for SHA-256 and for SHA-512.
    P521(EcdsaKeyPair, EcdsaKeyPair),
    // The library of the others hashes what this curve signs with SHA-384 only.
    P384(p384::ecdsa::SigningKey),
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// What newer logs know of a kind of key.
#[derive(Clone, Copy)]
pub(super) struct Scheme {
    /// Sigstore's name of it (`PublicKeyDetails`).
    pub(super) name: &'static str,
    /// By what is hashed what it signs: a larger curve has a larger hash.
    pub(super) hash: &'static Algorithm,
}

impl PrivateKey {
    /// Returns a new key on the curve P-256, and its PKCS#8 in DER.
    ///
    /// # Errors
    /// If there is no randomness.
    pub fn generate() -> Result<(Self, Zeroizing<Vec<u8>>), KeyError> {
        let generate = || -> Result<_, aws_lc_rs::error::Unspecified> {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
            let der = Zeroizing::new(pair.to_pkcs8v1()?.as_ref().to_vec());
            Ok((Self(KeyKind::P256(pair)), der))
        };
        generate().map_err(|_| KeyError::Crypto)
    }

    /// Reads PKCS#8 in DER: ECDSA on the curves P-256, P-384 and P-521, RSA, Ed25519.
    ///
    /// # Errors
    /// If it is none of these.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let ecdsa = |algorithm| EcdsaKeyPair::from_pkcs8(algorithm, der);
        if let Ok(pair) = ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING) {
            return Ok(Self(KeyKind::P256(pair)));
        }
        if let (Ok(pair), Ok(larger)) =
            (ecdsa(&ECDSA_P521_SHA256_ASN1_SIGNING), ecdsa(&ECDSA_P521_SHA512_ASN1_SIGNING))
        {
            return Ok(Self(KeyKind::P521(pair, larger)));
        }
        if let Ok(key) = p384::ecdsa::SigningKey::from_pkcs8_der(der) {
            return Ok(Self(KeyKind::P384(key)));
        }
        if let Ok(pair) = RsaKeyPair::from_pkcs8(der) {
            return Ok(Self(KeyKind::Rsa(pair)));
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8(der) {
            return Ok(Self(KeyKind::Ed25519(pair)));
        }
        Err(KeyError::UnsupportedKey)
    }

    /// Signs a message: ECDSA gives ASN.1 in DER.
    ///
    /// # Errors
    /// If there is no randomness.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.sign_with(&SHA256, message)
    }

    /// Signs a message as newer logs ask for it.
    pub(super) fn sign_by(&self, scheme: Scheme, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.sign_with(scheme.hash, message)
    }

    /// What newer logs know of it. They take nothing that is not hashed first, and no odd sizes.
    pub(super) fn scheme(&self) -> Result<Scheme, KeyError> {
        let (name, hash) = match &self.0 {
            KeyKind::P256(_) => ("PKIX_ECDSA_P256_SHA_256", &SHA256),
            KeyKind::P384(_) => ("PKIX_ECDSA_P384_SHA_384", &SHA384),
            KeyKind::P521(..) => ("PKIX_ECDSA_P521_SHA_512", &SHA512),
            KeyKind::Ed25519(_) => return Err(KeyError::NotLogged("Ed25519")),
            KeyKind::Rsa(pair) => match pair.public_modulus_len() {
                256 => ("PKIX_RSA_PKCS1V15_2048_SHA256", &SHA256),
                384 => ("PKIX_RSA_PKCS1V15_3072_SHA256", &SHA256),
                512 => ("PKIX_RSA_PKCS1V15_4096_SHA256", &SHA256),
                _ => return Err(KeyError::NotLogged("RSA of other than 2048, 3072 or 4096 bits")),
            },
        };
        Ok(Scheme { name, hash })
    }

    fn sign_with(&self, hash: &'static Algorithm, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        let failed = |_| KeyError::Crypto;
        let ecdsa = |pair: &EcdsaKeyPair| {
            Ok(pair.sign(&random, message).map_err(failed)?.as_ref().to_vec())
        };
        match &self.0 {
            KeyKind::P521(_, larger) if hash == &SHA512 => ecdsa(larger),
            KeyKind::P256(pair) | KeyKind::P521(pair, _) => ecdsa(pair),
            KeyKind::P384(key) => {
                let signature: p384::ecdsa::DerSignature = key
                    .sign_prehash(digest(hash, message).as_ref())
                    .map_err(|_| KeyError::Crypto)?;
                Ok(signature.as_bytes().to_vec())
            }
            KeyKind::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            KeyKind::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }

    /// Returns the public key, SPKI in DER.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn public_der(&self) -> Result<Vec<u8>, KeyError> {
        let failed = |_| KeyError::Crypto;
        let der: PublicKeyX509Der<'_> = match &self.0 {
            KeyKind::P256(pair) | KeyKind::P521(pair, _) => {
                pair.public_key().as_der().map_err(failed)?
            }
            KeyKind::Rsa(pair) => pair.public_key().as_der().map_err(failed)?,
            KeyKind::Ed25519(pair) => pair.public_key().as_der().map_err(failed)?,
            KeyKind::P384(key) => {
                let der = key.verifying_key().to_public_key_der().map_err(|_| KeyError::Crypto)?;
                return Ok(der.as_bytes().to_vec());
            }
        };
        Ok(der.as_ref().to_vec())
    }

    /// Returns the same as PEM.
    ///
    /// # Errors
    /// As [`Self::public_der`].
    pub fn public_pem(&self) -> Result<String, KeyError> {
        Ok(super::pem_text("PUBLIC KEY", self.public_der()?))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            KeyKind::P256(_) | KeyKind::P384(_) | KeyKind::P521(..) => "ECDSA",
            KeyKind::Rsa(_) => "RSA",
            KeyKind::Ed25519(_) => "Ed25519",
        };
        write!(f, "PrivateKey({kind})")
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::Pkcs8V1Der;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING,
        ECDSA_P521_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
        VerificationAlgorithm,
    };

    use super::*;

    #[test]
    fn keys_of_all_kinds_sign() {
        let ecdsa = |algorithm| {
            let pair = EcdsaKeyPair::generate(algorithm).unwrap();
            pair.to_pkcs8v1().unwrap().as_ref().to_vec()
        };
        let rsa = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let rsa: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
        let ed25519 = Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap();
        let rows: [(Vec<u8>, &'static dyn VerificationAlgorithm); 5] = [
            (ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING), &ECDSA_P256_SHA256_ASN1),
            (ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING), &ECDSA_P384_SHA256_ASN1),
            (ecdsa(&ECDSA_P521_SHA256_ASN1_SIGNING), &ECDSA_P521_SHA256_ASN1),
            (rsa.as_ref().to_vec(), &RSA_PKCS1_2048_8192_SHA256),
            (ed25519.as_ref().to_vec(), &ED25519),
        ];
        for (der, algorithm) in rows {
            let key = PrivateKey::from_pkcs8(&der).unwrap();
            let public = UnparsedPublicKey::new(algorithm, key.public_der().unwrap());
            let signature = key.sign(b"message").unwrap();
            assert!(public.verify(b"message", &signature).is_ok(), "{key:?}");
            assert!(public.verify(b"another", &signature).is_err(), "{key:?}");
            assert!(key.public_pem().unwrap().starts_with("-----BEGIN PUBLIC KEY-----\n"));
        }
        let none = PrivateKey::from_pkcs8(b"nonsense").unwrap_err();
        assert_eq!(none.to_string(), "unsupported key type");
    }
}
