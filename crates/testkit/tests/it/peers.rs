//! Registries and programs of others.

use skopeo_testkit::run::original;
use skopeo_testkit::twin::{Twin, differences, tree};
use skopeo_testkit::{Home, Image, Registry, TokenAuth, run, skip};

#[test]
fn the_real_registry_takes_our_tokens() {
    let auth = TokenAuth::new().user("alice", "secret");
    let Some(real) = Registry::builder().tls().token_auth(auth).start_real() else {
        skip!("docker-registry is not installed")
    };
    let Some(skopeo) = original() else { skip!("skopeo is not installed") };
    let home = Home::new();
    home.write("work/certs/ca.crt", real.ca());
    Image::new(1).write_oci(&home.path("work/image"), Some("v1"));
    let (from, to) = (format!("oci:{}:v1", home.work("image")), real.docker("a/b:v1"));
    let push = |more: &[&str]| {
        let fixed = ["--insecure-policy", "copy", "--dest-cert-dir", "certs", &from, &to];
        run(&home, &skopeo, &[&fixed, more].concat())
    };
    push(&[]).failure(1);
    push(&["--dest-creds", "alice:secret"]).success();
    let inspect = ["inspect", "--cert-dir", "certs", &to];
    assert_eq!(run(&home, &skopeo, &inspect).success().json()["RepoTags"][0], "v1");
    assert!(real.realm().tokens() > 1, "{}", real.log());
}

#[test]
fn the_real_registry_by_htpasswd() {
    let Some(real) = Registry::builder().htpasswd("alice", "secret").start_real() else {
        skip!("docker-registry is not installed")
    };
    let Some(skopeo) = original() else { skip!("skopeo is not installed") };
    let home = Home::new();
    let login = ["login", "--tls-verify=false", "-u", "alice", "-p"];
    let login = |password| run(&home, &skopeo, &[&login[..], &[password, &real.host()]].concat());
    login("wrong").failure(1);
    login("secret").success();
    assert!(home.auth_file().is_file());
}

#[test]
fn twins_are_compared() {
    let Some(skopeo) = original() else { skip!("skopeo is not installed") };
    let twin = Twin::new(skopeo).unwrap();
    twin.prepare(|home| Image::new(1).write_oci(&home.path("work/image"), Some("v1")));
    let copy = ["--insecure-policy", "copy", "oci:{work}/image:v1", "dir:{work}/out"];
    twin.run(&copy).success().assert_same();
    twin.assert_same_tree("out");
    twin.run(&["inspect", "oci:{work}/image:v1"]).assert_same_json();
    twin.run(&["inspect", "dir:{work}/nothing"]).assert_same();

    let out = twin.ours().home.path("work/out");
    let before = tree(&out);
    fs_err::write(out.join("version"), "another").unwrap();
    fs_err::create_dir(out.join("empty")).unwrap();
    let found = differences(&before, &tree(&out));
    assert_eq!(found.len(), 2, "{found:?}");
}
