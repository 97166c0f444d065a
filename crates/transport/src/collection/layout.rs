//! An OCI layout in a folder.

use async_trait::async_trait;
use skopeo_image::Digest;

use super::Collection;
use super::CollectionError;
use crate::layout::{LayoutName, Many};
use crate::options::LayoutOptions;
use crate::{Destination, Error, ImageName, NameError, Options, Probe};

#[derive(Debug)]
pub(super) struct Layout {
    place: String,
    options: LayoutOptions,
    many: Many,
}

impl Layout {
    pub(super) fn new(place: &str, options: &Options) -> Result<Self, Error> {
        let (options, many) = (options.layout.clone(), Many::new(place, &options.layout)?);
        Ok(Self { place: place.to_owned(), options, many })
    }
}

#[async_trait]
impl Collection for Layout {
    fn name(&self, label: &str) -> Result<ImageName, NameError> {
        Ok(ImageName::Oci(LayoutName::within(&self.place, label)?))
    }

    async fn create(&self, name: &ImageName) -> Result<Box<dyn Destination>, Error> {
        match name {
            ImageName::Oci(name) => Ok(Box::new(self.many.create(name).await?)),
            other => Err(CollectionError::OtherCollection(other.to_string()).into()),
        }
    }

    async fn tags(&self, repository: &str) -> Result<Vec<String>, Error> {
        let held = match crate::layout::held(&self.place, &self.options).await {
            // Nothing has been written yet.
            Err(error) if error.is_missing_file() => return Ok(Vec::new()),
            held => held?,
        };
        // What others name otherwise, such as by a tag alone, was not written here.
        let labels = held.iter().filter(|held| {
            matches!(&held.name, ImageName::Oci(name) if name.reference() == Some(&held.label))
        });
        let labels = labels.filter_map(|held| held.label.strip_prefix(repository));
        let tags = labels.filter_map(|rest| rest.strip_prefix(':'));
        // In `registry:5000/x:1` the first colon is before no tag.
        Ok(tags.filter(|tag| !tag.contains(['/', '@'])).map(str::to_owned).collect())
    }

    async fn digest(&self, name: &ImageName) -> Result<Option<Digest>, Error> {
        match name {
            ImageName::Oci(name) => crate::layout::digest(name, &self.options).await.map(Some),
            other => Err(CollectionError::OtherCollection(other.to_string()).into()),
        }
    }

    async fn remove(&self, name: &ImageName, expected: &Digest) -> Result<Vec<String>, Error> {
        match name {
            ImageName::Oci(name) => crate::layout::delete(name, &self.options, Some(expected))
                .await
                .map(|()| Vec::new()),
            other => Err(CollectionError::OtherCollection(other.to_string()).into()),
        }
    }

    async fn look(&self, name: &ImageName) -> Result<Box<dyn Probe>, Error> {
        match name {
            ImageName::Oci(name) => Ok(Box::new(self.many.look(name)?)),
            other => Err(CollectionError::OtherCollection(other.to_string()).into()),
        }
    }

    async fn finish(&self) -> Result<(), Error> {
        self.many.finish().await
    }
}
