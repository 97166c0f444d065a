//! Clients that go away, clients at once, and a server that is killed.

use std::io::{Read, Write};
use std::thread;

use skopeo_image::Digest;

use crate::client::{Reply, Server, files};

#[test]
fn a_broken_upload_is_resumed() {
    let server = Server::new();
    let content: Vec<u8> = (0..2_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let begun = server.ask("POST", "/v2/a/blobs/uploads/");
    let location = begun.header("location").to_owned();
    let mut stream = server.connect();
    let length = content.len();
    write!(stream, "PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n")
        .unwrap();
    stream.write_all(&content[..1_234_567]).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let _ = stream.read_to_end(&mut Vec::new());
    drop(stream);

    let status = server.ask("GET", &location);
    let (_, last) = status.header("range").split_once('-').unwrap();
    let at = last.parse::<usize>().unwrap() + 1;
    assert_eq!(at, 1_234_567);
    let digest = Digest::sha256(&content);
    let range = format!("{at}-{}", length - 1);
    let rest = server.send("PATCH", &location, &[("Content-Range", &range)], &content[at..]);
    assert_eq!(rest.status, 202, "{rest:?}");
    assert_eq!(server.send("PUT", &format!("{location}?digest={digest}"), &[], b"").status, 201);
    assert!(server.ask("GET", &format!("/v2/a/blobs/{digest}")).body == content);
}

#[test]
fn an_upload_outlives_the_server() {
    let server = Server::new();
    let begun = server.ask("POST", "/v2/a/blobs/uploads/");
    let location = begun.header("location").to_owned();
    assert_eq!(server.send("PATCH", &location, &[], b"first ").status, 202);
    let again = Server::with(skopeo_server::ServerOptions::new(&server.root));
    assert_eq!(again.ask("GET", &location).header("range"), "0-5");
    let digest = Digest::sha256(b"first second");
    let done = again.send("PUT", &format!("{location}?digest={digest}"), &[], b"second");
    assert_eq!(done.status, 201, "{done:?}");
}

#[test]
fn a_half_sent_blob_is_never_seen() {
    let server = Server::new();
    let digest = Digest::sha256(b"0123456789");
    let mut stream = server.connect();
    write!(stream, "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let _ = stream.read_to_end(&mut Vec::new());
    assert_eq!(server.ask("HEAD", &format!("/v2/a/blobs/{digest}")).status, 404);
    // As if killed now: what is in the folder is a layout, its blobs whole.
    for file in files(&server.root.join("a")) {
        assert!(!file.starts_with("blobs/"), "{file}");
    }
}

#[test]
fn many_push_at_once_and_nothing_is_lost() {
    let server = Server::new();
    thread::scope(|scope| {
        for worker in 0..8 {
            let server = &server;
            scope.spawn(move || {
                for image in 0..5 {
                    // One repository for all, one layer in common, one of its own.
                    server.push_image("all", &format!("{worker}-{image}"), b"common");
                    let own = format!("{worker} {image}").repeat(1000);
                    server.push_image("all", &format!("own-{worker}-{image}"), own.as_bytes());
                }
            });
        }
    });
    let tags = server.ask("GET", "/v2/all/tags/list").json()["tags"].as_array().unwrap().len();
    assert_eq!(tags, 80);
    assert!(files(&server.root).iter().all(|file| !file.contains(".new-")));
}

#[test]
fn requests_share_a_connection() {
    let server = Server::new();
    server.push_image("a", "v1", b"layer");
    let mut stream = server.connect();
    let request = "GET /v2/a/manifests/v1 HTTP/1.1\r\nHost: x\r\n\r\n";
    let last = "GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request.repeat(3).as_bytes()).unwrap();
    stream.write_all(last.as_bytes()).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert_eq!(Reply::parse(&all).status, 200);
    assert_eq!(String::from_utf8_lossy(&all).matches("HTTP/1.1 200 OK").count(), 4);
}

#[test]
fn nonsense_is_refused_and_the_next_client_served() {
    let server = Server::new();
    for nonsense in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01".as_slice(), // the begin of TLS
        b"GET / HTTP/9\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"PUT /v2/a/manifests/x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
    ] {
        let mut stream = server.connect();
        stream.write_all(nonsense).unwrap();
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply);
        let reply = String::from_utf8_lossy(&reply).into_owned();
        assert!(reply.is_empty() || reply.starts_with("HTTP/1.1 400"), "{reply}");
    }
    assert_eq!(server.ask("GET", "/v2/").status, 200);
}
