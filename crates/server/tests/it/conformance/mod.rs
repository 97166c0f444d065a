//! The distribution specification, point by point, over a folder and over a bucket.

mod referrers;

use skopeo_image::{Algorithm, Digest};

use crate::client::{OCI_INDEX, OCI_MANIFEST, Reply, Server, image, index};

use referrers::{
    lists_come_in_pages, referrers_are_filtered_by_what_they_are, referrers_are_found,
};

/// Each of these, over a folder of layouts and over the one layout in a bucket.
macro_rules! over_both {
    ($($test:ident)*) => {
        mod over_a_folder {
            $(#[test] fn $test() { super::$test(&super::Server::new()); })*
        }
        mod over_a_bucket {
            $(#[test] fn $test() { super::$test(&super::Server::in_bucket()); })*
        }
    };
}

over_both! {
    says_what_it_is
    a_pushed_image_can_be_pulled
    what_is_not_there_is_said_so
    uploads_in_every_way
    uploads_that_go_wrong
    blobs_are_mounted
    manifests_are_checked
    lists_hold_their_instances
    deleting
    what_a_list_needs_outlives_its_own_deletion
    lists_come_in_pages
    referrers_are_found
    referrers_are_filtered_by_what_they_are
    signed_schema_1_is_known_by_its_payload
}

fn says_what_it_is(server: &Server) {
    for path in ["/v2/", "/v2"] {
        let reply = server.ask("GET", path);
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("docker-distribution-api-version"), "registry/2.0");
    }
    assert_eq!(server.ask("GET", "/").status, 404);
    let reply = server.ask("POST", "/v2/");
    assert_eq!((reply.status, reply.code()), (405, "UNSUPPORTED".into()));
}

fn a_pushed_image_can_be_pulled(server: &Server) {
    let layer = vec![7; 3_000_000]; // more than one piece of a file
    let manifest = server.push_image("team/app", "v1", &layer);
    let (digest, layer_digest) = (Digest::sha256(&manifest), Digest::sha256(&layer));

    for reference in ["v1", digest.as_str()] {
        let path = format!("/v2/team/app/manifests/{reference}");
        let get = server.ask("GET", &path);
        assert_eq!((get.status, get.body.as_slice()), (200, manifest.as_slice()));
        let head = server.ask("HEAD", &path);
        assert_eq!((head.status, head.body.len()), (200, 0));
        for reply in [get, head] {
            assert_eq!(reply.header("docker-content-digest"), digest.as_str());
            assert_eq!(reply.header("content-type"), OCI_MANIFEST);
            assert_eq!(reply.header("content-length"), manifest.len().to_string());
        }
    }

    let path = format!("/v2/team/app/blobs/{layer_digest}");
    let get = server.ask("GET", &path);
    assert!(get.status == 200 && get.body == layer);
    assert_eq!(get.header("docker-content-digest"), layer_digest.as_str());
    let head = server.ask("HEAD", &path);
    assert_eq!((head.status, head.header("content-length")), (200, "3000000"));
    let part = server.send("GET", &path, &[("Range", "bytes=2999990-")], b"");
    assert_eq!((part.status, part.body.len()), (206, 10));
    assert_eq!(part.header("content-range"), "bytes 2999990-2999999/3000000");
    let beyond = server.send("GET", &path, &[("Range", "bytes=3000000-")], b"");
    assert_eq!((beyond.status, beyond.header("content-range")), (416, "bytes */3000000"));
    let same = server.send("GET", &path, &[("If-None-Match", &format!("\"{layer_digest}\""))], b"");
    assert_eq!((same.status, same.body.len()), (304, 0));
}

fn what_is_not_there_is_said_so(server: &Server) {
    server.push_image("a", "v1", b"layer");
    let nothing = Digest::sha256(b"nothing");
    for (path, status, code) in [
        ("/v2/a/manifests/v2".into(), 404, "MANIFEST_UNKNOWN"),
        (format!("/v2/a/manifests/{nothing}"), 404, "MANIFEST_UNKNOWN"),
        ("/v2/a/manifests/.INVALID".into(), 404, "MANIFEST_UNKNOWN"),
        ("/v2/a/manifests/sha256:abc".into(), 400, "DIGEST_INVALID"),
        ("/v2/none/manifests/v1".into(), 404, "MANIFEST_UNKNOWN"),
        (format!("/v2/a/blobs/{nothing}"), 404, "BLOB_UNKNOWN"),
        (format!("/v2/none/blobs/{nothing}"), 404, "BLOB_UNKNOWN"),
        ("/v2/none/tags/list".into(), 404, "NAME_UNKNOWN"),
        ("/v2/a/blobs/uploads/x".into(), 404, "BLOB_UPLOAD_UNKNOWN"),
        ("/v2/A/tags/list".into(), 400, "NAME_INVALID"),
    ] {
        let path: String = path;
        let reply = server.ask("GET", &path);
        assert_eq!((reply.status, reply.code()), (status, code.to_owned()), "{path}");
    }
    // A blob that lies there is no manifest.
    let layer = Digest::sha256(b"layer");
    assert_eq!(server.ask("GET", &format!("/v2/a/manifests/{layer}")).status, 404);
}

fn begin(server: &Server, repository: &str) -> String {
    let reply = server.send("POST", &format!("/v2/{repository}/blobs/uploads/"), &[], b"");
    assert_eq!(reply.status, 202, "{reply:?}");
    assert!(!reply.header("docker-upload-uuid").is_empty());
    reply.header("location").to_owned()
}

fn uploads_in_every_way(server: &Server) {
    let content = b"0123456789";
    let digest = Digest::sha256(content);
    let sha512 = Digest::of(Algorithm::Sha512, content);

    // POST, then PUT with everything.
    let location = begin(server, "a");
    let done = server.send("PUT", &format!("{location}?digest={digest}"), &[], content);
    assert_eq!(done.status, 201, "{done:?}");
    assert_eq!(done.header("location"), format!("/v2/a/blobs/{digest}"));
    assert_eq!(server.ask("GET", done.header("location")).body, content);

    // The same under another algorithm, and with the digest written as browsers would.
    let location = begin(server, "b");
    let escaped = sha512.as_str().replace(':', "%3A");
    let done = server.send("PUT", &format!("{location}?digest={escaped}"), &[], content);
    assert_eq!(done.status, 201, "{done:?}");
    assert_eq!(server.ask("GET", &format!("/v2/b/blobs/{sha512}")).body, content);
    let other = server.ask("GET", &format!("/v2/b/blobs/{digest}")).status;
    assert_eq!(other, if server.is_in_bucket() { 200 } else { 404 });

    // Pieces with and without Content-Range, the last one in the PUT.
    let location = begin(server, "c");
    let piece = server.send("PATCH", &location, &[("Content-Range", "0-3")], &content[..4]);
    assert_eq!((piece.status, piece.header("range")), (202, "0-3"));
    let piece = server.send("PATCH", piece.header("location"), &[], &content[4..7]);
    assert_eq!((piece.status, piece.header("range")), (202, "0-6"));
    let status = server.ask("GET", &location);
    assert_eq!((status.status, status.header("range")), (204, "0-6"));
    let last = [("Content-Range", "7-9")];
    let done = server.send("PUT", &format!("{location}?digest={digest}"), &last, &content[7..]);
    assert_eq!(done.status, 201, "{done:?}");
    assert_eq!(server.ask("GET", &location).status, 404);

    // A blob of no bytes.
    let nothing = Digest::sha256(b"");
    let done = server.send("POST", &format!("/v2/d/blobs/uploads/?digest={nothing}"), &[], b"");
    assert_eq!(done.status, 201);
    assert_eq!(server.ask("HEAD", &format!("/v2/d/blobs/{nothing}")).header("content-length"), "0");
}

fn uploads_that_go_wrong(server: &Server) {
    let (content, other) = (b"0123456789", Digest::sha256(b"other"));
    let digest = Digest::sha256(content);

    // A gap, an overlap: the answer says where to go on, and the upload lives.
    let location = begin(server, "a");
    server.send("PATCH", &location, &[("Content-Range", "0-4")], &content[..5]);
    for (range, body) in [("6-9", &content[6..]), ("0-4", &content[..5])] {
        let gap = server.send("PATCH", &location, &[("Content-Range", range)], body);
        assert_eq!((gap.status, gap.header("range")), (416, "0-4"));
        assert_eq!(gap.header("location"), location);
    }
    let wrong = server.send("PATCH", &location, &[("Content-Range", "5-9")], &content[..2]);
    assert_eq!((wrong.status, wrong.code()), (400, "SIZE_INVALID".into()));
    let wrong = server.send("PATCH", &location, &[("Content-Range", "x")], &content[..2]);
    assert_eq!((wrong.status, wrong.code()), (400, "BLOB_UPLOAD_INVALID".into()));
    let done = server.send("PUT", &format!("{location}?digest={digest}"), &[], &content[5..]);
    assert_eq!(done.status, 201);

    // Other bytes than promised: nothing stays.
    for (path, method) in [
        (format!("{}?digest={other}", begin(server, "b")), "PUT"),
        (format!("/v2/b/blobs/uploads/?digest={other}"), "POST"),
    ] {
        let reply = server.send(method, &path, &[], content);
        assert_eq!((reply.status, reply.code()), (400, "DIGEST_INVALID".into()));
    }
    assert_eq!(server.ask("GET", &format!("/v2/b/blobs/{other}")).status, 404);
    for digest in ["", "sha256:1", "md5:d41d8cd98f00b204e9800998ecf8427e", "../../x"] {
        let path = format!("{}?digest={digest}", begin(server, "b"));
        assert_eq!(server.send("PUT", &path, &[], content).code(), "DIGEST_INVALID", "{digest}");
    }

    // Cancelled, or another repository's.
    let location = begin(server, "c");
    assert_eq!(server.ask("GET", &location.replace("/c/", "/a/")).status, 404);
    assert_eq!(server.ask("DELETE", &location).status, 204);
    assert_eq!(server.send("PATCH", &location, &[], content).status, 404);
}

fn blobs_are_mounted(server: &Server) {
    let digest = server.push_blob("a", b"blob");
    let mount = |to: &str, rest: &str| {
        server.send("POST", &format!("/v2/{to}/blobs/uploads/?mount={digest}{rest}"), &[], b"")
    };
    let there = |name: &str| server.ask("HEAD", &format!("/v2/{name}/blobs/{digest}")).status;
    for (to, rest, status) in [
        ("b", "&from=a", 201),
        // Where all repositories are in one layout, the blob is there whatever it is mounted from.
        ("c", "&from=nowhere", if server.is_in_bucket() { 201 } else { 202 }),
        ("d", "", 201), // from wherever it is
    ] {
        assert_eq!(mount(to, rest).status, status, "{to}{rest}");
        assert_eq!(there(to), if status == 201 { 200 } else { 404 });
    }
    server.push_image("a", "v1", b"blob");
    assert_eq!(mount("e", "").status, 201);
    assert_eq!(there("e"), 200);
    assert_eq!(mount("f", "&from=../a").code(), "NAME_INVALID");
}

fn manifests_are_checked(server: &Server) {
    let config = server.push_blob("a", b"{}");
    let missing = Digest::sha256(b"missing");
    let whole = server.push_image("a", "v1", b"layer");
    let broken = image(&config, 2, &missing, 7);
    let list = index(&[&whole, &broken]);
    let too_large =
        [br#"{"schemaVersion":2,"x":""#, " ".repeat(4 << 20).as_bytes(), b"\"}"].concat();
    for (reference, media_type, bytes, status, code) in [
        ("x", OCI_MANIFEST, broken.as_slice(), 400, "MANIFEST_BLOB_UNKNOWN"),
        ("x", OCI_INDEX, &list, 400, "MANIFEST_BLOB_UNKNOWN"),
        ("x", OCI_MANIFEST, b"{", 400, "MANIFEST_INVALID"),
        ("x", OCI_MANIFEST, b"", 400, "MANIFEST_INVALID"),
        ("x", OCI_INDEX, &whole, 400, "MANIFEST_INVALID"),
        ("x", OCI_MANIFEST, &too_large, 413, "MANIFEST_INVALID"),
        (missing.as_str(), OCI_MANIFEST, &whole, 400, "DIGEST_INVALID"),
        (".x", OCI_MANIFEST, &whole, 400, "TAG_INVALID"),
    ] {
        let reply = server.put_manifest("a", reference, media_type, bytes);
        assert_eq!((reply.status, reply.code()), (status, code.to_owned()), "{reference}");
    }
    assert_eq!(server.ask("GET", "/v2/a/manifests/x").status, 404);
    // A blob is no instance of a list.
    let layer = Digest::sha256(b"layer");
    let odd = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{OCI_MANIFEST}","digest":"{layer}","size":5}}]}}"#
    );
    let reply = server.put_manifest("a", "x", OCI_INDEX, odd.as_bytes());
    assert_eq!(reply.code(), "MANIFEST_BLOB_UNKNOWN");
}

fn lists_hold_their_instances(server: &Server) {
    let sha512_of = |bytes: &[u8]| Digest::of(Algorithm::Sha512, bytes);
    let first = server.push_image("a", "tmp", b"1");
    let second = image(&server.push_blob("a", b"{}"), 2, &server.push_blob("a", b"2"), 1);
    let by_digest = Digest::sha256(&second);
    assert_eq!(server.put_manifest("a", by_digest.as_str(), OCI_MANIFEST, &second).status, 201);
    let list = index(&[&first, &second]);
    let reply = server.put_manifest("a", "list", OCI_INDEX, &list);
    assert_eq!(reply.status, 201);
    assert_eq!(reply.header("docker-content-digest"), Digest::sha256(&list).as_str());
    // The instance without a tag is found through the list only, as in a folder that `oci:` wrote.
    let raw = server.index_of("a");
    assert!(!raw.contains(by_digest.as_str()), "{raw}");
    let reply = server.ask("GET", &format!("/v2/a/manifests/{by_digest}"));
    assert_eq!((reply.status, reply.header("content-type")), (200, OCI_MANIFEST));
    assert_eq!(reply.body, second);
    // By sha512 too.
    let digest = sha512_of(&list);
    let reply = server.put_manifest("a", digest.as_str(), OCI_INDEX, &list);
    assert_eq!((reply.status, reply.header("docker-content-digest")), (201, digest.as_str()));
    assert_eq!(server.ask("GET", &format!("/v2/a/manifests/{digest}")).body, list);
}

fn deleting(server: &Server) {
    let keep = server.push_image("a", "keep", b"keep");
    let gone = server.push_image("a", "one", b"gone");
    server.push_image("a", "two", b"gone");
    let (keep, gone) = (Digest::sha256(&keep), Digest::sha256(&gone));
    let tags = || server.ask("GET", "/v2/a/tags/list").json()["tags"].clone();
    assert_eq!(server.ask("DELETE", "/v2/a/manifests/one").status, 202);
    assert_eq!(tags(), serde_json::json!(["keep", "two"]));
    assert_eq!(server.ask("DELETE", "/v2/a/manifests/two").status, 202);
    assert_eq!(server.ask("HEAD", &format!("/v2/a/manifests/{gone}")).status, 200); // only tags went
    assert_eq!(server.ask("DELETE", "/v2/a/manifests/two").code(), "MANIFEST_UNKNOWN");

    server.push_image("a", "two", b"gone");
    assert_eq!(server.ask("DELETE", &format!("/v2/a/manifests/{gone}")).status, 202);
    assert_eq!(server.ask("HEAD", &format!("/v2/a/manifests/{gone}")).status, 404);
    assert_eq!(tags(), serde_json::json!(["keep"]));
    let there = |content: &[u8]| {
        server.ask("HEAD", &format!("/v2/a/blobs/{}", Digest::sha256(content))).status
    };
    assert_eq!((there(b"gone"), there(b"keep"), there(b"{}")), (404, 200, 200)); // what is shared stays

    let free = server.push_blob("a", b"free");
    assert_eq!(server.ask("DELETE", &format!("/v2/a/blobs/{free}")).status, 202);
    assert_eq!(server.ask("DELETE", &format!("/v2/a/blobs/{free}")).code(), "BLOB_UNKNOWN");
    let needed = Digest::sha256(b"keep");
    assert_eq!(server.ask("DELETE", &format!("/v2/a/blobs/{needed}")).code(), "UNSUPPORTED");
    assert_eq!(server.ask("HEAD", &format!("/v2/a/manifests/{keep}")).status, 200);
}

fn what_a_list_needs_outlives_its_own_deletion(server: &Server) {
    let instance = server.push_image("a", "amd64", b"layer");
    let digest = Digest::sha256(&instance);
    assert_eq!(server.put_manifest("a", "list", OCI_INDEX, &index(&[&instance])).status, 201);
    assert_eq!(server.ask("DELETE", &format!("/v2/a/manifests/{digest}")).status, 202);
    assert_eq!(server.ask("GET", "/v2/a/manifests/amd64").status, 404);
    assert_eq!(server.ask("GET", &format!("/v2/a/manifests/{digest}")).body, instance);
}

fn signed_schema_1_is_known_by_its_payload(server: &Server) {
    let layer = server.push_blob("a", b"layer");
    let unsigned = format!(
        "{{\n   \"schemaVersion\": 1,\n   \"name\": \"a\",\n   \"tag\": \"v1\",\n   \"architecture\": \"amd64\",\n   \"fsLayers\": [\n      {{\n         \"blobSum\": \"{layer}\"\n      }}\n   ],\n   \"history\": []\n}}"
    );
    let signed = skopeo_image::manifest::jws::sign(unsigned.as_bytes()).unwrap();
    let digest = Digest::sha256(unsigned.as_bytes());
    let signed_type = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let put = server.put_manifest("a", "v1", signed_type, &signed);
    assert_eq!((put.status, put.header("docker-content-digest")), (201, digest.as_str()));
    for reference in ["v1", digest.as_str()] {
        let got = server.ask("GET", &format!("/v2/a/manifests/{reference}"));
        assert!(got.status == 200 && got.body == signed, "{reference}: {}", got.status);
        assert_eq!(got.header("content-type"), signed_type);
        assert_eq!(got.header("docker-content-digest"), digest.as_str());
    }
    assert_eq!(server.ask("DELETE", &format!("/v2/a/manifests/{digest}")).status, 202);
    assert_eq!(server.ask("GET", "/v2/a/manifests/v1").status, 404);
}
