//! Bundles of sigstore: written on request, found where they hang, judged if policy.json asks.

use serde_json::{Value, json};
use skopeo_testkit::{Fault, Home, Image, On, Registry};

use crate::program::{at_home, fatal};

/// A key, and a file of parameters that makes bundles with it.
fn prepare(home: &Home) {
    home.write("work/pass", "secret\n");
    let words = ["generate-sigstore-key", "--output-prefix", "key", "--passphrase-file", "pass"];
    at_home(home, &words).success();
    let key = "privateKeyFile: key.private\nprivateKeyPassphraseFile: pass\n";
    home.write("work/params", &format!("{key}format: bundle\n"));
    home.write("work/attach", key);
}

/// A policy that asks for a signature of the key, with these members beside it.
fn policy(home: &Home, more: &Value) -> String {
    let mut requirement = json!({
        "type": "sigstoreSigned",
        "keyPath": home.path("work/key.pub").to_str().unwrap(),
    });
    for (name, value) in more.as_object().unwrap() {
        requirement[name] = value.clone();
    }
    home.write("work/p.json", &json!({"default": [requirement]}).to_string());
    home.path("work/p.json").to_str().unwrap().to_owned()
}

const UNSIGNED: &str = "Source image rejected: A signature was required, but no signature exists";

fn without_api() -> Registry {
    Registry::builder()
        .fault(Fault::status(On::referrers(), 404))
        .fault(Fault::no_header(On::manifests().method("PUT"), "oci-subject"))
        .start()
}

#[test]
fn bundles_hang_on_the_image_and_count_where_the_policy_says_so() {
    for registry in [Registry::start(), without_api()] {
        let home = Home::new();
        home.insecure(&[&registry.host()]);
        prepare(&home);
        Image::new(1).push(&registry, "plain:1");
        let (from, to) = (registry.docker("plain:1"), registry.docker("signed:1"));
        let sign = at_home(&home, &["copy", "--sign-by-sigstore", "params", &from, &to]).success();
        let line =
            "Creating signature: Signing image using a sigstore bundle\nStoring signatures\n";
        assert!(sign.stdout.ends_with(line), "{sign}");
        let tags = at_home(&home, &["list-tags", &registry.docker("signed")]).success().stdout;
        assert!(!tags.contains(".sig"), "{tags}");

        // Who does not ask for bundles asks no registry for any.
        let plain = policy(&home, &json!({}));
        let before = registry.lines().len();
        let refused = at_home(&home, &["--policy", &plain, "copy", &to, "dir:x"]).failure(1);
        assert_eq!(fatal(&refused), UNSIGNED);
        let asked = registry.lines().split_off(before);
        assert!(!asked.iter().any(|line| line.contains("referrers")), "{asked:?}");

        // One question more than a policy that asks for none; of what is there, the bundle's own.
        let digest_only = policy(&home, &json!({"bundleIdentity": "digestOnly"}));
        let copy = ["--policy", &digest_only, "copy", &to, "dir:d"];
        at_home(&home, &copy).success();
        let kept = fs_err::read(home.path("work/d/signature-1")).unwrap();
        assert!(kept.starts_with(
            b"\0sigstore-json\n{\"mimeType\":\"application/vnd.dev.sigstore.bundle.v0.3+json\""
        ));
        let missing = ["--policy", &digest_only, "copy", &from, "dir:y"];
        assert_eq!(fatal(&at_home(&home, &missing).failure(1)), UNSIGNED);

        // A bundle names the image that was signed.
        let named = policy(&home, &json!({"bundleIdentity": "subjectName"}));
        at_home(&home, &["--policy", &named, "copy", &to, "dir:e"]).success();
        let (other, again) = (registry.docker("signed:2"), registry.docker("again:1"));
        let keep = ["--policy", &named, "copy", &to, &other];
        at_home(&home, &keep).success();
        let refused = at_home(&home, &["--policy", &named, "copy", &other, "dir:f"]).failure(1);
        let name = to.strip_prefix("docker://").unwrap();
        let sentence =
            format!("Source image rejected: Signature for identity {name:?} is not accepted");
        assert_eq!(fatal(&refused), sentence);

        // From a folder, back to a registry: the bundle goes along, and hangs there once.
        let digest_only = policy(&home, &json!({"bundleIdentity": "digestOnly"}));
        for _ in 0..2 {
            at_home(&home, &["--policy", &digest_only, "copy", "dir:d", &again]).success();
        }
        at_home(&home, &["--policy", &digest_only, "copy", &again, "dir:g"]).success();
        assert!(home.path("work/g/signature-1").exists());
        assert!(!home.path("work/g/signature-2").exists());
        let listed = at_home(&home, &["inspect", "--referrers", &again]).success().json();
        let found = listed.as_array().unwrap();
        assert_eq!(found.len(), 1, "{listed}");
        assert_eq!(found[0]["ArtifactType"], "application/vnd.dev.sigstore.bundle.v0.3+json");

        // Where no signature has a place, it is said; the way out is named.
        let refused =
            at_home(&home, &["--policy", &digest_only, "copy", &to, "docker-archive:o"]).failure(1);
        let sentence = "Storing signatures for docker tar files is not supported";
        assert!(fatal(&refused).contains(sentence), "{refused}");
        let removed =
            ["--policy", &digest_only, "copy", "--remove-signatures", &to, "docker-archive:o"];
        at_home(&home, &removed).success();
    }
}

#[test]
fn bundles_of_lists_and_their_instances() {
    let registry = Registry::start();
    let home = Home::new();
    home.insecure(&[&registry.host()]);
    prepare(&home);
    Image::platforms(1, 2).push(&registry, "list:1");
    let (from, to) = (registry.docker("list:1"), registry.docker("signed:1"));
    at_home(&home, &["copy", "--all", "--sign-by-sigstore", "params", &from, &to]).success();
    let named = policy(&home, &json!({"bundleIdentity": "subjectName"}));
    at_home(&home, &["--policy", &named, "copy", "--all", &to, "dir:all"]).success();
    at_home(&home, &["--policy", &named, "copy", "--multi-arch", "index-only", &to, "dir:index"])
        .success();
    let check = at_home(&home, &["--policy", &named, "policy", "check", &to]).success();
    assert!(check.stdout.contains("sigstoreSigned: met\naccepted\n"), "{check}");
    let listed = at_home(&home, &["--policy", &named, "inspect", "--signatures", &to]);
    let listed = listed.success().json();
    for image in listed.as_array().unwrap() {
        let row = &image["Signatures"][0];
        assert_eq!(row["Form"], "bundle", "{image}");
        assert_eq!(row["Accepted"], true, "{image}");
        assert_eq!(row["UntrustedDockerReference"], to.strip_prefix("docker://").unwrap());
        assert_eq!(row["UntrustedDockerManifestDigest"], image["Digest"]);
        assert_eq!(row["UntrustedPredicateType"], "https://sigstore.dev/cosign/sign/v1");
    }
    // Without a policy that asks they are shown all the same, and count for nothing.
    let plain = policy(&home, &json!({}));
    let listed = at_home(&home, &["--policy", &plain, "inspect", "--signatures", &to]);
    let listed = listed.success().json();
    assert_eq!(listed[0]["Signatures"][0]["Form"], "bundle");
    assert_eq!(listed[0]["Signatures"][0]["Accepted"], false);
    assert_eq!(listed[0]["Accepted"], false);
}

#[test]
fn what_hangs_there_and_is_no_bundle_is_passed_over() {
    let registry = Registry::start();
    let home = Home::new();
    home.insecure(&[&registry.host()]);
    prepare(&home);
    let image = Image::new(1);
    image.push(&registry, "a:1");
    Image::notation(&image, 1).push(&registry, "a");
    Image::spdx(&image, 1).push(&registry, "a");
    let name = registry.docker("a:1");
    let digest_only = policy(&home, &json!({"bundleIdentity": "digestOnly"}));
    let refused = at_home(&home, &["--policy", &digest_only, "copy", &name, "dir:x"]).failure(1);
    assert_eq!(fatal(&refused), UNSIGNED);
    at_home(&home, &["copy", "--sign-by-sigstore", "params", &name, &name]).success();
    at_home(&home, &["--policy", &digest_only, "copy", &name, "dir:d"]).success();
    // With what hangs on it, and the bundle once.
    let there = registry.docker("b:1");
    let copy = ["--policy", &digest_only, "copy", "--referrers", &name, &there];
    at_home(&home, &copy).success();
    let listed = at_home(&home, &["inspect", "--referrers", &there]).success().json();
    assert_eq!(listed.as_array().unwrap().len(), 3, "{listed}");
    at_home(&home, &["--policy", &digest_only, "copy", &there, "dir:e"]).success();
}

#[test]
fn trouble_with_the_list_is_no_missing_signature() {
    let registry = Registry::builder().fault(Fault::status(On::referrers(), 500)).start();
    let home = Home::new();
    home.insecure(&[&registry.host()]);
    prepare(&home);
    Image::new(1).push(&registry, "a:1");
    let digest_only = policy(&home, &json!({"bundleIdentity": "digestOnly"}));
    let words = ["--policy", &digest_only, "copy", &registry.docker("a:1"), "dir:x"];
    let refused = at_home(&home, &words).failure(1);
    assert!(!fatal(&refused).contains("A signature was required"), "{refused}");
    assert!(fatal(&refused).contains("reading referrers of"), "{refused}");
}

/// What hangs on an image of one place, by digest.
fn hanging(home: &Home, name: &str) -> Vec<Value> {
    let listed = at_home(home, &["inspect", "--referrers", name]).success().json();
    listed.as_array().unwrap().iter().map(|it| it["Digest"].clone()).collect()
}

#[test]
fn layouts_keep_bundles_as_signatures() {
    let registry = Registry::start();
    let home = Home::new();
    home.insecure(&[&registry.host()]);
    prepare(&home);
    Image::new(1).push(&registry, "a:1");
    Image::platforms(2, 2).push(&registry, "list:1");
    // A list has one bundle, and each of its images one.
    for (name, all, count) in [("a:1", None, 1), ("list:1", Some("--all"), 3)] {
        let (from, signed) = (registry.docker(name), registry.docker(&format!("signed/{name}")));
        let copy = |words: &[&str]| {
            let words = [words, all.as_slice()].concat();
            at_home(&home, &words)
        };
        copy(&["copy", "--sign-by-sigstore", "params", &from, &signed]).success();
        let named = policy(
            &home,
            &json!({
                "bundleIdentity": "subjectName",
                "signedIdentity": {
                    "type": "exactReference",
                    "dockerReference": signed.strip_prefix("docker://").unwrap(),
                },
            }),
        );
        let under = |from: &str, to: &str| copy(&["--policy", &named, "copy", from, to]);
        for (at, place) in ["oci:layout:x", "oci-archive:file.tar:x"].into_iter().enumerate() {
            // Twice: the same bundle hangs there once.
            for _ in 0..2 {
                under(&signed, place).success();
            }
            assert_eq!(hanging(&home, place).len(), count, "{place}");
            assert_eq!(hanging(&home, place), hanging(&home, &signed), "{place}");
            let back = registry.docker(&format!("back{at}/{name}"));
            under(place, &back).success();
            under(&back, "dir:d").success();
            assert_eq!(hanging(&home, &back), hanging(&home, &signed), "{place}");
            // What hangs there and goes along is the same bundle.
            let both = ["--policy", &named, "copy", "--referrers", &signed, "oci:both:x"];
            copy(&both).success();
            assert_eq!(hanging(&home, "oci:both:x").len(), count);
        }
        // Into an archive that has another image, which stays.
        copy(&["copy", &from, "oci-archive:more.tar:other"]).success();
        under(&signed, "oci-archive:more.tar:x").success();
        under("oci-archive:more.tar:x", "dir:e").success();
        // It is the same manifest there, and what is signed is a digest.
        under("oci-archive:more.tar:other", "dir:f").success();
        for file in ["layout", "file.tar", "both", "more.tar"] {
            let path = home.path(format!("work/{file}"));
            let _ = fs_err::remove_dir_all(&path).or_else(|_| fs_err::remove_file(&path));
        }
    }
}

#[test]
fn images_are_signed_in_layouts() {
    let home = Home::new();
    prepare(&home);
    Image::new(1).write_oci(&home.path("work/from"), Some("x"));
    let identity = ["--sign-identity", "example.com/a:1"];
    let policy = policy(
        &home,
        &json!({
            "bundleIdentity": "subjectName",
            "signedIdentity": {"type": "exactReference", "dockerReference": "example.com/a:1"},
        }),
    );
    for place in ["oci:to:x", "oci-archive:to.tar:x"] {
        let words =
            [&["copy", "--sign-by-sigstore", "params"], &identity[..], &["oci:from:x", place]];
        at_home(&home, &words.concat()).success();
        at_home(&home, &["--policy", &policy, "copy", place, "dir:d"]).success();
        // Without a signature nothing is believed of the same image.
        let unsigned = ["--policy", &policy, "copy", "oci:from:x", "dir:e"];
        assert_eq!(fatal(&at_home(&home, &unsigned).failure(1)), UNSIGNED);
        let shown = at_home(&home, &["--policy", &policy, "inspect", "--signatures", place]);
        let shown = shown.success().json();
        assert_eq!(shown[0]["Signatures"][0]["Form"], "bundle", "{shown}");
        assert_eq!(shown[0]["Signatures"][0]["Accepted"], true, "{shown}");
        // What is no bundle has no place there, and that is said before anything is written.
        let words =
            [&["copy", "--sign-by-sigstore", "attach"], &identity[..], &["oci:from:x", place]];
        let refused = at_home(&home, &words.concat()).failure(1);
        let sentence = "Pushing signatures for OCI images is not supported";
        assert!(fatal(&refused).contains(sentence), "{refused}");
    }
}
