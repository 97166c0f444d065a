//! Private keys behind a pass phrase.

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, DecryptionContext, PaddedBlockDecryptingKey,
    UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2;
use des::TdesEde3;
use des::cipher::{BlockDecrypt as _, KeyInit as _};
use md5::{Digest as _, Md5};
use skopeo_image::Secret;
use zeroize::Zeroizing;

use super::KeyError;
use super::der::{Element, OCTET_STRING, OID, SEQUENCE};

/// More rounds would keep a processor busy for minutes.
const MAX_ROUNDS: u32 = 10_000_000;

#[derive(Clone, Copy)]
enum Cipher {
    Aes(&'static Algorithm, usize),
    TripleDes,
}

impl Cipher {
    fn key_length(self) -> usize {
        match self {
            Self::Aes(_, length) => length,
            Self::TripleDes => 24,
        }
    }

    /// CBC, padded. What does not come out well was not locked with this key.
    fn open(self, key: &[u8], iv: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let mut plain = Zeroizing::new(sealed.to_vec());
        let length = match self {
            Self::Aes(algorithm, _) => {
                let mut open = || {
                    let iv = <[u8; 16]>::try_from(iv).ok()?;
                    let key = UnboundCipherKey::new(algorithm, key).ok()?;
                    let context = DecryptionContext::Iv128(FixedLength::from(iv));
                    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?;
                    key.decrypt(&mut plain, context).ok().map(|plain| plain.len())
                };
                open()
            }
            Self::TripleDes => open_triple_des(key, iv, &mut plain),
        };
        plain.truncate(length.ok_or(KeyError::WrongPassword)?);
        Ok(plain)
    }
}

/// Decrypts in place and gives the length without padding.
fn open_triple_des(key: &[u8], iv: &[u8], bytes: &mut [u8]) -> Option<usize> {
    let cipher = TdesEde3::new_from_slice(key).ok()?;
    let mut before = <[u8; 8]>::try_from(iv).ok()?;
    if bytes.is_empty() || !bytes.len().is_multiple_of(8) {
        return None;
    }
    for block in bytes.chunks_exact_mut(8) {
        let sealed = <[u8; 8]>::try_from(&*block).ok()?;
        cipher.decrypt_block(block.into());
        block.iter_mut().zip(before).for_each(|(byte, before)| *byte ^= before);
        before = sealed;
    }
    let padding = usize::from(*bytes.last()?);
    let length = bytes.len().checked_sub(padding)?;
    let mut end = bytes.get(length..)?.iter();
    let is_padded = (1..=8).contains(&padding) && end.all(|it| usize::from(*it) == padding);
    is_padded.then_some(length)
}

/// A PEM block as OpenSSL encrypted it before PKCS#8 (RFC 1421, 4.6.1.3; the key by one round of
/// MD5). `info` is what the header `DEK-Info` says.
pub(super) fn open_pem(
    sealed: &[u8],
    info: &str,
    password: &Secret,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let unsupported = || KeyError::Unsupported(format!("encrypted with {info}"));
    let (name, iv) = info.split_once(',').ok_or_else(unsupported)?;
    let cipher = match name.trim() {
        "AES-128-CBC" => Cipher::Aes(&AES_128, 16),
        "AES-192-CBC" => Cipher::Aes(&AES_192, 24),
        "AES-256-CBC" => Cipher::Aes(&AES_256, 32),
        "DES-EDE3-CBC" => Cipher::TripleDes,
        _ => return Err(unsupported()),
    };
    let iv = hex(iv.trim()).ok_or_else(unsupported)?;
    let salt = iv.first_chunk::<8>().ok_or_else(unsupported)?;
    let mut key = Zeroizing::new(Vec::new());
    let mut last = Zeroizing::new(Vec::new());
    while key.len() < cipher.key_length() {
        let mut hash = Md5::new();
        hash.update(&*last);
        hash.update(password.reveal());
        hash.update(salt);
        last = Zeroizing::new(hash.finalize().to_vec());
        key.extend_from_slice(&last);
    }
    let key = key.get(..cipher.key_length()).ok_or_else(unsupported)?;
    cipher.open(key, &iv, sealed)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16)?).ok();
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

/// A PKCS#8 key encrypted with PBES2 (RFC 8018, 6.2), PBKDF2 and a cipher in CBC mode.
pub(super) fn open_pkcs8(
    algorithm: Element<'_>,
    sealed: &[u8],
    password: &Secret,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let scheme = scheme(algorithm).ok_or_else(|| {
        KeyError::Unsupported("not encrypted with PBKDF2 and AES or triple DES".to_owned())
    })?;
    let mut key = Zeroizing::new(vec![0; scheme.cipher.key_length()]);
    pbkdf2::derive(scheme.prf, scheme.rounds, scheme.salt, password.reveal().as_bytes(), &mut key);
    scheme.cipher.open(&key, scheme.iv, sealed)
}

struct Scheme<'a> {
    prf: pbkdf2::Algorithm,
    rounds: NonZeroU32,
    salt: &'a [u8],
    cipher: Cipher,
    iv: &'a [u8],
}

fn scheme(algorithm: Element<'_>) -> Option<Scheme<'_>> {
    const PBES2: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d";
    const PBKDF2: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c";
    let mut parts = algorithm.reader();
    parts.expect(OID).filter(|oid| oid.value == PBES2)?;
    let mut parts = parts.expect(SEQUENCE)?.reader();
    let (mut derivation, mut encryption) =
        (parts.expect(SEQUENCE)?.reader(), parts.expect(SEQUENCE)?.reader());
    derivation.expect(OID).filter(|oid| oid.value == PBKDF2)?;
    let mut derivation = derivation.expect(SEQUENCE)?.reader();
    let salt = derivation.expect(OCTET_STRING)?.value;
    let rounds = derivation.small().filter(|rounds| *rounds <= MAX_ROUNDS)?;
    let mut ahead = derivation;
    if ahead.small().is_some() {
        derivation = ahead;
    }
    let prf = match derivation.optional(SEQUENCE) {
        None => pbkdf2::PBKDF2_HMAC_SHA1,
        Some(prf) => match prf.reader().expect(OID)?.value {
            b"\x2a\x86\x48\x86\xf7\x0d\x02\x07" => pbkdf2::PBKDF2_HMAC_SHA1,
            b"\x2a\x86\x48\x86\xf7\x0d\x02\x09" => pbkdf2::PBKDF2_HMAC_SHA256,
            b"\x2a\x86\x48\x86\xf7\x0d\x02\x0a" => pbkdf2::PBKDF2_HMAC_SHA384,
            b"\x2a\x86\x48\x86\xf7\x0d\x02\x0b" => pbkdf2::PBKDF2_HMAC_SHA512,
            _ => return None,
        },
    };
    let cipher = match encryption.expect(OID)?.value {
        b"\x60\x86\x48\x01\x65\x03\x04\x01\x02" => Cipher::Aes(&AES_128, 16),
        b"\x60\x86\x48\x01\x65\x03\x04\x01\x16" => Cipher::Aes(&AES_192, 24),
        b"\x60\x86\x48\x01\x65\x03\x04\x01\x2a" => Cipher::Aes(&AES_256, 32),
        b"\x2a\x86\x48\x86\xf7\x0d\x03\x07" => Cipher::TripleDes,
        _ => return None,
    };
    let iv = encryption.expect(OCTET_STRING)?.value;
    Some(Scheme { prf, rounds: NonZeroU32::new(rounds)?, salt, cipher, iv })
}
