//! `atomic:`: images of OpenShift's registry, through the API of its image streams.

use std::io;

use serde_json::{Value, json};
use skopeo_testkit::{Gpg, Home, Image, Registry, Run, run as start, run::original, skip};

use crate::program::{at_home, fatal};
use crate::script::{Script, respond};

const TOKEN: &str = "t0ken-of-the-kubeconfig";

/// The kubeconfig of a user with a token; `cluster` says where the API is.
fn kubeconfig(home: &Home, cluster: &str, token: &str) {
    home.write(
        "home/.kube/config",
        &format!(
            "current-context: here\n\
             contexts:\n- name: here\n  context: {{cluster: c, user: u}}\n\
             clusters:\n- name: c\n  cluster: {{{cluster}}}\n\
             users:\n- name: u\n  user: {{token: {token}}}\n"
        ),
    );
}

/// A home whose user knows a registry and an API on plain http.
fn plain(registry: &Registry, api: &str) -> Home {
    let home = Home::new();
    home.insecure(&[&registry.host()]);
    kubeconfig(&home, &format!("server: 'http://{api}'"), TOKEN);
    home
}

fn hint(run: &Run) -> &str {
    run.stderr.lines().find_map(|line| line.strip_prefix("hint: ")).unwrap_or_default()
}

#[test]
fn the_token_goes_to_the_api_and_signatures_come_from_there() {
    let registry = Registry::builder().tls().openshift(TOKEN).keeps_signatures().start();
    let home = Home::new();
    home.certificate(&registry.host(), "ca.crt", registry.ca());
    home.write("home/.kube/ca.pem", registry.ca());
    let server = format!("server: 'https://{}'", registry.host());
    let cluster = format!("{server}, certificate-authority: ca.pem");
    kubeconfig(&home, &cluster, TOKEN);
    Image::platforms(1, 2).push(&registry, "ns/app:1");
    let host = registry.host();
    let name = format!("atomic:{host}/ns/app:1");

    let raw = at_home(&home, &["inspect", "--raw", &name]).success();
    let docker = registry.docker("ns/app:1");
    assert_eq!(raw.stdout, at_home(&home, &["inspect", "--raw", &docker]).success().stdout);
    let to = format!("atomic:{host}/ns/copied:x");
    at_home(&home, &["copy", "--all", &name, &to]).success();
    assert_eq!(at_home(&home, &["inspect", "--raw", &to]).success().stdout, raw.stdout);
    for seen in registry.requests() {
        let expected = match seen.target.starts_with("/oapi/") {
            true => format!("Bearer {TOKEN}"),
            false => String::new(),
        };
        assert_eq!(seen.header("authorization"), expected, "{}", seen.line());
    }
    let debug = at_home(&home, &["--debug", "inspect", &name]).success();
    assert!(!debug.stderr.contains(TOKEN), "{debug}");

    kubeconfig(&home, &cluster, "another");
    let run = at_home(&home, &["inspect", "--raw", &name]).failure(1);
    assert!(fatal(&run).ends_with("Unauthorized"), "{run}");
    assert!(hint(&run).contains("oc login"), "{run}");
    // Whom the kubeconfig's authority does not vouch for gets nothing, whatever the system trusts.
    let other = Registry::builder().tls().start();
    home.write("home/.kube/ca.pem", other.ca());
    home.write("home/system.pem", registry.ca());
    let system = home.path("home/system.pem").display().to_string();
    let home = home.variable("SSL_CERT_FILE", &system);
    kubeconfig(&home, &server, TOKEN);
    at_home(&home, &["inspect", "--raw", &name]).success();
    kubeconfig(&home, &cluster, TOKEN);
    let before = registry.lines().len();
    let run = at_home(&home, &["inspect", "--raw", &name]).failure(1);
    assert!(fatal(&run).contains("certificate"), "{run}");
    assert_eq!(registry.lines().len(), before);
    let insecure = format!("{server}, insecure-skip-tls-verify: true");
    let pair = "'', client-certificate-data: QQ==, client-key-data: QQ==";
    kubeconfig(&home, &insecure, pair);
    let run = at_home(&home, &["inspect", "--raw", &name]).failure(1);
    assert!(fatal(&run).contains("loading client certificate of the kubeconfig"), "{run}");
    kubeconfig(&home, &insecure, TOKEN);
    at_home(&home, &["inspect", "--raw", &name]).success();

    let Some(gpg) = Gpg::new(&home) else { skip!("no gpg is installed") };
    let key = gpg.key("one@example.com", "");
    let signed = json!([{
        "type": "signedBy", "keyType": "GPGKeys", "keyPath": gpg.export(&key),
        "signedIdentity": {"type": "matchExact"},
    }]);
    let place = format!("{host}/ns");
    let policy = json!({"default": [{"type": "insecureAcceptAnything"}], "transports": {
        "atomic": {place.clone(): signed}, "docker": {place: signed},
    }});
    home.write("work/policy.json", &policy.to_string());
    let policy = home.work("policy.json");
    let read = |name: &str, to: &str| {
        let words = ["--policy", &policy, "copy", "--all", name, &format!("dir:{to}")];
        at_home(&home, &words)
    };
    let unsigned = read(&name, "none").failure(1);
    let sentence = "Source image rejected: A signature was required, but no signature exists";
    assert!(fatal(&unsigned).ends_with(sentence), "{unsigned}");
    let count = |begin: &str| registry.lines().iter().filter(|line| line.contains(begin)).count();
    let posts = || count("POST /oapi/v1/imagesignatures");
    let to = format!("atomic:{host}/ns/ours:1");
    at_home(&home, &["copy", "--all", "--sign-by", &key, &docker, &to]).success();
    assert_eq!(posts(), 3, "two images and their list");
    read(&to, "ours").success();
    // The same signatures are not kept twice.
    at_home(&home, &["copy", "--all", "dir:ours", &to]).success();
    assert_eq!((posts(), count("/extensions/v2/ns/ours/")), (3, 0));
    // Under another name they count for nothing.
    let moved = format!("atomic:{host}/ns/moved:1");
    at_home(&home, &["copy", "--all", &docker, &moved]).success();
    let refused = read(&moved, "moved").failure(1);
    assert!(fatal(&refused).contains("is not accepted"), "{refused}");

    // Debian's build of the original has no `atomic:`; it knows the same signatures by the
    // registry's extension.
    let Some(original) = original() else { skip!("no skopeo is installed") };
    let (ours, theirs) = (registry.docker("ns/ours:1"), registry.docker("ns/theirs:1"));
    let words =
        ["--policy", &policy, "copy", "--all", "--src-tls-verify=false", &ours, "dir:by-original"];
    start(&home, &original, &words).success();
    let words = [
        "copy",
        "--all",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        "--sign-by",
        &key,
        &docker,
        &theirs,
    ];
    start(&home, &original, &words).success();
    assert!(count("/extensions/v2/ns/ours/") > 0);
    read(&format!("atomic:{host}/ns/theirs:1"), "theirs").success();
}

#[test]
fn what_is_not_there_or_not_possible_is_told() {
    let registry = Registry::builder().openshift("").start();
    let home = plain(&registry, &registry.host());
    Image::new(1).push(&registry, "ns/app:1");
    let host = registry.host();
    let name = |image: &str| format!("atomic:{host}/{image}");
    at_home(&home, &["inspect", &name("ns/app:1")]).success();
    assert!(registry.requests().iter().all(|seen| seen.header("authorization").is_empty()));

    let run = at_home(&home, &["inspect", &name("ns/app:2")]).failure(2);
    assert!(fatal(&run).ends_with("No matching tag found"), "{run}");
    let run = at_home(&home, &["inspect", &name("ns/none:1")]).failure(2);
    assert!(fatal(&run).ends_with("imagestreams \"none\" not found"), "{run}");
    assert_eq!(hint(&run), "");
    let run = at_home(&home, &["delete", &name("ns/app:1")]).failure(1);
    assert_eq!(fatal(&run), "Deleting images not implemented for atomic: images");
    let run = at_home(&home, &["inspect", "atomic:x"]).failure(1);
    assert!(fatal(&run).contains("expected format: 'hostname/namespace/stream:tag'"), "{run}");
    let help = at_home(&home, &["--help"]).success();
    assert!(!help.stdout.contains("atomic"), "{help}");

    // A signature in the form of sigstore has no room in the API.
    at_home(&home, &["copy", &registry.docker("ns/app:1"), "dir:signed"]).success();
    let payload = json!({"mimeType": "application/vnd.dev.cosign.simplesigning.v1+json",
        "payload": "e30=", "annotations": {"dev.cosignproject.cosign/signature": "AA=="}});
    let file = [&b"\0sigstore-json\n"[..], payload.to_string().as_bytes()].concat();
    fs_err::write(home.path("work/signed/signature-1"), file).unwrap();
    let words = ["copy", "dir:signed", &name("ns/signed:1")];
    let run = at_home(&home, &words).failure(1);
    assert!(fatal(&run).contains("unsupported signature format sigstore-json"), "{run}");

    home.write("home/.kube/config", "users: [secret-of-a-kubeconfig]");
    let run = at_home(&home, &["inspect", &name("ns/app:1")]).failure(1);
    assert!(fatal(&run).contains("this is not a kubeconfig"), "{run}");
    assert!(!run.stderr.contains("secret-of-a-kubeconfig"), "{run}");
}

/// It answers addresses that it does not know in one of two ways.
#[test]
fn openshift_4_is_reached_as_any_other_registry() {
    let registry = Registry::start();
    Image::new(1).push(&registry, "ns/app:1");
    let status = json!({"kind": "Status", "status": "Failure", "code": 404,
        "message": "the server could not find the requested resource"});
    for (body, sentence) in [
        (
            "404 page not found\n".to_owned(),
            "HTTP error: status code: 404 (Not Found), body: 404 page not found",
        ),
        (status.to_string(), "the server could not find the requested resource"),
    ] {
        let api =
            Script::start(move |_, stream| respond(stream, "404 Not Found", &[], body.as_bytes()));
        let home = plain(&registry, &api.host());
        let name = format!("atomic:{}/ns/app:1", registry.host());
        let run = at_home(&home, &["inspect", &name]).failure(1);
        assert!(fatal(&run).ends_with(sentence), "{run}");
        assert!(hint(&run).ends_with(&registry.docker("ns/app:1")), "{run}");
        assert!(api.asked().iter().all(|ask| ask.header("authorization").is_empty()));
    }
}

#[test]
fn an_api_that_lies_is_told_from_one_that_does_not() {
    let registry = Registry::start();
    Image::new(1).push(&registry, "ns/app:1");
    let digest = {
        let run = at_home(
            &plain(&registry, "127.0.0.1:1"),
            &["inspect", "--format", "{{.Digest}}", &registry.docker("ns/app:1")],
        );
        run.success().stdout.trim().to_owned()
    };
    let stream = |reference: &str, image: &str| {
        json!({"status": {"tags": [{"tag": "1", "items": [
            {"dockerImageReference": reference, "image": image}]}]}})
        .to_string()
    };
    let good = format!("x/ns/app@{digest}");
    let signed = |content: &str| {
        json!({"image": {"signatures": [{"type": "atomic", "content": content}]}}).to_string()
    };
    let none = json!({"image": {}}).to_string();
    let deep = "[".repeat(1 << 20);
    let huge = format!("{{\"status\": \"{}\"}}", "x".repeat(5 << 20));
    let many = format!("{{\"a\": [{}1]}}", "1,".repeat(1 << 20));
    for (stream, image, sentence) in [
        ("no JSON".to_owned(), &none, "reading the answer of OpenShift's API"),
        (deep, &none, "reading the answer of OpenShift's API"),
        (huge, &none, "the answer is longer than"),
        (many, &none, "reading the answer of OpenShift's API"),
        ("{}".to_owned(), &none, "No matching tag found"),
        ("{\"status\": {\"tags\": null}}".to_owned(), &none, "No matching tag found"),
        (stream("nothing", &digest), &none, "Invalid format of docker reference \"nothing\""),
        (stream("x/../../etc:1", &digest), &none, "invalid reference format"),
        (stream("x/ns/app@sha256:1", &digest), &none, "invalid reference format"),
        (stream(&good, "../../../v2/_catalog"), &none, "unexpected digest reference ../../.."),
        (stream(&good, "\u{1b}[2J"), &none, "unexpected digest reference \\u{1b}[2J"),
        (stream(&good, &digest), &signed("no base64!"), "reading the answer of OpenShift's API"),
        (stream(&good, &digest), &"[]".to_owned(), "reading the answer of OpenShift's API"),
    ] {
        let image = image.clone();
        let api = Script::start(move |ask, out| {
            let body = if ask.target.contains("/imagestreams/") { &stream } else { &image };
            respond(out, "200 OK", &["Content-Type: application/json"], body.as_bytes())
        });
        let home = plain(&registry, &api.host());
        let name = format!("atomic:{}/ns/app:1", registry.host());
        let run = at_home(&home, &["inspect", "--signatures", &name]);
        assert_ne!(run.code, Some(0), "{sentence}: {run}");
        assert!(run.code.is_some_and(|code| code < 100), "{run}");
        assert!(fatal(&run).contains(sentence), "{sentence}: {run}");
        assert!(!run.stderr.contains('\u{1b}'), "{run}");
        let asked = api.asked();
        assert!(asked.iter().all(|ask| !ask.target.contains("..")), "{asked:?}");
    }
    // What is said of an error is said within limits, and without what moves the cursor.
    let api = Script::start(|_, out| -> io::Result<()> {
        let body = format!("\u{1b}[2J{}", "x".repeat(1 << 20));
        respond(out, "403 Forbidden", &[], body.as_bytes())
    });
    let home = plain(&registry, &api.host());
    let name = format!("atomic:{}/ns/app:1", registry.host());
    let run = at_home(&home, &["inspect", &name]).failure(1);
    assert!(run.stderr.len() < 4096 && !run.stderr.contains('\u{1b}'), "{run}");
    // An image that is not the one that was promised is refused: its digest is in the reference.
    let other = json!({"status": {"tags": [{"tag": "1", "items": [
        {"dockerImageReference": format!("x/ns/app@sha256:{}", "0".repeat(64)), "image": digest}
    ]}]}});
    let other: Value = other;
    let api =
        Script::start(move |_, out| respond(out, "200 OK", &[], other.to_string().as_bytes()));
    let home = plain(&registry, &api.host());
    at_home(&home, &["inspect", &name]).failure(2);
}
