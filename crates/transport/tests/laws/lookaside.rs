//! Signatures on a web server: what `docker:` reads from there, and refuses to.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use fs_err as fs;
use skopeo_image::{Signature, Which};
use skopeo_transport::{create, open};

use crate::{Place, Sample};

/// A web server that has some files, on a thread that ends with the process. A file without bytes
/// is one that the server fails at.
fn web(files: BTreeMap<String, Vec<u8>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let files = Arc::new(files);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let files = files.clone();
            std::thread::spawn(move || {
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                let line = lines.next().unwrap_or_default();
                while lines.next().is_some_and(|line| !line.is_empty()) {}
                let path = line.split(' ').nth(1).unwrap_or_default();
                let (status, body) = match files.get(path).map(Vec::as_slice) {
                    Some([]) => ("403 Forbidden", &b"no"[..]),
                    Some(bytes) => ("200 OK", bytes),
                    None => ("404 Not Found", &b"no"[..]),
                };
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                );
                let mut stream = &stream;
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
            });
        }
    });
    address
}

/// A sample in a registry, whose signatures are said to be on a server that has these files.
async fn place(files: impl Fn(&str) -> Vec<(String, Vec<u8>)>) -> Place {
    let mut place = Place::docker().await;
    let sample = Sample::new(1);
    sample.put(place.create().await).await.unwrap();
    let folder = format!("/signatures/ns/repo@sha256={}", sample.digest().hex());
    let address = web(files(&folder).into_iter().collect());
    let conf = place.folder.path().join("etc/containers/registries.d");
    fs::create_dir_all(&conf).unwrap();
    let text = format!("default-docker:\n  lookaside: http://{address}/signatures\n");
    fs::write(conf.join("web.yaml"), text).unwrap();
    place.options = crate::options::options(place.folder.path());
    place.options.registry.tls_verify = Some(false);
    place
}

async fn signatures(place: &Place) -> Result<Vec<Signature>, String> {
    let source = open(&place.name, &place.options).await.unwrap();
    source.signatures(&Which::Top).await.map_err(|error| {
        let sources =
            std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        sources.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    })
}

#[tokio::test]
async fn are_read_until_one_is_missing() {
    let file = |folder: &str, n: u8| (format!("{folder}/signature-{n}"), vec![0xA3, n]);
    let place = place(|folder| [1, 2, 4].map(|n| file(folder, n)).to_vec()).await;
    let simple = |n: u8| Signature::Simple(vec![0xA3, n].into());
    assert_eq!(signatures(&place).await.unwrap(), [simple(1), simple(2)]);
    assert_eq!(signatures(&self::place(|_| Vec::new()).await).await.unwrap(), []);
}

#[tokio::test]
async fn are_not_taken_for_missing_when_the_server_refuses() {
    let place = place(|folder| vec![(format!("{folder}/signature-1"), Vec::new())]).await;
    let error = signatures(&place).await.unwrap_err();
    assert!(error.contains("signature-1") && error.contains("403"), "{error}");
}

#[tokio::test]
async fn are_bounded_in_size_and_number() {
    let large = place(|folder| vec![(format!("{folder}/signature-1"), vec![0xA3; 5 << 20])]).await;
    let error = signatures(&large).await.unwrap_err();
    assert!(error.contains("signature-1"), "{error}");

    let many = place(|folder| {
        (1..=130).map(|n| (format!("{folder}/signature-{n}"), vec![0xA3, 1])).collect()
    });
    let error = signatures(&many.await).await.unwrap_err();
    assert!(error.contains("128"), "{error}");

    // Each is small enough, and all together are not.
    let heavy = place(|folder| {
        (1..=9).map(|n| (format!("{folder}/signature-{n}"), vec![0xA3; 4 << 20])).collect()
    });
    let error = signatures(&heavy.await).await.unwrap_err();
    assert!(error.starts_with("the first 9 signatures take"), "{error}");
}

#[tokio::test]
async fn cannot_be_written_there() {
    let place = place(|_| Vec::new()).await;
    let to = create(&place.name, &place.options).await.unwrap();
    to.put_manifest(&Sample::new(1).manifest, &Which::Top).await.unwrap();
    let error = to.put_signatures(&[Signature::Simple(vec![0xA3, 1].into())], &Which::Top).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("http") && error.contains("/signatures/ns/repo@sha256="), "{error}");
}
