//! Each fault, seen from the other end of the wire.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use skopeo_image::MediaType;
use skopeo_testkit::{Fault, Image, On, Registry};

/// Everything that comes until the connection ends, or falls silent.
fn talk(
    registry: &Registry,
    method: &str,
    target: &str,
    more: &str,
    body: &[u8],
) -> (String, Vec<u8>, io::Result<()>) {
    let mut stream = TcpStream::connect(registry.address()).unwrap();
    // Only a fault that is silent on purpose gets that far.
    stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{more}\r\n",
        registry.host()
    )
    .unwrap();
    // A registry that does not read to the end may be gone by now.
    let _ = stream.write_all(body);
    let mut all = Vec::new();
    let end = stream.read_to_end(&mut all).map(|_| ());
    let at = all.windows(4).position(|four| four == b"\r\n\r\n").map_or(all.len(), |at| at + 4);
    let head = String::from_utf8_lossy(&all[..at]).to_ascii_lowercase();
    (head, all[at..].to_vec(), end)
}

fn blob_of(image: &Image) -> (String, Vec<u8>) {
    let layer = &image.layers()[0];
    (format!("/v2/a/blobs/{}", layer.digest), layer.bytes.to_vec())
}

fn started(fault: Fault) -> (Registry, String, Vec<u8>) {
    let registry = Registry::builder().fault(fault).start();
    let image = Image::builder(1).layer_size(300_000).build();
    image.push(&registry, "a:v1");
    assert!(registry.requests().is_empty());
    let (target, bytes) = blob_of(&image);
    (registry, target, bytes)
}

#[test]
fn answers_that_break() {
    let (registry, target, bytes) = started(Fault::cut(On::blobs()).after(10_000).once());
    let (head, body, _) = talk(&registry, "GET", &target, "", b"");
    assert!(head.contains(&format!("content-length: {}", bytes.len())), "{head}");
    assert!(body == bytes[..10_000], "{} bytes", body.len());
    let (_, body, end) = talk(&registry, "GET", &target, "", b"");
    assert!(body == bytes && end.is_ok()); // once is once
    assert_eq!(registry.count(&On::blobs()), 2);
    assert_eq!(registry.requests()[0].sent, 10_000);
    assert_eq!(registry.requests()[1].sent, bytes.len() as u64);

    let (registry, target, bytes) = started(Fault::stall(On::blobs()).after(5));
    let (_, body, end) = talk(&registry, "GET", &target, "", b"");
    assert!(body == bytes[..5], "{} bytes", body.len());
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::WouldBlock); // open and silent

    let (registry, target, _) = started(Fault::silence(On::blobs()));
    let (head, _, end) = talk(&registry, "GET", &target, "", b"");
    assert!(head.is_empty() && end.is_err());

    let (registry, target, _) = started(Fault::hang_up(On::blobs()));
    let (head, _, _) = talk(&registry, "GET", &target, "", b"");
    assert!(head.is_empty());
}

#[test]
fn answers_that_lie() {
    let (registry, target, bytes) = started(Fault::corrupt(On::blobs()).after(290_000 / 2));
    let (_, body, _) = talk(&registry, "GET", &target, "", b"");
    let differing = body.iter().zip(&bytes).filter(|(a, b)| a != b).count();
    assert_eq!((body.len(), differing), (bytes.len(), 1));

    for (more, length) in [(7, bytes.len() + 7), (-7, bytes.len() - 7)] {
        let (registry, target, bytes) = started(Fault::content_length(On::blobs(), more));
        let (head, body, _) = talk(&registry, "GET", &target, "", b"");
        assert!(head.contains(&format!("content-length: {length}\r\n")), "{head}");
        assert!(body == bytes[..length.min(bytes.len())], "{} bytes", body.len());
    }
    let (registry, target, bytes) = started(Fault::too_much(On::blobs(), 3));
    let (_, body, _) = talk(&registry, "GET", &target, "", b"");
    assert_eq!(body.len(), bytes.len() + 3);

    let (registry, target, bytes) = started(Fault::ignore_range(On::blobs()));
    let (head, body, _) = talk(&registry, "GET", &target, "Range: bytes=5-9\r\n", b"");
    assert!(head.starts_with("http/1.1 200") && body == bytes);
    registry.mend();
    let (head, body, _) = talk(&registry, "GET", &target, "Range: bytes=5-9\r\n", b"");
    assert!(head.starts_with("http/1.1 206") && body == bytes[5..10]);

    let (registry, target, _) = started(Fault::wrong_digest(On::anything()));
    let (head, _, _) = talk(&registry, "HEAD", &target, "", b"");
    let digest = target.rsplit('/').next().unwrap();
    assert!(head.contains("docker-content-digest: sha256:"), "{head}");
    assert!(!head.contains(&format!("docker-content-digest: {digest}")), "{head}");
}

/// Each is what a client takes for an answer.
#[test]
fn answers_that_are_others() {
    let get = |fault: Fault| {
        let (registry, target, bytes) = started(fault);
        let (head, body, _) = talk(&registry, "GET", &target, "", b"");
        (head, body, bytes)
    };
    let (head, body, _) = get(Fault::instead(On::blobs(), "other"));
    assert!(head.contains("content-length: 5\r\n") && body == b"other", "{head}");

    let (head, body, bytes) = get(Fault::answer_of(On::blobs(), "/v2/a/tags/list"));
    assert!(head.starts_with("http/1.1 200") && body != bytes, "{head}");
    assert!(String::from_utf8(body).unwrap().contains("tags"));

    let (head, body, bytes) = get(Fault::encoded(On::blobs()));
    assert!(head.contains("content-encoding: gzip\r\n"), "{head}");
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&*body).read_to_end(&mut unpacked).unwrap();
    assert!(unpacked == bytes && body != bytes);

    let (_, body, bytes) = get(Fault::reversed(On::blobs()));
    let (first, second) = bytes.split_at(bytes.len() / 2);
    assert!(body == [second, first].concat());

    for (after, len) in [(None, None), (Some(1000), Some(1000))] {
        let fault = Fault::unannounced(On::blobs());
        let (head, body, bytes) =
            get(after.map_or_else(|| fault.clone(), |after| fault.clone().after(after)));
        assert!(!head.contains("content-length"), "{head}");
        // Chunked: lengths in hexadecimal stand between.
        let len = len.unwrap_or(bytes.len());
        assert!((len..len + 100).contains(&body.len()) && body.ends_with(b"0\r\n\r\n"));
    }
}

#[test]
fn statuses() {
    let (registry, target, _) = started(
        Fault::status(On::blobs(), 429).retry_after(7).code("TOOMANYREQUESTS", "slow down"),
    );
    let (head, body, _) = talk(&registry, "GET", &target, "", b"");
    assert!(head.starts_with("http/1.1 429") && head.contains("retry-after: 7\r\n"), "{head}");
    assert!(String::from_utf8(body).unwrap().contains("slow down"));
    for (fault, method, target, status) in [
        (Fault::head_forbidden(), "HEAD", "/v2/a/manifests/v1", "403"),
        (Fault::mount_refused(), "POST", "/v2/a/blobs/uploads/?mount=sha256:1", "405"),
        (Fault::patch_refused(), "PATCH", "/v2/a/blobs/uploads/1", "405"),
        (Fault::status(On::ping(), 503), "GET", "/v2/", "503"),
    ] {
        let (registry, ..) = started(fault);
        let (head, ..) = talk(&registry, method, target, "", b"");
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{head}");
        assert_eq!(registry.requests()[0].status.to_string(), status);
    }
}

#[test]
fn uploads_that_break() {
    let length = "Content-Length: 1000\r\n";
    let (registry, ..) = started(Fault::no_header(On::uploads().method("POST"), "location"));
    let (head, ..) = talk(&registry, "POST", "/v2/a/blobs/uploads/", "", b"");
    assert!(head.starts_with("http/1.1 202") && !head.contains("location:"), "{head}");

    let begin = |registry: &Registry| {
        let (head, ..) = talk(registry, "POST", "/v2/a/blobs/uploads/", "", b"");
        let location = head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
        location.to_owned()
    };
    let patch = || On::uploads().method("PATCH");
    // What came before the break counts, as in a registry that resumes.
    let (registry, ..) = started(Fault::cut_request(patch()).after(400));
    let location = begin(&registry);
    let (head, ..) = talk(&registry, "PATCH", &location, length, &[1; 1000]);
    assert!(head.is_empty(), "{head}");
    let (head, ..) = talk(&registry, "GET", &location, "", b"");
    assert!(head.contains("range: 0-399\r\n"), "{head}");

    let (registry, ..) = started(Fault::done_but_cut(patch()).once());
    let location = begin(&registry);
    let (head, ..) = talk(&registry, "PATCH", &location, length, &[1; 1000]);
    assert!(head.is_empty(), "{head}");
    let (head, ..) = talk(&registry, "GET", &location, "", b"");
    assert!(head.contains("range: 0-999\r\n"), "{head}");
    let seen = registry.requests();
    assert_eq!((seen[1].received, seen[1].line()), (1000, format!("PATCH {location}")));
}

#[test]
fn refused_types_and_redirects() {
    let (registry, ..) = started(Fault::refuse_type(MediaType::OCI_MANIFEST));
    let oci = "Content-Type: application/vnd.oci.image.manifest.v1+json\r\nContent-Length: 2\r\n";
    let (head, body, _) = talk(&registry, "PUT", "/v2/a/manifests/x", oci, b"{}");
    assert!(head.starts_with("http/1.1 400"), "{head}");
    assert!(String::from_utf8(body).unwrap().contains("MANIFEST_INVALID"));

    let (registry, target, bytes) = started(Fault::redirect(On::blobs()));
    let (head, ..) = talk(&registry, "GET", &target, "", b"");
    assert!(head.starts_with("http/1.1 307"), "{head}");
    let location = head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    let (host, path) = location.strip_prefix("http://").unwrap().split_once('/').unwrap();
    for (header, status) in [("", "200"), ("Authorization: Bearer x\r\n", "400")] {
        let mut stream = TcpStream::connect(host.replace("localhost", "127.0.0.1")).unwrap();
        write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{header}\r\n")
            .unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        assert!(all.starts_with(format!("HTTP/1.1 {status}").as_bytes()));
        assert_eq!(all.ends_with(&bytes), status == "200");
    }
    assert_eq!(registry.requests().iter().filter(|seen| seen.object_store).count(), 2);
}

#[test]
fn a_restart_forgets_connections_and_nothing_else() {
    let (mut registry, target, bytes) = started(Fault::hang_up(On::blobs()).once());
    registry.mend();
    let mut open = TcpStream::connect(registry.address()).unwrap();
    let before = registry.address();
    registry.stop();
    assert_eq!(open.read(&mut [0]).unwrap_or_default(), 0);
    assert!(TcpStream::connect(before).is_err());
    registry.restart();
    assert_eq!(registry.address(), before);
    let (_, body, _) = talk(&registry, "GET", &target, "", b"");
    assert!(body == bytes);
    assert_eq!(registry.count(&On::blobs()), 1);
    registry.restart(); // without a stop before
    let (_, body, _) = talk(&registry, "GET", &target, "", b"");
    assert!(body == bytes);
}

#[test]
fn storms() {
    let storm = Fault::too_many(On::blobs(), 7).every(2);
    let (registry, target, bytes) = started(storm);
    for round in 0..4 {
        let (head, body, _) = talk(&registry, "GET", &target, "", b"");
        if round % 2 == 0 {
            assert!(head.starts_with("http/1.1 429") && head.contains("retry-after: 7"), "{head}");
        } else {
            assert!(body == bytes);
        }
    }
}
