//! Files with private keys as cosign makes them: PEM around JSON, in which PKCS#8 is encrypted with
//! a pass phrase by scrypt and NaCl's secretbox.

use std::fmt;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::aead::{Aead as _, KeyInit as _};
use crypto_secretbox::{Key, Nonce, XSalsa20Poly1305};
use serde::{Deserialize, Serialize};
use skopeo_image::go_json;
use zeroize::Zeroizing;

use super::key::PrivateKey;
use super::key_error::{DecryptError, KeyError};

/// What the newer programs write.
const SIGSTORE: &str = "ENCRYPTED SIGSTORE PRIVATE KEY";
/// What all programs read.
const COSIGN: &str = "ENCRYPTED COSIGN PRIVATE KEY";

const KDF: &str = "scrypt";
const CIPHER: &str = "nacl/secretbox";

/// How much work the pass phrase of a new key costs: what cosign asks for.
const N: u64 = 65_536;
const R: u32 = 8;
const P: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Encrypted {
    #[serde(default)]
    kdf: Kdf,
    #[serde(default)]
    cipher: CipherName,
    #[serde(default)]
    ciphertext: String,
}

#[derive(Default, Serialize, Deserialize)]
struct Kdf {
    #[serde(default)]
    name: String,
    #[serde(default)]
    params: Params,
    #[serde(default)]
    salt: String,
}

#[derive(Default, Serialize, Deserialize)]
struct Params {
    #[serde(rename = "N", default)]
    n: u64,
    #[serde(default)]
    r: u32,
    #[serde(default)]
    p: u32,
}

#[derive(Default, Serialize, Deserialize)]
struct CipherName {
    #[serde(default)]
    name: String,
    #[serde(default)]
    nonce: String,
}

/// A new pair of keys.
pub struct KeyPair {
    /// The private one, encrypted, as PEM.
    pub private: String,
    /// The public one, as PEM.
    pub public: String,
}

impl KeyPair {
    /// Makes a pair, and encrypts the private key with this pass phrase, which may be empty.
    ///
    /// # Errors
    /// If there is no randomness.
    pub fn generate(passphrase: &[u8]) -> Result<Self, KeyError> {
        let (key, der) = PrivateKey::generate()?;
        Ok(Self { private: encrypt(&der, passphrase)?, public: key.public_pem()? })
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("public", &self.public).finish_non_exhaustive()
    }
}

/// Reads a private key.
///
/// # Errors
/// If it is none, or encrypted with another pass phrase.
pub fn read(pem: &[u8], passphrase: &[u8]) -> Result<PrivateKey, KeyError> {
    let block = pem::parse(pem).map_err(|_| KeyError::NoPem)?;
    if block.tag() != SIGSTORE && block.tag() != COSIGN {
        return Err(KeyError::Type(block.tag().to_owned()));
    }
    let der = decrypt(block.contents(), passphrase).map_err(KeyError::Decrypt)?;
    PrivateKey::from_pkcs8(&der)
}

fn decrypt(json: &[u8], passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
    let encrypted: Encrypted = go_json::from_slice(json)?;
    if encrypted.kdf.name != KDF {
        return Err(DecryptError::Kdf(encrypted.kdf.name));
    }
    if encrypted.cipher.name != CIPHER {
        return Err(DecryptError::Cipher(encrypted.cipher.name));
    }
    let Params { n, r, p } = encrypted.kdf.params;
    // What cosign has ever asked for. More would let a file take all memory there is.
    if ![32_768, 65_536, 131_072].contains(&n) || (r, p) != (R, P) {
        return Err(DecryptError::Parameters);
    }
    let salt = STANDARD.decode(&encrypted.kdf.salt)?;
    let nonce = STANDARD.decode(&encrypted.cipher.nonce)?;
    let nonce: [u8; 24] = nonce.try_into().map_err(|_| DecryptError::Failed)?;
    let text = STANDARD.decode(&encrypted.ciphertext)?;
    let cipher = cipher(passphrase, &salt, n)?;
    let der = cipher.decrypt(&Nonce::from(nonce), text.as_slice());
    der.map(Zeroizing::new).map_err(|_| DecryptError::Failed)
}

fn encrypt(der: &[u8], passphrase: &[u8]) -> Result<String, KeyError> {
    let (mut salt, mut nonce) = ([0; 32], [0; 24]);
    rand::fill(&mut salt).map_err(|_| KeyError::Crypto)?;
    rand::fill(&mut nonce).map_err(|_| KeyError::Crypto)?;
    let cipher = cipher(passphrase, &salt, N).map_err(KeyError::Decrypt)?;
    let text = cipher.encrypt(&Nonce::from(nonce), der).map_err(|_| KeyError::Crypto)?;
    let encrypted = Encrypted {
        kdf: Kdf {
            name: KDF.to_owned(),
            params: Params { n: N, r: R, p: P },
            salt: STANDARD.encode(salt),
        },
        cipher: CipherName { name: CIPHER.to_owned(), nonce: STANDARD.encode(nonce) },
        ciphertext: STANDARD.encode(text),
    };
    let json = go_json::to_vec(&encrypted).map_err(|error| KeyError::Decrypt(error.into()))?;
    Ok(super::pem_text(COSIGN, json))
}

fn cipher(passphrase: &[u8], salt: &[u8], n: u64) -> Result<XSalsa20Poly1305, DecryptError> {
    let log_n = u8::try_from(n.trailing_zeros()).map_err(|_| DecryptError::Parameters)?;
    let params = scrypt::Params::new(log_n, R, P).map_err(|_| DecryptError::Parameters)?;
    let mut key = Zeroizing::new([0; 32]);
    scrypt::scrypt(passphrase, salt, &params, &mut *key).map_err(|_| DecryptError::Parameters)?;
    Ok(XSalsa20Poly1305::new(Key::from_slice(&*key)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sentence;

    /// What there is inside of a key, changed.
    fn changed(pem: &str, from: &str, to: &str) -> String {
        let block = pem::parse(pem).unwrap();
        let json = String::from_utf8(block.contents().to_vec()).unwrap();
        assert!(json.contains(from), "{json}");
        crate::sign::pem_text(block.tag(), json.replacen(from, to, 1))
    }

    #[test]
    fn keys_are_read_back_with_their_pass_phrase_alone() {
        for passphrase in ["", "secret"] {
            let pair = KeyPair::generate(passphrase.as_bytes()).unwrap();
            assert!(pair.private.starts_with("-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----\n"));
            let key = read(pair.private.as_bytes(), passphrase.as_bytes()).unwrap();
            assert_eq!(key.public_pem().unwrap(), pair.public);
            let wrong = read(pair.private.as_bytes(), b"wrong").unwrap_err();
            assert_eq!(sentence(&wrong), "decrypt: encrypted: decryption failed");
            let newer = pair.private.replace("COSIGN", "SIGSTORE");
            assert!(read(newer.as_bytes(), passphrase.as_bytes()).is_ok());
        }
    }

    #[test]
    fn what_is_no_key_is_told_apart() {
        let pair = KeyPair::generate(b"").unwrap();
        let private = pair.private.as_str();
        for (text, sentence_) in [
            ("nonsense".to_owned(), "invalid pem block"),
            (pair.public.clone(), "unsupported pem type: PUBLIC KEY"),
            (
                changed(private, "scrypt", "bcrypt"),
                "decrypt: encrypted: unknown kdf name \"bcrypt\"",
            ),
            (
                changed(private, "nacl/secretbox", "rot13"),
                "decrypt: encrypted: unknown cipher name \"rot13\"",
            ),
            (changed(private, "65536", "1024"), "decrypt: unsupported scrypt parameters"),
            (changed(private, "65536", "1073741824"), "decrypt: unsupported scrypt parameters"),
            (changed(private, "\"r\":8", "\"r\":9"), "decrypt: unsupported scrypt parameters"),
            (changed(private, "65536", "32768"), "decrypt: encrypted: decryption failed"),
            (
                changed(private, "\"nonce\":\"", "\"nonce\":\"AAAA"),
                "decrypt: encrypted: decryption failed",
            ),
        ] {
            assert_eq!(sentence(&read(text.as_bytes(), b"").unwrap_err()), sentence_, "{text}");
        }
    }
}
