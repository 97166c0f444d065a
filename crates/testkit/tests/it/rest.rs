//! The folder of a registry is looked at when nothing is in work in it.

use std::io::{Read, Write};
use std::net::TcpStream;

use skopeo_image::Digest;
use skopeo_testkit::twin::tree;
use skopeo_testkit::{Fault, Image, On, Registry};

fn request(registry: &Registry, method: &str, target: &str, length: usize) -> TcpStream {
    let mut stream = TcpStream::connect(registry.address()).unwrap();
    let head = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// Clients that go in the middle: what they began is removed by the server, for which nobody waits.
#[test]
fn what_clients_leave_behind_is_cleaned_up_before() {
    let registry = Registry::start();
    let bytes = vec![b'x'; 200_000];
    let digest = Digest::sha256(b"something else");
    let target = format!("/v2/a/b/blobs/uploads/?digest={digest}");
    for round in 0..40 {
        for sent in [0, 1, 70_000, bytes.len()] {
            let mut stream = request(&registry, "POST", &target, bytes.len());
            stream.write_all(&bytes[..sent]).unwrap();
        }
        let root = registry.root();
        assert!(!root.exists() || tree(root).is_empty(), "round {round}: {:?}", tree(root));
    }
}

/// All that a client has sent is answered before.
#[test]
fn what_was_sent_is_done_before() {
    let registry = Registry::start();
    let image = Image::new(1);
    image.push(&registry, "a:1");
    let manifest = image.manifest();
    for round in 0..40 {
        let tag = format!("tag{round}");
        let length = manifest.bytes.len();
        let mut stream = request(&registry, "PUT", &format!("/v2/a/manifests/{tag}"), length);
        stream.write_all(&manifest.bytes).unwrap();
        let index = fs_err::read_to_string(registry.root().join("a/index.json")).unwrap();
        assert!(index.contains(&format!("\"{tag}\"")), "{tag}: {index}");
        drop(stream);
    }
}

/// Clients that live on, and those that will never be answered, are not waited for.
#[test]
fn who_waits_for_nothing_holds_nothing_up() {
    let registry = Registry::builder().fault(Fault::silence(On::tags())).start();
    Image::new(1).push(&registry, "a:1");
    let mut idle = request(&registry, "GET", "/v2/", 0);
    idle.read_exact(&mut [0; 12]).unwrap();
    let silent = request(&registry, "GET", "/v2/a/tags/list", 0);
    while registry.lines().len() < 2 {
        std::thread::yield_now();
    }
    assert!(registry.root().join("a/index.json").exists());
    drop((idle, silent));
    assert!(registry.root().join("a/index.json").exists());
}

/// What is written when a registry ends is written to its end.
#[test]
fn a_registry_that_has_ended_rests() {
    for _ in 0..20 {
        let mut registry = Registry::start();
        let digest = Digest::sha256(b"something else");
        let target = format!("/v2/a/b/blobs/uploads/?digest={digest}");
        let mut stream = request(&registry, "POST", &target, 200_000);
        stream.write_all(&[b'x'; 150_000]).unwrap();
        while registry.lines().is_empty() {
            std::thread::yield_now();
        }
        registry.stop();
        let before = tree(registry.root());
        assert_eq!(tree(registry.root()), before);
    }
}
