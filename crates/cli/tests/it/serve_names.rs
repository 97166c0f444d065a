//! What `serve` makes of names, and of what is no folder of layouts.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use serde_json::json;
use skopeo_testkit::registry::Registry;
use skopeo_testkit::{Home, Image};

use crate::program::{at_home, fatal};

/// A server that ends with this value, and what it said at its start.
struct Server {
    child: Child,
    host: String,
    contents: String,
}

impl Server {
    fn start(home: &Home, arguments: &[&str]) -> Self {
        let mut command = home.command(env!("CARGO_BIN_EXE_skopeo"));
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(arguments);
        Self::of(command)
    }

    fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let Some(first) = lines.next() else {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("{command:?}: {said}");
        };
        let host = first.rsplit("://").next().unwrap().to_owned();
        Self { child, host, contents: lines.next().unwrap() }
    }

    fn name(&self, image: &str) -> String {
        format!("docker://{}/{image}", self.host)
    }

    /// Ends it; what it said on stderr.
    fn end(mut self) -> String {
        self.child.kill().unwrap();
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        said
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tags(home: &Home, server: &Server, repository: &str) -> serde_json::Value {
    let name = server.name(repository);
    at_home(home, &["list-tags", "--tls-verify=false", &name]).success().json()["Tags"].clone()
}

/// A registry with two repositories, one with two tags.
fn source() -> (Registry, Image, String) {
    let source = Registry::start();
    let image = Image::new(2);
    for name in ["team/app:1", "team/app:2", "tool:latest"] {
        image.push(&source, name);
    }
    let port = source.host().rsplit(':').next().unwrap().to_owned();
    (source, image, port)
}

fn sync(home: &Home, source: &Registry, kind: &str, flags: &[&str], place: &str) {
    for repository in ["team/app", "tool"] {
        let from = format!("{}/{repository}", source.host());
        let fixed = ["sync", "--src-tls-verify=false", "--src", "docker", "--dest", kind];
        at_home(home, &[&fixed[..], flags, &[&from, place]].concat()).success();
    }
}

/// The air gap: what was synced from a registry with a port is served, and synced on from there.
#[test]
fn what_sync_wrote_from_a_port_is_served() {
    let home = Home::new();
    let (source, image, port) = source();
    sync(&home, &source, "oci", &[], "layout");
    let index = fs_err::read_to_string(home.path("work/layout/index.json")).unwrap();
    assert!(index.contains(&format!("127.0.0.1:{port}/team/app:1")), "{index}");
    let server = Server::start(&home, &["layout"]);
    assert_eq!(server.contents, "Serving 2 repositories, 3 tags");
    let repository = format!("127.0.0.1_{port}/team/app");
    assert_eq!(tags(&home, &server, &repository), json!(["1", "2"]));
    let from = server.name(&format!("{repository}:2"));
    at_home(&home, &["copy", "--src-tls-verify=false", &from, "dir:to"]).success();
    let copied = fs_err::read(home.path("work/to/manifest.json")).unwrap();
    assert_eq!(copied, image.manifest().bytes);
    // What is pushed is spelled as what was there, so that it is one repository to `oci:` too.
    let to = server.name(&format!("{repository}:3"));
    at_home(&home, &["copy", "--dest-tls-verify=false", "dir:to", &to]).success();
    assert_eq!(tags(&home, &server, &repository), json!(["1", "2", "3"]));
    let name = format!("oci:layout:127.0.0.1:{port}/team/app:3");
    let found = at_home(&home, &["inspect", &name]).success().json();
    assert_eq!(found["Digest"], image.digest().to_string());
    at_home(&home, &["delete", "--tls-verify=false", &from]).success();
    let catalog = at_home(&home, &["list-tags", "--tls-verify=false", &server.name("layout")]);
    catalog.failure(1); // nothing lies there without a name of its own
}

/// The names are those that `sync --scoped` gives in a registry.
#[test]
fn names_are_those_of_scoped() {
    let home = Home::new();
    let (source, _, port) = source();
    sync(&home, &source, "oci", &[], "layout");
    let mirror = Registry::start();
    let fixed = ["sync", "--src-tls-verify=false", "--dest-tls-verify=false", "--scoped"];
    let host = mirror.host();
    let from_to = ["--src", "oci", "--dest", "docker", "layout", &host];
    at_home(&home, &[&fixed[..], &from_to].concat()).success();
    let server = Server::start(&home, &["layout"]);
    for repository in ["team/app", "tool"] {
        let name = format!("127.0.0.1_{port}/{repository}");
        let there = mirror.docker(&name);
        let there = at_home(&home, &["list-tags", "--tls-verify=false", &there]).success().json();
        assert_eq!(tags(&home, &server, &name), there["Tags"], "{name}");
    }
}

#[test]
fn references_that_cannot_be_served_are_named() {
    let home = Home::new();
    let image = Image::new(1);
    for reference in ["good/app:1", "no tag", "Upper/app:1"] {
        image.write_oci(&home.path("work/layout"), Some(reference));
    }
    std::os::unix::fs::symlink("layout", home.path("work/link")).unwrap();
    let server = Server::start(&home, &["layout"]);
    assert!(
        server
            .contents
            .starts_with("Serving 2 repositories, 1 tag; 2 references cannot be served: "),
        "{}",
        server.contents
    );
    for part in ["no tag (it has no tag)", "Upper/app:1 (its name is not a valid repository name)"]
    {
        assert!(server.contents.contains(part), "{}", server.contents);
    }
    // The folder that is served may be reached by a link, and what lies in it may not.
    assert!(Server::start(&home, &["link"]).contents.starts_with("Serving 2 repositories"));
    image.write_oci(&home.path("work/tree/a"), Some("1"));
    std::os::unix::fs::symlink("../layout", home.path("work/tree/b")).unwrap();
    image.write_oci(&home.path("work/tree/Odd Name"), Some("1"));
    at_home(&home, &["copy", "oci:tree/a:1", "dir:tree/plain"]).success();
    let server = Server::start(&home, &["tree"]);
    assert_eq!(server.contents, "Serving 1 repository, 1 tag");
    assert_eq!(tags(&home, &server, "a"), json!(["1"]));
    let said = server.end();
    for part in [
        "b (it is a symbolic link, and links are not followed)",
        "Odd Name (its path is not a valid repository name)",
        "plain (it is an image of dir:, and there are layouts beside it)",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

/// A folder of `dir:` images and archives are served as they lie.
#[test]
fn other_formats_are_served_read_only() {
    let home = Home::new();
    let (source, image, port) = source();
    let scoped = format!("127.0.0.1:{port}/");
    let mapped = format!("127.0.0.1_{port}/");
    sync(&home, &source, "dir", &["--scoped"], "folder");
    sync(&home, &source, "oci-archive", &[], "layout.tar");
    sync(&home, &source, "docker-archive", &[], "saved.tar");
    for (place, before, keeps_digest) in [
        ("folder", &mapped, true),
        ("layout.tar", &mapped, true),
        ("oci-archive:layout.tar", &mapped, true),
        ("saved.tar", &mapped, false),
    ] {
        let server = Server::start(&home, &[place]);
        assert_eq!(server.contents, "Serving 2 repositories, 3 tags", "{place} {scoped}");
        let repository = format!("{before}team/app");
        assert_eq!(tags(&home, &server, &repository), json!(["1", "2"]), "{place}");
        let from = server.name(&format!("{repository}:1"));
        at_home(&home, &["copy", "--src-tls-verify=false", &from, "dir:to"]).success();
        if keeps_digest {
            let copied = fs_err::read(home.path("work/to/manifest.json")).unwrap();
            assert_eq!(copied, image.manifest().bytes, "{place}");
        }
        let to = server.name(&format!("{repository}:3"));
        let refused =
            at_home(&home, &["copy", "--dest-tls-verify=false", "dir:to", &to]).failure(1);
        assert!(refused.to_string().to_lowercase().contains("unsupported"), "{place}: {refused}");
        fs_err::remove_dir_all(home.path("work/to")).unwrap();
    }
    fs_err::write(home.path("work/text"), "no archive").unwrap();
    let refused = at_home(&home, &["serve", "--listen", "127.0.0.1:0", "text"]).failure(1);
    assert!(fatal(&refused).contains("text"), "{refused}");
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let home = Home::new();
    for flags in [&[][..], &["--read-only"]] {
        let words = [&["serve", "--listen", "127.0.0.1:0"], flags, &["typo"]].concat();
        let refused = at_home(&home, &words).failure(1);
        assert_eq!(fatal(&refused), "serving typo: the folder does not exist");
        assert!(
            refused.to_string().contains("hint: use --create to create the folder"),
            "{refused}"
        );
        assert!(!home.path("work/typo").exists());
    }
    let both = ["serve", "--listen", "127.0.0.1:0", "--create", "--read-only", "typo"];
    assert_eq!(
        fatal(&at_home(&home, &both).failure(1)),
        "--create and --read-only cannot be used together: a new folder would stay empty"
    );
    assert!(!home.path("work/typo").exists());
    let server = Server::start(&home, &["--create", "typo"]);
    assert_eq!(server.contents, "Serving 0 repositories, 0 tags");
    assert!(home.path("work/typo").is_dir());
    let words = ["serve", "--max-blob", "10M", "typo"];
    assert!(fatal(&at_home(&home, &words).failure(1)).contains("MB or MiB?"));
}

/// Whoever pushes to a registry that takes nothing is told why.
#[test]
fn the_client_shows_why_nothing_is_taken() {
    let home = Home::new();
    Image::new(1).write_oci(&home.path("work/source"), Some("1"));
    fs_err::create_dir(home.path("work/served")).unwrap();
    for (flags, why) in [
        (&["--read-only"][..], "this registry is read-only"),
        (&["--max-blob", "10"], "the blob is larger than this registry accepts: 10 bytes at most"),
        (&["--max-storage", "10B"], "this registry is full: it stores 10 bytes at most"),
    ] {
        let server = Server::start(&home, &[flags, &["served"]].concat());
        let to = server.name("a:1");
        let refused = at_home(&home, &["copy", "--dest-tls-verify=false", "oci:source:1", &to]);
        let refused = refused.failure(1);
        assert!(fatal(&refused).contains(why), "{flags:?}: {refused}");
    }
}

/// The disk is full, or may not be written to: the client is told, the server goes on, and nothing
/// half-written is left.
#[test]
fn a_full_disk_is_told() {
    let home = Home::new();
    let image = Image::builder(1).layer_size(2 << 20).build();
    image.write_oci(&home.path("work/source"), Some("1"));
    fs_err::create_dir(home.path("work/served")).unwrap();
    let may = Command::new("unshare").args(["-rm", "true"]).status();
    if !may.is_ok_and(|status| status.success()) {
        skopeo_testkit::skip!("unshare -rm is not permitted");
    }
    for (options, why) in [
        ("size=512k", "the disk of this registry is full"),
        ("ro", "the folder of this registry is on a read-only file system"),
    ] {
        let mut command = home.command("unshare");
        command.args(["-rm", "sh", "-c"]);
        command
            .arg("mount -t tmpfs -o $1 tmpfs served && exec $0 serve --listen 127.0.0.1:0 served");
        command.args([env!("CARGO_BIN_EXE_skopeo"), options]);
        let server = Server::of(command);
        let to = server.name("a:1");
        for _ in 0..2 {
            let words = ["copy", "--dest-tls-verify=false", "oci:source:1", &to];
            let refused = at_home(&home, &words).failure(1);
            assert!(fatal(&refused).contains(why), "{options}: {refused}");
        }
        at_home(&home, &["list-tags", "--tls-verify=false", &server.name("a")]).failure(1);
    }
}
