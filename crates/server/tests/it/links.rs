//! A link at every place of a served folder leads nowhere: neither to read, nor to write.

use std::os::unix::fs::symlink;
use std::path::Path;

use fs_err as fs;
use skopeo_image::Digest;
use skopeo_server::ServerOptions;

use crate::client::{OCI_MANIFEST, Server, image};

const SECRET: &[u8] = b"a secret of another folder";

/// All that is in a folder: paths, what they are, and what is in files.
fn picture(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let kind = fs::symlink_metadata(&path).unwrap();
            let content = if kind.is_dir() {
                waiting.push(path.clone());
                Vec::new()
            } else {
                fs::read(&path).unwrap()
            };
            found.push((path.display().to_string(), content));
        }
    }
    found.sort();
    found
}

/// Everything that a client may ask of a repository. What comes back holds no secret.
fn ask_everything(server: &Server, repository: &str, upload: &str) {
    let secret = Digest::sha256(SECRET);
    let layer = Digest::sha256(b"layer");
    let config = Digest::sha256(b"{}");
    let manifest = image(&config, 2, &layer, 5);
    let digest = Digest::sha256(&manifest);
    let uploads = format!("/v2/{repository}/blobs/uploads/");
    let mut requests: Vec<(&str, String, &[u8])> = Vec::new();
    for method in ["GET", "HEAD"] {
        for blob in [&secret, &layer, &config, &digest] {
            requests.push((method, format!("/v2/{repository}/blobs/{blob}"), b""));
        }
        for reference in ["v1", "v2", digest.as_str(), secret.as_str()] {
            requests.push((method, format!("/v2/{repository}/manifests/{reference}"), b""));
        }
        requests.push((method, format!("{uploads}{upload}"), b""));
    }
    requests.push(("GET", "/v2/_catalog".into(), b""));
    requests.push(("GET", format!("/v2/{repository}/tags/list"), b""));
    requests.push(("GET", format!("/v2/{repository}/referrers/{secret}"), b""));
    requests.push(("POST", uploads.clone(), b""));
    requests.push(("POST", format!("{uploads}?digest={layer}"), b"layer"));
    requests.push(("POST", format!("{uploads}?mount={secret}&from={repository}"), b""));
    requests.push(("POST", format!("{uploads}?mount={layer}&from=good"), b""));
    requests.push((
        "POST",
        format!("/v2/good/blobs/uploads/?mount={secret}&from={repository}"),
        b"",
    ));
    requests.push(("PATCH", format!("{uploads}{upload}"), b"evil"));
    requests.push(("PUT", format!("{uploads}{upload}?digest={secret}"), b""));
    requests.push(("PUT", format!("{uploads}{upload}?digest={layer}"), b"layer"));
    requests.push(("PUT", format!("/v2/{repository}/manifests/v2"), &manifest));
    requests.push(("PUT", format!("/v2/{repository}/manifests/{digest}"), &manifest));
    requests.push(("DELETE", format!("{uploads}{upload}"), b""));
    requests.push(("DELETE", format!("/v2/{repository}/manifests/v1"), b""));
    requests.push(("DELETE", format!("/v2/{repository}/manifests/{digest}"), b""));
    for blob in [&secret, &layer] {
        requests.push(("DELETE", format!("/v2/{repository}/blobs/{blob}"), b""));
    }
    for (method, path, body) in requests {
        let reply = server.send(method, &path, &[("Content-Type", OCI_MANIFEST)], body);
        let shown = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(!shown.contains("secret"), "{method} {path}: {shown}");
        assert!(!shown.contains("outside"), "{method} {path}: {shown}");
    }
    assert_eq!(server.ask("GET", "/v2/good/manifests/v1").status, 200);
}

/// A layout with a link at `place`, all requests, and what lies outside after them.
fn check(place: &str, target: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (root, outside) = (folder.path().join("root"), folder.path().join("outside"));
    // What is outside is all that the server could want to find.
    let upload = "01234567-89ab-4cde-8f01-23456789abcd";
    {
        let server = Server::with(ServerOptions::new(&outside));
        server.push_image("team/app", "v1", b"layer");
        let app = outside.join("team/app");
        fs::create_dir_all(app.join(".uploads")).unwrap();
        fs::write(app.join(".uploads").join(upload), SECRET).unwrap();
        fs::write(app.join("blobs/sha256").join(Digest::sha256(SECRET).hex()), SECRET).unwrap();
        fs::write(app.join("blobs/sha256/.new-0123456789abcdef"), SECRET).unwrap();
        fs::write(outside.join("file"), SECRET).unwrap();
    }
    let old = std::time::SystemTime::UNIX_EPOCH;
    for (path, _) in picture(&outside) {
        fs::File::open(&path).unwrap().file().set_modified(old).unwrap();
    }
    let mut options = ServerOptions::new(&root);
    options.storage.abandoned = std::time::Duration::ZERO;
    options.storage.max_storage = Some(1 << 30);
    {
        let server = Server::with(ServerOptions::new(&root));
        server.push_image("good", "v1", b"layer");
        server.push_image("team/app", "v1", b"layer");
    }
    let at = root.join(place);
    let _ = fs::remove_file(&at);
    let _ = fs::remove_dir_all(&at);
    fs::create_dir_all(at.parent().unwrap()).unwrap();
    symlink(outside.join(target), &at).unwrap();
    let before = picture(&outside);
    let server = Server::with(options);
    ask_everything(&server, "team/app", upload);
    // Twice: what the first made must not be the way for the second.
    ask_everything(&server, "team/app", upload);
    drop(server);
    assert_eq!(picture(&outside), before, "{place} -> {target}");
}

#[test]
fn a_link_at_every_place_leads_nowhere() {
    let hex = |bytes: &[u8]| Digest::sha256(bytes).hex().to_owned();
    let manifest = image(&Digest::sha256(b"{}"), 2, &Digest::sha256(b"layer"), 5);
    let blob = |bytes: &[u8]| format!("team/app/blobs/sha256/{}", hex(bytes));
    let upload = "team/app/.uploads/01234567-89ab-4cde-8f01-23456789abcd";
    for (place, target) in [
        ("team", "team"),
        ("team/app", "team/app"),
        ("team/app/.uploads", "team/app/.uploads"),
        ("team/app/.uploads", "."),
        ("team/app/.lock", "team/app/.lock"),
        ("team/app/.lock", "missing"),
        ("team/app/.lock", "file"),
        ("team/app/index.json", "team/app/index.json"),
        ("team/app/index.json", "missing"),
        ("team/app/oci-layout", "team/app/oci-layout"),
        ("team/app/oci-layout", "missing"),
        ("team/app/blobs", "team/app/blobs"),
        ("team/app/blobs/sha256", "team/app/blobs/sha256"),
        (&blob(SECRET), "file"),
        (&blob(b"layer"), "file"),
        (&blob(b"{}"), "missing"),
        (&blob(&manifest), "file"),
        (&blob(&manifest), "missing"),
        (upload, "file"),
        (upload, "missing"),
        ("team/app/blobs/sha256/.new-0123456789abcdef", "file"),
        ("team/app/blobs/sha512", "team/app/blobs/sha256"),
        ("team/app/other", "team/app"),
        ("blobs", "team/app/blobs"),
        ("index.json", "team/app/index.json"),
        ("oci-layout", "team/app/oci-layout"),
        (".uploads", "team/app/.uploads"),
        (".lock", "file"),
    ] {
        check(place, target);
    }
}

/// The folder itself may be reached by a link, which is resolved when it is opened.
#[test]
fn the_served_folder_may_be_a_link() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("real")).unwrap();
    symlink("real", folder.path().join("link")).unwrap();
    let server = Server::with(ServerOptions::new(folder.path().join("link")));
    server.push_image("a", "v1", b"layer");
    fs::remove_file(folder.path().join("link")).unwrap();
    symlink("/nowhere", folder.path().join("link")).unwrap();
    assert_eq!(server.ask("GET", "/v2/a/manifests/v1").status, 200);
    assert!(folder.path().join("real/a/index.json").exists());
}
