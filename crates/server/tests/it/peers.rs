//! Clients of others: the installed skopeo and curl.

use std::path::Path;
use std::process::{Command, Output};

use skopeo_image::Digest;
use skopeo_server::{ServerOptions, Tls};
use skopeo_testkit::registry::real::Real;
use skopeo_testkit::run::installed;
use skopeo_testkit::twin::{differences, tree};
use skopeo_testkit::{Image, Tar, skip};

use crate::client::{Server, files};

fn run(program: &Path, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{} {arguments:?}: {}",
        program.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// An image in an `oci:` folder, pushed and read back from one.
fn source_image(folder: &Path) -> String {
    let server = Server::with(ServerOptions::new(folder));
    let layer = Tar::new().file("hello", b"hello").end();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        Digest::sha256(&layer)
    );
    let (config_digest, blob) =
        (server.push_blob("src", config.as_bytes()), server.push_blob("src", &layer));
    let manifest = crate::client::image(&config_digest, config.len(), &blob, layer.len());
    let reply = server.put_manifest("src", "v1", crate::client::OCI_MANIFEST, &manifest);
    assert_eq!(reply.status, 201);
    format!("oci:{}:v1", folder.join("src").display())
}

#[test]
fn the_original_pushes_and_pulls() {
    let Some(skopeo) = installed("skopeo") else { skip!("skopeo is not installed") };
    let folder = tempfile::tempdir().unwrap();
    let image = source_image(&folder.path().join("made"));
    let server = Server::new();
    let registry = format!("docker://{}", server.address);
    let copy = |from: &str, to: &str, more: &[&str]| {
        let fixed =
            ["--insecure-policy", "copy", "--src-tls-verify=false", "--dest-tls-verify=false"];
        run(&skopeo, &[fixed.as_slice(), more, &[from, to]].concat());
    };
    let pushed = format!("{registry}/team/app:v1");
    copy(&image, &pushed, &[]);
    copy(&pushed, &format!("{registry}/other/app:v2"), &[]); // mounts
    copy(&image, &format!("{registry}/docker/app:v1"), &["--format", "v2s2"]); // a gzip layer by chunks
    let back = folder.path().join("back");
    copy(&pushed, &format!("oci:{}:v1", back.display()), &[]);

    // The folder served is what `oci:` writes.
    let lock = |file: &String| file != ".lock";
    let served: Vec<_> =
        files(&server.settled().join("team/app")).into_iter().filter(lock).collect();
    assert_eq!(served, files(&back));
    // 1.9.3 writes a space into oci-layout that later releases do not.
    for file in served.into_iter().filter(|file| file != "oci-layout") {
        let (ours, theirs) = (server.root.join("team/app").join(&file), back.join(&file));
        assert_eq!(fs_err::read(ours).unwrap(), fs_err::read(theirs).unwrap(), "{file}");
    }
    let inspected = run(&skopeo, &["inspect", "--tls-verify=false", &pushed]);
    let inspected: serde_json::Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(inspected["RepoTags"], serde_json::json!(["v1"]));
    run(&skopeo, &["delete", "--tls-verify=false", &pushed]);
    let tags = run(&skopeo, &["list-tags", "--tls-verify=false", &format!("{registry}/other/app")]);
    assert!(String::from_utf8(tags.stdout).unwrap().contains("\"v2\""));
    assert_eq!(server.ask("GET", "/v2/team/app/manifests/v1").status, 404);
    // What `oci:` writes into the folder meanwhile is served.
    copy(&image, &format!("oci:{}:new", server.root.join("team/app").display()), &[]);
    assert_eq!(server.ask("GET", "/v2/team/app/manifests/new").status, 200);
}

#[test]
fn curl_speaks_http2_over_tls() {
    let Some(curl) = installed("curl") else { skip!("curl is not installed") };
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let mut options = ServerOptions::new(folder.path().join("root"));
    options.tls = Some(Tls::parse(certificate.as_bytes(), key.as_bytes()).unwrap());
    let server = Server::with(options);
    let ca = folder.path().join("ca.pem");
    fs_err::write(&ca, &certificate).unwrap();
    let base = format!("https://localhost:{}/v2", server.address.port());
    let layer = folder.path().join("layer");
    let content = vec![3; 5_000_000];
    fs_err::write(&layer, &content).unwrap();
    let digest = Digest::sha256(&content);
    let ca = ca.to_str().unwrap();
    for http in ["--http1.1", "--http2"] {
        let resolve = format!("localhost:{}:127.0.0.1", server.address.port());
        let fixed = ["-sSf", "--noproxy", "*", "--resolve", &resolve, "--cacert", ca, http];
        let upload = format!("{base}/a/blobs/uploads/?digest={digest}");
        let body = format!("@{}", layer.display());
        run(&curl, &[fixed.as_slice(), &["-X", "POST", "--data-binary", &body, &upload]].concat());
        let got = run(&curl, &[fixed.as_slice(), &[&format!("{base}/a/blobs/{digest}")]].concat());
        assert!(got.stdout == content, "{http}");
    }
}

#[test]
fn lists_are_stored_as_the_original_stores_them() {
    let Some(skopeo) = installed("skopeo") else { skip!("skopeo is not installed") };
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("made");
    Image::platforms(7, 4).write_oci(&made, Some("v1"));
    let server = Server::new();
    let from = format!("oci:{}:v1", made.display());
    let pushed = format!("docker://{}/team/app:v1", server.address);
    let back = folder.path().join("back");
    let copy = |from: &str, to: &str| {
        let fixed = ["--insecure-policy", "copy", "--all", "--src-tls-verify=false"];
        run(&skopeo, &[fixed.as_slice(), &["--dest-tls-verify=false", from, to]].concat());
    };
    copy(&from, &pushed);
    copy(&pushed, &pushed.replace("team/app", "other")); // all of it is mounted
    copy(&pushed, &format!("oci:{}:v1", back.display()));
    let theirs = tree(&back);
    for repository in ["team/app", "other"] {
        let mut ours = tree(&server.settled().join(repository));
        // 1.9.3 writes a space into oci-layout that later releases do not.
        ours.insert("oci-layout".into(), theirs["oci-layout"].clone());
        assert_eq!(differences(&ours, &theirs), Vec::<String>::new());
    }
}

/// The same request to distribution's registry and to ours: what clients act on is the same.
#[test]
fn the_real_registry_answers_alike() {
    let Some(real) = Real::start() else { skip!("docker-registry is not installed") };
    let real_address = real.host().parse().unwrap();
    let server = Server::new();
    let (layer, nothing) = (Digest::sha256(b"layer"), Digest::sha256(b"nothing"));
    let config = Digest::sha256(b"{}");
    let whole = String::from_utf8(crate::client::image(&config, 2, &layer, 5)).unwrap();
    let broken = whole.replace(layer.as_str(), nothing.as_str());
    let digest = Digest::sha256(whole.as_bytes());
    let oci = ("Content-Type", crate::client::OCI_MANIFEST);
    let accept = ("Accept", crate::client::OCI_MANIFEST);
    let start = "/v2/a/blobs/uploads/";
    for address in [real_address, server.address] {
        // distribution takes no blob with the POST.
        for (content, digest, status) in
            [("layer", &layer, 201), ("{}", &config, 201), ("layer", &nothing, 400)]
        {
            let begun = crate::client::request(address, "POST", start, &[], b"").unwrap();
            let location =
                begun.header("location").trim_start_matches(&format!("http://{}", real.host()));
            let sign = if location.contains('?') { '&' } else { '?' };
            let path = format!("{location}{sign}digest={digest}");
            let done = crate::client::request(address, "PUT", &path, &[], content.as_bytes());
            assert_eq!(done.unwrap().status, status);
        }
    }
    let rows = vec![
        ("GET", "/v2/".into(), vec![], ""),
        ("GET", "/v2/_catalog".into(), vec![], ""),
        ("GET", "/v2/a/tags/list".into(), vec![], ""),
        ("POST", start.into(), vec![], ""),
        ("POST", format!("{start}?mount={layer}&from=nowhere"), vec![], ""),
        ("POST", format!("/v2/b/blobs/uploads/?mount={layer}&from=a"), vec![], ""),
        ("HEAD", format!("/v2/b/blobs/{layer}"), vec![], ""),
        ("PUT", "/v2/a/manifests/v1".into(), vec![oci], &broken),
        ("PUT", "/v2/a/manifests/v1".into(), vec![oci], "{"),
        ("PUT", format!("/v2/a/manifests/{nothing}"), vec![oci], &whole),
        ("PUT", "/v2/a/manifests/v1".into(), vec![oci], &whole),
        ("GET", "/v2/a/manifests/v1".into(), vec![accept], ""),
        ("HEAD", format!("/v2/a/manifests/{digest}"), vec![accept], ""),
        ("GET", "/v2/a/manifests/v2".into(), vec![accept], ""),
        ("GET", format!("/v2/a/manifests/{nothing}"), vec![accept], ""),
        ("GET", format!("/v2/none/manifests/{nothing}"), vec![accept], ""),
        ("GET", "/v2/a/tags/list".into(), vec![], ""),
        ("GET", format!("/v2/a/blobs/{layer}"), vec![], ""),
        ("GET", format!("/v2/a/blobs/{layer}"), vec![("Range", "bytes=1-2")], ""),
        ("GET", format!("/v2/a/blobs/{nothing}"), vec![], ""),
        ("HEAD", format!("/v2/none/blobs/{nothing}"), vec![], ""),
        ("DELETE", format!("/v2/a/blobs/{nothing}"), vec![], ""),
        ("DELETE", format!("/v2/a/manifests/{nothing}"), vec![], ""),
        ("DELETE", format!("/v2/a/manifests/{digest}"), vec![], ""),
        ("GET", "/v2/a/manifests/v1".into(), vec![accept], ""),
    ];
    for (method, path, headers, body) in rows {
        let headers: Vec<(&str, &str)> = headers;
        let send = |address| {
            let reply = crate::client::request(address, method, &path, &headers, body.as_bytes());
            let reply = reply.unwrap();
            let code =
                if reply.status >= 400 && method != "HEAD" { reply.code() } else { String::new() };
            let kept = ["docker-content-digest", "content-type", "content-range", "content-length"];
            // The text of a document is its own affair; that of a blob or manifest is not.
            let kept = if reply.status < 300 && body.is_empty() && path.contains(':') {
                &kept[..]
            } else {
                &kept[..1]
            };
            let headers: Vec<_> = kept.iter().map(|name| reply.header(name).to_owned()).collect();
            (reply.status, code, headers)
        };
        assert_eq!(send(server.address), send(real_address), "{method} {path}");
    }
}
