//! Browsers: what is stored here is never a page, and no page changes what is stored.

use std::io::{Read, Write};

use skopeo_image::Digest;
use skopeo_server::{Hosts, ServerOptions};

use crate::client::{OCI_INDEX, OCI_MANIFEST, Reply, Server, image, index};

const CSP: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";

fn is_sealed(reply: &Reply, what: &str) {
    assert_eq!(reply.header("x-content-type-options"), "nosniff", "{what}");
    assert_eq!(reply.header("content-security-policy"), CSP, "{what}");
}

#[test]
fn no_answer_is_a_page() {
    let server = Server::new();
    let html = b"<script>alert(1)</script>";
    let digest = server.push_blob("a", html);
    server.push_image("a", "v1", html);
    for (method, path, content_type) in [
        ("GET", "/v2/".to_owned(), "application/json"),
        ("GET", "/healthz".into(), "application/json"),
        ("GET", "/v2/_catalog".into(), "application/json"),
        ("GET", "/v2/a/tags/list".into(), "application/json"),
        ("GET", format!("/v2/a/blobs/{digest}"), "application/octet-stream"),
        ("HEAD", format!("/v2/a/blobs/{digest}"), "application/octet-stream"),
        ("GET", "/v2/a/manifests/v1".into(), OCI_MANIFEST),
        ("GET", format!("/v2/a/referrers/{digest}"), OCI_INDEX),
        ("GET", "/v2/a/manifests/%3Cscript%3E".into(), "application/json"),
        ("GET", "/%3Cscript%3Ealert(1)%3C/script%3E".into(), "application/json"),
        ("GET", "/v2/a/blobs/uploads/x".into(), "application/json"),
        ("TRACE", "/v2/".into(), "application/json"),
    ] {
        let reply = server.ask(method, &path);
        is_sealed(&reply, &path);
        assert_eq!(reply.header("content-type"), content_type, "{method} {path}");
    }
    for (method, path) in [("POST", "/v2/a/blobs/uploads/"), ("DELETE", "/v2/a/manifests/v1")] {
        is_sealed(&server.ask(method, path), path);
    }
}

#[test]
fn only_types_of_manifests_are_taken() {
    let server = Server::new();
    let layer = server.push_blob("a", b"{}");
    let good = image(&layer, 2, &layer, 2);
    let list = index(&[&good]);
    assert_eq!(server.put_manifest("a", "good", OCI_MANIFEST, &good).status, 201);
    let said = |from: &str, to: &str| String::from_utf8(good.clone()).unwrap().replace(from, to);
    for (content_type, document, status) in [
        ("text/html", said("", ""), 400),
        ("image/svg+xml", said("", ""), 400),
        (OCI_MANIFEST, said(OCI_MANIFEST, "text/html"), 400),
        ("text/html", said(OCI_MANIFEST, "text/html"), 400),
        ("application/json", said(OCI_MANIFEST, "application/xhtml+xml"), 400),
        (OCI_MANIFEST, said(OCI_MANIFEST, "application/vnd.oci.image.manifest.v2+json"), 400),
        ("text/html", String::from_utf8(list.clone()).unwrap(), 400),
        (OCI_INDEX, String::from_utf8(list).unwrap().replacen(OCI_INDEX, "text/html", 1), 400),
        // Artifacts have types of their own in them, and the manifest's is a manifest's.
        (OCI_MANIFEST, said("application/vnd.oci.image.config.v1+json", "text/html"), 201),
        (OCI_MANIFEST, said("\"config\"", "\"artifactType\":\"text/html\",\"config\""), 201),
        ("application/json", said("", ""), 201),
        ("application/vnd.oci.image.manifest.v1+json; charset=utf-8", said("", ""), 201),
    ] {
        let reply = server.put_manifest("a", "x", content_type, document.as_bytes());
        assert_eq!(reply.status, status, "{content_type}: {document}: {reply:?}");
        if status == 400 {
            assert_eq!(reply.code(), "MANIFEST_INVALID");
            continue;
        }
        let got = server.ask("GET", "/v2/a/manifests/x");
        assert_eq!(got.header("content-type"), OCI_MANIFEST, "{document}");
    }
}

#[test]
fn what_lies_in_a_folder_with_another_type_is_bytes() {
    let server = Server::new();
    let layer = server.push_blob("a", b"{}");
    let page = String::from_utf8(image(&layer, 2, &layer, 2)).unwrap();
    let page = page.replace(OCI_MANIFEST, "text/html");
    let digest = server.push_blob("a", page.as_bytes());
    for declared in ["text/html", "image/svg+xml", ""] {
        // As any program may write it.
        let index = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{declared}","digest":"{digest}","size":{},"annotations":{{"org.opencontainers.image.ref.name":"v1"}}}}]}}"#,
            page.len()
        );
        fs_err::write(server.root.join("a/index.json"), index).unwrap();
        for path in ["/v2/a/manifests/v1".to_owned(), format!("/v2/a/manifests/{digest}")] {
            let reply = server.ask("GET", &path);
            assert_eq!(reply.status, 200, "{declared} {path}");
            assert_eq!(reply.header("content-type"), "application/octet-stream", "{declared}");
            is_sealed(&reply, &path);
            assert_eq!(reply.body, page.as_bytes());
        }
    }
}

/// A request with these headers only.
fn raw(server: &Server, head: &str) -> Reply {
    let mut stream = server.connect();
    stream.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    Reply::parse(&reply).unwrap()
}

#[test]
fn names_that_an_attacker_may_own_are_not_answered_to() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::with(ServerOptions::new(folder.path()));
    let mut options = ServerOptions::new(folder.path());
    options.hosts = Hosts::Known(vec!["registry.example".into()]);
    let named = Server::with(options);
    for (head, ours, theirs) in [
        ("GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1:5000", 200, 200),
        ("GET /v2/ HTTP/1.1\r\nHost: localhost", 200, 200),
        ("GET /v2/ HTTP/1.1\r\nHost: rebind.evil.example:5000", 403, 403),
        ("GET /v2/_catalog HTTP/1.1\r\nHost: rebind.evil.example", 403, 403),
        ("POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0", 403, 403),
        ("GET /v2/ HTTP/1.1\r\nHost: registry.example", 403, 200),
        ("GET http://evil.example/v2/ HTTP/1.1\r\nHost: localhost", 403, 403),
        ("GET /v2/ HTTP/1.0", 200, 200),
    ] {
        for (server, status) in [(&server, ours), (&named, theirs)] {
            let reply = raw(server, head);
            assert_eq!(reply.status, status, "{head}: {reply:?}");
            if status == 403 {
                assert_eq!(reply.code(), "DENIED");
                assert!(String::from_utf8_lossy(&reply.body).contains("--allowed-host"));
            }
        }
    }
}

#[test]
fn pages_of_other_sites_push_and_delete_nothing() {
    let server = Server::new();
    server.push_image("a", "v1", b"layer");
    let digest = Digest::sha256(b"hello");
    let own = format!("http://{}", server.address);
    let host = server.address.to_string();
    for (name, value) in [
        ("Origin", "https://evil.example"),
        ("Origin", "http://127.0.0.1:1"),
        ("Origin", "null"),
        ("Sec-Fetch-Site", "cross-site"),
    ] {
        for (method, path) in [
            ("POST", format!("/v2/evil/blobs/uploads/?digest={digest}")),
            ("POST", "/v2/evil/blobs/uploads/".into()),
            ("PUT", "/v2/a/manifests/v2".into()),
            ("DELETE", "/v2/a/manifests/v1".into()),
        ] {
            let headers = [(name, value), ("Content-Type", "text/plain")];
            let reply = server.send(method, &path, &headers, b"hello");
            assert_eq!((reply.status, reply.code()), (403, "DENIED".into()), "{method} {path}");
        }
        assert_eq!(server.send("GET", "/v2/a/manifests/v1", &[(name, value)], b"").status, 200);
    }
    assert!(!server.root.join("evil").exists());
    let begin = format!("POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0");
    assert_eq!(raw(&server, &format!("{begin}\r\nOrigin: {own}")).status, 202);
    assert_eq!(raw(&server, &begin).status, 202);
}
