//! `skopeo serve`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use skopeo_testkit::{Certificate, Home, Image};

use crate::program::{at_home, fatal};

/// user:secret
const USERS: &str = "user:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n";

/// A server that ends with this value.
struct Server {
    child: Child,
    /// `http://127.0.0.1:port`
    url: String,
}

impl Server {
    fn start(home: &Home, arguments: &[&str]) -> Self {
        let mut command = home.command(env!("CARGO_BIN_EXE_skopeo"));
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim_end().rsplit(' ').next().unwrap().to_owned();
        Self { child, url }
    }

    fn host(&self) -> &str {
        self.url.split("://").nth(1).unwrap()
    }

    /// A request as it is, on a connection of its own; the whole answer.
    fn ask(&self, head: &str) -> String {
        let mut stream = TcpStream::connect(self.host()).unwrap();
        write!(stream, "{head}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Ends it; what it said on stderr.
    fn said(mut self) -> String {
        assert_eq!(self.end("-TERM"), Some(0));
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        said
    }

    fn end(&mut self, signal: &str) -> Option<i32> {
        let id = self.child.id().to_string();
        Command::new("kill").args([signal, &id]).status().unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn serves_what_copy_wrote_and_ends_well() {
    let home = Home::new();
    let image = Image::new(1);
    image.write_oci(&home.path("work/served/a/b"), Some("1"));
    let mut server = Server::start(&home, &["served"]);
    let from = format!("docker://{}/a/b:1", server.host());
    at_home(&home, &["copy", "--src-tls-verify=false", &from, "dir:to"]).success();
    let copied = fs_err::read(home.path("work/to/manifest.json")).unwrap();
    assert_eq!(copied, image.manifest().bytes);
    let to = format!("docker://{}/c:1", server.host());
    at_home(&home, &["copy", "--dest-tls-verify=false", "dir:to", &to]).success();
    let found = at_home(&home, &["inspect", "oci:served/c:1"]).success().json();
    assert_eq!(found["Digest"], image.digest().to_string());
    assert_eq!(server.end("-INT"), Some(0));
    assert_eq!(Server::start(&home, &["served"]).end("-TERM"), Some(0));
}

#[test]
fn warns_of_strangers() {
    let home = Home::new();
    fs_err::create_dir_all(home.path("work/served")).unwrap();
    home.write("work/users", USERS);
    let authority = Certificate::new(&["127.0.0.1"]);
    home.write("work/server.crt", &authority.certificate);
    home.write("work/server.key", &authority.key);
    let tls = ["--tls-cert", "server.crt", "--tls-key", "server.key"];
    let change = "may change served: use --htpasswd";
    let read = "may read served: use --htpasswd";
    let clear = "unencrypted: use --tls-cert";
    for (listen, flags, warning) in [
        ("0.0.0.0:0", &[][..], Some(change)),
        (":0", &[], Some(change)),
        ("[::]:0", &[], Some(change)),
        ("[::ffff:0.0.0.0]:0", &[], Some(change)),
        ("0.0.0.0:0", &["--read-only"], Some(read)),
        ("[::]:0", &["--read-only"], Some(read)),
        ("0.0.0.0:0", &["--htpasswd", "users"], Some(clear)),
        ("0.0.0.0:0", &["--htpasswd", "users", "--read-only"], Some(clear)),
        ("0.0.0.0:0", &[&["--htpasswd", "users"], &tls[..]].concat(), None),
        ("127.0.0.1:0", &[], None),
        ("localhost:0", &[], None),
        ("[::1]:0", &[], None),
        ("127.0.0.1:0", &["--htpasswd", "users"], None),
    ] {
        let flags = [flags, &["--listen", listen, "served"]].concat();
        let said = Server::start(&home, &flags).said();
        for known in [change, read, clear] {
            assert_eq!(said.contains(known), warning == Some(known), "{flags:?}: {said}");
        }
    }
}

#[test]
fn each_request_is_a_line() {
    let home = Home::new();
    Image::new(1).write_oci(&home.path("work/served/a"), Some("1"));
    home.write("work/users", USERS);
    let server = Server::start(&home, &["--htpasswd", "users", "served"]);
    let login = "Authorization: Basic dXNlcjpzZWNyZXQ="; // user:secret
    let get = |path: &str, more: &str| server.ask(&format!("GET {path} HTTP/1.1\r\nHost: x{more}"));
    let begin = format!("\r\n{login}");
    assert!(get("/v2/a/manifests/1", &begin).starts_with("HTTP/1.1 200 "));
    assert!(get("/v2/a/manifests/1", "").starts_with("HTTP/1.1 401 "));
    assert!(get("/healthz", "").ends_with(r#"{"status":"ok"}"#));
    assert!(get("/v2/a/tags/list?n=5&x=%1b", &begin).starts_with("HTTP/1.1 200 "));
    let said = server.said();
    for (place, facts) in [
        "user=user method=GET path=/v2/a/manifests/1 status=200 bytes=",
        "user=- method=GET path=/v2/a/manifests/1 status=401 bytes=",
        "user=- method=GET path=/healthz status=200 bytes=15 received=0 ms=",
        "user=user method=GET path=\"/v2/a/tags/list?n=5&x=%1b\" status=200 bytes=",
    ]
    .iter()
    .enumerate()
    {
        let line = said.lines().filter(|line| line.contains("msg=request")).nth(place);
        assert!(line.is_some_and(|line| line.contains(facts)), "{facts}: {said}");
    }
    assert!(said.contains("client=\"127.0.0.1:"), "{said}");
}

#[test]
fn the_log_is_json_or_elsewhere_or_nothing() {
    let home = Home::new();
    fs_err::create_dir_all(home.path("work/served")).unwrap();
    let ask = |flags: &[&str]| {
        let server = Server::start(&home, &[flags, &["served"]].concat());
        assert!(server.ask("HEAD /v2/ HTTP/1.1\r\nHost: x").starts_with("HTTP/1.1 200 "));
        server.said()
    };
    let is_record = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (&line["method"], &line["path"], &line["status"], &line["bytes"], &line["user"]),
            (&json!("HEAD"), &json!("/v2/"), &json!(200), &json!(0), &json!(null))
        );
        assert!(line["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
        assert!(line["ms"].is_number() && line["time"].is_string(), "{line}");
    };
    is_record(ask(&["--log-format", "json"]).trim_end());
    assert_eq!(ask(&["--log", "none"]), "");
    // It is added to.
    home.write("work/log", "before\n");
    assert_eq!(ask(&["--log", "log", "--log-format=json"]), "");
    assert_eq!(ask(&["--log", "log"]), "");
    let log = fs_err::read_to_string(home.path("work/log")).unwrap();
    let lines: Vec<_> = log.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "before"));
    is_record(lines[1]);
    assert!(lines[2].contains("level=info msg=request client="), "{log}");
}

#[test]
fn who_does_not_read_the_log_stops_nobody() {
    let home = Home::new();
    fs_err::create_dir_all(home.path("work/served")).unwrap();
    // Its stderr is a pipe that nobody reads: much more than one holds goes into it.
    let mut server = Server::start(&home, &["served"]);
    let path = format!("/v2/{}", "x".repeat(900));
    let mut stream = TcpStream::connect(server.host()).unwrap();
    for _ in 0..300 {
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = [0; 4096];
        assert!(stream.read(&mut answer).unwrap() > 0);
        assert!(answer.starts_with(b"HTTP/1.1 404 "));
    }
    assert_eq!(server.end("-TERM"), Some(0));
}

#[test]
fn answers_to_names_it_knows() {
    let home = Home::new();
    fs_err::create_dir_all(home.path("work/served")).unwrap();
    for (flags, host, status) in [
        (&[][..], "localhost:5000", "200"),
        (&[], "evil.example", "403"),
        (&["--allowed-host", "my.example,your.example"], "your.example:80", "200"),
        (&["--allowed-host", "my.example"], "evil.example", "403"),
        (&["--allowed-host", "my.example", "--listen", "0.0.0.0:0"], "my.example", "200"),
        (&["--allowed-host", "my.example", "--listen", "0.0.0.0:0"], "evil.example", "403"),
        (&["--listen", "0.0.0.0:0"], "any.example", "200"),
    ] {
        let mut server = Server::start(&home, &[flags, &["served"]].concat());
        server.url = server.url.replace("0.0.0.0", "127.0.0.1");
        let answer = server.ask(&format!("GET /v2/ HTTP/1.1\r\nHost: {host}"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{flags:?} {host}: {answer}");
    }
}

#[test]
fn flags_that_cannot_be() {
    let home = Home::new();
    fs_err::create_dir_all(home.path("work/served")).unwrap();
    home.write("work/empty", "# nobody\n");
    home.write("work/plain", "alice:secret\n");
    for (flags, sentence) in [
        (&["--htpasswd", "empty"][..], "htpasswd file empty has no users"),
        (&["--htpasswd", "plain"], "parsing htpasswd file plain: line 1 is not"),
        (&["--htpasswd", "missing"], "open missing: no such file or directory"),
        (&["--log-format", "xml"], "invalid --log-format \"xml\": want text or json"),
        (&["--max-memory", "1MiB"], "invalid --max-memory: want at least 16MiB"),
        (&["--max-memory", "much"], "invalid --max-memory \"much\""),
        (&["--max-clients", "0"], "invalid --max-clients: want at least 1"),
        (&["--allowed-host", "http://x"], "invalid --allowed-host \"http://x\""),
        (&["--log", "no/such/folder"], "open no/such/folder: no such file or directory"),
    ] {
        let words = [&["serve", "--listen", "127.0.0.1:0"], flags, &["served"]].concat();
        let said = fatal(&at_home(&home, &words).failure(1)).to_owned();
        assert!(said.contains(sentence), "{flags:?}: {said}");
    }
}

#[test]
fn lets_in_whom_it_should() {
    let home = Home::new();
    Image::new(1).write_oci(&home.path("work/served/a"), Some("1"));
    home.write("work/users", USERS);
    let authority = Certificate::new(&["127.0.0.1"]);
    home.write("work/server.crt", &authority.certificate);
    home.write("work/server.key", &authority.key);
    let flags = ["--tls-cert", "server.crt", "--tls-key", "server.key", "--read-only", "served"];
    let server = Server::start(&home, &flags);
    assert!(server.url.starts_with("https://"), "{}", server.url);
    let name = format!("docker://{}/a:1", server.host());
    let refused = at_home(&home, &["inspect", &name]).failure(1);
    assert!(fatal(&refused).contains("certificate"), "{refused}");
    home.certificate(server.host(), "ca.crt", &authority.ca);
    assert_eq!(at_home(&home, &["inspect", &name]).success().json()["RepoTags"], json!(["1"]));
    at_home(&home, &["delete", &name]).failure(1);
    for (flags, sentence) in [
        (&[][..], "Exactly one argument expected: the folder to serve"),
        (
            &["served", "--tls-cert", "server.crt"],
            "--tls-cert and --tls-key must be given together",
        ),
    ] {
        let words = [&["serve"], flags].concat();
        assert_eq!(fatal(&at_home(&home, &words).failure(1)), sentence);
    }
}
