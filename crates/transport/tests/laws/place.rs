//! Somewhere an image can be.

use skopeo_transport::{Destination, Error, ImageName, Options, Source};

/// A name in a fresh place, and how to open it. The place goes with the value.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) name: ImageName,
    pub(crate) options: Options,
    pub(crate) folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn dir() -> Self {
        Self::at(|folder| format!("dir:{folder}/image"))
    }

    pub(crate) fn layout() -> Self {
        Self::at(|folder| format!("oci:{folder}/image:tag"))
    }

    pub(crate) fn layout_with_shared_blobs() -> Self {
        let mut place = Self::layout();
        place.options.layout.shared_blob_dir = Some(place.folder.path().join("shared"));
        place
    }

    fn at(name: impl Fn(&str) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let name = name(folder.path().to_str().unwrap());
        Self { name: ImageName::parse(&name).unwrap(), options: Options::default(), folder }
    }

    /// Another name, `{}` in it standing for the place's folder.
    pub(crate) fn name(&self, text: &str) -> ImageName {
        let folder = self.folder.path().to_str().unwrap();
        ImageName::parse(&text.replace("{}", folder)).unwrap()
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
