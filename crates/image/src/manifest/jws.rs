//! The signatures inside schema 1 manifests: libtrust's "pretty signatures". They prove nothing,
//! but they say what the digest is of, and registries want one.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Digest, ManifestError, go_json};

/// Returns what the signatures of a signed manifest sign, and its digest is of: the bytes up to a
/// length the signatures tell, and a tail they carry.
///
/// # Errors
/// If there are no signatures, or they do not agree on that.
pub fn payload(bytes: &[u8]) -> Result<Vec<u8>, ManifestError> {
    let signatures: Signatures = serde_json::from_slice(bytes)
        .map_err(|error| bad(format!("error unmarshalling content: {error}")))?;
    let signatures = signatures.signatures.ok_or_else(|| bad("missing signature key"))?;
    let signatures: Vec<SignatureBlock> = go_json::from_slice(signatures.get().as_bytes())
        .map_err(|error| bad(format!("error unmarshalling signatures: {error}")))?;

    let mut agreed: Option<(usize, Vec<u8>)> = None;
    for signature in signatures {
        let (length, tail) = format_of(&signature)?;
        match &agreed {
            Some((earlier, _)) if *earlier != length => {
                return Err(bad("conflicting format length"));
            }
            Some((_, earlier)) if *earlier != tail => return Err(bad("conflicting format tail")),
            _ => agreed = Some((length, tail)),
        }
    }
    let (length, tail) = agreed.ok_or_else(|| bad("missing signatures"))?;
    let head = bytes.get(..length).ok_or_else(|| bad("invalid format length"))?;
    Ok([head, &tail].concat())
}

fn format_of(signature: &SignatureBlock) -> Result<(usize, Vec<u8>), ManifestError> {
    let protected = decoded(&signature.protected)
        .map_err(|error| bad(format!("base64 decode error: {error}")))?;
    let protected: Protected = go_json::from_slice(&protected)
        .map_err(|error| bad(format!("error unmarshalling protected header: {error}")))?;
    let length = protected.format_length.ok_or_else(|| bad("missing formatted length"))?;
    let tail = protected.format_tail.ok_or_else(|| bad("missing formatted tail"))?;
    let tail =
        decoded(&tail).map_err(|error| bad(format!("base64 decode error on tail: {error}")))?;
    let length = usize::try_from(length).map_err(|_| bad("invalid format length"))?;
    Ok((length, tail))
}

/// Adds a signature to a compact JSON object. The key is one that everybody knows: registries
/// check that there is a signature, not whose.
///
/// # Errors
/// If the bytes do not end as an object that has fields.
pub fn sign(unsigned: &[u8]) -> Result<Vec<u8>, ManifestError> {
    let head = match unsigned {
        [head @ .., b'}'] if !matches!(head.last(), None | Some(b'{' | b',')) => head,
        _ => return Err(bad("invalid json content")),
    };
    let protected = Protected {
        format_length: i64::try_from(head.len()).ok(),
        format_tail: Some(BASE64_URL.encode(b"}")),
        // Values know no clock, and nobody asks when.
        time: "1970-01-01T00:00:00Z".to_owned(),
    };
    let json = |error: serde_json::Error| bad(error.to_string());
    let protected = BASE64_URL.encode(go_json::to_vec(&protected).map_err(json)?);

    let seed = Digest::sha256(b"the key of signatures that prove nothing");
    let key = seed
        .hex()
        .as_bytes()
        .first_chunk::<32>()
        .and_then(|bytes| SigningKey::from_slice(bytes).ok())
        .ok_or_else(|| bad("invalid key"))?;
    let signed = format!("{protected}.{}", BASE64_URL.encode(unsigned));
    let signature: Signature = key.sign(signed.as_bytes());

    let blocks = [SignedBlock {
        header: Header { jwk: Jwk::of(&key), alg: "ES256" },
        signature: BASE64_URL.encode(signature.to_bytes()),
        protected,
    }];
    let blocks = go_json::to_vec(&blocks).map_err(json)?;
    Ok([head, b",\"signatures\":", &blocks, b"}"].concat())
}

const BASE64_URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

fn decoded(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    let text: String = text.chars().filter(|c| !matches!(c, '\n' | '\r' | ' ')).collect();
    BASE64_URL.decode(text)
}

fn bad(text: impl Into<String>) -> ManifestError {
    ManifestError::Signatures(text.into())
}

/// A signed manifest's signatures; unlike elsewhere, their key has to be spelt exactly.
#[derive(Deserialize)]
struct Signatures {
    #[serde(default)]
    signatures: Option<Box<RawValue>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SignatureBlock {
    protected: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Protected {
    format_length: Option<i64>,
    format_tail: Option<String>,
    #[serde(default)]
    time: String,
}

#[derive(Serialize)]
struct SignedBlock {
    header: Header,
    signature: String,
    protected: String,
}

#[derive(Serialize)]
struct Header {
    jwk: Jwk,
    alg: &'static str,
}

/// A public key (RFC 7517), its fields sorted.
#[derive(Serialize)]
struct Jwk {
    crv: &'static str,
    kid: String,
    kty: &'static str,
    x: String,
    y: String,
}

impl Jwk {
    fn of(key: &SigningKey) -> Self {
        /// What stands before the point in the DER form of a P-256 public key.
        const DER: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
        let point = key.verifying_key().to_encoded_point(false);
        let point = point.as_bytes();
        Self {
            crv: "P-256",
            kid: key_id(&[DER, point].concat()),
            kty: "EC",
            x: BASE64_URL.encode(point.get(1..33).unwrap_or_default()),
            y: BASE64_URL.encode(point.get(33..).unwrap_or_default()),
        }
    }
}

/// libtrust's fingerprint: 240 bits of the sha256 of the key in base32, by fours.
fn key_id(der: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let hash = Digest::sha256(der);
    let bits = hash.hex().bytes().take(60).flat_map(|digit| {
        let value = char::from(digit).to_digit(16).unwrap_or_default();
        [value >> 3, value >> 2, value >> 1, value].map(|bit| bit & 1)
    });
    let bits: Vec<u32> = bits.collect();
    let letter = |five: &[u32]| {
        let value = five.iter().fold(0_u32, |value, bit| (value << 1) | bit);
        usize::try_from(value).ok().and_then(|at| ALPHABET.get(at)).copied().unwrap_or(b'A')
    };
    let letters: Vec<u8> = bits.chunks(5).map(letter).collect();
    let groups: Vec<&str> =
        letters.chunks(4).map(|four| std::str::from_utf8(four).unwrap_or_default()).collect();
    groups.join(":")
}
