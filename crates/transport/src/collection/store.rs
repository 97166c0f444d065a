//! A store of podman and buildah.

use async_trait::async_trait;

use super::{Collection, Held};
use crate::storage::{self, StorageName};
use crate::{Destination, Error, ImageName, NameError, Options, Probe};

#[derive(Debug)]
pub(super) struct Store {
    place: String,
    options: Options,
}

impl Store {
    pub(super) fn new(place: &str, options: &Options) -> Result<Self, Error> {
        StorageName::within(place, "any")?;
        Ok(Self { place: place.to_owned(), options: options.clone() })
    }
}

#[async_trait]
impl Collection for Store {
    fn name(&self, label: &str) -> Result<ImageName, NameError> {
        StorageName::within(&self.place, label).map(ImageName::Storage)
    }

    async fn create(&self, name: &ImageName) -> Result<Box<dyn Destination>, Error> {
        crate::create(name, &self.options).await
    }

    async fn look(&self, name: &ImageName) -> Result<Box<dyn Probe>, Error> {
        crate::look(name, &self.options).await
    }
}

/// All names of all images of a store.
pub(super) async fn held(place: &str, options: &Options) -> Result<Vec<Held>, Error> {
    let any = StorageName::within(place, "any")?;
    let labels = storage::labels(&any, options).await?;
    let held = labels.into_iter().map(|label| {
        let name = ImageName::Storage(StorageName::within(place, &label)?);
        Ok(Held { name, label })
    });
    held.collect()
}
