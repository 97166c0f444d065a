//! Requests that nobody means well: each has an answer, or an end, and the next client too.

use std::io::{Read, Write};

use fs_err as fs;
use skopeo_image::Digest;

use crate::client::{OCI_INDEX, Reply, Server, index};

/// All that comes back for these bytes, until the server has enough.
fn raw(server: &Server, sent: &[u8]) -> Vec<u8> {
    let mut stream = server.connect();
    // It may not read all of it.
    let _ = stream.write_all(sent);
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    reply
}

/// What is no HTTP is answered before it is a request, by the library that reads it: with a status
/// and no body, so that there is nothing for a browser to take for a page.
#[test]
fn what_is_no_request_gets_an_answer_without_a_body() {
    let server = Server::new();
    let long = "v".repeat(100_000);
    let many = (0..200).map(|number| format!("X-{number}: v\r\n")).collect::<String>();
    for (sent, status) in [
        ("<script>alert(1)</script>\r\n\r\n".to_owned(), 400),
        ("GET /<script>alert(1)</script> HTTP/1.1\r\nHost: x\r\n\r\n".into(), 400),
        ("GET /v2/ HTTP/9.9\r\nHost: x\r\n\r\n".into(), 400),
        ("GET /v2/ HTTP/1.1\r\nHost: x\r\n<b>: c\r\n\r\n".into(), 400),
        ("GET /v2/ HTTP/1.1\r\nHost : x\r\n\r\n".into(), 400),
        ("POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n".into(), 400),
        (
            "POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"
                .into(),
            400,
        ),
        ("POST /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: odd\r\n\r\n".into(), 400),
        (format!("GET /v2/ HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n"), 431),
        (format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"), 431),
        (format!("GET /v2/ HTTP/1.1\r\nHost: x\r\n{many}\r\n"), 431),
    ] {
        let what = &sent[..sent.len().min(70)];
        let reply = raw(&server, sent.as_bytes());
        let head = String::from_utf8_lossy(&reply).to_ascii_lowercase();
        let reply = Reply::parse(&reply).unwrap();
        assert_eq!(reply.status, status, "{what}: {head}");
        assert_eq!(reply.header("content-length"), "0", "{what}: {head}");
        assert!(reply.body.is_empty() && reply.header("content-type").is_empty(), "{what}: {head}");
        assert!(!head.contains("script") && !head.contains("location"), "{what}: {head}");
    }
    assert_eq!(server.ask("GET", "/v2/").status, 200);
}

#[test]
fn pieces_that_do_not_fit_change_nothing() {
    let server = Server::new();
    let location = server.ask("POST", "/v2/a/blobs/uploads/").header("location").to_owned();
    assert_eq!(server.send("PATCH", &location, &[], b"good").status, 202);
    for (range, status) in [
        ("0-3", 416),
        ("3-6", 416),
        ("5-8", 416),
        ("18446744073709551612-18446744073709551615", 416),
        ("4-4", 400),
        ("7-4", 400),
        ("4", 400),
        ("-4", 400),
        ("4-", 400),
        ("a-b", 400),
        ("4-18446744073709551616", 400),
        ("bytes 0-3/*", 416),
    ] {
        for method in ["PATCH", "PUT"] {
            let target = match method {
                "PUT" => format!("{location}?digest={}", Digest::sha256(b"goodevil")),
                _ => location.clone(),
            };
            let reply = server.send(method, &target, &[("Content-Range", range)], b"evil");
            assert_eq!(reply.status, status, "{method} {range}: {reply:?}");
            assert_eq!(server.ask("GET", &location).header("range"), "0-3", "{method} {range}");
        }
    }
    let both = Digest::sha256(b"goodevil");
    let put = format!("{location}?digest={both}");
    assert_eq!(server.send("PUT", &put, &[("Content-Range", "4-7")], b"evil").status, 201);
}

#[test]
fn lists_have_as_much_as_is_asked_for() {
    let server = Server::new();
    for name in ["a", "b/c", "d"] {
        for tag in ["1", "2", "3"] {
            let put = server.put_manifest(name, tag, OCI_INDEX, &index(&[]));
            assert_eq!(put.status, 201, "{put:?}");
        }
    }
    for (query, tags, next) in [
        ("", vec!["1", "2", "3"], ""),
        ("?n=18446744073709551615", vec!["1", "2", "3"], ""),
        ("?n=2", vec!["1", "2"], "</v2/b/c/tags/list?last=2&n=2>; rel=\"next\""),
        ("?n=1&last=2", vec!["3"], ""),
        ("?n=3", vec!["1", "2", "3"], ""),
        ("?n=0", vec![], ""),
        ("?last=zzz", vec![], ""),
        ("?last=%00%ff", vec!["1", "2", "3"], ""),
    ] {
        let reply = server.ask("GET", &format!("/v2/b/c/tags/list{query}"));
        assert_eq!(reply.json(), serde_json::json!({"name": "b/c", "tags": tags}), "{query}");
        assert_eq!(reply.header("link"), next, "{query}");
    }
    for (query, names, next) in [
        ("", vec!["a", "b/c", "d"], ""),
        ("?n=99999999999", vec!["a", "b/c", "d"], ""),
        ("?n=2", vec!["a", "b/c"], "</v2/_catalog?last=b%2Fc&n=2>; rel=\"next\""),
        ("?n=2&last=b%2Fc", vec!["d"], ""),
    ] {
        let reply = server.ask("GET", &format!("/v2/_catalog{query}"));
        assert_eq!(reply.json(), serde_json::json!({"repositories": names}), "{query}");
        assert_eq!(reply.header("link"), next, "{query}");
    }
    for query in ["?n=-1", "?n=99999999999999999999", "?n=x", "?n="] {
        for path in ["/v2/_catalog", "/v2/a/tags/list"] {
            let reply = server.ask("GET", &format!("{path}{query}"));
            assert_eq!((reply.status, reply.code()), (400, "PAGINATION_NUMBER_INVALID".into()));
        }
    }
}

/// What is encoded is decoded once, and is a name like any other then.
#[test]
fn encoded_names_lead_nowhere_else() {
    let server = Server::new();
    let outside = server.root.parent().unwrap().join("outside");
    fs::create_dir(&outside).unwrap();
    for name in [
        "%2e%2e/outside",
        "a/%2e%2e/%2e%2e/outside",
        "..%2foutside",
        "%252e%252e%2foutside",
        "a%00b",
        "a%2f%2e%2e%2f..%2foutside",
        "%2foutside",
        "a%5c..%5coutside",
        "a%0d%0ab",
        "a/.uploads",
        "a/blobs%2fsha256",
        "A",
        "a%20b",
        "%c0%ae%c0%ae/outside",
    ] {
        for (method, path) in [
            ("POST", format!("/v2/{name}/blobs/uploads/")),
            ("PUT", format!("/v2/{name}/manifests/1")),
            ("GET", format!("/v2/{name}/tags/list")),
            ("DELETE", format!("/v2/{name}/manifests/1")),
        ] {
            let reply = server.send(method, &path, &[], &index(&[]));
            assert!([400, 404].contains(&reply.status), "{method} {path}: {reply:?}");
        }
    }
    assert!(fs::read_dir(&outside).unwrap().next().is_none());
    assert!(fs::read_dir(&server.root).unwrap().next().is_none());
}

/// A blob that is nowhere is uploaded instead, and what is no digest is refused.
#[test]
fn what_cannot_be_mounted_is_uploaded() {
    let server = Server::new();
    let there = server.push_blob("a", b"blob");
    let missing = Digest::sha256(b"missing");
    for (query, status) in [
        (format!("mount={missing}&from=a"), 202),
        (format!("mount={missing}"), 202),
        (format!("mount={there}&from=b"), 202),
        (format!("mount={there}&from=c%2f..%2fa"), 400),
        (format!("mount={there}&from=..%2fa"), 400),
        ("mount=sha256:..%2f..%2fa&from=a".into(), 400),
        (format!("mount={there}"), 201),
        (format!("mount={there}&from=a"), 201),
        (format!("mount={there}&from=c"), 201),
    ] {
        let reply = server.send("POST", &format!("/v2/c/blobs/uploads/?{query}"), &[], b"");
        assert_eq!(reply.status, status, "{query}: {reply:?}");
    }
}
