//! JWE (RFC 7516): the key wrapped for public keys. As the original writes it: AES-256-GCM, the
//! general JSON serialization for several recipients, the flattened one for one.

use aws_lc_rs::aead::{
    AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey,
};
use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::cipher::{self, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::key_wrap::{self, AesKek, KeyWrap as _};
use aws_lc_rs::rsa::{OaepPrivateDecryptingKey, OaepPublicEncryptingKey};
use aws_lc_rs::{digest, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::jwk::Point;
use super::key::{Curve, KeyWrapLength, Oaep, Private, Public};
use super::{Attempts, CryptError};

/// Wraps `secret` for all of `recipients`, of which there must be one.
pub(super) fn wrap(secret: &[u8], recipients: &[&Public]) -> Result<Vec<u8>, CryptError> {
    let mut key = Zeroizing::new([0; 32]);
    rand::fill(key.as_mut())?;
    let mut sealed = Vec::with_capacity(recipients.len());
    for recipient in recipients {
        sealed.push(wrap_key(&key[..], recipient)?);
    }
    let mut protected = Header { enc: Some("A256GCM".to_owned()), ..Header::default() };
    let mut envelope = Envelope::default();
    if sealed.len() == 1 {
        // What one recipient must know is protected, too.
        let one = sealed.remove(0);
        protected = Header { enc: protected.enc, ..one.header.unwrap_or_default() };
        envelope.encrypted_key = one.encrypted_key;
    } else {
        // The first key stands there twice, as in the original.
        envelope.encrypted_key = sealed.first().and_then(|first| first.encrypted_key.clone());
        envelope.recipients = Some(sealed);
    }
    let protected = BASE64.encode(serde_json::to_vec(&protected).expect("texts"));
    let mut nonce = [0; 12];
    rand::fill(&mut nonce)?;
    let mut text = secret.to_vec();
    let tag = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key[..])?)
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(protected.as_bytes()),
            &mut text,
        )?;
    envelope.protected = Some(protected);
    envelope.iv = BASE64.encode(nonce);
    envelope.ciphertext = BASE64.encode(text);
    envelope.tag = BASE64.encode(tag.as_ref());
    Ok(serde_json::to_vec(&envelope).expect("texts"))
}

/// What was wrapped, if it was for one of `keys`; the reason if not.
pub(super) fn unwrap(
    message: &[u8],
    keys: &[Private],
    attempts: &mut Attempts,
) -> Result<Zeroizing<Vec<u8>>, String> {
    let envelope = Envelope::parse(message)?;
    let protected = envelope.protected_header()?;
    let shared = envelope.unprotected.clone().unwrap_or_default();
    let recipients = envelope.recipients();
    let mut reason = None;
    for recipient in &recipients {
        let header = protected.or(&shared).or(&recipient.header.clone().unwrap_or_default());
        let content = match header.content() {
            Ok(content) => content,
            Err(error) => {
                reason.get_or_insert(error);
                continue;
            }
        };
        let sealed = recipient.encrypted_key.as_deref().unwrap_or_default();
        let sealed = BASE64.decode(sealed).map_err(|_| "an encrypted key is not base64")?;
        for key in keys {
            attempts.take()?;
            match header.open_key(&sealed, key) {
                Ok(Some(key)) if key.len() == content.key_length() => {
                    if let Some(text) = envelope.open(content, &key) {
                        return Ok(text);
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    reason.get_or_insert(error);
                }
            }
        }
    }
    Err(reason.unwrap_or_else(|| "JWE: No suitable private key found for decryption".to_owned()))
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct Envelope {
    #[serde(skip_serializing_if = "Option::is_none")]
    protected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unprotected: Option<Header>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipients: Option<Vec<Recipient>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aad: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encrypted_key: Option<String>,
    iv: String,
    ciphertext: String,
    tag: String,
}

#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(default)]
struct Recipient {
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encrypted_key: Option<String>,
}

#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(default)]
struct Header {
    #[serde(skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epk: Option<Point>,
    #[serde(skip_serializing_if = "Option::is_none")]
    apu: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    apv: Option<String>,
    #[serde(skip_serializing)]
    zip: Option<String>,
    #[serde(skip_serializing)]
    crit: Option<serde_json::Value>,
}

impl Envelope {
    fn parse(message: &[u8]) -> Result<Self, String> {
        if message.trim_ascii_start().first() == Some(&b'{') {
            return serde_json::from_slice(message).map_err(|error| format!("JWE: {error}"));
        }
        let text = std::str::from_utf8(message).map_err(|_| "JWE: neither JSON nor text")?;
        let parts: Vec<&str> = text.trim().splitn(6, '.').collect();
        let [protected, key, iv, ciphertext, tag] = parts[..] else {
            return Err("JWE: neither JSON nor five parts".to_owned());
        };
        Ok(Self {
            protected: Some(protected.to_owned()),
            encrypted_key: Some(key.to_owned()),
            iv: iv.to_owned(),
            ciphertext: ciphertext.to_owned(),
            tag: tag.to_owned(),
            ..Self::default()
        })
    }

    fn protected_header(&self) -> Result<Header, String> {
        let Some(protected) = self.protected.as_deref().filter(|it| !it.is_empty()) else {
            return Ok(Header::default());
        };
        let json = BASE64.decode(protected).map_err(|_| "JWE: the header is not base64")?;
        serde_json::from_slice(&json).map_err(|error| format!("JWE: the header: {error}"))
    }

    fn recipients(&self) -> Vec<Recipient> {
        match &self.recipients {
            Some(recipients) if !recipients.is_empty() => recipients.clone(),
            _ => vec![Recipient {
                header: self.header.clone(),
                encrypted_key: self.encrypted_key.clone(),
            }],
        }
    }

    /// The text, if it was sealed with this key.
    fn open(&self, content: Content, key: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut authentic = self.protected.clone().unwrap_or_default();
        if let Some(aad) = &self.aad {
            authentic.push('.');
            authentic.push_str(aad);
        }
        let [iv, text, tag] =
            [&self.iv, &self.ciphertext, &self.tag].map(|part| BASE64.decode(part).ok());
        content.open(key, &iv?, Zeroizing::new(text?), &tag?, authentic.as_bytes())
    }
}

impl Header {
    /// What is said here, else what is said there.
    fn or(&self, other: &Self) -> Self {
        let pick =
            |mine: &Option<String>, other: &Option<String>| mine.clone().or_else(|| other.clone());
        Self {
            alg: pick(&self.alg, &other.alg),
            enc: pick(&self.enc, &other.enc),
            epk: self.epk.clone().or_else(|| other.epk.clone()),
            apu: pick(&self.apu, &other.apu),
            apv: pick(&self.apv, &other.apv),
            zip: pick(&self.zip, &other.zip),
            crit: self.crit.clone().or_else(|| other.crit.clone()),
        }
    }

    fn content(&self) -> Result<Content, String> {
        if self.crit.is_some() || self.zip.is_some() {
            return Err("JWE: extensions or compression are not supported".to_owned());
        }
        let name = self.enc.as_deref().unwrap_or_default();
        Content::of_name(name)
            .ok_or_else(|| format!("JWE: unsupported encryption {}", quoted(name)))
    }

    /// The key of the content. Nothing if it was not meant for `key`.
    fn open_key(&self, sealed: &[u8], key: &Private) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
        let name = self.alg.as_deref().unwrap_or_default();
        Ok(match (name, key) {
            ("RSA-OAEP", Private::Rsa(key)) => open_rsa(key.clone(), Oaep::Sha1, sealed),
            ("RSA-OAEP-256", Private::Rsa(key)) => open_rsa(key.clone(), Oaep::Sha256, sealed),
            ("ECDH-ES+A128KW", Private::Ec(curve, key)) => {
                self.open_ecdh(*curve, key, KeyWrapLength::A128, sealed)
            }
            ("ECDH-ES+A256KW", Private::Ec(curve, key)) => {
                self.open_ecdh(*curve, key, KeyWrapLength::A256, sealed)
            }
            ("RSA-OAEP" | "RSA-OAEP-256" | "ECDH-ES+A128KW" | "ECDH-ES+A256KW", _) => None,
            _ => return Err(format!("JWE: unsupported key algorithm {}", quoted(name))),
        })
    }

    fn open_ecdh(
        &self,
        curve: Curve,
        key: &PrivateKey,
        wrap: KeyWrapLength,
        sealed: &[u8],
    ) -> Option<Zeroizing<Vec<u8>>> {
        let (_, point) = self.epk.as_ref()?.decode().filter(|(its, _)| *its == curve)?;
        let party =
            |party: &Option<String>| BASE64.decode(party.as_deref().unwrap_or_default()).ok();
        let parties = [party(&self.apu)?, party(&self.apv)?];
        let kek = key_to_wrap_with(curve, key, &point, wrap, &parties)?;
        if sealed.len() < 24 {
            return None;
        }
        let mut opened = Zeroizing::new(vec![0; sealed.len()]);
        let length = kek.unwrap(sealed, &mut opened).ok()?.len();
        opened.truncate(length);
        Some(opened)
    }
}

fn open_rsa(
    key: aws_lc_rs::rsa::PrivateDecryptingKey,
    oaep: Oaep,
    sealed: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    if sealed.len() != key.key_size_bytes() {
        return None;
    }
    let key = OaepPrivateDecryptingKey::new(key).ok()?;
    let mut opened = Zeroizing::new(vec![0; key.min_output_size()]);
    let length = key.decrypt(oaep.algorithm(), sealed, &mut opened, None).ok()?.len();
    opened.truncate(length);
    Some(opened)
}

/// The key of the content for one recipient, and what that one must know to open it.
fn wrap_key(key: &[u8], recipient: &Public) -> Result<Recipient, CryptError> {
    let (header, sealed) = match recipient {
        Public::Rsa { key: recipient, oaep } => {
            let recipient = OaepPublicEncryptingKey::new(recipient.clone())?;
            let mut sealed = vec![0; recipient.ciphertext_size()];
            let length = recipient.encrypt(oaep.algorithm(), key, &mut sealed, None)?.len();
            sealed.truncate(length);
            let name = match oaep {
                Oaep::Sha1 => "RSA-OAEP",
                Oaep::Sha256 => "RSA-OAEP-256",
            };
            (Header { alg: Some(name.to_owned()), ..Header::default() }, sealed)
        }
        Public::Ec { curve, point, wrap } => {
            let ephemeral = PrivateKey::generate(curve.algorithm())?;
            let epk = ephemeral.compute_public_key()?;
            let nobody = [Vec::new(), Vec::new()];
            let kek = key_to_wrap_with(*curve, &ephemeral, point, *wrap, &nobody);
            let kek = kek.ok_or(CryptError::Library)?;
            let mut sealed = vec![0; key.len().saturating_add(8)];
            kek.wrap(key, &mut sealed)?;
            let header = Header {
                alg: Some(wrap_name(*wrap).to_owned()),
                epk: Point::new(*curve, epk.as_ref()),
                ..Header::default()
            };
            (header, sealed)
        }
    };
    Ok(Recipient { header: Some(header), encrypted_key: Some(BASE64.encode(sealed)) })
}

fn wrap_name(wrap: KeyWrapLength) -> &'static str {
    match wrap {
        KeyWrapLength::A128 => "ECDH-ES+A128KW",
        KeyWrapLength::A256 => "ECDH-ES+A256KW",
    }
}

/// ECDH-ES with the Concat KDF (RFC 7518, 4.6.2): one round of SHA-256 is enough.
fn key_to_wrap_with(
    curve: Curve,
    mine: &PrivateKey,
    theirs: &[u8],
    wrap: KeyWrapLength,
    parties: &[Vec<u8>; 2],
) -> Option<AesKek> {
    let (cipher, length) = match wrap {
        KeyWrapLength::A128 => (&key_wrap::AES_128, 16_u32),
        KeyWrapLength::A256 => (&key_wrap::AES_256, 32),
    };
    let mut other = Vec::new();
    for part in [wrap_name(wrap).as_bytes(), &parties[0], &parties[1]] {
        other.extend_from_slice(&u32::try_from(part.len()).ok()?.to_be_bytes());
        other.extend_from_slice(part);
    }
    other.extend_from_slice(&length.saturating_mul(8).to_be_bytes());
    let length = usize::try_from(length).ok()?;
    let peer = UnparsedPublicKey::new(curve.algorithm(), theirs);
    agreement::agree(mine, peer, (), |shared| {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(&1u32.to_be_bytes());
        hash.update(shared);
        hash.update(&other);
        let hash = hash.finish();
        let key = hash.as_ref().get(..length).ok_or(())?;
        AesKek::new(cipher, key).map_err(|_| ())
    })
    .ok()
}

/// How the content is encrypted (RFC 7518, 5.1).
#[derive(Clone, Copy)]
enum Content {
    Gcm(&'static Algorithm),
    /// With the length of each of the two keys.
    CbcHmac(&'static cipher::Algorithm, hmac::Algorithm, usize),
}

impl Content {
    fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "A128GCM" => Self::Gcm(&AES_128_GCM),
            "A192GCM" => Self::Gcm(&AES_192_GCM),
            "A256GCM" => Self::Gcm(&AES_256_GCM),
            "A128CBC-HS256" => Self::CbcHmac(&cipher::AES_128, hmac::HMAC_SHA256, 16),
            "A192CBC-HS384" => Self::CbcHmac(&cipher::AES_192, hmac::HMAC_SHA384, 24),
            "A256CBC-HS512" => Self::CbcHmac(&cipher::AES_256, hmac::HMAC_SHA512, 32),
            _ => return None,
        })
    }

    fn key_length(self) -> usize {
        match self {
            Self::Gcm(algorithm) => algorithm.key_len(),
            Self::CbcHmac(_, _, length) => length.saturating_mul(2),
        }
    }

    fn open(
        self,
        key: &[u8],
        iv: &[u8],
        mut text: Zeroizing<Vec<u8>>,
        tag: &[u8],
        authentic: &[u8],
    ) -> Option<Zeroizing<Vec<u8>>> {
        let length = match self {
            Self::Gcm(algorithm) => {
                if tag.len() != algorithm.tag_len() {
                    return None;
                }
                let key = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
                let nonce = Nonce::try_assume_unique_for_key(iv).ok()?;
                text.extend_from_slice(tag);
                key.open_in_place(nonce, Aad::from(authentic), &mut text).ok()?.len()
            }
            Self::CbcHmac(algorithm, mac, length) => {
                let (mac_key, key) = key.split_at_checked(length)?;
                let mut context = hmac::Context::with_key(&hmac::Key::new(mac, mac_key));
                let bits = u64::try_from(authentic.len()).ok()?.checked_mul(8)?;
                for part in [authentic, iv, &text, &bits.to_be_bytes()] {
                    context.update(part);
                }
                let expected = context.sign();
                verify_slices_are_equal(expected.as_ref().get(..length)?, tag).ok()?;
                let iv = <[u8; 16]>::try_from(iv).ok()?;
                let key = UnboundCipherKey::new(algorithm, key).ok()?;
                let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?;
                let context = DecryptionContext::Iv128(FixedLength::from(iv));
                key.decrypt(&mut text, context).ok()?.len()
            }
        };
        text.truncate(length);
        Some(text)
    }
}

/// A name from outside, short enough to be shown.
fn quoted(name: &str) -> String {
    format!("{:?}", name.chars().take(64).collect::<String>())
}
