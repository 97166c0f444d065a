//! PKCS#7 (RFC 2315, `EnvelopedData`): the key wrapped for certificates. As the original's library
//! writes it: AES-128-GCM with its parameters in a form of its own, the key by RSA PKCS#1 v1.5.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{self, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rand;
use aws_lc_rs::rsa::{Pkcs1PrivateDecryptingKey, Pkcs1PublicEncryptingKey};
use zeroize::Zeroizing;

use super::der::{
    CONTEXT_0, CONTEXT_0_PRIMITIVE, Element, INTEGER, OCTET_STRING, OID, Reader, SEQUENCE, SET,
    element,
};
use super::key::{Certificate, Private};
use super::{Attempts, CryptError};

const ENVELOPED: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03";
const DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
const RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
const GCM_128: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x01\x06";
const GCM_256: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x01\x2e";
const CBC_128: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x01\x02";
const CBC_256: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x01\x2a";

/// The tag that Go gives a SEQUENCE it is handed as bytes.
const GO_SEQUENCE: u8 = 0x10;
/// `[4]`, primitive: the nonce in Go's parameters of GCM.
const CONTEXT_4: u8 = 0x84;

/// Wraps `secret` for the keys in all of `recipients`.
pub(super) fn wrap(secret: &[u8], recipients: &[&Certificate]) -> Result<Vec<u8>, CryptError> {
    let mut key = Zeroizing::new([0; 16]);
    rand::fill(key.as_mut())?;
    let version = element(INTEGER, &[&[0]]);
    let mut all = Vec::new();
    for recipient in recipients {
        let rsa = recipient.key.clone().ok_or_else(|| {
            CryptError::Wrap(
                "PKCS7: only certificates with RSA keys can be used for encryption".to_owned(),
            )
        })?;
        let rsa = Pkcs1PublicEncryptingKey::new(rsa)?;
        let mut sealed = vec![0; rsa.ciphertext_size()];
        let length = rsa.encrypt(&key[..], &mut sealed)?.len();
        sealed.truncate(length);
        all.extend(element(
            SEQUENCE,
            &[
                &version,
                &element(SEQUENCE, &[&recipient.issuer, &recipient.serial]),
                &element(SEQUENCE, &[&element(OID, &[RSA])]),
                &element(OCTET_STRING, &[&sealed]),
            ],
        ));
    }
    let mut nonce = [0; 12];
    rand::fill(&mut nonce)?;
    let mut text = secret.to_vec();
    LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key[..])?).seal_in_place_append_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::empty(),
        &mut text,
    )?;
    let tag_length = element(INTEGER, &[&[16]]);
    let parameters = element(SEQUENCE, &[&element(CONTEXT_4, &[&nonce]), &tag_length]);
    let content = element(
        SEQUENCE,
        &[
            &element(OID, &[DATA]),
            &element(SEQUENCE, &[&element(OID, &[GCM_128]), &element(GO_SEQUENCE, &[&parameters])]),
            &element(CONTEXT_0, &[&element(OCTET_STRING, &[&text])]),
        ],
    );
    let enveloped = element(SEQUENCE, &[&version, &element(SET, &[&all]), &content]);
    Ok(element(SEQUENCE, &[&element(OID, &[ENVELOPED]), &element(CONTEXT_0, &[&enveloped])]))
}

/// What was wrapped, if it was for one of `certificates` and a key of `keys`; the reason if not.
pub(super) fn unwrap(
    message: &[u8],
    keys: &[Private],
    certificates: &[Certificate],
    attempts: &mut Attempts,
) -> Result<Zeroizing<Vec<u8>>, String> {
    if certificates.is_empty() {
        return Err("no x509 certificates found needed for PKCS7 decryption".to_owned());
    }
    let (mut recipients, content) =
        parse(message).ok_or("could not parse PKCS7 packet: wrong format")?;
    let content = Content::parse(content)?;
    while let Some(recipient) = recipients.next() {
        let Some((issuer, serial, sealed)) = parse_recipient(recipient) else {
            continue;
        };
        if !certificates.iter().any(|it| it.issuer == issuer && it.serial == serial) {
            continue;
        }
        for key in keys {
            let Private::Rsa(key) = key else { continue };
            attempts.take()?;
            if key.key_size_bytes() != sealed.len() {
                continue;
            }
            let Ok(key) = Pkcs1PrivateDecryptingKey::new(key.clone()) else { continue };
            let mut opened = Zeroizing::new(vec![0; key.min_output_size()]);
            let Ok(opened) = key.decrypt(sealed, &mut opened) else { continue };
            if let Some(text) = content.open(opened) {
                return Ok(text);
            }
        }
    }
    Err("PKCS7: No suitable private key found for decryption".to_owned())
}

/// The recipients, and what is encrypted for them.
fn parse(message: &[u8]) -> Option<(Reader<'_>, Reader<'_>)> {
    let mut message = Reader(message).expect(SEQUENCE)?.reader();
    message.expect(OID).filter(|oid| oid.value == ENVELOPED)?;
    let mut enveloped = message.expect(CONTEXT_0)?.reader().expect(SEQUENCE)?.reader();
    enveloped.small()?;
    let recipients = enveloped.expect(SET)?.reader();
    Some((recipients, enveloped.expect(SEQUENCE)?.reader()))
}

/// Issuer, serial number and the encrypted key of one recipient, if it is one of RSA.
fn parse_recipient(recipient: Element<'_>) -> Option<(&[u8], &[u8], &[u8])> {
    if recipient.tag != SEQUENCE {
        return None;
    }
    let mut parts = recipient.reader();
    parts.small()?;
    let mut name = parts.expect(SEQUENCE)?.reader();
    let issuer = name.expect(SEQUENCE)?.whole;
    let serial = name.expect(INTEGER)?.whole;
    let algorithm = parts.expect(SEQUENCE)?.reader().expect(OID)?.value;
    let sealed = parts.expect(OCTET_STRING)?.value;
    (algorithm == RSA).then_some((issuer, serial, sealed))
}

struct Content<'a> {
    algorithm: &'a [u8],
    iv: &'a [u8],
    text: Vec<u8>,
}

impl<'a> Content<'a> {
    fn parse(mut parts: Reader<'a>) -> Result<Self, &'static str> {
        let mut read = || {
            parts.expect(OID)?;
            let mut encryption = parts.expect(SEQUENCE)?.reader();
            let algorithm = encryption.expect(OID)?.value;
            let parameters = encryption.next()?;
            let iv = match parameters.tag {
                OCTET_STRING => parameters.value,
                SEQUENCE | GO_SEQUENCE => {
                    let mut inner = parameters.reader();
                    let mut first = inner.next()?;
                    if first.tag == SEQUENCE {
                        first = first.reader().next()?;
                    }
                    (first.tag == CONTEXT_4 || first.tag == OCTET_STRING).then_some(first.value)?
                }
                _ => return None,
            };
            let content = parts.next()?;
            let text = match content.tag {
                CONTEXT_0_PRIMITIVE => content.value.to_vec(),
                CONTEXT_0 => {
                    let mut text = Vec::new();
                    let mut pieces = content.reader();
                    while let Some(piece) = pieces.optional(OCTET_STRING) {
                        text.extend_from_slice(piece.value);
                    }
                    pieces.0.is_empty().then_some(text)?
                }
                _ => return None,
            };
            Some(Self { algorithm, iv, text })
        };
        let content = read().ok_or("could not parse PKCS7 packet: wrong format")?;
        if ![GCM_128, GCM_256, CBC_128, CBC_256].contains(&content.algorithm) {
            return Err("PKCS7: unsupported content encryption");
        }
        Ok(content)
    }

    /// The text, if it was sealed with this key.
    fn open(&self, key: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut text = Zeroizing::new(self.text.clone());
        let length = match self.algorithm {
            GCM_128 | GCM_256 => {
                let algorithm = if self.algorithm == GCM_128 { &AES_128_GCM } else { &AES_256_GCM };
                let key = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
                let nonce = Nonce::try_assume_unique_for_key(self.iv).ok()?;
                key.open_in_place(nonce, Aad::empty(), &mut text).ok()?.len()
            }
            _ => {
                let algorithm =
                    if self.algorithm == CBC_128 { &cipher::AES_128 } else { &cipher::AES_256 };
                let key = UnboundCipherKey::new(algorithm, key).ok()?;
                let iv = <[u8; 16]>::try_from(self.iv).ok()?;
                let context = DecryptionContext::Iv128(FixedLength::from(iv));
                let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?;
                key.decrypt(&mut text, context).ok()?.len()
            }
        };
        text.truncate(length);
        Some(text)
    }
}
