//! Messages and keys that GnuPG made (`tests/data/openpgp/make.sh`), judged at a time that stands
//! still.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::*;

/// 2026-06-01: a month after all of them were made.
fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_780_272_000)
}

fn file(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/openpgp");
    fs_err::read(folder.join(name)).unwrap()
}

fn keyring(names: &[&str]) -> Keyring {
    let files: Vec<Vec<u8>> = names.iter().map(|name| file(name)).collect();
    Keyring::read(files.iter().map(Vec::as_slice))
}

/// Empty if the message is good; the reason without its first words otherwise.
fn outcome(message: &[u8], keyring: &Keyring) -> String {
    match verify(message, keyring, now()) {
        Ok(verified) => {
            assert_eq!(verified.payload, file("payload.json"));
            String::new()
        }
        Err(error) => {
            let text = error.to_string();
            let text = text.strip_prefix("Invalid GPG signature: ").unwrap_or(&text);
            // Fingerprints are what they are.
            let words = text.split(' ').map(|word| if word.len() == 40 { "KEY" } else { word });
            words.collect::<Vec<_>>().join(" ")
        }
    }
}

#[test]
fn algorithms_of_keys() {
    for (name, expected) in [
        ("rsa3072", ""),
        ("rsa2048", ""),
        ("rsa1024", "the key KEY is too weak: 1024 bits"),
        ("dsa2048", ""),
        ("dsa1024", "the key KEY is too weak: 1024 bits"),
        ("p256", ""),
        ("p384", ""),
        ("p521", ""),
        ("ed25519", ""),
    ] {
        let keyring = keyring(&[&format!("{name}.pub")]);
        assert_eq!(keyring.fingerprints().len(), 1, "{name}");
        assert_eq!(outcome(&file(&format!("{name}.sig")), &keyring), expected, "{name}");
    }
}

#[test]
fn forms_of_messages() {
    let keyring = keyring(&["ed25519.pub", "rsa2048.pub", "p256.pub"]);
    for (name, expected) in [
        ("ed25519", ""),
        ("uncompressed", ""),
        ("zlib", ""),
        ("bzip2", ""),
        ("sha384", ""),
        ("sha224", ""),
        ("sha1", "the digest algorithm SHA1 is too weak"),
        ("md5", "the digest algorithm MD5 is too weak"),
        ("ripemd160", "the digest algorithm RIPEMD160 is too weak"),
        ("text", "it is not a signature of a binary document"),
        ("expiring", "it has expired"),
        ("two", "Unexpected GPG signature count 2"),
        ("notation", "it has a critical part that is not supported"),
        ("unsigned", "Unexpected GPG signature count 0"),
        ("nested", "the payload is another"),
        ("detached", "it is not a signed OpenPGP message: it has no data"),
        ("encrypted", "it is not a signed OpenPGP message: it has packets of another kind"),
    ] {
        let message = file(&format!("{name}.sig"));
        if name == "nested" {
            // A signed message around another: the payload is the inner message.
            let verified = verify(&message, &keyring, now()).unwrap();
            assert_eq!(verified.payload, file("uncompressed.sig"));
            continue;
        }
        assert_eq!(outcome(&message, &keyring), expected, "{name}");
    }
    for name in ["armored", "clear"] {
        let text = outcome(&file(&format!("{name}.sig")), &keyring);
        assert_eq!(text, "it is not a signed OpenPGP message: it is not binary", "{name}");
    }
    // It was good while it lasted.
    let then = UNIX_EPOCH + Duration::from_secs(1_778_000_000);
    assert!(verify(&file("expiring.sig"), &keyring, then).is_ok());
}

#[test]
fn fates_of_keys() {
    for (key, message, expected) in [
        ("expired", "expired", "the key KEY has expired"),
        ("extended", "extended", ""),
        ("revoked-before", "revoked", ""),
        ("revoked", "revoked", "the key KEY is revoked"),
        ("subkey", "subkey", ""),
        ("subkey-expired", "subkey", "the key KEY has expired"),
        ("subrevoked", "subrevoked", "the key KEY is revoked"),
        ("usage", "usage", "the key KEY is not for signing"),
        ("p256", "ed25519", "the key KEY is not one of the trusted keys"),
    ] {
        let keyring = keyring(&[&format!("{key}.pub")]);
        let found = outcome(&file(&format!("{message}.sig")), &keyring);
        assert_eq!(found, expected, "{message} by {key}");
    }
    // Whatever says that a key is revoked counts, wherever it stands.
    for files in [["revoked.pub", "revoked-before.pub"], ["revoked-before.pub", "revoked.pub"]] {
        assert_eq!(outcome(&file("revoked.sig"), &keyring(&files)), "the key KEY is revoked");
    }
    // A key that is not there yet.
    let then = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let error = verify(&file("ed25519.sig"), &keyring(&["ed25519.pub"]), then).unwrap_err();
    assert!(matches!(error, OpenPgpError::KeyNotYet(_)), "{error}");
}

#[test]
fn subkeys_count_for_their_primary() {
    let keyring = keyring(&["subkey.pub"]);
    let verified = verify(&file("subkey.sig"), &keyring, now()).unwrap();
    assert_ne!(verified.signer, verified.primary);
    assert_eq!(keyring.fingerprints(), [verified.primary]);
    assert!(verified.signer.bytes().all(|it| matches!(it, b'0'..=b'9' | b'A'..=b'F')));
    assert_eq!(verified.signer.len(), 40);
}

#[test]
fn keyrings() {
    let count = |bytes: &[u8]| Keyring::read([bytes]).fingerprints().len();
    let (one, other) = (file("ed25519.pub"), file("p256.pub"));
    assert_eq!(count(&one), 1);
    assert_eq!(count(&[&one[..], &other[..]].concat()), 2);
    assert_eq!(count(&[&one[..], &one[..]].concat()), 1);
    assert_eq!(count(&file("ed25519.asc")), 1);
    assert_eq!(count(&file("three.asc")), 3);
    let armored = file("ed25519.asc");
    assert_eq!(
        count(&[b"Text before\n", &armored[..], b"and between\n", &file("three.asc")].concat()),
        3
    );
    assert_eq!(count(&file("ed25519.sec")), 1);
    for nothing in
        [&b""[..], b"x", b"\x99\x01", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n", &[0xff; 99]]
    {
        assert_eq!(count(nothing), 0);
        assert!(Keyring::read([nothing]).is_empty());
    }
    // A signature is no key, and a key whose name nobody signed is nobody's.
    assert_eq!(count(&file("ed25519.sig")), 0);
    let mut bare = one;
    bare.truncate(usize::from(bare[1]) + 2);
    assert_eq!(count(&bare), 0);
    let all = keyring(&["ed25519.pub", "three.asc", "dsa2048.pub"]);
    assert_eq!(all.fingerprints().len(), 4);
}

#[test]
fn nothing_may_be_behind_a_message() {
    let keyring = keyring(&["ed25519.pub"]);
    let behind = "there is data after the signed message";
    for name in ["ed25519.sig", "uncompressed.sig", "zlib.sig"] {
        let message = file(name);
        for more in [&b"\0"[..], b"x", b"\xcb", &file("uncompressed.sig"), &file("unsigned.sig")] {
            let text = outcome(&[&message[..], more].concat(), &keyring);
            assert!(
                text == behind || text.starts_with("it is not a signed OpenPGP message: "),
                "{name} {more:?}: {text}"
            );
        }
        for end in 0..message.len() {
            let text = outcome(&message[..end], &keyring);
            assert_ne!(text, "", "{name} cut at {end}");
        }
    }
    let huge = vec![0xa3; MAX_SIGNATURE + 1];
    assert_eq!(verify(&huge, &keyring, now()), Err(OpenPgpError::TooLong(MAX_SIGNATURE)));
}

#[test]
fn what_unpacks_to_too_much_is_not_unpacked() {
    use std::io::Write as _;
    let mut packed = flate2::write::DeflateEncoder::new(vec![0xa3, 1], flate2::Compression::best());
    packed.write_all(&vec![0; 64 << 20]).unwrap();
    let message = packed.finish().unwrap();
    assert!(message.len() < 100_000);
    let keyring = keyring(&["ed25519.pub"]);
    assert_eq!(verify(&message, &keyring, now()), Err(OpenPgpError::TooLong(MAX_SIGNATURE)));
}

#[test]
fn what_is_not_verified_says_who_it_may_be() {
    let unverified = read_unverified(&file("ed25519.sig")).unwrap();
    let fingerprint = keyring(&["ed25519.pub"]).fingerprints().remove(0);
    assert_eq!(unverified.key_id, fingerprint[24..]);
    assert_eq!(unverified.payload, file("payload.json"));
    assert_eq!(read_unverified(&file("unsigned.sig")), Err(OpenPgpError::Count(0)));
}
