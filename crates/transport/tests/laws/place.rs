//! Somewhere an image can be.

use std::time::Duration;

use crate::Sample;
use crate::options::{options, options_with};
use skopeo_testkit::{Registry, S3};
use skopeo_transport::{Destination, Error, ImageName, Options, Source};

/// A name in a fresh place, and how to open it. The place goes with the value.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) name: ImageName,
    pub(crate) options: Options,
    pub(crate) folder: tempfile::TempDir,
    /// The registry, where it is one.
    pub(crate) served: Option<Registry>,
    /// The store, where it is in a bucket.
    pub(crate) store: Option<S3>,
}

impl Place {
    /// The registry of a place that is one.
    pub(crate) fn registry(&self) -> &Registry {
        self.served.as_ref().unwrap()
    }

    pub(crate) async fn dir() -> Self {
        Self::at(|folder| format!("dir:{folder}/image"))
    }

    pub(crate) async fn layout() -> Self {
        Self::at(|folder| format!("oci:{folder}/image:tag"))
    }

    pub(crate) async fn layout_with_shared_blobs() -> Self {
        let mut place = Self::layout().await;
        place.options.layout.shared_blob_dir = Some(place.folder.path().join("shared"));
        place
    }

    pub(crate) async fn archive() -> Self {
        Self::at(|folder| format!("oci-archive:{folder}/image.tar:tag"))
    }

    pub(crate) async fn bucket() -> Self {
        Self::in_store(S3::start())
    }

    /// A bucket of a store that knows no conditions.
    pub(crate) async fn plain_bucket() -> Self {
        Self::in_store(S3::with(skopeo_testkit::s3::Conditions::Ignored, Duration::ZERO))
    }

    /// A bucket of a store that speaks as Google's does.
    pub(crate) async fn google_bucket() -> Self {
        let mut place = Self::in_store(S3::google());
        place.name = ImageName::parse("oci:gs://bucket/a/layout:tag").unwrap();
        place
    }

    pub(crate) fn in_store(store: S3) -> Self {
        let mut place = Self::at(|_| "oci:s3://bucket/a/layout:tag".to_owned());
        place.options = options_with(place.folder.path(), &store.environment());
        place.store = Some(store);
        place
    }

    pub(crate) async fn docker() -> Self {
        let served = Registry::start();
        let mut place = Self::at(|_| format!("docker://{}/ns/repo:tag", served.host()));
        place.options.registry.tls_verify = Some(false);
        place.served = Some(served);
        place
    }

    pub(crate) fn at(name: impl Fn(&str) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let name = name(folder.path().to_str().unwrap());
        let options = options(folder.path());
        Self { name: ImageName::parse(&name).unwrap(), options, folder, served: None, store: None }
    }

    /// A store of podman, if we may give files to others.
    pub(crate) fn store(driver: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root may give files to others");
            return None;
        }
        let name = format!("containers-storage:[{driver}@{{}}/store+{{}}/running]h.io/ns/repo:tag");
        Some(Self::at(|folder| name.replace("{}", folder)))
    }

    /// Whether it is a store of podman: it keeps what is in layers, and settles names.
    pub(crate) fn is_store(&self) -> bool {
        self.name.transport() == "containers-storage"
    }

    /// An image that can be in this place.
    pub(crate) fn sample(&self, seed: u32) -> Sample {
        if self.is_store() { Sample::of_tars(seed) } else { Sample::new(seed) }
    }

    /// Whether what is written can be looked at, and shows only with the commit. In a registry the
    /// manifest has its name as soon as it is put, and so it is put last.
    pub(crate) fn is_folder(&self) -> bool {
        self.served.is_none()
    }

    /// Whether blobs stay where a copy that came to nothing has put them.
    pub(crate) fn keeps_blobs(&self) -> bool {
        self.name.transport() != "oci-archive"
    }

    /// Another name; `{}` in it stands for the place's folder or host.
    pub(crate) fn name(&self, text: &str) -> ImageName {
        let folder = self.folder.path().to_str().unwrap();
        let place = self.served.as_ref().map_or_else(|| folder.to_owned(), Registry::host);
        ImageName::parse(&text.replace("{}", &place)).unwrap()
    }

    pub(crate) async fn open(&self) -> Result<Box<dyn Source>, Error> {
        skopeo_transport::open(&self.name, &self.options).await
    }

    pub(crate) async fn create(&self) -> Box<dyn Destination> {
        skopeo_transport::create(&self.name, &self.options).await.unwrap()
    }

    /// Whether there is an image under the name.
    pub(crate) async fn has_image(&self) -> bool {
        match self.open().await {
            Ok(source) => source.manifest(&skopeo_image::Which::Top).await.is_ok(),
            Err(_) => false,
        }
    }

    /// The paths of all files, relative, sorted.
    pub(crate) fn files(&self) -> Vec<String> {
        if let Some(store) = &self.store {
            return store.keys();
        }
        let root = self.folder.path().to_owned();
        let (mut folders, mut files) = (vec![root.clone()], Vec::new());
        while let Some(folder) = folders.pop() {
            for entry in fs_err::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else {
                    let path = entry.path();
                    files.push(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        files.sort();
        files
    }
}
