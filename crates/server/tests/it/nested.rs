//! Lists within lists within lists.

use std::fmt::Write as _;
use std::path::Path;

use fs_err as fs;
use skopeo_image::Digest;
use skopeo_server::ServerOptions;

use crate::client::{OCI_INDEX, Server, index};

fn list_of(children: &[(&Digest, usize)]) -> Vec<u8> {
    let mut text = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":["#);
    for (number, (digest, size)) in children.iter().enumerate() {
        let comma = if number > 0 { "," } else { "" };
        write!(text, r#"{comma}{{"mediaType":"{OCI_INDEX}","digest":"{digest}","size":{size}}}"#)
            .unwrap();
    }
    (text + "]}").into_bytes()
}

/// A layout, written by hand, of lists nested so deep; the digest of the outermost.
fn write_nested(path: &Path, depth: usize) -> Digest {
    let blobs = path.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let mut below = list_of(&[]);
    let mut digest = Digest::sha256(&below);
    fs::write(blobs.join(digest.hex()), &below).unwrap();
    for _ in 1..depth {
        below = list_of(&[(&digest, below.len())]);
        digest = Digest::sha256(&below);
        fs::write(blobs.join(digest.hex()), &below).unwrap();
    }
    let size = below.len();
    fs::write(path.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}").unwrap();
    fs::write(path.join("index.json"), format!(r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{OCI_INDEX}","digest":"{digest}","size":{size},"annotations":{{"org.opencontainers.image.ref.name":"deep"}}}}]}}"#)).unwrap();
    digest
}

#[test]
fn what_is_nested_deep_is_read_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let digest = write_nested(&folder.path().join("a"), 6_000);
    let server = Server::with(ServerOptions::new(folder.path()));
    assert_eq!(server.ask("GET", "/v2/a/manifests/deep").status, 200);
    let innermost = Digest::sha256(&list_of(&[]));
    assert_eq!(server.ask("GET", &format!("/v2/a/manifests/{innermost}")).status, 200);
    let unknown = Digest::sha256(b"unknown");
    assert_eq!(server.ask("GET", &format!("/v2/a/manifests/{unknown}")).status, 404);
    assert_eq!(server.ask("GET", &format!("/v2/a/referrers/{unknown}")).status, 200);
    assert_eq!(server.ask("DELETE", &format!("/v2/a/blobs/{innermost}")).status, 405);
    assert_eq!(server.ask("DELETE", &format!("/v2/a/manifests/{digest}")).status, 202);
    assert_eq!(server.ask("GET", &format!("/v2/a/blobs/{innermost}")).status, 404);
    assert_eq!(fs::read_dir(folder.path().join("a/blobs/sha256")).unwrap().count(), 0);
}

#[test]
fn lists_are_nested_only_so_deep_when_they_are_put() {
    let server = Server::new();
    let put = |bytes: &[u8]| {
        let digest = Digest::sha256(bytes);
        let reply = server.put_manifest("a", digest.as_str(), OCI_INDEX, bytes);
        (digest, bytes.len(), reply)
    };
    let manifest = server.push_image("a", "v1", b"layer");
    // 64 lists and an image in the innermost.
    let mut all = Vec::new();
    let mut bytes = index(&[&manifest]);
    for _ in 0..64 {
        let (digest, size, reply) = put(&bytes);
        assert_eq!(reply.status, 201, "{} lists: {reply:?}", all.len() + 1);
        all.push((digest, size));
        let (digest, size) = all.last().unwrap();
        bytes = list_of(&[(digest, *size)]);
    }
    let (_, _, refused) = put(&bytes);
    assert_eq!((refused.status, refused.code()), (400, "MANIFEST_INVALID".into()));
    let why = "indexes may be nested 64 levels deep; this one is deeper";
    assert_eq!(refused.json()["errors"][0]["detail"], why);
    // Short ways to the same lists do not hide the long one.
    let short_and_long: Vec<_> = all.iter().map(|(digest, size)| (digest, *size)).collect();
    let (_, _, refused) = put(&list_of(&short_and_long));
    assert_eq!(refused.code(), "MANIFEST_INVALID");
    let (_, _, taken) = put(&list_of(&short_and_long[..63]));
    assert_eq!(taken.status, 201, "{taken:?}");
}

/// Each list names each of the one before twice over: the ways double, the lists do not.
#[test]
fn many_ways_to_the_same_lists_cost_no_more() {
    let server = Server::new();
    let manifest = server.push_image("a", "v1", b"layer");
    let digest = Digest::sha256(&manifest);
    let mut layer = vec![(digest, manifest.len())];
    for level in 0..40 {
        let mut next = Vec::new();
        for side in 0..2 {
            let named: Vec<_> = layer.iter().map(|(digest, size)| (digest, *size)).collect();
            let text = String::from_utf8(list_of(&named)).unwrap();
            let text = text.replacen(
                "{",
                &format!("{{\"annotations\":{{\"side\":\"{level}-{side}\"}},"),
                1,
            );
            let digest = Digest::sha256(text.as_bytes());
            let reply = server.put_manifest("a", digest.as_str(), OCI_INDEX, text.as_bytes());
            assert_eq!(reply.status, 201, "{level}: {reply:?}");
            next.push((digest, text.len()));
        }
        layer = next;
    }
    let (top, _) = &layer[0];
    assert_eq!(server.ask("DELETE", &format!("/v2/a/manifests/{top}")).status, 202);
    assert_eq!(server.ask("GET", "/v2/a/manifests/v1").status, 200);
}

/// A damaged folder may have a list that names itself.
#[test]
fn a_list_that_names_itself_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    let digest = write_nested(&folder.path().join("a"), 1);
    let itself = list_of(&[(&digest, 7)]);
    fs::write(folder.path().join("a/blobs/sha256").join(digest.hex()), &itself).unwrap();
    let server = Server::with(ServerOptions::new(folder.path()));
    assert_eq!(server.ask("GET", "/v2/a/manifests/deep").status, 200);
    let above = list_of(&[(&digest, itself.len())]);
    assert_eq!(server.put_manifest("a", "above", OCI_INDEX, &above).code(), "MANIFEST_INVALID");
    assert_eq!(server.ask("DELETE", &format!("/v2/a/manifests/{digest}")).status, 202);
}
