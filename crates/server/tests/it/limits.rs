//! How much is taken, and what goes by itself.

use std::io::{Read, Write};
use std::time::{Duration, SystemTime};

use fs_err as fs;
use skopeo_image::Digest;
use skopeo_server::{Memory, ServerOptions};

use crate::client::{Reply, Server, files};

fn limited(root: &std::path::Path, max_blob: Option<u64>, max_storage: Option<u64>) -> Server {
    let mut options = ServerOptions::new(root);
    options.storage.max_blob = max_blob;
    options.storage.max_storage = max_storage;
    Server::with(options)
}

/// What a repository whose name has no `/` counts for beside its blobs, in bytes.
const REPOSITORY: u64 = 20 << 10;

fn begin(server: &Server) -> String {
    server.ask("POST", "/v2/a/blobs/uploads/").header("location").to_owned()
}

fn push(server: &Server, bytes: &[u8]) -> Reply {
    let digest = Digest::sha256(bytes);
    server.send("POST", &format!("/v2/a/blobs/uploads/?digest={digest}"), &[], bytes)
}

fn detail(reply: &Reply) -> String {
    reply.json()["errors"][0]["detail"].as_str().unwrap_or_default().to_owned()
}

/// Sends a body whose length is not said beforehand.
fn send_chunked(server: &Server, method: &str, path: &str, pieces: &[&[u8]]) -> Reply {
    let mut stream = server.connect();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    for piece in pieces {
        write!(stream, "{:x}\r\n", piece.len()).unwrap();
        stream.write_all(piece).unwrap();
        stream.write_all(b"\r\n").unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    Reply::parse(&reply).unwrap()
}

#[test]
fn a_blob_has_a_largest_size() {
    let folder = tempfile::tempdir().unwrap();
    let server = limited(folder.path(), Some(10), None);
    assert_eq!(push(&server, b"0123456789").status, 201);
    let refused = push(&server, b"0123456789a");
    assert_eq!((refused.status, refused.code()), (413, "BLOB_UPLOAD_INVALID".into()));
    assert_eq!(detail(&refused), "the blob is larger than this registry accepts: 10 bytes at most");
    // In pieces, and with no length said.
    let location = begin(&server);
    assert_eq!(server.send("PATCH", &location, &[], b"01234567").status, 202);
    assert_eq!(server.send("PATCH", &location, &[], b"abc").status, 413);
    assert_eq!(server.ask("GET", &location).status, 404);
    let location = begin(&server);
    assert_eq!(send_chunked(&server, "PATCH", &location, &[b"01234", b"56789", b"a"]).status, 413);
    let location = begin(&server);
    let digest = Digest::sha256(b"0123456789a");
    let put = format!("{location}?digest={digest}");
    assert_eq!(send_chunked(&server, "PUT", &put, &[b"01234", b"56789a"]).status, 413);
    // Nothing of all this is left.
    assert!(!files(folder.path()).iter().any(|file| file.contains(".uploads")));
}

#[test]
fn all_blobs_and_uploads_have_a_largest_size() {
    let folder = tempfile::tempdir().unwrap();
    let most = 100 + 2 * REPOSITORY;
    let server = limited(folder.path(), None, Some(most));
    // A second repository, which counts though nothing has come yet.
    assert_eq!(server.ask("POST", "/v2/b/blobs/uploads/").status, 202);
    assert_eq!(push(&server, &[1; 40]).status, 201);
    let location = begin(&server);
    assert_eq!(server.send("PATCH", &location, &[], &[2; 40]).status, 202);
    let refused = push(&server, &[3; 21]);
    assert_eq!((refused.status, refused.code()), (507, "DENIED".into()));
    let why = format!("this registry is full: it stores {most} bytes at most");
    assert_eq!(detail(&refused), why);
    let other = begin(&server);
    assert_eq!(send_chunked(&server, "PATCH", &other, &[&[4; 20], &[4; 1]]).status, 507);
    // What had come stays, and counts.
    assert_eq!(server.ask("GET", &other).header("range"), "0-19");
    assert_eq!(push(&server, b"x").status, 507);
    // What is there already, sent once more, takes no more room than it needs on the way.
    assert_eq!(server.ask("DELETE", &other).status, 204);
    assert_eq!(push(&server, &[5; 20]).status, 201);
    assert_eq!(push(&server, b"x").status, 507);
    // A manifest counts too.
    let reply =
        server.put_manifest("a", "v1", crate::client::OCI_INDEX, &crate::client::index(&[]));
    assert_eq!((reply.status, reply.code()), (507, "DENIED".into()));

    // The same after a restart.
    let again = limited(folder.path(), None, Some(most));
    assert_eq!(push(&again, b"x").status, 507);
    assert_eq!(again.ask("DELETE", &location).status, 204);
    assert_eq!(push(&again, &[5; 20]).status, 201); // replaces itself
    assert_eq!(push(&again, &[6; 40]).status, 201);
    assert_eq!(push(&again, b"x").status, 507);
    let gone = Digest::sha256(&[6; 40]);
    assert_eq!(again.ask("DELETE", &format!("/v2/a/blobs/{gone}")).status, 202);
    assert_eq!(push(&again, &[7; 40]).status, 201);
    // What is mounted has two names and is stored once.
    let shared = Digest::sha256(&[7; 40]);
    let mount = format!("/v2/b/blobs/uploads/?mount={shared}&from=a");
    assert_eq!(again.send("POST", &mount, &[], b"").status, 201);
    assert_eq!(again.ask("DELETE", &format!("/v2/a/blobs/{shared}")).status, 202);
    assert_eq!(push(&again, b"x").status, 507);
    assert_eq!(again.ask("DELETE", &format!("/v2/b/blobs/{shared}")).status, 202);
    assert_eq!(push(&again, &[8; 40]).status, 201);
}

#[test]
fn repositories_count_even_if_they_are_empty() {
    let folder = tempfile::tempdir().unwrap();
    let most = 2 * REPOSITORY + (36 << 12) + 10; // one name has 32 components
    let server = limited(folder.path(), None, Some(most));
    let deep = vec!["deep"; 32].join("/");
    let mut begun = Vec::new();
    for name in ["a", &deep, "b"] {
        let reply = server.ask("POST", &format!("/v2/{name}/blobs/uploads/"));
        assert_eq!(reply.status, 202, "{name}: {reply:?}");
        begun.push(reply.header("location").to_owned());
    }
    let is_full = |server: &Server| {
        let refused = server.ask("POST", "/v2/c/blobs/uploads/");
        assert_eq!((refused.status, refused.code()), (507, "DENIED".into()));
        assert!(!folder.path().join("c").exists());
        // Those that are there have what is left.
        assert_eq!(push(server, b"0123456789").status, 201);
        let digest = Digest::sha256(b"0123456789");
        assert_eq!(server.ask("DELETE", &format!("/v2/a/blobs/{digest}")).status, 202);
    };
    is_full(&server);
    drop(server);
    let server = limited(folder.path(), None, Some(most));
    is_full(&server);
    // The room of one that goes, with the folders above it, is there for another.
    assert_eq!(server.ask("DELETE", &begun[1]).status, 204);
    assert!(!folder.path().join("deep").exists());
    for name in ["c", "d/e"] {
        assert_eq!(server.ask("POST", &format!("/v2/{name}/blobs/uploads/")).status, 202);
    }
}

#[test]
fn room_that_others_make_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let server = limited(folder.path(), None, Some(50 + REPOSITORY));
    assert_eq!(push(&server, &[1; 50]).status, 201);
    assert_eq!(push(&server, b"x").status, 507);
    let hex = Digest::sha256(&[1; 50]);
    fs::remove_file(folder.path().join("a/blobs/sha256").join(hex.hex())).unwrap();
    while push(&server, b"x").status == 507 {
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn uploads_that_nobody_goes_on_with_go_while_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = ServerOptions::new(folder.path());
    options.storage.abandoned = Duration::from_secs(3600);
    let server = Server::with(options);
    let (old, new, busy) = (begin(&server), begin(&server), begin(&server));
    let path = |location: &str| {
        let id = location.rsplit('/').next().unwrap().to_owned();
        folder.path().join("a/.uploads").join(id)
    };
    let age = |location: &str| {
        let long_ago = SystemTime::now() - Duration::from_secs(7200);
        fs::OpenOptions::new()
            .write(true)
            .open(path(location))
            .unwrap()
            .file()
            .set_modified(long_ago)
            .unwrap();
    };
    age(&old);
    age(&busy);
    let held = fs::File::open(path(&busy)).unwrap();
    held.file().lock().unwrap();
    // A temporary file of a server that was killed goes too; what has another name stays.
    let shelf = folder.path().join("a/blobs/sha256");
    let two_days = SystemTime::now() - Duration::from_secs(48 * 3600);
    for name in [".new-0123456789abcdef", "foreign"] {
        fs::write(shelf.join(name), "x").unwrap();
        fs::OpenOptions::new()
            .write(true)
            .open(shelf.join(name))
            .unwrap()
            .file()
            .set_modified(two_days)
            .unwrap();
    }
    drop(server);
    let mut options = ServerOptions::new(folder.path());
    options.storage.abandoned = Duration::from_secs(3600);
    let server = Server::with(options);
    while path(&old).exists() || shelf.join(".new-0123456789abcdef").exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(path(&new).exists() && path(&busy).exists() && shelf.join("foreign").exists());
    drop(held);
    assert_eq!(server.send("PATCH", &busy, &[], b"goes on").status, 202);
    assert_eq!(server.ask("GET", &old).status, 404);
}

#[test]
fn uploads_go_while_the_same_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = ServerOptions::new(folder.path());
    options.storage.abandoned = Duration::from_secs(3600);
    options.storage.max_storage = Some(10 + REPOSITORY);
    let server = Server::with(options);
    let location = begin(&server);
    assert_eq!(server.send("PATCH", &location, &[], b"0123456789").status, 202);
    // Nobody goes on with it for two hours, and then somebody is told that there is no room.
    let id = location.rsplit('/').next().unwrap();
    let file = fs::File::open(folder.path().join("a/.uploads").join(id)).unwrap();
    file.file().set_modified(SystemTime::now() - Duration::from_secs(7200)).unwrap();
    while folder.path().join("a/.uploads").exists() {
        assert_eq!(push(&server, b"one too many").status, 507);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(server.ask("GET", &location).status, 404);
    // And the room it had is free. What came while it was counted may be counted twice, until it is
    // counted again.
    let pushed = loop {
        match push(&server, b"0123456789").status {
            507 => std::thread::sleep(Duration::from_millis(50)),
            pushed => break pushed,
        }
    };
    assert_eq!(pushed, 201);
}

#[test]
fn a_folder_that_is_missing_is_an_error_unless_it_is_to_be_made() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = ServerOptions::new(folder.path().join("typo"));
    options.create = false;
    assert!(skopeo_server::Registry::open(options).is_err());
    assert!(!folder.path().join("typo").exists());
}

#[test]
fn names_are_no_deeper_than_is_looked_for() {
    let root = tempfile::tempdir().unwrap();
    let server = limited(root.path(), None, Some(1_000_000));
    for (depth, status) in [(32, 202), (33, 400), (40, 400)] {
        let name = vec!["a"; depth].join("/");
        let reply = server.send("POST", &format!("/v2/{name}/blobs/uploads/"), &[], b"");
        assert_eq!(reply.status, status, "{depth}");
    }
}

/// What the server writes it can read: an index with as many entries as are read takes no more.
#[test]
fn an_index_that_is_full_takes_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = ServerOptions::new(folder.path());
    options.limits.memory = Memory::new(4 << 30);
    let server = Server::with(options);
    let manifest = server.push_image("a", "v1", b"layer");
    let path = folder.path().join("a/index.json");
    let index: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let entry = index["manifests"][0].to_string();
    let others = vec!["1"; (1 << 20) - 1].join(",");
    let full = format!(r#"{{"schemaVersion":2,"manifests":[{entry},{others}]}}"#);
    fs::write(&path, &full).unwrap();
    let shelf = folder.path().join("a/blobs/sha256");
    let before = files(&shelf);
    let index = crate::client::index(&[&manifest]);
    let refused = server.put_manifest("a", "v2", crate::client::OCI_INDEX, &index);
    assert_eq!((refused.status, refused.code()), (507, "DENIED".into()));
    let why = "this repository is full: its index lists 1048576 manifests at most";
    assert_eq!(detail(&refused), why);
    assert_eq!(fs::read_to_string(&path).unwrap(), full);
    assert_eq!(files(&shelf), before);
    // What replaces or removes is taken.
    let again = server.put_manifest("a", "v1", crate::client::OCI_MANIFEST, &manifest);
    assert_eq!(again.status, 201, "{again:?}");
    let digest = Digest::sha256(&manifest);
    assert_eq!(server.ask("DELETE", &format!("/v2/a/manifests/{digest}")).status, 202);
    // What lists more was written by somebody else: it is not served, and the answer says why.
    fs::write(&path, full.replacen("1,", "1,1,", 1)).unwrap();
    let refused = server.ask("GET", "/v2/a/manifests/v1");
    assert_eq!((refused.status, refused.code()), (503, "UNAVAILABLE".into()));
    let why = "the index.json of this repository lists more than 1048576 manifests: this is too much to serve";
    assert_eq!((detail(&refused).as_str(), refused.header("retry-after")), (why, ""));
    fs::File::create(&path).unwrap().set_len((64 << 20) + 1).unwrap();
    let refused = server.ask("GET", "/v2/a/tags/list");
    let why = "the index.json of this repository has more than 67108864 bytes: this is too much to \
               serve";
    assert_eq!((refused.status, detail(&refused).as_str()), (503, why));
    assert_eq!(server.ask("GET", "/v2/_catalog").status, 200);
}

/// As `oci:` writes it: more tags than were once served, and more than the memory is enough for.
#[test]
fn a_layout_of_many_tags_is_served_if_there_is_memory() {
    const TAGS: usize = 210_000;
    let folder = tempfile::tempdir().unwrap();
    let server = Server::with(ServerOptions::new(folder.path()));
    let manifest = server.push_image("a", "v1", b"layer");
    drop(server);
    let entry = format!(
        r#"{{"mediaType":"{}","digest":"{}","size":{},"annotations":{{"org.opencontainers.image.ref.name":"#,
        crate::client::OCI_MANIFEST,
        Digest::sha256(&manifest),
        manifest.len()
    );
    let entries: Vec<_> = (0..TAGS).map(|tag| format!("{entry}\"v{tag}\"}}}}")).collect();
    let text = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
    fs::write(folder.path().join("a/index.json"), text).unwrap();
    let limited = |memory| {
        let mut options = ServerOptions::new(folder.path());
        options.limits.memory = Memory::new(memory);
        Server::with(options)
    };
    let server = limited(2 << 30);
    assert_eq!(server.ask("GET", "/v2/a/manifests/v209999").body, manifest);
    let page = server.ask("GET", "/v2/a/tags/list?n=2&last=v209998").json();
    assert_eq!(page["tags"], serde_json::json!(["v209999", "v21"]));
    let put = server.put_manifest("a", "new", crate::client::OCI_MANIFEST, &manifest);
    assert_eq!(put.status, 201, "{put:?}");
    let server = limited(64 << 20);
    server.push_image("b", "v1", b"layer");
    for path in ["/v2/a/manifests/v1", "/v2/a/tags/list?n=1"] {
        let refused = server.ask("GET", path);
        assert_eq!((refused.status, refused.code()), (503, "UNAVAILABLE".into()), "{path}");
        assert!(detail(&refused).contains("(three sixteenths of --max-memory)"), "{refused:?}");
        assert_eq!(refused.header("retry-after"), "", "{path}");
    }
    // Nobody else is kept from anything.
    let names = server.ask("GET", "/v2/_catalog").json();
    assert_eq!(names, serde_json::json!({"repositories": ["b"]}));
    assert_eq!(server.ask("GET", "/v2/b/manifests/v1").body, manifest);
}

/// The same for its bytes.
#[test]
fn an_index_does_not_grow_beyond_what_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = ServerOptions::new(folder.path());
    options.limits.memory = Memory::new(1 << 30);
    let server = Server::with(options);
    let manifest = server.push_image("a", "v1", b"layer");
    let path = folder.path().join("a/index.json");
    let text = fs::read_to_string(&path).unwrap();
    let filler = "x".repeat((64 << 20) - text.len() - 20);
    let full = format!(r#"{},"x":"{filler}"}}"#, text.strip_suffix('}').unwrap());
    assert!(full.len() <= 64 << 20);
    fs::write(&path, &full).unwrap();
    let put = |tag| server.put_manifest("a", tag, crate::client::OCI_MANIFEST, &manifest);
    let refused = put("v2");
    assert_eq!((refused.status, refused.code()), (507, "DENIED".into()));
    assert!(detail(&refused).contains("its index has 67108864 bytes at most"), "{refused:?}");
    assert_eq!(server.ask("DELETE", "/v2/a/manifests/v1").status, 202);
    assert_eq!(put("v1").status, 201);
}
