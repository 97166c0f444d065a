//! A blob over several connections.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::TryStreamExt;
use skopeo_image::Digest;
use skopeo_registry::{Client, ClientOptions, Download, Error, RangeOptions};

use crate::server::{Reply, Seen, Server, chain, reply};

/// 40,000 bytes: ten ranges.
fn blob() -> Vec<u8> {
    (0..10_000_u32).flat_map(u32::to_le_bytes).collect()
}

fn digest() -> Digest {
    Digest::sha256(&blob())
}

fn client(server: &Server) -> Client {
    let connections = NonZeroUsize::new(4).unwrap();
    let ranges = RangeOptions { connections, threshold: 10_000, length: 4_000 };
    Client::new(ClientOptions { ranges, ..server.options() }).unwrap()
}

async fn all(download: Download) -> Result<Vec<u8>, Error> {
    let pieces: Vec<Bytes> = download.stream.try_collect().await?;
    Ok(pieces.concat())
}

async fn read(server: &Server) -> Result<Vec<u8>, Error> {
    let repository = client(server).repository("a/b");
    all(repository.blob(&digest(), Some(blob().len() as u64)).await?).await
}

fn asked(seen: &Seen) -> Option<(usize, usize)> {
    let range = seen.header("range")?.strip_prefix("bytes=")?;
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

/// The part of the blob that a request asks for.
fn part(seen: &Seen) -> Reply {
    let blob = blob();
    match asked(seen) {
        None => reply(200).body(blob),
        Some((first, last)) => reply(206)
            .header("Content-Range", format!("bytes {first}-{last}/{}", blob.len()))
            .body(&blob[first..=last]),
    }
}

/// A server that gives another answer to those who ask for a range from this byte on.
async fn odd(at: usize, other: fn(&Seen) -> Reply) -> Server {
    Server::start(move |seen| match asked(seen) {
        Some((first, _)) if first == at => other(seen),
        _ => part(seen),
    })
    .await
}

fn ranges(server: &Server) -> Vec<Option<(usize, usize)>> {
    server.seen().iter().map(asked).collect()
}

#[tokio::test]
async fn every_range_is_asked_for_once_and_given_out_in_order() {
    let server = Server::start(part).await;
    assert_eq!(read(&server).await.unwrap(), blob());
    let ranges = ranges(&server);
    let expected: BTreeSet<_> = (0..10).map(|n| Some((n * 4_000, n * 4_000 + 3_999))).collect();
    assert_eq!(ranges.len(), 10);
    assert_eq!(ranges.into_iter().collect::<BTreeSet<_>>(), expected);
}

#[tokio::test]
async fn the_last_range_is_as_short_as_it_is() {
    let server = Server::start(part).await;
    let repository = client(&server).repository("a/b");
    let download = repository.blob_from(&digest(), 40_000, 29_000).await.unwrap();
    assert_eq!(download.size, Some(11_000));
    assert_eq!(all(download).await.unwrap(), blob()[29_000..]);
    assert!(ranges(&server).iter().all(Option::is_some), "below the threshold it is one range");
    let before = server.seen().len();
    let download = repository.blob_from(&digest(), 40_000, 11_000).await.unwrap();
    assert_eq!(all(download).await.unwrap(), blob()[11_000..]);
    let mut ranges = ranges(&server).split_off(before);
    ranges.sort_unstable();
    assert_eq!(ranges.first(), Some(&Some((11_000, 14_999))));
    assert_eq!(ranges.last(), Some(&Some((39_000, 39_999))));
}

#[tokio::test]
async fn small_blobs_and_those_of_unknown_size_come_whole() {
    let server = Server::start(part).await;
    let repository = client(&server).repository("a/b");
    for size in [None, Some(9_999)] {
        let download = repository.blob(&digest(), size).await.unwrap();
        assert_eq!(download.size, Some(40_000), "the registry's word");
        drop(download);
    }
    assert_eq!(ranges(&server), [None, None]);
}

/// The first request shows that the registry sends no ranges; nothing is read twice.
#[tokio::test]
async fn a_registry_without_ranges_is_read_over_one_connection() {
    for (name, first, requests) in [
        ("200", (|_| reply(200).body(blob())) as fn(&Seen) -> Reply, 1),
        ("416", |_| reply(416), 2),
        ("no Content-Range", |_| reply(206).body(&blob()[..4_000]), 2),
        (
            "of another blob",
            |_| reply(206).header("Content-Range", "bytes 0-3999/39999").body(&blob()[..4_000]),
            2,
        ),
        (
            "of an unknown length",
            |_| reply(206).header("Content-Range", "bytes 0-3999/*").body(&blob()[..4_000]),
            2,
        ),
        (
            "more than was asked for",
            |_| reply(206).header("Content-Range", "bytes 0-4000/40000").body(&blob()[..4_001]),
            2,
        ),
    ] {
        let server = odd(0, first).await;
        assert_eq!(read(&server).await.unwrap(), blob(), "{name}");
        let ranges = ranges(&server);
        assert_eq!(ranges.len(), requests, "{name}: {ranges:?}");
        assert_eq!(ranges[0], Some((0, 3_999)), "{name}");
        assert!(ranges[1..].iter().all(Option::is_none), "{name}: {ranges:?}");
    }
}

#[tokio::test]
async fn a_range_that_does_not_come_is_read_with_the_rest() {
    for (name, answer) in [
        ("200", (|_| reply(200).body(blob())) as fn(&Seen) -> Reply),
        ("416", |_| reply(416)),
        ("other bytes", |_| {
            reply(206).header("Content-Range", "bytes 0-3999/40000").body(&blob()[..4_000])
        }),
    ] {
        // Whoever asks for the rest begins where that range does.
        let server = Server::start(move |seen| match asked(seen) {
            Some((12_000, 15_999)) => answer(seen),
            _ => part(seen),
        })
        .await;
        assert_eq!(read(&server).await.unwrap(), blob(), "{name}");
        assert!(ranges(&server).contains(&Some((12_000, 39_999))), "{name}: {:?}", ranges(&server));
    }
}

#[tokio::test]
async fn a_range_that_breaks_goes_on_where_it_was() {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |seen| match asked(seen) {
        Some((8_000, _)) if count.fetch_add(1, Ordering::Relaxed) == 0 => part(seen).cut(1_000),
        Some((9_000, _)) => part(seen).cut(2_000),
        _ => part(seen),
    })
    .await;
    assert_eq!(read(&server).await.unwrap(), blob());
    let ranges = ranges(&server);
    assert!(ranges.contains(&Some((9_000, 11_999))), "{ranges:?}");
    assert!(ranges.contains(&Some((11_000, 11_999))), "{ranges:?}");
    assert_eq!(ranges.len(), 12, "{ranges:?}");
}

#[tokio::test]
async fn a_range_longer_than_it_says_is_cut() {
    let server = odd(4_000, |seen| {
        let (first, last) = asked(seen).unwrap();
        reply(206)
            .header("Content-Range", format!("bytes {first}-{last}/40000"))
            .body(&blob()[first..last + 3_000])
    })
    .await;
    assert_eq!(read(&server).await.unwrap(), blob());
}

#[tokio::test]
async fn what_is_refused_for_good_fails_as_over_one_connection() {
    let server = odd(20_000, |_| {
        reply(404).body(r#"{"errors":[{"code":"BLOB_UNKNOWN","message":"gone"}]}"#)
    })
    .await;
    let error = read(&server).await.unwrap_err();
    assert_eq!(chain(&error), "fetching blob: blob unknown: gone");
    let server = Server::start(|_| reply(404)).await;
    let error = read(&server).await.unwrap_err();
    assert_eq!(error.status(), Some(404));
}

/// Who takes nothing gets no more than six ranges of memory filled.
#[tokio::test]
async fn ranges_wait_for_whoever_takes_them() {
    let server = Server::start(part).await;
    let repository = client(&server).repository("a/b");
    let mut download = repository.blob(&digest(), Some(40_000)).await.unwrap();
    let first = download.stream.try_next().await.unwrap().unwrap();
    while server.seen().len() < 6 {
        tokio::task::yield_now().await;
    }
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.seen().len(), 6);
    let rest: Vec<Bytes> = download.stream.try_collect().await.unwrap();
    assert_eq!([vec![first], rest].concat().concat(), blob());
}

/// No more than four are asked for at once; each is answered only when all four are there.
#[tokio::test]
async fn as_many_connections_as_are_allowed() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (opened, highest) = (open.clone(), most.clone());
    let served = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (open, most) = (opened.clone(), highest.clone());
            tokio::spawn(serve(stream, open, most));
        }
    });
    let connections = NonZeroUsize::new(4).unwrap();
    let ranges = RangeOptions { connections, threshold: 10_000, length: 4_000 };
    let client = Client::new(ClientOptions { ranges, ..crate::server::options(&host) }).unwrap();
    let download = client.repository("a").blob(&digest(), Some(40_000)).await.unwrap();
    assert_eq!(all(download).await.unwrap(), blob());
    assert_eq!(most.load(Ordering::Relaxed), 4);
    assert_eq!(open.load(Ordering::Relaxed), 0);
    served.abort();
}

/// Answers requests for ranges. All but the first wait until four are in work, while so many are
/// left.
async fn serve(stream: tokio::net::TcpStream, open: Arc<AtomicUsize>, most: Arc<AtomicUsize>) {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    let mut stream = BufReader::new(stream);
    loop {
        let mut range = None;
        loop {
            let mut line = Vec::new();
            match stream.read_until(b'\n', &mut line).await {
                Ok(1..) => {}
                _ => return,
            }
            let Ok(line) = String::from_utf8(line) else { return };
            let line = line.trim_end();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
                let (first, last) = value.split_once('-').unwrap();
                range = Some((first.parse::<usize>().unwrap(), last.parse::<usize>().unwrap()));
            }
            if line.is_empty() {
                break;
            }
        }
        let Some((first, last)) = range else { return };
        let now = open.fetch_add(1, Ordering::SeqCst) + 1;
        most.fetch_max(now, Ordering::SeqCst);
        if (4_000..20_000).contains(&first) {
            while most.load(Ordering::SeqCst) < 4 {
                tokio::task::yield_now().await;
            }
        }
        open.fetch_sub(1, Ordering::SeqCst);
        let body = &blob()[first..=last];
        let head = format!(
            "HTTP/1.1 206 X\r\nContent-Range: bytes {first}-{last}/40000\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        if stream.write_all(&[head.as_bytes(), body].concat()).await.is_err() {
            return;
        }
    }
}
