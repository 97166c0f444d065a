use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use skopeo_image::{Classify as _, Digest, RawManifest};
use skopeo_registry::{ClientOptions, Credentials, Error, Mount};

use crate::server::{Reply, Seen, Server, basic, chain, reply};

const MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[]}"#;

fn manifest() -> RawManifest {
    RawManifest::new(None, MANIFEST.into())
}

/// A registry that believes the tokens its token server, at `/token`, gives out.
struct Registry {
    server: Server,
    /// How many tokens were given out.
    tokens: Arc<AtomicUsize>,
}

fn challenge(seen: &Seen, more: &str) -> Reply {
    let host = seen.header("host").unwrap();
    let realm = format!("Bearer realm=\"http://{host}/token?from=realm\",service=\"reg\"{more}");
    reply(401).header("WWW-Authenticate", realm).body(
        r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required","detail":[]}]}"#,
    )
}

impl Registry {
    /// `accepts` judges a token's number for a request; `token` makes the token server's answer.
    async fn start(
        accepts: impl Fn(&Seen, usize) -> bool + Send + Sync + 'static,
        token: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let tokens = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&tokens);
        let server = Server::start(move |seen| {
            if seen.path.starts_with("/token") {
                return token(seen, count.fetch_add(1, Ordering::Relaxed) + 1);
            }
            let number = seen
                .header("authorization")
                .and_then(|value| value.strip_prefix("Bearer token-")?.parse().ok());
            match number {
                Some(number) if accepts(seen, number) => match seen.method.as_str() {
                    "POST" => reply(202).header("Location", "/upload"),
                    "PUT" => reply(201),
                    _ => reply(200).body(MANIFEST),
                },
                _ => challenge(seen, ""),
            }
        })
        .await;
        Self { server, tokens }
    }

    fn tokens(&self) -> usize {
        self.tokens.load(Ordering::Relaxed)
    }
}

fn token(_: &Seen, number: usize) -> Reply {
    reply(200).body(format!(r#"{{"token":"token-{number}","expires_in":300}}"#))
}

#[tokio::test]
async fn the_first_request_carries_the_challenge() {
    let registry = Registry::start(|_, _| true, token).await;
    let client = registry.server.client();
    let repository = client.repository("a/b");
    repository.manifest("x").await.unwrap();
    repository.manifest("y").await.unwrap();
    let scope = "/token?from=realm&scope=repository%3Aa%2Fb%3Apull&service=reg";
    assert_eq!(
        registry.server.lines(),
        [
            "GET /v2/a/b/manifests/x".to_owned(),
            format!("GET {scope}"),
            "GET /v2/a/b/manifests/x".to_owned(),
            "GET /v2/a/b/manifests/y".to_owned(),
        ]
    );
    assert_eq!(registry.server.seen()[1].header("authorization"), None);
    assert_eq!(client.requests(), 5); // https was tried first
}

#[tokio::test]
async fn many_who_ask_at_once_share_one_token() {
    let registry = Registry::start(|_, _| true, token).await;
    let repository = registry.server.client().repository("a");
    let results = join_all((0..20).map(|_| repository.manifest("x"))).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(registry.tokens(), 1);
    assert_eq!(registry.server.seen().len(), 1 + 1 + 20);
}

#[tokio::test]
async fn credentials_go_to_the_token_server() {
    let registry = Registry::start(
        |_, _| true,
        |seen, number| match seen.header("authorization") {
            Some("Basic dXNlcjpwYXNz") => {
                reply(200).body(format!(r#"{{"access_token":"token-{number}"}}"#))
            }
            _ => reply(401).body(r#"{"details":"incorrect username or password"}"#),
        },
    )
    .await;
    let client = registry.server.client_as(basic("user", "pass"));
    client.repository("a").manifest("x").await.unwrap();
    client.check_login().await.unwrap();
    let lines = registry.server.lines();
    assert_eq!(
        lines[1],
        "GET /token?from=realm&account=user&scope=repository%3Aa%3Apull&service=reg"
    );
    assert_eq!(lines[3], "GET /token?from=realm&account=user&service=reg");
    assert_eq!(lines[4], "GET /v2/");

    let client = registry.server.client_as(basic("user", "wrong"));
    let error = client.check_login().await.unwrap_err();
    assert!(matches!(error, Error::BadCredentials { .. }) && error.is_unauthorized());
    assert_eq!(
        chain(&error),
        "unable to retrieve auth token: invalid username/password: unauthorized: incorrect username or password"
    );
}

#[tokio::test]
async fn identity_tokens_are_exchanged() {
    let registry = Registry::start(
        |_, _| true,
        |seen, number| {
            assert_eq!(seen.method, "POST");
            let form = String::from_utf8(seen.body.clone()).unwrap();
            assert_eq!(
                form,
                "client_id=containers%2Fimage&grant_type=refresh_token&refresh_token=secret%26\
                 &scope=repository%3Aa%3Apull&service=reg"
            );
            reply(200).body(format!(r#"{{"access_token":"token-{number}"}}"#))
        },
    )
    .await;
    let client = registry.server.client_as(Credentials::IdentityToken("secret&".into()));
    client.repository("a").manifest("x").await.unwrap();
    let seen = &registry.server.seen()[1];
    assert_eq!(seen.header("content-type"), Some("application/x-www-form-urlencoded"));
}

#[tokio::test]
async fn a_token_server_cannot_hand_identity_tokens_on() {
    for status in [307, 308] {
        let other = Server::start(|_| reply(200).body(r#"{"token":"token-1"}"#)).await;
        let there = format!("http://{}/token", other.host);
        let registry = Registry::start(
            |_, _| true,
            move |_, _| reply(status).header("Location", there.clone()),
        )
        .await;
        let client = registry.server.client_as(Credentials::IdentityToken("hunter2".into()));
        let error = client.repository("a").manifest("x").await.unwrap_err();
        let text = chain(&error);
        assert!(
            text.contains("which must not get this request") && !text.contains("hunter2"),
            "{text}"
        );
        assert_eq!(other.lines(), [""; 0]);
    }
    // What the same server does within its walls is its own affair.
    let registry = Registry::start(
        |_, _| true,
        |seen, number| match seen.path.as_str() {
            "/token/new" => {
                assert!(String::from_utf8_lossy(&seen.body).contains("refresh_token=secret"));
                reply(200).body(format!(r#"{{"token":"token-{number}"}}"#))
            }
            _ => reply(307).header("Location", "/token/new"),
        },
    )
    .await;
    let client = registry.server.client_as(Credentials::IdentityToken("secret".into()));
    client.repository("a").manifest("x").await.unwrap();
}

#[tokio::test]
async fn who_is_not_the_registry_does_not_say_what_it_wants() {
    let other = Server::start(|_| reply(401).header("WWW-Authenticate", "Basic realm=x")).await;
    let there = format!("http://{}/v2/", other.host);
    let server = Server::start(move |seen| match seen.path.as_str() {
        "/v2/" => reply(302).header("Location", there.clone()),
        _ => reply(403),
    })
    .await;
    server.client_as(basic("u", "p")).repository("a").manifest("x").await.unwrap_err();
    let shown = |server: &Server| server.seen().iter().any(|s| s.header("authorization").is_some());
    assert!(!shown(&server) && !shown(&other));
}

#[tokio::test]
async fn registry_tokens_are_sent_as_they_are() {
    let registry = Registry::start(|_, number| number == 7, token).await;
    let client = registry.server.client_as(Credentials::RegistryToken("token-7".into()));
    client.repository("a").manifest("x").await.unwrap();
    assert_eq!(registry.server.seen().len(), 1);
    let client = registry.server.client_as(Credentials::RegistryToken("token-8".into()));
    let error = client.repository("a").manifest("x").await.unwrap_err();
    assert_eq!(registry.tokens(), 0);
    assert!(chain(&error).ends_with(": authentication required"), "{}", chain(&error));
}

#[tokio::test]
async fn a_token_that_ran_out_is_replaced_once() {
    // The first is believed once; after that only the second is.
    let uses = AtomicUsize::new(0);
    let registry = Registry::start(
        move |_, number| number == 2 || uses.fetch_add(1, Ordering::Relaxed) == 0,
        token,
    )
    .await;
    let repository = registry.server.client().repository("a");
    repository.manifest("x").await.unwrap();
    let results = join_all((0..5).map(|_| repository.manifest("y"))).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(registry.tokens(), 2);

    let registry = Registry::start(|_, _| false, token).await;
    let error = registry.server.client().repository("a").manifest("x").await.unwrap_err();
    assert!(error.is_unauthorized() && !error.is_transient());
    assert_eq!(registry.tokens(), 1);
    assert_eq!(registry.server.seen().len(), 3);
}

#[tokio::test]
async fn writing_asks_for_more_than_reading_but_only_once() {
    let registry = Registry::start(|_, _| true, token).await;
    let repository = registry.server.client().repository("a");
    repository.manifest("x").await.unwrap();
    repository.put_manifest("x", &manifest()).await.unwrap();
    assert_eq!(registry.tokens(), 2);
    let registry = Registry::start(|_, _| true, token).await;
    let repository = registry.server.client().repository("a").for_writing();
    repository.head_manifest("x").await.unwrap();
    repository.put_manifest("x", &manifest()).await.unwrap();
    registry.server.client().repository("b").manifest("x").await.unwrap();
    assert_eq!(registry.tokens(), 2);
    assert!(registry.server.lines()[1].contains("repository%3Aa%3Apull%2Cpush"));
}

#[tokio::test]
async fn mounting_asks_for_both_repositories() {
    let registry = Registry::start(|_, _| true, token).await;
    let repository = registry.server.client().repository("to");
    let mount = repository.mount(&Digest::sha256(b""), "from").await.unwrap();
    assert!(matches!(mount, Mount::NotMounted(Some(_))));
    assert!(
        registry.server.lines()[1]
            .contains("scope=repository%3Ato%3Apull%2Cpush&scope=repository%3Afrom%3Apull")
    );
}

#[tokio::test]
async fn a_mount_whose_token_is_refused_is_no_error() {
    let registry = Registry::start(|_, _| true, |_, _| reply(403)).await;
    let repository = registry.server.client().repository("to");
    let mount = repository.mount(&Digest::sha256(b""), "from").await.unwrap();
    assert!(matches!(mount, Mount::NotMounted(None)));
}

#[tokio::test]
async fn deleting_asks_for_everything() {
    let registry = Registry::start(|_, _| true, token).await;
    let repository = registry.server.client().repository("a");
    repository.delete_manifest(&Digest::sha256(b"")).await.unwrap();
    assert!(registry.server.lines()[1].contains("repository%3Aa%3A*"));
}

#[tokio::test]
async fn a_scope_that_is_asked_for_is_fetched() {
    let server = Server::start(|seen| {
        if seen.path.starts_with("/token") {
            let wide = seen.path.contains("scope=repository%3Aother%3Apull");
            return reply(200)
                .body(format!(r#"{{"token":"{}"}}"#, if wide { "wide" } else { "narrow" }));
        }
        match seen.header("authorization") {
            Some("Bearer wide") => reply(200).body(MANIFEST),
            Some(_) => {
                challenge(seen, ",error=\"insufficient_scope\",scope=\"repository:other:pull\"")
            }
            None => challenge(seen, ""),
        }
    })
    .await;
    let repository = server.client().repository("a");
    repository.manifest("x").await.unwrap();
    assert_eq!(server.seen().len(), 5); // nobody, token, narrow, token, wide
}

#[tokio::test]
async fn basic_is_sent_only_where_it_is_asked_for() {
    let server = Server::start(|seen| match seen.header("authorization") {
        Some("Basic dXNlcjpw6Q==" | "Basic dXNlcjpww6k=") => reply(200).body(MANIFEST),
        _ => reply(401).header("WWW-Authenticate", "Basic realm=\"x\"").body("go away"),
    })
    .await;
    let client = server.client_as(basic("user", "pé"));
    client.repository("a").manifest("x").await.unwrap();
    client.repository("b").manifest("x").await.unwrap();
    let sent: Vec<_> =
        server.seen().iter().map(|seen| seen.header("authorization").is_some()).collect();
    assert_eq!(sent, [false, true, true]);

    for credentials in [Credentials::Anonymous, basic("user", "wrong")] {
        let client = server.client_as(credentials);
        let error = client.repository("a").manifest("x").await.unwrap_err();
        assert_eq!(
            chain(&error),
            format!("reading manifest x in {}/a: authentication required", server.host)
        );
        let error = client.check_login().await.unwrap_err();
        assert_eq!(
            chain(&error),
            "unable to retrieve auth token: invalid username/password: authentication required"
        );
    }
}

#[tokio::test]
async fn a_401_that_says_nothing_is_asked_about() {
    let server = Server::start(|seen| match (seen.path.as_str(), seen.header("authorization")) {
        (_, Some(_)) => reply(200).body(MANIFEST),
        ("/v2/", None) => reply(401).header("WWW-Authenticate", "Basic realm=\"x\""),
        _ => reply(401),
    })
    .await;
    server.client_as(basic("u", "p")).repository("a").manifest("x").await.unwrap();
    assert_eq!(server.lines(), ["GET /v2/a/manifests/x", "GET /v2/", "GET /v2/a/manifests/x"]);
}

#[tokio::test]
async fn what_is_hidden_from_strangers_is_found() {
    for hidden in [403, 404] {
        let server =
            Server::start(move |seen| match (seen.path.as_str(), seen.header("authorization")) {
                ("/v2/gone/manifests/x", _) => reply(hidden),
                (_, Some(_)) => reply(200).body(MANIFEST),
                ("/v2/", None) => reply(401).header("WWW-Authenticate", "Basic realm=\"x\""),
                _ => reply(hidden),
            })
            .await;
        let client = server.client_as(basic("u", "p"));
        client.repository("a").manifest("x").await.unwrap();
        client.repository("gone").manifest("x").await.unwrap_err();
        assert_eq!(server.seen().len(), 4);
        // Strangers do not ask twice, but whether it is a registry that says "not here".
        server.client().repository("a").manifest("x").await.unwrap_err();
        assert_eq!(server.seen().len(), if hidden == 404 { 6 } else { 5 });
    }
}

#[tokio::test]
async fn token_servers_fail_in_their_own_words() {
    for (answer, expected) in [
        (reply(403), "Requesting bearer token: received unexpected HTTP status: 403 Forbidden"),
        (reply(429), "too many requests to registry"),
        (reply(200).body("{}"), "it has no token"),
        (reply(200).body("<html>"), "invalid character '<' looking for beginning of value"),
    ] {
        let registry = Registry::start(|_, _| true, move |_, _| answer.clone()).await;
        let error = registry.server.client().repository("a").manifest("x").await.unwrap_err();
        let text = chain(&error);
        assert!(text.contains("ing manifest x in 127.0.0.1:"), "{text}");
        assert!(text.contains(expected), "{text}");
    }
    for (realm, expected) in [
        ("Bearer service=x", "missing realm in bearer auth challenge"),
        ("Bearer realm=nowhere", "invalid realm \"nowhere\" in bearer auth challenge"),
        ("Bearer realm=\"file:///x\"", "invalid realm \"file:///x\" in bearer auth challenge"),
    ] {
        let server = Server::start(move |_| reply(401).header("WWW-Authenticate", realm)).await;
        let error = server.client().repository("a").manifest("x").await.unwrap_err();
        assert!(chain(&error).ends_with(expected), "{}", chain(&error));
    }
}

#[tokio::test]
async fn a_broken_token_server_is_tried_again_but_not_squared() {
    let registry = Registry::start(|_, _| true, |_, _| reply(503)).await;
    let error = registry.server.client().repository("a").manifest("x").await.unwrap_err();
    assert_eq!(registry.tokens(), 4);
    assert!(error.is_transient());
    let registry = Registry::start(|_, _| true, |_, _| crate::server::hangup()).await;
    let error = registry.server.client().repository("a").manifest("x").await.unwrap_err();
    assert_eq!(registry.tokens(), 4);
    assert!(error.is_transient(), "{}", chain(&error));
}

#[tokio::test]
async fn secrets_are_in_no_error_and_no_debug() {
    let server = Server::start(|_| reply(401).header("WWW-Authenticate", "Basic realm=x")).await;
    for credentials in [
        basic("user", "hunter2"),
        Credentials::IdentityToken("hunter2".into()),
        Credentials::RegistryToken("hunter2".into()),
    ] {
        let client = server.client_as(credentials.clone());
        let error = client.repository("a").manifest("x").await.unwrap_err();
        let mut options = ClientOptions { credentials, ..server.options() };
        options.proxy.https = "http://user:hunter2@proxy.example".parse().ok();
        let shown = format!("{client:?} {options:?} {error:?} {}", chain(&error));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[tokio::test]
async fn tokens_may_be_good_for_one_request_only() {
    let used: Arc<std::sync::Mutex<std::collections::HashSet<usize>>> = Arc::default();
    let spent = Arc::clone(&used);
    let registry =
        Registry::start(move |_, number| spent.lock().unwrap().insert(number), token).await;
    let repository = registry.server.client().repository("a");
    for _ in 0..3 {
        let results = join_all((0..8).map(|_| repository.manifest("x"))).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }
    // Blobs cannot be sent again, so their one request has to have a token of its own.
    let bytes = bytes::Bytes::from(vec![7; 300_000]);
    let digest = Digest::sha256(&bytes);
    let body = futures_util::stream::iter([Ok(bytes)]);
    let sent = repository
        .for_writing()
        .upload(None, Some(&digest), Some(300_000), futures_util::StreamExt::boxed(body))
        .await;
    assert!(sent.is_ok(), "{sent:?}");
}

#[tokio::test]
async fn who_may_not_asks_for_no_more_tokens_than_need_be() {
    let registry = Registry::start(|_, _| false, token).await;
    let repository = registry.server.client().repository("a");
    assert!(repository.manifest("x").await.unwrap_err().is_unauthorized());
    assert_eq!(registry.tokens(), 1);
}

#[tokio::test]
async fn hints_say_who_asked() {
    let registry = Registry::start(|_, _| false, token).await;
    let host = registry.server.host.clone();
    let hint = |error: Error| error.hint().unwrap();
    let nobody = registry.server.client().repository("a").manifest("x").await.unwrap_err();
    assert_eq!(nobody.host(), Some(host.as_str()));
    let nobody = hint(nobody);
    assert!(nobody.contains("you are not logged in") && nobody.contains("--creds"), "{nobody}");
    assert!(nobody.contains(&format!("`skopeo login {host}`")), "{nobody}");
    let somebody = registry.server.client_as(basic("fritz", "p")).repository("a");
    let somebody = hint(somebody.manifest("x").await.unwrap_err());
    assert!(somebody.contains("\"fritz\"") && somebody.contains("password"), "{somebody}");
    let server = Server::start(|_| {
        reply(404).body(r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#)
    })
    .await;
    let missing = hint(server.client().repository("a/b").manifest("x").await.unwrap_err());
    assert!(missing.contains(&format!("skopeo list-tags docker://{}/a/b", server.host)));
}
