//! The command lines of the field's tutorials, word for word but for the registries' names.

use skopeo_testkit::{Home, Image, Registry, run::installed, skip};

use crate::program::at_home;
use crate::stage::whole_layout;
use crate::sync_stage::whole_registry;

/// Two registries, one open and one for `user` with the password `token`, and images to move.
fn field() -> (Home, Registry, Registry) {
    let home = Home::new();
    let open = Registry::start();
    let guarded = Registry::builder().htpasswd("user", "token").start();
    for name in ["library/nginx:latest", "library/centos:8", "centos:7.5.1804", "test/buildah:v1"] {
        Image::new(1).push(&open, name);
    }
    (home, open, guarded)
}

#[track_caller]
fn say(home: &Home, line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[0], "skopeo");
    at_home(home, &words[1..]).success().stdout
}

#[test]
fn copies_between_registries() {
    let (home, open, guarded) = field();
    let (o, g) = (open.host(), guarded.host());
    say(
        &home,
        &format!(
            "skopeo copy --src-tls-verify=false --dest-tls-verify=false docker://{o}/test/buildah:v1 \
             docker://{o}/test/buildah-stable"
        ),
    );
    home.insecure(&[&o, &g]);
    say(
        &home,
        &format!(
            "skopeo copy docker://{o}/library/nginx docker://{g}/pichuang/nginx --dest-creds user:token"
        ),
    );
    home.write(
        "work/gitlab-auth.json",
        &format!("{{\"auths\":{{\"{g}\":{{\"auth\":\"dXNlcjp0b2tlbg==\"}}}}}}"),
    );
    say(
        &home,
        &format!(
            "skopeo copy --dest-authfile=./gitlab-auth.json docker://{o}/library/centos:8 \
             docker://{g}/u/test:v1"
        ),
    );
    let image = Image::new(1).digest().to_string();
    let there = [("pichuang/nginx:latest", &image), ("u/test:v1", &image)];
    let there = there.map(|(name, digest)| (name.to_owned(), digest.clone()));
    assert_eq!(whole_registry(guarded.root()), there.into());
    assert_eq!(whole_registry(open.root())["test/buildah-stable:latest"], image);
}

#[test]
fn copies_through_a_layout() {
    let (home, open, guarded) = field();
    let (o, g) = (open.host(), guarded.host());
    home.insecure(&[&o, &g]);
    say(&home, &format!("skopeo copy docker://{o}/centos:7.5.1804 oci:./target:centos:7.5.1804"));
    say(&home, &format!("skopeo copy docker://{o}/library/centos:8 oci:./target:centos:7"));
    let image = Image::new(1).digest();
    let names = ["centos:7", "centos:7.5.1804"].map(|name| (name.to_owned(), image.clone()));
    assert_eq!(whole_layout(&home.path("work/target")), names.into());
    assert!(say(&home, "skopeo inspect oci:./target:centos:7").contains(image.as_str()));
    say(
        &home,
        &format!(
            "skopeo copy --dest-creds=user:token oci:./target:centos:7.5.1804 \
             docker://{g}/my-images/rhel7:7.5"
        ),
    );
    let line = format!("skopeo inspect --creds=user:token docker://{g}/my-images/rhel7:7.5");
    assert!(say(&home, &line).contains(image.as_str()));
    assert_eq!(whole_registry(guarded.root()).len(), 1);
}

#[test]
fn lists_tags_into_a_pipe() {
    let (home, open, _guarded) = field();
    Image::new(2).push(&open, "test/buildah:v1.10");
    Image::new(3).push(&open, "test/buildah:v1.9");
    let line = format!("skopeo list-tags --tls-verify=false docker://{}/test/buildah", open.host());
    assert!(say(&home, &line).contains("\"v1.10\""));
    if installed("jq").is_none() {
        skip!("jq is not installed");
    }
    let program = env!("CARGO_BIN_EXE_skopeo");
    let pipe = format!("{program} {} | jq -r '.Tags[]' | sort -V", &line["skopeo ".len()..]);
    let piped = home.command("sh").args(["-c", &pipe]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&piped.stdout), "v1\nv1.9\nv1.10\n");
}

#[test]
fn credentials_lie_where_docker_keeps_them() {
    let (home, open, guarded) = field();
    let (o, g) = (open.host(), guarded.host());
    home.insecure(&[&o, &g]);
    let copy = format!("skopeo copy docker://{o}/library/nginx docker://{g}/a:1");
    home.docker_auth(&g, "user", "token");
    say(&home, &copy);
    home.docker_auth(&format!("https://{g}/v1/"), "user", "token");
    say(&home, &copy);
    home.docker_auth("elsewhere.example", "user", "token");
    let refused = at_home(&home, &["inspect", &format!("docker://{g}/a:1")]).failure(1);
    assert!(refused.stderr.contains("authentication required"), "{refused}");
}

#[test]
fn an_unknown_certificate_says_what_to_do() {
    let home = Home::new();
    let registry = Registry::builder().tls().start();
    Image::new(1).push(&registry, "a:1");
    let name = registry.docker("a:1");
    let run = at_home(&home, &["inspect", &name]).failure(1);
    assert!(run.stderr.contains(&registry.host()), "{run}");
    let hint = run.stderr.lines().find(|line| line.starts_with("hint: ")).unwrap_or_default();
    assert!(hint.contains("certs.d") && hint.contains("--tls-verify=false"), "{run}");
    home.write("work/certs/ca.crt", registry.ca());
    at_home(&home, &["inspect", "--cert-dir", "certs", &name]).success();
    home.certificate(&registry.host(), "ca.crt", registry.ca());
    at_home(&home, &["inspect", &name]).success();
}

#[test]
fn syncs_repositories_and_folders() {
    let (home, open, guarded) = field();
    let (o, g) = (open.host(), guarded.host());
    home.insecure(&[&o, &g]);
    let auths = format!("{{\"auths\":{{\"{g}\":{{\"auth\":\"dXNlcjp0b2tlbg==\"}}}}}}");
    home.write("work/gitlab-auth.json", &auths);
    home.write("work/auth.json", &auths);
    for line in [
        format!(
            "skopeo sync --dest-creds user:token --src docker --dest docker {o}/test/buildah {g}/sensilabs"
        ),
        format!(
            "skopeo sync --src-creds user:token --src docker --dest dir {g}/sensilabs/buildah ./dockersync"
        ),
        format!(
            "skopeo sync --dest-creds user:token --src dir --dest docker ./dockersync/ {g}/u/ssorder"
        ),
        format!(
            "skopeo sync --src docker --dest dir --scoped {o}/test/buildah registry.svc.local/staging"
        ),
        format!(
            "skopeo sync --dest-authfile=./gitlab-auth.json --src docker --dest docker {o}/centos {g}/u/skopeo-test"
        ),
        format!(
            "skopeo sync --prepend-image-suffix proj- --src docker --dest docker --dest-authfile ./auth.json {o}/test/buildah {g}/u"
        ),
    ] {
        say(&home, &line);
    }
    home.auth(&g, "user", "token");
    for name in ["u/ssorder/buildah:v1", "u/skopeo-test/centos:7.5.1804", "u/proj-buildah:v1"] {
        at_home(&home, &["inspect", &guarded.docker(name)]).success();
    }
    let scoped = format!("work/registry.svc.local/staging/{o}/test/buildah:v1/manifest.json");
    assert!(home.path(scoped).exists());
}
