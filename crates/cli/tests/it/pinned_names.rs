//! `NAME:TAG@DIGEST`: the digest says which image is meant, the tag what it is called.

use skopeo_image::Digest;
use skopeo_testkit::{Home, Image, Registry};

use crate::stage::{home, sentence, skopeo};

/// A registry whose tag `v1` has moved from the first image to the second, which are both there.
fn moved() -> (Registry, Home, [Digest; 2]) {
    let registry = Registry::start();
    let (first, second) = (Image::new(1), Image::new(2));
    first.push(&registry, "lib/app:v1");
    second.push(&registry, "lib/app:v1");
    let home = home(&[&registry.host()]);
    (registry, home, [first.digest(), second.digest()])
}

const ELSEWHERE: &str = "leads to";

#[test]
fn inspect_takes_the_digest_and_says_if_the_tag_moved() {
    let (registry, home, [first, second]) = moved();
    for (digest, told) in [(&first, true), (&second, false)] {
        let name = format!("{}@{digest}", registry.docker("lib/app:v1"));
        let run = skopeo(&home, &["inspect", "--no-tags", &name]).success();
        assert_eq!(run.json()["Digest"], digest.as_str());
        assert_eq!(run.stderr.contains(ELSEWHERE), told, "{run}");
        assert_eq!(run.stderr.contains(second.as_str()), told, "{run}");
    }
    let gone = format!("{}@{first}", registry.docker("lib/app:gone"));
    let run = skopeo(&home, &["inspect", "--no-tags", &gone]).success();
    assert!(run.stderr.contains("lib/app:gone no longer exists"), "{run}");
    let none = format!("{}@{}", registry.docker("lib/app:v1"), Digest::sha256(b""));
    assert_eq!(skopeo(&home, &["inspect", "--no-tags", &none]).code, Some(2));
}

#[test]
fn copy_asks_nothing_of_the_tag_when_it_is_to_be_quiet() {
    let (registry, home, [first, _]) = moved();
    let name = format!("{}@{first}", registry.docker("lib/app:v1"));
    registry.forget_requests();
    let run = skopeo(&home, &["copy", "-q", &name, "dir:quiet"]).success();
    assert_eq!(run.stderr, "");
    assert!(registry.lines().iter().all(|line| !line.contains("/manifests/v1")), "{run}");
    let run = skopeo(&home, &["copy", &name, "dir:loud"]).success();
    assert!(run.stderr.contains(ELSEWHERE), "{run}");
    let asked = registry.lines();
    let asked: Vec<_> = asked.iter().filter(|it| it.contains("/manifests/v1")).collect();
    assert_eq!(asked, ["HEAD /v2/lib/app/manifests/v1"]);
}

#[test]
fn a_destination_gets_the_tag_if_the_image_has_the_digest() {
    let (registry, home, [first, second]) = moved();
    let from = format!("{}@{first}", registry.docker("lib/app:v1"));
    let to = format!("{}@{first}", registry.docker("to/app:v2"));
    skopeo(&home, &["copy", &from, &to]).success();
    let run = skopeo(&home, &["inspect", &registry.docker("to/app:v2")]).success();
    assert_eq!(run.json()["Digest"], first.as_str());
    // What is there under its digest only still gets the tag.
    let again = format!("{}@{first}", registry.docker("to/app:v3"));
    skopeo(&home, &["copy", &from, &again]).success();
    let run = skopeo(&home, &["list-tags", &registry.docker("to/app")]).success();
    assert_eq!(run.json()["Tags"], serde_json::json!(["v2", "v3"]));
    // Any other image is refused, before anything is written.
    registry.forget_requests();
    let other = format!("{}@{second}", registry.docker("to/app:v4"));
    let run = skopeo(&home, &["copy", &from, &other]);
    let said = sentence(&run);
    let sentence = "would not match destination reference";
    assert!(said.contains(sentence), "{said}");
    assert!(registry.lines().iter().all(|line| !line.starts_with("P")), "{:?}", registry.lines());
}

#[test]
fn delete_takes_the_digest() {
    let (registry, home, [first, second]) = moved();
    let name = format!("{}@{first}", registry.docker("lib/app:v1"));
    skopeo(&home, &["delete", &name]).success();
    let run = skopeo(&home, &["inspect", &registry.docker("lib/app:v1")]).success();
    assert_eq!(run.json()["Digest"], second.as_str());
}

#[test]
fn sync_keeps_the_tag_as_the_name() {
    let (registry, home, [first, _]) = moved();
    let host = registry.host();
    let pinned = format!("{host}/lib/app:v1@{first}");
    skopeo(&home, &["sync", "--src", "docker", "--dest", "dir", &pinned, "one"]).success();
    let read = |path: &str| fs_err::read(home.path("work").join(path)).unwrap();
    assert_eq!(Digest::sha256(&read("one/app:v1/manifest.json")), first);
    home.write("work/a.yaml", &format!("{host}:\n  images:\n    lib/app: [\"v1@{first}\"]\n"));
    skopeo(&home, &["sync", "--src", "yaml", "--dest", "dir", "a.yaml", "two"]).success();
    assert_eq!(Digest::sha256(&read("two/app:v1/manifest.json")), first);
    let two = format!(
        "version: 2\nimages:\n  - from: docker://{pinned}\n    into: dir:three\n  - from: \
         docker://{host}/lib/app\n    tags: [\"v1@{first}\"]\n    into: dir:four\n"
    );
    home.write("work/b.yaml", &two);
    skopeo(&home, &["sync", "--src", "yaml", "b.yaml"]).success();
    for folder in ["three", "four"] {
        assert_eq!(Digest::sha256(&read(&format!("{folder}/app:v1/manifest.json"))), first);
    }
    // And in a lock, which is kept to.
    let lock = ["sync", "--src", "docker", "--dest", "docker", "--lock", "lock.json"];
    let to = format!("{host}/mirror");
    skopeo(&home, &[&lock[..], &[&pinned, &to]].concat()).success();
    let run = skopeo(&home, &["inspect", &registry.docker("mirror/app:v1")]).success();
    assert_eq!(run.json()["Digest"], first.as_str());
    let locked = ["sync", "--src", "docker", "--dest", "docker", "--locked", "lock.json"];
    skopeo(&home, &[&locked[..], &[&pinned, &to]].concat()).success();
}
