//! Signatures in the form of sigstore: keys, attachments, the log, certificates.

mod online;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use skopeo_testkit::terminal::Terminal;
use skopeo_testkit::{
    Home, Image, Registry, Run, cannot, run, run::installed, run::original, skip,
};

use crate::program::{at_home, fatal};

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

fn key(home: &Home, passphrase: &str) {
    home.write("work/pass", &format!("{passphrase}\n"));
    let words = ["generate-sigstore-key", "--output-prefix", "key", "--passphrase-file", "pass"];
    let run = at_home(home, &words).success();
    assert_eq!(run.stdout, "Key written to \"key.private\" and \"key.pub\"\n");
}

/// Payload and annotations of a signature in a file of `dir:`.
fn read(path: &Path) -> (Vec<u8>, Value) {
    let bytes = fs_err::read(path).unwrap();
    let json = bytes.strip_prefix(b"\0sigstore-json\n").unwrap();
    let json: Value = serde_json::from_slice(json).unwrap();
    assert_eq!(json["mimeType"], "application/vnd.dev.cosign.simplesigning.v1+json");
    (decode(json["payload"].as_str().unwrap()), json["annotations"].clone())
}

fn decode(base64: &str) -> Vec<u8> {
    let mut child = std::process::Command::new("base64")
        .arg("-d")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(base64.as_bytes()).unwrap();
    child.wait_with_output().unwrap().stdout
}

/// Whether openssl believes a signature in `dir:d`.
fn openssl(home: &Home, public: &str) -> Run {
    let (payload, annotations) = read(&home.path("work/d/signature-1"));
    fs_err::write(home.path("work/payload"), payload).unwrap();
    let signature = decode(annotations[SIGNATURE].as_str().unwrap());
    fs_err::write(home.path("work/sig"), signature).unwrap();
    let words = ["dgst", "-sha256", "-verify", public, "-signature", "sig", "payload"];
    run(home, installed("openssl").unwrap(), &words)
}

const BY_KEY: [&str; 7] = [
    "copy",
    "--sign-by-sigstore-private-key",
    "key.private",
    "--sign-passphrase-file",
    "pass",
    "--sign-identity",
    "example.com/a:1",
];

#[test]
fn keys_are_made_once_and_for_their_owner() {
    let home = Home::new();
    key(&home, "secret");
    let mode = |name: &str| {
        fs_err::metadata(home.path("work").join(name)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("key.private"), mode("key.pub")), (0o600, 0o644));
    let before = fs_err::read(home.path("work/key.private")).unwrap();
    let words = ["generate-sigstore-key", "--output-prefix", "key", "--passphrase-file", "pass"];
    let again = at_home(&home, &words).failure(1);
    assert_eq!(fatal(&again), "Refusing to overwrite existing \"key.pub\"");
    fs_err::remove_file(home.path("work/key.pub")).unwrap();
    let again = at_home(&home, &words).failure(1);
    assert_eq!(fatal(&again), "Refusing to overwrite existing \"key.private\"");
    assert!(fs_err::read(home.path("work/key.private")).unwrap() == before);
    assert!(!home.path("work/key.pub").exists());
    for words in
        [&["generate-sigstore-key"][..], &["generate-sigstore-key", "--output-prefix", "k", "x"]]
    {
        let run = at_home(&home, words).failure(1);
        assert_eq!(fatal(&run), "Usage: generate-sigstore-key --output-prefix PREFIX");
    }
    let run = at_home(&home, &["generate-sigstore-key", "--output-prefix", "other"]).failure(1);
    assert_eq!(
        fatal(&run),
        "Cannot prompt for a passphrase for key other.private, standard input is not a TTY"
    );
    assert!(!home.path("work/other.private").exists());
}

#[test]
fn a_key_signs_what_others_believe() {
    let home = Home::new();
    if installed("openssl").is_none() {
        skip!("no openssl is installed");
    }
    key(&home, "secret");
    Image::new(1).write_oci(&home.path("work/layout"), Some("x"));
    let ours = at_home(&home, &[&BY_KEY[..], &["oci:layout:x", "dir:d"]].concat()).success();
    let line = "Creating signature: Signing image using a sigstore signature\nStoring signatures\n";
    assert!(ours.stdout.ends_with(line), "{ours}");
    openssl(&home, "key.pub").success();
    let (payload, _) = read(&home.path("work/d/signature-1"));
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(payload["critical"]["type"], "cosign container image signature");
    assert_eq!(payload["critical"]["identity"]["docker-reference"], "example.com/a:1");
    let digest = Image::new(1).digest().to_string();
    assert_eq!(payload["critical"]["image"]["docker-manifest-digest"], digest);

    // The original signs with the same file.
    let Some(original) = original() else { skip!("no skopeo is installed") };
    fs_err::remove_dir_all(home.path("work/d")).unwrap();
    let theirs = run(&home, &original, &[&BY_KEY[..], &["oci:layout:x", "dir:d"]].concat());
    if theirs.stderr.contains("sigstore disabled") {
        cannot!("this build of the original signs nothing in the form of sigstore: no judge");
    }
    theirs.success();
    openssl(&home, "key.pub").success();
}

#[test]
fn signatures_lie_beside_the_image_where_that_is_configured() {
    let registry = Registry::start();
    let home = Home::new();
    home.insecure(&[&registry.host()]);
    key(&home, "");
    Image::platforms(1, 2).push(&registry, "list:1");
    let (from, to) = (registry.docker("list:1"), registry.docker("signed:1"));
    let copy = [&BY_KEY[..5], &["--all", &from, &to]].concat();
    // Before anything is written.
    let refused = at_home(&home, &copy).failure(1);
    let sentence = "writing signatures: writing sigstore attachments is disabled by configuration";
    assert_eq!(fatal(&refused), sentence);
    at_home(&home, &["inspect", "--raw", &to]).failure(2);
    home.registries_d("default", "default-docker:\n  use-sigstore-attachments: true\n");
    at_home(&home, &copy).success();
    let tags = at_home(&home, &["list-tags", &registry.docker("signed")]).success().json();
    let signatures = tags["Tags"].as_array().unwrap().iter();
    let signatures = signatures.filter(|tag| tag.as_str().unwrap().ends_with(".sig")).count();
    assert_eq!(signatures, 3, "{tags}");
    let to_dir = ["copy", "--all", &to, "dir:d"];
    at_home(&home, &to_dir).success();
    let digest = at_home(&home, &["inspect", "--raw", &to]).success();
    assert!(!digest.stdout.is_empty());
    let (payload, _) = read(&home.path("work/d/signature-1"));
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    let name = to.strip_prefix("docker://").unwrap();
    assert_eq!(payload["critical"]["identity"]["docker-reference"], name);

    // It is believed by whoever wants the key, by us and by the original; not by whoever wants
    // another.
    let first = home.work("first.pub");
    fs_err::rename(home.path("work/key.pub"), &first).unwrap();
    fs_err::remove_file(home.path("work/key.private")).unwrap();
    key(&home, "");
    let mut judges = vec![std::path::PathBuf::from(env!("CARGO_BIN_EXE_skopeo"))];
    judges.extend(original());
    for (at, judge) in judges.iter().enumerate() {
        let asked = |public: &str, place: &str| {
            let wanted = json!([{"type": "sigstoreSigned", "keyPath": public}]);
            home.write("work/policy.json", &json!({"default": wanted}).to_string());
            run(&home, judge, &["--policy", "policy.json", "copy", "--all", &to, place])
        };
        let believed = asked(&first, &format!("dir:good{at}"));
        if believed.stderr.contains("sigstore disabled") {
            cannot!("this build of the original verifies nothing of sigstore: no judge");
        }
        believed.success();
        asked(&home.work("key.pub"), &format!("dir:bad{at}")).failure(1);
    }
}

#[test]
fn what_is_no_key_is_told_in_the_words_of_the_original() {
    let home = Home::new();
    key(&home, "secret");
    home.write("work/wrong", "another\n");
    home.write("work/params", "privateKeyFile: key.private\nfoo: 1\n");
    home.write("work/asks", "privateKeyFile: key.private\n");
    home.write("work/nothing", "");
    Image::new(1).write_oci(&home.path("work/layout"), Some("x"));
    let by = "--sign-by-sigstore-private-key";
    for (words, sentence) in [
        (
            vec![by, "key.private", "--sign-passphrase-file", "wrong"],
            "initializing private key: decrypt: encrypted: decryption failed",
        ),
        (
            vec![by, "key.pub", "--sign-passphrase-file", "pass"],
            "initializing private key: unsupported pem type: PUBLIC KEY",
        ),
        (
            vec![by, "wrong", "--sign-passphrase-file", "pass"],
            "initializing private key: invalid pem block",
        ),
        (
            vec![by, "none", "--sign-passphrase-file", "pass"],
            "reading private key from \"none\": open none: no such file or directory",
        ),
        (
            vec![by, "key.private"],
            "Cannot prompt for a passphrase for key key.private, standard input is not a TTY",
        ),
        (
            vec!["--sign-by-sigstore", "params"],
            "Error using --sign-by-sigstore: setting up signing using parameter file \"params\": parsing \"params\": field foo not found in type params.SigningParameterFile",
        ),
        (
            vec!["--sign-by-sigstore", "asks"],
            "Error using --sign-by-sigstore: Cannot prompt for a passphrase for key key.private, standard input is not a TTY",
        ),
        (
            vec!["--sign-by-sigstore", "nothing"],
            "Error using --sign-by-sigstore: no private key source provided (neither a private key nor Fulcio) when preparing to create sigstore signatures",
        ),
    ] {
        let identity = ["--sign-identity", "example.com/a:1", "oci:layout:x", "dir:d"];
        let line = [&["copy"], &words[..], &identity].concat();
        let run = at_home(&home, &line).failure(1);
        assert_eq!(fatal(&run), sentence, "{run}");
        assert!(!format!("{run}").contains("secret") && !home.path("work/d").exists());
    }
}

#[test]
fn pass_phrases_are_asked_for_on_a_terminal_and_not_shown() {
    let home = Home::new();
    Image::new(1).write_oci(&home.path("work/layout"), Some("x"));
    let asked = |words: &[&str], prompt: &str| {
        let mut terminal = Terminal::start(&home, 200, env!("CARGO_BIN_EXE_skopeo"), words);
        terminal.wait(|rows| rows.iter().any(|row| row.contains(prompt)));
        terminal.enter("typed secret\n");
        let (status, rows) = terminal.finish();
        assert!(status.success(), "{rows:?}");
        assert!(!terminal.written().contains("typed secret"), "{rows:?}");
    };
    let make = ["generate-sigstore-key", "--output-prefix", "key"];
    asked(&make, "Passphrase for key key.private:");
    let sign = [
        "copy",
        "--sign-by-sigstore-private-key",
        "key.private",
        "--sign-identity",
        "example.com/a:1",
        "oci:layout:x",
        "dir:d",
    ];
    asked(&sign, "Passphrase for key key.private:");
    assert!(home.path("work/d/signature-1").exists());
    home.write("work/pass", "typed secret");
    at_home(&home, &[&BY_KEY[..], &["oci:layout:x", "dir:e"]].concat()).success();
}
