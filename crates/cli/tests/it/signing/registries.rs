//! Signatures that a registry keeps.

use super::*;

/// OpenShift's registry: signatures of both programs, each judged by the other; lookaside storage
/// is not looked at.
#[test]
fn signatures_are_kept_by_the_registry_itself() {
    let Some(original) = original() else { skip!("no skopeo is installed") };
    let registry = Registry::builder().keeps_signatures().start();
    let home = Home::new();
    let Some(gpg) = Gpg::new(&home) else { skip!("no gpg is installed") };
    let key = gpg.key("one@example.com", "");
    let public = gpg.export(&key);
    home.insecure(&[&registry.host()]);
    lookaside(&home);
    Image::platforms(1, 2).push(&registry, "list:1");
    let from = registry.docker("list:1");
    let policy = signed_by(&home, &public, json!({"type": "matchExact"}));
    let puts = |registry: &Registry| {
        let lines = registry.lines();
        lines.iter().filter(|line| line.starts_with("PUT /extensions/v2/")).count()
    };
    for (signer, tag) in [(true, "ours"), (false, "theirs")] {
        let to = registry.docker(&format!("{tag}:1"));
        let words = ["copy", "--all", "--sign-by", &key, &from, &to];
        match signer {
            true => at_home(&home, &words).success(),
            false => run(&home, &original, &words).success(),
        };
        let copy = ["--policy", &policy, "copy", "--all", &to];
        at_home(&home, &[&copy[..], &[&format!("dir:{tag}-ours")]].concat()).success();
        run(&home, &original, &[&copy[..], &[&format!("dir:{tag}-theirs")]].concat()).success();
    }
    assert!(!home.path("lookaside").exists());
    assert_eq!(puts(&registry), 6, "two images and their list, twice");
    // The same signatures are not kept twice.
    let ours = registry.docker("ours:1");
    at_home(&home, &["copy", "--all", "dir:ours-ours", &ours]).success();
    assert_eq!(puts(&registry), 6);
    let unsigned = ["--policy", &policy, "copy", &from, "dir:none"];
    let sentence = "Source image rejected: A signature was required, but no signature exists";
    let refused = at_home(&home, &unsigned).failure(1);
    assert!(fatal(&refused).ends_with(sentence), "{refused}");

    // Trouble is no missing signature.
    registry.fault(Fault::status(On::anything().containing("/extensions/"), 500));
    let troubled = at_home(&home, &["--policy", &policy, "copy", &ours, "dir:trouble"]).failure(1);
    assert!(fatal(&troubled).contains("downloading signatures for sha256:"), "{troubled}");
    registry.mend();
    registry.fault(Fault::status(On::anything().containing("/extensions/").method("PUT"), 403));
    let sign = ["copy", "--sign-by", &key, &from, &registry.docker("new:1")];
    let troubled = at_home(&home, &sign).failure(1);
    let sentence = "writing signatures: uploading signature to sha256:";
    assert!(fatal(&troubled).contains(sentence), "{troubled}");
}

/// More signatures than anybody means, in the registry's own list as elsewhere.
#[test]
fn a_registry_that_keeps_too_many_signatures_is_refused() {
    use std::io::{Read as _, Write as _};
    let registry = Registry::builder().keeps_signatures().start();
    let home = Home::new();
    home.insecure(&[&registry.host()]);
    let image = Image::new(1);
    image.push(&registry, "a:1");
    let digest = image.digest();
    let keep = |first: usize, count: usize| {
        let mut stream = std::net::TcpStream::connect(registry.address()).unwrap();
        let mut answers = stream.try_clone().unwrap();
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            answers.read_to_string(&mut text).unwrap();
            text.matches("HTTP/1.1 201").count()
        });
        for number in first..first + count {
            let body = json!({"schemaVersion": 2, "name": format!("{digest}@{number:032x}"),
                "type": "atomic", "content": "AAAA"});
            let body = body.to_string();
            let end = if number + 1 == first + count { "Connection: close\r\n" } else { "" };
            write!(
                stream,
                "PUT /extensions/v2/a/signatures/{digest} HTTP/1.1\r\nHost: {}\r\n{end}\
                 Content-Length: {}\r\n\r\n{body}",
                registry.host(),
                body.len()
            )
            .unwrap();
        }
        assert_eq!(reader.join().unwrap(), count);
    };
    keep(0, 2048);
    at_home(&home, &["--insecure-policy", "copy", &registry.docker("a:1"), "dir:all"]).success();
    keep(2048, 1);
    let words = ["--insecure-policy", "copy", &registry.docker("a:1"), "dir:none"];
    let refused = at_home(&home, &words).failure(1);
    assert!(
        fatal(&refused).contains("the first 2049 signatures take more than 32 MiB"),
        "{refused}"
    );
}

#[test]
fn signatures_are_listed_with_what_the_policy_makes_of_them() {
    let registry = Registry::start();
    let home = Home::new();
    let Some(gpg) = Gpg::new(&home) else { skip!("no gpg is installed") };
    let (good, other) = (gpg.key("good@example.com", ""), gpg.key("other@example.com", ""));
    let public = gpg.export(&good);
    home.insecure(&[&registry.host()]);
    lookaside(&home);
    Image::platforms(1, 2).push(&registry, "a:1");
    let name = registry.docker("a:1");
    let plain = at_home(&home, &["inspect", "--signatures", &name]).success().json();
    assert_eq!(plain.as_array().unwrap().len(), 3);
    assert_eq!((&plain[0]["Accepted"], &plain[0]["Signatures"]), (&json!(true), &json!([])));
    for key in [&other, &good] {
        at_home(&home, &["copy", "--all", "--sign-by", key, &name, &name]).success();
    }
    let unasked = at_home(&home, &["inspect", "--signatures", &name]).success().json();
    assert_eq!(unasked[1]["Signatures"][0]["Accepted"], json!(null));
    let policy = signed_by(&home, &public, json!({"type": "matchExact"}));
    let listed = at_home(&home, &["--policy", &policy, "inspect", "--signatures", &name]);
    let listed = listed.success().json();
    for image in listed.as_array().unwrap() {
        let [first, second] = &image["Signatures"].as_array().unwrap()[..] else {
            panic!("{image}")
        };
        assert_eq!((&first["Accepted"], &second["Accepted"]), (&json!(false), &json!(true)));
        assert!(first["Reason"].as_str().unwrap().contains("Invalid GPG signature"), "{image}");
        assert_eq!(image["Accepted"], json!(true));
        let says = name.strip_prefix("docker://").unwrap();
        assert_eq!(first["UntrustedDockerReference"], says);
        assert_eq!(first["UntrustedDockerManifestDigest"], image["Digest"]);
        assert_eq!(second["UntrustedShortKeyIdentifier"], good[good.len() - 16..]);
    }
    for template in [
        "{{.Accepted}} {{len .Signatures}};",
        "{{range .}}{{.Accepted}} {{len .Signatures}};{{end}}",
    ] {
        let words = ["--policy", &policy, "inspect", "--signatures", "--format", template, &name];
        let shown = at_home(&home, &words).success().stdout.replace('\n', "");
        assert_eq!(shown, "true 2;true 2;true 2;", "{template}");
    }
    let refused = at_home(&home, &["inspect", "--signatures", "--raw", &name]).failure(1);
    assert!(fatal(&refused).starts_with("--signatures cannot be used together with --raw"));
}
