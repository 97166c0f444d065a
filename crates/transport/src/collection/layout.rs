//! An OCI layout in a folder.

use async_trait::async_trait;

use super::Collection;
use crate::layout::{LayoutName, Many};
use crate::{Destination, Error, ImageName, NameError, Options};

#[derive(Debug)]
pub(super) struct Layout {
    place: String,
    many: Many,
}

impl Layout {
    pub(super) fn new(place: &str, options: &Options) -> Result<Self, Error> {
        Ok(Self { place: place.to_owned(), many: Many::new(place, &options.layout)? })
    }
}

#[async_trait]
impl Collection for Layout {
    fn name(&self, label: &str) -> Result<ImageName, NameError> {
        LayoutName::within(&self.place, label).map(ImageName::Oci)
    }

    async fn create(&self, name: &ImageName) -> Result<Box<dyn Destination>, Error> {
        match name {
            ImageName::Oci(name) => Ok(Box::new(self.many.create(name).await?)),
            other => Err(Error::OtherCollection(other.to_string())),
        }
    }

    async fn look(&self, name: &ImageName) -> Result<Box<dyn Destination>, Error> {
        match name {
            ImageName::Oci(name) => Ok(Box::new(self.many.look(name)?)),
            other => Err(Error::OtherCollection(other.to_string())),
        }
    }

    async fn finish(&self) -> Result<(), Error> {
        self.many.finish().await
    }
}
