//! Hosts that may speak http, and answer https with something else.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use skopeo_image::{Digest, RawManifest};
use skopeo_registry::{Client, ClientOptions, Credentials};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::server::{Reply, Seen, Server, basic, chain, hangup, reply};

fn acceptor() -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["elsewhere".into()]).unwrap();
    let certificate = certificate.self_signed(&key).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A registry that wants a password for what it keeps.
fn registry(seen: &Seen) -> Reply {
    if seen.header("authorization") != Some("Basic dTpw") {
        return reply(401).header("WWW-Authenticate", "Basic realm=\"x\"");
    }
    match seen.method.as_str() {
        "POST" => reply(202).header("Location", "/v2/a/blobs/uploads/1"),
        "PUT" => reply(201),
        "DELETE" => reply(202),
        _ if seen.path.contains("/tags/") => reply(200).body(r#"{"tags":["t"]}"#),
        _ => reply(200).body(r#"{"schemaVersion":2}"#),
    }
}

fn client(server: &Server) -> Client {
    server.client_as(basic("u", "p"))
}

#[tokio::test]
async fn http_is_spoken_where_https_is_no_registry() {
    type Https = fn(&Seen) -> Reply;
    let answers: [Https; 8] = [
        |_| reply(404).body("no such site"),
        |_| reply(403),
        |_| reply(400),
        |_| reply(405),
        |_| reply(502),
        |_| reply(503),
        |_| reply(301).header("Location", "/ui/"),
        |_| hangup(),
    ];
    for (at, https) in answers.into_iter().enumerate() {
        let digest = Digest::sha256(b"{}");
        let server = Server::start_both(acceptor(), https, registry).await;
        client(&server).check_login().await.unwrap();
        let read = client(&server).repository("a").manifest("t").await;
        assert!(read.is_ok(), "{at}: {read:?}");
        assert!(client(&server).repository("a").head_manifest("t").await.is_ok());
        assert_eq!(client(&server).repository("a").tags().await.unwrap(), ["t"]);
        client(&server).repository("a").delete_manifest(&digest).await.unwrap();
        let manifest = RawManifest::new(None, "{}".into());
        client(&server).repository("a").put_manifest("t", &manifest).await.unwrap();
        client(&server).repository("a").open_upload().await.unwrap();
    }
}

#[tokio::test]
async fn where_https_is_the_registry_nothing_is_sent_in_the_clear() {
    let rows: [fn(&Seen) -> Reply; 3] = [
        |_| reply(404).header("Docker-Distribution-Api-Version", "registry/2.0"),
        |seen| if seen.path == "/v2/" { reply(200) } else { reply(404) },
        |seen| if seen.path == "/v2/" { reply(401) } else { reply(503) },
    ];
    for secure in rows {
        let server = Server::start_both(acceptor(), secure, |_| reply(200).body("{}")).await;
        let outcome = client(&server).repository("a").manifest("t").await;
        assert!(outcome.is_err(), "{outcome:?}");
        assert_eq!(server.lines(), [""; 0]);
    }
}

#[tokio::test]
async fn what_https_says_is_told_where_http_is_no_registry_either() {
    let plain: [fn(&Seen) -> Reply; 3] =
        [|_| reply(404).body("plain"), |_| reply(500), |_| hangup()];
    for plain in plain {
        let secure = |_: &Seen| reply(404).body("secure");
        let server = Server::start_both(acceptor(), secure, plain).await;
        let error = client(&server).repository("a").manifest("t").await.unwrap_err();
        assert!(chain(&error).ends_with(r#"StatusCode: 404, "secure""#), "{}", chain(&error));
        // It is not known that there is no such image: nobody here would know.
        assert!(!error.is_not_found());
    }
}

#[tokio::test]
async fn a_secure_host_is_not_asked_in_the_clear() {
    let server = Server::start_both(acceptor(), |_| reply(404), registry).await;
    let options = ClientOptions { insecure: false, ..server.options() };
    let client = Client::new(ClientOptions { credentials: Credentials::Anonymous, ..options });
    assert!(client.unwrap().repository("a").manifest("t").await.is_err());
    assert_eq!(server.lines(), [""; 0]);
}

#[tokio::test]
async fn only_a_registry_says_that_an_image_is_not_there() {
    for (ping, missing) in [(200, true), (401, true), (404, false), (500, false)] {
        let server = Server::start(move |seen| match seen.path.as_str() {
            "/v2/" => reply(ping),
            _ => reply(404).body("<html>"),
        })
        .await;
        let error = server.client().repository("a").manifest("t").await.unwrap_err();
        assert_eq!(error.is_not_found(), missing, "{ping}");
    }
}
