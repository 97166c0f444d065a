//! What someone would send who wants to be believed, or to keep the machine busy.

use bytes::Bytes;
use skopeo_image::Signature;

use crate::world::*;

const SIGNED: &str = r#"{"type":"signedBy","keyType":"GPGKeys","keyPath":"KEY"}"#;
const SIGSTORE: &str = r#"{"type":"sigstoreSigned","keyPath":"KEY"}"#;
const NAME: &str = "example.com/app:1";

fn by_gpg() -> skopeo_trust::Policy {
    policy(SIGNED, &[("KEY", made("ed25519.pub"))])
}

#[test]
fn many_signatures_are_not_judged() {
    let bad = Signature::Simple(made("p256.sig").into());
    let mut many = vec![bad; 10_000];
    many[0] = simple(NAME);
    let expected = "it has 10000 signatures, more than the limit of 1024";
    assert_eq!(outcome(&by_gpg(), NAME, &many), expected);
    // The last of those that are judged may be the good one.
    many.swap(0, 1023);
    assert_eq!(outcome(&by_gpg(), NAME, &many[..1024]), "ok");

    let pair = Pair::new();
    let policy = policy(SIGSTORE, &[("KEY", pair.pem().into_bytes())]);
    let many = vec![cosigned(&pair, NAME); 10_000];
    assert_eq!(outcome(&policy, NAME, &many), expected);
}

#[test]
fn huge_signatures_are_not_read() {
    let huge = Bytes::from(vec![0xa3; (4 << 20) + 1]);
    let expected = "Invalid GPG signature: it has more than 4194304 bytes";
    assert_eq!(outcome(&by_gpg(), NAME, &[Signature::Simple(huge.clone())]), expected);

    let pair = Pair::new();
    let policy = policy(SIGSTORE, &[("KEY", pair.pem().into_bytes())]);
    let signature = Signature::Sigstore {
        mime_type: PAYLOAD_TYPE.to_owned(),
        annotations: [(SIGNATURE.to_owned(), base64(&pair.sign(&huge)))].into(),
        payload: huge,
    };
    assert_eq!(outcome(&policy, NAME, &[signature]), "the payload has more than 4194304 bytes");
}

#[test]
fn payloads_that_are_hard_to_read_are_refused() {
    for (payload, expected) in [
        ("[".repeat(100_000), "unexpected end of JSON input"),
        (format!("{{\"critical\":{}", "[".repeat(100_000)), "unexpected end of JSON input"),
    ] {
        let signature = Signature::Simple(sign_simple(&payload));
        assert_eq!(outcome(&by_gpg(), NAME, &[signature]), expected);
    }
    // Members without end are looked at once each.
    let many: Vec<String> = (0..200_000).map(|at| format!("\"{at}\":0")).collect();
    let payload = simple_payload(NAME, &digest())
        .replace("\"creator\"", &format!("{},\"creator\"", many.join(",")));
    let signature = Signature::Simple(sign_simple(&payload));
    assert_eq!(outcome(&by_gpg(), NAME, &[signature]), "ok");
    // The same text in another encoding is another text.
    let payload = simple_payload(NAME, &digest()).replace("app:1", "app\\u003a1");
    assert_eq!(outcome(&by_gpg(), NAME, &[Signature::Simple(sign_simple(&payload))]), "ok");
    let lone = simple_payload(NAME, &digest()).replace("app:1", "app\\ud800");
    assert_ne!(outcome(&by_gpg(), NAME, &[Signature::Simple(sign_simple(&lone))]), "ok");
}

#[test]
fn parts_of_two_good_signatures_are_no_third() {
    let (pair, log) = (Pair::new(), Pair::new());
    let requirement = r#"{"type":"sigstoreSigned","keyPath":"KEY","rekorPublicKeyPath":"LOG"}"#;
    let files = [("KEY", pair.pem().into_bytes()), ("LOG", log.pem().into_bytes())];
    let policy = policy(requirement, &files);
    let parts = |name: &str| {
        let payload = cosign_payload(name, &digest());
        let signature = pair.sign(payload.as_bytes());
        let promise = promise(&log, &body(&pair.pem(), &signature, &payload), NOON);
        (payload, base64(&signature), promise)
    };
    let (own, other) = (parts(NAME), parts("example.com/app:2"));
    for (payload, signature, promise, good) in [
        (&own.0, &own.1, &own.2, true),
        (&other.0, &own.1, &own.2, false),
        (&own.0, &other.1, &own.2, false),
        (&own.0, &own.1, &other.2, false),
        (&own.0, &other.1, &other.2, false),
    ] {
        let signature =
            attached(payload, &[(SIGNATURE, signature.clone()), (PROMISE, promise.clone())]);
        assert_eq!(outcome(&policy, NAME, &[signature]) == "ok", good);
    }
}

#[test]
fn keys_among_junk() {
    let pair = Pair::new();
    let good = [cosigned(&pair, NAME)];
    let key = pair.pem();
    let other = Pair::new().pem();
    for (file, accepted) in [
        (format!("junk\n{key}junk"), true),
        (format!("{key}{other}"), true), // the first counts
        (format!("{other}{key}"), false),
        (key.replace("PUBLIC KEY", "PRIVATE KEY"), false),
        (key.replace('\n', "\r\n"), true),
        (key.replace('\n', ""), false),
        (format!("\u{feff}{key}"), false),
    ] {
        let policy = policy(SIGSTORE, &[("KEY", file.clone().into_bytes())]);
        assert_eq!(outcome(&policy, NAME, &good) == "ok", accepted, "{file}");
    }
}

#[test]
fn files_of_keys_are_read_once() {
    let policy = by_gpg();
    for _ in 0..3 {
        assert_eq!(outcome(&policy, NAME, &[simple(NAME)]), "ok");
        assert_eq!(
            outcome(&policy.clone(), NAME, &[]),
            "A signature was required, but no signature exists"
        );
    }
}
