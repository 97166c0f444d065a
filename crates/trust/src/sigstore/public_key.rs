//! Public keys, and what they signed: always SHA-256, whatever the curve, as sigstore's own
//! programs do; but Ed25519 signs the bytes themselves.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA256_ASN1,
    ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA256_FIXED,
    ECDSA_P521_SHA512_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    UnparsedPublicKey, VerificationAlgorithm,
};
use skopeo_x509::der;

use super::pem;

/// `id-ecPublicKey` with `prime256v1`.
const P256: &[u8] =
    &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
/// `id-ecPublicKey` with `secp384r1`.
const P384: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 5, 0x2b, 0x81, 4, 0, 0x22];
/// `id-ecPublicKey` with `secp521r1`.
const P521: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 5, 0x2b, 0x81, 4, 0, 0x23];
/// `rsaEncryption`.
const RSA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
/// `id-Ed25519`.
const EDWARDS: &[u8] = &[6, 3, 0x2b, 0x65, 0x70];

/// A key that something may have been signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PublicKey {
    kind: KeyKind,
    bits: Vec<u8>,
    /// All of it: `SubjectPublicKeyInfo`.
    der: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyKind {
    P256,
    P384,
    P521,
    Rsa,
    Ed25519,
}

impl PublicKey {
    /// Reads the first block of a PEM file.
    pub(super) fn from_pem(file: &[u8]) -> Result<Self, String> {
        let text = String::from_utf8_lossy(file);
        let (block, _) = pem::first(&text).ok_or("PEM decoding failed")?;
        match block.label.as_str() {
            "PUBLIC KEY" => Self::from_der(&block.bytes),
            "RSA PUBLIC KEY" => Self::from_der(&encode(RSA, &block.bytes)),
            label => Err(format!(
                "unknown Public key PEM file type: {label}. Are you passing the correct public key?"
            )),
        }
    }

    /// Reads a `SubjectPublicKeyInfo`.
    pub(super) fn from_der(spki: &[u8]) -> Result<Self, String> {
        let (algorithm, bits) = der::public_key(spki).ok_or("x509: failed to parse public key")?;
        let kind = match algorithm {
            P256 => KeyKind::P256,
            P384 => KeyKind::P384,
            P521 => KeyKind::P521,
            RSA => KeyKind::Rsa,
            EDWARDS => KeyKind::Ed25519,
            _ => return Err("x509: unknown public key algorithm".to_owned()),
        };
        // It is compared with what logs say, byte for byte: one key has one encoding.
        let der = encode(algorithm, bits);
        if der != spki {
            return Err("x509: trailing data after ASN.1 of public-key".to_owned());
        }
        let key = Self { kind, bits: bits.to_vec(), der };
        if !key.is_usable() {
            return Err(format!("the key is {}", key.weakness()));
        }
        Ok(key)
    }

    /// All of it, encoded.
    pub(super) fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether it is on an elliptic curve of NIST's.
    pub(super) fn is_ecdsa(&self) -> bool {
        matches!(self.kind, KeyKind::P256 | KeyKind::P384 | KeyKind::P521)
    }

    /// Refuses a signature that this key did not make of these bytes.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), &'static str> {
        let check = |algorithm: &'static dyn VerificationAlgorithm| {
            UnparsedPublicKey::new(algorithm, &self.bits).verify(message, signature)
        };
        if self.is_ecdsa() && !is_sequence(signature) {
            return self.verify_fixed(message, signature);
        }
        let (algorithm, failed): (&'static dyn VerificationAlgorithm, _) = match self.kind {
            KeyKind::P256 => (&ECDSA_P256_SHA256_ASN1, ECDSA_FAILED),
            KeyKind::P384 => (&ECDSA_P384_SHA256_ASN1, ECDSA_FAILED),
            KeyKind::P521 => (&ECDSA_P521_SHA256_ASN1, ECDSA_FAILED),
            KeyKind::Rsa => (&RSA_PKCS1_2048_8192_SHA256, "crypto/rsa: verification error"),
            KeyKind::Ed25519 => (&ED25519, "failed to verify signature"),
        };
        check(algorithm).map_err(|_| failed)
    }

    /// Refuses a signature with ASN.1 that an ECDSA key did not make of these bytes.
    pub(super) fn verify_asn1(&self, message: &[u8], signature: &[u8]) -> Result<(), &'static str> {
        if is_sequence(signature) { self.verify(message, signature) } else { Err(ECDSA_FAILED) }
    }

    /// Whether this key made a signature that is in a bundle. There, larger curves have larger
    /// hashes, as everywhere but beside images; programs before that used SHA-256 there, too.
    pub(super) fn has_bundled(&self, message: &[u8], signature: &[u8]) -> bool {
        if !self.is_ecdsa() {
            return self.verify(message, signature).is_ok();
        }
        let larger: Option<&'static dyn VerificationAlgorithm> = match self.kind {
            KeyKind::P384 => Some(&ECDSA_P384_SHA384_ASN1),
            KeyKind::P521 => Some(&ECDSA_P521_SHA512_ASN1),
            _ => None,
        };
        let key = |algorithm| UnparsedPublicKey::new(algorithm, &self.bits);
        larger.is_some_and(|algorithm| key(algorithm).verify(message, signature).is_ok())
            || self.verify_asn1(message, signature).is_ok()
    }

    /// Whether this key, a log's, made a signature.
    pub(super) fn verify_logged(&self, message: &[u8], signature: &[u8]) -> bool {
        match self.kind {
            KeyKind::Ed25519 => self.verify(message, signature).is_ok(),
            _ => self.verify_asn1(message, signature).is_ok(),
        }
    }

    /// The key itself, if it is one of Ed25519.
    pub(super) fn ed25519(&self) -> Option<&[u8]> {
        (self.kind == KeyKind::Ed25519).then_some(&self.bits)
    }

    /// Two numbers of equal length (IEEE P1363).
    fn verify_fixed(&self, message: &[u8], signature: &[u8]) -> Result<(), &'static str> {
        if signature.is_empty() || signature.len() > 132 || !signature.len().is_multiple_of(2) {
            return Err("ecdsa: Invalid IEEE_P1363 encoded bytes");
        }
        let failed = "invalid signature when validating IEEE_P1363 encoded signature";
        let algorithm: &'static dyn VerificationAlgorithm = match self.kind {
            KeyKind::P256 => &ECDSA_P256_SHA256_FIXED,
            KeyKind::P521 => &ECDSA_P521_SHA256_FIXED,
            // aws-lc has P-384 with SHA-256 for ASN.1 only, so the numbers are put into it.
            _ => {
                let (r, s) = signature.split_at(signature.len() / 2);
                let asn1 = sequence(&[integer(r), integer(s)].concat());
                let key = UnparsedPublicKey::new(&ECDSA_P384_SHA256_ASN1, &self.bits);
                return key.verify(message, &asn1).map_err(|_| failed);
            }
        };
        UnparsedPublicKey::new(algorithm, &self.bits).verify(message, signature).map_err(|_| failed)
    }

    /// Whether the library takes it: a point on its curve, a modulus that is long enough.
    fn is_usable(&self) -> bool {
        let algorithm: &'static dyn VerificationAlgorithm = match self.kind {
            KeyKind::P256 => &ECDSA_P256_SHA256_ASN1,
            KeyKind::P384 => &ECDSA_P384_SHA256_ASN1,
            KeyKind::P521 => &ECDSA_P521_SHA256_ASN1,
            KeyKind::Rsa => return modulus_bits(&self.bits).is_some_and(|bits| bits >= 2048),
            KeyKind::Ed25519 => return self.bits.len() == 32,
        };
        // Compressed points are not taken, as Go takes none.
        self.bits.first() == Some(&4) && ParsedPublicKey::new(algorithm, &self.bits).is_ok()
    }

    fn weakness(&self) -> &'static str {
        match self.kind {
            KeyKind::Rsa => "too weak: RSA keys have 2048 bits or more",
            KeyKind::Ed25519 => "none of Ed25519",
            _ => "not a point on its curve",
        }
    }
}

const ECDSA_FAILED: &str = "invalid signature when validating ASN.1 encoded signature";

const BIT_STRING: u8 = 0x03;
const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;

/// Whether some bytes are one `SEQUENCE` and nothing else.
fn is_sequence(bytes: &[u8]) -> bool {
    der::expect(SEQUENCE, bytes).is_some_and(|(_, rest)| rest.is_empty())
}

/// `SEQUENCE { SEQUENCE { algorithm }, BIT STRING }`.
fn encode(algorithm: &[u8], bits: &[u8]) -> Vec<u8> {
    let bits = element(BIT_STRING, &[&[0], bits].concat());
    sequence(&[sequence(algorithm), bits].concat())
}

fn sequence(body: &[u8]) -> Vec<u8> {
    element(SEQUENCE, body)
}

/// A number that is not negative.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|it| *it != 0).unwrap_or(bytes.len());
    let digits = bytes.get(start..).unwrap_or_default();
    let sign: &[u8] = if digits.first().is_none_or(|it| it & 0x80 != 0) { &[0] } else { &[] };
    element(INTEGER, &[sign, digits].concat())
}

fn element(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = body.len().to_be_bytes();
    let start = length.iter().position(|it| *it != 0).unwrap_or(length.len());
    let length = length.get(start..).unwrap_or_default();
    let mut made = vec![tag];
    match *length {
        [] => made.push(0),
        [short] if short < 0x80 => made.push(short),
        _ => {
            made.push(0x80 | u8::try_from(length.len()).unwrap_or(0x7f));
            made.extend_from_slice(length);
        }
    }
    made.extend_from_slice(body);
    made
}

/// How long an RSA key is.
fn modulus_bits(key: &[u8]) -> Option<usize> {
    let (numbers, rest) = der::expect(SEQUENCE, key)?;
    let (modulus, _) = der::expect(INTEGER, numbers)?;
    let start = modulus.iter().position(|it| *it != 0)?;
    let digits = modulus.get(start..)?;
    let first = usize::try_from(digits.first()?.leading_zeros()).ok()?;
    rest.is_empty().then(|| digits.len().saturating_mul(8).saturating_sub(first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P521_SHA256_ASN1_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair as _,
    };

    const P384_KEY: &str = "3076301006072a8648ce3d020106052b8104002203620004790c2fea89fdbb6825b65f\
        b717efbc4123d567b4175c0af328a799fb141149ba4dbb1849a0b908939a34de73a845db395e926bd2892eb177\
        a6d30184faec4fb93a3d9bb3c95f4044ae662746104f9e23f4cf07a42aa10991cab742a6d4a99d3a";
    const P384_SIGNATURE: &str = "306502305ef8f4ee16aba1b64fac33b599372ce9980afe49178be96953c4a874\
        5f467dc2904f788a5e2353f2be573b34becda364023100dcf3381f6ca1c19b89365eb05957f3120509e51ff9be\
        623ac99475cf536454b923eff6a6bccae265230928d628e69924";

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pair = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(pair).collect()
    }

    #[test]
    fn curves() {
        let random = SystemRandom::new();
        let algorithms = [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P521_SHA256_ASN1_SIGNING];
        let mut made: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for algorithm in algorithms {
            let pair = EcdsaKeyPair::generate(algorithm).unwrap();
            let key = pair.public_key().as_der().unwrap().as_ref().to_vec();
            made.push((key, pair.sign(&random, b"message").unwrap().as_ref().to_vec()));
        }
        // OpenSSL made this one: aws-lc signs with P-384 and SHA-384 only.
        made.push((hex(P384_KEY), hex(P384_SIGNATURE)));
        for (spki, signature) in made {
            let key = PublicKey::from_der(&spki).unwrap();
            assert!(key.is_ecdsa());
            assert_eq!(key.verify(b"message", &signature), Ok(()), "{key:?}");
            assert_eq!(key.verify(b"another", &signature), Err(ECDSA_FAILED));
            // The same two numbers, side by side.
            let (numbers, _) = der::expect(SEQUENCE, &signature).unwrap();
            let (r, rest) = der::expect(INTEGER, numbers).unwrap();
            let (s, _) = der::expect(INTEGER, rest).unwrap();
            let size = (key.bits.len() - 1) / 2;
            let fixed = [r, s].map(|number| {
                let digits = number.strip_prefix(&[0]).unwrap_or(number);
                [vec![0; size - digits.len()], digits.to_vec()].concat()
            });
            let fixed = fixed.concat();
            assert_eq!(key.verify(b"message", &fixed), Ok(()), "{key:?}");
            assert!(key.verify(b"another", &fixed).is_err());
            assert!(key.verify_asn1(b"message", &fixed).is_err());
            assert!(key.verify(b"message", b"").is_err());
        }
        let pair = Ed25519KeyPair::generate().unwrap();
        let key = PublicKey::from_der(pair.public_key().as_der().unwrap().as_ref()).unwrap();
        assert!(key.verify(b"message", pair.sign(b"message").as_ref()).is_ok());
        assert!(key.verify(b"another", pair.sign(b"message").as_ref()).is_err());
        assert!(!key.is_ecdsa());
    }

    #[test]
    fn rsa_keys_have_their_length() {
        use aws_lc_rs::rsa::{KeyPair, KeySize};
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let spki = pair.public_key().as_der().unwrap();
        let key = PublicKey::from_der(spki.as_ref()).unwrap();
        let mut signature = vec![0; pair.public_modulus_len()];
        let random = SystemRandom::new();
        pair.sign(&aws_lc_rs::signature::RSA_PKCS1_SHA256, &random, b"message", &mut signature)
            .unwrap();
        assert_eq!(key.verify(b"message", &signature), Ok(()));
        assert!(key.verify(b"another", &signature).is_err());
        // The older form of the same key.
        let pkcs1 = pair.public_key().as_ref();
        let text = pem(b"RSA PUBLIC KEY", pkcs1);
        assert_eq!(PublicKey::from_pem(&text), Ok(key));

        for (bits, usable) in [(1024, false), (2047, false), (2048, true)] {
            let bytes = usize::div_ceil(bits, 8);
            let mut modulus = vec![0xff; bytes];
            modulus[0] >>= bytes * 8 - bits;
            let key = sequence(&[integer(&modulus), integer(&[1, 0, 1])].concat());
            let found = PublicKey::from_der(&encode(RSA, &key));
            assert_eq!(found.is_ok(), usable, "{bits}");
        }
    }

    fn pem(label: &[u8], bytes: &[u8]) -> Vec<u8> {
        use base64::Engine as _;
        let body = base64::engine::general_purpose::STANDARD.encode(bytes);
        let label = String::from_utf8_lossy(label);
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n").into_bytes()
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let error = |bytes: &[u8]| PublicKey::from_pem(bytes).unwrap_err();
        assert_eq!(error(b""), "PEM decoding failed");
        assert_eq!(
            error(&pem(b"CERTIFICATE", b"x")),
            "unknown Public key PEM file type: CERTIFICATE. Are you passing the correct public key?"
        );
        assert_eq!(error(&pem(b"PUBLIC KEY", b"x")), "x509: failed to parse public key");
        let other = encode(&[6, 3, 0x2b, 0x65, 0x6e], &[0; 32]); // X25519
        assert_eq!(error(&pem(b"PUBLIC KEY", &other)), "x509: unknown public key algorithm");
        let off = encode(P256, &[4; 65]);
        assert_eq!(error(&pem(b"PUBLIC KEY", &off)), "the key is not a point on its curve");
        let long = [encode(EDWARDS, &[1; 32]), vec![0]].concat();
        assert_eq!(
            error(&pem(b"PUBLIC KEY", &long)),
            "x509: trailing data after ASN.1 of public-key"
        );
    }
}
