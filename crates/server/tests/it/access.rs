//! Who is let in, and what a read-only registry refuses.

use serde_json::{Value, json};
use skopeo_image::Digest;
use skopeo_server::{Access, Htpasswd, ServerOptions};

use crate::client::Server;

#[test]
fn htpasswd() {
    let folder = tempfile::tempdir().unwrap();
    // `htpasswd -nbBC 4 alice secret`
    let users = "alice:$2y$04$HASH\n".replace("$2y$04$HASH", &bcrypt::hash("secret", 4).unwrap());
    let mut options = ServerOptions::new(folder.path());
    options.access = Access::Basic(Htpasswd::parse(&users).unwrap());
    let server = Server::with(options);
    for (header, status) in [
        ("Basic YWxpY2U6c2VjcmV0", 200), // alice:secret
        ("basic YWxpY2U6c2VjcmV0", 200),
        ("Basic YWxpY2U6d3Jvbmc=", 401), // alice:wrong
        ("Basic !", 401),
        ("Bearer YWxpY2U6c2VjcmV0", 401),
    ] {
        let reply = server.send("GET", "/v2/", &[("Authorization", header)], b"");
        assert_eq!(reply.status, status, "{header}");
    }
    let reply = server.send("POST", "/v2/a/blobs/uploads/", &[], &vec![0; 900_000]);
    assert_eq!((reply.status, reply.code()), (401, "UNAUTHORIZED".into()));
    assert_eq!(reply.header("www-authenticate"), "Basic realm=\"skopeo\"");
    // As distribution's registry says it: older clients tell their users no more without.
    let access =
        |kind, name, action| json!({"Type": kind, "Class": "", "Name": name, "Action": action});
    for (method, path, detail) in [
        ("GET", "/v2/", Value::Null),
        ("GET", "/v2/_catalog", json!([access("registry", "catalog", "*")])),
        ("GET", "/v2/a/b/tags/list", json!([access("repository", "a/b", "pull")])),
        (
            "PUT",
            "/v2/a/manifests/x",
            json!([access("repository", "a", "pull"), access("repository", "a", "push")]),
        ),
        ("DELETE", "/v2/a/manifests/x", json!([access("repository", "a", "delete")])),
    ] {
        let body: Value = serde_json::from_slice(&server.ask(method, path).body).unwrap();
        assert_eq!(body["errors"][0]["detail"], detail, "{method} {path}");
    }
}

#[test]
fn read_only_serves_and_changes_nothing() {
    let server = Server::new();
    server.push_image("a", "v1", b"layer");
    let mut options = ServerOptions::new(&server.root);
    options.read_only = true;
    let reader = Server::with(options);
    assert_eq!(reader.ask("GET", "/v2/a/manifests/v1").status, 200);
    let digest = Digest::sha256(b"layer");
    for (method, path) in [
        ("POST", "/v2/a/blobs/uploads/".into()),
        ("PUT", "/v2/a/manifests/v2".into()),
        ("DELETE", "/v2/a/manifests/v1".into()),
        ("DELETE", format!("/v2/a/blobs/{digest}")),
        ("POST", format!("/v2/b/blobs/uploads/?mount={digest}&from=a")),
    ] {
        let path: String = path;
        let reply = reader.ask(method, &path);
        assert_eq!((reply.status, reply.code()), (405, "UNSUPPORTED".into()), "{method} {path}");
    }
    assert!(!server.root.join("b").exists());
}
