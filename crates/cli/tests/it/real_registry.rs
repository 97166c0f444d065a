//! Against distribution's own registry: plain, with TLS, with passwords, with tokens.

use std::process::{Child, Stdio};
use std::time::Duration;

use skopeo_testkit::run::{in_ci, installed};
use skopeo_testkit::{Certificate, Home, Image, Registry, TokenAuth, skip};

use crate::stage::{sentence, skopeo, whole_layout};

/// The registry, or the end of the test.
macro_rules! real {
    ($builder:expr) => {
        match $builder.start_real() {
            Some(registry) => registry,
            None => skip!("docker-registry is not installed"),
        }
    };
}

fn source(home: &Home) -> Image {
    let image = Image::builder(5).layers(3).layer_size(200_000).build();
    image.write_oci(&home.path("work/source"), Some("v1"));
    image
}

#[test]
fn plain() {
    let registry = real!(Registry::builder());
    let home = Home::new();
    home.insecure(&[&registry.host()]);
    let image = source(&home);
    let name = registry.docker("a/b:v1");
    skopeo(&home, &["copy", "oci:source:v1", &name]).success();
    skopeo(&home, &["copy", &name, &registry.docker("c/d:v1")]).success();
    skopeo(&home, &["copy", &name, &registry.docker("a/b:v2")]).success();
    let tags = skopeo(&home, &["list-tags", &registry.docker("a/b")]).success().json();
    assert_eq!(tags["Tags"], serde_json::json!(["v1", "v2"]));
    let inspected = skopeo(&home, &["inspect", &registry.docker("c/d:v1")]).success().json();
    assert_eq!(inspected["Digest"], image.digest().as_str());
    skopeo(&home, &["copy", &registry.docker("c/d:v1"), "oci:back:v1"]).success();
    assert_eq!(whole_layout(&home.path("work/back"))["v1"], image.digest());
    skopeo(&home, &["delete", &name]).success();
    skopeo(&home, &["inspect", &name]).failure(2);
    // Deleting goes by digest: the other tag of it is gone, too.
    skopeo(&home, &["inspect", &registry.docker("a/b:v2")]).failure(2);
    skopeo(&home, &["inspect", &registry.docker("c/d:v1")]).success();
    skopeo(&home, &["delete", &name]).failure(1);
}

#[test]
fn every_kind_of_image() {
    let registry = real!(Registry::builder());
    let home = Home::new();
    home.insecure(&[&registry.host()]);
    let list = Image::platforms(3, 3);
    list.write_oci(&home.path("work/source"), Some("list"));
    Image::builder(4)
        .artifact("application/x")
        .build()
        .write_oci(&home.path("work/source"), Some("artifact"));
    let big = Image::builder(6).layers(1).layer_size(24 << 20).build();
    big.write_oci(&home.path("work/source"), Some("big"));
    for (tag, all) in [("list", true), ("artifact", false), ("big", false)] {
        let name = registry.docker(&format!("kinds:{tag}"));
        let mut copy = vec!["copy", "-q"];
        copy.extend(all.then_some("--all"));
        let from = format!("oci:source:{tag}");
        skopeo(&home, &[&copy[..], &[&from, &name]].concat()).success();
        let back = format!("oci:back:{tag}");
        skopeo(&home, &[&copy[..], &[&name, &back]].concat()).success();
    }
    let (there, back) =
        (whole_layout(&home.path("work/source")), whole_layout(&home.path("work/back")));
    assert_eq!(there, back);
    // What is recoded has a digest that nobody knows before it was sent.
    let zstd = ["--dest-compress-format", "zstd", "--dest-force-compress-format"];
    let name = registry.docker("kinds:zstd");
    skopeo(&home, &["copy", zstd[0], zstd[1], zstd[2], "oci:source:big", &name]).success();
    let inspected = skopeo(&home, &["inspect", &name]).success().json();
    let media_type = inspected["LayersData"][0]["MIMEType"].as_str().unwrap().to_owned();
    assert!(media_type.ends_with("+zstd"), "{media_type}");
    skopeo(&home, &["copy", &name, "dir:zstd"]).success();
    let v2 = registry.docker("kinds:v2");
    skopeo(&home, &["copy", "--format", "v2s2", "oci:source:big", &v2]).success();
}

#[test]
fn certificates() {
    let registry = real!(Registry::builder().tls());
    let home = Home::new();
    source(&home);
    let name = registry.docker("a:1");
    let copy = |home: &Home, flags: &[&str]| {
        skopeo(home, &[&["copy", "-q"], flags, &["oci:source:v1", &name]].concat())
    };
    // Without its authority: which registry, why, and what can be done.
    let run = copy(&home, &[]);
    let said = sentence(&run);
    assert!(said.contains(&registry.host()), "{said}");
    assert!(said.contains("x509: certificate signed by unknown authority"), "{said}");
    let hint = run.stderr.lines().find(|line| line.starts_with("hint: ")).unwrap_or_default();
    for words in ["certs.d", "--dest-tls-verify=false", registry.host().as_str()] {
        assert!(hint.contains(words), "{hint}");
    }
    copy(&home, &["--dest-tls-verify=false"]).success();
    home.write("work/certs/ca.crt", registry.ca());
    copy(&home, &["--dest-cert-dir", "certs"]).success();
    home.write("work/empty/readme", "nothing");
    assert!(sentence(&copy(&home, &["--dest-cert-dir", "empty"])).contains("x509"));
    home.write("work/broken/ca.crt", "-----BEGIN CERTIFICATE-----\nnonsense\n");
    sentence(&copy(&home, &["--dest-cert-dir", "broken"]));
    home.certificate(&registry.host(), "ca.crt", registry.ca());
    copy(&home, &[]).success();
    skopeo(&home, &["inspect", &name]).success();
    // For another host, there is none.
    let other = name.replace("127.0.0.1", "localhost");
    assert!(sentence(&skopeo(&home, &["inspect", &other])).contains("x509"));
}

#[test]
fn passwords() {
    let registry = real!(Registry::builder().htpasswd("user", "p:ss word"));
    let home = Home::new();
    home.insecure(&[&registry.host()]);
    let image = source(&home);
    let (host, name) = (registry.host(), registry.docker("a:1"));
    let copy = |flags: &[&str]| {
        skopeo(&home, &[&["copy", "-q"], flags, &["oci:source:v1", &name]].concat())
    };
    let said = sentence(&copy(&[]));
    assert!(said.contains("authentication required"), "{said}");
    for creds in ["user:wrong", "other:p:ss word", "user:"] {
        let run = copy(&["--dest-creds", creds]).failure(1);
        assert!(sentence(&run).contains("authentication required"), "{run}");
        assert!(!run.stderr.contains("wrong"), "the password shows: {run}");
    }
    copy(&["--dest-creds", "user:p:ss word"]).success();
    copy(&["--dest-username", "user", "--dest-password", "p:ss word"]).success();
    let login = |password: &str| skopeo(&home, &["login", "-u", "user", "-p", password, &host]);
    let refused = login("wrong").failure(1);
    let said = sentence(&refused);
    assert!(said.contains("invalid username/password"), "{said}");
    assert!(!home.auth_file().exists());
    assert_eq!(login("p:ss word").success().stdout, "Login Succeeded!\n");
    let inspected = skopeo(&home, &["inspect", &name]).success().json();
    assert_eq!(inspected["Digest"], image.digest().as_str());
    skopeo(&home, &["inspect", "--no-creds", &name]).failure(1);
    let told = skopeo(&home, &["login", "--get-login", &host]).success();
    assert_eq!(told.stdout, "user\n");
    skopeo(&home, &["delete", &name]).success();
    skopeo(&home, &["logout", &host]).success();
    skopeo(&home, &["list-tags", &registry.docker("a")]).failure(1);
}

#[test]
fn tokens() {
    let auth = TokenAuth::new().user("user", "secret").identity_token("identity");
    let registry = real!(Registry::builder().token_auth(auth));
    let home = Home::new();
    let realm = registry.realm();
    home.insecure(&[&registry.host()]);
    let image = source(&home);
    let name = registry.docker("a/b:1");
    let refused = skopeo(&home, &["copy", "oci:source:v1", &name]).failure(1);
    let said = sentence(&refused);
    assert!(said.contains("denied") || said.contains("authentication required"), "{said}");
    let wrong = skopeo(&home, &["copy", "--dest-creds", "user:x", "oci:source:v1", &name]);
    let said = sentence(&wrong.failure(1));
    assert!(said.contains("unauthorized") || said.contains("authentication required"), "{said}");
    let creds = ["--dest-creds", "user:secret"];
    skopeo(&home, &["copy", creds[0], creds[1], "oci:source:v1", &name]).success();
    let before = realm.tokens();
    skopeo(&home, &["copy", &name, "oci:back:v1"]).success();
    assert_eq!(whole_layout(&home.path("work/back"))["v1"], image.digest());
    assert_eq!(realm.tokens() - before, 1, "one token for one repository");
    let host = registry.host();
    skopeo(&home, &["login", "-u", "user", "-p", "wrong", &host]).failure(1);
    skopeo(&home, &["login", "-u", "user", "-p", "secret", &host]).success();
    skopeo(&home, &["copy", &name, &registry.docker("c/d:1")]).success();
    skopeo(&home, &["delete", &name]).success();
    let tags = skopeo(&home, &["list-tags", &registry.docker("c/d")]).success().json();
    assert_eq!(tags["Tags"], serde_json::json!(["1"]));
    // An identity token, as `docker login` leaves it for some registries.
    let auths = serde_json::json!({"auths": {host.as_str(): {"auth": "PHRva2VuPjo=", "identitytoken": "identity"}}});
    home.write("work/identity.json", &auths.to_string());
    let authfile = ["--dest-authfile", "identity.json"];
    skopeo(&home, &["copy", authfile[0], authfile[1], "oci:source:v1", &registry.docker("e:1")])
        .success();
}

/// `openssl s_server` and its like make certificates that are authority and server at once: given
/// as trust anchor, such a one is good.
#[test]
fn self_signed_certificates_and_certificates_of_clients() {
    let Some(openssl) = installed("openssl") else { skip!("openssl is not installed") };
    let home = Home::new();
    let server = Certificate::self_signed(&["127.0.0.1"]);
    let client = Certificate::new(&["client"]);
    home.write("work/server.pem", &server.certificate);
    home.write("work/server.key", &server.key);
    home.write("work/client-ca.pem", &client.ca);
    // Any answer will do: what counts is whether one comes.
    home.write("work/v2/a/manifests/1", "{}");
    for wants_client in [false, true] {
        let port = free_port();
        let accept = format!("127.0.0.1:{port}");
        let mut command = home.command(&openssl);
        command.args(["s_server", "-accept", &accept, "-HTTP", "-quiet"]);
        command.args(["-cert", "server.pem", "-key", "server.key"]);
        if wants_client {
            command.args(["-Verify", "1", "-verify_return_error", "-CAfile", "client-ca.pem"]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let _server = Ends(command.spawn().unwrap());
        wait_for(port);
        let folder = format!("certs-{wants_client}");
        let name = format!("docker://{accept}/a:1");
        let inspect = || skopeo(&home, &["inspect", "--raw", "--cert-dir", &folder, &name]);
        home.write(&format!("work/{folder}/readme"), "");
        let run = inspect();
        assert!(sentence(&run).contains("x509"), "{run}");
        home.write(&format!("work/{folder}/ca.crt"), &server.ca);
        if wants_client {
            let run = inspect();
            assert!(sentence(&run).contains("tls"), "{run}");
            home.write(&format!("work/{folder}/client.cert"), &client.certificate);
            let run = inspect();
            assert!(sentence(&run).contains("missing key"), "{run}");
            home.write(&format!("work/{folder}/client.key"), &client.key);
        }
        let run = inspect();
        assert!(
            run.code == Some(0) || !sentence(&run).contains("x509") && !run.stderr.contains("tls:"),
            "{run}"
        );
    }
    assert!(!in_ci() || openssl.exists());
}

/// A child that ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn wait_for(port: u16) {
    for _ in 0..500 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("nobody listens on {port}");
}
