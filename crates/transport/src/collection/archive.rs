//! An OCI layout in a tar.

use async_trait::async_trait;

use super::Collection;
use super::CollectionError;
use crate::layout::{ArchiveName, ManyPacked};
use crate::{Destination, Error, ImageName, NameError, Options, Probe};

#[derive(Debug)]
pub(super) struct Archive {
    place: String,
    many: ManyPacked,
}

impl Archive {
    pub(super) async fn new(place: &str, options: &Options) -> Result<Self, Error> {
        Ok(Self { place: place.to_owned(), many: ManyPacked::new(place, options).await? })
    }
}

#[async_trait]
impl Collection for Archive {
    fn name(&self, label: &str) -> Result<ImageName, NameError> {
        Ok(ImageName::OciArchive(ArchiveName::within(&self.place, label)?))
    }

    async fn create(&self, name: &ImageName) -> Result<Box<dyn Destination>, Error> {
        match name {
            ImageName::OciArchive(name) => Ok(Box::new(self.many.create(name).await?)),
            other => Err(CollectionError::OtherCollection(other.to_string()).into()),
        }
    }

    async fn look(&self, name: &ImageName) -> Result<Box<dyn Probe>, Error> {
        match name {
            ImageName::OciArchive(name) => Ok(Box::new(self.many.look(name)?)),
            other => Err(CollectionError::OtherCollection(other.to_string()).into()),
        }
    }

    async fn finish(&self) -> Result<(), Error> {
        self.many.finish().await
    }
}
