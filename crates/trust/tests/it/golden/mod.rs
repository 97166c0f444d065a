//! The table of judgements: requirement, signatures, name, and the sentence.

mod sigstore;

use std::fmt::Write as _;

use rcgen::{ExtendedKeyUsagePurpose, SanType};

use crate::world::*;

const NAMES: [&str; 8] = [
    "example.com/app:1",
    "example.com/app:2",
    "example.com/app",
    "example.com/other:1",
    "example.com/app@DIGEST",
    "mirror.example.com/app:1",
    "busybox:1",
    "Not A Name",
];

const IMAGES: [&str; 5] = [
    "example.com/app:1",
    "example.com/app@DIGEST",
    "mirror.example.com/app:1",
    "docker.io/library/busybox:1",
    "/srv/images/app",
];

const IDENTITIES: [(&str, &str); 7] = [
    ("default", ""),
    ("matchExact", r#"{"type":"matchExact"}"#),
    ("matchRepoDigestOrExact", r#"{"type":"matchRepoDigestOrExact"}"#),
    ("matchRepository", r#"{"type":"matchRepository"}"#),
    ("exactReference", r#"{"type":"exactReference","dockerReference":"example.com/app:1"}"#),
    ("exactRepository", r#"{"type":"exactRepository","dockerRepository":"example.com/app"}"#),
    (
        "remapIdentity",
        r#"{"type":"remapIdentity","prefix":"mirror.example.com","signedPrefix":"example.com"}"#,
    ),
];

const SIGNED: &str = r#"{"type":"signedBy","keyType":"GPGKeys","keyPath":"KEY"}"#;
const ACCEPT: &str = r#"{"type":"insecureAcceptAnything"}"#;
const REJECT: &str = r#"{"type":"reject"}"#;

fn named(text: &str) -> String {
    text.replace("DIGEST", &digest())
}

fn with_identity(requirement: &str, identity: &str) -> String {
    if identity.is_empty() {
        return requirement.to_owned();
    }
    let rest = requirement.trim_end_matches('}');
    format!(r#"{rest},"signedIdentity":{identity}}}"#)
}

/// What a table says, without what is another in each run.
fn stable(text: &str) -> String {
    let text = text.replace(&digest(), "DIGEST");
    let words = text.split(' ').map(|word| {
        let is_fingerprint = word.len() == 40 && word.bytes().all(|it| it.is_ascii_hexdigit());
        if is_fingerprint { "FINGERPRINT" } else { word }
    });
    let text = words.collect::<Vec<_>>().join(" ");
    match text.split_once("signature in Rekor SET does not match: ") {
        Some((before, _)) => format!("{before}signature in Rekor SET does not match: ..."),
        None => text,
    }
}

/// Requirement by name: of the seven identities, for simple and for sigstore signatures alike.
#[test]
fn identities() {
    let pair = Pair::new();
    let files = [("KEY", made("ed25519.pub")), ("cosign", pair.pem().into_bytes())];
    let simple: Vec<_> = NAMES.iter().map(|name| simple(&named(name))).collect();
    let cosigned: Vec<_> = NAMES.iter().map(|name| cosigned(&pair, &named(name))).collect();
    let mut table = String::new();
    for (label, identity) in IDENTITIES {
        let by_key = policy(&with_identity(SIGNED, identity), &files);
        let sigstore = r#"{"type":"sigstoreSigned","keyPath":"cosign"}"#;
        let by_sigstore = policy(&with_identity(sigstore, identity), &files);
        for image in IMAGES {
            for (at, name) in NAMES.iter().enumerate() {
                let found = outcome(&by_key, &named(image), &simple[at..=at]);
                let same = outcome(&by_sigstore, &named(image), &cosigned[at..=at]);
                assert_eq!(found, same, "{label} {image} {name}");
                let _ = writeln!(table, "{label} | {image} | {name} | {}", stable(&found));
            }
        }
    }
    assert_eq!(table.lines().count(), 280);
    insta::assert_snapshot!("identities", table);
}

/// One row: what is required, what lies beside the image, and the sentence.
pub(crate) struct Rows {
    pub(crate) files: Vec<(&'static str, Vec<u8>)>,
    pub(crate) table: String,
}

impl Rows {
    pub(crate) fn row(
        &mut self,
        label: &str,
        requirements: &str,
        signatures: &[skopeo_image::Signature],
    ) {
        let policy = policy(requirements, &self.files);
        let found = outcome(&policy, "example.com/app:1", signatures);
        let _ = writeln!(self.table, "{label} | {}", stable(&found));
    }
}

#[test]
fn simple_signatures() {
    let name = "example.com/app:1";
    let files = [
        "ed25519",
        "p256",
        "p384",
        "p521",
        "rsa2048",
        "rsa1024",
        "dsa2048",
        "dsa1024",
        "expired",
        "revoked",
        "subkey",
        "subkey-expired",
        "subrevoked",
        "usage",
        "extended",
    ];
    let mut files: Vec<_> = files.iter().map(|it| (*it, made(&format!("{it}.pub")))).collect();
    files.push(("three", made("three.asc")));
    files.push(("empty", Vec::new()));
    let mut rows = Rows { files, table: String::new() };
    let by = |key: &str| SIGNED.replace("KEY", key);
    let gnupg = |file: &str| skopeo_image::Signature::Simple(made(&format!("{file}.sig")).into());
    let of = |payload: &str| skopeo_image::Signature::Simple(sign_simple(payload));
    let good = simple(name);

    // Which key.
    for key in ["ed25519", "p256", "p384", "p521", "rsa2048", "rsa1024", "dsa2048", "dsa1024"] {
        rows.row(&format!("its own key, {key}"), &by(key), &[gnupg(key)]);
    }
    for key in ["expired", "revoked", "subkey", "subrevoked", "usage", "extended"] {
        rows.row(&format!("a key that is {key}"), &by(key), &[gnupg(key)]);
    }
    rows.row("an expired subkey", &by("subkey-expired"), &[gnupg("subkey")]);
    rows.row("another key", &by("p256"), &[good.clone()]);
    rows.row("one of three keys", &by("three"), &[good.clone()]);
    rows.row("no keys", &by("empty"), &[good.clone()]);
    rows.row("no file of keys", &by("missing"), &[good.clone()]);
    rows.row("no file of keys, no signature", &by("missing"), &[]);
    let paths = r#"{"type":"signedBy","keyType":"GPGKeys","keyPaths":["p256","ed25519"]}"#;
    rows.row("one of two files", paths, &[good.clone()]);
    rows.row("a file is missing", &paths.replace("p256", "missing"), &[good.clone()]);
    let data = format!(
        r#"{{"type":"signedBy","keyType":"GPGKeys","keyData":"{}"}}"#,
        base64(&made("ed25519.pub"))
    );
    rows.row("keys in the policy", &data, &[good.clone()]);
    for kind in ["signedByGPGKeys", "X509Certificates", "signedByX509CAs"] {
        rows.row(
            &format!("keys of kind {kind}"),
            &by("ed25519").replace("GPGKeys", kind),
            &[good.clone()],
        );
    }

    // Which message.
    for form in [
        "uncompressed",
        "zlib",
        "bzip2",
        "sha384",
        "sha1",
        "text",
        "expiring",
        "two",
        "notation",
        "unsigned",
        "detached",
        "encrypted",
        "armored",
        "clear",
        "nested",
    ] {
        rows.row(&format!("a message that is {form}"), &by("ed25519"), &[gnupg(form)]);
    }
    rows.row("sha-224", &by("rsa2048"), &[gnupg("sha224")]);
    rows.row("md5", &by("rsa2048"), &[gnupg("md5")]);
    rows.row(
        "an empty signature",
        &by("ed25519"),
        &[skopeo_image::Signature::Simple(bytes::Bytes::new())],
    );

    // What it says.
    let payload = simple_payload(name, &digest());
    for (label, from, to) in [
        ("another digest", digest(), format!("sha256:{}", "0".repeat(64))),
        ("a digest that is none", digest(), "sha256:0".to_owned()),
        ("another type", "atomic container".to_owned(), "cosign container image".to_owned()),
        ("an unknown member", r#""type""#.to_owned(), r#""x":1,"type""#.to_owned()),
        ("a member twice", r#""type""#.to_owned(), r#""type":"x","type""#.to_owned()),
        ("no member", r#","type":"atomic container signature""#.to_owned(), String::new()),
        ("a member of another type", format!("{name:?}"), "7".to_owned()),
        ("half a second", "1777593600".to_owned(), "0.5".to_owned()),
        ("no JSON", "{".to_owned(), "<".to_owned()),
    ] {
        rows.row(label, &by("ed25519"), &[of(&payload.replacen(&from, &to, 1))]);
    }
    rows.row("data behind it", &by("ed25519"), &[of(&format!("{payload}x"))]);
    rows.row("a bad key hides what it says", &by("p256"), &[of("{}")]);
    let schema2 = simple_payload(
        name,
        &skopeo_image::Digest::of(skopeo_image::Algorithm::Sha512, MANIFEST.as_bytes()).to_string(),
    );
    rows.row("the digest by sha512", &by("ed25519"), &[of(&schema2)]);

    // How many.
    let other = simple("example.com/app:2");
    rows.row("none", &by("ed25519"), &[]);
    rows.row("a good one and another name", &by("ed25519"), &[good.clone(), other.clone()]);
    rows.row("another name and a good one", &by("ed25519"), &[other.clone(), good.clone()]);
    rows.row("two other names", &by("ed25519"), &[other.clone(), simple("example.com/app:3")]);
    rows.row("three reasons", &by("ed25519"), &[other, gnupg("p256"), gnupg("expiring")]);
    rows.row("only sigstore's", &by("ed25519"), &[cosigned(&Pair::new(), name)]);
    rows.row("sigstore's beside it", &by("ed25519"), &[cosigned(&Pair::new(), name), good.clone()]);

    // Several requirements.
    let both = format!("{},{}", by("ed25519"), by("p256"));
    rows.row("both keys, one signed", &both, &[good.clone()]);
    rows.row("both keys, both signed", &both, &[good.clone(), gnupg("p256")]);
    rows.row("accept and signed", &format!("{ACCEPT},{}", by("ed25519")), &[]);
    rows.row("signed and reject", &format!("{},{REJECT}", by("ed25519")), &[good.clone()]);
    rows.row("reject and signed", &format!("{REJECT},{}", by("ed25519")), &[good.clone()]);
    rows.row(
        "base layer",
        r#"{"type":"signedBaseLayer","baseLayerIdentity":{"type":"matchExact"}}"#,
        &[good],
    );
    insta::assert_snapshot!("simple", rows.table);
}

#[test]
fn signatures_are_required() {
    let files = [("KEY", made("ed25519.pub"))];
    let good = [simple("example.com/app:1")];
    let nobody = "No signature verification policy found for image docker:example.com/app:1";
    for (requirements, expected) in [
        (SIGNED.to_owned(), "ok"),
        (format!("{ACCEPT},{SIGNED}"), "ok"),
        (ACCEPT.to_owned(), nobody),
        (REJECT.to_owned(), "Running image docker://example.com/app:1 is rejected by policy."),
    ] {
        let policy = policy(&requirements, &files).require_signed();
        assert_eq!(outcome(&policy, "example.com/app:1", &good), expected);
    }
}
