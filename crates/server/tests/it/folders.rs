//! What lies in the folder and what is served are the same.

use std::os::unix::fs::symlink;

use fs_err as fs;
use skopeo_image::Digest;
use skopeo_server::ServerOptions;

use crate::client::{OCI_MANIFEST, Server, files, image};

const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Writes a layout as `oci:` would; one image for each reference.
fn write_layout(path: &std::path::Path, references: &[&str]) {
    let blobs = path.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(path.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}").unwrap();
    let put = |bytes: &[u8]| {
        let digest = Digest::sha256(bytes);
        fs::write(blobs.join(digest.hex()), bytes).unwrap();
        digest
    };
    let config = put(b"{}");
    let entries: Vec<_> = references
        .iter()
        .map(|reference| {
            let layer = put(reference.as_bytes());
            let manifest = image(&config, 2, &layer, reference.len());
            let digest = put(&manifest);
            let size = manifest.len();
            format!(r#"{{"mediaType":"{OCI_MANIFEST}","digest":"{digest}","size":{size},"annotations":{{"{REF_NAME}":"{reference}"}}}}"#)
        })
        .collect();
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
    fs::write(path.join("index.json"), index).unwrap();
}

fn tags(server: &Server, repository: &str) -> String {
    server.ask("GET", &format!("/v2/{repository}/tags/list")).json()["tags"].to_string()
}

#[test]
fn a_layout_is_a_repository_and_more() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("target");
    write_layout(
        &root,
        &["latest", "centos:7", "centos:8", "docker.io/library/x:1", "odd/ref name"],
    );
    let server = Server::with(ServerOptions::new(&root));
    let catalog = server.ask("GET", "/v2/_catalog").json()["repositories"].to_string();
    assert_eq!(catalog, r#"["centos","docker.io/library/x","target"]"#);
    assert_eq!(tags(&server, "target"), r#"["latest"]"#);
    assert_eq!(tags(&server, "centos"), r#"["7","8"]"#);
    assert_eq!(server.ask("GET", "/v2/docker.io/library/x/manifests/1").status, 200);
    assert_eq!(server.ask("GET", "/v2/centos/manifests/latest").status, 404);
    assert_eq!(server.ask("GET", "/v2/other/tags/list").code(), "NAME_UNKNOWN");

    server.push_image("centos", "9", b"new");
    server.push_image("target", "new", b"new");
    let index = fs::read_to_string(root.join("index.json")).unwrap();
    assert!(index.contains(r#"ref.name":"centos:9""#) && index.contains(r#"ref.name":"new""#));
    // Deleting in one repository leaves what another has of the same.
    let digest = Digest::sha256(&server.push_image("centos", "10", b"new"));
    assert_eq!(server.ask("DELETE", &format!("/v2/centos/manifests/{digest}")).status, 202);
    assert_eq!(tags(&server, "centos"), r#"["7","8"]"#);
    assert_eq!(tags(&server, "target"), r#"["latest","new"]"#);
    assert_eq!(server.ask("GET", "/v2/target/manifests/new").status, 200);
}

#[test]
fn layouts_below_are_repositories() {
    let folder = tempfile::tempdir().unwrap();
    write_layout(&folder.path().join("a"), &["v1", "centos:7"]);
    write_layout(&folder.path().join("a/b"), &["v2"]);
    let server = Server::with(ServerOptions::new(folder.path()));
    let catalog = server.ask("GET", "/v2/_catalog").json()["repositories"].to_string();
    assert_eq!(catalog, r#"["a","a/b","a/centos"]"#);
    assert_eq!(
        (tags(&server, "a"), tags(&server, "a/b")),
        (r#"["v1"]"#.into(), r#"["v2"]"#.into())
    );
    assert_eq!(tags(&server, "a/centos"), r#"["7"]"#);
    // What others write is seen at once.
    write_layout(&folder.path().join("a"), &["v1", "v3"]);
    assert_eq!(tags(&server, "a"), r#"["v1","v3"]"#);
    write_layout(&folder.path().join("c"), &["v1"]);
    assert_eq!(tags(&server, "c"), r#"["v1"]"#);
    fs::remove_dir_all(folder.path().join("c")).unwrap();
    assert_eq!(server.ask("GET", "/v2/c/tags/list").status, 404);
}

#[test]
fn a_push_leaves_a_layout_and_nothing_else() {
    let server = Server::new();
    let manifest = server.push_image("team/app", "v1", b"layer");
    server.push_blob("team/app", b"second upload");
    let hex = |bytes: &[u8]| format!("blobs/sha256/{}", Digest::sha256(bytes).hex());
    let mut expected: Vec<String> =
        [b"{}".as_slice(), b"layer", b"second upload", &manifest].map(hex).to_vec();
    expected.extend([".lock", "index.json", "oci-layout"].map(str::to_owned));
    expected.sort();
    assert_eq!(files(&server.root.join("team/app")), expected);
}

#[test]
fn nothing_outside_is_reached() {
    let folder = tempfile::tempdir().unwrap();
    let (root, outside) = (folder.path().join("root"), folder.path().join("outside"));
    write_layout(&outside, &["v1"]);
    write_layout(&root.join("good"), &["v1"]);
    symlink(&outside, root.join("link")).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    let secret = Digest::sha256(b"secret");
    symlink(outside.join("secret"), root.join("good/blobs/sha256").join(secret.hex())).unwrap();
    fs::create_dir_all(root.join("half")).unwrap();
    fs::write(root.join("half/oci-layout"), "{}").unwrap();
    symlink(outside.join("blobs"), root.join("half/blobs")).unwrap();
    let server = Server::with(ServerOptions::new(&root));
    let layer = Digest::sha256(b"v1");
    for path in [
        "/v2/link/tags/list".into(),
        "/v2/link/manifests/v1".into(),
        format!("/v2/link/blobs/{layer}"),
        format!("/v2/good/blobs/{secret}"),
        format!("/v2/half/blobs/{layer}"),
    ] {
        let path: String = path;
        assert_eq!(server.ask("GET", &path).status, 404, "{path}");
    }
    assert_eq!(server.ask("GET", &format!("/v2/good/blobs/{layer}")).status, 200);
    assert_eq!(server.ask("GET", "/v2/_catalog").json()["repositories"].to_string(), r#"["good"]"#);
    let before = files(&outside);
    for path in ["link", "link/below", "good/blobs", "good/index.json", "good/oci-layout/x"] {
        let reply = server.ask("POST", &format!("/v2/{path}/blobs/uploads/"));
        assert_eq!((reply.status, reply.code()), (400, "NAME_INVALID".into()), "{path}");
    }
    assert_eq!(files(&outside), before);
}

#[test]
fn damaged_folders_are_named_errors() {
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad");
    write_layout(&bad, &["v1"]);
    fs::write(bad.join("index.json"), "{\"manifests\": [").unwrap();
    let server = Server::with(ServerOptions::new(folder.path()));
    let reply = server.ask("GET", "/v2/bad/manifests/v1");
    assert_eq!((reply.status, reply.code()), (500, "UNKNOWN".into()));
    assert!(!String::from_utf8_lossy(&reply.body).contains(folder.path().to_str().unwrap()));
    assert_eq!(fs::read_to_string(bad.join("index.json")).unwrap(), "{\"manifests\": [");
    for entry in [r#"{"digest":"sha256:../../../x","size":1}"#, r#"{"digest":1}"#, "7"] {
        fs::write(bad.join("index.json"), format!("{{\"manifests\":[{entry}]}}")).unwrap();
        assert_eq!(server.ask("GET", "/v2/bad/manifests/v1").status, 404);
    }
}

/// `oci:` edits an index under a flock on `.lock`, too: who holds it is waited for.
#[test]
fn the_lock_is_that_of_layouts() {
    let server = Server::new();
    server.push_image("a", "v1", b"layer");
    let lock = fs::OpenOptions::new().write(true).open(server.root.join("a/.lock")).unwrap();
    lock.file().lock().unwrap();
    std::thread::scope(|scope| {
        let push = scope.spawn(|| server.push_image("a", "v2", b"layer"));
        // Reading waits for nobody. What is written meanwhile is not lost.
        assert_eq!(tags(&server, "a"), r#"["v1"]"#);
        write_layout(&server.root.join("a"), &["v3"]);
        assert!(!push.is_finished());
        drop(lock);
        push.join().unwrap();
    });
    assert_eq!(tags(&server, "a"), r#"["v2","v3"]"#);
}
