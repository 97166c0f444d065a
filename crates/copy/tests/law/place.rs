//! A source with images, and a destination of any kind.

use std::path::Path;
use std::sync::Arc;

use skopeo_config::{Config, Environment, Overrides};
use skopeo_copy::{Outcome, Request, Session, copy};
use skopeo_testkit::{Image, On, Registry};
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

/// What a registry was given.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) uploads: u64,
    pub(crate) bytes: u64,
    pub(crate) mounts: u64,
    pub(crate) manifests: u64,
}

impl World {
    pub(crate) fn new(kind: Kind, images: &[(&str, Image)]) -> Self {
        let (from, to) = (Registry::start(), Registry::start());
        for (tag, image) in images {
            image.push(&from, &format!("from/images:{tag}"));
            for part in image.manifests() {
                Image::notation(part, 1).push(&from, "from/images");
            }
        }
        Self { kind, case: 0, from, to, folder: tempfile::tempdir().unwrap() }
    }

    /// Goes on to a destination where nothing is.
    pub(crate) fn next(&mut self) {
        self.case += 1;
    }

    /// What the image with that tag is called in the collection.
    pub(crate) fn label(&self, tag: &str) -> String {
        format!("case{}/images:{tag}", self.case)
    }

    /// Options that know nothing of earlier copies.
    fn options() -> Options {
        let none = Path::new("/nowhere");
        let environment = Environment::fixed([("PATH", "/usr/bin")], none.to_owned(), 1000, none);
        let config = Config::with_environment(Overrides::default(), environment);
        let mut options = Options::new(Arc::new(config), Connections::new());
        options.registry.tls_verify = Some(false);
        options
    }

    pub(crate) async fn open(&self, tag: &str) -> Box<dyn Source> {
        let name = format!("docker://{}/from/images:{tag}", self.from.host());
        open(&ImageName::parse(&name).unwrap(), &Self::options()).await.unwrap()
    }

    pub(crate) async fn collection(&self) -> Box<dyn Collection> {
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
        let options = Self::options();
        collection(kind, &place, &options).await.unwrap()
    }

    /// Brings an image under a name, if that can be.
    pub(crate) async fn copy(&self, tag: &str, label: &str, request: &Request) {
        let (source, to) = (self.open(tag).await, self.collection().await);
        let destination = to.create(&to.name(&self.label(label)).unwrap()).await.unwrap();
        let session = Session::new(Arc::new(|_| ()));
        let copied = copy(&session, &*source, destination, &Policy::insecure(), request).await;
        if let Ok(copied) = copied {
            assert_eq!(copied.outcome, Outcome::Written);
        }
        to.finish().await.unwrap();
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

    /// How many blobs came from the source.
    pub(crate) fn blobs_read(&self) -> u64 {
        self.from.count(&On::blobs().method("GET")) as u64
    }

    /// What was given to the destination, if that is a registry.
    pub(crate) fn written(&self) -> Option<Served> {
        let registry = match self.kind {
            Kind::Registry => &self.to,
            Kind::SameRegistry => &self.from,
            _ => return None,
        };
        let mut served = Served { uploads: 0, bytes: 0, mounts: 0, manifests: 0 };
        for seen in registry.requests() {
            let is_upload = seen.target.contains("/blobs/uploads/");
            match &*seen.method {
                "PUT" if is_upload => served.uploads += 1,
                "POST" if seen.target.contains("mount=") && seen.status == 201 => {
                    served.mounts += 1;
                }
                "PUT" => served.manifests += 1,
                _ => {}
            }
            if is_upload {
                served.bytes += seen.received;
            }
        }
        Some(served)
    }
}
