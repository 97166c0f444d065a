//! `docker-daemon:`, with a real daemon where one can be run, and with ones that misbehave.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use skopeo_image::{Compression, Digest};
use skopeo_testkit::run::original;
use skopeo_testkit::{Dockerd, Format, Home, Image, Registry, skip};

use crate::program::{at_home, fatal};

/// The daemon, or the end of the test.
macro_rules! daemon {
    ($start:ident) => {
        match Dockerd::$start() {
            Ok(daemon) => daemon,
            Err(why) => skopeo_testkit::cannot!("{why}"),
        }
    };
}

fn docker_image(seed: u64) -> Image {
    Image::builder(seed).format(Format::Docker).layer(Compression::Gzip).build()
}

#[test]
fn images_go_in_and_come_out() {
    let daemon = daemon!(start);
    let host = daemon.host();
    let home = Home::new();
    let image = Image::builder(1)
        .format(Format::Docker)
        .layer(Compression::Gzip)
        .layer(Compression::Uncompressed)
        .build();
    let registry = Registry::start();
    image.push(&registry, "from:tag");
    docker_image(2).write_dir(&home.path("work/dir"));
    Image::new(3).write_oci(&home.path("work/oci"), Some("tag"));
    let from_registry = registry.docker("from:tag");
    for (from, to) in [
        (from_registry.as_str(), "docker-daemon:from/registry:1"),
        ("dir:dir", "docker-daemon:from-dir:1"),
        ("oci:oci:tag", "docker-daemon:localhost:5000/from/oci:1"),
    ] {
        let flags = ["copy", "--src-tls-verify=false", "--dest-daemon-host", &host, from, to];
        let run = at_home(&home, &flags).success();
        let config = run.stdout.split("Copying config ").nth(1).unwrap();
        let config = config.lines().next().unwrap();
        let name = to.strip_prefix("docker-daemon:").unwrap();
        let id = daemon.docker(&["image", "inspect", "--format", "{{.Id}}", name]).success();
        assert_eq!(id.stdout.trim(), config, "{from}");

        // Out again, by name and by ID, and compared with what docker itself saves.
        daemon.docker(&["save", "-o", &home.work("saved.tar"), name]).success();
        let saved = ["inspect", "docker-archive:saved.tar"];
        let expected = at_home(&home, &saved).success().json();
        for source in [to.to_owned(), format!("docker-daemon:{config}")] {
            let shown = at_home(&home, &["inspect", "--daemon-host", &host, &source]).success();
            assert_eq!(shown.json()["Layers"], expected["Layers"], "{source}");
            assert_eq!(shown.json()["Digest"], expected["Digest"], "{source}");
            let out = ["copy", "--src-daemon-host", &host, &source, "dir:out"];
            at_home(&home, &out).success();
            let copied = at_home(&home, &["inspect", "dir:out"]).success().json();
            assert_eq!(copied["Digest"], expected["Digest"], "{source}");
        }
    }
    let left = fs_err::read_dir(home.path("tmp")).unwrap().count();
    assert_eq!(left, 0, "nothing is left in --tmpdir");
}

#[test]
fn the_original_is_the_judge() {
    let Some(program) = original() else { skip!("the original skopeo is not installed") };
    let daemon = daemon!(start);
    let host = daemon.host();
    let home = Home::new();
    docker_image(1).write_dir(&home.path("work/dir"));
    let theirs = |words: &[&str]| skopeo_testkit::run(&home, &program, words).success();
    let ours = |words: &[&str]| at_home(&home, words).success();
    let to = |name: &str| ["copy", "--dest-daemon-host", &host, "dir:dir", name].map(str::to_owned);
    theirs(&to("docker-daemon:a:theirs").each_ref().map(String::as_str));
    ours(&to("docker-daemon:a:ours").each_ref().map(String::as_str));
    let id = |name: &str| daemon.docker(&["image", "inspect", "-f", "{{.Id}}", name]).stdout;
    assert_eq!(id("a:ours"), id("a:theirs"));
    for name in ["docker-daemon:a:theirs", "docker-daemon:a:ours"] {
        theirs(&["copy", "--src-daemon-host", &host, name, "dir:by-them"]);
        ours(&["copy", "--src-daemon-host", &host, name, "dir:by-us"]);
        let tree = |name: &str| skopeo_testkit::twin::tree(&home.path("work").join(name));
        let differing = skopeo_testkit::twin::differences(&tree("by-them"), &tree("by-us"));
        assert!(differing.is_empty(), "{name}: {differing:?}");
    }
    // What we write, docker loads.
    ours(&["copy", "dir:dir", "docker-archive:archive.tar:loaded:1"]);
    daemon.docker(&["load", "-i", &home.work("archive.tar")]).success();
    assert_eq!(id("loaded:1"), id("a:theirs"));
    let config = ["inspect", "--config", "--daemon-host", &host, "docker-daemon:a:ours"];
    assert_eq!(ours(&config).stdout, theirs(&config).stdout);
}

#[test]
fn certificates_are_asked_for_on_both_sides() {
    let daemon = daemon!(start_tls);
    let (host, certificates) = daemon.tls_host();
    let certificates = certificates.to_str().unwrap();
    let home = Home::new();
    docker_image(1).write_dir(&home.path("work/dir"));
    let with = ["--dest-daemon-host", &host, "--dest-cert-dir", certificates];
    let copy = |flags: &[&str]| {
        let words = [&["copy"][..], flags, &["dir:dir", "docker-daemon:a:1"]].concat();
        at_home(&home, &words)
    };
    copy(&with).success();
    daemon.docker(&["image", "inspect", "a:1"]).success();
    let inspect = |flags: &[&str]| {
        at_home(&home, &[&["inspect"][..], flags, &["docker-daemon:a:1"]].concat())
    };
    inspect(&["--daemon-host", &host, "--cert-dir", certificates]).success();
    let https = host.replace("tcp:", "https:");
    inspect(&["--daemon-host", &https, "--cert-dir", certificates]).success();

    // Without the authority it is not believed, without a certificate one is not believed.
    let text = fatal(&inspect(&["--daemon-host", &host]).failure(1));
    assert!(text.contains("certificate signed by unknown authority"), "{text}");
    let text = fatal(&inspect(&["--daemon-host", &host, "--tls-verify=false"]).failure(1));
    assert!(text.contains("certificate required") || text.contains("bad certificate"), "{text}");
    let plain = host.replace("tcp:", "http:");
    inspect(&["--daemon-host", &plain]).failure(1);

    // Docker's own variables, where no flag says otherwise.
    let home = Home::new()
        .variable("DOCKER_HOST", &host)
        .variable("DOCKER_CERT_PATH", certificates)
        .variable("DOCKER_TLS_VERIFY", "1");
    at_home(&home, &["inspect", "docker-daemon:a:1"]).success();
    let elsewhere = ["inspect", "--daemon-host", "unix:///nowhere", "docker-daemon:a:1"];
    assert!(fatal(&at_home(&home, &elsewhere).failure(1)).contains("unix:///nowhere"));

    for (missing, sentence) in [
        ("ca.pem", "initializing docker engine client: reading CA file"),
        ("key.pem", "initializing docker engine client: loading X509 key pair: open "),
    ] {
        let folder = home.path("work/certificates");
        let _ = fs_err::remove_dir_all(&folder);
        fs_err::create_dir(&folder).unwrap();
        for file in ["ca.pem", "cert.pem", "key.pem"].iter().filter(|file| **file != missing) {
            fs_err::copy(Path::new(certificates).join(file), folder.join(file)).unwrap();
        }
        let flags = ["--daemon-host", &host, "--cert-dir", folder.to_str().unwrap()];
        let text = fatal(&inspect(&flags).failure(1));
        assert!(text.contains(sentence), "{text}");
    }
}

#[test]
fn what_the_daemon_refuses_is_told() {
    let daemon = daemon!(start);
    let host = daemon.host();
    let home = Home::new();
    let inspect = ["inspect", "--daemon-host", &host, "docker-daemon:none:1"];
    let run = at_home(&home, &inspect).failure(1);
    let begin = "Error parsing image name \"docker-daemon:none:1\": loading image from docker \
                 engine: Error response from daemon: ";
    assert!(fatal(&run).starts_with(begin), "{run}");

    // A layer that is no tar breaks only when the daemon unpacks it, behind a good answer.
    fs_err::write(home.path("work/no-tar"), vec![b'x'; 5000]).unwrap();
    let copy = ["copy", "--dest-daemon-host", &host, "tarball:no-tar", "docker-daemon:a:1"];
    let text = fatal(&at_home(&home, &copy).failure(1));
    assert!(text.contains("docker engine reported: "), "{text}");
    assert_eq!(daemon.docker(&["images", "-q"]).stdout, "");
}

#[test]
fn names_are_checked_before_anything_is_asked() {
    let home = Home::new();
    let hex = Digest::sha256(b"").hex().to_owned();
    docker_image(1).write_dir(&home.path("work/dir"));
    for (name, sentence) in [
        (format!("sha256:{hex}"), "a destination must be a name:tag"),
        (format!("a@sha256:{hex}"), "a destination must be a name:tag"),
        ("a".to_owned(), "docker-daemon: reference a has neither a tag nor a digest"),
    ] {
        let to = format!("docker-daemon:{name}");
        let text = fatal(&at_home(&home, &["copy", "dir:dir", &to]).failure(1));
        assert!(text.ends_with(sentence), "{text}");
    }
    let run = at_home(&home, &["delete", "docker-daemon:a:1"]).failure(1);
    assert_eq!(fatal(&run), "Deleting images not implemented for docker-daemon: images");
    for (host, sentence) in [
        ("nonsense", "unable to parse docker host `nonsense`"),
        ("ssh://h", "unable to parse docker host `ssh://h`: ssh:// is not supported"),
    ] {
        let words = ["inspect", "--daemon-host", host, "docker-daemon:a:1"];
        let text = fatal(&at_home(&home, &words).failure(1));
        assert!(text.ends_with(sentence), "{text}");
    }
}

/// Listens on a socket as a daemon, and answers each request, by its first line, with what `answer`
/// makes of it; `None` is silence.
fn fake(path: &Path, answer: impl Fn(&str) -> Option<Vec<u8>> + Send + 'static) {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Some(head) = head(&mut stream) else { continue };
            let answer = answer(&head);
            // Who closes before all has come may break the other's line before the answer is read.
            if answer.is_some() && head.starts_with("POST") {
                drain(&mut stream);
            }
            match answer {
                Some(bytes) => drop(stream.write_all(&bytes)),
                None => std::mem::forget(stream),
            }
        }
    });
}

/// Reads a request's body to the end of its last chunk.
fn drain(stream: &mut UnixStream) {
    let mut piece = vec![0; 1 << 20];
    let mut end = Vec::new();
    while !end.ends_with(b"0\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(read) => end.extend_from_slice(&piece[..read]),
        }
        end.drain(..end.len().saturating_sub(5));
    }
}

/// The head of a request.
fn head(stream: &mut UnixStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

const PONG: &str =
    "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nConnection: close\r\nContent-Length: 2\r\n\r\nOK";

#[test]
fn daemons_that_are_none_do_not_hold_anybody() {
    let home = Home::new();
    docker_image(1).write_dir(&home.path("work/dir"));
    let ok = |body: &str| {
        let text = format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Some(text.into_bytes())
    };
    type Answer = Box<dyn Fn(&str) -> Option<Vec<u8>> + Send>;
    let pong = |then: Option<Vec<u8>>| -> Answer {
        Box::new(
            move |head| {
                if head.starts_with("GET /_ping") { Some(PONG.into()) } else { then.clone() }
            },
        )
    };
    // Alive for a while, then silent for ever.
    let dying = || -> Answer {
        let asked = std::sync::atomic::AtomicBool::new(false);
        Box::new(move |_| {
            let first = !asked.swap(true, std::sync::atomic::Ordering::Relaxed);
            first.then(|| PONG.into())
        })
    };
    let cut = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let endless = format!("{{\"status\":\"{}", "x".repeat(2 << 20));
    let cases: Vec<(Answer, &str, &str)> = vec![
        (Box::new(|_| None), "no longer answers", "no longer answers"),
        (dying(), "no longer answers", "no longer answers"),
        (Box::new(move |_| ok("hi")), "is not a Docker daemon", "is not a Docker daemon"),
        (Box::new(|_| Some(b"SSH-2.0\r\n".to_vec())), "talking to", "talking to"),
        (Box::new(|_| Some(Vec::new())), "talking to", "talking to"),
        (pong(ok("")), "", ""),
        (pong(ok("no tar")), "", "parsing docker load progress"),
        (pong(ok("{\"error\":\"full\"}")), "", "docker engine reported: \"full\""),
        (pong(ok(&endless)), "", "parsing docker load progress"),
        (pong(Some(cut.into())), "unexpected EOF", ""),
        (
            pong(Some(
                b"HTTP/1.1 500 No\r\nContent-Length: 16\r\n\r\n{\"message\":\"no\"}".to_vec(),
            )),
            "Error response from daemon: no",
            "Error response from daemon: no",
        ),
    ];
    for (at, (answer, reading, writing)) in cases.into_iter().enumerate() {
        let path = home.path(format!("run/{at}"));
        fake(&path, answer);
        let host = format!("unix://{}", path.display());
        let common = ["--idle-timeout", "1s"];
        let read = ["inspect", "--daemon-host", &host, "docker-daemon:a:1"];
        let text = fatal(&at_home(&home, &[&common[..], &read].concat()).failure(1));
        assert!(text.contains(reading) && !text.is_empty(), "{at}: {text}");
        let write = ["copy", "--dest-daemon-host", &host, "dir:dir", "docker-daemon:a:1"];
        let run = at_home(&home, &[&common[..], &write].concat());
        // One that says nothing against it is believed, as the original does.
        if writing.is_empty() {
            continue;
        }
        let text = fatal(&run.failure(1));
        assert!(text.contains(writing), "{at}: {text}");
    }
    // Nobody there at all.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for host in ["unix:///nowhere".to_owned(), format!("tcp://{port}"), format!("http://{port}")] {
        let read = ["inspect", "--daemon-host", &host, "docker-daemon:a:1"];
        let sentence =
            format!("Cannot connect to the Docker daemon at {host}. Is the docker daemon running?");
        let text = fatal(&at_home(&home, &read).failure(1));
        assert!(text.contains(&sentence), "{text}");
        let write = ["copy", "--dest-daemon-host", &host, "dir:dir", "docker-daemon:a:1"];
        let text = fatal(&at_home(&home, &write).failure(1));
        assert!(text.starts_with("initializing destination docker-daemon:a:1: "), "{text}");
    }
}

#[test]
fn a_daemon_that_stops_does_not_hold_anybody() {
    let daemon = daemon!(start);
    let home = Home::new();
    docker_image(1).write_dir(&home.path("work/dir"));
    let process = daemon.process().to_string();
    let stopped = std::process::Command::new("kill").args(["-STOP", &process]).status().unwrap();
    assert!(stopped.success());
    let host = daemon.host();
    let words = ["--idle-timeout", "1s", "copy", "--dest-daemon-host", &host, "dir:dir"];
    let run = at_home(&home, &[&words[..], &["docker-daemon:a:1"]].concat()).failure(1);
    assert!(fatal(&run).contains("no longer answers"), "{run}");
}
