use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::Version;
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use skopeo_image::Digest;
use skopeo_registry::{Client, ClientOptions, Repository, RetryWith, TlsOptions, UploadError};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ALL_VERSIONS;

use crate::server::{Server, chain, reply};
use crate::tls::{both, config};

type Body = BoxBody<Bytes, std::io::Error>;

const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// A server that speaks HTTP/2 only, and a client of it; counts connections.
async fn http2<F>(
    answer: impl Fn(hyper::Request<Incoming>) -> F + Clone + Send + 'static,
) -> (Client, Arc<AtomicUsize>)
where
    F: Future<Output = hyper::Response<Body>> + Send + 'static,
{
    start(&[HTTP2], answer).await
}

/// A server that speaks these protocols, and a client of it; counts connections.
async fn start<F>(
    protocols: &[&[u8]],
    answer: impl Fn(hyper::Request<Incoming>) -> F + Clone + Send + 'static,
) -> (Client, Arc<AtomicUsize>)
where
    F: Future<Output = hyper::Response<Body>> + Send + 'static,
{
    let certificate = both(&["127.0.0.1"]);
    let mut config = config(&certificate, ALL_VERSIONS, None);
    config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            let (acceptor, answer) = (acceptor.clone(), answer.clone());
            tokio::spawn(async move {
                // A client that wants no HTTP/2 may be refused here.
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = hyper::service::service_fn(move |request| {
                    let answer = answer(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    let tls =
        TlsOptions { extra_roots_pem: vec![certificate.pem.into_bytes()], ..TlsOptions::default() };
    let options = ClientOptions { tls, insecure: false, ..crate::server::options(&host) };
    (Client::new(options).unwrap(), connections)
}

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

#[tokio::test]
async fn http2_where_the_server_has_it() {
    let (client, connections) = http2(async |request| {
        assert_eq!(request.version(), Version::HTTP_2);
        hyper::Response::new(full("{}"))
    })
    .await;
    let repository = client.repository("a");
    let all = join_all((0..20).map(|_| repository.manifest("x"))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn http2_downloads_are_resumed() {
    let blob = Bytes::from(b"0123456789".repeat(10_000));
    let inside = blob.clone();
    let (client, _) = http2(move |request| {
        let blob = inside.clone();
        async move {
            let Some(range) = request.headers().get("range") else {
                let torn = stream::once(async move { Ok(Frame::data(blob.slice(..30_000))) });
                let torn = torn.chain(stream::once(async {
                    // A reset that comes at once takes what came before it along.
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    Err(std::io::Error::other("torn"))
                }));
                let mut answer = hyper::Response::new(BodyExt::boxed(StreamBody::new(torn)));
                answer.headers_mut().insert("content-length", 100_000.into());
                return answer;
            };
            let range = range.to_str().unwrap().to_owned();
            let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
            let first: usize = first.parse().unwrap();
            assert!(first <= 30_000 && last == "99999", "{range}");
            hyper::Response::builder()
                .status(206)
                .header("content-range", format!("bytes {first}-99999/100000"))
                .body(full(blob.slice(first..)))
                .unwrap()
        }
    })
    .await;
    let digest = Digest::sha256(&blob);
    let download = client.repository("a").blob(&digest, Some(100_000)).await.unwrap();
    let pieces: Vec<_> = download.stream.try_collect().await.unwrap();
    assert_eq!(pieces.concat(), blob);
}

#[tokio::test]
async fn http2_uploads_go_up_and_are_refused() {
    for (status, expected) in [(201, None), (413, Some(RetryWith::Chunked))] {
        let (client, _) = http2(move |request| async move {
            if request.method() == "POST" {
                let answer = hyper::Response::builder().status(202).header("location", "/upload");
                return answer.body(full("")).unwrap();
            }
            if status == 201 {
                assert_eq!(request.headers()["content-length"], "1000000");
                let body = request.into_body().collect().await.unwrap().to_bytes();
                assert_eq!(body.len(), 1_000_000);
            }
            hyper::Response::builder().status(status).body(full("")).unwrap()
        })
        .await;
        let body = stream::iter((0..10).map(|_| Ok(Bytes::from(vec![7; 100_000])))).boxed();
        let digest = Digest::sha256(b"whatever it says");
        let repository = client.repository("a");
        let outcome = repository.upload(None, Some(&digest), Some(1_000_000), body).await;
        match outcome {
            Ok(_) => assert_eq!(status, 201),
            Err(error) => assert_eq!(error.retry_with(), expected, "{}", chain(&error)),
        }
    }
}

/// So many bytes are a large blob.
const LARGE: usize = 4 << 20;

fn blob(size: usize) -> (Digest, Bytes) {
    let bytes = Bytes::from(vec![7; size]);
    (Digest::sha256(&bytes), bytes)
}

async fn fetch(repository: &Repository, (digest, bytes): &(Digest, Bytes)) {
    let size = Some(bytes.len() as u64);
    let download = repository.blob(digest, size).await.unwrap();
    let pieces: Vec<_> = download.stream.try_collect().await.unwrap();
    assert_eq!(pieces.concat(), *bytes);
}

async fn send(
    repository: &Repository,
    (digest, bytes): &(Digest, Bytes),
) -> Result<(Digest, u64), UploadError> {
    let size = bytes.len() as u64;
    let pieces: Vec<_> = bytes.chunks(1 << 20).map(|it| Ok(bytes.slice_ref(it))).collect();
    let body = stream::iter(pieces).boxed();
    repository.upload(None, Some(digest), Some(size), body).await
}

/// A registry that has these blobs and takes others; a blob of a size must come, or go, by the
/// `expected` protocol.
fn registry(
    blobs: Vec<(Digest, Bytes)>,
    expected: fn(usize) -> Version,
) -> impl Fn(hyper::Request<Incoming>) -> futures_util::future::BoxFuture<'static, hyper::Response<Body>>
+ Clone
+ Send
+ 'static {
    move |request| {
        let blobs = blobs.clone();
        Box::pin(async move {
            let version = request.version();
            match request.method().as_str() {
                "GET" => {
                    let path = request.uri().path();
                    let (_, bytes) =
                        blobs.iter().find(|(digest, _)| path.ends_with(digest.as_str())).unwrap();
                    assert_eq!(version, expected(bytes.len()));
                    hyper::Response::new(full(bytes.clone()))
                }
                "POST" => {
                    let answer = hyper::Response::builder().status(202);
                    answer.header("location", "/upload").body(full("")).unwrap()
                }
                _ => {
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    assert_eq!(version, expected(body.len()));
                    hyper::Response::builder().status(201).body(full("")).unwrap()
                }
            }
        })
    }
}

#[tokio::test]
async fn large_blobs_have_connections_of_their_own() {
    let blobs: Vec<_> = [LARGE, LARGE + 1, 1000, LARGE - 1].map(blob).into();
    let expected = |size| if size >= LARGE { Version::HTTP_11 } else { Version::HTTP_2 };
    let answer = registry(blobs.clone(), expected);
    let (client, connections) = start(&[HTTP2, HTTP1], answer).await;
    let repository = client.repository("a");
    // The first to come learns what the registry is; then all come at once.
    fetch(&repository, &blobs[2]).await;
    join_all(blobs.iter().map(|blob| fetch(&repository, blob))).await;
    assert_eq!(connections.load(Ordering::Relaxed), 3);
    for blob in &blobs {
        send(&repository, blob).await.unwrap();
    }
    assert_eq!(connections.load(Ordering::Relaxed), 3, "they are kept");
}

#[tokio::test]
async fn large_blobs_share_the_connection_of_a_server_that_speaks_http2_only() {
    let blobs: Vec<_> = [LARGE, LARGE + 1].map(blob).into();
    let expected = |_| Version::HTTP_2;
    for uploads_first in [false, true] {
        let (client, connections) = http2(registry(blobs.clone(), expected)).await;
        let repository = client.repository("a");
        if uploads_first {
            // What is a stream cannot be sent again here: who made it does that.
            let error = send(&repository, &blobs[0]).await.unwrap_err();
            assert_eq!(error.retry_with(), Some(RetryWith::Same), "{}", chain(&error));
            send(&repository, &blobs[0]).await.unwrap();
        }
        for blob in &blobs {
            fetch(&repository, blob).await;
            send(&repository, blob).await.unwrap();
        }
        assert_eq!(connections.load(Ordering::Relaxed), 2, "it is asked once");
    }
}

#[tokio::test]
async fn who_only_says_where_blobs_are_needs_no_connections_of_their_own() {
    let (small, large) = (blob(1000), blob(LARGE));
    let blobs = [small.clone(), large.clone()];
    let store = Server::start(move |seen| {
        let found = blobs.iter().find(|(digest, _)| seen.path.ends_with(digest.as_str()));
        reply(200).body(found.unwrap().1.clone())
    })
    .await;
    let host = store.host.clone();
    let (client, connections) = start(&[HTTP2, HTTP1], move |request| {
        let location = format!("http://{host}{}", request.uri().path());
        assert_eq!(request.version(), Version::HTTP_2);
        let answer = hyper::Response::builder().status(307).header("location", location);
        async move { answer.body(full("")).unwrap() }
    })
    .await;
    let repository = client.repository("a");
    for blob in [&small, &large, &large] {
        fetch(&repository, blob).await;
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}
