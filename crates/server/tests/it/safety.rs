//! Clients that go away, clients at once, and a server that is killed.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use skopeo_image::Digest;
use skopeo_server::ServerOptions;

use crate::client::{OCI_MANIFEST, Reply, Server, files, image, request};
use crate::process;

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
    let again = Server::with(ServerOptions::new(&server.root));
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
    for file in files(&server.root) {
        assert!(!file.starts_with("a/blobs/"), "{file}");
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
    assert_eq!(Reply::parse(&all).unwrap().status, 200);
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

#[test]
fn silent_clients_are_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = ServerOptions::new(folder.path());
    options.limits.head = std::time::Duration::from_millis(200);
    options.limits.idle = std::time::Duration::from_millis(200);
    options.limits.connections = 1;
    let server = Server::with(options);
    let begun = server.ask("POST", "/v2/a/blobs/uploads/");
    let patch = format!("PATCH {} HTTP/1.1\r\n", begun.header("location"));
    for (sent, answer) in [
        (String::new(), ""),
        ("GET /v2/ HT".into(), ""),
        ("GET /v2/ HTTP/1.1\r\nHost: x\r\n".into(), ""),
        (format!("{patch}Host: x\r\nContent-Length: 9\r\n\r\nabc"), "HTTP/1.1 408 "),
        (
            "PUT /v2/a/manifests/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{".into(),
            "HTTP/1.1 408 ",
        ),
    ] {
        // One connection at a time: this one hangs if the one before was not let go.
        let mut stream = server.connect();
        stream.write_all(sent.as_bytes()).unwrap();
        let mut reply = String::new();
        let _ = stream.read_to_string(&mut reply);
        assert!(reply.starts_with(answer), "{sent:?}: {reply}");
    }
    assert_eq!(server.ask("GET", begun.header("location")).header("range"), "0-2");
}

#[test]
fn what_is_under_way_ends_well_when_the_server_stops() {
    let server = Server::new();
    let begun = server.ask("POST", "/v2/a/blobs/uploads/");
    let location = begun.header("location");
    let mut stream = server.connect();
    write!(
        stream,
        "PATCH {location} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 6\r\n\r\n"
    )
    .unwrap();
    let mut ready = [0; 25];
    stream.read_exact(&mut ready).unwrap();
    assert_eq!(&ready, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").unwrap();
    let address = server.address;
    let stopping = thread::spawn(move || drop(server));
    while std::net::TcpStream::connect(address).is_ok() {
        thread::yield_now();
    }
    stream.write_all(b"def").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 202 ") && reply.contains("range: 0-5"), "{reply}");
    stopping.join().unwrap();
}

/// Pushes an image by pieces; none as soon as the server is gone.
fn try_push(address: SocketAddr, tag: &str, layer: &[u8]) -> Option<()> {
    let config = Digest::sha256(b"{}");
    let digest = Digest::sha256(layer);
    let put = |blob: &[u8], digest: &Digest| {
        let begun = request(address, "POST", "/v2/a/blobs/uploads/", &[], b"").ok()?;
        let location = begun.header("location").to_owned();
        let (first, rest) = blob.split_at(blob.len() / 2);
        request(address, "PATCH", &location, &[], first).ok()?;
        let done =
            request(address, "PUT", &format!("{location}?digest={digest}"), &[], rest).ok()?;
        assert_eq!(done.status, 201, "{done:?}");
        Some(())
    };
    put(b"{}", &config)?;
    put(layer, &digest)?;
    let manifest = image(&config, 2, &digest, layer.len());
    let path = format!("/v2/a/manifests/{tag}");
    let headers = [("Content-Type", OCI_MANIFEST)];
    let done = request(address, "PUT", &path, &headers, &manifest).ok()?;
    assert_eq!(done.status, 201, "{done:?}");
    Some(())
}

#[test]
fn a_killed_server_leaves_only_whole_things() {
    let folder = tempfile::tempdir().unwrap();
    let layer = |tag: &str| tag.repeat(60_000);
    let mut promised = Vec::new();
    for round in 0..4 {
        let (mut child, address) = process::start(folder.path(), 256);
        let pushed = AtomicUsize::new(0);
        let told = thread::scope(|scope| {
            let workers: Vec<_> = (0..3)
                .map(|worker| {
                    let pushed = &pushed;
                    scope.spawn(move || {
                        let mut told = Vec::new();
                        for number in 0.. {
                            let tag = format!("r{round}-w{worker}-n{number}");
                            if try_push(address, &tag, layer(&tag).as_bytes()).is_none() {
                                return told;
                            }
                            told.push(tag);
                            pushed.fetch_add(1, Ordering::Relaxed);
                        }
                        told
                    })
                })
                .collect();
            while pushed.load(Ordering::Relaxed) < 3 + round * 2 {
                thread::yield_now();
            }
            child.kill().unwrap(); // SIGKILL
            child.wait().unwrap();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
        });
        promised.extend(told);
        let root = folder.path().join("a");
        for file in files(&root).iter().filter(|file| !file.contains("/.new-")) {
            if let Some(hex) = file.strip_prefix("blobs/sha256/") {
                let bytes = fs_err::read(root.join(file)).unwrap();
                assert_eq!(Digest::sha256(&bytes).hex(), hex, "{file} is not whole");
            }
        }
    }
    // Whatever a client was told is there, and whatever carries a name is whole.
    let server = Server::with(ServerOptions::new(folder.path()));
    let tags = server.ask("GET", "/v2/a/tags/list").json()["tags"].clone();
    let tags: Vec<_> = tags.as_array().unwrap().iter().filter_map(|tag| tag.as_str()).collect();
    assert!(promised.iter().all(|tag| tags.contains(&tag.as_str())), "{promised:?} {tags:?}");
    for tag in tags {
        let manifest = server.ask("GET", &format!("/v2/a/manifests/{tag}")).json();
        let digest = manifest["layers"][0]["digest"].as_str().unwrap();
        let blob = server.ask("GET", &format!("/v2/a/blobs/{digest}"));
        assert!(blob.body == layer(tag).as_bytes(), "{tag}");
    }
}
