//! Clients that go on for ever, a byte at a time: they are let go. Limits are short here, and how
//! long it takes is not looked at: who is not let go keeps the test from ending.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use skopeo_image::Digest;
use skopeo_server::{AccessLog, AccessRecord, ServerOptions, Tls};

use crate::client::{OCI_MANIFEST, Server};
use crate::http2::Http2;

/// How long a client waits before it sends one more byte: 100 in a second, which is too little.
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Debug, Default)]
struct Log(Mutex<Vec<AccessRecord>>);

impl AccessLog for Log {
    fn record(&self, record: &AccessRecord) {
        self.0.lock().unwrap().push(record.clone());
    }
}

/// A server that has time for one client, and not much.
fn impatient(folder: &std::path::Path, tls: Option<Tls>) -> (Server, Arc<Log>) {
    let log = Arc::new(Log::default());
    let mut options = ServerOptions::new(folder);
    options.limits.head = Duration::from_millis(300);
    options.limits.idle = Duration::from_millis(300);
    options.limits.grace = Duration::from_millis(300);
    options.tls = tls;
    options.log = Some(log.clone());
    (Server::with(options), log)
}

/// Sends this, and then what `more` has, a byte at a time, until the server has enough of it. What
/// it answered comes back.
fn trickle(mut stream: TcpStream, begin: &[u8], more: impl Iterator<Item = u8>) -> String {
    stream.write_all(begin).unwrap();
    stream.set_read_timeout(Some(PAUSE)).unwrap();
    let (mut answer, mut piece) = (Vec::new(), [0; 1000]);
    for byte in more {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => answer.extend_from_slice(&piece[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
        if stream.write_all(&[byte]).is_err() {
            break;
        }
    }
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn tls() -> Tls {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    Tls::parse(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes()).unwrap()
}

#[test]
fn heads_that_never_end() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = impatient(folder.path(), None);
    let letters = || std::iter::repeat(b'v');
    let headers = || b"X-Y: z\r\n".iter().copied().cycle();
    for (begin, more) in [
        (&b""[..], Box::new(letters()) as Box<dyn Iterator<Item = u8>>),
        (b"", Box::new(std::iter::repeat(b'\n'))),
        (b"GET /v2/", Box::new(letters())),
        (b"GET /v2/ HTTP/1.1\r\nHost: x\r\n", Box::new(headers())),
        (b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Y: ", Box::new(letters())),
        // The same as the second request of a connection.
        (b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\nGET /v2/", Box::new(letters())),
        (b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n", Box::new(headers())),
        (b"PRI * HT", Box::new(letters())),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Box::new(std::iter::repeat(0))),
        // SETTINGS, and half a frame of headers.
        (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\x30\0\x01\x04\0\0\0\x01",
            Box::new(letters()),
        ),
    ] {
        let answer = trickle(server.connect(), begin, more);
        assert!(!answer.contains(" 500 "), "{answer}");
        assert_eq!(server.ask("GET", "/v2/").status, 200);
    }
    // A request before does not buy time for a head that never ends.
    let mut client = Http2::connect(server.address).unwrap();
    client.request("GET", "/v2/", &[], false).unwrap();
    let id = client.endless_head().unwrap();
    while client.more_head(id, &[]).is_ok() {
        std::thread::sleep(PAUSE);
    }
    // The handshake of TLS.
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = impatient(folder.path(), Some(tls()));
    let hello = [&b"\x16\x03\x01\x10\x00\x01\x00\x0f\xfc\x03\x03"[..]].concat();
    for begin in [&b""[..], b"\x16", &hello] {
        let _ = trickle(server.connect(), begin, std::iter::repeat(7));
    }
}

#[test]
fn bodies_that_never_end() {
    let folder = tempfile::tempdir().unwrap();
    let (server, log) = impatient(folder.path(), None);
    server.push_blob("a", b"whole");
    let digest = Digest::sha256(b"never comes");
    let upload = || {
        let begun = server.ask("POST", "/v2/a/blobs/uploads/");
        begun.header("location").to_owned()
    };
    let length = "Content-Length: 100000\r\n\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n\r\n";
    let letters = || std::iter::repeat(b'v');
    let chunks = || b"1\r\nv\r\n".iter().copied().cycle();
    let patched = upload();
    for (line, head, more) in [
        (format!("PATCH {patched}"), length, Box::new(letters()) as Box<dyn Iterator<Item = u8>>),
        (format!("PATCH {}", upload()), chunked, Box::new(chunks())),
        // Nothing of a body comes with these.
        (
            format!("PATCH {}", upload()),
            "Transfer-Encoding: chunked\r\n\r\n1;",
            Box::new(letters()),
        ),
        (
            format!("PATCH {}", upload()),
            "Transfer-Encoding: chunked\r\n\r\n1\r\nv\r\n0\r\nX: ",
            Box::new(letters()),
        ),
        (format!("PUT {}?digest={digest}", upload()), length, Box::new(letters())),
        (format!("POST /v2/a/blobs/uploads/?digest={digest}"), length, Box::new(letters())),
        ("PUT /v2/a/manifests/x".to_owned(), length, Box::new(letters())),
        ("PUT /v2/a/manifests/x".to_owned(), chunked, Box::new(chunks())),
        // A body that nobody wants.
        ("DELETE /v2/a/manifests/x".to_owned(), length, Box::new(letters())),
        ("PUT /nowhere".to_owned(), length, Box::new(letters())),
        ("GET /v2/".to_owned(), length, Box::new(letters())),
    ] {
        let begin = format!("{line} HTTP/1.1\r\nHost: x\r\nContent-Type: {OCI_MANIFEST}\r\n{head}");
        let answer = trickle(server.connect(), begin.as_bytes(), more);
        assert!(!answer.contains(" 500 ") && !answer.contains("HTTP/1.1 201"), "{line}: {answer}");
    }
    server.settled();
    let records = log.0.lock().unwrap();
    let late: Vec<_> = records.iter().filter(|it| it.status == 408).collect();
    assert!(late.len() >= 6, "{records:?}");
    drop(records);
    // What came of an upload that others know stays; what nobody knows is gone.
    let come = server.ask("GET", &patched);
    assert!(come.status == 204 && come.header("range") != "0-0", "{come:?}");
    assert_eq!(server.ask("GET", &format!("/v2/a/blobs/{digest}")).status, 404);
}

#[test]
fn answers_that_are_read_a_byte_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let (server, log) = impatient(folder.path(), None);
    server.push_blob("a", b"whole");
    let hex = Digest::sha256(b"large").hex().to_owned();
    let size = 64 << 20;
    let path = folder.path().join("a/blobs/sha256").join(&hex);
    fs_err::File::create(path).unwrap().set_len(size).unwrap();
    let mut stream = server.connect();
    write!(stream, "GET /v2/a/blobs/sha256:{hex} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let cut = || log.0.lock().unwrap().iter().any(|it| it.target.ends_with(&hex));
    while !cut() {
        let _ = stream.read(&mut [0]);
        std::thread::sleep(PAUSE);
    }
    let records = log.0.lock().unwrap();
    let record = records.iter().find(|it| it.target.ends_with(&hex)).unwrap();
    assert!(record.status == 200 && record.sent < size, "{record:?}");
}
