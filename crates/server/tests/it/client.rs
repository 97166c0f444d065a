//! A registry on a port of its own, and the smallest client that can speak to it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use skopeo_image::Digest;
use skopeo_objects::{BucketUrl, Settings, Store, StoreOptions};
use skopeo_server::{BucketOptions, Registry, ServerOptions};
use skopeo_testkit::S3;
use skopeo_testkit::rest::{BLOCKING, Rest, Working, rest};

/// A registry in a thread of its own; it ends with this value.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) root: PathBuf,
    rest: Rest,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    _folder: Option<tempfile::TempDir>,
    /// What the bucket is in that is served, if it is one of the server's own.
    pub(crate) store: Option<S3>,
    is_in_bucket: bool,
}

impl Server {
    /// Over a new folder.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("served");
        let mut server = Self::with(ServerOptions::new(&root));
        server._folder = Some(folder);
        server
    }

    /// Over a new bucket.
    pub(crate) fn in_bucket() -> Self {
        let store = S3::start();
        let mut server = Self::over(&store);
        server.store = Some(store);
        server
    }

    /// Over the bucket of a store.
    pub(crate) fn over(store: &S3) -> Self {
        let mut options = ServerOptions::new("/");
        options.bucket = Some(bucket(store));
        Self::with(options)
    }

    /// Whether all repositories are in one layout.
    pub(crate) fn is_in_bucket(&self) -> bool {
        self.is_in_bucket
    }

    /// The text of the index in which a repository is.
    pub(crate) fn index_of(&self, repository: &str) -> String {
        match &self.store {
            Some(store) => {
                String::from_utf8(store.object("mirror/index.json").unwrap().into()).unwrap()
            }
            None => {
                let path = self.root.join(repository).join("index.json");
                fs_err::read_to_string(path).unwrap()
            }
        }
    }

    pub(crate) fn with(options: ServerOptions) -> Self {
        let is_in_bucket = options.bucket.is_some();
        let root = options.root.clone();
        let (started, address) = std::sync::mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (rest, observer) = rest();
        let thread = std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.max_blocking_threads(BLOCKING).enable_all().build();
            runtime.unwrap().block_on(async {
                let opened = tokio::task::spawn_blocking(|| Registry::open(options));
                let registry = opened.await.unwrap().unwrap();
                let serving = registry.listen("127.0.0.1:0").await.unwrap();
                started.send(serving.address()).unwrap();
                let working = Working::default();
                tokio::select! {
                    _ = stopped => {}
                    () = observer.tell(&working) => {}
                }
                serving.stop().await;
                registry.settle().await;
            });
        });
        let address = address.recv().unwrap();
        let (stop, thread) = (Some(stop), Some(thread));
        Self { address, root, rest, stop, thread, _folder: None, store: None, is_in_bucket }
    }

    /// The folder as it lies there when nothing is in work any more, also nothing that clients have
    /// left behind who are not this one.
    pub(crate) fn settled(&self) -> &Path {
        assert!(self.rest.wait(), "requests are still in work");
        &self.root
    }

    /// A request without a body.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Reply {
        self.send(method, path, &[], b"")
    }

    /// A request on a connection of its own.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        request(self.address, method, path, headers, body).unwrap()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.address).unwrap()
    }

    /// Uploads a blob in one request.
    pub(crate) fn push_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256(bytes);
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        let reply = self.send("POST", &path, &[], bytes);
        assert_eq!(reply.status, 201, "{reply:?}");
        digest
    }

    /// Pushes an image of one layer; its manifest comes back.
    pub(crate) fn push_image(&self, repository: &str, reference: &str, layer: &[u8]) -> Vec<u8> {
        let config = self.push_blob(repository, b"{}");
        let blob = self.push_blob(repository, layer);
        let manifest = image(&config, 2, &blob, layer.len());
        let reply = self.put_manifest(repository, reference, OCI_MANIFEST, &manifest);
        assert_eq!(reply.status, 201, "{reply:?}");
        manifest
    }

    pub(crate) fn put_manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Reply {
        let path = format!("/v2/{repository}/manifests/{reference}");
        self.send("PUT", &path, &[("Content-Type", media_type)], bytes)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
        self.thread.take().unwrap().join().unwrap();
    }
}

/// The layout `mirror` in the bucket of a store.
pub(crate) fn bucket(store: &S3) -> BucketOptions {
    // What makes clients of HTTP wants to know it even where there is no TLS.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut settings = Settings::new();
    for (name, value) in store.environment() {
        settings.set(&name.to_ascii_lowercase(), value);
    }
    let options = StoreOptions {
        settings,
        credentials: None,
        http: reqwest::Client::new(),
        metadata: reqwest::Client::new(),
        idle: Duration::from_secs(60),
        user_agent: "test".into(),
        retries: 2,
        dead_after: Duration::from_secs(120),
    };
    let place = BucketUrl::parse("s3://bucket/mirror").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = runtime.block_on(Store::open(&place, &options)).unwrap();
    BucketOptions { store, upload_memory: 96 << 20 }
}

/// A request on a connection of its own.
pub(crate) fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Reply> {
    let mut stream = connect(address)?;
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    if !matches!(method, "GET" | "HEAD" | "DELETE") {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    stream.write_all((text + "\r\n").as_bytes())?;
    stream.write_all(body)?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    Reply::parse(&reply).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    Ok(stream)
}

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An OCI manifest of one layer.
pub(crate) fn image(config: &Digest, config_size: usize, layer: &Digest, size: usize) -> Vec<u8> {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":{config_size}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{layer}","size":{size}}}]}}"#
    )
    .into_bytes()
}

/// An OCI index of these manifests.
pub(crate) fn index(manifests: &[&[u8]]) -> Vec<u8> {
    let entries: Vec<_> = manifests
        .iter()
        .map(|bytes| {
            let (digest, size) = (Digest::sha256(bytes), bytes.len());
            format!(r#"{{"mediaType":"{OCI_MANIFEST}","digest":"{digest}","size":{size}}}"#)
        })
        .collect();
    let entries = entries.join(",");
    format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{entries}]}}"#)
        .into_bytes()
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// None if the head is not whole.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Some(Self { status, headers, body: bytes[end + 4..].to_vec() })
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The first error's code; the whole body if that is no error document.
    pub(crate) fn code(&self) -> String {
        let document: Option<serde_json::Value> = serde_json::from_slice(&self.body).ok();
        let code = document.and_then(|d| Some(d["errors"][0]["code"].as_str()?.to_owned()));
        code.unwrap_or_else(|| String::from_utf8_lossy(&self.body).into_owned())
    }
}

/// All files below a folder, relative, sorted.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs_err::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}
