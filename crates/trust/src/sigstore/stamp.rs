//! Times that an authority signed (RFC 3161), in messages of CMS (RFC 5652).
//!
//! Only what is signed is believed: the rest of a message may look as it likes.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use skopeo_x509::{self as x509, Certificate, Purpose, der};

use super::certificate::Authority;
use super::hash;

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const TIME: u8 = 0x18;
const CONTEXT_0: u8 = 0xa0;
const CONTEXT_1: u8 = 0xa1;

/// `id-signedData`.
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
/// `id-ct-TSTInfo`.
const TIME_INFO: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 1, 4];
/// `contentType`.
const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 3];
/// `messageDigest`.
const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 4];
/// `signingCertificate`, whose hash is by SHA-1, and `signingCertificateV2`.
const SIGNING_CERTIFICATE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 2, 12];
const SIGNING_CERTIFICATE_2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 2, 47];

/// `rsaEncryption` and `sha256WithRSAEncryption` but for its last byte.
const RSA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const RSA_WITH: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1];

/// More certificates come with no time.
const MAX_CERTIFICATES: usize = 16;

/// When a signature was there, in seconds since 1970, as one of the authorities signed it.
pub(super) fn verify(
    authorities: &[Authority],
    answer: &[u8],
    signature: &[u8],
) -> Result<i64, String> {
    let token = Token::parse(answer).ok_or("a timestamp cannot be read")?;
    let info = Info::parse(token.content).ok_or("a timestamp cannot be read")?;
    if hash::by_number(info.algorithm, signature).as_deref() != Some(info.imprint) {
        return Err("a time stamp is of another signature".to_owned());
    }
    let mut because = "a time stamp is by nobody who is trusted".to_owned();
    for authority in authorities {
        match token.is_by(authority, info.time) {
            Ok(()) => return Ok(info.time),
            Err(why) => because = why,
        }
    }
    Err(because)
}

/// Refuses an answer that is no time of that signature. Who signed it is not looked at.
pub(crate) fn require_of(answer: &[u8], signature: &[u8]) -> Result<(), &'static str> {
    let token = Token::parse(answer).ok_or("the authority for times answered with none")?;
    let info = Info::parse(token.content).ok_or("the authority for times answered with none")?;
    if hash::by_number(info.algorithm, signature).as_deref() == Some(info.imprint) {
        Ok(())
    } else {
        Err("the authority for times answered with that of something else")
    }
}

/// A signed message, taken apart.
struct Token<'a> {
    content: &'a [u8],
    certificates: Vec<&'a [u8]>,
    digest_algorithm: &'a [u8],
    /// What is signed: the attributes as a `SET`.
    attributes: Vec<u8>,
    signature_algorithm: Vec<u8>,
    signature: &'a [u8],
    /// The hash of the signer's certificate that is among the attributes, and its algorithm; none:
    /// SHA-1.
    certificate_hash: (Option<&'a [u8]>, &'a [u8]),
}

impl<'a> Token<'a> {
    fn parse(answer: &'a [u8]) -> Option<Self> {
        let answer = only(SEQUENCE, answer)?;
        let (status, token) = der::expect(SEQUENCE, answer)?;
        let (status, _) = der::expect(INTEGER, status)?;
        // Granted, or granted with changes.
        if !matches!(status, [0 | 1]) {
            return None;
        }
        let token = only(SEQUENCE, token)?;
        let (kind, content) = der::expect(OID, token)?;
        if kind != SIGNED_DATA {
            return None;
        }
        let data = only(SEQUENCE, only(CONTEXT_0, content)?)?;
        let (_version, rest) = der::expect(INTEGER, data)?;
        let (_algorithms, rest) = der::expect(SET, rest)?;
        let (encapsulated, rest) = der::expect(SEQUENCE, rest)?;
        let (kind, inside) = der::expect(OID, encapsulated)?;
        if kind != TIME_INFO {
            return None;
        }
        let content = only(OCTETS, only(CONTEXT_0, inside)?)?;
        let (shown, rest) = optional(CONTEXT_0, rest);
        let (_revoked, rest) = optional(CONTEXT_1, rest);
        // A time has one signer.
        let signer = only(SEQUENCE, only(SET, rest)?)?;

        let (_version, rest) = der::expect(INTEGER, signer)?;
        let (_who, rest) = element(rest)?;
        let (digest_algorithm, rest) = der::expect(SEQUENCE, rest)?;
        let (_, after) = der::expect(CONTEXT_0, rest)?;
        let signed = rest.get(..rest.len().checked_sub(after.len())?)?;
        let (algorithm, rest) = der::expect(SEQUENCE, after)?;
        let (signature, _unsigned) = der::expect(OCTETS, rest)?;

        let (_, body) = signed.split_first()?;
        let attributes = [&[SET], body].concat();
        let (mut kind, mut digest, mut certificate_hash) = (None, None, None);
        for attribute in elements(SEQUENCE, only(CONTEXT_0, signed)?)? {
            let (name, values) = der::expect(OID, attribute)?;
            let value = only(SET, values)?;
            let twice = match name {
                CONTENT_TYPE => kind.replace(only(OID, value)?).is_some(),
                MESSAGE_DIGEST => digest.replace(only(OCTETS, value)?).is_some(),
                SIGNING_CERTIFICATE => {
                    let (_, hash) = first_hash(value)?;
                    certificate_hash.get_or_insert((None, hash));
                    false
                }
                SIGNING_CERTIFICATE_2 => {
                    let (algorithm, hash) = first_hash(value)?;
                    let sha256 = &[6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1][..];
                    certificate_hash = Some((Some(algorithm.unwrap_or(sha256)), hash));
                    false
                }
                _ => false,
            };
            if twice {
                return None;
            }
        }
        let is_it = hash::by_number(digest_algorithm, content).as_deref() == digest;
        if kind != Some(TIME_INFO) || digest.is_none() || !is_it {
            return None;
        }
        let certificates = match shown {
            Some(shown) => whole_elements(shown)?,
            None => Vec::new(),
        };
        Some(Self {
            content,
            certificates,
            digest_algorithm,
            attributes,
            signature_algorithm: named(algorithm, digest_algorithm)?,
            signature,
            certificate_hash: certificate_hash?,
        })
    }

    /// Refuses it unless somebody whom the authority vouches for signed it then.
    fn is_by(&self, authority: &Authority, then: i64) -> Result<(), String> {
        if !authority.valid.contains(then) {
            return Err(
                "a time stamp is of a time in which its authority is not trusted".to_owned()
            );
        }
        let shown = self.certificates.iter().copied().take(MAX_CERTIFICATES);
        let known: Vec<&[u8]> = shown.chain(authority.all().map(AsRef::as_ref)).collect();
        let (algorithm, wanted) = self.certificate_hash;
        let is_meant = |certificate: &[u8]| match algorithm {
            Some(algorithm) => hash::by_number(algorithm, certificate).as_deref() == Some(wanted),
            None => digest(&SHA1_FOR_LEGACY_USE_ONLY, certificate).as_ref() == wanted,
        };
        let Some(signer) = known.iter().find(|it| is_meant(it)) else {
            return Err("the certificate of a time stamp's signer is missing".to_owned());
        };
        let signer = Certificate::parse(signer)?;
        let signed = x509::has_signed(
            signer.key,
            &self.signature_algorithm,
            &self.attributes,
            self.signature,
        );
        if !signed {
            return Err("the signature of a time stamp is not good".to_owned());
        }
        // It must be for that and for nothing else.
        let single =
            signer.usages.as_ref().is_some_and(|it| it.time_stamping && it.called.len() == 1);
        if !single {
            return Err("a time stamp is by somebody who is not for that".to_owned());
        }
        let between: Vec<CertificateDer<'_>> =
            known.iter().map(|it| CertificateDer::from(*it)).collect();
        let roots = &authority.roots;
        x509::verify(&signer, &between, roots, Purpose::TimeStamping, then, x509::algorithms())
            .map_err(|error| format!("a time stamp: x509: {error}"))
    }
}

impl std::fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("by", &self.digest_algorithm).finish_non_exhaustive()
    }
}

/// What is signed: `TSTInfo`.
struct Info<'a> {
    algorithm: &'a [u8],
    imprint: &'a [u8],
    time: i64,
}

impl<'a> Info<'a> {
    fn parse(content: &'a [u8]) -> Option<Self> {
        let info = only(SEQUENCE, content)?;
        let (version, rest) = der::expect(INTEGER, info)?;
        let (_policy, rest) = der::expect(OID, rest)?;
        let (imprint, rest) = der::expect(SEQUENCE, rest)?;
        let (_serial, rest) = der::expect(INTEGER, rest)?;
        let (time, rest) = der::expect(TIME, rest)?;
        let (_accuracy, rest) = optional(SEQUENCE, rest);
        let (_ordering, rest) = optional(BOOLEAN, rest);
        let (_nonce, rest) = optional(INTEGER, rest);
        let (_authority, rest) = optional(CONTEXT_0, rest);
        // Extensions may be critical, and none is known.
        if version != [1] || !rest.is_empty() {
            return None;
        }
        let (algorithm, hash) = der::expect(SEQUENCE, imprint)?;
        Some(Self { algorithm, imprint: only(OCTETS, hash)?, time: moment(time)? })
    }
}

/// `20260102030405Z` or `20260102030405.123Z`.
fn moment(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    if whole.len() != 14 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let part = |from: usize, to: usize| whole.get(from..to);
    let text = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4)?,
        part(4, 6)?,
        part(6, 8)?,
        part(8, 10)?,
        part(10, 12)?,
        part(12, 14)?
    );
    let parsed: Timestamp = text.parse().ok()?;
    Some(parsed.as_second())
}

/// The algorithm of a signature, as certificates have it: for RSA, CMS may leave out the hash.
fn named(algorithm: &[u8], digest: &[u8]) -> Option<Vec<u8>> {
    if !algorithm.starts_with(RSA) {
        return Some(algorithm.to_vec());
    }
    let with = match digest.get(10)? {
        1 => 11,
        2 => 12,
        3 => 13,
        _ => return None,
    };
    Some([RSA_WITH, &[with, 5, 0]].concat())
}

/// The algorithm, unless it is the usual one, and the hash of the first certificate of
/// `SigningCertificate`.
fn first_hash(value: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (all, _policies) = der::expect(SEQUENCE, only(SEQUENCE, value)?)?;
    let (first, _) = der::expect(SEQUENCE, all)?;
    let (algorithm, rest) = optional(SEQUENCE, first);
    let (hash, _serial) = der::expect(OCTETS, rest)?;
    Some((algorithm, hash))
}

/// The body of an element that is all there is.
fn only(tag: u8, bytes: &[u8]) -> Option<&[u8]> {
    der::expect(tag, bytes).filter(|(_, rest)| rest.is_empty()).map(|(body, _)| body)
}

fn optional(tag: u8, bytes: &[u8]) -> (Option<&[u8]>, &[u8]) {
    match der::expect(tag, bytes) {
        Some((body, rest)) => (Some(body), rest),
        None => (None, bytes),
    }
}

/// The first element, of any kind, and what is behind it.
fn element(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    der::expect(*bytes.first()?, bytes)
}

/// The bodies of elements of one kind.
fn elements(tag: u8, bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = bytes;
    let mut all = Vec::new();
    while !rest.is_empty() {
        let (body, behind) = der::expect(tag, rest)?;
        all.push(body);
        rest = behind;
    }
    Some(all)
}

/// Elements of any kind, with their heads.
fn whole_elements(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = bytes;
    let mut all = Vec::new();
    while !rest.is_empty() {
        let (_, behind) = element(rest)?;
        all.push(rest.get(..rest.len().checked_sub(behind.len())?)?);
        rest = behind;
    }
    Some(all)
}
