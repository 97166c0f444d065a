//! Logs in tiles (Rekor's second version): what of them proves that a bundle is logged.

use rcgen::ExtendedKeyUsagePurpose;
use serde_json::{Value, json};
use skopeo_image::Signature;
use skopeo_testkit::{LogKey, TileLog};

use crate::bundling::*;
use crate::golden::Rows;
use crate::mutations::mutations;
use crate::world::*;

const NAME: &str = "example.com/app:1";
const LOGGED: &str = r#"{"type":"sigstoreSigned","keyPath":"key","rekorPublicKeyPath":"LOG","bundleIdentity":"digestOnly"}"#;
const FULCIO: &str = r#"{"type":"sigstoreSigned","fulcio":{"caPath":"root","oidcIssuer":"https://issuer.example.com","subjectEmail":"dev@example.com"},"rekorPublicKeyPath":"LOG","bundleIdentity":"digestOnly"}"#;
const SINCE: &str = "2026-01-01T00:00:00Z";
const AT: &str = "20260501120000Z";

fn sha256(bytes: &[u8]) -> String {
    base64(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref())
}

fn verifier(kind: &str, der: &[u8]) -> Value {
    json!({"keyDetails": "PKIX_ECDSA_P256_SHA_256", kind: {"rawBytes": base64(der)}})
}

/// What such a log has of a bundle.
fn hashed(parts: &Parts, verifier: &Value) -> Value {
    json!({"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {"hashedRekordV002": {
        "data": {"algorithm": "SHA2_256", "digest": sha256(&pae(&parts.payload))},
        "signature": {"content": base64(&parts.signature), "verifier": verifier},
    }}})
}

/// The same, as the first of these logs had it.
fn enveloped(parts: &Parts, verifier: &Value) -> Value {
    json!({"apiVersion": "0.0.2", "kind": "dsse", "spec": {"dsseV002": {
        "payloadHash": {"algorithm": "SHA2_256", "digest": sha256(parts.payload.as_bytes())},
        "signatures": [{"content": base64(&parts.signature), "verifier": verifier}],
    }}})
}

/// A trusted root of logs.
pub(crate) fn root_of(logs: &[Value]) -> Vec<u8> {
    let kind = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";
    json!({"mediaType": kind, "tlogs": logs}).to_string().into_bytes()
}

/// Everybody who takes part; two logs, one with each kind of key.
struct Cast {
    pair: Pair,
    root: Authority,
    signer: Certified,
    stamping: Authority,
    stamper: Stamper,
    logs: [TileLog; 2],
}

impl Cast {
    fn new() -> Self {
        let (root, stamping) = (Authority::root("root"), Authority::root("stamping"));
        let stamper = Stamper(stamping.certify(|it| {
            it.extended_key_usages = vec![ExtendedKeyUsagePurpose::TimeStamping];
        }));
        Self {
            pair: Pair::new(),
            signer: root.certify(|_| {}),
            root,
            stamping,
            stamper,
            logs: [LogKey::ed25519(), LogKey::ecdsa()].map(TileLog::start),
        }
    }

    fn files(&self) -> Vec<(&'static str, Vec<u8>)> {
        let [edwards, ecdsa] = self.logs.each_ref().map(|log| log.trusted(SINCE));
        let changed = |change: &dyn Fn(&mut Value)| {
            let mut log = edwards.clone();
            change(&mut log);
            root_of(&[log])
        };
        let id = edwards["logId"]["keyId"].as_str().unwrap();
        let short = base64(&decoded(id)[..4]);
        let twice =
            [("2026-01-01", "2026-02-01"), ("2026-03-01", "2027-01-01")].map(|(from, to)| {
                let mut log = edwards.clone();
                let time = |day: &str| format!("{day}T00:00:00Z");
                log["publicKey"]["validFor"] = json!({"start": time(from), "end": time(to)});
                log
            });
        vec![
            ("twice", root_of(&twice)),
            ("key", self.pair.pem().into_bytes()),
            ("root", self.root.pem().into_bytes()),
            ("stamps", self.stamping.pem().into_bytes()),
            ("both", root_of(&[edwards.clone(), ecdsa.clone()])),
            ("edwards", root_of(std::slice::from_ref(&edwards))),
            ("ecdsa", root_of(&[ecdsa])),
            ("edwards.pem", self.logs[0].pem().into_bytes()),
            ("ecdsa.pem", self.logs[1].pem().into_bytes()),
            ("no address", changed(&|it| it["baseUrl"] = json!(""))),
            ("another address", changed(&|it| it["baseUrl"] = json!("https://log.example.com"))),
            ("no id", changed(&|it| drop(it.as_object_mut().unwrap().remove("logId")))),
            (
                "short id",
                changed(&|it| {
                    it.as_object_mut().unwrap().remove("logId");
                    it["checkpointKeyId"] = json!({"keyId": short});
                }),
            ),
            ("another id", changed(&|it| it["logId"]["keyId"] = json!("AAAA"))),
            (
                "over",
                changed(&|it| {
                    it["publicKey"]["validFor"]["end"] = json!("2026-05-15T00:00:00Z");
                }),
            ),
            (
                "later",
                changed(&|it| {
                    it["publicKey"]["validFor"]["start"] = json!("2026-05-15T00:00:00Z");
                }),
            ),
        ]
    }

    fn by_key(&self) -> Parts {
        Parts::by_key(&self.pair, &statement(None, &digest(), SIGN))
    }

    fn by_certificate(&self) -> Parts {
        Parts::by(&self.signer, &statement(None, &digest(), SIGN))
    }

    fn key(&self) -> Value {
        verifier("publicKey", &self.pair.der())
    }
}

fn decoded(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

fn add(log: &TileLog, parts: &Parts, body: &Value) -> Parts {
    let mut parts = parts.clone();
    parts.entries.push(log.add(body["kind"].as_str().unwrap(), &body.to_string()));
    parts
}

fn with(parts: &Parts, change: impl Fn(&mut Value)) -> Signature {
    let mut parts = parts.clone();
    change(&mut parts.entries[0]);
    parts.signature()
}

fn by(requirement: &str, log: &str) -> String {
    requirement.replace("LOG", log)
}

#[test]
fn judgements() {
    let cast = Cast::new();
    let mut rows = Rows { files: cast.files(), table: String::new() };
    let (key, parts) = (cast.key(), cast.by_key());
    for (name, log) in ["edwards", "ecdsa"].into_iter().zip(&cast.logs) {
        let good = add(log, &parts, &hashed(&parts, &key));
        for file in ["both", "edwards", "ecdsa", "edwards.pem", "ecdsa.pem"] {
            let label = format!("in {name}, trusted by {file}");
            rows.row(&label, &by(LOGGED, file), &[good.signature()]);
        }
        let older = add(log, &parts, &enveloped(&parts, &key));
        rows.row(&format!("{name}: dsse"), &by(LOGGED, "both"), &[older.signature()]);
    }
    let [log, other] = &cast.logs;
    let good = add(log, &parts, &hashed(&parts, &key));
    for file in [
        "no address",
        "another address",
        "no id",
        "short id",
        "another id",
        "over",
        "later",
        "twice",
    ] {
        rows.row(&format!("trusted by {file}"), &by(LOGGED, file), &[good.signature()]);
    }

    // What is in it.
    let logged = by(LOGGED, "both");
    let rewritten = |pointer: &str, value: Value| {
        let mut body = hashed(&parts, &key);
        *body.pointer_mut(pointer).unwrap() = value;
        add(log, &parts, &body).signature()
    };
    let signer = "/spec/hashedRekordV002/signature/verifier";
    for (label, pointer, value) in [
        ("digest", "/spec/hashedRekordV002/data/digest", json!(sha256(b"x"))),
        ("hash", "/spec/hashedRekordV002/data/algorithm", json!("SHA2_512")),
        ("weak hash", "/spec/hashedRekordV002/data/algorithm", json!("SHA1")),
        ("signature", "/spec/hashedRekordV002/signature/content", json!("AAAA")),
        ("key", signer, verifier("publicKey", &Pair::new().der())),
        ("member", "/spec", json!({"x": 1})),
        ("kind", "/kind", json!("dsse")),
    ] {
        rows.row(&format!("an entry of another {label}"), &logged, &[rewritten(pointer, value)]);
    }
    rows.row(
        "a key as certificate",
        &logged,
        &[rewritten(signer, verifier("x509Certificate", &cast.pair.der()))],
    );
    rows.row("no key", &logged, &[rewritten(signer, json!({"keyDetails": "x"}))]);
    let mut two = key.clone();
    two["x509Certificate"] = json!({"rawBytes": ""});
    rows.row("two keys", &logged, &[rewritten(signer, two)]);

    // The proof.
    for (label, pointer, value) in [
        ("index", "/logIndex", json!("4")),
        ("index in the proof", "/inclusionProof/logIndex", json!("4")),
        ("size in the proof", "/inclusionProof/treeSize", json!("99")),
        ("root in the proof", "/inclusionProof/rootHash", json!("AAAA")),
        ("path", "/inclusionProof/hashes/0", json!(base64(&[0; 32]))),
        ("path that is none", "/inclusionProof/hashes/0", json!("AAAA")),
        ("log", "/logId/keyId", json!("AAAA")),
        ("version", "/kindVersion/version", json!("0.0.1")),
        ("promise", "/inclusionPromise", json!({"signedEntryTimestamp": "AAAA"})),
        ("proof", "/inclusionProof", json!(null)),
        ("checkpoint", "/inclusionProof/checkpoint/envelope", json!("junk")),
    ] {
        let changed = with(&good, |it| *it.pointer_mut(pointer).unwrap() = value.clone());
        rows.row(&format!("another {label}"), &logged, &[changed]);
    }
    let note = "/inclusionProof/checkpoint/envelope";
    let envelope = good.entries[0].pointer(note).unwrap().as_str().unwrap().to_owned();
    let (text, _) = envelope.split_once("\n\n").unwrap();
    let text = format!("{text}\n");
    let renamed = text.replacen("127.0.0.1", "log.example.com", 1);
    for (label, note_) in [
        ("signed by another log", other.note("127.0.0.1", &text)),
        ("signed under another name", log.note("log.example.com", &text)),
        ("of another log with the same key", log.note("log.example.com", &renamed)),
        ("of another log, under this name", log.note("127.0.0.1", &renamed)),
        ("with a witness alone", {
            let lines: Vec<_> = envelope.lines().filter(|it| !it.contains(" 127.0.0.1 ")).collect();
            format!("{}\n", lines.join("\n"))
        }),
        ("with more in it", log.note("127.0.0.1", &format!("{text}more\n"))),
        ("of an earlier tree", log.note("127.0.0.1", &text.replace("\n8\n", "\n7\n"))),
    ] {
        let changed = with(&good, |it| *it.pointer_mut(note).unwrap() = json!(note_));
        rows.row(&format!("a checkpoint {label}"), &logged, &[changed]);
    }
    let elsewhere = add(other, &good, &hashed(&parts, &key));
    rows.row("in both logs", &logged, &[elsewhere.signature()]);
    rows.row("in both logs, one is trusted", &by(LOGGED, "ecdsa"), &[elsewhere.signature()]);

    // Times: such a log knows none.
    let stamped = |requirement: &str, file: &str| {
        let stamps = r#""timestampAuthorityPath":"stamps","bundleIdentity""#;
        by(requirement, file).replace(r#""bundleIdentity""#, stamps)
    };
    let timed = |it: &Parts| it.clone().stamped(&cast.stamper, AT).signature();
    rows.row("key: a time", &stamped(LOGGED, "both"), &[timed(&good)]);
    rows.row("key: no time", &stamped(LOGGED, "both"), &[good.signature()]);
    rows.row("key: a time, in a log that is over", &stamped(LOGGED, "over"), &[timed(&good)]);
    rows.row("key: a time, in a log of later", &stamped(LOGGED, "later"), &[timed(&good)]);
    let certificate = cast.by_certificate();
    let own = verifier("x509Certificate", &cast.signer.der());
    let certified = add(log, &certificate, &hashed(&certificate, &own));
    rows.row("fulcio: a time", &stamped(FULCIO, "both"), &[timed(&certified)]);
    rows.row("fulcio: nobody asks for a time", &by(FULCIO, "both"), &[timed(&certified)]);
    rows.row("fulcio: no time", &stamped(FULCIO, "both"), &[certified.signature()]);
    let integrated = with(&certified, |it| it["integratedTime"] = json!(NOON.to_string()));
    rows.row("fulcio: a time that nobody signed", &by(FULCIO, "both"), &[integrated]);
    let by_public = verifier("publicKey", &cast.signer.pair.der());
    let bare = add(log, &certificate, &hashed(&certificate, &by_public));
    rows.row("fulcio: an entry of its key", &stamped(FULCIO, "both"), &[timed(&bare)]);
    insta::assert_snapshot!("tiled", rows.table);
}

/// The law: a changed byte of the entry is refused, or is where nobody looks.
#[test]
fn mutations_of_entries() {
    let cast = Cast::new();
    let mut count = 0;
    for log in &cast.logs {
        let parts = cast.by_key();
        let good = add(log, &parts, &hashed(&parts, &cast.key()));
        let policy = policy(&by(LOGGED, "both"), &cast.files());
        assert_eq!(outcome(&policy, NAME, &[good.signature()]), "ok");
        let original = good.entries[0].clone();
        for (_, changed) in mutations(original.to_string().as_bytes(), &[1, 32]) {
            count += 1;
            let Ok(entry) = serde_json::from_slice::<Value>(&changed) else { continue };
            let mut changed = good.clone();
            changed.entries = vec![entry.clone()];
            if outcome(&policy, NAME, &[changed.signature()]) != "ok" {
                continue;
            }
            // What the checkpoint says again, and a time that nobody signs; the witness.
            let mut same = entry;
            for ignored in [
                "/integratedTime",
                "/inclusionProof/logIndex",
                "/inclusionProof/rootHash",
                "/inclusionProof/treeSize",
            ] {
                let value = original.pointer(ignored).unwrap().clone();
                if let Some(found) = same.pointer_mut(ignored) {
                    *found = value;
                }
            }
            let witness = |it: &mut Value| {
                let note = it.pointer_mut("/inclusionProof/checkpoint/envelope").unwrap();
                let (text, lines) = note.as_str().unwrap().split_once("\n\n").unwrap();
                let own = lines.lines().find(|it| it.contains(" 127.0.0.1 ")).unwrap_or_default();
                *note = json!([text, own]);
            };
            witness(&mut same);
            let mut whole = original.clone();
            witness(&mut whole);
            let known = |it: &Value| it["inclusionPromise"].is_null();
            assert!(known(&same), "{same}");
            for member in
                ["logIndex", "logId", "kindVersion", "inclusionProof", "canonicalizedBody"]
            {
                assert_eq!(same.get(member), whole.get(member), "{member}");
            }
        }
    }
    assert!(count > 5_000, "{count}");
}
