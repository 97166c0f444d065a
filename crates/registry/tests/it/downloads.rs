use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::TryStreamExt;
use skopeo_image::Digest;
use skopeo_registry::{Client, ClientOptions, Credentials, Download, Error, RetryPolicy};

use crate::server::{Reply, Seen, Server, chain, hangup, reply};

fn blob() -> Vec<u8> {
    (0..10_000_u32).flat_map(u32::to_le_bytes).collect()
}

fn digest() -> Digest {
    Digest::sha256(&blob())
}

async fn all(download: Download) -> Result<Vec<u8>, Error> {
    let pieces: Vec<_> = download.stream.try_collect().await?;
    Ok(pieces.concat())
}

async fn read(client: &Client) -> Result<Vec<u8>, Error> {
    all(client.repository("a/b").blob(&digest(), Some(blob().len() as u64)).await?).await
}

/// The part of the blob that a request asks for.
fn part(seen: &Seen) -> Reply {
    let blob = blob();
    match seen.header("range") {
        None => reply(200).body(blob),
        Some(range) => {
            let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
            let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
            reply(206)
                .header("Content-Range", format!("bytes {first}-{last}/{}", blob.len()))
                .body(&blob[first..=last])
        }
    }
}

/// A server whose answers are `script`, one after the other, and then as they should be.
async fn scripted(script: Vec<fn(&Seen) -> Reply>) -> Server {
    let count = AtomicUsize::new(0);
    Server::start(move |seen| {
        let at = count.fetch_add(1, Ordering::Relaxed);
        script.get(at).map_or_else(|| part(seen), |reply| reply(seen))
    })
    .await
}

fn ranges(server: &Server) -> Vec<Option<String>> {
    server.seen().iter().map(|seen| seen.header("range").map(str::to_owned)).collect()
}

#[tokio::test]
async fn whole() {
    let server = scripted(vec![]).await;
    let client = server.client();
    let download = client.repository("a/b").blob(&digest(), None).await.unwrap();
    assert_eq!(download.size, Some(40_000));
    assert_eq!(all(download).await.unwrap(), blob());
    assert_eq!(server.lines(), [format!("GET /v2/a/b/blobs/{}", digest())]);
    assert_eq!(client.requests(), 2); // https was tried first
}

#[tokio::test]
async fn resumes_by_a_closed_range_where_it_broke() {
    let server =
        scripted(vec![|seen| part(seen).cut(10_000), |seen| part(seen).cut(5_000), |seen| {
            part(seen).silent(100)
        }])
        .await;
    assert_eq!(read(&server.client()).await.unwrap(), blob());
    assert_eq!(
        ranges(&server),
        [
            None,
            Some("bytes=10000-39999".to_owned()),
            Some("bytes=15000-39999".to_owned()),
            Some("bytes=15100-39999".to_owned()),
        ]
    );
}

#[tokio::test]
async fn starts_over_and_skips_where_ranges_are_not_understood() {
    let cut: fn(&Seen) -> Reply = |seen| part(seen).cut(10_000);
    type Row = (&'static str, fn(&Seen) -> Reply, usize);
    let rows: [Row; 4] = [
        ("the whole", |_| reply(200).body(blob()), 2),
        ("416", |_| reply(416), 3),
        (
            "another part",
            |_| reply(206).header("Content-Range", "bytes 0-39999/40000").body(blob()),
            3,
        ),
        ("a part of nothing", |_| reply(206).body(&blob()[10_000..]), 3),
    ];
    for (name, second, requests) in rows {
        let server = scripted(vec![cut, second]).await;
        assert_eq!(read(&server.client()).await.unwrap(), blob(), "{name}");
        let ranges = ranges(&server);
        assert_eq!(ranges.len(), requests, "{name}");
        assert_eq!(ranges[1].as_deref(), Some("bytes=10000-39999"), "{name}");
        assert!(requests == 2 || ranges[2].is_none(), "{name}");
    }
}

#[tokio::test]
async fn a_whole_answer_that_breaks_while_skipping_is_skipped_again() {
    let server = scripted(vec![
        |seen| part(seen).cut(20_000),
        |_| reply(200).body(blob()).cut(3_000),
        |_| reply(416),
        |_| reply(200).body(blob()).cut(30_000),
    ])
    .await;
    assert_eq!(read(&server.client()).await.unwrap(), blob());
}

#[tokio::test]
async fn tries_come_back_with_progress_and_end_without() {
    let progress = AtomicUsize::new(0);
    let server = Server::start(move |seen| {
        part(seen).cut(if progress.fetch_add(1, Ordering::Relaxed) < 20 { 1_500 } else { 10 })
    })
    .await;
    let error = read(&server.client()).await.unwrap_err();
    assert!(error.is_transient());
    assert!(chain(&error).ends_with(": unexpected EOF"), "{}", chain(&error));
    assert_eq!(server.seen().len(), 20 + 3); // the last progress was broken, too
}

#[tokio::test]
async fn answers_while_resuming_count() {
    let server = scripted(vec![|seen| part(seen).cut(1_000), |_| reply(503), |_| hangup(), |_| {
        reply(429).header("Retry-After", "0")
    }])
    .await;
    assert_eq!(read(&server.client()).await.unwrap(), blob());
    let server = scripted(vec![|seen| part(seen).cut(1_000), |_| {
        reply(404).body(r#"{"errors":[{"code":"BLOB_UNKNOWN","message":"gone"}]}"#)
    }])
    .await;
    let error = read(&server.client()).await.unwrap_err();
    assert_eq!(chain(&error), "fetching blob: blob unknown: gone");
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn never_tries_again_what_will_not_change() {
    for status in [400, 403, 404, 410] {
        let server = Server::start(move |_| reply(status)).await;
        let error = read(&server.client()).await.unwrap_err();
        assert_eq!(error.status(), Some(status));
        assert!(!error.is_transient() && !error.is_not_found());
        assert_eq!(server.seen().len(), 1, "{status}");
    }
    for status in [408, 425, 429, 500, 502, 503, 504] {
        let server = Server::start(move |_| reply(status)).await;
        let error = read(&server.client()).await.unwrap_err();
        assert!(error.is_transient());
        assert_eq!(server.seen().len(), 4, "{status}");
    }
}

#[tokio::test]
async fn a_silent_server_does_not_hang_us() {
    let server = Server::start(|seen| part(seen).silent(100)).await;
    let error = read(&server.client()).await.unwrap_err();
    assert!(chain(&error).contains("nothing received for 0.3 s"), "{}", chain(&error));
    // Who is silent once more is not asked a third time.
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_registry_that_says_less_than_the_manifest_is_taken_at_its_word() {
    let server = Server::start(|_| reply(200).body("short")).await;
    let client = server.client();
    let download = client.repository("a").blob(&digest(), Some(40_000)).await.unwrap();
    assert_eq!(download.size, Some(5));
    assert_eq!(all(download).await.unwrap(), b"short"); // and the digest will be wrong
}

#[tokio::test]
async fn nothing_is_asked_for_once_everything_is_here() {
    // The end of these chunks never comes.
    for declared in [5, 3, 0] {
        let server = Server::start(|_| {
            let chunk = "5\r\nshort\r\n";
            reply(200).header("Transfer-Encoding", "chunked").body(chunk).cut(chunk.len())
        })
        .await;
        let client = server.client();
        let download = client.repository("a").blob(&digest(), Some(declared)).await.unwrap();
        assert_eq!(all(download).await.unwrap(), b"short", "{declared}");
        assert_eq!(server.seen().len(), 1, "{declared}");
    }
}

#[tokio::test]
async fn behind_the_end_there_is_nothing_left() {
    for declared in [5, 3, 0] {
        let server = Server::start(|seen| match seen.header("range") {
            Some(_) => reply(416),
            None => reply(200).body("short"),
        })
        .await;
        let repository = server.client().repository("a");
        let download = repository.blob_from(&digest(), declared, 5).await.unwrap();
        assert_eq!(download.size, Some(0), "{declared}");
        assert_eq!(all(download).await.unwrap(), b"", "{declared}");
    }
}

#[tokio::test]
async fn storage_elsewhere_sees_no_credentials_and_is_asked_for_anew() {
    let count = AtomicUsize::new(0);
    let storage = Server::start(move |seen| match count.fetch_add(1, Ordering::Relaxed) {
        0 => part(seen).cut(7_000),
        _ => part(seen),
    })
    .await;
    let to = storage.host.clone();
    let tickets = AtomicUsize::new(1);
    let registry = Server::start(move |seen| {
        if seen.header("authorization") != Some("Bearer secret") {
            return reply(401).header("WWW-Authenticate", "Bearer realm=\"http://nowhere\"");
        }
        let ticket = tickets.fetch_add(1, Ordering::Relaxed);
        reply(307).header("Location", format!("http://{to}/store?X-Amz-Signature={ticket}"))
    })
    .await;
    let client = registry.client_as(Credentials::RegistryToken("secret".into()));
    assert_eq!(read(&client).await.unwrap(), blob());
    assert_eq!(storage.lines(), ["GET /store?X-Amz-Signature=1", "GET /store?X-Amz-Signature=2"]);
    assert_eq!(storage.seen()[1].header("range"), Some("bytes=7000-39999"));
    for seen in storage.seen() {
        assert_eq!(seen.header("authorization"), None);
    }
}

#[tokio::test]
async fn redirects_at_home_keep_the_credentials() {
    let server = Server::start(|seen| match seen.path.as_str() {
        "/elsewhere" => reply(200).body(seen.header("authorization").unwrap_or("none")),
        _ => reply(302).header("Location", "/elsewhere"),
    })
    .await;
    let client = server.client_as(Credentials::RegistryToken("t".into()));
    let download = client.repository("a").blob(&digest(), None).await.unwrap();
    assert_eq!(all(download).await.unwrap(), b"Bearer t");
}

#[tokio::test]
async fn redirects_end() {
    let server = Server::start(|_| reply(307).header("Location", "/again")).await;
    let error = read(&server.client()).await.unwrap_err();
    assert!(chain(&error).ends_with("stopped after 10 redirects"), "{}", chain(&error));
    let server = Server::start(|_| reply(307).header("Location", "ftp://x/")).await;
    let error = read(&server.client()).await.unwrap_err();
    assert!(chain(&error).ends_with("redirected without a URL"), "{}", chain(&error));
}

#[tokio::test]
async fn foreign_layers_are_read_without_credentials() {
    let server = Server::start(|seen| {
        assert_eq!(seen.header("authorization"), None);
        reply(200).body("layer")
    })
    .await;
    let client = server.client_as(Credentials::RegistryToken("t".into()));
    let repository = client.repository("a");
    let url = format!("http://{}/layer?sig=secret", server.host);
    assert_eq!(
        all(repository.foreign_blob(&url, None, None).await.unwrap()).await.unwrap(),
        b"layer"
    );
    let error = repository.foreign_blob("file:///etc/passwd", None, None).await.unwrap_err();
    assert_eq!(chain(&error), "unsupported external blob URL \"file:///etc/passwd\"");
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://{nobody}/layer?sig=secret");
    let error = repository.foreign_blob(&url, None, None).await.unwrap_err();
    assert!(!chain(&error).contains("secret"), "{}", chain(&error));
}

#[tokio::test]
async fn head_tells_what_is_there() {
    let server =
        Server::start(|seen| match seen.path.contains(&Digest::sha256(b"here").to_string()) {
            true => reply(200).header("Content-Length", "12345"),
            false if seen.path.contains("/secret/") => reply(403),
            false => reply(404),
        })
        .await;
    let client = server.client();
    let repository = client.repository("a");
    assert_eq!(repository.head_blob(&Digest::sha256(b"here")).await.unwrap(), Some(12345));
    assert_eq!(repository.head_blob(&Digest::sha256(b"gone")).await.unwrap(), None);
    let error = client.repository("secret/x").head_blob(&digest()).await.unwrap_err();
    assert_eq!(
        chain(&error),
        format!(
            "checking whether a blob {} exists in {}/secret/x: StatusCode: 403, \"\"",
            digest(),
            server.host
        )
    );
}

#[tokio::test]
async fn downloads_may_move_between_threads() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let server = scripted(vec![]).await;
    let client = Arc::new(server.client());
    let task = tokio::spawn(is_send(async move { read(&client).await }));
    assert_eq!(task.await.unwrap().unwrap(), blob());
}

#[tokio::test]
async fn retries_can_be_switched_off() {
    let server = Server::start(|_| reply(500)).await;
    let retry = RetryPolicy { tries: 1, ..RetryPolicy::default() };
    let client = Client::new(ClientOptions { retry, ..server.options() }).unwrap();
    assert_eq!(read(&client).await.unwrap_err().status(), Some(500));
    assert_eq!(server.seen().len(), 1);
}
