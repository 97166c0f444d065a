//! Bundles, judged by sigstore's own party in JavaScript, and the other way round.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use skopeo_testkit::run::in_ci;
use skopeo_testkit::{Home, Image, LogKey, Registry, Run, TileLog, cannot};

use crate::program::{at_home, fatal};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/sigstore_judges.cjs");

/// Where `cargo xtask test` has installed the packages.
fn packages() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_BIN_EXE_skopeo")).parent()?.parent()?;
    let found = target.join("peers/npm/node_modules");
    found.join("@sigstore/verify").exists().then_some(found)
}

/// The party, or that it is not there.
struct Judge {
    node: PathBuf,
    packages: PathBuf,
}

impl Judge {
    /// In CI there are no parties, whatever an earlier run has left there.
    fn find() -> Option<Self> {
        if in_ci() {
            return None;
        }
        let folders = ["/usr/local/bin", "/usr/bin"].iter().map(|it| Path::new(it).join("node"));
        Some(Self { node: folders.into_iter().find(|it| it.is_file())?, packages: packages()? })
    }

    fn command(&self, home: &Home, words: &[&str]) -> Command {
        let mut command = Command::new(&self.node);
        command.arg(SCRIPT).args(words).env("NODE_PATH", &self.packages);
        command.current_dir(home.path("work"));
        command
    }

    fn run(&self, home: &Home, words: &[&str]) -> Run {
        judged(home, &mut self.command(home, words))
    }

    /// A log, an authority and time stamps, whose trusted root is `work/root.json`.
    fn serve(&self, home: &Home) -> Party {
        let mut command = self.command(home, &["serve", "root.json"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Party { child, url: url.trim().to_owned() }
    }
}

/// It ends with this value.
struct Party {
    child: Child,
    url: String,
}

impl Drop for Party {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What other parties say of a bundle, where they are installed.
struct Others {
    /// Where the packages for Python are.
    packages: PathBuf,
    crates: PathBuf,
}

impl Others {
    fn find() -> Self {
        let target = Path::new(env!("CARGO_BIN_EXE_skopeo")).parent().and_then(Path::parent);
        let peers = target.unwrap_or_else(|| Path::new("/nowhere")).join("peers");
        Self { packages: peers.join("pypi"), crates: peers.join("crates/target/debug/judge") }
    }

    fn are_there(&self) -> bool {
        self.packages.join("sigstore").exists() && self.crates.exists()
    }

    /// The package `sigstore` of PyPI, which judges what is by a certificate.
    fn python(&self, home: &Home, bundle: &str) -> Run {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../xtask/peers/judge.py");
        let mut command = Command::new("python3");
        command.env("PYTHONPATH", &self.packages).args([script, "root.json", bundle]);
        judged(home, &mut command)
    }

    /// The crate `sigstore-verify`.
    fn crates(&self, home: &Home, words: &[&str]) -> Run {
        judged(home, Command::new(&self.crates).arg("root.json").args(words))
    }
}

fn judged(home: &Home, command: &mut Command) -> Run {
    let output = command.current_dir(home.path("work")).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Run { stdout: text(output.stdout), stderr: text(output.stderr), code: output.status.code() }
}

/// The bundle in the first signature of a folder.
fn bundle(home: &Home, folder: &str) -> Vec<u8> {
    let file = fs_err::read(home.path(format!("work/{folder}/signature-1"))).unwrap();
    let json: Value =
        serde_json::from_slice(file.strip_prefix(b"\0sigstore-json\n").unwrap()).unwrap();
    let payload = json["payload"].as_str().unwrap();
    let decoded = Command::new("sh")
        .args(["-c", "printf %s \"$1\" | base64 -d", "sh", payload])
        .output()
        .unwrap();
    decoded.stdout
}

fn policy(home: &Home, requirement: &Value) -> String {
    home.write("work/p.json", &json!({"default": [requirement]}).to_string());
    home.path("work/p.json").to_str().unwrap().to_owned()
}

const SIGN: [&str; 5] =
    ["copy", "--sign-by-sigstore", "params", "--sign-identity", "example.com/a:1"];

#[test]
fn the_party_believes_our_bundles() {
    let Some(judge) = Judge::find() else {
        cannot!("node with the packages of sigstore is not installed: cargo xtask test does it");
    };
    let home = Home::new();
    let party = judge.serve(&home);
    Image::new(1).write_oci(&home.path("work/layout"), Some("x"));
    home.write("work/pass", "");
    let words = ["generate-sigstore-key", "--output-prefix", "key", "--passphrase-file", "pass"];
    at_home(&home, &words).success();
    let url = &party.url;
    home.write(
        "work/params",
        &format!("privateKeyFile: key.private\nprivateKeyPassphraseFile: pass\nrekorURL: {url}\nformat: bundle\n"),
    );
    at_home(&home, &[&SIGN[..], &["oci:layout:x", "dir:d"]].concat()).success();
    let made = bundle(&home, "d");
    fs_err::write(home.path("work/b.json"), &made).unwrap();
    let said = judge.run(&home, &["verify", "root.json", "b.json", "key.pub"]).success();
    assert_eq!(said.stdout, "verified\n");
    // A judge that believes everything would be none.
    let mut broken: Value = serde_json::from_slice(&made).unwrap();
    broken["dsseEnvelope"]["payload"] = json!("e30=");
    home.write("work/broken.json", &broken.to_string());
    judge.run(&home, &["verify", "root.json", "broken.json", "key.pub"]).failure(1);

    // We believe its log, too.
    let path = |name: &str| home.path(format!("work/{name}")).to_str().unwrap().to_owned();
    let by_key = json!({
        "type": "sigstoreSigned", "keyPath": path("key.pub"),
        "rekorPublicKeyPath": path("root.json"), "bundleIdentity": "subjectName",
        "signedIdentity": {"type": "exactReference", "dockerReference": "example.com/a:1"},
    });
    let by_key = policy(&home, &by_key);
    at_home(&home, &["--policy", &by_key, "copy", "dir:d", "dir:e"]).success();

    // Its authority certifies addresses of pages only, which the original's policies cannot ask for.
    let claims = "eyJzdWIiOiJkZXYifQ";
    home.write(
        "work/params",
        &format!("fulcio: {{fulcioURL: {url}, oidcMode: staticToken, oidcIDToken: e30.{claims}.x}}\nrekorURL: {url}\nformat: bundle\n"),
    );
    at_home(&home, &[&SIGN[..], &["oci:layout:x", "dir:f"]].concat()).success();
    fs_err::write(home.path("work/b.json"), bundle(&home, "f")).unwrap();
    judge.run(&home, &["verify", "root.json", "b.json", "key.pub"]).success();
    let fulcio = |member: &str, subject: &str| {
        let requirement = json!({
            "type": "sigstoreSigned", "bundleIdentity": "digestOnly",
            "rekorPublicKeyPath": path("root.json"),
            "fulcio": {
                "caPath": path("root.json"), "oidcIssuer": "https://issuer.example.com",
                member: subject,
            },
        });
        policy(&home, &requirement)
    };
    let page = fulcio("subjectURI", "https://example.com/dev");
    at_home(&home, &["--policy", &page, "copy", "dir:f", "dir:h"]).success();
    let fulcio = fulcio("subjectEmail", "dev@example.com");
    let refused = at_home(&home, &["--policy", &fulcio, "copy", "dir:f", "dir:g"]).failure(1);
    let sentence =
        "Source image rejected: bundle: Required email \"dev@example.com\" not found (got [])";
    assert_eq!(fatal(&refused), sentence);
}

#[test]
fn we_believe_bundles_of_the_party() {
    let Some(judge) = Judge::find() else {
        cannot!("node with the packages of sigstore is not installed: cargo xtask test does it");
    };
    let home = Home::new();
    let party = judge.serve(&home);
    let registry = Registry::start();
    home.insecure(&[&registry.host()]);
    let image = Image::new(1);
    image.push(&registry, "a:1");
    let digest = image.digest();
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": digest.hex()}}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
    });
    home.write("work/statement.json", &statement.to_string());
    let words = ["sign", &party.url, "statement.json", "their.pub", "their.json"];
    judge.run(&home, &words).success();
    judge.run(&home, &["verify", "root.json", "their.json", "their.pub"]).success();

    // In a folder, as we keep bundles there.
    let name = registry.docker("a:1");
    at_home(&home, &["copy", &name, "dir:d"]).success();
    let payload =
        Command::new("base64").arg("-w0").arg(home.path("work/their.json")).output().unwrap();
    let payload = String::from_utf8(payload.stdout).unwrap();
    let kept = json!({
        "mimeType": "application/vnd.dev.sigstore.bundle.v0.3+json", "payload": payload,
        "annotations": {},
    });
    home.write("work/d/signature-1", &format!("\0sigstore-json\n{kept}"));
    let path = |name: &str| home.path(format!("work/{name}")).to_str().unwrap().to_owned();
    for (more, sentence) in [
        (json!({}), None),
        (json!({"rekorPublicKeyPath": path("root.json")}), None),
        (json!({"timestampAuthorityPath": path("root.json")}), None),
        (
            json!({"rekorPublicKeyPath": path("root.json"), "timestampAuthorityPath": path("root.json")}),
            None,
        ),
        (json!({"bundleIdentity": "subjectName"}), Some("bundle: it does not name an image")),
    ] {
        let mut requirement = json!({
            "type": "sigstoreSigned", "keyPath": path("their.pub"), "bundleIdentity": "digestOnly",
        });
        for (name, value) in more.as_object().unwrap() {
            requirement[name] = value.clone();
        }
        let policy = policy(&home, &requirement);
        let copy = at_home(&home, &["--policy", &policy, "copy", "dir:d", "dir:e"]);
        match sentence {
            None => drop(copy.success()),
            Some(sentence) => {
                let refused = fatal(&copy.failure(1)).to_owned();
                assert_eq!(refused, format!("Source image rejected: {sentence}"));
            }
        }
    }
}

/// Bundles of ours, each with what all of the party says of it, judged by everybody there is.
#[test]
fn other_parties_believe_our_bundles() {
    let (judge, others) = (Judge::find(), Others::find());
    let Some(judge) = judge.filter(|_| others.are_there()) else {
        cannot!("the other parties of sigstore are not installed: cargo xtask test does it");
    };
    let home = Home::new();
    let party = judge.serve(&home);
    let image = Image::new(1);
    image.write_oci(&home.path("work/layout"), Some("x"));
    let digest = image.digest();
    let key = ["generate-sigstore-key", "--output-prefix", "key", "--passphrase-file", "pass"];
    home.write("work/pass", "");
    at_home(&home, &key).success();
    let url = &party.url;
    let by_key = "privateKeyFile: key.private\nprivateKeyPassphraseFile: pass\n".to_owned();
    let token = "e30.eyJzdWIiOiJkZXYifQ.x";
    let by_certificate =
        format!("fulcio: {{fulcioURL: {url}, oidcMode: staticToken, oidcIDToken: {token}}}\n");
    let stamps = format!("timestampAuthorityURL: {url}/api/v1/timestamp\n");
    for (at, (signer, stamps)) in [
        (&by_key, ""),
        (&by_key, stamps.as_str()),
        (&by_certificate, ""),
        (&by_certificate, stamps.as_str()),
    ]
    .into_iter()
    .enumerate()
    {
        home.write("work/params", &format!("{signer}rekorURL: {url}\n{stamps}format: bundle\n"));
        let folder = format!("dir:d{at}");
        at_home(&home, &[&SIGN[..], &["oci:layout:x", &folder]].concat()).success();
        let made = bundle(&home, &format!("d{at}"));
        let mut broken: Value = serde_json::from_slice(&made).unwrap();
        let stamped = broken.pointer("/verificationMaterial/timestampVerificationData");
        assert_eq!(stamped.is_some(), !stamps.is_empty());
        fs_err::write(home.path("work/b.json"), &made).unwrap();
        // A judge that believes everything would be none.
        broken["dsseEnvelope"]["payload"] = json!("e30=");
        home.write("work/broken.json", &broken.to_string());
        judge.run(&home, &["verify", "root.json", "b.json", "key.pub"]).success();
        let is_by_key = signer == &by_key;
        let key: &[&str] = if is_by_key { &["key.pub"] } else { &[] };
        // The crate reads no times with fractions of a second, which the party's authority gives.
        if stamps.is_empty() {
            others.crates(&home, &[&["b.json", digest.hex()], key].concat()).success();
        }
        others.crates(&home, &[&["broken.json", digest.hex()], key].concat()).failure(1);
        let other = "0".repeat(64);
        others.crates(&home, &[&["b.json", &*other], key].concat()).failure(1);
        if is_by_key {
            // It knows no keys.
            let said = others.python(&home, "b.json").failure(1);
            assert!(said.stderr.contains("expected certificate in bundle"), "{said}");
        } else {
            others.python(&home, "b.json").success();
            others.python(&home, "broken.json").failure(1);
        }
        if !stamps.is_empty() && is_by_key {
            // We believe the authority for times, too.
            let root = home.path("work/root.json");
            let requirement = json!({
                "type": "sigstoreSigned", "keyPath": home.path("work/key.pub").to_str().unwrap(),
                "bundleIdentity": "digestOnly", "timestampAuthorityPath": root.to_str().unwrap(),
            });
            let policy = policy(&home, &requirement);
            at_home(&home, &["--policy", &policy, "copy", &folder, "dir:e"]).success();
        }
    }
}

/// The same of a log in tiles, where the authority and the times are of the first party.
#[test]
fn other_parties_believe_our_bundles_in_tiles() {
    let (judge, others) = (Judge::find(), Others::find());
    let Some(judge) = judge.filter(|_| others.are_there()) else {
        cannot!("the other parties of sigstore are not installed: cargo xtask test does it");
    };
    let home = Home::new();
    let party = judge.serve(&home);
    let image = Image::new(1);
    image.write_oci(&home.path("work/layout"), Some("x"));
    let key = ["generate-sigstore-key", "--output-prefix", "key", "--passphrase-file", "pass"];
    home.write("work/pass", "");
    at_home(&home, &key).success();
    let root = fs_err::read(home.path("work/root.json")).unwrap();
    let root: Value = serde_json::from_slice(&root).unwrap();
    let start = root["tlogs"][0]["publicKey"]["validFor"]["start"].as_str().unwrap().to_owned();
    let url = &party.url;
    let by_key = "privateKeyFile: key.private\nprivateKeyPassphraseFile: pass\n".to_owned();
    let token = "e30.eyJzdWIiOiJkZXYifQ.x";
    let by_certificate = format!(
        "fulcio: {{fulcioURL: {url}, oidcMode: staticToken, oidcIDToken: {token}}}\ntimestampAuthorityURL: {url}/api/v1/timestamp\n"
    );
    for (at, log) in [LogKey::ed25519(), LogKey::ecdsa()].into_iter().enumerate() {
        let log = TileLog::start(log);
        let mut trusted = root.clone();
        trusted["tlogs"].as_array_mut().unwrap().push(log.trusted(&start));
        home.write("work/root.json", &trusted.to_string());
        for (name, signer) in [("key", &by_key), ("certificate", &by_certificate)] {
            home.write(
                "work/params",
                &format!("{signer}rekorURL: {}\nrekorVersion: 2\nformat: bundle\n", log.url()),
            );
            let folder = format!("{name}{at}");
            let to = format!("dir:{folder}");
            at_home(&home, &[&SIGN[..], &["oci:layout:x", &to]].concat()).success();
            let made = bundle(&home, &folder);
            fs_err::write(home.path("work/b.json"), &made).unwrap();
            let mut broken: Value = serde_json::from_slice(&made).unwrap();
            let hash = "/verificationMaterial/tlogEntries/0/inclusionProof/hashes/0";
            *broken.pointer_mut(hash).unwrap() =
                json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
            home.write("work/broken.json", &broken.to_string());
            // The first party takes such an entry for one of the payload's hash, which it was when
            // its version was made. Of the others, each judges what it knows: keys, and times of
            // that authority.
            if name == "key" {
                let digest = image.digest();
                others.crates(&home, &["b.json", digest.hex(), "key.pub"]).success();
                others.crates(&home, &["broken.json", digest.hex(), "key.pub"]).failure(1);
            } else {
                others.python(&home, "b.json").success();
                others.python(&home, "broken.json").failure(1);
            }
        }
    }
}
