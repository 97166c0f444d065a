//! What programs read of a command that goes well, or does not: `--output json` and `--progress`.

use serde_json::{Value, json};
use skopeo_testkit::{Fault, Home, Image, On, Registry, Run};

use crate::program::{at_home, fatal};

const JSON: &str = "--output=json";

fn start() -> (Home, Registry) {
    let registry = Registry::start();
    let home = Home::new();
    home.insecure(&[&registry.host()]);
    (home, registry)
}

/// The document, which is all that is on stdout.
#[track_caller]
fn document(run: &Run, command: &str) -> Value {
    let document = run.json();
    assert_eq!(document["version"], 1, "{run}");
    assert_eq!(document["command"], command, "{run}");
    assert_eq!(document["ok"], run.code == Some(0), "{run}");
    assert_eq!(document["error"].is_null(), run.code == Some(0), "{run}");
    assert!(document["seconds"].is_number() && document["started"].is_string(), "{run}");
    document
}

/// The events on stderr.
#[track_caller]
fn events(run: &Run) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}\n{run}"));
    run.stderr.lines().map(parse).collect()
}

#[test]
fn a_copy_says_what_has_moved() {
    let (home, registry) = start();
    let image = Image::new(1);
    image.push(&registry, "a:1");
    let from = registry.docker("a:1");
    let run = at_home(&home, &["copy", JSON, &from, "oci:to:x"]).success();
    let done = document(&run, "copy");
    assert!(run.stderr.starts_with("Getting image source signatures\nCopying blob "), "{run}");
    let result = &done["results"][0];
    assert_eq!(result["type"], "copy");
    assert_eq!(result["outcome"], "copied");
    assert_eq!((&result["source"], &result["destination"]), (&json!(from), &json!("oci:to:x")));
    let digest = json!(image.digest().to_string());
    assert_eq!((&result["source_digest"], &result["digest"]), (&digest, &digest), "{run}");
    assert_eq!(result["media_type"], image.media_type().to_string());
    let all: u64 = image.blobs().values().map(|blob| blob.len() as u64).sum();
    let bytes = json!({"read": all, "written": all, "reused": 0, "mounted": 0, "linked": 0});
    assert_eq!(result["bytes"], bytes, "{run}");
    let blobs = result["blobs"].as_array().unwrap();
    assert_eq!(blobs.len(), image.blobs().len());
    for blob in blobs {
        assert_eq!(blob["outcome"], "copied");
        assert_eq!(
            (&blob["stored_digest"], &blob["stored_size"]),
            (&blob["digest"], &blob["size"])
        );
        assert_eq!(blob["attempts"], 1);
    }
    assert!(done["requests"].as_u64().unwrap() > 3 && done["attempts"] == 1, "{run}");

    let run = at_home(&home, &["copy", JSON, &from, "oci:to:x"]).success();
    let result = &document(&run, "copy")["results"][0];
    assert_eq!((&result["outcome"], &result["digest"]), (&json!("present"), &digest), "{run}");
    assert_eq!((&result["blobs"], &result["bytes"]["read"]), (&json!([]), &json!(0)), "{run}");

    let run = at_home(&home, &["copy", JSON, &from, &registry.docker("b:1")]).success();
    let bytes = &document(&run, "copy")["results"][0]["bytes"];
    assert_eq!(
        *bytes,
        json!({"read": 0, "written": 0, "reused": 0, "mounted": all, "linked": 0}),
        "{run}"
    );
    let run = at_home(&home, &["copy", JSON, &from, "oci:to:y"]).success();
    let bytes = &document(&run, "copy")["results"][0]["bytes"];
    assert_eq!(
        *bytes,
        json!({"read": 0, "written": 0, "reused": all, "mounted": 0, "linked": 0}),
        "{run}"
    );
}

#[test]
fn a_list_is_told_with_its_images_and_each_blob_once() {
    let (home, registry) = start();
    let list = Image::platforms(7, 3);
    list.push(&registry, "a:1");
    let run = at_home(&home, &["copy", JSON, "--all", &registry.docker("a:1"), "oci:to"]).success();
    let result = &document(&run, "copy")["results"][0];
    assert_eq!(result["digest"], list.digest().to_string());
    let images = result["images"].as_array().unwrap();
    assert_eq!(images.len(), 4, "{run}");
    assert_eq!(images[3]["digest"], list.digest().to_string(), "the list is written last");
    assert_eq!(result["blobs"].as_array().unwrap().len(), list.blobs().len(), "{run}");
    // One of it: the source's name still leads to the list.
    let run = at_home(
        &home,
        &["--override-arch=arm64", "copy", JSON, &registry.docker("a:1"), "dir:one"],
    );
    let result = &document(&run.success(), "copy")["results"][0];
    assert_eq!(result["source_digest"], list.digest().to_string());
    assert_eq!(result["images"][0]["digest"], result["digest"]);
    assert_ne!(result["digest"], result["source_digest"]);
}

#[test]
fn a_failure_has_its_document_too() {
    let (home, registry) = start();
    Image::new(1).push(&registry, "a:1");
    registry.fault(Fault::corrupt(On::blobs()));
    let run = at_home(&home, &["copy", JSON, &registry.docker("a:1"), "dir:to"]).failure(1);
    let failed = document(&run, "copy");
    assert_eq!(failed["error"]["class"], "digest-mismatch", "{run}");
    assert_eq!(failed["error"]["message"], fatal(&run));
    assert_eq!(failed["results"][0]["outcome"], "failed");
    assert!(failed["results"][0]["digest"].is_null());
    assert_eq!(failed["results"][0]["blobs"][0]["outcome"], "unfinished", "{run}");
    // Nothing was begun.
    let run = at_home(&home, &["copy", JSON, "x", "dir:to"]).failure(1);
    let failed = document(&run, "copy");
    assert_eq!(
        (&failed["error"]["class"], &failed["results"]),
        (&json!("invalid-input"), &json!([]))
    );
    let run = at_home(&home, &["copy", JSON, "dir:to"]).failure(1);
    assert_eq!(document(&run, "copy")["error"]["class"], "invalid-input");
    let run = at_home(&home, &["copy", "--output=xml", "a", "b"]).failure(1);
    assert_eq!(fatal(&run), "unknown value \"xml\" of --output");
}

#[test]
fn warnings_and_attempts_are_counted() {
    let (home, registry) = start();
    Image::new(1).push(&registry, "a:1");
    registry.fault(Fault::status(On::manifests(), 503).times(6));
    let retry = ["--retry-times=2", "--retry-delay=1ms", "--tls-verify=false"];
    let from = registry.docker("a:1");
    let words = [&["copy", JSON, &from, "dir:to"], &retry[..]].concat();
    let run = at_home(&home, &words).success();
    let done = document(&run, "copy");
    assert_eq!(
        (&done["attempts"], done["results"].as_array().unwrap().len()),
        (&json!(2), 1),
        "{run}"
    );
    let warnings = done["warnings"].as_array().unwrap();
    assert!(warnings[0].as_str().unwrap().starts_with("'--tls-verify' is deprecated"), "{run}");
    assert!(warnings[1].as_str().unwrap().starts_with("Failed, retrying in 1ms"), "{run}");
}

#[test]
fn login_logout_and_delete_say_what_they_did() {
    let registry = Registry::builder().htpasswd("user", "secret").start();
    let home = Home::new();
    let host = registry.host();
    home.insecure(&[&host]);
    let run = at_home(&home, &["login", JSON, "-u", "user", "-p", "secret", &host]).success();
    let result = document(&run, "login")["results"][0].clone();
    assert_eq!((&result["type"], &result["registry"]), (&json!("login"), &json!(host)), "{run}");
    assert_eq!(result["username"], "user");
    assert_eq!(result["stored_in"], home.auth_file().display().to_string(), "{run}");
    assert!(run.stderr.contains("Login Succeeded!\n"), "{run}");
    let run = at_home(&home, &["logout", JSON, &host]).success();
    assert_eq!(document(&run, "logout")["results"], json!([{"type": "logout", "registry": host}]));
    let run = at_home(&home, &["login", JSON, "-u", "user", "-p", "wrong", &host]).failure(1);
    assert_eq!(document(&run, "login")["error"]["class"], "unauthorized");
    let (home, registry) = start();
    Image::new(1).push(&registry, "a:1");
    let image = registry.docker("a:1");
    let run = at_home(&home, &["delete", JSON, &image]).success();
    let result = document(&run, "delete")["results"][0].clone();
    assert_eq!((&result["outcome"], &result["image"]), (&json!("deleted"), &json!(image)), "{run}");
}

#[test]
fn progress_goes_where_it_is_asked_for() {
    let (home, registry) = start();
    let image = Image::new(1);
    image.push(&registry, "a:1");
    let from = registry.docker("a:1");
    let run = at_home(&home, &["copy", "--progress=json", &from, "oci:to:x"]).success();
    assert_eq!(run.stdout, "");
    let told = events(&run);
    let named = |name: &str| told.iter().filter(|it| it["event"] == name).count();
    let blobs = image.blobs().len();
    assert_eq!((named("blob-started"), named("blob-done")), (blobs, blobs), "{run}");
    assert_eq!((named("image-started"), named("manifest-done")), (1, 1), "{run}");
    let last = told.last().unwrap();
    assert_eq!(
        (&last["event"], &last["outcome"]),
        (&json!("image-done"), &json!("copied")),
        "{run}"
    );
    assert_eq!(last["digest"], image.digest().to_string());
    assert!(told.iter().all(|it| it["time"].as_str().is_some_and(|time| time.ends_with('Z'))));
    let run = at_home(&home, &["copy", "--progress=json", &from, "oci:to:x"]).success();
    assert_eq!(events(&run).last().unwrap()["outcome"], "present", "{run}");
    let run =
        at_home(&home, &["copy", "--progress=json", &from, &registry.docker("b:1")]).success();
    assert!(events(&run).iter().any(|it| it["how"] == "mounted"), "{run}");

    for mode in ["plain", "bar"] {
        let to = format!("oci:{mode}:x");
        let run = at_home(&home, &["copy", &format!("--progress={mode}"), &from, &to]).success();
        assert_eq!(run.stdout, "");
        let copied = run.stderr.lines().filter(|line| line.starts_with("Copied sha256:")).count();
        assert_eq!(copied, blobs, "{run}");
        assert!(run.stderr.ends_with(&format!("Wrote {}\n", image.digest())), "{run}");
    }
    for words in [&["--progress=none"][..], &["-q"], &["-q", "--progress=none"]] {
        let run = at_home(&home, &[&["copy", &from, "dir:none"], words].concat()).success();
        assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""), "{words:?}");
    }
    let run = at_home(&home, &["copy", "-q", "--progress=json", &from, "dir:x"]).failure(1);
    assert_eq!(fatal(&run), "Cannot use --quiet and --progress flags together");
    let usual = at_home(&home, &["copy", &from, "oci:usual:x"]).success();
    let auto = at_home(&home, &["copy", "--progress=auto", &from, "oci:auto:x"]).success();
    assert_eq!((usual.stdout, usual.stderr), (auto.stdout, auto.stderr));
}
