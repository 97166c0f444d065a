//! One folder, several servers and programs: what gets a blob's name has its bytes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use skopeo_image::Digest;
use skopeo_server::ServerOptions;

use crate::client::{Reply, Server, files};

/// Two servers over one folder.
fn pair() -> (Server, Server) {
    let one = Server::new();
    let two = Server::with(ServerOptions::new(&one.root));
    (one, two)
}

/// A server that gives up soon where another has the lock.
fn impatient(root: &Path) -> Server {
    let mut options = ServerOptions::new(root);
    options.storage.lock = Duration::from_millis(50);
    Server::with(options)
}

fn begin(server: &Server) -> String {
    let begun = server.ask("POST", "/v2/a/blobs/uploads/");
    assert_eq!(begun.status, 202, "{begun:?}");
    begun.header("location").to_owned()
}

/// A PATCH whose head the server has seen and whose body has not come.
struct Open {
    stream: TcpStream,
    length: usize,
}

impl Open {
    fn patch(server: &Server, location: &str, length: usize) -> Self {
        let mut stream = server.connect();
        write!(
            stream,
            "PATCH {location} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n"
        )
        .unwrap();
        // The server says so when it reads the body: it has the upload by then.
        let mut ready = [0; 25];
        stream.read_exact(&mut ready).unwrap();
        assert_eq!(&ready, b"HTTP/1.1 100 Continue\r\n\r\n");
        Self { stream, length }
    }

    fn end(mut self, body: &[u8]) -> Reply {
        assert_eq!(body.len(), self.length);
        self.stream.write_all(body).unwrap();
        let mut reply = Vec::new();
        self.stream.read_to_end(&mut reply).unwrap();
        Reply::parse(&reply).unwrap()
    }
}

fn uploads(server: &Server) -> PathBuf {
    server.root.join("a/.uploads")
}

/// Every blob has the bytes of its name.
fn assert_whole(root: &Path) {
    for file in files(root) {
        if let Some((_, hex)) = file.split_once("blobs/sha256/") {
            let bytes = fs::read(root.join(&file)).unwrap();
            assert_eq!(Digest::sha256(&bytes).hex(), hex, "{file}");
        }
    }
}

#[test]
fn who_appends_keeps_others_from_finishing() {
    let (one, _) = pair();
    let two = impatient(&one.root);
    for method in ["PUT", "PATCH", "GET", "DELETE"] {
        let location = begin(&one);
        assert_eq!(one.send("PATCH", &location, &[], b"good").status, 202);
        let open = Open::patch(&one, &location, 4);
        let digest = Digest::sha256(b"good");
        let target = match method {
            "PUT" => format!("{location}?digest={digest}"),
            _ => location.clone(),
        };
        let reply = two.send(method, &target, &[], b"");
        assert_eq!((reply.status, reply.code()), (503, "UNAVAILABLE".into()), "{method}");
        assert_eq!(reply.header("retry-after"), "1", "{method}");
        assert_eq!(open.end(b"evil").header("range"), "0-7", "{method}");
        assert_eq!(two.ask("HEAD", &format!("/v2/a/blobs/{digest}")).status, 404, "{method}");
        let both = Digest::sha256(b"goodevil");
        let done = two.send("PUT", &format!("{location}?digest={both}"), &[], b"");
        assert_eq!(done.status, 201, "{method}: {done:?}");
        assert_whole(&one.root);
    }
}

#[test]
fn who_comes_after_the_end_changes_nothing() {
    let (one, two) = pair();
    let location = begin(&one);
    assert_eq!(one.send("PATCH", &location, &[], b"good").status, 202);
    let digest = Digest::sha256(b"good");
    let done = two.send("PUT", &format!("{location}?digest={digest}"), &[], b"");
    assert_eq!(done.status, 201, "{done:?}");
    for (server, method) in
        [(&one, "PATCH"), (&two, "PATCH"), (&one, "PUT"), (&one, "GET"), (&one, "DELETE")]
    {
        let target = match method {
            "PUT" => format!("{location}?digest={digest}"),
            _ => location.clone(),
        };
        let reply = server.send(method, &target, &[], b"evil");
        assert_eq!((reply.status, reply.code()), (404, "BLOB_UPLOAD_UNKNOWN".into()), "{method}");
    }
    assert_eq!(one.ask("GET", &format!("/v2/a/blobs/{digest}")).body, b"good");
    assert_whole(&one.root);
    assert!(!uploads(&one).exists());
}

/// The hash that one server has in its memory is not that of the file any more.
#[test]
fn pieces_may_go_to_any_server() {
    let (one, two) = pair();
    let location = begin(&one);
    for (server, piece, range) in
        [(&one, "aa", "0-1"), (&two, "bb", "0-3"), (&one, "cc", "0-5"), (&two, "dd", "0-7")]
    {
        let reply = server.send("PATCH", &location, &[], piece.as_bytes());
        assert_eq!((reply.status, reply.header("range")), (202, range));
    }
    assert_eq!(one.ask("GET", &location).header("range"), "0-7");
    let wrong = Digest::sha256(b"aacc");
    assert_eq!(one.ask("HEAD", &format!("/v2/a/blobs/{wrong}")).status, 404);
    let digest = Digest::sha256(b"aabbccddee");
    let done = one.send("PUT", &format!("{location}?digest={digest}"), &[], b"ee");
    assert_eq!(done.status, 201, "{done:?}");
    assert_eq!(two.ask("GET", &format!("/v2/a/blobs/{digest}")).body, b"aabbccddee");
    assert_whole(&one.root);
}

/// A program that knows nothing of our locks wrote into the file between two pieces.
#[test]
fn what_a_stranger_wrote_is_hashed() {
    let server = Server::new();
    let location = begin(&server);
    assert_eq!(server.send("PATCH", &location, &[], b"good").status, 202);
    let id = location.rsplit('/').next().unwrap();
    fs::write(uploads(&server).join(id), b"evil").unwrap();
    let good = Digest::sha256(b"good");
    let refused = server.send("PUT", &format!("{location}?digest={good}"), &[], b"");
    assert_eq!((refused.status, refused.code()), (400, "DIGEST_INVALID".into()));
    assert_whole(&server.root);
}

/// Who made a second name for the file could write to the blob later.
#[test]
fn an_upload_with_a_second_name_is_no_upload() {
    let server = Server::new();
    let location = begin(&server);
    assert_eq!(server.send("PATCH", &location, &[], b"good").status, 202);
    let id = location.rsplit('/').next().unwrap();
    let second = server.root.join("second");
    fs::hard_link(uploads(&server).join(id), &second).unwrap();
    let good = Digest::sha256(b"good");
    for (method, target) in
        [("PATCH", location.clone()), ("PUT", format!("{location}?digest={good}"))]
    {
        let reply = server.send(method, &target, &[], b"");
        assert_eq!((reply.status, reply.code()), (404, "BLOB_UPLOAD_UNKNOWN".into()), "{method}");
    }
    assert_eq!(fs::read(&second).unwrap(), b"good");
    assert_eq!(server.ask("HEAD", &format!("/v2/a/blobs/{good}")).status, 404);

    // A file of somebody else's, linked to where uploads lie, is not written to.
    let victim = server.root.join("victim");
    fs::write(&victim, b"precious").unwrap();
    let location = begin(&server);
    let path = uploads(&server).join(location.rsplit('/').next().unwrap());
    fs::remove_file(&path).unwrap();
    fs::hard_link(&victim, &path).unwrap();
    assert_eq!(server.send("PATCH", &location, &[], b"evil").status, 404);
    assert_eq!(server.send("DELETE", &location, &[], b"").status, 404);
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
}

/// A mounted blob is the same file in two layouts: what is uploaded again replaces a name, and
/// never writes into the file.
#[test]
fn a_mounted_blob_is_never_written_to() {
    let (one, two) = pair();
    let digest = one.push_blob("a", b"shared");
    let mount = format!("/v2/b/blobs/uploads/?mount={digest}&from=a");
    assert_eq!(two.send("POST", &mount, &[], b"").status, 201);
    let hex = digest.hex();
    let mounted = fs::File::open(one.root.join("b/blobs/sha256").join(hex)).unwrap();
    one.push_blob("a", b"shared");
    assert_eq!(one.ask("DELETE", &format!("/v2/a/blobs/{digest}")).status, 202);
    let mut bytes = Vec::new();
    (&mounted).read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"shared");
    assert_eq!(two.ask("GET", &format!("/v2/b/blobs/{digest}")).body, b"shared");
    assert_whole(&one.root);
}

#[test]
fn many_writers_over_one_folder() {
    let (one, two) = pair();
    let servers = [one, two];
    std::thread::scope(|scope| {
        for worker in 0..6_usize {
            let servers = &servers;
            scope.spawn(move || {
                for round in 0..10_usize {
                    let location = begin(&servers[worker % 2]);
                    let content = format!("{worker} {round} ").repeat(5_000);
                    let digest = Digest::sha256(content.as_bytes());
                    let (first, rest) = content.as_bytes().split_at(content.len() / 2);
                    let finish = format!("{location}?digest={digest}");
                    // One client's pieces and a rival with the same id, at the same moment.
                    std::thread::scope(|rivals| {
                        rivals.spawn(|| {
                            servers[(worker + round) % 2].send("PATCH", &location, &[], first)
                        });
                        rivals.spawn(|| servers[round % 2].send("PUT", &finish, &[], rest));
                        rivals
                            .spawn(|| servers[(round + 1) % 2].send("PATCH", &location, &[], rest));
                    });
                }
            });
        }
    });
    assert_whole(&servers[0].root);
}

/// A lock that another program holds stops who edits, for a while, and nobody who reads.
#[test]
fn a_held_lock_stops_no_reader() {
    let folder = tempfile::tempdir().unwrap();
    let server = impatient(folder.path());
    let manifest = server.push_image("a", "v1", b"layer");
    server.push_image("b", "v1", b"layer");
    let lock = fs::OpenOptions::new().write(true).open(server.root.join("a/.lock")).unwrap();
    lock.file().lock().unwrap();
    // More than there are threads for blocking work.
    let unknown = Digest::sha256(b"x");
    let edits: Vec<_> = (0..600)
        .map(|number| {
            let mut stream = server.connect();
            let line = match number % 3 {
                0 => "PUT /v2/a/manifests/v2".to_owned(),
                1 => "DELETE /v2/a/manifests/v1".to_owned(),
                _ => format!("DELETE /v2/a/blobs/{unknown}"),
            };
            let body = if number % 3 == 0 { manifest.as_slice() } else { b"" };
            let length = body.len();
            write!(stream, "{line} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n").unwrap();
            stream.write_all(body).unwrap();
            stream
        })
        .collect();
    let layer = Digest::sha256(b"layer");
    for path in ["/v2/a/manifests/v1", "/v2/a/tags/list", "/v2/_catalog"] {
        assert_eq!(server.ask("GET", path).status, 200, "{path}");
    }
    assert_eq!(server.ask("GET", &format!("/v2/a/blobs/{layer}")).body, b"layer");
    server.push_blob("a", b"uploads need no lock either");
    server.push_image("b", "v2", b"layer");
    for mut stream in edits {
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).unwrap();
        let reply = Reply::parse(&reply).unwrap();
        assert_eq!((reply.status, reply.code()), (503, "UNAVAILABLE".into()));
        assert_eq!(reply.header("retry-after"), "1");
    }
    drop(lock);
    assert_eq!(server.ask("DELETE", "/v2/a/manifests/v1").status, 202);
}
