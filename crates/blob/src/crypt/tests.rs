//! Keys made here, and what strangers could write. The installed original judges the formats in the
//! tests of the program.

use aws_lc_rs::agreement::PrivateKey;
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::key::{Curve, KeyWrapLength, Oaep, Private, Public};
use super::*;
use crate::{Blob, StreamError};

fn elliptic(curve: Curve) -> (Private, Public) {
    let key = PrivateKey::generate(curve.algorithm()).unwrap();
    let point = key.compute_public_key().unwrap().as_ref().to_vec();
    (Private::Ec(curve, key), Public::Ec { curve, point, wrap: KeyWrapLength::A256 })
}

fn rsa() -> (PrivateDecryptingKey, Public) {
    let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
    let public = Public::Rsa { key: key.public_key(), oaep: Oaep::Sha1 };
    (key, public)
}

fn unwrap(message: &[u8], key: Private) -> Result<Vec<u8>, String> {
    jwe::unwrap(message, &[key], &mut Attempts(100)).map(|secret| secret.to_vec())
}

#[test]
fn jwe_for_every_kind_of_key() {
    let (own, public) = rsa();
    for oaep in [Oaep::Sha1, Oaep::Sha256] {
        let Public::Rsa { key, .. } = &public else { unreachable!() };
        let public = Public::Rsa { key: key.clone(), oaep };
        let message = jwe::wrap(b"secret", &[&public]).unwrap();
        assert_eq!(unwrap(&message, Private::Rsa(own.clone())).unwrap(), b"secret");
    }
    for curve in [Curve::P256, Curve::P384, Curve::P521] {
        for wrap in [KeyWrapLength::A128, KeyWrapLength::A256] {
            let (own, Public::Ec { point, .. }) = elliptic(curve) else { unreachable!() };
            let one = Public::Ec { curve, point, wrap };
            let other = elliptic(curve);
            let message = jwe::wrap(b"secret", &[&other.1, &one]).unwrap();
            assert_eq!(unwrap(&message, own).unwrap(), b"secret");
            assert_eq!(unwrap(&message, other.0).unwrap(), b"secret");
            let wrong = unwrap(&message, elliptic(curve).0).unwrap_err();
            assert_eq!(wrong, "JWE: No suitable private key found for decryption");
        }
    }
}

#[test]
fn jwe_of_other_forms() {
    let (own, public) = rsa();
    let message: Value =
        serde_json::from_slice(&jwe::wrap(b"secret", &[&public]).unwrap()).unwrap();
    let part = |name: &str| message[name].as_str().unwrap();
    let compact = ["protected", "encrypted_key", "iv", "ciphertext", "tag"].map(part).join(".");
    assert_eq!(unwrap(compact.as_bytes(), Private::Rsa(own.clone())).unwrap(), b"secret");

    // RFC 7518, 5.2.6 by our own hand: the layout of the tag is the only thing to get wrong.
    for (enc, mac, cipher, length) in [
        ("A128CBC-HS256", aws_lc_rs::hmac::HMAC_SHA256, &aws_lc_rs::cipher::AES_128, 16),
        ("A256CBC-HS512", aws_lc_rs::hmac::HMAC_SHA512, &aws_lc_rs::cipher::AES_256, 32),
    ] {
        use aws_lc_rs::cipher::{EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
        let key = vec![7; 2 * length];
        let protected = URL_SAFE_NO_PAD.encode(json!({"alg": "RSA-OAEP", "enc": enc}).to_string());
        let cbc = UnboundCipherKey::new(cipher, &key[length..]).unwrap();
        let cbc = PaddedBlockEncryptingKey::cbc_pkcs7(cbc).unwrap();
        let mut text = b"secret".to_vec();
        let iv = EncryptionContext::Iv128([9; 16].into());
        cbc.less_safe_encrypt(&mut text, iv).unwrap();
        let mut signed = protected.as_bytes().to_vec();
        signed.extend([9; 16]);
        signed.extend(&text);
        signed.extend((protected.len() as u64 * 8).to_be_bytes());
        let tag = aws_lc_rs::hmac::sign(&aws_lc_rs::hmac::Key::new(mac, &key[..length]), &signed);
        let recipient = aws_lc_rs::rsa::OaepPublicEncryptingKey::new(own.public_key()).unwrap();
        let mut sealed = vec![0; 256];
        recipient.encrypt(Oaep::Sha1.algorithm(), &key, &mut sealed, None).unwrap();
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let message = json!({
            "protected": protected, "encrypted_key": encode(&sealed), "iv": encode(&[9; 16]),
            "ciphertext": encode(&text), "tag": encode(&tag.as_ref()[..length]),
        });
        let opened = unwrap(message.to_string().as_bytes(), Private::Rsa(own.clone()));
        assert_eq!(opened.unwrap(), b"secret", "{enc}");
    }
}

#[test]
fn jwe_of_strangers() {
    let (own, public) = elliptic(Curve::P256);
    let message = jwe::wrap(b"secret", &[&public, &elliptic(Curve::P384).1]).unwrap();
    let good: Value = serde_json::from_slice(&message).unwrap();
    let keys = [own, Private::Rsa(rsa().0)];
    let header = |enc: &str| URL_SAFE_NO_PAD.encode(format!(r#"{{"enc":{enc}}}"#));
    let epk = |name: &str, value: Value| {
        let mut epk = good["recipients"][0]["header"]["epk"].clone();
        epk[name] = value;
        epk
    };
    for (path, value) in [
        ("/recipients/0/header/alg", json!("none")),
        ("/recipients/0/header/alg", json!("dir")),
        ("/recipients/0/header/alg", json!("RSA1_5")),
        ("/recipients/0/header/alg", json!("ECDH-ES")),
        ("/recipients/0/header/alg", json!("RSA-OAEP")), // with what is a key of a curve
        ("/recipients/0/header/alg", json!("ECDH-ES+A128KW")),
        ("/recipients/0/header/alg", json!(null)),
        ("/recipients/0/header/alg", json!("x".repeat(1 << 16))),
        ("/recipients/0/header/epk", json!(null)),
        ("/recipients/0/header/epk", epk("x", json!("AAAA"))),
        ("/recipients/0/header/epk", epk("x", json!("A".repeat(43)))), // no point of the curve
        ("/recipients/0/header/epk", epk("crv", json!("P-521"))),
        ("/recipients/0/header/epk", epk("kty", json!("RSA"))),
        ("/recipients/0/header/apu", json!("Bob")),
        ("/recipients/0/header/crit", json!(["alg"])),
        ("/recipients/0/header/zip", json!("DEF")),
        ("/recipients/0/encrypted_key", json!("")),
        ("/recipients/0/encrypted_key", json!("AAAA")),
        ("/recipients/0/encrypted_key", json!("A".repeat(1 << 16))),
        ("/recipients/0/encrypted_key", json!("!")),
        ("/recipients", json!([])),
        ("/recipients", json!({})),
        ("/protected", json!("")),
        ("/protected", json!("!")),
        ("/protected", json!(header("\"none\""))),
        ("/protected", json!(header("\"A128GCM\""))), // the key is too long for it
        ("/protected", json!(header("\"A256CBC-HS512\""))),
        ("/protected", json!(header("\"A256GCM\" "))), // the same, but not what was protected
        ("/protected", json!(header("7"))),
        ("/iv", json!("")),
        ("/iv", json!("AAAA")),
        ("/tag", json!("")),
        ("/tag", json!("AAAA")),
        ("/ciphertext", json!("")),
        ("/ciphertext", json!(7)),
    ] {
        let mut bad = good.clone();
        if bad.pointer(path).is_none() {
            let (parent, name) = path.rsplit_once('/').unwrap();
            bad.pointer_mut(parent).unwrap()[name] = Value::Null;
        }
        *bad.pointer_mut(path).unwrap() = value.clone();
        let error = jwe::unwrap(bad.to_string().as_bytes(), &keys, &mut Attempts(100)).unwrap_err();
        assert!(error.len() < 300, "{path} {error}");
    }
    assert!(jwe::unwrap(&message, &keys, &mut Attempts(100)).is_ok());
    for text in [
        "",
        ".",
        "....",
        ".....",
        "{",
        "{}",
        "[]",
        "null",
        "\u{0}",
        &"[".repeat(1 << 16),
        &"{\"protected\":".repeat(999),
    ] {
        assert!(jwe::unwrap(text.as_bytes(), &keys, &mut Attempts(100)).is_err());
    }
    let mut many = good.clone();
    many["recipients"] = json!(vec![good["recipients"][1].clone(); 1000]);
    let error = jwe::unwrap(many.to_string().as_bytes(), &keys, &mut Attempts(100)).unwrap_err();
    assert_eq!(error, "too many wrapped keys");
}

/// A certificate of a key, as far as anybody looks.
fn certificate(key: &PrivateDecryptingKey, serial: u8) -> Vec<u8> {
    use der::{BIT_STRING, INTEGER, SEQUENCE, element};
    let empty = element(SEQUENCE, &[]);
    let spki = key.public_key();
    let spki: aws_lc_rs::encoding::PublicKeyX509Der<'_> = spki.as_der().unwrap();
    let serial = element(INTEGER, &[&[serial]]);
    let to_sign = [&serial, &empty, &empty, &empty, &empty, spki.as_ref()];
    let to_sign = element(SEQUENCE, &to_sign);
    element(SEQUENCE, &[&to_sign, &empty, &element(BIT_STRING, &[&[0]])])
}

#[test]
fn pkcs7_of_friends_and_strangers() {
    let (own, _) = rsa();
    let certificates = [certificate(&own, 1), certificate(&rsa().0, 2)];
    let certificates = certificates.map(|it| forms::certificate(&it).unwrap());
    let message = pkcs7::wrap(b"secret", &[&certificates[1], &certificates[0]]).unwrap();
    let open = |message: &[u8], certificates: &[_]| {
        let keys = [Private::Rsa(own.clone())];
        pkcs7::unwrap(message, &keys, certificates, &mut Attempts(100)).map(|it| it.to_vec())
    };
    assert_eq!(open(&message, &certificates).unwrap(), b"secret");
    let error = open(&message, &certificates[1..]).unwrap_err();
    assert_eq!(error, "PKCS7: No suitable private key found for decryption");
    assert!(open(&message, &[]).unwrap_err().starts_with("no x509 certificates"));
    for at in 0..message.len() {
        assert!(open(&message[..at], &certificates).is_err());
        for bit in [0x01, 0x80] {
            let mut other = message.clone();
            other[at] ^= bit;
            // Nothing protects the outer layers; the key and the text are protected.
            assert!(open(&other, &certificates).map_or(true, |text| text == b"secret"), "{at}");
        }
    }
}

#[test]
fn keys_of_strangers() {
    let (own, _) = rsa();
    let pkcs8: Pkcs8V1Der<'_> = own.as_der().unwrap();
    let pkcs8 = pkcs8.as_ref();
    assert!(matches!(forms::private(pkcs8, None), Ok(Some(Private::Rsa(_)))));
    for at in (0..pkcs8.len()).step_by(7) {
        assert!(!matches!(forms::private(&pkcs8[..at], None), Ok(Some(_))));
        let mut other = pkcs8.to_vec();
        other[at] ^= 0x80;
        let _ = forms::private(&other, None);
    }
    for file in [
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: X\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-EDE3-CBC,0011223344556677\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
        r#"{"kty":"EC","crv":"P-256","x":"","y":"","d":""}"#,
        r#"{"kty":"RSA","n":"AQ","e":"AQ","d":"AQ"}"#,
        r#"{"kty":"RSA","n":"AQ","e":"AQ","d":"AQ","p":"AQ","q":"AQ","dp":"AQ","dq":"AQ","qi":"AQ"}"#,
        r#"{"kty":"oct","k":"AQ"}"#,
        "",
    ] {
        let password = Secret::from("x");
        assert!(!matches!(forms::private(file.as_bytes(), Some(&password)), Ok(Some(_))), "{file}");
        assert!(forms::public(file.as_bytes()).is_err(), "{file}");
        assert!(forms::certificate(file.as_bytes()).is_err(), "{file}");
    }
}

#[test]
fn jwk_of_both_halves() {
    let (Private::Ec(_, own), Public::Ec { point, .. }) = elliptic(Curve::P384) else {
        unreachable!()
    };
    let secret: aws_lc_rs::encoding::EcPrivateKeyBin<'_> =
        aws_lc_rs::encoding::AsBigEndian::as_be_bytes(&own).unwrap();
    let (x, y) = point[1..].split_at(48);
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let mut jwk = json!({"kty": "EC", "crv": "P-384", "x": encode(x), "y": encode(y), "alg": "ECDH-ES+A128KW"});
    let public = forms::public(jwk.to_string().as_bytes()).unwrap();
    jwk["d"] = encode(secret.as_ref()).into();
    let private = forms::private(jwk.to_string().as_bytes(), None).unwrap().unwrap();
    let message = jwe::wrap(b"secret", &[&public]).unwrap();
    assert_eq!(unwrap(&message, private).unwrap(), b"secret");
    // A private key is no recipient.
    assert!(forms::public(jwk.to_string().as_bytes()).is_err());
    jwk["d"] = Value::Null;
    jwk["alg"] = "ECDH-ES".into();
    let error = forms::public(jwk.to_string().as_bytes()).unwrap_err().to_string();
    assert_eq!(error, "unsupported key: ECDH-ES is an unsupported JWE key algorithm");
}

fn blob(pieces: Vec<Vec<u8>>) -> Blob {
    Blob::unnamed(stream::iter(pieces.into_iter().map(|it| Ok(Bytes::from(it)))).boxed())
}

async fn all(blob: Blob) -> Result<Vec<Bytes>, StreamError> {
    blob.into_stream().try_collect().await
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_encrypted_comes_back(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..70), 0..20),
        cut in 1usize..40,
        flip in any::<prop::sample::Index>(),
    ) {
        run(async {
            let plain = pieces.concat();
            let (sealed, key) = encrypt(blob(pieces)).unwrap();
            let sealed = all(sealed).await.unwrap().concat();
            let key = key.key().await.unwrap();
            assert_eq!(sealed.len(), plain.len());
            let cut: Vec<Vec<u8>> = sealed.chunks(cut).map(<[u8]>::to_vec).collect();
            let opened = all(decrypt(blob(cut.clone()), key.clone())).await.unwrap();
            assert_eq!(opened.concat(), plain);
            if sealed.is_empty() {
                return;
            }
            // One bit, or a piece too few.
            let mut other = cut.clone();
            let at = flip.index(sealed.len());
            let piece = cut[0].len();
            other[at / piece][at % piece] ^= 1;
            for bad in [other, cut[..cut.len() - 1].to_vec()] {
                let mut stream = decrypt(blob(bad.clone()), key.clone()).into_stream();
                let mut came = 0;
                let error = loop {
                    match stream.next().await.unwrap() {
                        Ok(piece) => came += piece.len(),
                        Err(error) => break error,
                    }
                };
                assert!(matches!(error, StreamError::Hmac));
                let last = bad.last().map_or(0, Vec::len);
                assert!(came + last <= bad.concat().len(), "the last piece was given out");
            }
        });
    }
}

#[test]
fn a_large_layer_is_encrypted_in_pieces() {
    run(async {
        let pieces: Vec<Vec<u8>> = (0..40u8).map(|at| vec![at; 100_000]).collect();
        let plain = pieces.concat();
        let (sealed, key) = encrypt(blob(pieces)).unwrap();
        let sealed = all(sealed).await.unwrap();
        assert!(sealed.len() > 10);
        assert_ne!(sealed.concat(), plain);
        let sealed = sealed.into_iter().map(|it| it.to_vec()).collect();
        let opened = all(decrypt(blob(sealed), key.key().await.unwrap())).await.unwrap();
        assert!(opened.concat() == plain);
        // Who stops reading gets no key.
        let (sealed, key) = encrypt(blob(vec![vec![0; 100]])).unwrap();
        drop(sealed);
        assert!(matches!(key.key().await, Err(CryptError::Unfinished)));
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    /// Whatever stands in an annotation or a file: an answer or an error, never a panic.
    #[test]
    fn anything_may_come(
        noise in prop::collection::vec(any::<u8>(), 0..300),
        start in prop::sample::select(vec![&b""[..], b"0\x82", b"{\"protected\":\"", b"\x84\x5e", b"\x99\x01", b"-----BEGIN "]),
    ) {
        let bytes = [start, &noise].concat();
        let keys = [elliptic(Curve::P256).0];
        let _ = jwe::unwrap(&bytes, &keys, &mut Attempts(9));
        let nobody = key::Certificate { issuer: vec![0x30, 0], serial: vec![2, 1, 1], key: None };
        let _ = pkcs7::unwrap(&bytes, &keys, &[nobody], &mut Attempts(9));
        let _ = forms::public(&bytes);
        let _ = forms::private(&bytes, Some(&Secret::from("x")));
        let _ = forms::certificate(&bytes);
        let _ = openpgp::ring(&bytes, None);
        let _ = LayerKey::parse(&bytes, &bytes);
    }
}
