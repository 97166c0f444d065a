//! With a log, an authority and a provider of identities.

use super::*;

/// A server of sigstore, as far as signing needs one.
struct Server {
    url: String,
    seen: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Server {
    /// Answers each request with what `answer` makes of its path and body, until the test ends.
    fn start(answer: impl Fn(&str, &Value) -> (u16, String, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let noted = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let Some((head, body)) = request(&mut stream) else { continue };
                let line = head.lines().next().unwrap_or_default().to_owned();
                let (status, headers, text) = answer(&line, &body);
                noted.lock().unwrap().push((head, body));
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{text}",
                    text.len()
                );
            }
        });
        Self { url, seen }
    }
}

fn request(stream: &mut TcpStream) -> Option<(String, Value)> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        if let Some(at) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..at]).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
            });
            let body = &bytes[at + 4..];
            if body.len() >= length.unwrap_or(0) {
                let text = || Value::String(String::from_utf8_lossy(body).into_owned());
                let body = serde_json::from_slice(body).unwrap_or_else(|_| text());
                return Some((head, body));
            }
        }
        match stream.read(&mut piece).ok()? {
            0 => return None,
            length => bytes.extend_from_slice(&piece[..length]),
        }
    }
}

fn encode(text: &str) -> String {
    let mut child = std::process::Command::new("base64")
        .arg("-w0")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

fn entry(body: &Value) -> String {
    let entry = json!({
        "body": encode(&body.to_string()),
        "integratedTime": 1_700_000_000,
        "logID": "c0ffee",
        "logIndex": 5,
        "verification": {"signedEntryTimestamp": "U0VU"},
    });
    json!({"uuid": entry}).to_string()
}

#[test]
fn signatures_are_logged() {
    let home = Home::new();
    key(&home, "secret");
    Image::new(1).write_oci(&home.path("work/layout"), Some("x"));
    let kept: Arc<Mutex<Value>> = Arc::default();
    // Of three tries the log has trouble with the first, and has the entry already at the second.
    let (count, last) = (Mutex::new(0), kept.clone());
    let log = Server::start(move |line, body| {
        let mut count = count.lock().unwrap();
        *count += 1;
        if line.starts_with("GET /api/v1/log/entries/uuid ") {
            return (200, String::new(), entry(&last.lock().unwrap()));
        }
        assert!(line.starts_with("POST /api/v1/log/entries "), "{line}");
        *last.lock().unwrap() = body.clone();
        match *count {
            1 => (503, String::new(), String::new()),
            2 => (409, "Location: /api/v1/log/entries/uuid\r\n".to_owned(), String::new()),
            _ => (400, String::new(), json!({"code": 400, "message": "no more"}).to_string()),
        }
    });
    home.write(
        "work/params",
        &format!(
            "privateKeyFile: key.private\nprivateKeyPassphraseFile: pass\nrekorURL: {}/\n",
            log.url
        ),
    );
    let words = ["copy", "--sign-by-sigstore", "params", "--sign-identity", "example.com/a:1"];
    at_home(&home, &[&words[..], &["oci:layout:x", "dir:d"]].concat()).success();
    let (_, annotations) = read(&home.path("work/d/signature-1"));
    let bundle: Value =
        serde_json::from_str(annotations["dev.sigstore.cosign/bundle"].as_str().unwrap()).unwrap();
    assert_eq!(bundle["SignedEntryTimestamp"], "U0VU");
    assert_eq!(bundle["Payload"]["logIndex"], 5);
    let sent = kept.lock().unwrap().clone();
    assert_eq!(sent["spec"]["signature"]["content"], annotations[SIGNATURE]);
    let public = fs_err::read_to_string(home.path("work/key.pub")).unwrap();
    assert_eq!(sent["spec"]["signature"]["publicKey"]["content"], encode(&public));
    let run = at_home(&home, &[&words[..], &["oci:layout:x", "dir:e"]].concat()).failure(1);
    assert_eq!(
        fatal(&run),
        "creating signature: Error uploading a log entry: Rekor /api/v1/log/entries failed: bad request (400), {Code:400 Message:no more}"
    );
}

#[test]
fn fulcio_certifies_a_new_key() {
    let home = Home::new();
    Image::new(1).write_oci(&home.path("work/layout"), Some("x"));
    let leaf = "-----BEGIN CERTIFICATE-----\nbGVhZg==\n-----END CERTIFICATE-----\n";
    let root = "-----BEGIN CERTIFICATE-----\ncm9vdA==\n-----END CERTIFICATE-----\n";
    let server = Server::start(move |line, body| {
        if line.starts_with("POST /api/v1/signingCert ") {
            return (201, String::new(), format!("{leaf}{root}"));
        }
        (201, String::new(), entry(body))
    });
    let claims = encode(r#"{"email":"a@example.com","email_verified":true}"#);
    let token = format!("e30.{}.c2ln", claims.trim_end_matches('='));
    let params = |url: &str, token: &str| {
        let fulcio =
            format!("{{fulcioURL: \"{url}\", oidcMode: staticToken, oidcIDToken: \"{token}\"}}");
        home.write("work/params", &format!("fulcio: {fulcio}\nrekorURL: \"{url}\"\n"));
    };
    params(&server.url, &token);
    let words = ["--debug", "copy", "--sign-by-sigstore", "params"];
    let identity = ["--sign-identity", "example.com/a:1", "oci:layout:x"];
    let run = at_home(&home, &[&words[..], &identity, &["dir:d"]].concat()).success();
    assert!(!format!("{run}").contains(&token), "a token in the log");
    let (_, annotations) = read(&home.path("work/d/signature-1"));
    assert_eq!(annotations["dev.sigstore.cosign/certificate"], leaf);
    assert_eq!(annotations["dev.sigstore.cosign/chain"], root);
    let seen = server.seen.lock().unwrap().clone();
    let lower = seen[0].0.to_lowercase();
    assert!(lower.contains(&format!("authorization: bearer {}", token.to_lowercase())));
    assert!(seen[0].1["signedEmailAddress"].is_string() && seen.len() == 2);
    assert_eq!(seen[1].1["spec"]["signature"]["publicKey"]["content"], encode(leaf));
    assert!(!seen[1].0.to_lowercase().contains("authorization"));

    let refusing = Server::start(|_, _| (403, String::new(), "go away".to_owned()));
    let unverified = encode(r#"{"email":"a@example.com"}"#);
    let unverified = format!("e30.{}.c2ln", unverified.trim_end_matches('='));
    for (url, token, sentence) in [
        (&refusing.url, &token, "go away\""),
        (&server.url, &"x".to_owned(), "oidc: malformed jwt, expected 3 parts"),
        (&server.url, &unverified, "not verified by identity provider"),
    ] {
        params(url, token);
        let run = at_home(&home, &[&words[..], &identity, &["dir:e"]].concat()).failure(1);
        assert!(fatal(&run).ends_with(sentence), "{run}");
        assert!(fatal(&run).contains("Error using --sign-by-sigstore: "), "{run}");
        assert!(
            !home.path("work/e/manifest.json").exists(),
            "found out before anything is written"
        );
    }
}

/// A certificate that was good for ten minutes of 2020.
const EXPIRED: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBCTCBrwIBATAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARyb290MB4XDTIwMDEw\n\
MTAwMDAwMFoXDTIwMDEwMTAwMTAwMFowEjEQMA4GA1UEAwwHZXhwaXJlZDBZMBMG\n\
ByqGSM49AgEGCCqGSM49AwEHA0IABFKDSl2b6MFPGlcc6hxSoxd3Bj/Qv/a+bWnG\n\
4IqNPzD1siVCVmYPenLUZWqnNeL1YCz0wPkke4JaP7Mq7ql1AfUwCgYIKoZIzj0E\n\
AwIDSQAwRgIhAJY0hb1/2dl4+ZTOv4bp4qsRf6BFgcVZ+TkOEJXOYu3nAiEA49ax\n\
VESfsTxSwRqoXJOyXbgQtx/QKm73o7+uYVyfH3I=\n\
-----END CERTIFICATE-----\n\n";

#[test]
fn a_certificate_that_is_over_is_asked_for_anew() {
    let registry = Registry::start();
    let home = Home::new();
    home.insecure(&[&registry.host()]);
    home.registries_d("default", "default-docker:\n  use-sigstore-attachments: true\n");
    Image::platforms(1, 2).push(&registry, "list:1");
    let claims = encode(r#"{"sub":"a"}"#);
    let token = format!("e30.{}.c2ln", claims.trim_end_matches('='));
    // Of one that cannot be read nobody knows when it is over.
    let unknown = "-----BEGIN CERTIFICATE-----\nbGVhZg==\n-----END CERTIFICATE-----\n";
    for (leaf, asked) in [(EXPIRED, 4), (unknown, 1)] {
        let server = Server::start(move |_, _| (201, String::new(), leaf.to_owned()));
        let fulcio = format!(
            "fulcio: {{fulcioURL: \"{}\", oidcMode: staticToken, oidcIDToken: \"{token}\"}}\n",
            server.url
        );
        home.write("work/params", &fulcio);
        let (from, to) = (registry.docker("list:1"), registry.docker("to:1"));
        at_home(&home, &["copy", "--all", "--sign-by-sigstore", "params", &from, &to]).success();
        assert_eq!(server.seen.lock().unwrap().len(), asked, "before, and for each of three");
    }
}

/// An ID token that says so.
fn id_token(claims: &Value) -> String {
    let claims = encode(&claims.to_string()).replace('+', "-").replace('/', "_");
    format!("e30.{}.c2ln", claims.trim_end_matches('='))
}

/// A provider, a Fulcio and a log, all at one address. `tokens` answers who asks for a token.
fn provider(tokens: impl Fn(&str) -> Value + Send + 'static) -> Server {
    let address: Arc<Mutex<String>> = Arc::default();
    let own = address.clone();
    let leaf = "-----BEGIN CERTIFICATE-----\nbGVhZg==\n-----END CERTIFICATE-----\n";
    let server = Server::start(move |line, body| {
        let url = own.lock().unwrap().clone();
        let path = line.split(' ').nth(1).unwrap_or_default();
        let answer = match path {
            "/.well-known/openid-configuration" => json!({
                "issuer": url,
                "authorization_endpoint": format!("{url}/login"),
                "token_endpoint": format!("{url}/token"),
                "device_authorization_endpoint": format!("{url}/device"),
                "code_challenge_methods_supported": ["S256"],
            }),
            "/device" => json!({
                "device_code": "device", "user_code": "ABCD", "interval": 1, "expires_in": 60,
                "verification_uri": format!("{url}/enter"),
            }),
            "/token" => tokens(body.as_str().unwrap_or_default()),
            "/api/v1/signingCert" => return (201, String::new(), leaf.to_owned()),
            _ => return (201, String::new(), entry(body)),
        };
        (200, String::new(), answer.to_string())
    });
    address.lock().unwrap().clone_from(&server.url);
    server
}

fn by_provider(home: &Home, server: &Server, mode: &str) {
    let url = &server.url;
    home.write(
        "work/params",
        &format!(
            "fulcio: {{fulcioURL: \"{url}\", oidcMode: {mode}, oidcIssuerURL: \"{url}\", oidcClientID: sigstore}}\nrekorURL: \"{url}\"\n"
        ),
    );
}

const BY_PROVIDER: [&str; 7] = [
    "copy",
    "--sign-by-sigstore",
    "params",
    "--sign-identity",
    "example.com/a:1",
    "oci:layout:x",
    "dir:d",
];

#[test]
fn a_code_is_entered_on_another_device() {
    let home = Home::new();
    Image::new(1).write_oci(&home.path("work/layout"), Some("x"));
    let asked = Mutex::new(0);
    let token = id_token(&json!({"email": "a@example.com", "email_verified": true}));
    let server = provider(move |form| {
        assert!(form.contains("device_code=device") && form.contains("code_verifier="), "{form}");
        let mut asked = asked.lock().unwrap();
        *asked += 1;
        match *asked {
            1 => json!({"error": "authorization_pending"}),
            2 => json!({"id_token": token}),
            _ => json!({"error": "access_denied", "error_description": "no"}),
        }
    });
    by_provider(&home, &server, "deviceGrant");
    let run = at_home(&home, &BY_PROVIDER).success();
    let said = format!(
        "Enter the verification code ABCD in your browser at: {}/enter\nCode will be valid for 60 seconds\nToken received!\n",
        server.url
    );
    assert!(run.stdout.contains(&said), "{run}");
    let (_, annotations) = read(&home.path("work/d/signature-1"));
    assert!(annotations["dev.sigstore.cosign/certificate"].is_string());
    let denied = at_home(&home, &BY_PROVIDER).failure(1);
    assert_eq!(
        fatal(&denied),
        "creating signature: Error using --sign-by-sigstore: Error authenticating with OIDC: error obtaining token: access_denied: no"
    );
}

/// The value of a parameter in an address, whose escapes are those of these tests.
fn parameter(url: &str, name: &str) -> String {
    let query = url.split_once('?').unwrap().1;
    let value = query.split('&').find_map(|it| it.strip_prefix(&format!("{name}="))).unwrap();
    value.replace("%3A", ":").replace("%2F", "/")
}

#[test]
fn a_browser_comes_back_with_a_code() {
    use std::io::BufRead as _;

    let home = Home::new();
    Image::new(1).write_oci(&home.path("work/layout"), Some("x"));
    for (wrong, sentence) in [
        (None, None),
        (Some("nonce"), Some("nonce does not match value sent")),
        (Some("aud"), Some("the token is for \"other\", not for sigstore")),
    ] {
        let nonce: Arc<Mutex<String>> = Arc::default();
        let (sent, address): (_, Arc<Mutex<String>>) = (nonce.clone(), Arc::default());
        let own = address.clone();
        let server = provider(move |form| {
            assert!(form.contains("code=the-code") && form.contains("code_verifier="), "{form}");
            let mut claims = json!({
                "email": "a@example.com", "email_verified": true, "exp": 9_999_999_999_u64,
                "nonce": *sent.lock().unwrap(), "aud": "sigstore", "iss": *own.lock().unwrap(),
            });
            if let Some(wrong) = wrong {
                claims[wrong] = json!("other");
            }
            json!({"id_token": id_token(&claims)})
        });
        address.lock().unwrap().clone_from(&server.url);
        by_provider(&home, &server, "interactive");
        let mut child = home
            .command(env!("CARGO_BIN_EXE_skopeo"))
            .args(BY_PROVIDER)
            // No browser is started.
            .env("PATH", "/nowhere")
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok);
        let page = lines.find(|line| line.contains("/login?")).unwrap();
        assert_eq!(parameter(&page, "code_challenge_method"), "S256");
        *nonce.lock().unwrap() = parameter(&page, "nonce");
        let back = parameter(&page, "redirect_uri");
        let (host, path) = back.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let port = host.strip_prefix("localhost:").unwrap();
        let come_back = |query: &str| {
            let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
            write!(stream, "GET /{path}?{query} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        // Somebody who does not know what was asked is not heard.
        assert!(come_back("code=evil&state=guessed").starts_with("HTTP/1.1 404 "));
        let state = parameter(&page, "state");
        assert!(come_back(&format!("code=the-code&state={state}")).starts_with("HTTP/1.1 200 "));
        let rest = lines.collect::<Vec<_>>();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        match sentence {
            None => assert!(output.status.success(), "{rest:?} {stderr}"),
            Some(sentence) => {
                let run = Run { stdout: String::new(), stderr, code: output.status.code() };
                assert!(fatal(&run.failure(1)).ends_with(sentence));
            }
        }
    }
}

#[test]
fn a_code_is_typed_where_no_browser_can_be_opened() {
    let home = Home::new();
    Image::new(1).write_oci(&home.path("work/layout"), Some("x"));
    let nonce: Arc<Mutex<String>> = Arc::default();
    let (sent, address): (_, Arc<Mutex<String>>) = (nonce.clone(), Arc::default());
    let own = address.clone();
    let server = provider(move |form| {
        assert!(form.contains("code=typed-code&"), "{form}");
        assert!(form.contains("redirect_uri=urn%3Aietf%3Awg%3Aoauth%3A2.0%3Aoob"), "{form}");
        json!({"id_token": id_token(&json!({
            "email": "a@example.com", "email_verified": true, "exp": 9_999_999_999_u64,
            "nonce": *sent.lock().unwrap(), "aud": "sigstore", "iss": *own.lock().unwrap(),
        }))})
    });
    address.lock().unwrap().clone_from(&server.url);
    by_provider(&home, &server, "interactive");
    let words = [&["PATH=/nowhere", env!("CARGO_BIN_EXE_skopeo")][..], &BY_PROVIDER].concat();
    let mut terminal = Terminal::start(&home, 2000, "env", &words);
    let question = "Enter verification code:";
    let rows = terminal.wait(|rows| rows.iter().any(|row| row.contains(question)));
    let page = rows.iter().rfind(|row| row.contains("/login?")).unwrap();
    *nonce.lock().unwrap() = parameter(page, "nonce");
    terminal.enter("typed-code\n");
    let (status, rows) = terminal.finish();
    assert!(status.success(), "{rows:?}");
    assert!(!terminal.written().contains("typed-code"), "{rows:?}");
}
