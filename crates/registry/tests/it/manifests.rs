use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use skopeo_image::{Classify as _, Digest, MediaType, RawManifest};
use skopeo_registry::UploadError;

use crate::server::{Seen, Server, chain, hangup, reply};

const MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[]}"#;

#[tokio::test]
async fn reading() {
    let digest = Digest::sha256(MANIFEST.as_bytes());
    let claimed = digest.to_string();
    let server = Server::start(move |_| {
        reply(200)
            .header("Content-Type", "application/vnd.oci.image.manifest.v1+json; charset=utf-8")
            .header("Docker-Content-Digest", &claimed)
            .body(MANIFEST)
    })
    .await;
    let client = server.client();
    let repository = client.repository("library/x");
    let fetched = repository.manifest("latest").await.unwrap();
    assert_eq!(fetched.manifest.bytes, MANIFEST);
    assert_eq!(fetched.manifest.media_type, MediaType::OCI_MANIFEST);
    assert_eq!(fetched.digest, Some(digest.clone()));
    let head = repository.head_manifest("latest").await.unwrap();
    assert_eq!(head.digest, Some(digest));
    assert_eq!(head.media_type, Some(MediaType::OCI_MANIFEST));
    assert_eq!(head.size, Some(MANIFEST.len() as u64));
    assert_eq!(
        server.lines(),
        ["GET /v2/library/x/manifests/latest", "HEAD /v2/library/x/manifests/latest"]
    );
    for seen in server.seen() {
        assert_eq!(
            seen.all("accept"),
            [
                "application/vnd.oci.image.manifest.v1+json",
                "application/vnd.docker.distribution.manifest.v2+json",
                "application/vnd.docker.distribution.manifest.v1+prettyjws",
                "application/vnd.docker.distribution.manifest.v1+json",
                "application/vnd.docker.distribution.manifest.list.v2+json",
                "application/vnd.oci.image.index.v1+json",
            ]
        );
        assert!(seen.header("user-agent").unwrap().starts_with("skopeo/"));
        assert_eq!(seen.header("docker-distribution-api-version"), Some("registry/2.0"));
    }
}

#[tokio::test]
async fn a_manifest_that_is_not_there() {
    for (body, expected) in [
        (
            r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"x"}}]}"#,
            "manifest unknown",
        ),
        ("nginx", "StatusCode: 404, \"nginx\""),
    ] {
        let server = Server::start(move |seen| match seen.path.as_str() {
            "/v2/" => reply(200),
            _ => reply(404).body(body),
        })
        .await;
        let repository = server.client().repository("a");
        let error = repository.manifest("x").await.unwrap_err();
        assert!(error.is_not_found());
        let expected = format!("reading manifest x in {}/a: {expected}", server.host);
        assert_eq!(chain(&error), expected);
        assert!(repository.head_manifest("x").await.unwrap_err().is_not_found());
    }
}

#[tokio::test]
async fn a_manifest_that_is_too_big() {
    let limit = 4 * 1024 * 1024;
    for (length, good) in [(limit, true), (limit + 1, false)] {
        let server = Server::start(move |_| reply(200).body(vec![b' '; length])).await;
        let read = server.client().repository("a").manifest("x").await;
        assert_eq!(read.is_ok(), good);
        if let Err(error) = read {
            let text = chain(&error);
            assert!(text.ends_with("exceeded maximum allowed size of 4194304 bytes"), "{text}");
        }
    }
    // What is announced costs nothing.
    let server = Server::start(|_| {
        reply(200).header("Content-Length", "5000000000000").body(MANIFEST).silent(10)
    })
    .await;
    server.client().repository("a").manifest("x").await.unwrap_err();
}

#[tokio::test]
async fn an_answer_that_breaks_is_asked_for_again() {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |_| match count.fetch_add(1, Ordering::Relaxed) {
        0 => hangup(),
        1 => reply(200).body(MANIFEST).cut(10),
        2 => reply(500),
        _ => reply(200).body(MANIFEST),
    })
    .await;
    let fetched = server.client().repository("a").manifest("x").await.unwrap();
    assert_eq!(fetched.manifest.bytes, MANIFEST);
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn writing() {
    let server = Server::start(|_| reply(201)).await;
    let manifest = RawManifest::new(None, MANIFEST.into());
    server.client().repository("a").put_manifest("v1", &manifest).await.unwrap();
    let seen = &server.seen()[0];
    assert_eq!(seen.line(), "PUT /v2/a/manifests/v1");
    assert_eq!(seen.header("content-type"), Some("application/vnd.oci.image.manifest.v1+json"));
    assert_eq!(seen.body, MANIFEST.as_bytes());
}

#[tokio::test]
async fn types_that_are_refused() {
    for (status, code, rejected) in [
        (400, "MANIFEST_INVALID", true),
        (400, "TAG_INVALID", true),
        (415, "", true),
        (403, "DENIED", false),
        (404, "NAME_UNKNOWN", false),
        (400, "MANIFEST_BLOB_UNKNOWN", false),
    ] {
        let body = format!(r#"{{"errors":[{{"code":"{code}","message":"no","detail":1}}]}}"#);
        let server = Server::start(move |_| reply(status).body(&body)).await;
        let manifest = RawManifest::new(None, MANIFEST.into());
        let error = server.client().repository("a").put_manifest("x", &manifest).await.unwrap_err();
        assert_eq!(error.is_manifest_type_rejected(), rejected, "{code}");
        assert!(chain(&error).starts_with("uploading manifest x to 127.0.0.1:"));
        assert_eq!(
            error.codes().first().map(String::as_str),
            Some(code).filter(|c| !c.is_empty()).or(Some("UNKNOWN"))
        );
    }
}

#[tokio::test]
async fn deleting() {
    let digest = Digest::sha256(b"");
    let server = Server::start(|_| reply(202)).await;
    server.client().repository("a").delete_manifest(&digest).await.unwrap();
    assert_eq!(server.lines(), [format!("DELETE /v2/a/manifests/{digest}")]);
    let server = Server::start(|_| reply(405)).await;
    let error = server.client().repository("a").delete_manifest(&digest).await.unwrap_err();
    assert_eq!(error.status(), Some(405));
}

/// A login, a proxy, a name that is not quite the registry's: whatever it is asked, it says 200.
#[tokio::test]
async fn pages_are_no_answers() {
    const PAGE: &str = "\n<!DOCTYPE html><html>Welcome</html>";
    let page = |_: &Seen| reply(200).header("Content-Type", "text/html; charset=utf-8").body(PAGE);
    let server = Server::start(page).await;
    let client = server.client();
    let repository = client.repository("a");
    let digest = Digest::sha256(b"");
    let manifest = RawManifest::new(None, MANIFEST.into());
    for (what, error) in [
        ("reading manifest x", repository.manifest("x").await.map(drop).unwrap_err()),
        ("decoding tag list response", repository.tags().await.map(drop).unwrap_err()),
        ("decoding the catalog", client.catalog().await.map(drop).unwrap_err()),
        ("uploading manifest x", repository.put_manifest("x", &manifest).await.unwrap_err()),
        ("deleting ", repository.delete_manifest(&digest).await.unwrap_err()),
        ("deleting tag ", repository.delete_tag("x").await.unwrap_err()),
        ("", client.check_login().await.unwrap_err()),
    ] {
        let said = chain(&error);
        assert!(said.starts_with(what), "{said}");
        assert!(said.ends_with("invalid character '<' looking for beginning of value"), "{said}");
        let hint = error.hint().unwrap();
        assert!(hint.starts_with(&format!("{} answers with a web page", server.host)), "{hint}");
        assert!(!error.is_not_found());
    }
    // An upload cannot begin there.
    let error = repository.open_upload().await.map(drop).unwrap_err();
    assert!(chain(&error).ends_with("received unexpected HTTP status: 200 OK"), "{error}");
    let UploadError::Registry { error, .. } = error else { panic!("{error}") };
    assert!(error.hint().unwrap().contains("answers with a web page"));
    // So it is with refusals, but for those that say who may, and those of a proxy whose registry
    // does not answer.
    for (status, hint) in
        [(404, Some("page")), (400, Some("page")), (403, Some("login")), (502, None)]
    {
        let server = Server::start(move |_| reply(status).body(PAGE)).await;
        let error = server.client().repository("a").manifest("x").await.unwrap_err();
        let said = error.hint();
        assert_eq!(said.is_some(), hint.is_some(), "{status} {said:?}");
        assert!(said.as_ref().is_none_or(|said| said.contains(hint.unwrap())), "{status} {said:?}");
    }
    // The type alone says little: some have it for JSON too.
    let json = |_: &Seen| reply(200).header("Content-Type", "text/html").body("true");
    let server = Server::start(json).await;
    server.client().check_login().await.unwrap();
    server.client().repository("a").put_manifest("x", &manifest).await.unwrap();
    server.client().repository("a").delete_manifest(&digest).await.unwrap();
}

#[tokio::test]
async fn retry_after_is_heeded() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.subscriber());
    let count = AtomicUsize::new(0);
    let server = Server::start(move |_| match count.fetch_add(1, Ordering::Relaxed) {
        0 => reply(429).header("Retry-After", "0"),
        1 => reply(429).header("Retry-After", "Thu, 01 Jan 1970 00:00:00 GMT"),
        2 => reply(503).header("Retry-After", "100000"), // no longer than the longest pause
        _ => reply(200).body(MANIFEST),
    })
    .await;
    server.client().repository("a").manifest("x").await.unwrap();
    assert_eq!(server.lines(), ["GET /v2/a/manifests/x"; 4]);
    let text = log.text();
    let pauses = text.lines().filter_map(|line| line.split_once(": trying again in "));
    let pauses: Vec<u64> =
        pauses.map(|(_, pause)| pause.strip_suffix(" ms").unwrap().parse().unwrap()).collect();
    let [at_once, usual, longest] = pauses[..] else { panic!("{text}") };
    // A time that is over says no more than that it is too much; all pauses are 60 ms at most.
    assert!(at_once == 0 && (1..=3).contains(&usual) && (56..=60).contains(&longest), "{text}");
}

#[tokio::test]
async fn what_never_gets_better_is_told_once_with_how_often_it_was_tried() {
    for (status, said) in [
        (503, "received unexpected HTTP status: 503 Service Unavailable"),
        (429, "StatusCode: 429, \"\""),
    ] {
        let server = Server::start(move |_| reply(status).header("Retry-After", "0")).await;
        let error = server.client().repository("a").manifest("x").await.unwrap_err();
        let name = server.client().repository("a").name();
        assert_eq!(chain(&error), format!("reading manifest x in {name} (tried 4 times): {said}"));
        assert_eq!((error.tried(), error.status()), (4, Some(status)));
        assert!(error.is_transient());
        assert_eq!(server.seen().len(), 4);
    }
}

/// Gathers what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Who writes all of it there.
    fn subscriber(&self) -> impl tracing::Subscriber + Send + Sync + use<> {
        let log = self.clone();
        tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
            .with_ansi(false)
            .with_writer(move || log.clone())
            .finish()
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn warnings_are_shown_once_and_requests_are_traced_without_secrets() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.subscriber());
    let server = Server::start(|seen| match seen.path.as_str() {
        "/store?sig=secret" => reply(200).body(MANIFEST),
        _ => reply(307)
            .header("Location", "/store?sig=secret")
            .header("Warning", "299 - \"this registry \\\"closes\\\"\"")
            .header("Warning", "199 - \"not for you\""),
    })
    .await;
    let repository = server.client().repository("a");
    repository.manifest("x").await.unwrap();
    repository.manifest("y").await.unwrap();
    let text = log.text();
    let shown = text.lines().filter(|line| line.contains("WARN")).collect::<Vec<_>>();
    assert_eq!(shown.len(), 1, "{text}");
    let expected = format!(
        "Warning from registry (first encountered at \"http://{}/v2/a/manifests/x\"): \
         \"this registry \\\"closes\\\"\"",
        server.host
    );
    assert!(shown[0].ends_with(&expected), "{text}");
    assert!(text.contains(&format!("GET http://{}/store?sig=xxxxx", server.host)), "{text}");
    assert!(!text.contains("secret"), "{text}");
}
