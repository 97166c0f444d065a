//! Access, as the installed original sees it.

use std::io::{Read, Write};
use std::net::TcpStream;

use skopeo_testkit::run::original;
use skopeo_testkit::{Home, Image, Registry, Run, TokenAuth, run, skip};

/// A GET; its status and body.
fn get(registry: &Registry, target: &str, authorization: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(registry.address()).unwrap();
    let host = registry.host();
    let more = if authorization.is_empty() {
        String::new()
    } else {
        format!("Authorization: {authorization}\r\n")
    };
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n")
        .unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).unwrap();
    (all[9..12].parse().unwrap(), all)
}

#[test]
fn tokens_expire_when_they_should() {
    let auth = TokenAuth::new().uses(2).expires_in(Some(60));
    let registry = Registry::builder().token_auth(auth).start();
    Image::new(1).push(&registry, "a/b:v1");
    let manifest = "/v2/a/b/manifests/v1";
    let (status, answer) = get(&registry, manifest, "");
    assert!(status == 401 && answer.contains("scope=\"repository:a/b:pull\""), "{answer}");
    let token = |scope: &str| {
        let (status, answer) = get(&registry, &format!("/token?service=testkit&scope={scope}"), "");
        assert!(status == 200 && answer.contains("\"expires_in\":60"), "{answer}");
        let at = answer.find("\"token\":\"").unwrap() + 9;
        format!("Bearer {}", answer[at..].split('"').next().unwrap())
    };
    let good = token("repository:a/b:pull,push");
    for expected in [200, 200, 401] {
        assert_eq!(get(&registry, manifest, &good).0, expected);
    }
    let revoked = token("repository%3Aa%2Fb%3Apull");
    registry.revoke_tokens();
    let (status, answer) = get(&registry, manifest, &revoked);
    assert!(status == 401 && answer.contains("invalid_token"), "{answer}");
    let other = token("repository:other:pull");
    let (status, answer) = get(&registry, manifest, &other);
    assert!(status == 401 && answer.contains("insufficient_scope"), "{answer}");
    assert_eq!(registry.tokens(), 3);
    let auth = TokenAuth::new().lasts(std::time::Duration::ZERO);
    let registry = Registry::builder().token_auth(auth).start();
    let (_, answer) = get(&registry, "/token?scope=repository:a/b:pull", "");
    let at = answer.find("\"token\":\"").unwrap() + 9;
    let late = format!("Bearer {}", answer[at..].split('"').next().unwrap());
    let (status, answer) = get(&registry, manifest, &late);
    assert!(status == 401 && answer.contains("invalid_token"), "{answer}");
}

fn skopeo(home: &Home, arguments: &[&str]) -> Run {
    run(home, original().unwrap(), arguments)
}

#[test]
fn bearer() {
    let Some(_) = original() else { skip!("skopeo is not installed") };
    let auth = TokenAuth::new().user("alice", "secret");
    let registry = Registry::builder().tls().token_auth(auth).start();
    let image = Image::new(1);
    image.push(&registry, "a/b:v1");
    let home = Home::new();
    let certs = home.work("certs");
    home.write("work/certs/ca.crt", registry.ca());
    let name = registry.docker("a/b:v1");
    let source =
        ["--src-cert-dir", &certs, "--dest-cert-dir", &certs, "--dest-creds", "alice:secret"];
    let inspected = skopeo(&home, &["inspect", "--cert-dir", &certs, "--no-tags", &name]).success();
    assert_eq!(inspected.json()["Digest"], image.digest().as_str());
    let used = registry.tokens();
    assert!(used > 0);
    let to = registry.docker("c/d:v2");
    let copy = [["--insecure-policy", "copy"].as_slice(), &source, &[&name, &to]].concat();
    skopeo(&home, &copy).success();
    assert!(registry.tokens() > used);
    // Nobody may push without a password, or with a wrong one.
    let anonymous = [
        "--insecure-policy",
        "copy",
        "--src-cert-dir",
        &certs,
        "--dest-cert-dir",
        &certs,
        &name,
        &to,
    ];
    assert!(skopeo(&home, &anonymous).failure(1).stderr.contains("unauthorized"));
    let wrong =
        [["--insecure-policy", "copy"].as_slice(), &source[..5], &["alice:wrong", &name, &to]]
            .concat();
    assert!(skopeo(&home, &wrong).failure(1).stderr.contains("invalid username/password"));
}

#[test]
fn basic_by_http() {
    let Some(_) = original() else { skip!("skopeo is not installed") };
    let registry = Registry::builder().htpasswd("alice", "secret").start();
    let image = Image::platforms(2, 2);
    image.push(&registry, "list:v1");
    let home = Home::new();
    let name = registry.docker("list:v1");
    let inspect = ["inspect", "--raw", "--tls-verify=false", &name];
    skopeo(&home, &inspect).failure(1);
    home.auth(&registry.host(), "alice", "secret");
    let raw = skopeo(&home, &inspect).success().stdout;
    assert_eq!(raw.as_bytes(), image.manifest().bytes);
}
