//! Bundles: which of them meet a requirement, and that nothing else does.

mod mutations;

use std::fmt::Write as _;

use rcgen::ExtendedKeyUsagePurpose;
use serde_json::{Value, json};

use crate::bundling::*;
use crate::golden::Rows;
use crate::mutations::mutations;
use crate::world::*;

const NAME: &str = "example.com/app:1";
const KEY: &str = r#"{"type":"sigstoreSigned","keyPath":"key","bundleIdentity":"digestOnly"}"#;
const NAMED: &str = r#"{"type":"sigstoreSigned","keyPath":"key","bundleIdentity":"subjectName"}"#;
const LOGGED: &str = r#"{"type":"sigstoreSigned","keyPath":"key","rekorPublicKeyPath":"log","bundleIdentity":"digestOnly"}"#;
const STAMPED: &str = r#"{"type":"sigstoreSigned","keyPath":"key","timestampAuthorityPath":"stamps","bundleIdentity":"digestOnly"}"#;
const FULCIO: &str = r#"{"type":"sigstoreSigned","fulcio":{"caPath":"root","oidcIssuer":"https://issuer.example.com","subjectEmail":"dev@example.com"},"rekorPublicKeyPath":"log","bundleIdentity":"digestOnly"}"#;
const PKI: &str = r#"{"type":"sigstoreSigned","pki":{"caRootsPath":"root","subjectEmail":"dev@example.com"},"bundleIdentity":"digestOnly"}"#;

/// All that takes part.
struct Cast {
    pair: Pair,
    other: Pair,
    log: Pair,
    root: Authority,
    signer: Certified,
    stamper: Stamper,
    stamping: Authority,
}

fn stamps(authority: &Authority) -> Stamper {
    Stamper(authority.certify(|it| {
        it.extended_key_usages = vec![ExtendedKeyUsagePurpose::TimeStamping];
        it.not_after = rcgen::date_time_ymd(2030, 1, 1);
    }))
}

impl Cast {
    fn new() -> Self {
        let (root, stamping) = (Authority::root("root"), Authority::root("stamping"));
        Self {
            pair: Pair::new(),
            other: Pair::new(),
            log: Pair::new(),
            signer: root.certify(|_| {}),
            stamper: stamps(&stamping),
            root,
            stamping,
        }
    }

    fn files(&self) -> Vec<(&'static str, Vec<u8>)> {
        let trusted = trusted_root(
            &self.log,
            &[self.root.der()],
            &[self.stamper.0.der(), self.stamping.der()],
        );
        vec![
            ("key", self.pair.pem().into_bytes()),
            ("other", self.other.pem().into_bytes()),
            ("log", self.log.pem().into_bytes()),
            ("root", self.root.pem().into_bytes()),
            ("stamps", self.stamping.pem().into_bytes()),
            ("trusted", trusted.to_string().into_bytes()),
            ("later", trusted.to_string().replace("2026-01-01", "2026-05-02").into_bytes()),
            ("broken", b"{}".to_vec()),
        ]
    }
}

fn signed(cast: &Cast) -> Parts {
    Parts::by_key(&cast.pair, &statement(Some(NAME), &digest(), SIGN))
}

/// The bundle, changed.
fn changed(parts: &Parts, change: impl Fn(&mut Value)) -> skopeo_image::Signature {
    let mut value = parts.value();
    change(&mut value);
    of_text(&value.to_string())
}

#[test]
fn judgements() {
    let cast = Cast::new();
    let mut rows = Rows { files: cast.files(), table: String::new() };
    let good = signed(&cast);
    let by_key = |payload: &str| Parts::by_key(&cast.pair, payload).signature();
    let nobody = statement(None, &digest(), SIGN);

    // What the policy asks for.
    rows.row(
        "nobody asks for bundles",
        &KEY.replace(r#","bundleIdentity":"digestOnly""#, ""),
        &[good.signature()],
    );
    rows.row("its key", KEY, &[good.signature()]);
    rows.row("an attachment is still good", KEY, &[cosigned(&cast.pair, NAME)]);
    rows.row("no signature", KEY, &[]);
    rows.row("another key", &KEY.replace("\"key\"", "\"other\""), &[good.signature()]);
    rows.row(
        "one of two keys",
        &KEY.replace(r#""keyPath":"key""#, r#""keyPaths":["other","key"]"#),
        &[good.signature()],
    );
    rows.row("by certificate", KEY, &[Parts::by(&cast.signer, &nobody).signature()]);

    // What it is about.
    rows.row("no name, digest only", KEY, &[by_key(&nobody)]);
    rows.row("no name, named", NAMED, &[by_key(&nobody)]);
    rows.row("its name", NAMED, &[good.signature()]);
    let of = |name: &str| by_key(&statement(Some(name), &digest(), SIGN));
    rows.row("another name, digest only", KEY, &[of("example.com/app:2")]);
    rows.row("another name", NAMED, &[of("example.com/app:2")]);
    rows.row("a name that is none", NAMED, &[of("Not A Name")]);
    let repository = NAMED.replace(
        r#""bundleIdentity""#,
        r#""signedIdentity":{"type":"matchRepository"},"bundleIdentity""#,
    );
    rows.row("another tag of the repository", &repository, &[of("example.com/app:2")]);
    let zero = format!("sha256:{}", "0".repeat(64));
    rows.row("another digest", KEY, &[by_key(&statement(Some(NAME), &zero, SIGN))]);
    let two = statement(Some(NAME), &digest(), SIGN);
    let mut two: Value = serde_json::from_str(&two).unwrap();
    let other = json!({"name": NAME, "digest": {"sha256": "0".repeat(64)}});
    two["subject"].as_array_mut().unwrap().insert(0, other);
    rows.row("two subjects", KEY, &[by_key(&two.to_string())]);
    two["subject"][1]["name"] = json!("example.com/app:2");
    rows.row("the name is the other subject's", NAMED, &[by_key(&two.to_string())]);
    two["subject"] = json!([]);
    rows.row("no subject", KEY, &[by_key(&two.to_string())]);
    let provenance = statement(Some(NAME), &digest(), "https://slsa.dev/provenance/v1");
    rows.row("provenance is no signature", KEY, &[by_key(&provenance)]);
    rows.row("a member nobody knows", KEY, &[by_key(&nobody.replacen('{', r#"{"x":1,"#, 1))]);
    rows.row(
        "a member twice",
        KEY,
        &[by_key(&nobody.replacen('{', r#"{"predicateType":"x","#, 1))],
    );
    let payload =
        |value: &mut Value| value["dsseEnvelope"]["payload"] = json!(base64(nobody.as_bytes()));
    rows.row("a swapped payload", KEY, &[changed(&good, payload)]);

    // Its form.
    for (label, pointer, value) in [
        ("version 0.4", "/mediaType", json!("application/vnd.dev.sigstore.bundle.v0.4+json")),
        (
            "version 0.1",
            "/mediaType",
            json!("application/vnd.dev.sigstore.bundle+json;version=0.1"),
        ),
        ("another type", "/mediaType", json!("application/json")),
        ("another payload type", "/dsseEnvelope/payloadType", json!("text/plain")),
        ("no signature in it", "/dsseEnvelope/signatures", json!([])),
        ("two signatures", "/dsseEnvelope/signatures", json!([{"sig": "AA=="}, {"sig": "AA=="}])),
        ("a signature that is none", "/dsseEnvelope/signatures/0/sig", json!("AA==")),
        ("no base64", "/dsseEnvelope/signatures/0/sig", json!("?")),
        ("no signer", "/verificationMaterial", json!({})),
        (
            "a key and a chain",
            "/verificationMaterial",
            json!({"publicKey": {}, "x509CertificateChain": {"certificates": []}}),
        ),
        ("a chain", "/verificationMaterial", json!({"x509CertificateChain": {"certificates": []}})),
        ("an unknown member", "/verificationMaterial", json!({"publicKey": {}, "x": 1})),
        ("another hint", "/verificationMaterial/publicKey/hint", json!("x")),
    ] {
        let bundle = changed(&good, |it| *it.pointer_mut(pointer).unwrap() = value.clone());
        rows.row(label, KEY, &[bundle]);
    }
    rows.row("no envelope", KEY, &[changed(&good, |it| it["dsseEnvelope"] = Value::Null)]);
    rows.row("no JSON", KEY, &[of_text("junk")]);
    rows.row("junk behind it", KEY, &[of_text(&format!("{}x", good.value()))]);
    let many = vec![json!({"signedTimestamp": ""}); 33];
    let many = json!({"rfc3161Timestamps": many});
    rows.row(
        "many times",
        KEY,
        &[changed(&good, |it| {
            it["verificationMaterial"]["timestampVerificationData"] = many.clone();
        })],
    );

    // The bytes of the manifest itself.
    let message = |bytes: &[u8], hash: &[u8]| {
        let digest = skopeo_image::Digest::sha256(hash);
        let raw: Vec<u8> = (0..32)
            .map(|at| u8::from_str_radix(&digest.hex()[at * 2..at * 2 + 2], 16).unwrap())
            .collect();
        changed(&good, |it| {
            it["dsseEnvelope"] = Value::Null;
            it["messageSignature"] = json!({
                "messageDigest": {"algorithm": "SHA2_256", "digest": base64(&raw)},
                "signature": base64(&cast.pair.sign(bytes)),
            });
        })
    };
    let manifest = MANIFEST.as_bytes();
    rows.row("a message", KEY, &[message(manifest, manifest)]);
    rows.row("a message, named", NAMED, &[message(manifest, manifest)]);
    rows.row("a message of something else", KEY, &[message(b"x", manifest)]);
    rows.row("a message that says it is something else", KEY, &[message(manifest, b"x")]);

    // Logs.
    for (label, proof) in [("promised", PROMISED), ("included", INCLUDED), ("both", BOTH)] {
        rows.row(
            &format!("log: {label}"),
            LOGGED,
            &[good.clone().logged(&cast.log, proof).signature()],
        );
    }
    let neither = Proof { promise: None, tree: None };
    rows.row("log: neither", LOGGED, &[good.clone().logged(&cast.log, neither).signature()]);
    rows.row("log: none", LOGGED, &[good.signature()]);
    rows.row("log: another", LOGGED, &[good.clone().logged(&cast.other, BOTH).signature()]);
    rows.row(
        "log: another beside it",
        LOGGED,
        &[good.clone().logged(&cast.other, BOTH).logged(&cast.log, BOTH).signature()],
    );
    let logged = good.clone().logged(&cast.log, BOTH);
    for (label, pointer, value) in [
        ("time", "integratedTime", json!("1777636801")),
        ("index", "logIndex", json!("71")),
        ("log", "logId/keyId", json!("AAAA")),
        ("kind", "kindVersion/kind", json!("hashedrekord")),
        ("version", "kindVersion/version", json!("0.0.3")),
        ("root", "inclusionProof/rootHash", json!(base64(&[0; 32]))),
        ("size", "inclusionProof/treeSize", json!("12")),
        ("place", "inclusionProof/logIndex", json!("4")),
        ("path", "inclusionProof/hashes/0", json!(base64(&[0; 32]))),
        ("short hash", "inclusionProof/hashes/0", json!("AAAA")),
        ("long path", "inclusionProof/hashes", json!(vec!["AAAA"; 65])),
        (
            "checkpoint",
            "inclusionProof/checkpoint/envelope",
            json!(checkpoint(&cast.other, 11, &[0; 32])),
        ),
        ("no checkpoint", "inclusionProof/checkpoint/envelope", json!("junk")),
        ("promise", "inclusionPromise/signedEntryTimestamp", json!("AAAA")),
        ("negative number", "logIndex", json!("-1")),
        ("number with a zero", "logIndex", json!("070")),
        ("huge number", "integratedTime", json!("18446744073709551615")),
    ] {
        let pointer = format!("/verificationMaterial/tlogEntries/0/{pointer}");
        let bundle = changed(&logged, |it| *it.pointer_mut(&pointer).unwrap() = value.clone());
        rows.row(&format!("log: another {label}"), LOGGED, &[bundle]);
    }
    let twice = changed(&logged, |it| {
        let entries = it.pointer_mut("/verificationMaterial/tlogEntries").unwrap();
        let one = entries[0].clone();
        entries.as_array_mut().unwrap().push(one);
    });
    rows.row("log: an entry twice", LOGGED, &[twice]);
    let foreign = |body: String| {
        let mut parts = good.clone();
        parts.entries.push(entry(&cast.log, &body, BOTH));
        parts.signature()
    };
    let body = good.body();
    let own: Value = serde_json::from_str(&body).unwrap();
    for (label, pointer, value) in [
        ("payload", "/spec/payloadHash/value", json!("00".repeat(32))),
        ("hash", "/spec/payloadHash/algorithm", json!("md5")),
        ("signature", "/spec/signatures/0/signature", json!("AAAA")),
        ("key", "/spec/signatures/0/verifier", json!(base64(cast.other.pem().as_bytes()))),
        ("key that is none", "/spec/signatures/0/verifier", json!("AAAA")),
        ("number of signatures", "/spec/signatures", json!([])),
        ("member", "/spec", json!({"x": 1})),
        ("kind", "/kind", json!("intoto")),
    ] {
        let mut body = own.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        rows.row(
            &format!("log: an entry of another {label}"),
            LOGGED,
            &[foreign(body.to_string())],
        );
    }
    rows.row("log: an entry that is no JSON", LOGGED, &[foreign("junk".to_owned())]);
    let rekord = json!({
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": skopeo_image::Digest::sha256(&pae(&good.payload)).hex()}},
            "signature": {"content": base64(&good.signature), "publicKey": {"content": base64(good.pem.as_bytes())}},
        },
    });
    rows.row("log: hashedrekord", LOGGED, &[foreign(rekord.to_string())]);
    rows.row(
        "log: hashedrekord of another",
        LOGGED,
        &[foreign(rekord.to_string().replace("sha256", "sha512"))],
    );
    // Older clients had attestations logged like this. What the envelope has is in it twice encoded.
    let twice = base64(base64(&good.signature).as_bytes());
    let intoto = json!({
        "apiVersion": "0.0.2",
        "kind": "intoto",
        "spec": {"content": {
            "envelope": {
                "payloadType": "application/vnd.in-toto+json",
                "signatures": [{"publicKey": base64(good.pem.as_bytes()), "sig": twice}],
            },
            "hash": {"algorithm": "sha256", "value": "00".repeat(32)},
            "payloadHash": {"algorithm": "sha256", "value": skopeo_image::Digest::sha256(good.payload.as_bytes()).hex()},
        }},
    });
    rows.row("log: intoto", LOGGED, &[foreign(intoto.to_string())]);
    for (label, pointer, value) in [
        ("version", "/apiVersion", json!("0.0.1")),
        ("payload", "/spec/content/payloadHash/value", json!("00".repeat(32))),
        ("signature", "/spec/content/envelope/signatures/0/sig", json!(base64(&good.signature))),
        (
            "key",
            "/spec/content/envelope/signatures/0/publicKey",
            json!(base64(cast.other.pem().as_bytes())),
        ),
        ("number of signatures", "/spec/content/envelope/signatures", json!([])),
    ] {
        let mut body = intoto.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        rows.row(&format!("log: intoto of another {label}"), LOGGED, &[foreign(body.to_string())]);
    }
    // Times.
    let at = "20260501120000Z";
    rows.row("time: good", STAMPED, &[good.clone().stamped(&cast.stamper, at).signature()]);
    rows.row("time: none", STAMPED, &[good.signature()]);
    let stranger = stamps(&Authority::root("stamping"));
    rows.row("time: of a stranger", STAMPED, &[good.clone().stamped(&stranger, at).signature()]);
    rows.row(
        "time: of a stranger beside it",
        STAMPED,
        &[good.clone().stamped(&stranger, at).stamped(&cast.stamper, at).signature()],
    );
    let code = Stamper(cast.stamping.certify(|_| {}));
    rows.row("time: by a signer of code", STAMPED, &[good.clone().stamped(&code, at).signature()]);
    let both = Stamper(cast.stamping.certify(|it| {
        it.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::TimeStamping, ExtendedKeyUsagePurpose::CodeSigning];
    }));
    rows.row("time: by someone for both", STAMPED, &[good.clone().stamped(&both, at).signature()]);
    rows.row(
        "time: before its certificate",
        STAMPED,
        &[good.clone().stamped(&cast.stamper, "20260430235959Z").signature()],
    );
    rows.row(
        "time: with a fraction",
        STAMPED,
        &[good.clone().stamped(&cast.stamper, "20260501120000.5Z").signature()],
    );
    rows.row(
        "time: that is none",
        STAMPED,
        &[good.clone().stamped(&cast.stamper, "20261301120000Z").signature()],
    );
    let with = |stamp: Vec<u8>| {
        let mut parts = good.clone();
        parts.stamps.push(stamp);
        parts.signature()
    };
    rows.row("time: of another signature", STAMPED, &[with(cast.stamper.stamp(b"x", at))]);
    rows.row("time: junk", STAMPED, &[with(b"junk".to_vec())]);
    let refused = {
        let mut stamp = cast.stamper.stamp(&good.signature, at);
        let status = stamp.iter().skip(4).position(|it| *it == 2).unwrap() + 6;
        stamp[status] = 2;
        stamp
    };
    rows.row("time: refused by the authority", STAMPED, &[with(refused)]);
    let version = |info: &mut Vec<u8>| {
        let at = info.windows(3).position(|it| it == [2, 1, 1]).unwrap();
        info[at + 2] = 2;
    };
    rows.row(
        "time: of another version",
        STAMPED,
        &[with(cast.stamper.stamp_changed(&good.signature, at, version))],
    );
    rows.row("time: no authority", &STAMPED.replace("\"stamps\"", "\"log\""), &[good.signature()]);

    // Certificates.
    let usual = Parts::by(&cast.signer, &nobody);
    rows.row("fulcio: good", FULCIO, &[usual.clone().logged(&cast.log, BOTH).signature()]);
    rows.row("fulcio: promised", FULCIO, &[usual.clone().logged(&cast.log, PROMISED).signature()]);
    rows.row("fulcio: no time", FULCIO, &[usual.clone().logged(&cast.log, INCLUDED).signature()]);
    rows.row("fulcio: no log", FULCIO, &[usual.clone().stamped(&cast.stamper, at).signature()]);
    rows.row("fulcio: by a key", FULCIO, &[good.clone().logged(&cast.log, BOTH).signature()]);
    let stamped = FULCIO
        .replace(r#""bundleIdentity""#, r#""timestampAuthorityPath":"stamps","bundleIdentity""#);
    rows.row(
        "fulcio: a time by an authority",
        &stamped,
        &[usual.clone().logged(&cast.log, INCLUDED).stamped(&cast.stamper, at).signature()],
    );
    rows.row(
        "fulcio: a time by the log is one",
        &stamped,
        &[usual.clone().logged(&cast.log, BOTH).signature()],
    );
    rows.row(
        "fulcio: two times, one too late",
        &stamped,
        &[usual
            .clone()
            .logged(&cast.log, BOTH)
            .stamped(&cast.stamper, "20260601120000Z")
            .signature()],
    );
    let late = Proof { promise: Some(NOON + 86_400), tree: Some(3) };
    rows.row("fulcio: too late", FULCIO, &[usual.clone().logged(&cast.log, late).signature()]);
    let stranger = Authority::root("root").certify(|_| {});
    rows.row(
        "fulcio: of a stranger",
        FULCIO,
        &[Parts::by(&stranger, &nobody).logged(&cast.log, BOTH).signature()],
    );
    let other = cast.root.certify(|it| it.subject_alt_names = vec![mail("x@example.com")]);
    rows.row(
        "fulcio: another address",
        FULCIO,
        &[Parts::by(&other, &nobody).logged(&cast.log, BOTH).signature()],
    );
    let job = cast.root.certify(|it| {
        let uri = "https://git.example.com/team/app/.ci/release.yml@refs/tags/1";
        it.subject_alt_names = vec![rcgen::SanType::URI(uri.try_into().unwrap())];
    });
    let job = Parts::by(&job, &nobody).logged(&cast.log, BOTH).signature();
    rows.row("fulcio: a job, an address is wanted", FULCIO, std::slice::from_ref(&job));
    for (name, wanted) in [
        ("subjectURI", "https://git.example.com/team/app/.ci/release.yml@refs/tags/1"),
        ("subjectURI", "https://git.example.com/team/app/.ci/release.yml@refs/tags/2"),
        ("subjectURI", "https://git.example.com/team/"),
        ("subjectURIPrefix", "https://git.example.com/team/app/.ci/release.yml@"),
        ("subjectURIPrefix", "https://git.example.com/team/"),
        ("subjectURIPrefix", "https://git.example.com/other/"),
        ("subjectURIPrefix", "git.example.com/team/"),
    ] {
        let wanted = format!(r#""{name}":"{wanted}""#);
        let requirement = FULCIO.replace(r#""subjectEmail":"dev@example.com""#, &wanted);
        rows.row(&format!("fulcio: a job, {wanted}"), &requirement, std::slice::from_ref(&job));
        if name == "subjectURI" {
            let address = usual.clone().logged(&cast.log, BOTH).signature();
            rows.row(&format!("fulcio: an address, {wanted}"), &requirement, &[address]);
        }
    }
    for uri in ["https://git.example.com/team/../evil/x", "https://git.example.com/team/./x"] {
        let up = cast.root.certify(|it| {
            it.subject_alt_names = vec![rcgen::SanType::URI(uri.try_into().unwrap())];
        });
        let up = Parts::by(&up, &nobody).logged(&cast.log, BOTH).signature();
        let wanted = r#""subjectURIPrefix":"https://git.example.com/team/""#;
        let requirement = FULCIO.replace(r#""subjectEmail":"dev@example.com""#, wanted);
        rows.row(&format!("fulcio: {uri}"), &requirement, &[up]);
    }
    let mut mixed = Parts::by_key(&cast.other, &nobody);
    mixed.signer = usual.signer.clone();
    mixed.pem = usual.pem.clone();
    rows.row("fulcio: signed by another key", FULCIO, &[mixed.logged(&cast.log, BOTH).signature()]);
    let middle = cast.root.below("middle");
    let below = middle.certify(|_| {});
    let below_parts = Parts::by(&below, &nobody).logged(&cast.log, BOTH);
    rows.row("fulcio: no chain", FULCIO, &[below_parts.signature()]);
    let chain = |version: &str| {
        changed(&below_parts, |it| {
            it["mediaType"] =
                json!(format!("application/vnd.dev.sigstore.bundle+json;version={version}"));
            let material = it["verificationMaterial"].as_object_mut().unwrap();
            material.remove("certificate");
            let all = [below.der(), middle.der()].map(|it| json!({"rawBytes": base64(&it)}));
            material.insert("x509CertificateChain".to_owned(), json!({"certificates": all}));
        })
    };
    rows.row("fulcio: a chain", FULCIO, &[chain("0.2")]);
    rows.row("fulcio: a chain where none may be", FULCIO, &[chain("0.3")]);

    let lasting = cast.root.certify(|it| it.not_after = rcgen::date_time_ymd(2027, 1, 1));
    rows.row("pki: good", PKI, &[Parts::by(&lasting, &nobody).signature()]);
    rows.row("pki: its time is over", PKI, &[usual.signature()]);
    let stamped_pki =
        PKI.replace(r#""bundleIdentity""#, r#""timestampAuthorityPath":"stamps","bundleIdentity""#);
    rows.row(
        "pki: its time was not over",
        &stamped_pki,
        &[usual.clone().stamped(&cast.stamper, at).signature()],
    );
    rows.row("pki: no time", &stamped_pki, &[Parts::by(&lasting, &nobody).signature()]);

    // Trusted roots.
    for file in ["trusted", "later", "broken"] {
        let by = |text: &str, from: &str| text.replace(&format!("{from:?}"), &format!("{file:?}"));
        rows.row(&format!("{file}: log"), &by(LOGGED, "log"), &[logged.signature()]);
        rows.row(
            &format!("{file}: included only"),
            &by(LOGGED, "log"),
            &[good.clone().logged(&cast.log, INCLUDED).signature()],
        );
        rows.row(
            &format!("{file}: times"),
            &by(STAMPED, "stamps"),
            &[good.clone().stamped(&cast.stamper, at).signature()],
        );
        let all = by(&by(FULCIO, "root"), "log");
        rows.row(
            &format!("{file}: fulcio"),
            &all,
            &[usual.clone().logged(&cast.log, BOTH).signature()],
        );
        let attached = certified(&cast.signer, "", Some((&cast.log, NOON)), NAME);
        rows.row(
            &format!("{file}: an attachment whose log calls itself otherwise"),
            &all,
            &[attached],
        );
    }
    insta::assert_snapshot!("bundles", rows.table);
}

/// What is accepted and says nothing of a name where one is asked for would be the worst of faults.
#[test]
fn names_are_never_taken_for_granted() {
    let cast = Cast::new();
    let policy = policy(NAMED, &cast.files());
    let mut table = String::new();
    for name in [NAME, "example.com/app@DIGEST", "example.com/other:1", "/srv/images/app"] {
        let image = name.replace("DIGEST", &digest());
        for signed in [None, Some("example.com/app:1"), Some("example.com/app")] {
            let bundle = Parts::by_key(&cast.pair, &statement(signed, &digest(), SIGN)).signature();
            let _ = writeln!(table, "{name} {signed:?} {}", outcome(&policy, &image, &[bundle]));
        }
    }
    insta::assert_snapshot!("bundle names", table);
}
