//! Clients that want the server's memory and places, and one beside them that wants an answer.
//!
//! Each test starts a server in a process of its own and asks the kernel for the most memory that
//! this ever had.

mod large;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use skopeo_image::Digest;
use skopeo_server::ServerOptions;

use crate::client::{OCI_MANIFEST, request};
use crate::http2::Http2;
use crate::process;

/// What clients can make the server use, in MiB, where the test says nothing else.
const BUDGET: u64 = 64;

/// What the allocator keeps of what was given back, in MiB.
const SLACK: u64 = 24;

/// The process that serves; it ends with this value.
struct Attacked {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
    budget: u64,
    before: u64,
}

impl Attacked {
    fn start(budget: u64) -> Self {
        allow_files();
        let folder = tempfile::tempdir().unwrap();
        let (child, address) = process::start(folder.path(), budget);
        let mut attacked = Self { child, address, folder, budget, before: 0 };
        attacked.push_small();
        attacked.before = attacked.most_memory();
        attacked
    }

    /// The most memory that the process ever had, in MiB.
    fn most_memory(&self) -> u64 {
        let status = fs_err::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
    }

    /// A large blob that is nowhere on the disk; the path to ask for it.
    fn large_blob(&self, size: u64) -> String {
        let hex = Digest::sha256(b"not this").hex().to_owned();
        let path = self.folder.path().join("a/blobs/sha256").join(&hex);
        fs_err::File::create(path).unwrap().set_len(size).unwrap();
        format!("/v2/a/blobs/sha256:{hex}")
    }

    fn push_small(&self) {
        let digest = Digest::sha256(b"small");
        let path = format!("/v2/a/blobs/uploads/?digest={digest}");
        let pushed = request(self.address, "POST", &path, &[], b"small").unwrap();
        assert_eq!(pushed.status, 201, "{pushed:?}");
    }

    /// A client that does no harm pulls and pushes.
    fn others_are_served(&self) {
        let digest = Digest::sha256(b"small");
        let blob = request(self.address, "GET", &format!("/v2/a/blobs/{digest}"), &[], b"");
        assert_eq!(blob.unwrap().body, b"small");
        self.push_small();
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"a/b","digest":"{digest}","size":5}},"layers":[]}}"#
        );
        let headers = [("Content-Type", OCI_MANIFEST)];
        let path = "/v2/a/manifests/latest";
        let put = request(self.address, "PUT", path, &headers, manifest.as_bytes()).unwrap();
        assert_eq!(put.status, 201, "{put:?}");
        let got = request(self.address, "GET", path, &[], b"").unwrap();
        assert_eq!(got.body, manifest.as_bytes());
    }

    /// Others are served, and the memory is held to.
    fn stands(&mut self) {
        self.others_are_served();
        assert!(self.child.try_wait().unwrap().is_none(), "the server has ended");
        // Nothing of the share for indexes is taken.
        self.stands_with(self.budget * 13 / 16);
    }

    /// The same, where so many MiB may have been taken.
    fn stands_with(&mut self, taken: u64) {
        let (most, before) = (self.most_memory(), self.before);
        assert!(most <= before + taken + SLACK, "{most} MiB after {before} MiB");
    }

    /// So many connections that send this.
    fn connections(&self, count: usize, sent: &[u8]) -> Vec<TcpStream> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        (0..count).map(|_| send_on(&runtime, self.address, sent)).collect()
    }

    /// An upload that somebody has begun and holds.
    fn held_upload(&self) -> (String, TcpStream) {
        let begun = request(self.address, "POST", "/v2/a/blobs/uploads/", &[], b"").unwrap();
        let location = begun.header("location").to_owned();
        let head =
            format!("PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nx");
        let holder = self.connections(1, head.as_bytes()).remove(0);
        (location, holder)
    }
}

impl Drop for Attacked {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As many files as the system lets us have, and those whom we start.
fn allow_files() {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, most).unwrap();
}

/// A connection that reads little, and sends this as far as it is taken.
fn send_on(runtime: &tokio::runtime::Runtime, address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(address).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut rest = bytes;
    while !rest.is_empty() {
        match (&stream).write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break, // not taken, or refused
        }
    }
    stream
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()
}

#[test]
fn a_thousand_clients_that_do_not_read() {
    let mut attacked = Attacked::start(256);
    let path = attacked.large_blob(16 << 20);
    let _clients = attacked.connections(1024, &get(&path));
    attacked.stands();
}

#[test]
fn http2_clients_that_do_not_read() {
    let mut attacked = Attacked::start(BUDGET);
    let path = attacked.large_blob(16 << 20);
    let mut clients = Vec::new();
    for _ in 0..50 {
        let mut client = Http2::connect(attacked.address).unwrap();
        for _ in 0..64 {
            client.request("GET", &path, &[], false).unwrap();
        }
        clients.push(client);
    }
    attacked.stands();
}

#[test]
fn http2_bodies_that_wait_for_an_upload() {
    let mut attacked = Attacked::start(BUDGET);
    let (location, _holder) = attacked.held_upload();
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = Http2::connect(attacked.address).unwrap();
        let mut left = client.window;
        for _ in 0..32 {
            let id = client.request("PATCH", &location, &[], true).unwrap();
            let mut of_stream = client.stream_window.min(left);
            left -= of_stream;
            while of_stream > 0 {
                let piece = of_stream.min(16 * 1024);
                let Ok(()) = client.data(id, &vec![b'y'; piece]) else { break };
                of_stream -= piece;
            }
        }
        clients.push(client);
    }
    attacked.stands();
}

#[test]
fn http2_bodies_of_tiny_pieces() {
    let mut attacked = Attacked::start(BUDGET);
    let (location, _holder) = attacked.held_upload();
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = Http2::connect(attacked.address).unwrap();
        let id = client.request("PATCH", &location, &[], true).unwrap();
        for _ in 0..client.stream_window.min(50_000) {
            let Ok(()) = client.data(id, b"y") else { break };
        }
        clients.push(client);
    }
    attacked.stands();
}

#[test]
fn http2_requests_with_large_heads_that_wait() {
    let mut attacked = Attacked::start(BUDGET);
    let (location, _holder) = attacked.held_upload();
    let value = "v".repeat(7000);
    let headers = [("x-a", value.as_str()), ("x-b", value.as_str())];
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = Http2::connect(attacked.address).unwrap();
        for _ in 0..64 {
            let Ok(_) = client.request("PATCH", &location, &headers, true) else { break };
        }
        clients.push(client);
    }
    attacked.stands();
}

/// Requests that are given up as soon as they are made: each costs the server more than the client.
#[test]
fn http2_requests_that_are_given_up_at_once() {
    const ENHANCE_YOUR_CALM: u32 = 11;
    let mut attacked = Attacked::start(BUDGET);
    let path = attacked.large_blob(16 << 20);
    for _ in 0..20 {
        let mut client = Http2::connect(attacked.address).unwrap();
        for _ in 0..20_000 {
            let Ok(id) = client.request("GET", &path, &[], false) else { break };
            let Ok(()) = client.reset(id) else { break };
        }
        assert_eq!(client.end(), Some(ENHANCE_YOUR_CALM));
    }
    attacked.stands();
}

/// A head that goes on and on in frames of its own.
#[test]
fn http2_heads_without_an_end() {
    let mut attacked = Attacked::start(BUDGET);
    for block in [&[][..], &[0, 1, b'x', 1, b'y'].repeat(3000)] {
        for _ in 0..10 {
            let mut client = Http2::connect(attacked.address).unwrap();
            let id = client.endless_head().unwrap();
            let sent = (0..200_000).take_while(|_| client.more_head(id, block).is_ok()).count();
            assert!(sent < 200_000, "{sent} frames were taken");
        }
    }
    attacked.stands();
}

#[test]
fn half_heads() {
    let mut attacked = Attacked::start(BUDGET);
    let mut head = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n".to_vec();
    for number in 0..60 {
        head.extend_from_slice(format!("X-{number}: {}\r\n", "v".repeat(1000)).as_bytes());
    }
    let _clients = attacked.connections(300, &head);
    attacked.stands();
}

#[test]
fn endless_heads() {
    let mut attacked = Attacked::start(BUDGET);
    let head = [&b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX: "[..], &vec![b'v'; 4 << 20]].concat();
    let _clients = attacked.connections(50, &head);
    attacked.stands();
}

#[test]
fn half_manifests() {
    let mut attacked = Attacked::start(BUDGET);
    let head = "PUT /v2/a/manifests/x HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n";
    let sent = [head.as_bytes(), &vec![b' '; 1 << 20]].concat();
    let _clients = attacked.connections(300, &sent);
    attacked.stands();
}

#[test]
fn half_uploads() {
    let mut attacked = Attacked::start(BUDGET);
    let digest = Digest::sha256(b"never comes");
    let head = format!(
        "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n"
    );
    let sent = [head.as_bytes(), &vec![b' '; 1 << 20]].concat();
    let _clients = attacked.connections(300, &sent);
    attacked.stands();
}

#[test]
fn requests_upon_requests_whose_answers_nobody_reads() {
    let mut attacked = Attacked::start(BUDGET);
    let sent = get("/v2/_catalog").repeat(20_000);
    let _clients = attacked.connections(50, &sent);
    attacked.stands();
}

#[test]
fn more_clients_than_one_address_may_have() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = ServerOptions::new(folder.path());
    options.limits.connections_per_address = Some(2);
    options.limits.grace = Duration::from_millis(200);
    let server = Arc::new(crate::client::Server::with(options));
    // They have said nothing yet, or have got an answer and stay.
    let mut kept = server.connect();
    kept.write_all(&get("/v2/")).unwrap();
    assert!(kept.read(&mut [0; 500]).unwrap() > 0);
    let _silent = server.connect();
    // One of them has to go for each that comes.
    for _ in 0..3 {
        assert_eq!(server.ask("GET", "/v2/").status, 200);
    }
}
