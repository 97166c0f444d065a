//! Input that was made to do harm, or is just wrong: an error that says what it is, little memory,
//! an end, and nothing written outside.

mod layouts;

use std::io::{self, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use skopeo_image::{Compression, Digest};
use skopeo_testkit::image::compress;
use skopeo_testkit::{Home, Image, Run};

use crate::script::{Ask, Script, head, respond};
use crate::stage::{finish, for_each, home, sentence, skopeo, start, whole_dir};

const MANIFEST: &str = "Content-Type: application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The most memory that any of this may take, in KiB. A debug build alone takes a good part of it.
const MEMORY: u64 = 96 * 1024;

/// Runs the program and watches its memory.
#[track_caller]
pub(crate) fn frugal(home: &Home, arguments: &[&str]) -> Run {
    frugal_within(home, arguments, MEMORY)
}

/// The same, for what may take so many KiB.
#[track_caller]
pub(crate) fn frugal_within(home: &Home, arguments: &[&str], most: u64) -> Run {
    let child = start(home, arguments);
    let status = format!("/proc/{}/status", child.id());
    let watch = std::thread::spawn(move || {
        let mut peak = 0;
        while let Ok(text) = fs_err::read_to_string(&status) {
            let line = text.lines().find(|line| line.starts_with("VmHWM:"));
            let Some(line) = line else { break };
            let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok());
            // Before it is the program, it is a copy of this test.
            if text.starts_with("Name:\tskopeo\n") {
                peak = peak.max(kib.unwrap_or(0));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        peak
    });
    let run = finish(child, &arguments.join(" "));
    let peak: u64 = watch.join().unwrap();
    assert!(peak < most, "{peak} KiB for {arguments:?}");
    run
}

/// A registry that answers only GET of manifests, like this.
fn manifests(
    answer: impl Fn(&Ask, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
) -> Script {
    Script::start(move |ask, stream| match ask.target.contains("/manifests/") {
        true if ask.method == "GET" => answer(ask, stream),
        _ => respond(stream, "404 Not Found", &[], b"{}"),
    })
}

#[test]
fn references() {
    let home = Home::new();
    let long = format!("docker://{}", "a".repeat(300));
    let tag = format!("docker://a:{}", "t".repeat(129));
    let hex = format!("docker://{}", Digest::sha256(b"").hex());
    for (name, words) in [
        ("", "Invalid image name"),
        ("busybox", "expected colon-separated transport:reference"),
        ("nonsense:x", "nonsense"),
        ("docker:busybox", "docker: image reference busybox does not start with //"),
        ("docker://", "invalid reference format"),
        ("docker://UPPER/case", "must be lowercase"),
        ("docker://a:b:c:d", "invalid reference format"),
        ("docker://-a", "invalid reference format"),
        ("docker://a/../b", "invalid reference format"),
        ("docker://a@sha256:abc", "invalid"),
        ("docker://a@md5:d41d8cd98f00b204e9800998ecf8427e", "unsupported digest algorithm"),
        ("docker://a b", "invalid reference format"),
        ("docker://a\nb", "invalid reference format"),
        (&long, "must not be more than 255 characters"),
        (&tag, "invalid reference format"),
        (&hex, "hex"),
        ("oci:", "index.json"),
        ("oci:folder:@-1", "invalid"),
        ("dir:", "expected"),
    ] {
        let run = skopeo(&home, &["inspect", name]);
        let said = sentence(&run).to_lowercase();
        println!("{name:?}: {said}");
        assert!(said.contains(&words.to_lowercase()) || words == "expected", "{name:?}: {said}");
        assert!(run.stdout.is_empty(), "{run}");
    }
}

#[test]
fn manifests_of_any_size() {
    let five = 5_u64 << 30;
    let stream_it = move |stream: &mut TcpStream| -> io::Result<()> {
        let piece = vec![b' '; 1 << 20];
        for _ in 0..five >> 20 {
            stream.write_all(&piece)?;
        }
        Ok(())
    };
    let announced = manifests(move |_, stream| {
        head(stream, "200 OK", &[MANIFEST], Some(five))?;
        stream_it(stream)
    });
    let streamed = manifests(move |_, stream| {
        head(stream, "200 OK", &[MANIFEST], None)?;
        stream_it(stream)
    });
    let chunked = manifests(move |_, stream| {
        head(stream, "200 OK", &[MANIFEST, "Transfer-Encoding: chunked"], None)?;
        write!(stream, "{five:x}\r\n")?;
        stream_it(stream)
    });
    let overflowing = manifests(move |_, stream| {
        head(stream, "200 OK", &[MANIFEST, "Content-Length: 99999999999999999999999"], None)?;
        stream_it(stream)
    });
    for_each([announced, streamed, chunked, overflowing], |registry| {
        let home = home(&[&registry.host()]);
        let name = registry.docker("a:b");
        let commands =
            [["inspect", "--raw", &name], ["inspect", "--config", &name], ["copy", &name, "oci:x"]];
        for_each(commands, |command| {
            let run = frugal(&home, &command);
            assert!(!run.stdout.contains('{') && !sentence(&run).is_empty(), "{run}");
        });
    });
    let home = Home::new();
    for name in ["index.json", "manifest.json"] {
        fs_err::create_dir_all(home.path("work/large")).unwrap();
        let file = fs_err::File::create(home.path("work/large").join(name)).unwrap();
        file.set_len(five).unwrap();
    }
    home.write("work/large/oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
    for name in ["oci:large", "oci:large:v1", "dir:large"] {
        sentence(&frugal(&home, &["inspect", "--raw", name]));
    }
    sentence(&frugal(&home, &["manifest-digest", "large/manifest.json"]));
}

#[test]
fn deep_json() {
    let deep = |open: &str, close: &str| open.repeat(100_000) + &close.repeat(100_000);
    for text in [deep("[", "]"), deep("{\"a\":", "}"), deep("{\"manifests\":[", "]}")] {
        let body = text.clone();
        let registry =
            manifests(move |_, stream| respond(stream, "200 OK", &[MANIFEST], body.as_bytes()));
        let home = home(&[&registry.host()]);
        sentence(&frugal(&home, &["inspect", &registry.docker("a:b")]));
        sentence(&frugal(&home, &["copy", &registry.docker("a:b"), "dir:x"]));
        home.write("work/folder/oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
        home.write("work/folder/index.json", &text);
        home.write("work/folder/manifest.json", &text);
        home.write("work/folder/policy.json", &text);
        for name in ["oci:folder:x", "dir:folder"] {
            sentence(&frugal(&home, &["inspect", name]));
            sentence(&frugal(&home, &["copy", name, "dir:x"]));
        }
        sentence(&frugal(&home, &["--policy", "folder/policy.json", "copy", "dir:a", "dir:b"]));
        let name = registry.docker("a:b");
        let run = frugal(&home, &["inspect", "--authfile", "folder/policy.json", &name]);
        sentence(&run);
    }
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::sha256(bytes).as_str(), "size": bytes.len()})
}

#[test]
fn tags_without_end() {
    let tags: Vec<String> = (0..40_000).map(|n| format!("tag-{n:0>20}")).collect();
    let long = json!({"name": "a", "tags": tags}).to_string();
    for body in [long, "{\"tags\":[]}".to_owned()] {
        let registry = Script::start(move |ask, stream| {
            let at = ask.target.split_once("last=").map_or(0, |(_, at)| at.parse().unwrap_or(0));
            let next = match body.len() {
                // Always the next.
                100.. => at + 1,
                // A circle.
                _ => (at + 1) % 3 + 1,
            };
            let link = format!("Link: </v2/a/tags/list?n=1000&last={next}>; rel=\"next\"");
            respond(stream, "200 OK", &[&link, "Content-Type: application/json"], body.as_bytes())
        });
        let home = home(&[&registry.host()]);
        let child = start(&home, &["list-tags", &registry.docker("a")]);
        let run = finish(child, "list-tags");
        assert!(registry.asked().len() < 1000, "{}", registry.asked().len());
        assert!(run.code == Some(0) || sentence(&run).contains("tag"), "{run}");
    }
}

#[test]
fn links_to_the_next_page_of_somebody_else() {
    let other = Script::start(|_, stream| respond(stream, "200 OK", &[], b"{\"tags\":[\"x\"]}"));
    let place = other.host();
    let registry = Script::start(move |ask, stream| {
        let link = format!("Link: <http://{place}/v2/a/tags/list?last=1>; rel=\"next\"");
        let more = if ask.target.contains("last") { vec![] } else { vec![link.as_str()] };
        respond(stream, "200 OK", &more, b"{\"tags\":[\"a\"]}")
    });
    let home = home(&[&registry.host()]);
    let name = registry.docker("a");
    skopeo(&home, &["list-tags", "--registry-token", "secret", &name]).success();
    assert!(other.asked().is_empty(), "the token went elsewhere: {:?}", other.asked());
}

#[test]
fn answers_that_are_none() {
    let deaf = |text: &'static [u8]| {
        Script::start(move |_, stream: &mut TcpStream| stream.write_all(text))
    };
    let headers = Script::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
        loop {
            stream.write_all(b"X-More: of the same, without end\r\n")?;
        }
    });
    let round = Script::start(|ask, stream| {
        respond(stream, "307 Temporary Redirect", &[&format!("Location: {}?", ask.target)], b"")
    });
    let realm = |realm: &'static str| {
        Script::start(move |_, stream: &mut TcpStream| {
            let challenge = format!("WWW-Authenticate: Bearer realm=\"{realm}\",service=\"x\"");
            respond(stream, "401 Unauthorized", &[&challenge], b"{}")
        })
    };
    let registries = [
        deaf(b""),
        deaf(b"\0\0\0\0\0\0\0\0"),
        deaf(b"HTTP/1.1 999 What\r\n\r\n"),
        deaf(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
        deaf(b"HTTP/1.1 307 Away\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n"),
        deaf(b"SSH-2.0-OpenSSH_9.2\r\n"),
        headers,
        round,
        realm("file:///etc/passwd"),
        realm("not a url"),
        realm("http://127.0.0.1:1/token"),
    ];
    for_each(registries, |registry| {
        let home = home(&[&registry.host()]);
        let run =
            frugal(&home, &["--idle-timeout", "2s", "inspect", "--raw", &registry.docker("a:b")]);
        assert!(run.stdout.is_empty(), "{run}");
        let said = sentence(&run);
        assert!(
            said.contains(&registry.host()) || said.contains("realm") || said.contains("token"),
            "{said}"
        );
        assert!(!run.stderr.contains("root:"), "{run}");
    });
}

/// Configs and layers whose descriptors lie.
#[test]
fn sizes_that_lie() {
    let config = Image::new(1).config().unwrap().clone();
    for (what, size, layer) in [
        ("a huge config", 5_u64 << 30, 10),
        ("a config of no size", u64::MAX, 10),
        ("a huge layer", config.len() as u64, 5 << 30),
        ("a layer of no size", config.len() as u64, i64::MAX as u64),
    ] {
        let home = Home::new();
        let bytes = b"something";
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor(CONFIG, &config),
            "layers": [descriptor(LAYER, bytes)],
        });
        manifest["config"]["size"] = size.into();
        manifest["layers"][0]["size"] = layer.into();
        layout(&home, &manifest, &[&config, bytes]);
        for to in ["dir:out", "oci:out:v1"] {
            let run = frugal(&home, &["copy", "oci:layout:v1", to]);
            println!("{what}: {}", sentence(&run));
        }
        assert!(whole_dir(&home.path("work/out")).is_none());
    }
}

/// A layout with one image, of this manifest; blobs are stored under their digests.
fn layout(home: &Home, manifest: &Value, blobs: &[&[u8]]) {
    let folder = home.path("work/layout");
    let place = folder.join("blobs/sha256");
    fs_err::create_dir_all(&place).unwrap();
    let text = manifest.to_string();
    for bytes in blobs.iter().chain([&text.as_bytes()]) {
        fs_err::write(place.join(Digest::sha256(bytes).hex()), bytes).unwrap();
    }
    home.write("work/layout/oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
    index(home, Digest::sha256(text.as_bytes()).as_str(), text.len());
}

fn index(home: &Home, digest: &str, size: usize) {
    let entry = json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": digest,
        "size": size,
        "annotations": {"org.opencontainers.image.ref.name": "v1"},
    });
    let index = json!({"schemaVersion": 2, "manifests": [entry]});
    home.write("work/layout/index.json", &index.to_string());
}
