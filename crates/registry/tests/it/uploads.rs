use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use skopeo_image::Digest;
use skopeo_registry::{BoxError, Credentials, Mount, RetryWith, UploadError};

use crate::server::{Reply, Seen, Server, chain, hangup, reply};

fn big() -> Vec<u8> {
    let mut bytes = b"0123456789".repeat(1_000_000);
    bytes[5_000_000] = b'x';
    bytes
}

fn body(bytes: &[u8]) -> BoxStream<'static, Result<Bytes, BoxError>> {
    let pieces: Vec<_> = bytes.chunks(65_536).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
    stream::iter(pieces).boxed()
}

/// Uploads as the specification has them: bytes gathered per session, blobs kept by digest.
#[derive(Default)]
struct Store {
    sessions: Mutex<HashMap<String, Vec<u8>>>,
    blobs: Mutex<HashMap<String, Vec<u8>>>,
    opened: AtomicUsize,
}

impl Store {
    fn answer(&self, seen: &Seen) -> Reply {
        let (path, query) = seen.path.split_once('?').unwrap_or((&seen.path, ""));
        let mut sessions = self.sessions.lock().unwrap();
        match seen.method.as_str() {
            "POST" => {
                let id = self.opened.fetch_add(1, Ordering::Relaxed);
                let location = format!("{path}{id}?_state=s{id}");
                sessions.insert(format!("{path}{id}"), Vec::new());
                reply(202).header("Location", location)
            }
            "HEAD" => match self.blobs.lock().unwrap().get(path.rsplit('/').next().unwrap()) {
                Some(blob) => reply(200).header("Content-Length", blob.len().to_string()),
                None => reply(404),
            },
            "DELETE" => {
                sessions.remove(path);
                reply(204)
            }
            "GET" => match sessions.get(path) {
                Some(bytes) => reply(204)
                    .header("Location", &seen.path)
                    .header("Range", format!("0-{}", bytes.len().saturating_sub(1))),
                None => reply(404),
            },
            "PATCH" => {
                let Some(bytes) = sessions.get_mut(path) else { return reply(404) };
                if let Some(range) = seen.header("content-range")
                    && range.split('-').next() != Some(&bytes.len().to_string())
                {
                    return reply(416);
                }
                bytes.extend(&seen.body);
                reply(202)
                    .header("Location", &seen.path)
                    .header("Range", format!("0-{}", bytes.len() - 1))
            }
            "PUT" => {
                let Some(mut bytes) = sessions.remove(path) else { return reply(404) };
                bytes.extend(&seen.body);
                let digest = Digest::sha256(&bytes).to_string();
                if !query.contains(&digest.replace(':', "%3A")) {
                    return reply(400).body(r#"{"errors":[{"code":"DIGEST_INVALID"}]}"#);
                }
                self.blobs.lock().unwrap().insert(digest, bytes);
                reply(201)
            }
            _ => reply(405),
        }
    }

    fn has(&self, bytes: &[u8]) -> bool {
        let blobs = self.blobs.lock().unwrap();
        blobs.get(Digest::sha256(bytes).as_str()).is_some_and(|blob| blob == bytes)
    }
}

/// A server that is a store but for what `odd` answers; `odd` gets a running number.
async fn store(
    odd: impl Fn(usize, &Seen) -> Option<Reply> + Send + Sync + 'static,
) -> (Arc<Store>, Server) {
    let store = Arc::new(Store::default());
    let inside = Arc::clone(&store);
    let count = AtomicUsize::new(0);
    let server = Server::start(move |seen| {
        odd(count.fetch_add(1, Ordering::Relaxed), seen).unwrap_or_else(|| inside.answer(seen))
    })
    .await;
    (store, server)
}

fn methods(server: &Server) -> Vec<String> {
    server.seen().into_iter().map(|seen| seen.method).collect()
}

#[tokio::test]
async fn known_blobs_go_up_in_one_put() {
    for bytes in [big(), b"small".to_vec(), Vec::new()] {
        let (store, server) = store(|_, _| None).await;
        let digest = Digest::sha256(&bytes);
        let size = bytes.len() as u64;
        let repository = server.client().repository("a/b");
        let stored = repository.upload(None, Some(&digest), Some(size), body(&bytes)).await;
        assert_eq!(stored.unwrap(), (digest.clone(), size));
        assert!(store.has(&bytes));
        let seen = server.seen();
        assert_eq!(methods(&server), ["POST", "PUT"]);
        assert_eq!(seen[0].header("content-length"), Some("0"));
        assert_eq!(seen[1].header("content-length"), Some(size.to_string().as_str()));
        assert_eq!(seen[1].header("content-type"), Some("application/octet-stream"));
        let query = format!("?_state=s0&digest={}", digest.as_str().replace(':', "%3A"));
        assert_eq!(seen[1].path, format!("/v2/a/b/blobs/uploads/0{query}"));
    }
}

#[tokio::test]
async fn unknown_blobs_go_up_in_a_patch_and_get_their_digest() {
    for (bytes, size) in [(big(), None), (big(), Some(10_000_000)), (b"small".to_vec(), None)] {
        let (store, server) = store(|_, _| None).await;
        let repository = server.client().repository("a/b");
        let stored = repository.upload(None, None, size, body(&bytes)).await.unwrap();
        assert_eq!(stored, (Digest::sha256(&bytes), bytes.len() as u64));
        assert!(store.has(&bytes));
        assert_eq!(methods(&server), ["POST", "PATCH", "PUT"]);
        assert_eq!(server.seen()[1].header("content-length").is_some(), size.is_some());
    }
}

#[tokio::test]
async fn a_body_that_fails_is_not_the_registrys_fault() {
    #[derive(Debug, thiserror::Error)]
    #[error("the tape is torn")]
    struct Torn;
    let torn = |bytes: &[u8]| body(bytes).chain(stream::iter([Err(Torn.into())])).boxed();
    let bytes = big();
    for (digest, size, sent) in [
        (Some(Digest::sha256(&bytes)), Some(10_000_000), bytes.clone()),
        (Some(Digest::sha256(b"small")), Some(5), b"small".to_vec()),
        (None, None, bytes.clone()),
    ] {
        let (store, server) = store(|_, _| None).await;
        let repository = server.client().repository("a");
        let error = repository.upload(None, digest.as_ref(), size, torn(&sent)).await.unwrap_err();
        let UploadError::Body(source) = &error else { panic!("{error:?}") };
        assert!(source.downcast_ref::<Torn>().is_some(), "{error:?}");
        assert_eq!(chain(&error), "reading the blob to upload: the tape is torn");
        assert_eq!(error.retry_with(), None);
        assert!(
            server.seen().iter().all(|seen| seen.method != "PUT" || seen.body.len() < 10_000_000)
        );
        assert!(store.blobs.lock().unwrap().is_empty());
        assert!(store.sessions.lock().unwrap().is_empty(), "the session was not cancelled");
    }
}

#[tokio::test]
async fn a_body_of_another_length_is_noticed() {
    let bytes = big();
    let digest = Digest::sha256(&bytes);
    for (size, expected) in [
        (10_000_001, "blob is shorter than the 10000001 bytes it should have"),
        (9_999_999, "blob is longer than the 9999999 bytes it should have"),
        (5, "blob is longer than the 5 bytes it should have"),
    ] {
        let (_, server) = store(|_, _| None).await;
        let repository = server.client().repository("a");
        let error = repository.upload(None, Some(&digest), Some(size), body(&bytes)).await;
        let text = chain(&error.unwrap_err());
        assert_eq!(text, format!("reading the blob to upload: {expected}"));
    }
}

#[tokio::test]
async fn locations_are_taken_as_they_come() {
    for location in ["relative/1", "?id=1", "/abs?x=a%2Fb", "http://HOST/full?x=1", "//HOST/v"] {
        let server = Server::start(move |seen| match seen.method.as_str() {
            "POST" => {
                let host = seen.header("host").unwrap();
                reply(202).header("Location", location.replace("HOST", host))
            }
            _ => reply(201),
        })
        .await;
        let digest = Digest::sha256(b"x");
        let repository = server.client().repository("a");
        repository.upload(None, Some(&digest), Some(1), body(b"x")).await.unwrap();
        let expected = match location {
            "relative/1" => "/v2/a/blobs/uploads/relative/1?",
            "?id=1" => "/v2/a/blobs/uploads/?id=1&",
            "/abs?x=a%2Fb" => "/abs?x=a%2Fb&",
            "http://HOST/full?x=1" => "/full?x=1&",
            _ => "/v?",
        };
        let digest = digest.as_str().replace(':', "%3A");
        assert_eq!(server.seen()[1].path, format!("{expected}digest={digest}"));
    }
}

#[tokio::test]
async fn uploads_to_elsewhere_carry_no_credentials() {
    let storage = Server::start(|_| reply(201)).await;
    let to = storage.host.clone();
    let registry =
        Server::start(move |_| reply(202).header("Location", format!("http://{to}/put"))).await;
    let client = registry.client_as(Credentials::RegistryToken("t".into()));
    for bytes in [big(), b"x".to_vec()] {
        let digest = Digest::sha256(&bytes);
        let size = Some(bytes.len() as u64);
        client.repository("a").upload(None, Some(&digest), size, body(&bytes)).await.unwrap();
    }
    assert_eq!(storage.seen().len(), 2);
    assert!(storage.seen().iter().all(|seen| seen.header("authorization").is_none()));
    assert!(registry.seen().iter().all(|seen| seen.header("authorization") == Some("Bearer t")));
}

#[tokio::test]
async fn a_missing_location_is_named() {
    for (location, expected) in [
        (None, "determining upload URL: http: no Location header in response"),
        (Some("ftp://x/"), "determining upload URL: \"ftp://x/\" is not an http URL"),
    ] {
        let server = Server::start(move |_| match location {
            Some(location) => reply(202).header("Location", location),
            None => reply(202),
        })
        .await;
        let repository = server.client().repository("a");
        let digest = Digest::sha256(b"x");
        let error = repository.upload(None, Some(&digest), Some(1), body(b"x")).await.unwrap_err();
        assert_eq!(chain(&error), expected);
        assert_eq!(error.retry_with(), None);
    }
}

#[tokio::test]
async fn refusals_say_what_may_help() {
    use RetryWith::{Chunked, Same};
    for (status, code, expected) in [
        (413, "", Some(Chunked)),
        (307, "", Some(Chunked)),
        (400, "", Some(Chunked)),
        (400, "BLOB_UPLOAD_INVALID", Some(Chunked)),
        (405, "UNSUPPORTED", Some(Chunked)),
        (400, "DIGEST_INVALID", Some(Same)),
        (401, "UNAUTHORIZED", Some(Same)),
        (404, "BLOB_UPLOAD_UNKNOWN", Some(Same)),
        (429, "TOOMANYREQUESTS", Some(Same)),
        (500, "", Some(Same)),
        (403, "DENIED", None),
    ] {
        // Once after all was read, once before anything was.
        for early in [false, true] {
            let refusal =
                reply(status).body(format!(r#"{{"errors":[{{"code":"{code}","message":"no"}}]}}"#));
            let store = Store::default();
            let (first, second) = (refusal.clone(), refusal);
            let server = Server::start_with(
                None,
                move |seen| (early && seen.method == "PUT").then(|| first.clone()),
                move |seen| match seen.method.as_str() {
                    "PUT" => second.clone(),
                    _ => store.answer(seen),
                },
            )
            .await;
            let repository = server.client().repository("a");
            let bytes = &[7; 1_000_000][..];
            let digest = Digest::sha256(bytes);
            let size = Some(bytes.len() as u64);
            let error =
                repository.upload(None, Some(&digest), size, body(bytes)).await.unwrap_err();
            let UploadError::Registry { error: inner, retry_with } = &error else {
                panic!("{error:?}")
            };
            assert_eq!(inner.status(), Some(status), "{}", chain(&error));
            assert_eq!(*retry_with, expected, "{status} {code}");
        }
    }
}

#[tokio::test]
async fn without_patch_a_blob_is_to_be_sent_whole() {
    let bytes = &[7; 1_000_000][..];
    for (status, code, expected) in [
        (405, "", Some(RetryWith::Whole)),
        (501, "", Some(RetryWith::Whole)),
        (400, "UNSUPPORTED", Some(RetryWith::Whole)),
        (403, "DENIED", None),
    ] {
        let refusal = move || reply(status).body(format!(r#"{{"errors":[{{"code":"{code}"}}]}}"#));
        let (_, server) = store(move |_, seen| (seen.method == "PATCH").then(refusal)).await;
        let repository = server.client().repository("a");
        let error = repository.upload(None, None, None, body(bytes)).await.unwrap_err();
        assert_eq!(error.retry_with(), expected, "{status} {code}: {}", chain(&error));
        let error = repository.upload_chunked(None, None, body(bytes)).await.unwrap_err();
        assert_eq!(error.retry_with(), expected, "{status} {code}: {}", chain(&error));
    }
}

#[tokio::test]
async fn a_line_that_breaks_asks_for_chunks() {
    let bytes = big();
    let (_, server) = store(|_, seen| (seen.method == "PUT").then(hangup)).await;
    let repository = server.client().repository("a");
    let digest = Digest::sha256(&bytes);
    let size = Some(bytes.len() as u64);
    let error = repository.upload(None, Some(&digest), size, body(&bytes)).await.unwrap_err();
    assert_eq!(error.retry_with(), Some(RetryWith::Chunked), "{}", chain(&error));
}

#[tokio::test]
async fn small_blobs_are_sent_again_by_themselves() {
    type Odd = fn(usize, &Seen) -> Option<Reply>;
    let rows: [(&str, Odd); 4] = [
        ("500", |at, _| (at == 1).then(|| reply(500))),
        ("hangup", |at, _| (at == 1).then(hangup)),
        ("session lost", |at, _| (at == 1).then(|| reply(404))),
        ("refused once", |at, _| (at == 1).then(|| reply(400))),
    ];
    for (name, odd) in rows {
        let (store, server) = store(odd).await;
        let digest = Digest::sha256(b"config");
        let repository = server.client().repository("a");
        let stored = repository.upload(None, Some(&digest), Some(6), body(b"config")).await;
        assert_eq!(stored.unwrap(), (digest, 6), "{name}");
        assert!(store.has(b"config"), "{name}");
    }
}

#[tokio::test]
async fn an_answer_that_was_lost_is_found_out() {
    let store = Arc::new(Store::default());
    let inside = Arc::clone(&store);
    let lost = AtomicUsize::new(0);
    let server = Server::start(move |seen| {
        let answer = inside.answer(seen);
        match seen.method.as_str() {
            "PUT" if lost.fetch_add(1, Ordering::Relaxed) == 0 => hangup(),
            _ => answer,
        }
    })
    .await;
    let repository = server.client().repository("a");
    let digest = Digest::sha256(b"config");
    repository.upload(None, Some(&digest), Some(6), body(b"config")).await.unwrap();
    assert_eq!(methods(&server), ["POST", "PUT", "DELETE", "HEAD"]);
}

#[tokio::test]
async fn chunks_go_on_where_the_registry_is() {
    type Odd = fn(usize, &Seen) -> Option<Reply>;
    let rows: [(&str, Odd, &[&str]); 4] = [
        ("all well", |_, _| None, &["POST", "PATCH", "PATCH", "PATCH", "PUT"]),
        (
            "one lost",
            |at, _| (at == 2).then(hangup),
            &["POST", "PATCH", "PATCH", "GET", "PATCH", "PATCH", "PUT"],
        ),
        (
            "503",
            |at, _| (at == 1).then(|| reply(503)),
            &["POST", "PATCH", "GET", "PATCH", "PATCH", "PATCH", "PUT"],
        ),
        (
            "401",
            |at, _| (at == 3).then(|| reply(401).header("WWW-Authenticate", "Basic realm=x")),
            &["POST", "PATCH", "PATCH", "PATCH", "PATCH", "PUT"],
        ),
    ];
    for (name, odd, expected) in rows {
        let (store, server) = store(odd).await;
        let bytes = big();
        let repository = server.client_as(crate::server::basic("u", "p")).repository("a");
        let stored = repository.upload_chunked(None, None, body(&bytes)).await.unwrap();
        assert_eq!(stored, (Digest::sha256(&bytes), 10_000_000), "{name}");
        assert!(store.has(&bytes), "{name}");
        assert_eq!(methods(&server), expected, "{name}");
    }
}

#[tokio::test]
async fn a_chunk_whose_answer_was_lost_is_not_sent_twice() {
    let store = Arc::new(Store::default());
    let inside = Arc::clone(&store);
    let count = AtomicUsize::new(0);
    let server = Server::start(move |seen| {
        let answer = inside.answer(seen);
        if count.fetch_add(1, Ordering::Relaxed) == 1 { hangup() } else { answer }
    })
    .await;
    let repository = server.client().repository("a");
    let bytes = big();
    repository.upload_chunked(None, Some(10_000_000), body(&bytes)).await.unwrap();
    assert!(store.has(&bytes));
    assert_eq!(methods(&server), ["POST", "PATCH", "GET", "PATCH", "PATCH", "PUT"]);
}

#[tokio::test]
async fn chunks_are_as_long_as_the_registry_wants() {
    let (_, server) = store(|_, seen| {
        (seen.method == "POST").then(|| {
            reply(202).header("Location", "/s?a=b").header("OCI-Chunk-Min-Length", "6000000")
        })
    })
    .await;
    let repository = server.client().repository("a");
    // The store does not know this session: what counts is what was sent.
    repository.upload_chunked(None, None, body(&big())).await.unwrap_err();
    assert!(server.seen()[1].body.len() >= 6_000_000);
}

#[tokio::test]
async fn mounting_in_all_its_ways() {
    let digest = Digest::sha256(b"x");
    for (status, mounted, session) in [
        (201, true, false),
        (202, false, true),
        (401, false, false),
        (404, false, false),
        (405, false, false),
    ] {
        let server = Server::start(move |seen| match seen.method.as_str() {
            "POST" => reply(status).header("Location", "/session?x=1"),
            _ => reply(201),
        })
        .await;
        let repository = server.client().repository("to");
        match repository.mount(&digest, "from/here").await.unwrap() {
            Mount::Mounted => assert!(mounted, "{status}"),
            Mount::NotMounted(left) => {
                assert!(!mounted, "{status}");
                assert_eq!(left.is_some(), session, "{status}");
                if left.is_some() {
                    repository.upload(left, Some(&digest), Some(1), body(b"x")).await.unwrap();
                    assert!(server.seen()[1].path.starts_with("/session?x=1&digest="));
                }
            }
        }
        let query = format!("from=from%2Fhere&mount={}", digest.as_str().replace(':', "%3A"));
        assert_eq!(server.seen()[0].path, format!("/v2/to/blobs/uploads/?{query}"));
    }
    let server = Server::start(|_| reply(503)).await;
    assert!(server.client().repository("to").mount(&digest, "from").await.is_err());
}

#[tokio::test]
async fn a_registry_that_stops_reading_does_not_hang_us() {
    let server = Server::start_with(
        None,
        |seen| (seen.method == "PUT").then(|| reply(100).body("x").silent(0)),
        |_| reply(202).header("Location", "/s"),
    )
    .await;
    let repository = server.client().repository("a");
    let bytes = vec![0; 64 * 1024 * 1024];
    let digest = Digest::sha256(b"never computed");
    let size = Some(bytes.len() as u64);
    let error = repository.upload(None, Some(&digest), size, body(&bytes)).await.unwrap_err();
    assert!(chain(&error).contains("nothing received for 0.3 s"), "{}", chain(&error));
}

#[tokio::test]
async fn a_slow_source_is_not_a_silent_registry() {
    let (store, server) = store(|_, _| None).await;
    let bytes = big();
    let pause = server.options().timeouts.idle * 2;
    let late = stream::once(async move {
        tokio::time::sleep(pause).await;
        Ok(Bytes::from(big()))
    });
    let repository = server.client().repository("a");
    let digest = Digest::sha256(&bytes);
    let size = Some(bytes.len() as u64);
    repository.upload(None, Some(&digest), size, late.boxed()).await.unwrap();
    assert!(store.has(&bytes));
}

#[tokio::test]
async fn an_upload_that_an_earlier_run_began_is_gone_on_with() {
    let bytes = big();
    let digest = Digest::sha256(&bytes);
    let size = bytes.len() as u64;
    // What the registry has, and whether that leads to a blob.
    for (has, right) in [(6_000_000, true), (bytes.len(), true), (6_000_000, false)] {
        let (store, server) = store(|_, _| None).await;
        let repository = server.client().repository("a/b");
        let session = repository.open_upload().await.unwrap();
        let mut begun = bytes[..has].to_vec();
        begun[17] ^= u8::from(!right);
        *store.sessions.lock().unwrap().values_mut().next().unwrap() = begun;
        let (session, from) = repository.find_upload(session.location()).await.unwrap();
        assert_eq!(from, has as u64);
        let sent = repository.continue_upload(session, from, &digest, size, body(&bytes)).await;
        assert_eq!(store.has(&bytes), right);
        let moved: usize = server.seen().iter().map(|seen| seen.body.len()).sum();
        assert_eq!(moved, bytes.len() - has);
        match sent {
            Ok(sent) => assert_eq!((sent, right), ((digest.clone(), size), true)),
            Err(error) => {
                assert_eq!((error.retry_with(), right), (Some(RetryWith::Same), false));
                assert_eq!(methods(&server), ["POST", "GET", "PATCH", "PUT", "DELETE"]);
            }
        }
    }
}

#[tokio::test]
async fn only_uploads_of_the_repository_are_looked_for() {
    let (store, server) = store(|_, _| None).await;
    let repository = server.client().repository("a/b");
    let session = repository.open_upload().await.unwrap();
    let location = session.location().to_owned();
    // Nothing has come of it yet.
    assert!(repository.find_upload(&location).await.is_none());
    store.sessions.lock().unwrap().clear();
    assert!(repository.find_upload(&location).await.is_none());
    let asked = server.seen().len();
    let here = location.split("/v2/").next().unwrap();
    for elsewhere in [
        "http://evil.example/v2/a/b/blobs/uploads/0".to_owned(),
        format!("{here}/v2/a/c/blobs/uploads/0"),
        format!("{here}/v2/a/b/blobs/uploads/../../manifests/latest"),
        format!("{here}/v2/a/b/blobs/uploads/"),
        "no address".to_owned(),
    ] {
        assert!(repository.find_upload(&elsewhere).await.is_none(), "{elsewhere}");
    }
    assert_eq!(server.seen().len(), asked);
}
