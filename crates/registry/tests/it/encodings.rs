//! Answers that come packed although nobody asked for it.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::TryStreamExt as _;
use skopeo_image::Digest;
use skopeo_registry::{Ask, Download, Error, ProxyRules, Web};

use crate::server::{Reply, Server, chain, reply};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn packed(status: u16, body: impl AsRef<[u8]>) -> Reply {
    reply(status).header("Content-Encoding", "gzip").body(gzip(body.as_ref()))
}

/// The same without a length, as who packs on the way sends it.
fn chunked(status: u16, body: &[u8]) -> Reply {
    let mut pieces = Vec::new();
    for piece in body.chunks(1000) {
        write!(pieces, "{:x}\r\n", piece.len()).unwrap();
        pieces.extend_from_slice(piece);
        pieces.extend_from_slice(b"\r\n");
    }
    pieces.extend_from_slice(b"0\r\n\r\n");
    let reply = reply(status).header("Transfer-Encoding", "chunked");
    reply.header("Content-Encoding", "gzip").body(pieces)
}

async fn all(download: Download) -> Result<Vec<u8>, Error> {
    let pieces: Vec<_> = download.stream.try_collect().await?;
    Ok(pieces.concat())
}

const MANIFEST: &str = r#"{"schemaVersion":2,"layers":[]}"#;

#[tokio::test]
async fn what_is_parsed_is_unpacked_first() {
    let server = Server::start(|seen| match seen.path.as_str() {
        path if path.starts_with("/token") => packed(200, r#"{"token":"t"}"#),
        _ if seen.header("authorization") != Some("Bearer t") => {
            let host = seen.header("host").unwrap();
            let realm = format!("Bearer realm=\"http://{host}/token\"");
            packed(401, "{}").header("WWW-Authenticate", realm)
        }
        path if path.contains("/tags/") => packed(200, r#"{"tags":["a","b"]}"#),
        path if path.contains("/_catalog") => packed(200, r#"{"repositories":["x"]}"#),
        path if path.contains("/referrers/") => {
            packed(200, r#"{"schemaVersion":2,"manifests":[]}"#)
        }
        path if path.ends_with("/missing") => {
            packed(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"gone away"}]}"#)
        }
        path if path.ends_with("/brotli") => {
            reply(200).header("Content-Encoding", "br").body([0x0b, 2, 0x80])
        }
        path if path.ends_with("/bomb") => packed(200, vec![b' '; 32 << 20]),
        path if path.ends_with("/chunked") => chunked(200, &gzip(MANIFEST.as_bytes())),
        _ => packed(200, MANIFEST),
    })
    .await;
    let client = server.client();
    let repository = client.repository("a");
    let digest = Digest::sha256(MANIFEST.as_bytes());
    for reference in ["t", "chunked", digest.as_str()] {
        let fetched = repository.manifest(reference).await.unwrap();
        assert_eq!(fetched.manifest.bytes, MANIFEST, "{reference}");
    }
    assert_eq!(repository.tags().await.unwrap(), ["a", "b"]);
    assert_eq!(client.catalog().await.unwrap(), ["x"]);
    assert!(repository.referrers(&digest).await.unwrap().unwrap().listed.is_empty());
    let error = repository.manifest("missing").await.unwrap_err();
    assert!(error.is_not_found() && chain(&error).ends_with("manifest unknown: gone away"));
    let error = chain(&repository.manifest("brotli").await.unwrap_err());
    assert!(error.contains("the encoding \"br\""), "{error}");
    let error = chain(&repository.manifest("bomb").await.unwrap_err());
    assert!(error.contains("exceeded maximum allowed size"), "{error}");
}

/// The servers of sigstore stand behind such proxies as well.
#[tokio::test]
async fn answers_of_other_servers_are_unpacked_too() {
    let server = Server::start(|seen| match seen.path.as_str() {
        "/bomb" => packed(200, vec![b' '; 32 << 20]),
        "/broken" => reply(200).header("Content-Encoding", "gzip").body(&gzip(b"{}")[..15]),
        "/refused" => packed(400, r#"{"code":400}"#),
        _ => packed(201, "{}"),
    })
    .await;
    let web = Web::new("test".to_owned(), ProxyRules::default()).unwrap();
    let ask = |path: &str| {
        let (url, web) = (format!("http://{}/{path}", server.host), &web);
        async move { web.ask(&url, &Ask::default()).await }
    };
    assert_eq!(ask("entry").await.unwrap().body, "{}");
    let refused = ask("refused").await.unwrap();
    assert_eq!((refused.status, &*refused.body), (400, &br#"{"code":400}"#[..]));
    assert!(ask("bomb").await.unwrap_err().to_string().contains("exceeded maximum allowed size"));
    assert!(ask("broken").await.unwrap_err().to_string().contains("an answer with gzip"));
}

/// What a layer is: something that is compressed itself, or a plain tar, or a config.
fn blobs() -> [Vec<u8>; 3] {
    let numbers: Vec<u8> = (0..60_000_u32).flat_map(u32::to_le_bytes).collect();
    [gzip(&numbers), numbers, br#"{"architecture":"amd64"}"#.to_vec()]
}

#[tokio::test]
async fn blobs_are_unpacked_unless_they_have_their_digest() {
    for blob in blobs() {
        let (digest, size) = (Digest::sha256(&blob), blob.len() as u64);
        type Send = fn(&[u8]) -> Reply;
        let sends: [(Send, &str); 4] = [
            (|blob| packed(200, blob), "packed"),
            (|blob| chunked(200, &gzip(blob)), "packed, in chunks"),
            (|blob| reply(200).header("Content-Encoding", "gzip").body(blob), "as it is"),
            (|blob| chunked(200, blob), "as it is, in chunks"),
        ];
        for (send, what) in sends {
            let inside = blob.clone();
            let server = Server::start(move |_| send(&inside)).await;
            let repository = server.client().repository("a");
            for size in [Some(size), None] {
                let download = repository.blob(&digest, size).await.unwrap();
                let read = all(download).await.unwrap();
                assert!(read == blob, "{what}, {size:?}: {} for {}", read.len(), blob.len());
            }
            let url = format!("http://{}/layer", server.host);
            let download = repository.foreign_blob(&url, Some(&digest), Some(size)).await.unwrap();
            assert!(all(download).await.unwrap() == blob, "{what}: elsewhere");
        }
    }
}

#[tokio::test]
async fn a_packed_blob_that_breaks_is_read_from_its_start() {
    let [_, blob, _] = blobs();
    let inside = blob.clone();
    let server = Server::start(move |seen| {
        assert_eq!(seen.header("range"), None);
        packed(200, &inside).cut(100_000)
    })
    .await;
    let whole = blob.clone();
    let again = Server::start(move |seen| {
        assert_eq!(seen.header("range"), None);
        packed(200, &whole)
    })
    .await;
    let digest = Digest::sha256(&blob);
    let download = server.client().repository("a").blob(&digest, Some(blob.len() as u64)).await;
    let error = all(download.unwrap()).await.unwrap_err();
    assert!(error.tried() > 1, "{error}");
    assert!(server.seen().len() > 1);
    let download = again.client().repository("a").blob_from(&digest, blob.len() as u64, 0).await;
    assert!(all(download.unwrap()).await.unwrap() == blob);
}

#[tokio::test]
async fn a_part_of_what_is_packed_is_not_taken_for_a_part_of_the_blob() {
    let [_, blob, _] = blobs();
    let inside = blob.clone();
    let server = Server::start(move |seen| match seen.header("range") {
        Some(_) => {
            let packed = gzip(&inside);
            let range = format!("bytes 100-{}/{}", packed.len() - 1, packed.len());
            let reply = reply(206).header("Content-Range", range);
            reply.header("Content-Encoding", "gzip").body(&packed[100..])
        }
        None => packed(200, &inside),
    })
    .await;
    let digest = Digest::sha256(&blob);
    let repository = server.client().repository("a");
    let download = repository.blob_from(&digest, blob.len() as u64, 100).await.unwrap();
    assert!(all(download).await.unwrap() == blob[100..]);
}
