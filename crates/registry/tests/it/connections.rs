use skopeo_image::Classify as _;
use skopeo_registry::{Client, ClientOptions, Error, ProxyRules};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

use crate::server::{Server, chain, hangup, options, reply};

const MANIFEST: &str = "{}";

#[tokio::test]
async fn http_only_where_it_is_allowed() {
    let server = Server::start(|_| reply(200).body(MANIFEST)).await;
    let client = server.client();
    client.repository("a").manifest("x").await.unwrap();
    client.repository("a").manifest("y").await.unwrap();
    assert_eq!(client.requests(), 3); // https is not tried again
    let client = Client::new(ClientOptions { insecure: false, ..server.options() }).unwrap();
    let error = client.repository("a").manifest("x").await.unwrap_err();
    assert_eq!(
        chain(&error),
        format!(
            "fetching manifest x in {0}/a: pinging container registry {0}: \
             Get \"https://{0}/v2/\": http: server gave HTTP response to HTTPS client",
            server.host
        )
    );
    assert_eq!(error.hint().as_deref(), Some("--tls-verify=false allows http"));
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_port_where_nobody_is() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    for (insecure, scheme) in [(false, "https"), (true, "http")] {
        let client = Client::new(ClientOptions { insecure, ..options(&host) }).unwrap();
        let error = client.check_login().await.unwrap_err();
        assert_eq!(
            chain(&error),
            format!(
                "pinging container registry {host}: Get \"{scheme}://{host}/v2/\": \
                 dial tcp {host}: connect: connection refused"
            )
        );
        assert!(error.is_transient()); // for whoever wants to wait for it
        assert_eq!(client.requests(), 1 + u64::from(insecure)); // we do not
        // A manifest and a list of tags say what they were wanted for, a blob does not.
        let said = chain(&error);
        let repository = client.repository("a");
        let error = repository.manifest("x").await.map(drop).unwrap_err();
        assert_eq!(chain(&error), format!("fetching manifest x in {host}/a: {said}"));
        let error = repository.tags().await.unwrap_err();
        assert_eq!(chain(&error), format!("getting repository tags: {said}"));
        assert!(error.is_transient());
    }
}

#[tokio::test]
async fn a_port_that_says_nothing() {
    // Bound, never accepted: the kernel takes the connection, and then nothing comes.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let mut options = options(&host);
    options.timeouts.connect = std::time::Duration::from_millis(100);
    options.insecure = false;
    let error = Client::new(options).unwrap().check_login().await.unwrap_err();
    assert!(matches!(error, Error::Ping { .. }));
    assert!(chain(&error).contains("i/o timeout"), "{}", chain(&error));
}

#[tokio::test]
async fn a_server_that_hangs_up() {
    let server = Server::start(|_| hangup()).await;
    let error = server.client().check_login().await.unwrap_err();
    assert_eq!(server.seen().len(), 4);
    assert!(chain(&error).ends_with(": unexpected EOF"), "{}", chain(&error));
}

#[tokio::test]
async fn hosts_that_are_none() {
    for host in ["", "a b", "a:b", "a/../b?", "[x"] {
        let made = Client::new(ClientOptions::new(host));
        assert!(made.is_err(), "{host:?}");
    }
    assert_eq!(Client::new(ClientOptions::new("docker.io")).unwrap().host(), "docker.io");
}

fn proxied(proxy: &str) -> ClientOptions {
    let proxy = Some(Url::parse(proxy).unwrap());
    ClientOptions {
        proxy: ProxyRules { http: proxy.clone(), https: proxy, no_proxy: "direct".to_owned() },
        ..options("registry.test:5000")
    }
}

#[tokio::test]
async fn requests_go_through_http_proxies() {
    let proxy = Server::start(|seen| match seen.method.as_str() {
        "CONNECT" => reply(403),
        _ => reply(200).body(MANIFEST),
    })
    .await;
    let client = Client::new(proxied(&format!("http://user:pass@{}", proxy.host))).unwrap();
    client.repository("a").manifest("x").await.unwrap();
    let seen = proxy.seen();
    assert_eq!(
        proxy.lines(),
        ["CONNECT registry.test:5000", "GET http://registry.test:5000/v2/a/manifests/x"]
    );
    for seen in &seen {
        assert_eq!(seen.header("proxy-authorization"), Some("Basic dXNlcjpwYXNz"), "{seen:?}");
    }
}

#[tokio::test]
async fn loopback_is_never_proxied() {
    let server = Server::start(|_| reply(200).body(MANIFEST)).await;
    let proxy = proxied("http://127.0.0.1:1").proxy;
    let client = Client::new(ClientOptions { proxy, ..server.options() }).unwrap();
    client.repository("a").manifest("x").await.unwrap();
    assert_eq!(server.lines(), ["GET /v2/a/manifests/x"]);
}

#[tokio::test]
async fn requests_go_through_socks_proxies() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = tokio::spawn(async move {
        let mut asked = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut hello = [0; 2];
            stream.read_exact(&mut hello).await.unwrap();
            let mut methods = vec![0; usize::from(hello[1])];
            stream.read_exact(&mut methods).await.unwrap();
            stream.write_all(&[5, 0]).await.unwrap();
            let mut head = [0; 5];
            stream.read_exact(&mut head).await.unwrap();
            assert_eq!(head[3], 3, "the proxy is to resolve the name");
            let mut name = vec![0; usize::from(head[4]) + 2];
            stream.read_exact(&mut name).await.unwrap();
            stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
            let mut first = [0; 1];
            stream.read_exact(&mut first).await.unwrap();
            let port = name.split_off(name.len() - 2);
            let port = u16::from_be_bytes([port[0], port[1]]);
            asked.push(format!("{}:{port}", String::from_utf8(name).unwrap()));
            if first[0] == b'G' {
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
                stream.write_all(answer).await.unwrap();
                return asked;
            } // else TLS, which is not spoken here
        }
    });
    let client = Client::new(proxied(&format!("socks5h://{address}"))).unwrap();
    client.check_login().await.unwrap();
    assert_eq!(asked.await.unwrap(), ["registry.test:5000", "registry.test:5000"]);
}
