//! podman as judge of signatures and policies: what we sign it pulls, what it signs we copy.

use serde_json::{Value, json};
use skopeo_testkit::{Gpg, Home, Image, Registry, Run, cannot, run, run::installed, skip};

use crate::program::{at_home, fatal};

/// podman with a store of its own.
fn podman(home: &Home, words: &[&str]) -> Option<Run> {
    let podman = installed("podman")?;
    let (root, runroot) = (home.work("store"), home.work("run"));
    let store =
        format!("[storage]\ndriver = \"vfs\"\ngraphroot = {root:?}\nrunroot = {runroot:?}\n");
    home.write("home/.config/containers/storage.conf", &store);
    Some(run(home, podman, words))
}

fn lookaside(home: &Home, more: &str) {
    let folder = home.path("lookaside").display().to_string();
    let text = format!("default-docker:\n  lookaside: file://{folder}\n{more}");
    home.registries_d("default", &text);
}

#[test]
fn podman_pulls_what_we_signed_and_we_copy_what_it_signed() {
    if installed("podman").is_none() {
        skip!("podman is not installed");
    }
    let registry = Registry::start();
    let home = Home::new();
    let Some(gpg) = Gpg::new(&home) else { skip!("no gpg is installed") };
    let key = gpg.key("one@example.com", "");
    let public = gpg.export(&key);
    home.insecure(&[&registry.host()]);
    lookaside(&home, "");
    let requirement = json!([{"type": "signedBy", "keyType": "GPGKeys", "keyPath": public}]);
    let policy = json!({"default": [{"type": "reject"}], "transports": {"docker": {
        (registry.host()): requirement, "example.com/x": [{"type": "insecureAcceptAnything"}],
    }, "containers-storage": {"": [{"type": "insecureAcceptAnything"}]}}});
    home.write("work/policy.json", &policy.to_string());
    let policy = home.work("policy.json");
    Image::new(1).push(&registry, "plain:1");
    let (from, to) = (registry.docker("plain:1"), registry.docker("signed:1"));
    at_home(&home, &["copy", "--sign-by", &key, &from, &to]).success();

    let pull = |name: &str| {
        let words = ["pull", "-q", "--tls-verify=false", "--signature-policy", &policy, name];
        podman(&home, &words).unwrap()
    };
    pull(&to).success();
    let unsigned = pull(&from).failure(125);
    let sentence = "Source image rejected: A signature was required, but no signature exists";
    assert!(unsigned.stderr.contains(sentence), "{unsigned}");
    // Under another name, with the very signature of this one.
    let other = registry.docker("other:1");
    at_home(&home, &["copy", &to, &other]).success();
    let identity = to.strip_prefix("docker://").unwrap();
    let sentence = format!("Signature for identity {identity} is not accepted");
    let (theirs, ours) = (
        pull(&other).failure(125),
        at_home(&home, &["--policy", &policy, "copy", &other, "dir:x"]).failure(1),
    );
    for said in [theirs.stderr.replace(['"', '\\'], ""), fatal(&ours).replace(['"', '\\'], "")] {
        assert!(said.contains(&sentence), "{said}");
    }

    // The other way round.
    let pushed = registry.docker("pushed:1");
    let words = ["push", "-q", "--tls-verify=false", "--remove-signatures", "--sign-by", &key];
    let image = to.strip_prefix("docker://").unwrap();
    let push = podman(&home, &[&words[..], &[image, &pushed]].concat()).unwrap();
    push.success();
    at_home(&home, &["--policy", &policy, "copy", &pushed, "dir:d"]).success();

    // What it shows of the policy is what we find in it.
    let registries_d = home.path("home/.config/containers/registries.d").display().to_string();
    let show = ["image", "trust", "show", "--json", "--policypath", &policy];
    let show = [&show[..], &["--registrypath", &registries_d]].concat();
    let shown = podman(&home, &show).unwrap().success().json();
    let kinds: Vec<(&str, &str)> = shown
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["repo_name"].as_str().unwrap_or_default(), row["type"].as_str().unwrap()))
        .collect();
    let host = registry.host();
    for expected in [("default", "reject"), (&*host, "signed"), ("example.com/x", "accept")] {
        let same = |(name, kind): &(&str, &str)| {
            *name == expected.0 && kind.to_lowercase().starts_with(expected.1)
        };
        assert!(kinds.iter().any(same), "{expected:?} {shown}");
    }
}

#[test]
fn podman_pulls_what_we_signed_in_the_form_of_sigstore() {
    if installed("podman").is_none() {
        skip!("podman is not installed");
    }
    let registry = Registry::start();
    let home = Home::new();
    home.insecure(&[&registry.host()]);
    lookaside(&home, "  use-sigstore-attachments: true\n");
    home.write("work/pass", "secret\n");
    let words = ["generate-sigstore-key", "--output-prefix", "key", "--passphrase-file", "pass"];
    at_home(&home, &words).success();
    Image::new(1).push(&registry, "plain:1");
    let (from, to) = (registry.docker("plain:1"), registry.docker("signed:1"));
    let sign = ["copy", "--sign-by-sigstore-private-key", "key.private"];
    at_home(&home, &[&sign[..], &["--sign-passphrase-file", "pass", &from, &to]].concat())
        .success();
    let policy: Value = json!({"default": [{
        "type": "sigstoreSigned", "keyPath": home.work("key.pub"),
    }]});
    home.write("work/policy.json", &policy.to_string());
    let policy = home.work("policy.json");
    at_home(&home, &["--policy", &policy, "copy", &to, "dir:d"]).success();
    let words = ["pull", "-q", "--tls-verify=false", "--signature-policy", &policy, &to];
    let pulled = podman(&home, &words).unwrap();
    if pulled.stderr.contains("sigstore disabled") {
        cannot!("this build of podman judges nothing in the form of sigstore: no judge");
    }
    pulled.success();
    let words = ["pull", "-q", "--tls-verify=false", "--signature-policy", &policy, &from];
    let unsigned = podman(&home, &words).unwrap().failure(125);
    assert!(unsigned.stderr.contains("A signature was required"), "{unsigned}");
}
