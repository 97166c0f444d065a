//! What came to nothing leaves nothing: no repository, no folder above it, no room that is taken.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use fs_err as fs;
use skopeo_image::Digest;
use skopeo_server::{Durability, ServerOptions};

use crate::client::{OCI_INDEX, OCI_MANIFEST, Server, files, image, index};

fn is_bare(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn a_refused_manifest_makes_no_repository() {
    let server = Server::new();
    let (one, other) = (Digest::sha256(b"one"), Digest::sha256(b"other"));
    let instance = image(&one, 3, &other, 5);
    let needs_blobs = String::from_utf8(instance.clone()).unwrap();
    for (reference, media_type, body, code) in [
        ("1", OCI_INDEX, &b"{}"[..], "MANIFEST_INVALID"),
        ("1", OCI_INDEX, b"nonsense", "MANIFEST_INVALID"),
        (other.as_str(), OCI_INDEX, &index(&[])[..], "DIGEST_INVALID"),
        ("1", OCI_MANIFEST, needs_blobs.as_bytes(), "MANIFEST_BLOB_UNKNOWN"),
        ("1", OCI_INDEX, &index(&[&instance]), "MANIFEST_BLOB_UNKNOWN"),
    ] {
        let refused = server.put_manifest("deep/zzz", reference, media_type, body);
        assert_eq!((refused.status, refused.code()), (400, code.into()), "{refused:?}");
        assert!(is_bare(&server.root), "{code}");
    }
}

/// One that there is no room for is refused after its repository was made.
#[test]
fn a_manifest_without_room_makes_no_repository() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = ServerOptions::new(folder.path());
    options.storage.max_storage = Some((20 << 10) + 10);
    let server = Server::with(options);
    for _ in 0..3 {
        let refused = server.put_manifest("a", "1", OCI_INDEX, &index(&[]));
        assert_eq!((refused.status, refused.code()), (507, "DENIED".into()));
        assert!(is_bare(folder.path()));
    }
    // And its room is there again.
    assert_eq!(server.ask("POST", "/v2/a/blobs/uploads/").status, 202);
}

#[test]
fn a_push_that_fails_leaves_no_repository() {
    let server = Server::new();
    let digest = Digest::sha256(b"something else");
    let whole = format!("/v2/a/b/blobs/uploads/?digest={digest}");
    let begin = || server.ask("POST", "/v2/a/b/blobs/uploads/").header("location").to_owned();
    let steps: [(&str, &dyn Fn() -> u16); 5] = [
        ("whole", &|| server.send("POST", &whole, &[], b"bytes").status),
        ("in pieces", &|| {
            server.send("PUT", &format!("{}?digest={digest}", begin()), &[], b"bytes").status
        }),
        ("given up", &|| server.ask("DELETE", &begin()).status),
        ("no blob", &|| {
            let mount = format!("/v2/a/b/blobs/uploads/?mount={digest}&from=c");
            let begun = server.send("POST", &mount, &[], b"");
            assert_eq!(begun.status, 202);
            server.ask("DELETE", begun.header("location")).status
        }),
        ("bad digest", &|| server.send("POST", "/v2/a/b/blobs/uploads/?digest=x", &[], b"").status),
    ];
    for (what, step) in steps {
        let status = step();
        assert!([204, 400].contains(&status), "{what}: {status}");
        assert!(is_bare(&server.root), "{what}");
    }
}

/// Nobody knows the id of what was to be uploaded in one request.
#[test]
fn a_push_that_breaks_off_leaves_no_repository() {
    let server = Server::new();
    let digest = Digest::sha256(b"never comes");
    for sent in [0, 1000] {
        let mut stream = server.connect();
        write!(stream, "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n").unwrap();
        stream.write_all(&vec![b'x'; sent]).unwrap();
        while !server.root.join("a/.uploads").exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(stream);
        assert!(is_bare(server.settled()));
    }
}

/// What somebody else has put there, or is about to.
#[test]
fn what_is_not_ours_stays() {
    let server = Server::new();
    let empty = |name: &str| {
        let folder = server.root.join(name);
        fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        fs::write(folder.join("index.json"), r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
        folder
    };
    fs::write(empty("file").join("README"), "mine").unwrap();
    fs::write(empty("copied").join("oci-put-blob123"), "half").unwrap();
    fs::write(empty("other").join("blobs/sha256/x"), "").unwrap();
    std::os::unix::fs::symlink("/", empty("link").join("blobs/link")).unwrap();
    let said = r#"{"schemaVersion":2,"manifests":[],"annotations":{"a":"b"}}"#;
    fs::write(empty("said").join("index.json"), said).unwrap();
    empty("gone");
    for name in ["file", "copied", "other", "link", "said", "gone"] {
        let begun = server.ask("POST", &format!("/v2/{name}/blobs/uploads/"));
        assert_eq!(server.ask("DELETE", begun.header("location")).status, 204);
        assert_eq!(server.root.join(name).join("oci-layout").exists(), name != "gone", "{name}");
    }
    assert_eq!(files(&server.root.join("file")), ["README", "index.json", "oci-layout"]);
    assert_eq!(fs::read_to_string(server.root.join("said/index.json")).unwrap(), said);
}

/// The folder that is served is never removed.
#[test]
fn the_folder_itself_stays() {
    let server = Server::new();
    fs::write(server.root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let begun = server.ask("POST", "/v2/served/blobs/uploads/");
    assert_eq!(server.ask("DELETE", begun.header("location")).status, 204);
    let manifest = server.push_image("served", "1", b"layer");
    let digest = Digest::sha256(&manifest);
    assert_eq!(server.ask("DELETE", &format!("/v2/served/manifests/{digest}")).status, 202);
    assert!(server.root.join("oci-layout").exists());
}

/// All below a folder was written to long ago, but for what is below another.
fn make_old(path: &Path, except: &Path) {
    // What has gone meanwhile is old enough.
    let Ok(file) = fs::File::open(path) else { return };
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.path() != except {
            make_old(&entry.path(), except);
        }
    }
    let _ = file.file().set_modified(SystemTime::now() - Duration::from_secs(7200));
}

/// A server that was killed leaves uploads, and repositories without any; who deletes all there is
/// leaves the repository.
#[test]
fn what_was_abandoned_goes() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::with(ServerOptions::new(folder.path()));
    assert_eq!(server.ask("POST", "/v2/a/b/blobs/uploads/").status, 202);
    assert_eq!(server.ask("POST", "/v2/c/blobs/uploads/").status, 202);
    let manifest = server.push_image("d/e", "1", b"layer");
    let below = server.push_image("d/e/f", "1", b"layer");
    let digest = Digest::sha256(&manifest);
    assert_eq!(server.ask("DELETE", &format!("/v2/d/e/manifests/{digest}")).status, 202);
    assert!(server.root.join("d/e/oci-layout").exists());
    drop(server);
    let uploads = folder.path().join("c/.uploads");
    fs::remove_dir_all(&uploads).unwrap();
    let mut options = ServerOptions::new(folder.path());
    options.storage.abandoned = Duration::from_secs(3600);
    options.storage.max_storage = Some(1);
    let server = Server::with(options);
    let is_left = |name: &str| folder.path().join(name).exists();
    // Each time is one more hour after the last change, and who is told that there is no room makes
    // the server look.
    while ["a", "c", "d/e/oci-layout", "d/e/blobs"].into_iter().any(is_left) {
        for name in ["a", "c", "d/e"] {
            make_old(&folder.path().join(name), &folder.path().join("d/e/f"));
        }
        assert_eq!(server.ask("POST", "/v2/z/blobs/uploads/").status, 507);
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(server);
    let server = Server::with(ServerOptions::new(folder.path()));
    // What lies below it stays.
    assert_eq!(server.ask("GET", "/v2/d/e/f/manifests/1").body, below);
    assert_eq!(server.ask("GET", "/v2/d/e/tags/list").status, 404);
    assert_eq!(server.push_image("d/e", "1", b"layer"), manifest);
}

/// Two servers, many clients, each of whom makes and gives up the same repository while others push
/// to it: nobody who was told that something is there is wrong.
#[test]
fn who_pushes_while_others_give_up() {
    let folder = tempfile::tempdir().unwrap();
    let servers: Vec<_> = (0..2)
        .map(|_| {
            let mut options = ServerOptions::new(folder.path());
            options.durability = Durability::Kill;
            Server::with(options)
        })
        .collect();
    let (one, two) = (&servers[0], &servers[1]);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for server in [one, two] {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let begun = server.ask("POST", "/v2/x/y/blobs/uploads/");
                    assert_eq!(begun.status, 202, "{begun:?}");
                    let ended = server.ask("DELETE", begun.header("location"));
                    assert_eq!(ended.status, 204, "{ended:?}");
                }
            });
        }
        let pushers: Vec<_> = [(one, two), (two, one)]
            .into_iter()
            .enumerate()
            .map(|(number, (server, other))| {
                scope.spawn(move || {
                    for round in 0..40 {
                        let content = format!("{number} {round}");
                        let digest = server.push_blob("x/y", content.as_bytes());
                        let path = format!("/v2/x/y/blobs/{digest}");
                        assert_eq!(server.ask("GET", &path).body, content.as_bytes());
                        assert_eq!(other.ask("DELETE", &path).status, 202, "{content}");
                        let list = index(&[]);
                        let put =
                            other.put_manifest("x/y", &content.replace(' ', "-"), OCI_INDEX, &list);
                        assert_eq!(put.status, 201, "{put:?}");
                        let path = format!("/v2/x/y/manifests/{}", content.replace(' ', "-"));
                        assert_eq!(server.ask("GET", &path).body, list, "{content}");
                        assert_eq!(server.ask("DELETE", &path).status, 202, "{content}");
                    }
                })
            })
            .collect();
        for pusher in pushers {
            pusher.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    let digest = Digest::sha256(&index(&[]));
    let path = format!("/v2/x/y/manifests/{digest}");
    assert_eq!(one.ask("DELETE", &path).status, 202);
    // What is left is a layout, and one that a push that fails removes.
    let begun = two.ask("POST", "/v2/x/y/blobs/uploads/");
    assert_eq!(two.ask("DELETE", begun.header("location")).status, 204);
    assert!(is_bare(folder.path()), "{:?}", files(folder.path()));
}
