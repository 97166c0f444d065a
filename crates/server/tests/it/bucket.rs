//! One bucket, several servers: nothing is lost, and nothing is left over.

use std::io::Write as _;
use std::time::Duration;

use skopeo_image::{Algorithm, Digest};
use skopeo_server::ServerOptions;
use skopeo_testkit::{S3, S3Fault};

use crate::client::{OCI_MANIFEST, Server, bucket, image};

/// What is in the bucket below the layout, but for blobs.
fn beside(store: &S3) -> Vec<String> {
    let keys = store.keys().into_iter();
    keys.filter(|key| !key.contains("/blobs/")).collect()
}

fn begin(server: &Server) -> String {
    let begun = server.ask("POST", "/v2/a/blobs/uploads/");
    assert_eq!(begun.status, 202, "{begun:?}");
    begun.header("location").to_owned()
}

/// More than fits in one part, and no two pieces of it alike.
fn large(length: u32) -> Vec<u8> {
    (0..length).map(|n| (n.wrapping_mul(40_503) >> 9) as u8).collect()
}

#[test]
fn what_one_server_takes_the_other_has() {
    let store = S3::start();
    let (one, two) = (Server::over(&store), Server::over(&store));
    let manifest = one.push_image("team/app", "v1", b"layer");
    assert_eq!(two.ask("GET", "/v2/team/app/manifests/v1").body, manifest);
    assert_eq!(two.push_image("team/app", "v1", b"other").len(), manifest.len());
    assert_ne!(one.ask("GET", "/v2/team/app/manifests/v1").body, manifest);
    let digest = Digest::sha256(&manifest);
    let path = format!("/v2/team/app/manifests/{digest}");
    assert_eq!(two.ask("DELETE", &path).status, 202);
    assert_eq!(one.ask("GET", &path).status, 404);
    let layer = Digest::sha256(b"layer");
    assert_eq!(one.ask("HEAD", &format!("/v2/team/app/blobs/{layer}")).status, 404);
    assert_eq!(beside(&store), ["mirror/index.json", "mirror/oci-layout"]);
    // An upload belongs to the server that began it.
    let location = begin(&one);
    assert_eq!(two.send("PATCH", &location, &[], b"x").code(), "BLOB_UPLOAD_UNKNOWN");
    assert_eq!(one.send("PATCH", &location, &[], b"x").status, 202);
}

#[test]
fn tags_that_are_pushed_at_once_are_all_there() {
    let store = S3::start();
    let servers = [Server::over(&store), Server::over(&store)];
    std::thread::scope(|scope| {
        for number in 0..8 {
            let server = &servers[number % 2];
            scope.spawn(move || {
                for tag in 0..4 {
                    let layer = format!("layer {number} {tag}");
                    server.push_image("app", &format!("v{number}.{tag}"), layer.as_bytes());
                }
            });
        }
    });
    for server in &servers {
        let tags = server.ask("GET", "/v2/app/tags/list").json();
        assert_eq!(tags["tags"].as_array().unwrap().len(), 32, "{tags}");
    }
}

/// Who deletes an image takes no blob from under another that is pushed just then.
#[test]
fn what_is_pushed_while_others_delete_is_whole() {
    let store = S3::start();
    let (one, two) = (Server::over(&store), Server::over(&store));
    for round in 0..6 {
        let old = one.push_image("a", "old", b"shared");
        let old = Digest::sha256(&old);
        let layer = Digest::sha256(b"shared");
        let (pushed, tag) = std::thread::scope(|scope| {
            let deleting = scope.spawn(|| two.ask("DELETE", &format!("/v2/a/manifests/{old}")));
            // It finds the layer, and may lose it before it has its manifest.
            let config = one.push_blob("a", format!("{{\"round\":{round}}}").as_bytes());
            let size = format!("{{\"round\":{round}}}").len();
            let manifest = image(&config, size, &layer, 6);
            let pushed = one.put_manifest("a", "new", OCI_MANIFEST, &manifest);
            assert_eq!(deleting.join().unwrap().status, 202);
            (pushed, manifest)
        });
        let there = one.ask("HEAD", &format!("/v2/a/blobs/{layer}")).status;
        match pushed.status {
            201 => assert_eq!(there, 200, "round {round}"),
            _ => assert_eq!(pushed.code(), "MANIFEST_BLOB_UNKNOWN", "round {round}"),
        }
        if pushed.status == 201 {
            let new = Digest::sha256(&tag);
            assert_eq!(one.ask("DELETE", &format!("/v2/a/manifests/{new}")).status, 202);
        }
    }
    assert_eq!(beside(&store), ["mirror/index.json", "mirror/oci-layout"]);
}

#[test]
fn a_large_blob_comes_in_pieces_and_goes_in_parts() {
    let server = Server::in_bucket();
    let store = server.store.as_ref().unwrap();
    let content = large(20_000_001);
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let digest = Digest::of(algorithm, &content);
        let location = begin(&server);
        for piece in content.chunks(7_000_000) {
            assert_eq!(server.send("PATCH", &location, &[], piece).status, 202);
        }
        assert_eq!(server.ask("GET", &location).header("range"), "0-20000000");
        // Only this tells which algorithm it is.
        let done = server.send("PUT", &format!("{location}?digest={digest}"), &[], b"");
        assert_eq!(done.status, 201, "{done:?}");
        assert!(server.ask("GET", &format!("/v2/a/blobs/{digest}")).body == content);
        let path = format!("/v2/a/blobs/{digest}");
        let rest = server.send("GET", &path, &[("Range", "bytes=19999990-")], b"");
        assert_eq!((rest.status, rest.body.as_slice()), (206, &content[19_999_990..]));
        assert_eq!((store.uploads(), beside(store).len()), (0, 2));
    }
    // Another digest than that of the bytes, known from the beginning or not: nothing stays.
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let other = Digest::of(algorithm, b"other");
        let location = begin(&server);
        assert_eq!(server.send("PATCH", &location, &[], &content).status, 202);
        let refused = server.send("PUT", &format!("{location}?digest={other}"), &[], b"");
        assert_eq!((refused.status, refused.code()), (400, "DIGEST_INVALID".into()));
        assert_eq!(server.ask("HEAD", &format!("/v2/a/blobs/{other}")).status, 404);
    }
    let cancelled = begin(&server);
    assert_eq!(server.send("PATCH", &cancelled, &[], &content).status, 202);
    assert_eq!(server.ask("DELETE", &cancelled).status, 204);
    server.settled();
    assert_eq!(beside(store).len(), 2);
}

/// What a client leaves behind is ended at the store when the server ends, or makes room.
#[test]
fn nothing_is_left_of_uploads_that_nobody_ends() {
    let store = S3::start();
    let server = Server::over(&store);
    let content = large(9_000_000);
    let location = begin(&server);
    assert_eq!(server.send("PATCH", &location, &[], &content).status, 202);
    let digest = Digest::sha256(b"x");
    let mut cut = server.connect();
    let path = format!("/v2/a/blobs/uploads/?digest={digest}");
    write!(cut, "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n\r\n").unwrap();
    cut.write_all(&content).unwrap();
    drop(cut);
    server.settled();
    drop(server);
    assert_eq!(store.uploads(), 0);
    assert_eq!(beside(&store).len(), 2);
}

/// What a killed server has left goes after a day.
#[test]
fn leftovers_of_killed_servers_go() {
    let store = S3::start();
    drop(Server::over(&store));
    store.begin_upload("mirror/.uploads/one");
    store.write("mirror/.uploads/two", &b"half"[..]);
    store.age(Duration::from_secs(25 * 3600));
    store.begin_upload("mirror/.uploads/three");
    let server = Server::over(&store);
    server.settled();
    assert_eq!(store.uploads(), 1, "the young one");
    assert_eq!(beside(&store), ["mirror/index.json", "mirror/oci-layout"]);
}

#[test]
fn limits_hold_for_buckets_too() {
    let store = S3::start();
    let mut options = ServerOptions::new("/");
    options.bucket = Some(bucket(&store));
    options.storage.max_blob = Some(1000);
    options.storage.max_storage = Some(1500);
    let server = Server::with(options);
    let push = |bytes: &[u8]| {
        let digest = Digest::sha256(bytes);
        server.send("POST", &format!("/v2/a/blobs/uploads/?digest={digest}"), &[], bytes).status
    };
    assert_eq!(push(&[1; 1001]), 413);
    assert_eq!(push(&[1; 1000]), 201);
    assert_eq!(push(&[2; 1000]), 507);
    // What is there already takes no room twice.
    assert_eq!((push(&[3; 100]), push(&[3; 100]), push(&[4; 350])), (201, 201, 201));
    let gone = Digest::sha256(&[1; 1000]);
    assert_eq!(server.ask("DELETE", &format!("/v2/a/blobs/{gone}")).status, 202);
    assert_eq!(push(&[2; 1000]), 201);
    // A server that begins counts what is there.
    let mut options = ServerOptions::new("/");
    options.bucket = Some(bucket(&store));
    options.storage.max_storage = Some(1500);
    let server = Server::with(options);
    let digest = Digest::sha256(&[5; 100]);
    let path = format!("/v2/a/blobs/uploads/?digest={digest}");
    assert_eq!(server.send("POST", &path, &[], &[5; 100]).status, 507);
}

/// Many uploads that nobody goes on with do not keep others from theirs, nor take more memory.
#[test]
fn as_many_uploads_have_bytes_in_memory_as_there_is_room_for() {
    let store = S3::start();
    let mut options = ServerOptions::new("/");
    let mut bucket = bucket(&store);
    // Two parts: one upload.
    bucket.upload_memory = 0;
    options.bucket = Some(bucket);
    let server = Server::with(options);
    let idle = begin(&server);
    assert_eq!(server.send("PATCH", &idle, &[], b"idle").status, 202);
    // It waits until the other has been idle for long enough.
    server.push_blob("a", b"blob");
    assert_eq!(server.send("PATCH", &idle, &[], b"more").code(), "BLOB_UPLOAD_UNKNOWN");
}

#[test]
fn what_the_store_says_is_told_and_tried_again() {
    let store = S3::start();
    let server = Server::over(&store);
    server.push_image("a", "v1", b"layer");
    // What passes is not seen.
    for (method, part) in [("GET", "index.json"), ("PUT", "index.json"), ("PUT", "blobs/")] {
        store.fault(S3Fault::status(method, part, 503));
    }
    server.push_image("a", "v2", b"other layer");
    // Written, but nobody was told.
    store.fault(S3Fault::unanswered("PUT", "index.json"));
    server.push_image("a", "v3", b"third layer");
    store.fault(S3Fault::status("PUT", "blobs/", 403).times(100));
    let digest = Digest::sha256(b"denied");
    let path = format!("/v2/a/blobs/uploads/?digest={digest}");
    let denied = server.send("POST", &path, &[], b"denied");
    assert_eq!((denied.status, denied.code()), (403, "DENIED".into()));
    let said = String::from_utf8_lossy(&denied.body).into_owned();
    assert!(!said.contains("mirror") && !said.contains("127.0.0.1"), "{said}");
    let tags = server.ask("GET", "/v2/a/tags/list").json();
    assert_eq!(tags["tags"], serde_json::json!(["v1", "v2", "v3"]));
}

/// Reading asks for what is needed, and for the index only whether it is another.
#[test]
fn reading_costs_few_requests() {
    let server = Server::in_bucket();
    let store = server.store.as_ref().unwrap();
    let manifest = server.push_image("a", "v1", b"layer");
    server.ask("GET", "/v2/a/tags/list");
    store.forget();
    assert_eq!(server.ask("GET", "/v2/a/manifests/v1").body, manifest);
    let asked: Vec<(String, u16)> =
        store.asked().into_iter().map(|it| (it.method, it.status)).collect();
    let expected = [("GET", 304), ("HEAD", 200), ("GET", 200)];
    assert_eq!(asked, expected.map(|(method, status)| (method.to_owned(), status)));
    store.forget();
    let layer = Digest::sha256(b"layer");
    assert_eq!(server.ask("GET", &format!("/v2/a/blobs/{layer}")).body, b"layer");
    assert_eq!(store.asked().len(), 2, "{:?}", store.asked());
}
