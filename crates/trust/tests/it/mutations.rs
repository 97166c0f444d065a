//! The law: of what is accepted, every change of one byte is refused or means the same. The tests
//! try more than 20,000 changes together.

use bytes::Bytes;
use skopeo_image::{RawManifest, Signature};
use skopeo_trust::Policy;
use skopeo_trust::openpgp::{Keyring, verify};

use crate::world::*;

const SIGNED: &str = r#"{"type":"signedBy","keyType":"GPGKeys","keyPath":"KEY"}"#;
const NAME: &str = "example.com/app:1";

/// Each byte changed in each of these ways.
pub(crate) fn mutations<'a>(
    bytes: &'a [u8],
    masks: &'a [u8],
) -> impl Iterator<Item = (usize, Vec<u8>)> + 'a {
    (0..bytes.len()).flat_map(move |at| {
        masks.iter().map(move |mask| {
            let mut changed = bytes.to_vec();
            changed[at] ^= mask;
            (at, changed)
        })
    })
}

const EACH_BIT: [u8; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 255];

fn now() -> std::time::SystemTime {
    std::time::UNIX_EPOCH + std::time::Duration::from_secs(NOW)
}

#[test]
fn of_simple_signatures() {
    let key = made("ed25519.pub");
    let keyring = Keyring::read([key.as_slice()]);
    let policy = policy(SIGNED, &[("KEY", key)]);
    let payload = simple_payload(NAME, &digest());
    let mut count = 0;
    for message in [sign_simple(&payload).to_vec(), made("ed25519.sig"), made("zlib.sig")] {
        assert_eq!(outcome(&policy, NAME, &[Signature::Simple(message.clone().into())]), "ok");
        let original = verify(&message, &keyring, now()).unwrap();
        for (at, changed) in mutations(&message, &EACH_BIT) {
            count += 1;
            let signature = Signature::Simple(Bytes::from(changed.clone()));
            if outcome(&policy, NAME, &[signature]) == "ok" {
                let verified = verify(&changed, &keyring, now()).unwrap();
                assert_eq!(verified, original, "byte {at}");
            }
        }
    }
    assert!(count > 7_000, "{count}");
}

#[test]
fn of_keyrings() {
    let key = made("ed25519.pub");
    let original = Keyring::read([key.as_slice()]).fingerprints();
    let good = simple(NAME);
    let mut count = 0;
    for (at, changed) in mutations(&key, &EACH_BIT) {
        count += 1;
        let found = Keyring::read([changed.as_slice()]).fingerprints();
        let policy = policy(SIGNED, &[("KEY", changed)]);
        if outcome(&policy, NAME, std::slice::from_ref(&good)) == "ok" {
            assert_eq!(found, original, "byte {at}");
        }
    }
    assert!(count > 1_500, "{count}");
}

#[test]
fn of_manifests() {
    let policy = policy(SIGNED, &[("KEY", made("ed25519.pub"))]);
    let good = [simple(NAME)];
    let all: Vec<u8> = (1..=255).collect();
    for (at, changed) in mutations(MANIFEST.as_bytes(), &all) {
        let manifest = RawManifest::new(None, Bytes::from(changed));
        let rejected = policy.admit(&scope(NAME), manifest, &good);
        assert!(rejected.is_err(), "byte {at}");
    }
}

/// What is in a PEM file, whatever its lines look like.
fn meaning(pem: &[u8]) -> Vec<u8> {
    pem.iter().copied().filter(u8::is_ascii_graphic).collect()
}

/// A signature with all that may lie beside it, and the files that it is judged by.
struct Whole {
    policy: String,
    files: Vec<(&'static str, Vec<u8>)>,
    payload: Vec<u8>,
    annotations: Vec<(&'static str, Vec<u8>)>,
}

impl Whole {
    fn is_accepted(&self) -> bool {
        let policy: Policy = policy(&self.policy, &self.files);
        let annotations = self.annotations.iter().map(|(key, value)| {
            // Annotations are JSON strings: what is no UTF-8 never comes here.
            ((*key).to_owned(), String::from_utf8_lossy(value).into_owned())
        });
        let signature = Signature::Sigstore {
            mime_type: PAYLOAD_TYPE.to_owned(),
            payload: Bytes::from(self.payload.clone()),
            annotations: annotations.collect(),
        };
        outcome(&policy, NAME, &[signature]) == "ok"
    }

    /// Changes one part at a time, and asks `same` what is accepted: part, original, changed.
    fn check(&mut self, same: impl Fn(&str, &[u8], &[u8]) -> bool) -> usize {
        assert!(self.is_accepted());
        let mut count = 0;
        let mut check = |whole: &mut Self, part: &str, get: &dyn Fn(&mut Self) -> &mut Vec<u8>| {
            let original = get(whole).clone();
            for (at, changed) in mutations(&original, &[1, 32]) {
                count += 1;
                get(whole).clone_from(&changed);
                if whole.is_accepted() {
                    assert!(same(part, &original, &changed), "{part}, byte {at}");
                }
            }
            *get(whole) = original;
        };
        check(self, "payload", &|whole| &mut whole.payload);
        for at in 0..self.annotations.len() {
            let part = self.annotations[at].0;
            check(self, part, &|whole| &mut whole.annotations[at].1);
        }
        for at in 0..self.files.len() {
            let part = self.files[at].0;
            check(self, part, &|whole| &mut whole.files[at].1);
        }
        count
    }
}

/// Whether a changed part says what it said before.
fn same(part: &str, original: &[u8], changed: &[u8]) -> bool {
    match part {
        "payload" => false,
        PROMISE => {
            let value = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).ok();
            value(original) == value(changed)
        }
        // Its last certificate is the root, which the policy has anyway.
        CHAIN => {
            let first = |bytes: &[u8]| {
                let text = String::from_utf8_lossy(bytes).into_owned();
                let end = text.find("-----END").unwrap_or_default();
                meaning(&text.as_bytes()[..end])
            };
            first(original) == first(changed)
        }
        // Nobody signs a root: who it is and its key are what counts.
        "root" => {
            let part = |bytes: &[u8]| {
                let der = rustls_pki_types::pem::PemObject::from_pem_slice(bytes);
                let der: rustls_pki_types::CertificateDer<'_> = der.unwrap();
                let certificate = skopeo_x509::Certificate::parse(&der).unwrap();
                (certificate.subject.to_vec(), certificate.key.to_vec())
            };
            part(original) == part(changed)
        }
        _ => meaning(original) == meaning(changed),
    }
}

#[test]
fn of_sigstore_signatures() {
    let (pair, log) = (Pair::new(), Pair::new());
    let payload = cosign_payload(NAME, &digest());
    let signature = pair.sign(payload.as_bytes());
    let promise_ = promise(&log, &body(&pair.pem(), &signature, &payload), NOON);
    let mut by_key = Whole {
        policy: r#"{"type":"sigstoreSigned","keyPath":"key","rekorPublicKeyPath":"log"}"#
            .to_owned(),
        files: vec![("key", pair.pem().into_bytes()), ("log", log.pem().into_bytes())],
        payload: payload.clone().into_bytes(),
        annotations: vec![
            (SIGNATURE, base64(&signature).into_bytes()),
            (PROMISE, promise_.into_bytes()),
        ],
    };
    let mut count = by_key.check(same);

    let root = Authority::root("root");
    let middle = root.below("middle");
    let signer = middle.certify(|_| {});
    let signature = signer.pair.sign(payload.as_bytes());
    let promise_ = promise(&log, &body(&signer.pem, &signature, &payload), NOON);
    let mut by_fulcio = Whole {
        policy: r#"{"type":"sigstoreSigned","fulcio":{"caPath":"root","oidcIssuer":"https://issuer.example.com","subjectEmail":"dev@example.com"},"rekorPublicKeyPath":"log"}"#.to_owned(),
        files: vec![("root", root.pem().into_bytes()), ("log", log.pem().into_bytes())],
        payload: payload.into_bytes(),
        annotations: vec![
            (SIGNATURE, base64(&signature).into_bytes()),
            (PROMISE, promise_.into_bytes()),
            (CERTIFICATE, signer.pem.into_bytes()),
            (CHAIN, format!("{}{}", middle.pem(), root.pem()).into_bytes()),
        ],
    };
    count += by_fulcio.check(same);
    assert!(count > 10_000, "{count}");
}
