//! A tar as `docker save` makes it.

use async_trait::async_trait;

use super::Collection;
use super::CollectionError;
use crate::docker_tar::{DockerArchiveName, ManySaved};
use crate::{Destination, Error, ImageName, NameError, Options, Probe};

#[derive(Debug)]
pub(super) struct Saved {
    place: String,
    many: ManySaved,
}

impl Saved {
    pub(super) async fn new(place: &str, options: &Options) -> Result<Self, Error> {
        Ok(Self { place: place.to_owned(), many: ManySaved::new(place, options).await? })
    }
}

#[async_trait]
impl Collection for Saved {
    fn name(&self, label: &str) -> Result<ImageName, NameError> {
        Ok(ImageName::DockerArchive(DockerArchiveName::within(&self.place, label)?))
    }

    async fn create(&self, name: &ImageName) -> Result<Box<dyn Destination>, Error> {
        match name {
            ImageName::DockerArchive(name) => Ok(Box::new(self.many.create(name).await?)),
            other => Err(CollectionError::OtherCollection(other.to_string()).into()),
        }
    }

    async fn look(&self, name: &ImageName) -> Result<Box<dyn Probe>, Error> {
        match name {
            ImageName::DockerArchive(name) => Ok(Box::new(self.many.look(name))),
            other => Err(CollectionError::OtherCollection(other.to_string()).into()),
        }
    }

    async fn finish(&self) -> Result<(), Error> {
        self.many.finish().await
    }
}
