//! A source with images, and a destination of any kind.

use std::path::Path;
use std::sync::Arc;

use skopeo_config::{Config, Environment, Overrides};
use skopeo_copy::{Error, ImageEstimate, Request, Session, copy};
use skopeo_testkit::{Image, On, Registry, SeenRequest};
use skopeo_transport::{
    Collection, CollectionKind, Connections, ImageName, Options, Source, collection, open,
};
use skopeo_trust::Policy;

/// Where images go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Registry,
    /// Another repository of the source.
    SameRegistry,
    Dir,
    Layout,
    OciArchive,
    DockerArchive,
}

/// A source and a destination.
pub(crate) struct World {
    pub(crate) kind: Kind,
    /// Which case it is: each has a destination of its own.
    case: usize,
    from: Registry,
    to: Registry,
    folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn new(kind: Kind) -> Self {
        let (from, to) = (Registry::start(), Registry::start());
        Self { kind, case: 0, from, to, folder: tempfile::tempdir().unwrap() }
    }

    /// Gives the source an image, and each manifest of it a referrer.
    pub(crate) fn push(&self, tag: &str, image: &Image) {
        image.push(&self.from, &format!("from/images:{tag}"));
        for part in image.manifests() {
            Image::notation(part, 1).push(&self.from, "from/images");
        }
    }

    /// Goes on to a destination where nothing is.
    pub(crate) fn next(&mut self) {
        self.case += 1;
    }

    /// What a name of the collection is in this case.
    pub(crate) fn label(&self, name: &str) -> String {
        format!("case{}/{name}", self.case)
    }

    /// Options that know nothing of earlier copies.
    pub(crate) fn options() -> Options {
        let none = Path::new("/nowhere");
        // A user without it would get a folder made.
        let vars = [("PATH", "/usr/bin"), ("XDG_RUNTIME_DIR", "/")];
        let environment = Environment::fixed(vars, none.to_owned(), 1000, none);
        let config = Config::with_environment(Overrides::default(), environment);
        let mut options = Options::new(Arc::new(config), Connections::new());
        options.registry.tls_verify = Some(false);
        options
    }

    pub(crate) async fn open(&self, tag: &str, options: &Options) -> Box<dyn Source> {
        let name = format!("docker://{}/from/images:{tag}", self.from.host());
        open(&ImageName::parse(&name).unwrap(), options).await.unwrap()
    }

    pub(crate) async fn collection(&self, options: &Options) -> Box<dyn Collection> {
        let folder = self.folder.path().join(self.case.to_string());
        fs_err::create_dir_all(&folder).unwrap();
        let below = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let (kind, place) = match self.kind {
            Kind::Registry => (CollectionKind::Docker, self.to.host()),
            Kind::SameRegistry => (CollectionKind::Docker, self.from.host()),
            Kind::Dir => (CollectionKind::Dir, below("images")),
            Kind::Layout => (CollectionKind::Oci, below("layout")),
            Kind::OciArchive => (CollectionKind::OciArchive, below("layout.tar")),
            Kind::DockerArchive => (CollectionKind::DockerArchive, below("images.tar")),
        };
        collection(kind, &place, options).await.unwrap()
    }

    /// Brings an image under a name, if that can be.
    pub(crate) async fn copy(&self, tag: &str, name: &str, request: &Request) {
        let options = Self::options();
        let (source, to) = (self.open(tag, &options).await, self.collection(&options).await);
        let destination = to.create(&to.name(&self.label(name)).unwrap()).await.unwrap();
        let session = Session::new(Arc::new(|_| ()));
        let _ = copy(&session, &*source, destination, &Policy::insecure(), request).await;
        to.finish().await.unwrap();
    }

    /// Waits until the registries have nothing to do.
    pub(crate) fn wait(&self) {
        let _ = self.from.root();
        let _ = self.to.root();
    }

    pub(crate) fn forget(&self) {
        self.from.forget_requests();
        self.to.forget_requests();
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        [self.from.lines(), self.to.lines()].concat()
    }

    pub(crate) fn require_untouched(&self, case: &str) {
        for seen in self.from.requests().into_iter().chain(self.to.requests()) {
            assert!(["GET", "HEAD"].contains(&&*seen.method), "{case}: {}", seen.line());
        }
    }

    /// Panics unless the registries saw what the copies say they did, and the dry run foresaw.
    pub(crate) fn require(&self, told: &[Result<ImageEstimate, Error>], case: &str) {
        let told: Vec<&ImageEstimate> = told.iter().flatten().collect();
        let sum = |of: fn(&ImageEstimate) -> u64| told.iter().map(|it| of(it)).sum::<u64>();
        let read = self.from.count(&On::blobs().method("GET")) as u64;
        assert_eq!(sum(|it| it.fetch.blobs), read, "blobs read, by the source: {case}");
        let registry = match self.kind {
            Kind::Registry => &self.to,
            Kind::SameRegistry => &self.from,
            _ => return,
        };
        let requests = registry.requests();
        let is_upload = |it: &&SeenRequest| it.target.contains("/blobs/uploads/");
        let puts = || requests.iter().filter(|it| it.method == "PUT");
        let mounts = requests
            .iter()
            .filter(|it| it.method == "POST" && it.target.contains("mount=") && it.status == 201);
        let count = |some: usize| some as u64;
        let uploads = count(puts().filter(is_upload).count());
        let manifests = count(puts().filter(|it| !is_upload(it)).count());
        assert_eq!(sum(|it| it.send.blobs), uploads, "uploads, by the server: {case}");
        assert_eq!(
            sum(|it| it.mount.blobs),
            count(mounts.count()),
            "mounts, by the server: {case}"
        );
        assert_eq!(sum(|it| it.manifests), manifests, "manifests, by the server: {case}");
        if told.iter().all(|it| it.exact) {
            let bytes: u64 = requests.iter().filter(is_upload).map(|it| it.received).sum();
            assert_eq!(sum(|it| it.send.bytes), bytes, "bytes, by the server: {case}");
        }
    }
}
