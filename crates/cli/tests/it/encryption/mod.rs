//! Encrypted layers: what the installed original encrypts we decrypt, and the reverse.

mod keys;

use std::path::Path;

use serde_json::Value;
use skopeo_image::{Compression, Digest};
use skopeo_testkit::run::installed;
use skopeo_testkit::{Format, Home, Image, Run};

use crate::program::{at_home, fatal};

/// The ciphers and curves, each with the command that makes its private key.
const JWE: &[(&str, &str)] = &[
    ("rsa", "openssl genrsa -out rsa.pem 2048"),
    ("p256", "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out p256.pem"),
    ("p384", "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out p384.pem"),
    ("p521", "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out p521.pem"),
];

const CERTIFICATE: &str =
    "openssl req -x509 -newkey rsa:2048 -nodes -keyout cert.key -out cert.pem -subj /CN=x -days 99";

/// A home with an image of two layers in `oci:plain:x`, and these keys.
fn home(keys: &[&str]) -> Home {
    let home = Home::new();
    Image::new(1).write_oci(&home.path("work/plain"), Some("x"));
    for command in keys {
        shell(&home, command);
        if let Some(file) = command.split_whitespace().find(|word| word.ends_with(".pem")) {
            let public = file.replace(".pem", ".pub");
            if !command.contains("req") {
                shell(&home, &format!("openssl pkey -in {file} -pubout -out {public}"));
            }
        }
    }
    home
}

#[track_caller]
fn shell(home: &Home, script: &str) {
    skopeo_testkit::run(home, "/bin/sh", &["-ec", script]).success();
}

/// `copy`, with flags as words.
fn copy(home: &Home, program: Option<&Path>, words: &str) -> Run {
    let words = format!("--insecure-policy copy {words}");
    let words: Vec<&str> = words.split_whitespace().collect();
    match program {
        Some(program) => skopeo_testkit::run(home, program, &words),
        None => at_home(home, &words),
    }
}

fn manifest(home: &Home, folder: &str) -> Value {
    let work = home.path("work").join(folder);
    let index: Value =
        serde_json::from_slice(&fs_err::read(work.join("index.json")).unwrap()).unwrap();
    blob(home, folder, index["manifests"][0]["digest"].as_str().unwrap())
}

fn blob(home: &Home, folder: &str, digest: &str) -> Value {
    serde_json::from_slice(&fs_err::read(path_of(home, folder, digest)).unwrap()).unwrap()
}

fn path_of(home: &Home, folder: &str, digest: &str) -> std::path::PathBuf {
    let digest: Digest = digest.parse().unwrap();
    home.path("work").join(folder).join("blobs/sha256").join(digest.hex())
}

/// Both ways for one kind of recipient.
#[track_caller]
fn both_ways(home: &Home, original: &Path, recipient: &str, keys: &str) {
    for (name, encrypts, decrypts) in
        [("a", Some(original), None), ("b", None, Some(original)), ("c", None, None)]
    {
        let (sealed, opened) = (format!("sealed-{name}"), format!("opened-{name}"));
        for folder in [&sealed, &opened] {
            let _ = fs_err::remove_dir_all(home.path("work").join(folder));
        }
        copy(home, encrypts, &format!("--encryption-key {recipient} oci:plain:x oci:{sealed}:x"))
            .success();
        let types: Vec<_> = manifest(home, &sealed)["layers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|layer| layer["mediaType"].as_str().unwrap().to_owned())
            .collect();
        let expected = "application/vnd.oci.image.layer.v1.tar+gzip+encrypted";
        assert_eq!(types, [expected; 2], "{recipient} {name}");
        copy(home, decrypts, &format!("{keys} oci:{sealed}:x oci:{opened}:x")).success();
        assert_eq!(manifest(home, &opened), manifest(home, "plain"), "{recipient} {name}");
    }
}

macro_rules! tools {
    ($($tool:literal),*) => {{
        $(if installed($tool).is_none() {
            skopeo_testkit::skip!("{} is not installed: nothing to test with", $tool);
        })*
        skopeo_testkit::run::original()
    }};
}

use tools;

#[test]
fn jwe_both_ways() {
    let Some(original) = tools!("openssl", "skopeo") else { return };
    for (name, command) in JWE {
        let home = home(&[command]);
        both_ways(
            &home,
            &original,
            &format!("jwe:{name}.pub"),
            &format!("--decryption-key {name}.pem"),
        );
    }
}

#[test]
fn pkcs7_both_ways() {
    let Some(original) = tools!("openssl", "skopeo") else { return };
    let home = home(&[CERTIFICATE]);
    both_ways(
        &home,
        &original,
        "pkcs7:cert.pem",
        "--decryption-key cert.key --decryption-key cert.pem",
    );
}

/// Runs something with a keyring in `gnupg`, and ends its agent.
fn with_keyring(home: Home, work: impl FnOnce(&Home)) {
    let gnupg = home.path("gnupg").display().to_string();
    shell(&home, &format!("mkdir -m 700 {gnupg}"));
    let home = home.variable("GNUPGHOME", &gnupg);
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&home)));
    shell(&home, "gpgconf --kill all");
    if let Err(panic) = done {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn pgp_both_ways() {
    let Some(original) = tools!("gpg", "skopeo") else { return };
    with_keyring(home(&[]), |home| {
        shell(
            home,
            "gpg --batch --quiet --passphrase '' --quick-gen-key 'Ann <ann@x.example>' rsa2048 default never",
        );
        shell(
            home,
            "gpg --batch --quiet --passphrase '' --quick-add-key $(gpg -k --with-colons | grep ^fpr | cut -d: -f10) rsa2048 encr never",
        );
        shell(home, "gpg --batch --export-secret-keys ann@x.example > ann.gpg");
        for recipient in ["pgp:ann@x.example", "pgp:Ann"] {
            both_ways(home, &original, recipient, "--decryption-key ann.gpg");
        }
        let unknown = copy(home, None, "--encryption-key pgp:bob oci:plain:x oci:no:x");
        assert_eq!(
            fatal(&unknown),
            "Invalid encryption keys: PGP: No key found for the following recipients: bob"
        );
        assert!(!home.path("work/no").exists());

        // What the original does not know: keys on curves, pass phrases, armor.
        shell(
            home,
            "gpg --batch --quiet --pinentry-mode loopback --passphrase pw --quick-gen-key 'Cyd <cyd@x.example>' future-default default never",
        );
        shell(
            home,
            "gpg --batch --pinentry-mode loopback --passphrase pw --armor --export-secret-keys cyd@x.example > cyd.asc",
        );
        copy(home, None, "--encryption-key pgp:Cyd --encryption-key pgp:Ann oci:plain:x oci:two:x")
            .success();
        for key in ["cyd.asc:pw", "ann.gpg"] {
            copy(home, None, &format!("--decryption-key {key} oci:two:x oci:two-{}:x", &key[..3]))
                .success();
        }
        for key in ["cyd.asc:no", "cyd.asc"] {
            let wrong = copy(home, None, &format!("--decryption-key {key} oci:two:x oci:wrong:x"));
            assert!(fatal(&wrong).ends_with("(a pass phrase is wrong or missing)"), "{wrong}");
        }
    });
}

/// A provider that keeps the key as it is, backwards.
const PROVIDER: &str = r#"
import base64, json, sys
ask = json.load(sys.stdin)
if ask["op"] == "keywrap":
    assert base64.b64decode(ask["keywrapparams"]["ec"]["Parameters"]["test"][0]) == b"said"
    key = base64.b64decode(ask["keywrapparams"]["optsdata"])[::-1]
    print(json.dumps({"keywrapresults": {"annotation": base64.b64encode(key).decode()}}))
else:
    key = base64.b64decode(ask["keyunwrapparams"]["annotation"])[::-1]
    print(json.dumps({"keyunwrapresults": {"optsdata": base64.b64encode(key).decode()}}))
"#;

#[test]
fn providers_wrap_and_unwrap() {
    if installed("python3").is_none() {
        skopeo_testkit::skip!("python3 is not installed: no provider");
    }
    let home = home(&[]);
    home.write("work/provider.py", PROVIDER);
    let file = |command: Value| {
        serde_json::json!({"key-providers": {"test": command, "far": {"grpc": "localhost:1"}}})
            .to_string()
    };
    let program = home.work("provider.py");
    home.write(
        "work/good.json",
        &file(serde_json::json!({"cmd": {"path": "python3", "args": [program]}})),
    );
    home.write("work/bad.json", &file(serde_json::json!({"cmd": {"path": "false"}})));
    let good = home.work("good.json");
    let bad = home.work("bad.json");
    let home = home.variable("OCICRYPT_KEYPROVIDER_CONFIG", &good);
    // Debian's original is built without providers.
    copy(&home, None, "--encryption-key provider:test:said oci:plain:x oci:sealed:x").success();
    copy(&home, None, "--decryption-key provider:test oci:sealed:x oci:opened:x").success();
    assert_eq!(manifest(&home, "opened"), manifest(&home, "plain"));
    for (name, expected) in [
        ("none", "key provider none is not in the file of $OCICRYPT_KEYPROVIDER_CONFIG"),
        ("far", "key provider far uses gRPC, which is not supported by this version of skopeo"),
    ] {
        let run =
            copy(&home, None, &format!("--encryption-key provider:{name} oci:plain:x oci:no:x"));
        assert_eq!(fatal(&run), format!("Invalid encryption keys: {expected}"));
    }
    let home = home.variable("OCICRYPT_KEYPROVIDER_CONFIG", &bad);
    let run = copy(&home, None, "--decryption-key provider:test oci:sealed:x oci:no:x");
    assert!(fatal(&run).contains("key provider test: running false: exit status: 1"), "{run}");
    assert!(!home.path("work/no/index.json").exists());
    let run = copy(&home, None, "--encryption-key provider:test oci:plain:x oci:no:x");
    assert!(
        fatal(&run).contains("asking key provider test: running false: exit status: 1"),
        "{run}"
    );
    assert!(!home.path("work/no/index.json").exists());
}

#[test]
fn several_recipients_and_some_layers() {
    let Some(original) = tools!("openssl", "skopeo") else { return };
    let home = home(&[JWE[0].1, JWE[1].1, CERTIFICATE]);
    let all = "--encryption-key jwe:rsa.pub,jwe:p256.pub --encryption-key pkcs7:cert.pem";
    for (which, expected) in [
        ("", [true, true]),
        ("--encrypt-layer 0", [true, false]),
        ("--encrypt-layer -1", [false, true]),
    ] {
        let to = format!("sealed{}", which.replace(['-', ' '], ""));
        copy(&home, None, &format!("{all} {which} oci:plain:x oci:{to}:x")).success();
        let sealed = manifest(&home, &to);
        for (at, expected) in expected.into_iter().enumerate() {
            let layer = &sealed["layers"][at];
            assert_eq!(layer["mediaType"].as_str().unwrap().ends_with("+encrypted"), expected);
            assert_eq!(
                layer["annotations"].as_object().map_or(0, |it| it.len()),
                if expected { 3 } else { 0 }
            );
        }
        assert_eq!(sealed["config"], manifest(&home, "plain")["config"]);
        for (at, keys) in ["rsa.pem", "p256.pem", "cert.key,cert.pem"].into_iter().enumerate() {
            for (who, program) in [("o", Some(original.as_path())), ("w", None)] {
                let opened = format!("opened-{to}-{at}-{who}");
                copy(&home, program, &format!("--decryption-key {keys} oci:{to}:x oci:{opened}:x"))
                    .success();
                assert_eq!(manifest(&home, &opened), manifest(&home, "plain"));
            }
        }
    }
    let outside = copy(&home, None, &format!("{all} --encrypt-layer 2 oci:plain:x oci:no:x"));
    assert_eq!(
        fatal(&outside),
        "when choosing layers to encrypt, layer index 2 out of range (2 layers exist)"
    );
    // Nobody is added to those who can read a layer.
    copy(&home, None, "--encryption-key jwe:p256.pub oci:sealed:x oci:again:x").success();
    assert_eq!(manifest(&home, "again"), manifest(&home, "sealed"));
}

#[test]
fn without_keys_encrypted_layers_stay_as_they_are() {
    if installed("openssl").is_none() {
        skopeo_testkit::skip!("openssl is not installed: no keys");
    }
    let home = home(&[JWE[1].1]);
    copy(&home, None, "--encryption-key jwe:p256.pub oci:plain:x oci:sealed:x").success();
    copy(&home, None, "--dest-compress-format zstd oci:sealed:x oci:other:x").success();
    copy(&home, None, "oci:sealed:x dir:dir").success();
    copy(&home, None, "dir:dir oci:back:x").success();
    for folder in ["other", "back"] {
        assert_eq!(manifest(&home, folder), manifest(&home, "sealed"));
    }
    let refused = copy(&home, None, "--format v2s2 oci:sealed:x dir:no");
    assert_eq!(
        fatal(&refused),
        "encryption required together with format application/vnd.docker.distribution.manifest.v2+json, \
         which does not support encryption"
    );
    // Decrypted, it is an image like any other.
    copy(&home, None, "--format v2s2 --decryption-key p256.pem oci:sealed:x dir:docker").success();
    copy(&home, None, "--format oci dir:docker oci:docker:x").success();
    assert_eq!(manifest(&home, "docker")["layers"], manifest(&home, "plain")["layers"]);
}

#[test]
fn other_compressions_formats_and_lists() {
    let Some(original) = tools!("openssl", "skopeo") else { return };
    let home = home(&[JWE[1].1]);
    let zstd = Image::builder(2).layer(Compression::Zstd).layer(Compression::Uncompressed).build();
    zstd.write_oci(&home.path("work/zstd"), Some("x"));
    Image::builder(3).format(Format::Docker).build().write_dir(&home.path("work/docker"));
    Image::platforms(4, 3).write_oci(&home.path("work/list"), Some("x"));
    let (encrypt, decrypt) = ("--encryption-key jwe:p256.pub", "--decryption-key p256.pem");
    for (source, flags) in [
        ("oci:zstd:x", ""),
        ("dir:docker", ""),
        ("oci:list:x", "--all"),
        ("oci:plain:x", "--dest-compress-format zstd --dest-force-compress-format"),
    ] {
        let name = format!("{}{}", source.replace(':', ""), flags.replace(['-', ' '], ""));
        copy(&home, None, &format!("{flags} {encrypt} {source} oci:sealed-{name}:x")).success();
        let all = if flags == "--all" { flags } else { "" };
        // The original, too, must find it good.
        for (who, program) in [("o", Some(original.as_path())), ("w", None)] {
            let to = format!("opened-{name}-{who}");
            copy(&home, program, &format!("{all} {decrypt} oci:sealed-{name}:x oci:{to}:x"))
                .success();
            // The same as without the detour.
            let direct = format!("direct-{name}");
            copy(&home, None, &format!("{flags} {source} oci:{direct}:x")).success();
            let (opened, direct) = (manifest(&home, &to), manifest(&home, &direct));
            assert_eq!(opened, direct, "{source} {flags} {who}");
        }
    }
}

#[test]
fn chunks_are_not_encrypted() {
    if installed("openssl").is_none() {
        skopeo_testkit::skip!("openssl is not installed: no keys");
    }
    let home = home(&[JWE[1].1]);
    let flags = "--encryption-key jwe:p256.pub --dest-compress-format zstd:chunked";
    let plain = Image::builder(5).layer(Compression::Uncompressed).build();
    plain.write_oci(&home.path("work/tar"), Some("x"));
    let run = copy(&home, None, &format!("{flags} oci:tar:x oci:sealed:x")).success();
    assert!(run.stderr.contains("using plain zstd instead"), "{run}");
    let layer = &manifest(&home, "sealed")["layers"][0];
    assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar+zstd+encrypted");
    assert!(!layer["annotations"].to_string().contains("chunked"), "{layer}");
    let run =
        copy(&home, None, &format!("{flags} --dest-force-compress-format oci:tar:x oci:no:x"));
    assert!(fatal(&run).starts_with("explicitly requested to combine zstd:chunked"), "{run}");
}
