//! Bundles in logs in tiles, Rekor's second version: signed, kept, judged.

use serde_json::{Value, json};
use skopeo_testkit::{Home, Image, LogFault, LogKey, Registry, TileLog};

use crate::program::{at_home, fatal};

const SINCE: &str = "2026-01-01T00:00:00Z";

fn prepare(home: &Home, log: &TileLog, format: &str) {
    if !home.path("work/key.pub").exists() {
        home.write("work/pass", "secret\n");
        let make = ["generate-sigstore-key", "--output-prefix", "key", "--passphrase-file", "pass"];
        at_home(home, &make).success();
    }
    let url = log.url();
    home.write(
        "work/params",
        &format!(
            "privateKeyFile: key.private\nprivateKeyPassphraseFile: pass\nrekorURL: {url}/\nrekorVersion: 2\nformat: {format}\n"
        ),
    );
}

/// A policy that asks for a bundle of the key, in a log of this trusted root.
fn policy(home: &Home, log: &Value) -> String {
    let kind = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";
    home.write("work/root.json", &json!({"mediaType": kind, "tlogs": [log]}).to_string());
    let path = |name: &str| home.path("work").join(name).to_str().unwrap().to_owned();
    let requirement = json!({
        "type": "sigstoreSigned", "keyPath": path("key.pub"), "bundleIdentity": "subjectName",
        "rekorPublicKeyPath": path("root.json"),
    });
    home.write("work/p.json", &json!({"default": [requirement]}).to_string());
    path("p.json")
}

#[test]
fn signed_in_tiles_and_judged() {
    let registry = Registry::start();
    let home = Home::new();
    home.insecure(&[&registry.host()]);
    Image::platforms(1, 2).push(&registry, "list:1");
    for (name, key) in [("edwards", LogKey::ed25519()), ("ecdsa", LogKey::ecdsa())] {
        let log = TileLog::start(key);
        prepare(&home, &log, "bundle");
        let (from, to) = (registry.docker("list:1"), registry.docker(&format!("{name}:1")));
        at_home(&home, &["copy", "--all", "--sign-by-sigstore", "params", &from, &to]).success();
        assert_eq!(log.requests().len(), 3, "the list, and each of its images");
        let trusted = policy(&home, &log.trusted(SINCE));
        let copy = |policy: &str| {
            at_home(&home, &["--policy", policy, "copy", "--all", &to, &format!("dir:{name}")])
        };
        copy(&trusted).success();
        let shown = at_home(&home, &["--policy", &trusted, "inspect", "--signatures", &to]);
        let shown = shown.success().json();
        assert_eq!(shown[0]["Signatures"][0]["Accepted"], true, "{shown}");
        // No time is known, and none is made up.
        assert_eq!(shown[0]["Signatures"][0]["UntrustedTimestamp"], Value::Null, "{shown}");
        let other = policy(&home, &TileLog::start(LogKey::ed25519()).trusted(SINCE));
        let refused = copy(&other).failure(1);
        let sentence = "Source image rejected: bundle: no trusted log has an entry for it";
        assert!(fatal(&refused).ends_with(sentence), "{refused}");
    }
}

#[test]
fn trouble_with_the_log() {
    let home = Home::new();
    Image::new(1).write_oci(&home.path("work/layout"), Some("x"));
    let sign = ["copy", "--sign-by-sigstore", "params", "--sign-identity", "example.com/a:1"];
    let sign = |to: &str| at_home(&home, &[&sign[..], &["oci:layout:x", to]].concat());
    for (at, (faults, requests, sentence)) in [
        // It is asked again; what it took before is another signature.
        (vec![LogFault::Status(503)], 2, None),
        (vec![LogFault::Unanswered], 3, None),
        (vec![LogFault::Status(409)], 2, None),
        (
            vec![LogFault::Status(400)],
            1,
            Some(
                "Error uploading a log entry: Rekor /api/v2/log/entries failed: bad request (400), {Code:14 Message:busy}",
            ),
        ),
        (
            vec![LogFault::Status(405)],
            1,
            Some(
                "Error uploading a log entry: Rekor /api/v2/log/entries failed with unexpected status 405: {Code:14 Message:busy}",
            ),
        ),
        (
            vec![LogFault::Status(409); 2],
            2,
            Some(
                "Rekor has this signature already, and gives its proof only once; a key of ECDSA on P-256 makes another signature each time",
            ),
        ),
        (vec![LogFault::Astray], 1, Some("Rekor answered with a proof that proves nothing")),
    ]
    .into_iter()
    .enumerate()
    {
        let log = TileLog::start(LogKey::ecdsa());
        prepare(&home, &log, "bundle");
        faults.into_iter().for_each(|fault| log.fault(fault));
        let run = sign(&format!("dir:d{at}"));
        assert_eq!(log.requests().len(), requests, "{run}");
        match sentence {
            None => drop(run.success()),
            Some(sentence) => {
                let run = run.failure(1);
                assert_eq!(fatal(&run), format!("creating signature: {sentence}"), "{run}");
            }
        }
    }
    // Before anything is read.
    prepare(&home, &TileLog::start(LogKey::ecdsa()), "attachment");
    let refused = sign("dir:none").failure(1);
    assert_eq!(
        fatal(&refused),
        "Error using --sign-by-sigstore: rekorVersion: 2 needs format: bundle, as no other signature has a place for the proof"
    );
    assert!(!home.path("work/none").exists());
}
