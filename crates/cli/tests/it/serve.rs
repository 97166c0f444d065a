//! `skopeo serve`.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use serde_json::json;
use skopeo_testkit::{Certificate, Home, Image};

use crate::program::{at_home, fatal};

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
fn warns_where_anyone_may_write() {
    let home = Home::new();
    for (flags, warns) in [
        (&["--create", "--listen", "0.0.0.0:0", "served"][..], true),
        (&["--listen", "0.0.0.0:0", "--read-only", "served"], false),
        (&["served"], false),
    ] {
        let mut server = Server::start(&home, flags);
        assert_eq!(server.end("-TERM"), Some(0));
        let mut said = String::new();
        server.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(said.contains("may change served: use --htpasswd"), warns, "{flags:?}: {said}");
    }
}

#[test]
fn lets_in_whom_it_should() {
    let home = Home::new();
    Image::new(1).write_oci(&home.path("work/served/a"), Some("1"));
    // user:secret
    home.write("work/users", "user:$2b$04$......................XG0VI/QAVGwUH9bl3LDeizrhvqcIq7y\n");
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
