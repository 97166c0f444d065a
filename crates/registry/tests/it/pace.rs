use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use skopeo_image::{Classify as _, Digest, ErrorClass};
use skopeo_registry::{Client, ClientOptions, PaceOptions, RetryPolicy};

use crate::server::{Reply, Server, chain, reply};

const MANIFEST: &str = "{}";

fn in_flight(most: usize) -> PaceOptions {
    PaceOptions { in_flight: NonZeroUsize::new(most), per_second: None }
}

/// A client that waits as long as the usual one.
fn patient(server: &Server, pace: PaceOptions) -> Client {
    let retry = RetryPolicy { pause: Duration::from_millis(1), ..RetryPolicy::default() };
    Client::new(ClientOptions { retry, pace, ..server.options() }).unwrap()
}

/// A layer is read and written within one registry that takes one request at a time, over a line
/// that breaks: what is written waits for what is read, which needs further requests to go on.
#[tokio::test]
async fn a_copy_within_one_registry_never_waits_for_itself() {
    let layer = vec![7; 600_000];
    let digest = Digest::sha256(&layer);
    let sent = layer.clone();
    let server = Server::start(move |seen| match seen.method.as_str() {
        "GET" => match seen.header("range").and_then(|range| range.strip_prefix("bytes=")) {
            None => reply(200).body(&sent).cut(200_000),
            Some(range) => {
                let first: usize = range.split('-').next().unwrap().parse().unwrap();
                let range = format!("bytes {first}-{}/{}", sent.len() - 1, sent.len());
                let rest = reply(206).header("Content-Range", range).body(&sent[first..]);
                if first < 400_000 { rest.cut(150_000) } else { rest }
            }
        },
        "POST" => reply(202).header("Location", "/v2/b/blobs/uploads/1"),
        _ => reply(201),
    })
    .await;
    let client = patient(&server, in_flight(1));
    let work = (0..4).map(|_| async {
        let download = client.repository("a").blob(&digest, Some(600_000)).await.unwrap();
        let body = download.stream.map(|piece| piece.map_err(Into::into)).boxed();
        let target = client.repository("b");
        target.upload(None, Some(&digest), Some(600_000), body).await.unwrap();
    });
    tokio::time::timeout(Duration::from_secs(60), join_all(work)).await.unwrap();
    let puts: Vec<_> = server.seen().into_iter().filter(|seen| seen.method == "PUT").collect();
    assert_eq!(puts.len(), 4);
    assert!(puts.iter().all(|seen| seen.body == layer));
}

/// Who is told to wait is not the only one that waits.
#[tokio::test]
async fn one_refusal_stops_them_all() {
    let server = Server::start(move |seen| match seen.path.as_str() {
        "/v2/a/manifests/refused" => reply(429).header("Retry-After", "50"),
        _ => reply(200).body(MANIFEST),
    })
    .await;
    let client = patient(&server, PaceOptions::default());
    let ask = |name: &'static str| {
        let repository = client.repository("a");
        async move { repository.manifest(name).await.map(drop) }
    };
    ask("x").await.unwrap();
    let impatiently = |all| tokio::time::timeout(Duration::from_millis(500), join_all(all));
    assert!(impatiently(vec![ask("refused")]).await.is_err(), "it is to wait");
    let before = server.seen().len();
    // The others have not even been refused themselves, and are not sent.
    let others = ["y", "z", "y", "z"].map(ask).into();
    assert!(impatiently(others).await.is_err(), "they are to wait, too");
    assert_eq!(server.seen().len(), before);
}

/// Who is to come back in hours is told so, at once; and the others do not even ask.
#[tokio::test]
async fn hours_are_not_waited_but_told() {
    let limited = |headers: &[(&str, &str)]| {
        let answer: Reply = reply(429).body(
            r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your limit"}]}"#,
        );
        headers.iter().fold(answer, |answer, (name, value)| answer.header(name, *value))
    };
    for (headers, said, asked) in [
        (vec![("Retry-After", "7200")], " accepts no requests for 2h, until 20", 1),
        (
            vec![("RateLimit", r#""daily";r=0;t=7200"#), ("RateLimit-Policy", r#""daily";q=9"#)],
            " accepts no requests for 2h, until 20",
            1,
        ),
        (
            vec![("ratelimit-limit", "100;w=21600"), ("ratelimit-remaining", "0;w=21600")],
            ": the quota of 100 requests in 6h is used up; it is available again within 6h: toomany",
            2, // what else may be asked is not known
        ),
    ] {
        let answer = limited(&headers);
        let server = Server::start(move |_| answer.clone()).await;
        let client = patient(&server, PaceOptions::default());
        let asking = |name| {
            let repository = client.repository("a");
            async move { repository.manifest(name).await.unwrap_err() }
        };
        let error = asking("x").await;
        let expected = format!("reading manifest x in {0}/a: registry {0}{said}", server.host);
        assert!(chain(&error).starts_with(&expected), "{}", chain(&error));
        assert!(chain(&error).ends_with("toomanyrequests: You have reached your limit"));
        assert_eq!((error.class(), error.status()), (Some(ErrorClass::RateLimited), Some(429)));
        assert!(!error.is_transient());
        let error = asking("y").await;
        assert_eq!(error.class(), Some(ErrorClass::RateLimited));
        assert!(chain(&error).contains(&said[..20]), "{}", chain(&error));
        assert_eq!(server.seen().len(), asked);
    }
}

/// A registry that refuses most of what comes is asked slower, and everything arrives.
#[tokio::test]
async fn a_storm_is_weathered() {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |_| match count.fetch_add(1, Ordering::Relaxed) {
        number @ 1..40 if number % 4 != 0 => reply(429).header("Retry-After", "0"),
        _ => reply(200).body(MANIFEST),
    })
    .await;
    let client = patient(&server, PaceOptions::default());
    client.repository("a").manifest("first").await.unwrap();
    let all = (0..30).map(|number| {
        let repository = client.repository("a");
        async move { repository.manifest(&number.to_string()).await.map(drop) }
    });
    let done: Vec<_> = join_all(all).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    // At first they came all at once.
    assert!(server.seen().len() < 31 + 40, "{}", server.seen().len());
}
